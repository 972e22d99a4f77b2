package bolt

import "sync"

// maxTopics bounds the bells that wait for topics that may never ring again.
const maxTopics = 16384

// bells wakes who waits for a topic. It carries nothing: the store is looked at again.
type bells struct {
	mu     sync.Mutex
	topics map[string]chan struct{}
	closed bool
}

// wait gives the channel that the topic's next ring closes.
func (b *bells) wait(topic string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return closedChannel
	}
	if c, ok := b.topics[topic]; ok {
		return c
	}
	if len(b.topics) >= maxTopics {
		b.ringAll() // they look, find nothing new and come again: better than a leak
	}
	c := make(chan struct{})
	if b.topics == nil {
		b.topics = map[string]chan struct{}{}
	}
	b.topics[topic] = c
	return c
}

// ring wakes all who wait for the topic.
func (b *bells) ring(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.topics[topic]; ok {
		delete(b.topics, topic)
		close(c)
	}
}

// close wakes everybody, now and later.
func (b *bells) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.ringAll()
}

func (b *bells) ringAll() {
	for topic, c := range b.topics {
		delete(b.topics, topic)
		close(c)
	}
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
