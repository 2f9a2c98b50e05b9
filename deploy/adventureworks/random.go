package adventureworks

import (
	"encoding/hex"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"
)

// dice is a seeded source of everything random. Each part of the sample has its own, so that parts can be generated in any order and
// at the same time, and still come out the same for the same seed.
type dice struct {
	*rand.Rand
	pcg *rand.PCG
}

func newDice(seed uint64, part string) dice {
	h := fnv.New64a()
	h.Write([]byte(part)) // never fails
	pcg := rand.NewPCG(seed, h.Sum64())
	return dice{rand.New(pcg), pcg}
}

// reseed makes d the dice of item n of a part, so that an item's values do not depend on those before it.
func (d dice) reseed(seed, n uint64) { d.pcg.Seed(seed, n*0x9e3779b97f4a7c15+1) }

// between is a number from low to high, both included.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }

// appendUUID appends a random (version 4) UUID.
func (d dice) appendUUID(dst []byte) []byte {
	var b [16]byte
	for i, v := range [2]uint64{d.Uint64(), d.Uint64()} {
		for j := range 8 {
			b[8*i+j] = byte(v >> (8 * j))
		}
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	dst = hex.AppendEncode(dst, b[:4])
	for _, cut := range [...][2]int{{4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		dst = hex.AppendEncode(append(dst, '-'), b[cut[0]:cut[1]])
	}
	return dst
}

// The sample's calendar: sales from the start of 2023 to the end of October 2026.
var (
	calendarStart = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	calendarEnd   = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// moment is a time of the calendar, to the second.
func (d dice) moment() time.Time {
	return calendarStart.Add(time.Duration(d.Int64N(int64(calendarEnd.Sub(calendarStart)/time.Second))) * time.Second)
}

const timestampLayout = "2006-01-02 15:04:05"

// appendMoney appends an amount in cents as a decimal number with two digits.
func appendMoney(dst []byte, cents int64) []byte {
	dst = append(strconv.AppendInt(dst, cents/100, 10), '.')
	return append(dst, byte('0'+cents%100/10), byte('0'+cents%10))
}
