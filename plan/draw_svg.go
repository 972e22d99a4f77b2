package plan

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Sizes of an SVG, in pixels.
const (
	boxWide, boxHigh   = 210, 44
	gapWide, gapHigh   = 24, 46
	margin, titleHigh  = 24, 30
	widestLayer        = 12 // boxes beside one another; a wider layer goes on in the next row
	boxLetters         = 33
	maxDrawnEdges      = 20_000
	arrow              = 5
	bendMin, bendShare = 18, 2
)

// SVG draws the graph as one file that needs no other: no script, no font, nothing from elsewhere. Every text in it is escaped.
func (d Drawing) SVG() string {
	var body strings.Builder
	y, width := margin, boxWide
	for _, part := range d.Parts {
		title := strings.ReplaceAll(part.Name, "_", " ")
		if part.Name == "steps" {
			title = d.Name
		}
		fmt.Fprintf(&body, "<text class=\"t\" x=\"%d\" y=\"%d\">%s</text>\n", margin, y+16, attr(cutLetters(title, 120)))
		l := layout(part.Nodes)
		l.write(&body, margin, y+titleHigh)
		width = max(width, l.width)
		y += titleHigh + l.height + gapHigh
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">
<style>
svg{background:#fff}text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1c2024}.t{font-size:15px;font-weight:600}.n{font-weight:600}.c{font-size:10.5px;fill:#5a6472}
rect{fill:#f4f6f8;stroke:#8a94a3}path{fill:none;stroke:#8a94a3}.a{fill:#8a94a3;stroke:none}.running{fill:#cfe3fb;stroke:#2f6fbf}%s
</style>
%s</svg>
`, width+2*margin, y, width+2*margin, y, attr(d.Name), verdictStyles(), body.String())
}

func verdictStyles() string {
	var b strings.Builder
	for _, v := range keysOf(verdictFill) {
		fmt.Fprintf(&b, ".%s{fill:%s}", v, verdictFill[v])
	}
	return b.String()
}

// laid is a part with a place for each node.
type laid struct {
	nodes         []DrawnStep
	at            map[string]int
	x, y          []int
	width, height int
}

// layout puts nodes into layers by rank, the order within a layer by where those before them stand (Sugiyama's barycentres, two passes).
func layout(nodes []DrawnStep) laid {
	at, rank, _ := ranked(nodes)
	layers := [][]int{}
	for i := range nodes {
		for len(layers) <= rank[i] {
			layers = append(layers, nil)
		}
		layers[rank[i]] = append(layers[rank[i]], i)
	}
	l := laid{nodes: nodes, at: at, x: make([]int, len(nodes)), y: make([]int, len(nodes))}
	place := make([]float64, len(nodes))
	spread := func(layer []int) {
		for k, i := range layer {
			place[i] = (float64(k) + 0.5) / float64(len(layer))
		}
	}
	then := make([][]int, len(nodes))
	for i, n := range nodes {
		for _, d := range n.After {
			if j, ok := at[d]; ok {
				then[j] = append(then[j], i)
			}
		}
	}
	for _, layer := range layers {
		spread(layer)
	}
	for _, layer := range layers {
		arrange(layer, place, func(i int) (near []int) {
			for _, d := range nodes[i].After {
				if j, ok := at[d]; ok {
					near = append(near, j)
				}
			}
			return near
		})
		spread(layer)
	}
	for _, layer := range slices.Backward(layers) {
		arrange(layer, place, func(i int) []int { return then[i] })
		spread(layer)
	}
	l.rows(layers)
	return l
}

func arrange(layer []int, place []float64, near func(i int) []int) {
	wanted := make(map[int]float64, len(layer))
	for _, i := range layer {
		wanted[i] = place[i]
		if others := near(i); len(others) > 0 {
			sum := 0.0
			for _, j := range others {
				sum += place[j]
			}
			wanted[i] = sum / float64(len(others))
		}
	}
	slices.SortStableFunc(layer, func(a, b int) int {
		switch {
		case wanted[a] < wanted[b]:
			return -1
		case wanted[a] > wanted[b]:
			return 1
		}
		return 0
	})
}

// rows gives every layer its rows, each in the middle.
func (l *laid) rows(layers [][]int) {
	widest := 0
	for _, layer := range layers {
		widest = max(widest, min(len(layer), widestLayer))
	}
	l.width = widest*(boxWide+gapWide) - gapWide
	y := 0
	for _, layer := range layers {
		for row := range slices.Chunk(layer, widestLayer) {
			x := (l.width - len(row)*(boxWide+gapWide) + gapWide) / 2
			for _, i := range row {
				l.x[i], l.y[i] = x, y
				x += boxWide + gapWide
			}
			y += boxHigh + gapHigh
		}
	}
	l.height = max(0, y-gapHigh)
}

func (l laid) write(b *strings.Builder, left, top int) {
	edges := 0
	for i, n := range l.nodes {
		for _, d := range n.After {
			j, ok := l.at[d]
			if edges++; !ok || edges > maxDrawnEdges {
				continue
			}
			x1, y1 := left+l.x[j]+boxWide/2, top+l.y[j]+boxHigh
			x2, y2 := left+l.x[i]+boxWide/2, top+l.y[i]-arrow
			bend := max(bendMin, (y2-y1)/bendShare)
			fmt.Fprintf(b, "<path d=\"M%d %dC%d %d %d %d %d %d\"/><path class=\"a\" d=\"M%d %dl%d -%dh-%dz\"/>\n", x1, y1, x1, y1+bend, x2, y2-bend, x2, y2, x2, y2+arrow, arrow, 2*arrow, 2*arrow)
		}
	}
	for i, n := range l.nodes {
		class := string(n.Verdict)
		if n.Running {
			class = "running"
		}
		x, y := left+l.x[i], top+l.y[i]
		fmt.Fprintf(b, "<g><title>%s: %s</title><rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/><text class=\"n\" x=\"%d\" y=\"%d\">%s</text><text class=\"c\" x=\"%d\" y=\"%d\">%s</text></g>\n",
			attr(n.Name), attr(n.Caption), attr(class), x, y, boxWide, boxHigh, x+10, y+18, attr(cutLetters(n.Name, 28)), x+10, y+34, attr(cutLetters(n.Caption, boxLetters)))
	}
	if edges > maxDrawnEdges {
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\">%d more edges are not drawn</text>\n", left, top-2, edges-maxDrawnEdges)
	}
}

func cutLetters(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
