//go:build !linux

package executortest

import "os/exec"

// dieWithParent does nothing where there is no parent-death signal: Close is the only end.
func dieWithParent(*exec.Cmd) {}
