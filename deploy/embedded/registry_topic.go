package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// The topic's records have the form that schema registries give theirs: a key that says what kind of thing the record is about, and a value that
// is null where that thing is gone. They are read in their order, so the topic is not compacted; it grows with the number of schemas only.

// registryKey is the key of a record.
type registryKey struct {
	KeyType string  `json:"keytype"` // SCHEMA, DELETE_SUBJECT or CONFIG
	Subject *string `json:"subject"` // null for the level of all subjects
	Version int     `json:"version,omitempty"`
	Magic   int     `json:"magic"`
}

// schemaValue is the value of a SCHEMA.
type schemaValue struct {
	Subject    string               `json:"subject"`
	Version    int                  `json:"version"`
	ID         int                  `json:"id"`
	SchemaType string               `json:"schemaType,omitempty"`
	References []sr.SchemaReference `json:"references,omitempty"`
	Schema     string               `json:"schema"`
	Deleted    bool                 `json:"deleted"`
}

// configValue is the value of a CONFIG.
type configValue struct {
	Level string `json:"compatibilityLevel"`
}

func (r *Registry) makeTopic(ctx context.Context) error {
	never := "-1"
	policy := "delete"
	resp, err := kadm.NewClient(r.client).CreateTopic(ctx, 1, -1, map[string]*string{"retention.ms": &never, "cleanup.policy": &policy}, r.topic)
	if err == nil {
		err = resp.Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", r.topic, err)
	}
	return nil
}

// save writes a record. When that fails it may have happened all the same, so what is in memory is not to be trusted any more.
func (r *Registry) save(ctx context.Context, rec *kgo.Record) error {
	// The client that asked may go: the write is finished all the same.
	if err := r.client.ProduceSync(context.WithoutCancel(ctx), rec).FirstErr(); err != nil {
		r.stale = true
		return fmt.Errorf("keep the change in topic %s: %w", r.topic, err)
	}
	return nil
}

// load makes what is in memory what the topic says. The caller holds mu for writing, or nobody else has the registry yet.
func (r *Registry) load(ctx context.Context) error {
	r.stale = true
	ends, err := kadm.NewClient(r.client).ListEndOffsets(ctx, r.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list offsets of topic %s: %w", r.topic, err)
	}
	end, ok := ends.Lookup(r.topic, 0)
	if !ok {
		return fmt.Errorf("topic %s has no partition 0", r.topic)
	}
	r.fake, r.saved = srfake.NewRegistry(), map[savedVersion]bool{}
	reader, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return err
	}
	defer reader.Close()
	ids := map[int]bool{}
	for next := int64(0); next < end.Offset; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read topic %s at offset %d: %w", r.topic, next, err)
		}
		for _, rec := range fetches.Records() {
			if err := r.apply(rec, ids); err != nil {
				return fmt.Errorf("topic %s, offset %d: %w", r.topic, rec.Offset, err)
			}
			next = rec.Offset + 1
		}
	}
	r.stale = false
	return nil
}

func (r *Registry) apply(rec *kgo.Record, ids map[int]bool) error {
	var key registryKey
	if err := json.Unmarshal(rec.Key, &key); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	subject := ""
	if key.Subject != nil {
		subject = *key.Subject
	}
	switch key.KeyType {
	case "SCHEMA":
		return r.applySchema(subject, key.Version, rec.Value, ids)
	case "DELETE_SUBJECT":
		return r.applyDelete("/subjects/"+url.PathEscape(subject), rec.Value == nil)
	case "CONFIG":
		path := "/config"
		if subject != "" {
			path += "/" + url.PathEscape(subject)
		}
		if rec.Value == nil {
			return r.applied(r.call(http.MethodDelete, path, "").Code, path)
		}
		var v configValue
		if err := json.Unmarshal(rec.Value, &v); err != nil {
			return err
		}
		return r.applied(r.call(http.MethodPut, path, `{"compatibility":`+strconv.Quote(v.Level)+`}`).Code, path)
	}
	return nil // NOOP and what other registries write
}

