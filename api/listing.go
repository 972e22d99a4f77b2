package api

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// runList is runs as lists show them. They are executor.Run values; what lists
// leave out of those is left out of their description too.
type runList []*executor.Run

// Schema is that of an array of summaries.
func (runList) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "array", Items: r.Schema(reflect.TypeFor[runSummary](), true, "")}
}

// runSummary only describes.
type runSummary executor.Run

// TransformSchema takes out what lists do not show.
func (runSummary) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, name := range []string{"hosts", "options"} {
		delete(s.Properties, name)
	}
	s.Description = "A run without the results of its hosts"
	return s
}

// wholeRuns says that a run asked for by itself has what only lists leave out.
func (s *Server) wholeRuns() {
	run := s.api.OpenAPI().Components.Schemas.Map()["Run"]
	run.Required = append(run.Required, "hosts", "parameters")
	slices.Sort(run.Required)
}

// order is how the items of a list that is at hand as a whole may be sorted, by the words that users give.
type order[T any] map[string]func(a, b T) int

// by compares a key.
func by[T any, K cmp.Ordered](key func(T) K) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(key(a), key(b)) }
}

// Sort is what every list that can be sorted takes. The words are in the description of the operation.
type Sort struct {
	Sort string `query:"sort" maxLength:"40" doc:"what to sort by; -WORD turns the order round"`
}

// sorted gives the list in the wanted order; items that compare equal stay as they are.
func sorted[T any](all []T, o order[T], want string) ([]T, error) {
	if want == "" {
		return all, nil
	}
	word, down := strings.CutPrefix(want, "-")
	compare, known := o[word]
	if !known {
		return nil, badField("query.sort", "want %s, or -%s to turn it round", o, o.words()[0])
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b T) int {
		if down {
			return compare(b, a)
		}
		return compare(a, b)
	})
	return all, nil
}

func (o order[T]) words() []string { return slices.Sorted(maps.Keys(o)) }

// String words what the list can be sorted by.
func (o order[T]) String() string {
	words := o.words()
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// sortable says in an operation's description what it can be sorted by.
func sortable[T any](op huma.Operation, o order[T]) huma.Operation {
	op.Description = strings.TrimSpace(op.Description + fmt.Sprintf(" `sort` takes %s; `-%s` turns it round.", o, o.words()[0]))
	return op
}
