// Package executor does it: it turns a request into a run, fans it out over
// hosts, drives each host through a [Transport], keeps everything that must not
// be lost in a [Store], and gives every host of a run exactly one result.
//
// All policy lives here: verdicts, retries, recovery, limits. Transport and
// Store are dumb ends behind the two small interfaces declared here; the exams in
// executortest say what each must do.
package executor
