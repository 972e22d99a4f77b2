package executortest

import (
	"os/exec"
	"runtime"
)

// spawner starts child processes that are to die with this one. Linux ties a
// parent-death signal to the thread that forked (prctl(2), PR_SET_PDEATHSIG), and Go's
// threads come and go: so all are started by one goroutine that keeps its thread.
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// start is cmd.Start on the kept thread.
func (s *spawner) start(cmd *exec.Cmd) error {
	dieWithParent(cmd)
	result := make(chan error, 1)
	s.jobs <- func() { result <- cmd.Start() }
	return <-result
}

func (s *spawner) close() {
	close(s.jobs)
	<-s.done
}
