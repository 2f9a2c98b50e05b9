// Package lake is the big-data source: Parquet objects in a lake laid out in Hive partitions. A planner lists the lake and turns each new
// object into work items, pieces of row groups, on a topic of their own; readers share the items as a consumer group, so that
// every row is produced once however many processes read. See New (the planner), NewWorker and Run.
//
// An object is known by its key and tag, not by a watermark: names and times may come in any order. An object that is overwritten is
// a new one and all its rows are produced again.
package lake

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config is the part of a source's configuration that says where the lake is and what of it is wanted.
type Config struct {
	// Folder is the lake's root.
	Folder string `yaml:"folder"`
	// ScanEvery is how long the planner waits between two listings; default 10 s.
	ScanEvery time.Duration `yaml:"scan_every"`
	// Follow tells whether the planner goes on when all that is there has been planned; default true.
	Follow *bool `yaml:"follow"`
	// Settle is how long an object must have been left alone before it is read; default 2 s. It keeps one that is overwritten at
	// the same moment from looking like what it was, and tells one that is still being written from one that is broken.
	Settle time.Duration `yaml:"settle"`
	// Readers is how many readers this process runs; default 2.
	Readers int `yaml:"readers"`
	// ItemRows is the most rows of one work item, and ItemBytes about the most of their bytes; default 200,000 and 64 MiB. An item is one
	// Kafka transaction.
	ItemRows  int64 `yaml:"item_rows"`
	ItemBytes int64 `yaml:"item_bytes"`
	// Datasets are what is wanted. An object belongs to the first whose path matches.
	Datasets []DatasetConfig `yaml:"datasets"`
}

// DatasetConfig describes one dataset of the lake.
type DatasetConfig struct {
	// Name is the dataset's, and the last part of its topic's.
	Name string `yaml:"name"`
	// Path is a pattern below the folder: * within a name, ** for any number of folders, as in product_eval/**/*.parquet. A path without
	// such signs is a folder whose *.parquet objects, at any depth, are the dataset.
	Path string `yaml:"path"`
	// Columns are the columns wanted, dotted for parts of a struct; empty means all. The others are not read.
	Columns []string `yaml:"columns"`
	// Where leaves out objects by their Hive partitions: each partition named must have one of the values.
	Where map[string][]string `yaml:"where"`
	// Partitions are the types of Hive partition columns: string (the default), int, long, double, boolean or date.
	Partitions map[string]string `yaml:"partitions"`
	// Int96 is what the legacy timestamps are read as: micros (the default) or nanos. A value that does not fit is rejected.
	Int96 string `yaml:"int96"`
}

var datasetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)

// withDefaults checks the configuration and fills in what is not set. The error names every mistake.
func (c Config) withDefaults() (Config, error) {
	var wrong []error
	bad := func(layout string, args ...any) { wrong = append(wrong, fmt.Errorf(layout, args...)) }
	if c.Folder == "" {
		bad("folder: missing")
	}
	if c.ScanEvery < 0 || c.Settle < 0 || c.Readers < 0 || c.ItemRows < 0 || c.ItemBytes < 0 {
		bad("scan_every, settle, readers, item_rows and item_bytes may not be negative")
	}
	if len(c.Datasets) == 0 {
		bad("datasets: none; name at least one with its path")
	}
	c.ScanEvery = or(c.ScanEvery, 10*time.Second)
	c.Settle = or(c.Settle, 2*time.Second)
	c.Readers = or(c.Readers, 2)
	c.ItemRows = or(c.ItemRows, 200_000)
	c.ItemBytes = or(c.ItemBytes, 64<<20)
	if c.Follow == nil {
		follow := true
		c.Follow = &follow
	}
	c.Datasets = slices.Clone(c.Datasets)
	names := map[string]bool{}
	for i := range c.Datasets {
		d := &c.Datasets[i]
		if names[d.Name] {
			bad("dataset %s: named twice", d.Name)
		}
		names[d.Name] = true
		for _, err := range d.check() {
			bad("dataset %s: %w", d.Name, err)
		}
	}
	if len(wrong) > 0 {
		return c, fmt.Errorf("lake configuration: %w", errors.Join(wrong...))
	}
	return c, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// check fills in the path's pattern and returns what is wrong.
func (d *DatasetConfig) check() (wrong []error) {
	bad := func(layout string, args ...any) { wrong = append(wrong, fmt.Errorf(layout, args...)) }
	if !datasetName.MatchString(d.Name) {
		bad("name %q: letters, digits, - and _, in parts joined by dots, starting with a letter or digit", d.Name)
	}
	clean := path.Clean(strings.Trim(d.Path, "/"))
	switch _, err := path.Match(clean, ""); {
	case d.Path == "":
		bad("path: missing")
	case err != nil || strings.HasPrefix(clean, ".."):
		bad("path %q: not a pattern below the folder", d.Path)
	case !strings.ContainsAny(clean, `*?[\`) && !strings.HasSuffix(clean, ".parquet"):
		clean = path.Join(clean, "**", "*.parquet")
	}
	d.Path = clean
	for name, word := range d.Partitions {
		if partitionTypes[word] == nil {
			bad("partition %s: type %q is none of string, int, long, double, boolean and date", name, word)
		}
	}
	for name, values := range d.Where {
		if len(values) == 0 {
			bad("where %s: no value, so no object would ever match", name)
		}
	}
	if slices.Contains(d.Columns, "") {
		bad("columns: an empty name")
	}
	if d.Int96 != "" && d.Int96 != "micros" && d.Int96 != "nanos" {
		bad("int96 %q: micros or nanos", d.Int96)
	}
	return wrong
}

// typing is what the dataset's configuration says about the types of an object.
func (d *DatasetConfig) typing(key string) typing {
	t := typing{name: recordName(d.Name), columns: d.Columns, partitions: partitionFields(key, d.Partitions), int96: opInt96}
	if d.Int96 == "nanos" {
		t.int96 = opInt96Nanos
	}
	return t
}

// dataset is the first dataset that the key belongs to and whose conditions it meets.
func (c *Config) dataset(key string) *DatasetConfig {
	for i := range c.Datasets {
		d := &c.Datasets[i]
		if matchGlob(d.Path, key) {
			if pruned(key, d.Where, d.Partitions) {
				return nil
			}
			return d
		}
	}
	return nil
}
