package plugins

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"
)

//go:embed scripts/install.sh
var installScript []byte

//go:embed scripts/unplaced.sh
var unplacedScript []byte

//go:embed scripts/rollback.sh
var rollbackScript []byte

type installParams struct {
	Artifact string   `json:"artifact,omitempty" jsonschema:"oneof_required=artifact,pattern=^[0-9a-f]{64}$,description=SHA-256 (hex) of a file in the artifact store"`
	Content  Content  `json:"content,omitempty" jsonschema:"oneof_required=content,description=the file itself when it is small"`
	File     string   `json:"file,omitempty" jsonschema:"oneof_required=file,minLength=1,pattern=^[^\\x00]*$,description=a file that is on the host already"`
	SHA256   string   `json:"sha256,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$,description=what file must hash to"`
	Dest     string   `json:"dest" jsonschema:"pattern=^[^\\x00\\n]*[^/\\x00\\n]$,description=path of the file to replace; relative to the login user's home"`
	Mode     Mode     `json:"mode,omitempty" jsonschema:"description=permission bits; 0644 when not given or those of file"`
	Activate Words    `json:"activate,omitempty" jsonschema:"description=command that puts it to work (TFW_DEST is set); when it fails the old version is put back and activated again"`
	Env      Env      `json:"env,omitempty" jsonschema:"description=environment variables for activate"`
	Timeout  Duration `json:"timeout,omitempty" jsonschema:"description=end activate after this long"`
	Become   As       `json:"become,omitempty" jsonschema:"description=run as another user: true for the host's setting or root or a name"`
}

type installOutputs struct {
	Dest       string `json:"dest"`
	Changed    bool   `json:"changed" jsonschema:"description=false when the same content was there already"`
	SHA256     string `json:"sha256,omitempty"`
	Previous   string `json:"previous,omitempty" jsonschema:"description=SHA-256 of the version before; empty when there was none"`
	Activated  bool   `json:"activated"`
	RolledBack bool   `json:"rolled_back"`
	ExitCode   int    `json:"exit_code" jsonschema:"description=of activate"`
}

// install is three remote steps, each of which can be repeated: upload beside,
// switch by rename, activate; and two more to go back when activate fails.
func install(ctx context.Context, remote Remote, p installParams) (installOutputs, error) {
	out := installOutputs{Dest: p.Dest}
	source, sum, mode := p.File, p.SHA256, ""
	if p.Mode != 0 {
		mode = fmt.Sprintf("%o", uint32(p.Mode))
	}
	if p.File == "" {
		if mode == "" {
			mode = "644"
		}
		source = beside(p.Dest)
		placed, err := remote.Upload(ctx, Upload{
			Content: p.Content, Artifact: p.Artifact, Dest: source, Mode: 0o600, Become: p.Become.Become(),
		})
		if err != nil {
			return out, unplaced(ctx, remote, p, source, err)
		}
		if sum = p.Artifact; sum == "" {
			sum = placed.SHA256
		}
	}
	r, err := remote.Run(ctx, Command{
		Script: installScript, Argv: []string{"install", p.Dest, source, sum, mode}, Become: p.Become.Become(),
	})
	if err != nil {
		return out, err
	}
	if err := scriptFailure(r); err != nil {
		return out, err
	}
	words := fieldsOfLast(r.Stdout)
	out.Changed, out.SHA256 = at(words, 0) != "unchanged", at(words, 2)
	if out.Previous = at(words, 1); out.Previous == "-" {
		out.Previous = ""
	}
	if p.Activate.Empty() {
		return out, nil
	}
	return activate(ctx, remote, p, out)
}

// unplaced asks the host why the file could not be uploaded: where it can tell, it has said no.
func unplaced(ctx context.Context, remote Remote, p installParams, source string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	r, asked := remote.Run(ctx, Command{Script: unplacedScript, Argv: []string{"unplaced", p.Dest, source, strconv.FormatInt(p.size(ctx, remote)>>10, 10)}, Become: p.Become.Become(), Quiet: true})
	if asked != nil || r.ExitCode != 73 {
		return err
	}
	return Failed("%s; nothing was changed", lastLine(r.Stderr, err.Error()))
}

// size is that of what is uploaded; 0 where it is not known.
func (p installParams) size(ctx context.Context, remote Remote) int64 {
	store, ok := remote.(Artifacts)
	if p.Artifact == "" || !ok {
		return int64(len(p.Content))
	}
	r, n, err := store.OpenArtifact(ctx, p.Artifact)
	if err != nil {
		return 0
	}
	_ = r.Close() // only read
	return n
}

