package producers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/producers"
	"adventureworks.example/extract/producers/sourcetest"
	"adventureworks.example/extract/schemas"
)

// bring makes the record of a row that is a text.
func bring(dataset, text string) func(context.Context, producers.Target) (producers.Repaired, error) {
	return func(ctx context.Context, t producers.Target) (producers.Repaired, error) {
		d, err := t.Dataset(ctx, dataset, nil, valueSchema)
		if err != nil {
			return producers.Repaired{}, err
		}
		v := schemas.AppendBytes(schemas.AppendFrame(nil, d.ValueID), []byte(text))
		return producers.Repaired{Records: []*kgo.Record{{Topic: d.Topic, Value: v}}}, nil
	}
}

// lettersOrigin is dead letters whose rows can be brought in by now, all but every fifth.
type lettersOrigin struct {
	mu sync.Mutex // guards n
	n  int
}

func (o *lettersOrigin) letters() (all []producers.Letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.n {
		l := producers.Letter{ID: fmt.Sprintf("%016x", i), Source: "src", Dataset: "rows", Bring: bring("rows", fmt.Sprint("row ", i)), Closing: producers.Closing{By: "test"}}
		if i%5 == 4 {
			l.Bring = func(context.Context, producers.Target) (producers.Repaired, error) {
				return producers.Repaired{}, &producers.Error{Class: producers.Reject, Err: errors.New("still bad")}
			}
		}
		all = append(all, l)
	}
	return all
}

func (o *lettersOrigin) Source(context.Context) (producers.Source, error) {
	return nil, errors.New("dead letters are no origin")
}

func (o *lettersOrigin) Add(*testing.T) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n += 3
}

func (o *lettersOrigin) Rows(*testing.T) (rows []sourcetest.Row) {
	for i := range o.letters() {
		if i%5 != 4 {
			rows = append(rows, sourcetest.Row{Dataset: "rows", Text: fmt.Sprint("row ", i)})
		}
	}
	return rows
}

func (o *lettersOrigin) Row(dataset string, r *kgo.Record, _ func(int) *schemas.Schema) (sourcetest.Row, bool, error) {
	_, payload, err := schemas.ParseFrame(r.Value)
	if err != nil || len(payload) == 0 {
		return sourcetest.Row{}, false, err
	}
	return sourcetest.Row{Dataset: dataset, Text: string(payload[1:])}, true, nil
}

// Whatever fails or dies between any two requests of a retry, or wakes up as a zombie, the rows come in once when it is repeated.
func TestRetriedLettersComeInOnce(t *testing.T) {
	var latest *lettersOrigin // the cases run one after the other
	sourcetest.Run(t, sourcetest.Harness{
		New: func(*testing.T) sourcetest.Origin {
			latest = &lettersOrigin{n: 7}
			return latest
		},
		Start: func(ctx context.Context, o producers.Options) error {
			err := producers.CloseLetters(ctx, o, latest.letters(), func(producers.LetterResult) {})
			if ctx.Err() != nil {
				return nil
			}
			return err
		},
	})
}

// close closes letters and returns what was told of each.
func (r *rig) closeLetters(t *testing.T, letters ...producers.Letter) (results []producers.LetterResult) {
	t.Helper()
	if err := producers.CloseLetters(t.Context(), r.o, letters, func(l producers.LetterResult) { results = append(results, l) }); err != nil {
		t.Fatal(err)
	}
	return results
}

