package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tfw/api"
	"tfw/executor"
	"tfw/inventory"
	"tfw/plan"
)

// ExampleClient shows what there is to ask of a controller, from A to Z. Every
// method takes a context and gives errors that errors.Is knows.
func ExampleClient() {
	controller, err := startController(2) // yours runs already: http://HOST:8774 or unix:///PATH
	if err != nil {
		fmt.Println(err)
		return
	}
	defer controller.Close()
	client, err := api.NewClient(controller.url, api.WithToken(controller.token), api.WithUserAgent("nightly"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	viewer := func(token string) (*api.Client, error) { return api.NewClient(controller.url, api.WithToken(token)) }
	admin := func(ctx context.Context, c *api.Client) error { return administer(ctx, c, viewer) }
	for _, part := range []func(context.Context, *api.Client) error{lookAround, runThings, runPlans, reserve, keepFiles, keepSecrets, checkKeys, admin} {
		if err := part(ctx, client); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 2 hosts in 2 groups, linux_system can run_shell
	// dut01 is in maintenance: eth1 dead
	// it would run on [dut01 dut02]
	// 2 passed: "hello\n"
	// cancelled
	// the plan passed
	// dut01 is taken: true
	// 7 bytes of content
	// the password is hidden: "it is **************\n"
	// dut01 shows the key that is on file: true
	// a viewer may not submit: true
	// nobody altered the record: true
}

func lookAround(ctx context.Context, c *api.Client) error {
	hosts, err := c.Hosts(ctx, "all", "state == 'active'")
	groups, groupsErr := c.Groups(ctx)
	plugin, pluginErr := c.Plugin(ctx, "linux_system") // with JSON Schemas of every method's parameters; Plugins has all
	if err := errors.Join(err, groupsErr, pluginErr, c.Health(ctx)); err != nil {
		return err
	}
	for _, m := range plugin.Methods {
		if m.Name == "run_shell" {
			fmt.Printf("%d hosts in %d groups, %s can %s\n", len(hosts), len(groups), plugin.Name, m.Name)
		}
	}
	if _, err := c.SetHostState(ctx, hosts[0].Name, inventory.Maintenance, "eth1 dead"); err != nil {
		return err
	}
	host, err := c.Host(ctx, hosts[0].Address) // by name, address, id or uuid
	fmt.Printf("%s is in %s: %s\n", host.Name, host.State, host.Reason)
	_, activeErr := c.SetHostState(ctx, host.Name, inventory.Active, "")
	_, probeErr := c.ProbeHosts(ctx, "all", "") // whether they answer, now
	_, inventoryErr := c.InventoryStatus(ctx)
	return errors.Join(err, activeErr, probeErr, inventoryErr)
}

func runThings(ctx context.Context, c *api.Client) error {
	req := executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "all",
		Parameters:     json.RawMessage(`{"command": "echo hello"}`),
		Options:        executor.Options{Timeout: executor.Duration(time.Minute), Serial: []string{"1", "100%"}},
		IdempotencyKey: "nightly-2026-11-22"} // sent again, it does not run again
	preview, err := c.Preview(ctx, req)
	if err != nil {
		return err
	}
	fmt.Println("it would run on", preview.Hosts)
	run, err := c.Submit(ctx, req)
	if err != nil {
		return err
	}
	for entry, err := range c.Log(ctx, string(run.ID), api.LogOptions{Follow: true, Stream: executor.Stdout}) {
		if err != nil { // a cut connection is none: the log is resumed
			return err
		}
		_ = entry.Data
	}
	if run, err = c.Wait(ctx, string(run.ID)); err != nil {
		return err
	}
	var out strings.Builder
	if _, err := c.RawLog(ctx, "last", api.LogOptions{Host: run.Hosts[0].Host}, &out); err != nil {
		return err
	}
	fmt.Printf("%d passed: %q\n", run.Tally[executor.Passed], out.String())
	req.Parameters, req.IdempotencyKey = json.RawMessage(`{"command": "sleep 60"}`), ""
	long, err := c.Submit(ctx, req)
	if err != nil {
		return err
	}
	if _, err = c.Cancel(ctx, string(long.ID), "lunch"); err != nil {
		return err
	}
	long, err = c.Wait(ctx, string(long.ID))
	if err != nil {
		return err
	}
	fmt.Println(long.Verdict)
	again, err := c.Rerun(ctx, string(run.ID), false)
	if err != nil {
		return err
	}
	_, err = c.Wait(ctx, string(again.ID))
	_, _, listErr := c.Runs(ctx, executor.RunFilter{Verdict: executor.Cancelled, Host: run.Hosts[0].Host, Limit: 10})
	return errors.Join(err, listErr)
}

func runPlans(ctx context.Context, c *api.Client) error {
	s := plan.Submission{File: "smoke.yaml", Plan: "name: smoke\nhosts: {dut: all}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'true'}}\n"}
	if _, err := c.CheckTestplan(ctx, s); err != nil { // a *Problem with one error for each fault, with its place
		return err
	}
	p, err := c.SubmitTestplan(ctx, s)
	if err != nil {
		return err
	}
	for now, err := range c.FollowTestplan(ctx, p.ID) {
		if err != nil {
			return err
		}
		p = now
	}
	fmt.Println("the plan", p.Verdict)
	_, _, err = c.Testplans(ctx, "", 10, "")
	if _, cancelErr := c.CancelTestplan(ctx, p.ID, "late"); !errors.Is(cancelErr, executor.ErrConflict) {
		return fmt.Errorf("a plan that is done was cancelled: %w", cancelErr)
	}
	_, resumeErr := c.ResumeTestplan(ctx, p.ID)
	if errors.Is(resumeErr, executor.ErrConflict) { // everything passed
		resumeErr = nil
	}
	return errors.Join(err, resumeErr)
}

func reserve(ctx context.Context, c *api.Client) error {
	lease, err := c.Lease(ctx, executor.LeaseRequest{Target: "dut01", For: executor.Duration(time.Hour), Purpose: "soak", Wait: executor.Duration(time.Minute)})
	if err != nil {
		return err
	}
	if lease, err = c.WaitLease(ctx, lease.ID, time.Minute); err != nil {
		return err
	}
	_, err = c.Lease(ctx, executor.LeaseRequest{Target: "dut01", For: executor.Duration(time.Hour)})
	fmt.Println("dut01 is taken:", errors.Is(err, executor.ErrLeased))
	_, renewErr := c.RenewLease(ctx, lease.ID, 2*time.Hour)
	_, listErr := c.Leases(ctx)
	return errors.Join(renewErr, listErr, c.ReleaseLease(ctx, lease.ID, ""))
}

func keepFiles(ctx context.Context, c *api.Client) error {
	stored, err := c.PutArtifact(ctx, strings.NewReader("content"))
	if err != nil {
		return err
	}
	content, _, err := c.GetArtifact(ctx, stored.SHA256)
	if err != nil {
		return err
	}
	defer content.Close()
	back, err := io.ReadAll(content)
	fmt.Println(stored.Size, "bytes of", string(back))
	return err
}

func keepSecrets(ctx context.Context, c *api.Client) error {
	if _, err := c.SetSecret(ctx, "lab-password", api.SecretRequest{Value: "hunter2hunter2"}); err != nil {
		return err
	}
	run, err := c.Submit(ctx, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "dut01",
		Parameters: json.RawMessage(`{"command": "echo it is $PASSWORD", "env": {"PASSWORD": {"secret": "secret:lab-password"}}}`)})
	if err != nil {
		return err
	}
	if _, err = c.Wait(ctx, string(run.ID)); err != nil {
		return err
	}
	var out strings.Builder
	_, err = c.RawLog(ctx, string(run.ID), api.LogOptions{Host: "dut01"}, &out)
	fmt.Printf("the password is hidden: %q\n", out.String())
	_, listErr := c.Secrets(ctx) // names, never values
	return errors.Join(err, listErr, c.RemoveSecret(ctx, "lab-password"))
}

// checkKeys is what to do after a host was set up anew, once its fingerprint was compared.
func checkKeys(ctx context.Context, c *api.Client) error {
	shown, err := c.ScanHostKeys(ctx, "dut01")
	if err != nil {
		return err
	}
	if _, err := c.ForgetHostKeys(ctx, "dut01"); err != nil {
		return err
	}
	choice := executor.KeyChoice{Host: shown.Keys[0].Host, Fingerprint: shown.Keys[0].Fingerprint}
	if _, err := c.TrustHostKeys(ctx, []executor.KeyChoice{choice}); err != nil {
		return err
	}
	shown, err = c.ScanHostKeys(ctx, "dut01")
	if err == nil {
		fmt.Println("dut01 shows the key that is on file:", shown.Keys[0].Known)
	}
	return err
}

func administer(ctx context.Context, c *api.Client, connect func(token string) (*api.Client, error)) error {
	token, err := c.CreateToken(ctx, api.TokenRequest{Name: "dashboard", Role: executor.Viewer, Expires: executor.Duration(time.Hour)})
	if err != nil {
		return err
	}
	viewer, err := connect(token.Text)
	if err != nil {
		return err
	}
	defer viewer.Close()
	_, err = viewer.Submit(ctx, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "all", Parameters: json.RawMessage(`{"command":"id"}`)})
	fmt.Println("a viewer may not submit:", errors.Is(err, executor.ErrForbidden))
	_, tokensErr := c.Tokens(ctx)
	_, _, auditErr := c.Audit(ctx, executor.AuditFilter{Action: "run", Limit: 10})
	proof, proofErr := c.VerifyAudit(ctx)
	fmt.Println("nobody altered the record:", proof.Whole)
	return errors.Join(tokensErr, auditErr, proofErr, c.RevokeToken(ctx, token.ID))
}
