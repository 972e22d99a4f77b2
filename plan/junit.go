package plan

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tfw/executor"
)

// junit writes JUnit's XML in the shape that both the Ant schema and Jenkins'
// xUnit one accept: a testsuite for each step and host. Reference: the schemas
// JUnit.xsd of windyroad and junit-10.xsd of the xunit-plugin.
type junit struct {
	name string
	n    int
	last time.Time // when the suite before began
}

// Rows implements [Report].
func (j *junit) Rows(b []byte, rows []Row) []byte {
	if j.n == 0 {
		b = append(b, xml.Header+"<testsuites>\n"...)
		j.last = time.Unix(0, 0) // the schema wants a time, also where there is none
	}
	byHost := map[string][]Row{}
	for _, r := range rows {
		byHost[r.Host] = append(byHost[r.Host], r)
	}
	for _, host := range sortedHosts(rows) {
		b = j.suite(b, host, byHost[host])
	}
	return b
}

// Close implements [Report].
func (j *junit) Close(b []byte) []byte {
	if j.n == 0 {
		return append(b, xml.Header+"<testsuites></testsuites>\n"...)
	}
	return append(b, "</testsuites>\n"...)
}

func (j *junit) suite(b []byte, host string, rows []Row) []byte {
	failures, errored, skipped := 0, 0, 0
	var start, end time.Time
	for _, r := range rows {
		switch kindOf(r) {
		case "failure":
			failures++
		case "error":
			errored++
		case "skipped":
			skipped++
		}
		if !r.Started.IsZero() && (start.IsZero() || r.Started.Before(start)) {
			start = r.Started
		}
		if last := r.Started.Add(time.Duration(r.Duration)); last.After(end) {
			end = last
		}
	}
	if start.IsZero() {
		start, end = j.last, j.last
	}
	j.last = start
	name, from := rows[0].Step, host
	if host == "" {
		from = "none"
	} else {
		name += " " + host
	}
	b = fmt.Appendf(b, `  <testsuite name="%s" package="%s" id="%d" hostname="%s" timestamp="%s" tests="%d" failures="%d" errors="%d" skipped="%d" time="%s">`+"\n    <properties>\n",
		attr(name), attr(j.name), j.n, attr(from), start.UTC().Format("2006-01-02T15:04:05"), len(rows), failures, errored, skipped, seconds(end.Sub(start)))
	j.n++
	b = properties(b, rows)
	b = append(b, "    </properties>\n"...)
	for _, r := range rows {
		b = j.testcase(b, r)
	}
	return append(b, "    <system-out></system-out>\n    <system-err></system-err>\n  </testsuite>\n"...)
}

// properties hold what JUnit has no place for: runs, artifacts, measurements.
func properties(b []byte, rows []Row) []byte {
	property := func(name, value string) {
		b = fmt.Appendf(b, "      <property name=\"%s\" value=\"%s\"/>\n", attr(name), attr(value))
	}
	seen := map[executor.RunID]bool{}
	for _, r := range rows {
		if r.Run != "" && !seen[r.Run] {
			seen[r.Run] = true
			property("run", string(r.Run))
		}
		for _, name := range keysOf(r.Artifacts) {
			property("artifact:"+name, r.Artifacts[name])
		}
		if r.Attempts > 1 {
			property("attempts:"+r.title(), strconv.Itoa(r.Attempts))
		}
		for _, m := range r.Measurements {
			property("measurement:"+r.title()+":"+m.Name, strings.TrimSpace(strconv.FormatFloat(m.Value, 'g', -1, 64)+" "+m.Unit))
		}
	}
	return b
}

func (j *junit) testcase(b []byte, r Row) []byte {
	class := j.name + "." + strings.ReplaceAll(r.Step, "/", ".")
	if r.Host != "" {
		class += "." + strings.ReplaceAll(r.Host, ".", "_") // many readers know a case by class and name alone
	}
	b = fmt.Appendf(b, `    <testcase name="%s" classname="%s" time="%s"`, attr(r.title()), attr(class), seconds(time.Duration(r.Duration)))
	kind := kindOf(r)
	switch kind {
	case "":
		return append(b, "/>\n"...)
	case "skipped":
		message := r.said()
		if r.Allowed && r.Verdict != executor.Skipped {
			message = "allowed to fail: " + message
		}
		return fmt.Appendf(b, "><skipped message=\"%s\"/></testcase>\n", attr(message))
	}
	what := "tfw." + string(r.Verdict)
	if r.Code != "" {
		what += "." + r.Code
	}
	text := r.said()
	if r.Output != "" {
		text += "\n\n" + strings.TrimRight(r.Output, "\n")
	}
	return fmt.Appendf(b, "><%s message=\"%s\" type=\"%s\">%s</%s></testcase>\n", kind, attr(r.said()), attr(what), escaped(reportText(text)), kind)
}

// kindOf is the element that tells the row's verdict; "" for passed.
func kindOf(r Row) string {
	switch {
	case r.good():
		return ""
	case r.Verdict == executor.Skipped || r.Allowed:
		return "skipped"
	case r.Verdict == executor.Failed:
		return "failure"
	}
	return "error" // errored, timed_out, cancelled: it could not be told
}

func attr(s string) string { return escaped(reportLine(s)) }

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return strings.ReplaceAll(b.String(), "&#xA;", "\n")
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 3, 64)
}
