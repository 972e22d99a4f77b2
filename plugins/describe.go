package plugins

// Description is a plugin in words and schemas: what the REST catalogue, the
// command line and the manual are made from.
type Description struct {
	Name    string              `json:"name"`
	Summary string              `json:"summary"`
	Methods []MethodDescription `json:"methods"`
}

// MethodDescription is one method of a [Description].
type MethodDescription struct {
	Name       string   `json:"name"`
	Summary    string   `json:"summary"`
	Needs      Needs    `json:"needs"`
	Parameters *Schema  `json:"parameters"`
	Outputs    *Schema  `json:"outputs"`
	Positional []string `json:"positional,omitempty"`
}

// Describe gives a plugin's description, methods in the plugin's order.
func Describe(p Plugin) Description {
	d := Description{Name: p.Name(), Summary: p.Summary(), Methods: []MethodDescription{}}
	for _, m := range p.Methods() {
		d.Methods = append(d.Methods, MethodDescription{
			Name: m.Name, Summary: m.Summary, Needs: m.Needs,
			Parameters: m.Parameters, Outputs: m.Outputs, Positional: m.Positional,
		})
	}
	return d
}
