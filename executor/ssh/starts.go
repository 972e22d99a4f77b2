package ssh

import (
	"context"
	"time"

	"tfw/executor"
)

// startMost is how long a command may count as just being started: a host that hangs there must not
// hold up the others.
const startMost = 5 * time.Second

// start waits until one more command may be started, on the place and in all. More of them at a time than hosts
// and controller get done would end none sooner: each takes longer, then the logins do, and in the end hosts give no
// answer in time. leave is to be called when the command has ended or is found to last, and may be called often.
func (p *place) start(ctx context.Context) (leave func(), err error) {
	if err := pass(ctx, p.starts); err != nil {
		return nil, err
	}
	if err := pass(ctx, p.t.starts); err != nil {
		<-p.starts
		return nil, err
	}
	return executor.LeaveWithin(startMost, func() {
		<-p.t.starts
		<-p.starts
	}), nil
}
