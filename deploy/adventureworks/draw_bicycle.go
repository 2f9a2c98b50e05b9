package adventureworks

import (
	"image/color"
	"math"
)

var (
	tireBlack = color.RGBA{34, 34, 38, 255}
	steel     = color.RGBA{176, 182, 190, 255}
	darkSteel = color.RGBA{92, 98, 106, 255}
	leather   = color.RGBA{52, 44, 40, 255}
)

// bicycle is the geometry of a bicycle seen from the right: the front wheel is on the right.
type bicycle struct {
	wheel      float64 // radius
	tire       float64 // width
	base       float64 // between the axles
	lift       float64 // of the saddle above the wheels' centers
	step       bool    // a low frame to step through
	bar        string  // drop, flat or high
	fork       float64 // extra width of a suspension fork
	fenders    bool
	rack       bool
	basket     bool
	battery    bool
	stabilizer bool
	spokes     int
}

// bicycles are the lines of bikes by their code and the variants of each.
func bicycleOf(code string, variant int) bicycle {
	switch code {
	case "BM":
		return bicycle{wheel: 48, tire: 9, base: 138, lift: 62, bar: "flat", fork: 5, spokes: 24}
	case "BT":
		return bicycle{wheel: 48, tire: 6, base: 140, lift: 68, bar: "drop", fenders: true, rack: true, spokes: 28}
	case "BC":
		return bicycle{wheel: 47, tire: 6, base: 140, lift: 66, bar: "high", fenders: true, rack: true, basket: variant == 1, step: true, spokes: 28}
	case "BK":
		return bicycle{wheel: 34, tire: 7, base: 100, lift: 52, bar: "high", stabilizer: variant == 0, fenders: variant == 1, spokes: 16}
	case "BE":
		return bicycle{wheel: 47, tire: 8, base: 142, lift: 64, bar: "flat", battery: true, fork: float64(variant) * 5, fenders: variant == 0, rack: variant == 0, spokes: 24}
	default:
		return bicycle{wheel: 48, tire: 4, base: 134, lift: 70, bar: "drop", spokes: 20 + 4*variant}
	}
}

// drawBicycle draws a whole bicycle; size is the frame's, from 0 (small) to 1.
func drawBicycle(c *canvas, b bicycle, paint color.RGBA, size float64) {
	ground := 204.0
	rear := point{fieldWidth/2 - b.base/2, ground - b.wheel}
	front := point{fieldWidth/2 + b.base/2, ground - b.wheel}
	crank := point{rear.x + b.base*0.43, rear.y + 8}
	top := rear.y - b.lift - 10*size
	seat := point{crank.x - 22, top + 14}
	head := point{front.x - 30 - 4*size, top + 6}
	fork := point{head.x + 5, head.y + 22}

	drawWheel(c, rear, b.wheel, b.tire, b.spokes, tireBlack)
	drawWheel(c, front, b.wheel, b.tire, b.spokes, tireBlack)
	if b.stabilizer {
		small := point{rear.x + 4, ground - 13}
		c.line(darkSteel, 3, rear, small)
		drawWheel(c, small, 12, 4, 8, tireBlack)
	}
	if b.fenders {
		drawFender(c, rear, b.wheel+b.tire/2+4, math.Pi*0.95, math.Pi*1.75, shade(paint, 0.8))
		drawFender(c, front, b.wheel+b.tire/2+4, math.Pi*1.1, math.Pi*1.85, shade(paint, 0.8))
	}
	if b.rack {
		deck := rear.y - b.wheel - 12
		c.line(darkSteel, 3, point{rear.x - 34, deck}, point{seat.x + 2, deck})
		c.line(darkSteel, 2.5, rear, point{rear.x - 22, deck})
		c.line(darkSteel, 2.5, rear, point{rear.x + 4, deck})
	}
	c.line(darkSteel, 1.6, point{crank.x, crank.y - 11}, point{rear.x, rear.y - 6})
	c.line(darkSteel, 1.6, point{crank.x, crank.y + 11}, point{rear.x, rear.y + 6})
	drawFrame(c, b, rear, crank, seat, head, fork, paint)
	drawFork(c, fork, front, b.fork, paint)
	if b.battery {
		c.line(tireBlack, 12, along(crank, fork, 0.25), along(crank, fork, 0.75))
		c.line(color.RGBA{90, 220, 120, 255}, 2, along(crank, fork, 0.3), along(crank, fork, 0.38))
		c.disc(darkSteel, rear, 11)
	}
	drawCrank(c, crank)
	post := point{seat.x - 5, seat.y - 20}
	c.line(steel, 4, seat, post)
	drawSaddle(c, post, 1)
	drawBar(c, b, head, front)
}

