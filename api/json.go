package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

const maxJSONDepth = 64

// strictJSON reads bodies as strictly as a person would wish on a bad day: one
// value, no name twice, UTF-8 only, bounded depth, and faults told by line and column.
var strictJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	},
	Unmarshal: func(data []byte, v any) error {
		// huma decodes twice, first without a type: once is enough to check.
		if _, first := v.(*any); first {
			if err := checkJSON(data); err != nil {
				return err
			}
		}
		return wordJSONError(data, json.Unmarshal(data, v))
	},
}

func encode(b *bytes.Buffer, v any) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // of our own types, into memory: it does not fail
}

// checkJSON refuses what encoding/json lets pass.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("is not UTF-8 (%s)", place(data, invalidUTF8(data)))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkNames(dec, data); err != nil {
		return wordJSONError(data, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("holds more after the end of its JSON value (%s)", place(data, dec.InputOffset()))
	}
	return nil
}

// checkNames walks one value, without recursion.
func checkNames(dec *json.Decoder, data []byte) error {
	type level struct {
		names map[string]bool // nil in an array
		value bool            // a value follows, not a name
	}
	var open []level
	for {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		top := len(open) - 1
		name, isText := tok.(string)
		switch {
		case tok == json.Delim('}') || tok == json.Delim(']'):
			open = open[:top]
		case top >= 0 && open[top].names != nil && !open[top].value && isText:
			if open[top].names[name] {
				return fmt.Errorf("has the name %q twice in one object (%s)", shorten(name), place(data, dec.InputOffset()))
			}
			open[top].names[name], open[top].value = true, true
			continue
		case tok == json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case tok == json.Delim('['):
			open = append(open, level{})
		}
		if len(open) > maxJSONDepth {
			return fmt.Errorf("is nested deeper than %d levels (%s)", maxJSONDepth, place(data, dec.InputOffset()))
		}
		if len(open) == 0 {
			return nil
		}
		// What just ended was the value of the enclosing object's name.
		if opened := len(open)-1 > top; !opened {
			open[len(open)-1].value = false
		}
	}
}

// wordJSONError says where, and never what the value was.
func wordJSONError(data []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("is not JSON: it ends too early (%s)", place(data, int64(len(data))))
	case errors.As(err, &syntax):
		return fmt.Errorf("is not JSON: %w (%s)", err, place(data, syntax.Offset))
	case errors.As(err, &kind) && kind.Field == "": // huma's first look, without a type
		return fmt.Errorf("holds a %s that cannot be kept: is it too large? (%s)", strings.SplitN(kind.Value, " ", 2)[0], place(data, kind.Offset))
	case errors.As(err, &kind):
		return fmt.Errorf("%s: got %s, want %s (%s)", kind.Field, strings.SplitN(kind.Value, " ", 2)[0], kind.Type, place(data, kind.Offset))
	}
	return err
}

// place is an offset as line and column.
func place(data []byte, offset int64) string {
	before := data[:min(max(offset-1, 0), int64(len(data)))]
	line := bytes.Count(before, []byte("\n"))
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Sprintf("line %d, column %d", line+1, column+1)
}

func invalidUTF8(data []byte) int64 {
	at := 0
	for at < len(data) {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return int64(at) + 1
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
