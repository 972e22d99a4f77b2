package executortest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sourcegraph/conc/pool"

	"tfw/executor"
	"tfw/executor/executortest"
)

// sshLines are commands whose bytes and status must be those that ssh brings.
var sshLines = map[string]string{
	"no newline":      `printf 'no newline'`,
	"binary":          `head -c 100000 /bin/ls; printf '\000\001\377' >&2`,
	"16 MB":           `yes 0123456789abcde | head -c 16777216`,
	"interleaved":     `i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done`,
	"missing command": `no-such-command-here --at all`,
	"exit 77":         `echo before; exit 77`,
	"stdin at EOF":    `cat; echo "status $?"`,
	"not UTF-8":       `printf '\303\050\240\241\376\377\n'`,
	"quoting horrors": `printf '%s|' "a  b" 'c"d' "e'f" \$HOME "$((1+1))" '*' "\\" "` + "\t" + `" '; rm -rf nothing' "$(printf 'x\n\n')"; echo '!#' # not said`,
	"nothing":         `true`,
	"shell's own end": `kill -TERM $$`,
	"syntax error":    `if then fi (`,
	"several lines":   "echo one\necho two; (exit 3)",
}

func openSSHLab(t *testing.T, hosts int) *executortest.Lab {
	t.Helper()
	return labOf(t, executortest.LabOptions{Hosts: hosts, OpenSSH: true})
}

func labOf(t *testing.T, opt executortest.LabOptions) *executortest.Lab {
	t.Helper()
	lab, err := executortest.NewLab(t.Context(), opt)
	if err != nil {
		t.Skipf("no OpenSSH here: %v", err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// TestBytesEqualThoseOfSSH runs the same lines through tfwd and through OpenSSH's client on the same host.
func TestBytesEqualThoseOfSSH(t *testing.T) {
	lab := openSSHLab(t, 1)
	d := startDaemon(t, lab)
	host := lab.Hosts()[0].Name
	for name, line := range sshLines {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), "ssh", "-F", lab.SSHConfig(), "-n", host, line)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			id, err := d.submit(t.Context(), name, shell(host, line))
			if err != nil {
				t.Fatal(err)
			}
			run, err := d.wait(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			same(t, d, run, map[string][]byte{"stdout": stdout.Bytes(), "stderr": stderr.Bytes()}, cmd.ProcessState.ExitCode())
		})
	}
}

// same compares a run on one host with what ssh brought. ssh says 255 for a death by signal; tfw names the signal.
func same(t *testing.T, d *daemon, run executor.Run, want map[string][]byte, status int) {
	t.Helper()
	r := run.Hosts[0]
	for stream, text := range want {
		got, err := d.stream(t.Context(), run.ID, r.Host, stream)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes %.200q, want %d %.200q", stream, len(got), got, len(text), text)
		}
	}
	if n := int64(len(want["stdout"])); r.StdoutBytes != n {
		t.Errorf("stdout_bytes %d, want %d", r.StdoutBytes, n)
	}
	switch {
	case r.ExitCode == nil:
		t.Errorf("no exit code: %+v", r)
	case status == 255 && r.Signal != "":
	case *r.ExitCode != status:
		t.Errorf("exit code %d, ssh says %d", *r.ExitCode, status)
	}
}

// TestOutputBeyondTheLimitStallsNothing: what is not kept must not fill the host's spool up.
func TestOutputBeyondTheLimitStallsNothing(t *testing.T) {
	lab := openSSHLab(t, 1)
	d := startDaemon(t, lab)
	req := shell(lab.Hosts()[0].Name, `head -c 400000000 /dev/zero; echo over >&2`)
	req["max_output"] = 1 << 20
	id, err := d.submit(t.Context(), "zeros", req)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Second)
	defer stop()
	run, err := d.wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if r := run.Hosts[0]; r.Verdict != executor.Passed || !r.Truncated || r.StdoutBytes != 400_000_000 {
		t.Errorf("%+v", r)
	}
	if kept, err := d.stream(t.Context(), id, run.Hosts[0].Host, "stdout"); err != nil || len(kept) != 1<<20 {
		t.Errorf("%d bytes kept: %v", len(kept), err)
	}
}

