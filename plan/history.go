package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"tfw/executor"
)

// History tells which cases of a plan go now one way and now the other, and whether that looks like the test or like a
// host. Only cases that did not always pass at the first attempt are listed, the shakiest first.
type History struct {
	Name      string        `json:"name"`
	Plans     []Brief       `json:"testplans"` // newest first
	Ran       int           `json:"ran"`       // cases on hosts, all test plans together; skipped and cancelled ones are left out
	Steady    int           `json:"steady"`    // cases that always passed at the first attempt, on every host
	Cases     []CaseHistory `json:"cases"`
	Hosts     []HostHistory `json:"hosts"`
	Truncated bool          `json:"truncated,omitempty"` // older test plans were left out: there are too many rows
}

// CaseHistory is a case over the test plans.
type CaseHistory struct {
	Step    string       `json:"step"`
	Cell    string       `json:"cell,omitempty"`
	Name    string       `json:"name"`
	Ran     int          `json:"ran"`
	Failed  int          `json:"failed"` // or errored, or timed out
	Flips   int          `json:"flips"`  // from one test plan to the next on the same host
	Retried int          `json:"retried"`
	Suspect string       `json:"suspect"` // test, host, broken (fails ever since), mended (passes ever since) or unclear
	Why     string       `json:"why"`
	On      []CaseOnHost `json:"hosts"`
}

// CaseOnHost is a case on one host. Trend has a letter for each test plan, oldest first:
// "." passed, "r" passed when tried again, "F" failed, "E" errored, "T" timed out, "-" did not run.
type CaseOnHost struct {
	Host    string `json:"host"`
	Ran     int    `json:"ran"`
	Failed  int    `json:"failed"`
	Flips   int    `json:"flips"`
	Retried int    `json:"retried"`
	Lost    int    `json:"lost,omitempty"` // failed because the host could not be reached or used
	Trend   string `json:"trend"`
}

// HostHistory is a host over the test plans.
type HostHistory struct {
	Host    string  `json:"host"`
	Ran     int     `json:"ran"`
	Failed  int     `json:"failed"`
	Lost    int     `json:"lost,omitempty"`
	Cases   int     `json:"cases"`   // that failed or were tried again there
	Flips   int     `json:"flips"`   // of all cases
	Others  float64 `json:"others"`  // share that failed of the same cases on other hosts
	Suspect bool    `json:"suspect"` // it fails much more often than the others do with the same cases
}

// Bounds of a history.
const (
	maxHistory     = 200       // test plans
	maxHistoryRows = 1_000_000 // rows read
	maxHistoryKeys = 100_000   // cases on hosts
)

