package bolt

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

// Output that comes faster than zstd packs is packed by s2, and reads back the
// same: in the form of its bytes, and by those who ask for frames.
func TestHurry(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var want bytes.Buffer
	for i := 0; want.Len() < 6<<20; i++ {
		fmt.Fprintf(&want, "line %d of a log whose numbers change: %d\n", i, i*7919%100003)
	}
	var entries []executor.Entry
	for i := 0; i < want.Len(); i += maxChunk {
		entries = append(entries, executor.Entry{Run: "run1", Host: "h", Command: 1, Stream: executor.Stdout, Time: time.Now(),
			Offset: int64(i), Data: want.Bytes()[i:min(i+maxChunk, want.Len())]})
	}
	if err := s.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(executor.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, packed := range []bool{false, true} {
		var got bytes.Buffer
		for after := uint64(0); ; {
			page, err := s.Read(t.Context(), executor.LogQuery{Run: "run1", After: after, Packed: packed})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				after = e.Seq
				got.Write(e.Data)
			}
			if !page.More {
				break
			}
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("packed %t: %d of %d bytes came back, or others", packed, got.Len(), want.Len())
		}
	}
	if n := codecs(t, s)[codecS2]; n < len(entries)/2 {
		t.Errorf("%d of %d entries were packed in a hurry", n, len(entries))
	}
}

// codecs counts the stored entries by codec.
func codecs(t *testing.T, s *Store) map[byte]int {
	t.Helper()
	count := map[byte]int{}
	err := s.shards.active.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bLog).ForEach(func(k, v []byte) error {
			count[v[4]]++
			return nil
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(s.shards.active.path), err)
	}
	return count
}
