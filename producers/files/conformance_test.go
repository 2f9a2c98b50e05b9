package files

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

var (
	_ sourcetest.Origin  = (*dropped)(nil)
	_ sourcetest.Killer  = (*dropped)(nil)
	_ sourcetest.Checker = (*dropped)(nil)
)

// dropped is a folder with files of known rows.
type dropped struct {
	*folder
	rows  []sourcetest.Row
	files []string
	next  int
}

// table adds a file of n rows; every third is bad, and one has a line break in it.
func (d *dropped) table(name, entry string, n int) []byte {
	var b strings.Builder
	b.WriteString(header)
	for i := range n {
		d.next++
		order := name + entry
		switch i % 3 {
		case 2:
			line := fmt.Sprintf("bad %d,x,1,\n", d.next)
			b.WriteString(line)
			d.rows = append(d.rows, sourcetest.Row{Dataset: sourcetest.DeadLetters, Text: line})
		case 1:
			fmt.Fprintf(&b, "%d,\"line\n%d\",,\n", d.next, i)
			d.rows = append(d.rows, sourcetest.Row{Dataset: "reviews", Order: order, Text: fmt.Sprintf("%s#%d: %d|line\n%d|<nil>|<nil>", order, i+1, d.next, i)})
		default:
			fmt.Fprintf(&b, "%d,title,1.5,2026-01-02\n", d.next)
			d.rows = append(d.rows, sourcetest.Row{Dataset: "reviews", Order: order, Text: fmt.Sprintf("%s#%d: %d|title|1.5|2026-01-02", order, i+1, d.next)})
		}
	}
	return []byte(b.String())
}

func (d *dropped) put(name string, content []byte) {
	d.drop(name, content)
	d.files = append(d.files, name)
}

func (d *dropped) photo(name string) {
	d.next++
	d.put(name, pngImage(d.next, 1))
	d.rows = append(d.rows, sourcetest.Row{Dataset: "photos", Order: name, Text: fmt.Sprintf("%s: image/png %dx1 <nil> bike/front %d bytes", name, d.next, len(pngImage(d.next, 1)))})
}

func newDropped(t *testing.T) sourcetest.Origin {
	d := &dropped{folder: newFolder(t)}
	d.put("reviews.csv", d.table("reviews.csv", "", 5))
	inner := tarOf(entry{"reviews9.csv", d.table("drop.zip", "!in.tgz!reviews9.csv", 3)})
	d.put("drop.zip", zipOf(entry{"in.tgz", gz(inner)}, entry{"reviews.csv", d.table("drop.zip", "!reviews.csv", 4)}))
	d.photo("bike_front.png")
	return d
}

func (d *dropped) Source(context.Context) (producers.Source, error) {
	s := d.source()
	s.batchRecords = 2
	return s, nil
}

// Kill gives back what the kernel would: the watches.
func (d *dropped) Kill(src producers.Source) {
	if s, ok := src.(*Source); ok && s.alarm != nil {
		s.alarm.close()
	}
}

func (d *dropped) Add(t *testing.T) {
	name := fmt.Sprintf("added/reviews%d.csv", d.next)
	d.put(name, d.table(name, "", 2))
}

func (d *dropped) Rows(*testing.T) []sourcetest.Row { return d.rows }

func (d *dropped) Row(dataset string, r *kgo.Record, lookup func(int) *schemas.Schema) (sourcetest.Row, bool, error) {
	id, payload, err := schemas.ParseFrame(r.Value)
	if err != nil {
		return sourcetest.Row{}, false, err
	}
	row, err := decodeNative(lookup(id), payload)
	if err != nil {
		return sourcetest.Row{}, false, err
	}
	if dataset == sourcetest.DeadLetters {
		return sourcetest.Row{Dataset: dataset, Text: string(row["raw"].([]byte))}, true, nil
	}
	text := rowText(row)
	order, _, _ := strings.Cut(text, ": ")
	order, _, _ = strings.Cut(order, "#")
	return sourcetest.Row{Dataset: dataset, Order: order, Text: text}, true, nil
}

// Check says whether every file moved.
func (d *dropped) Check(t *testing.T) {
	for _, name := range d.files {
		if d.exists(name) || !d.exists("processed/"+name) {
			t.Errorf("%s is not in processed/", name)
		}
	}
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Harness{New: newDropped, Places: 1})
}
