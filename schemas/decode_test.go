package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

func newSchema(tb testing.TB, t *Type) *Schema {
	tb.Helper()
	s, err := New(t)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func parse(tb testing.TB, text string) *Schema {
	tb.Helper()
	s, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// roundTrip sends random values through goavro's encoder, our decoder and our encoder.
func roundTrip(t *testing.T, s *Schema, r random, rows int) {
	t.Helper()
	codec, err := goavro.NewCodec(s.String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDecoder(s, s)
	if err != nil {
		t.Fatal(err)
	}
	e, cols := NewEncoder(s), NewColumns(s)
	var payloads [][]byte
	for i := range rows {
		payload, err := codec.BinaryFromNative(nil, r.value(s.Root))
		if err != nil {
			t.Fatalf("%s: goavro: %v", s, err)
		}
		if err := d.Decode(payload, cols); err != nil {
			t.Fatalf("%s: row %d, %x: %v", s, i, payload, err)
		}
		payloads = append(payloads, payload)
	}
	if err := cols.SetLen(rows); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	copied := NewColumns(s)
	for i, payload := range payloads {
		want, _, err := codec.NativeFromBinary(payload)
		if err != nil {
			t.Fatal(err)
		}
		if got := native(cols.Root, i); show(got) != show(want) {
			t.Fatalf("%s: row %d is\n%s, goavro\n%s", s, i, show(got), show(want))
		}
		copied.AppendFrom(cols, i)
		for name, from := range map[string]*Columns{"decoded": cols, "copied": copied} {
			if got, err := e.Append([]byte("head"), from, i); err != nil || !bytes.Equal(got, append([]byte("head"), payload...)) {
				t.Fatalf("%s: %s row %d encoded\n%x, %v, goavro\n%x", s, name, i, got, err, payload)
			}
		}
		checkHostile(t, d, cols, payload, r)
	}
}

// checkHostile spoils a payload; whatever happens, the rows that are there must stay.
func checkHostile(t *testing.T, d *Decoder, cols *Columns, payload []byte, r random) {
	t.Helper()
	if len(payload) == 0 {
		return
	}
	rows, before := cols.Len(), fingerprint(cols)
	if err := d.Decode(payload[:r.IntN(len(payload))], cols); err == nil {
		cols.Truncate(rows) // a shorter text of the same start may be a value too, if only an empty one
	}
	if err := d.Decode(append(slices.Clone(payload), 0), cols); err == nil {
		t.Fatalf("%s: a byte too many was accepted", d.reader)
	}
	spoiled := slices.Clone(payload)
	spoiled[r.IntN(len(spoiled))] ^= byte(1 << r.IntN(8))
	if d.Decode(spoiled, cols) == nil {
		cols.Truncate(rows)
	}
	if after := fingerprint(cols); after != before {
		t.Fatalf("%s: an error changed the columns from\n%s to\n%s", d.reader, before, after)
	}
}

// fingerprint writes everything that columns hold.
func fingerprint(cols *Columns) string {
	var b strings.Builder
	fmt.Fprint(&b, cols.rows)
	var walk func(c *Column)
	walk = func(c *Column) {
		fmt.Fprint(&b, c.Valid, c.Bool, c.Int32, c.Int64, len(c.Float32), len(c.Float64), c.Data, c.Offsets, c.Index, c.Places, c.count)
		for _, child := range c.Children {
			walk(child)
		}
	}
	walk(cols.Root)
	return b.String()
}

func TestRoundTripAgainstGoavro(t *testing.T) {
	for i, typ := range oracleTypes() {
		roundTrip(t, newSchema(t, typ), newRandom(uint64(i)), 30)
	}
}

func FuzzRoundTripAgainstGoavro(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, i)
	}
	f.Fuzz(func(t *testing.T, schema, values uint64) {
		s, err := New(newRandom(schema).schema(3, "t.R"))
		if err != nil {
			return
		}
		roundTrip(t, s, newRandom(values), 5)
	})
}

// strictErrors are those of bytes that goavro takes.
var strictErrors = []error{errVarint, errIntRange, errUTF8, errDigits, errUUID, errBlockSize, errLength, errCount}

// same compares what was read. A uuid is its 128 bits, so its text comes back in lower case.
func same(s *Schema, got, want string) bool {
	return got == want || strings.Contains(s.String(), `"uuid"`) && strings.EqualFold(got, want)
}

func FuzzDecodeHostileBytes(f *testing.F) {
	types := oracleTypes()
	r := newRandom(1)
	for i, typ := range types {
		s := newSchema(f, typ)
		codec, err := goavro.NewCodec(s.String())
		if err != nil {
			f.Fatal(err)
		}
		payload, err := codec.BinaryFromNative(nil, r.value(typ))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint(i), payload)
	}
	goavro.MaxBlockCount = 1000 // it allocates what the bytes claim
	f.Fuzz(func(t *testing.T, i uint, payload []byte) {
		s := newSchema(t, types[i%uint(len(types))])
		codec, err := goavro.NewCodec(s.String())
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDecoder(s, s)
		if err != nil {
			t.Fatal(err)
		}
		cols := NewColumns(s)
		err = d.Decode(payload, cols)
		want, rest, theirs := codec.NativeFromBinary(payload)
		switch {
		case err == nil && theirs != nil:
			if !strings.Contains(theirs.Error(), "duplicate key") && !strings.Contains(theirs.Error(), "MaxBlockCount") {
				t.Fatalf("%s: %x was accepted, goavro says %v", s, payload, theirs)
			}
		case err == nil && !same(s, show(native(cols.Root, 0)), show(want)):
			t.Fatalf("%s: %x is\n%s, goavro\n%s", s, payload, show(native(cols.Root, 0)), show(want))
		case err != nil && theirs == nil && len(rest) == 0 && !slices.ContainsFunc(strictErrors, func(e error) bool { return errors.Is(err, e) }):
			t.Fatalf("%s: %x was refused (%v), goavro reads %s", s, payload, err, show(want))
		}
		if err == nil {
			again, err := NewEncoder(s).Append(nil, cols, 0)
			if err != nil {
				t.Fatal(err)
			}
			back := decodeAll(t, s, s, again)
			if got, want := back.AppendCanonical(nil, 0), cols.AppendCanonical(nil, 0); !bytes.Equal(got, want) {
				t.Fatalf("%s: encoded and read again: %q, want %q", s, got, want)
			}
		} else if cols.Len() != 0 || cols.SetLen(0) != nil {
			t.Fatalf("%s: %x left rows behind", s, payload)
		}
	})
}