// activate runs the command, and goes back when it fails. Unchanged content is
// activated too: the run before may have been cut short just there.
func activate(ctx context.Context, remote Remote, p installParams, out installOutputs) (installOutputs, error) {
	c, err := commandOf(p.Activate)
	if err != nil {
		return out, err
	}
	c.Env = map[string]string{"TFW_DEST": p.Dest}
	plain, secrets := p.Env.split()
	maps.Copy(c.Env, plain)
	c.EnvSecrets = secrets
	c.Timeout, c.Become = p.Timeout.Std(), p.Become.Become()
	r, err := remote.Run(ctx, c)
	out.ExitCode = r.ExitCode
	if err == nil && r.Failure() == nil {
		out.Activated = true
		return out, nil
	}
	if ctx.Err() != nil {
		return out, err // cancelled: deploy.rollback takes it back
	}
	if err == nil {
		err = &FailedError{
			Reason:   fmt.Sprintf("activate ended with %v: %s", r.Failure(), lastLine(r.Stderr, "it said nothing on stderr")),
			ExitCode: r.ExitCode, Signal: r.Signal,
		}
	}
	if !out.Changed {
		return out, err // the same content was there before: nothing to go back to
	}
	return goBack(ctx, remote, p, c, out, err)
}

// goBack puts the old version back and activates that. why is what went wrong.
func goBack(ctx context.Context, remote Remote, p installParams, activate Command, out installOutputs, why error) (installOutputs, error) {
	remote.Note("activate failed: rolling %s back", cleanLine(p.Dest, 200))
	r, err := remote.Run(ctx, Command{Script: rollbackScript, Argv: []string{"rollback", p.Dest}, Become: p.Become.Become()})
	if err == nil {
		err = scriptFailure(r)
	}
	if err != nil {
		return out, fmt.Errorf("%w; and the old version could not be put back: %w", why, err)
	}
	out.RolledBack = true
	if out.Previous == "" {
		return out, because(why, "rolled back: removed, there was none before")
	}
	if r, err := remote.Run(ctx, activate); err != nil || r.Failure() != nil {
		return out, because(why, "rolled back, but activating the old version failed too")
	}
	return out, because(why, "rolled back")
}

// because adds to a failure what was done about it, and keeps its kind.
func because(why error, done string) error {
	if f, ok := why.(*FailedError); ok {
		return &FailedError{Reason: f.Reason + " (" + done + ")", ExitCode: f.ExitCode, Signal: f.Signal}
	}
	return fmt.Errorf("%w (%s)", why, done)
}

// beside names the place of an upload next to its destination: on the same file
// system, hidden, the same each time.
func beside(dest string) string {
	dir, name := path.Split(dest)
	if dir == "" {
		dir = "./"
	}
	return dir + "." + name + ".tfw-new"
}

type rollbackParams struct {
	Dest     string `json:"dest,omitempty" jsonschema:"pattern=^[^\\x00\\n]*$,description=the file; when not given what was installed last on this host by this user"`
	Activate Words  `json:"activate,omitempty" jsonschema:"description=command that puts the old version to work (TFW_DEST is set)"`
	Become   As     `json:"become,omitempty" jsonschema:"description=the user who installed it"`
}

type rollbackOutputs struct {
	Dest       string `json:"dest,omitempty"`
	RolledBack bool   `json:"rolled_back" jsonschema:"description=false when there was nothing to roll back"`
	Removed    bool   `json:"removed" jsonschema:"description=there was no version before"`
}

func rollback(ctx context.Context, remote Remote, p rollbackParams) (rollbackOutputs, error) {
	r, err := remote.Run(ctx, Command{Script: rollbackScript, Argv: []string{"rollback", p.Dest}, Become: p.Become.Become()})
	if err != nil {
		return rollbackOutputs{}, err
	}
	if err := scriptFailure(r); err != nil {
		return rollbackOutputs{}, err
	}
	state, dest, _ := strings.Cut(strings.TrimSpace(string(r.Stdout)), " ")
	out := rollbackOutputs{RolledBack: state == "restored" || state == "removed", Removed: state == "removed"}
	if !out.RolledBack {
		remote.Note("nothing to roll back")
		return out, nil
	}
	out.Dest = strings.ToValidUTF8(dest, "\uFFFD")
	if p.Activate.Empty() {
		return out, nil
	}
	c, err := commandOf(p.Activate)
	if err != nil {
		return out, err
	}
	c.Env, c.Become = map[string]string{"TFW_DEST": dest}, p.Become.Become()
	if r, err = remote.Run(ctx, c); err != nil {
		return out, err
	}
	return out, r.Failure()
}

// scriptFailure judges one of our own scripts: its last words on stderr say why.
func scriptFailure(r Result) error {
	failed := r.Failure()
	if failed == nil {
		return nil
	}
	return &FailedError{Reason: lastLine(r.Stderr, failed.Error()), ExitCode: r.ExitCode, Signal: r.Signal}
}

// fieldsOfLast splits the last line that one of our scripts printed.
func fieldsOfLast(stdout []byte) []string { return strings.Fields(lastLine(stdout, "")) }
