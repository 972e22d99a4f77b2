package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/api"
	"tfw/executor"
	"tfw/executor/age"
	"tfw/executor/bolt"
	"tfw/executor/executortest"
	"tfw/executor/ssh"
	"tfw/inventory"
	"tfw/plan"
	"tfw/plugins"
)

// controller is everything: a lab of SSH hosts, an executor on a store in a
// directory of its own, and the server, reached over a pipe.
type controller struct {
	client *api.Client
	exec   *executor.Executor
	dial   func(context.Context) (net.Conn, error)
	url    string // the same over TCP, with the token
	token  string
	close  []func() error // last one first
}

func startController(hosts int) (*controller, error) {
	c := &controller{}
	if err := c.start(hosts); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *controller) start(hosts int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	lab, err := executortest.NewLab(ctx, executortest.LabOptions{Hosts: hosts, Embedded: true})
	if err != nil {
		return err
	}
	c.close = append(c.close, lab.Close)
	registry, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		return err
	}
	inv, err := inventory.Load(ctx, lab.InventoryFile(), inventory.Options{})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tfw-api-")
	if err != nil {
		return err
	}
	c.close = append(c.close, func() error { return os.RemoveAll(dir) })
	transport := ssh.New(ssh.Options{AgentSocket: "none", Logger: slog.New(slog.DiscardHandler)})
	store, err := bolt.Open(ctx, bolt.Options{Dir: filepath.Join(dir, "data"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	c.close = append(c.close, store.Close, transport.Close)
	c.exec, err = executor.New(executor.Config{Store: store, Transport: transport, Plugins: registry,
		Inventory: func() *inventory.Inventory { return inv }, Artifacts: filepath.Join(dir, "artifacts"),
		Secrets: age.New(filepath.Join(dir, "secrets.age"), func() []string { return []string{lab.IdentityFile()} })})
	if err != nil {
		return err
	}
	c.close = append(c.close, func() error { return c.exec.Drain(timeout()) })
	if err := c.exec.Recover(ctx); err != nil {
		return err
	}
	engine := plan.New(plan.Config{Executor: c.exec, Store: store, Plugins: registry, Inventory: func() *inventory.Inventory { return inv }})
	c.close = append(c.close, func() error { return engine.Drain(timeout()) })
	server, err := api.New(api.Config{Executor: c.exec, Plans: engine, Plugins: registry, Auth: true,
		Inventory: func() api.InventoryStatus { return api.InventoryStatus{Hosts: hosts} }})
	if err != nil {
		return err
	}
	ln, dial := api.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	servedTCP := make(chan error, 1)
	go func() { servedTCP <- server.Serve(tcp) }()
	c.dial, c.url = dial, "http://"+tcp.Addr().String()
	c.close = append(c.close, func() error { return errors.Join(server.Shutdown(timeout()), <-served, <-servedTCP) })
	if c.token, _, err = c.exec.CreateToken(ctx, executor.Local("root"), executor.Token{Name: "test", Role: executor.Admin}); err != nil {
		return err
	}
	c.client, err = api.NewClient("http://in-process", api.WithDial(dial))
	if err != nil {
		return err
	}
	c.close = append(c.close, c.client.Close)
	return nil
}

// timeout is a context for closing; it ends by itself.
func timeout() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func (c *controller) Close() error {
	var errs []error
	for i := len(c.close) - 1; i >= 0; i-- {
		errs = append(errs, c.close[i]())
	}
	return errors.Join(errs...)
}

func shell(target, command string) executor.Request {
	params, err := json.Marshal(map[string]string{"command": command})
	if err != nil {
		panic(err)
	}
	return executor.Request{Plugin: "linux_system", Method: "run_shell", Target: target, Parameters: params}
}

// From a request over HTTP to a process on a host and back.
func TestRealController(t *testing.T) {
	c, err := startController(3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	hosts, err := c.client.Hosts(ctx, "", "")
	if err != nil || len(hosts) != 3 || hosts[0].ID == 0 || hosts[0].UUID == "" {
		t.Fatalf("%v: %+v", err, hosts)
	}
	name := hosts[0].Name

	t.Run("bytes of both streams", func(t *testing.T) {
		run, err := c.client.Submit(ctx, shell("all", `printf 'caf\303\251\377\000'; printf err >&2; exit 3`))
		if err != nil {
			t.Fatal(err)
		}
		streams := map[string]string{}
		for e, err := range c.client.Log(ctx, string(run.ID), api.LogOptions{Follow: true}) {
			if err != nil {
				t.Fatal(err)
			}
			streams[e.Host+" "+string(e.Stream)] += string(e.Data)
		}
		for _, h := range hosts {
			if out, errs := streams[h.Name+" stdout"], streams[h.Name+" stderr"]; out != "caf\xc3\xa9\xff\x00" || errs != "err" {
				t.Errorf("%s: %q %q", h.Name, out, errs)
			}
		}
		// The followed log ends no earlier than the run.
		run, err = c.client.Run(ctx, string(run.ID))
		if err != nil || run.State != executor.Done || run.Verdict != executor.Failed || *run.Hosts[2].ExitCode != 3 {
			t.Errorf("%v: %+v", err, run)
		}
		var raw bytes.Buffer
		if _, err := c.client.RawLog(ctx, string(run.ID), api.LogOptions{Host: name}, &raw); err != nil || raw.String() != "caf\xc3\xa9\xff\x00" {
			t.Errorf("%v: %q", err, raw.String())
		}
	})
	t.Run("the tail of a long log", func(t *testing.T) {
		run, err := c.client.Submit(ctx, shell(name, "seq 400000"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.client.Wait(ctx, string(run.ID)); err != nil {
			t.Fatal(err)
		}
		read := func(o api.LogOptions) (seqs []uint64, bytes int) {
			for e, err := range c.client.Log(ctx, string(run.ID), o) {
				if err != nil {
					t.Fatal(err)
				}
				seqs, bytes = append(seqs, e.Seq), bytes+len(e.Data)
			}
			return seqs, bytes
		}
		all, size := read(api.LogOptions{Stream: executor.Stdout})
		if size != 2688895 {
			t.Errorf("%d bytes", size)
		}
		for _, n := range []int{1, 2, len(all) - 1, len(all), len(all) + 1} {
			want := all[max(0, len(all)-n):]
			if got, _ := read(api.LogOptions{Stream: executor.Stdout, Tail: n, Follow: n%2 == 0}); !slices.Equal(got, want) {
				t.Errorf("tail of %d: %v, want %v", n, got, want)
			}
		}
		if got, _ := read(api.LogOptions{Stream: executor.Stdout, Tail: 3, After: all[len(all)-1]}); len(got) != 0 {
			t.Errorf("tail after the end: %v", got)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		run, err := c.client.Submit(ctx, shell(name, "sleep 300"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.client.Cancel(ctx, string(run.ID), "lunch"); err != nil {
			t.Fatal(err)
		}
		run, err = c.client.Wait(ctx, string(run.ID))
		if err != nil || run.Verdict != executor.Cancelled {
			t.Errorf("%v: %+v", err, run)
		}
		if _, err := c.client.Cancel(ctx, string(run.ID), ""); !errors.Is(err, executor.ErrConflict) {
			t.Errorf("cancelled twice: %v", err)
		}
	})
	t.Run("the same key runs once", func(t *testing.T) {
		req := shell(name, "true")
		req.IdempotencyKey = "k"
		first, err := c.client.Submit(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		second, err := c.client.Submit(ctx, req)
		if err != nil || second.ID != first.ID {
			t.Errorf("%v: %s and %s", err, first.ID, second.ID)
		}
		other := shell(name, "false")
		other.IdempotencyKey = "k"
		if _, err := c.client.Submit(ctx, other); !errors.Is(err, executor.ErrReplayedKey) {
			t.Errorf("%v", err)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		for text, want := range map[string]error{"no_such_host": executor.ErrBadRequest, "": executor.ErrBadRequest, "all,!no_such": executor.ErrBadRequest} {
			if _, err := c.client.Submit(ctx, shell(text, "true")); !errors.Is(err, want) {
				t.Errorf("target %q: %v", text, err)
			}
			if _, err := c.client.Preview(ctx, shell(text, "true")); !errors.Is(err, want) {
				t.Errorf("preview of %q: %v", text, err)
			}
		}
		if _, err := c.client.Run(ctx, "nosuchrun"); !errors.Is(err, executor.ErrNotFound) {
			t.Error(err)
		}
		bad := executor.Request{Plugin: "linux_system", Method: "run_shell", Target: name, Parameters: json.RawMessage(`{"comand":"ls"}`)}
		var p *api.Problem
		if _, err := c.client.Submit(ctx, bad); !errors.As(err, &p) || len(p.Errors) == 0 || !strings.Contains(p.Error(), "comand") {
			t.Errorf("%v: %+v", err, p)
		}
	})
	t.Run("tokens and rights", func(t *testing.T) {
		made, err := c.client.CreateToken(ctx, api.TokenRequest{Name: "eve", Role: executor.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		eve, err := api.NewClient("http://in-process", api.WithDial(c.dial), api.WithToken(made.Text))
		if err != nil {
			t.Fatal(err)
		}
		defer eve.Close()
		if _, err := eve.Hosts(ctx, "", ""); err != nil {
			t.Error(err)
		}
		if _, err := eve.Submit(ctx, shell(name, "true")); !errors.Is(err, executor.ErrForbidden) || errors.Is(err, api.ErrUnauthenticated) {
			t.Error(err)
		}
		if err := c.client.RevokeToken(ctx, made.ID); err != nil {
			t.Error(err)
		}
		if _, err := eve.Hosts(ctx, "", ""); !errors.Is(err, api.ErrUnauthenticated) {
			t.Error(err)
		}
	})
	t.Run("probe", func(t *testing.T) {
		hosts, err := c.client.ProbeHosts(ctx, name, "")
		if err != nil || len(hosts) != 1 || hosts[0].Reachable == nil || !*hosts[0].Reachable {
			t.Errorf("%v: %+v", err, hosts)
		}
	})
	t.Run("artifacts", func(t *testing.T) {
		a, err := c.client.PutArtifact(ctx, strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		r, size, err := c.client.GetArtifact(ctx, a.SHA256)
		if err != nil || size != 7 {
			t.Fatal(size, err)
		}
		r.Close()
		if _, _, err := c.client.GetArtifact(ctx, strings.Repeat("0", 64)); !errors.Is(err, executor.ErrNotFound) {
			t.Error(err)
		}
		for skip, want := range map[string]string{"0": "content", "3": "tent", "6": "t", "7": ""} {
			if resp, body := c.get(t, "/v2.1/artifacts/"+a.SHA256+"?skip="+skip); resp.StatusCode != 200 || string(body) != want || resp.ContentLength != int64(len(want)) {
				t.Errorf("skip=%s: %s %q, want %q", skip, resp.Status, body, want)
			}
		}
		for _, skip := range []string{"8", "-1", "x", "99999999999999999999"} {
			if resp, body := c.get(t, "/v2.1/artifacts/"+a.SHA256+"?skip="+skip); resp.StatusCode != 400 || !bytes.Contains(body, []byte("query.skip")) {
				t.Errorf("skip=%s: %s %s", skip, resp.Status, body)
			}
		}
	})
	t.Run("testplans in their order", func(t *testing.T) {
		var made []string
		for range 3 {
			p, err := c.client.SubmitTestplan(ctx, plan.Submission{Plan: "name: sorted\nhosts: {dut: " + name + "}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'true'}}\n"})
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, p.ID)
		}
		newest := slices.Clone(made)
		slices.Reverse(newest)
		for sort, want := range map[string][]string{"created": made, "-created": newest} {
			var got []string
			for marker, pages := "", 0; pages < 5; pages++ {
				resp, body := c.get(t, "/v2.1/testplans?name=sorted&limit=2&sort="+sort+"&marker="+marker)
				var page api.TestplanPage
				if err := json.Unmarshal(body, &page); err != nil || resp.StatusCode != 200 {
					t.Fatalf("%s %v %s", resp.Status, err, body)
				}
				for _, p := range page.Testplans {
					got = append(got, p.ID)
				}
				if marker = page.Next; marker == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("sort=%s: %v, want %v", sort, got, want)
			}
		}
		if resp, body := c.get(t, "/v2.1/testplans?sort=colour"); resp.StatusCode != 400 || !bytes.Contains(body, []byte("query.sort")) {
			t.Errorf("%s %s", resp.Status, body)
		}
	})
}

// A program that runs a command on hosts and shows what it says as it says it.
func Example() {
	controller, err := startController(2) // yours runs already: http://HOST:8774 or unix:///PATH
	if err != nil {
		fmt.Println(err)
		return
	}
	defer controller.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client, err := api.NewClient("http://in-process", api.WithDial(controller.dial))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	run, err := client.Submit(ctx, executor.Request{
		Plugin: "linux_system", Method: "run_shell", Target: "all",
		Parameters:     json.RawMessage(`{"command": "echo hello"}`),
		IdempotencyKey: "greet-2026-11-22", // sent again, it does not run again
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	said := 0
	for entry, err := range client.Log(ctx, string(run.ID), api.LogOptions{Follow: true}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if entry.Stream == executor.Stdout {
			said += len(entry.Data)
		}
	}
	run, err = client.Wait(ctx, string(run.ID))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Verdict, "on", len(run.Hosts), "hosts,", said, "bytes")

	_, err = client.Run(ctx, "nosuchrun")
	fmt.Println(errors.Is(err, executor.ErrNotFound))
	// Output:
	// passed on 2 hosts, 12 bytes
	// true
}
