package postgres

import (
	"context"
	"fmt"
	"testing"

	"adventureworks.example/extract/schemas"
)

// TestHalvesOfAChangeOfKey judges a change of the key 5 to 15 at every side of the snapshots under which the ranges below 10 and from 10 on were read.
func TestHalvesOfAChangeOfKey(t *testing.T) {
	plan, err := compilePlan("public.w", []column{{name: "id", field: "id", typ: pgType{oidInt4, -1}, key: true, avro: schemas.Primitive(schemas.Int)}}, false)
	if err != nil {
		t.Fatal(err)
	}
	row := func(id string) *tuple { return &tuple{state: []byte{valueText}, text: [][]byte{[]byte(id)}} }
	for _, c := range []struct {
		low, high, commit LSN // of the range of 5, of that of 15, of the change
		want              string
	}{
		{100, 200, 50, "nothing"},
		{100, 200, 100, "d 5"}, // the copy of 5 was before, that of 15 after it
		{100, 200, 150, "d 5"},
		{100, 200, 199, "d 5"},
		{100, 200, 200, "u 5 15"},
		{100, 200, 250, "u 5 15"},
	} {
		for _, moves := range [][2]string{{"5", "15"}, {"15", "5"}} {
			tbl := &table{schema: "public", name: "w", plan: plan}
			tbl.copied = stateOf(TablePosition{LSN: c.high, Key: []string{"id"}, Ranges: []CopiedRange{{LSN: c.low, To: []string{"10"}}, {LSN: c.high}}}, plan)
			w := &stream{commit: c.commit}
			w.at.op = schemas.OpUpdate
			got := "nothing"
			if c.commit >= tbl.copied.first {
				before, after, err := w.uncopied(context.Background(), tbl, row(moves[0]), row(moves[1]))
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case before == nil && after == nil:
				case after == nil:
					got = fmt.Sprintf("%s %s", w.at.op, before.text[0])
				case w.at.op == schemas.OpCreate:
					got = fmt.Sprintf("%s %s", w.at.op, after.text[0])
				default:
					got = fmt.Sprintf("%s %s %s", w.at.op, before.text[0], after.text[0])
				}
			}
			want := c.want
			if moves[0] == "15" { // the other way, the half of 5 is the create
				switch want {
				case "d 5":
					want = "c 5"
				case "u 5 15":
					want = "u 15 5"
				}
			}
			if got != want {
				t.Errorf("ranges read at %d and %d, %s to %s at %d: %s, want %s", c.low, c.high, moves[0], moves[1], c.commit, got, want)
			}
		}
	}
}

func TestKeysAreOrderedAsPostgresDoes(t *testing.T) {
	for _, c := range []struct {
		oid   uint32
		a, b  string
		order int
		known bool
	}{
		{oidInt4, "9", "10", -1, true}, {oidInt8, "-3", "-20", 1, true}, {oidInt2, "7", "7", 0, true}, {oidOID, "4294967295", "1", 1, true},
		{oidUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", -1, true},
		{25, "a", "b", 0, false}, {oidNumeric, "1", "2", 0, false}, {oidInt4, "x", "1", 0, false},
	} {
		if order, known := compareKeys(c.oid, c.a, c.b); order != c.order || known != c.known {
			t.Errorf("compareKeys(%d, %q, %q) = %d, %v", c.oid, c.a, c.b, order, known)
		}
	}
}
