package bolt

import (
	"testing"
	"testing/synctest"
	"time"
)

// An update waits for others only right after a commit of several, for as long as that took and no longer than
// until as many have come; who comes alone or after a rest is written at once.
func TestUpdatesThatComeTogetherShareACommit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before crew
		rest   time.Duration // since that commit
		others int           // come 1 ms apart
		waits  time.Duration
		batch  int
	}{
		{"alone", crew{updates: 1, took: 3 * time.Millisecond}, 0, 0, 0, 1},
		{"the first ever", crew{}, 0, 0, 0, 1},
		{"after a rest", crew{updates: 9, took: 3 * time.Millisecond}, 3 * time.Millisecond, 5, 0, 1},
		{"others are late", crew{updates: 9, took: 2500 * time.Microsecond}, 0, 5, 2500 * time.Microsecond, 3},
		{"all have come", crew{updates: 3, took: 4 * time.Millisecond}, 0, 5, 2 * time.Millisecond, 3},
		{"a slow disk", crew{updates: 9, took: time.Second}, 0, 9, gatherMost, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{max: 1 << 20, linger: time.Hour, wake: make(chan struct{}, 1)}
				last := time.Now()
				time.Sleep(tt.rest)
				begun := time.Now()
				submit := func() {
					if err := q.submit(&item{update: &update{}}); err != nil {
						t.Error(err)
					}
				}
				submit()
				go func() {
					for range tt.others {
						time.Sleep(time.Millisecond)
						submit()
					}
				}()
				batch := q.take(last, 0, tt.before)
				if waited := time.Since(begun); waited != tt.waits || len(batch) < tt.batch-1 || len(batch) > tt.batch {
					t.Errorf("%d updates after %s, want %d after %s", len(batch), waited, tt.batch, tt.waits)
				}
				time.Sleep(time.Second)
			})
		})
	}
}
