package embedded

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"
)

func registryClient(t *testing.T, url string) *sr.Client {
	t.Helper()
	c, err := sr.NewClient(sr.URLs(url), sr.HTTPClient(&http.Client{Timeout: 20 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startRegistry(t *testing.T, k *Kafka) (*Registry, *sr.Client) {
	t.Helper()
	r, err := StartRegistry(t.Context(), k.Brokers(), RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r, registryClient(t, r.URL())
}

func memoryKafka(t *testing.T) *Kafka {
	t.Helper()
	k, err := StartKafka(KafkaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Stop() })
	return k
}

func mustCreate(t *testing.T, c *sr.Client, subject, schema string) sr.SubjectSchema {
	t.Helper()
	s, err := c.CreateSchema(t.Context(), subject, sr.Schema{Schema: schema})
	if err != nil {
		t.Fatalf("%s %s: %v", subject, schema, err)
	}
	return s
}

const (
	recordA  = `{"type":"record","name":"r","fields":[{"name":"a","type":"int"}]}`
	recordAB = `{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"b","type":["null","string"],"default":null}]}`
	recordAS = `{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}`
)

func TestRegistryKeepsWhatItAnswered(t *testing.T) {
	k := memoryKafka(t)
	r, c := startRegistry(t, k)
	mustCreate(t, c, "other-value", `"string"`)
	first := mustCreate(t, c, "a-value", recordA)
	second := mustCreate(t, c, "a-value", recordAB)
	shared := mustCreate(t, c, "b-value", recordA) // the id of a-value's
	last := mustCreate(t, c, "b-value", recordAB)
	if again := mustCreate(t, c, "a-value", recordA); again.ID != first.ID || shared.ID != first.ID || last.ID != second.ID || first.ID == second.ID {
		t.Fatalf("ids %d %d %d %d %d", first.ID, again.ID, shared.ID, second.ID, last.ID)
	}
	if set := c.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatNone}, "other-value"); set[0].Err != nil {
		t.Fatal(set[0].Err)
	}
	if err := c.DeleteSchema(t.Context(), "b-value", 1, sr.SoftDelete); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	_, c = startRegistry(t, k)
	for _, want := range []sr.SubjectSchema{first, second, last} {
		got, err := c.SchemaByVersion(t.Context(), want.Subject, want.Version)
		if err != nil || got.ID != want.ID || got.Schema.Schema != want.Schema.Schema {
			t.Errorf("%s version %d is %+v (%v), was %+v", want.Subject, want.Version, got, err, want)
		}
	}
	if _, err := c.SchemaByVersion(t.Context(), "b-value", 1); err == nil {
		t.Error("the deleted version is back")
	}
	if level := c.Compatibility(t.Context(), "other-value"); level[0].Level != sr.CompatNone {
		t.Errorf("the level is %+v", level[0])
	}
	if next := mustCreate(t, c, "c-value", `"bytes"`); next.ID <= second.ID {
		t.Errorf("a new schema has id %d, which was given before", next.ID)
	}
}

func TestRegistryRefusesIncompatible(t *testing.T) {
	_, c := startRegistry(t, memoryKafka(t))
	mustCreate(t, c, "a-value", recordA)
	_, err := c.CreateSchema(t.Context(), "a-value", sr.Schema{Schema: recordAS})
	var answer *sr.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusConflict || answer.ErrorCode != sr.ErrIncompatibleSchema.Code {
		t.Fatalf("int as string: %v", err)
	}
	if versions, err := c.SubjectVersions(t.Context(), "a-value"); err != nil || len(versions) != 1 {
		t.Errorf("versions %v, %v", versions, err)
	}
	for schema, want := range map[string]bool{recordAS: false, recordAB: true} {
		got, err := c.CheckCompatibility(t.Context(), "a-value", -1, sr.Schema{Schema: schema})
		if err != nil || got.Is != want {
			t.Errorf("compatible %s = %v, %v", schema, got.Is, err)
		}
	}
	if set := c.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatNone}, "a-value"); set[0].Err != nil {
		t.Fatal(set[0].Err)
	}
	mustCreate(t, c, "a-value", recordAS)
}

// A write of the topic that fails is not answered, whether or not it has happened; asked again, the registry knows which.
func TestRegistryWriteFails(t *testing.T) {
	for _, happened := range []bool{false, true} {
		k := memoryKafka(t)
		r, c := startRegistry(t, k)
		mustCreate(t, c, "a-value", recordA)
		failing := failProduces(k.Cluster(), happened)
		if s, err := c.CreateSchema(t.Context(), "a-value", sr.Schema{Schema: recordAB}); err == nil {
			t.Fatalf("happened %v: it was answered with id %d", happened, s.ID)
		}
		failing.Remove()
		versions, err := c.SubjectVersions(t.Context(), "a-value")
		if err != nil || len(versions) != map[bool]int{false: 1, true: 2}[happened] {
			t.Errorf("happened %v: versions %v, %v", happened, versions, err)
		}
		want := mustCreate(t, c, "a-value", recordAB)
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, c = startRegistry(t, k)
		if got, err := c.SchemaByVersion(t.Context(), "a-value", 2); err != nil || got.ID != want.ID {
			t.Errorf("happened %v: version 2 is %+v (%v), was answered as %+v", happened, got, err, want)
		}
	}
}

// failProduces refuses every write until the handle is removed. With happened, the first one is written before.
func failProduces(c *kfake.Cluster, happened bool) *kfake.FaultHandle {
	keys := []kmsg.Key{kmsg.Produce}
	var faults []kfake.Fault
	if happened { // kfake appends what it says has timed out
		faults = append(faults, kfake.Fault{Keys: keys, Err: kerr.RequestTimedOut})
	}
	return c.Fault(append(faults, kfake.Fault{Keys: keys, Err: kerr.TopicAuthorizationFailed, Count: -1})...)
}
