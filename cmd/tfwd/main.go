// Command tfwd is the controller: it runs what it is asked on the hosts of an
// inventory, keeps what they say, and serves the REST API.
package main

import (
	"os"

	"tfw/cmd/daemon"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "devel"

func main() { os.Exit(daemon.Main(version, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }
