package ssh

import (
	"context"
	"fmt"

	"tfw/executor"
)

// attach goes on with a command that was started before, from where the delivery stands.
func (c *conn) attach(ctx context.Context, cmd executor.DurableCommand, d *delivery) (outcome, error) {
	id, err := idText(cmd.ID)
	if err != nil {
		return outcomeNone, err
	}
	vars := fmt.Sprintf("t_i=%s t_f=$t_d/%s t_1=%d t_2=%d t_q=%d", id, id, d.from.Stdout, d.from.Stderr, bound(cmd.MaxSpool))
	k, err := c.begin(ctx, cmd.Become, text{vars, stateText + attachText}, false)
	if err != nil {
		return outcomeNone, err
	}
	return c.deliver(ctx, cmd.Become, k, d, false)
}
