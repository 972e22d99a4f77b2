package inventory

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// iniValue is the value of a variable in an INI inventory. Ansible takes what
// Python reads as a literal (42, True, 'text', [1, 2], {'a': 1}, also 80,443) for
// that, and anything else for text as it stands: true, yes and 010 are text.
func iniValue(text string) *yaml.Node {
	l := &literal{s: text}
	if n := l.whole(); n != nil {
		return n
	}
	return textNode(text)
}

func textNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.SingleQuotedStyle, Value: s}
}

// literal reads one Python literal. Every method returns nil for what is none.
type literal struct {
	s     string
	i     int
	depth int
}

func (l *literal) space() {
	for l.i < len(l.s) && strings.IndexByte(" \t\f", l.s[l.i]) >= 0 {
		l.i++
	}
}

// next skips space and takes c when it comes now.
func (l *literal) next(c byte) bool {
	l.space()
	if l.i < len(l.s) && l.s[l.i] == c {
		l.i++
		return true
	}
	return false
}

func (l *literal) whole() *yaml.Node {
	n := l.list(0)
	if n == nil || l.i < len(l.s) && l.s[l.i] != '#' {
		return nil
	}
	return n
}

// list reads values up to the closing byte, or the end of the text for 0. One
// value without a comma is itself, but for a list in brackets.
func (l *literal) list(shut byte) *yaml.Node {
	seq := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	comma := false
	for {
		l.space()
		if over := l.i >= len(l.s) || l.s[l.i] == '#'; over || shut != 0 && l.s[l.i] == shut {
			if over != (shut == 0) || len(seq.Content) == 0 && (comma || shut == 0) {
				return nil
			}
			if shut != 0 {
				l.i++
			}
			break
		}
		if len(seq.Content) > 0 && !comma {
			return nil
		}
		n := l.value()
		if n == nil {
			return nil
		}
		seq.Content = append(seq.Content, n)
		comma = l.next(',')
		l.space()
	}
	if len(seq.Content) == 1 && !comma && shut != ']' {
		return seq.Content[0]
	}
	return seq
}

func (l *literal) value() *yaml.Node {
	l.space()
	if l.depth++; l.i >= len(l.s) || l.depth > maxDepth {
		return nil
	}
	defer func() { l.depth-- }()
	switch c := l.s[l.i]; {
	case c == '[':
		l.i++
		return l.list(']')
	case c == '(':
		l.i++
		return l.list(')')
	case c == '{':
		l.i++
		return l.dict()
	case c == '"' || c == '\'':
		return l.strings()
	case c == '+' || c == '-' || c == '.' || c >= '0' && c <= '9':
		return l.number()
	}
	return l.word()
}

func (l *literal) word() *yaml.Node {
	for word, n := range map[string]yaml.Node{"True": {Tag: "!!bool", Value: "true"}, "False": {Tag: "!!bool", Value: "false"}, "None": {Tag: "!!null", Value: "null"}} {
		rest, ok := strings.CutPrefix(l.s[l.i:], word)
		if ok && (rest == "" || strings.IndexByte(" \t\f,]})#:", rest[0]) >= 0) {
			l.i += len(word)
			n.Kind = yaml.ScalarNode
			return &n
		}
	}
	return nil
}

// dict reads {'key': value}, or a set, which becomes a list.
func (l *literal) dict() *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	set := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	comma := true
	for !l.next('}') {
		k := l.value()
		if k == nil || !comma {
			return nil
		}
		if l.next(':') {
			v := l.value()
			if v == nil || k.Kind != yaml.ScalarNode || len(set.Content) > 0 {
				return nil
			}
			m.Content = replaced(m.Content, k, v)
		} else {
			set.Content = append(set.Content, k)
		}
		comma = l.next(',')
	}
	switch {
	case len(set.Content) > 0 && len(m.Content) > 0:
		return nil
	case len(set.Content) > 0:
		return set
	}
	return m
}

// replaced puts a key into a map; of two the later one counts.
func replaced(content []*yaml.Node, k, v *yaml.Node) []*yaml.Node {
	for i := 0; i < len(content); i += 2 {
		if content[i].Value == k.Value {
			content[i+1] = v
			return content
		}
	}
	return append(content, k, v)
}

// number reads an integer of any base, or a float, with its sign.
func (l *literal) number() *yaml.Node {
	start := l.i
	for l.i < len(l.s) && strings.IndexByte("+- \t", l.s[l.i]) >= 0 {
		l.i++
	}
	sign := strings.NewReplacer(" ", "", "\t", "", "+", "").Replace(l.s[start:l.i])
	minus := ""
	if len(sign)%2 == 1 {
		minus = "-"
	}
	begin := l.i
	for l.i < len(l.s) && (isWordByte(l.s[l.i]) || l.s[l.i] == '.' || strings.IndexByte("+-", l.s[l.i]) >= 0 && strings.IndexByte("eE", l.s[l.i-1]) >= 0 && !strings.HasPrefix(l.s[begin:], "0x")) {
		l.i++
	}
	digits := l.s[begin:l.i]
	if digits == "" {
		return nil
	}
	if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0_") != "" && strings.Trim(digits, "0123456789_") == "" {
		return nil // 010 is no number in Python
	}
	if i, ok := new(big.Int).SetString(digits, 0); ok && i.IsInt64() {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: minus + i.String()}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(digits, "_", ""), 64)
	if err != nil || strings.ContainsAny(digits, "xXpPnNiI") || strings.Contains(digits, "__") || strings.Trim(digits, "_") != digits {
		return nil
	}
	s := minus + strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: s}
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// strings reads quoted strings; several beside one another are one.
func (l *literal) strings() *yaml.Node {
	var b strings.Builder
	for {
		l.space()
		if l.i >= len(l.s) || l.s[l.i] != '"' && l.s[l.i] != '\'' {
			return textNode(b.String())
		}
		if !l.quoted(&b) {
			return nil
		}
	}
}

func (l *literal) quoted(b *strings.Builder) bool {
	quote := l.s[l.i]
	for l.i++; l.i < len(l.s); l.i++ {
		switch c := l.s[l.i]; {
		case c == quote:
			l.i++
			return true
		case c == '\\' && l.i+1 < len(l.s):
			l.i++
			if !l.escape(b) {
				return false
			}
		default:
			b.WriteByte(c)
		}
	}
	return false
}

// escape reads what follows a backslash; an escape that Python does not know stays as it is.
func (l *literal) escape(b *strings.Builder) bool {
	c := l.s[l.i]
	if plain := strings.IndexByte(`\'"abfnrtv`, c); plain >= 0 {
		b.WriteByte("\\'\"\a\b\f\n\r\t\v"[plain])
		return true
	}
	wide := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	switch {
	case c == 'N' || c >= '0' && c <= '7':
		return false // names of characters and octals: not met in inventories
	case wide == 0:
		b.WriteString(`\` + string(c))
		return true
	case l.i+wide >= len(l.s):
		return false
	}
	n, err := strconv.ParseUint(l.s[l.i+1:l.i+1+wide], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return false
	}
	b.WriteRune(rune(n))
	l.i += wide
	return true
}
