package schemas

import (
	"encoding/hex"
	"fmt"
)

// AppendUUIDText appends a UUID as an Avro string in its usual form, lower case with hyphens. The text has 32 hexadecimal digits in either case, with all four
// hyphens or none.
func AppendUUIDText(dst, text []byte) ([]byte, error) {
	id, err := parseUUID(text)
	if err != nil {
		return dst, err
	}
	return AppendUUID(dst, id), nil
}

// AppendUUID appends the 16 bytes of a UUID as an Avro string in its usual form.
func AppendUUID(dst []byte, id [16]byte) []byte {
	dst = append(dst, 72) // the length 36 as a zigzag varint
	return appendUUIDForm(dst, id)
}

func appendUUIDForm(dst []byte, id [16]byte) []byte {
	dst = append(hex.AppendEncode(dst, id[:4]), '-')
	dst = append(hex.AppendEncode(dst, id[4:6]), '-')
	dst = append(hex.AppendEncode(dst, id[6:8]), '-')
	dst = append(hex.AppendEncode(dst, id[8:10]), '-')
	return hex.AppendEncode(dst, id[10:])
}

func appendUUIDFixedText(dst, text []byte) ([]byte, error) {
	id, err := parseUUID(text)
	if err != nil {
		return dst, err
	}
	return append(dst, id[:]...), nil
}

func parseUUID(text []byte) (id [16]byte, err error) {
	var digits [32]byte
	n := 0
	for i, c := range text {
		if c == '-' && len(text) == 36 && (i == 8 || i == 13 || i == 18 || i == 23) {
			continue
		}
		if n == len(digits) {
			n++
			break
		}
		digits[n] = c
		n++
	}
	if n != len(digits) {
		return id, fmt.Errorf("%s is not a uuid", excerpt(text))
	}
	if _, err := hex.Decode(id[:], digits[:]); err != nil {
		return id, fmt.Errorf("%s is not a uuid", excerpt(text))
	}
	return id, nil
}
