package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
	"tfw/plugins"
)

// work is the plugin of these tests.
type work struct{}

func (work) Name() string    { return "work" }
func (work) Summary() string { return "what the executor's tests need" }

type shParams struct {
	Script string `json:"script"`
}
type shOut struct {
	Stdout string `json:"stdout,omitempty"`
}

func (work) Methods() []plugins.Method {
	return []plugins.Method{
		plugins.Do("sh", "run one command", func(ctx context.Context, r plugins.Remote, p shParams) (shOut, error) {
			res, err := r.Run(ctx, plugins.Command{Shell: p.Script})
			if err != nil {
				return shOut{}, err
			}
			return shOut{string(res.Stdout)}, res.Failure()
		}),
		plugins.Do("stubborn", "run a command, and once more when that fails", func(ctx context.Context, r plugins.Remote, p shParams) (shOut, error) {
			res, err := r.Run(ctx, plugins.Command{Shell: p.Script})
			if err != nil {
				res, err = r.Run(ctx, plugins.Command{Shell: p.Script})
			}
			return shOut{string(res.Stdout)}, err
		}),
		plugins.Do("careless", "run a command and ignore how it ended", func(ctx context.Context, r plugins.Remote, p shParams) (shOut, error) {
			_, _ = r.Run(ctx, plugins.Command{Shell: p.Script})
			return shOut{}, nil
		}),
		plugins.Do("fickle", "run a second command only the first time", func(ctx context.Context, r plugins.Remote, _ struct{}) (shOut, error) {
			_, err := r.Run(ctx, plugins.Command{Shell: "say first"})
			if err == nil && moods.Add(1)%2 == 1 {
				_, err = r.Run(ctx, plugins.Command{Shell: "say second\nhang"})
			}
			return shOut{}, err
		}),
		plugins.Do("chatty", "run three commands and give back what they said", func(ctx context.Context, r plugins.Remote, _ struct{}) (shOut, error) {
			all := ""
			for _, script := range []string{"say 0123456789", "pause 200", "say 0123456789", "say done"} {
				res, err := r.Run(ctx, plugins.Command{Shell: script})
				if err != nil {
					return shOut{}, err
				}
				all += string(res.Stdout)
			}
			return shOut{all}, nil
		}),
		plugins.Do("weak", "fail on h2 only", func(ctx context.Context, r plugins.Remote, _ struct{}) (shOut, error) {
			script := "say begun\nhang"
			if r.Host().Name == "h2" {
				script = "pause 50\nexit 1"
			}
			res, err := r.Run(ctx, plugins.Command{Shell: script})
			if err != nil {
				return shOut{}, err
			}
			return shOut{}, res.Failure()
		}),
		plugins.Do("steps", "run five commands and two transfers", steps),
		plugins.Do("panic", "panic", func(context.Context, plugins.Remote, struct{}) (struct{}, error) { panic("a plugin's bug") }),
		plugins.Do("moody", "ask for something else each time", func(ctx context.Context, r plugins.Remote, _ struct{}) (struct{}, error) {
			_, err := r.Run(ctx, plugins.Command{Shell: fmt.Sprintf("say %d\npause 50", moods.Add(1))})
			if err == nil {
				_, err = r.Run(ctx, plugins.Command{Shell: "pause 5000"})
			}
			return struct{}{}, err
		}),
	}
}

var moods atomic.Int64

// steps is straight-line Go over seven operations: the subject of the replay tests.
func steps(ctx context.Context, r plugins.Remote, _ struct{}) (shOut, error) {
	all := ""
	r.Note("begin")
	for i := range 5 {
		res, err := r.Run(ctx, plugins.Command{Shell: fmt.Sprintf("say %s step %d\nerr warn %d\npause 20\nsay done", r.Host().Name, i, i)})
		if err != nil {
			return shOut{}, err
		}
		all += string(res.Stdout)
		r.Note("step %d done", i)
		if i == 2 {
			if _, err := r.Upload(ctx, plugins.Upload{Content: res.Stdout, Dest: "/tmp/out"}); err != nil {
				return shOut{}, err
			}
		}
	}
	got, err := r.Download(ctx, plugins.Download{Src: "/tmp/out"})
	return shOut{all + got.SHA256}, err
}

