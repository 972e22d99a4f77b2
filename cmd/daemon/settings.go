package daemon

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"tfw/inventory"
)

// settings is what tfwd runs with.
type settings struct {
	Inventory     string        `koanf:"inventory"`
	Data          string        `koanf:"data"`
	Listen        string        `koanf:"listen"`
	Socket        string        `koanf:"socket"`
	TLSCert       string        `koanf:"tls_cert"`
	TLSKey        string        `koanf:"tls_key"`
	TLSClientCA   string        `koanf:"tls_client_ca"`
	SocketGroup   string        `koanf:"socket_group"`
	OIDCIssuer    string        `koanf:"oidc_issuer"`
	OIDCClientID  string        `koanf:"oidc_client_id"`
	OIDCClaim     string        `koanf:"oidc_claim"`
	OIDCGroups    string        `koanf:"oidc_groups"`
	LoginFor      time.Duration `koanf:"login_for"`
	NoAuth        bool          `koanf:"no_auth"`
	Insecure      bool          `koanf:"insecure"`
	Metrics       string        `koanf:"metrics"`
	PluginsDir    string        `koanf:"plugins_dir"`
	Secrets       string        `koanf:"secrets"`
	SecretsKey    string        `koanf:"secrets_key"`
	LogLevel      string        `koanf:"log_level"`
	LogFormat     string        `koanf:"log_format"`
	Parallel      int           `koanf:"parallel"`
	MaxRuns       int           `koanf:"max_runs"`
	LostAfter     time.Duration `koanf:"lost_after"`
	Grace         time.Duration `koanf:"grace"`
	DrainTimeout  time.Duration `koanf:"drain_timeout"`
	MaxOutput     int64         `koanf:"max_output"`
	ArtifactLimit int64         `koanf:"artifact_limit"`
	ProbeEvery    time.Duration `koanf:"probe_every"`
	ProbeParallel int           `koanf:"probe_parallel"`
	KeepLogs      time.Duration `koanf:"keep_logs"`
	KeepLogSize   int64         `koanf:"keep_log_size"`
	KeepAudit     time.Duration `koanf:"keep_audit"`
	KeepRuns      time.Duration `koanf:"keep_runs"`
	KeepRunCount  int           `koanf:"keep_run_count"`
}

// layer is one source of settings, with the place of each for people.
type layer []given

type given struct{ key, text, place string }

// merged is the settings in force and where each came from.
type merged struct {
	settings
	from []given
}

// merge puts layers over each other, the later ones win. All mistakes are reported at once.
func merge(layers ...layer) (merged, error) {
	known := map[string]setting{}
	last := map[string]given{}
	k := koanf.New(".")
	for _, s := range table() {
		known[s.key] = s
	}
	var wrong []string
	for _, l := range layers {
		values := map[string]any{}
		for _, g := range l {
			s, ok := known[g.key]
			if !ok {
				wrong = append(wrong, fmt.Sprintf("%s: no such setting %q%s (see: tfwd --print-config)", g.place, g.key, nearest(g.key)))
				continue
			}
			v, err := s.read(g.text)
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %s: %v", g.place, g.key, err))
				continue
			}
			values[g.key] = v
			last[g.key] = g
		}
		if err := k.Load(confmap.Provider(values, ""), nil); err != nil {
			return merged{}, err
		}
	}
	if wrong != nil {
		return merged{}, usageError(strings.Join(wrong, "\n"))
	}
	var m merged
	for _, s := range table() {
		m.from = append(m.from, last[s.key])
	}
	err := k.UnmarshalWithConf("", &m.settings, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		ErrorUnused: true, TagName: "koanf",
	}})
	return m, err
}

// nearest proposes a setting for a mistyped one, or for a part of one.
func nearest(key string) string {
	var keys []string
	for _, s := range table() {
		keys = append(keys, s.key)
	}
	near := inventory.Nearest(key, keys)
	for _, k := range keys {
		if near == "" && (strings.HasPrefix(k, key) || strings.HasPrefix(key, k)) {
			near = k
		}
	}
	if near == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", near)
}

// print shows every setting, its value and where it came from. None is a secret.
func (m merged) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, g := range m.from {
		fmt.Fprintf(t, "%s: %s\t# %s\n", g.key, quoted(g.text), g.place)
	}
	return t.Flush()
}

// quoted makes a text fit for YAML, so that the output of --print-config is a file for --config.
func quoted(text string) string {
	if text == "" || strings.ContainsAny(text, "#:{}[]&*!|>'\"%@` \t") {
		return fmt.Sprintf("%q", text)
	}
	return text
}

func flags(fs *pflag.FlagSet) {
	for _, s := range table() {
		name := strings.ReplaceAll(s.key, "_", "-")
		if s.kind == yes {
			fs.Bool(name, s.def == "true", s.usage)
			continue
		}
		fs.String(name, s.def, s.usage)
	}
}
