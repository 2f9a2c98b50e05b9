package postgres

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestConfigOfYAML(t *testing.T) {
	var c Config
	text := "url: postgres://u:secret@h/db\ntables: [production.*]\nexclude: [production.log]\nas_text: [production.product.weight]\non_slot_lost: resnapshot\nheartbeat: 5s\n"
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c = c.withDefaults("My-Shop")
	if c.Slot != "extract_my_shop" || c.Publication != "extract_my_shop" || c.Heartbeat != 5*time.Second || c.CopyWorkers < 1 {
		t.Errorf("defaults are %+v", c)
	}
	for name, want := range map[[2]string]bool{{"production", "product"}: true, {"production", "log"}: false, {"sales", "product"}: false} {
		if got := c.wants(name[0], name[1]); got != want {
			t.Errorf("wants %v: %v", name, got)
		}
	}
	if !c.textColumn("production", "product", "weight") || c.textColumn("production", "product", "size") {
		t.Error("as_text names one column")
	}
}

func TestConfigErrorsNameTheKey(t *testing.T) {
	good := Config{URL: "postgres://u@h/db"}
	for want, change := range map[string]func(*Config){
		"url: ":              func(c *Config) { c.URL = "" },
		"slot: ":             func(c *Config) { c.Slot = "With-Dash" },
		"publication: ":      func(c *Config) { c.Publication = strings.Repeat("p", 64) },
		"on_slot_lost: ":     func(c *Config) { c.OnSlotLost = "ignore" },
		"copy_workers: ":     func(c *Config) { c.CopyWorkers = -1 },
		"copy_range_bytes: ": func(c *Config) { c.CopyRangeBytes = -1 },
		"copy_range_time: ":  func(c *Config) { c.CopyRangeTime = -time.Second },
		"heartbeat, ":        func(c *Config) { c.Heartbeat = -time.Second },
		"tables: ":           func(c *Config) { c.Tables = []string{"product"} },
		"exclude: ":          func(c *Config) { c.Exclude = []string{"a.[b"} },
		"as_text: ":          func(c *Config) { c.AsText = []string{"a.b"} },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
	}
	c := good
	c.URL = "postgres://u:secret@h:port/db"
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Validate = %v, which must not hold the password", err)
	}
}

func TestPositionsAreReadBack(t *testing.T) {
	for _, p := range []StreamPosition{
		{System: "7", Timeline: 2, Slot: "s", Point: 0x100000002, Generation: 3, LSN: 0xfffffffff},
		{System: "7", Timeline: 2, Slot: "s", Point: 1, Generation: 3, LSN: 5, Commit: 9, Rows: 1000},
	} {
		if got, err := ParseStreamPosition(p.String()); err != nil || got != p {
			t.Errorf("ParseStreamPosition(%q) = %+v, %v", p, got, err)
		}
	}
	key := []string{"Quoted, \" Name", "id"}
	for _, p := range []TablePosition{
		{Generation: 2, LSN: 77, OID: 4294967295},
		{Generation: 2, LSN: 77, OID: 5, Shape: "abc", Key: key, Ranges: []CopiedRange{{LSN: 77, To: []string{"a:b, c", ""}}}},
		{Generation: 2, LSN: 88, OID: 5, Shape: "abc", Key: key[1:], Ranges: []CopiedRange{{LSN: 77, To: []string{""}}, {LSN: 88}}},
	} {
		if got, err := ParseTablePosition(p.String()); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("ParseTablePosition(%q) = %+v, %v", p, got, err)
		}
		if want := len(p.Ranges) != 1; p.complete() != want {
			t.Errorf("%s: complete is %v", p, !want)
		}
	}
	for _, bad := range []string{"range=0/5 range=0/6", "key=a,b range=0/5:1", "range=x", "key=%zz"} {
		if _, err := ParseTablePosition("generation=1 lsn=0/5 " + bad); err == nil {
			t.Errorf("ParseTablePosition(%q) is no error", bad)
		}
	}
	for _, bad := range []string{"", "lsn=0/0 generation=1", "generation=1 lsn=0/5 colour=red", "generation=x lsn=0/5", "lsn"} {
		if _, err := ParseStreamPosition(bad); err == nil {
			t.Errorf("ParseStreamPosition(%q) is no error", bad)
		}
		if _, err := ParseTablePosition(bad); err == nil {
			t.Errorf("ParseTablePosition(%q) is no error", bad)
		}
	}
}

func TestTimelineEnd(t *testing.T) {
	history := "1\t0/3000060\tno recovery target specified\n\n2\t0/5000060\tno recovery target specified\n"
	if lsn, ok := timelineEnd(history, 2); !ok || lsn != 0x5000060 {
		t.Errorf("timeline 2 ends at %s, %v", lsn, ok)
	}
	if _, ok := timelineEnd(history, 3); ok {
		t.Error("timeline 3 is not in the history")
	}
}
