package inventory

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within runs a load with a generous bound on time and on memory allocated.
func within(t *testing.T, load func() error) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := load()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > 2*time.Minute {
		t.Errorf("took %s", took)
	}
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 2000 {
		t.Errorf("allocated %d MiB", mb)
	}
	return err
}

func TestHostileContent(t *testing.T) {
	bomb := "version: 1\nx: &a0 [1,2,3,4,5,6,7,8,9]\n"
	for i := range 12 {
		bomb += fmt.Sprintf("y%d: &a%d [%s*a%d]\n", i, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	inVars := "version: 1\ndefaults:\n  vars:\n    a0: &a0 {x: 1}\n"
	for i := range 12 {
		inVars += fmt.Sprintf("    a%d: &a%d {p: *a%d, q: *a%d, r: *a%d, s: *a%d, t: *a%d, u: *a%d}\n", i+1, i+1, i, i, i, i, i, i)
	}
	var hosts strings.Builder
	hosts.WriteString("version: 1\nhosts:\n")
	for i := range 100001 {
		fmt.Fprintf(&hosts, "  h%d:\n", i)
	}
	var chain strings.Builder
	chain.WriteString("version: 1\ngroups:\n")
	for i := range 20000 {
		fmt.Fprintf(&chain, "  g%d: {groups: [g%d], hosts: [h%d]}\n", i, i+1, i)
	}
	chain.WriteString("  g20000:\n")
	for _, c := range []struct{ name, file, want string }{
		{"alias bomb outside", bomb, "unknown key"},
		{"alias bomb in vars", inVars, "aliases"},
		{"alias to itself", "version: 1\ndefaults: {vars: {a: &a [*a]}}\n", "deeper"},
		{"merge of itself", "version: 1\ndefaults: {vars: &a {<<: *a}}\n", ""},
		{"deep flow", "version: 1\ndefaults: {vars: {a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}}\n", "deeper"},
		{"deep open", strings.Repeat("[", 1000000), "not valid YAML"},
		{"deep dashes", strings.Repeat("- ", 1000000), "not valid YAML"},
		{"deep keys", strings.Repeat("{a: ", 200000), "not valid YAML"},
		{"deep JSON", `{"version": 1, "defaults": {"vars": {"a": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}}}", "deeper"},
		{"17 MiB", strings.Repeat("# x\n", 17<<20/4), "larger than 16 MiB"},
		{"16 MiB of comments", strings.Repeat("#\n", 8<<20-10), "too many items"},
		{"16 MiB of dashes", "version: 1\nhosts:\n" + strings.Repeat("-\n", 7<<20), "too many items"},
		{"4 MiB name", "version: 1\nhosts:\n  " + strings.Repeat("a", 4<<20), "longer than 253"},
		{"too many hosts", hosts.String(), "more than 100000 hosts"},
		{"too many by range", "version: 1\nhosts:\n  a[1-60000]:\n  b[1-60000]:\n", "more than 100000 hosts"},
		{"chain of groups", chain.String(), "too many groups"},
		{"anchors", "version: 1\nhosts: [" + strings.Repeat("&a a, ", 100000) + "]\n", "named twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := within(t, func() error { _, err := Parse("f.yaml", []byte(c.file), Options{}); return err })
			if c.want == "" {
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %.300v, want %s", err, c.want)
			}
			if ps, ok := err.(Problems); !ok || len(ps) > maxProblems+1 || len(ps[0].Text) > 4096 {
				t.Errorf("%d problems", len(ps))
			}
		})
	}
}

func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	big, err := os.Create(dir + "/big.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := big.Truncate(100 << 20); err != nil {
		t.Fatal(err)
	}
	big.Close()
	_ = os.Symlink("loop", dir+"/loop")
	if err := os.Mkdir(dir+"/empty", 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/fifo": "is a fifo", dir + "/big.yaml": "larger than 16 MiB", dir + "/loop": "too many levels", dir + "/empty": "directory without an inventory",
		dir + "/missing": "no such file", "/dev/zero": "is a device", dir + "/missing/x.yaml": "no such file",
	} {
		err := within(t, func() error { _, err := Load(context.Background(), path, Options{}); return err })
		ps, ok := err.(Problems)
		if !ok || len(ps) != 1 || !strings.Contains(ps[0].Message, want) || ps[0].Fix == "" || !strings.HasPrefix(ps[0].File, path) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// An unreadable file, as somebody who is not root sees it.
func TestNoPermission(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir+"/inventory.yaml", one, 0o000)
	if os.Getuid() != 0 {
		if _, err := Load(context.Background(), path, Options{}); err == nil || !strings.Contains(err.Error(), "no permission") {
			t.Errorf("error %v", err)
		}
		return
	}
	p := unreadable(path, &os.PathError{Op: "open", Path: path, Err: syscall.EACCES})
	if !strings.Contains(p.Message, "no permission") || p.Fix == "" {
		t.Errorf("problem %+v", p)
	}
}

func bigInventory(n int) []byte {
	var b strings.Builder
	b.WriteString("version: 1\ndefaults: {ssh: {user: lab}}\ngroups:\n")
	for g := range 50 {
		fmt.Fprintf(&b, "  rack%d:\n    plugins: [linux_system]\n    hosts:\n", g)
		for i := range n / 50 {
			fmt.Fprintf(&b, "      host-%d-%d: {address: 10.%d.%d.%d, tags: [t%d], vars: {slot: %d, board: imx8}}\n", g, i, g, i/250, i%250, i%7, i)
		}
	}
	return []byte(b.String())
}

func TestBigInventoriesLoad(t *testing.T) {
	for _, n := range []int{20000} {
		inv, err := Parse("big.yaml", bigInventory(n), Options{})
		if err != nil || len(inv.Hosts()) != n {
			t.Fatalf("%d hosts: %v", n, err)
		}
	}
}

func BenchmarkParse10000(b *testing.B) {
	data := bigInventory(10000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("big.yaml", data, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFold100000(b *testing.B) {
	for name, set := range map[string]string{"one": "n[1-100000]", "two": "r[1-400]s[1-250]", "ragged": "r[1-300]s[1-300],x[1-99/2]y[1-200/3]"} {
		names, err := Expand(set)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Fold(names)
			}
		})
	}
}
