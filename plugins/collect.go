package plugins

import (
	"context"
	_ "embed"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

//go:embed scripts/list.sh
var listScript []byte

// Collection says which files of a host to keep: parameters of methods that do so.
type Collection struct {
	Artifacts        Many  `json:"artifacts,omitempty" jsonschema:"description=files to keep: paths or globs; ** is any depth and a trailing / a whole directory"`
	MaxArtifacts     int   `json:"max_artifacts,omitempty" jsonschema:"minimum=1,maximum=10000,description=refuse more files than this"`
	MaxArtifactBytes int64 `json:"max_artifact_bytes,omitempty" jsonschema:"minimum=1,description=refuse more bytes than this in all"`
}

// defaultCollection bounds what is brought home when nobody said more.
var defaultCollection = Collection{MaxArtifacts: 100, MaxArtifactBytes: 1 << 30}

// found is a file that a pattern matched.
type found struct {
	name  string
	bytes int64
}

// find lists what the patterns match in a directory of the host, sorted by name,
// each once, and the patterns that match nothing. It stops shortly above limit. at is the directory's full path.
func find(ctx context.Context, remote Remote, dir string, patterns []string, limit int, become *Become) (at string, files []found, missing []string, err error) {
	r, err := remote.Run(ctx, Command{
		Script: listScript, Argv: append([]string{"list", strconv.Itoa(limit)}, patterns...),
		Cwd: dir, Become: become, Quiet: true, Capture: 8 << 20,
	})
	if err != nil {
		return "", nil, nil, err
	}
	if r.ExitCode != 0 || r.StdoutBytes > int64(len(r.Stdout)) {
		return "", nil, nil, Failed("the files could not be listed: %s", lastLine(r.Stderr, fmt.Sprintf("exit status %d", r.ExitCode)))
	}
	seen := map[string]bool{}
	for _, record := range strings.Split(string(r.Stdout), "\x00") {
		size, name, ok := strings.Cut(record, " ")
		n, numErr := strconv.ParseInt(size, 10, 64)
		switch {
		case !ok || name == "" || seen[name]:
		case size == "@":
			at = name
		case size == "-":
			missing = append(missing, name)
		case numErr == nil && n >= 0:
			seen[name] = true
			files = append(files, found{name, n})
		}
	}
	sort.Slice(files, func(i, j int) bool { return files[i].name < files[j].name })
	return at, files, missing, nil
}

// keep brings what the collection asks for into the artifact store. It gives name
// to SHA-256. What is over a limit fails as a whole, before the first byte is moved.
func (c Collection) keep(ctx context.Context, remote Remote, dir string, become *Become) (kept map[string]string, missing []string, err error) {
	kept = map[string]string{}
	if len(c.Artifacts) == 0 {
		return kept, nil, nil
	}
	at, files, missing, err := find(ctx, remote, dir, c.Artifacts, c.MaxArtifacts, become)
	if err != nil {
		return kept, missing, err
	}
	if len(files) > c.MaxArtifacts {
		return kept, missing, Failed("artifacts: more than %d files match (raise max_artifacts or narrow the globs)", c.MaxArtifacts)
	}
	left := c.MaxArtifactBytes
	for _, f := range files {
		if left -= f.bytes; left < 0 {
			return kept, missing, Failed("artifacts: more than %d bytes match (raise max_artifact_bytes or narrow the globs)", c.MaxArtifactBytes)
		}
	}
	left = c.MaxArtifactBytes
	for _, f := range files {
		t, err := remote.Download(ctx, Download{Src: under(at, strings.TrimSuffix(f.name, "/")), Limit: max(left, 1), Become: become})
		if err != nil {
			return kept, missing, fmt.Errorf("artifact %s: %w", printable(f.name), err)
		}
		left -= t.Bytes
		kept[strings.ToValidUTF8(f.name, "\uFFFD")] = t.SHA256
	}
	return kept, missing, nil
}

// under joins a directory and a name of the host; both may be relative to the home.
func under(dir, name string) string {
	if dir == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return strings.TrimSuffix(dir, "/") + "/" + name
}
