package ssh

import "sync"

// crew counts goroutines that belong to something and lets its end wait for
// them. Unlike a sync.WaitGroup it may be joined while somebody waits.
type crew struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // made by wait, closed when n reaches zero
}

// Go runs f as one of the crew.
func (c *crew) Go(f func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	go func() {
		defer c.left()
		f()
	}()
}

func (c *crew) left() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Wait returns at a moment when nobody of the crew runs.
func (c *crew) Wait() {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	<-idle
}
