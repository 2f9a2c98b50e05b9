package schemas

import (
	"math"
	"testing"
)

func nan() float64 { return math.NaN() }

func inf() float64 { return math.Inf(1) }

// decodeAll reads payloads of the writer's schema into fresh columns of the reader's.
func decodeAll(tb testing.TB, writer, reader *Schema, payloads ...[]byte) *Columns {
	tb.Helper()
	d, err := NewDecoder(writer, reader)
	if err != nil {
		tb.Fatal(err)
	}
	cols := NewColumns(reader)
	for _, p := range payloads {
		if err := d.Decode(p, cols); err != nil {
			tb.Fatal(err)
		}
	}
	return cols
}
