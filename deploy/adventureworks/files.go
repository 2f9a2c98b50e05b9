package adventureworks

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// writeFiles fills the watched folder: review tables, an archive of labelled reviews, and images.
func (g *generator) writeFiles(ctx context.Context) error {
	for _, part := range []func(context.Context) error{g.writeReviews, g.writeArchive, g.writeImages} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes a file that appears complete: it is written under a hidden name and renamed.
func writeFile(path string, write func(w io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder of %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".adventureworks-*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	w := bufio.NewWriterSize(f, 1<<16)
	err = firstError(write(w), w.Flush(), f.Chmod(0o644))
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// reviewFileRows is how many reviews one file holds.
const reviewFileRows = 25_000

var reviewHeader = []string{"review_id", "product_number", "author", "email", "rating", "title", "text", "language", "verified", "posted_at"}

func (g *generator) writeReviews(ctx context.Context) error {
	files := max((g.plan.csvReviews+reviewFileRows-1)/reviewFileRows, min(4, g.plan.csvReviews))
	d := newDice(g.Seed, "reviews")
	id := 0
	for file := range files {
		end := g.plan.csvReviews * (file + 1) / files
		bad := g.BadRows * (file + 1) / files
		bad -= g.BadRows * file / files
		err := writeFile(filepath.Join(g.Dir, fmt.Sprintf("reviews_%03d.csv", file+1)), func(w io.Writer) error {
			out := csv.NewWriter(w)
			out.Write(reviewHeader) // errors are kept for Flush
			for made := 0; id < end; made++ {
				if made%1000 == 0 {
					g.progress.add(min(1000, end-id))
					if err := ctx.Err(); err != nil {
						return err
					}
				}
				id++
				row := reviewRow(d, g.catalog, id)
				switch {
				case made < bad && made%2 == 0:
					row[4] = "five" // no number of stars
				case made < bad:
					row = row[:5] // broken off
				}
				out.Write(row)
			}
			out.Flush()
			return out.Error()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reviewRow is a review as reviewHeader has it.
func reviewRow(d dice, c *catalog, id int) []string {
	v := newReview(d, c, true)
	return []string{strconv.Itoa(id), v.product.number, v.author, v.email, strconv.Itoa(v.rating), v.title, v.text, v.language,
		strconv.FormatBool(d.IntN(4) > 0), d.moment().Format("2006-01-02T15:04:05Z")}
}

// imageViews are the views of the image files: a bicycle is taken from the side.
func imageView(p *product) string {
	if p.line.category == 0 {
		return "side"
	}
	return "front"
}

// imageFormats are the formats of the image files, in turn.
var imageFormats = []string{"webp", "jpg", "png"}

// imageFiles is how many image files there are: one for each product, and for every tenth the same picture under a second name.
func (c *catalog) imageFiles() int { return len(c.products) + (len(c.products)+9)/10 }

func (g *generator) writeImages(ctx context.Context) error {
	for i := range g.catalog.products {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &g.catalog.products[i]
		var picture image.Image
		format := "png"
		if p.photoID == noImageID {
			picture = drawNoImage(320) // the same bytes as the photo in the database
		} else {
			picture, format = drawProduct(p.line, p.variant, p.color, sizeOf(p.line, p.size), i+2, 320), imageFormats[i%len(imageFormats)]
		}
		bytes, err := encodePicture(picture, format)
		if err != nil {
			return err
		}
		views := []string{imageView(p)}
		if i%10 == 0 {
			views = append(views, "catalog")
		}
		for _, view := range views {
			if err := writeBytes(filepath.Join(g.Dir, "images", imageName(p, view, format)), bytes); err != nil {
				return err
			}
		}
		g.progress.add(len(views))
	}
	return nil
}

// imageName is the name of an image file: product number, view and format.
func imageName(p *product, view, format string) string { return p.number + "_" + view + "." + format }

func writeBytes(path string, b []byte) error {
	return writeFile(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// quoteAll appends a CSV row whose every field is in quotes; line breaks within become the two characters \n.
func quoteAll(dst []byte, fields ...string) []byte {
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		f = strings.ReplaceAll(strings.ReplaceAll(f, `"`, `""`), "\n", `\n`)
		dst = append(append(append(dst, '"'), f...), '"')
	}
	return append(dst, '\n')
}
