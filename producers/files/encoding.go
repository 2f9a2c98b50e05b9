package files

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// charset is a text encoding. Every conversion below is reversible: what is not text in the charset becomes bytes that are not UTF-8, so
// that the row which holds them is rejected and never shows a wrong letter, and restores to the bytes it was.
type charset uint8

const (
	utf8Text charset = iota
	utf16LE
	utf16BE
	windows1252
	latin1
)

var charsetNames = [...]string{"utf-8", "utf-16le", "utf-16be", "windows-1252", "latin-1"}

// String is the charset's usual name.
func (c charset) String() string { return charsetNames[c] }

// high1252 is the text of the bytes 0x80 to 0x9f in Windows-1252; 0 where it has none. (Unicode Consortium, CP1252.TXT)
var high1252 = [32]rune{
	0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
	0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
}

// headSize is how much of a stream decides about its encoding and its kind.
const headSize = 64 << 10

// detect chooses the charset of a stream by its first bytes, as far as declared leaves it open: "utf-8", "utf-16", "windows-1252", "latin-1" or "auto". skip
// is the length of the byte order mark. auto takes text in which not one letter is UTF-8 for Windows-1252.
func detect(declared string, head []byte) (c charset, skip int) {
	switch {
	case declared == "windows-1252":
		return windows1252, 0
	case declared == "latin-1":
		return latin1, 0
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}) && declared != "utf-16":
		return utf8Text, 3
	case declared == "utf-8":
		return utf8Text, 0
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return utf16LE, 2
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return utf16BE, 2
	}
	even, odd := zeros(head)
	if declared == "utf-16" || even+odd > len(head)/4 {
		if odd > even {
			return utf16LE, 0
		}
		return utf16BE, 0
	}
	if letters, broken := multibyte(head); broken > 0 && letters == 0 {
		return windows1252, 0
	}
	return utf8Text, 0
}

// multibyte counts the letters of several bytes in b and the bytes that are not UTF-8, save for a letter cut at b's end. Text that has both is UTF-8 with
// broken rows: to take it for another encoding would spoil every letter of it.
func multibyte(b []byte) (letters, broken int) {
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r != utf8.RuneError || size > 1:
			letters++
		case !utf8.FullRune(b[i:]):
			return letters, broken
		default:
			broken++
		}
		i += size
	}
	return letters, broken
}

func zeros(b []byte) (even, odd int) {
	for i, c := range b {
		if c == 0 {
			if i%2 == 0 {
				even++
			} else {
				odd++
			}
		}
	}
	return even, odd
}

// appendUTF8 appends the UTF-8 of b and returns how many bytes of b that took; final tells that nothing follows b.
func (c charset) appendUTF8(dst, b []byte, final bool) (out []byte, n int) {
	switch c {
	case utf16LE, utf16BE:
		return c.append16(dst, b, final)
	case windows1252, latin1:
		for _, x := range b {
			switch {
			case x < 0x80:
				dst = append(dst, x)
			case x >= 0xa0 || c == latin1:
				dst = utf8.AppendRune(dst, rune(x))
			case high1252[x-0x80] != 0:
				dst = utf8.AppendRune(dst, high1252[x-0x80])
			default:
				dst = append(dst, x) // alone it is not UTF-8
			}
		}
		return dst, len(b)
	}
	return append(dst, b...), len(b)
}

func (c charset) unit(b []byte) uint16 {
	if c == utf16LE {
		return uint16(b[0]) | uint16(b[1])<<8
	}
	return uint16(b[1]) | uint16(b[0])<<8
}

// append16 writes an unpaired surrogate as the three bytes that UTF-8 forbids for it, and an odd last byte as 0xff and the byte.
func (c charset) append16(dst, b []byte, final bool) (out []byte, n int) {
	for n+2 <= len(b) {
		u := rune(c.unit(b[n:]))
		if !utf16.IsSurrogate(u) {
			dst, n = utf8.AppendRune(dst, u), n+2
			continue
		}
		if n+4 > len(b) && !final {
			return dst, n
		}
		if n+4 <= len(b) {
			if r := utf16.DecodeRune(u, rune(c.unit(b[n+2:]))); r != utf8.RuneError {
				dst, n = utf8.AppendRune(dst, r), n+4
				continue
			}
		}
		dst, n = append(dst, byte(0xe0|u>>12), byte(0x80|u>>6&0x3f), byte(0x80|u&0x3f)), n+2
	}
	if final && n < len(b) {
		dst, n = append(dst, 0xff, b[n]), n+1
	}
	return dst, n
}

// appendOriginal undoes appendUTF8: it appends the bytes that text was read from.
func (c charset) appendOriginal(dst, text []byte) []byte {
	if c == utf8Text {
		return append(dst, text...)
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 {
			dst, size = c.appendInvalid(dst, text[i:])
		} else {
			dst = c.appendRune(dst, r)
		}
		i += size
	}
	return dst
}

func (c charset) appendInvalid(dst, text []byte) (out []byte, n int) {
	if c == windows1252 || c == latin1 {
		return append(dst, text[0]), 1
	}
	if text[0] == 0xff && len(text) > 1 {
		return append(dst, text[1]), 2
	}
	if len(text) < 3 {
		return append(dst, text...), len(text) // a raw cut short
	}
	u := uint16(text[0]&0x0f)<<12 | uint16(text[1]&0x3f)<<6 | uint16(text[2]&0x3f)
	return c.append16Unit(dst, u), 3
}

func (c charset) appendRune(dst []byte, r rune) []byte {
	switch c {
	case latin1:
		return append(dst, byte(r))
	case windows1252:
		if r >= 0x80 && (r < 0xa0 || r > 0xff) {
			for i, h := range high1252 {
				if h == r {
					return append(dst, byte(0x80+i))
				}
			}
		}
		return append(dst, byte(r))
	}
	if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
		return c.append16Unit(c.append16Unit(dst, uint16(r1)), uint16(r2))
	}
	return c.append16Unit(dst, uint16(r))
}

func (c charset) append16Unit(dst []byte, u uint16) []byte {
	if c == utf16LE {
		return append(dst, byte(u), byte(u>>8))
	}
	return append(dst, byte(u>>8), byte(u))
}

// decoder reads src in a charset as UTF-8.
type decoder struct {
	src     io.Reader
	charset charset
	in      []byte // read and not yet converted
	out     []byte // converted and not yet read
	err     error
}

// newDecoder returns a reader of src as UTF-8.
func newDecoder(src io.Reader, c charset) io.Reader {
	if c == utf8Text {
		return src
	}
	return &decoder{src: src, charset: c}
}

// Read implements io.Reader.
func (d *decoder) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		var chunk [16 << 10]byte
		n, err := d.src.Read(chunk[:])
		d.in = append(d.in, chunk[:n]...)
		if err != nil && err != io.EOF {
			err = fmt.Errorf("read %s text: %w", d.charset, err)
		}
		d.err = err
		out, used := d.charset.appendUTF8(d.out[:0:0], d.in, err != nil)
		d.out, d.in = out, append(d.in[:0], d.in[used:]...)
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}