// drawWheel draws a tire, a rim, spokes and a hub.
func drawWheel(c *canvas, center point, r, tire float64, spokes int, rubber color.RGBA) {
	for i := range spokes {
		a := 2 * math.Pi * float64(i) / float64(spokes)
		lean := 0.35 // spokes leave the hub at its edge, leaning one way and the other
		if i%2 == 1 {
			lean = -lean
		}
		hub := point{center.x + 5*math.Cos(a+lean*3), center.y + 5*math.Sin(a+lean*3)}
		c.line(color.RGBA{150, 156, 164, 255}, 0.9, hub, point{center.x + (r-tire)*math.Cos(a), center.y + (r-tire)*math.Sin(a)})
	}
	c.ring(steel, center, r-tire/2-1, 4)
	c.ring(rubber, center, r, tire)
	c.disc(darkSteel, center, 5.5)
	c.disc(steel, center, 2.5)
}

func drawFender(c *canvas, center point, r, from, to float64, col color.RGBA) {
	const steps = 24
	outer, inner := make([]point, 0, 2*steps+2), make([]point, 0, steps+1)
	for i := range steps + 1 {
		a := from + (to-from)*float64(i)/steps
		outer = append(outer, point{center.x + (r+2)*math.Cos(a), center.y + (r+2)*math.Sin(a)})
		inner = append(inner, point{center.x + (r-2)*math.Cos(a), center.y + (r-2)*math.Sin(a)})
	}
	for i := range inner {
		outer = append(outer, inner[len(inner)-1-i])
	}
	c.polygon(col, outer...)
}

// drawFrame draws the tubes: the rear triangle thin, the front one thick with a lighter edge.
func drawFrame(c *canvas, b bicycle, rear, crank, seat, head, fork point, paint color.RGBA) {
	c.line(shade(paint, 0.8), 4, rear, crank)
	c.line(shade(paint, 0.8), 3.5, rear, point{seat.x + 2, seat.y + 8})
	tube := func(width float64, a, b point) {
		c.line(paint, width, a, b)
		c.line(shade(paint, 1.45), width/4, point{a.x, a.y - width/5}, point{b.x, b.y - width/5})
	}
	tube(6, seat, crank)
	tube(8, fork, crank)
	if b.step {
		low := along(seat, crank, 0.62)
		bend := curve(point{head.x + 2, head.y + 14}, point{head.x - 20, low.y}, point{low.x + 34, low.y + 2}, low)
		c.line(paint, 6, bend...)
	} else {
		tube(6, point{seat.x + 1, seat.y + 6}, point{head.x + 1, head.y + 8})
	}
	c.line(paint, 8, point{head.x - 1, head.y}, fork)
	c.disc(darkSteel, crank, 6)
}

func drawFork(c *canvas, crown, axle point, extra float64, paint color.RGBA) {
	if extra > 0 {
		c.line(steel, 4, crown, axle)
		c.line(shade(paint, 0.6), 4+extra, along(crown, axle, 0.42), axle)
		c.line(darkSteel, 9, point{crown.x - 2, crown.y}, point{crown.x + 3, crown.y + 2})
	} else {
		c.line(paint, 4.5, curve(crown, along(crown, axle, 0.4), point{axle.x - 6, axle.y - 20}, axle)...)
	}
	c.disc(steel, axle, 3)
}

