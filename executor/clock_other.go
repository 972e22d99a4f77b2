//go:build !linux

package executor

import "time"

var begun = time.Now()

// uptime counts from the process's start: boots are not told apart here.
func uptime() time.Duration { return time.Since(begun) }

func bootID() string { return "" }