// What becomes of a letter is told in its turn and stays on record: retried once, open with the newest reason, discarded for good.
func TestLettersAreClosedOnce(t *testing.T) {
	r := newRig(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	letter := func(id string) producers.Letter {
		return producers.Letter{ID: id, Source: "sql", Dataset: "rows", Closing: producers.Closing{At: at, By: "ann", Why: "mended"}, Bring: bring("rows", id)}
	}
	broken := letter("b")
	reason := "too long"
	broken.Bring = func(context.Context, producers.Target) (producers.Repaired, error) {
		return producers.Repaired{}, &producers.Error{Class: producers.Reject, Err: errors.New(reason)}
	}
	discarded := letter("c")
	discarded.Bring = nil
	corrected := letter("d")
	corrected.Closing.Corrected, corrected.Closing.SHA256 = true, "abc"

	results := r.closeLetters(t, letter("a"), broken, discarded, corrected)
	var told []string
	for _, l := range results {
		told = append(told, fmt.Sprint(l.ID, " ", l.Closing.State, " ", l.Before, " ", l.Err))
	}
	if got, want := strings.Join(told, "; "), "a retried false <nil>; b open false too long; c discarded false <nil>; d retried false <nil>"; got != want {
		t.Errorf("told: %s, want %s", got, want)
	}
	reason = "not a number"
	results = r.closeLetters(t, letter("a"), broken, letter("c"))
	if !results[0].Before || results[0].Closing.By != "ann" || results[1].Before || results[1].Closing.Tries != 2 || !results[2].Before || results[2].Closing.State != producers.LetterDiscarded {
		t.Errorf("told of the second time: %+v", results)
	}
	r.sees(t, r.topic("sql.rows"), 2)
	all, err := producers.ReadClosings(t.Context(), r.o.Kafka, r.o.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	if a := all["a"]; a.State != producers.LetterRetried || !a.Produced || !a.At.Equal(at) || a.Why != "mended" || a.Source != "sql" || a.Dataset != "rows" || a.Digest != "" {
		t.Errorf("a is %+v", a)
	}
	if b := all["b"]; b.State != producers.LetterOpen || b.Reason != "not a number" || b.Tries != 2 {
		t.Errorf("b is %+v", b)
	}
	if d := all["d"]; !d.Corrected || d.SHA256 != "abc" || len(d.Digest) != 32 {
		t.Errorf("d is %+v", d)
	}
	broken.Bring = bring("rows", "b") // mended at last
	if results = r.closeLetters(t, broken); results[0].Err != nil || results[0].Closing.State != producers.LetterRetried {
		t.Errorf("told of the third time: %+v", results)
	}
	r.sees(t, r.topic("sql.rows"), 3)
}

// What a broker would refuse for its size stays a dead letter, and is not rejected into a second one.
func TestRetriedRecordTooLarge(t *testing.T) {
	r := newRig(t)
	r.o.Limits.MaxRecordBytes = 9 << 10
	results := r.closeLetters(t, producers.Letter{ID: "a", Source: "sql", Dataset: "rows", Bring: bring("rows", strings.Repeat("x", 9<<10))})
	if results[0].Err == nil || results[0].Closing.State != producers.LetterOpen || !strings.Contains(results[0].Err.Error(), "its topic takes") {
		t.Errorf("told: %+v", results)
	}
	if n := len(r.visible(t, r.topic("deadletters"))); n > 0 {
		t.Errorf("%d new dead letters", n)
	}
}

// Letters of two sources, or one letter twice, are a mistake of the caller.
func TestLettersOfOneSource(t *testing.T) {
	for _, letters := range [][]producers.Letter{{{ID: "a", Source: "x"}, {ID: "b", Source: "y"}}, {{ID: "a", Source: "x"}, {ID: "a", Source: "x"}}} {
		if err := producers.CloseLetters(t.Context(), producers.Options{}, letters, nil); err == nil {
			t.Errorf("%v are closed", letters)
		}
	}
}

func TestParseClosing(t *testing.T) {
	for _, bad := range []string{"", "{}", "null", `{"state":"gone"}`, `["open"]`} {
		if c, err := producers.ParseClosing(bad); err == nil {
			t.Errorf("%q is the closing %+v", bad, c)
		}
	}
	want := producers.Closing{State: producers.LetterRetried, Source: "s", Dataset: "d", By: "é <b>", Why: "\x00\n", Tries: 3, At: time.Unix(5, 6).UTC()}
	if got, err := producers.ParseClosing(want.String()); err != nil || got != want {
		t.Errorf("%+v came back as %+v, %v", want, got, err)
	}
}
