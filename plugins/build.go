package plugins

import (
	"context"
	"strings"

	"github.com/invopop/jsonschema"
)

type buildParams struct {
	Checkout
	Source         string   `json:"source,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$,description=SHA-256 of a tar archive in the artifact store; in the place of repo"`
	Command        Words    `json:"command" jsonschema:"description=builds: a shell line or a list of words"`
	Cwd            string   `json:"cwd,omitempty" jsonschema:"pattern=^[^\\x00/][^\\x00]*$,description=directory within the source to build in"`
	Env            Env      `json:"env,omitempty" jsonschema:"description=environment variables added to those of the login"`
	SilenceTimeout Duration `json:"silence_timeout,omitempty" jsonschema:"description=end the build after this long without output"`
	Merge          bool     `json:"merge,omitempty" jsonschema:"description=put stderr into stdout in strict order (2>&1)"`
	Collection
}

// Defaults bound the artifacts.
func (buildParams) Defaults() buildParams { return buildParams{Collection: defaultCollection} }

// JSONSchemaExtend asks for one source.
func (buildParams) JSONSchemaExtend(s *jsonschema.Schema) {
	s.OneOf = []*jsonschema.Schema{{Required: []string{"repo"}}, {Required: []string{"source"}}}
}

// BuildOutputs is what a build gave.
type BuildOutputs struct {
	CommandOutputs
	CheckoutOutputs
	Artifacts map[string]string `json:"artifacts" jsonschema:"description=SHA-256 by path within the source"`
}

// build brings the source, runs the command in it (TFW_COMMIT is set for a
// repository), and keeps what the globs name. An artifact that was not built is a failure.
func build(ctx context.Context, remote Remote, p buildParams) (BuildOutputs, error) {
	out := BuildOutputs{Artifacts: map[string]string{}}
	if p.Command.Empty() {
		return out, ParameterError{Location: "parameters.command", Message: "is empty"}
	}
	if within := "/" + p.Cwd + "/"; strings.Contains(within, "/../") {
		return out, ParameterError{Location: "parameters.cwd", Message: "leaves the source"}
	}
	source, err := p.bring(ctx, remote)
	if err != nil {
		return out, err
	}
	out.CheckoutOutputs = source
	c, err := commandOf(p.Command)
	if err != nil {
		return out, err
	}
	env := Env{"TFW_SOURCE": source.Dir}
	if source.Commit != "" {
		env["TFW_COMMIT"] = source.Commit
	}
	for k, v := range p.Env {
		env[k] = v
	}
	out.CommandOutputs, err = runProcess(ctx, remote, Process{
		Cwd: under(source.Dir, p.Cwd), Env: env, Timeout: p.Timeout, SilenceTimeout: p.SilenceTimeout,
		Become: p.Become, Merge: p.Merge,
	}, c)
	if err != nil {
		return out, err
	}
	var missing []string
	out.Artifacts, missing, err = p.keep(ctx, remote, source.Dir, p.Become.Become())
	if err == nil && len(missing) > 0 {
		err = Failed("the build ended well, but artifact %s does not exist (globs start at %s)", printable(missing[0]), printable(source.Dir))
	}
	return out, err
}

// bring makes the source be on the host: from git, or from the artifact store.
func (p buildParams) bring(ctx context.Context, remote Remote) (CheckoutOutputs, error) {
	if p.Source == "" {
		return p.run(ctx, remote, 0) // the time-out is that of the command
	}
	dir := buildRoot + "/source." + p.Source[:12]
	archive := dir + ".tar"
	if err := makeDir(ctx, remote, buildRoot, p.Become.Become()); err != nil {
		return CheckoutOutputs{}, err
	}
	if _, err := remote.Upload(ctx, Upload{Artifact: p.Source, Dest: archive, Mode: 0o600, Become: p.Become.Become()}); err != nil {
		return CheckoutOutputs{}, err
	}
	r, err := remote.Run(ctx, Command{Script: unpackScript, Argv: []string{"unpack", dir, archive}, Become: p.Become.Become()})
	if err != nil {
		return CheckoutOutputs{}, err
	}
	var out CheckoutOutputs
	if out.read(r.Stdout); r.Failure() == nil && !strings.HasPrefix(out.Dir, "/") {
		return out, Failed("the unpacked source did not tell its directory")
	}
	return out, scriptFailure(r)
}
