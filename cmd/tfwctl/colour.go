package main

import (
	"os"

	"tfw/executor"
)

// Colours have one meaning each: green passed, red failed or errored, yellow needs an eye, blue whose, grey aside.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	cyan   = "36"
	grey   = "90"
)

func paint(code, text string) string {
	if code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// painter colours text for f, or not at all.
func (a *app) painter(f *os.File) func(code, text string) string {
	if a.colour(f) {
		return paint
	}
	return func(_, text string) string { return text }
}

func verdictColour(v executor.Verdict) string {
	switch v {
	case executor.Passed:
		return green
	case executor.Failed, executor.Errored:
		return red
	case executor.TimedOut, executor.Cancelled:
		return yellow
	}
	return grey
}
