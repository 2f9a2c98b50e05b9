package postgres

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Config names a database and the tables whose rows and changes are streamed. The zero value of every field but URL has a default.
type Config struct {
	// URL is a connection string, postgres://user@host:5432/database?sslmode=verify-full or host=… user=…. The password may be in it, in
	// PGPASSWORD or in the password file; it is never logged.
	URL string `yaml:"url"`
	// Slot is the replication slot, made at the first start. Default extract_<source>.
	Slot string `yaml:"slot"`
	// Publication is made at the first start unless it exists. Default extract_<source>.
	Publication string `yaml:"publication"`
	// Tables are globs over schema.table such as production.* or sales.order*; default every table. Exclude takes tables out again.
	Tables  []string `yaml:"tables"`
	Exclude []string `yaml:"exclude"`
	// AsText are globs over schema.table.column: these columns travel as a string, in Postgres's own form, whatever their type. It is the way for values that the
	// usual type cannot hold, such as NaN in a numeric(p,s).
	AsText []string `yaml:"as_text"`
	// OnSlotLost says what is done when the slot no longer continues what was produced (dropped, made again, invalidated, another server): stop, the default,
	// ends with a clear error; resnapshot makes a new slot and copies every table again under a higher generation.
	OnSlotLost string `yaml:"on_slot_lost"`
	// CopyWorkers is how many connections read one table at once in a first copy. Default the processors, at most 8.
	CopyWorkers int `yaml:"copy_workers"`
	// CopyRangeBytes is up to which size, in bytes on the server's disk, a table's first copy is one Kafka transaction. A larger table that has a key is
	// copied by ranges of its key of about that size, each a transaction: a copy that is cut short goes on at the range it was in, and none comes near the 15
	// minutes that a broker gives a transaction. CopyRangeTime ends a range earlier on a slow server. Defaults 256 MiB and 2 minutes.
	CopyRangeBytes int64         `yaml:"copy_range_bytes"`
	CopyRangeTime  time.Duration `yaml:"copy_range_time"`
	// Heartbeat is how often the position moves while nothing of the captured tables changes, so that the server need not keep its WAL. Default 10s.
	Heartbeat time.Duration `yaml:"heartbeat"`
	// Discover is how often new tables that match Tables are looked for. Default 30s.
	Discover time.Duration `yaml:"discover"`
	// Tombstones writes a record without a value behind every delete, for topics that are compacted. By default topics are kept for ever and need none.
	Tombstones bool `yaml:"tombstones"`
}

// The policies of Config.OnSlotLost.
const (
	OnSlotLostStop       = "stop"
	OnSlotLostResnapshot = "resnapshot"
)

var (
	slotName    = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)
	notSlotName = regexp.MustCompile(`[^a-z0-9_]+`)
)

// withDefaults fills in what the configuration leaves out. source is the source's name.
func (c Config) withDefaults(source string) Config {
	name := "extract_" + notSlotName.ReplaceAllString(strings.ToLower(source), "_")
	c.Slot = orElse(c.Slot, name)
	c.Publication = orElse(c.Publication, name)
	c.OnSlotLost = orElse(c.OnSlotLost, OnSlotLostStop)
	if len(c.Tables) == 0 {
		c.Tables = []string{"*.*"}
	}
	c.CopyWorkers = orElse(c.CopyWorkers, min(runtime.NumCPU(), 8))
	c.CopyRangeBytes = orElse(c.CopyRangeBytes, 256<<20)
	c.CopyRangeTime = orElse(c.CopyRangeTime, 2*time.Minute)
	c.Heartbeat = orElse(c.Heartbeat, 10*time.Second)
	c.Discover = orElse(c.Discover, 30*time.Second)
	return c
}

func orElse[T comparable](v, fallback T) T {
	var none T
	if v == none {
		return fallback
	}
	return v
}

// Validate tells every error of the configuration, each with the key it is about. It connects to nothing.
func (c Config) Validate() error {
	c = c.withDefaults("")
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.URL == "" {
		bad("url: it is missing; give postgres://user@host:5432/database")
	} else if _, err := pgconn.ParseConfig(c.URL); err != nil {
		bad("url: %w", err)
	}
	if !slotName.MatchString(c.Slot) {
		bad("slot: %q is not a name of 1 to 63 lower-case letters, digits and underscores", c.Slot)
	}
	if len(c.Publication) > 63 {
		bad("publication: %q is longer than 63 bytes", c.Publication)
	}
	if c.OnSlotLost != OnSlotLostStop && c.OnSlotLost != OnSlotLostResnapshot {
		bad("on_slot_lost: %q is neither %s nor %s", c.OnSlotLost, OnSlotLostStop, OnSlotLostResnapshot)
	}
	if c.CopyWorkers < 1 || c.CopyWorkers > 64 {
		bad("copy_workers: %d is not between 1 and 64", c.CopyWorkers)
	}
	if c.CopyRangeBytes < 1 {
		bad("copy_range_bytes: %d is not above zero", c.CopyRangeBytes)
	}
	if c.CopyRangeTime < 0 {
		bad("copy_range_time: a duration is not negative")
	}
	if c.Heartbeat < 0 || c.Discover < 0 {
		bad("heartbeat, discover: a duration is not negative")
	}
	for key, globs := range map[string][]string{"tables": c.Tables, "exclude": c.Exclude, "as_text": c.AsText} {
		dots := 1
		if key == "as_text" {
			dots = 2
		}
		for _, g := range globs {
			if _, err := path.Match(g, ""); err != nil {
				bad("%s: %q is not a glob: %w", key, g, err)
			} else if strings.Count(g, ".") < dots {
				bad("%s: %q needs %d dots, as in %s", key, g, dots, []string{"", "production.*", "production.product.weight"}[dots])
			}
		}
	}
	return errors.Join(errs...)
}

// wants tells whether a table is captured.
func (c Config) wants(schema, table string) bool {
	name := schema + "." + table
	return matches(c.Tables, name) && !matches(c.Exclude, name)
}

// textColumn tells whether a column travels as text.
func (c Config) textColumn(schema, table, column string) bool {
	return len(c.AsText) > 0 && matches(c.AsText, schema+"."+table+"."+column)
}

func matches(globs []string, name string) bool {
	for _, g := range globs {
		if g == "*.*" {
			return true // path.Match's * stops at a slash, which a table's name may hold
		}
		if ok, _ := path.Match(g, name); ok { // Validate has refused malformed globs
			return true
		}
	}
	return false
}
