package main

import (
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"

	"tfw/inventory"
)

// showSettings prints each setting with its origin, and indented below it what it overrode.
func (a *app) showSettings(settings []inventory.Setting) error {
	g := grid{head: []string{"SETTING", "VALUE", "FROM"}, wide: 1}
	for _, s := range settings {
		g.rows = append(g.rows, plainRow(s.Name, valueText(s.Value), s.Origin.String()))
		word := "  over "
		if s.United {
			word = "  with "
		}
		for _, before := range s.Overrode {
			row := plainRow(word, valueText(before.Value), before.Origin.String())
			for i := range row {
				row[i].colour = grey
			}
			g.rows = append(g.rows, row)
		}
	}
	return g.print(a, a.out)
}

// valueText is a value on one line, as YAML has it.
func valueText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64: // JSON knows no whole numbers
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	text, err := yaml.MarshalWithOptions(v, yaml.Flow(true))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text[:max(0, len(text)-1)])
}
