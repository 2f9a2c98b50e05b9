package adventureworks

import (
	"image/color"
	"math"
)

// drawComponent draws what is screwed to a bicycle.
func drawComponent(c *canvas, code string, variant int, paint color.RGBA, size float64) {
	mid := point{160, 122}
	switch code {
	case "CF":
		b := bicycleOf([]string{"BR", "BM", "BT"}[variant], 0)
		rear, crank := point{74, 168}, point{146, 178}
		seat, head := point{118, 84 - 12*size}, point{224, 76 - 12*size}
		fork := point{232, 104 - 8*size}
		drawFrame(c, b, rear, crank, seat, head, fork, paint)
		c.disc(steel, rear, 4)
		if variant > 0 {
			drawFork(c, fork, point{258, 178}, float64(2-variant)*6, paint)
		}
	case "CW":
		r := 88.0
		if variant >= 2 { // aero: a deep rim
			drawWheel(c, mid, r, 6, 16, tireBlack)
			c.ring(shade(paint, 0.75), mid, r-16, 24)
			c.line(shade(paint, 1.6), 3, point{mid.x - 40, mid.y - 58}, point{mid.x - 22, mid.y - 67})
		} else {
			drawWheel(c, mid, r, 6, 32, tireBlack)
			c.ring(paint, mid, r-6, 6)
		}
		if variant%2 == 1 { // rear: a cassette
			for i := range 5 {
				c.ring(shade(steel, 0.7+0.12*float64(i)), mid, 26-4*float64(i), 3)
			}
		}
		c.disc(darkSteel, mid, 7)
	case "CH":
		drawHandlebar(c, variant, paint)
	case "CS":
		c.line(steel, 9, point{150, 210}, point{158, 150})
		saddle := point{154, 150}
		drawSaddle(c, saddle, 4.2)
		c.line(paint, 3, curve(point{88, 116}, point{120, 124}, point{160, 126}, point{232, 122})...)
		if variant == 1 {
			c.oval(shade(leather, 1.25), point{98, 134}, 26, 20)
			c.ring(darkSteel, point{110, 172}, 9, 3)
			c.ring(darkSteel, point{110, 181}, 9, 3)
		}
	case "CP":
		drawPedal(c, variant, paint)
	case "CK":
		drawForkAlone(c, variant, paint)
	case "CC":
		drawCrankset(c, variant)
	}
}

func drawHandlebar(c *canvas, variant int, paint color.RGBA) {
	if variant == 0 {
		left := join(curve(point{160, 84}, point{110, 82}, point{92, 84}, point{84, 92}), curve(point{84, 92}, point{54, 120}, point{62, 172}, point{104, 178}))
		c.line(paint, 11, left...)
		c.line(paint, 11, mirror(left, 160)...)
		tape := curve(point{76, 104}, point{60, 132}, point{68, 170}, point{104, 178})
		c.line(tireBlack, 13, tape...)
		c.line(tireBlack, 13, mirror(tape, 160)...)
		lever := curve(point{84, 96}, point{104, 112}, point{98, 136}, point{92, 150})
		c.line(darkSteel, 6, lever...)
		c.line(darkSteel, 6, mirror(lever, 160)...)
	} else {
		bar := curve(point{160, 130}, point{120, 130}, point{100, 112}, point{36, 116})
		c.line(paint, 10, bar...)
		c.line(paint, 10, mirror(bar, 160)...)
		c.line(tireBlack, 17, point{34, 116}, point{78, 113})
		c.line(tireBlack, 17, point{286, 116}, point{242, 113})
		c.line(darkSteel, 5, curve(point{96, 118}, point{92, 140}, point{76, 142}, point{52, 138})...)
		c.line(darkSteel, 5, curve(point{224, 118}, point{228, 140}, point{244, 142}, point{268, 138})...)
	}
	y := 84.0 + 46*float64(variant)
	c.line(darkSteel, 24, point{150, y}, point{170, y})
	for _, x := range []float64{147, 173} {
		c.disc(steel, point{x, y - 6}, 2.5)
		c.disc(steel, point{x, y + 6}, 2.5)
	}
}

