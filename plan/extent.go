package plan

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/expr-lang/expr/ast"
)

// Bounds of a look at an expression before it is run.
const (
	maxExprLoops  = 5           // predicates within predicates
	maxCheckTime  = time.Second // the bounds above take a tenth of it
	checkPatience = time.Second // for all expressions of a plan together
)

// tooMuch is why an expression is refused or ended: one of the bounds above.
type tooMuch struct {
	text   string
	column int // of what grows, where the text alone tells
}

func (t *tooMuch) Error() string { return t.text }

// extent is what can be told of a value without evaluating: how long a text or list is at
// least, the number itself. The zero extent is anything.
type extent struct {
	kind   byte // 't' text, 'n' number, 'l' list, 0 anything
	size   float64
	of     *extent // the values of a list
	number float64 // of a number that is known
	known  any     // a value that is known as a whole
}

// weight is the size of everything in it, as [weigh] counts.
func (x extent) weight() float64 {
	switch {
	case x.kind == 't':
		return 8 + x.size
	case x.kind == 'l' && x.of != nil:
		return 8 + x.size*x.of.weight()
	}
	return 8
}

// extentOf measures a value.
func extentOf(v any) extent {
	switch v := v.(type) {
	case string:
		return extent{kind: 't', size: float64(len(v)), known: v}
	case []any:
		list := extent{kind: 'l', size: float64(len(v)), known: v}
		for _, one := range v {
			list.of = larger(list.of, extentOf(one))
		}
		return list
	}
	if f, ok := asNumber(v); ok {
		return extent{kind: 'n', number: f, known: v}
	}
	return extent{known: v}
}

// larger keeps the worse of two: what takes more room, or the greater number.
func larger(a *extent, b extent) *extent {
	if a == nil || b.weight() > a.weight() || b.weight() == a.weight() && b.number > a.number {
		return &b
	}
	return a
}

// gauge walks an expression and adds up what evaluating it would take at the least, whatever is not
// known being small. Both sides of a condition count: a bomb in either is one.
type gauge struct {
	env    scope // what is known already
	lets   map[string]extent
	items  []extent // # of the predicates around
	accs   []extent // #acc of the reduces around
	times  float64  // how often the node at hand is evaluated
	turns  float64
	values float64
	visits int
	over   *tooMuch
}

// measure refuses an expression that cannot be evaluated within its bounds, going by its text and
// what is known. One that needs nothing else is evaluated, as far as patience lasts.
func (x *expression) measure(env scope, patience *time.Duration) *tooMuch {
	g := &gauge{env: env, lets: map[string]extent{}, times: 1}
	if whole := g.look(x.tree); g.over == nil && whole.weight() > maxExprData {
		g.refuse(x.tree, "gives more than %d bytes", maxExprData)
	}
	if g.over != nil || !x.closed(env) || *patience <= 0 {
		return g.over
	}
	began := time.Now()
	_, err := x.run(env, maxCheckTime)
	*patience -= time.Since(began)
	var over *tooMuch
	if errors.As(err, &over) {
		return over
	}
	return nil // any other error is for the run to tell: the step may be skipped
}

// closed reports whether the expression needs nothing that is not known.
func (x *expression) closed(env scope) bool {
	for name := range x.names {
		if _, known := env[name]; !known && !x.lets[name] || name == "matrix" {
			return false
		}
	}
	params, _ := env["params"].(map[string]any)
	for _, r := range x.refs {
		if _, known := params[r.name]; r.of == "params" && !known {
			return false
		}
	}
	return len(x.calls) == 0
}

func (g *gauge) refuse(at ast.Node, format string, args ...any) {
	if g.over == nil {
		g.over = &tooMuch{text: fmt.Sprintf(format, args...), column: at.Location().From}
	}
}

// made counts values that one evaluation makes.
func (g *gauge) made(at ast.Node, n float64) {
	if g.values += g.times * n; g.values >= maxExprMemory {
		g.refuse(at, "makes more than %d values", maxExprMemory)
	}
}

func (g *gauge) text(at ast.Node, size float64) extent {
	if size > maxText {
		g.refuse(at, "a text grows beyond %d bytes", maxText)
	}
	return extent{kind: 't', size: size}
}

func (g *gauge) list(at ast.Node, size float64, of *extent) extent {
	if size > maxExprList {
		g.refuse(at, "a list grows beyond %d values", maxExprList)
	}
	return extent{kind: 'l', size: size, of: of}
}

