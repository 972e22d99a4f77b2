package executortest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// ErrNotBootable means that hosts of this lab cannot have a boot id of their own.
var ErrNotBootable = errors.New("a lab that can be rebooted needs root on Linux, real sshd and unshare(1)")

// bootable starts sshd in a mount namespace where the host has a boot id of its own, a file over the kernel's, and where
// the commands that end a machine are the host's, whatever PATH sudo sets. Its arguments are those two and the server's command line.
const bootable = `mount --bind "$1" /proc/sys/kernel/random/boot_id || exit
for c in systemctl reboot shutdown poweroff halt; do
	p=$(PATH=$3 command -v $c) && p=$(readlink -f "$p") && { cmp -s "$2" "$p" || mount --bind "$2" "$p" || exit; }
done
shift 3
exec "$@"`

// power stands on a host for the commands that end a machine, and for sudo where it is not in the way of those in
// another manner: the host is a directory on somebody's machine. Its parameters are the file that asks the lab for a
// reboot, empty where it cannot, and the machine's own systemctl and sudo.
const power = `#!/bin/sh
asked='%s' systemctl='%s' sudo='%s'
end() {
	if [ -n "$asked" ] && [ "$1" = reboot ]; then : >"$asked"; sleep 30; fi
	how=
	[ "$1" != reboot ] || how=" (it works where the lab runs as root on Linux, with sshd and unshare(1))"
	echo "$1: not on a host of a throw-away lab, which is a directory on this machine$how" >&2
	exit 1
}
me=${0##*/} all="$*"
case $me in
reboot) end reboot ;;
shutdown) for a; do [ "$a" != -r ] || end reboot; done; end shutdown ;;
poweroff | halt) end "$me" ;;
esac
for a; do
	case $a in
	*/*) a=${a##*/} ;;
	esac
	case $a in
	reboot | soft-reboot | kexec) end reboot ;;
	poweroff | halt | shutdown | suspend | hibernate | hybrid-sleep) end "$a" ;;
	esac
done
[ "$me" = sudo ] && exec "$sudo" "$@"
[ -n "$systemctl" ] && exec "$systemctl" "$@"
echo "$me: not found" >&2
exit 127
`

// prepareBoot gives every host its boot id and its own way to reboot.
func (l *Lab) prepareBoot() error {
	if l.opt.Guarded && l.mayReboot() {
		l.opt.Bootable = true
	}
	if l.opt.Bootable && (os.Getuid() != 0 || l.Embedded()) {
		return ErrNotBootable
	}
	if !l.opt.Bootable && !l.opt.Guarded {
		return nil
	}
	systemctl, err := l.ownSystemctl()
	for _, h := range l.hosts {
		err = errors.Join(err, l.prepareHost(h, systemctl))
	}
	return err
}

// Reboots tells whether a reboot on a host of the lab reboots it.
func (l *Lab) Reboots() bool { return l.opt.Bootable }

// mayReboot tries whether hosts can have a boot id of their own here.
func (l *Lab) mayReboot() bool {
	if os.Getuid() != 0 || l.Embedded() {
		return false
	}
	return exec.Command("unshare", "-m", "sh", "-c", `mount --bind /dev/null /proc/sys/kernel/random/boot_id && command -v cmp readlink >/dev/null`).Run() == nil
}

// ownSystemctl copies the machine's: on the hosts another stands in its place. "" is none.
func (l *Lab) ownSystemctl() (path string, err error) {
	own, err := exec.LookPath("systemctl")
	if errors.Is(err, exec.ErrNotFound) {
		return "", nil
	}
	raw, err := os.ReadFile(own)
	path = filepath.Join(l.dir, "systemctl")
	return path, errors.Join(err, os.WriteFile(path, raw, 0o700))
}

func (l *Lab) prepareHost(h *labHost, systemctl string) error {
	dir := l.hostDir(h.host.Name)
	err := errors.Join(l.newBoot(h), os.MkdirAll(filepath.Join(dir, "bin"), 0o700))
	asked, names := "", []string{"systemctl", "reboot", "shutdown", "poweroff", "halt"}
	if l.opt.Bootable {
		asked = filepath.Join(dir, "asked")
	}
	sudo, lookErr := exec.LookPath("sudo")
	if lookErr == nil && !l.opt.Bootable {
		names = append(names, "sudo")
	}
	for _, name := range names {
		err = errors.Join(err, os.WriteFile(l.ownBin(h, name), fmt.Appendf(nil, power, asked, systemctl, sudo), 0o700))
	}
	return err
}

// ownBin is where a host's command of that name is.
func (l *Lab) ownBin(h *labHost, name string) string {
	return filepath.Join(l.hostDir(h.host.Name), "bin", name)
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
		case <-time.After(max(50*time.Millisecond, time.Duration(len(l.hosts))*1e6)):
		}
	}
}
