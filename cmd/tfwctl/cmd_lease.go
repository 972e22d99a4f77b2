package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
)

// anyWait is what --wait without a time means.
const anyWait = "24h"

func newLease(a *app) *cobra.Command {
	var req executor.LeaseRequest
	var span, wait time.Duration
	cmd := &cobra.Command{
		Use: "lease TARGET | lease --where EXPR", Short: "Reserve hosts for yourself, all or none",
		Long: `Reserve hosts until a time. While you hold them runs of others are refused there,
and yours are not. With --count any so many of the target's hosts are taken. When they
are not free you are told who has them, or with --wait you queue for your turn.
The lease's id is printed on standard output; end it with: tfwctl release ID`,
		Example: `  tfwctl lease dut07 --for 2h --purpose "bisect of the panic"
  tfwctl lease duts --count 2 --for 30m --wait
  tfwctl lease --where "vars.board == 'imx8'" --count 1 --for 1h --wait=10m`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				req.Target = args[0]
			case req.Where != "":
				req.Target = "all"
			default:
				return usageError{"name a TARGET, or choose with --where (see: tfwctl lease --help)"}
			}
			req.For, req.Wait = executor.Duration(span), executor.Duration(wait)
			return a.lease(cmd.Context(), req)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&req.Where, "where", "", "only hosts for which the `EXPR`ession is true")
	fs.IntVar(&req.Count, "count", 0, "any so many of them (default all)")
	fs.DurationVar(&span, "for", time.Hour, "how long, from when you have them")
	fs.DurationVar(&wait, "wait", 0, "queue until they are free, at most so long")
	fs.Lookup("wait").NoOptDefVal = anyWait
	fs.StringVar(&req.Purpose, "purpose", "", "what for: others are shown it")
	fs.BoolVar(&req.Shared, "shared", false, "read only: others may have a shared lease too, and run what is not exclusive")
	fs.IntVar(&req.Priority, "priority", 0, "place in the queue, -100 to 100; above 0 is for admins")
	return cmd
}

func (a *app) lease(ctx context.Context, req executor.LeaseRequest) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	l, err := client.Lease(ctx, req)
	if err != nil {
		return err
	}
	if l.State == executor.LeaseWaiting {
		a.say("lease %s waits for %s; Ctrl-C takes it back", l.ID, fold(l.Hosts))
		if l, err = a.awaitLease(ctx, client, l, signals); err != nil {
			return err
		}
	}
	return a.emit(l, func() error {
		a.printf("%s\n", l.ID)
		a.say("%s is yours until %s (%s)", fold(l.Hosts), l.Expires.Local().Format("2006-01-02 15:04:05"), short(time.Until(l.Expires)))
		return nil
	})
}

// awaitLease asks again and again until the lease is held. Who stops waiting gives its place up.
func (a *app) awaitLease(ctx context.Context, client *api.Client, l executor.Lease, signals <-chan os.Signal) (executor.Lease, error) {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	type answer struct {
		l   executor.Lease
		err error
	}
	answers := make(chan answer, 1)
	for {
		go func() { // ends with waiting at the latest
			got, err := client.WaitLease(waiting, l.ID, time.Minute)
			answers <- answer{got, err}
		}()
		select {
		case got := <-answers:
			switch {
			case got.err != nil:
				return l, got.err
			case got.l.State == executor.LeaseHeld:
				return got.l, nil
			case got.l.State == executor.LeaseEnded:
				return l, fmt.Errorf("lease %s: %s: %w", l.ID, got.l.Ended, executor.ErrLeased)
			}
		case <-signals:
			stop()
			<-answers
			bounded, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer done()
			if err := client.ReleaseLease(bounded, l.ID, ""); err != nil {
				return l, err
			}
			a.say("lease %s is taken back", l.ID)
			return l, statusError(exitCancelled)
		}
	}
}

func newLeases(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "leases", Short: "List who has which hosts, and who waits", Example: "  tfwctl leases\n  tfwctl leases -o json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			all, err := client.Leases(cmd.Context())
			if err != nil {
				return err
			}
			return a.emit(all, func() error {
				if len(all) == 0 {
					a.say("no leases (take one with: tfwctl lease TARGET --for 2h)")
					return nil
				}
				g := grid{head: []string{"LEASE", "HOLDER", "HOSTS", "STATE", "LEFT", "PURPOSE"}, wide: 5}
				for _, l := range all {
					g.rows = append(g.rows, []cell{{text: l.ID}, {text: l.Holder}, {text: leaseHosts(l)}, leaseState(l), {text: leaseLeft(l)}, {text: l.Purpose}})
				}
				return g.print(a, a.out)
			})
		},
	}
}

func leaseHosts(l executor.Lease) string {
	if l.State == executor.LeaseWaiting && l.Count > 0 {
		return fmt.Sprintf("%d of %s", l.Count, fold(l.Hosts))
	}
	return fold(l.Hosts)
}

func leaseState(l executor.Lease) cell {
	if l.State == executor.LeaseWaiting {
		return cell{string(l.State), yellow}
	}
	if l.Shared {
		return cell{"held, shared", ""}
	}
	return cell{string(l.State), ""}
}

func leaseLeft(l executor.Lease) string {
	if l.State == executor.LeaseWaiting {
		return short(time.Until(l.Deadline)) + " to wait"
	}
	return short(time.Until(l.Expires))
}

func newRelease(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "release ID...", Short: "Give leased hosts back, or break another's lease", ValidArgsFunction: a.complete(-1, a.leaseNames),
		Long:    "Give the hosts of leases back. An admin may break the lease of another with --reason, which its holder is shown.",
		Example: "  tfwctl release k3j5m2n4p6q8\n  tfwctl release k3j5m2n4p6q8 --reason 'the rack is on fire'", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := client.ReleaseLease(cmd.Context(), id, reason); err != nil {
					return err
				}
				a.say("lease %s is over", id)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why another's lease is broken")
	return cmd
}

func newRenew(a *app) *cobra.Command {
	var span time.Duration
	cmd := &cobra.Command{
		Use: "renew ID", Short: "Keep leased hosts longer", Example: "  tfwctl renew k3j5m2n4p6q8 --for 2h",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(0, a.leaseNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			l, err := client.RenewLease(cmd.Context(), args[0], span)
			if err != nil {
				return err
			}
			return a.emit(l, func() error {
				a.say("%s is yours until %s", fold(l.Hosts), l.Expires.Local().Format("2006-01-02 15:04:05"))
				return nil
			})
		},
	}
	cmd.Flags().DurationVar(&span, "for", time.Hour, "how long from now")
	return cmd
}

func (a *app) leaseNames(ctx context.Context) ([]string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	all, err := client.Leases(ctx)
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = l.ID + "\t" + l.Holder + ", " + leaseHosts(l)
	}
	return names, err
}
