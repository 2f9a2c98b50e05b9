package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

// origin is a database for the conformance suite: two tables to copy, then rows that come by the copy or by the stream, whichever is first.
type origin struct {
	*stack
	next int
	rows []sourcetest.Row
}

func newOrigin(t *testing.T) sourcetest.Origin {
	o := &origin{stack: newStack(t)}
	o.exec("create table a (id int primary key, v text); create table b (id int primary key, v text)")
	o.exec("insert into a select i, 'a' || i from generate_series(1, 40) i; insert into b select i, 'b' || i from generate_series(1, 40) i")
	for _, table := range []string{"a", "b"} {
		for i := 1; i <= 40; i++ {
			o.expect(table, i, fmt.Sprintf("%s%d", table, i))
		}
	}
	return o
}

func (o *origin) expect(table string, id int, v string) {
	o.rows = append(o.rows, sourcetest.Row{Dataset: "public." + table, Order: fmt.Sprint("id=", id, " "), Text: fmt.Sprintf("%d %s", id, v)})
}

// Add commits transactions over both tables, by COPY too. It only adds rows, since what a copy that comes later shows is the same for them alone.
func (o *origin) Add(t *testing.T) {
	for range 3 {
		o.next++
		id := 1000 * o.next
		o.exec(fmt.Sprintf("begin; insert into a select i, 'new' from generate_series(%d, %d) i; insert into b values (%d, 'too'); commit", id, id+4, id+2))
		for i := range 5 {
			o.expect("a", id+i, "new")
		}
		o.expect("b", id+2, "too")
		if _, err := o.conn.PgConn().CopyFrom(t.Context(), strings.NewReader(fmt.Sprintf("%d\tx\n%d\ty\n", id, id+1)), "copy b from stdin"); err != nil {
			t.Fatal(err)
		}
		o.expect("b", id, "x")
		o.expect("b", id+1, "y")
	}
}

func (o *origin) Source(context.Context) (producers.Source, error) {
	return New("src", o.config(), testLog(o.t))
}

func (o *origin) Rows(*testing.T) []sourcetest.Row { return o.rows }

// Row tells what a record is. The mark that opens a copy made again is no row.
func (o *origin) Row(dataset string, r *kgo.Record, lookup func(int) *schemas.Schema) (sourcetest.Row, bool, error) {
	decode := func(framed []byte) (*schemas.Columns, error) {
		id, payload, err := schemas.ParseFrame(framed)
		if err != nil {
			return nil, err
		}
		d, err := schemas.NewDecoder(lookup(id), lookup(id))
		if err != nil {
			return nil, err
		}
		cols := schemas.NewColumns(lookup(id))
		return cols, d.Decode(payload, cols)
	}
	value, err := decode(r.Value)
	if err != nil {
		return sourcetest.Row{}, false, err
	}
	op := string(value.Field("op").Bytes(0))
	if op != "r" && op != "c" {
		return sourcetest.Row{}, false, nil
	}
	key, err := decode(r.Key)
	if err != nil {
		return sourcetest.Row{}, false, err
	}
	id, v := render(key.Fields[0]), ""
	if after := renderRow(value.Field("after")); after != nil {
		v = after["v"]
	}
	return sourcetest.Row{Dataset: dataset, Order: "id=" + id + " ", Text: fmt.Sprintf("%s %s", id, v)}, true, nil
}

// Kill closes a source's connections without a word. It does not wait for the source, which may stand still in a call to Kafka.
func (o *origin) Kill(src producers.Source) {
	s := src.(*Source)
	cut(s)
	o.t.Cleanup(s.running.Wait)
}

// Check sees to it that the slot has followed and is free again.
func (o *origin) Check(*testing.T) {
	o.eventually("the slot is free", func() bool {
		return o.text("select count(*) from pg_replication_slots where database = current_database() and active") == "0"
	})
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{New: newOrigin, Follows: true, Places: 1, Cases: 60, Limits: producers.Limits{CloseTime: time.Nanosecond}})
}
