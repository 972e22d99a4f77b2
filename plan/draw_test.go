package plan_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tfw/plan"
)

const diamond = `name: "d <&> \"x\""
hosts: {d: duts}
steps:
  a: {uses: work.do, on: d, with: {do: x}}
  l: {uses: work.do, on: d, needs: [a], when: "1 < 2", with: {do: x}}
  r: {uses: work.do, on: d, needs: [a], with: {do: x}}
  z: {uses: work.do, on: d, needs: [a, l, r], with: {do: x}}
  y: {uses: work.do, on: d, needs: [z], matrix: {m: [1, 2]}, with: {do: x}}
finally:
  f: {uses: work.do, on: d, with: {do: x}}
`

func TestTreeOfAPlan(t *testing.T) {
	p, err := plan.Parse("p.yaml", []byte(diamond))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, l := range p.Drawing().Lines(true) {
		got += fmt.Sprintf("%s%s  %s\n", l.Tree, l.Name, l.Caption)
	}
	want := `steps:  
a  work.do on d
|- l  work.do on d when 1 < 2
|  v z  work.do on d, also after r
|  v y  work.do on d by m
` + "`- r  work.do on d\nfinally:  \nf  work.do on d\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// wellFormed reads an SVG and counts its elements.
func wellFormed(t *testing.T, svg string) map[string]int {
	t.Helper()
	count := map[string]int{}
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("%v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
}

func TestSVG(t *testing.T) {
	p, err := plan.Parse("p.yaml", []byte(diamond))
	if err != nil {
		t.Fatal(err)
	}
	svg := p.Drawing().SVG()
	got := wellFormed(t, svg)
	// a-l, a-r, l-z, r-z, z-y; a-z is implied. Each edge has an arrow head.
	if got["rect"] != 6 || got["path"] != 10 || got["script"] != 0 || strings.Contains(svg, "href") || !strings.Contains(svg, "d &lt;&amp;&gt; &#34;x&#34;") {
		t.Errorf("%v\n%s", got, svg)
	}
}

func TestDrawingsOfLargePlans(t *testing.T) {
	for name, needs := range map[string]func(i int) string{
		"chain":  func(i int) string { return fmt.Sprintf("[s%d]", i-1) },
		"fan":    func(int) string { return "[s0]" },
		"layers": func(i int) string { return fmt.Sprintf("[s%d, s%d, s%d]", max(0, i-50), max(0, i-51), max(0, i-52)) },
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("name: large\nhosts: {d: duts}\nsteps:\n  s0: {uses: work.do, on: d}\n")
			for i := 1; i < 2000; i++ {
				fmt.Fprintf(&b, "  s%d: {uses: work.do, on: d, needs: %s}\n", i, needs(i))
			}
			p, err := plan.Parse("p.yaml", []byte(b.String()))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			d := p.Drawing()
			if got := wellFormed(t, d.SVG()); got["rect"] != 2000 {
				t.Errorf("%v", got)
			}
			lines := d.Lines(false)
			if len(lines) != 2000 || strings.Count(d.Mermaid(), "\n") < 2000 {
				t.Errorf("%d lines", len(lines))
			}
			for _, l := range lines {
				if n := len([]rune(l.Tree)); n > 60 {
					t.Fatalf("a line begins after %d columns", n)
				}
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
