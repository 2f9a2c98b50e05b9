package producers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"adventureworks.example/extract/schemas/faults"
)

// Metrics are the counters of all sources of one process.
type Metrics struct {
	rows         *prometheus.CounterVec   // by source, dataset and outcome: produced or rejected
	records      *prometheus.CounterVec   // by source
	bytes        *prometheus.CounterVec   // by source
	transactions *prometheus.CounterVec   // by source and outcome: committed, aborted or unknown
	errors       *prometheus.CounterVec   // by source, class, place and fault
	stage        *prometheus.HistogramVec // by source and stage: read, produce, commit or acknowledge
	committed    *prometheus.GaugeVec     // by source: Unix seconds
}

// NewMetrics makes the metrics and registers them with r; nil registers them nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "extract", Subsystem: "producer", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		rows:         counter("rows_total", "Rows whose transaction has committed.", "source", "dataset", "outcome"),
		records:      counter("records_total", "Records whose transaction has committed.", "source"),
		bytes:        counter("bytes_total", "Bytes of keys and values whose transaction has committed, before compression.", "source"),
		transactions: counter("transactions_total", "Transactions by how they ended.", "source", "outcome"),
		errors:       counter("errors_total", "Errors that ended an attempt to run the source, see docs/errors.md.", "source", "class", "place", "fault"),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "extract", Subsystem: "producer", Name: "stage_seconds",
			Help:    "Time a stage took: read and produce per batch, commit and acknowledge per transaction.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"source", "stage"}),
		committed: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "extract", Subsystem: "producer", Name: "last_commit_timestamp_seconds",
			Help: "When the last transaction committed."}, []string{"source"}),
	}
	if r != nil {
		r.MustRegister(m.rows, m.records, m.bytes, m.transactions, m.errors, m.stage, m.committed)
	}
	return m
}

// failed counts an error.
func (m *Metrics) failed(source string, err error, class Class) {
	f, _ := faults.Known(err)
	m.errors.WithLabelValues(source, string(class), string(f.Place), string(f.Name)).Inc()
}

func (m *Metrics) took(source, stage string, since time.Time) {
	m.stage.WithLabelValues(source, stage).Observe(time.Since(since).Seconds())
}

// commit counts a transaction that is durable.
func (m *Metrics) commit(source string, c counts) {
	m.transactions.WithLabelValues(source, "committed").Inc()
	m.records.WithLabelValues(source).Add(float64(c.records))
	m.bytes.WithLabelValues(source).Add(float64(c.bytes))
	m.committed.WithLabelValues(source).SetToCurrentTime()
	for dataset, rows := range c.rows {
		m.rows.WithLabelValues(source, dataset, "produced").Add(float64(rows.Produced))
		m.rows.WithLabelValues(source, dataset, "rejected").Add(float64(rows.Rejected))
	}
}
