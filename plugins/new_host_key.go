package plugins

import (
	"context"
	"errors"
	"strings"
	"time"
)

type newHostKeyParams struct {
	Fingerprint string   `json:"fingerprint,omitempty" jsonschema:"pattern=^SHA256:[A-Za-z0-9+/]{43}$,description=the only key that is taken; without it the first that is shown"`
	Wait        Duration `json:"wait,omitempty" jsonschema:"description=how long it may take until the host answers with another key"`
}

// Defaults wait ten minutes: an image is written and booted meanwhile.
func (newHostKeyParams) Defaults() newHostKeyParams {
	return newHostKeyParams{Wait: Duration(10 * time.Minute)}
}

type newHostKeyOutputs struct {
	Was []string `json:"was" jsonschema:"description=fingerprints that were on file"`
	Now []string `json:"now,omitempty" jsonschema:"description=fingerprints that are on file now"`
}

// newHostKey fails when the host still shows its old key: then it was not installed anew, or not yet.
func newHostKey(ctx context.Context, remote Remote, p newHostKeyParams) (newHostKeyOutputs, error) {
	r, ok := remote.(Rekeyer)
	if !ok {
		return newHostKeyOutputs{}, errors.New("the controller cannot change the key of this host")
	}
	change, err := r.NewHostKey(ctx, NewKey{Wait: p.Wait.Std(), Fingerprint: p.Fingerprint})
	out := newHostKeyOutputs{Was: change.Was, Now: change.Now}
	if err == nil && !change.Changed {
		err = Failed("the host still shows the key on file after %s: %s (was it re-imaged?)", p.Wait.Std(), strings.Join(change.Was, " "))
	}
	return out, err
}
