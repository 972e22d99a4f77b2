package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tfw/executor/executortest"
)

// SPEED=1 measures cp on a link of 50 ms round trip, to a host and back; the content cannot be compressed.
func TestCopySpeedOver50ms(t *testing.T) {
	if os.Getenv("SPEED") == "" {
		t.Skip("a measurement: SPEED=1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab, err := executortest.NewLab(ctx, executortest.LabOptions{Hosts: 2, Proxied: true})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	host := lab.Hosts()[0].Name
	lab.Proxy(host).SetLatency(25 * time.Millisecond)
	d := newDesk(t, lab)
	dir := t.TempDir()
	content := make([]byte, 200<<20)
	rand.NewChaCha8([32]byte{1}).Read(content)
	src := filepath.Join(dir, "big")
	if err := os.WriteFile(src, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"cp", src, host + ":big"}, {"cp", host + ":big", filepath.Join(dir, "got")}, {"cp", src, host + ":big"}} {
		began := time.Now()
		out, err := d.tfwctl(args...).CombinedOutput()
		took := time.Since(began)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		t.Logf("%.1f MB/s (%s): %s", float64(len(content))/1e6/took.Seconds(), took.Round(time.Millisecond), bytes.TrimSpace(out))
	}
	if got, err := os.ReadFile(filepath.Join(dir, "got", "big."+host)); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the content that came back differs (%v)", err)
	}
}
