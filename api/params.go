package api

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// wait is a query parameter: how long a request may be held up. A duration or a number of seconds.
type wait struct{ time.Duration }

const maxWait = 10 * time.Minute

// UnmarshalText reads the parameter.
func (w *wait) UnmarshalText(text []byte) error {
	d, err := parseDuration(string(text))
	if err != nil || d < 0 {
		return errors.New("want a time such as 30s")
	}
	w.Duration = min(d, maxWait)
	return nil
}

// Schema describes the parameter.
func (wait) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Examples: []any{"30s"},
		Description: "how long to wait for the end, such as 30s; at most 10m at a time"}
}

func parseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	return time.ParseDuration(text)
}

// since is a query parameter: a moment, or how long ago.
type since struct{ time.Time }

// UnmarshalText reads the parameter.
func (s *since) UnmarshalText(text []byte) error {
	if t, err := time.Parse(time.RFC3339Nano, string(text)); err == nil {
		s.Time = t
		return nil
	}
	d, err := parseDuration(string(text))
	if err != nil || d < 0 {
		return errors.New("want a time such as 2026-11-22T10:00:00Z, or how long ago, such as 5m")
	}
	s.Time = time.Now().Add(-d)
	return nil
}

// Schema describes the parameter.
func (since) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Examples: []any{"5m"}, Description: "a time (RFC 3339), or how long ago"}
}

// command is a query parameter: the ordinal of a command, if given.
type command struct{ n *int }

// UnmarshalText reads the parameter.
func (c *command) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return errors.New("want the ordinal of a command, 0 for the first")
	}
	c.n = &n
	return nil
}

// Schema describes the parameter.
func (command) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Pattern: "^[0-9]{1,9}$", Description: "only the command with this ordinal"}
}

// Page is what every list takes.
type Page struct {
	Limit  int    `query:"limit" minimum:"0" maximum:"1000" doc:"items of a page; 0 is the default"`
	Marker string `query:"marker" maxLength:"500" doc:"next of the page before"`
}

const maxPage = 1000

// sortedPage gives the page of a list that is at hand as a whole, in the wanted order.
func sortedPage[T any](all []T, o order[T], want Sort, p Page, key func(T) string) (items []T, next string, err error) {
	all, err = sorted(all, o, want.Sort)
	if err != nil {
		return nil, "", err
	}
	return cut(all, p, key)
}

// cut gives the page of a list that is at hand as a whole. The marker is the key of the last item of the page before.
func cut[T any](all []T, p Page, key func(T) string) (items []T, next string, err error) {
	begin := 0
	if p.Marker != "" {
		begin = -1
		for i, item := range all {
			if key(item) == p.Marker {
				begin = i + 1
				break
			}
		}
		if begin < 0 {
			return nil, "", fmt.Errorf("marker %q: %w", shorten(p.Marker), executor.ErrBadMarker)
		}
	}
	limit := p.Limit
	if limit == 0 {
		limit = maxPage
	}
	end := min(begin+limit, len(all))
	items = all[begin:end]
	if end < len(all) {
		next = key(items[len(items)-1])
	}
	return list(items), next, nil
}

// checkQuery refuses what would be taken for something else than was meant: a
// parameter that is given twice, of which only one would count, and text that cannot be read.
func checkQuery(raw string) error {
	if raw == "" {
		return nil
	}
	all, err := url.ParseQuery(raw)
	if err != nil {
		return badField("query", "cannot be read: %v", err)
	}
	for name, values := range all {
		if !utf8.ValidString(name + values[0]) {
			return badField("query."+strings.ToValidUTF8(shorten(name), "?"), "is not UTF-8")
		}
		if len(values) > 1 {
			return badField("query."+shorten(name), "is given %d times", len(values))
		}
	}
	return nil
}
