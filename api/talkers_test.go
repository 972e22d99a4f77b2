package api

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
	"tfw/plan"
	"tfw/plugins"
)

// Talkers is a transport whose hosts say their name and end: with 7 where the command says "fail on NAME", and killed where it says "stay", or "stay on NAME".
type Talkers struct{}

func (Talkers) Connect(_ context.Context, h *inventory.Host, _ func(string) (*inventory.Host, bool)) (executor.Conn, error) {
	return talker{h.Name}, nil
}
func (Talkers) ScanKeys(_ context.Context, h *inventory.Host, _ func(string) (*inventory.Host, bool)) ([]executor.HostKey, error) {
	return []executor.HostKey{{Host: h.Name, Fingerprint: "SHA256:" + h.Name}}, nil
}
func (Talkers) PinnedKeys(h *inventory.Host, _ func(string) (*inventory.Host, bool)) ([]executor.HostKey, error) {
	return []executor.HostKey{{Host: h.Name, Fingerprint: "SHA256:" + h.Name}}, nil
}
func (Talkers) PinKeys(*inventory.Host, func(string) (*inventory.Host, bool), []executor.HostKey, bool) (string, int, error) {
	return "/known_hosts", 1, nil
}
func (Talkers) Stats() executor.PoolStats { return executor.PoolStats{} }
func (Talkers) Close() error              { return nil }

type talker struct{ host string }

func (c talker) Run(ctx context.Context, cmd executor.DurableCommand, from executor.Offsets, _ bool, s executor.Sink) (executor.End, error) {
	if err := s.Started(executor.Started{}); err != nil {
		return executor.End{}, err
	}
	if stays(string(cmd.Script), c.host) {
		select {
		case <-untilKilled(cmd.ID).Done():
			return executor.End{Kind: executor.EndSignal, Code: 143, Signal: "TERM"}, nil
		case <-ctx.Done():
			return executor.End{}, ctx.Err()
		}
	}
	out := "this is " + c.host + "\n"
	if err := s.Bytes(executor.Stdout, from.Stdout, []byte(out[from.Stdout:])); err != nil {
		return executor.End{}, err
	}
	if strings.Contains(string(cmd.Script), "fail on "+c.host) {
		return executor.End{Kind: executor.EndExit, Code: 7, Sizes: executor.Offsets{Stdout: int64(len(out))}}, nil
	}
	return executor.End{Kind: executor.EndExit, Sizes: executor.Offsets{Stdout: int64(len(out))}}, nil
}

// stays reports whether the command goes on until it is killed.
func stays(script, host string) bool {
	_, on, some := strings.Cut(script, "stay on ")
	return !some && strings.Contains(script, "stay") || some && strings.HasPrefix(on, host)
}

func (talker) Acknowledge(*executor.BecomeAs, ...executor.CommandID) {}
func (talker) Kill(_ context.Context, id executor.CommandID, _ *executor.BecomeAs, _ time.Duration) (executor.KillReport, error) {
	untilKilled(id).end()
	return executor.KillReport{Killed: 1}, nil
}

// staying are the commands that stay, by their ids: no two have one.
var staying sync.Map

type killable struct {
	context.Context
	end context.CancelFunc
}

func untilKilled(id executor.CommandID) killable {
	ctx, end := context.WithCancel(context.Background())
	one, _ := staying.LoadOrStore(id, killable{ctx, end})
	return one.(killable)
}
func (talker) Strays(context.Context) ([]executor.Stray, error) { return nil, nil }
func (talker) Probe(context.Context, string) ([]byte, error) {
	return fmt.Appendf(nil, "%d\n", time.Now().Unix()), nil
}
func (talker) Put(context.Context, executor.Put) (executor.PutResult, error) {
	return executor.PutResult{}, nil
}
func (talker) Get(context.Context, string, *executor.BecomeAs, io.Writer) (executor.GetResult, error) {
	return executor.GetResult{}, nil
}
func (talker) Info() executor.HostInfo { return executor.HostInfo{BootID: "b", Durable: true} }
func (talker) Release()                {}

// withPlans gives a server an engine of test plans with hosts of its own, and the id of one that is done.
func withPlans(t *testing.T, done *string) func(*Config) {
	t.Helper()
	inv, err := inventory.Parse("inventory.yaml", []byte("version: 1\nhosts: {dut1: {plugins: [linux_system]}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	store, current := executortest.NewMemory(), func() *inventory.Inventory { return inv }
	x, err := executor.New(executor.Config{Store: store, Transport: Talkers{}, Plugins: registry, Artifacts: t.TempDir(), Inventory: current})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	engine := plan.New(plan.Config{Executor: x, Store: store, Plugins: registry, Inventory: current})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, err := range []error{engine.Drain(ctx), x.Drain(ctx), store.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 { // so that there is one to compare with
		one, err := engine.Submit(t.Context(), executor.Local("root"), plan.Submission{File: "p.yaml", Plan: fakePlan})
		if err != nil {
			t.Fatal(err)
		}
		*done = one.ID
		if _, err := engine.Wait(t.Context(), executor.Local("root"), one.ID); err != nil {
			t.Fatal(err)
		}
	}
	return func(c *Config) { c.Plans = engine }
}

const fakePlan = `name: p
hosts: {dut: dut1}
steps:
  one: {uses: linux_system.run_shell, on: dut, with: {command: 'true'}}
  two: {uses: linux_system.run_shell, on: dut, needs: [one], matrix: {n: [1, 2]}, with: {command: 'true'}}
  three: {uses: linux_system.run_shell, on: dut, needs: [one], when: 'failure()', with: {command: 'true'}}
`