// drawCrank draws a chainring, two arms and two pedals.
func drawCrank(c *canvas, center point) {
	c.ring(darkSteel, center, 11, 3)
	for i := range 5 {
		a := 2 * math.Pi * float64(i) / 5
		c.line(darkSteel, 2, center, point{center.x + 11*math.Cos(a), center.y + 11*math.Sin(a)})
	}
	a, b := point{center.x + 17, center.y + 12}, point{center.x - 17, center.y - 12}
	c.line(steel, 3.5, a, b)
	c.line(tireBlack, 4, point{a.x - 6, a.y}, point{a.x + 7, a.y})
	c.line(tireBlack, 4, point{b.x - 7, b.y}, point{b.x + 6, b.y})
	c.disc(steel, center, 4)
}

// drawSaddle draws a saddle whose rail sits on top.
func drawSaddle(c *canvas, top point, scale float64) {
	at := func(x, y float64) point { return point{top.x + x*scale, top.y + y*scale} }
	c.line(steel, 1.6*scale, at(-10, -3), at(10, -1))
	c.polygon(leather, join(
		curve(at(-20, -9), at(-14, -12), at(-4, -6), at(8, -7)),
		curve(at(8, -7), at(16, -8), at(24, -7), at(24, -4)),
		curve(at(24, -4), at(14, -1), at(4, -3), at(-6, 1)),
		curve(at(-6, 1), at(-14, 4), at(-22, 0), at(-20, -9)))...)
}

func drawBar(c *canvas, b bicycle, head, front point) {
	stem := point{head.x - 2, head.y - 12}
	c.line(darkSteel, 5, point{head.x, head.y + 2}, stem)
	switch b.bar {
	case "drop":
		grip := point{stem.x + 17, stem.y - 2}
		c.line(darkSteel, 4, stem, grip)
		c.line(tireBlack, 4.5, join(curve(grip, point{grip.x + 14, grip.y}, point{grip.x + 14, grip.y + 22}, point{grip.x - 2, grip.y + 22}))...)
		c.line(darkSteel, 3, point{grip.x + 7, grip.y}, point{grip.x + 13, grip.y - 6})
		c.line(darkSteel, 2, point{grip.x + 12, grip.y - 2}, point{grip.x + 12, grip.y + 14})
	case "high":
		rise := point{stem.x + 6, stem.y - 14}
		c.line(steel, 4, curve(stem, point{stem.x + 8, stem.y}, point{rise.x + 6, rise.y + 4}, rise)...)
		c.line(leather, 5.5, rise, point{rise.x - 22, rise.y + 3})
		c.disc(color.RGBA{255, 236, 170, 255}, point{head.x + 12, head.y + 4}, 5)
	default:
		c.line(darkSteel, 4, stem, point{stem.x + 10, stem.y - 4})
		c.line(tireBlack, 6, point{stem.x + 10, stem.y - 4}, point{stem.x - 4, stem.y - 5})
		c.line(steel, 2, point{stem.x + 8, stem.y - 2}, point{stem.x + 12, stem.y + 10})
	}
	if b.basket {
		x, y := head.x+14, head.y-10
		wicker := color.RGBA{186, 140, 84, 255}
		c.polygon(wicker, point{x, y}, point{x + 38, y}, point{x + 33, y + 26}, point{x + 5, y + 26})
		for i := range 4 {
			f := float64(i)
			c.line(shade(wicker, 0.7), 1.4, point{x + 2 + f, y + 5 + 6*f}, point{x + 36 - f, y + 5 + 6*f})
			c.line(shade(wicker, 0.7), 1.4, point{x + 6 + 9*f, y}, point{x + 8 + 7.5*f, y + 26})
		}
	}
}
