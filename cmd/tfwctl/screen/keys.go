package screen

import (
	"bytes"
	"unicode/utf8"
)

// Key is a key that was pressed: a character as it is ("q"), or one of the names here.
type Key string

// The keys that have names.
const (
	Up        Key = "up"
	Down      Key = "down"
	Left      Key = "left"
	Right     Key = "right"
	PageUp    Key = "pgup"
	PageDown  Key = "pgdn"
	Home      Key = "home"
	End       Key = "end"
	Tab       Key = "tab"
	BackTab   Key = "backtab"
	Enter     Key = "enter"
	Escape    Key = "esc"
	Backspace Key = "backspace"
	CtrlC     Key = "ctrl-c"
	CtrlL     Key = "ctrl-l"
	CtrlZ     Key = "ctrl-z"
)

// sequences are those of xterm in both cursor modes, and of the Linux console.
var sequences = map[string]Key{
	"\x1b[A": Up, "\x1b[B": Down, "\x1b[C": Right, "\x1b[D": Left, "\x1bOA": Up, "\x1bOB": Down, "\x1bOC": Right, "\x1bOD": Left,
	"\x1b[5~": PageUp, "\x1b[6~": PageDown, "\x1b[H": Home, "\x1b[F": End, "\x1bOH": Home, "\x1bOF": End,
	"\x1b[1~": Home, "\x1b[4~": End, "\x1b[7~": Home, "\x1b[8~": End, "\x1b[Z": BackTab,
}

var controls = map[byte]Key{'\t': Tab, '\r': Enter, '\n': Enter, 3: CtrlC, 12: CtrlL, 26: CtrlZ, 4: CtrlC, 8: Backspace, 0x7f: Backspace}

// keys reads what one read from the terminal brought. A lone escape is the key itself:
// terminals send a sequence in one piece. What is not known is left out.
func keys(b []byte) []Key {
	var all []Key
	for len(b) > 0 {
		var k Key
		if k, b = key(b); k != "" {
			all = append(all, k)
		}
	}
	return all
}

func key(b []byte) (Key, []byte) {
	if b[0] == 0x1b {
		n := sequence(b)
		if n == 1 {
			return Escape, b[1:]
		}
		return sequences[string(b[:n])], b[n:]
	}
	if k, ok := controls[b[0]]; ok {
		return k, b[1:]
	}
	r, n := utf8.DecodeRune(b)
	if r < 0x20 || r == 0x7f || r == utf8.RuneError {
		return "", b[n:]
	}
	return Key(b[:n]), b[n:]
}

// sequence is the length of the escape sequence that b begins with (ECMA-48 5.4).
func sequence(b []byte) int {
	if len(b) < 2 {
		return 1
	}
	switch b[1] {
	case 'O':
		return min(3, len(b))
	case '[':
		final := bytes.IndexFunc(b[2:], func(r rune) bool { return r >= 0x40 && r <= 0x7e })
		if final < 0 {
			return len(b)
		}
		return final + 3
	}
	return 1
}
