package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"adventureworks.example/extract/consumers/clickhouse"
)

// TestEveryGapIsAProblem stores three records in every wrong way.
func TestEveryGapIsAProblem(t *testing.T) {
	records := map[place]uint64{{0, 0}: 10, {0, 2}: 12, {1, 0}: 20}
	right := []clickhouse.RowHash{{Partition: 0, Offset: 0, Hash: 10}, {Partition: 0, Offset: 2, Hash: 12}, {Partition: 1, Offset: 0, Hash: 20}}
	for name, c := range map[string]struct {
		rows                               []clickhouse.RowHash
		missing, twice, strange, different int64
	}{
		"right":     {right, 0, 0, 0, 0},
		"missing":   {right[:2], 1, 0, 0, 0},
		"twice":     {append(right[:3:3], right[0]), 0, 1, 0, 0},
		"strange":   {append(right[:3:3], clickhouse.RowHash{Partition: 0, Offset: 1, Hash: 10}), 0, 0, 1, 0},
		"different": {append(right[:2:2], clickhouse.RowHash{Partition: 1, Offset: 0, Hash: 21}), 0, 0, 0, 1},
		"nothing":   {nil, 3, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Report{}
			cmp := comparison{topic: "t", records: records, seen: map[place]bool{}}
			for _, row := range c.rows {
				if err := cmp.row(row); err != nil {
					t.Fatal(err)
				}
			}
			cmp.judge(r)
			if r.Missing != c.missing || r.Twice != c.twice || r.Strange != c.strange || r.Different != c.different || r.Kept() != (name == "right") {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestTheReportSaysTheSeed(t *testing.T) {
	r := &Report{Seed: 42, ByMember: map[string]*MemberReport{"kafka": {Kills: 3}, "consume 1": {Kills: 2, Stops: 1}}, Fed: map[string]int64{"order": 9}, Records: 100, Stored: 99, Missing: 1,
		Recovery: []Recovery{{"kafka", time.Second}, {"kafka", 3 * time.Second}, {"consume 1", 2 * time.Second}}}
	r.problem("one row is missing")
	var text, js bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"seed 42", "5 kills", "median 2s, longest 3s (of 3)", "missing 1", "PROBLEM one row is missing", "--seed 42"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, text.String())
		}
	}
	if err := r.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || back.Seed != 42 || back.Kills() != 5 || fmt.Sprint(back.Problems) != "[one row is missing]" {
		t.Errorf("%v: %s", err, js.String())
	}
}
