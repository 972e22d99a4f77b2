package inventory

// Inventory is a whole lab at one moment. Immutable; safe for concurrent use.
type Inventory struct{}
