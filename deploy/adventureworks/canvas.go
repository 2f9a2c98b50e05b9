package adventureworks

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/vector"
)

// Pictures are drawn on a field of 320 by 240 units, whatever their size in pixels.
const (
	fieldWidth  = 320
	fieldHeight = 240
)

// point is a place on the field, in units, from the top left corner.
type point struct{ x, y float64 }

// canvas draws anti-aliased shapes. A shape outside the field is cut off.
type canvas struct {
	image *image.RGBA
	scale float64 // pixels a unit
}

func newCanvas(width int) *canvas {
	scale := float64(width) / fieldWidth
	return &canvas{image.NewRGBA(image.Rect(0, 0, width, int(fieldHeight*scale))), scale}
}

// path is a set of closed outlines that are filled together: where an inner outline runs the other way round, it is a hole.
type path struct{ outlines [][]point }

func (p *path) add(outline ...point) *path {
	p.outlines = append(p.outlines, outline)
	return p
}

// fill paints the inside of a path.
func (c *canvas) fill(col color.RGBA, p *path) {
	low, high := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, o := range p.outlines {
		for _, q := range o {
			low = point{math.Min(low.x, q.x), math.Min(low.y, q.y)}
			high = point{math.Max(high.x, q.x), math.Max(high.y, q.y)}
		}
	}
	bounds := image.Rect(int(low.x*c.scale)-1, int(low.y*c.scale)-1, int(high.x*c.scale)+2, int(high.y*c.scale)+2).Intersect(c.image.Rect)
	if bounds.Empty() {
		return
	}
	z := vector.NewRasterizer(bounds.Dx(), bounds.Dy())
	at := func(q point) (float32, float32) {
		return float32(q.x*c.scale - float64(bounds.Min.X)), float32(q.y*c.scale - float64(bounds.Min.Y))
	}
	for _, o := range p.outlines {
		for i, q := range o {
			x, y := at(q)
			if i == 0 {
				z.MoveTo(x, y)
			} else {
				z.LineTo(x, y)
			}
		}
		z.ClosePath()
	}
	z.DrawOp = draw.Over
	z.Draw(c.image, bounds, image.NewUniform(col), image.Point{})
}

// cover paints the whole field from y down.
func (c *canvas) cover(col color.RGBA, y float64) {
	area := c.image.Rect
	area.Min.Y = int(y * c.scale)
	draw.Draw(c.image, area, image.NewUniform(col), image.Point{}, draw.Src)
}

// polygon paints a shape with straight sides.
func (c *canvas) polygon(col color.RGBA, outline ...point) { c.fill(col, new(path).add(outline...)) }

// ellipse is the outline of an ellipse; reverse runs the other way round, for holes.
func ellipse(center point, rx, ry float64, reverse bool) []point {
	const steps = 48
	outline := make([]point, steps)
	for i := range outline {
		a := 2 * math.Pi * float64(i) / steps
		if reverse {
			a = -a
		}
		outline[i] = point{center.x + rx*math.Cos(a), center.y + ry*math.Sin(a)}
	}
	return outline
}

func (c *canvas) disc(col color.RGBA, center point, r float64) { c.oval(col, center, r, r) }

func (c *canvas) oval(col color.RGBA, center point, rx, ry float64) {
	c.fill(col, new(path).add(ellipse(center, rx, ry, false)...))
}

// ring paints a circle of the given middle radius and width of line.
func (c *canvas) ring(col color.RGBA, center point, r, width float64) {
	c.fill(col, new(path).add(ellipse(center, r+width/2, r+width/2, false)...).add(ellipse(center, r-width/2, r-width/2, true)...))
}

// line paints lines through the points, with round ends and joints.
func (c *canvas) line(col color.RGBA, width float64, through ...point) {
	for i := 1; i < len(through); i++ {
		c.polygon(col, bar(through[i-1], through[i], width, width)...)
	}
	if width*c.scale < 1.5 {
		return
	}
	for _, q := range through {
		c.disc(col, q, width/2)
	}
}

// bar is the outline of a straight bar that may narrow from one end to the other.
func bar(a, b point, widthA, widthB float64) []point {
	dx, dy := b.x-a.x, b.y-a.y
	length := math.Hypot(dx, dy)
	if length == 0 {
		return []point{a}
	}
	nx, ny := -dy/length/2, dx/length/2
	return []point{{a.x + nx*widthA, a.y + ny*widthA}, {b.x + nx*widthB, b.y + ny*widthB}, {b.x - nx*widthB, b.y - ny*widthB}, {a.x - nx*widthA, a.y - ny*widthA}}
}

// curve is a cubic Bézier curve as points.
func curve(a, b, c, d point) []point {
	const steps = 20
	out := make([]point, steps+1)
	for i := range out {
		t := float64(i) / steps
		u := 1 - t
		p, q, r, s := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
		out[i] = point{p*a.x + q*b.x + r*c.x + s*d.x, p*a.y + q*b.y + r*c.y + s*d.y}
	}
	return out
}

// join puts pieces of an outline one behind the other.
func join(pieces ...[]point) []point {
	var out []point
	for _, p := range pieces {
		out = append(out, p...)
	}
	return out
}

// mirror reflects an outline at the vertical line x.
func mirror(outline []point, x float64) []point {
	out := make([]point, len(outline))
	for i, q := range outline {
		out[len(out)-1-i] = point{2*x - q.x, q.y}
	}
	return out
}

// zoom is the outline made larger or smaller about a center.
func zoom(outline []point, center point, by float64) []point {
	out := make([]point, len(outline))
	for i, q := range outline {
		out[i] = point{center.x + (q.x-center.x)*by, center.y + (q.y-center.y)*by}
	}
	return out
}

// along is the point a part of the way from a to b.
func along(a, b point, part float64) point { return point{a.x + (b.x-a.x)*part, a.y + (b.y-a.y)*part} }

// shade makes a colour darker (by below 1) or lighter (above 1, towards white at 2).
func shade(col color.RGBA, by float64) color.RGBA {
	mix := func(v uint8) uint8 {
		if by <= 1 {
			return uint8(float64(v) * by)
		}
		return uint8(float64(v) + (255-float64(v))*(by-1))
	}
	return color.RGBA{mix(col.R), mix(col.G), mix(col.B), col.A}
}
