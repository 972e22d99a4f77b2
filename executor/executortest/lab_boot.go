package executortest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrNotBootable means that hosts of this lab cannot have a boot id of their own.
var ErrNotBootable = errors.New("a lab that can be rebooted needs root on Linux, real sshd and unshare(1)")

// bootable starts sshd in a mount namespace where the host has a boot id of its own:
// a file over the kernel's. Its arguments are that file and the server's command line.
const bootable = `mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"`

// fakeReboot stands for systemctl and reboot on a host: it asks the lab.
const fakeReboot = "#!/bin/sh\n: >'%s'\nsleep 30\n"

// prepareBoot gives every host its boot id and its own way to reboot.
func (l *Lab) prepareBoot() error {
	if !l.opt.Bootable {
		return nil
	}
	if os.Getuid() != 0 || l.Embedded() {
		return ErrNotBootable
	}
	for _, h := range l.hosts {
		dir := l.hostDir(h.host.Name)
		if err := errors.Join(l.newBoot(h), os.MkdirAll(filepath.Join(dir, "bin"), 0o700)); err != nil {
			return err
		}
		for _, name := range []string{"systemctl", "reboot"} {
			if err := os.WriteFile(filepath.Join(dir, "bin", name), fmt.Appendf(nil, fakeReboot, filepath.Join(dir, "asked")), 0o700); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lab) bootFile(h *labHost) string { return filepath.Join(l.hostDir(h.host.Name), "boot_id") }

func (l *Lab) newBoot(h *labHost) error {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return os.WriteFile(l.bootFile(h), fmt.Appendf(nil, "%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), 0o600)
}

// Reboot does to a host of a Bootable lab what a reboot does: every connection breaks, every process is
// gone, and it comes back with another boot id. What it has on disk stays.
func (l *Lab) Reboot(ctx context.Context, name string) error {
	h, ok := l.byName[name]
	if !ok || !l.opt.Bootable {
		return fmt.Errorf("reboot %q: %w", name, ErrNotBootable)
	}
	err := errors.Join(h.server.stop(), h.server.disconnect())
	for range 100 {
		left := 0
		for _, p := range l.Processes() {
			if p.Host == name && p.PID != os.Getpid() {
				left++
				_ = syscall.Kill(p.PID, syscall.SIGKILL) // gone already: found out by the next look
			}
		}
		if left == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.Join(err, l.newBoot(h), os.RemoveAll(filepath.Join(l.hostDir(name), "asked")), h.server.start(ctx))
}

// watchBoots reboots the hosts that ask for it, until ctx ends.
func (l *Lab) watchBoots(ctx context.Context) {
	for {
		for _, h := range l.hosts {
			if _, err := os.Stat(filepath.Join(l.hostDir(h.host.Name), "asked")); err == nil {
				_ = l.Reboot(ctx, h.host.Name) // a host that does not come back is what its user will see
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}
