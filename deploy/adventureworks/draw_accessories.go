package adventureworks

import (
	"image/color"
	"math"
)

// drawAccessory draws what is carried along.
func drawAccessory(c *canvas, code string, variant int, paint color.RGBA, size float64) {
	switch code {
	case "AH":
		drawHelmet(c, variant, paint)
	case "AB":
		drawBottle(c, variant, paint)
	case "AG":
		drawCage(c, paint)
	case "AL":
		drawLock(c, variant, paint)
	case "AP":
		drawPump(c, variant, paint)
	case "AI":
		drawLight(c, variant)
	case "AN":
		drawPannier(c, variant, paint)
	case "AT":
		drawTire(c, variant, size)
	case "AD":
		drawBell(c, paint)
	}
}

func drawHelmet(c *canvas, variant int, paint color.RGBA) {
	strap := color.RGBA{60, 60, 66, 255}
	c.line(strap, 4, curve(point{112, 150}, point{120, 190}, point{150, 206}, point{166, 208})...)
	c.line(strap, 4, curve(point{206, 150}, point{200, 186}, point{184, 204}, point{166, 208})...)
	c.disc(strap, point{166, 207}, 5)
	shell := join(curve(point{58, 150}, point{50, 60}, point{150, 34}, point{214, 62}), curve(point{214, 62}, point{252, 80}, point{268, 116}, point{268, 142}),
		curve(point{268, 142}, point{220, 158}, point{110, 166}, point{58, 150}))
	if variant == 1 { // aero: a long tail
		shell = join(curve(point{28, 142}, point{60, 70}, point{140, 40}, point{214, 62}), curve(point{214, 62}, point{252, 80}, point{268, 116}, point{268, 142}),
			curve(point{268, 142}, point{220, 160}, point{110, 160}, point{28, 142}))
	}
	c.polygon(paint, shell...)
	tail := 58.0
	if variant == 1 {
		tail = 30
	}
	c.polygon(shade(paint, 0.65), join(curve(point{tail, 136}, point{110, 154}, point{220, 148}, point{268, 132}), []point{{268, 142}}, curve(point{268, 142}, point{220, 160}, point{110, 166}, point{tail, 150}))...)
	vent := shade(paint, 0.3)
	vents := [][4]point{
		{{92, 120}, {104, 84}, {134, 68}, {148, 66}}, {{132, 126}, {142, 92}, {164, 72}, {182, 70}}, {{176, 126}, {182, 98}, {198, 82}, {214, 80}}, {{218, 122}, {222, 104}, {230, 96}, {240, 98}},
	}
	if variant == 1 {
		vents = vents[2:]
	}
	for _, v := range vents {
		upper := curve(v[0], v[1], v[2], v[3])
		lower := curve(v[3], point{v[2].x + 2, v[2].y + 12}, point{v[1].x + 12, v[1].y + 10}, point{v[0].x + 10, v[0].y + 2})
		c.polygon(vent, join(upper, lower)...)
	}
	c.line(shade(paint, 1.6), 3, curve(point{84, 92}, point{110, 60}, point{150, 48}, point{190, 54})...)
	if variant == 2 { // for children: stars
		for _, at := range []point{{82, 132}, {122, 138}, {166, 140}, {210, 136}, {250, 126}} {
			drawStar(c, color.RGBA{255, 214, 70, 255}, at, 8)
		}
	}
}

func drawStar(c *canvas, col color.RGBA, center point, r float64) {
	outline := make([]point, 10)
	for i := range outline {
		s := r
		if i%2 == 1 {
			s = r * 0.42
		}
		a := math.Pi*float64(i)/5 - math.Pi/2
		outline[i] = point{center.x + s*math.Cos(a), center.y + s*math.Sin(a)}
	}
	c.polygon(col, outline...)
}

func drawBottle(c *canvas, variant int, paint color.RGBA) {
	body := join([]point{{126, 214}}, curve(point{122, 210}, point{120, 160}, point{124, 140}, point{130, 128}), curve(point{130, 128}, point{122, 112}, point{122, 92}, point{132, 74}),
		[]point{{188, 74}}, curve(point{188, 74}, point{198, 92}, point{198, 112}, point{190, 128}), curve(point{190, 128}, point{196, 140}, point{200, 160}, point{198, 210}), []point{{194, 214}})
	if variant == 1 {
		body = []point{{122, 214}, {122, 82}, {134, 68}, {186, 68}, {198, 82}, {198, 214}}
	}
	c.polygon(paint, body...)
	c.line(shade(paint, 1.6), 6, point{134, 196}, point{134, 150})
	c.polygon(shade(paint, 1.75), point{123, 156}, point{197, 156}, point{198, 186}, point{122, 186})
	drawMountain(c, paint, point{160, 184}, 22)
	c.polygon(shade(paint, 0.55), point{132, 76}, point{134, 54}, point{186, 54}, point{188, 76})
	if variant == 1 {
		c.ring(darkSteel, point{160, 44}, 12, 5)
		return
	}
	c.polygon(color.RGBA{230, 232, 236, 255}, point{148, 54}, point{152, 34}, point{168, 34}, point{172, 54})
	c.line(color.RGBA{230, 232, 236, 255}, 8, point{150, 32}, point{170, 32})
}

