package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"tfw/executor"
)

// bar tells on a terminal how far a copy is. A nil bar shows nothing.
type bar struct {
	f     *os.File
	names []string // what is copied, file by file
	at    int      // in names
	total int64    // bytes; 0 when nobody knows
	sent  int64    // between here and the controller
	had   int64    // of these: there already
	start time.Time
	shown time.Time
}

func newBar(a *app, pieces []piece) *bar {
	if !a.redraws(a.err) {
		return nil
	}
	b := &bar{f: a.err, start: time.Now()}
	for _, p := range pieces {
		b.total += p.info.Size()
		b.names = append(b.names, p.local)
	}
	return b
}

// count gives a reader of the file number i that moves the bar.
func (b *bar) count(i int, r io.Reader) io.Reader {
	if b == nil {
		return r
	}
	b.at = i
	return b.more(r)
}

type barReader struct {
	b *bar
	r io.Reader
}

func (r barReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.b.sent += int64(n)
	if time.Since(r.b.shown) > 100*time.Millisecond {
		r.b.draw("")
	}
	return n, err
}

// begin tells which source is at hand; more moves the bar by what is read of it.
func (b *bar) begin(i int, sources []string) {
	if b != nil {
		b.at, b.names = i, sources
	}
}

func (b *bar) more(r io.Reader) io.Reader {
	if b == nil {
		return r
	}
	return barReader{b, r}
}

// expect tells of bytes that come, where that was not known from the beginning.
func (b *bar) expect(n int64) {
	if b != nil {
		b.total += n
	}
}

// skip tells of bytes that need not be sent.
func (b *bar) skip(n int64) {
	if b != nil {
		b.sent += n
		b.had += n
	}
}

// hosts tells how many hosts have the file at hand.
func (b *bar) hosts(run *executor.Run) {
	done := 0
	for _, h := range run.Hosts {
		if h.Verdict != "" {
			done++
		}
	}
	b.draw(fmt.Sprintf(", %d/%d hosts done", done, len(run.Hosts)))
}

func (b *bar) draw(more string) {
	b.shown = time.Now()
	line := b.line(more)
	if w := width(b.f); w > 0 {
		line = text.Trim(line, w-1)
	}
	fmt.Fprint(b.f, "\r"+line+"\x1b[K")
}

// barWidth is how many characters the bar itself has.
const barWidth = 20

// line is "[#####     ] 2/3 kernel.img: 30.0 MiB of 120.0 MiB, 11.2 MiB/s, 3/24 hosts done".
func (b *bar) line(more string) string {
	what := "making directories"
	if b.at < len(b.names) {
		what = safe(b.names[b.at])
	}
	if len(b.names) > 1 {
		what = fmt.Sprintf("%d/%d %s", b.at+1, len(b.names), what)
	}
	amount := size(b.sent)
	drawn := ""
	if b.total > 0 {
		full := min(int(barWidth*b.sent/b.total), barWidth)
		drawn = "[" + strings.Repeat("#", full) + strings.Repeat(" ", barWidth-full) + "] "
		amount += " of " + size(b.total)
	}
	rate := float64(b.sent-b.had) / max(time.Since(b.start).Seconds(), 0.001)
	return fmt.Sprintf("%s%s: %s, %s/s%s", drawn, what, amount, size(int64(rate)), more)
}

func (b *bar) hide() {
	if b != nil && !b.shown.IsZero() {
		fmt.Fprint(b.f, "\r\x1b[K")
		b.shown = time.Time{}
	}
}
