package plugins

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// caseMark begins a line of a command's output that reports a sub-case.
const caseMark = "::tfw "

// parseCaseLines reads the lines of a command's output such as
//
//	::tfw case name=boot result=pass value=3.2 unit=s metric=kernel duration=4s message="took long"
//
// Values with spaces stand in double quotes, with \" \\ \n \t inside. Lines
// of one name make one row: the worst result, all measurements. Without a result a line only
// adds to its row. Escape sequences before the mark are passed over.
func parseCaseLines(out []byte) report {
	var r report
	rows := map[string]*Case{}
	var order []string
	for n := 1; len(out) > 0; n++ {
		line, rest, _ := bytes.Cut(out, []byte("\n"))
		out = rest
		fields, ok := caseLine(line)
		if !ok {
			continue
		}
		c, err := caseOf(fields)
		if err != nil {
			r.problem(fmt.Sprintf("output line %d: %v", n, err))
			continue
		}
		row := rows[c.Name]
		if row == nil {
			if len(order) >= MaxCases {
				r.dropped++
				continue
			}
			row = &Case{Name: c.Name}
			rows[c.Name], order = row, append(order, c.Name)
		}
		row.merge(c)
	}
	for _, name := range order {
		c := *rows[name]
		if c.Verdict == "" {
			c.Verdict = CasePassed // it only measured
		}
		r.add(c)
	}
	return r
}

func (c *Case) merge(o Case) {
	c.Verdict = worseCase(c.Verdict, o.Verdict)
	if o.Message != "" {
		c.Message = o.Message
	}
	c.Duration = max(c.Duration, o.Duration)
	if room := maxMeasurements - len(c.Measurements); room > 0 {
		c.Measurements = append(c.Measurements, o.Measurements[:min(room, len(o.Measurements))]...)
	}
}

// maxCaseLine bounds one line; a longer one is no report.
const maxCaseLine = 64 << 10

// caseLine splits "::tfw case k=v ..." into its fields.
func caseLine(line []byte) (fields [][2]string, ok bool) {
	i := bytes.Index(line, []byte(caseMark))
	if i < 0 || len(line) > maxCaseLine || cleanLine(string(line[:i]), 64) != "" {
		return nil, false
	}
	text := strings.TrimRight(strings.ToValidUTF8(string(line[i+len(caseMark):]), "\uFFFD"), " \t\r")
	word, rest, _ := strings.Cut(strings.TrimLeft(text, " \t"), " ")
	if word != "case" {
		return nil, false
	}
	return splitFields(rest), true
}

// splitFields reads k=v pairs; a word without "=" is a pair with an empty value.
func splitFields(s string) (fields [][2]string) {
	for s = strings.TrimLeft(s, " \t"); s != "" && len(fields) < 64; s = strings.TrimLeft(s, " \t") {
		end := strings.IndexAny(s, "= \t")
		if end < 0 {
			return append(fields, [2]string{s, ""})
		}
		key := s[:end]
		if s[end] != '=' {
			fields = append(fields, [2]string{key, ""})
			s = s[end:]
			continue
		}
		var value string
		value, s = fieldValue(s[end+1:])
		fields = append(fields, [2]string{key, value})
	}
	return fields
}

func fieldValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, " \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:]
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			default:
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "" // the quote is never closed: to the end
}

var caseResults = map[string]string{
	"pass": CasePassed, "passed": CasePassed, "ok": CasePassed,
	"fail": CaseFailed, "failed": CaseFailed,
	"skip": CaseSkipped, "skipped": CaseSkipped,
	"error": CaseErrored, "errored": CaseErrored,
}

func caseOf(fields [][2]string) (c Case, err error) {
	var m Measurement
	var hasValue bool
	for _, f := range fields {
		key, value := f[0], f[1]
		switch key {
		case "name":
			c.Name = cleanLine(value, maxCaseName)
		case "result":
			if c.Verdict = caseResults[strings.ToLower(value)]; c.Verdict == "" {
				return c, fmt.Errorf("result=%s: want pass, fail, skip or error", value)
			}
		case "value":
			if m.Value, err = strconv.ParseFloat(value, 64); err != nil || math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
				return c, fmt.Errorf("value=%s: want a number", value)
			}
			hasValue = true
		case "unit":
			m.Unit = cleanLine(value, 32)
		case "metric":
			m.Name = cleanLine(value, 100)
		case "message":
			c.Message = value
		case "duration":
			if c.Duration, err = caseDuration(value); err != nil {
				return c, err
			}
		default:
			return c, fmt.Errorf("%s=: unknown (known: name, result, value, unit, metric, message, duration)", key)
		}
	}
	if c.Name == "" {
		return c, fmt.Errorf("a case without name=")
	}
	if hasValue {
		if m.Name == "" {
			m.Name = "value"
		}
		c.Measurements = []Measurement{m}
	}
	return c, nil
}

func caseDuration(text string) (Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return caseSeconds(s), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDuration || !utf8.ValidString(text) {
		return 0, fmt.Errorf("duration=%s: want seconds or a text such as 1.5s", text)
	}
	return Duration(d), nil
}
