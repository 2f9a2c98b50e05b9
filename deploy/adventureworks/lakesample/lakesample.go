// Package lakesample writes the Parquet objects of the sample's lake.
package lakesample

import (
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/parquet-go/parquet-go"
)

// Image is a picture as machine-learning tools store it in Parquet: its bytes and the path it once had.
type Image struct {
	Bytes []byte `parquet:"bytes"`
	Path  string `parquet:"path"`
}

// Eval is one row of product_eval: what was found at a position when somebody searched.
type Eval struct {
	Image    Image  `parquet:"image"`
	ItemID   string `parquet:"item_ID"`
	Query    string `parquet:"query"`
	Title    string `parquet:"title"`
	Position int32  `parquet:"position"`
}

// WriteEval writes one Parquet object of product_eval.
func WriteEval(w io.Writer, rows iter.Seq[Eval]) error {
	out := parquet.NewGenericWriter[Eval](w, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("adventureworks", "1", "sample"), parquet.MaxRowsPerRowGroup(500))
	for row := range rows {
		if _, err := out.Write([]Eval{row}); err != nil {
			return fmt.Errorf("write row of product_eval: %w", err)
		}
	}
	return out.Close()
}

// Sale is one row of sales_history, whose partitions are the year and the month.
type Sale struct {
	OrderID       int64
	ProductNumber string
	Quantity      int32
	Cents         int64 // of one piece
	OrderedAt     time.Time
	Channel       string
	Tags          []string
	Attributes    []Attribute // in the order they are written; no two of a key
}

// Attribute is one entry of Sale.Attributes.
type Attribute struct{ Key, Value string }

// saleColumns is the schema of sales_history. Rows are not written through it, because a Go map has no order and the objects of one seed
// are to be the same byte for byte.
type saleColumns struct {
	OrderID       int64             `parquet:"order_id"`
	ProductNumber string            `parquet:"product_number,dict"`
	Quantity      int32             `parquet:"quantity"`
	UnitPrice     int64             `parquet:"unit_price,decimal(2:18)"`
	OrderedAt     int64             `parquet:"ordered_at,timestamp(microsecond)"`
	Channel       string            `parquet:"channel,dict"`
	Tags          []string          `parquet:"tags,list"`
	Attributes    map[string]string `parquet:"attributes"`
}

// WriteSales writes one Parquet object of sales_history.
func WriteSales(w io.Writer, rows iter.Seq[Sale]) error {
	out := parquet.NewWriter(w, parquet.SchemaOf(saleColumns{}), parquet.Compression(&parquet.Snappy), parquet.CreatedBy("adventureworks", "1", "sample"),
		parquet.MaxRowsPerRowGroup(100_000))
	var batch []parquet.Row
	flush := func() error {
		if _, err := out.WriteRows(batch); err != nil {
			return fmt.Errorf("write rows of sales_history: %w", err)
		}
		batch = batch[:0]
		return nil
	}
	for row := range rows {
		if len(batch) < cap(batch) {
			batch = batch[:len(batch)+1] // keeps the row that was there, to use its memory again
		} else {
			batch = append(batch, nil)
		}
		last := &batch[len(batch)-1]
		*last = appendSale((*last)[:0], row)
		if len(batch) == 256 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return out.Close()
}

// appendSale takes a row apart into its columns, with the repetition and definition levels of lists and maps.
func appendSale(dst parquet.Row, s Sale) parquet.Row {
	dst = append(dst,
		parquet.Int64Value(s.OrderID).Level(0, 0, 0),
		parquet.ByteArrayValue([]byte(s.ProductNumber)).Level(0, 0, 1),
		parquet.Int32Value(s.Quantity).Level(0, 0, 2),
		parquet.Int64Value(s.Cents).Level(0, 0, 3),
		parquet.Int64Value(s.OrderedAt.UnixMicro()).Level(0, 0, 4),
		parquet.ByteArrayValue([]byte(s.Channel)).Level(0, 0, 5))
	if len(s.Tags) == 0 {
		dst = append(dst, parquet.NullValue().Level(0, 0, 6))
	}
	for i, tag := range s.Tags {
		dst = append(dst, parquet.ByteArrayValue([]byte(tag)).Level(min(i, 1), 1, 6))
	}
	if len(s.Attributes) == 0 {
		return append(dst, parquet.NullValue().Level(0, 0, 7), parquet.NullValue().Level(0, 0, 8))
	}
	for i, a := range s.Attributes {
		dst = append(dst, parquet.ByteArrayValue([]byte(a.Key)).Level(min(i, 1), 1, 7))
	}
	for i, a := range s.Attributes {
		dst = append(dst, parquet.ByteArrayValue([]byte(a.Value)).Level(min(i, 1), 1, 8))
	}
	return dst
}