func (g *gauge) look(node ast.Node) extent {
	if g.visits++; g.visits > 50*maxExprNodes {
		g.refuse(node, "is too involved: predicates within predicates")
	}
	if g.over != nil {
		return extent{}
	}
	switch n := node.(type) {
	case *ast.IntegerNode:
		return extent{kind: 'n', number: float64(n.Value)}
	case *ast.FloatNode:
		return extent{kind: 'n', number: n.Value}
	case *ast.StringNode:
		return extent{kind: 't', size: float64(len(n.Value)), known: n.Value}
	case *ast.UnaryNode:
		x := g.look(n.Node)
		if n.Operator == "-" {
			x.number, x.known = -x.number, nil
		}
		return x
	case *ast.BinaryNode:
		return g.binary(n)
	case *ast.ConditionalNode:
		g.look(n.Cond)
		a := g.look(n.Exp1)
		return *larger(&a, g.look(n.Exp2))
	case *ast.VariableDeclaratorNode:
		before, was := g.lets[n.Name]
		g.lets[n.Name] = g.look(n.Value)
		x := g.look(n.Expr)
		if delete(g.lets, n.Name); was {
			g.lets[n.Name] = before
		}
		return x
	case *ast.SequenceNode:
		return g.last(n.Nodes)
	case *ast.ArrayNode:
		return g.array(n)
	case *ast.MapNode:
		g.made(n, float64(len(n.Pairs)))
		g.last(n.Pairs)
	case *ast.PairNode:
		g.look(n.Key)
		g.look(n.Value)
	case *ast.ChainNode:
		return g.look(n.Node)
	case *ast.SliceNode:
		return g.slice(n)
	case *ast.PredicateNode:
		return g.look(n.Node)
	case *ast.IdentifierNode:
		if x, ok := g.lets[n.Value]; ok {
			return x
		}
		return extentOf(g.env[n.Value])
	case *ast.MemberNode:
		return g.member(n)
	case *ast.PointerNode:
		return g.pointer(n)
	case *ast.CallNode:
		g.last(n.Arguments)
	case *ast.BuiltinNode:
		return g.builtin(n)
	}
	return extent{}
}

// last looks at all of them and gives the last one.
func (g *gauge) last(nodes []ast.Node) (x extent) {
	for _, n := range nodes {
		x = g.look(n)
	}
	return x
}

func (g *gauge) array(n *ast.ArrayNode) extent {
	g.made(n, float64(len(n.Nodes)))
	var of *extent
	for _, one := range n.Nodes {
		of = larger(of, g.look(one))
	}
	return extent{kind: 'l', size: float64(len(n.Nodes)), of: of}
}

func (g *gauge) slice(n *ast.SliceNode) extent {
	x := g.look(n.Node)
	x.known = nil
	if n.From != nil {
		g.look(n.From)
	}
	if n.To != nil {
		if to := g.look(n.To); to.kind == 'n' && to.number >= 0 {
			x.size = min(x.size, to.number)
		}
	}
	return x
}

func (g *gauge) pointer(n *ast.PointerNode) extent {
	around := g.items
	switch n.Name {
	case "index":
		return extent{kind: 'n'}
	case "acc":
		around = g.accs
	}
	if len(around) == 0 {
		return extent{}
	}
	return around[len(around)-1]
}

// member follows what is known, such as params.NAME.
func (g *gauge) member(n *ast.MemberNode) extent {
	in, name := g.look(n.Node), g.look(n.Property)
	if m, ok := in.known.(map[string]any); ok {
		if key, ok := name.known.(string); ok {
			return extentOf(m[key])
		}
	}
	if in.kind == 'l' && in.of != nil {
		return *in.of
	}
	return extent{}
}

func (g *gauge) binary(n *ast.BinaryNode) extent {
	a, b := g.look(n.Left), g.look(n.Right)
	switch n.Operator {
	case "..":
		size := b.number - a.number + 1
		if a.kind != 'n' || b.kind != 'n' || size < 0 {
			size = 0
		}
		g.made(n, size)
		return extent{kind: 'l', size: size, of: larger(&a, b)}
	case "+":
		if a.kind == 't' || b.kind == 't' {
			return g.text(n, a.size*is(a, 't')+b.size*is(b, 't'))
		}
	case "in":
		if b.kind == 'l' {
			g.turn(n, b.size/1000) // a quick turn
		}
		return extent{}
	case "??":
		return *larger(&a, b)
	}
	if a.kind == 'n' && b.kind == 'n' {
		return arithmetic(n.Operator, a.number, b.number)
	}
	return extent{}
}

