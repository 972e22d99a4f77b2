package inventory

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const one, two = "version: 1\nhosts: {a: {address: 1.1.1.1}, b: }\n", "version: 1\nhosts: {a: {address: 2.2.2.2}, c: }\n"

// eventually waits for a condition with a generous bound.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("not within 20 s:", what)
}

func address(l *Live) string {
	h, ok := l.Current().Host("a")
	if !ok {
		return ""
	}
	return h.Address
}

// Every way in which editors save is seen.
func TestLiveSeesEverySave(t *testing.T) {
	for name, save := range map[string]func(t *testing.T, path string){
		"in place": func(t *testing.T, path string) { write(t, path, two, 0o600) },
		"rename": func(t *testing.T, path string) {
			if err := os.Rename(write(t, path+".new", two, 0o600), path); err != nil {
				t.Fatal(err)
			}
		},
		"remove and create": func(t *testing.T, path string) {
			_ = os.Remove(path)
			time.Sleep(2 * quiet)
			write(t, path, two, 0o600)
		},
		"in parts": func(t *testing.T, path string) {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			_, _ = f.WriteString(two[:20])
			_ = f.Sync()
			time.Sleep(quiet / 2)
			_, _ = f.WriteString(two[20:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, t.TempDir()+"/inventory.yaml", one, 0o600)
			l, err := NewLive(t.Context(), path, Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			before := l.Current()
			save(t, path)
			eventually(t, "the new address", func() bool { return address(l) == "2.2.2.2" })
			if h, _ := before.Host("a"); h.Address != "1.1.1.1" {
				t.Error("the snapshot changed")
			}
			if s := l.Status(); s.Error != "" || strings.Join(s.Diff.Added, " ") != "c" || strings.Join(s.Diff.Removed, " ") != "b" || strings.Join(s.Diff.Altered, " ") != "a" {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// As Kubernetes mounts a file: inventory.yaml -> data/inventory.yaml, data -> v1.
func TestLiveSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/v1/inventory.yaml", one, 0o600)
	write(t, dir+"/v2/inventory.yaml", two, 0o600)
	link := func(to, at string) {
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", dir+"/data")
	link("data/inventory.yaml", dir+"/inventory.yaml")
	l, err := NewLive(t.Context(), dir+"/inventory.yaml", Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	link("v2", dir+"/data.new")
	if err := os.Rename(dir+"/data.new", dir+"/data"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new address", func() bool { return address(l) == "2.2.2.2" })
}

func TestLiveKeepsTheLastGood(t *testing.T) {
	path := write(t, t.TempDir()+"/inventory.yaml", one, 0o600)
	var mu sync.Mutex
	var told []Status
	l, err := NewLive(t.Context(), path, Options{}, func(_ *Inventory, s Status) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, s)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rev := l.Status().Revision
	write(t, path, "version: 1\nhosts: {a: {adress: x}}\n", 0o600)
	eventually(t, "the error", func() bool { return l.Status().Error != "" })
	s := l.Status()
	if address(l) != "1.1.1.1" || s.Revision != rev || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Fix, "address") || s.Failed.IsZero() {
		t.Errorf("status %+v", s)
	}
	write(t, path, one, 0o600)
	eventually(t, "the error to go", func() bool { return l.Status().Error == "" })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(context.Background()); err == nil || address(l) != "1.1.1.1" {
		t.Errorf("without the file: %v, %s", err, address(l))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) < 2 || told[0].Error == "" {
		t.Errorf("told %+v", told)
	}
}

// A file that is included, and one of group_vars, are watched too.
func TestLiveFollowsAllFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/sub/hosts.yml", "all: {hosts: {a: }}\n", 0o600)
	top := write(t, dir+"/inventory.yaml", "version: 1\ninclude: sub/hosts.yml\n", 0o600)
	l, err := NewLive(t.Context(), top, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	write(t, filepath.Join(dir, "sub/hosts.yml"), "all: {hosts: {a: {ansible_host: 3.3.3.3}}}\n", 0o600)
	eventually(t, "the included file", func() bool { return address(l) == "3.3.3.3" })
	write(t, dir+"/sub/host_vars/a.yml", "ansible_host: 4.4.4.4\n", 0o600)
	eventually(t, "host_vars", func() bool { return address(l) == "4.4.4.4" })
}

func TestLiveNeedsAGoodStart(t *testing.T) {
	if _, err := NewLive(t.Context(), "/nonexistent/inventory.yaml", Options{}, nil); err == nil {
		t.Error("a missing file is accepted")
	}
}
