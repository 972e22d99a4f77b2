package plugins

import (
	"context"
	_ "embed"
	"path"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// BuildServer builds software on a host. It needs git there for builds from a
// repository, tar for builds from an uploaded source, and whatever the build
// itself calls for. Checkouts are cached in the login user's home.
type BuildServer struct{}

var _ = builtin(BuildServer{})

// Name implements [Plugin].
func (BuildServer) Name() string { return "build_server" }

// Summary implements [Plugin].
func (BuildServer) Summary() string {
	return "check out from git, build, keep the artifacts"
}

// Methods implements [Plugin].
func (BuildServer) Methods() []Method {
	return []Method{
		Do("checkout", "bring a cached checkout to a branch, tag or commit", checkout, Exclusive, Positional("repo", "ref")),
		Do("build", "build a git ref or an uploaded source and keep the artifacts", build, Exclusive, Positional("repo", "ref", "command")),
		Do("clean", "remove cached checkouts", clean, Exclusive, Destructive, Positional("repo")),
	}
}

var (
	//go:embed scripts/checkout.sh
	checkoutScript []byte
	//go:embed scripts/unpack.sh
	unpackScript []byte
	//go:embed scripts/clean.sh
	cleanScript []byte
)

// buildRoot holds the checkouts, relative to the login user's home.
const buildRoot = ".cache/tfw/builds"

// Checkout says which source: parameters of checkout and build.
type Checkout struct {
	Repo       string   `json:"repo,omitempty" jsonschema:"pattern=^[^\\x00\\n-][^\\x00\\n]*$,description=URL of the repository or path on the host"`
	Ref        string   `json:"ref,omitempty" jsonschema:"pattern=^[^\\x00\\s-][^\\x00\\s]*$,description=branch or tag or commit; HEAD when not given"`
	Clean      bool     `json:"clean,omitempty" jsonschema:"description=remove ignored files too (no incremental build)"`
	Submodules bool     `json:"submodules,omitempty" jsonschema:"description=check out submodules too"`
	Become     As       `json:"become,omitempty" jsonschema:"description=run as another user: true for the host's setting or root or a name"`
	Timeout    Duration `json:"timeout,omitempty" jsonschema:"description=end the command after this long (for a build: the build command)"`
}

type checkoutParams struct{ Checkout }

// JSONSchemaExtend asks for a repository.
func (checkoutParams) JSONSchemaExtend(s *jsonschema.Schema) { s.Required = append(s.Required, "repo") }

// CheckoutOutputs tells what was checked out where.
type CheckoutOutputs struct {
	Commit string `json:"commit,omitempty"`
	Dir    string `json:"dir"`
}

func checkout(ctx context.Context, remote Remote, p checkoutParams) (CheckoutOutputs, error) {
	return p.run(ctx, remote, p.Timeout)
}

func (p Checkout) run(ctx context.Context, remote Remote, timeout Duration) (CheckoutOutputs, error) {
	var out CheckoutOutputs
	ref := p.Ref
	if ref == "" {
		ref = "HEAD"
	}
	r, err := remote.Run(ctx, Command{
		Script: checkoutScript,
		Argv:   []string{"checkout", buildRoot + "/" + cacheName(p.Repo), p.Repo, ref, strconv.FormatBool(p.Clean), strconv.FormatBool(p.Submodules)},
		Become: p.Become.Become(), Timeout: timeout.Std(),
	})
	if err != nil {
		return out, err
	}
	if err := scriptFailure(r); err != nil {
		return out, err
	}
	out.read(r.Stdout)
	if len(out.Commit) < 40 || !strings.HasPrefix(out.Dir, "/") {
		return out, Failed("the checkout did not tell its commit and directory")
	}
	remote.Note("checked out %s at %.12s", printable(ref), out.Commit)
	return out, nil
}

// read takes the last "commit" and "dir" lines of our scripts.
func (o *CheckoutOutputs) read(stdout []byte) {
	for line := range strings.Lines(string(stdout)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "commit":
			o.Commit = value
		case "dir":
			o.Dir = value
		}
	}
}

// cacheName names the checkout of a repository: readable, and its own by hash.
func cacheName(repo string) string {
	base := strings.TrimSuffix(path.Base(repo), ".git")
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, base)
	return strings.TrimLeft(plain[:min(len(plain), 40)], "-") + "." + sha256Hex([]byte(repo))[:12]
}

type cleanParams struct {
	Repo   string `json:"repo,omitempty" jsonschema:"description=whose checkout; all of them when not given"`
	Become As     `json:"become,omitempty" jsonschema:"description=the user whose cache it is"`
}

type cleanOutputs struct {
	Removed int   `json:"removed"`
	Bytes   int64 `json:"bytes"`
}

func clean(ctx context.Context, remote Remote, p cleanParams) (cleanOutputs, error) {
	argv := []string{"clean", buildRoot}
	if p.Repo != "" {
		argv = append(argv, cacheName(p.Repo))
	}
	r, err := remote.Run(ctx, Command{Script: cleanScript, Argv: argv, Become: p.Become.Become()})
	if err != nil {
		return cleanOutputs{}, err
	}
	words := fieldsOfLast(r.Stdout)
	n, _ := strconv.Atoi(at(words, 0)) // 0 when the script failed, which is told below
	kib, _ := strconv.ParseInt(at(words, 1), 10, 64)
	return cleanOutputs{Removed: n, Bytes: kib * 1024}, scriptFailure(r)
}
