package plugins

import (
	"context"
	_ "embed"
	"time"
)

// Deploy puts software on hosts and takes it back. It needs a POSIX sh on the host
// and sha256sum, shasum or openssl to verify what was installed.
type Deploy struct{}

var _ = builtin(Deploy{})

// Name implements [Plugin].
func (Deploy) Name() string { return "deploy" }

// Summary implements [Plugin].
func (Deploy) Summary() string {
	return "install files with a way back, manage services, reboot, know a re-imaged host again"
}

// Methods implements [Plugin].
func (Deploy) Methods() []Method {
	return []Method{
		Do("install", "put a file in its place in one step, keep the version before, activate it; taken back when that fails",
			install, Exclusive, Destructive, Positional("artifact", "dest")),
		Do("rollback", "put back the version before the last install", rollback, Exclusive, Destructive, Positional("dest")),
		Do("service", "start, stop, restart, reload, enable or disable a service, or tell its state", service, Positional("name", "action")),
		Do("reboot", "reboot the host and wait until it answers with a new boot id", rebootHost, Exclusive, Destructive),
		Do("new_host_key", "after a re-image: wait until the host shows another SSH key, and take that in the place of the one on file", newHostKey, Exclusive, Destructive, Positional("fingerprint")),
	}
}

//go:embed scripts/service.sh
var serviceScript []byte

type serviceParams struct {
	Name    string   `json:"name" jsonschema:"pattern=^[A-Za-z0-9@_][A-Za-z0-9@_.:-]*$,description=the service"`
	Action  string   `json:"action" jsonschema:"enum=start,enum=stop,enum=restart,enum=reload,enum=enable,enum=disable,enum=status,description=what to do"`
	Become  As       `json:"become,omitempty" jsonschema:"description=run as another user: true for the host's setting or root or a name"`
	Timeout Duration `json:"timeout,omitempty" jsonschema:"description=give up after this long"`
}

// Defaults give a service two minutes.
func (serviceParams) Defaults() serviceParams {
	return serviceParams{Timeout: Duration(2 * time.Minute)}
}

type serviceOutputs struct {
	Manager string `json:"manager" jsonschema:"description=what the host manages services with"`
	State   string `json:"state" jsonschema:"description=active or inactive or what the manager says"`
}

func service(ctx context.Context, remote Remote, p serviceParams) (serviceOutputs, error) {
	r, err := remote.Run(ctx, Command{
		Script: serviceScript, Argv: []string{"service", p.Name, p.Action},
		Become: p.Become.Become(), Timeout: p.Timeout.Std(),
	})
	if err != nil {
		return serviceOutputs{}, err
	}
	words := fieldsOfLast(r.Stdout)
	return serviceOutputs{Manager: at(words, 0), State: at(words, 1)}, scriptFailure(r)
}

type rebootParams struct {
	Wait Duration `json:"wait,omitempty" jsonschema:"description=how long it may take until the host answers again"`
}

// Defaults wait ten minutes: firmware and file system checks take their time.
func (rebootParams) Defaults() rebootParams { return rebootParams{Wait: Duration(10 * time.Minute)} }

type rebootOutputs struct {
	BootID string `json:"boot_id" jsonschema:"description=of the new boot; empty where the host tells none"`
}

func rebootHost(ctx context.Context, remote Remote, p rebootParams) (rebootOutputs, error) {
	if err := reboot(ctx, remote, p.Wait); err != nil {
		return rebootOutputs{}, err
	}
	r, err := remote.Run(ctx, Command{
		Script: []byte("cat /proc/sys/kernel/random/boot_id 2>/dev/null || true"), Quiet: true, Timeout: time.Minute,
	})
	return rebootOutputs{BootID: firstLine(r.Stdout, "")}, err
}
