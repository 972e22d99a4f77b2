// Package plugins says what can be done on a host: the contract that a plugin
// meets, the registry that the catalogue and the checks are made from, and one
// file per built-in plugin.
//
// A plugin is a Go type with typed methods. Its methods are straight-line Go
// over a [Remote]; they survive a restart of the controller by replay: see
// docs/plugins.md for the author's rules.
package plugins
