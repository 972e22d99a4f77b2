//go:build !linux

package executortest

import "os/exec"

// dieWithParent does nothing where there is no parent-death signal: Close is the only end.
func dieWithParent(*exec.Cmd) {}

func (l *Lab) background(int) error   { return nil }
func (l *Lab) leaveBackground() error { return nil }
