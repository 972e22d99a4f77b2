package main

import (
	"runtime"
	"runtime/debug"
	"strconv"
)

// release is set by the linker: -X main.release=v1.2.3.
var release string

// version is the release, or what is known of the source it was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}

func goVersion() string { return runtime.Version() }

func itoa(n int) string { return strconv.Itoa(n) }
