//go:build unix

package ssh

import "syscall"

// affordable is how many connections may be open at a time without the process
// running out of descriptors: others need some too, a quarter of them at least, or what is opened meanwhile would fail.
func affordable() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return maxConnections
	}
	limit := int(min(files.Cur, 1<<20))
	return max(1, min(maxConnections, limit-min(limit*3/4, 256)))
}
