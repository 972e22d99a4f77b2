package executortest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// background gives a server, and what it starts, only the time that nothing else
// wants, if the lab is to run so. A nice value alone does not do that: where the kernel groups processes by session
// (sched(7), autogroup) it counts within a session only, and every command on a host has a session of its own.
func (l *Lab) background(pid int) error {
	if !l.opt.Background {
		return nil
	}
	err := syscall.Setpriority(syscall.PRIO_PROCESS, pid, 19)
	if l.idleGroup() {
		err = errors.Join(err, os.WriteFile(filepath.Join(l.idle, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
	}
	if err != nil {
		return fmt.Errorf("lowering a host's priority: %w", err)
	}
	return nil
}

// idleGroup makes the control group below this process's own, and reports whether there is one.
func (l *Lab) idleGroup() bool {
	l.idleMade.Do(func() {
		for _, own := range ownGroups() {
			dir := filepath.Join(own, "lab-"+l.id)
			if os.Mkdir(dir, 0o755) != nil {
				continue
			}
			if os.WriteFile(filepath.Join(dir, "cpu.idle"), []byte("1"), 0) == nil {
				l.idle = dir
				return
			}
			_ = os.Remove(dir) // the cpu controller is not switched on there
		}
	})
	return l.idle != ""
}

// ownGroups are the control groups, version 1 and 2, that this process is in (cgroups(7)).
func ownGroups() (dirs []string) {
	own, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(own)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch controllers, path, _ := strings.Cut(rest, ":"); {
		case controllers == "":
			dirs = append(dirs, filepath.Join("/sys/fs/cgroup", path))
		case slices.Contains(strings.Split(controllers, ","), "cpu"):
			dirs = append(dirs, filepath.Join("/sys/fs/cgroup", "cpu", path))
		}
	}
	return dirs
}

// leaveBackground takes the group away; whoever outlives the lab goes back to where we are.
func (l *Lab) leaveBackground() error {
	if l.idle == "" {
		return nil
	}
	left, _ := os.ReadFile(filepath.Join(l.idle, "cgroup.procs"))
	for pid := range strings.FieldsSeq(string(left)) {
		_ = os.WriteFile(filepath.Join(filepath.Dir(l.idle), "cgroup.procs"), []byte(pid), 0) // gone meanwhile
	}
	return os.Remove(l.idle)
}
