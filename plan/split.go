package plan

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// split cuts a text into plain pieces and ${{ expressions }}. A "}}" inside a
// quoted string of the expression does not end it.
func split(text string) (pieces []piece, unclosed int) {
	at := 0
	for {
		open := strings.Index(text[at:], "${{")
		if open < 0 {
			break
		}
		open += at
		end := closing(text[open+3:])
		if end < 0 {
			return pieces, open
		}
		if open > at {
			pieces = append(pieces, piece{text: text[at:open], offset: at})
		}
		pieces = append(pieces, piece{text: text[open+3 : open+3+end], offset: open + 3, expr: true})
		at = open + 3 + end + 2
	}
	if at < len(text) {
		pieces = append(pieces, piece{text: text[at:], offset: at})
	}
	return pieces, -1
}

type piece struct {
	text   string
	offset int // in bytes
	expr   bool
}

// closing finds the "}}" that ends an expression, or -1.
func closing(text string) int {
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '}' && strings.HasPrefix(text[i:], "}}"):
			// a map literal may end right before: {a: 1}}}
			if strings.HasPrefix(text[i:], "}}}") && strings.Count(text[:i], "{") > strings.Count(text[:i], "}") {
				continue
			}
			return i
		}
	}
	return -1
}

// templateOf compiles the expressions of a string node, or gives its text.
func (r *reader) templateOf(n *yaml.Node, text string) value {
	if !strings.Contains(text, "${{") {
		return text
	}
	pieces, unclosed := split(text)
	if unclosed >= 0 {
		r.errorAt(n, unclosed, "close it with }}", "${{ is not closed")
		return text
	}
	t := &template{at: n}
	for _, p := range pieces {
		if !p.expr {
			t.parts = append(t.parts, part{text: p.text})
			continue
		}
		if x := r.expression(n, p.text, p.offset); x != nil {
			t.parts = append(t.parts, part{expr: x, offset: p.offset})
		}
	}
	return t
}

// expression compiles, or reports what is wrong where.
func (r *reader) expression(n *yaml.Node, text string, offset int) *expression {
	x, err := compile(text)
	if err != nil {
		column, message := exprError(err)
		r.errorAt(n, offset+column, "expressions know params, hosts, steps, matrix, host, run and env", "in the expression: %s", message)
		return nil
	}
	return x
}
