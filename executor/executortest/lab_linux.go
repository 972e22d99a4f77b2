package executortest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the process when ours dies, however it dies.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
