package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tfw/executor"
)

// tap writes TAP version 14 (https://testanything.org/tap-version-14-specification.html):
// flat, so that readers of version 13 take it too; the plan comes last, when it is known.
type tap struct{ n int }

// Rows implements [Report].
func (t *tap) Rows(b []byte, rows []Row) []byte {
	if t.n == 0 {
		b = append(b, "TAP version 14\n"...)
	}
	for _, r := range rows {
		b = t.point(b, r)
	}
	return b
}

// Close implements [Report].
func (t *tap) Close(b []byte) []byte {
	if t.n == 0 {
		b = append(b, "TAP version 14\n"...)
	}
	return fmt.Appendf(b, "1..%d\n", t.n)
}

func (t *tap) point(b []byte, r Row) []byte {
	t.n++
	name := r.Step
	switch {
	case r.Cell != "":
		name += "[" + r.Cell + "]"
	}
	if r.Host != "" {
		name += " " + r.Host
	}
	if r.Name != r.stepName() {
		name += ": " + r.Name
	}
	ok := "ok"
	if !r.good() && r.Verdict != executor.Skipped {
		ok = "not ok"
	}
	b = fmt.Appendf(b, "%s %d - %s", ok, t.n, tapText(name))
	switch {
	case r.Verdict == executor.Skipped:
		b = fmt.Appendf(b, " # SKIP %s", tapText(r.said()))
	case r.Allowed && !r.good():
		b = fmt.Appendf(b, " # TODO allowed to fail")
	}
	b = append(b, '\n')
	return diagnostics(b, r)
}

// tapText escapes what would begin a directive or an escape.
func tapText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `#`, `\#`).Replace(reportLine(s))
}

// diagnostics is the YAML block below a test point. Texts are in double quotes, as JSON's are: YAML reads those.
func diagnostics(b []byte, r Row) []byte {
	fine := r.good() || r.Verdict == executor.Skipped
	if fine && len(r.Measurements) == 0 && r.Attempts < 2 {
		return b
	}
	b = append(b, "  ---\n"...)
	line := func(name, value string) { b = fmt.Appendf(b, "  %s: %s\n", name, quotedYAML(value)) }
	if !fine {
		line("message", r.said())
		line("severity", string(r.Verdict))
	}
	if r.Code != "" {
		line("code", r.Code)
	}
	if r.ExitCode != nil {
		b = fmt.Appendf(b, "  exit_code: %d\n", *r.ExitCode)
	}
	if r.Duration > 0 {
		b = fmt.Appendf(b, "  duration_ms: %d\n", time.Duration(r.Duration).Milliseconds())
	}
	if r.Attempts > 1 {
		b = fmt.Appendf(b, "  attempts: %d\n", r.Attempts)
	}
	if r.Run != "" {
		line("run", string(r.Run))
	}
	if len(r.Measurements) > 0 {
		b = append(b, "  measurements:\n"...)
		for _, m := range r.Measurements {
			b = fmt.Appendf(b, "    - name: %s\n      value: %s\n      unit: %s\n", quotedYAML(m.Name), strconv.FormatFloat(m.Value, 'g', -1, 64), quotedYAML(m.Unit))
		}
	}
	if r.Output != "" {
		line("output", r.Output)
	}
	return append(b, "  ...\n"...)
}

// maxTAPText bounds one text: perl's reader gives up the whole stream at 64 KiB.
const maxTAPText = 32 << 10

// quotedYAML is a double-quoted scalar of YAML 1.2 (7.3.1) on one line.
func quotedYAML(s string) string {
	if len(s) > maxTAPText {
		s = s[:maxTAPText] + "..."
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\u2028", `\L`, "\u2029", `\P`).Replace(reportText(s)) + `"`
}
