package executor_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"tfw/executor"
)

// TestRebootInTheLaunch cuts the connection in a launch, and the host may be rebooted
// before the next one. A command that may have run is not started again; one that
// cannot have is.
func TestRebootInTheLaunch(t *testing.T) {
	for _, shy := range []bool{false, true} {
		for _, c := range []struct {
			name        string
			deaf, mute  bool // the launch was not heard; its answer was not
			reboot      bool
			starts      int
			killed, bad bool // the controller was killed as well; the end is not known
		}{
			{name: "not heard", deaf: true, starts: 1},
			{name: "not heard, controller killed", deaf: true, killed: true, starts: 1},
			{name: "answer lost", mute: true, starts: 1},
			{name: "not heard, rebooted", deaf: true, reboot: true, bad: true},
			{name: "answer lost, rebooted", mute: true, reboot: true, starts: 1, bad: true},
			{name: "answer lost, rebooted, controller killed", mute: true, reboot: true, killed: true, starts: 1, bad: true},
		} {
			t.Run(fmt.Sprintf("%s, boot id unknown %v", c.name, shy), func(t *testing.T) {
				l := newLab(t, "h1")
				l.hosts.shy.Store(shy)
				set := func(v *atomic.Int64, on bool) {
					if on {
						v.Store(1)
					}
				}
				set(&l.hosts.unheard, c.deaf)
				set(&l.hosts.mute, c.mute)
				l.hosts.noMore.Store(true)
				run := l.submit(request("sh", shParams{"say once\npause 50"}))
				l.untilLog(run, "connection lost", 1)
				if c.reboot {
					l.hosts.host("h1").reboot()
				}
				if c.killed {
					l.drain()
					l.start(l.store)
				}
				l.hosts.noMore.Store(false)
				got := l.wait(run).Hosts[0]
				starts := 0
				for _, n := range l.hosts.host("h1").starts {
					starts += n
				}
				if starts != c.starts {
					t.Errorf("started %d times, want %d: %+v", starts, c.starts, got)
				}
				if c.bad && (got.Verdict != executor.Errored || !strings.Contains(got.Reason, string(executor.EndUnknown))) || !c.bad && got.Verdict != executor.Passed {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}
