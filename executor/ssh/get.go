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

// getScript streams a file, as long as it is at this moment, or a directory as a tar
// archive. The first $2 bytes are left out when their SHA-256 is $3: they are there
// from an earlier Get. A file of no size is read to its end: it may be one of /proc.
// stat's -c is GNU's and busybox's; ksh keeps descriptor 3 from others unless it is given to them.
const getScript = `case $1 in /*) s=$1;; "~") s=$HOME;; "~/"*) s=$HOME/${1#"~/"};; *) s=$HOME/$1;; esac
[ -e "$s" ] || { d=${s%/*}/; if [ -x "$d" ] || [ ! -d "$d" ]; then say absent; else say denied; fi; exit 1; }
[ -r "$s" ] || { say denied; exit 1; }
say stat "$(stat -L -c '%f %Y' "$s" 2>/dev/null)"
if [ -d "$s" ]; then
	command -v tar >/dev/null 2>&1 || { say no "the host has no tar"; exit 1; }
	say dir; say data; LC_ALL=C exec tar -C "$s" -cf - .
fi
[ -f "$s" ] || { say no "it is neither a file nor a directory"; exit 1; }
exec 3<"$s" || exit
look() { stat -L -c '%s %y' /proc/self/fd/3 3<&3 2>/dev/null; }
old=$(look); size=${old%% *}; from=0
if [ "$2" -gt 0 ] && [ "$2" -le "${size:-0}" ] && command -v sha256sum >/dev/null 2>&1; then
	sum=$(head -c "$2" "$s" | sha256sum); [ "${sum%% *}" != "$3" ] || from=$2
fi
say from "$from"; say data
if [ "${size:-0}" -eq 0 ]; then cat <&3
elif [ "$from" -eq 0 ]; then head -c "$size" <&3
else tail -c +$((from+1)) <&3 | head -c $((size-from)); fi
end=$?; new=$(look)
if [ "${new%% *}" != "$size" ] && [ "${new%% *}" -gt "${size:-0}" ] 2>/dev/null; then note grew "${new%% *}"
elif [ "$new" != "$old" ]; then note torn; fi
exit $end
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
	part, _ := w.(executor.Partial)
	held, sum := int64(0), ""
	if part != nil {
		held, sum = part.Held()
	}
	before := func(words map[string]string) {
		if part != nil && held > 0 && words["from"] == strconv.FormatInt(held, 10) {
			part.Resume()
		}
	}
	r, err := c.script(ctx, script{text: getScript, args: []string{src, strconv.FormatInt(held, 10), sum}, become: become, body: w, before: before})
	if err != nil {
		return executor.GetResult{}, err
	}
	if err := getRefused(src, r); err != nil {
		return executor.GetResult{}, err
	}
	g := executor.GetResult{Bytes: r.body, Note: getNote(r)}
	_, g.Dir = r.words["dir"]
	g.Mode, g.ModTime = parseStat(r.words["stat"])
	return g, nil
}

func getRefused(src string, r *reply) error {
	if _, ok := r.words["absent"]; ok {
		return because(executor.ErrPath, "", "%w", fs.ErrNotExist)
	}
	if _, ok := r.words["denied"]; ok {
		return because(executor.ErrPath, "the user may not read it: use become", "%w", fs.ErrPermission)
	}
	if why, ok := r.words["no"]; ok {
		return because(executor.ErrPath, "", "%s", why)
	}
	if _, ok := r.words["torn"]; ok {
		return because(executor.ErrRefused, "", "%s: %w", src, executor.ErrTorn)
	}
	if (r.exit.Kind != exitStatus || r.exit.Code != 0) && !onlyChanged(r) {
		return r.saidNo()
	}
	return nil
}

// onlyChanged reports whether tar, at its end with status 1, complained of nothing but files
// that were written meanwhile: the archive is whole, and such files are in it as long as they were.
func onlyChanged(r *reply) bool {
	if _, dir := r.words["dir"]; !dir || r.exit.Code != 1 || r.stderr == "" {
		return false
	}
	for line := range strings.Lines(r.stderr) {
		if !strings.HasSuffix(strings.TrimSpace(line), "file changed as we read it") {
			return false
		}
	}
	return true
}

// getNote tells what happened to what was read, other than what makes it useless.
func getNote(r *reply) string {
	if onlyChanged(r) {
		return "files in it were written meanwhile: " + strings.ReplaceAll(r.stderr, "\n", "; ")
	}
	if now, ok := r.words["grew"]; ok {
		return "it grew to " + now + " bytes while it was read; the copy is of what was there at the beginning"
	}
	return ""
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
