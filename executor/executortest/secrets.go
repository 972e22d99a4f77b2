package executortest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"tfw/executor"
)

// Secrets is an [executor.Secrets] in memory, for tests of what stands on one.
type Secrets struct {
	mu   sync.Mutex
	have map[string]secret
}

type secret struct {
	executor.Secret
	value string
}

// NewSecrets makes an empty one.
func NewSecrets() *Secrets { return &Secrets{have: map[string]secret{}} }

// Open implements [executor.Secrets].
func (s *Secrets) Open(name string) (executor.Secret, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.have[name]
	if !ok {
		return executor.Secret{}, "", fmt.Errorf("secret %q: %w", name, executor.ErrNotFound)
	}
	return one.Secret, one.value, nil
}

// List implements [executor.Secrets].
func (s *Secrets) List() ([]executor.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []executor.Secret{}
	for _, one := range s.have {
		all = append(all, one.Secret)
	}
	slices.SortFunc(all, func(a, b executor.Secret) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Put implements [executor.Secrets].
func (s *Secrets) Put(one executor.Secret, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.have[one.Name] = secret{one, value}
	return nil
}

// Remove implements [executor.Secrets].
func (s *Secrets) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.have[name]; !ok {
		return fmt.Errorf("secret %q: %w", name, executor.ErrNotFound)
	}
	delete(s.have, name)
	return nil
}
