package plan

import (
	"testing"
	"time"
)

// FuzzExpression: whatever is written between ${{ and }} is refused or evaluated, within its bounds of time and memory.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		`steps.a.outputs.list ?? [1, {a: 2}][0]`, `map(1..3, # + 1)`, `reduce(1..9, #acc + "x", "")`, `let a = params.s; a + a`, `params.l[1:][0]?.x`,
		`uniq(sort(concat(params.l, ["x"])))`, `join(map(params.l, string(#)), ",")`, `params.s matches "^(a+)+$"`, `toJSON(fromJSON(params.s))`, `now().Year() > 2000 ? "y" : 'n'`,
		`filter(params.l, any(params.l, # == 1))`, `repeat(params.s, 1000)`, `all(1..300, all(1..300, true))`, `split(params.s, "")`, `groupBy(1..9, # % 2)`,
	} {
		f.Add(seed)
	}
	env := scope{"params": map[string]any{"s": "text", "n": 3, "l": []any{1, "two", 3.5, nil, map[string]any{"x": "y"}}}, "env": map[string]any{}, "steps": map[string]any{}}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := compile(text)
		if err != nil {
			return
		}
		began, patience := time.Now(), time.Second
		over := x.measure(env, &patience)
		_, _ = x.run(env, time.Second)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s, measured as %v", took, over)
		}
	})
}