// TestKilledDaemonAttachesAgain: kill -9 in the middle of a command's output.
func TestKilledDaemonAttachesAgain(t *testing.T) {
	lab := openSSHLab(t, 2)
	d := startDaemon(t, lab)
	id, err := d.submit(t.Context(), "long", shell("all", `i=0; echo $$ >>~/started; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.05; done`))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		time.Sleep(400 * time.Millisecond)
		d.kill()
		if err := d.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run, err := d.wait(t.Context(), id)
	if err != nil || run.Verdict != executor.Passed {
		t.Fatalf("%v %+v", err, run)
	}
	var want strings.Builder
	for i := range 40 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	for _, r := range run.Hosts {
		if got, err := d.stream(t.Context(), id, r.Host, "stdout"); err != nil || string(got) != want.String() {
			t.Errorf("%s: %v %q", r.Host, err, got)
		}
		if b, err := os.ReadFile(lab.Home(r.Host) + "/started"); err != nil || bytes.Count(b, []byte("\n")) != 1 {
			t.Errorf("%s: started %q %v", r.Host, b, err)
		}
	}
}

// TestManyRunsAtOnce: every run ends and every host has its row, in bounded memory.
// LOAD=500 makes it so many runs on 100 hosts.
func TestManyRunsAtOnce(t *testing.T) {
	hosts, runs := 10, 40
	if n, err := strconv.Atoi(os.Getenv("LOAD")); err == nil {
		hosts, runs = 100, n
	}
	lab := labOf(t, executortest.LabOptions{Hosts: hosts, OpenSSH: true, Background: true})
	d := startDaemon(t, lab)
	begun := time.Now()
	ids := make([]executor.RunID, runs)
	clients := pool.New().WithMaxGoroutines(20)
	for i := range ids {
		clients.Go(func() {
			var err error
			if ids[i], err = d.submit(t.Context(), fmt.Sprint("run ", i), shell("all", fmt.Sprintf("echo run %d; echo warn >&2", i))); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	t.Logf("submitted after %v", time.Since(begun).Round(time.Millisecond))
	for _, state := range []string{"queued", "running", "queued"} {
		untilNone(t, d, state)
	}
	took := time.Since(begun)
	for i, id := range ids {
		run, err := d.wait(t.Context(), id)
		if err != nil || run.Verdict != executor.Passed || len(run.Hosts) != hosts {
			for _, r := range run.Hosts {
				if r.Verdict != executor.Passed {
					t.Errorf("run %d: %+v", i, r)
				}
			}
			t.Fatalf("run %d: %v %s, %d hosts", i, err, run.Verdict, len(run.Hosts))
		}
		want := int64(len(fmt.Sprintf("run %d\n", i)))
		for _, r := range run.Hosts {
			if r.Verdict != executor.Passed || r.StdoutBytes != want || r.StderrBytes != 5 {
				t.Errorf("run %d: %+v", i, r)
			}
		}
	}
	rss := peak(d.cmd.Process.Pid) >> 20
	t.Logf("%d runs on %d hosts: %v, peak RSS %d MB, on disk %d MB", runs, hosts, took.Round(time.Millisecond), rss, diskUse(d.data())>>20)
	if limit := int64(1500); rss > limit && len(raceFlag) == 0 {
		t.Errorf("peak RSS %d MB, want less than %d", rss, limit)
	}
}

func untilNone(t *testing.T, d *daemon, state string) {
	t.Helper()
	for {
		var list struct{ Runs []executor.Run }
		if err := d.call(t.Context(), http.MethodGet, "/v2.1/runs?limit=1&state="+state, nil, &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Runs) == 0 {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}
