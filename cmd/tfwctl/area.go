package main

import (
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// area is the lines at the bottom of a terminal that are drawn again and again. The cursor
// stands below them. Nothing of the terminal's state is changed, so there is nothing to restore, however the program ends.
type area struct {
	f     io.Writer
	size  func() (width, height int)
	shown []string
	above []string // lines that stay, for the next draw
}

// sizeOf is a terminal's width and height, or what they were long ago where it cannot be told.
func sizeOf(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw puts the lines in the place of those before; none of them may be wider than the terminal. One write does it all.
func (a *area) draw(lines []string) {
	if len(lines)+len(a.shown)+len(a.above) == 0 {
		return
	}
	_, _ = io.WriteString(a.f, a.erase()+join(a.above)+join(lines))
	a.shown, a.above = lines, nil
}

// print puts a line above the area, where it stays, with the next draw.
func (a *area) print(line string) { a.above = append(a.above, line) }

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// erase goes up to the area's first line and clears from there. A terminal that became narrower has wrapped the lines: they take more rows now.
func (a *area) erase() string {
	width, height := a.size()
	rows := 0
	for _, line := range a.shown {
		rows += max(1, (text.RuneWidthWithoutEscSequences(line)+width-1)/max(width, 1))
	}
	if rows == 0 {
		return "\r"
	}
	return "\r\x1b[" + itoa(min(rows, max(height-1, 1))) + "A\x1b[J"
}
