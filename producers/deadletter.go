package producers

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"adventureworks.example/extract/schemas"
)

const (
	// recordOverhead is what a batch of one record takes beyond key and value, rounded up: 61 bytes of batch and 35 of record at most.
	recordOverhead = 512
	// minRecordBytes is the smallest limit of a record that leaves room for a dead letter without its bytes.
	minRecordBytes = 8 << 10
	// maxText bounds the words of a dead letter (place and reason, each), which come from outside.
	maxText = 1 << 10
	// maxContext bounds its context. A longer one is left out: the row cannot be retried then, but it is kept.
	maxContext = 4 << 10
)

// deadLetterValue is the framed Avro of d (schemas.DeadLetter). Raw is cut so that the value is at most limit bytes.
func deadLetterValue(id int, source string, d DeadLetter, limit int) []byte {
	if d.SHA256 == nil {
		sum := sha256.Sum256(d.Raw)
		d.SHA256 = sum[:]
	}
	if d.Size == 0 {
		d.Size = int64(len(d.Raw))
	}
	d.Place, d.Reason = cutText(d.Place), cutText(d.Reason)
	if len(d.Context) > maxContext || !utf8.ValidString(d.Context) {
		d.Context = ""
	}
	const heads = 64 // of lengths and numbers, at most 10 bytes each
	room := limit - heads - len(source) - len(d.Dataset) - len(d.Place) - len(d.SHA256) - len(d.Reason) - len(d.Context)
	raw := d.Raw[:max(0, min(len(d.Raw), room))]

	b := make([]byte, 0, len(raw)+heads+len(source)+len(d.Dataset)+len(d.Place)+len(d.SHA256)+len(d.Reason)+len(d.Context))
	b = schemas.AppendFrame(b, id)
	b = schemas.AppendString(b, source)
	b = schemas.AppendString(b, d.Dataset)
	b = schemas.AppendString(b, d.Place)
	b = schemas.AppendBytes(b, raw)
	b = schemas.AppendLong(b, d.Size)
	b = schemas.AppendBytes(b, d.SHA256)
	b = schemas.AppendString(b, string(Reject))
	b = schemas.AppendString(b, d.Reason)
	b = schemas.AppendLong(b, d.At.UnixMicro())
	if d.Context == "" {
		return schemas.AppendBranch(b, 0)
	}
	return schemas.AppendString(schemas.AppendBranch(b, 1), d.Context)
}

// letterText is the place and the reason of a dead letter, for an error.
func letterText(value []byte) string {
	var texts [7]string // source, dataset, place, raw, sha256, class, reason; the size stands behind raw
	_, b, err := schemas.ParseFrame(value)
	ok := err == nil
	for i := range texts {
		if i == 4 && ok {
			_, n := binary.Varint(b)
			b = b[max(n, 0):]
		}
		if ok {
			texts[i], b, ok = cutString(b)
		}
	}
	if !ok {
		return "a row that cannot be told"
	}
	return texts[2] + ": " + texts[6]
}

// cutText makes s UTF-8 of at most maxText bytes, and says so with an ellipsis.
func cutText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	const mark = " …"
	return strings.ToValidUTF8(s[:maxText-len(mark)], "") + mark
}

// tooLarge is the dead letter of a record that no topic takes, though its source let it through.
func (t *target) tooLarge(r *kgo.Record, place string) *kgo.Record {
	return t.DeadLetter(DeadLetter{Dataset: t.dataset(r.Topic), Place: place, Raw: r.Value,
		Reason: "the record is larger than max_record_bytes; its Avro bytes are kept here, cut"})
}

// recordBytes are the bytes of a record that count against MaxRecordBytes.
func recordBytes(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value) + 10
	}
	return n
}
