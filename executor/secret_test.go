package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

func secretRequest(script string) executor.Request {
	params := fmt.Sprintf(`{"command": %q, "env": {"TOKEN": {"secret": "env:TFW_SECRET_TEST"}, "PLAIN": "p"}, "stdin": {"secret": "env:TFW_SECRET_STDIN"}}`, script)
	return executor.Request{Plugin: "linux_system", Method: "run_shell", Parameters: json.RawMessage(params), Target: "all"}
}

// TestSecretsAreNowhere prints secrets through connections that are cut all the
// time and controllers that end, and looks for them in every record and the log.
func TestSecretsAreNowhere(t *testing.T) {
	const token, stdin = "s3cr3t-t0ken-value", "another-s3cr3t"
	t.Setenv("TFW_SECRET_TEST", token)
	t.Setenv("TFW_SECRET_STDIN", stdin)
	l := newLab(t, "h[1-3]")
	l.hosts.cutEvery = 7
	script := "say PLAIN=$PLAIN\n" + strings.Repeat("say <$TOKEN>$TOKEN$stdin\nerr $stdin\n", 50) + "pause 150\nsay $TOKEN tail\nexit 3\n"
	run := l.submit(secretRequest(script))
	time.Sleep(60 * time.Millisecond)
	l.drain()
	l.start(l.store)
	run = l.wait(run)
	line := "<" + strings.Repeat("*", len(token)) + ">" + strings.Repeat("*", len(token)+len(stdin)) + "\n"
	want := "PLAIN=p\n" + strings.Repeat(line, 50) + strings.Repeat("*", len(token)) + " tail\n"
	for _, h := range run.Hosts {
		if h.Verdict != executor.Failed || h.StdoutBytes != int64(len(want)) {
			t.Errorf("%+v", h)
		}
		got := ""
		page, err := l.Log(t.Context(), me, executor.LogQuery{Run: run.ID, Host: h.Host, Stream: executor.Stdout, Limit: 100000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if int64(len(got)) != e.Offset {
				t.Fatalf("%s: offset %d after %d bytes", h.Host, e.Offset, len(got))
			}
			got += string(e.Data)
		}
		if got != want {
			t.Errorf("%s: the log is\n%q", h.Host, got)
		}
	}
	if err := l.WithOutput(t.Context(), me, run); err != nil {
		t.Fatal(err)
	}
	text := everything(t, l, run)
	for _, s := range []string{token, stdin, "s3cr3t"} {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("%q is on record: ...%s", s, text[max(0, i-200):min(len(text), i+100)])
		}
	}
	if !strings.Contains(text, "env:TFW_SECRET_TEST") {
		t.Error("the reference is not on record")
	}
}

// everything is all records and the log as text.
func everything(t *testing.T, l *lab, run *executor.Run) string {
	t.Helper()
	var b strings.Builder
	raw, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(raw)
	err = l.store.View(t.Context(), func(tx executor.Tx) error {
		for _, table := range []string{"runs", "results", "operations", "idempotency", "host.settings", "host.health", "operations.unacked", "audit", "tokens"} {
			if err := tx.Range(table, "", false, func(key string, value []byte) bool {
				b.WriteString(key + string(value) + "\n")
				return true
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := l.Log(t.Context(), me, executor.LogQuery{Run: run.ID, Limit: 100000, Bytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		b.Write(e.Data)
	}
	return b.String()
}

func TestSecretsOfTheControllerAreForAdmins(t *testing.T) {
	t.Setenv("TFW_SECRET_OK", "long enough")
	l := newLab(t, "h1")
	for ref, want := range map[string]error{"env:TFW_SECRET_OK": nil, "env:HOME": executor.ErrForbidden, "file:/etc/passwd": executor.ErrForbidden} {
		params := fmt.Sprintf(`{"command": "say hello", "env": {"X": {"secret": %q}}}`, ref)
		req := executor.Request{Plugin: "linux_system", Method: "run_shell", Parameters: json.RawMessage(params), Target: "all"}
		if _, err := l.Submit(t.Context(), ann, req); !errors.Is(err, want) {
			t.Errorf("%s as an operator: %v", ref, err)
		}
	}
}

func TestSecretThatCannotBeReadTouchesNoHost(t *testing.T) {
	t.Setenv("TFW_SECRET_SHORT", "abc")
	l := newLab(t, "h1")
	for _, ref := range []string{"env:TFW_SECRET_NOT_SET", "env:TFW_SECRET_SHORT"} {
		params := fmt.Sprintf(`{"command": "say hello", "stdin": {"secret": %q}}`, ref)
		run := l.wait(l.submit(executor.Request{Plugin: "linux_system", Method: "run_shell", Parameters: json.RawMessage(params), Target: "all"}))
		if h := run.Hosts[0]; h.Verdict != executor.Errored || !strings.Contains(h.Reason, ref) {
			t.Errorf("%+v", h)
		}
	}
	if n := l.hosts.startedOnce(t); n != 0 {
		t.Errorf("%d commands were started", n)
	}
	// {"secret": ...} where no secret is taken is refused before anything.
	_, err := l.Submit(context.Background(), me, executor.Request{Plugin: "linux_system", Method: "run_shell", Parameters: json.RawMessage(`{"command": {"secret": "env:X"}}`), Target: "all"})
	if !errors.Is(err, executor.ErrBadRequest) {
		t.Error(err)
	}
}
