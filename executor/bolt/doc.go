// Package bolt is the executor's Store on bbolt files in one directory.
//
//	lock          held by flock; the holder's pid, empty after a clean end
//	state.db      records, and what is known of closed log shards; copied anew at a start when more than half of it is free
//	logs/*.db     the log in shards by hour and size; retention unlinks them whole
//
// One goroutine writes. It takes everything that has queued up, commits the
// log entries to the newest shard, then runs all waiting updates in one transaction of
// state.db, then rings the bells and answers. What piles up meanwhile is the next
// batch, so a busy store needs few disk syncs and an idle one adds no delay.
//
// A shard holds the entries by sequence number, and for every run and every
// host of a run the list of its sequence numbers, so that a reader in either direction
// touches only what it asks for. Sequence, not time, is the order: a clock that
// jumps changes only the names of files.
//
// Every value carries a checksum. A damaged shard is renamed to *.corrupt and
// the rest is served; a damaged state.db is an error that names it, and is never touched.
package bolt
