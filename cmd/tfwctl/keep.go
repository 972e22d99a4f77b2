package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tfw/cmd/controller"
	"tfw/executor"
)

// keep makes sure that a controller outlives this process, for --detach: when
// none owns the state, one is started in the background that ends once nothing runs any more.
func (a *app) keep(ctx context.Context) error {
	if a.setting.server.value != "" || a.owned() {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	inv, err := filepath.Abs(a.setting.inventory.value)
	if err != nil {
		return err
	}
	state := a.stateDir()
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(state, "background.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, "background", "-i", inv)
	cmd.Env = append(os.Environ(), "TFW_DATA="+state)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("background controller: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	for {
		select {
		case <-ended: // it had a reason, or another one was first: then the client tells which
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
			if a.owned() {
				return nil
			}
		}
	}
}

// handOver gives what was left running to a controller in the background, when the one that ended was our own.
func (a *app) handOver() {
	if !a.left {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.keep(ctx); err != nil {
		a.say("tfwctl: it stands still until tfwctl is called again: %v", err)
	}
}

// owned reports whether a controller answers on the state directory's socket.
func (a *app) owned() bool {
	o, err := controller.ReadOwner(a.stateDir())
	if err != nil {
		return false
	}
	conn, err := dialOwner(context.Background(), o)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// newBackground is the controller that keep starts.
func newBackground(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "background", Hidden: true, Args: cobra.NoArgs, Short: "Keep what was detached going, and end with it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			signals := make(chan os.Signal, 2)
			signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
			c, err := controller.Start(cmd.Context(), controller.Config{
				Inventory: a.setting.inventory.value, Data: a.stateDir(), NoAuth: true, Version: versionText(),
				Secrets: a.env("TFW_SECRETS"), SecretsKey: a.env("TFW_SECRETS_KEY"),
				Log: slog.New(slog.NewTextHandler(a.err, nil)), Embedded: true,
			})
			if errors.Is(err, executor.ErrLocked) {
				return nil
			}
			if err != nil {
				return err
			}
			untilIdle(cmd.Context(), c, signals)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			return c.Close(ctx)
		},
	}
}

// untilIdle waits until nothing has been running for some seconds.
func untilIdle(ctx context.Context, c *controller.Controller, signals <-chan os.Signal) {
	const quiet = 5 // seconds
	for still := 0; still < quiet; still++ {
		select {
		case <-signals:
			return
		case <-time.After(time.Second):
		}
		if idle, err := c.Idle(ctx); err != nil || !idle {
			still = -1
		}
	}
}
