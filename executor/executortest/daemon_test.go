package executortest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
)

// daemon is a tfwd in a process of its own, known only by what users know: its flags and its REST routes.
type daemon struct {
	bin, inventory, dir string
	under               []string // a program that runs it, with its arguments
	env                 []string // beside its own

	cmd   *exec.Cmd
	ended chan struct{}
	told  chan struct{} // closed when all it said is in the log
	url   string
	token string
	http  http.Client
}

// programs gives the folder of tfwd and tfwctl: PROGRAMS, or freshly built ones.
func programs(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("PROGRAMS"); bin != "" {
		return bin
	}
	bin := t.TempDir()
	args := append([]string{"build", "-buildvcs=false", "-o", bin + "/"}, raceFlag...)
	if out, err := exec.CommandContext(t.Context(), "go", append(args, "tfw/cmd/tfwd", "tfw/cmd/tfwctl")...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// start starts tfwd and waits until it says that it listens.
func (d *daemon) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(d.dir, "tfwd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	argv := append(slices.Clone(d.under), filepath.Join(d.bin, "tfwd"), "--inventory", d.inventory, "--data", d.data(),
		"--listen", "127.0.0.1:0", "--socket", filepath.Join(d.dir, "tfwd.sock"))
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = w, w
	settings := func(v string) bool { return strings.HasPrefix(v, "TFW_") } // of whoever runs the tests
	d.cmd.Env = append(slices.DeleteFunc(os.Environ(), settings), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	d.cmd.Env = append(d.cmd.Env, d.env...)
	if err = d.cmd.Start(); err == nil {
		d.ended = make(chan struct{})
		go func(cmd *exec.Cmd, ended chan struct{}) {
			defer close(ended)
			_ = cmd.Wait() // how it ended is the caller's doing, or in its log
		}(d.cmd, d.ended)
	}
	w.Close()
	if err != nil {
		r.Close()
		return err
	}
	return d.listening(ctx, r, log.Name())
}

// listening reads the daemon's output for its address, and goes on copying it to the log.
func (d *daemon) listening(ctx context.Context, r *os.File, logName string) error {
	found, told := make(chan string, 1), make(chan struct{})
	d.told = told
	go func() {
		defer close(told)
		defer r.Close()
		log, err := os.OpenFile(logName, os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		defer log.Close()
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintln(log, lines.Text())
			if _, rest, ok := strings.Cut(lines.Text(), "listening on http://"); ok {
				select {
				case found <- "http://" + strings.TrimRight(strings.Fields(rest)[0], `"`):
				default:
				}
			}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	select {
	case d.url = <-found:
	case <-d.ended:
		return fmt.Errorf("tfwd ended while starting: %s", d.tail())
	case <-ctx.Done():
		return fmt.Errorf("tfwd does not listen: %w: %s", ctx.Err(), d.tail())
	}
	token, err := os.ReadFile(filepath.Join(d.data(), "admin.token"))
	d.token = strings.TrimSpace(string(token))
	return err
}

func (d *daemon) data() string { return filepath.Join(d.dir, "data") }

// tail is the end of the daemon's log.
func (d *daemon) tail() string {
	b, _ := os.ReadFile(filepath.Join(d.dir, "tfwd.log"))
	return string(b[max(0, len(b)-4000):])
}

// kill is kill -9.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.ended
}

// stop asks it to drain, as an upgrade does.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-d.ended:
		return nil
	case <-time.After(60 * time.Second):
		return fmt.Errorf("tfwd did not drain within 60 s; it was doing:\n%s", d.goroutines())
	}
}

// goroutines ends a daemon that hangs and gives what all its goroutines were waiting for.
func (d *daemon) goroutines() string {
	_ = d.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended
	select {
	case <-d.told:
	case <-time.After(10 * time.Second):
	}
	d.kill()
	log, err := os.ReadFile(filepath.Join(d.dir, "tfwd.log"))
	if err != nil {
		return err.Error()
	}
	if at := bytes.LastIndex(log, []byte("SIGQUIT: quit")); at >= 0 {
		log = log[at:]
	}
	return string(log[:min(len(log), 256<<10)])
}

// call makes a request and decodes the JSON answer into out, unless out is nil.
func (d *daemon) call(ctx context.Context, method, path string, body, out any, header ...string) error {
	raw, err := d.bytes(ctx, method, path, body, header...)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// statusError is an answer of 400 and up.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.status, e.body) }

func (d *daemon) bytes(ctx context.Context, method, path string, body any, header ...string) ([]byte, error) {
	resp, err := d.request(ctx, method, path, body, header...)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 400 {
		err = &statusError{resp.StatusCode, string(raw)}
	}
	return raw, err
}

func (d *daemon) request(ctx context.Context, method, path string, body any, header ...string) (*http.Response, error) {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, sent)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return d.http.Do(req)
}

// shell is the request for a line of shell on hosts.
func shell(target, line string) map[string]any {
	return map[string]any{"plugin": "linux_system", "method": "run_shell", "target": target, "parameters": map[string]any{"command": line}}
}

// submit posts a run; key makes it safe to ask again.
func (d *daemon) submit(ctx context.Context, key string, request map[string]any) (executor.RunID, error) {
	var run executor.Run
	err := d.call(ctx, http.MethodPost, "/v2.1/runs", request, &run, "Idempotency-Key", key)
	return run.ID, err
}

// wait polls until the run is done.
func (d *daemon) wait(ctx context.Context, id executor.RunID) (run executor.Run, err error) {
	for {
		if err = d.call(ctx, http.MethodGet, "/v2.1/runs/"+string(id), nil, &run); err != nil || run.State == executor.Done {
			return run, err
		}
		select {
		case <-ctx.Done():
			return run, fmt.Errorf("run %s is still %s: %w", id, run.State, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stream gives the exact bytes of one host's stream.
func (d *daemon) stream(ctx context.Context, id executor.RunID, host, stream string) ([]byte, error) {
	return d.bytes(ctx, http.MethodGet, fmt.Sprintf("/v2.1/runs/%s/log?host=%s&stream=%s", id, host, stream), nil, "Accept", "text/plain")
}

// metric reads one number from /metrics.
func (d *daemon) metric(ctx context.Context, name string) (float64, error) {
	raw, err := d.bytes(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		var v float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, err := fmt.Sscan(rest, &v)
			return v, err
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}
