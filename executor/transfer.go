package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"tfw/plugins"
)

// Upload places a file. It is idempotent, so after a cut it goes on, or begins again.
func (r *remote) Upload(ctx context.Context, up plugins.Upload) (plugins.Transfer, error) {
	return r.transfer(ctx, "upload", up, func(ctx context.Context, _ *opRecord) (plugins.Transfer, error) { return r.upload(ctx, up) })
}

// Download brings a file into the artifact store. It is idempotent too, and goes on with
// what an earlier one of the same file brought before it broke off.
func (r *remote) Download(ctx context.Context, down plugins.Download) (plugins.Transfer, error) {
	d := &downloading{r: r, down: down}
	defer d.end()
	return r.transfer(ctx, "download", down, func(ctx context.Context, _ *opRecord) (plugins.Transfer, error) { return d.get(ctx) })
}

// transfer does an idempotent operation over as many connections as it takes and records how it ended.
func (r *remote) transfer(ctx context.Context, kind string, ask any, do func(ctx context.Context, op *opRecord) (plugins.Transfer, error)) (plugins.Transfer, error) {
	op, ordinal, err := r.step(kind, ask)
	if err != nil {
		return plugins.Transfer{}, err
	}
	if op.Ended {
		return r.transferred(op)
	}
	t, err := r.insist(ctx, op, ordinal, do)
	switch {
	case errors.Is(err, errDrain):
		r.broken = err
		return plugins.Transfer{}, err
	case err != nil:
		op.Failure = failure(err)
	default:
		op.Transfer = &t
	}
	r.close(op, ordinal)
	return r.transferred(op)
}

func (r *remote) transferred(op *opRecord) (plugins.Transfer, error) {
	if op.Failure != nil {
		return plugins.Transfer{}, r.failed(op)
	}
	return *op.Transfer, nil
}

// insist repeats do until it is done or refused, or the host was away for too long.
func (r *remote) insist(ctx context.Context, op *opRecord, ordinal int, do func(ctx context.Context, op *opRecord) (plugins.Transfer, error)) (plugins.Transfer, error) {
	var away time.Time
	if !op.Begun.IsZero() { // an earlier process began it
		away = time.Now()
	}
	wait := 200 * time.Millisecond
	for {
		err := r.connect(ctx, away)
		if err == nil && op.Begun.IsZero() {
			err = r.intend(op, ordinal)
		}
		var t plugins.Transfer
		if err == nil {
			r.p.begun() // a large file would count as beginning for long
			t, err = do(ctx, op)
		}
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() != nil:
			if cause := context.Cause(ctx); errors.Is(cause, errDrain) {
				return t, errDrain
			}
			return t, asStop(context.Cause(ctx))
		case errors.Is(err, ErrLost) && !op.Begun.IsZero():
			r.release()
			if away.IsZero() {
				away = time.Now()
			}
			if time.Since(away) >= r.lostAfter() {
				return t, &outOfReachError{after: r.lostAfter().String(), err: err}
			}
			r.event("connection lost during the " + op.Kind + ", trying again: " + reason(err))
			sleep(ctx, wait) // a ctx that is over ends the next round
			wait = min(2*wait, 15*time.Second)
		default:
			return t, err
		}
	}
}

func (r *remote) upload(ctx context.Context, up plugins.Upload) (plugins.Transfer, error) {
	content, size, sum, closeContent, err := r.content(ctx, up)
	if err != nil {
		return plugins.Transfer{}, err
	}
	defer closeContent()
	become, err := r.become(up.Become)
	if err != nil {
		return plugins.Transfer{}, err
	}
	dest := up.Dest
	if strings.HasSuffix(dest, "/") && up.Name != "" {
		dest += path.Base(up.Name)
	}
	mode := up.Mode
	orElse(&mode, 0o644)
	done, err := r.conn.Put(ctx, Put{Content: content, Size: size, SHA256: sum, Dest: dest, Mode: mode, ModTime: up.ModTime, Become: become, Key: r.putKey()})
	if err != nil {
		return plugins.Transfer{}, err
	}
	if done.Resumed > 0 {
		r.event(fmt.Sprintf("%s: %d of %d bytes had arrived before, the rest was sent", done.Path, done.Resumed, size))
	}
	return plugins.Transfer{Path: done.Path, SHA256: sum, Bytes: size, Skipped: done.Skipped, Mode: mode, ModTime: up.ModTime}, nil
}

