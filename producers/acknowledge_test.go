package producers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"adventureworks.example/extract/producers"
)

// doubter is a source that asks Kafka, when it is told to commit, whether what it is told is so.
type doubter struct {
	*script
	r *rig
}

// Commit fails for a position that Kafka does not come to hold while it waits.
func (d doubter) Commit(ctx context.Context, told []producers.Position) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, p := range told {
		for {
			held, err := producers.ReadPositions(ctx, d.r.o.Kafka, d.r.o.Prefix, d.r.o.Source)
			if err == nil && held[p.Part] == p.Text {
				break
			}
			select { // it is decided some time before it can be read
			case <-ctx.Done():
				d.t.Errorf("told to commit %v, and Kafka holds %v: %v", p, held, err)
				return fmt.Errorf("wait for position %v: %w", p, ctx.Err())
			case <-time.After(time.Millisecond):
			}
		}
	}
	return d.script.Commit(ctx, told)
}

// A source gives up what it could read again only when it is told to, and it is told when Kafka holds the rows and the position for good.
func TestSourceIsToldAfterTheCommit(t *testing.T) {
	r := newRig(t)
	d := doubter{newScript(t), r}
	done, _ := r.start(t, d)
	receive(t, d.opened, "opening")
	for i := range 3 {
		text := fmt.Sprint("position ", i)
		d.send(d.batch(2, 10, text))
		if told := receive(t, d.committed, "commit"); len(told) != 1 || told[0].Text != text {
			t.Errorf("told %v, want %s", told, text)
		}
		r.sees(t, d.topic.Topic, 2*(i+1))
	}
	close(d.in)
	if err := receive(t, done, "end"); err != nil {
		t.Error(err)
	}
}
