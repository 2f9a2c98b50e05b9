package clickhouse

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A token is that of its rows: the same for the same offsets, another for any others, of another partition or another generation of the table.
func TestTokenNamesItsRows(t *testing.T) {
	rows := func(partition int32, offsets ...int64) (recs []*kgo.Record) {
		for _, o := range offsets {
			recs = append(recs, &kgo.Record{Partition: partition, Offset: o})
		}
		return recs
	}
	if a, b := token("id.1", rows(0, 1, 2, 3)), token("id.1", rows(0, 1, 2, 3)); a != b {
		t.Errorf("the same rows have the tokens %s and %s", a, b)
	}
	seen := map[string]int{}
	for i, tok := range []string{
		token("id.1", rows(0, 1, 2, 3)), token("id.1", rows(0, 4, 5, 6)), token("id.1", rows(0, 1, 3, 4)), token("id.1", rows(0, 1, 2, 4)), token("id.1", rows(0, 1, 3)),
		token("id.1", rows(0, 1, 2, 3, 5)), token("id.1", rows(0, 1, 3, 4, 5)), token("id.1", rows(1, 1, 2, 3)), token("id.2", rows(0, 1, 2, 3)),
	} {
		if other, ok := seen[tok]; ok {
			t.Errorf("the rows %d and %d share the token %s", other, i, tok)
		}
		seen[tok] = i
	}
}
