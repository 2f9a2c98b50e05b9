package faults

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"adventureworks.example/extract/schemas"
)

// Every line says what it is, its name begins with its place, and no two are known by the same code.
func TestTableIsWhole(t *testing.T) {
	names, codes := map[Name]bool{}, map[string]Name{}
	for _, f := range Table {
		if f.What == "" || f.Class == "" || !strings.HasPrefix(string(f.Name), string(f.Place)+"-") || names[f.Name] {
			t.Errorf("line %+v is not whole, or there twice", f)
		}
		if f.Remedy == "" && f.Class != Reject && f.Name != ClickHouseStale {
			t.Errorf("%s has no remedy", f.Name)
		}
		names[f.Name] = true
		for _, by := range f.By {
			code, _, _ := strings.Cut(by, " ")
			key := string(f.Place) + " " + code
			if other, there := codes[key]; there {
				t.Errorf("%s is known as %s and as %s", key, other, f.Name)
			}
			codes[key] = f.Name
			if got, ok := Find(f.Place, code); !ok || got.Name != f.Name {
				t.Errorf("Find(%s, %s) = %s, want %s", f.Place, code, got.Name, f.Name)
			}
			if f.Place == Kafka && kafkaError(code) == nil {
				t.Errorf("Kafka has no error %s", code)
			}
			if f.Place == Files && errnos[code] == nil {
				t.Errorf("%s is not recognized", code)
			}
		}
	}
}

// kafkaError is Kafka's error of a name.
func kafkaError(name string) error {
	for code := int16(-1); code < 300; code++ {
		if e, ok := errors.AsType[*kerr.Error](kerr.ErrorForCode(code)); ok && e.Message == name {
			return e
		}
	}
	return nil
}

// Every error of Kafka that passes by itself, as Kafka says, is tried again and not paused on, but for a topic that is not there.
func TestWhatKafkaCallsRetriableIsRetried(t *testing.T) {
	for code := int16(1); code < 300; code++ {
		e, ok := errors.AsType[*kerr.Error](kerr.ErrorForCode(code))
		if !ok || !e.Retriable {
			continue
		}
		f, known := Known(Recognize(fmt.Errorf("do: %w", e)))
		if known && f.Class != Retry && f.Name != KafkaTopicMissing {
			t.Errorf("%s is %s", e.Message, f.Class)
		}
	}
}

func TestRecognize(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Name
	}{
		{kerr.NotLeaderForPartition, "kafka-moving"}, {kerr.TopicAuthorizationFailed, KafkaTopicRefused}, {kerr.MessageTooLarge, "kafka-record-too-large"},
		{kerr.FencedInstanceID, KafkaFenced}, {x509.UnknownAuthorityError{}, KafkaCertificate},
		{schemas.ErrRegistryUnavailable, RegistryDown}, {schemas.ErrRegistryDenied, RegistryRefused}, {schemas.ErrUnknownSchema, RegistryUnknownID},
		{&schemas.IncompatibleError{Subject: "s"}, RegistryIncompatible},
		{io.EOF, ""}, {errors.New("odd"), ""}, {kerr.UnknownServerError, ""}, {context.Canceled, ""},
		{&Error{Class: Stop, Err: kerr.MessageTooLarge}, ""},
	} {
		if f, _ := Known(Recognize(fmt.Errorf("wrapped: %w", c.err))); f.Name != c.want {
			t.Errorf("%v is %q, want %q", c.err, f.Name, c.want)
		}
	}
	if f, _ := Known(RecognizeKafka(fmt.Errorf("dial: %w", syscall.ECONNREFUSED))); f.Name != KafkaDown {
		t.Errorf("a refused connection is %q", f.Name)
	}
	if err := RecognizeKafka(context.Canceled); err != context.Canceled {
		t.Errorf("a cancelled call is %v", err)
	}
}

func TestRecognizeFile(t *testing.T) {
	_, missing := os.Open(filepath.Join(t.TempDir(), "none"))
	for _, c := range []struct {
		err  error
		want Name
	}{
		{missing, ""}, {os.ErrPermission, FileRefused}, {&os.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, FilesFull},
		{syscall.EROFS, FileRefused}, {syscall.EMFILE, "files-too-many-open"}, {io.EOF, ""},
	} {
		if f, _ := Known(RecognizeFile(fmt.Errorf("wrapped: %w", c.err))); f.Name != c.want {
			t.Errorf("%v is %q, want %q", c.err, f.Name, c.want)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	err := fmt.Errorf("write t/0: %w", ClickHouseDown.Of(io.EOF))
	if got, want := err.Error(), "write t/0: EOF; start ClickHouse, or correct `clickhouse.addresses`"; got != want {
		t.Errorf("error is %q, want %q", got, want)
	}
	if text, remedy := Split(err); text != "write t/0: EOF" || !strings.HasPrefix(remedy, "start ClickHouse") {
		t.Errorf("split into %q and %q", text, remedy)
	}
	if text, remedy := Split(io.EOF); text != "EOF" || remedy != "" {
		t.Errorf("split into %q and %q", text, remedy)
	}
	if !errors.Is(err, io.EOF) || ClickHouseDown.Of(nil) != nil {
		t.Error("the cause is lost, or nothing is an error")
	}
	if f, ok := Find(Postgres, "28P01"); !ok || f.Name != "postgres-login" {
		t.Errorf("28P01 is %q", f.Name)
	}
}