func is(x extent, kind byte) float64 {
	if x.kind == kind {
		return 1
	}
	return 0
}

func arithmetic(operator string, a, b float64) extent {
	x := extent{kind: 'n'}
	switch operator {
	case "+":
		x.number = a + b
	case "-":
		x.number = a - b
	case "*":
		x.number = a * b
	case "**", "^":
		x.number = math.Pow(a, b)
	case "/", "%":
	default:
		return extent{} // a comparison
	}
	return x
}

// turn counts rounds of a predicate.
func (g *gauge) turn(at ast.Node, n float64) {
	if g.turns += g.times * n; g.turns > maxExprTurns {
		g.refuse(at, "goes round more than %d times", maxExprTurns)
	}
}

func (g *gauge) builtin(n *ast.BuiltinNode) extent {
	if len(n.Arguments) > 1 {
		if _, loops := n.Arguments[1].(*ast.PredicateNode); loops {
			return g.loop(n)
		}
	}
	args := make([]extent, len(n.Arguments))
	for i, a := range n.Arguments {
		args[i] = g.look(a)
	}
	if g.over != nil || len(args) == 0 {
		return extent{}
	}
	first := args[0]
	switch n.Name {
	case "repeat":
		if len(args) > 1 && first.kind == 't' {
			return g.text(n, first.size*max(args[1].number, 0))
		}
	case "join":
		glue := 0.0
		if len(args) > 1 {
			glue = args[1].size
		}
		if first.kind == 'l' && first.of != nil {
			return g.text(n, first.size*first.of.size+max(first.size-1, 0)*glue)
		}
	case "toJSON", "string":
		return g.text(n, max(first.weight()-8, 0)*(1-is(first, 0)))
	case "concat":
		all, of := 0.0, (*extent)(nil)
		for _, a := range args {
			if all += a.size * is(a, 'l'); a.of != nil {
				of = larger(of, *a.of)
			}
		}
		g.made(n, all)
		return g.list(n, all, of)
	case "upper", "lower", "sort", "reverse":
		first.known = nil
		return first
	case "uniq":
		g.turn(n, first.size*is(first, 'l')/1000)
		return extent{kind: 'l'}
	case "len":
		return extent{kind: 'n', number: first.size}
	}
	return extent{}
}

// loop looks at a predicate as often as its list is long.
func (g *gauge) loop(n *ast.BuiltinNode) extent {
	list := g.look(n.Arguments[0])
	if list.kind != 'l' {
		list = extent{kind: 'l', size: 1}
	}
	item := extent{}
	if list.of != nil {
		item = *list.of
	}
	if len(g.items) >= maxExprLoops {
		g.refuse(n, "has more than %d predicates within one another", maxExprLoops)
		return extent{}
	}
	g.turn(n, list.size)
	before := g.times
	g.items = append(g.items, item)
	g.times *= max(list.size, 1)
	defer func() { g.items, g.times = g.items[:len(g.items)-1], before }()
	if n.Name == "reduce" {
		return g.reduce(n, list.size)
	}
	body := g.look(n.Arguments[1])
	switch n.Name {
	case "map":
		g.times = before
		g.made(n, list.size)
		return g.list(n, list.size, &body)
	case "filter", "sortBy":
		return list
	case "find", "findLast":
		return item
	}
	return extent{}
}

// reduce follows what grows for some rounds, and takes it to grow on as it did in the last one.
func (g *gauge) reduce(n *ast.BuiltinNode, rounds float64) extent {
	acc, each := g.items[len(g.items)-1], g.times/max(rounds, 1)
	if len(n.Arguments) > 2 {
		g.times = each
		acc = g.look(n.Arguments[2])
	}
	const followed = 24
	for left := rounds; left > 0 && g.over == nil; left-- {
		last := rounds-left == followed-1
		if g.times = each; last {
			g.times *= left
		}
		g.accs = append(g.accs, acc)
		next := g.look(n.Arguments[1])
		g.accs = g.accs[:len(g.accs)-1]
		grown := max(next.size-acc.size, 0)
		if acc = next; last {
			acc.size, acc.known = acc.size+grown*(left-1), nil
			break
		}
	}
	switch acc.kind {
	case 't':
		return g.text(n, acc.size)
	case 'l':
		return g.list(n, acc.size, acc.of)
	}
	return acc
}
