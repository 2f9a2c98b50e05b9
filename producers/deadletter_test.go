package producers

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"

	"adventureworks.example/extract/schemas"
)

// decode reads framed Avro with goavro, the oracle.
func decode(t *testing.T, s *schemas.Schema, wantID int, framed []byte) map[string]any {
	t.Helper()
	id, payload, err := schemas.ParseFrame(framed)
	if err != nil || id != wantID {
		t.Fatalf("frame: id %d, %v; want %d", id, err, wantID)
	}
	codec, err := goavro.NewCodec(s.String())
	if err != nil {
		t.Fatal(err)
	}
	v, rest, err := codec.NativeFromBinary(payload)
	if err != nil || len(rest) > 0 {
		t.Fatalf("decode: %v, %d bytes left", err, len(rest))
	}
	return v.(map[string]any)
}

func TestDeadLetterKeepsTheRow(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_123_456).UTC()
	v := decode(t, schemas.DeadLetter, 7, deadLetterValue(7, "files", DeadLetter{Dataset: "reviews", Place: "a.csv line 3", Raw: []byte("x,\xff"), Reason: "not UTF-8 \xff", At: at}, 8<<10))
	sum := sha256.Sum256([]byte("x,\xff"))
	for field, want := range map[string]any{"source": "files", "dataset": "reviews", "place": "a.csv line 3", "size": int64(3), "class": "reject", "reason": "not UTF-8 \uFFFD"} {
		if v[field] != want {
			t.Errorf("%s = %v, want %v", field, v[field], want)
		}
	}
	if !bytes.Equal(v["raw"].([]byte), []byte("x,\xff")) || !bytes.Equal(v["sha256"].([]byte), sum[:]) || !v["at"].(time.Time).Equal(at) {
		t.Errorf("raw %x, sha256 %x, at %v", v["raw"], v["sha256"], v["at"])
	}
}

func TestDeadLetterFits(t *testing.T) {
	raw := bytes.Repeat([]byte{'r'}, 100_000)
	long := strings.Repeat("é", 50_000)
	for _, limit := range []int{minRecordBytes - recordOverhead, 50_000, 99_000, 200_000} {
		b := deadLetterValue(1, "s", DeadLetter{Place: long, Reason: long, Raw: raw, At: time.Now()}, limit)
		if len(b) > limit {
			t.Errorf("limit %d: %d bytes", limit, len(b))
		}
		v := decode(t, schemas.DeadLetter, 1, b)
		kept := v["raw"].([]byte)
		if !bytes.HasPrefix(raw, kept) || len(kept) < min(len(raw), limit-3000) {
			t.Errorf("limit %d: %d raw bytes kept", limit, len(kept))
		}
		if v["size"] != int64(len(raw)) {
			t.Errorf("size = %v", v["size"])
		}
		if sum := sha256.Sum256(raw); !bytes.Equal(v["sha256"].([]byte), sum[:]) {
			t.Error("the hash is not that of the whole row")
		}
		if p := v["place"].(string); len(p) > maxText || !strings.HasSuffix(p, "…") {
			t.Errorf("place of %d bytes", len(p))
		}
	}
}
