package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
)

// Bounds of one evaluation, beside the library's own of the values made: without them a few nested
// predicates run for hours, and a few sums of texts fill the memory.
const (
	maxExprTurns = 100_000 // of all predicates together
	maxExprTime  = 5 * time.Second
	maxExprList  = 100_000
	maxExprData  = 8 << 20 // bytes of texts in what comes out
)

// boundName is the function that [bounding] puts around what may grow.
const boundName = "__bound"

// bounding has every turn of a predicate, and every sum that may be of texts, looked at.
type bounding struct{}

// Visit implements ast.Visitor.
func (bounding) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		ast.Patch(&n.Node, looked(n.Node))
	case *ast.BinaryNode:
		if n.Operator == "+" && !(isNumber(n.Left) && isNumber(n.Right)) {
			ast.Patch(node, looked(n))
		}
	}
}

func looked(n ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: boundName}, Arguments: []ast.Node{n}}
}

func isNumber(n ast.Node) bool {
	t := n.Type()
	if t == nil {
		return false
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// newBound makes the function for one evaluation.
func newBound(limit time.Duration) func(any) (any, error) {
	turns, begin := 0, time.Now()
	return func(v any) (any, error) {
		if turns++; turns > maxExprTurns {
			return nil, &tooMuch{text: fmt.Sprintf("goes round more than %d times", maxExprTurns)}
		}
		if turns%64 == 0 && time.Since(begin) > limit {
			return nil, &tooMuch{text: fmt.Sprintf("takes longer than %s", limit)}
		}
		switch v := v.(type) {
		case string:
			return v, fits(len(v))
		case []any:
			if len(v) > maxExprList {
				return nil, &tooMuch{text: fmt.Sprintf("a list grows beyond %d values", maxExprList)}
			}
		}
		return v, nil
	}
}

func fits(bytes int) error {
	if bytes > maxText {
		return &tooMuch{text: fmt.Sprintf("a text grows beyond %d bytes", maxText)}
	}
	return nil
}

// boundedFunctions stand in the place of those of expr that make much out of little.
func boundedFunctions() []expr.Option {
	return []expr.Option{
		expr.DisableBuiltin("repeat"), expr.Function("repeat", func(p ...any) (any, error) {
			s, n := p[0].(string), p[1].(int)
			if n < 0 || len(s) > 0 && n > maxText/len(s) {
				return nil, fits(maxText + 1)
			}
			return strings.Repeat(s, n), nil
		}, new(func(string, int) string)),
		expr.DisableBuiltin("replace"), expr.Function("replace", func(p ...any) (any, error) {
			s, old, now, n := p[0].(string), p[1].(string), p[2].(string), -1
			if len(p) > 3 {
				n = p[3].(int)
			}
			if err := fits(len(s) + strings.Count(s, old)*len(now)); err != nil {
				return nil, err
			}
			return strings.Replace(s, old, now, n), nil
		}, new(func(string, string, string) string), new(func(string, string, string, int) string)),
		expr.DisableBuiltin("join"), expr.Function("join", func(p ...any) (any, error) {
			glue := ""
			if len(p) > 1 {
				glue = p[1].(string)
			}
			return joinTexts(p[0], glue)
		}, new(func(any) string), new(func(any, string) string)),
		expr.DisableBuiltin("uniq"), expr.Function("uniq", func(p ...any) (any, error) { return uniq(p[0]) }, new(func(any) []any)),
		expr.DisableBuiltin("now"), // a plan is walked again after a restart: see scope
		expr.Function("fromJSON", func(p ...any) (any, error) {
			var v any
			err := json.Unmarshal([]byte(p[0].(string)), &v)
			return v, err
		}, new(func(string) any)),
		expr.Function("toJSON", func(p ...any) (any, error) {
			if left := maxText; !weigh(p[0], &left) {
				return nil, fits(maxText + 1)
			}
			raw, err := json.Marshal(p[0])
			return string(raw), err
		}, new(func(any) string)),
	}
}

func joinTexts(list any, glue string) (string, error) {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return "", fmt.Errorf("join: want a list of texts, got %T", list)
	}
	var b strings.Builder
	for i := range v.Len() {
		s, ok := v.Index(i).Interface().(string)
		if !ok {
			return "", fmt.Errorf("join: value %d is no text (use map(..., string(#)))", i)
		}
		if i > 0 {
			b.WriteString(glue)
		}
		b.WriteString(s)
		if err := fits(b.Len()); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// uniq keeps the first of values that are equal; the library's compares each with each.
func uniq(list any) ([]any, error) {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return nil, fmt.Errorf("uniq: want a list, got %T", list)
	}
	out, seen := []any{}, map[string]bool{}
	for i := range v.Len() {
		one := v.Index(i).Interface()
		key, err := json.Marshal(one) // 1 and 1.0 are the same
		if err != nil {
			return nil, fmt.Errorf("uniq: value %d: %w", i, err)
		}
		if !seen[string(key)] {
			seen[string(key)] = true
			out = append(out, one)
		}
	}
	return out, nil
}

// weigh takes the size of a value off what is left and reports whether it fits: one text may stand in it many times.
func weigh(v any, left *int) bool {
	*left -= 8
	switch v := v.(type) {
	case string:
		*left -= len(v)
	case []any:
		for _, one := range v {
			if *left < 0 || !weigh(one, left) {
				return false
			}
		}
	case map[string]any:
		for name, one := range v {
			if *left -= len(name); *left < 0 || !weigh(one, left) {
				return false
			}
		}
	}
	return *left >= 0
}
