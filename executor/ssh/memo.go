package ssh

import "sync"

// memo remembers what was found out, such as a probe's answer. There is one for
// each link, and one for each place that outlives its links. Safe for concurrent use.
type memo struct{ values sync.Map }

// get gives the value under the key, nil when there is none.
func (m *memo) get(key any) any {
	v, _ := m.values.Load(key)
	return v
}

// put remembers the value.
func (m *memo) put(key, value any) { m.values.Store(key, value) }

// getOrPut gives the value under the key, or remembers the one given: how two find the same lock.
func (m *memo) getOrPut(key, value any) any {
	v, _ := m.values.LoadOrStore(key, value)
	return v
}

// drop forgets the key.
func (m *memo) drop(key any) { m.values.Delete(key) }
