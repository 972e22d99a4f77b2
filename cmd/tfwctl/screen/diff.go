package screen

import (
	"slices"
	"strconv"
)

// painter writes the difference of two frames.
type painter struct {
	out      []byte
	row, col int // where the cursor is; -1: unknown
	style    Style
	colours  bool
}

// diff gives what turns one frame into another of the same size. With from nil the screen is drawn anew.
// The rows of scrolls may have moved up as a whole, as a log does.
func diff(from, to *Grid, scroll Rows, colours bool) []byte {
	p := &painter{row: -1, colours: colours}
	if from == nil || from.width != to.width || from.height != to.height {
		p.out = append(p.out, "\x1b[0m\x1b[2J"...)
		from = NewGrid(to.width, to.height)
	} else {
		from = p.scrolled(from, to, scroll)
	}
	for i := range to.rows {
		p.line(i, from.rows[i], to.rows[i])
	}
	if p.style != (Style{}) {
		p.out = append(p.out, "\x1b[0m"...)
	}
	return p.out
}

// Rows are the rows from First up to, but not including, End.
type Rows struct{ First, End int }

// scrolled moves rows up on the terminal when that leaves less to draw.
func (p *painter) scrolled(from, to *Grid, rows Rows) *Grid {
	height := rows.End - rows.First
	if rows.First < 0 || rows.End > to.height || height < 3 {
		return from
	}
	by := shift(from.rows[rows.First:rows.End], to.rows[rows.First:rows.End])
	if by == 0 {
		return from
	}
	p.sequence("\x1b[", rows.First+1, ";", rows.End, "r\x1b[", by, "S\x1b[r")
	p.row = -1
	moved := &Grid{width: from.width, height: from.height, rows: slices.Clone(from.rows)}
	copy(moved.rows[rows.First:], from.rows[rows.First+by:rows.End])
	for i := rows.End - by; i < rows.End; i++ {
		moved.rows[i] = slices.Repeat([]cell{blank}, from.width)
	}
	return moved
}

// shift is how many rows the content moved up, 0 when drawing it anew is as good.
func shift(from, to [][]cell) int {
	best, most := 0, same(from, to)+1
	for by := 1; by < len(from); by++ {
		if n := same(from[by:], to); n > most {
			best, most = by, n
		}
	}
	return best
}

// same counts the rows that are alike and not blank.
func same(from, to [][]cell) int {
	n := 0
	for i := range from {
		if end(from[i]) > 0 && slices.Equal(from[i], to[i]) {
			n++
		}
	}
	return n
}

// end is the column after the last cell that is not blank.
func end(line []cell) int {
	i := len(line)
	for i > 0 && line[i-1] == blank {
		i--
	}
	return i
}

// near is the gap that is cheaper to write again than to jump over.
const near = 5

func (p *painter) line(row int, from, to []cell) {
	last := end(to)
	for col := 0; col < len(to); col++ {
		if from[col] == to[col] || to[col].text == "" {
			continue
		}
		if col >= last { // nothing but blanks is left
			p.move(row, col, to)
			p.wear(Style{})
			p.out = append(p.out, "\x1b[K"...)
			return
		}
		p.move(row, col, to)
		p.write(to[col])
		if col+1 < len(to) && to[col+1].text == "" {
			p.col++
		}
	}
}

// move brings the cursor to a place, over a small gap by writing what is there.
func (p *painter) move(row, col int, line []cell) {
	if p.row == row && p.col == col {
		return
	}
	gap := col - p.col
	if p.row == row && gap > 0 && gap <= near && alike(line[p.col:col], p.style) {
		for _, c := range line[p.col:col] {
			p.out = append(p.out, c.text...)
		}
	} else {
		p.sequence("\x1b[", row+1, ";", col+1, "H")
	}
	p.row, p.col = row, col
}

func alike(cells []cell, style Style) bool {
	return !slices.ContainsFunc(cells, func(c cell) bool { return c.style != style || len(c.text) != 1 })
}

func (p *painter) write(c cell) {
	p.wear(c.style)
	p.out = append(p.out, c.text...)
	p.col++
}

// wear changes the style of what is written next.
func (p *painter) wear(s Style) {
	if !p.colours {
		s.Colour = ""
	}
	if s == p.style {
		return
	}
	p.style = s
	p.out = append(p.out, "\x1b[0"...)
	if s.Bold {
		p.out = append(p.out, ";1"...)
	}
	if s.Reverse {
		p.out = append(p.out, ";7"...)
	}
	if s.Colour != "" {
		p.out = append(append(p.out, ';'), s.Colour...)
	}
	p.out = append(p.out, 'm')
}

func (p *painter) sequence(parts ...any) {
	for _, part := range parts {
		switch v := part.(type) {
		case string:
			p.out = append(p.out, v...)
		case int:
			p.out = strconv.AppendInt(p.out, int64(v), 10)
		}
	}
}