func (r *Registry) applySchema(subject string, version int, value []byte, ids map[int]bool) error {
	path := "/subjects/" + url.PathEscape(subject) + "/versions/" + strconv.Itoa(version)
	if value == nil {
		return r.applyDelete(path, true)
	}
	var v schemaValue
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	if v.Deleted {
		return r.applyDelete(path, false)
	}
	s := sr.Schema{Schema: v.Schema, References: v.References}
	if v.SchemaType != "" {
		if err := s.Type.UnmarshalText([]byte(v.SchemaType)); err != nil {
			return err
		}
	}
	at := savedVersion{subject, version}
	if r.saved[at] {
		return nil // written twice: the first answer was lost
	}
	r.saved[at] = true
	if ids[v.ID] { // of another subject's schema, which this one equals
		id, got, err := r.fake.RegisterSchema(subject, s)
		if err == nil && (id != v.ID || got != version) {
			err = fmt.Errorf("subject %s version %d has id %d, not %d (version %d)", subject, version, v.ID, id, got)
		}
		return err
	}
	ids[v.ID] = true
	return r.seed(subject, version, v.ID, s)
}

// seed turns SeedSchema's panic, on a schema it does not accept, into an error.
func (r *Registry) seed(subject string, version, id int, s sr.Schema) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("subject %s version %d: %v", subject, version, p)
		}
	}()
	r.fake.SeedSchema(subject, version, id, s)
	return nil
}

func (r *Registry) applyDelete(path string, permanent bool) error {
	if permanent {
		path += "?permanent=true"
	}
	return r.applied(r.call(http.MethodDelete, path, "").Code, path)
}

func (r *Registry) applied(status int, path string) error {
	if status != http.StatusOK && status != http.StatusNotFound { // not found: written twice
		return fmt.Errorf("%s answers %d", path, status)
	}
	return nil
}

func schemaRecord(subject string, version, id int, s sr.Schema) *kgo.Record {
	v := schemaValue{Subject: subject, Version: version, ID: id, References: s.References, Schema: s.Schema}
	if s.Type != sr.TypeAvro {
		v.SchemaType = s.Type.String()
	}
	return record(registryKey{KeyType: "SCHEMA", Subject: &subject, Version: version, Magic: 1}, v)
}

func subjectDeleted(req *http.Request, _ []byte) *kgo.Record {
	subject := req.PathValue("subject")
	return gone(req, registryKey{KeyType: "DELETE_SUBJECT", Subject: &subject}, map[string]string{"subject": subject})
}

// versionDeleted reads the version's number from the answer, since the request may say latest.
func versionDeleted(req *http.Request, answer []byte) *kgo.Record {
	subject := req.PathValue("subject")
	version, _ := strconv.Atoi(strings.TrimSpace(string(answer))) // it answers with the number
	return gone(req, registryKey{KeyType: "SCHEMA", Subject: &subject, Version: version, Magic: 1},
		schemaValue{Subject: subject, Version: version, Deleted: true})
}

func gone(req *http.Request, key registryKey, value any) *kgo.Record {
	if req.URL.Query().Get("permanent") == "true" {
		value = nil
	}
	return record(key, value)
}

func configured(req *http.Request, answer []byte) *kgo.Record {
	key := registryKey{KeyType: "CONFIG"}
	if subject := req.PathValue("subject"); subject != "" {
		key.Subject = &subject
	}
	var set struct{ Compatibility string }
	if req.Method == http.MethodDelete || json.Unmarshal(answer, &set) != nil {
		return record(key, nil)
	}
	return record(key, configValue{Level: set.Compatibility})
}

// record renders a record; a nil value is a null one.
func record(key registryKey, value any) *kgo.Record {
	k, _ := json.Marshal(key) // strings and numbers always marshal
	if value == nil {
		return &kgo.Record{Key: k}
	}
	v, _ := json.Marshal(value)
	return &kgo.Record{Key: k, Value: v}
}
