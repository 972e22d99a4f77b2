package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/bolt"
	"tfw/inventory"
	"tfw/plan"
	"tfw/plugins"
)

// instant is a transport to hosts on which every command ends at once: what is left is what tfw itself costs.
type instant struct{}

func (instant) Connect(context.Context, *inventory.Host, func(string) (*inventory.Host, bool)) (executor.Conn, error) {
	return instant{}, nil
}
func (instant) Run(_ context.Context, _ executor.DurableCommand, _ executor.Offsets, _ bool, sink executor.Sink) (executor.End, error) {
	err := errors.Join(sink.Started(executor.Started{}), sink.Bytes(executor.Stdout, 0, []byte("said\n")))
	return executor.End{Kind: executor.EndExit, Sizes: executor.Offsets{Stdout: 5}}, err
}
func (instant) Kill(context.Context, executor.CommandID, *executor.BecomeAs, time.Duration) (executor.KillReport, error) {
	return executor.KillReport{Gone: true}, nil
}
func (instant) Put(context.Context, executor.Put) (executor.PutResult, error) {
	return executor.PutResult{}, nil
}
func (instant) Get(context.Context, string, *executor.BecomeAs, io.Writer) (executor.GetResult, error) {
	return executor.GetResult{}, nil
}
func (instant) Acknowledge(*executor.BecomeAs, ...executor.CommandID) {}
func (instant) Strays(context.Context) ([]executor.Stray, error)      { return nil, nil }
func (instant) Probe(context.Context, string) ([]byte, error)         { return nil, nil }
func (instant) Info() executor.HostInfo                               { return executor.HostInfo{Durable: true} }
func (instant) Stats() executor.PoolStats                             { return executor.PoolStats{} }
func (instant) Release()                                              {}
func (instant) Close() error                                          { return nil }

// layers is a plan of layers of a hundred steps, each on a host of its own and after one of the layer before.
func layers(n int) string {
	var b strings.Builder
	b.WriteString("name: wide\nhosts:\n")
	for h := range 100 {
		fmt.Fprintf(&b, "  r%d: {target: n%d}\n", h, h+1)
	}
	b.WriteString("steps:\n")
	for i := range n * 100 {
		needs := ""
		if i >= 100 {
			needs = fmt.Sprintf("needs: [s%d], ", i-100)
		}
		fmt.Fprintf(&b, "  s%d: {uses: linux_system.run_shell, on: r%d, %swith: {command: 'say %d on ${{ host.name }}'}}\n", i, i%100, needs, i)
	}
	return b.String()
}

// TestPlanOverhead: what a step costs beside its command, with the store on disk. LOAD=1 makes it 2,000 steps over 100 hosts.
func TestPlanOverhead(t *testing.T) {
	n := 2
	if os.Getenv("LOAD") != "" {
		n = 20
	}
	store, err := bolt.Open(t.Context(), bolt.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	inv, err := inventory.Parse("inventory.yaml", []byte("version: 1\nhosts: {'n[1-100]': {plugins: [linux_system]}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	now := func() *inventory.Inventory { return inv }
	ex, err := executor.New(executor.Config{Store: store, Transport: instant{}, Plugins: reg, Inventory: now})
	if err != nil {
		t.Fatal(err)
	}
	e := plan.New(plan.Config{Executor: ex, Store: store, Plugins: reg, Inventory: now})
	if err := errors.Join(ex.Recover(t.Context()), e.Recover(t.Context())); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(e.Drain(t.Context()), ex.Drain(t.Context())) }()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	me := executor.Local("me")
	began := time.Now()
	p, err := e.Submit(ctx, me, plan.Submission{File: "wide.yaml", Plan: layers(n)})
	if err != nil {
		t.Fatal(err)
	}
	checked := time.Since(began)
	if p, err = e.Wait(ctx, me, p.ID); err != nil || p.Verdict != executor.Passed {
		t.Fatal(err, p.State, p.Verdict, p.Reason)
	}
	each := (time.Since(began) / time.Duration(n*100)).Round(time.Microsecond)
	t.Logf("%d steps over 100 hosts: checked in %v, %v a step in all", n*100, checked.Round(time.Millisecond), each)
	if os.Getenv("LOAD") != "" && each > 5*time.Millisecond { // a figure of a quiet machine
		t.Errorf("%v a step", each)
	}
}
