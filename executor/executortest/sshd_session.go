package executortest

import (
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// connection is one client of the embedded server.
type connection struct {
	server *embedded
	conn   *ssh.ServerConn
	raw    *faultConn
	fault  Fault

	mu       sync.Mutex
	sessions int
}

func (s *connection) open(ch ssh.NewChannel) {
	switch ch.ChannelType() {
	case "session":
		s.openSession(ch)
	case "direct-tcpip":
		s.server.work.Go(func() { s.forward(ch) })
	default:
		_ = ch.Reject(ssh.UnknownChannelType, "unsupported channel type")
	}
}

// openSession answers as OpenSSH does when MaxSessions is reached: "open failed".
func (s *connection) openSession(ch ssh.NewChannel) {
	limit := s.server.lab.opt.MaxSessions
	if s.fault == FaultMaxSessions1 {
		limit = 1
	}
	s.mu.Lock()
	full := s.sessions >= limit || s.fault == FaultChannelRefused
	if !full {
		s.sessions++
	}
	s.mu.Unlock()
	if full {
		_ = ch.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	channel, requests, err := ch.Accept()
	if err != nil {
		s.leave()
		return
	}
	s.server.work.Go(func() {
		defer s.leave()
		s.session(channel, requests)
	})
}

func (s *connection) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions--
}

// session serves one channel: requests come one after the other, and the first
// exec or subsystem decides what it is.
func (s *connection) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	var cmd *command
	var done <-chan struct{}
	for {
		select {
		case <-done:
			return
		case req, ok := <-requests:
			if !ok {
				if cmd != nil {
					cmd.abandon()
					<-done
				}
				return
			}
			accepted := false
			switch {
			case req.Type == "exec" && cmd == nil && done == nil:
				cmd, done = s.exec(channel, req)
				accepted = done != nil
			case req.Type == "subsystem" && done == nil:
				done = s.subsystem(channel, req)
				accepted = done != nil
			case req.Type == "signal" && cmd != nil:
				cmd.signal(req.Payload)
				accepted = true
			}
			if req.WantReply {
				_ = req.Reply(accepted, nil) // a lost reply is a lost connection
			}
			if accepted && cmd != nil && req.Type == "exec" {
				cmd.release()
			}
		}
	}
}

// subsystem starts the SFTP server in the host's home.
func (s *connection) subsystem(channel ssh.Channel, req *ssh.Request) <-chan struct{} {
	var name struct{ Name string }
	if ssh.Unmarshal(req.Payload, &name) != nil || name.Name != "sftp" || s.fault == FaultNoSFTP {
		return nil
	}
	srv, err := sftp.NewServer(channel, sftp.WithServerWorkingDirectory(s.server.host.home))
	if err != nil {
		return nil
	}
	done := make(chan struct{})
	s.server.work.Go(func() {
		defer close(done)
		_ = srv.Serve() // ends with the channel
	})
	return done
}

// forward plays sshd as a jump host (RFC 4254 section 7.2).
func (s *connection) forward(ch ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := ssh.Unmarshal(ch.ExtraData(), &to); err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	out, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer out.Close()
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	s.server.work.Go(func() {
		ssh.DiscardRequests(requests) // until the channel is closed, or the connection lost
		_ = out.Close()
	})
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(out, channel); _ = out.(*net.TCPConn).CloseWrite() })
	both.Go(func() { _, _ = io.Copy(channel, out); _ = channel.Close() })
	both.Wait()
}
