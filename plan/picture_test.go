package plan_test

import (
	"os"
	"testing"

	"tfw/plan"
)

// TestReadmePicture: the README's picture is of the plan that the demo runs.
// Make it anew with: tfwctl plan show examples/release.yaml -o svg >docs/release.svg
func TestReadmePicture(t *testing.T) {
	text, err := os.ReadFile("../examples/release.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Parse("release.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../docs/release.svg")
	if err != nil {
		t.Fatal(err)
	}
	if want := p.Drawing().SVG(); string(have) != want && string(have) != want+"\n" {
		t.Error("docs/release.svg is not the graph of examples/release.yaml any more")
	}
}