// drawMountain draws the maker's sign, two peaks.
func drawMountain(c *canvas, col color.RGBA, base point, size float64) {
	c.polygon(col, point{base.x - size, base.y}, point{base.x - size*0.3, base.y - size}, point{base.x + size*0.3, base.y})
	c.polygon(shade(col, 0.8), point{base.x - size*0.2, base.y}, point{base.x + size*0.4, base.y - size*0.7}, point{base.x + size, base.y})
}

func drawCage(c *canvas, paint color.RGBA) {
	c.line(paint, 8, point{118, 60}, point{118, 206})
	c.line(paint, 8, curve(point{118, 206}, point{140, 214}, point{180, 214}, point{204, 204})...)
	c.line(paint, 7, curve(point{118, 96}, point{150, 70}, point{200, 76}, point{212, 112})...)
	c.line(paint, 7, curve(point{212, 112}, point{216, 130}, point{180, 140}, point{118, 132})...)
	c.line(paint, 7, curve(point{212, 112}, point{208, 150}, point{206, 180}, point{204, 204})...)
	c.disc(tireBlack, point{118, 108}, 4)
	c.disc(tireBlack, point{118, 168}, 4)
}

func drawLock(c *canvas, variant int, paint color.RGBA) {
	if variant == 1 { // a padlock
		c.line(steel, 16, join([]point{{122, 116}, {122, 84}}, curve(point{122, 84}, point{122, 36}, point{198, 36}, point{198, 84}), []point{{198, 116}})...)
		c.polygon(paint, point{98, 112}, point{222, 112}, point{226, 118}, point{226, 206}, point{220, 212}, point{100, 212}, point{94, 206}, point{94, 118})
		c.polygon(shade(paint, 1.5), point{98, 114}, point{222, 114}, point{222, 122}, point{98, 122})
	} else {
		c.line(shade(paint, 0.9), 17, join([]point{{108, 176}, {108, 90}}, curve(point{108, 90}, point{108, 18}, point{212, 18}, point{212, 90}), []point{{212, 176}})...)
		c.line(shade(paint, 1.4), 4, join([]point{{104, 170}, {104, 90}}, curve(point{104, 90}, point{106, 50}, point{130, 36}, point{150, 34}))...)
		c.line(darkSteel, 32, point{84, 184}, point{236, 184})
		c.line(paint, 20, point{88, 184}, point{232, 184})
	}
	y := 156.0 + 28*float64(1-variant)
	c.disc(steel, point{160, y}, 9)
	c.disc(tireBlack, point{160, y - 2}, 3.5)
	c.polygon(tireBlack, bar(point{160, y - 1}, point{160, y + 7}, 3, 4)...)
}

func drawPump(c *canvas, variant int, paint color.RGBA) {
	if variant == 1 {
		c.line(shade(paint, 0.9), 26, point{70, 158}, point{200, 98})
		c.line(steel, 14, point{200, 98}, point{240, 80})
		c.line(tireBlack, 24, point{240, 80}, point{262, 70})
		c.line(tireBlack, 30, point{62, 162}, point{78, 154})
		return
	}
	c.line(steel, 7, point{150, 44}, point{150, 100})
	c.line(tireBlack, 15, point{108, 40}, point{192, 40})
	c.polygon(paint, point{134, 84}, point{166, 84}, point{166, 200}, point{134, 200})
	c.line(shade(paint, 1.6), 4, point{140, 90}, point{140, 196})
	c.line(darkSteel, 12, point{96, 206}, point{204, 206})
	c.disc(darkSteel, point{150, 190}, 22)
	c.disc(color.RGBA{250, 250, 250, 255}, point{150, 190}, 17)
	c.line(color.RGBA{214, 50, 44, 255}, 3, point{150, 190}, point{160, 180})
	c.line(tireBlack, 5, join(curve(point{166, 194}, point{230, 180}, point{226, 90}, point{204, 76}), curve(point{204, 76}, point{190, 70}, point{186, 84}, point{196, 104}))...)
	c.line(steel, 9, point{194, 100}, point{200, 116})
}

