package plugins_test

import (
	"os"
	"strings"
	"testing"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

// Every method that is shipped, and one of a script, ends the same when the controller is killed after any of its operations.
func TestEveryMethodSurvivesTheController(t *testing.T) {
	tried := map[string]bool{}
	files := func(all map[string]string) plugintest.Option {
		return plugintest.Setup(func(h *plugintest.LocalHost) {
			for name, content := range all {
				if err := os.WriteFile(h.Path(name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	artifact := plugintest.Setup(func(h *plugintest.LocalHost) { h.AddArtifact([]byte("content\n")) })
	const sum = "434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53" // of "content\n"
	checkouts := plugintest.Setup(func(h *plugintest.LocalHost) {
		project(t, h)
		sh(t, h, "mkdir -p .cache/tfw/build/x && touch .cache/tfw/build/x/y")
	})
	git := []plugintest.Option{plugintest.Ignore("elapsed"), plugintest.IgnoreFiles(".git/", "repo/")}
	elapsed := plugintest.Ignore("elapsed", "duration", "waited", "tries", "mod_time")
	for _, tt := range []struct {
		method string
		params m
		least  int // operations
		opts   []plugintest.Option
	}{
		{"linux_system.run_shell", m{"command": "echo x >> trace; cat trace; exit 3"}, 1, []plugintest.Option{elapsed}},
		{"linux_system.exec", m{"argv": []string{"sh", "-c", "echo x >> trace; cat trace"}}, 1, []plugintest.Option{elapsed}},
		{"linux_system.run_script", m{"script": "#!/bin/sh\necho $1 >> trace; cat trace", "args": []string{"a"}}, 1, []plugintest.Option{elapsed}},
		{"linux_system.run_script", m{"artifact": sum, "interpreter": "cat"}, 1, []plugintest.Option{elapsed, artifact}},
		{"linux_system.system_information", m{}, 1, []plugintest.Option{plugintest.Ignore("uptime", "load", "clock", "available", "swap_free", "free", "used", "memory", "mounts", "disks")}},
		{"linux_system.upload", m{"content": "x", "dest": "placed", "mode": "0751"}, 1, nil},
		{"linux_system.upload", m{"artifact": sum, "dest": "placed"}, 1, []plugintest.Option{artifact}},
		{"linux_system.download", m{"path": "kept"}, 1, []plugintest.Option{elapsed, files(map[string]string{"kept": "x"})}},
		{"linux_system.wait_for", m{"path": "there"}, 1, []plugintest.Option{elapsed, files(map[string]string{"there": ""})}},
		{"build_server.checkout", m{"repo": "../../../../repo", "ref": "next"}, 1, append(git, plugintest.Setup(func(h *plugintest.LocalHost) { project(t, h) }))},
		{"build_server.build", m{"repo": "../../../../repo", "ref": "v1.0", "command": "echo $TFW_COMMIT > id", "artifacts": "id"}, 3, append(git, plugintest.Setup(func(h *plugintest.LocalHost) { project(t, h) }))},
		{"build_server.clean", m{}, 1, append(git, checkouts)},
		{"deploy.install", m{"content": "v2", "dest": "opt/app", "activate": "cat opt/app >> opt/live"}, 3, []plugintest.Option{plugintest.Setup(func(h *plugintest.LocalHost) { newDir(t, h, "v1") })}},
		{"deploy.rollback", m{"dest": "opt/app", "activate": "cat opt/app >> opt/live"}, 1, []plugintest.Option{plugintest.Setup(func(h *plugintest.LocalHost) {
			newDir(t, h, "v1")
			if _, err := deploy(t, h, "install", m{"content": "v2", "dest": "opt/app"}); err != nil {
				t.Fatal(err)
			}
		})}},
		{"deploy.service", m{"name": "tfw-no-such", "action": "status"}, 1, nil},
		{"deploy.reboot", m{}, 2, nil},
		{"deploy.new_host_key", m{}, 1, nil},
		{"testcase.run", m{"script": "printf '1..1\\nok 1 - a\\n' > r.tap; echo x >> trace", "report": "tap:r.tap", "artifacts": "trace"}, 3, []plugintest.Option{elapsed}},
		{"board.flash", m{"image": "x"}, 1, nil},
	} {
		t.Run(tt.method, func(t *testing.T) {
			plugin, name, _ := strings.Cut(tt.method, ".")
			one := board(t)
			if plugin != "board" {
				one = method(t, plugin, name)
			}
			out := plugintest.Replay(t, one, tt.params, tt.opts...)
			if len(out.Ops) < tt.least {
				t.Errorf("%d operations, %v; want %d at least", len(out.Ops), out.Err, tt.least)
			}
			tried[tt.method] = true
		})
	}
	for _, p := range plugins.Builtin() {
		for _, method := range p.Methods() {
			if name := p.Name() + "." + method.Name; !tried[name] {
				t.Errorf("%s is not in the table", name)
			}
		}
	}
}
