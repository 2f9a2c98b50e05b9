package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"adventureworks.example/extract/schemas"
)

// Config says which folder is watched and what its files are.
type Config struct {
	Folder     string        `yaml:"folder"`       // relative to the configuration file
	Settle     time.Duration `yaml:"settle"`       // how long a file must be at rest when nothing else says that it is complete; 2s
	ScanEvery  time.Duration `yaml:"scan_every"`   // how often the folder is read whole, whatever the watcher says; 5s
	Processed  string        `yaml:"processed"`    // move (to processed/ below the folder), delete or leave; move
	Dedupe     string        `yaml:"dedupe"`       // content (a table under another name is not sent again) or none; content
	Follow     *bool         `yaml:"follow"`       // false: end when the folder holds nothing undone; true
	MaxBadRows *int64        `yaml:"max_bad_rows"` // a file with more goes to failed/; -1 for any number; 1000
	Marker     string        `yaml:"marker"`       // ".done": x.csv is complete once x.csv.done is there; "_SUCCESS": once that is in its folder
	Ignore     []string      `yaml:"ignore"`       // patterns of files to pass over, beside the ones that never count (hidden, *.tmp, *.part…)
	Limits     Limits        `yaml:"limits"`
	Datasets   []Dataset     `yaml:"datasets"`
}

// Limits bound what an archive may do. An archive beyond one is refused whole.
type Limits struct {
	Depth       int   `yaml:"depth"`        // archives in archives; 3
	Entries     int   `yaml:"entries"`      // of one file, all depths together; 1,000,000
	TotalBytes  int64 `yaml:"total_bytes"`  // unpacked, of one file; 1 TiB
	Ratio       int64 `yaml:"ratio"`        // unpacked bytes for a byte of the file, once 16 MiB are unpacked; 200
	NestedBytes int64 `yaml:"nested_bytes"` // of a zip inside another archive, which is held in memory; 64 MiB
}

// Dataset says which files make one dataset. The first dataset that matches a file takes it.
type Dataset struct {
	Name   string   `yaml:"name"`
	Match  []string `yaml:"match"`  // patterns of paths below the folder; * stops at a slash, ** does not; one without a slash is for the name alone
	Format string   `yaml:"format"` // csv or images
	Schema string   `yaml:"schema"` // of csv: an .avsc file with a record of plain fields, relative to the configuration file
	CSV    CSV      `yaml:"csv"`
	Image  Image    `yaml:"image"`
}

// CSV is how the text of a dataset is written. Every column goes to the field of its name.
type CSV struct {
	Delimiter        string   `yaml:"delimiter"` // one or several characters; a comma
	Quote            *string  `yaml:"quote"`     // one character, or empty for none; a double quote
	Header           *bool    `yaml:"header"`    // the first row names the columns; true
	Columns          []string `yaml:"columns"`   // fields by place, instead of the header's names; "-" leaves a column out
	Encoding         string   `yaml:"encoding"`  // utf-8, utf-16, windows-1252, latin-1 or auto; auto
	Nulls            []string `yaml:"nulls"`     // texts that mean null where the field may be null and they are not in quotes; the empty text
	UnescapeNewlines bool     `yaml:"unescape_newlines"`
}

// Image is what is taken from the name of an image.
type Image struct {
	// Name is a pattern such as {product}_{view}.png: each {word} becomes a field of that name; * is any text within a name.
	Name string `yaml:"name"`
}

