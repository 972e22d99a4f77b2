// Command tfwctl runs commands and plugin methods on the hosts of a lab, follows
// them and shows what came of them: through a controller (tfwd), or by itself.
package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"tfw/executor"
)

func main() { os.Exit(run(newApp(), os.Args[1:])) }

func run(a *app, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	a.close()
	if err != nil {
		if text := plain(err); text != "" {
			a.say("tfwctl: %s", strings.ReplaceAll(text, "\n", "\ntfwctl: "))
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
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), kind), ": "+kind, ": ")
}
