package bolt

import (
	"encoding/binary"
	"math"
)

// A posting is an index entry: one sequence number, with enough of its entry
// to tell by the index alone whether a reader wants it.
type posting struct {
	seq     uint64
	stream  byte
	command int64
}

// A block is up to blockSize postings in order. The last, unfinished block of
// a list lives in the bucket heads, which is small and rewritten with each commit;
// finished ones move to the bucket blocks and are never written again.
type block struct {
	newest int64 // nanoseconds: the latest time of receipt in it
	posts  []posting
}

// blockSize balances what a commit rewrites against the count of blocks.
const blockSize = 48

// runList is the key of the list of a run's entries. Keys are prefix-free.
func runList(run string) []byte {
	return append(appendText(nil, run), 'r')
}

// hostList is the key of the list of a run's entries on one host.
func hostList(run, host string) []byte {
	return appendText(append(appendText(nil, run), 'h'), host)
}

// listRun tells whose list a key of heads is: a run's own, or one of its hosts'.
func listRun(key []byte) (run string, whole bool) {
	r := reader{b: key}
	run = r.text()
	return run, r.byte() == 'r' && !r.bad
}

// streamKey is the key of a stream's length.
func streamKey(run, host string, command int, stream byte) []byte {
	k := appendText(appendText(nil, run), host)
	return append(binary.AppendVarint(k, int64(command)), stream)
}

// blockKey is the key of a finished block: its list, then its last sequence number.
func blockKey(list []byte, last uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, len(list)+8), list...), last)
}

// add puts a posting at the end.
func (b *block) add(p posting, nanos int64) {
	if len(b.posts) == 0 || nanos > b.newest {
		b.newest = nanos
	}
	b.posts = append(b.posts, p)
}

// encode packs the block: about three bytes a posting. The difference to the
// previous sequence number carries the stream in its low two bits, and in the next
// whether a changed command follows.
func (b *block) encode(key []byte) []byte {
	v := make([]byte, 4, 24+3*len(b.posts))
	v = binary.LittleEndian.AppendUint64(v, uint64(b.newest))
	v = binary.AppendUvarint(v, uint64(len(b.posts)))
	var last uint64
	command := int64(math.MinInt64)
	for _, p := range b.posts {
		word := (p.seq-last)<<3 | uint64(p.stream)
		if p.command != command {
			v = binary.AppendVarint(binary.AppendUvarint(v, word|4), p.command)
		} else {
			v = binary.AppendUvarint(v, word)
		}
		last, command = p.seq, p.command
	}
	return seal(key, v)
}

// decodeBlock reads a block as stored under key.
func decodeBlock(key, value []byte) (block, error) {
	body, err := open(key, value)
	if err != nil {
		return block{}, err
	}
	r := reader{b: body}
	b := block{newest: int64(r.uint64())}
	n := r.uvarint()
	if r.bad || n > blockSize {
		return block{}, errDamaged
	}
	b.posts = make([]posting, 0, blockSize)
	var p posting
	for range n {
		word := r.uvarint()
		p.seq += word >> 3
		p.stream = byte(word & 3)
		if word&4 != 0 {
			p.command = r.varint()
		}
		b.posts = append(b.posts, p)
	}
	if r.bad {
		return block{}, errDamaged
	}
	return b, nil
}
