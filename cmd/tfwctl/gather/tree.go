// Package gather shows the output of many hosts the way clubak and clush do:
// hosts that said the same appear once, under their folded names, and --diff shows
// how the others differ from the majority.
package gather

import (
	"bytes"
	"errors"
	"fmt"
)

// Limit bounds the distinct bytes that a [Tree] keeps. Output that many hosts
// share counts once.
const Limit = 512 << 20

// ErrTooMuch says that the hosts' output is too large to be gathered in memory.
var ErrTooMuch = errors.New("too much output to gather")

// Tree keeps the lines of every host, shared where they are the same from the
// start: a thousand hosts that say the same cost as much as one. Not safe for
// concurrent use.
type Tree struct {
	root  node
	hosts map[string]*place
	bytes int
}

// node is one line after the lines of its parents.
type node struct {
	parent *node
	depth  int
	line   []byte
	next   *node            // the first line seen after this one
	others map[string]*node // the further ones
}

// place is where a host is in the tree, and its last line while that has no end.
type place struct {
	at      *node
	partial []byte
}

// New makes an empty tree.
func New() *Tree { return &Tree{hosts: map[string]*place{}} }

// Write takes bytes of a host's output, cut anywhere. It fails with [ErrTooMuch].
func (t *Tree) Write(host string, data []byte) error {
	p := t.hosts[host]
	if p == nil {
		p = &place{at: &t.root}
		t.hosts[host] = p
	}
	for {
		line, rest, found := bytes.Cut(data, []byte{'\n'})
		if !found {
			break
		}
		if len(p.partial) > 0 {
			line = append(p.partial, line...)
			p.partial = p.partial[:0]
		}
		if err := t.add(p, bytes.TrimSuffix(line, []byte{'\r'})); err != nil {
			return err
		}
		data = rest
	}
	if len(p.partial)+len(data)+t.bytes > Limit {
		return t.tooMuch()
	}
	p.partial = append(p.partial, data...)
	return nil
}

// End turns a host's unfinished last line into a line.
func (t *Tree) End(host string) error {
	p := t.hosts[host]
	if p == nil || len(p.partial) == 0 {
		return nil
	}
	line := p.partial
	p.partial = nil
	return t.add(p, line)
}

func (t *Tree) add(p *place, line []byte) error {
	at := p.at
	if at.next != nil && bytes.Equal(at.next.line, line) {
		p.at = at.next
		return nil
	}
	if n := at.others[string(line)]; n != nil {
		p.at = n
		return nil
	}
	const overhead = 64
	if t.bytes += len(line) + overhead; t.bytes > Limit {
		return t.tooMuch()
	}
	n := &node{parent: at, depth: at.depth + 1, line: bytes.Clone(line)}
	if at.next == nil {
		at.next = n
	} else {
		if at.others == nil {
			at.others = map[string]*node{}
		}
		at.others[string(line)] = n
	}
	p.at = n
	return nil
}

func (t *Tree) tooMuch() error {
	return fmt.Errorf("%w: over %d MiB", ErrTooMuch, Limit>>20)
}

// lines gives the lines from the root to n.
func (n *node) lines() [][]byte {
	all := make([][]byte, n.depth)
	for ; n.depth > 0; n = n.parent {
		all[n.depth-1] = n.line
	}
	return all
}
