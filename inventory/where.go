package inventory

import (
	"errors"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Bounds of one --where expression.
const (
	maxWhere  = 4096  // bytes of text
	maxNodes  = 500   // parts
	maxMemory = 10000 // values made while looking at one host
)

// hostView is what an expression sees of a host.
type hostView struct {
	Name    string         `expr:"name"`
	Address string         `expr:"address"`
	Groups  []string       `expr:"groups"`
	Plugins []string       `expr:"plugins"`
	Tags    []string       `expr:"tags"`
	Vars    map[string]any `expr:"vars"`
	Facts   map[string]any `expr:"facts"`
	State   string         `expr:"state"`
}

// where filters hosts by the query's expression.
func (inv *Inventory) where(hosts []*Host, q *Query) ([]*Host, error) {
	if q.Where == "" {
		return hosts, nil
	}
	program, err := compileWhere(q.Where)
	if err != nil {
		return nil, err
	}
	machine := &vm.VM{MemoryBudget: maxMemory}
	var out []*Host
	for _, h := range hosts {
		keep, err := machine.Run(program, viewOf(h, q))
		if err != nil {
			e := whereError(q.Where, err)
			e.Message = "on host " + h.Name + ": " + e.Message
			return nil, e
		}
		if keep.(bool) {
			out = append(out, h)
		}
	}
	if len(out) == 0 {
		return nil, &TargetError{Target: q.Where, Term: q.Where, Message: "holds for none of the " + hostCount(hosts), Fix: "see: tfwctl hosts -o yaml"}
	}
	return out, nil
}

func viewOf(h *Host, q *Query) hostView {
	v := hostView{Name: h.Name, Address: h.Address, Groups: h.Groups, Plugins: h.Plugins, Tags: h.Tags, Vars: h.Vars, State: string(h.State)}
	if q.Facts != nil {
		v.Facts = q.Facts(h.Name)
	}
	return v
}

func compileWhere(where string) (*vm.Program, error) {
	if strings.TrimSpace(where) == "" || len(where) > maxWhere {
		return nil, &TargetError{Target: where, Message: "the expression is empty or longer than 4 KiB", Fix: "write one such as 'arm64' in tags"}
	}
	p, err := expr.Compile(where, expr.Env(hostView{}), expr.AsBool(), expr.MaxNodes(maxNodes))
	if err != nil {
		return nil, whereError(where, err)
	}
	return p, nil
}

// whereError places and words what is wrong with an expression.
func whereError(where string, err error) *TargetError {
	e := &TargetError{Target: where, Message: err.Error(), Fix: "an expression is true or false and knows name, address, groups, plugins, tags, vars, facts and state"}
	var at *file.Error
	if errors.As(err, &at) {
		e.Message, e.Column = at.Message, at.Column+1
	}
	e.Message = "in the expression: " + strings.SplitN(e.Message, "\n", 2)[0]
	return e
}
