package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// pow10 holds the powers of ten that fit in an int64.
var pow10 = [...]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// AppendDecimalText appends the decimal that text spells, as Avro bytes: the length and the unscaled value in the fewest two's complement bytes,
// big endian. The text may have a sign, leading zeros and an exponent (-0012.50, +1.5e3). Nothing is rounded: a digit other than zero
// past the scale is an error, as are more digits than the precision.
func AppendDecimalText(dst, text []byte, precision, scale int) ([]byte, error) {
	small, large, err := parseDecimal(text, precision, scale)
	if err != nil {
		return dst, err
	}
	if large != nil {
		return AppendDecimalBig(dst, large), nil
	}
	return AppendDecimalInt64(dst, small), nil
}

// AppendDecimalInt64 appends an unscaled value as an Avro decimal of type bytes.
func AppendDecimalInt64(dst []byte, unscaled int64) []byte {
	n := 1
	for v := unscaled >> 7; v != 0 && v != -1; v >>= 8 {
		n++
	}
	dst = binary.AppendVarint(dst, int64(n))
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(unscaled>>(8*i)))
	}
	return dst
}

// AppendDecimalBig appends an unscaled value as an Avro decimal of type bytes.
func AppendDecimalBig(dst []byte, unscaled *big.Int) []byte {
	size := minimalSize(unscaled)
	dst = binary.AppendVarint(dst, int64(size))
	return appendTwosComplement(dst, unscaled, size)
}

// AppendDecimalBytes appends an unscaled value, given as two's complement bytes in big endian order, as an Avro decimal of type bytes. Bytes that
// only repeat the sign are left out; no bytes at all are zero.
func AppendDecimalBytes(dst, unscaled []byte) []byte {
	if len(unscaled) == 0 {
		return append(dst, 2, 0)
	}
	return AppendBytes(dst, trimSign(unscaled))
}

// AppendDecimalFixed appends an unscaled value, given as two's complement bytes in big endian order, as an Avro decimal of type fixed(size).
// A value that needs more bytes is an error.
func AppendDecimalFixed(dst, unscaled []byte, size int) ([]byte, error) {
	unscaled = trimSign(unscaled)
	if len(unscaled) > size {
		return dst, fmt.Errorf("a decimal of %d bytes does not fit in fixed(%d)", len(unscaled), size)
	}
	fill := byte(0)
	if len(unscaled) > 0 && unscaled[0]&0x80 != 0 {
		fill = 0xff
	}
	for i := len(unscaled); i < size; i++ {
		dst = append(dst, fill)
	}
	return append(dst, unscaled...), nil
}

// appendDecimalTextFixed is AppendDecimalText for a decimal of type fixed(size).
func appendDecimalTextFixed(dst, text []byte, precision, scale, size int) ([]byte, error) {
	small, large, err := parseDecimal(text, precision, scale)
	if err != nil {
		return dst, err
	}
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(small))
	unscaled := buf[:]
	if large != nil {
		unscaled = appendTwosComplement(nil, large, minimalSize(large))
	}
	return AppendDecimalFixed(dst, unscaled, size)
}

// trimSign leaves out the leading bytes that only repeat the sign. One byte stays.
func trimSign(b []byte) []byte {
	for len(b) > 1 && (b[0] == 0 && b[1]&0x80 == 0 || b[0] == 0xff && b[1]&0x80 != 0) {
		b = b[1:]
	}
	return b
}

// minimalSize is the number of bytes of v in two's complement.
func minimalSize(v *big.Int) int {
	if v.Sign() >= 0 {
		return v.BitLen()/8 + 1
	}
	// -2^(8k-1) still fits in k bytes: its magnitude less one has 8k-1 bits.
	return new(big.Int).Not(v).BitLen()/8 + 1
}

func appendTwosComplement(dst []byte, v *big.Int, size int) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, size)...)
	if v.Sign() >= 0 {
		v.FillBytes(dst[at:])
		return dst
	}
	new(big.Int).Not(v).FillBytes(dst[at:])
	for i := at; i < len(dst); i++ {
		dst[i] = ^dst[i]
	}
	return dst
}

