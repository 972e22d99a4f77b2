package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
)

func newRun(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run PLUGIN.METHOD TARGET [key=value | key:=json ...]",
		Short: "Run a plugin's method on hosts",
		Long: `Run a method of a plugin on every host of a target. Parameters are checked
before any host is touched. key=value gives a text (a number, truth value or
list where the method wants one), key:=json gives JSON, key=@FILE the content of
a file; a dot goes into objects (env.PATH=/bin). Some methods take their first
parameters without "key=". What there is: tfwctl plugins.`,
		Example: `  tfwctl run linux_system.system_information duts
  tfwctl run linux_system.run_shell duts command='uname -a' timeout=10s
  tfwctl run linux_system.run_script dut01 script=@./setup.sh args:='["--fast"]'
  tfwctl run linux_system.wait_for duts port:=22 -o json`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeRunArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			plugin, method, ok := strings.Cut(args[0], ".")
			if !ok || plugin == "" || method == "" {
				return usageError{fmt.Sprintf("%q: want PLUGIN.METHOD (see: tfwctl plugins)", args[0])}
			}
			params, err := a.parameters(cmd, plugin, method, args[2:])
			if err != nil {
				return err
			}
			req := executor.Request{Plugin: plugin, Method: method, Parameters: params, Target: args[1], AdHoc: true}
			err = a.execute(cmd.Context(), req, &f)
			if errors.Is(err, executor.ErrBadRequest) && strings.Contains(err.Error(), "parameters.") {
				err = fmt.Errorf("%w\nsee: tfwctl plugins %s", err, args[0])
			}
			return err
		},
	}
	f.add(cmd)
	return cmd
}

// parameters makes the parameters object of key=value words.
func (a *app) parameters(cmd *cobra.Command, plugin, method string, words []string) (json.RawMessage, error) {
	if len(words) == 0 {
		return nil, nil
	}
	client, err := a.client(cmd.Context())
	if err != nil {
		return nil, err
	}
	m, err := methodOf(cmd, client, plugin, method)
	if err != nil {
		return nil, err
	}
	schema := readSchema(m.Parameters)
	params := map[string]any{}
	for i, word := range words {
		key, value, err := a.parameter(schema, m, i, word)
		if err != nil {
			return nil, err
		}
		if err := put(params, strings.Split(key, "."), value); err != nil {
			return nil, usageError{fmt.Sprintf("%s: %v", word, err)}
		}
	}
	return json.Marshal(params)
}

func methodOf(cmd *cobra.Command, client *api.Client, plugin, method string) (api.Method, error) {
	p, err := client.Plugin(cmd.Context(), plugin)
	if err != nil {
		return api.Method{}, err
	}
	for _, m := range p.Methods {
		if m.Name == method {
			return m, nil
		}
	}
	return api.Method{}, usageError{fmt.Sprintf("%q: plugin %s has no such method (see: tfwctl plugins %s)", method, plugin, plugin)}
}

// parameter reads one word: key:=json, key=@file, key=value, or the place's own parameter.
func (a *app) parameter(s schema, m api.Method, place int, word string) (key string, value any, err error) {
	if !utf8.ValidString(word) {
		return "", nil, usageError{fmt.Sprintf("%+q: is no UTF-8, so it cannot be sent as it is (put it into a file: key=@FILE)", word)}
	}
	eq := strings.IndexByte(word, '=')
	// A mistyped key must not turn into a value: what looks like key= is one.
	if eq < 1 || !keyLike.MatchString(word[:eq]) && !s.has(word[:eq]) {
		if place >= len(m.Positional) {
			return "", nil, usageError{fmt.Sprintf("%q: want key=value or key:=json (see: tfwctl plugins %s)", word, m.Name)}
		}
		key = m.Positional[place]
		value, err = s.read(key, word)
		return key, value, err
	}
	key, text := word[:eq], word[eq+1:]
	if k, isJSON := strings.CutSuffix(key, ":"); isJSON {
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			return "", nil, usageError{fmt.Sprintf("%s: is not JSON: %v", word, err)}
		}
		return k, value, nil
	}
	if path, isFile := strings.CutPrefix(text, "@"); isFile {
		content, err := a.readInput(key, path)
		if err != nil {
			return "", nil, err
		}
		return key, fileValue(content), nil
	}
	value, err = s.read(key, text)
	return key, value, err
}

var keyLike = regexp.MustCompile(`^[a-z_][a-z0-9_]*(\.[A-Za-z0-9_-]+)*:?$`)

// put sets a value at a path of keys.
func put(in map[string]any, path []string, value any) error {
	for _, k := range path[:len(path)-1] {
		next, ok := in[k].(map[string]any)
		if in[k] == nil {
			next, ok = map[string]any{}, true
			in[k] = next
		}
		if !ok {
			return fmt.Errorf("%s was given as a value before", k)
		}
		in = next
	}
	last := path[len(path)-1]
	if _, twice := in[last]; twice {
		return fmt.Errorf("%s is given twice", last)
	}
	in[last] = value
	return nil
}
