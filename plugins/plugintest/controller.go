package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"tfw/plugins"
)

// errReplay ends a method whose replay asks for something else, as the executor does.
var errReplay = errors.New("plugin is not deterministic")

// controller stands for one life of tfwd: it answers from the record what is
// recorded, does the rest on the host, and dies after a number of operations.
type controller struct {
	host   *LocalHost
	record []Op
	known  int // of record at the start of this life
	asked  int
	killAt int

	dead    bool
	differs string
	outputs json.RawMessage
	err     error
}

// call runs the method in one life. A killed life ends within an operation,
// with its answer on record: the method's code never goes on.
func (r *replay) call(host *LocalHost, record []Op, killAt int) *controller {
	c := &controller{host: host, record: append([]Op(nil), record...), known: len(record), killAt: killAt}
	done := make(chan struct{})
	var panicked any
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		c.outputs, c.err = r.method.Call(r.t.Context(), c, r.params)
	}()
	<-done
	if panicked != nil {
		r.t.Fatalf("%s panicked: %v", r.method.Name, panicked)
	}
	return c
}

// do answers one operation: from the record, or live.
func (c *controller) do(text string, live func()) Op {
	if c.dead {
		runtime.Goexit() // a deferred call of a killed controller's code
	}
	i := c.asked
	c.asked++
	if i < c.known {
		op := c.record[i]
		if op.Text != text {
			c.differs = fmt.Sprintf("operation %d was\n  %s\nand is\n  %s", i+1, brief(op.Text), brief(text))
			op.Err = errReplay
		}
		return op
	}
	if c.differs != "" {
		return Op{Err: errReplay}
	}
	before := len(c.host.Ops())
	live()
	op := c.host.Ops()[before]
	c.record = append(c.record, op)
	if len(c.record) >= c.killAt {
		c.dead = true
		runtime.Goexit()
	}
	return op
}

func (c *controller) Host() plugins.Host      { return c.host.Host() }
func (c *controller) Note(f string, a ...any) { c.host.Note(f, a...) }

func (c *controller) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	op := c.do(commandText(cmd), func() { _, _ = c.host.Run(ctx, cmd) }) // the answer is in the host's record
	return op.Result, op.Err
}

func (c *controller) Upload(ctx context.Context, up plugins.Upload) (plugins.Transfer, error) {
	op := c.do(uploadText(up), func() { _, _ = c.host.Upload(ctx, up) })
	op.Transfer.Skipped = false // whether it was there already is no part of the answer after a cut
	return op.Transfer, op.Err
}

func (c *controller) Download(ctx context.Context, down plugins.Download) (plugins.Transfer, error) {
	op := c.do(downloadText(down), func() { _, _ = c.host.Download(ctx, down) })
	return op.Transfer, op.Err
}

func (c *controller) Reboot(ctx context.Context, wait time.Duration) error {
	return c.do("reboot "+wait.String(), func() { _ = c.host.Reboot(ctx, wait) }).Err
}

func (c *controller) NewHostKey(ctx context.Context, ask plugins.NewKey) (plugins.KeyChange, error) {
	op := c.do(fmt.Sprintf("host key %+v", ask), func() { _, _ = c.host.NewHostKey(ctx, ask) })
	return op.Keys, op.Err
}

func (c *controller) OpenArtifact(ctx context.Context, sha256 string) (io.ReadCloser, int64, error) {
	return c.host.OpenArtifact(ctx, sha256)
}
