package schemas

// Op is what a change did, in Debezium's letters.
type Op string

// The operations: a row read by a first copy, created, updated, deleted; a table truncated; a message.
const (
	OpRead     Op = "r"
	OpCreate   Op = "c"
	OpUpdate   Op = "u"
	OpDelete   Op = "d"
	OpTruncate Op = "t"
)

// Change numbers. A change is ordered by (generation, commit LSN, number): within one commit LSN, the mark that opens a copy is 0, the
// rows of a copy are 1, and the changes of a transaction count from 2. So a streamed change of the same LSN comes after the copy.
const (
	NumberCopyMark    = 0
	NumberCopyRow     = 1
	NumberFirstChange = 2
)

// changeSource is where a change comes from: Debezium's names for Postgres, then ours (commit_lsn, number, generation).
func changeSource() *Type {
	str, long := Primitive(String), Primitive(Long)
	return RecordOf("extract.postgres.Source",
		Field{Name: "version", Type: str},
		Field{Name: "connector", Type: str, Doc: "postgresql"},
		Field{Name: "name", Type: str, Doc: "The topic prefix and the source."},
		Field{Name: "ts_ms", Type: long, Doc: "Commit time at the server, in milliseconds since 1970."},
		Field{Name: "ts_us", Type: long, Doc: "The same in microseconds."},
		Field{Name: "snapshot", Type: str, Doc: "true for a row read by a copy, else false."},
		Field{Name: "db", Type: str},
		Field{Name: "schema", Type: str},
		Field{Name: "table", Type: str},
		NullableField("txId", long),
		NullableField("lsn", long), // of the row's WAL record
		Field{Name: "commit_lsn", Type: long, Doc: "Final LSN of the transaction, or the copy LSN.", Default: "0"},
		Field{Name: "number", Type: long, Doc: "Number in the transaction.", Default: "0"},
		Field{Name: "generation", Type: long, Doc: "Of the source: higher after a restored server or a slot made again.", Default: "0"},
	)
}

// Envelope is the value schema of a table's changes, in the shape of a Debezium envelope. row is the record of the table's columns,
// all of them nullable. `unchanged` lists the columns of after that the server did not send (TOAST): they are null in after and keep the
// value they had.
func Envelope(name string, row *Type) (*Schema, error) {
	str := Primitive(String)
	return New(RecordOf(name,
		NullableField("before", row),
		NullableField("after", row),
		Field{Name: "source", Type: changeSource()},
		Field{Name: "op", Type: str},
		NullableField("ts_ms", Primitive(Long)),
		Field{Name: "unchanged", Type: ArrayOf(str), Default: "[]"},
	))
}

// Origin is the type of the field `_origin` that ends every record of a file or a lake: where the row comes from.
func Origin() *Type {
	return RecordOf("extract.Origin",
		Field{Name: "uri", Type: Primitive(String), Doc: "Path below the source's folder, or the object's address."},
		NullableField("entry", Primitive(String)), // chain of archive entries, joined by !
		Field{Name: "row", Type: Primitive(Long), Doc: "From 1 within the file, entry or object."},
		Field{Name: "modified", Type: LogicalOf(TimestampMicros), Doc: "Of the file or object."},
	)
}

// OriginField is the name of the field that Origin describes.
const OriginField = "_origin"
