package adventureworks

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"

	"github.com/HugoSmits86/nativewebp"
)

var paints = map[string]color.RGBA{
	"Red": {204, 44, 44, 255}, "Black": {48, 48, 54, 255}, "Orange": {236, 124, 36, 255}, "Green": {44, 134, 84, 255}, "Blue": {36, 98, 184, 255},
	"Yellow": {238, 192, 40, 255}, "White": {236, 236, 232, 255}, "Pink": {230, 112, 154, 255}, "Grey": {120, 126, 134, 255}, "Silver": {178, 184, 192, 255},
}

// walls are the backgrounds of the pictures; every product has one of them.
var walls = []color.RGBA{{222, 230, 236, 255}, {236, 230, 220, 255}, {224, 234, 224, 255}, {232, 226, 236, 255}, {226, 226, 230, 255}}

// drawProduct draws an article in a colour before a wall. size is its place among the line's sizes, from 0 to 1.
func drawProduct(l *line, variant int, colorName string, size float64, wall int, width int) image.Image {
	c := newCanvas(width)
	background := walls[wall%len(walls)]
	c.cover(background, 0)
	c.cover(shade(background, 0.9), 178)
	c.oval(shade(background, 0.78), point{160, 212}, 120, 11)
	paint := paints[colorName]
	switch l.category {
	case 0:
		drawBicycle(c, bicycleOf(l.code, variant), paint, size)
	case 1:
		drawComponent(c, l.code, variant, paint, size)
	case 2:
		drawClothing(c, l.code, variant, paint, size)
	default:
		drawAccessory(c, l.code, variant, paint, size)
	}
	return c.image
}

// drawNoImage draws the sign that stands for a picture that was never taken: an empty frame, crossed out.
func drawNoImage(width int) image.Image {
	c := newCanvas(width)
	pale, grey := color.RGBA{244, 244, 244, 255}, color.RGBA{170, 170, 170, 255}
	c.cover(pale, 0)
	c.line(grey, 5, point{100, 70}, point{220, 70}, point{220, 170}, point{100, 170}, point{100, 70})
	c.disc(grey, point{130, 98}, 10)
	c.polygon(grey, point{108, 164}, point{146, 120}, point{168, 146}, point{186, 128}, point{214, 164})
	c.line(color.RGBA{200, 80, 80, 255}, 6, point{88, 184}, point{232, 56})
	return c.image
}

// sizeOf is the place of a size among the line's, from 0 to 1.
func sizeOf(l *line, size string) float64 {
	i := slices.Index(l.sizes, size)
	if i <= 0 {
		return 0
	}
	return float64(i) / float64(len(l.sizes)-1)
}

// encodePicture encodes a picture as png, jpg or webp.
func encodePicture(m image.Image, format string) ([]byte, error) {
	var b bytes.Buffer
	var err error
	switch format {
	case "png":
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m)
	case "jpg":
		err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 80})
	case "webp":
		err = nativewebp.Encode(&b, m, nil)
	default:
		err = fmt.Errorf("unknown format %q", format)
	}
	if err != nil {
		return nil, fmt.Errorf("encode picture as %s: %w", format, err)
	}
	return b.Bytes(), nil
}
