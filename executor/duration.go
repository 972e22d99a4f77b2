package executor

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time.Duration that is written "90s" or "2h30m" in JSON. A bare
// number means seconds.
type Duration time.Duration

// MarshalJSON writes Go's notation.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads Go's notation or a number of seconds; a negative one is refused.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var seconds float64
	if err := json.Unmarshal(b, &seconds); err == nil {
		if !(seconds >= 0 && seconds < 1e9) {
			return fmt.Errorf("duration %s: want 0 to 1e9 seconds", b)
		}
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("duration: want a text such as \"90s\" or a number of seconds")
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return fmt.Errorf("duration %q: want a text such as \"90s\" or \"2h30m\"", text)
	}
	*d = Duration(v)
	return nil
}
