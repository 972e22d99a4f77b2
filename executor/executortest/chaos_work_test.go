package executortest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// job is a command with everything that it must do. It leaves a line in the file
// oracle.TAG of its host's home each time that it is started: the host's own word on how often it ran.
type job struct {
	tag, kind      string
	line           string
	stdout, stderr []byte
	exit           int
}

// newJob makes up a command: it takes up to some four seconds, and its output is known beforehand.
func newJob(rng *rand.Rand, n int) job {
	j := job{tag: fmt.Sprintf("j%d_%d", n, rng.Uint32()), exit: []int{0, 0, 0, 1, 77}[rng.IntN(5)]}
	kinds := []func(*rand.Rand, *job) string{lines, burst, silence, binary, tree, wall}
	body := kinds[rng.IntN(len(kinds))](rng, &j)
	j.line = fmt.Sprintf(`echo x >>"$HOME/oracle.%s"; %s; exit %d`, j.tag, body, j.exit)
	return j
}

func (j *job) out(format string, args ...any) { j.stdout = fmt.Appendf(j.stdout, format, args...) }
func (j *job) err(format string, args ...any) { j.stderr = fmt.Appendf(j.stderr, format, args...) }

// lines trickle on both streams.
func lines(rng *rand.Rand, j *job) string {
	j.kind = "lines"
	n, pause := 20+rng.IntN(200), 3+rng.IntN(20)
	for i := 1; i <= n; i++ {
		j.out("%s line %d\n", j.tag, i)
		if i%3 == 0 {
			j.err("%s warning %d\n", j.tag, i)
		}
	}
	return fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); echo "%s line $i"; [ $((i%%3)) != 0 ] || echo "%s warning $i" >&2; [ $((i%%%d)) != 0 ] || sleep 0.1; done`,
		n, j.tag, j.tag, pause)
}

// burst is over before anybody follows.
func burst(rng *rand.Rand, j *job) string {
	j.kind = "burst"
	n := rng.IntN(300_000)
	j.stdout = bytes.Repeat([]byte("b"), n)
	return fmt.Sprintf(`head -c %d /dev/zero | tr '\0' b`, n)
}

// silence says nothing for long, and does not end its line.
func silence(rng *rand.Rand, j *job) string {
	j.kind = "silence"
	j.out("%s end", j.tag)
	return fmt.Sprintf(`sleep %.1f; printf '%s end'`, rng.Float64()*4, j.tag)
}

// binary is no text in any encoding.
func binary(rng *rand.Rand, j *job) string {
	j.kind = "binary"
	n := 5 + rng.IntN(25)
	for range n {
		j.out("\xff\x00\x1e%s\r", j.tag)
		j.err("\x80")
	}
	return fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); printf '\377\000\036%s\r'; printf '\200' >&2; sleep 0.1; done`, n, j.tag)
}

// tree has children of its own.
func tree(rng *rand.Rand, j *job) string {
	j.kind = "tree"
	j.out("before\nafter\n")
	return fmt.Sprintf(`echo before; sh -c 'sleep %.1f & wait'; echo after`, rng.Float64()*3)
}

// wall is megabytes as fast as they go.
func wall(rng *rand.Rand, j *job) string {
	j.kind = "wall"
	n, pad := 2000+rng.IntN(30_000), strings.Repeat("w", 80)
	for i := range n {
		j.out("%s %d %s\n", j.tag, i, pad)
	}
	return fmt.Sprintf(`awk 'BEGIN{for(i=0;i<%d;i++) print "%s", i, "%s"}'`, n, j.tag, pad)
}
