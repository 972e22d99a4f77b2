package controller

import "golang.org/x/sys/unix"

// undumpable forbids the core that a kernel hands to a program (core_pattern "|..."), which goes by no limit.
// It also keeps other programs of the same user out of the memory and the environment.
func undumpable() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
