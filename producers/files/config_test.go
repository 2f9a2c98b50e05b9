package files

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"adventureworks.example/extract/producers"
)

func TestConfigFromYAML(t *testing.T) {
	var c Config
	err := yaml.UnmarshalWithOptions([]byte(`
folder: inbox
settle: 3s
processed: leave
follow: false
max_bad_rows: -1
limits: {depth: 2}
datasets:
  - name: reviews
    match: ["**/*.csv"]
    schema: review.avsc
    csv: {delimiter: "||", quote: "", header: false, columns: [id, "-"], encoding: utf-16, nulls: ["NULL"], unescape_newlines: true}
  - name: photos
    match: ["*.png"]
    format: images
    image: {name: "{product}_{view}.*"}
`), &c, yaml.Strict())
	if err != nil {
		t.Fatal(err)
	}
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	if c.Settle != 3*time.Second || *c.Follow || *c.MaxBadRows != -1 || c.Limits.Depth != 2 || c.Limits.Ratio != 200 || *c.Datasets[0].CSV.Quote != "" || *c.Datasets[0].CSV.Header || c.Dedupe != "content" {
		t.Errorf("%+v", c)
	}
}

func TestConfigThatIsWrong(t *testing.T) {
	f := newFolder(t)
	for want, change := range map[string]func(c *Config){
		"folder: name the folder":                       func(c *Config) { c.Folder = "" },
		`processed: "shred" is not`:                     func(c *Config) { c.Processed = "shred" },
		`dedupe: "name" is not`:                         func(c *Config) { c.Dedupe = "name" },
		"a time is not negative":                        func(c *Config) { c.Settle = -1 },
		"marker: ":                                      func(c *Config) { c.Marker = "a/b" },
		"datasets: name at least one":                   func(c *Config) { c.Datasets = nil },
		"the name is taken":                             func(c *Config) { c.Datasets[1].Name = "reviews" },
		"datasets[0] a b: name":                         func(c *Config) { c.Datasets[0].Name = "a b" },
		"match: give at least one":                      func(c *Config) { c.Datasets[0].Match = nil },
		`match: "[a" is not a pattern`:                  func(c *Config) { c.Datasets[0].Match = []string{"[a"} },
		`format: "xml"`:                                 func(c *Config) { c.Datasets[0].Format = "xml" },
		"schema: name the .avsc":                        func(c *Config) { c.Datasets[0].Schema = "" },
		"read schema: ":                                 func(c *Config) { c.Datasets[0].Schema = "nowhere.avsc" },
		"csv.quote: ":                                   func(c *Config) { c.Datasets[0].CSV.Quote = new("''") },
		"csv.delimiter: ":                               func(c *Config) { c.Datasets[0].CSV.Delimiter = `","` },
		"csv.encoding: ":                                func(c *Config) { c.Datasets[0].CSV.Encoding = "ebcdic" },
		"csv.columns: without a header":                 func(c *Config) { c.Datasets[0].CSV.Header = new(false) },
		"csv.columns: no column is named id":            func(c *Config) { c.Datasets[0].CSV = CSV{Header: new(false), Columns: []string{"title"}} },
		"image.name: ":                                  func(c *Config) { c.Datasets[1].Image.Name = "{sha256}.png" },
		`image.name: "{a}_{a}": {a} is there twice`:     func(c *Config) { c.Datasets[1].Image.Name = "{a}_{a}" },
		"make the folder, or correct `folder`":          func(c *Config) { c.Folder = "nowhere" },
		`ignore: "{a" is not a pattern`:                 func(c *Config) { c.Ignore = []string{"{a"} },
		`datasets[0] reviews: csv.delimiter: "a\n" has`: func(c *Config) { c.Datasets[0].CSV.Delimiter = "a\n" },
	} {
		c := f.config
		c.Datasets = append([]Dataset(nil), c.Datasets...)
		change(&c)
		_, err := New(c, f.base, nil)
		var e *producers.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		entries       []string
		want          bool
	}{
		{"*.csv", "a/b/c.csv", nil, true},
		{"*.csv", "a/b/c.csv.gz", nil, false},
		{"a/*.csv", "a/b/c.csv", nil, false},
		{"a/**/*.csv", "a/b/d/c.csv", nil, true},
		{"a/**/*.csv", "a/c.csv", nil, true},
		{"**/x (1), it's.csv", "x (1), it's.csv", nil, true},
		{"{train,test}.csv", "test.csv", nil, true},
		{"[a-c]?.csv", "bz.csv", nil, true},
		{"[!a-c]?.csv", "bz.csv", nil, false},
		{`\*.csv`, "*.csv", nil, true},
		{`\*.csv`, "a.csv", nil, false},
		{"train.csv", "reviews.zip", []string{"data/train.csv"}, true},
		{"reviews.zip/data/*.csv", "reviews.zip", []string{"data/train.csv"}, true},
		{"data/*.csv", "reviews.zip", []string{"x.tgz", "data/train.csv"}, true},
		{"x.tgz/data/*.csv", "reviews.zip", []string{"x.tgz", "data/train.csv"}, true},
		{"reviews.zip/data/*.csv", "reviews.zip", []string{"x.tgz", "data/train.csv"}, false},
		{"*.csv", "\xff\n.csv", nil, true},
	} {
		g, err := compileGlob(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.match(c.path, c.entries); got != c.want {
			t.Errorf("%q of %q %q is %v", c.pattern, c.path, c.entries, got)
		}
	}
}
