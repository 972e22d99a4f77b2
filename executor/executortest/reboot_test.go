package executortest_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

// TestRebootsInPlans: a case that asks for reboots goes on after each, and deploy.reboot waits for the new boot id;
// the controller is killed in the middle.
func TestRebootsInPlans(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "unshare", "-m", "true").Run(); err != nil {
		t.Skipf("no mount namespaces here: %v", err)
	}
	lab, err := executortest.NewLab(t.Context(), executortest.LabOptions{Hosts: 4, OpenSSH: true, Bootable: true})
	if errors.Is(err, executortest.ErrNotBootable) || errors.Is(err, executortest.ErrNoOpenSSH) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	d := startDaemon(t, lab)
	p, err := d.submitPlan(t.Context(), "reboots", `
name: reboots
hosts: {a: {target: dut01}, b: {target: dut02}}
steps:
  case:
    uses: testcase.run
    on: a
    with:
      script: |
        #!/bin/sh
        echo "$TFW_REBOOT_COUNT $(cat /proc/sys/kernel/random/boot_id)" >>~/boots
        [ "$TFW_REBOOT_COUNT" = 2 ] || exit 194
  reboot: {uses: deploy.reboot, on: b, with: {wait: 1m}}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	d.kill()
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, err = d.waitPlan(t.Context(), p.ID); err != nil || p.Verdict != executor.Passed {
		t.Fatal(err, p)
	}
	raw, err := os.ReadFile(lab.Home("dut01") + "/boots")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	var counts []string
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		count, id, _ := strings.Cut(line, " ")
		counts, ids[id] = append(counts, count), true
	}
	if strings.Join(counts, " ") != "0 1 2" || len(ids) != 3 {
		t.Errorf("the case ran as:\n%s", raw)
	}
	var out struct {
		Reboots int    `json:"reboots"`
		BootID  string `json:"boot_id"`
	}
	if err := json.Unmarshal(d.runOf(t, p, "case").Hosts[0].Outputs, &out); err != nil || out.Reboots != 2 {
		t.Errorf("%v %+v", err, out)
	}
	now, err := os.ReadFile(lab.Dir() + "/hosts/dut02/boot_id")
	if err != nil || json.Unmarshal(d.runOf(t, p, "reboot").Hosts[0].Outputs, &out) != nil || out.BootID != strings.TrimSpace(string(now)) {
		t.Errorf("%v: boot id %q, the host has %q", err, out.BootID, now)
	}
}
