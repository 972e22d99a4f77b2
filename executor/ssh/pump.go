package ssh

import (
	"errors"
	"io"
)

var errSessionClosed = errors.New("session is closed")

// pump makes the reads of a channel's stream interruptible: x/crypto's Read returns
// only when the server closes the channel, which sshd does not do while the
// command runs. It reads at most two buffers ahead, so the window still holds the host back.
type pump struct {
	src    io.Reader
	closed <-chan struct{}
	full   chan []byte
	empty  chan []byte
	rest   []byte // of the buffer last received, for Read
	whole  []byte // that buffer
}

const (
	smallBuffer = 2 << 10
	bigBuffer   = 64 << 10
)

func newPump(src io.Reader, closed <-chan struct{}) *pump {
	return &pump{src: src, closed: closed, full: make(chan []byte, 1), empty: make(chan []byte, 3)}
}

// run moves bytes until the stream ends. Once the session is closed it throws them away.
func (p *pump) run() {
	defer close(p.full)
	size, made := smallBuffer, 0
	for {
		var buf []byte
		select {
		case buf = <-p.empty:
		default:
			if made < 3 {
				made++
				buf = make([]byte, size)
			} else if buf = p.await(); buf == nil {
				p.discard()
				return
			}
		}
		if len(buf) < size {
			buf = make([]byte, size)
		}
		n, err := p.src.Read(buf)
		if n == len(buf) {
			size = bigBuffer
		}
		if n > 0 && !p.give(buf[:n]) {
			p.discard()
			return
		}
		if err != nil {
			return
		}
	}
}

func (p *pump) await() []byte {
	select {
	case b := <-p.empty:
		return b
	case <-p.closed:
		return nil
	}
}

func (p *pump) give(b []byte) bool {
	select {
	case p.full <- b:
		return true
	case <-p.closed:
		return false
	}
}

// discard keeps the channel's window open until the server closes it.
func (p *pump) discard() { io.Copy(io.Discard, p.src) }

// Read implements io.Reader for one reader at a time.
func (p *pump) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if err := p.next(nil); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: whole buffers, without a copy.
func (p *pump) WriteTo(w io.Writer) (int64, error) { return p.copyTo(w, nil) }

// copyTo is WriteTo that ends, without an error, when over is closed.
func (p *pump) copyTo(w io.Writer, over <-chan struct{}) (int64, error) {
	var total int64
	for {
		if len(p.rest) > 0 {
			n, err := w.Write(p.rest)
			total += int64(n)
			p.rest = p.rest[n:]
			if err != nil {
				return total, err
			}
		}
		if err := p.next(over); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

// next gives the buffer in hand back and waits for the next one.
func (p *pump) next(over <-chan struct{}) error {
	if p.whole != nil {
		p.empty <- p.whole[:cap(p.whole)]
		p.whole = nil
	}
	select {
	case b, ok := <-p.full:
		if !ok {
			return io.EOF
		}
		p.whole, p.rest = b, b
		return nil
	case <-p.closed:
		return errSessionClosed
	case <-over:
		return errOver
	}
}
