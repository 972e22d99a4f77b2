package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tfw/executor/executortest"
)

func newLab(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "lab", Short: "A throw-away lab of SSH hosts on this machine, to try things on",
		Example: "  tfwctl lab up --hosts 6",
	}, newLabUp(a))
}

func newLabUp(a *app) *cobra.Command {
	var opt executortest.LabOptions
	cmd := &cobra.Command{
		Use: "up", Short: "Bring a throw-away lab up, until Ctrl-C",
		Long: `Bring up SSH hosts on loopback addresses of this machine, each with a key and a
home of its own, and write an inventory for them. OpenSSH's sshd is taken where
it is installed, else a server that is built in. Ctrl-C ends the lab and removes
what it made. Nothing outside of its directory is touched; as root on Linux, with
sshd, its hosts can be rebooted (reboot, or a plan's deploy.reboot), else that is
refused. Whatever else commands do there they do to this machine.`,
		Example: "  tfwctl lab up --hosts 6 --dir /tmp/lab\n  tfwctl -i /tmp/lab/inventory.yaml exec all -- uname -a     # in another terminal",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.Hosts < 1 || opt.Hosts > 10000 {
				return usageError{"--hosts wants a number from 1 to 10000"}
			}
			opt.Guarded = true
			return a.labUp(cmd.Context(), opt)
		},
	}
	cmd.Flags().IntVar(&opt.Hosts, "hosts", 4, "how many hosts")
	cmd.Flags().StringVar(&opt.Dir, "dir", "", "keep its files in this `DIR`ectory (default a temporary one)")
	cmd.Flags().BoolVar(&opt.Embedded, "embedded", false, "take the built-in SSH server even where sshd is installed")
	return cmd
}

func (a *app) labUp(ctx context.Context, opt executortest.LabOptions) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	lab, err := executortest.NewLab(starting, opt)
	if err != nil {
		return err
	}
	names := make([]string, 0, opt.Hosts)
	for _, h := range lab.Hosts() {
		names = append(names, h.Name)
	}
	kind := "OpenSSH"
	if lab.Embedded() {
		kind = "the built-in SSH server"
	}
	a.printf("lab of %s up: %s (%s)\n", counted(len(names), "host"), fold(names), kind)
	a.printf("try: tfwctl -i %s exec all -- uname -a\n", lab.InventoryFile())
	a.say("Ctrl-C ends it")
	<-signals
	if err := lab.Close(); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	a.say("the lab is gone")
	return nil
}
