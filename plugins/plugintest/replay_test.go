package plugintest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

type none struct{}

type lines struct {
	Lines []string `json:"lines"`
}

// method makes a method of a function that runs shell lines.
func method(fn func(run func(line string) string) []string) plugins.Method {
	return plugins.Do("sample", "a sample", func(ctx context.Context, remote plugins.Remote, _ none) (lines, error) {
		var failed error
		out := fn(func(line string) string {
			r, err := remote.Run(ctx, plugins.Command{Shell: line})
			if err != nil {
				failed = err
			}
			return string(r.Stdout)
		})
		return lines{out}, failed
	})
}

// judge collects what a replay complains of.
type judge struct {
	testing.TB
	complaints []string
}

func (j *judge) Errorf(format string, args ...any) {
	j.complaints = append(j.complaints, fmt.Sprintf(format, args...))
}

func TestReplayPassesStraightLineCode(t *testing.T) {
	m := method(func(run func(string) string) []string {
		a := run("echo one >> log; echo $$")
		b := run("echo two " + strings.TrimSpace(a) + " >> log; wc -l < log")
		return []string{a, b}
	})
	out := plugintest.Replay(t, m, none{}, plugintest.Ignore("lines"), plugintest.IgnoreFiles("log"))
	if len(out.Ops) != 2 || !strings.Contains(string(out.Outputs), `2\n`) {
		t.Errorf("%d operations, outputs %s", len(out.Ops), out.Outputs)
	}
}

func TestReplayRunsEachOperationOnce(t *testing.T) {
	m := method(func(run func(string) string) []string {
		for _, name := range []string{"a", "b", "c"} {
			run("echo " + name + " >> log")
		}
		return []string{run("cat log")}
	})
	out := plugintest.Replay(t, m, none{})
	if got := string(out.Outputs); got != `{"lines":["a\nb\nc\n"]}` {
		t.Errorf("got %s", got)
	}
}

func TestReplayCatches(t *testing.T) {
	calls := 0
	tests := []struct {
		name string
		fn   func(run func(string) string) []string
		want string
	}{
		{"a clock in a command", func(run func(string) string) []string {
			return []string{run(fmt.Sprint("echo ", time.Now().UnixNano()))}
		}, "operation 1 was"},
		{"the order of a map", func(run func(string) string) []string {
			for name := range map[string]bool{"a": true, "b": true, "c": true, "d": true} {
				run("echo " + name)
			}
			return nil
		}, "not deterministic"},
		{"a counter of the process", func(run func(string) string) []string {
			if calls++; calls%2 == 0 {
				run("true")
			}
			return []string{run("true")}
		}, "not deterministic"},
		{"a clock in the outputs", func(run func(string) string) []string {
			run("true")
			return []string{time.Now().String()}
		}, "from the same answers it ended with"},
		{"a random file name that only the host sees", func(run func(string) string) []string {
			run("echo x > f.$$")
			return nil
		}, "undisturbed there is none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := &judge{TB: t}
			plugintest.Replay(j, method(tt.fn), none{})
			if !strings.Contains(strings.Join(j.complaints, "\n"), tt.want) {
				t.Errorf("not caught; complaints: %q", j.complaints)
			}
		})
	}
}

func TestReplayRepeatsTransfersWhoseAnswerWasLost(t *testing.T) {
	m := plugins.Do("sample", "a sample", func(ctx context.Context, remote plugins.Remote, _ none) (plugins.Transfer, error) {
		if _, err := remote.Upload(ctx, plugins.Upload{Content: []byte("x"), Dest: "a"}); err != nil {
			return plugins.Transfer{}, err
		}
		if r, err := remote.Run(ctx, plugins.Command{Shell: "cat a a > b"}); err != nil || r.ExitCode != 0 {
			return plugins.Transfer{}, plugins.Failed("cat: %d %v", r.ExitCode, err)
		}
		return remote.Download(ctx, plugins.Download{Src: "b"})
	})
	out := plugintest.Replay(t, m, none{}, plugintest.Ignore("mod_time"))
	if out.Err != nil || len(out.Ops) != 3 || out.Ops[2].Transfer.Bytes != 2 {
		t.Errorf("%+v", out)
	}
}

func TestLocalEndsWhatRunsTooLong(t *testing.T) {
	h := plugintest.Local(t)
	began := time.Now()
	_, err := h.Run(t.Context(), plugins.Command{Shell: "sleep 60", Timeout: 50 * time.Millisecond})
	if err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("ended with %v after %v", err, time.Since(began))
	}
}
