package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
	"tfw/plugins"
)

// showRun prints a run for people: what it was, then the hosts, those that fared alike together.
func (a *app) showRun(run *executor.Run) error {
	p := a.painter(a.out)
	a.printf("run       %s\n", run.ID)
	if line := commandLine(run); line != "" {
		a.printf("command   %s\n", lines.Safe([]byte(line)))
	} else {
		a.printf("method    %s.%s\n", run.Plugin, run.Method)
		if len(run.Parameters) > 2 {
			a.printf("with      %s\n", lines.Safe([]byte(readable(run.Parameters))))
		}
	}
	a.printf("target    %s\n", safe(targetOf(run)))
	a.printf("state     %s\n", p(stateColour(run), stateOf(run)))
	if run.Reason != "" {
		a.printf("reason    %s\n", safe(run.Reason))
	}
	a.printf("created   %s (%s)%s\n", run.Created.Local().Format("2006-01-02 15:04:05"), since(run.Created), by(run))
	if took := tookOf(run); took != "" {
		a.printf("took      %s\n", took)
	}
	if run.RerunOf != "" {
		a.printf("rerun of  %s\n", run.RerunOf)
	}
	if run.Cancel != "" && !strings.Contains(run.Reason, run.Cancel) {
		a.printf("cancelled by %s\n", safe(run.Cancel))
	}
	a.printf("\n")
	if err := a.hostsOfRun(run).print(a, a.out); err != nil {
		return err
	}
	if !hasOutputs(run) {
		return nil
	}
	a.printf("\n")
	return a.showOutputs(run)
}

// targetOf is a run's target; the hosts that a test plan chose are folded.
func targetOf(run *executor.Run) string {
	if run.Plan == "" {
		return run.Target
	}
	return fold(strings.Split(run.Target, ","))
}

func by(run *executor.Run) string {
	if run.By == "" {
		return ""
	}
	return " by " + run.By
}

// stateOf is the verdict once there is one, else the state.
func stateOf(run *executor.Run) string {
	if run.State == executor.Done {
		return spoken(run.Verdict)
	}
	return string(run.State)
}

func stateColour(run *executor.Run) string {
	if run.State == executor.Done {
		return verdictColour(run.Verdict)
	}
	return cyan
}

func tookOf(run *executor.Run) string {
	if run.Started.IsZero() || run.Finished.IsZero() {
		return ""
	}
	return short(run.Finished.Sub(run.Started))
}

// hostsOfRun folds hosts that ended alike into one row.
func (a *app) hostsOfRun(run *executor.Run) grid {
	g := grid{head: []string{"HOSTS", "VERDICT", "EXIT", "STDOUT", "STDERR", "REASON"}, wide: 5, wrap: true}
	type alike struct {
		verdict      executor.Verdict
		exit, reason string
	}
	groups := map[alike][]int{}
	var order []alike
	for i, h := range run.Hosts {
		k := alike{h.Verdict, exitText(h), ownWords(h)}
		if _, seen := groups[k]; !seen {
			order = append(order, k)
		}
		groups[k] = append(groups[k], i)
	}
	for _, k := range order {
		var names []string
		var out, errs int64
		for _, i := range groups[k] {
			names = append(names, run.Hosts[i].Host)
			out += run.Hosts[i].StdoutBytes
			errs += run.Hosts[i].StderrBytes
		}
		verdict := spoken(k.verdict)
		if verdict == "" {
			verdict = string(run.State)
		}
		name := fold(names)
		if len(names) > 1 {
			name = fmt.Sprintf("%s (%d)", name, len(names))
		}
		g.rows = append(g.rows, []cell{{text: name}, {verdict, verdictColour(k.verdict)},
			{text: k.exit}, {text: size(out)}, {text: size(errs)}, {text: k.reason}})
	}
	return g
}

// ownWords is a host's reason without its own name, so that hosts with the same trouble look alike.
func ownWords(h executor.HostResult) string {
	if h.Waiting != "" {
		return "waiting: " + h.Waiting
	}
	return strings.TrimPrefix(h.Reason, h.Host+": ")
}

func exitText(h executor.HostResult) string {
	switch {
	case h.Signal != "":
		return "SIG" + h.Signal
	case h.ExitCode != nil:
		return strconv.Itoa(*h.ExitCode)
	}
	return ""
}

// size is a number of bytes for people.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f /= 1 << 10; f < 1<<10 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// what says in a few words what a run does: the command line where it is one.
func what(run *executor.Run) string {
	if line := commandLine(run); line != "" {
		return line
	}
	return run.Plugin + "." + run.Method
}

// commandLine is what exec was given, as one would type it; "" for other methods.
func commandLine(run *executor.Run) string {
	var p struct {
		Command string
		Args    plugins.Words
	}
	if run.Plugin != "linux_system" || run.Method != "run_shell" || json.Unmarshal(run.Parameters, &p) != nil {
		return ""
	}
	args, err := p.Args.Shell()
	if err != nil {
		return p.Command
	}
	return strings.TrimSpace(p.Command + " " + args)
}

// readable is JSON as a person reads it: without escapes that only HTML needs.
func readable(raw json.RawMessage) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(raw); err != nil {
		return string(raw)
	}
	return strings.TrimSpace(b.String())
}
