package adventureworks

import (
	"image/color"
	"math"
)

// drawClothing draws what a cyclist wears, laid flat; size goes from 0 (small) to 1.
func drawClothing(c *canvas, code string, variant int, paint color.RGBA, size float64) {
	center, grow := point{160, 124}, 0.86+0.14*size
	dark, light := shade(paint, 0.75), shade(paint, 1.55)
	shape := func(col color.RGBA, outline []point) {
		c.polygon(col, zoom(outline, center, grow)...)
	}
	stroke := func(col color.RGBA, width float64, through []point) {
		c.line(col, width*grow, zoom(through, center, grow)...)
	}
	both := func(draw func([]point), outline []point) {
		draw(outline)
		draw(mirror(outline, center.x))
	}
	switch code {
	case "WJ":
		reach := point{64, 118}
		cuff := point{88, 132}
		if variant == 1 {
			reach, cuff = point{52, 184}, point{76, 188}
		}
		both(func(o []point) { shape(dark, o) }, []point{{124, 40}, {96, 54}, reach, cuff, {112, 100}})
		shape(paint, join(curve(point{126, 38}, point{140, 52}, point{180, 52}, point{194, 38}), []point{{224, 54}, {216, 110}, {212, 212}, {108, 212}, {104, 110}, {96, 54}}))
		shape(light, []point{{106, 118}, {214, 118}, {214, 138}, {106, 138}})
		stroke(shade(paint, 0.6), 2, []point{{160, 50}, {160, 118}})
		stroke(shade(paint, 0.55), 5, curve(point{126, 38}, point{140, 52}, point{180, 52}, point{194, 38}))
		for _, x := range []float64{108, 144, 180} {
			stroke(dark, 1.6, []point{{x, 176}, {x + 32, 176}})
		}
		stroke(dark, 4, []point{{110, 210}, {210, 210}})
	case "WS":
		if variant == 1 {
			both(func(o []point) { stroke(dark, 11, o) }, []point{{122, 92}, {130, 26}})
			shape(paint, []point{{112, 78}, {208, 78}, {212, 100}, {108, 100}})
		}
		shape(paint, []point{{108, 90}, {212, 90}, {232, 206}, {176, 210}, {160, 140}, {144, 210}, {88, 206}})
		stroke(dark, 7, []point{{110, 92}, {210, 92}})
		both(func(o []point) { stroke(shade(paint, 1.9), 4, o) }, []point{{92, 198}, {142, 202}})
		both(func(o []point) { stroke(light, 2.5, o) }, []point{{116, 100}, {102, 190}})
		stroke(light, 1.6, []point{{160, 98}, {160, 140}})
	case "WG":
		drawGlove(c, variant, paint, grow)
	case "WC":
		shape(paint, join(curve(point{66, 150}, point{66, 50}, point{230, 46}, point{240, 148}), []point{{66, 150}}))
		shape(dark, join(curve(point{66, 148}, point{30, 152}, point{24, 172}, point{48, 176}), curve(point{48, 176}, point{100, 166}, point{130, 160}, point{150, 152})))
		shape(light, []point{{66, 136}, {240, 134}, {240, 150}, {66, 152}})
		stroke(dark, 2, curve(point{150, 74}, point{130, 90}, point{124, 110}, point{124, 136}))
		stroke(dark, 2, curve(point{152, 74}, point{180, 88}, point{192, 110}, point{196, 136}))
		c.disc(dark, point{150, 74}, 5)
	case "WK":
		drawSock(c, point{-34, -6}, variant, shade(paint, 0.9), grow)
		drawSock(c, point{26, 4}, variant, paint, grow)
	case "WV":
		shape(paint, join(curve(point{128, 38}, point{140, 62}, point{180, 62}, point{192, 38}), []point{{218, 52}}, curve(point{218, 52}, point{196, 90}, point{206, 110}, point{214, 120}),
			[]point{{212, 212}, {108, 212}, {106, 120}}, curve(point{106, 120}, point{114, 110}, point{124, 90}, point{102, 52})))
		silver := color.RGBA{232, 236, 240, 255}
		shape(silver, []point{{107, 146}, {213, 146}, {213, 162}, {107, 162}})
		both(func(o []point) { shape(silver, o) }, []point{{124, 46}, {136, 54}, {136, 146}, {124, 146}})
		stroke(dark, 3, []point{{160, 56}, {160, 211}})
	}
}

func drawGlove(c *canvas, variant int, paint color.RGBA, grow float64) {
	center := point{160, 124}
	finger := func(col color.RGBA, width float64, a, b point) {
		o := zoom([]point{a, b}, center, grow)
		c.line(col, width*grow, o...)
	}
	length := 34.0 // fingerless
	if variant == 1 {
		length = 70
	}
	skin := shade(paint, 0.7)
	for i, angle := range []float64{-0.22, -0.07, 0.07, 0.24} {
		root := point{122 + 25*float64(i), 100}
		l := length * []float64{0.9, 1.05, 1, 0.8}[i]
		finger(skin, 25, root, point{root.x + l*math.Sin(angle), root.y - l*math.Cos(angle)})
		finger(paint, 22, root, point{root.x + (l-4)*math.Sin(angle), root.y - (l-4)*math.Cos(angle)})
	}
	finger(skin, 29, point{112, 150}, point{112 - 0.75*length, 150 - 0.62*length})
	finger(paint, 25, point{116, 150}, point{112 - 0.66*length, 150 - 0.55*length})
	c.polygon(paint, zoom([]point{{109, 96}, {211, 96}, {212, 150}, {202, 190}, {118, 190}, {100, 150}}, center, grow)...)
	c.polygon(skin, zoom([]point{{116, 186}, {204, 186}, {206, 212}, {114, 212}}, center, grow)...)
	for i := range 3 {
		x := 136 + 24*float64(i)
		c.oval(shade(paint, 1.5), zoom([]point{{x, 140}}, center, grow)[0], 9*grow, 13*grow)
	}
	finger(shade(paint, 1.8), 6, point{150, 199}, point{196, 199})
}

func drawSock(c *canvas, by point, variant int, paint color.RGBA, grow float64) {
	center := point{160, 124}
	shift := func(o []point) []point {
		out := make([]point, len(o))
		for i, q := range o {
			out[i] = point{q.x + by.x, q.y + by.y}
		}
		return zoom(out, center, grow)
	}
	c.polygon(paint, shift(join([]point{{118, 40}, {162, 40}, {164, 140}},
		curve(point{164, 140}, point{180, 156}, point{226, 160}, point{232, 178}), curve(point{232, 178}, point{234, 202}, point{200, 202}, point{176, 202}),
		curve(point{176, 202}, point{140, 204}, point{116, 190}, point{118, 150})))...)
	c.polygon(shade(paint, 0.78), shift(join(curve(point{210, 166}, point{236, 170}, point{242, 202}, point{204, 202})))...)
	c.polygon(shade(paint, 0.78), shift(join(curve(point{118, 150}, point{116, 180}, point{128, 196}, point{150, 201}), []point{{144, 168}}))...)
	bands := 2 + 3*variant
	for i := range bands {
		y := 46 + 12*float64(i)
		c.line(color.RGBA{210, 70, 60, 255}, 4*grow, shift([]point{{120, y}, {160, y}})...)
	}
}
