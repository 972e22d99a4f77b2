package ssh

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/pkg/sftp"

	"tfw/executor"
)

// errNoSFTP means that the host has no sftp subsystem: another way is taken.
var errNoSFTP = errors.New("no sftp subsystem")

// openSFTP starts the sftp subsystem in a session of its own.
func (c *conn) openSFTP(ctx context.Context) (*sftp.Client, *session, error) {
	s, err := c.place.open(ctx, request{"subsystem", "sftp"}, false)
	if err != nil {
		return nil, nil, err
	}
	s.link.spawn(func() { io.Copy(io.Discard, s.Stderr()) })
	client, err := sftp.NewClientPipe(s.Stdout(), s.Stdin(), sftp.UseConcurrentWrites(true))
	if err == nil {
		return client, s, nil
	}
	s.Close()
	switch {
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case s.link.broken():
		return nil, nil, s.link.why()
	}
	return nil, nil, errors.Join(errNoSFTP, err)
}

// bySFTP sends a large file: many requests at a time, so that a long way costs little.
func (p *upload) bySFTP(ctx context.Context) error {
	client, s, err := p.conn.openSFTP(ctx)
	if err != nil {
		return err
	}
	defer s.Close() // ends client too: it reads from the session
	p.result.Via = "sftp"
	if p.resumable() {
		err := p.arrive(ctx, client, s, max(p.have-inFlight, 0))
		if !errors.Is(err, errDamagedOnWay) {
			return err
		}
		p.have = 0 // what was there was not ours to build on
	}
	return p.arrive(ctx, client, s, 0)
}

// inFlight is more than SFTP writes side by side: so far before the end of what
// arrived, nothing is missing in between. The hash tells in any case.
const inFlight = 8 << 20

func (p *upload) resumable() bool {
	return p.have > inFlight && p.have <= p.put.Size && p.put.SHA256 != ""
}

// arrive sends the content from a byte on, and puts it in its place.
func (p *upload) arrive(ctx context.Context, client *sftp.Client, s *session, from int64) error {
	if err := p.send(client, from); err != nil {
		if p.put.Key == "" || !s.link.broken() {
			p.abandon()
		}
		return p.sendError(ctx, s, err)
	}
	p.result.Resumed = from
	r, err := p.ask(ctx, whereScript+placeScript, nil)
	if p.result.Skipped {
		p.abandon() // somebody else placed the same in the meantime
	}
	if err == nil && !p.result.Skipped && r.words["sum"] == "unknown" {
		return p.readBack(client)
	}
	return err
}

func (p *upload) sendError(ctx context.Context, s *session, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.link.broken():
		return s.link.why()
	}
	kind := executor.ErrRefused
	if said := new(sftp.StatusError); errors.As(err, &said) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		kind = executor.ErrPath
	}
	return because(kind, "", "%w", err)
}

func (p *upload) send(client *sftp.Client, from int64) error {
	f, err := p.openTemp(client, from)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	// A SectionReader tells its size: without it pkg/sftp sends one packet at a time.
	n, err := f.ReadFrom(io.NewSectionReader(p.put.Content, from, p.put.Size-from))
	if err != nil {
		return err
	}
	if n != p.put.Size-from {
		return io.ErrUnexpectedEOF
	}
	if _, can := client.HasExtension("fsync@openssh.com"); can {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

// openTemp opens the temporary file: a new one, or what an earlier Put has left, at a byte.
func (p *upload) openTemp(client *sftp.Client, from int64) (*sftp.File, error) {
	if from == 0 {
		if p.put.Key != "" {
			_ = client.Remove(p.temp) // of an earlier Put; most often there is none
		}
		return client.OpenFile(p.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	}
	f, err := client.OpenFile(p.temp, os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// abandon removes what was sent. It does not make the caller wait, whose context
// may be over: the transport waits for it when it closes.
func (p *upload) abandon() {
	place, temp := p.conn.place, p.temp
	place.hold()
	place.t.crew.Go(func() {
		defer place.release()
		ctx, cancel := context.WithTimeout(place.t.ctx, 10*time.Second)
		defer cancel()
		s, err := place.open(ctx, execRequest(shCommand(`rm -f -- "$1"`, temp)), true)
		if err != nil {
			return
		}
		defer s.Close()
		io.Copy(io.Discard, s.Stdout())
		_, _ = s.Wait() // at the worst a hidden file stays
	})
}

// readBack checks the content where the host has no program to do it.
func (p *upload) readBack(client *sftp.Client) error {
	f, err := client.Open(p.result.Path)
	if err != nil {
		return because(executor.ErrRefused, "", "reading back: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := f.WriteTo(h); err != nil {
		return because(executor.ErrRefused, "", "reading back: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.args()[2] {
		return because(executor.ErrRefused, "put it again", "the content was damaged on its way")
	}
	return nil
}
