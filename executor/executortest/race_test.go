//go:build race

package executortest_test

// raceFlag has the programs under test built as the test is.
var raceFlag = []string{"-race"}
