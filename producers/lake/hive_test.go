package lake

import (
	"reflect"
	"strings"
	"testing"

	"adventureworks.example/extract/schemas"
)

func TestPartitions(t *testing.T) {
	for key, want := range map[string][]partition{
		"a/b.parquet":                          nil,
		"sales/year=2026/month=01/p.parquet":   {{"year", "2026"}, {"month", "01"}},
		"s/at=2026-01-01 10%3A00/x=a=b/p":      {{"at", "2026-01-01 10:00"}, {"x", "a=b"}},
		"s/=x/y=/p":                            {{"y", ""}},
		"s/y=1/y=2/p":                          {{"y", "2"}},
		"s/y=100%/p":                           {{"y", "100%"}},
		"s/city=__HIVE_DEFAULT_PARTITION__/pq": {{"city", hiveNull}},
		"s/x=1":                                nil, // a file, not a folder
	} {
		if got := partitionsOf(key); !reflect.DeepEqual(got, want) {
			t.Errorf("partitionsOf(%q) = %v, want %v", key, got, want)
		}
	}
}

func TestPartitionValues(t *testing.T) {
	key := "s/year=2026/day=2026-03-04/city=__HIVE_DEFAULT_PARTITION__/big=9/p.parquet"
	declared := map[string]string{"year": "int", "day": "date", "big": "long"}
	got, err := partitionValues(key, partitionFields(key, declared))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"year": schemas.AppendLong([]byte{2}, 2026), "day": schemas.AppendLong([]byte{2}, 20516), "city": {0}, "big": {2, 18}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	key = "s/year=recent/p.parquet"
	if _, err := partitionValues(key, partitionFields(key, declared)); err == nil || !strings.Contains(err.Error(), "year=recent") {
		t.Errorf("a year that is no number: %v", err)
	}
}

func TestPruned(t *testing.T) {
	where := map[string][]string{"year": {"2025", "2026"}, "month": {"1"}}
	for key, want := range map[string]bool{"s/year=2026/month=1/p": false, "s/year=2026/month=01/p": false, "s/year=2024/month=1/p": true, "s/year=2026/p": true, "s/p": true} {
		if got := pruned(key, where, map[string]string{"month": "int"}); got != want {
			t.Errorf("pruned(%q) = %v", key, got)
		}
	}
	if pruned("s/p", nil, nil) {
		t.Error("pruned without a condition")
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, key string
		want         bool
	}{
		{"a/**/*.parquet", "a/b.parquet", true},
		{"a/**/*.parquet", "a/x/y/b.parquet", true},
		{"a/**/*.parquet", "ab/b.parquet", false},
		{"a/*.parquet", "a/x/b.parquet", false},
		{"a/part-?.parquet", "a/part-1.parquet", true},
		{"**", "a/b", true},
		{"a/**", "b/a", false},
		{"a/**/z/**/*.p", "a/1/z/2/3/x.p", true},
		{"a", "a/b", false},
	} {
		if got := matchGlob(c.pattern, c.key); got != c.want {
			t.Errorf("matchGlob(%q, %q) = %v", c.pattern, c.key, got)
		}
	}
	for pattern, want := range map[string]string{"a/**/*.parquet": "a", "a/b/c.parquet": "a/b", "**": "", "x.parquet": "", "a/b*/c": "a"} {
		if got := globPrefix(pattern); got != want {
			t.Errorf("globPrefix(%q) = %q, want %q", pattern, got, want)
		}
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	_, err := Config{Datasets: []DatasetConfig{
		{Name: "bad name", Path: "x"}, {Name: "d", Path: "../up"}, {Name: "d", Path: "["}, {Name: "_items"},
		{Name: "t", Path: "x", Partitions: map[string]string{"y": "number"}, Where: map[string][]string{"y": nil}, Columns: []string{""}, Int96: "days"},
	}, Readers: -1}.withDefaults()
	for _, want := range []string{"folder: missing", `"bad name"`, `"../up"`, `"["`, "named twice", `"_items"`, "path: missing", `type "number"`, "where y", "columns: an empty name", `int96 "days"`, "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if _, err := (Config{Folder: "x"}).withDefaults(); err == nil || !strings.Contains(err.Error(), "datasets: none") {
		t.Errorf("no datasets: %v", err)
	}
}

// One listing serves datasets whose folders lie in each other.
func TestListAll(t *testing.T) {
	l := newLake(t)
	for _, key := range []string{"a/1.parquet", "a/b/2.parquet", "ab/3.parquet", "a/b/.x/4.parquet"} {
		l.put(key, []byte("x"))
	}
	conf, err := l.conf(DatasetConfig{Name: "inner", Path: "a/b"}, DatasetConfig{Name: "outer", Path: "a"}, DatasetConfig{Name: "other", Path: "ab"},
		DatasetConfig{Name: "none", Path: "missing"}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	n := 0
	err = listAll(t.Context(), folder{l.root}, &conf, func(o object, d *DatasetConfig) error {
		got[o.Key] = d.Name
		n++
		return nil
	})
	want := map[string]string{"a/1.parquet": "outer", "a/b/2.parquet": "inner", "ab/3.parquet": "other"}
	if err != nil || n != 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d listed: %v, %v, want %v", n, got, err, want)
	}
	if err := listAll(t.Context(), folder{l.root + "/gone"}, &conf, nil); err == nil {
		t.Error("a lake that is not there was listed")
	}
}
