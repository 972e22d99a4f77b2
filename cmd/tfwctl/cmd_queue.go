package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tfw/executor"
)

func newQueue(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "queue", Short: "List runs and leases that wait for hosts, and why",
		Long: `List runs and leases that wait, in the order of their turn: by priority, then age. PLACE
is among those who wait for the same host. A run waits while another has its host
(isolation), while a limit of the policy is reached, and with --queue-timeout for hosts that
are leased or in maintenance. Take it out with: tfwctl cancel RUN, or tfwctl release LEASE`,
		Example: "  tfwctl queue\n  tfwctl queue -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			all, err := client.Queue(cmd.Context())
			if err != nil {
				return err
			}
			return a.emit(all, func() error { return a.printQueue(all) })
		},
	}
}

func (a *app) printQueue(all []executor.Waiting) error {
	if len(all) == 0 {
		a.say("nothing waits (what runs is listed by: tfwctl runs --state running)")
		return nil
	}
	g := grid{head: []string{"RUN", "HOSTS", "BY", "WHAT", "PRIORITY", "PLACE", "SINCE", "UNTIL", "WHY"}, wide: 8, wrap: true, spare: []string{"UNTIL", "PRIORITY", "BY", "PLACE"}}
	for len(all) > 0 {
		first := all[0]
		var hosts []string
		rest := all[:0:0]
		for _, w := range all { // a run's hosts that fare alike are one line
			if w.Run == first.Run && w.Lease == first.Lease && w.Position == first.Position && w.Why == first.Why {
				hosts = append(hosts, w.Host)
				continue
			}
			rest = append(rest, w)
		}
		all = rest
		place := "-"
		if first.Position > 0 {
			place = fmt.Sprint(first.Position)
		}
		g.rows = append(g.rows, plainRow(waiter(first), fold(hosts), first.By, waitsTo(first), fmt.Sprint(first.Priority), place, since(first.Since), until(first.Until), first.Why))
	}
	return g.without("UNTIL").print(a, a.out)
}

func waiter(w executor.Waiting) string {
	if w.Lease != "" {
		return "lease " + w.Lease
	}
	return string(w.Run)
}

// waitsTo says what for somebody waits.
func waitsTo(w executor.Waiting) string {
	switch {
	case w.Purpose != "":
		return w.Purpose
	case w.Step != "":
		return "step " + w.Step
	case w.Plugin != "":
		return w.Plugin + "." + w.Method
	}
	return ""
}

func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "in " + short(time.Until(t))
}
