package daemon

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/pflag"
)

// maxFile bounds a settings file.
const maxFile = 1 << 20

func defaults() layer {
	var l layer
	for _, s := range table() {
		l = append(l, given{s.key, s.def, "default"})
	}
	return l
}

// fromFile reads a settings file: a flat YAML mapping.
func fromFile(path string) (layer, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxFile {
		return nil, usageError(fmt.Sprintf("%s: larger than 1 MiB", path))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, usageError(fmt.Sprintf("%s: %s", path, strings.TrimSpace(err.Error())))
	}
	var l layer
	for _, doc := range file.Docs {
		pairs, err := mapping(path, doc.Body)
		if err != nil {
			return nil, err
		}
		for _, pair := range pairs {
			g, err := fromPair(path, pair)
			if err != nil {
				return nil, err
			}
			l = append(l, g)
		}
	}
	return l, nil
}

func mapping(path string, body ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, usageError(fmt.Sprintf("%s: want settings as \"name: value\" lines (see: tfwd --print-config)", path))
}

func fromPair(path string, pair *ast.MappingValueNode) (given, error) {
	at := pair.Key.GetToken().Position
	g := given{key: pair.Key.GetToken().Value, place: fmt.Sprintf("%s:%d:%d", path, at.Line, at.Column)}
	switch v := pair.Value.(type) {
	case *ast.StringNode:
		g.text = v.Value
	case *ast.NullNode:
	case ast.ScalarNode:
		g.text = v.GetToken().Value
	default:
		return g, usageError(fmt.Sprintf("%s: %s: want one value", g.place, g.key))
	}
	return g, nil
}

// fromEnv reads TFW_KEY. What tfwctl and the commands of runs read is left alone, and so is what
// Kubernetes sets for a service named tfw.
func fromEnv(environ []string) layer {
	var l layer
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		key, ours := strings.CutPrefix(name, "TFW_")
		if !ours || value == "" || others(key) { // empty is unset, as for most programs
			continue
		}
		l = append(l, given{strings.ToLower(key), value, name})
	}
	return l
}

func others(key string) bool {
	switch key {
	case "SERVER", "TOKEN", "CA_FILE", "CERT_FILE", "KEY_FILE", "CONTEXT", "CONFIG", "OUTPUT", "RUN", "REBOOT_COUNT", "PORT":
		return true
	}
	for _, p := range []string{"SECRET_", "PARAM_", "PORT_", "SERVICE_", "TEST_"} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

func fromFlags(fs *pflag.FlagSet) layer {
	var l layer
	fs.Visit(func(f *pflag.Flag) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		for _, s := range table() {
			if s.key == key {
				l = append(l, given{key, f.Value.String(), "--" + f.Name})
			}
		}
	})
	return l
}

// usageError is what the caller got wrong: exit status 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func isUsage(err error) bool {
	var u usageError
	return errors.As(err, &u)
}
