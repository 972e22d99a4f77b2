package screen

import (
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Style is how a cell looks. The zero value is plain.
type Style struct {
	Colour  string // the number of an SGR colour, such as "31"; "" is the terminal's own
	Bold    bool
	Reverse bool
}

// cell is one place on the screen. The right half of a wide character is a cell without text.
type cell struct {
	text  string
	style Style
}

var blank = cell{text: " "}

// Grid is one frame. Rows and columns count from 0; what lies outside is cut off.
type Grid struct {
	width, height int
	rows          [][]cell
}

// NewGrid makes a blank frame.
func NewGrid(width, height int) *Grid {
	g := &Grid{width: max(width, 1), height: max(height, 1)}
	g.rows = make([][]cell, g.height)
	for i := range g.rows {
		g.rows[i] = make([]cell, g.width)
		g.clear(i)
	}
	return g
}

// Size tells how large the frame is.
func (g *Grid) Size() (width, height int) { return g.width, g.height }

func (g *Grid) clear(row int) {
	for i := range g.rows[row] {
		g.rows[row][i] = blank
	}
}

// Put writes text from a place on and gives the column after it. Tabs are spaces;
// control characters and bytes that are no text are shown as "?".
func (g *Grid) Put(row, col int, s string, style Style) int {
	if row < 0 || row >= g.height {
		return col
	}
	for len(s) > 0 && col < g.width {
		r, n := utf8.DecodeRuneInString(s)
		shown, size := glyph(r, n, s[:n])
		s = s[n:]
		switch {
		case size == 0:
			g.combine(row, col, shown)
			continue
		case col+size > g.width:
			return g.width
		case col >= 0:
			g.put(row, col, cell{shown, style}, size)
		}
		col += size
	}
	return col
}

// put replaces whole characters only: half of a wide one would not be seen as it is stored.
func (g *Grid) put(row, col int, c cell, size int) {
	line := g.rows[row]
	if line[col].text == "" && col > 0 {
		line[col-1] = blank
	}
	if end := col + size; end < g.width && line[end].text == "" {
		line[end] = blank
	}
	line[col] = c
	if size == 2 {
		line[col+1] = cell{style: c.style}
	}
}

// maxMarks bounds the combining characters of a cell.
const maxMarks = 32 // bytes

func (g *Grid) combine(row, col int, mark string) {
	for col--; col > 0 && g.rows[row][col].text == ""; col-- {
	}
	if col >= 0 && col < g.width && len(g.rows[row][col].text) < maxMarks {
		g.rows[row][col].text += mark
	}
}

// glyph is what is shown of a rune, and how many columns it takes.
func glyph(r rune, n int, s string) (string, int) {
	switch {
	case r == '\t':
		return " ", 1
	case r == utf8.RuneError && n == 1, unicode.IsControl(r):
		return "?", 1
	case unicode.Is(unicode.Cf, r): // joins, directions: nothing that a cell can hold
		return "", 0
	}
	return s, text.RuneWidth(r)
}

// Fill writes a style and spaces from a column to the end of the row.
func (g *Grid) Fill(row, col int, style Style) {
	for ; row >= 0 && row < g.height && col < g.width; col++ {
		g.put(row, col, cell{" ", style}, 1)
	}
}

// Text gives a row as text, without the spaces at its end; for tests and for those who copy.
func (g *Grid) Text(row int) string {
	var b []byte
	for _, c := range g.rows[row] {
		b = append(b, c.text...)
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return string(b)
}
