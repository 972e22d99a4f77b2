package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tfw/api"
	"tfw/cmd/tfwctl/screen"
	"tfw/cmd/tfwctl/screen/screentest"
	"tfw/executor"
	"tfw/inventory"
)

// untouched is what a terminal must be like again after top.
func untouched(t *testing.T, p *screentest.Pty, before any) {
	t.Helper()
	after, err := p.Settings()
	if err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the terminal's settings are %v (%v), were %v", after, err, before)
	}
	alternate, hidden, unknown := p.State()
	if alternate || hidden || len(unknown) > 0 {
		t.Errorf("left with the alternate screen %v, no cursor %v; odd sequences: %v", alternate, hidden, unknown)
	}
}

// topOn starts top on a terminal, and notes how that was before.
func topOn(t *testing.T, d *desk, width, height int, args ...string) (*screentest.Pty, any) {
	t.Helper()
	p := d.start(t, width, height, d.tfwctl(append([]string{"top", "-d", "200ms"}, args...)...))
	// Before top takes it: a program that starts needs longer than this.
	before, err := p.Settings()
	if err != nil {
		t.Fatal(err)
	}
	await(t, p, `HOSTS 6|LOG|RUN`)
	return p, before
}

func testTop(t *testing.T, d *desk) {
	d.say(t, "exec", "dut01", "-q", "--shell", `printf 'first\033[2J\033]0;x\007\n'; i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo "row $i"; done`)
	run := d.say(t, "exec", "duts", "--detach", "--shell", `echo "of $LAB_HOST"; exec sleep 60`)
	p, before := topOn(t, d, 100, 30)
	await(t, p, `(?m)^> `+run+` running +0/4 `)
	await(t, p, `(?m)^  running +4  dut\[01-04\]  for \d`)
	await(t, p, `(?m)^dut03: of dut03$`)
	_ = p.Type("/dut02\r")
	await(t, p, `(?m)^LOG of dut02\ndut02: of dut02\n\n`)
	_ = p.Type("/nosuch\r")
	await(t, p, `nosuch: no host of this run`)
	_ = p.Type("cn")
	await(t, p, `not cancelled`)
	_ = p.Type("c")
	await(t, p, `cancel run `+run+` on 4 hosts\? y/n`)
	_ = p.Type("y")
	await(t, p, `(?m)^> `+run+` cancelled +0/4 `)
	_ = p.Type("\x1b[B") // down: the older run
	await(t, p, `(?m)^dut01: row 100$`)
	_ = p.Type("\x1b[1~") // home
	await(t, p, `(?m)^dut01: first\^\[\[2J\^\[\]0;x\^G$`)
	await(t, p, `lines further up than its end`)
	_ = p.Type("\x1b[C") // right
	await(t, p, `(?m)^dut01:$`)
	_ = p.Type("f")
	await(t, p, `(?m)^dut01: row 100$`)
	if err := p.Resize(60, 12); err != nil {
		t.Fatal(err)
	}
	await(t, p, `(?m)^ q quit .*pgdn`)
	quiet := len(p.Sent())
	time.Sleep(time.Second)
	if n := len(p.Sent()) - quiet; n > 600 { // the clock, and hosts that are asked again
		t.Errorf("nothing happened, and a second took %d bytes", n)
	}
	_ = p.Type("q")
	ends(t, p, 0)
	untouched(t, p, before)
}

func testTopLost(t *testing.T, d *desk) {
	p, before := topOn(t, d, 80, 24)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := d.c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, p, `LOST for \d+s, trying again`)
	_ = p.Type("\x03")
	ends(t, p, 0)
	untouched(t, p, before)
}

func testTopSmall(t *testing.T, d *desk) {
	d.say(t, "exec", "all", "-q", "--shell", `echo 漢字漢字漢字漢字漢字漢字漢字漢字`)
	for _, size := range [][2]int{{1, 1}, {3, 2}, {20, 3}, {33, 7}, {47, 11}, {300, 4}} {
		p, before := topOn2(t, d, size[0], size[1])
		time.Sleep(300 * time.Millisecond)
		_ = p.Type("\x1b[A\x1b[B\x1b[5~\x1b[6~\x1b[C/dut01\r/\x1bcyaq")
		_ = p.Type("q")
		ends(t, p, 0)
		untouched(t, p, before)
	}
}

