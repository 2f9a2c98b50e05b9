package clickhouse

import (
	"bytes"
	"math"
	"math/big"
	"testing"

	"adventureworks.example/extract/schemas"
)

// everything is a schema with every type the sink stores, at the top, in a record, in arrays and in maps.
const everything = `{"type":"record","name":"All","fields":[
 {"name":"bool","type":"boolean"},{"name":"int","type":"int"},{"name":"long","type":"long"},{"name":"float","type":"float"},{"name":"double","type":"double"},
 {"name":"text","type":"string"},{"name":"bin","type":"bytes"},{"name":"fix","type":{"type":"fixed","name":"F3","size":3}},
 {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}},
 {"name":"kind0","type":["null","Kind"],"default":null},
 {"name":"d9","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
 {"name":"d18","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":4}},
 {"name":"d38","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":10}],"default":null},
 {"name":"d76","type":{"type":"bytes","logicalType":"decimal","precision":76,"scale":0}},
 {"name":"date","type":{"type":"int","logicalType":"date"}},
 {"name":"tms","type":{"type":"int","logicalType":"time-millis"}},{"name":"tus","type":{"type":"long","logicalType":"time-micros"}},
 {"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"us","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
 {"name":"ns","type":{"type":"long","logicalType":"timestamp-nanos"}},{"name":"local","type":{"type":"long","logicalType":"local-timestamp-micros"}},
 {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
 {"name":"dur","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}},
 {"name":"int0","type":["null","int"],"default":null},{"name":"text0","type":["null","string"],"default":null},
 {"name":"tags","type":{"type":"array","items":"string"}},
 {"name":"tags0","type":["null",{"type":"array","items":["null","string"]}],"default":null},
 {"name":"map0","type":["null",{"type":"map","values":["null","long"]}],"default":null},
 {"name":"deep","type":{"type":"array","items":{"type":"record","name":"Deep","fields":[
    {"name":"n","type":"int"},{"name":"in","type":["null",{"type":"array","items":["null","int"]}]},{"name":"r","type":["null",{"type":"record","name":"R","fields":[
       {"name":"u","type":{"type":"string","logicalType":"uuid"}},{"name":"m","type":{"type":"map","values":{"type":"array","items":"double"}}}]}]}]}}},
 {"name":"image","type":["null",{"type":"record","name":"Image","fields":[{"name":"bytes","type":["null","bytes"]},{"name":"path","type":"string"},{"name":"sizes","type":{"type":"array","items":"int"}},
    {"name":"names","type":{"type":"array","items":"string"}},{"name":"meta","type":{"type":"map","values":"string"}},{"name":"more","type":["null",{"type":"map","values":"string"}]}]}],"default":null},
 {"name":"either","type":["string","int","double",{"type":"array","items":["null","int"]},"Image"]},{"name":"either0","type":["null","long","int","boolean",{"type":"string","logicalType":"uuid"}],"default":null},
 {"name":"eithers","type":{"type":"array","items":["null","string","double"]}},{"name":"named","type":{"type":"map","values":["int","string"]}},
 {"name":"wrap","type":["null",{"type":"record","name":"Wrap","fields":[{"name":"it","type":["string","long"]}]}],"default":null},
 {"name":"select","type":"int"},{"name":"nothing","type":"null"}
]}`

