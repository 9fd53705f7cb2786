package chart

// Sizes of a picture, pixels.
const (
	margin     = 16.0
	titleSize  = 30.0 // above a panel's area
	axisSize   = 48.0 // below it: numbers and what they are
	scaleWidth = 58.0 // left of it
	rightEdge  = 26.0 // right of it: half a number
	legendLine = 20.0
)

// point is a place in a picture, or within an area from 0 to 1.
type point struct{ x, y float64 }

// tick is a number beside an axis, at a place from 0 to 1.
type tick struct {
	at   float64
	text string
}

// line is one of a panel's; its points are within the area, y upwards.
type line struct {
	name   string
	points []point
	marks  bool
}

// panel is an area with two axes.
type panel struct {
	title          string
	xLabel, yLabel string
	xTicks, yTicks []tick
	lines          []line
	band           [2]float64 // a part of the y axis that is marked; none when both are 0
}

// draw puts the panel into a rectangle that holds title and axes too.
func (p *panel) draw(s *svg, left, top, width, height float64) {
	area := struct{ x, y, w, h float64 }{
		left + scaleWidth, top + titleSize + legendLine, width - scaleWidth - rightEdge, height - titleSize - legendLine - axisSize,
	}
	place := func(at point) point { return point{area.x + at.x*area.w, area.y + (1-at.y)*area.h} }
	s.text(left+margin/2, top+titleSize-10, "title", "start", p.title)
	s.text(left+margin/2, top+titleSize+legendLine-10, "weak", "start", p.yLabel)
	if p.band != [2]float64{} {
		s.rect("band", area.x, place(point{0, p.band[1]}).y, area.w, (p.band[1]-p.band[0])*area.h)
	}
	for _, t := range p.yTicks {
		at := place(point{0, t.at})
		s.grid(at.x, at.y, area.x+area.w, at.y)
		s.text(at.x-8, at.y+4, "weak", "end", t.text)
	}
	for _, t := range p.xTicks {
		at := place(point{t.at, 0})
		s.grid(at.x, area.y, at.x, at.y)
		s.text(at.x, at.y+18, "weak", "middle", t.text)
	}
	s.text(area.x+area.w/2, area.y+area.h+38, "weak", "middle", p.xLabel)
	for i, l := range p.lines {
		placed := make([]point, len(l.points))
		for j, at := range l.points {
			placed[j] = place(at)
			if l.marks {
				s.mark(i, placed[j])
			}
		}
		s.polyline(i, placed)
	}
}

// legend names lines one below the other and returns how high it is.
func legend(s *svg, left, top float64, lines []line) float64 {
	for i, l := range lines {
		y := top + (float64(i)+0.5)*legendLine
		s.polyline(i, []point{{left, y}, {left + 34, y}})
		s.text(left+44, y+4, "", "start", l.name)
	}
	return float64(len(lines)) * legendLine
}