// topOn2 waits for the screen to be taken only: very small ones show little.
func topOn2(t *testing.T, d *desk, width, height int) (*screentest.Pty, any) {
	t.Helper()
	cmd := d.tfwctl("top", "-d", "100ms")
	cmd.Env = append(cmd.Env, "NO_COLOR=1")
	p := d.start(t, width, height, cmd)
	before, err := p.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if !p.Until(soon, func(string) bool { alternate, _, _ := p.State(); return alternate }) {
		t.Fatalf("top never began: %q", p.Sent())
	}
	if s := p.Sent(); regexp.MustCompile(`\x1b\[[0-9;]*3[0-9]m`).MatchString(s) {
		t.Errorf("colours with NO_COLOR: %q", s)
	}
	return p, before
}

func testTopEnds(t *testing.T, d *desk) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		p, before := topOn(t, d, 80, 24)
		if err := p.Cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		ends(t, p, 128+int(s))
		untouched(t, p, before)
	}
	for _, args := range [][]string{{"top"}, {"top", "-o", "json"}, {"top", "-d", "0s"}, {"top", "extra"}} {
		if out, err := d.tfwctl(args...).CombinedOutput(); err == nil || !strings.Contains(err.Error(), "exit status 2") {
			t.Errorf("%v away from a terminal: %v, %s", args, err, out)
		}
	}
}

// A panic anywhere gives the terminal back before it is told.
func TestTopGivesTheTerminalBackOnPanic(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	in, eye, err := screentest.Open(80, 24)
	if err != nil {
		t.Fatal(err)
	}
	defer eye.Close()
	before, _ := eye.Settings()
	terminal, err := screen.Open(in, in, true)
	if err != nil {
		t.Fatal(err)
	}
	raised := func() (v any) {
		defer func() { v = recover() }()
		defer terminal.Close()
		f := &topFeed{updates: make(chan func(*topModel)), panics: make(chan topPanic, 8), kick: make(chan struct{}, 1)}
		l := &topLoop{t: terminal, m: &topModel{}, feed: f, delay: 50 * time.Millisecond, signals: make(chan os.Signal)}
		defer f.wait()
		f.do(func() { panic("boom") })
		return errors.Join(l.run(t.Context()))
	}()
	if err := eye.Drain(); err != nil {
		t.Fatal(err)
	}
	if p, ok := raised.(topPanic); !ok || p.value != "boom" || !strings.Contains(p.String(), "top_test.go") {
		t.Errorf("got %v", raised)
	}
	untouched(t, eye, before)
}

func TestTopPutsHostsTogether(t *testing.T) {
	yes, no := true, false
	m := &topModel{hosts: []api.Host{
		{Name: "a1", State: inventory.Active, Reachable: &yes}, {Name: "a2", State: inventory.Active, Reachable: &yes},
		{Name: "b1", State: inventory.Active, Reachable: &no, Problem: "b1: connect: refused"}, {Name: "c1", State: inventory.Active},
		{Name: "d1", State: inventory.Maintenance, Reason: "eth1 dead"},
	}}
	var got []string
	for _, row := range m.hostRows() {
		var b strings.Builder
		for _, part := range row {
			b.WriteString(part.text)
		}
		got = append(got, strings.Join(strings.Fields(b.String()), " "))
	}
	want := "unreachable 1 b1 connect: refused|maintenance 1 d1 eth1 dead|not asked yet 1 c1|reachable 2 a[1-2]"
	if strings.Join(got, "|") != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// The screen is divided so that the log always has rows, on any size.
func TestTopSharesEverySize(t *testing.T) {
	for height := -1; height < 80; height++ {
		for _, n := range []int{0, 1, 5, 60} {
			s := shareRows(height, n, n, n)
			if sum := s.hosts + s.runs + s.results + s.log; s.log < 1 || height > 0 && sum > height {
				t.Fatalf("%d rows with %d of each: %+v", height, n, s)
			}
		}
	}
}

// What the log pane keeps is bounded, however much comes.
func TestTopLogIsBounded(t *testing.T) {
	l := newTopLog()
	e := api.LogEntry{Host: "h", Stream: executor.Stdout, Data: []byte(strings.Repeat(strings.Repeat("x", 9000)+"\n", 7))}
	for range 500 {
		l.add(logPage{entries: []api.LogEntry{e}}, false)
	}
	if n := len(l.lines); n != topLines {
		t.Errorf("%d lines are kept", n)
	}
	if n := len(l.lines[0].text); n != maxTopLine {
		t.Errorf("a line keeps %d bytes", n)
	}
}
