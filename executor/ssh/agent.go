package ssh

import (
	"context"
	"fmt"
	"net"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentConn is a connection to the user's ssh-agent, for one login.
type agentConn struct {
	net.Conn
	stop    func() bool
	signers []xssh.Signer
}

// openAgent asks the agent for its keys. ctx bounds every use of them too.
func openAgent(ctx context.Context, socket string) (*agentConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("ssh-agent: %w", err)
	}
	a := &agentConn{Conn: c, stop: context.AfterFunc(ctx, func() { c.Close() })}
	if a.signers, err = agent.NewClient(c).Signers(); err != nil {
		a.Close()
		return nil, fmt.Errorf("ssh-agent: %w", err)
	}
	return a, nil
}

// Close ends the connection.
func (a *agentConn) Close() error {
	a.stop()
	return a.Conn.Close()
}
