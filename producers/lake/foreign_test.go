package lake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"adventureworks.example/extract/schemas"
)

// foreignFiles are the files of many writers that the Parquet library itself is tested with.
func foreignFiles(t *testing.T) []string {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/parquet-go/parquet-go").Output()
	if err != nil {
		t.Skipf("the library's own files are not to be found: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Skipf("the library's own files are not there: %v", err)
	}
	return files
}

// oracle counts a file's rows and prints its flat columns as the library itself reads them.
func oracle(file []byte) (rows int64, flat map[string][]string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return 0, nil, err
	}
	flat = map[string][]string{}
	columns := f.Schema().Columns()
	for _, g := range f.RowGroups() {
		reader := g.Rows()
		buf := make([]parquet.Row, 100)
		for {
			n, err := reader.ReadRows(buf)
			for _, row := range buf[:n] {
				rows++
				for _, v := range row {
					if path := columns[v.Column()]; len(path) == 1 {
						flat[path[0]] = append(flat[path[0]], v.String())
					}
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return rows, flat, err
			}
		}
		if err := reader.Close(); err != nil {
			return rows, flat, err
		}
	}
	return rows, flat, nil
}

// Whatever the library reads is read, row by row, to the same values.
func TestForeignFiles(t *testing.T) {
	for _, path := range foreignFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, flat, oracleErr := oracle(file)
			f, err := readFooter(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Logf("footer: %v; the library: %v", err, oracleErr)
				return
			}
			p, schema, err := planOf("k", &DatasetConfig{Name: "d"}, f, nil)
			if err != nil {
				t.Logf("plan: %v; the library: %v", err, oracleErr)
				return
			}
			r := readPlan(t, file, f, p, schema, "k")
			for row, err := range r.errs {
				t.Logf("row %d: %v", row, err)
				break
			}
			if int64(len(r.rows)) != want {
				t.Errorf("%d rows, the library reads %d (%v)", len(r.rows), want, oracleErr)
			}
			if filepath.Base(path) == "lz4_raw_compressed_larger.parquet" { // the library warns and reads empty text where its writer put these
				if got := r.field(0, "a"); got != "c7ce6bef-d5b0-4863-b199-8ea8c7fb117b" {
					t.Errorf("row 0: %v", got)
				}
				return
			}
			compared := 0
			for name, values := range flat {
				field, ok := schema.Root.Field(schemas.Name(name))
				if !ok || len(values) != len(r.rows) {
					continue // a list
				}
				if typ, _, ok := field.Type.Optional(); !ok || typ.Logical != schemas.NoLogical || typ.Kind == schemas.Float || typ.Kind == schemas.Array {
					continue // compared by TestScalars; the library prints a float's digits as a double's
				}
				for row, want := range values {
					got := fmt.Sprint(r.field(row, field.Name))
					if got == "<nil>" {
						got = "<null>"
					}
					if got != want {
						t.Fatalf("row %d: %s is %q, the library says %q", row, name, got, want)
					}
					compared++
				}
			}
			t.Logf("%d rows, %d values compared", len(r.rows), compared)
		})
	}
}
