package ssh

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"tfw/executor"
)

// payload is a file that the launch needs: its script or its stdin.
type payload struct {
	name  string // of the file, in the words of the launch's shell; of a login line, the line
	run   string // shell text that sets t_X, what a script is run by
	stage string // shell text that makes it, ending in "&& "
	clean string // shell text that empties it afterwards
}

// payload puts the content into the launch's text, or stages it where that would be long. It never
// shows in the arguments of a process.
func (c *conn) payload(ctx context.Context, cmd executor.DurableCommand, id, what string, content []byte) (payload, error) {
	if len(content) > inlineLimit {
		name, err := c.stage(ctx, cmd.Become, id, content)
		return payload{name: name, clean: "rm -f " + name + "\n"}, err
	}
	name := `"$t_f+` + what + `"`
	return payload{
		name:  name,
		stage: "t_put " + words(content) + " >" + name + " && ",
		clean: "[ -e " + name + " ] && t_put s '' >" + name + " 2>/dev/null\n",
	}, nil
}

// words gives content as the two arguments of launch.sh's t_put: quoted, or in octal where a shell may stumble over it.
func words(content []byte) string {
	if bytes.IndexFunc(content, func(r rune) bool { return r != '\n' && r != '\t' && (r < ' ' || r > '~') }) < 0 {
		return "s " + quote(string(content))
	}
	var b strings.Builder
	b.WriteString("b '")
	for _, x := range content {
		switch {
		case x == '\'' || x == '\\' || x != '\n' && x != '\t' && (x < ' ' || x > '~'):
			fmt.Fprintf(&b, `\0%03o`, x)
		default:
			b.WriteByte(x)
		}
	}
	return b.String() + "'"
}

// stage writes content to a file of the spool by an exec of its own and checks its size.
func (c *conn) stage(ctx context.Context, b *executor.BecomeAs, id string, content []byte) (string, error) {
	name := c.spool(b).dir + "/" + id + "+stage." + nonce()
	r, err := c.script(ctx, script{
		text:   `umask 077; [ -O "${1%/*}" ] && cat >"$1" && say size "$(wc -c <"$1")" || { rm -f "$1"; say full 1; }`,
		args:   []string{name},
		become: b,
		stdin:  bytes.NewReader(content),
	})
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(r.words["size"]) != fmt.Sprint(len(content)) {
		return "", hostRefused("full")
	}
	return name, nil
}

// quoted quotes each word, for a shell variable that is split again; no word has a blank.
func quoted(list []string) string {
	return quote(strings.Join(list, " "))
}
