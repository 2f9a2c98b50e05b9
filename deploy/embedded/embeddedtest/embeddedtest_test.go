package embeddedtest

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

func TestMain(m *testing.M) { Main(m) }

func TestClickHouse(t *testing.T) {
	ch := ClickHouse(t)
	if got := query(t, ch.HTTP, "SELECT 1 + 1"); got != "2" {
		t.Errorf("1 + 1 = %q", got)
	}
	if other := ClickHouse(t); other.Addr != ch.Addr || other.Suffix == ch.Suffix {
		t.Errorf("a second call gives %+v after %+v: want the same server and another suffix", other, ch)
	}
	t.Log(query(t, ch.HTTP, "SELECT version()"))
}

func query(t *testing.T, address, sql string) string {
	t.Helper()
	resp, err := http.Post(address+"/?query="+url.QueryEscape(sql), "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

func TestPostgresDropsDatabaseAndSlots(t *testing.T) {
	var used string
	t.Run("use", func(t *testing.T) {
		used = Postgres(t)
		conn, err := pgx.Connect(t.Context(), used)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var level string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting('wal_level')").Scan(&level); err != nil {
			t.Fatal(err)
		}
		if level != "logical" {
			t.Errorf("wal_level is %s", level)
		}
		if _, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')"); err != nil {
			t.Fatal(err)
		}
	})
	conn, err := pgx.Connect(t.Context(), Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var slots, databases int
	u, err := url.Parse(used)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'left_behind'), (SELECT count(*) FROM pg_database WHERE datname = $1)",
		u.Path[1:]).Scan(&slots, &databases)
	if err != nil {
		t.Fatal(err)
	}
	if slots != 0 || databases != 0 {
		t.Errorf("%d slots and %d databases are left behind", slots, databases)
	}
}

func TestKafkaTakesLargeRecords(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(Kafka(t)...), kgo.ProducerBatchMaxBytes(16<<20+4096), kgo.ConsumeTopics("large"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	large := &kgo.Record{Topic: "large", Value: make([]byte, 16<<20)}
	makeTopic(t, client, "large")
	if err := client.ProduceSync(t.Context(), large).FirstErr(); err != nil {
		t.Fatal(err)
	}
	records := client.PollFetches(t.Context()).Records()
	if len(records) != 1 || len(records[0].Value) != 16<<20 {
		t.Fatalf("%d records came back", len(records))
	}
}

func makeTopic(t *testing.T, client *kgo.Client, topic string) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

func TestRegistry(t *testing.T) {
	client, err := sr.NewClient(sr.URLs(Registry(t)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.CreateSchema(t.Context(), "a-value", sr.Schema{Schema: `"long"`})
	if err != nil {
		t.Fatal(err)
	}
	back, err := client.SchemaByID(t.Context(), s.ID)
	if err != nil || back.Schema != `"long"` {
		t.Errorf("schema %d is %q, %v", s.ID, back.Schema, err)
	}
}
