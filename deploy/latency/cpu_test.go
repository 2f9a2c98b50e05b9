package latency

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// spent is the processor time of the parts of a chain; all zero where there is no /proc.
type spent struct{ ours, clickhouse, postgres, broker time.Duration }

func (s spent) minus(o spent) spent {
	return spent{s.ours - o.ours, s.clickhouse - o.clickhouse, s.postgres - o.postgres, s.broker - o.broker}
}

// per shows each part divided by n, in milliseconds.
func (s spent) per(n float64) string {
	ms := func(d time.Duration) float64 { return float64(d.Milliseconds()) / n }
	text := fmt.Sprintf("extract, with the writer and an embedded broker, %.0f, ClickHouse %.0f, Postgres %.0f", ms(s.ours), ms(s.clickhouse), ms(s.postgres))
	if s.broker > 0 {
		text += fmt.Sprintf(", Apache Kafka %.0f", ms(s.broker))
	}
	return text
}

// spent reads the processor time so far of this process, of ClickHouse, of our Postgres and of the Apache Kafka that an ancestor of ours runs.
func (c *chain) spent() (s spent) {
	procs := processes()
	ancestors := map[int]bool{}
	for pid := os.Getpid(); pid > 1; pid = procs[pid].parent {
		ancestors[pid] = true
	}
	for pid, p := range procs {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // one that has ended counts no more
		switch {
		case pid == os.Getpid():
			s.ours = p.time
		case len(c.server) > 0 && pid == c.server[0]:
			s.clickhouse = p.time
		case p.name == "postgres" && (p.parent == os.Getpid() || procs[p.parent].parent == os.Getpid()):
			s.postgres += p.time
		case ancestors[p.parent] && bytes.Contains(line, []byte("kafka.Kafka")):
			s.broker = p.time
		}
	}
	return s
}

type process struct {
	name   string
	parent int
	time   time.Duration
}

// processes reads /proc, see proc(5).
func processes() map[int]process {
	all := map[int]process{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		text := string(b)
		end := strings.LastIndexByte(text, ')')
		fields := strings.Fields(text[end+1:]) // from the third on
		number := func(i int) int { n, _ := strconv.Atoi(fields[i-3]); return n }
		pid, _ := strconv.Atoi(strings.Fields(text)[0])
		all[pid] = process{text[strings.IndexByte(text, '(')+1 : end], number(4), time.Duration(number(14)+number(15)) * 10 * time.Millisecond}
	}
	return all
}
