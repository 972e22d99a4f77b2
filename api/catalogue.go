package api

import (
	"encoding/json"

	"tfw/plugins"
)

// Plugin is a plugin of the catalogue.
type Plugin struct {
	Name    string   `json:"name"`
	Summary string   `json:"summary"`
	Methods []Method `json:"methods"`
}

// Method is a method of the catalogue. Parameters and Outputs are JSON Schemas (draft 2020-12).
type Method struct {
	Name       string          `json:"name"`
	Summary    string          `json:"summary"`
	Needs      plugins.Needs   `json:"needs"`
	Parameters json.RawMessage `json:"parameters" doc:"JSON Schema of the parameters object"`
	Outputs    json.RawMessage `json:"outputs" doc:"JSON Schema of the outputs object"`
	Positional []string        `json:"positional,omitempty" doc:"parameters that tfwctl run takes without key=, in order"`
}

func pluginOf(p plugins.Plugin) (Plugin, error) {
	shown := Plugin{Name: p.Name(), Summary: p.Summary(), Methods: []Method{}}
	for _, m := range p.Methods() {
		parameters, err := json.Marshal(m.Parameters)
		if err != nil {
			return Plugin{}, err
		}
		outputs, err := json.Marshal(m.Outputs)
		if err != nil {
			return Plugin{}, err
		}
		shown.Methods = append(shown.Methods, Method{
			Name: m.Name, Summary: m.Summary, Needs: m.Needs,
			Parameters: parameters, Outputs: outputs, Positional: m.Positional,
		})
	}
	return shown, nil
}