func drawPedal(c *canvas, variant int, paint color.RGBA) {
	c.line(steel, 12, point{60, 128}, point{130, 128})
	c.line(darkSteel, 7, point{52, 128}, point{66, 128})
	if variant == 0 {
		c.fill(paint, new(path).add(point{112, 78}, point{262, 78}, point{270, 92}, point{270, 166}, point{262, 180}, point{112, 180}, point{104, 166}, point{104, 92}).
			add(point{124, 94}, point{124, 164}, point{178, 164}, point{178, 94}).add(point{198, 94}, point{198, 164}, point{252, 164}, point{252, 94}))
		c.line(darkSteel, 14, point{110, 128}, point{262, 128})
		for i := range 6 {
			x := 118 + 28*float64(i)
			c.disc(steel, point{x, 86}, 4)
			c.disc(steel, point{x, 172}, 4)
		}
		return
	}
	c.polygon(paint, join(curve(point{112, 110}, point{120, 74}, point{230, 70}, point{262, 104}), curve(point{262, 104}, point{276, 130}, point{262, 168}, point{236, 176}),
		curve(point{236, 176}, point{190, 190}, point{122, 178}, point{112, 148}))...)
	c.polygon(tireBlack, point{148, 98}, point{226, 96}, point{236, 128}, point{226, 160}, point{148, 158})
	c.line(steel, 5, point{160, 108}, point{216, 108})
	c.line(steel, 5, point{160, 148}, point{216, 148})
	c.disc(steel, point{188, 128}, 9)
}

func drawForkAlone(c *canvas, variant int, paint color.RGBA) {
	c.line(shade(paint, 0.9), 13, point{160, 26}, point{160, 84})
	c.line(shade(steel, 0.9), 9, point{160, 20}, point{160, 40})
	left := curve(point{160, 88}, point{128, 88}, point{130, 120}, point{128, 208})
	if variant == 1 {
		c.line(steel, 9, point{128, 88}, point{128, 150})
		c.line(steel, 9, point{192, 88}, point{192, 150})
		c.line(paint, 17, point{128, 134}, point{128, 206})
		c.line(paint, 17, point{192, 134}, point{192, 206})
		c.line(paint, 12, curve(point{128, 134}, point{136, 112}, point{184, 112}, point{192, 134})...)
		c.line(darkSteel, 18, point{126, 86}, point{194, 86})
		c.disc(color.RGBA{220, 60, 50, 255}, point{192, 82}, 5)
	} else {
		c.line(paint, 11, left...)
		c.line(paint, 11, mirror(left, 160)...)
	}
	c.disc(darkSteel, point{128, 210}, 6)
	c.disc(darkSteel, point{192, 210}, 6)
}

func drawCrankset(c *canvas, variant int) {
	center := point{180, 120}
	const teeth = 36
	outline := make([]point, 0, 2*teeth)
	for i := range 2 * teeth {
		r := 72.0 + 5*float64(i%2)
		a := math.Pi * float64(i) / teeth
		outline = append(outline, point{center.x + r*math.Cos(a), center.y + r*math.Sin(a)})
	}
	c.fill(darkSteel, new(path).add(outline...).add(ellipse(center, 60, 60, true)...))
	for i := range 5 {
		a := 2*math.Pi*float64(i)/5 + 0.4
		tip := point{center.x + 62*math.Cos(a), center.y + 62*math.Sin(a)}
		c.polygon(steel, bar(center, tip, 22, 12)...)
		c.disc(tireBlack, tip, 4)
	}
	if variant == 1 {
		c.ring(shade(steel, 0.8), center, 46, 6)
	}
	end := point{56, 176}
	c.polygon(shade(steel, 1.2), bar(center, end, 26, 18)...)
	c.disc(shade(steel, 1.2), end, 10)
	c.disc(tireBlack, end, 5)
	c.disc(shade(steel, 1.2), center, 18)
	c.disc(darkSteel, center, 9)
}
