package plugins_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"tfw/plugins"
)

// method finds a built-in plugin's method.
func method(t testing.TB, plugin, name string) plugins.Method {
	t.Helper()
	r, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Method(plugin, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// call does what the executor does: check, then call; the outputs must fit their schema.
func call[O any](t testing.TB, m plugins.Method, remote plugins.Remote, params any) (O, error) {
	t.Helper()
	raw, ok := params.(string)
	if !ok {
		b, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	if err := m.Check(json.RawMessage(raw)); err != nil {
		t.Fatalf("check of %s: %v", raw, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, callErr := m.Call(ctx, remote, json.RawMessage(raw))
	var o O
	if out == nil {
		t.Fatalf("no outputs: %v", callErr)
	}
	if err := m.Outputs.Check(out); err != nil {
		t.Errorf("outputs do not fit their schema: %v\n%s", err, out)
	}
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("outputs %s: %v", out, err)
	}
	return o, callErr
}

// wantFailed wants the verdict failed with an exit code, and gives the error.
func wantFailed(t testing.TB, err error, code int) *plugins.FailedError {
	t.Helper()
	failed, ok := errors.AsType[*plugins.FailedError](err)
	if !ok {
		t.Fatalf("got %v, want the verdict failed", err)
	}
	if failed.ExitCode != code {
		t.Errorf("exit code %d, want %d (%v)", failed.ExitCode, code, err)
	}
	return failed
}
