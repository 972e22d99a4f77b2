package plugins

import (
	"context"
	_ "embed"
	"math"
	"time"
)

//go:embed scripts/facts.sh
var factsScript []byte

// systemInformation runs one read-only probe. The comparison of clocks takes the
// controller's time from the recorded result, never from a clock: a replay tells the same.
func systemInformation(ctx context.Context, remote Remote, _ struct{}) (Facts, error) {
	r, err := remote.Run(ctx, Command{
		Script: factsScript, Quiet: true, Capture: 1 << 20, Timeout: time.Minute,
	})
	if err != nil {
		return Facts{}, err
	}
	f, ok := parseFacts(r.Stdout)
	if !ok {
		return f, Failed("the probe for facts did not get through (exit status %d): %s", r.ExitCode,
			lastLine(r.Stderr, "it did not say why"))
	}
	if !f.Clock.Time.IsZero() && !r.Started.IsZero() {
		skew := f.Clock.Time.Sub(r.Started.Add(min(r.Elapsed, time.Minute) / 2)).Seconds()
		f.Clock.Skew = math.Round(skew)
	}
	return f, nil
}
