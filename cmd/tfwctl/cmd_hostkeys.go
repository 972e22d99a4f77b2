package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"tfw/cmd/controller"
	"tfw/executor/ssh"
	"tfw/inventory"
)

func newHostkeys(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "hostkeys", Short: "See, trust and forget the keys that hosts show",
		Long: `The controller speaks only to hosts whose key is on file in known_hosts, or pinned
in the inventory. These commands read and write that file on this machine, so run
them where the controller runs, as its user.`,
		Example: "  tfwctl hostkeys scan duts\n  tfwctl hostkeys trust dut07 --fingerprint SHA256:...\n  tfwctl hostkeys forget dut07",
	}, newHostkeysScan(a), newHostkeysTrust(a), newHostkeysForget(a))
}

// keyring is what the commands work with.
type keyring struct {
	inv       *inventory.Inventory
	hosts     []*inventory.Host
	transport *ssh.Transport
}

func (a *app) keyring(cmd *cobra.Command, target string) (*keyring, error) {
	if s := a.setting.server; s.value != "" && !strings.HasPrefix(s.value, "unix:") {
		return nil, usageError{fmt.Sprintf("hostkeys: works on the controller's own machine, not through %s (%s)", s.value, s.from)}
	}
	var file []string
	if o, err := controller.ReadOwner(a.stateDir()); err == nil && a.setting.inventory.from == "default" && a.owned() {
		file = []string{o.Inventory}
	}
	inv, _, err := a.loadInventory(cmd, file)
	if err != nil {
		return nil, usageError{err.Error()}
	}
	found, err := inv.Select(inventory.Query{Target: target})
	if err != nil {
		return nil, usageError{err.Error()}
	}
	return &keyring{inv: inv, hosts: found.Hosts, transport: ssh.New(ssh.Options{})}, nil
}

func (k *keyring) via(name string) (*inventory.Host, bool) { return k.inv.Host(name) }

// shownKey is a key as it is printed.
type shownKey struct {
	Host        string `json:"host"`
	Address     string `json:"address"`
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
	Known       bool   `json:"known"`

	info ssh.HostKeyInfo
}

// scan asks all hosts, some at a time. What could not be reached is told at the end.
func (k *keyring) scan(ctx context.Context) ([]shownKey, error) {
	found := make([][]ssh.HostKeyInfo, len(k.hosts))
	errs := make([]error, len(k.hosts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, h := range k.hosts {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			found[i], errs[i] = k.transport.Scan(ctx, h, k.via)
		}()
	}
	wg.Wait()
	keys := []shownKey{}
	for i, h := range k.hosts {
		for _, f := range found[i] {
			keys = append(keys, shownKey{h.Name, f.Address, f.Type, f.Fingerprint, f.Known, f})
		}
	}
	return keys, errors.Join(errs...)
}

func newHostkeysScan(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "scan TARGET", Short: "Show the keys that hosts show now, and whether they are on file",
		Example: "  tfwctl hostkeys scan duts", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := a.keyring(cmd, args[0])
			if err != nil {
				return err
			}
			defer k.transport.Close()
			keys, scanErr := k.scan(cmd.Context())
			return errors.Join(a.emit(keys, func() error { return a.printKeys(keys) }), scanErr)
		},
	}
}

func (a *app) printKeys(keys []shownKey) error {
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
	var yes, hashed bool
	var fingerprint string
	cmd := &cobra.Command{
		Use: "trust TARGET", Short: "Put the keys that hosts show now on file",
		Long: `Ask hosts for their keys and put them into the known_hosts file. Nothing proves that
these are the right ones but a fingerprint that came another way: compare them, or
give it with --fingerprint. On a terminal you are asked; --yes trusts what is shown.`,
		Example: "  tfwctl hostkeys trust dut07 --fingerprint SHA256:2Rz...\n  tfwctl hostkeys trust duts --yes",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := a.keyring(cmd, args[0])
			if err != nil {
				return err
			}
			defer k.transport.Close()
			keys, scanErr := k.scan(cmd.Context())
			keys = slices.DeleteFunc(keys, func(s shownKey) bool {
				return s.Known || fingerprint != "" && s.Fingerprint != fingerprint
			})
			if len(keys) == 0 {
				return errors.Join(scanErr, a.nothingToTrust(k, fingerprint, scanErr))
			}
			if err := a.confirm(keys, yes || fingerprint != ""); err != nil {
				return err
			}
			return errors.Join(a.trust(k, keys, hashed), scanErr)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "trust what the hosts show")
	cmd.Flags().BoolVar(&hashed, "hash", false, "hash the names in the file")
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "trust only a key with this fingerprint")
	return cmd
}

func (a *app) nothingToTrust(k *keyring, fingerprint string, scanErr error) error {
	if fingerprint != "" {
		return usageError{fmt.Sprintf("%s: shows no key with the fingerprint %s that is not on file", fold(hostNamesOf(k.hosts)), fingerprint)}
	}
	if scanErr == nil {
		a.say("%s: all keys are on file already", fold(hostNamesOf(k.hosts)))
	}
	return nil
}

func hostNamesOf(hosts []*inventory.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

func (a *app) confirm(keys []shownKey, sure bool) error {
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

func (a *app) trust(k *keyring, keys []shownKey, hashed bool) error {
	for _, key := range keys {
		host, _ := k.inv.Host(key.Host)
		file, addr, err := k.transport.KnownHostsFile(host, k.via)
		if err == nil {
			err = ssh.TrustHostKey(file, addr, key.info.Key, hashed)
		}
		if err != nil {
			return err
		}
		a.printf("%s: %s %s is on file in %s\n", key.Host, key.Type, key.Fingerprint, file)
	}
	return nil
}

func newHostkeysForget(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "forget TARGET", Short: "Take the keys of hosts off the file", Example: "  tfwctl hostkeys forget dut07",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := a.keyring(cmd, args[0])
			if err != nil {
				return err
			}
			defer k.transport.Close()
			for _, h := range k.hosts {
				file, addr, err := k.transport.KnownHostsFile(h, k.via)
				if err != nil {
					return err
				}
				n, err := ssh.ForgetHostKeys(file, addr)
				if err != nil {
					return err
				}
				a.printf("%s: %s of %s gone from %s\n", h.Name, counted(n, "key"), addr, file)
			}
			return nil
		},
	}
}
