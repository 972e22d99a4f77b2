package executor

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// share is a count of hosts, absolute or in percent of all.
type share struct {
	n       float64
	percent bool
}

// of gives the share of total, rounded up; a batch is never empty.
func (s share) of(total int) int {
	if !s.percent {
		return int(s.n)
	}
	return int(math.Ceil(s.n * float64(total) / 100))
}

func parseShare(text string) (share, error) {
	digits, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 || n > 1e6 || (percent && n > 100) || (!percent && n != math.Trunc(n)) {
		return share{}, fmt.Errorf("%q: want a number of hosts such as 5, or a part such as 20%%", text)
	}
	return share{n, percent}, nil
}

// limits are checked [Options].
type limits struct {
	serial  []share
	maxFail *share
}

// Check refuses options that mean nothing, as [Executor.Submit] would.
func (o Options) Check() error {
	_, err := o.check()
	return err
}

// check gives the options' limits.
func (o *Options) check() (limits, error) {
	var l limits
	for i, text := range o.Serial {
		s, err := parseShare(text)
		if err == nil && s.n == 0 {
			err = fmt.Errorf("%q: a batch of no hosts", text)
		}
		if err != nil {
			return l, fmt.Errorf("serial[%d]: %w", i, err)
		}
		l.serial = append(l.serial, s)
	}
	if o.MaxFail != "" {
		s, err := parseShare(o.MaxFail)
		if err != nil {
			return l, fmt.Errorf("max_fail: %w", err)
		}
		l.maxFail = &s
	}
	switch {
	case o.Parallel < 0:
		return l, fmt.Errorf("parallel: %d: want 1 or more, or 0 for the default", o.Parallel)
	case o.Expect < 0:
		return l, fmt.Errorf("expect: %d: want the number of hosts", o.Expect)
	case o.QueueTimeout < 0:
		return l, fmt.Errorf("queue_timeout: %s: want no negative time", time.Duration(o.QueueTimeout))
	case o.MaxOutput < 0:
		return l, fmt.Errorf("max_output: %d: want a number of bytes", o.MaxOutput)
	}
	return l, nil
}

// batches splits n hosts by the serial option; the last size repeats.
func (l limits) batches(n int) []int {
	if len(l.serial) == 0 {
		return []int{n}
	}
	var sizes []int
	for i := 0; n > 0; i++ {
		s := l.serial[min(i, len(l.serial)-1)]
		size := min(max(1, s.of(n+sum(sizes))), n)
		sizes = append(sizes, size)
		n -= size
	}
	return sizes
}

func sum(all []int) (total int) {
	for _, v := range all {
		total += v
	}
	return total
}

// tooMany reports whether so many hosts that did not pass are more than max_fail allows.
func (l limits) tooMany(bad, total int) bool {
	if l.maxFail == nil {
		return false
	}
	if l.maxFail.percent {
		return float64(bad)*100 > l.maxFail.n*float64(total)
	}
	return bad > int(l.maxFail.n)
}
