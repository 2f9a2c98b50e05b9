package files

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// imageInfo is what an image's first bytes say about it.
type imageInfo struct {
	mediaType     string
	width, height int // 0 when its format hides them too deep
	orientation   int // EXIF, 1 to 8; 0 when it has none
}

var errNotImage = errors.New("its content is not an image of a known kind (PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF, HEIC)")

// readImageInfo looks at an image's header alone: the pixels are never decoded, so a picture that would fill the memory does nothing.
func readImageInfo(b []byte) (imageInfo, error) {
	var info imageInfo
	var decode func(io.Reader) (image.Config, error)
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		info.mediaType, decode = "image/png", png.DecodeConfig
		info.orientation = exifOrientation(pngChunk(b, "eXIf"))
	case bytes.HasPrefix(b, []byte{0xff, 0xd8, 0xff}):
		info.mediaType, decode = "image/jpeg", jpeg.DecodeConfig
		info.orientation = exifOrientation(jpegExif(b))
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		info.mediaType, decode = "image/gif", gif.DecodeConfig
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		info.mediaType, decode = "image/webp", webp.DecodeConfig
		info.orientation = exifOrientation(riffChunk(b, "EXIF"))
	case len(b) >= 18 && string(b[:2]) == "BM" && binary.LittleEndian.Uint32(b[6:]) == 0:
		info.mediaType, decode = "image/bmp", bmp.DecodeConfig
	case bytes.HasPrefix(b, []byte("II*\x00")), bytes.HasPrefix(b, []byte("MM\x00*")):
		info.mediaType, decode = "image/tiff", tiff.DecodeConfig
		info.orientation = exifOrientation(b)
	case len(b) >= 12 && string(b[4:8]) == "ftyp":
		switch string(b[8:12]) {
		case "avif", "avis":
			return imageInfo{mediaType: "image/avif"}, nil
		case "heic", "heix", "mif1", "msf1", "hevc":
			return imageInfo{mediaType: "image/heic"}, nil
		}
		return info, errNotImage
	default:
		return info, errNotImage
	}
	config, err := decode(bytes.NewReader(b))
	if err != nil {
		return info, fmt.Errorf("its first bytes say %s, but its header cannot be read: %w", info.mediaType, err)
	}
	if config.Width <= 0 || config.Height <= 0 {
		return info, fmt.Errorf("its header says %s of %d by %d pixels", info.mediaType, config.Width, config.Height)
	}
	info.width, info.height = config.Width, config.Height
	return info, nil
}

// jpegExif returns the TIFF structure in a JPEG's APP1 segment. (Exif 2.32, 4.7.2)
func jpegExif(b []byte) []byte {
	for i := 2; i+4 <= len(b) && b[i] == 0xff; {
		marker, size := b[i+1], int(binary.BigEndian.Uint16(b[i+2:]))
		if marker == 0xda || marker == 0xd9 || size < 2 || i+2+size > len(b) {
			return nil
		}
		if body := b[i+4 : i+2+size]; marker == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			return body[6:]
		}
		i += 2 + size
	}
	return nil
}

func pngChunk(b []byte, name string) []byte {
	for i := 8; i+12 <= len(b); {
		size := int64(binary.BigEndian.Uint32(b[i:]))
		end := int64(i) + 12 + size
		if end > int64(len(b)) {
			return nil
		}
		if string(b[i+4:i+8]) == name {
			return b[i+8 : end-4]
		}
		i = int(end)
	}
	return nil
}

func riffChunk(b []byte, name string) []byte {
	for i := 12; i+8 <= len(b); {
		size := int64(binary.LittleEndian.Uint32(b[i+4:]))
		end := int64(i) + 8 + size
		if end > int64(len(b)) {
			return nil
		}
		if string(b[i:i+4]) == name {
			return bytes.TrimPrefix(b[i+8:end], []byte("Exif\x00\x00"))
		}
		i = int(end + size&1)
	}
	return nil
}

// exifOrientation reads tag 0x0112 of a TIFF structure's first directory; 0 when it is not there. (TIFF 6.0, section 2)
func exifOrientation(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(b[:2]) == "MM" {
		order = binary.BigEndian
	} else if string(b[:2]) != "II" {
		return 0
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < 12 {
			return 0
		}
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == 3 {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}
