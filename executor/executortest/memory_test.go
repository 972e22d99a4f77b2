package executortest_test

import (
	"testing"

	"tfw/executor"
	"tfw/executor/executortest"
)

func TestMemory(t *testing.T) {
	lives := map[string]*executortest.Memory{}
	executortest.Store(t, func(_ testing.TB, dir string) executor.Store {
		if m := lives[dir]; m != nil {
			lives[dir] = m.Reopen()
		} else {
			lives[dir] = executortest.NewMemory()
		}
		return lives[dir]
	})
}
