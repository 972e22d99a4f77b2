package inventory

// Inventory is a whole lab at one moment. Immutable; safe for concurrent use.
type Inventory struct{}

// Query asks for hosts. See docs/targeting.md for the grammar.
type Query struct {
	Target       string // TERM[,TERM...]
	Where        string // expression that filters
	AllowMissing bool   // unknown names are left out instead of refused
	Expect       int    // refuse any other count; 0: any
	AdHoc        bool   // enforce groups' MaxHosts
	Facts        func(host string) map[string]any
}

// Selection is what a query found, in inventory order, each host once.
type Selection struct {
	Hosts   []*Host
	Missing []string // names that AllowMissing softened
}
