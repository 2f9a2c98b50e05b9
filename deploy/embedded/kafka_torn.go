package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kfake ends a transaction one file after the other: a marker in every partition, then the offsets of the groups, then its log of producers. A kill
// in between tears a commit: at its next start kfake takes what has no marker for aborted, and so a position can be there without its rows. And
// what it takes for aborted gets no marker on disk, by which readers go: they leave out the producer's next transaction too, and a later start takes
// the rows for committed. endTransactions puts the markers that are missing before kfake opens the folder. Every transaction has a producer epoch
// of its own, so an open one is part of a commit exactly when a commit marker of its producer and epoch stands in another partition.

// transaction is one transaction: the epoch goes up with each.
type transaction struct {
	producer int64
	epoch    int16
}

// partitionTail is how the log of a partition ends.
type partitionTail struct {
	segment string                 // path of the last segment, without .dat
	size    int64                  // of its whole batches, in bytes
	batches int64                  // in it
	next    int64                  // the offset after the last
	open    map[int64]transaction  // transactions that have no marker yet, by producer
	commits map[transaction][]byte // markers
}

// The layout of a record batch, see the description of Kafka's message format.
const (
	batchPrefix     = 12 // first offset and length
	batchHeader     = 61
	atAttributes    = 21
	atLastDelta     = 23
	atProducer      = 43
	atEpoch         = 51
	transactional   = 0x10
	control         = 0x20
	markerTypeStart = batchHeader + 5 + 2 // in a marker: the record's length, attributes, deltas and key length, then the key's version
	commitMarker    = 1
	largestMarker   = 1024
	indexEntry      = 15 // bytes that kfake keeps beside each batch
)

// endTransactions ends what a kill has left open in a folder of kfake's: a commit that had begun is completed, all else is aborted.
func endTransactions(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "session_state.json")); err == nil {
		return nil // kfake was stopped cleanly and knows what is open
	}
	tails, err := readTails(filepath.Join(dir, "partitions"))
	if err != nil {
		return fmt.Errorf("look for transactions cut short: %w", err)
	}
	commits := map[transaction][]byte{}
	for _, t := range tails {
		for tx, marker := range t.commits {
			commits[tx] = marker
		}
	}
	for _, t := range tails {
		for _, tx := range t.open {
			marker := commits[tx]
			if marker == nil {
				marker = abortMarker(tx)
			}
			if err := t.append(marker); err != nil {
				return fmt.Errorf("end the transaction of producer %d in %s: %w", tx.producer, t.segment, err)
			}
		}
	}
	return finishOffsets(dir, commits)
}

func readTails(dir string) ([]*partitionTail, error) {
	partitions, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var tails []*partitionTail
	for _, p := range partitions {
		t, err := readTail(filepath.Join(dir, p.Name()))
		if err != nil {
			return nil, err
		}
		if t.segment != "" {
			tails = append(tails, t)
		}
	}
	return tails, nil
}