// lab is an executor over fake hosts and a store in memory.
type lab struct {
	*executor.Executor
	t     *testing.T
	hosts *fakeHosts
	store executor.Store
	inv   *inventory.Inventory
	dir   string

	probeEvery time.Duration // 0: hosts are not asked in the background

	offset  atomic.Int64 // of the wall clock, in nanoseconds
	maxRuns int          // 0: the default
	policy  atomic.Pointer[executor.Policy]
	secrets executor.Secrets // nil: none
}

var me = executor.Local("me")

func newLab(t *testing.T, hosts string) *lab {
	t.Helper()
	text := "version: 1\nhosts:\n"
	for _, name := range strings.Split(strings.Trim(hosts, "{}"), ",") {
		text += "  " + name + ": {plugins: [work, linux_system]}\n"
	}
	inv, err := inventory.Parse("inventory.yaml", []byte(text), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, hosts: newFakeHosts(), store: executortest.NewMemory(), inv: inv, dir: t.TempDir(), secrets: executortest.NewSecrets()}
	l.start(l.store)
	t.Cleanup(func() { l.drain(); _ = l.store.Close(); _ = l.hosts.Close() })
	return l
}

// start makes an executor on the store and lets it take up what is there.
func (l *lab) start(store executor.Store) {
	l.t.Helper()
	reg, err := plugins.NewRegistry(work{}, plugins.LinuxSystem{})
	if err != nil {
		l.t.Fatal(err)
	}
	l.Executor, err = executor.New(executor.Config{
		Store: store, Transport: l.hosts, Plugins: reg, Artifacts: l.dir,
		Inventory: func() *inventory.Inventory { return l.inv }, Policy: l.policy.Load, Secrets: l.secrets, ProbeEvery: l.probeEvery, MaxRuns: l.maxRuns,
		Clock: func() time.Time { return time.Now().Add(time.Duration(l.offset.Load())) },
		Log:   slog.New(slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.Recover(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) drain() {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := l.Drain(ctx); err != nil {
		l.t.Error(err)
	}
}

func request(method string, params any) executor.Request {
	raw, err := json.Marshal(params)
	if err != nil {
		panic(err)
	}
	return executor.Request{Plugin: "work", Method: method, Parameters: raw, Target: "all"}
}

func (l *lab) submit(req executor.Request) *executor.Run {
	l.t.Helper()
	run, err := l.Submit(l.t.Context(), me, req)
	if err != nil {
		l.t.Fatal(err)
	}
	return run
}

func (l *lab) wait(run *executor.Run) *executor.Run {
	l.t.Helper()
	ctx, stop := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer stop()
	done, err := l.Wait(ctx, me, string(run.ID))
	if err != nil {
		l.t.Fatalf("run %s: %v: %+v", run.ID, err, done)
	}
	return done
}

// mortal is a Store that a process loses when it is killed: nothing is written after die.
type mortal struct {
	executor.Store
	dead atomic.Bool
	left atomic.Int64 // updates until it dies by itself; 0: never
}

var errKilled = errors.New("killed")

func (m *mortal) die() { m.dead.Store(true) }

func (m *mortal) Update(ctx context.Context, fn func(executor.Tx) error) error {
	if m.left.Load() > 0 && m.left.Add(-1) == 0 {
		m.die()
	}
	if m.dead.Load() {
		return errKilled
	}
	return m.Store.Update(ctx, fn)
}

func (m *mortal) Append(ctx context.Context, entries ...executor.Entry) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Store.Append(ctx, entries...)
}
