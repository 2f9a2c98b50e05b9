package clickhouse

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

// tombstone is a record with the key of another and no value, at the topic's next offset.
func (b *bench) tombstone(of *kgo.Record) *kgo.Record {
	rec := b.records(of.Topic, 0, nil)[0]
	rec.Key, rec.Value = of.Key, nil
	return rec
}

// stored is what the sink says of a topic.
func (b *bench) stored(topic string) Stored {
	b.t.Helper()
	all, err := b.Stored(b.t.Context(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	return all[0]
}

// Records without a value are rows of the raw table and nothing to the current rows, and the table evolves after them as before.
func TestTombstonesAreStored(t *testing.T) {
	c := newChangeTopic(newBench(t), "aw.sql.shop.item")
	made := c.change(schemas.OpCreate, 20, 2, nil, &image{1, "one", nil})
	c.write(c.batch(made, c.change(schemas.OpCreate, 20, 3, nil, &image{2, "two", []int64{1}})))
	gone := c.change(schemas.OpDelete, 30, 2, &image{id: 1}, nil)
	batch := c.batch(gone, c.tombstone(gone), c.change(schemas.OpCreate, 40, 2, nil, &image{3, "three", nil}))
	if w := c.write(batch); w.Stored != 3 || w.Rejected != 0 {
		t.Errorf("written %+v, want 3 stored", w)
	}
	c.write(batch) // a repeat changes nothing
	c.expect("2=two:[1] 3=three:NULL")
	want := "[(0,'c',0,'x'),(1,'c',0,'x'),(2,'d',0,'x'),(3,NULL,1,NULL),(4,'c',0,'x')]"
	got := c.one("SELECT toString(groupArray((_offset, op, _key IS NOT NULL AND _schema_id = 0, `source.db`))) FROM (SELECT * FROM %s.sql_shop_item ORDER BY _offset)", quoteName(c.conf.Raw))
	if got != want {
		t.Errorf("raw rows are %s, want %s", got, want)
	}
	if held, err := c.Held(t.Context(), batch.Partition, batch.Range); err != nil || len(held) != 3 {
		t.Errorf("held are %v: %v", held, err)
	}
	if st := c.stored(c.topic); st.Rows != 5 || st.Offsets != 5 || st.Rejected != 0 || st.Current != 2 {
		t.Errorf("stored %+v, want 5 rows, none rejected and 2 current", st)
	}
	wider := newChangeTopic(c.bench, c.topic, schemas.NullableField("more", schemas.Primitive(schemas.Int)))
	again := wider.change(schemas.OpDelete, 50, 2, &image{id: 3}, nil)
	wider.write(wider.batch(again, wider.tombstone(again)))
	c.expect("2=two:[1]")
	if n := c.one("SELECT toString(countIf(op IS NULL)) FROM %s.sql_shop_item", quoteName(c.conf.Raw)); n != "2" {
		t.Errorf("%s rows without a value, want 2", n)
	}
}

// A topic of rows may hold tombstones too; they are no rows to the digest.
func TestTombstonesOfRows(t *testing.T) {
	b := newBench(t)
	topic := "aw.files.keyed"
	recs := b.records(topic, b.id(topic+"-value", numbered), payload("a", 1), payload("b", 2))
	recs[0].Key = []byte("k")
	b.write(b.batch(recs...))
	before := b.stored(topic)
	b.write(b.batch(b.tombstone(recs[0])))
	after := b.stored(topic)
	if after.Rows != 3 || after.Offsets != 3 || after.Rejected != 0 || after.Digest != before.Digest {
		t.Errorf("stored %+v, want 3 rows of digest %v", after, before.Digest)
	}
	b.write(b.batch(b.records(topic, b.id(topic+"-value", numbered), payload("c", 3))...))
	if got := b.one("SELECT toString(groupArray((text, n))) FROM (SELECT * FROM %s.files_keyed ORDER BY _offset)", quoteName(b.conf.Raw)); got != "[('a',1),('b',2),(NULL,NULL),('c',3)]" {
		t.Errorf("rows are %s", got)
	}
}

// Before any record with a value nothing says what the table would be: then a tombstone is a dead letter, and does not hold up what follows.
func TestTombstoneBeforeEverything(t *testing.T) {
	b := newBench(t)
	topic := "aw.files.early"
	if w := b.write(b.batch(b.tombstone(&kgo.Record{Topic: topic, Key: []byte("k")}))); w.Rejected != 1 || w.Stored != 0 {
		t.Errorf("written %+v, want 1 rejected", w)
	}
	batch := b.batch(b.records(topic, b.id(topic+"-value", numbered), payload("a", 1))...)
	batch.First = true
	if w := b.write(batch); w.Stored != 1 {
		t.Errorf("written %+v, want 1 stored", w)
	}
}

// debezium is an envelope as Debezium's connector for Postgres registers it, but for the attributes that Avro does not know.
var debezium = schemas.MustParse(`{"type":"record","name":"Envelope","namespace":"shop.public.customer","fields":[
	{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"email","type":"string"}]}],"default":null},
	{"name":"after","type":["null","Value"],"default":null},
	{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[{"name":"version","type":"string"},
		{"name":"connector","type":"string"},{"name":"name","type":"string"},{"name":"ts_ms","type":"long"},{"name":"snapshot","type":["string","null"],"default":"false"},
		{"name":"db","type":"string"},{"name":"sequence","type":["null","string"],"default":null},{"name":"schema","type":"string"},{"name":"table","type":"string"},
		{"name":"txId","type":["null","long"],"default":null},{"name":"lsn","type":["null","long"],"default":null},{"name":"xmin","type":["null","long"],"default":null}]}},
	{"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"},{"name":"total_order","type":"long"},
		{"name":"data_collection_order","type":"long"}]}],"default":null},
	{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"],"default":null}]}`)

func debeziumChange(op string, lsn int64, id int64, before, after string) []byte {
	var p []byte
	for _, email := range []string{before, after} {
		if email == "" {
			p = schemas.AppendBranch(p, 0)
			continue
		}
		p = schemas.AppendString(schemas.AppendLong(schemas.AppendBranch(p, 1), id), email)
	}
	for _, s := range []string{"3.1.0.Final", "postgresql", "shop"} {
		p = schemas.AppendString(p, s)
	}
	p = schemas.AppendString(schemas.AppendBranch(schemas.AppendLong(p, 1_700_000_000_000), 0), "false")
	p = schemas.AppendBranch(schemas.AppendString(p, "shop"), 0)
	p = schemas.AppendString(schemas.AppendString(p, "public"), "customer")
	p = schemas.AppendLong(schemas.AppendBranch(p, 1), 700)
	p = schemas.AppendLong(schemas.AppendBranch(p, 1), lsn)
	p = schemas.AppendBranch(schemas.AppendBranch(p, 0), 0)
	return schemas.AppendLong(schemas.AppendBranch(schemas.AppendString(p, op), 1), 1_700_000_000_001)
}

// A topic of Debezium's becomes current rows like one of ours, in the order of its LSNs, with a tombstone after each delete.
func TestTopicsOfDebezium(t *testing.T) {
	b := newBench(t)
	topic := "aw.sql.public.customer"
	value := b.id(topic+"-value", debezium)
	key := b.id(topic+"-key", schemas.MustParse(`{"type":"record","name":"Key","namespace":"shop.public.customer","fields":[{"name":"id","type":"int"}]}`))
	change := func(op string, lsn, id int64, before, after string) *kgo.Record {
		rec := b.records(topic, value, debeziumChange(op, lsn, id, before, after))[0]
		rec.Key = schemas.AppendLong(schemas.AppendFrame(nil, key), id)
		return rec
	}
	w := b.write(b.batch(
		change("r", 100, 1, "", "one@x"), change("r", 100, 2, "", "two@x"),
		change("c", 200, 3, "", "three@x"), change("u", 210, 1, "one@x", "uno@x"),
	))
	gone := change("d", 300, 2, "two@x", "")
	w2 := b.write(b.batch(gone, b.tombstone(gone), change("c", 310, 4, "", "four@x"), change("u", 320, 4, "four@x", "vier@x")))
	b.write(b.batch(change("u", 205, 1, "", "older@x"))) // an older change that comes late loses
	if w.Stored != 4 || w2.Stored != 4 || w.Rejected+w2.Rejected != 0 {
		t.Errorf("written %+v and %+v, want 4 stored each; rejected: %v", w, w2, b.query(1, "SELECT reason FROM %s", b.dead.fullName()))
	}
	got := b.one("SELECT toString(groupArray((id, email))) FROM (SELECT * FROM %s.sql_public_customer ORDER BY id)", quoteName(b.conf.Current))
	if want := "[(1,'uno@x'),(3,'three@x'),(4,'vier@x')]"; got != want {
		t.Errorf("current rows are %s, want %s", got, want)
	}
	if st := b.stored(topic); st.Rows != 9 || st.Current != 3 || st.Rejected != 0 || !st.Changes {
		t.Errorf("stored %+v", st)
	}
}
