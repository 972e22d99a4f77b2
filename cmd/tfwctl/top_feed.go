package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"tfw/api"
	"tfw/executor"
)

// topPatience is how long one question to the controller may take.
const topPatience = 5 * time.Second

// topWants is what the log pane shows.
type topWants struct {
	run  executor.RunID
	host string
	all  bool // probes too
}

// topFeed asks the controller, and hands what it learns to the one who draws.
type topFeed struct {
	client  *api.Client
	delay   time.Duration
	updates chan func(*topModel)
	panics  chan topPanic
	kick    chan struct{}
	group   sync.WaitGroup

	mu    sync.Mutex
	wants topWants
}

// startTopFeed begins asking. It ends with ctx; wait waits for that.
func startTopFeed(ctx context.Context, client *api.Client, delay time.Duration) *topFeed {
	f := &topFeed{client: client, delay: delay, updates: make(chan func(*topModel)), panics: make(chan topPanic, 8), kick: make(chan struct{}, 1)}
	f.do(func() { f.poll(ctx, f.delay, f.askRuns) })
	f.do(func() { f.poll(ctx, 5*f.delay, f.askHosts) })
	f.do(func() { f.poll(ctx, f.delay, f.askRun()) })
	f.do(func() { f.followLog(ctx) })
	return f
}

// do runs fn as a goroutine of the feed.
func (f *topFeed) do(fn func()) {
	f.group.Go(func() {
		defer caught(f.panics)
		fn()
	})
}

func (f *topFeed) wait() { f.group.Wait() }

// tell hands an update over, or gives up when ctx ends.
func (f *topFeed) tell(ctx context.Context, update func(*topModel)) {
	select {
	case f.updates <- update:
	case <-ctx.Done():
	}
}

// want says what the log pane shows from now on.
func (f *topFeed) want(w topWants) {
	f.mu.Lock()
	changed := f.wants != w
	f.wants = w
	f.mu.Unlock()
	if changed {
		select {
		case f.kick <- struct{}{}:
		default:
		}
	}
}

func (f *topFeed) wanted() topWants {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wants
}

// poll asks again and again. What takes the controller long is asked less often.
func (f *topFeed) poll(ctx context.Context, every time.Duration, ask func(ctx context.Context) (func(*topModel), error)) {
	for ctx.Err() == nil {
		began := time.Now()
		f.once(ctx, ask)
		select {
		case <-time.After(max(every, 10*time.Since(began))):
		case <-ctx.Done():
		}
	}
}

// once asks once, and tells the answer or the trouble; neither when nothing was asked.
func (f *topFeed) once(ctx context.Context, ask func(ctx context.Context) (func(*topModel), error)) {
	short, done := context.WithTimeout(ctx, topPatience)
	update, err := ask(short)
	done()
	if ctx.Err() != nil || update == nil && err == nil {
		return
	}
	f.tell(ctx, func(m *topModel) {
		if err == nil {
			m.lost, m.trouble = time.Time{}, ""
			update(m)
			return
		}
		if m.lost.IsZero() {
			m.lost = time.Now()
		}
		m.trouble = plain(err)
		if errors.Is(err, context.DeadlineExceeded) {
			m.trouble = "no answer"
		}
	})
}

// topRuns is how many runs are looked at: more than a screen shows.
const topRuns = 60

func (f *topFeed) askRuns(ctx context.Context) (func(*topModel), error) {
	runs, _, err := f.client.Runs(ctx, executor.RunFilter{Limit: topRuns})
	return func(m *topModel) { m.setRuns(runs) }, err
}

// askRun looks at the run that is selected, until it is done.
func (f *topFeed) askRun() func(ctx context.Context) (func(*topModel), error) {
	var known *executor.Run
	return func(ctx context.Context) (func(*topModel), error) {
		id := f.wanted().run
		if id == "" || known != nil && known.ID == id && known.State == executor.Done {
			return nil, nil // nothing was asked
		}
		run, err := f.client.Run(ctx, string(id))
		if err == nil {
			known = run
		}
		return func(m *topModel) { m.detail = run }, err
	}
}

func (f *topFeed) askHosts(ctx context.Context) (func(*topModel), error) {
	hosts, err := f.client.Hosts(ctx, "", "")
	return func(m *topModel) { m.hosts = hosts }, err
}

// Pages of the log: what a new selection begins with, and what is read at a time.
// Who falls behind jumps to the end: a screen cannot show more anyway.
const (
	topTail = 200
	topPage = 64
)

// followLog reads on in the log of the run that is wanted, page by page.
func (f *topFeed) followLog(ctx context.Context) {
	var now topWants
	var after uint64
	idle := 0
	for ctx.Err() == nil {
		if w := f.wanted(); w != now {
			now, after, idle = w, 0, 0
		}
		if now.run != "" {
			n, w := 0, now // the update runs later, beside this loop: it must not see now change
			f.once(ctx, func(ctx context.Context) (func(*topModel), error) {
				page, err := f.readLog(ctx, w, after)
				n = len(page.entries)
				if n > 0 {
					after = page.entries[n-1].Seq
				}
				return func(m *topModel) { m.addLog(w, page) }, err
			})
			if idle++; n > 0 {
				idle = 0
			}
		}
		select {
		case <-f.kick:
		case <-time.After(f.delay * time.Duration(1+min(idle/10, 4))):
		case <-ctx.Done():
		}
	}
}

// logPage is what one look at a log brought.
type logPage struct {
	entries []api.LogEntry
	jumped  bool // what lay between was left out
}

func (f *topFeed) readLog(ctx context.Context, w topWants, after uint64) (logPage, error) {
	o := api.LogOptions{Host: w.host, After: after, Limit: topPage + 1}
	if after == 0 {
		o = api.LogOptions{Host: w.host, Tail: topTail, Limit: topTail}
	}
	entries, err := f.page(ctx, w.run, o)
	if err != nil || after == 0 || len(entries) <= topPage {
		return logPage{entries: entries}, err
	}
	entries, err = f.page(ctx, w.run, api.LogOptions{Host: w.host, Tail: topPage, Limit: topPage})
	return logPage{entries: entries, jumped: true}, err
}

func (f *topFeed) page(ctx context.Context, run executor.RunID, o api.LogOptions) ([]api.LogEntry, error) {
	var all []api.LogEntry
	for e, err := range f.client.Log(ctx, string(run), o) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
