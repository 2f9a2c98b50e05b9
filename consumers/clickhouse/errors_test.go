package clickhouse

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"adventureworks.example/extract/consumers"
	"adventureworks.example/extract/schemas/faults"
)

// Every code of the vocabulary has its line, whichever of the two libraries brings it; one that is not there wants a person.
func TestCodesHaveTheirFault(t *testing.T) {
	want := map[int]faults.Name{4242: faults.ClickHouseUnknown, 241: "clickhouse-memory", 201: "clickhouse-quota", 516: "clickhouse-login"}
	for _, f := range faults.Table {
		if f.Place != faults.ClickHouse {
			continue
		}
		for _, by := range f.By {
			number, name, _ := strings.Cut(by, " ")
			code, err := strconv.Atoi(number)
			if err != nil || name == "" {
				t.Fatalf("%s is known by %q, want a number and a name", f.Name, by)
			}
			want[code] = f.Name
		}
	}
	if len(want) < 50 {
		t.Fatalf("%d codes; the table was not read", len(want))
	}
	for code, name := range want {
		f, _ := name.Lookup()
		for _, exception := range []error{&ch.Exception{Code: proto.Error(code), Message: "m"}, &clickhouse.Exception{Code: int32(code), Message: "m"}} {
			err := classify(fmt.Errorf("insert: %w", exception))
			got, _ := faults.Known(err)
			if got.Name != name || consumers.Classify(err) != f.Class || !strings.Contains(err.Error(), f.Remedy) {
				t.Errorf("code %d is %v (%s), want %s", code, err, got.Name, name)
			}
			if text := errorText(err); text != fmt.Sprintf("m (code %d)", code) {
				t.Errorf("code %d reads %q", code, text)
			}
		}
	}
}

// A full disk comes under several codes; only its text tells.
func TestFullDiskIsKnownByItsText(t *testing.T) {
	for _, code := range []int{1001, 75, 1000} {
		err := classify(&ch.Exception{Code: proto.Error(code), Message: "filesystem error: No space left on device"})
		if f, _ := faults.Known(err); f.Name != faults.ClickHouseDiskFull {
			t.Errorf("code %d is %q", code, f.Name)
		}
	}
}

func TestNetworkIsClickHouses(t *testing.T) {
	for _, err := range []error{io.EOF, context.DeadlineExceeded, clickhouse.ErrAcquireConnTimeout} {
		if f, _ := faults.Known(classify(fmt.Errorf("read: %w", err))); f.Name != faults.ClickHouseDown {
			t.Errorf("%v is %q", err, f.Name)
		}
	}
	if err := classify(context.Canceled); err != context.Canceled {
		t.Errorf("a cancelled call is %v", err)
	}
}