// bigFromBytes reads two's complement bytes in big endian order; no bytes are zero.
func bigFromBytes(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return v
}

var (
	errNotDecimal = errors.New("is not a decimal number")
	errNotFinite  = errors.New("is not finite: a decimal has no NaN and no Infinity")
)

// number is what scanDecimal finds: the digits are those of mantissa from its first one that is not zero on.
type number struct {
	negative bool
	mantissa []byte // digits and at most one point, without leading zeros
	digits   int    // digits in mantissa
	fraction int    // digits of the text after its point
	exponent int
}

// parseDecimal reads text as an unscaled value. large is nil when the value has at most 18 digits and is small.
func parseDecimal(text []byte, precision, scale int) (small int64, large *big.Int, err error) {
	n, err := scanDecimal(text)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %w", excerpt(text), err)
	}
	if n.digits == 0 {
		return 0, nil, nil
	}
	shift := n.exponent - n.fraction + scale
	keep := n.digits + shift // digits of the unscaled value
	if shift < 0 && !zeroTail(n.mantissa, -shift) {
		return 0, nil, fmt.Errorf("%s has more than %d digits after the point, the most that decimal(%d,%d) holds", excerpt(text), scale, precision, scale)
	}
	if keep > precision {
		return 0, nil, fmt.Errorf("%s has more than %d digits before the point, the most that decimal(%d,%d) holds", excerpt(text), precision-scale, precision, scale)
	}
	if keep > 18 {
		return 0, largeUnscaled(n, keep), nil
	}
	taken := 0
	for _, c := range n.mantissa {
		if c == '.' {
			continue
		}
		if taken == keep {
			break
		}
		small = small*10 + int64(c-'0')
		taken++
	}
	small *= pow10[keep-taken]
	if n.negative {
		small = -small
	}
	return small, nil, nil
}

func largeUnscaled(n number, keep int) *big.Int {
	digits := make([]byte, 0, keep)
	for _, c := range n.mantissa {
		if c != '.' && len(digits) < keep {
			digits = append(digits, c)
		}
	}
	for len(digits) < keep {
		digits = append(digits, '0')
	}
	v, _ := new(big.Int).SetString(string(digits), 10) // digits only: it cannot fail
	if n.negative {
		v.Neg(v)
	}
	return v
}

// zeroTail tells whether the last count digits of mantissa are zeros. It is false when mantissa has no more digits than that, since its first one
// is not zero.
func zeroTail(mantissa []byte, count int) bool {
	for i := len(mantissa) - 1; i >= 0 && count > 0; i-- {
		switch mantissa[i] {
		case '.':
		case '0':
			count--
		default:
			return false
		}
	}
	return count == 0
}

func scanDecimal(text []byte) (n number, err error) {
	i := 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		n.negative = text[i] == '-'
		i++
	}
	seen, point, first := 0, false, -1
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen++
		if point {
			n.fraction++
		}
		if c != '0' && first < 0 {
			first = i
		}
		if first >= 0 {
			n.digits++
		}
	}
	if first >= 0 {
		n.mantissa = text[first:i]
	}
	if seen == 0 {
		if notFinite(text) {
			return n, errNotFinite
		}
		return n, errNotDecimal
	}
	if i < len(text) {
		if n.exponent, err = scanExponent(text[i:]); err != nil {
			return n, err
		}
	}
	return n, nil
}

// scanExponent reads e, E, a sign and digits. An exponent past a million is cut to that: no decimal comes near.
func scanExponent(b []byte) (int, error) {
	if b[0] != 'e' && b[0] != 'E' {
		return 0, errNotDecimal
	}
	b = b[1:]
	sign := 1
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		if b[0] == '-' {
			sign = -1
		}
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, errNotDecimal
	}
	e := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errNotDecimal
		}
		e = min(e*10+int(c-'0'), 1e9)
	}
	return sign * e, nil
}

func notFinite(text []byte) bool {
	for len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		text = text[1:]
	}
	return equalFold(text, "nan") || equalFold(text, "infinity") || equalFold(text, "inf")
}
