package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Digest sums up a set of rows whatever their order: the 128-bit sum of the rows' hashes. Two sets of rows are
// equal, with overwhelming likelihood, when their counts and digests are. The zero value is the digest of no row.
type Digest struct{ Hi, Lo uint64 }

// Add adds one row by its canonical bytes.
func (d *Digest) Add(row []byte) {
	h := xxhash.Sum64(row)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], h)
	var second xxhash.Digest // of h and the row
	second.Reset()
	_, _ = second.Write(b[:]) // it never fails
	_, _ = second.Write(row)
	var carry uint64
	d.Lo, carry = bits.Add64(d.Lo, h, 0)
	d.Hi, _ = bits.Add64(d.Hi, second.Sum64(), carry)
}

// Sum adds the rows of another digest.
func (d *Digest) Sum(o Digest) {
	var carry uint64
	d.Lo, carry = bits.Add64(d.Lo, o.Lo, 0)
	d.Hi, _ = bits.Add64(d.Hi, o.Hi, carry)
}

// String is the digest as 32 hexadecimal digits.
func (d Digest) String() string { return fmt.Sprintf("%016x%016x", d.Hi, d.Lo) }

// ParseDigest undoes String.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	if len(text) != 32 {
		return d, fmt.Errorf("digest %q: 32 hexadecimal digits are expected", text)
	}
	var err1, err2 error
	d.Hi, err1 = strconv.ParseUint(text[:16], 16, 64)
	d.Lo, err2 = strconv.ParseUint(text[16:], 16, 64)
	if err := errors.Join(err1, err2); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", text, err)
	}
	return d, nil
}
