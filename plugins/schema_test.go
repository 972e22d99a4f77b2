package plugins_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tfw/plugins"
)

func TestCheckSaysWhatIsWrongAndNoValues(t *testing.T) {
	tests := []struct{ method, params, want string }{
		{"run_shell", `{}`, "parameters.command: is required"},
		{"run_shell", ``, "parameters.command: is required"},
		{"run_shell", `{"cmd":"s3cret"}`, "parameters.cmd: unknown (did you mean command?)\nparameters.command: is required"},
		{"run_shell", `{"command":"x","comand":"s3cret"}`, "parameters.comand: unknown (did you mean command?)"},
		{"run_shell", `{"command":1234567}`, "parameters.command: want string, got number"},
		{"run_shell", `{"command":"x","timeout":"s3cret"}`, `parameters.timeout: want a duration such as "90s" or "2h30m", or a number of seconds`},
		{"run_shell", `{"command":"x","timeout":-1}`, `parameters.timeout: want a duration such as "90s" or "2h30m", or a number of seconds`},
		{"run_shell", `{"command":"x","env":{"a b":"s3cret"}}`, "parameters.env: want an object of values by name, each name of letters, digits and _ and not beginning with a digit"},
		{"run_shell", `{"command":"x","env":{"A":{"s3cret":1}}}`, `parameters.env.A: want a text without NUL, a number, true/false or {"secret": "secret:NAME"}`},
		{"run_shell", `{"command":"x","become":"-u s3cret"}`, "parameters.become: want true, false or the name of a user"},
		{"run_shell", `{"command":"x","args":{"s3cret":1}}`, "parameters.args: want a text (read by the shell) or a list of words (each quoted), without NUL"},
		{"run_shell", `[1]`, "parameters: want object, got array"},
		{"run_shell", `{"s3cret"`, "parameters: is not valid JSON"},
		{"exec", `{"argv":[]}`, "parameters.argv: want at least 1 items"},
		{"upload", `{"dest":"x"}`, "parameters: give exactly one of content, artifact"},
		{"upload", `{"dest":"x","content":"s3cret","artifact":"s3cret"}`, "parameters: give exactly one of content, artifact\nparameters.artifact: does not match ^[0-9a-f]{64}$"},
		{"upload", `{"dest":"x","content":"s3cret","mode":755}`, `parameters.mode: want an octal text such as "0755"`},
		{"wait_for", `{"port":70000}`, "parameters.port: want at most 65535"},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.params, func(t *testing.T) {
			err := method(t, "linux_system", tt.method).Check(json.RawMessage(tt.params))
			if err == nil {
				t.Fatal("was passed")
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "1234567") {
				t.Errorf("tells a value: %v", err)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestCatalogueShowsDefaultsAndOptionalParameters(t *testing.T) {
	doc, err := json.Marshal(plugins.Describe(plugins.LinuxSystem{}))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Methods []struct {
			Name       string
			Positional []string
			Parameters struct {
				Required   []string
				Properties map[string]struct {
					Default     any
					Description string
				}
			}
		}
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	required := map[string]string{}
	for _, m := range d.Methods {
		required[m.Name] = strings.Join(m.Parameters.Required, " ")
		for name, p := range m.Parameters.Properties {
			if p.Description == "" {
				t.Errorf("%s: parameter %s has no description", m.Name, name)
			}
		}
		if m.Name == "wait_for" && m.Parameters.Properties["timeout"].Default != "1m0s" {
			t.Errorf("default of timeout: %v", m.Parameters.Properties["timeout"])
		}
	}
	for name, want := range map[string]string{"run_shell": "command", "exec": "argv", "upload": "dest", "run_script": "", "wait_for": "", "system_information": ""} {
		if required[name] != want {
			t.Errorf("%s requires %q, want %q", name, required[name], want)
		}
	}
}

func TestSchemaMayNotReadOtherDocuments(t *testing.T) {
	if _, err := plugins.NewSchema(json.RawMessage(`{"$ref":"file:///etc/passwd"}`)); err == nil {
		t.Error("a schema that points at a file was compiled")
	}
}
