package plugins

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/invopop/jsonschema"
)

// Duration is a length of time in parameters and outputs. In JSON it is a text
// such as "90s" or "2h30m"; a bare number means seconds. Never negative.
type Duration time.Duration

// maxDuration keeps sums of durations far from overflow: some 30 years.
const maxDuration = 1e9 * time.Second

var errDuration = errors.New(`want a duration such as "90s" or "2h30m", or a number of seconds`)

// Std gives the value for Go's time package.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes Go's notation.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads Go's notation or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var seconds float64
	if json.Unmarshal(b, &seconds) == nil {
		if !(seconds >= 0 && seconds <= maxDuration.Seconds()) {
			return errDuration
		}
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	var text string
	if json.Unmarshal(b, &text) != nil {
		return errDuration
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 || v > maxDuration {
		return errDuration
	}
	*d = Duration(v)
	return nil
}

// JSONSchema describes both notations.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		AnyOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$|^0$`},
			{Type: "number", Minimum: "0", Maximum: "1000000000"},
		},
		Examples: []any{"90s", "2h30m"},
		Extras:   map[string]any{wantKey: `a duration such as "90s" or "2h30m", or a number of seconds`},
	}
}
