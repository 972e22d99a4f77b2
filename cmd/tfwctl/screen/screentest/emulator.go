// Package screentest gives tests what a person has: a terminal to run a program on,
// and eyes to read what it shows.
package screentest

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Emulator shows what a terminal of a size would, of the sequences that package
// screen and progress lines use. What it does not know it lists in Unknown. Not safe for concurrent use.
type Emulator struct {
	Width, Height int
	Alternate     bool // the alternate screen is shown
	CursorHidden  bool
	Unknown       []string

	cells    [][]string // "" is the right half of a wide character
	row, col int
	rest     []byte // an unfinished sequence
	top, end int    // scroll region
	nowrap   bool
}

// NewEmulator makes an empty screen.
func NewEmulator(width, height int) *Emulator {
	e := &Emulator{Width: width, Height: height, end: height}
	e.cells = make([][]string, height)
	for i := range e.cells {
		e.cells[i] = e.blank()
	}
	return e
}

func (e *Emulator) blank() []string {
	row := make([]string, e.Width)
	for i := range row {
		row[i] = " "
	}
	return row
}

// Write takes what a program sends.
func (e *Emulator) Write(b []byte) (int, error) {
	e.rest = append(e.rest, b...)
	for len(e.rest) > 0 {
		n := e.one(e.rest)
		if n == 0 {
			break
		}
		e.rest = e.rest[n:]
	}
	return len(b), nil
}

// Text is the screen, line by line, without the spaces at their ends.
func (e *Emulator) Text() string {
	var b strings.Builder
	for _, row := range e.cells {
		b.WriteString(strings.TrimRight(strings.Join(row, ""), " ") + "\n")
	}
	return b.String()
}

// one takes one character or sequence and tells its length; 0: not all of it is there.
func (e *Emulator) one(b []byte) int {
	switch b[0] {
	case 0x1b:
		return e.escape(b)
	case '\r':
		e.col = 0
		return 1
	case '\n':
		e.down()
		return 1
	}
	if !utf8.FullRune(b) {
		return 0
	}
	r, n := utf8.DecodeRune(b)
	if r < 0x20 || r == 0x7f {
		e.Unknown = append(e.Unknown, strconv.Quote(string(r)))
		return n
	}
	e.print(string(b[:n]), text.RuneWidth(r))
	return n
}

func (e *Emulator) print(s string, width int) {
	if width == 0 {
		for at := e.col - 1; at >= 0; at-- {
			if e.cells[e.row][at] != "" {
				e.cells[e.row][at] += s
				return
			}
		}
		return
	}
	if e.col+width > e.Width {
		if e.nowrap {
			e.col = e.Width - width
		} else {
			e.col = 0
			e.down()
		}
	}
	e.cells[e.row][e.col] = s
	if width == 2 {
		e.cells[e.row][e.col+1] = ""
	}
	e.col += width
}

func (e *Emulator) down() {
	if e.row == e.end-1 {
		e.scroll(1)
		return
	}
	e.row = min(e.row+1, e.Height-1)
}

func (e *Emulator) scroll(by int) {
	for ; by > 0; by-- {
		copy(e.cells[e.top:e.end-1], e.cells[e.top+1:e.end])
		e.cells[e.end-1] = e.blank()
	}
}

func (e *Emulator) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] != '[' {
		e.Unknown = append(e.Unknown, strconv.Quote(string(b[:2])))
		return 2
	}
	for i := 2; i < len(b); i++ {
		if b[i] >= 0x40 && b[i] <= 0x7e {
			e.control(string(b[2:i]), b[i])
			return i + 1
		}
	}
	return 0
}

// control does a control sequence (ECMA-48 5.4).
func (e *Emulator) control(params string, final byte) {
	var n []int
	for p := range strings.SplitSeq(strings.TrimPrefix(params, "?"), ";") {
		v, _ := strconv.Atoi(p) // what is left out is 0
		n = append(n, v)
	}
	switch {
	case final == 'm':
	case final == 'H':
		n = append(n, 0)
		e.row, e.col = min(max(n[0], 1), e.Height)-1, min(max(n[1], 1), e.Width)-1
	case final == 'K' && n[0] == 0:
		copy(e.cells[e.row][min(e.col, e.Width):], e.blank())
	case final == 'A':
		e.row = max(e.row-max(n[0], 1), 0)
	case final == 'J' && n[0] == 0:
		copy(e.cells[e.row][min(e.col, e.Width):], e.blank())
		for i := e.row + 1; i < e.Height; i++ {
			e.cells[i] = e.blank()
		}
	case final == 'J' && n[0] == 2:
		for i := range e.cells {
			e.cells[i] = e.blank()
		}
	case final == 'S':
		e.scroll(max(n[0], 1))
	case final == 'r':
		e.region(append(n, 0))
	case final == 'h' || final == 'l':
		e.mode(params, final == 'h')
	default:
		e.Unknown = append(e.Unknown, strconv.Quote("CSI "+params+string(final)))
	}
}

func (e *Emulator) region(n []int) {
	e.top, e.end = max(n[0], 1)-1, n[1]
	if n[1] == 0 {
		e.end = e.Height
	}
	e.row, e.col = 0, 0
}

func (e *Emulator) mode(params string, on bool) {
	switch params {
	case "?1049":
		e.Alternate = on
	case "?25":
		e.CursorHidden = !on
	case "?7":
		e.nowrap = !on
	default:
		e.Unknown = append(e.Unknown, "mode "+params)
	}
}
