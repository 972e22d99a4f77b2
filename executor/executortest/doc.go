// Package executortest holds what tests of the executor stand on: the exams that
// every Store and every Transport must pass, an in-memory Store, and a throw-away lab
// of SSH hosts ([NewLab]) with servers that misbehave on order ([Fault]) and relays that break ([Proxy]).
//
// The lab imports no testing package: `tfwctl lab up` and the demo bring it up too.
package executortest
