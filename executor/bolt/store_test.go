package bolt_test

import (
	"testing"

	"tfw/executor"
	"tfw/executor/bolt"
	"tfw/executor/executortest"
)

func open(t testing.TB, o bolt.Options) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test that cares has closed it
	return s
}

func TestExam(t *testing.T) {
	executortest.Store(t, func(t testing.TB, dir string) executor.Store {
		return open(t, bolt.Options{Dir: dir})
	})
}
