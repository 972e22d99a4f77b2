package ssh

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tfw/executor"
)

// TestDeframer mixes raw bytes and control lines, cut anywhere, and gets both back in order.
func TestDeframer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const nonce = "ABCDEF"
		prefix := "\x1eTFW1 " + nonce + " "
		piece := rapid.OneOf(
			rapid.SliceOf(rapid.Byte()),
			rapid.SampledFrom([][]byte{[]byte("\x1e"), []byte("\x1eTFW1 "), []byte("\x1eTFW1 ABCDEG end\n"), []byte(prefix[:12]), []byte("\x1e\x1e\n")}),
		)
		var stream, raw []byte
		var lines []string
		stream = append(stream, "noise\x1eTFW"+"\n"+prefix+"begin\n"...)
		lines = append(lines, "begin")
		for range rapid.IntRange(0, 8).Draw(t, "pieces") {
			p := piece.Draw(t, "raw")
			if !bytes.Contains(append(raw[max(0, len(raw)-30):len(raw):len(raw)], p...), []byte(prefix)) {
				stream, raw = append(stream, p...), append(raw, p...)
			}
			if rapid.Bool().Draw(t, "control") {
				stream, lines = append(stream, prefix+"line 1\n"...), append(lines, "line 1")
			}
		}
		var got []byte
		var said []string
		d := newDeframer(nonce, func(b []byte) error { got = append(got, b...); return nil },
			func(s string) error { said = append(said, s); return nil })
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "cut")
			if err := d.feed(stream[:n]); err != nil {
				t.Fatal(err)
			}
			stream = stream[n:]
		}
		if err := d.close(); err != nil || !bytes.Equal(got, raw) || strings.Join(said, "|") != strings.Join(lines, "|") {
			t.Fatalf("%v\nraw  %q\nwant %q\nsaid %q want %q", err, got, raw, said, lines)
		}
	})
}

// FuzzControl feeds the delivery what a hostile host may say.
func FuzzControl(f *testing.F) {
	for _, s := range []string{"whole 12 boot e. exit1 0 1.0 2.0 - .", "end 12 b 5 6 exit1 143 1 2 s .", "gone 1 b exit1 3 1 2 - .", "acked exit1 0 1 2 - 3 4 .", "lost reboot 3 4", "state none ", "started 1 b", "fail full", "end 1 b -1 9999999999999999999 exit1 0 0 0 - ."} {
		f.Add("probe b 0 0022 gnu yes /x\n"+s, []byte("data"))
	}
	f.Fuzz(func(t *testing.T, said string, raw []byte) {
		r := &recorder{}
		d := newDelivery(r, executor.Offsets{}, false, func(s string) { parseSpool(s) })
		for line := range strings.SplitSeq(said, "\n") {
			d.line(line)
			d.bytes(&d.out, raw)
			d.errLine(line)
			d.bytes(&d.err, raw)
		}
		if r.wrong != nil {
			t.Error(r.wrong)
		}
		if d.result == outcomeEnd && d.end.Sizes != r.have() {
			t.Errorf("sizes %+v, delivered %+v", d.end.Sizes, r.have())
		}
	})
}

func TestParseRecord(t *testing.T) {
	r, ok := parseRecord("exit1 143 10.00 12.50 s 3 4 .")
	if e := r.end(); !ok || e.Signal != "TERM" || e.Elapsed != 2500*time.Millisecond || *r.sizes != (executor.Offsets{Stdout: 3, Stderr: 4}) {
		t.Errorf("%+v %v", e, ok)
	}
	for _, bad := range []string{"", "exit1 0 1 2 -", "exit1 0 1 2 - 5", "exit2 0 1 2 - ."} {
		if _, ok := parseRecord(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
	if r, ok := parseRecord("exit1 - 0 0 l - - ."); !ok || r.end().Kind != executor.EndWrapper {
		t.Errorf("a lost command's tombstone: %+v", r)
	}
}

func TestParseID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := executor.CommandID{Run: "abc123def456", Host: rapid.StringN(1, 20, 60).Draw(t, "host"), Ordinal: rapid.IntRange(0, 1000).Draw(t, "n")}
		if got, ok := parseID(id.String()); !ok || got != id {
			t.Fatalf("%q: %+v", id.String(), got)
		}
	})
}

func TestInterpreter(t *testing.T) {
	for script, want := range map[string]string{
		"echo x": "/bin/sh", "#!/bin/bash\n": "/bin/bash", "#! /usr/bin/env python3 -u\nx": "/usr/bin/env|python3 -u", "#!\n": "/bin/sh", "#!/usr/bin/awk -f\r\n": "/usr/bin/awk|-f",
	} {
		if got := strings.Join(interpreter([]byte(script)), "|"); got != want {
			t.Errorf("%q: %q", script, got)
		}
	}
}
