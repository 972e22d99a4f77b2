package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestSplitRemote(t *testing.T) {
	for arg, want := range map[string][2]string{
		"duts:/boot/x":    {"duts", "/boot/x"},
		"dut[01-02]:x":    {"dut[01-02]", "x"},
		"duts[0:3]:/tmp/": {"duts[0:3]", "/tmp/"},
		"duts,!dut07:":    {"duts,!dut07", ""},
		"./a:b":           {},
		"/tmp/a:b":        {},
		"file":            {},
		":x":              {},
	} {
		target, path, remote := splitRemote(arg)
		if remote != (want[0] != "") || target != want[0] || path != want[1] {
			t.Errorf("%s: got %q %q %v", arg, target, path, remote)
		}
	}
}

// An archive is a host's word: it can put nothing outside of its directory.
func TestUnpackStaysInside(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	for name, heads := range map[string][]tar.Header{
		"a path up":      {{Name: "../outside", Typeflag: tar.TypeReg, Size: 4}},
		"a rooted path":  {{Name: outside, Typeflag: tar.TypeReg, Size: 4}},
		"a link up":      {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/outside", Typeflag: tar.TypeReg, Size: 4}},
		"a rooted link":  {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside}, {Name: "l", Typeflag: tar.TypeReg, Size: 4}},
		"a link to root": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/"}, {Name: "l" + outside, Typeflag: tar.TypeReg, Size: 4}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range heads {
			h.Mode = 0o644
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				w.Write([]byte("evil"))
			}
		}
		w.Close()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v", name, unpack(root, "into", bytes.NewReader(b.Bytes()), int64(b.Len())))
		root.Close()
		if _, err := os.Lstat(outside); err == nil {
			t.Fatalf("%s: something was put outside", name)
		}
		os.RemoveAll(filepath.Join(dir, "into"))
	}
}
