package lake

import (
	"encoding/binary"
	"errors"

	"github.com/parquet-go/parquet-go/format"
)

// repeats tells whether the next level goes on with the list of repetition level rep.
func (c *chunk) repeats(rep uint8) (bool, error) {
	if c.pos == c.n {
		if c.unread == 0 {
			return false, nil
		}
		if err := c.load(); err != nil {
			return false, err
		}
	}
	if c.reps[c.pos] > rep {
		return false, &pageError{column: c.field.path, reason: errors.New("a list goes on that has ended")}
	}
	return c.reps[c.pos] == rep, nil
}

// skipRows passes over rows from the start of the chunk. Pages that hold no other row are not decoded where their header tells so.
func (c *chunk) skipRows(rows int64) error {
	for rows > 0 {
		if c.pos == c.n {
			skipped, err := c.skipPage(rows)
			if err != nil {
				return err
			}
			rows -= skipped
			continue
		}
		rows -= c.skipInPage(rows)
	}
	if c.field.maxRep == 0 {
		return nil
	}
	for { // the rest of the last row
		if c.pos == c.n {
			if c.unread == 0 {
				return nil
			}
			if err := c.load(); err != nil {
				return err
			}
		}
		if c.reps[c.pos] == 0 {
			return nil
		}
		c.skipLevels(c.pos + 1)
	}
}

// skipPage passes over the next page when all its rows are among rows, and returns how many it had; else it loads the page.
func (c *chunk) skipPage(rows int64) (int64, error) {
	for {
		h, size, err := c.head()
		if err != nil {
			return 0, err
		}
		if h == nil {
			continue
		}
		if has, known := c.pageRows(h); known && has <= rows {
			return has, c.unreadable(c.in.skip(size))
		}
		err = c.body(h, size)
		if page, ok := errors.AsType[*pageError](err); ok && page.rows > 0 {
			page.rows -= rows // those before the row that was asked for
		}
		return 0, err
	}
}

// pageRows is how many rows a data page holds, where its header tells.
func (c *chunk) pageRows(h *format.PageHeader) (rows int64, known bool) {
	if h.Type == format.DataPageV2 {
		return int64(h.DataPageHeaderV2.V.NumRows), true
	}
	return int64(h.DataPageHeader.V.NumValues), c.field.maxRep == 0
}

// skipInPage passes over at most rows rows of the page at hand and returns how many it was.
func (c *chunk) skipInPage(rows int64) int64 {
	if c.field.maxRep == 0 {
		n := min(rows, int64(c.n-c.pos))
		c.skipLevels(c.pos + int(n))
		return n
	}
	var n int64
	to := c.pos
	for to < c.n {
		if c.reps[to] == 0 {
			if n == rows {
				break
			}
			n++
		}
		to++
	}
	c.skipLevels(to)
	return n
}

// skipLevels makes to the next level of the page at hand.
func (c *chunk) skipLevels(to int) {
	there := to - c.pos
	if c.field.maxDef > 0 {
		there = 0
		for _, d := range c.defs[c.pos:to] {
			if d == c.field.maxDef {
				there++
			}
		}
	}
	c.pos = to
	switch size := c.field.size(); {
	case c.plain == nil:
		c.at += there
	case c.field.physical == format.Boolean:
		c.plain = c.plain[there:]
	case size > 0:
		c.plain = c.plain[there*size:]
	default:
		for range there {
			c.plain = c.plain[4+binary.LittleEndian.Uint32(c.plain):]
		}
	}
}
