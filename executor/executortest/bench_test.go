package executortest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"tfw/executor/executortest"
)

// A tool runs `true` on every host of the lab, and brings one host's file here.
// Both come with the CPU that its own processes used.
type tool struct {
	name  string
	cold  operation // from no connection
	warm  operation // over what the last one left; nil when nothing is left
	fetch operation // 400 MB from one host, warm
	note  func() string
}

// operation is one of them, and tells what CPU it cost.
type operation func(context.Context) (time.Duration, error)

type sample struct{ wall, cpu time.Duration }

func measure(ctx context.Context, f operation) (sample, error) {
	start := time.Now()
	cpu, err := f(ctx)
	return sample{time.Since(start), cpu}, err
}

func median(all []sample) sample {
	if len(all) == 0 {
		return sample{}
	}
	all = slices.SortedFunc(slices.Values(all), func(a, b sample) int { return int(a.wall - b.wall) })
	return all[len(all)/2]
}

const (
	benchHosts = 100
	benchFile  = 400 << 20
	fetches    = 5
	warmRounds = 15
)

// TestBench is `make bench`: the same work by several tools in one run, so that
// the ratios hold whatever the machine.
func TestBench(t *testing.T) {
	if os.Getenv("BENCH") == "" {
		t.Skip("make bench")
	}
	// Not below /tmp: for minutes after others have deleted many files there, ext4 is slow to make new ones.
	dir, err := os.MkdirTemp("/var/tmp", "tfw-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	lab, err := executortest.NewLab(t.Context(), executortest.LabOptions{Dir: dir, Hosts: benchHosts, OpenSSH: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	host := lab.Hosts()[benchHosts-1].Name
	if err := writeLog(filepath.Join(lab.Home(host), "big.log"), benchFile); err != nil {
		t.Fatal(err)
	}
	tools := []tool{sshTool(t, lab, host), clushTool(t, lab), bareTool(t, lab, host)}
	if os.Getenv("PROGRAMS") != "" {
		tools = append(tools, tfwTools(t, lab, host)...)
	}
	benchTrue(t, tools)
	benchFetch(t, tools)
	benchLatency(t, lab, host)
}

func benchTrue(t *testing.T, tools []tool) {
	type row struct {
		name       string
		cold, warm sample
	}
	var rows []row
	for _, tool := range tools {
		r := row{name: tool.name}
		var err error
		if tool.cold != nil {
			if r.cold, err = measure(t.Context(), tool.cold); err != nil {
				t.Errorf("%s, cold: %v", tool.name, err)
				continue
			}
		}
		rows = append(rows, r)
	}
	takeTurns(t, tools, func(tool tool) operation { return tool.warm }, 2) // no longer the first
	for i, all := range takeTurns(t, tools, func(tool tool) operation { return tool.warm }, warmRounds) {
		rows[i].warm = median(all)
	}
	ref := map[string]row{}
	for _, r := range rows {
		ref[r.name] = r
	}
	fmt.Printf("\n`true` on %d hosts (sshd, this machine): seconds; cold is once, warm the median of %d rounds\n", benchHosts, warmRounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "tool\tcold\tclush/it\twarm\tssh/it\tit/bare\tcpu warm\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.name, seconds(r.cold.wall), ratio(ref["clush"].cold.wall, r.cold.wall),
			seconds(r.warm.wall), ratio(ref["ssh"].warm.wall, r.warm.wall), ratio(r.warm.wall, ref["bare"].warm.wall), seconds(r.warm.cpu))
	}
	w.Flush()
}

// takeTurns lets the tools do one operation after another, round by round: what the machine does meanwhile
// meets them alike. A tool without it has no samples.
func takeTurns(t *testing.T, tools []tool, of func(tool) operation, rounds int) [][]sample {
	t.Helper()
	all := make([][]sample, len(tools))
	for range rounds {
		for i, tool := range tools {
			if of(tool) == nil {
				continue
			}
			s, err := measure(t.Context(), of(tool))
			if err != nil {
				t.Fatalf("%s: %v", tool.name, err)
			}
			all[i] = append(all[i], s)
		}
	}
	return all
}

func benchFetch(t *testing.T, tools []tool) {
	tools = slices.DeleteFunc(slices.Clone(tools), func(tool tool) bool { return tool.fetch == nil })
	all := takeTurns(t, tools, func(tool tool) operation { return tool.fetch }, fetches)
	fmt.Printf("\na log of %d MB from one host: seconds, warm, median of %d rounds\n", benchFile>>20, fetches)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "tool\twall\tit/ssh\tMB/s\tcpu\t\t")
	for i, tool := range tools {
		s, note := median(all[i]), ""
		if tool.note != nil {
			note = tool.note()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f\t%s\t%s\t\n", tool.name, seconds(s.wall), ratio(s.wall, median(all[0]).wall), float64(benchFile>>20)/s.wall.Seconds(), seconds(s.cpu), note)
	}
	w.Flush()
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", d.Seconds())
}

func ratio(a, b time.Duration) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", float64(a)/float64(b))
}

// writeLog writes a file that looks like a build's log: lines that differ, words that repeat.
func writeLog(name string, size int) error {
	var block strings.Builder
	for i := 0; block.Len() < 4<<20; i++ {
		n := uint64(i) * 0x9e3779b97f4a7c15 >> 20
		fmt.Fprintf(&block, "[%4d/%d] CC drivers/net/ethernet/vendor%d/queue_%x.o -O2 -Wall -fno-strict-aliasing -I./include/generated/%x\n", i%9999, 9999, n%40, n, n>>18)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for left := size; left > 0; left -= min(left, block.Len()) {
		if _, err := f.WriteString(block.String()[:min(left, block.Len())]); err != nil {
			return err
		}
	}
	return f.Close()
}
