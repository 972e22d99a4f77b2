// Command tfwctl runs commands and plugin methods on the hosts of a lab, follows
// them and shows what came of them: through a controller (tfwd), or by itself.
package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"tfw/cmd/controller"
	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
)

func main() {
	a := newApp()
	if err := controller.NoCores(); err != nil {
		a.say("tfwctl: %v", err)
	}
	os.Exit(run(a, os.Args[1:]))
}

func run(a *app, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	a.close()
	a.handOver()
	if err != nil {
		if text := plain(err); text != "" {
			for line := range strings.SplitSeq(text, "\n") { // it may quote what a host said
				a.say("tfwctl: %s", lines.Safe([]byte(line)))
			}
		}
		var usage cobraUsage
		if errors.As(err, &usage) {
			return exitUsage
		}
	}
	return exitOfError(err)
}

// plain is an error as a person reads it: without the name of its kind.
func plain(err error) string {
	kind := executor.ErrBadRequest.Error() + ": "
	text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), kind), ": "+kind, ": ")
	return strings.TrimSuffix(text, ": "+executor.ErrConflict.Error())
}
