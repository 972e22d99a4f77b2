package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfw/executor"
)

func newAudit(a *app) *cobra.Command {
	var f executor.AuditFilter
	var since, until string
	var verify bool
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who did what, when, from where, and verify the record",
		Long: `Show the record of who did what on which hosts, oldest first: runs, cancels, leases,
tokens, host states, reloads, refusals. Each entry holds the hash of the one before;
--verify walks all of them, says whether one was altered or is missing, and prints the
last hash: keep it elsewhere to find a record that was replaced as a whole.`,
		Example: `  tfwctl audit --since 24h --host dut07
  tfwctl audit --who ci --outcome refused
  tfwctl audit -n 0 -o jsonl >audit.jsonl
  tfwctl audit --verify`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if verify {
				return a.verifyAudit(cmd)
			}
			if f.Since, err = moment("since", since); err != nil {
				return err
			}
			if f.Until, err = moment("until", until); err != nil {
				return err
			}
			return a.audit(cmd, f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Who, "who", "", "only by this user or token name")
	fs.StringVar(&f.Action, "action", "", "only this action: run, cancel, lease, request ...")
	fs.StringVar(&f.Host, "host", "", "only on this host")
	fs.StringVar(&f.Object, "object", "", "only about this run, lease or token")
	fs.StringVar(&f.Outcome, "outcome", "", "only with this outcome, such as refused")
	fs.StringVar(&f.Request, "request", "", "only of the request with this id")
	fs.StringVar(&since, "since", "", "only from `TIME` on: how long ago (24h), or 2026-11-22T10:00:00Z")
	fs.StringVar(&until, "until", "", "only before `TIME`")
	fs.IntVarP(&f.Limit, "limit", "n", 100, "at most so many, 0: all")
	fs.BoolVar(&verify, "verify", false, "check the whole record")
	a.completeFlag(cmd, "host", a.hostNames)
	return cmd
}

func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	return time.Time{}, usageError{fmt.Sprintf("--%s: got %q, want how long ago, such as 24h, or a time such as 2026-11-22T10:00:00Z", flag, text)}
}

// audit pages until the limit; what scripts read is written as it comes.
func (a *app) audit(cmd *cobra.Command, f executor.AuditFilter) error {
	if f.Limit < 0 {
		return usageError{"-n wants a number from 0"}
	}
	client, err := a.client(cmd.Context())
	if err != nil {
		return err
	}
	all := []executor.AuditEntry{}
	left := f.Limit
	for {
		f.Limit = 1000
		if left > 0 {
			f.Limit = min(left, 1000)
		}
		page, next, err := client.Audit(cmd.Context(), f)
		if err != nil {
			return err
		}
		if a.setting.output.value == "jsonl" {
			if err := a.emitLines(page); err != nil {
				return err
			}
		} else {
			all = append(all, page...)
		}
		if left > 0 {
			if left -= len(page); left <= 0 {
				break
			}
		}
		if f.After = next; next == 0 {
			break
		}
	}
	if a.setting.output.value == "jsonl" {
		return nil
	}
	return a.emit(all, func() error { return a.printAudit(all) })
}

func (a *app) printAudit(all []executor.AuditEntry) error {
	g := grid{head: []string{"SEQ", "TIME", "WHO", "FROM", "ACTION", "OBJECT", "HOSTS", "OUTCOME", "DETAIL"}, wide: 8, spare: []string{"FROM", "SEQ", "OBJECT"}}
	for _, e := range all {
		outcome := cell{text: e.Outcome}
		if e.Outcome == "refused" {
			outcome.colour = yellow
		}
		hosts := ""
		if len(e.Hosts) > 0 {
			hosts = fold(e.Hosts)
		}
		g.rows = append(g.rows, []cell{{text: fmt.Sprint(e.Seq)}, {text: e.Time.Local().Format("2006-01-02 15:04:05")}, {text: e.Who}, {text: e.Source},
			{text: e.Action}, {text: e.Object}, {text: hosts}, outcome, {text: strings.TrimSpace(e.Detail)}})
	}
	return g.print(a, a.out)
}

func (a *app) verifyAudit(cmd *cobra.Command) error {
	client, err := a.client(cmd.Context())
	if err != nil {
		return err
	}
	proof, err := client.VerifyAudit(cmd.Context())
	if err != nil {
		return err
	}
	err = a.emit(proof, func() error {
		if proof.Whole {
			a.printf("the record is whole: %d entries, last hash %s\n", proof.Entries, proof.Head)
			return nil
		}
		a.printf("%s: %s\n", a.painter(a.out)(red, "the record is NOT whole"), proof.Problem)
		a.printf("%d entries before it fit, the last hash of them is %s\n", proof.Entries, proof.Head)
		return nil
	})
	if err == nil && !proof.Whole {
		return statusError(exitFailed)
	}
	return err
}
