package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tfw/api"
)

func newSecret(a *app) *cobra.Command {
	return group(&cobra.Command{
		Aliases: []string{"secrets"}, Use: "secret", Short: "Keep secrets that runs and the inventory name as secret:NAME",
		Long: `Secrets lie in one file, secrets.age beside the inventory, encrypted to the controller's
SSH key. A run names one in the place of a value, {"secret": "secret:NAME"}, where a
command's environment or standard input takes it; the inventory as password: secret:NAME.
The value is read when it is needed, is in no record and is masked in logs. It is never shown again.`,
		Example: "  tfwctl secret set db-password\n  tfwctl secret list\n  tfwctl run linux_system.run_shell duts command='psql ...' 'env:={\"PGPASSWORD\": {\"secret\": \"secret:db-password\"}}'",
	}, newSecretSet(a), newSecretList(a), newSecretRemove(a))
}

func newSecretSet(a *app) *cobra.Command {
	var groups []string
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make or replace a secret, read from the terminal or standard input",
		Long: `Make or replace a secret. On a terminal you type it twice, unseen; else it is standard
input, without one newline at its end. It is never an argument: others could see those.`,
		Example: "  tfwctl secret set db-password\n  tfwctl secret set db-password --groups duts <password.txt",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.complete(0, a.secretNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := a.readSecret(args[0])
			if err != nil {
				return err
			}
			req := api.SecretRequest{Groups: groups, Value: string(value)}
			if !utf8.Valid(value) {
				req.Value, req.Base64 = "", value
			}
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			made, err := client.SetSecret(cmd.Context(), args[0], req)
			if err != nil {
				return err
			}
			return a.emit(made, func() error {
				a.say("secret:%s is set, for %s", made.Name, allOr(made.Groups))
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&groups, "groups", nil, "only users of these groups may name it (default every operator)")
	a.completeFlag(cmd, "groups", a.groupNames)
	return cmd
}

func allOr(groups []string) string {
	if groups == nil {
		return "all"
	}
	return strings.Join(groups, ",")
}

// longestInput bounds what is read from standard input; the controller's own bound is lower.
const longestInput = 64 << 10

// readSecret reads a secret where nobody else can see it.
func (a *app) readSecret(name string) ([]byte, error) {
	if !isTerminal(a.in) {
		value, err := io.ReadAll(io.LimitReader(a.in, longestInput+1))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		if len(value) > longestInput {
			return nil, usageError{"standard input: too long for a secret"}
		}
		value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
		if len(value) == 0 {
			return nil, usageError{"standard input: is empty (type the secret on a terminal, or give it with <FILE)"}
		}
		return value, nil
	}
	first, err := a.unseen("value of " + name)
	if err != nil {
		return nil, err
	}
	again, err := a.unseen("once more")
	if err == nil && !bytes.Equal(first, again) {
		err = usageError{"the two are not the same; nothing was set"}
	}
	return first, err
}

// unseen asks on the terminal without echo.
func (a *app) unseen(what string) ([]byte, error) {
	fd := int(a.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	typed := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { // a terminal left without echo would be of no use to its user
		select {
		case <-interrupted:
			_ = term.Restore(fd, before)
			fmt.Fprintln(a.err)
			os.Exit(exitCancelled)
		case <-typed:
		}
	})
	defer func() { signal.Stop(interrupted); close(typed); watch.Wait() }()
	fmt.Fprintf(a.err, "%s: ", what)
	value, err := term.ReadPassword(fd)
	fmt.Fprintln(a.err)
	if errors.Is(err, io.EOF) || err == nil && len(value) == 0 {
		return nil, usageError{"nothing was typed; nothing was set"}
	}
	return value, err
}

func newSecretList(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"ls"}, Use: "list", Short: "List the secrets that you may name, never their values", Example: "  tfwctl secret list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			all, err := client.Secrets(cmd.Context())
			if err != nil {
				return err
			}
			return a.emit(all, func() error {
				if len(all) == 0 {
					a.say("no secrets (keep one with: tfwctl secret set NAME)")
					return nil
				}
				g := grid{head: []string{"NAME", "FOR", "CHANGED", "BY"}, wide: 1}
				for _, s := range all {
					g.rows = append(g.rows, []cell{{text: s.Name}, {text: allOr(s.Groups)}, {text: since(s.Changed)}, {text: s.By}})
				}
				return g.print(a, a.out)
			})
		},
	}
}

func newSecretRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"delete"}, Use: "rm NAME...", Short: "Forget secrets", Example: "  tfwctl secret rm db-password",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: a.complete(-1, a.secretNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := client.RemoveSecret(cmd.Context(), name); err != nil {
					return err
				}
				a.say("secret:%s is gone", name)
			}
			return nil
		},
	}
}
