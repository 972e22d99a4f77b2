//go:build !race

package executortest_test

// raceFlag has the programs under test built as the test is: without the race detector.
var raceFlag = []string(nil)
