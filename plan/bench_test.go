package plan_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// wide is a plan of layers of a hundred steps, each on a host of its own and after one of the layer before.
func wide(layers int) string {
	var b strings.Builder
	b.WriteString("name: wide\nhosts:\n")
	for h := range 100 {
		fmt.Fprintf(&b, "  r%d: {target: n%d}\n", h, h+1)
	}
	b.WriteString("steps:\n")
	for i := range layers * 100 {
		needs := ""
		if i >= 100 {
			needs = fmt.Sprintf("needs: [s%d], ", i-100)
		}
		fmt.Fprintf(&b, "  s%d: {uses: work.do, on: r%d, %swith: {do: 'say %d on ${{ host.name }}'}}\n", i, i%100, needs, i)
	}
	return b.String()
}

// TestScheduling: what the engine itself costs. LOAD=1 makes it 2,000 steps over 100 hosts.
func TestScheduling(t *testing.T) {
	layers := 2
	if os.Getenv("LOAD") != "" {
		layers = 20
	}
	l := newLab(t)
	inv, err := inventory.Parse("inventory.yaml", []byte("version: 1\nhosts: {'n[1-100]': {plugins: [work]}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.inv = inv
	text := wide(layers)
	began := time.Now()
	p := l.submit(text, nil)
	checked := time.Since(began)
	began = time.Now()
	got := l.wait(p)
	took := time.Since(began)
	steps := layers * 100
	t.Logf("%d steps over 100 hosts: checked in %v, run in %v, %v a step", steps, checked.Round(time.Millisecond), took.Round(time.Millisecond), (took / time.Duration(steps)).Round(time.Microsecond))
	if got.Verdict != executor.Passed || len(l.hosts.log) != steps {
		t.Errorf("%s, %d starts", got.Verdict, len(l.hosts.log))
	}
	if each := took / time.Duration(steps); each > 50*time.Millisecond { // meant is 5: this machine may be busy
		t.Errorf("%v a step", each)
	}
}
