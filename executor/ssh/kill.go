package ssh

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tfw/executor"
)

// Kill implements executor.Conn. The work is done on the host and goes on there
// when the connection breaks; asking again is safe and counts what is left.
func (c *conn) Kill(ctx context.Context, id executor.CommandID, become *executor.BecomeAs, grace time.Duration) (executor.KillReport, error) {
	report, err := c.kill(ctx, id, become, grace)
	if err != nil && ctx.Err() == nil {
		err = c.fail("kill", err)
	}
	return report, err
}

func (c *conn) kill(ctx context.Context, id executor.CommandID, become *executor.BecomeAs, grace time.Duration) (executor.KillReport, error) {
	name, err := idText(id)
	if err != nil {
		return executor.KillReport{}, err
	}
	hundredths := max(0, grace.Milliseconds()/10)
	vars := fmt.Sprintf("t_i=%s t_f=$t_d/%s t_g=%d", name, name, hundredths)
	lines, err := c.ask(ctx, become, text{vars, stateText + killText}, true)
	if err != nil {
		return executor.KillReport{}, err
	}
	return parseKill(lines)
}

// parseKill reads "left PID COMMAND" lines and the last, "kill GONE COUNT".
func parseKill(lines []string) (executor.KillReport, error) {
	var r executor.KillReport
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		a, b, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(a)
		switch word {
		case "left":
			r.Left = append(r.Left, executor.LeftProcess{PID: n, Command: b})
		case "kill":
			r.Gone = n == 1
			r.Killed, _ = strconv.Atoi(b)
			return r, nil
		}
	}
	return r, because(executor.ErrLost, "ask again: it may still be at work", "the host did not say what became of the processes")
}

// Strays implements executor.Conn. Of an account that several inventory hosts share, each gets its own.
func (c *conn) Strays(ctx context.Context) ([]executor.Stray, error) {
	lines, err := c.ask(ctx, nil, text{body: stateText + straysText}, false)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, c.fail("strays", err)
	}
	var all []executor.Stray
	for _, line := range lines {
		f := strings.SplitN(line, " ", 4)
		if len(f) < 4 || f[0] != "stray" {
			continue
		}
		id, ok := parseID(f[2])
		pid, err := strconv.Atoi(f[1])
		if ok && err == nil && id.Host == c.host().Name {
			all = append(all, executor.Stray{Command: id, LeftProcess: executor.LeftProcess{PID: pid, Command: f[3]}})
		}
	}
	return all, nil
}

// parseID reads what [executor.CommandID.String] wrote.
func parseID(s string) (executor.CommandID, bool) {
	f := strings.SplitN(s, ".", 3)
	if len(f) != 3 {
		return executor.CommandID{}, false
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return executor.CommandID{}, false
	}
	var host strings.Builder
	for i := 0; i < len(f[2]); i++ {
		if f[2][i] != '_' {
			host.WriteByte(f[2][i])
			continue
		}
		if i+3 > len(f[2]) {
			return executor.CommandID{}, false
		}
		b, err := strconv.ParseUint(f[2][i+1:i+3], 16, 8)
		if err != nil {
			return executor.CommandID{}, false
		}
		host.WriteByte(byte(b))
		i += 2
	}
	id := executor.CommandID{Run: executor.RunID(f[0]), Host: host.String(), Ordinal: n}
	return id, id.String() == s
}
