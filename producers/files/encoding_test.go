package files

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestDetect(t *testing.T) {
	for name, c := range map[string]struct {
		declared string
		head     string
		want     charset
		skip     int
	}{
		"ASCII":                      {"auto", "id,title\n", utf8Text, 0},
		"nothing":                    {"auto", "", utf8Text, 0},
		"UTF-8":                      {"auto", "é", utf8Text, 0},
		"UTF-8 cut in a letter":      {"auto", "abc\xe2\x82", utf8Text, 0},
		"UTF-8 with a broken row":    {"auto", "é\n\xff\n", utf8Text, 0},
		"BOM":                        {"auto", "\xef\xbb\xbfa", utf8Text, 3},
		"BOM of declared UTF-8":      {"utf-8", "\xef\xbb\xbfa", utf8Text, 3},
		"declared UTF-8 is believed": {"utf-8", "caf\xe9", utf8Text, 0},
		"UTF-16 little":              {"auto", "\xff\xfea\x00", utf16LE, 2},
		"UTF-16 big":                 {"auto", "\xfe\xff\x00a", utf16BE, 2},
		"UTF-16 without a mark":      {"auto", "a\x00b\x00", utf16LE, 0},
		"UTF-16 big without a mark":  {"utf-16", "\x00a\x00b", utf16BE, 0},
		"Windows-1252":               {"auto", "caf\xe9 \x80", windows1252, 0},
		"declared Latin-1":           {"latin-1", "\xef\xbb\xbf", latin1, 0},
	} {
		if got, skip := detect(c.declared, []byte(c.head)); got != c.want || skip != c.skip {
			t.Errorf("%s: %v with %d bytes of mark, want %v with %d", name, got, skip, c.want, c.skip)
		}
	}
}

// FuzzCharset checks that every text goes back to the bytes it was, whatever they are and however they are cut.
func FuzzCharset(f *testing.F) {
	f.Add([]byte("caf\xe9 \x80\x81"), byte(windows1252))
	f.Add([]byte{0x3d, 0xd8, 0xb2, 0xde, 0x00, 0xd8, 'x'}, byte(utf16LE))
	f.Add([]byte{0xdc, 0x00, 0xd8, 0x00}, byte(utf16BE))
	f.Fuzz(func(t *testing.T, b []byte, which byte) {
		c := charset(which % byte(len(charsetNames)))
		text, err := io.ReadAll(newDecoder(iotest.OneByteReader(bytes.NewReader(b)), c))
		if err != nil {
			t.Fatal(err)
		}
		whole, n := c.appendUTF8(nil, b, true)
		if n != len(b) || !bytes.Equal(whole, text) {
			t.Fatalf("%v: in one piece %q, byte by byte %q", c, whole, text)
		}
		if back := c.appendOriginal(nil, text); !bytes.Equal(back, b) {
			t.Fatalf("%v: %q became %q and went back to %q", c, b, text, back)
		}
		if c == latin1 && !utf8.Valid(text) {
			t.Fatalf("latin-1 has no byte that is not text, but %q became %q", b, text)
		}
	})
}
