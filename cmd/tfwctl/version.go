package main

import (
	"runtime"
	"runtime/debug"
	"strconv"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// versionText is the release, or what is known of the source it was built from.
func versionText() string {
	if version != "" {
		return version
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
