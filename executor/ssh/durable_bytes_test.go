package ssh

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"tfw/executor"
)

// plain runs the script as a person would, with the ssh program.
func (h *durableHost) plain(t *testing.T, script string, stdin []byte) (stdout, stderr []byte, code int) {
	t.Helper()
	cmd := exec.Command("ssh", "-F", "none", "-p", h.portText(), "-i", h.keyFile, "-o", "UserKnownHostsFile="+h.known,
		"-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "127.0.0.1", script)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()
}

// TestSameBytesAsSSH compares both streams and the status with ssh's own.
func TestSameBytesAsSSH(t *testing.T) { bothWays(t, sameBytesAsSSH) }

func sameBytesAsSSH(t *testing.T, h *durableHost) {
	c := h.conn(t)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, script := range map[string]string{
		"no newline":     `printf abc`,
		"nothing":        `true`,
		"only newline":   `echo`,
		"binary":         `head -c 100000 /dev/zero; printf '\036TFW1 x end 0\n\001\377\200'`,
		"16 MB":          `i=0; while [ $i -lt 16 ]; do head -c 1048576 /dev/zero | tr '\0' "$(printf "\\$((141+i%4))")"; i=$((i+1)); done`,
		"just the limit": `head -c 131072 /dev/zero`,
		"over the limit": `head -c 131073 /dev/zero >&2; head -c 131071 /dev/zero`,
		"interleaved":    `for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done`,
		"exit 77":        `exit 77`,
		"stdin at EOF":   `cat; echo rest`,
		"non-UTF-8":      "printf 'caf\xe9 \xff\xfe'; echo \xc3\xa9",
		"quotes":         `echo "a'b" 'c"d' "\$HOME" '$x' "\\" ` + "\\`id\\` '!!' '%s%d' '*'; echo 'new\nline'",
		"heredoc":        "cat <<'X'\n$a `b` \\n '\"'\nX\necho \"$(cat <<Y\n5 = $((2+3))\nY\n)\"",
		"comment":        "echo one # two",
		"status of last": "false",
		"background":     "sleep 0.05 & wait; echo waited",
		"umask cwd path": "umask; pwd; echo $PATH; echo $HOME; echo $#",
		"fds":            "ls /proc/self/fd | wc -l",
		"signals":        "grep -E 'Sig(Ign|Blk)' /proc/self/status",
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := h.plain(t, script, nil)
			r, end := mustRun(t, c, command(script))
			if !bytes.Equal(r.out.Bytes(), out) {
				t.Errorf("stdout: %d bytes %.80q, ssh has %d bytes %.80q; %+v %q", r.out.Len(), r.out.Bytes(), len(out), out, end, r.events)
			}
			if !bytes.Equal(r.err.Bytes(), errs) {
				t.Errorf("stderr: %.200q, ssh has %.200q", r.err.Bytes(), errs)
			}
			if end.Code != code {
				t.Errorf("status %d, ssh has %d", end.Code, code)
			}
		})
	}
}

// TestSlowBytes is the same for a command that is followed while it runs.
func TestSlowBytes(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	script := "sleep 0.1; for i in 1 2 3 4 5 6; do printf 'x%04000d\\n\\036' $i; printf '\\377\\001' >&2; head -c 300000 /dev/zero; sleep 0.02; done; printf end"
	out, errs, _ := h.plain(t, script, nil)
	r, _ := mustRun(t, c, command(script))
	if !bytes.Equal(r.out.Bytes(), out) || !bytes.Equal(r.err.Bytes(), errs) {
		t.Errorf("%d and %d bytes, ssh has %d and %d", r.out.Len(), r.err.Len(), len(out), len(errs))
	}
}

func TestEnds(t *testing.T) { bothWays(t, ends) }

