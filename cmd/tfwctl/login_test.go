package main

import (
	"testing"

	"tfw/api/oidc"
)

// TestPromptOfALogin: whoever the controller names as its provider does not speak to the terminal.
func TestPromptOfALogin(t *testing.T) {
	for want, p := range map[string]oidc.Prompt{
		"open https://id/page and type the code AB-CD":                            {Page: "https://id/page", Code: "AB-CD"},
		"open https://id/page and type the code AB-CD\nor open https://id/page?c": {Page: "https://id/page", Code: "AB-CD", Complete: "https://id/page?c"},
		"open https://id^[]0;x^G and type the code ^[[2JAB\nor open p^M q":        {Page: "https://id\x1b]0;x\a", Code: "\x1b[2JAB", Complete: "p\r\nq"},
	} {
		if got := promptText(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