// readTail reads the headers of a partition's batches. A partition that was closed cleanly has no open transaction and is read all the same: one
// of its markers may be the witness of a commit that another one lacks.
func readTail(dir string) (*partitionTail, error) {
	t := &partitionTail{open: map[int64]transaction{}, commits: map[transaction][]byte{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.dat"))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int { return int(min(max(baseOf(a)-baseOf(b), -1), 1)) })
	for _, name := range names {
		if err := t.readSegment(name); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return t, nil
}

func baseOf(segment string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(segment), ".dat"), 10, 64)
	if err != nil {
		return -1 // kfake does not read it either
	}
	return n
}

func (t *partitionTail) readSegment(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	t.segment, t.size, t.batches = strings.TrimSuffix(path, ".dat"), 0, 0
	header := make([]byte, batchHeader)
	for {
		if _, err := f.ReadAt(header, t.size); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		size := batchPrefix + int64(binary.BigEndian.Uint32(header[8:]))
		if size < batchHeader || t.size+size > info.Size() {
			return nil // a batch that was not written to its end; kfake cuts it off
		}
		if err := t.take(f, header, size); err != nil {
			return err
		}
		t.size, t.batches = t.size+size, t.batches+1
	}
}

// take follows the transactions over one batch.
func (t *partitionTail) take(f io.ReaderAt, header []byte, size int64) error {
	t.next = int64(binary.BigEndian.Uint64(header)) + int64(binary.BigEndian.Uint32(header[atLastDelta:])) + 1
	attributes := binary.BigEndian.Uint16(header[atAttributes:])
	tx := transaction{int64(binary.BigEndian.Uint64(header[atProducer:])), int16(binary.BigEndian.Uint16(header[atEpoch:]))}
	switch {
	case attributes&transactional == 0:
	case attributes&control == 0:
		t.open[tx.producer] = tx
	case size <= largestMarker:
		delete(t.open, tx.producer)
		marker := make([]byte, size)
		if _, err := f.ReadAt(marker, t.size); err != nil {
			return err
		}
		if size > markerTypeStart+2 && binary.BigEndian.Uint16(marker[markerTypeStart:]) == commitMarker {
			t.commits[tx] = marker
		}
	}
	return nil
}

// append adds a marker at the end of the partition: another partition's, with an offset of its own, which the checksum does not cover.
func (t *partitionTail) append(marker []byte) error {
	marker = slices.Clone(marker)
	binary.BigEndian.PutUint64(marker, uint64(t.next))
	// kfake's own entry of a batch: version, checksum, leader epoch, timestamp, and whether it is of a transaction, which a marker is not.
	entry := make([]byte, indexEntry)
	entry[0] = 1
	entry[1] = byte(crc32.Checksum(entry[2:], castagnoli))
	if err := writeAt(t.segment+".idx", t.batches*indexEntry, entry); err != nil {
		return err
	}
	if err := writeAt(t.segment+".dat", t.size, marker); err != nil {
		return err
	}
	t.size, t.batches, t.next = t.size+int64(len(marker)), t.batches+1, t.next+1
	return nil
}

// abortMarker is the batch that ends a transaction without its rows.
func abortMarker(tx transaction) []byte {
	key, value := kmsg.ControlRecordKey{Type: kmsg.ControlRecordKeyTypeAbort}, kmsg.EndTxnMarker{}
	record := kmsg.Record{Key: key.AppendTo(nil), Value: value.AppendTo(nil)}
	record.Length = int32(len(record.AppendTo(nil)) - 1) // the length itself takes one byte
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: transactional | control, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: tx.producer, ProducerEpoch: tx.epoch, FirstSequence: -1, NumRecords: 1, Records: record.AppendTo(nil)}
	b.Length = int32(len(b.AppendTo(nil)) - batchPrefix)
	b.CRC = int32(crc32.Checksum(b.AppendTo(nil)[atAttributes:], castagnoli))
	return b.AppendTo(nil)
}