func ends(t *testing.T, h *durableHost) {
	c := h.conn(t)
	for script, want := range map[string]executor.End{
		"no_such_command_here":      {Kind: executor.EndExit, Code: 127},
		"kill -TERM $$":             {Kind: executor.EndSignal, Code: 143, Signal: "TERM"},
		"kill -KILL $$":             {Kind: executor.EndSignal, Code: 137, Signal: "KILL"},
		"kill -SEGV $$":             {Kind: executor.EndSignal, Code: 139, Signal: "SEGV"},
		"exit 143":                  {Kind: executor.EndExit, Code: 143},
		"exit 255":                  {Kind: executor.EndExit, Code: 255},
		"if true":                   {Kind: executor.EndExit, Code: 2},
		"#!/no/such/interpreter\nx": {Kind: executor.EndExit, Code: 127},
		"sleep 0.1; kill -TERM $$":  {Kind: executor.EndSignal, Code: 143, Signal: "TERM"},
	} {
		_, end := mustRun(t, c, command(script))
		if end.Kind != want.Kind || end.Code != want.Code || end.Signal != want.Signal {
			t.Errorf("%q: %+v", script, end)
		}
	}
}

func TestArgsStdinInterpreterMerge(t *testing.T) { bothWays(t, argsStdinInterpreterMerge) }

func argsStdinInterpreterMerge(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command(`echo "$# $1|$2|$3"; cat`)
	cmd.Args = []string{"a b", "it's", "*\n$x"}
	cmd.Stdin = []byte("in\x00\xff'\\n%s\nno newline")
	r, _ := mustRun(t, c, cmd)
	if want := "3 a b|it's|*\n$x\n" + string(cmd.Stdin); r.out.String() != want {
		t.Errorf("%q", &r.out)
	}
	cmd = command("#!/usr/bin/awk -f\nBEGIN { print \"awk\", ARGV[1] }")
	cmd.Args = []string{"arg"}
	if r, _ := mustRun(t, c, cmd); r.out.String() != "awk arg\n" {
		t.Errorf("%q %q", &r.out, &r.err)
	}
	cmd = command("echo a; echo b >&2; echo c; sleep 0.1; echo d >&2")
	cmd.Merge = true
	if r, _ := mustRun(t, c, cmd); r.out.String() != "a\nb\nc\nd\n" || r.err.Len() > 0 {
		t.Errorf("merged %q %q", &r.out, &r.err)
	}
	cmd = command("wc -c")
	cmd.Stdin = bytes.Repeat([]byte("0123456789abcde\x00"), 64<<10)
	if r, _ := mustRun(t, c, cmd); strings.TrimSpace(r.out.String()) != "1048576" {
		t.Errorf("large stdin: %q %q", &r.out, &r.err)
	}
	cmd = command("echo big\n" + strings.Repeat("# comment\n", 50_000) + "echo script")
	if r, _ := mustRun(t, c, cmd); r.out.String() != "big\nscript\n" {
		t.Errorf("large script: %q %q", &r.out, &r.err)
	}
}

// TestNothingInPS looks at every command line of the machine while secrets are around.
func TestNothingInPS(t *testing.T) { bothWays(t, nothingInPS) }

func nothingInPS(t *testing.T, h *durableHost) {
	c := h.conn(t)
	mark := "s3cr" + newID().String()
	cmd := command("x=" + mark + "; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 's3cr[e]t" + "' ; cat /proc/[0-9]*/cmdline")
	cmd.Stdin = []byte(mark)
	r, _ := mustRun(t, c, cmd)
	if strings.Contains(r.out.String(), mark) {
		t.Error("the script or stdin shows in ps")
	}
	if r.out.Len() < 50 {
		t.Errorf("saw no command lines: %q", &r.out)
	}
}

func TestEnvironment(t *testing.T) { bothWays(t, environment) }

func environment(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("echo $TFW_RUN; env | grep -E '^(t_|TFW_HELPER)'; trap 'echo int; exit 3' INT; kill -INT $$; sleep 1")
	r, end := mustRun(t, c, cmd)
	if r.out.String() != cmd.ID.String()+"\nint\n" || end.Code != 3 {
		t.Errorf("%q %+v", &r.out, end)
	}
}
