package consumers

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"adventureworks.example/extract/schemas/faults"
)

// Metrics are the consumers' counters. Make them with NewMetrics; a nil *Metrics counts nothing.
type Metrics struct {
	rows    *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	errors  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	lag     *prometheus.GaugeVec
	buffer  prometheus.Gauge
	fenced  prometheus.Counter
	missing *prometheus.GaugeVec
	twice   *prometheus.GaugeVec
	stale   *prometheus.GaugeVec
	held    *prometheus.GaugeVec
	audits  *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "extract_consumer_rows_total",
			Help: "Records read, stored in a table and rejected to the dead letters."}, []string{"topic", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "extract_consumer_bytes_total",
			Help: "Bytes of the records read and of the blocks written."}, []string{"topic", "stage"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "extract_consumer_errors_total",
			Help: "Errors by stage, class, place and fault, see docs/errors.md."}, []string{"topic", "stage", "class", "place", "fault"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "extract_consumer_seconds",
			Help: "Time of a commit of offsets and of a write.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}, []string{"stage"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "extract_consumer_lag",
			Help: "Offsets behind the end of the topic."}, []string{"topic", "partition"}),
		buffer: prometheus.NewGauge(prometheus.GaugeOpts{Name: "extract_consumer_buffer_bytes",
			Help: "Bytes of records read and not yet written."}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{Name: "extract_consumer_fenced_total",
			Help: "Commits refused because another process has the partitions."}),
		missing: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "extract_consumer_audit_missing",
			Help: "Records that were committed and that the last audit did not find."}, []string{"topic", "partition"}),
		stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "extract_consumer_audit_stale",
			Help: "Changes that the last audit looked at and that the current rows do not show."}, []string{"topic", "partition"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "extract_consumer_audit_held_back",
			Help: "Offsets that cannot be read because a transaction before them does not end."}, []string{"topic", "partition"}),
		twice: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "extract_consumer_audit_twice",
			Help: "Rows too many that the last audit found."}, []string{"topic", "partition"}),
		audits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "extract_consumer_audits_total",
			Help: "Audits of partitions by verdict."}, []string{"topic", "verdict"}),
	}
	reg.MustRegister(m.rows, m.bytes, m.errors, m.seconds, m.lag, m.buffer, m.fenced, m.missing, m.twice, m.stale, m.held, m.audits)
	return m
}

func (m *Metrics) failed(topic, stage string, err error, class Class) {
	if m != nil {
		f, _ := faults.Known(faults.Recognize(err))
		m.errors.WithLabelValues(topic, stage, string(class), string(f.Place), string(f.Name)).Inc()
	}
}

func (m *Metrics) read(topic string, rows, bytes int) {
	if m != nil {
		m.rows.WithLabelValues(topic, "read").Add(float64(rows))
		m.bytes.WithLabelValues(topic, "read").Add(float64(bytes))
	}
}

func (m *Metrics) wrote(topic string, w Written, took time.Duration) {
	if m != nil {
		m.rows.WithLabelValues(topic, "stored").Add(float64(w.Stored))
		m.rows.WithLabelValues(topic, "rejected").Add(float64(w.Rejected))
		m.bytes.WithLabelValues(topic, "written").Add(float64(w.Bytes))
		m.seconds.WithLabelValues("write").Observe(took.Seconds())
	}
}

func (m *Metrics) committed(took time.Duration) {
	if m != nil {
		m.seconds.WithLabelValues("commit").Observe(took.Seconds())
	}
}

func (m *Metrics) buffered(bytes int) {
	if m != nil {
		m.buffer.Set(float64(bytes))
	}
}

func (m *Metrics) lagging(p *part) {
	if m != nil {
		m.lag.WithLabelValues(p.Topic, strconv.Itoa(int(p.Partition.Partition))).Set(float64(max(0, p.end-p.position)))
	}
}

func (m *Metrics) forget(p *part) {
	if m != nil {
		n := strconv.Itoa(int(p.Partition.Partition))
		m.lag.DeleteLabelValues(p.Topic, n)
		m.missing.DeleteLabelValues(p.Topic, n)
		m.twice.DeleteLabelValues(p.Topic, n)
		m.stale.DeleteLabelValues(p.Topic, n)
		m.held.DeleteLabelValues(p.Topic, n)
	}
}

func (m *Metrics) audited(f *Finding) {
	if m == nil {
		return
	}
	if f.Err != "" {
		m.audits.WithLabelValues(f.Topic, "error").Inc()
		return
	}
	m.audits.WithLabelValues(f.Topic, string(f.Verdict)).Inc()
	n := strconv.Itoa(int(f.Partition))
	m.missing.WithLabelValues(f.Topic, n).Set(float64(f.Missing))
	m.twice.WithLabelValues(f.Topic, n).Set(float64(f.Twice))
	m.stale.WithLabelValues(f.Topic, n).Set(float64(f.Stale))
	held := int64(0)
	if f.HeldBack != nil {
		held = f.HeldBack.To - f.HeldBack.From
	}
	m.held.WithLabelValues(f.Topic, n).Set(float64(held))
}

func (m *Metrics) fence() {
	if m != nil {
		m.fenced.Inc()
	}
}
