package executor

import (
	"slices"
	"strings"
)

// Names reports whether a text names one of the hosts. "dut1" is not named in "dut10": that is another's number.
func Names(text string, hosts []string) bool {
	return slices.ContainsFunc(hosts, func(name string) bool { return indexName(text, name) >= 0 })
}

// HideNames puts *** in the place of the names of these hosts in what somebody called something: "probe dut7".
func HideNames(text string, hosts []string) string {
	longest := slices.Clone(hosts)
	slices.SortStableFunc(longest, func(a, b string) int { return len(b) - len(a) })
	for _, name := range longest {
		var out strings.Builder
		for at := indexName(text, name); at >= 0; at = indexName(text, name) {
			out.WriteString(text[:at] + "***")
			text = text[at+len(name):]
		}
		text = out.String() + text
	}
	return text
}

// indexName finds a name that no digit of the text makes longer, or -1.
func indexName(text, name string) int {
	for from := 0; name != "" && from <= len(text)-len(name); {
		at := strings.Index(text[from:], name)
		if at < 0 {
			break
		}
		at += from
		end := at + len(name)
		longer := at > 0 && digit(name[0]) && digit(text[at-1]) || end < len(text) && digit(name[len(name)-1]) && digit(text[end])
		if !longer {
			return at
		}
		from = at + 1
	}
	return -1
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