// writeAt makes a file end with data at a place, and syncs it.
func writeAt(path string, at int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err = f.Truncate(at); err == nil {
		_, err = f.WriteAt(data, at)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// stagedFile keeps the offsets that transactions commit for consumer groups, one JSON line a request. kfake has them in memory only until the commit.
const stagedFile = "staged_offsets.jsonl"

// staged is the offset of one partition that a transaction commits for a group. The names of groups.log, where it goes.
type staged struct {
	Type     string  `json:"type"`
	Group    string  `json:"g"`
	Topic    string  `json:"t"`
	TopicID  []byte  `json:"id,omitempty"` // in place of the name in newer requests
	Part     int32   `json:"p,omitempty"`
	Offset   int64   `json:"o,omitempty"`
	Epoch    int32   `json:"e,omitempty"`
	Metadata *string `json:"m,omitempty"`
	Commit   int64   `json:"lc"` // time, in milliseconds since 1970
}

// stagedLine is a line of the file.
type stagedLine struct {
	Producer int64    `json:"producer"`
	Epoch    int16    `json:"epoch"`
	Offsets  []staged `json:"offsets"`
}

// finishOffsets adds the offsets of commits that were cut short to the log of the groups, and removes the staged ones.
func finishOffsets(dir string, commits map[transaction][]byte) error {
	path := filepath.Join(dir, stagedFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	current, err := producerEpochs(filepath.Join(dir, "pids.log"))
	if err != nil {
		return fmt.Errorf("read kafka's producers: %w", err)
	}
	names, err := topicNames(filepath.Join(dir, "topics.json"))
	if err != nil {
		return fmt.Errorf("read kafka's topics: %w", err)
	}
	var entries []byte
	for line := range strings.Lines(string(text)) {
		var l stagedLine
		if json.Unmarshal([]byte(line), &l) != nil {
			break // the last line, not written to its end: its request was not answered
		}
		tx := transaction{l.Producer, l.Epoch}
		if commits[tx] == nil || current[l.Producer] != l.Epoch {
			continue // not committed, or ended: an ended transaction has raised the epoch
		}
		for _, o := range l.Offsets {
			if o.Topic == "" {
				o.Topic = names[string(o.TopicID)]
			}
			o.Type, o.TopicID, o.Commit = "commit", nil, time.Now().UnixMilli()
			if entries, err = appendLogEntry(entries, o); err != nil {
				return err
			}
		}
	}
	if len(entries) > 0 {
		log := filepath.Join(dir, "groups.log")
		old, err := readLog(log, func([]byte) {})
		if err == nil {
			err = writeAt(log, old, entries)
		}
		if err != nil {
			return fmt.Errorf("complete the offsets of a commit: %w", err)
		}
	}
	return os.Remove(path)
}

// topicNames are the names of the topics by their ids.
func topicNames(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Topics []struct {
			Name string `json:"name"`
			ID   []byte `json:"id"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, t := range file.Topics {
		names[string(t.ID)] = t.Name
	}
	return names, nil
}

// producerEpochs are the epochs that the producers have, by kfake's log of them. An epoch that has ended counts as the next one.
func producerEpochs(path string) (map[int64]int16, error) {
	epochs := map[int64]int16{}
	_, err := readLog(path, func(text []byte) {
		var e struct {
			Type  string `json:"type"`
			PID   int64  `json:"pid"`
			Epoch int16  `json:"epoch"`
		}
		if json.Unmarshal(text, &e) != nil {
			return
		}
		epochs[e.PID] = e.Epoch
		if e.Type != "init" {
			epochs[e.PID] = e.Epoch + 1
		}
	})
	return epochs, err
}

// readLog visits the entries of one of kfake's logs and returns the size of those that are whole. A log that is not there has none.
func readLog(path string, visit func(text []byte)) (size int64, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	for {
		left := raw[size:]
		if len(left) < logEntryHeader {
			return size, nil
		}
		end := 8 + int(binary.LittleEndian.Uint32(left))
		if end < logEntryHeader || end > len(left) || crc32.Checksum(left[8:end], castagnoli) != binary.LittleEndian.Uint32(left[4:]) {
			return size, nil
		}
		visit(left[logEntryHeader:end])
		size += int64(end)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logEntryHeader is what precedes an entry of kfake's logs: length and checksum of what follows, and the version, little-endian.
const logEntryHeader = 10

func appendLogEntry(dst []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	body := append([]byte{1, 0}, text...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(body, castagnoli))
	return append(dst, body...), nil
}

// stager keeps what is to be committed for groups until the commit is whole. Its methods are called by the cluster's one goroutine.
type stager struct {
	path  string
	f     *os.File
	size  int
	lines map[int64]stagedLine // the last transaction of each producer
}

// stagedLimit is the size from which the file is written anew with what is still of use.
const stagedLimit = 1 << 20

// newStager goes on with the file that a broker has left that was stopped cleanly: its transactions are open still.
func newStager(dir string) (*stager, error) {
	s := &stager{path: filepath.Join(dir, stagedFile), lines: map[int64]stagedLine{}}
	text, err := os.ReadFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		var l stagedLine
		if json.Unmarshal([]byte(line), &l) == nil {
			s.lines[l.Producer] = l
		}
	}
	return s, nil
}

// stage keeps one request. It is called before the broker answers it, so that what was answered is on disk.
func (s *stager) stage(req *kmsg.TxnOffsetCommitRequest) error {
	l := stagedLine{Producer: req.ProducerID, Epoch: req.ProducerEpoch}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			l.Offsets = append(l.Offsets, staged{Group: req.Group, Topic: t.Topic, TopicID: t.TopicID[:], Part: p.Partition, Offset: p.Offset, Epoch: p.LeaderEpoch, Metadata: p.Metadata})
		}
	}
	if last := s.lines[l.Producer]; last.Epoch == l.Epoch {
		l.Offsets = append(last.Offsets, l.Offsets...)
	}
	s.lines[l.Producer] = l
	if s.f == nil || s.size > stagedLimit {
		return s.rewrite()
	}
	return s.add(l)
}

func (s *stager) add(l stagedLine) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	n, err := s.f.Write(append(text, '\n'))
	s.size += n
	return errors.Join(err, s.f.Sync())
}

// rewrite starts the file, or starts it anew.
func (s *stager) rewrite() error {
	var text []byte
	for _, l := range s.lines {
		line, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	if err := errors.Join(s.close(), writeFile(s.path, text, 0o600)); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0o600)
	s.f, s.size = f, len(text)
	return err
}

func (s *stager) close() error {
	if s == nil || s.f == nil {
		return nil
	}
	f := s.f
	s.f = nil
	return f.Close()
}
