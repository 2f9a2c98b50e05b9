package chaos

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"adventureworks.example/extract/deploy/adventureworks/lakesample"
)

// folders drops archives into the folder and objects into new partitions of the lake, beside what the sample's changes write.
func (f *feed) folders(ctx context.Context) error {
	d := rand.New(rand.NewPCG(f.c.o.Seed, 3))
	for n := 0; ctx.Err() == nil; n++ {
		var err error
		switch n % 3 {
		case 0:
			err = f.archive(d, n)
		default:
			err = f.sales(d, n)
		}
		if err != nil {
			return err
		}
		rest(ctx, time.Duration(300+d.IntN(700))*time.Millisecond)
	}
	return nil
}

// archive is a zip archive or a tarball of labelled reviews, whose titles occur nowhere else.
func (f *feed) archive(d *rand.Rand, n int) error {
	var text strings.Builder
	rows := 1 + d.IntN(300)
	for i := range rows {
		fmt.Fprintf(&text, "\"%d\",\"chaos %d %d\",\"It is \"\"good\"\", is it?\\nYes.\"\n", 1+d.IntN(2), n, i)
	}
	name, write := "archive.zip", zipOf
	if d.IntN(2) == 0 {
		name, write = "archive.tgz", tarOf
	}
	name = fmt.Sprintf("drop/%06d-%s", n, name)
	if err := writeWhole(filepath.Join(f.c.path("files"), name), func(w io.Writer) error { return write(w, "reviews/train.csv", text.String()) }); err != nil {
		return err
	}
	f.count("archives", 1)
	f.mu.Lock()
	f.labelled += int64(rows)
	f.mu.Unlock()
	return nil
}

func zipOf(w io.Writer, name, text string) error {
	z := zip.NewWriter(w)
	entry, err := z.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(entry, text); err != nil {
		return err
	}
	return z.Close()
}

func tarOf(w io.Writer, name, text string) error {
	zw := gzip.NewWriter(w)
	tw := tar.NewWriter(zw)
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	if _, err := io.WriteString(tw, text); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return zw.Close()
}

// sales is an object of sales, in a partition that may be new.
func (f *feed) sales(d *rand.Rand, n int) error {
	at := time.Date(2027+d.IntN(60), time.Month(1+d.IntN(12)), 1, 0, 0, n, 0, time.UTC)
	path := filepath.Join(f.c.path("lake"), "sales_history", fmt.Sprintf("year=%d", at.Year()), fmt.Sprintf("month=%02d", at.Month()), fmt.Sprintf("part-chaos-%06d.parquet", n))
	rows := 1 + d.IntN(400)
	if d.IntN(30) == 0 {
		rows = 20_000
	}
	err := writeWhole(path, func(w io.Writer) error {
		return lakesample.WriteSales(w, func(yield func(lakesample.Sale) bool) {
			for i := range rows {
				if !yield(lakesample.Sale{OrderID: int64(n)<<32 | int64(i), ProductNumber: fmt.Sprintf("CH-%d", d.IntN(50)), Quantity: int32(d.IntN(10)), Cents: d.Int64N(100_000),
					OrderedAt: at, Channel: "chaos", Tags: []string{"a", "b"}[:d.IntN(3)], Attributes: []lakesample.Attribute{{Key: "n", Value: fmt.Sprint(i)}}}) {
					return
				}
			}
		})
	})
	if err == nil {
		f.count("lake objects", 1)
	}
	return err
}

// writeWhole makes a file appear complete.
func writeWhole(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	file, err := os.Create(part)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(part, path)
}
