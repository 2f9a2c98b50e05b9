package lake

import (
	"context"
	"errors"
	"fmt"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// Held reads every object of the lake again and reports, by dataset, its rows and their digest. An object that is rejected as a whole
// counts as one row. After Remember, rows are summed up in the types in which they were produced.
func (p *Planner) Held(ctx context.Context, report func(producers.Held)) error {
	held := map[string]*producers.Held{}
	objects := map[string][]object{}
	err := listAll(ctx, p.store, &p.conf, func(o object, d *DatasetConfig) error {
		objects[d.Name] = append(objects[d.Name], o)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range p.conf.Datasets {
		d := &p.conf.Datasets[i]
		h := &producers.Held{Dataset: d.Name}
		held[d.Name] = h
		if err := p.hold(ctx, d, objects[d.Name], h); err != nil {
			return fmt.Errorf("take stock of dataset %s: %w", d.Name, err)
		}
		report(*h)
	}
	return nil
}

// hold counts the objects of one dataset: first their schemas, so that the rows are summed up in the widest, then their rows.
func (p *Planner) hold(ctx context.Context, d *DatasetConfig, objects []object, h *producers.Held) error {
	widest := p.widest[d.Name]
	bad := map[string]bool{}
	for _, o := range objects {
		err := p.withObject(ctx, o, func(f *footer, _ objectReader) error {
			_, schema, err := planOf(o.Key, d, f, widest)
			if err == nil {
				widest = schema
			}
			return err
		})
		switch {
		case isBadFile(err):
			bad[o.Key] = true
			h.Rows++
			h.Rejected++
		case err != nil:
			return err
		}
	}
	var codecs codecs
	defer codecs.close()
	for _, o := range objects {
		if bad[o.Key] {
			continue
		}
		err := p.withObject(ctx, o, func(f *footer, in objectReader) error { return digest(ctx, o, d, f, in, widest, &codecs, h) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Planner) withObject(ctx context.Context, o object, do func(*footer, objectReader) error) error {
	in, err := p.store.Open(ctx, o.Key, o.ETag)
	if err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	defer in.Close()
	f, err := readFooter(in, o.Size)
	if err == nil {
		err = do(f, in)
	}
	if changed := in.Check(); changed != nil {
		return fmt.Errorf("read %s: %w", o.Key, changed)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	return nil
}

// digest adds an object's rows to h.
func digest(ctx context.Context, o object, d *DatasetConfig, f *footer, in objectReader, schema *schemas.Schema, codecs *codecs, h *producers.Held) error {
	p, schema, err := planOf(o.Key, d, f, schema)
	if err != nil {
		return err
	}
	decoder, err := schemas.NewDecoder(schema, schema)
	if err != nil {
		return err
	}
	s := summing{held: h, decoder: decoder, columns: schemas.NewColumns(schema)}
	for g := range f.meta.RowGroups {
		r := newRowReader(f, p, g, in, newOrigin(o.Key, g, o.Modified), codecs)
		if err := s.group(ctx, r, f.meta.RowGroups[g].NumRows); err != nil {
			return err
		}
	}
	return nil
}

// summing sums rows up.
type summing struct {
	held      *producers.Held
	decoder   *schemas.Decoder
	columns   *schemas.Columns
	row       []byte
	canonical []byte
}

func (s *summing) group(ctx context.Context, r *rowReader, rows int64) error {
	s.held.Rows += rows
	bad := 0
	err := r.seek(0)
	for row := int64(0); row < rows; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for err == nil && row < rows {
			if err = s.one(r); err == nil {
				row++
			}
		}
		if err == nil {
			return nil
		}
		page, ok := errors.AsType[*pageError](err)
		if !ok {
			return err
		}
		lost := min(page.rows, rows-row)
		if bad++; lost <= 0 || bad > maxBadPages {
			lost = rows - row
		}
		s.held.Rejected += lost
		if row += lost; row < rows {
			err = r.seek(row)
		}
	}
	return nil
}

func (s *summing) one(r *rowReader) error {
	var err error
	s.row, err = r.append(s.row[:0])
	if _, invalid := err.(*valueError); invalid {
		s.held.Rejected++
		return nil
	}
	if err != nil {
		return err
	}
	s.columns.Reset()
	if err := s.decoder.Decode(s.row, s.columns); err != nil {
		return fmt.Errorf("decode a row of %s: %w", r.origin.head, err)
	}
	s.canonical = s.columns.AppendCanonical(s.canonical[:0], 0)
	s.held.Digest.Add(s.canonical)
	return nil
}
