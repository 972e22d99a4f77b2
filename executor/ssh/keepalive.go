package ssh

import (
	"errors"
	"time"
)

const keepaliveMisses = 2

// keepalive asks the server for an answer whenever nothing was heard for a
// while, and ends the link after two misses. The asking has a goroutine of its own
// because a write blocks for ever on a peer that takes no more bytes.
func (l *link) keepalive() {
	every := time.NewTicker(l.place.set.Keepalive)
	defer every.Stop()
	heard, missed := l.net.read.Load(), 0
	asking := make(chan struct{}, 1)
	for {
		select {
		case <-l.dead:
			return
		case <-every.C:
		}
		if now := l.net.read.Load(); now != heard {
			heard, missed = now, 0
			continue
		}
		if missed == keepaliveMisses {
			l.end(errors.New("no sign of life from the host"))
			return
		}
		missed++
		select {
		case asking <- struct{}{}:
			l.spawn(func() {
				l.client.SendRequest("keepalive@openssh.com", true, nil)
				<-asking
			})
		default: // the last question is still on its way
		}
	}
}

// spawn runs f in a goroutine that belongs to the link: it must end when the link does.
func (l *link) spawn(f func()) { l.crew.Go(f) }
