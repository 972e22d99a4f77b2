package daemon

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func readYes(text string) (any, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0", "":
		return false, nil
	}
	return nil, fmt.Errorf("got %q, want true or false", text)
}

func readCount(text string) (any, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1_000_000 {
		return nil, fmt.Errorf("got %q, want a number from 1 to 1000000", text)
	}
	return n, nil
}

// readSpan reads Go's durations, and days: "30d".
func readSpan(text string) (any, error) {
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return nil, fmt.Errorf("got %q, want a duration such as 90s, 24h or 30d", text)
	}
	return d, nil
}

var units = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1},
}

// readSize reads a number of bytes: "4GiB", "500MB", "1024".
func readSize(text string) (any, error) {
	number, factor := text, 1.0
	for _, u := range units {
		if n, is := strings.CutSuffix(text, u.suffix); is {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0 && n*factor < 1<<62) {
		return nil, fmt.Errorf("got %q, want a size such as 4GiB or 500MB", text)
	}
	return int64(n * factor), nil
}