func drawLight(c *canvas, variant int) {
	if variant == 0 {
		glow := color.RGBA{60, 56, 30, 60}
		c.polygon(glow, point{226, 90}, point{316, 44}, point{316, 206}, point{226, 158})
		c.polygon(tireBlack, join([]point{{86, 98}, {176, 88}}, curve(point{176, 88}, point{200, 84}, point{222, 80}, point{226, 84}), []point{{226, 164}}, curve(point{226, 164}, point{200, 166}, point{190, 162}, point{176, 160}), []point{{86, 150}})...)
		c.oval(steel, point{226, 124}, 13, 40)
		c.oval(color.RGBA{255, 244, 190, 255}, point{228, 124}, 9, 34)
		c.oval(color.RGBA{255, 255, 255, 255}, point{230, 124}, 4, 16)
		c.polygon(darkSteel, point{112, 150}, point{150, 154}, point{144, 186}, point{116, 186})
		c.line(darkSteel, 12, point{98, 190}, point{164, 190})
		c.disc(color.RGBA{90, 220, 120, 255}, point{112, 112}, 4)
		return
	}
	red := color.RGBA{214, 34, 40, 255}
	c.polygon(tireBlack, join(curve(point{112, 60}, point{112, 34}, point{208, 34}, point{208, 60}), curve(point{208, 190}, point{208, 216}, point{112, 216}, point{112, 190}))...)
	c.polygon(red, join(curve(point{122, 66}, point{122, 46}, point{198, 46}, point{198, 66}), curve(point{198, 184}, point{198, 204}, point{122, 204}, point{122, 184}))...)
	for i := range 5 {
		at := point{160, 72 + 27*float64(i)}
		c.disc(shade(red, 1.4), at, 11)
		c.disc(color.RGBA{255, 226, 220, 255}, at, 5)
	}
}

func drawPannier(c *canvas, variant int, paint color.RGBA) {
	w := 56.0 + 16*float64(variant)
	left, right := 160-w, 160+w
	c.line(tireBlack, 7, curve(point{140, 46}, point{146, 26}, point{174, 26}, point{180, 46})...)
	c.line(tireBlack, 9, point{left + 16, 44}, point{left + 16, 58})
	c.line(tireBlack, 9, point{right - 16, 44}, point{right - 16, 58})
	c.polygon(paint, join(curve(point{left, 70}, point{left, 50}, point{left + 6, 48}, point{left + 18, 48}), curve(point{right - 18, 48}, point{right - 6, 48}, point{right, 50}, point{right, 70}),
		curve(point{right - 6, 200}, point{right - 8, 214}, point{right - 14, 214}, point{right - 22, 214}), curve(point{left + 22, 214}, point{left + 14, 214}, point{left + 8, 214}, point{left + 6, 200}))...)
	c.polygon(shade(paint, 0.78), point{left, 64}, point{right, 64}, point{right - 2, 110}, point{left + 2, 110})
	for _, x := range []float64{left + 26, right - 26} {
		c.line(tireBlack, 7, point{x, 50}, point{x, 148})
		c.polygon(steel, point{x - 7, 112}, point{x + 7, 112}, point{x + 7, 128}, point{x - 7, 128})
	}
	c.line(color.RGBA{236, 240, 244, 255}, 7, point{left + 18, 182}, point{right - 18, 182})
	drawMountain(c, shade(paint, 1.7), point{160, 168}, 20)
}

func drawTire(c *canvas, variant int, size float64) {
	center, r, width := point{160, 122}, 74.0+10*size, 12.0+10*float64(variant)
	knobs := 40
	for i := range knobs {
		a := 2 * math.Pi * float64(i) / float64(knobs)
		at := func(r float64) point { return point{center.x + r*math.Cos(a), center.y + r*math.Sin(a)} }
		if variant == 1 {
			c.line(tireBlack, 6, at(r), at(r+width/2+3))
		}
	}
	c.ring(tireBlack, center, r, width)
	c.ring(color.RGBA{78, 78, 84, 255}, center, r-width/4, 2)
	if variant == 0 {
		c.ring(color.RGBA{196, 156, 100, 255}, center, r-width/2+1, 5)
	}
	for i := range knobs {
		a := 2*math.Pi*float64(i)/float64(knobs) + 0.05
		c.line(color.RGBA{84, 84, 90, 255}, 1.4, point{center.x + r*math.Cos(a), center.y + r*math.Sin(a)},
			point{center.x + (r+width/2-2)*math.Cos(a+0.03), center.y + (r+width/2-2)*math.Sin(a+0.03)})
	}
}

func drawBell(c *canvas, paint color.RGBA) {
	c.polygon(darkSteel, point{140, 170}, point{180, 170}, point{176, 196}, point{144, 196})
	c.line(darkSteel, 14, point{112, 202}, point{208, 202})
	c.polygon(paint, join(curve(point{84, 162}, point{84, 60}, point{236, 60}, point{236, 162}), curve(point{236, 162}, point{210, 176}, point{110, 176}, point{84, 162}))...)
	c.polygon(shade(paint, 0.7), join(curve(point{84, 158}, point{110, 172}, point{210, 172}, point{236, 158}), curve(point{236, 164}, point{210, 180}, point{110, 180}, point{84, 164}))...)
	c.line(shade(paint, 1.7), 7, curve(point{104, 136}, point{108, 112}, point{120, 100}, point{134, 94})...)
	c.disc(steel, point{160, 84}, 9)
	c.line(steel, 6, point{216, 178}, point{256, 160})
	c.disc(darkSteel, point{258, 158}, 9)
}
