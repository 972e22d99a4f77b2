package executor_test

import (
	"testing"

	"tfw/executor"
)

func TestHideNames(t *testing.T) {
	hidden := []string{"dut1", "blue", "blue1-b", "7up"}
	for text, want := range map[string]string{
		"":                     "",
		"dut1":                 "***",
		"probe_dut1":           "probe_***",
		"dut10 dut1, dut11":    "dut10 ***, dut11",
		"dut1dut1":             "******",
		"peer=blue1-b of blue": "peer=*** of ***",
		"blue1":                "***1",
		"17up 7up":             "17up ***",
		"nothing of theirs":    "nothing of theirs",
		"dut1[0-9]":            "***[0-9]",
	} {
		if got := executor.HideNames(text, hidden); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := executor.Names(text, hidden); got != (text != want) {
			t.Errorf("%q names one of %v: %v", text, hidden, got)
		}
	}
}
