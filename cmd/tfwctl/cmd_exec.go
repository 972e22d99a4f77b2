package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tfw/executor"
	"tfw/plugins"
)

func newExec(a *app) *cobra.Command {
	var f runFlags
	var c execFlags
	cmd := &cobra.Command{
		Use:   "exec TARGET [flags] -- CMD [ARG...]",
		Short: "Run a command on hosts",
		Long: `Run a command on every host of a target. Every word after "--" reaches the
command exactly as it is; --shell takes a line for the host's shell instead.

The command is started exactly once on each host and goes on when the
connection, this program or the controller dies. Ctrl-C asks to cancel it, and
kills its processes on the hosts; Ctrl-C once more stops waiting for that.

Lines come as they are written, after the name of their host; -b puts hosts with
the same output together instead, as clush does. Exit status: 0 all passed, 1
some failed, 2 refused, 3 some could not be reached, 4 timed out, 5 cancelled,
6 leased or not allowed.`,
		Example: `  tfwctl exec duts -- uname -r
  tfwctl exec 'dut[01-24],!dut07' -b -- cat /etc/os-release
  tfwctl exec duts --diff -- sha256sum /boot/kernel.img
  tfwctl exec all --where "vars.board == 'imx8'" --shell 'dmesg | tail -3'
  tfwctl exec duts --serial 1,20% --max-fail 10% --become -- systemctl restart lab-agent
  tfwctl exec build01 --script ./prepare.sh --timeout 10m -- --fast
  tfwctl exec dut01 --exit-status --stdin input.txt -- wc -l
  tfwctl exec duts --detach -- ./soak-test`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, argv := args[0], args[1:]
			if at := cmd.ArgsLenAtDash(); at > 1 || at == 0 {
				return usageError{`want one TARGET before "--" (join several with commas)`}
			}
			req, err := c.request(a, argv)
			if err != nil {
				return err
			}
			req.Target, req.AdHoc = target, true
			return a.execute(cmd.Context(), req, &f)
		},
	}
	f.add(cmd)
	c.add(cmd)
	return cmd
}

// execFlags say what exec runs, and how.
type execFlags struct {
	shell, cwd, stdin, script, become string
	env                               []string
	merge                             bool
}

func (c *execFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&c.shell, "shell", "", "run this `LINE` in the host's shell, as it is")
	fs.StringVar(&c.script, "script", "", "send this `FILE` along and run it; words after -- are its arguments")
	fs.StringVar(&c.stdin, "stdin", "", "give this `FILE` to the command's standard input; - is our own")
	fs.StringArrayVar(&c.env, "env", nil, "set an environment variable, `K=V`; may be repeated")
	fs.StringVar(&c.cwd, "cwd", "", "run in this `DIR`ectory")
	fs.StringVar(&c.become, "become", "", "run as another user: --become or --become=`USER`")
	fs.Lookup("become").NoOptDefVal = "true"
	fs.BoolVar(&c.merge, "merge", false, "put standard error into standard output, in strict order")
}

// parameters of linux_system.run_shell and run_script.
type execParams struct {
	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Script  plugins.Content   `json:"script,omitempty"`
	Cwd     string            `json:"cwd,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Stdin   plugins.Content   `json:"stdin,omitempty"`
	Become  any               `json:"become,omitempty"`
	Merge   bool              `json:"merge,omitempty"`
}

func (c *execFlags) request(a *app, argv []string) (executor.Request, error) {
	if err := c.speakable(argv); err != nil {
		return executor.Request{}, err
	}
	p := execParams{Cwd: c.cwd, Merge: c.merge, Args: argv}
	req := executor.Request{Plugin: "linux_system", Method: "run_shell"}
	var err error
	switch {
	case c.shell != "" && (len(argv) > 0 || c.script != ""):
		return req, usageError{`want one of a command after "--", --shell LINE and --script FILE, not two of them`}
	case c.shell == "" && c.script == "" && len(argv) == 0:
		return req, usageError{`want a command after "--", or --shell LINE, or --script FILE`}
	case c.shell != "":
		p.Command = c.shell
	case c.script != "":
		req.Method = "run_script"
		if p.Script, err = a.readInput("script", c.script); err != nil {
			return req, err
		}
		if len(p.Script) == 0 {
			return req, usageError{"--script " + c.script + ": is empty"}
		}
	default:
		if p.Command, err = firstWord(argv[0]); err != nil {
			return req, usageError{err.Error()}
		}
		p.Args = argv[1:]
	}
	if c.stdin != "" {
		if p.Stdin, err = a.readInput("stdin", c.stdin); err != nil {
			return req, err
		}
	}
	if p.Env, err = pairs("env", c.env); err != nil {
		return req, err
	}
	if c.become == "true" {
		p.Become = true
	} else if c.become != "" {
		p.Become = c.become
	}
	req.Parameters, err = json.Marshal(p)
	return req, err
}

// speakable refuses what a request cannot carry byte for byte: it is made of text.
func (c *execFlags) speakable(argv []string) error {
	for _, word := range slices.Concat(argv, c.env, []string{c.shell, c.cwd}) {
		if !utf8.ValidString(word) {
			return usageError{fmt.Sprintf("%+q: is no UTF-8, so it cannot be sent as it is (put it into a file and use --script FILE)", word)}
		}
	}
	return nil
}

var (
	bareWord = regexp.MustCompile(`^[A-Za-z0-9_./:+-]+$`)
	reserved = []string{"case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while", "function", "select", "time", "coproc"}
)

// firstWord writes a command's name for the shell: as it is where that is safe, else quoted.
func firstWord(word string) (string, error) {
	if bareWord.MatchString(word) && !slices.Contains(reserved, word) {
		return word, nil
	}
	return plugins.Quote(word)
}
