package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
)

func newHostkeys(a *app) *cobra.Command {
	return group(&cobra.Command{
		Aliases: []string{"hostkey"}, Use: "hostkeys", Short: "See, trust and forget the keys that hosts show",
		Long: `The controller speaks only to hosts whose key is on file in its known_hosts, signed
by a known authority, or pinned in the inventory. These commands read and write that
file where the controller runs. They are for admins, and on record (see: tfwctl audit).`,
		Example: "  tfwctl hostkeys scan duts\n  tfwctl hostkeys trust dut07 --fingerprint SHA256:...\n  tfwctl hostkeys forget dut07",
	}, newHostkeysScan(a), newHostkeysTrust(a), newHostkeysForget(a))
}

func newHostkeysScan(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "scan TARGET", Short: "Show the keys that hosts show now, and whether they are on file",
		Example: "  tfwctl hostkeys scan duts", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			found, err := client.ScanHostKeys(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			err = a.emit(found.Keys, func() error { return a.printKeys(found.Keys) })
			return errors.Join(err, a.notAsked(found))
		},
	}
}

// notAsked tells which hosts could not be asked; they make the status 3.
func (a *app) notAsked(found api.HostKeyScan) error {
	for _, p := range found.Problems {
		a.say("tfwctl: %s: %s", p.Host, p.Problem)
	}
	if len(found.Problems) > 0 {
		return statusError(exitErrored)
	}
	return nil
}

func (a *app) printKeys(keys []executor.HostKey) error {
	g := grid{head: []string{"HOST", "ADDRESS", "TYPE", "FINGERPRINT", "ON FILE"}, wide: 2}
	for _, key := range keys {
		known := cell{"no", yellow}
		if key.Known {
			known = cell{"yes", green}
		}
		g.rows = append(g.rows, []cell{{text: key.Host}, {text: key.Address}, {text: key.Type}, {text: key.Fingerprint}, known})
	}
	return g.print(a, a.out)
}

func newHostkeysTrust(a *app) *cobra.Command {
	var yes bool
	var fingerprint string
	cmd := &cobra.Command{
		Use: "trust TARGET", Short: "Put the keys that hosts show now on file",
		Long: `Ask hosts for their keys and put them into the controller's known_hosts file. Nothing
proves that these are the right ones but a fingerprint that came another way: compare
them, or give it with --fingerprint. On a terminal you are asked; --yes trusts what is
shown. A host that shows another key by the time it is taken is left alone.`,
		Example: "  tfwctl hostkeys trust dut07 --fingerprint SHA256:2Rz...\n  tfwctl hostkeys trust duts --yes",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			found, err := client.ScanHostKeys(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			keys := slices.DeleteFunc(found.Keys, func(k executor.HostKey) bool {
				return k.Known || fingerprint != "" && k.Fingerprint != fingerprint
			})
			if len(keys) == 0 {
				return errors.Join(a.notAsked(found), a.nothingToTrust(args[0], fingerprint, found))
			}
			if err := a.confirm(keys, yes || fingerprint != ""); err != nil {
				return err
			}
			return errors.Join(a.trust(cmd, client, keys), a.notAsked(found))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "trust what the hosts show")
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "trust only a key with this fingerprint")
	return cmd
}

func (a *app) nothingToTrust(target, fingerprint string, found api.HostKeyScan) error {
	switch {
	case len(found.Problems) > 0:
		return nil
	case fingerprint != "":
		return usageError{fmt.Sprintf("%s: shows no key with the fingerprint %s that is not on file", target, fingerprint)}
	}
	a.say("%s: all keys are on file already", target)
	return nil
}

func (a *app) confirm(keys []executor.HostKey, sure bool) error {
	if sure {
		return nil
	}
	if err := a.printKeys(keys); err != nil {
		return err
	}
	if !isTerminal(a.in) {
		return usageError{"nobody to ask whether these keys are right (compare them and say --yes, or give --fingerprint)"}
	}
	fmt.Fprintf(a.err, "trust %s? [y/N] ", counted(len(keys), "key"))
	answer, _ := bufio.NewReader(a.in).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return usageError{"nothing was trusted"}
	}
	return nil
}

func (a *app) trust(cmd *cobra.Command, client *api.Client, keys []executor.HostKey) error {
	choices := make([]executor.KeyChoice, len(keys))
	for i, k := range keys {
		choices[i] = executor.KeyChoice{Host: k.Host, Fingerprint: k.Fingerprint}
	}
	done, err := client.TrustHostKeys(cmd.Context(), choices)
	if err != nil {
		return err
	}
	return a.emit(done, func() error {
		for _, h := range done {
			a.printf("%s: %s: on file in %s\n", h.Host, strings.Join(h.Fingerprints, ", "), h.File)
		}
		return nil
	})
}

func newHostkeysForget(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "forget TARGET", Short: "Take the keys of hosts off the file", Example: "  tfwctl hostkeys forget dut07",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			done, err := client.ForgetHostKeys(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(done, func() error {
				for _, h := range done {
					if len(h.Fingerprints) == 0 {
						a.printf("%s: no key was on file\n", h.Host)
						continue
					}
					a.printf("%s: %s: gone from %s\n", h.Host, strings.Join(h.Fingerprints, ", "), h.File)
				}
				return nil
			})
		},
	}
}
