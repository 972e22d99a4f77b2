package inventory

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/parser"
	"go.yaml.in/yaml/v3"
)

// Bounds that keep a hostile file cheap. The numbers leave a file of 100,000
// hosts with ten settings each well inside.
const (
	maxDepth   = 64      // levels of nesting
	maxVisits  = 3000000 // nodes looked at, counting what aliases repeat
	maxMarks   = 4000000 // characters that begin something in YAML
	locateSize = 64 << 10
)

// parseTree reads YAML (or JSON, which is nearly YAML) into a tree that knows
// where everything stands. It returns nil and reports when that fails.
//
// The tree is go.yaml.in/yaml/v3's: it reads 50,000 hosts as keys of one map in
// 0.2 s and 90 MB. The parser of goccy/go-yaml needs 6 s and 10 GB for the same
// (its maps are quadratic), but says better where a syntax error is: it is
// asked only then, and only for small files.
func parseTree(src *source, rep *report) *yaml.Node {
	if !plausible(src, rep) {
		return nil
	}
	if looksLikeJSON(src.data) {
		if root, ok := parseJSON(src, rep); ok {
			return root
		}
	}
	data, masked := maskRanges(src.data)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if len(bytes.TrimSpace(src.data)) == 0 || err.Error() == "EOF" {
			rep.errorf(src.at(0, 0), "begin with `version: 1` and a `hosts:` map", "the file is empty")
			return nil
		}
		syntaxError(src, data, rep, err)
		return nil
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		rep.errorf(src.at(second.Line, max(1, second.Column)), "keep one document: remove the `---` line above", "a second YAML document")
		return nil
	} else if err.Error() != "EOF" {
		syntaxError(src, data, rep, err)
		return nil
	}
	if len(doc.Content) == 0 {
		rep.errorf(src.at(0, 0), "begin with `version: 1` and a `hosts:` map", "the file is empty")
		return nil
	}
	if masked {
		unmask(doc.Content[0])
	}
	return doc.Content[0]
}

// plausible refuses what is no text, before a parser sees it.
func plausible(src *source, rep *report) bool {
	if len(src.data) > maxFile {
		rep.errorf(src.at(0, 0), "fold hosts into ranges such as dut[01-24], or split it with include:", "larger than %d MiB", maxFile>>20)
		return false
	}
	if i := bytes.IndexByte(src.data, 0); i >= 0 {
		rep.errorf(src.place(i), "save the file as UTF-8 text", "a NUL byte: this is not a text file")
		return false
	}
	if i := invalidUTF8(src.data); i >= 0 {
		rep.errorf(src.place(i), "save the file as UTF-8", "a byte that is not UTF-8 (0x%02x)", src.data[i])
		return false
	}
	marks := 0
	for _, c := range src.data {
		switch c {
		case ':', ',', '-', '[', '{', '&', '*', '!', '?':
			marks++
		case '#':
			marks += 4 // the parser keeps comments, and pays for each
		}
	}
	if marks > maxMarks {
		rep.errorf(src.at(0, 0), "fold hosts into ranges such as dut[01-24], or split the file with include:", "too many items to be an inventory of 100,000 hosts")
		return false
	}
	return true
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// syntaxError places and words what the YAML parser did not understand.
func syntaxError(src *source, data []byte, rep *report, err error) {
	line, message := 1, err.Error()
	if m := lineOf.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi("0" + m[1])
		line, message = max(1, line), m[2]
	}
	if at, ok := tabIndent(src, line); ok {
		rep.errorf(at, "indent with spaces", "a tab in the indentation: YAML allows spaces only")
		return
	}
	at := src.at(line, 1+indentOf(src.text(line)))
	if len(data) <= locateSize && !nested(data) {
		if _, perr := parser.ParseBytes(data, 0); perr != nil {
			at, message = goccyError(src, at, message, perr)
		}
	}
	rep.errorf(at, syntaxFix(message, src.text(at.line)), "not valid YAML: %s", message)
}

