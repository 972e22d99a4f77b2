package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// looksLikeJSON is true for data that begins as a JSON object or list.
func looksLikeJSON(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) < 2 || data[0] != '{' && data[0] != '[' {
		return false
	}
	data = bytes.TrimLeft(data[1:], " \t\r\n")
	return len(data) > 0 && (data[0] == '"' || data[0] == '}' || data[0] == '{' || data[0] == '[')
}

// parseJSON reads JSON strictly as JSON: YAML differs in \u pairs and \/.
// ok is false when the data is no JSON after all and YAML is to be tried.
func parseJSON(src *source, rep *report) (root *yaml.Node, ok bool) {
	if !json.Valid(src.data) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(src.data))
	dec.UseNumber()
	b := &jsonTree{src: src, dec: dec}
	root, err := b.value(0)
	if errors.Is(err, errDepth) {
		rep.errorf(src.place(int(dec.InputOffset())), "nest less deeply", "nested deeper than %d levels", maxDepth)
		return nil, true
	}
	return root, err == nil
}

var errDepth = errors.New("nested too deeply")

type jsonTree struct {
	src       *source
	dec       *json.Decoder
	line, off int // lines counted up to byte off
	start     int // offset of the first byte of that line
}

// node makes a node that stands where the next token begins.
func (b *jsonTree) node(kind yaml.Kind) *yaml.Node {
	off := int(b.dec.InputOffset())
	for off < len(b.src.data) && bytes.IndexByte([]byte(" \t\r\n,:"), b.src.data[off]) >= 0 {
		off++
	}
	for ; b.off < off; b.off++ {
		if b.src.data[b.off] == '\n' {
			b.line, b.start = b.line+1, b.off+1
		}
	}
	return &yaml.Node{Kind: kind, Line: b.line + 1, Column: off - b.start + 1}
}

func (b *jsonTree) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	n := b.node(yaml.ScalarNode)
	tok, err := b.dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := tok.(type) {
	case json.Delim:
		return n, b.children(n, v, depth)
	case string:
		n.Tag, n.Value, n.Style = "!!str", v, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!float", v.String()
		if _, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(v)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

func (b *jsonTree) children(n *yaml.Node, open json.Delim, depth int) error {
	n.Kind, n.Tag = yaml.MappingNode, "!!map"
	if open == '[' {
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	}
	for b.dec.More() {
		c, err := b.value(depth + 1)
		if err != nil {
			return err
		}
		n.Content = append(n.Content, c)
	}
	_, err := b.dec.Token()
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
