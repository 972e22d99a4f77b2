package ssh

import (
	"bytes"
	"io"
	"slices"
)

// stdin is a session's standard input.
type stdin struct{ s *session }

var _ io.WriteCloser = stdin{}

// Write waits for the exec to be accepted, then sends. It returns when the session is
// closed, even if the host takes no more.
func (w stdin) Write(b []byte) (int, error) {
	if err := w.ready(); err != nil {
		return 0, err
	}
	total := 0
	for chunk := range slices.Chunk(b, 256<<10) {
		n, err := w.send(bytes.Clone(chunk)) // cloned: the sender may outlive this call
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (w stdin) send(b []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	w.s.link.spawn(func() {
		w.s.feed.Lock()
		n, err := w.s.ch.Write(b)
		w.s.feed.Unlock() // before the caller knows, who may close next
		done <- result{n, err}
	})
	select {
	case r := <-done:
		return r.n, r.err
	case <-w.s.ended:
		return 0, io.ErrClosedPipe
	case <-w.s.closed:
		return 0, errSessionClosed
	}
}

// Close sends EOF, unless a Write was given up on: then the session is at its end anyway.
func (w stdin) Close() error {
	if err := w.ready(); err != nil {
		return err
	}
	if !w.s.feed.TryLock() {
		return errSessionClosed
	}
	defer w.s.feed.Unlock()
	return w.s.ch.CloseWrite()
}

func (w stdin) ready() error {
	select {
	case <-w.s.asked:
		return w.s.refused
	case <-w.s.closed:
		return errSessionClosed
	}
}
