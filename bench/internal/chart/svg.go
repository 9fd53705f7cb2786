package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
)

// colours is how many lines differ in colour; further ones begin again, with another dash.
const colours = 6

// style makes text legible on both grounds; the classes l0… are lines, f0… their marks.
const style = `
  svg { --ground:#ffffff; --text:#1f2328; --weak:#59636e; --grid:#d1d9e0; --band:#ddf4ff;
        --c0:#0969da; --c1:#bc4c00; --c2:#1a7f37; --c3:#8250df; --c4:#cf222e; --c5:#57606a; }
  @media (prefers-color-scheme: dark) {
    svg { --ground:#0d1117; --text:#f0f6fc; --weak:#9198a1; --grid:#3d444d; --band:#12263f;
          --c0:#58a6ff; --c1:#f0883e; --c2:#3fb950; --c3:#bc8cff; --c4:#ff7b72; --c5:#b1bac4; }
  }
  text { font:13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill:var(--text); }
  .title { font-size:15px; font-weight:600; } .weak { fill:var(--weak); }
  .ground { fill:var(--ground); } .band { fill:var(--band); }
  .grid { stroke:var(--grid); stroke-width:1; } .line { fill:none; stroke-width:2; stroke-linejoin:round; }
`

// svg writes elements; sizes are pixels.
type svg struct{ b bytes.Buffer }

func newSVG(width, height int, title string) *svg {
	s := &svg{}
	fmt.Fprintf(&s.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`, width, height)
	fmt.Fprintf(&s.b, "\n<title>%s</title>\n<style>%s", escape(title), style)
	for i := range colours {
		fmt.Fprintf(&s.b, "  .l%d { stroke:var(--c%[1]d); } .f%[1]d { fill:var(--c%[1]d); }\n", i)
	}
	fmt.Fprintf(&s.b, "</style>\n"+`<rect class="ground" width="%d" height="%d" rx="6"/>`+"\n", width, height)
	return s
}

// text writes at a point; anchor is start, middle or end.
func (s *svg) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(&s.b, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, escape(text))
}

func (s *svg) grid(x1, y1, x2, y2 float64) {
	fmt.Fprintf(&s.b, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", x1, y1, x2, y2)
}

func (s *svg) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(&s.b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n", class, x, y, w, h)
}

// polyline draws the i-th line.
func (s *svg) polyline(i int, points []point) {
	fmt.Fprintf(&s.b, `<polyline class="line l%d"%s points="`, i%colours, dash(i))
	for _, p := range points {
		fmt.Fprintf(&s.b, "%.1f,%.1f ", p.x, p.y)
	}
	s.b.WriteString("\"/>\n")
}

func (s *svg) mark(i int, p point) {
	fmt.Fprintf(&s.b, `<circle class="f%d" cx="%.1f" cy="%.1f" r="4"/>`+"\n", i%colours, p.x, p.y)
}

// dash tells lines apart for who does not see the colours, and those of the same colour.
func dash(i int) string {
	return []string{"", ` stroke-dasharray="8 3"`, ` stroke-dasharray="3 3"`}[(i+i/colours)%3]
}

func (s *svg) writeTo(w io.Writer) error {
	s.b.WriteString("</svg>\n")
	_, err := w.Write(s.b.Bytes())
	return err
}

func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // into memory
	return b.String()
}
