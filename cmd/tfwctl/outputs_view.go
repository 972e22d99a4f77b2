package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
)

// inLog are the outputs of commands that a person has seen already: the log shows them.
var inLog = []string{"exit_code", "stdout", "stderr", "stdout_bytes", "stderr_bytes", "elapsed", "signal"}

// showOutputs prints what a method told of each host, hosts that told the same
// together. Commands tell nothing but what they printed, and are left out.
func (a *app) showOutputs(run *executor.Run) error {
	hosts := map[string][]string{}
	var order []string
	for _, h := range run.Hosts {
		text, err := outputsOf(h)
		if err != nil {
			return fmt.Errorf("outputs of %s: %w", h.Host, err)
		}
		if text == "" {
			continue
		}
		if hosts[text] == nil {
			order = append(order, text)
		}
		hosts[text] = append(hosts[text], h.Host)
	}
	p := a.painter(a.out)
	for _, text := range order {
		names := fold(hosts[text])
		if n := len(hosts[text]); n > 1 {
			names = fmt.Sprintf("%s (%d)", names, n)
		}
		a.printf("%s\n", p(blue, names+":"))
		for line := range strings.Lines(text) {
			a.printf("  %s\n", lines.Safe([]byte(strings.TrimSuffix(line, "\n"))))
		}
	}
	return nil
}

func hasOutputs(run *executor.Run) bool {
	return slices.ContainsFunc(run.Hosts, func(h executor.HostResult) bool {
		text, err := outputsOf(h)
		return text != "" || err != nil
	})
}

// outputsOf is a host's outputs as YAML, "" when the log has told all of it.
func outputsOf(h executor.HostResult) (string, error) {
	var fields map[string]json.RawMessage
	if len(h.Outputs) == 0 || json.Unmarshal(h.Outputs, &fields) != nil {
		return "", nil //nolint:nilerr // a method may give what is no object: that is for scripts
	}
	if _, command := fields["stdout_bytes"]; command {
		maps.DeleteFunc(fields, func(name string, _ json.RawMessage) bool { return slices.Contains(inLog, name) })
		if len(fields) == 0 {
			return "", nil
		}
		return yamlOf(fields)
	}
	if len(fields) == 0 {
		return "", nil
	}
	return yamlOf(h.Outputs) // in the method's own order
}

// yamlOf writes a value with its JSON names and numbers.
func yamlOf(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	text, err = yaml.JSONToYAML(text)
	return string(text), err
}
