package files

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/gif"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// exif is a TIFF structure that holds an orientation alone.
func exif(order binary.AppendByteOrder, mark string, orientation uint16) []byte {
	b := order.AppendUint16([]byte(mark), 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, 0x0112)
	b = order.AppendUint16(b, 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, orientation)
	return append(b, 0, 0, 0, 0, 0, 0)
}

func withJPEGExif(orientation uint16) []byte {
	body := append([]byte("Exif\x00\x00"), exif(binary.BigEndian, "MM", orientation)...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
	j := jpegImage(4, 5)
	return append(append(append(j[:2:2], segment...), body...), j[2:]...)
}

func withPNGExif(orientation uint16) []byte {
	body := exif(binary.LittleEndian, "II", orientation)
	chunk := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), "eXIf"...)
	chunk = append(append(chunk, body...), 0, 0, 0, 0)
	p := pngImage(4, 5)
	return append(append(p[:33:33], chunk...), p[33:]...)
}

// webpHead is the head of a WebP file of 4 by 5 pixels in the extended form, with an EXIF chunk.
func webpHead(orientation uint16) []byte {
	e := exif(binary.LittleEndian, "II", orientation)
	b := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8X"), 10, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 4, 0, 0)
	b = append(append(b, "EXIF"...), binary.LittleEndian.AppendUint32(nil, uint32(len(e)))...)
	b = append(b, e...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

func encoded(t *testing.T, encode func(*bytes.Buffer, image.Image) error) []byte {
	var b bytes.Buffer
	if err := encode(&b, image.NewPaletted(image.Rect(0, 0, 4, 5), gifPalette())); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImageInfo(t *testing.T) {
	for name, c := range map[string]struct {
		content []byte
		want    imageInfo
	}{
		"png":              {pngImage(4, 5), imageInfo{"image/png", 4, 5, 0}},
		"png with exif":    {withPNGExif(6), imageInfo{"image/png", 4, 5, 6}},
		"jpeg":             {jpegImage(4, 5), imageInfo{"image/jpeg", 4, 5, 0}},
		"jpeg with exif":   {withJPEGExif(8), imageInfo{"image/jpeg", 4, 5, 8}},
		"exif out of form": {withJPEGExif(9), imageInfo{"image/jpeg", 4, 5, 0}},
		"webp with exif":   {webpHead(3), imageInfo{"image/webp", 4, 5, 3}},
		"gif":              {encoded(t, func(b *bytes.Buffer, i image.Image) error { return gif.Encode(b, i, nil) }), imageInfo{"image/gif", 4, 5, 0}},
		"bmp":              {encoded(t, func(b *bytes.Buffer, i image.Image) error { return bmp.Encode(b, i) }), imageInfo{"image/bmp", 4, 5, 0}},
		"tiff":             {encoded(t, func(b *bytes.Buffer, i image.Image) error { return tiff.Encode(b, i, nil) }), imageInfo{"image/tiff", 4, 5, 0}},
		"avif":             {[]byte("\x00\x00\x00\x1cftypavif\x00\x00"), imageInfo{"image/avif", 0, 0, 0}},
	} {
		got, err := readImageInfo(c.content)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	for _, content := range []string{"", "GIF8", "<svg/>", "\x00\x00\x00\x1cftypmp42", "BM and then text"} {
		if got, err := readImageInfo([]byte(content)); !errors.Is(err, errNotImage) {
			t.Errorf("%q: %+v, %v", content, got, err)
		}
	}
	if got, err := readImageInfo(pngImage(4, 5)[:20]); err == nil {
		t.Errorf("half a header: %+v", got)
	}
}

// TestImageBomb has a PNG that says it is 60,000 by 60,000 pixels: its header is all that is read.
func TestImageBomb(t *testing.T) {
	b := pngImage(1, 1)
	binary.BigEndian.PutUint32(b[16:], 60_000)
	binary.BigEndian.PutUint32(b[20:], 60_000)
	binary.BigEndian.PutUint32(b[29:], pngChecksum(b[12:29]))
	if allocated := testing.AllocsPerRun(10, func() { readImageInfo(b) }); allocated > 50 {
		t.Errorf("%v allocations", allocated)
	}
	if info, err := readImageInfo(b); err != nil || info.width != 60_000 {
		t.Errorf("%+v, %v", info, err)
	}
}

func FuzzImageInfo(f *testing.F) {
	for _, b := range [][]byte{withPNGExif(6), withJPEGExif(6), webpHead(6), exif(binary.LittleEndian, "II", 6)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if info, err := readImageInfo(b); err == nil && (info.mediaType == "" || info.orientation < 0 || info.orientation > 8) {
			t.Fatalf("%+v", info)
		}
	})
}
