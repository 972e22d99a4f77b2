package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"tfw/plugins"
)

// downloading is one download, over as many connections as it takes.
type downloading struct {
	r    *remote
	down plugins.Download
	w    *artifactWriter // from the first connection on
}

// tornTries is how often a file is read that is changed again and again while it is read.
const tornTries = 3

func (d *downloading) get(ctx context.Context) (plugins.Transfer, error) {
	become, err := d.r.become(d.down.Become)
	if err != nil {
		return plugins.Transfer{}, err
	}
	if err := d.open(ctx, become); err != nil {
		return plugins.Transfer{}, err
	}
	for try := 1; ; try++ {
		t, err := d.once(ctx, become)
		if !errors.Is(err, ErrTorn) || try == tornTries {
			return t, err
		}
		d.r.event(d.down.Src + ": was changed while it was read, reading it again")
	}
}

func (d *downloading) once(ctx context.Context, become *BecomeAs) (plugins.Transfer, error) {
	before, _ := d.w.Held()
	got, err := d.r.conn.Get(ctx, d.down.Src, become, d.w)
	if d.down.Optional && errors.Is(err, errNotExist) {
		return plugins.Transfer{Path: d.down.Src}, nil
	}
	if d.w.err != nil { // ours is why the transport gave up
		err = d.w.err
	}
	if err != nil {
		return plugins.Transfer{}, err
	}
	sum, size, err := d.w.commit()
	if err != nil {
		return plugins.Transfer{}, err
	}
	switch {
	case before > 0 && got.Bytes == 0 && size == before:
		d.r.event(fmt.Sprintf("%s: all its %d bytes had been brought before", d.down.Src, size))
	case before > 0 && size == before+got.Bytes:
		d.r.event(fmt.Sprintf("%s: %d of %d bytes had arrived before, the rest was brought", d.down.Src, before, size))
	}
	if got.Note != "" {
		d.r.event(d.down.Src + ": " + got.Note)
	}
	return plugins.Transfer{Path: d.down.Src, SHA256: sum, Bytes: size, Dir: got.Dir, Mode: got.Mode, ModTime: got.ModTime, Note: got.Note}, nil
}

func (d *downloading) open(ctx context.Context, become *BecomeAs) (err error) {
	if d.w != nil {
		return nil
	}
	limit := d.r.e.cfg.ArtifactLimit
	if d.down.Limit > 0 {
		limit = min(limit, d.down.Limit)
	}
	d.w, err = d.r.e.partArtifact(ctx, d.key(become), limit)
	return err
}

// key names the file for who reads it: whoever has the same key can read it by himself.
func (d *downloading) key(become *BecomeAs) string {
	as := ""
	if become != nil {
		as = become.User
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", d.r.p.host.Name, as, d.down.Src))
	return hex.EncodeToString(sum[:16])
}

// end keeps what may be gone on with by another download; what was committed is gone already.
func (d *downloading) end() {
	if d.w != nil {
		d.w.keep()
	}
}