// fill appends a row to a column: the n-th variation of any type, with every third one null where it can be.
func fill(c *schemas.Column, n int) {
	if c.Optional && n%3 == 2 {
		c.AppendNull()
		return
	}
	switch c.Form {
	case schemas.FormNull:
		c.AppendNull()
	case schemas.FormBool:
		c.AppendBool(n%2 == 0)
	case schemas.FormInt32:
		c.AppendInt32([]int32{0, int32(min(limitOf(c)-1, 86_399_999)), 3, -3}[n%4])
	case schemas.FormInt64:
		c.AppendInt64([]int64{0, 123_456_789, -1, 86_399_000_000}[n%4] % limitOf(c))
	case schemas.FormFloat32:
		c.AppendFloat32([]float32{0, -1.5, float32(math.Inf(1)), math.MaxFloat32}[n%4])
	case schemas.FormFloat64:
		c.AppendFloat64([]float64{0.1, math.Copysign(0, -1), math.NaN(), math.MaxFloat64}[n%4])
	case schemas.FormBytes:
		if c.Type.Logical == schemas.Decimal {
			v, _ := new(big.Int).SetString([]string{"0", "-1", "12345678901234567890123456789012345678", "-99999999999999999999999999999999999999"}[n%4], 10)
			c.AppendUnscaled(v)
			return
		}
		c.AppendString([]string{"", "crème brûlée 'quoted' \\", "\x00 null", "自行车"}[n%4])
	case schemas.FormFixed:
		c.AppendBytes(bytes.Repeat([]byte{byte(n), 7, 255, 0}, c.Size)[:c.Size])
	case schemas.FormEnum:
		if err := c.AppendSymbol(c.Type.Symbols[n%len(c.Type.Symbols)]); err != nil {
			panic(err)
		}
	case schemas.FormList:
		for i := range n % 4 {
			fill(c.Children[0], n+i)
		}
		c.AppendItems()
	case schemas.FormMap:
		for i := range n % 3 {
			c.Children[0].AppendString(string(rune('a' + i)))
			fill(c.Children[1], n+i)
		}
		c.AppendItems()
	case schemas.FormUnion:
		c.AppendBranch(n % len(c.Children))
		fill(c.Children[n%len(c.Children)], n/2)
	case schemas.FormRecord:
		c.AppendRecord()
		for _, child := range c.Children {
			fill(child, n)
		}
	}
}

func limitOf(c *schemas.Column) int64 {
	switch {
	case c.Type.Logical == schemas.Decimal && c.Type.Precision <= 9:
		return 1_000_000_000
	case c.Type.Logical == schemas.Date:
		return lastDay + 1
	}
	return math.MaxInt64
}

// rowsOf makes rows of a schema, and their payloads.
func rowsOf(t testing.TB, s *schemas.Schema, n int) (*schemas.Columns, [][]byte) {
	t.Helper()
	cols := schemas.NewColumns(s)
	for i := range n {
		for _, f := range cols.Fields {
			fill(f, i)
		}
		if err := cols.SetLen(i + 1); err != nil {
			t.Fatal(err)
		}
	}
	enc := schemas.NewEncoder(s)
	var payloads [][]byte
	for i := range n {
		p, err := enc.Append(nil, cols, i)
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	return cols, payloads
}

func digestOf(cols *schemas.Columns) (d schemas.Digest) {
	for i := range cols.Len() {
		d.Add(cols.AppendCanonical(nil, i))
	}
	return d
}

// Every value of every type comes back as it was, row by row.
func TestEveryTypeRoundTrips(t *testing.T) {
	b := newBench(t)
	s := schemas.MustParse(everything)
	cols, payloads := rowsOf(t, s, 50)
	id := b.id("aw.files.all-value", s)
	w := b.write(b.batch(b.records("aw.files.all", id, payloads...)...))
	if w.Stored != 50 || w.Rejected != 0 {
		t.Fatalf("written %+v, rejected: %v", w, b.query(1, "SELECT reason FROM %s", b.dead.fullName()))
	}
	l, err := newLayout(s)
	if err != nil {
		t.Fatal(err)
	}
	row := 0
	err = b.readBack(t.Context(), quoteName(b.conf.Raw)+".files_all", l, nil, func(back *schemas.Columns) error {
		for i := range back.Len() {
			want, got := cols.AppendCanonical(nil, row), back.AppendCanonical(nil, i)
			if !bytes.Equal(want, got) {
				t.Errorf("row %d came back as %q, want %q", row, got, want)
			}
			enc := schemas.NewEncoder(s)
			payload, err := enc.Append(nil, back, i)
			if err != nil {
				return err
			}
			if !bytes.Equal(payload, payloads[row]) {
				t.Errorf("row %d came back as Avro %x, want %x", row, payload, payloads[row])
			}
			row++
		}
		return nil
	})
	if err != nil || row != 50 {
		t.Fatalf("read %d rows back: %v", row, err)
	}
	st, err := b.Stored(t.Context(), "aw.files.all")
	if err != nil {
		t.Fatal(err)
	}
	if st[0].Rows != 50 || st[0].Offsets != 50 || st[0].Digest != digestOf(cols) {
		t.Errorf("stored %+v, want 50 rows of digest %v", st[0], digestOf(cols))
	}
}
