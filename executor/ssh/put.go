package ssh

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"tfw/executor"
)

// smallPut is the size up to which one exec places a file.
const smallPut = 64 << 10

// whereScript makes $d the absolute path of the destination $1 and $t the
// temporary name beside it, and says when the content $3 is there already.
const whereScript = `umask 077
case $1 in /*) d=$1;; "~/"*) d=$HOME/${1#"~/"};; *) d=$HOME/$1;; esac
b=${d##*/}; [ "${#b}" -lt 200 ] || b=tfw
t=${d%/*}/.$b.tfw-$2
say path "$d"; say temp "$t"
[ ! -f "$t" ] || [ -L "$t" ] || [ ! -O "$t" ] || say have "$(wc -c <"$t")"
[ ! -d "$d" ] || { say no "it is a directory: name the file"; exit 1; }
[ -d "${d%/*}/" ] || { say no "no such directory: ${d%/*}"; exit 1; }
sum() { if command -v sha256sum >/dev/null 2>&1; then s=$(sha256sum <"$1") || return; s=${s%% *}
elif command -v shasum >/dev/null 2>&1; then s=$(shasum -a 256 <"$1") || return; s=${s%% *}
elif command -v openssl >/dev/null 2>&1; then s=$(openssl dgst -sha256 <"$1") || return; s=${s##* }
else s=unknown; fi; }
dress() { chmod "$4" "$1" || return; [ -z "$5" ] || TZ=UTC0 touch -t "$5" "$1"; }
if [ -n "$3" ] && [ -f "$d" ] && [ ! -L "$d" ] && [ -r "$d" ] && sum "$d" && [ "$s" = "$3" ] && dress "$d" "" "" "$4" "$5"; then say same; exit 0; fi
`

// tidyScript removes what uploads to the same place left that were cut off with
// their host, a day ago or more.
const tidyScript = `for f in "${d%/*}/.$b.tfw-"*; do [ "$f" != "$t" ] && [ -f "$f" ] && [ -n "$(find "$f" -mtime +0 2>/dev/null)" ] && rm -f "$f"; done
:
`

// placeScript turns the whole temporary file into the destination. $6 is the size.
const placeScript = `n1=$(wc -c <"$t") && [ "$n1" -eq "$6" ] || { rm -f "$t"; say short "only $n1 of $6 bytes arrived"; exit 1; }
if [ -n "$3" ]; then sum "$t"; say sum "$s"; [ "$s" = "$3" ] || [ "$s" = unknown ] || { rm -f "$t"; say damaged; exit 1; }; fi
dress "$t" "" "" "$4" "$5" || { rm -f "$t"; exit 1; }
sync "$t" 2>/dev/null
mv -f "$t" "$d" || { rm -f "$t"; exit 1; }
say done
`

// catScript receives the content on stdin. A cut connection is an early end of it, which the size tells.
const catScript = `trap 'rm -f "$t"' HUP INT TERM
rm -f "$t"; set -C; cat >"$t" || { rm -f "$t"; exit 1; }; set +C
`

// Put implements executor.Conn.
func (c *conn) Put(ctx context.Context, put executor.Put) (executor.PutResult, error) {
	r, err := c.put(ctx, put)
	return r, c.fail("put "+put.Dest, err)
}

func (c *conn) put(ctx context.Context, put executor.Put) (executor.PutResult, error) {
	if put.Dest == "" || strings.HasSuffix(put.Dest, "/") || strings.ContainsAny(put.Dest, "\x00\n") {
		return executor.PutResult{}, because(executor.ErrRefused, "", "%q names no file", put.Dest)
	}
	p := &upload{conn: c, put: put, id: strings.ToLower(nonce())}
	if put.Key != "" {
		p.id = put.Key
	}
	if put.Size <= smallPut {
		return p.byExec(ctx)
	}
	if done, err := p.look(ctx); done || err != nil {
		return p.result, err
	}
	if put.Become == nil {
		err := p.bySFTP(ctx)
		if !errors.Is(err, errNoSFTP) {
			return p.result, err
		}
	}
	return p.byExec(ctx)
}

// upload is one Put under way.
type upload struct {
	conn   *conn
	put    executor.Put
	id     string
	temp   string // beside the destination, as the host said
	have   int64  // bytes of it, left by an earlier Put of the same Key
	result executor.PutResult
}

// args are the positional parameters of the scripts.
func (p *upload) args() []string {
	mode := p.put.Mode & 0o7777
	if mode == 0 {
		mode = 0o644
	}
	stamp := ""
	if !p.put.ModTime.IsZero() {
		stamp = p.put.ModTime.UTC().Format("200601021504.05")
	}
	return []string{p.put.Dest, p.id, strings.ToLower(p.put.SHA256), strconv.FormatUint(uint64(mode), 8), stamp, strconv.FormatInt(p.put.Size, 10)}
}

// look asks whether the content is there, and where "there" is.
func (p *upload) look(ctx context.Context) (same bool, err error) {
	_, err = p.ask(ctx, whereScript+tidyScript, nil)
	return p.result.Skipped, err
}

// byExec streams the content to a shell: the way for small files, other users and hosts without SFTP.
func (p *upload) byExec(ctx context.Context) (executor.PutResult, error) {
	p.result.Via = "exec"
	r, err := p.ask(ctx, whereScript+catScript+placeScript, io.NewSectionReader(p.put.Content, 0, p.put.Size))
	if err == nil && !p.result.Skipped {
		if _, ok := r.words["done"]; !ok {
			err = r.saidNo()
		}
	}
	return p.result, err
}

// errDamagedOnWay says that what arrived is not what was sent.
var errDamagedOnWay = errors.New("the content was damaged on its way")

// ask runs one of the scripts and notes what all of them say.
func (p *upload) ask(ctx context.Context, text string, content io.Reader) (*reply, error) {
	r, err := p.conn.script(ctx, script{text: text, args: p.args(), become: p.put.Become, stdin: content})
	if err != nil {
		return nil, err
	}
	if path, ok := r.words["path"]; ok {
		p.result.Path, p.temp = path, r.words["temp"]
	}
	if text, ok := r.words["have"]; ok && p.put.Key != "" {
		p.have, _ = strconv.ParseInt(strings.TrimSpace(text), 10, 64) // what is no number is nothing to build on
	}
	_, p.result.Skipped = r.words["same"]
	if _, ok := r.words["damaged"]; ok {
		return r, because(executor.ErrRefused, "put it again", "%w", errDamagedOnWay)
	}
	if why, ok := r.words["short"]; ok {
		return r, because(executor.ErrRefused, "", "%s", why)
	}
	if why, ok := r.words["no"]; ok {
		return r, because(executor.ErrPath, "", "%s", why)
	}
	if r.exit.Kind != exitStatus || r.exit.Code != 0 {
		return r, r.saidNo()
	}
	return r, nil
}
