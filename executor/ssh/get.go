package ssh

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"tfw/executor"
)

// getScript streams a file as it is at this moment, also one that grows, or a
// directory as a tar archive. stat's -c is GNU's and busybox's.
const getScript = `case $1 in /*) s=$1;; "~") s=$HOME;; "~/"*) s=$HOME/${1#"~/"};; *) s=$HOME/$1;; esac
[ -e "$s" ] || { d=${s%/*}/; if [ -x "$d" ] || [ ! -d "$d" ]; then say absent; else say denied; fi; exit 1; }
[ -r "$s" ] || { say denied; exit 1; }
say stat "$(stat -L -c '%f %Y' "$s" 2>/dev/null)"
if [ -d "$s" ]; then
	command -v tar >/dev/null 2>&1 || { say no "the host has no tar"; exit 1; }
	say dir; say data; exec tar -C "$s" -cf - .
fi
say data; exec cat "$s"
`

// Get implements executor.Conn.
func (c *conn) Get(ctx context.Context, src string, become *executor.BecomeAs, w io.Writer) (executor.GetResult, error) {
	r, err := c.get(ctx, src, become, w)
	return r, c.fail("get "+src, err)
}

func (c *conn) get(ctx context.Context, src string, become *executor.BecomeAs, w io.Writer) (executor.GetResult, error) {
	if src == "" || strings.ContainsRune(src, 0) {
		return executor.GetResult{}, because(executor.ErrRefused, "", "%q names no file", src)
	}
	r, err := c.script(ctx, script{text: getScript, args: []string{src}, become: become, body: w})
	if err != nil {
		return executor.GetResult{}, err
	}
	if err := getRefused(src, r); err != nil {
		return executor.GetResult{}, err
	}
	g := executor.GetResult{Bytes: r.body}
	_, g.Dir = r.words["dir"]
	g.Mode, g.ModTime = parseStat(r.words["stat"])
	return g, nil
}

func getRefused(src string, r *reply) error {
	if _, ok := r.words["absent"]; ok {
		return because(executor.ErrRefused, "", "%s: %w", src, fs.ErrNotExist)
	}
	if _, ok := r.words["denied"]; ok {
		return because(executor.ErrRefused, "the user may not read it: use become", "%s: %w", src, fs.ErrPermission)
	}
	if why, ok := r.words["no"]; ok {
		return because(executor.ErrRefused, "", "%s", why)
	}
	if r.exit.Kind != exitStatus || r.exit.Code != 0 {
		return because(executor.ErrRefused, "", "status %d: %s", r.exit.Code, r.stderr)
	}
	return nil
}

// parseStat reads "MODE MTIME", mode in hex with the file type as stat(2) has it.
func parseStat(text string) (mode uint32, modified time.Time) {
	var seconds int64
	hex, rest, _ := strings.Cut(text, " ")
	m, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		return 0, time.Time{}
	}
	if _, err := fmt.Sscan(rest, &seconds); err != nil {
		return 0, time.Time{}
	}
	return uint32(m) & 0o7777, time.Unix(seconds, 0)
}
