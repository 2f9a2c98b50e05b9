package clickhouse

import (
	"fmt"
	"time"

	"adventureworks.example/extract/schemas"
)

// The days and seconds between which Date32 and DateTime64 hold a value, see the reference of ClickHouse's types. Outside of them the
// server changes a value without a word.
var (
	firstSecond = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(2299, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	firstDay    = firstSecond / 86400
	lastDay     = lastSecond / 86400
)

// lastTime is the largest whole second of Time64 either side of zero, 999:59:59.
const lastTime = 999*3600 + 59*60 + 59

// limit is the smallest and largest value of one column.
type limit struct {
	path     []int // from the root's children down, through the children of lists and maps too
	name     string
	typ      string
	min, max int64
}

type limits []limit

// limitsOf lists the columns of a layout that can hold values ClickHouse cannot.
func limitsOf(l *layout) limits {
	var all limits
	cols := schemas.NewColumns(l.schema)
	for i, c := range cols.Fields {
		all = all.add(c, []int{i}, c.Name)
	}
	return all
}

func (all limits) add(c *schemas.Column, path []int, name string) limits {
	seconds := func(unit int64) {
		all = append(all, limit{path, name, "DateTime64", firstSecond * unit, lastSecond*unit + unit - 1})
	}
	switch c.Type.Logical {
	case schemas.Date:
		return append(all, limit{path, name, "Date32", firstDay, lastDay})
	case schemas.TimeMillis:
		return append(all, limit{path, name, "Time64(3)", -lastTime * 1000, lastTime * 1000})
	case schemas.TimeMicros:
		return append(all, limit{path, name, "Time64(6)", -lastTime * 1e6, lastTime * 1e6})
	case schemas.TimestampMillis, schemas.LocalTimestampMillis:
		seconds(1e3)
	case schemas.TimestampMicros, schemas.LocalTimestampMicros:
		seconds(1e6)
	case schemas.TimestampNanos, schemas.LocalTimestampNanos:
		all = append(all, limit{path, name, "DateTime64(9)", firstSecond * 1e9, 1<<63 - 1})
	}
	for i, child := range c.Children {
		label := name + "[]"
		if child.Name != "" {
			label = name + "." + child.Name
		}
		all = all.add(child, append(path[:len(path):len(path)], i), label)
	}
	return all
}

// outside finds the rows with a value outside of the limits, and says which.
func (all limits) outside(cols *schemas.Columns) map[int]string {
	var found map[int]string
	for _, l := range all {
		chain := []*schemas.Column{cols.Fields[l.path[0]]}
		for _, i := range l.path[1:] {
			chain = append(chain, chain[len(chain)-1].Children[i])
		}
		c := chain[len(chain)-1]
		check := func(i int, v int64) {
			if v >= l.min && v <= l.max || c.IsNull(i) {
				return
			}
			if found == nil {
				found = map[int]string{}
			}
			row := rowOf(chain, i)
			if found[row] == "" {
				found[row] = fmt.Sprintf("field %s: the value %d is outside of what ClickHouse's %s holds, %d to %d", l.name, v, l.typ, l.min, l.max)
			}
		}
		for i, v := range c.Int32 {
			check(i, int64(v))
		}
		for i, v := range c.Int64 {
			check(i, v)
		}
	}
	return found
}

// rowOf is the row that holds place i of the last column of a chain: up through lists, maps and unions, whose children have places of their own.
func rowOf(chain []*schemas.Column, i int) int {
	for k := len(chain) - 2; k >= 0; k-- {
		switch parent := chain[k]; parent.Form {
		case schemas.FormList, schemas.FormMap:
			row := 0
			for parent.Offsets[row+1] <= i {
				row++
			}
			i = row
		case schemas.FormUnion:
			for row, place := range parent.Places {
				if place == i && parent.Children[parent.Index[row]] == chain[k+1] {
					i = row
					break
				}
			}
		}
	}
	return i
}
