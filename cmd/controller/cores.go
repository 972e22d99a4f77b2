package controller

import (
	"errors"
	"fmt"
	"syscall"
)

// NoCores keeps this process's memory, which holds secrets, out of core files, and theirs out of those of the programs
// that it starts. tfwd and tfwctl call it before anything else.
func NoCores() error {
	none := syscall.Rlimit{}
	if err := errors.Join(syscall.Setrlimit(syscall.RLIMIT_CORE, &none), undumpable()); err != nil {
		return fmt.Errorf("a crash might write secrets to a core file: %w", err)
	}
	return nil
}
