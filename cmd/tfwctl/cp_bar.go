package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

// bar tells on a terminal how far a copy is. A nil bar shows nothing.
type bar struct {
	f      *os.File
	pieces []piece
	total  int64
	sent   int64
	start  time.Time
	shown  time.Time
}

func newBar(a *app, pieces []piece) *bar {
	if !isTerminal(a.err) {
		return nil
	}
	b := &bar{f: a.err, pieces: pieces, start: time.Now()}
	for _, p := range pieces {
		b.total += p.info.Size()
	}
	return b
}

// count gives a reader that moves the bar.
func (b *bar) count(i int, r io.Reader) io.Reader {
	if b == nil {
		return r
	}
	return barReader{b, i, r}
}

type barReader struct {
	b *bar
	i int
	r io.Reader
}

func (r barReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.b.sent += int64(n)
	if time.Since(r.b.shown) > 100*time.Millisecond {
		r.b.draw(r.i, "")
	}
	return n, err
}

func (b *bar) waiting(i int) {
	if b != nil {
		b.draw(i, ", on its way to the hosts")
	}
}

func (b *bar) draw(i int, more string) {
	b.shown = time.Now()
	rate := float64(b.sent) / max(time.Since(b.start).Seconds(), 0.001)
	line := fmt.Sprintf("%d/%d %s: %s of %s, %s/s%s", i+1, len(b.pieces), b.pieces[i].local, size(b.sent), size(b.total), size(int64(rate)), more)
	if w := width(b.f); w > 0 {
		line = text.Trim(line, w-1)
	}
	fmt.Fprint(b.f, "\r"+line+"\x1b[K")
}

func (b *bar) hide() {
	if b != nil && !b.shown.IsZero() {
		fmt.Fprint(b.f, "\r\x1b[K")
		b.shown = time.Time{}
	}
}
