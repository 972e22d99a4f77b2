//go:build !unix

package ssh

func affordable() int { return maxConnections }
