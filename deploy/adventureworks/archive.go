package adventureworks

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
)

// The archive holds two tables and, in an archive of its own, the same two once more, under names as people give them.
const (
	archiveName   = "machine learning/product reviews (Ridge & Vale's drop, 2026).zip"
	archiveFolder = "Ridge & Vale's reviews, English (labelled)/"
	innerArchive  = archiveFolder + "product_reviews_csv (copy).tgz"
)

// labelled is one table of the archive.
type labelled struct {
	name string
	rows int
}

func (g *generator) writeArchive(ctx context.Context) error {
	tables := []labelled{{"train.csv", g.plan.train}, {"test.csv", g.plan.test}}
	return writeFile(filepath.Join(g.Dir, archiveName), func(w io.Writer) error {
		z := zip.NewWriter(w)
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
		sizes := make([]int64, len(tables))
		for i, t := range tables {
			entry, err := z.CreateHeader(&zip.FileHeader{Name: archiveFolder + t.name, Method: zip.Deflate, Modified: modified})
			if err != nil {
				return fmt.Errorf("add %s: %w", t.name, err)
			}
			if sizes[i], err = g.writeLabelled(ctx, entry, t); err != nil {
				return err
			}
		}
		entry, err := z.CreateHeader(&zip.FileHeader{Name: innerArchive, Method: zip.Store, Modified: modified})
		if err != nil {
			return fmt.Errorf("add %s: %w", innerArchive, err)
		}
		if err := g.writeTarball(ctx, entry, tables, sizes); err != nil {
			return err
		}
		return z.Close()
	})
}

// writeTarball writes the tables once more; their sizes are known by now, and a tar header wants them first.
func (g *generator) writeTarball(ctx context.Context, w io.Writer, tables []labelled, sizes []int64) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	for i, t := range tables {
		head := &tar.Header{Name: "product_reviews_csv/" + t.name, Size: sizes[i], Mode: 0o644, ModTime: modified, Format: tar.FormatPAX}
		if err := tw.WriteHeader(head); err != nil {
			return fmt.Errorf("add %s: %w", t.name, err)
		}
		if _, err := g.writeLabelled(ctx, tw, t); err != nil {
			return err
		}
	}
	return firstError(tw.Close(), zw.Close())
}

// writeLabelled writes a table of class, title and text without a header, the class being 2 for four and five stars and 1 for one and two. It
// returns the bytes written, which are the same every time.
func (g *generator) writeLabelled(ctx context.Context, w io.Writer, t labelled) (int64, error) {
	d := newDice(g.Seed, t.name)
	var size int64
	var buf []byte
	for i := range t.rows {
		if i%1000 == 0 {
			g.progress.add(min(1000, t.rows-i))
			if err := ctx.Err(); err != nil {
				return size, err
			}
		}
		v := newReview(d, g.catalog, true)
		for v.rating == 3 {
			v = newReview(d, g.catalog, true)
		}
		buf = quoteAll(buf, strconv.Itoa(1+v.rating/4), v.title, v.text)
		if len(buf) > 1<<15 || i == t.rows-1 {
			n, err := w.Write(buf)
			size += int64(n)
			if err != nil {
				return size, fmt.Errorf("write %s: %w", t.name, err)
			}
			buf = buf[:0]
		}
	}
	return size, nil
}