// putKey names the operation under way: nobody who does not know the run can guess it.
func (r *remote) putKey() string {
	sum := sha256.Sum256([]byte(CommandID{Run: r.a.run.ID, Host: r.p.host.Name, Ordinal: r.next - 1}.String()))
	return hex.EncodeToString(sum[:10])
}

func (r *remote) content(ctx context.Context, up plugins.Upload) (_ io.ReaderAt, size int64, sum string, closeIt func(), err error) {
	if up.Artifact == "" {
		hash := sha256.Sum256(up.Content)
		return bytes.NewReader(up.Content), int64(len(up.Content)), hex.EncodeToString(hash[:]), func() {}, nil
	}
	f, size, err := r.e.openArtifact(up.Artifact)
	if err != nil {
		return nil, 0, "", nil, err
	}
	return f, size, up.Artifact, func() { _ = f.Close() }, nil // read only: nothing to lose
}

// OpenArtifact opens a stored file for the method. Its content is known by its
// hash, so a replay reads the same.
func (r *remote) OpenArtifact(_ context.Context, sum string) (io.ReadCloser, int64, error) {
	return r.e.openArtifact(sum)
}

// Reboot reboots the host and waits until it answers with another boot id.
func (r *remote) Reboot(ctx context.Context, wait time.Duration) error {
	_, err := r.transfer(ctx, "reboot", struct{ Wait time.Duration }{wait}, func(ctx context.Context, op *opRecord) (plugins.Transfer, error) {
		return plugins.Transfer{}, r.reboot(ctx, op.BootID, wait)
	})
	return err
}

const rebootScript = `if [ "$(id -u)" = 0 ]; then s=; else s="sudo -n"; fi
$s true || { echo "needs root or passwordless sudo to reboot"; exit 1; }
( sleep 1; $s systemctl reboot || $s reboot ) >/dev/null 2>&1 </dev/null &
echo rebooting`

// reboot asks once, and again after a lost connection only while the old boot id is there.
func (r *remote) reboot(ctx context.Context, before string, wait time.Duration) error {
	ctx, stop := context.WithTimeoutCause(ctx, wait, &stopError{verdict: TimedOut, code: "reboot", reason: fmt.Sprintf("the host did not come back within %s of its reboot", wait)})
	defer stop()
	boot, err := r.askBoot(ctx)
	switch {
	case err != nil:
		return err
	case before == "":
		return errors.New("reboot: the host shows no boot id, so its reboot could not be told (see: /proc/sys/kernel/random/boot_id there)")
	case boot == before:
		if out, err := r.conn.Probe(ctx, rebootScript); err != nil && !errors.Is(err, ErrLost) {
			return fmt.Errorf("reboot: %w: %s", err, bytes.TrimSpace(out))
		}
		r.event("rebooting")
	}
	for {
		r.release()
		if !sleep(ctx, time.Second) {
			return context.Cause(ctx)
		}
		try, done := context.WithTimeout(ctx, 20*time.Second)
		boot, err := "", r.connect(try, time.Time{})
		if err == nil {
			boot, err = r.askBoot(try)
		}
		done()
		if err == nil && boot != "" && boot != before {
			r.event("rebooted")
			return nil
		}
	}
}

// askBoot asks the host for its boot id; "" when it has none.
func (r *remote) askBoot(ctx context.Context) (string, error) {
	out, err := r.conn.Probe(ctx, "cat /proc/sys/kernel/random/boot_id 2>/dev/null || :")
	return string(bytes.TrimSpace(out)), err
}
