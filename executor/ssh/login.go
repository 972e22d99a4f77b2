package ssh

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
)

// login is one authentication: what is offered, and notes for the error if it fails.
type login struct {
	t     *Transport
	set   *settings
	stage *stage
	ctx   context.Context

	agent      *agentConn
	notes      []string // why a key could not be offered
	offered    int
	refusedKey error       // the host key was not accepted
	offering   atomic.Bool // the host is right and authentication has begun
}

func (a *login) config() (*xssh.ClientConfig, error) {
	check, algorithms, err := a.t.hosts.checker(a.set)
	if err != nil {
		return nil, err
	}
	auth, err := a.methods()
	if err != nil {
		return nil, err
	}
	conf := &xssh.ClientConfig{
		Config: xssh.Config{Ciphers: ciphers},
		User:   a.set.User,
		Auth:   auth,
		HostKeyCallback: func(hostname string, remote net.Addr, key xssh.PublicKey) error {
			if err := check(hostname, remote, key); err != nil {
				a.refusedKey = err
				return err
			}
			a.stage.at(atAuth)
			a.offering.Store(true)
			return nil
		},
		HostKeyAlgorithms: algorithms,
		ClientVersion:     "SSH-2.0-tfw",
	}
	return conf, nil
}

// close ends the agent connection.
func (a *login) close() {
	if a.agent != nil {
		a.agent.Close()
	}
}

func (a *login) explainAuth(err error) error {
	text := fmt.Sprintf("%s refused the login of user %s", a.set.addr(), a.set.User)
	if a.offered > 0 {
		text += fmt.Sprintf(" (%d keys offered)", a.offered)
	}
	if len(a.notes) > 0 {
		text += "; " + strings.Join(a.notes, "; ")
	}
	return because(executor.ErrAuth, "check ssh.user and ssh.identity_file, or the host's authorized_keys", "%s: %w", text, err)
}
