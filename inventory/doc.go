// Package inventory says who: the hosts and groups of a lab, read from the file
// that lab admins edit, and the one grammar that selects hosts from them.
//
// An [Inventory] is immutable and safe for concurrent use: a run keeps the one
// it began with. Targeting fails closed: an unknown name is an error, in an
// exclusion too, and nothing empty ever means "all".
package inventory
