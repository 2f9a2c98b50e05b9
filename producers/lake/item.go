package lake

import (
	"fmt"
	"time"

	"adventureworks.example/extract/schemas"
)

// item is a piece of work: some rows of one row group of one version of an object. Its wire form is schemas.LakeItem.
type item struct {
	Dataset  string
	Key      string
	ETag     string
	Size     int64
	Modified time.Time
	Group    int
	First    int64 // row of the group, from 0
	Rows     int64
	Schema   string // Avro, as JSON
}

// String says where the item's rows are.
func (it item) String() string {
	return fmt.Sprintf("object %s, row group %d, rows %d to %d", it.Key, it.Group, it.First+1, it.First+it.Rows)
}

// append appends the item's Avro, framed with the id of schemas.LakeItem.
func (it item) append(dst []byte, id int) []byte {
	dst = schemas.AppendFrame(dst, id)
	dst = schemas.AppendString(dst, it.Dataset)
	dst = schemas.AppendString(dst, it.Key)
	dst = schemas.AppendString(dst, it.ETag)
	dst = schemas.AppendLong(dst, it.Size)
	dst = schemas.AppendLong(dst, it.Modified.UnixMicro())
	dst = schemas.AppendLong(dst, int64(it.Group))
	dst = schemas.AppendLong(dst, it.First)
	dst = schemas.AppendLong(dst, it.Rows)
	return schemas.AppendString(dst, it.Schema)
}

// parseItem is the inverse of append.
func parseItem(framed []byte) (item, error) {
	_, payload, err := schemas.ParseFrame(framed)
	if err != nil {
		return item{}, fmt.Errorf("read work item: %w", err)
	}
	d, err := schemas.NewDecoder(schemas.LakeItem, schemas.LakeItem)
	if err != nil {
		return item{}, fmt.Errorf("read work item: %w", err)
	}
	c := schemas.NewColumns(schemas.LakeItem)
	if err := d.Decode(payload, c); err != nil {
		return item{}, fmt.Errorf("read work item: %w", err)
	}
	text := func(name string) string { return string(c.Field(name).Bytes(0)) }
	long := func(name string) int64 { return c.Field(name).Int64[0] }
	it := item{
		Dataset: text("dataset"), Key: text("key"), ETag: text("etag"), Size: long("size"), Modified: time.UnixMicro(long("modified")),
		Group: int(c.Field("row_group").Int32[0]), First: long("first_row"), Rows: long("rows"), Schema: text("schema"),
	}
	if it.Group < 0 || it.First < 0 || it.Rows < 0 {
		return item{}, fmt.Errorf("read work item: %s", it)
	}
	return it, nil
}
