package executor

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A moment by Go's monotonic time and by the kernel's, which is the same but begins at the boot.
var begun, begunKernel = time.Now(), kernelTime(unix.CLOCK_MONOTONIC)

// uptime is the time since the machine's boot, asleep or not. Go's own monotonic time,
// which stops while the machine sleeps, is part of it, so that tests may play with it.
func uptime() time.Duration {
	asleep := kernelTime(unix.CLOCK_BOOTTIME) - kernelTime(unix.CLOCK_MONOTONIC)
	return begunKernel + time.Since(begun) + asleep
}

func kernelTime(id int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// bootID tells this boot of the machine from others.
func bootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw))
}
