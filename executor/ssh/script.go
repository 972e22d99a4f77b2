package ssh

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"tfw/executor"
)

// script is one of our own small programs on the host. It talks in lines
// "\x1etfw NONCE WORD TEXT", so that a noisy profile cannot be taken for it.
type script struct {
	text   string
	args   []string
	become *executor.BecomeAs
	stdin  io.Reader // after what becoming reads
	// body takes the output behind the first line whose word is "data"; nil when there is none to come.
	body io.Writer
	// before is called with what was said so far, ahead of the first byte for body; nil when nobody wants to know.
	before func(words map[string]string)
}

// reply is what a script said.
type reply struct {
	words  map[string]string // word to text
	stderr string            // the last 4 KiB
	exit   exit
	body   int64
}

// saidNo is the error for a script about a file that ended with a status of its own: the host
// was reached and said no. One that was killed could not tell.
func (r *reply) saidNo() error {
	if r.exit.Kind != exitStatus {
		return because(executor.ErrRefused, "", "the script did not end by itself: %s", r.stderr)
	}
	return because(executor.ErrPath, "", "status %d: %s", r.exit.Code, r.stderr)
}

// sayScript defines `say WORD TEXT` for the scripts. $n is the nonce.
// note says it after the data, where only standard error is left.
const sayScript = `say() { printf '\036tfw %s %s %s\n' "$n" "$1" "$2"; }
note() { say "$@" >&2; }
`

// run runs the script in a session of its own. An error means that the host could
// not be asked, or would not become; what the script says is for the caller to judge.
func (c *conn) script(ctx context.Context, s script) (*reply, error) {
	mark := nonce()
	text, first, err := becomeScript(s.become, "n="+mark+"\n"+sayScript+"say begin\n"+s.text, mark)
	if err != nil {
		return nil, err
	}
	sess, err := c.place.open(ctx, execRequest(shCommand(text, s.args...)), false)
	if err != nil {
		return nil, err
	}
	fed := make(chan struct{})
	defer func() { sess.Close(); <-fed }() // s.stdin is the caller's again
	sess.link.spawn(func() { feed(sess.Stdin(), first, s.stdin); close(fed) })
	errs := make(chan string, 1)
	sess.link.spawn(func() { errs <- lastBytes(sess.Stderr(), 4<<10) })

	r := &reply{words: map[string]string{}}
	readErr := r.read(sess.Stdout(), mark, s)
	if readErr != nil {
		sess.Close() // the body's writer failed: the rest is of no use
	}
	end, err := sess.Wait()
	r.stderr, r.exit = r.noted(<-errs, mark), end
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if readErr != nil && !errors.Is(readErr, errSessionClosed) {
		return nil, because(executor.ErrRefused, "", "%w", readErr)
	}
	if err != nil {
		return nil, err
	}
	if _, began := r.words["begin"]; !began {
		return nil, neverBegan(s.become, r)
	}
	return r, nil
}

func neverBegan(b *executor.BecomeAs, r *reply) error {
	if b != nil {
		return becomeRefused(b, r.stderr)
	}
	return because(executor.ErrRefused, "can the user run /bin/sh there?", "the host did not run the script: status %d %s", r.exit.Code, r.stderr)
}

func feed(in io.WriteCloser, first string, rest io.Reader) {
	_, err := io.WriteString(in, first)
	if err == nil && rest != nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{in}, rest, make([]byte, 256<<10))
	}
	if err == nil {
		in.Close() // without its EOF the host sees that the content was cut short
	}
}

// noted takes our lines out of standard error and gives the rest.
func (r *reply) noted(stderr, mark string) string {
	var rest []string
	for line := range strings.Lines(stderr) {
		if _, ours, found := strings.Cut(line, "\x1etfw "+mark+" "); found {
			word, text, _ := strings.Cut(strings.TrimSuffix(ours, "\n"), " ")
			r.words[word] = text
			continue
		}
		rest = append(rest, line)
	}
	return strings.TrimSpace(strings.Join(rest, ""))
}

// read takes our lines out of the output, and copies what is behind the word "data" to the script's body.
func (r *reply) read(out io.Reader, mark string, s script) error {
	b := bufio.NewReaderSize(out, 32<<10)
	prefix := "\x1etfw " + mark + " "
	for {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue // noise
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		_, ours, found := strings.Cut(string(line), prefix)
		if !found {
			continue
		}
		word, text, _ := strings.Cut(strings.TrimSuffix(ours, "\n"), " ")
		r.words[word] = text
		if word == "data" && s.body != nil {
			if s.before != nil {
				s.before(r.words)
			}
			n, err := b.WriteTo(s.body)
			r.body = n
			return err
		}
	}
}

// lastBytes reads to the end and keeps the last n bytes.
func lastBytes(from io.Reader, n int) string {
	var kept []byte
	buf := make([]byte, 4<<10)
	for {
		k, err := from.Read(buf)
		kept = append(kept, buf[:k]...)
		if len(kept) > n {
			kept = append(kept[:0], kept[len(kept)-n:]...)
		}
		if err != nil {
			return string(kept)
		}
	}
}
