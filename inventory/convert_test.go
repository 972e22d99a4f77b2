package inventory

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func TestConvert(t *testing.T) {
	_, vectors := loadAnsible(t)
	ansible, err := Parse("hosts.yml", []byte(fleet), Options{})
	if err != nil {
		t.Fatal(err)
	}
	flat, err := Parse("h.yml", []byte("all: {children: {web: {vars: {m: {a: 1}}, hosts: {h: {m: {b: 2}}}}}}"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, inv := range map[string]*Inventory{"contract": parse(t, contract), "golden": parse(t, golden), "vectors": vectors, "fleet": ansible, "replaced map": flat} {
		out, err := Convert(inv)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		back, err := Parse("back.yaml", out, Options{})
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		for _, h := range inv.Hosts() {
			b, ok := back.Host(h.Name)
			if !ok || b.Address != h.Address || b.SSH.User != h.SSH.User || len(b.SSH.Jump) != len(h.SSH.Jump) || len(b.Groups) != len(h.Groups) {
				t.Errorf("%s: %s is %+v, was %+v", name, h.Name, b, h)
			}
		}
		validate(t, name, out)
		again, err := Convert(back)
		if err != nil || string(again) != string(out) {
			t.Errorf("%s: converting twice differs: %v\n%s\n%s", name, err, out, again)
		}
	}
	out, _ := Convert(parse(t, contract))
	if !strings.Contains(string(out), "dut[01-24]:\n    address: 10.0.3.[1-24]\n") {
		t.Errorf("ranges are not kept:\n%s", out)
	}
}

func validate(t *testing.T, name string, file []byte) {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(file, &v); err != nil {
		t.Errorf("%s: not plain YAML: %v", name, err)
		return
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err := schema(t).Validate(doc); err != nil {
		t.Errorf("%s does not fit the schema: %v", name, err)
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(JSONSchema())))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("inventory.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("inventory.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaRefuses(t *testing.T) {
	for _, bad := range []string{`{"version": 2}`, `{"host": {}}`, `{"hosts": {"a": {"ssh": {"port": 0}}}}`, `{"hosts": {"a": {"ssh": {"password": "x"}}}}`, `{"groups": {"g": {"isolation": "x"}}}`} {
		doc, _ := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if schema(t).Validate(doc) == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}
