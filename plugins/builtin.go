package plugins

// Builtin gives the plugins that come with tfw.
func Builtin() []Plugin {
	return []Plugin{LinuxSystem{}, BuildServer{}, Deploy{}, Testcase{}}
}
