package plan

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"tfw/executor"
)

// Bounds of one expression.
const (
	maxExpr       = 4096    // bytes of text
	maxExprNodes  = 1000    // parts
	maxExprMemory = 100_000 // values made by one evaluation
)

// scope is what an expression sees: params, hosts, steps, matrix, host, run, env
// and the status functions.
type scope map[string]any

// expression is a compiled ${{ }} or when.
type expression struct {
	text    string
	program *vm.Program
	tree    ast.Node
	refs    []reference
	calls   map[string]bool // names of the functions it calls
	names   map[string]bool // what it mentions: params, steps, its own variables
	lets    map[string]bool // its own variables
}

// reference is a mention of steps.X, params.X ...: of is "steps", name is X, then is what follows, "outputs", and last what follows that.
type reference struct {
	of, name, then, last string
	column               int // in the expression
}

var status = []string{"success", "failure", "always", "cancelled"}

// shape is the scope with nothing in it, for the type checker.
func shape() scope {
	no := func() bool { return false }
	s := scope{boundName: newBound(maxExprTime), "env": map[string]any{}, "success": no, "failure": no, "always": no, "cancelled": no,
		"now": func() time.Time { return time.Time{} }}
	for _, name := range []string{"params", "hosts", "steps", "matrix", "host", "run"} {
		s[name] = map[string]any{}
	}
	return s
}

var functions = append(boundedFunctions(), expr.Patch(bounding{}))

// compile checks an expression. The error's text has no line: see exprColumn.
func compile(text string) (*expression, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the expression is empty")
	}
	if len(text) > maxExpr {
		return nil, fmt.Errorf("the expression is longer than %d bytes", maxExpr)
	}
	opts := append([]expr.Option{expr.Env(map[string]any(shape())), expr.MaxNodes(maxExprNodes)}, functions...)
	program, err := expr.Compile(text, opts...)
	if err != nil {
		return nil, err
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, err
	}
	x := &expression{text: text, program: program, tree: tree.Node, calls: map[string]bool{}, names: map[string]bool{}, lets: map[string]bool{}}
	ast.Walk(&tree.Node, x)
	return x, nil
}

// Visit implements ast.Visitor: it collects references and calls.
func (x *expression) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			x.calls[id.Value] = true
		}
	case *ast.VariableDeclaratorNode:
		x.lets[n.Name] = true
	case *ast.IdentifierNode:
		x.names[n.Value] = true
	case *ast.MemberNode:
		x.member(n)
	}
}

// member notes X.NAME, X.NAME.THEN and X.NAME.THEN.LAST.
func (x *expression) member(n *ast.MemberNode) {
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		return
	}
	path := []string{name.Value}
	for at := n.Node; len(path) < 4; {
		switch of := at.(type) {
		case *ast.ChainNode:
			at = of.Node
		case *ast.MemberNode:
			property, ok := of.Property.(*ast.StringNode)
			if !ok {
				return
			}
			path, at = append([]string{property.Value}, path...), of.Node
		case *ast.IdentifierNode:
			path = append(path, "", "")
			x.refs = append(x.refs, reference{of: of.Value, name: path[0], then: path[1], last: path[2], column: of.Location().From})
			return
		default:
			return
		}
	}
}

// eval evaluates within the budget.
func (x *expression) eval(env scope) (any, error) {
	got, err := x.run(env, maxExprTime)
	if err != nil {
		_, text := exprError(err)
		return nil, fmt.Errorf("${{%s}}: %s%s", x.text, text, x.lacking(env, text))
	}
	return got, nil
}

// lacking explains a nil that was taken for something: a step has no outputs before it passed somewhere.
func (x *expression) lacking(env scope, text string) string {
	steps, _ := env["steps"].(map[string]any)
	for _, r := range x.refs {
		step, ok := steps[r.name].(map[string]any)
		if r.of == "steps" && r.then == "outputs" && ok && step["outputs"] == nil && strings.Contains(text, "<nil>") {
			verdict, _ := step["verdict"].(string)
			return fmt.Sprintf(": step %s is %s and has no outputs (steps.%s.hosts.NAME.outputs are those of a host, ?. and ?? give another value)", r.name, spoken(executor.Verdict(verdict)), r.name)
		}
	}
	return ""
}

func (x *expression) run(env scope, limit time.Duration) (any, error) {
	full := shape()
	full[boundName] = newBound(limit)
	maps.Copy(full, env)
	machine := &vm.VM{MemoryBudget: maxExprMemory}
	got, err := machine.Run(x.program, map[string]any(full))
	if err != nil {
		if _, text := exprError(err); strings.HasPrefix(text, "memory budget exceeded") { // the library's own
			return nil, &tooMuch{text: fmt.Sprintf("makes more than %d values", maxExprMemory)}
		}
		return nil, err
	}
	if left := maxExprData; !weigh(got, &left) {
		return nil, &tooMuch{text: fmt.Sprintf("gives more than %d bytes", maxExprData)}
	}
	return got, nil
}

// truth evaluates a condition.
func (x *expression) truth(env scope) (bool, error) {
	got, err := x.eval(env)
	if err != nil {
		return false, err
	}
	b, ok := got.(bool)
	if !ok {
		return false, fmt.Errorf("when: %s: is not true or false", x.text)
	}
	return b, nil
}

// exprError gives the column within the expression and one line of text.
func exprError(err error) (column int, text string) {
	var at *file.Error
	if errors.As(err, &at) {
		return at.Column, strings.SplitN(at.Message, "\n", 2)[0]
	}
	return 0, strings.SplitN(err.Error(), "\n", 2)[0]
}

// decides reports whether the condition says itself what must have passed.
func (x *expression) decides() bool {
	for _, name := range status {
		if x.calls[name] {
			return true
		}
	}
	for _, r := range x.refs {
		if r.of == "steps" && r.then == "verdict" {
			return true
		}
	}
	return false
}