// HistoryOf looks at the newest test plans, at most last of them (1 to 200, 0 is 30), of the plan that the test plan is one of.
func (e *Engine) HistoryOf(ctx context.Context, p executor.Principal, id string, last int) (*History, error) {
	t, err := e.TestPlan(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if last == 0 {
		last = 30
	}
	plans, err := e.ended(ctx, p, t, min(max(last, 1), maxHistory))
	if err != nil {
		return nil, err
	}
	h := &History{Name: t.Name, Plans: []Brief{}, Cases: []CaseHistory{}, Hosts: []HostHistory{}}
	past := trends{plans: len(plans), of: map[caseKey]map[string][]byte{}}
	for i := range plans {
		more, err := e.lookBack(ctx, p, plans[i].ID, i, &past)
		if err != nil {
			return nil, err
		}
		h.Plans = append(h.Plans, plans[i])
		if h.Truncated = more; more {
			break
		}
	}
	h.judge(past.of, len(h.Plans))
	return h, nil
}

// ended lists test plans of the name of this one that are done, newest first. They are found by the whole name and told
// only where it is the same to the reader.
func (e *Engine) ended(ctx context.Context, p executor.Principal, t *TestPlan, limit int) (all []Brief, err error) {
	err = e.cfg.Store.View(ctx, func(tx executor.Tx) error {
		all = nil
		this, err := load(tx, t.ID)
		if err != nil {
			return err
		}
		return e.newest(tx, p, this.Name, "", func(_ string, r record) bool {
			if r.State == executor.Done && r.Name == t.Name {
				all = append(all, r.Brief())
			}
			return len(all) < limit
		})
	})
	return all, err
}

// trends has a letter for each test plan, newest first, 0 where it did not run.
type trends struct {
	plans, rows, keys int
	of                map[caseKey]map[string][]byte
}

func (e *Engine) lookBack(ctx context.Context, p executor.Principal, id string, index int, past *trends) (full bool, err error) {
	r, err := e.Results(ctx, p, id, false)
	if err != nil {
		return false, err
	}
	return eachRow(ctx, r, maxHistoryRows-past.rows, func(row Row) {
		past.rows++
		letter := letterOf(row)
		if letter == 0 || row.Host == "" {
			return
		}
		hosts := past.of[row.key()]
		if hosts == nil {
			hosts = map[string][]byte{}
			past.of[row.key()] = hosts
		}
		if hosts[row.Host] == nil {
			if past.keys++; past.keys > maxHistoryKeys {
				past.rows = maxHistoryRows // full
				return
			}
			hosts[row.Host] = make([]byte, past.plans)
		}
		if at := &hosts[row.Host][index]; *at == 0 || strings.IndexByte(".rFTEL", letter) > strings.IndexByte(".rFTEL", *at) {
			*at = letter
		}
	})
}

// letterOf is 'L' for what the host is to blame for; it is shown as E.
func letterOf(r Row) byte {
	switch {
	case r.Kept:
		return 0
	case r.Verdict == executor.Passed && r.Attempts > 1:
		return 'r'
	case r.Verdict == executor.Passed:
		return '.'
	case r.Verdict == executor.Failed:
		return 'F'
	case r.Verdict == executor.TimedOut:
		return 'T'
	case r.Verdict == executor.Errored && r.Code != "":
		return 'L'
	case r.Verdict == executor.Errored:
		return 'E'
	}
	return 0
}

// onHost counts a trend, newest first.
func onHost(host string, trend []byte, plans int) CaseOnHost {
	c := CaseOnHost{Host: host}
	text, before := make([]byte, 0, plans), byte(0)
	for _, letter := range slices.Backward(trend[:plans]) {
		if letter == 0 {
			text = append(text, '-')
			continue
		}
		c.Ran++
		failed := letter != '.' && letter != 'r'
		if failed {
			c.Failed++
		}
		if before != 0 && failed != (before != '.' && before != 'r') {
			c.Flips++
		}
		before = letter
		switch letter {
		case 'r':
			c.Retried++
		case 'L':
			c.Lost++
			letter = 'E'
		}
		text = append(text, letter)
	}
	c.Trend = string(text)
	return c
}

// judge makes the lists out of the trends.
func (h *History) judge(of map[caseKey]map[string][]byte, plans int) {
	hosts := map[string]*HostHistory{}
	for key, trends := range of {
		c := CaseHistory{Step: key.step, Cell: key.cell, Name: key.name}
		for _, name := range keysOf(trends) {
			one := onHost(name, trends[name], plans)
			c.On = append(c.On, one)
			c.Ran, c.Failed, c.Flips, c.Retried = c.Ran+one.Ran, c.Failed+one.Failed, c.Flips+one.Flips, c.Retried+one.Retried
		}
		h.Ran += c.Ran
		for _, one := range c.On {
			countHost(hosts, one, c)
		}
		if c.Failed+c.Retried == 0 {
			h.Steady++
			continue
		}
		h.Cases = append(h.Cases, c)
	}
	for _, name := range keysOf(hosts) {
		one := hosts[name]
		one.suspect()
		h.Hosts = append(h.Hosts, *one)
	}
	for i := range h.Cases {
		h.Cases[i].suspect(hosts)
	}
	slices.SortFunc(h.Cases, func(a, b CaseHistory) int {
		return cmp.Or((b.Flips+b.Retried)-(a.Flips+a.Retried), b.Failed-a.Failed, strings.Compare(a.Step+"\x00"+a.Cell+"\x00"+a.Name, b.Step+"\x00"+b.Cell+"\x00"+b.Name))
	})
	slices.SortStableFunc(h.Hosts, func(a, b HostHistory) int {
		return cmp.Or(boolInt(b.Suspect)-boolInt(a.Suspect), b.Failed-a.Failed, b.Flips-a.Flips)
	})
	if len(h.Cases) > maxChanges {
		h.Cases, h.Truncated = h.Cases[:maxChanges], true
	}
}

// countHost adds a case to its host; Others holds the sum of the shares of others until suspect makes it the mean.
func countHost(hosts map[string]*HostHistory, one CaseOnHost, c CaseHistory) {
	h := hosts[one.Host]
	if h == nil {
		h = &HostHistory{Host: one.Host}
		hosts[one.Host] = h
	}
	h.Ran, h.Failed, h.Lost, h.Flips = h.Ran+one.Ran, h.Failed+one.Failed, h.Lost+one.Lost, h.Flips+one.Flips
	if one.Failed+one.Retried > 0 {
		h.Cases++
	}
	if rest := c.Ran - one.Ran; rest > 0 { // how often the others would have failed in its place
		h.Others += float64(one.Ran) * float64(c.Failed-one.Failed) / float64(rest)
	}
}

// suspect compares a host with the others on the same cases.
func (h *HostHistory) suspect() {
	h.Suspect = h.Failed >= 2 && (h.Cases >= 2 || h.Lost >= 2) && float64(h.Failed) > 2*h.Others
	if h.Ran > 0 {
		h.Others /= float64(h.Ran)
	}
}

// suspect answers "is it the test or the board?", as far as the counts can.
func (c *CaseHistory) suspect(hosts map[string]*HostHistory) {
	worst, failing := c.On[0], 0
	for _, one := range c.On {
		if one.Failed+one.Retried > worst.Failed+worst.Retried {
			worst = one
		}
		failing += boolInt(one.Failed+one.Retried > 0)
	}
	trouble, total := worst.Failed+worst.Retried, c.Failed+c.Retried
	h := hosts[worst.Host]
	switch {
	case worst.Lost > 0 && worst.Lost*2 >= total:
		c.Suspect, c.Why = "host", fmt.Sprintf("%s could not be reached or used %d times", worst.Host, worst.Lost)
	case c.Failed == c.Ran && c.Ran > 1:
		c.Suspect, c.Why = "broken", "it never passed"
	case c.Flips <= failing && c.Retried == 0 && c.lately() == failing && c.Ran > failing:
		c.Suspect, c.Why = "broken", "it passed before and fails ever since"
	case c.Flips > 0 && c.Flips <= failing && c.Retried == 0 && c.mended() == failing:
		c.Suspect, c.Why = "mended", "it failed before and passes ever since"
	case len(c.On) > 1 && trouble*5 >= total*4 && trouble >= 2:
		c.Suspect, c.Why = "host", fmt.Sprintf("%d of its %d failures were on %s, and %d other hosts run it too", trouble, total, worst.Host, len(c.On)-1)
	case failing > 1 && failing*2 >= len(c.On):
		c.Suspect, c.Why = "test", fmt.Sprintf("it fails now and then on %d of %d hosts", failing, len(c.On))
	case h.Suspect:
		c.Suspect, c.Why = "host", fmt.Sprintf("%d cases fail on %s", h.Cases, worst.Host)
	case len(c.On) == 1 && h.Cases == 1 && total >= 2:
		c.Suspect, c.Why = "test", fmt.Sprintf("nothing else fails on %s, the only host that runs it", worst.Host)
	default:
		c.Suspect, c.Why = "unclear", "too few failures to tell"
	}
}

// lately counts the hosts where it failed the last time and has not passed since it first failed.
func (c *CaseHistory) lately() (n int) {
	for _, one := range c.On {
		trend := strings.ReplaceAll(one.Trend, "-", "")
		if at := strings.IndexAny(trend, "FET"); at >= 0 && !strings.ContainsAny(trend[at:], ".r") {
			n++
		}
	}
	return n
}

// mended counts the hosts where it failed first and then only passed.
func (c *CaseHistory) mended() (n int) {
	for _, one := range c.On {
		trend := strings.TrimLeft(strings.ReplaceAll(one.Trend, "-", ""), "FET")
		if one.Failed > 0 && trend != "" && strings.Trim(trend, ".") == "" {
			n++
		}
	}
	return n
}
