// Package plan orchestrates many runs over many hosts: a test plan is a graph of
// named steps with parameters in, references between them, and outputs out.
//
// [Parse] reads and checks a plan without touching a host and finds every fault
// in one go. An [Engine] drives it on top of the executor and never beside it: each cell of a
// step is one run, submitted under an idempotency key, so that a killed
// controller walks the same plan again and meets the runs it had begun. No step
// runs twice, none is lost.
package plan
