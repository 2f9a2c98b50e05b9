package consumers

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"adventureworks.example/extract/faults"
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
	}
	reg.MustRegister(m.rows, m.bytes, m.errors, m.seconds, m.lag, m.buffer, m.fenced)
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
		m.lag.DeleteLabelValues(p.Topic, strconv.Itoa(int(p.Partition.Partition)))
	}
}

func (m *Metrics) fence() {
	if m != nil {
		m.fenced.Inc()
	}
}
