// Package daemon is tfwd: settings, signals, and a controller from start to drain.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"tfw/api/oidc"
	"tfw/cmd/controller"
	"tfw/executor"
	"tfw/inventory"
)

// Main runs tfwd and gives its exit status: 0 after a clean stop, 2 for settings
// that are refused, 3 when it could not start or broke.
func Main(version string, args, environ []string, stdout, stderr io.Writer) int {
	if err := controller.NoCores(); err != nil {
		say(stderr, err.Error())
	}
	err := run(version, args, environ, stdout, stderr)
	var problems inventory.Problems
	switch {
	case err == nil:
		return 0
	case errors.As(err, &problems):
		_ = problems.Print(stderr) // with no standard error left the status says it
		say(stderr, fmt.Sprintf("the inventory has mistakes (%d); nothing was started", len(problems)))
		return 2
	}
	say(stderr, err.Error())
	if isUsage(err) || errors.Is(err, controller.ErrRefused) {
		return 2
	}
	return 3
}

func say(w io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(w, "tfwd: %s\n", line)
	}
}

func run(version string, args, environ []string, stdout, stderr io.Writer) error {
	fs := pflag.NewFlagSet("tfwd", pflag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { usage(stdout, fs) }
	config := fs.String("config", "", "settings file (YAML)")
	show := fs.Bool("print-config", false, "print the settings and where each came from, and end")
	tell := fs.Bool("version", false, "print the version, and end")
	flags(fs)
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return usageError(err.Error() + " (see: tfwd --help)")
	case fs.NArg() > 0:
		return usageError(fmt.Sprintf("%q: tfwd takes flags only (see: tfwd --help)", fs.Arg(0)))
	case *tell:
		fmt.Fprintf(stdout, "tfwd %s\n", version)
		return nil
	}
	m, err := gather(*config, environ, fs)
	if err != nil {
		return err
	}
	if *show {
		return m.print(stdout)
	}
	return serve(version, m.settings, stdout, stderr)
}

func usage(w io.Writer, fs *pflag.FlagSet) {
	fmt.Fprintf(w, `tfwd runs what it is asked on the hosts of an inventory: the controller of tfw.

Usage: tfwd [--config tfwd.yaml] [flags]

Settings come as defaults < file < environment (TFW_LISTEN ...) < flags.
SIGTERM stops it: commands go on on their hosts, and the next start takes them
up. SIGHUP reads the inventory and the certificate again.

%s`, fs.FlagUsagesWrapped(100))
}

// gather reads every source of settings.
func gather(config string, environ []string, fs *pflag.FlagSet) (merged, error) {
	layers := []layer{defaults()}
	env := fromEnv(environ)
	if config == "" {
		config = configOf(environ)
	}
	if config != "" {
		file, err := fromFile(config)
		if err != nil {
			return merged{}, err
		}
		layers = append(layers, file)
	}
	return merge(append(layers, env, fromFlags(fs))...)
}

func configOf(environ []string) string {
	for _, pair := range environ {
		if path, ok := strings.CutPrefix(pair, "TFWD_CONFIG="); ok {
			return path
		}
	}
	return ""
}

func (s settings) controller(version string, log *slog.Logger) controller.Config {
	var provider oidc.Config
	if s.OIDCIssuer != "" || s.OIDCClientID != "" {
		provider = oidc.Config{Issuer: s.OIDCIssuer, ClientID: s.OIDCClientID, Claim: s.OIDCClaim, Groups: s.OIDCGroups}
	}
	return controller.Config{
		ClientCA: s.TLSClientCA, SocketGroup: s.SocketGroup, OIDC: provider, LoginFor: s.LoginFor,
		Inventory: s.Inventory, Data: s.Data, PluginsDir: s.PluginsDir, Secrets: s.Secrets, SecretsKey: s.SecretsKey,
		Listen: s.Listen, Socket: s.Socket, TLSCert: s.TLSCert, TLSKey: s.TLSKey, NoAuth: s.NoAuth, Insecure: s.Insecure, MetricsToken: s.Metrics == "token",
		Log: log, Version: version,
		Parallel: s.Parallel, MaxRuns: s.MaxRuns, LostAfter: s.LostAfter, Grace: s.Grace,
		MaxOutput: s.MaxOutput, ArtifactLimit: s.ArtifactLimit, KeepLogs: s.KeepLogs, KeepLogSize: s.KeepLogSize,
		KeepAudit: s.KeepAudit, KeepRuns: s.KeepRuns, KeepRunCount: s.KeepRunCount,
		ProbeEvery: s.ProbeEvery, ProbeParallel: s.ProbeParallel,
	}
}

func logger(s settings, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // checked with the settings
	opt := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// serve runs the controller until a signal ends it.
func serve(version string, s settings, stdout, stderr io.Writer) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)
	log := logger(s, stderr)
	c, err := start(s, s.controller(version, log), signals)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening on %s\n", c.URL())
	log.Info("tfwd: ready", "version", version, "url", c.URL(), "data", s.Data, "inventory", s.Inventory)
	for {
		select {
		case err := <-c.Failed():
			return errors.Join(err, drain(c, s, signals, log))
		case got := <-signals:
			if got != syscall.SIGHUP {
				log.Info("tfwd: stopping; commands go on on their hosts", "signal", got.String())
				return drain(c, s, signals, log)
			}
			if err := c.Reload(context.Background()); err != nil {
				log.Error("tfwd: reload", "error", err)
			} else {
				log.Info("tfwd: reloaded")
			}
		}
	}
}

// patience is how long a tfwctl that has the data directory for a moment is waited for.
const patience = 10 * time.Second

// start brings the controller up. Another tfwd in its place is an error at once;
// a tfwctl that does its own work there goes away by itself.
func start(s settings, cfg controller.Config, signals <-chan os.Signal) (*controller.Controller, error) {
	for end := time.Now().Add(patience); ; {
		c, err := controller.Start(context.Background(), cfg)
		if !errors.Is(err, executor.ErrLocked) || time.Now().After(end) {
			return c, err
		}
		if o, none := controller.ReadOwner(s.Data); none == nil && !o.Embedded {
			return nil, err
		}
		select {
		case <-signals:
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// drain closes within the bound; a second signal ends the waiting at once.
func drain(c *controller.Controller, s settings, signals <-chan os.Signal, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.DrainTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Close(ctx) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				log.Warn("tfwd: stopped before all was put away; the next start takes it up", "error", err)
			}
			return nil
		case got := <-signals:
			if got != syscall.SIGHUP {
				cancel()
			}
		}
	}
}
