package clickhouse

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"adventureworks.example/extract/schemas"
)

// A union of several types is a Variant: a byte a row that says which type its value has, then the values of each type in a row of their own. ClickHouse
// knows the types by their place in the order of their names. See src/DataTypes/Serializations/SerializationVariant.cpp.

// noVariant is the byte of a row that is null.
const noVariant = 255

// variantType is the type of a union's column. Two branches that would be the same type in ClickHouse could not be told apart again.
func variantType(c *schemas.Column) (string, error) {
	types, branches, err := variants(c)
	if err != nil {
		return "", err
	}
	for i := 1; i < len(types); i++ {
		if types[i] == types[i-1] {
			return "", fmt.Errorf("a %s has no column type here: its %s and %s would both be %s", describeUnion(c.Type), c.Children[branches[i-1]].Type.Kind,
				c.Children[branches[i]].Type.Kind, types[i])
		}
	}
	return "Variant(" + strings.Join(types, ", ") + ")", nil
}

// variants are the types of a union and the branches they belong to, in ClickHouse's order.
func variants(c *schemas.Column) (types []string, branches []int, err error) {
	byBranch := map[int]string{}
	for i, child := range c.Children {
		if child.Form == schemas.FormNull {
			continue
		}
		typ, err := nestedType(child)
		if err != nil {
			return nil, nil, err
		}
		byBranch[i] = typ
		branches = append(branches, i)
	}
	sort.SliceStable(branches, func(a, b int) bool { return byBranch[branches[a]] < byBranch[branches[b]] })
	for _, b := range branches {
		types = append(types, byBranch[b])
	}
	return types, branches, nil
}

// appendVariant appends the rows of a union.
func appendVariant(dst []byte, c *schemas.Column, r rows) []byte {
	_, branches, err := variants(c)
	if err != nil {
		return dst // the layout was made of it before
	}
	places := make([][]int, len(c.Children))
	marks := make([]byte, len(c.Children))
	for i := range c.Children {
		places[i], marks[i] = []int{}, noVariant
	}
	for i, b := range branches {
		marks[b] = byte(i)
	}
	for i := range r.len() {
		row := r.at(i)
		branch := c.Index[row]
		dst = append(dst, marks[branch])
		places[branch] = append(places[branch], c.Places[row])
	}
	for _, b := range branches {
		dst = appendNested(dst, c.Children[b], rows{index: places[b]})
	}
	return dst
}

// readVariant reads n rows of a union back.
func readVariant(r *proto.Reader, c *schemas.Column, n int) error {
	_, branches, err := variants(c)
	if err != nil {
		return err
	}
	null := -1
	next := make([]int, len(c.Children)) // place of each branch's next value
	for i, child := range c.Children {
		next[i] = child.Len()
		if child.Form == schemas.FormNull {
			null = i
		}
	}
	counts := make([]int, len(c.Children))
	marks, err := r.ReadRaw(n)
	if err != nil {
		return err
	}
	for _, m := range marks {
		branch := null
		if m != noVariant {
			if int(m) >= len(branches) {
				return fmt.Errorf("a variant says that its type is number %d of %d", m, len(branches))
			}
			branch = branches[m]
		}
		if branch < 0 {
			return fmt.Errorf("a variant is null, which the union is not")
		}
		c.Index, c.Places = append(c.Index, int32(branch)), append(c.Places, next[branch])
		next[branch]++
		counts[branch]++
	}
	if null >= 0 {
		for range counts[null] {
			c.Children[null].AppendNull()
		}
	}
	for _, b := range branches {
		if err := readNested(r, c.Children[b], counts[b]); err != nil {
			return err
		}
	}
	return nil
}

// unions counts the unions in a column, in its children and itself: each has eight bytes before the column's rows, which say how its bytes are
// written. Zero is a byte a row.
func unions(c *schemas.Column) int {
	n := 0
	if c.Form == schemas.FormUnion {
		n++
	}
	for _, child := range c.Children {
		n += unions(child)
	}
	return n
}

var (
	_ proto.StateEncoder = input{}
	_ proto.Stateful     = (*output)(nil)
)

// EncodeState writes what comes before the rows.
func (in input) EncodeState(b *proto.Buffer) {
	if c, _ := find(in.cols, in.col.path); !in.col.presence {
		b.Buf = append(b.Buf, make([]byte, 8*unions(c))...)
	}
}

// EncodeState is only there because ch-go asks for it beside DecodeState.
func (out *output) EncodeState(*proto.Buffer) {}

// DecodeState reads what comes before the rows.
func (out *output) DecodeState(r *proto.Reader) error {
	c, _ := find(out.cols, out.col.path)
	if out.col.presence {
		return nil
	}
	state, err := r.ReadRaw(8 * unions(c))
	if err != nil {
		return err
	}
	for i := 0; i < len(state); i += 8 {
		if mode := binary.LittleEndian.Uint64(state[i:]); mode != 0 {
			return fmt.Errorf("column %s: the server writes variants in a way that is not known here (%d)", out.col.name, mode)
		}
	}
	return nil
}

// define runs a statement that makes or changes a table. A union of numbers is what its schema says, however suspicious it looks to the server.
func (s *Sink) define(ctx context.Context, sql string) error {
	if strings.Contains(sql, "Variant(") {
		ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"allow_suspicious_variant_types": 1}))
	}
	return s.exec(ctx, sql)
}