func (c Config) withDefaults() Config {
	c.Settle = orElse(c.Settle, 2*time.Second)
	c.ScanEvery = orElse(c.ScanEvery, 5*time.Second)
	c.Processed = orElse(c.Processed, "move")
	c.Dedupe = orElse(c.Dedupe, "content")
	c.Follow = orElse(c.Follow, new(true))
	c.MaxBadRows = orElse(c.MaxBadRows, new(int64(1000)))
	l := &c.Limits
	l.Depth = orElse(l.Depth, 3)
	l.Entries = orElse(l.Entries, 1_000_000)
	l.TotalBytes = orElse(l.TotalBytes, 1<<40)
	l.Ratio = orElse(l.Ratio, 200)
	l.NestedBytes = orElse(l.NestedBytes, 64<<20)
	c.Datasets = slices.Clone(c.Datasets)
	for i := range c.Datasets {
		d := &c.Datasets[i]
		d.Format = orElse(d.Format, "csv")
		d.CSV.Delimiter = orElse(d.CSV.Delimiter, ",")
		d.CSV.Quote = orElse(d.CSV.Quote, new(`"`))
		d.CSV.Header = orElse(d.CSV.Header, new(true))
		d.CSV.Encoding = orElse(d.CSV.Encoding, "auto")
		if d.CSV.Nulls == nil {
			d.CSV.Nulls = []string{""}
		}
	}
	return c
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// validate returns everything that is wrong at once.
func (c Config) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Folder == "" {
		add("folder: name the folder to watch")
	}
	if !slices.Contains([]string{"move", "delete", "leave"}, c.Processed) {
		add("processed: %q is not move, delete or leave", c.Processed)
	}
	if !slices.Contains([]string{"content", "none"}, c.Dedupe) {
		add("dedupe: %q is not content or none", c.Dedupe)
	}
	if c.Settle < 0 || c.ScanEvery < 0 {
		add("settle and scan_every: a time is not negative")
	}
	if strings.Contains(c.Marker, "/") {
		add("marker: %q is not a file name or the end of one", c.Marker)
	}
	for _, p := range c.Ignore {
		if _, err := compileGlob(p); err != nil {
			add("ignore: %w", err)
		}
	}
	if len(c.Datasets) == 0 {
		add("datasets: name at least one")
	}
	names := map[string]bool{}
	for i, d := range c.Datasets {
		if err := d.validate(); err != nil {
			add("datasets[%d] %s: %w", i, d.Name, err)
		}
		if names[d.Name] {
			add("datasets[%d] %s: the name is taken by another dataset", i, d.Name)
		}
		names[d.Name] = true
	}
	return errors.Join(errs...)
}

func (d Dataset) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if d.Name == "" || schemas.Name(d.Name) != d.Name {
		add("name: %q is not a name of letters, digits and underscores", d.Name)
	}
	if len(d.Match) == 0 {
		add("match: give at least one pattern, such as *.csv")
	}
	for _, p := range d.Match {
		if _, err := compileGlob(p); err != nil {
			add("match: %w", err)
		}
	}
	switch d.Format {
	case "csv":
		if d.Schema == "" {
			add("schema: name the .avsc file that describes a row")
		}
		errs = append(errs, d.CSV.validate())
	case "images":
		if _, err := compileNamePattern(d.Image.Name); err != nil {
			add("image.name: %w", err)
		}
	default:
		add("format: %q is not csv or images", d.Format)
	}
	return errors.Join(errs...)
}

func (c CSV) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	quote := *c.Quote
	if len(quote) > 1 || quote != "" && quote[0] >= utf8.RuneSelf {
		add("csv.quote: %q is not one ASCII character", quote)
	}
	if strings.ContainsAny(c.Delimiter, "\r\n") || !utf8.ValidString(c.Delimiter) || quote != "" && strings.Contains(c.Delimiter, quote) {
		add("csv.delimiter: %q has a line break or the quote in it, or is not UTF-8", c.Delimiter)
	}
	if quote == "\n" || quote == "\r" {
		add("csv.quote: a line break cannot be the quote")
	}
	if !slices.Contains([]string{"utf-8", "utf-16", "windows-1252", "latin-1", "auto"}, c.Encoding) {
		add("csv.encoding: %q is not utf-8, utf-16, windows-1252, latin-1 or auto", c.Encoding)
	}
	if !*c.Header && len(c.Columns) == 0 {
		add("csv.columns: without a header the columns must be named")
	}
	return errors.Join(errs...)
}

// readSchema reads a dataset's .avsc file.
func readSchema(base, path string) (*schemas.Schema, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	s, err := schemas.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Root.Kind != schemas.Record {
		return nil, fmt.Errorf("%s: a row is a record, not a %s", path, s.Root.Kind)
	}
	if _, ok := s.Root.Field(schemas.OriginField); ok {
		return nil, fmt.Errorf("%s: the field %s is added by itself, leave it out", path, schemas.OriginField)
	}
	return s, nil
}
