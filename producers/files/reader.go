package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/schemas"
)

// errChanged is returned when a file is no longer what it was when reading began. Nothing of the batch in the making is used.
var errChanged = errors.New("the file changed while it was read")

// dataset is a configured dataset, compiled.
type dataset struct {
	Dataset
	match   []glob
	value   *schemas.Schema
	plan    *csvPlan    // of csv
	pattern namePattern // of images
}

// compileDatasets reads the schemas and compiles what does not depend on a file.
func compileDatasets(c Config, base string) ([]*dataset, error) {
	var all []*dataset
	for _, config := range c.Datasets {
		d := &dataset{Dataset: config}
		err := d.compile(base)
		if err != nil {
			return nil, fmt.Errorf("dataset %s: %w", d.Name, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func (d *dataset) compile(base string) error {
	for _, p := range d.Match {
		g, err := compileGlob(p)
		if err != nil {
			return err
		}
		d.match = append(d.match, g)
	}
	var err error
	if d.Format == "images" {
		if d.pattern, err = compileNamePattern(d.Image.Name); err == nil {
			d.value, err = imageSchema(d.Name, d.pattern.words)
		}
		return err
	}
	row, err := readSchema(base, d.Schema)
	if err != nil {
		return err
	}
	if d.plan, err = compileCSV(row, d.CSV); err != nil {
		return fmt.Errorf("%s: %w", d.Schema, err)
	}
	if !*d.CSV.Header {
		if _, err := d.plan.mapColumns(d.CSV.Columns); err != nil {
			return fmt.Errorf("csv.columns: %w", err)
		}
	}
	root := *row.Root
	root.Fields = append(root.Fields[:len(root.Fields):len(root.Fields)], schemas.Field{Name: schemas.OriginField, Type: schemas.Origin()})
	d.value, err = schemas.New(&root)
	return err
}

// dialect is how the dataset's text is taken apart.
func (d *dataset) dialect(maxRecord int) dialect {
	c := dialect{delimiter: []byte(d.CSV.Delimiter), maxRecord: maxRecord, blankRow: len(d.plan.fields) == 1}
	if *d.CSV.Quote != "" {
		c.quote = (*d.CSV.Quote)[0]
	}
	return c
}

// reader turns files into batches. It is what Source and its inventory share.
type reader struct {
	config   Config
	root     *os.Root
	datasets []*dataset
	target   producers.Target
	topics   []producers.Dataset // by dataset

	batchBytes, batchRecords int
}

// open makes the datasets' topics ready.
func (r *reader) open(ctx context.Context, target producers.Target) error {
	r.target = target
	r.topics = nil
	for _, d := range r.datasets {
		t, err := target.Dataset(ctx, d.Name, nil, d.value)
		if err != nil {
			return fmt.Errorf("dataset %s: %w", d.Name, err)
		}
		r.topics = append(r.topics, t)
	}
	return nil
}

// datasetOf returns the index of the dataset that takes a file or an entry, -1 for none.
func (r *reader) datasetOf(path string, entries []string) int {
	for i, d := range r.datasets {
		for _, g := range d.match {
			if g.match(path, entries) {
				return i
			}
		}
	}
	return -1
}

// recognized is what a file is, by its path and its content.
type recognized uint8

const (
	isNothing recognized = iota
	isTable
	isImage
	isArchive
)

func (r *reader) recognize(file *os.File, path string) (recognized, error) {
	var head [300]byte
	n, err := file.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("read file: %w", err)
	}
	i := r.datasetOf(path, nil)
	switch {
	case sniff(head[:n]) != kindOther && !wholeName(path):
		return isArchive, nil
	case i < 0:
		return isNothing, nil
	case r.datasets[i].Format == "images":
		return isImage, nil
	}
	return isTable, nil
}

// recordLimit is the size of the largest value that goes into a topic: what a broker adds to a record is left free.
func (r *reader) recordLimit() int { return max(0, r.target.MaxRecordBytes()-1024) }

// partition keeps the rows of a file in order.
func partition(path string) int32 { return int32(xxhash.Sum64String(path) & 0x7fffffff) }