// nested is true for more open brackets than anything that is worth a second look.
func nested(data []byte) bool {
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > 4*maxDepth {
				return true
			}
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return false
}

var goccyHead = regexp.MustCompile(`^\[(\d+):(\d+)\] ([^\n]*)`)

func goccyError(src *source, at position, message string, err error) (position, string) {
	m := goccyHead.FindStringSubmatch(err.Error())
	if m == nil {
		return at, message
	}
	line, _ := strconv.Atoi(m[1])
	col, _ := strconv.Atoi(m[2])
	return src.at(line, max(1, col)), restoreRanges(m[3])
}

// tabIndent looks for a tab in the indentation from the line before the one
// that the parser named to the one after.
func tabIndent(src *source, line int) (position, bool) {
	for n := max(1, line-1); n <= line+1; n++ {
		text := src.text(n)
		lead := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if i := strings.IndexByte(lead, '\t'); i >= 0 && strings.TrimSpace(text) != "" {
			return src.at(n, i+1), true
		}
	}
	return position{}, false
}

func indentOf(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }

func syntaxFix(message, text string) string {
	if strings.HasPrefix(text, "<<<<<<<") || strings.HasPrefix(text, "=======") || strings.HasPrefix(text, ">>>>>>>") {
		return "a merge of git left its marks here: keep one side and remove them"
	}
	if strings.HasPrefix(strings.TrimSpace(text), "[") && strings.HasSuffix(strings.TrimSpace(text), "]") {
		return "in an INI inventory a section is [group], [group:vars] or [group:children]; in YAML a list needs `key:` before it"
	}
	switch {
	case strings.Contains(message, "anchor"):
		return "define the anchor (&name) above its use"
	case strings.Contains(message, "cannot start any token"), strings.Contains(message, "@"), strings.Contains(message, "`"):
		return "put the value in quotes"
	case strings.Contains(message, "mapping value"):
		return "put a value that contains `: ` in quotes, or check the indentation"
	case strings.Contains(message, "max depth"):
		return "nest less deeply"
	}
	return "check the indentation, the quotes and the brackets on and above this line"
}

// Host ranges such as dut[01-24] may stand unquoted inside {...} and [...],
// where YAML itself ends a plain word at a bracket. Such a bracket, glued to a
// word, is never valid YAML there, so nothing else can be meant: before
// parsing, its three characters are replaced one for one (columns stay true)
// by private-use ones and put back afterwards.
const maskOpen, maskComma, maskClose = '\uf8d0', '\uf8d1', '\uf8d2'

var gluedRange = regexp.MustCompile(`[0-9A-Za-z_.\-](?:\[[0-9A-Za-z,:/\-]+\])+`)

func maskRanges(data []byte) ([]byte, bool) {
	if !bytes.ContainsRune(data, '[') || bytes.ContainsAny(data, string([]rune{maskOpen, maskComma, maskClose})) {
		return data, false
	}
	toMask := strings.NewReplacer("[", string(maskOpen), ",", string(maskComma), "]", string(maskClose))
	masked := gluedRange.ReplaceAllFunc(data, func(m []byte) []byte { return []byte(toMask.Replace(string(m))) })
	return masked, len(masked) != len(data)
}

var fromMask = strings.NewReplacer(string(maskOpen), "[", string(maskComma), ",", string(maskClose), "]")

func restoreRanges(s string) string { return fromMask.Replace(s) }

func unmask(n *yaml.Node) {
	if strings.ContainsRune(n.Value, maskOpen) {
		n.Value = restoreRanges(n.Value)
	}
	for _, c := range n.Content {
		unmask(c)
	}
}

// kindName says what a node is, in the words of a person.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "nothing"
		case "!!bool":
			return "true or false (" + n.Value + ")"
		case "!!int", "!!float":
			return "the number " + n.Value
		}
		return quoted(n.Value)
	}
	return fmt.Sprintf("kind %d", n.Kind)
}
