package main

import (
	"tfw/inventory"
)

func fold(names []string) string { return inventory.Fold(names) }

// setNames orders and folds host names as the inventory's calculator does.
type setNames struct{}

// Fold gives the folded set.
func (setNames) Fold(names []string) string { return fold(names) }

// Sort gives the names in the order of a folded set.
func (setNames) Sort(names []string) []string {
	if sorted, err := inventory.Expand(fold(names)); err == nil && len(sorted) == len(names) {
		return sorted
	}
	return names
}
