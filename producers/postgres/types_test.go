package postgres

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"adventureworks.example/extract/schemas"
)

// typeCases are values of each type, as literals of SQL. Postgres itself says what each must read as.
var typeCases = []struct {
	typ    string
	avro   string // kind and logical type
	values []string
}{
	{"smallint", "int", []string{"-32768", "32767"}},
	{"integer", "int", []string{"-2147483648", "2147483647", "0"}},
	{"bigint", "long", []string{"-9223372036854775808", "9223372036854775807"}},
	{"oid", "long", []string{"4000000000"}},
	{"real", "float", []string{"NaN", "Infinity", "-Infinity", "1e-37", "3.4028235e38", "0.1", "-0"}},
	{"double precision", "double", []string{"NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "0.1", "123456789.123456789"}},
	{"numeric", "string", []string{"NaN", "Infinity", "-Infinity", "1e131071", "1e-16383", "1.500", "0", "-12345678901234567890.123"}},
	{"numeric(4)", "decimal(4,0)", []string{"10.11", "-9999"}},
	{"numeric(10,2)", "decimal(10,2)", []string{"99999999.99", "-0.01", "0"}},
	{"numeric(76,38)", "decimal(76,38)", []string{"12345678901234567890123456789012345678.12345678901234567890123456789012345678"}},
	{"numeric(77,2)", "string", []string{"1.5"}},
	{"money", "decimal(19,2)", []string{"'($1234.11)'", "92233720368547758.07", "-92233720368547758.08", "0"}},
	{"boolean", "boolean", []string{"true", "false"}},
	{"text", "string", []string{"", "a\tb\nc\rd\\e\bf\fg\vh", `\N`, "\U0010ffff é", strings.Repeat("x", 1<<20)}},
	{"varchar(5)", "string", []string{"ab"}},
	{"char(5)", "string", []string{"ab"}},
	{"name", "string", []string{"n"}},
	{`"char"`, "string", []string{"c"}},
	{"bytea", "bytes", []string{`\x`, `\x00ff5c0a09`}},
	{"date", "date", []string{"infinity", "-infinity", "1970-01-01", "4713-01-01 BC", "5874897-12-31", "2016-02-29"}},
	{"time", "time-micros", []string{"24:00:00", "00:00:00", "13:51:30.123456"}},
	{"timestamp", "local-timestamp-micros", []string{"infinity", "-infinity", "2016-11-04 13:51:30.123456", "4713-01-01 00:00:00 BC", "294247-01-01 00:00:00", "1969-12-31 23:59:59.999999"}},
	{"timestamptz", "timestamp-micros", []string{"infinity", "-infinity", "2016-11-04T13:51:30.123456+02:00", "0044-03-15 12:00:00+00 BC"}},
	{"timetz", "string", []string{"13:51:30.123789+02:00"}},
	{"interval", "string", []string{"P1Y2M3DT4H5M6.78S", "-1 day"}},
	{"uuid", "uuid", []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
	{"json", "string", []string{`{"b" : 1,  "a": 12345678901234567890.123}`}},
	{"jsonb", "string", []string{`{"b":1,"a":12345678901234567890.123}`}},
	{"xml", "string", []string{`<a b="c">d</a>`}},
	{"bit(64)", "string", []string{strings.Repeat("10", 32)}},
	{"varbit(10)", "string", []string{"101"}},
	{"inet", "string", []string{"192.168.0.1/24", "::1"}},
	{"int4range", "string", []string{"[1,5)", "empty", "(,7]"}},
	{"tstzrange", "string", []string{"[2017-06-05 11:29:12.549426+00,infinity)"}},
	{"point", "string", []string{"(1,2.5)"}},
	{"tsvector", "string", []string{"a fat cat"}},
	{"int[]", "string", []string{"{1,NULL,3}", "[0:1]={7,8}", "{{1,2},{3,4}}", "{}"}},
	{"text[]", "string", []string{`{NULL,"a,b","\""}`}},
	{"mood", "string", []string{"sad", "very happy"}},
	{"pair", "string", []string{`(1,"a b")`}},
	{"price", "decimal(10,2)", []string{"12.34"}},
	{"fine_price", "decimal(10,2)", []string{"12.34"}},
	{"flag", "boolean", []string{"t"}},
}

const typeSetup = `create type mood as enum ('sad', 'very happy');
create type pair as (a int, b text);
create domain price as numeric(10,2) check (value >= 0);
create domain fine_price as price check (value < 100);
create domain flag as boolean not null default false`

func avroName(t *schemas.Type) string {
	switch {
	case t.Logical == schemas.Decimal:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case t.Logical != schemas.NoLogical:
		return t.Logical.String()
	}
	return t.Kind.String()
}

// asSQL is what was decoded, as an expression that Postgres reads.
func asSQL(c *schemas.Column) string {
	switch c.Type.Logical {
	case schemas.Date:
		switch c.Int32[0] {
		case math.MaxInt32:
			return "date 'infinity'"
		case math.MinInt32:
			return "date '-infinity'"
		}
		return fmt.Sprintf("date '1970-01-01' + (%d)", c.Int32[0])
	case schemas.TimeMicros:
		if c.Int64[0] == 86400e6 {
			return "time '24:00'"
		}
		return fmt.Sprintf("time '00:00' + %d * interval '1 microsecond'", c.Int64[0])
	case schemas.TimestampMicros, schemas.LocalTimestampMicros:
		word := "timestamp"
		if c.Type.Logical == schemas.TimestampMicros {
			word = "timestamptz"
		}
		v := c.Int64[0]
		switch v {
		case math.MaxInt64:
			return word + " 'infinity'"
		case math.MinInt64:
			return word + " '-infinity'"
		}
		return fmt.Sprintf("%s '1970-01-01 00:00:00+00' + (%d) * interval '1 day' + (%d) * interval '1 microsecond'", word, v/86400e6, v%86400e6)
	}
	return quoteText(render(c))
}

func TestEveryTypeThroughCopyAndStream(t *testing.T) {
	s := newStack(t)
	s.exec(typeSetup)
	s.exec(`set timezone = 'UTC'; set bytea_output = 'hex'; set extra_float_digits = 3; set lc_monetary = 'C'`)
	type sample struct{ table, literal string }
	var samples []sample
	for i, c := range typeCases {
		table := fmt.Sprintf("t%d", i)
		s.exec(fmt.Sprintf("create table %s (id int primary key, v %s)", table, c.typ))
		for j, v := range c.values {
			literal := quoteText(strings.Trim(v, "'"))
			s.exec(fmt.Sprintf("insert into %s values (%d, %s)", table, j, literal))
			samples = append(samples, sample{table, literal})
		}
		s.exec(fmt.Sprintf("insert into %s select 1000, v from %s where false", table, table))
	}
	r := s.run(s.config())
	s.eventually("the copy is there", func() bool { return len(s.events()) == len(samples) })
	for i := range typeCases {
		s.exec(fmt.Sprintf("insert into t%d select id + 100, v from t%d", i, i))
	}
	s.eventually("the changes are there", func() bool { return len(s.events()) == 2*len(samples) })
	r.stop()
	if n := len(s.records(s.prefix + ".deadletters")); n > 0 {
		t.Errorf("%d dead letters", n)
	}
	for _, e := range s.events() {
		var i, id int
		fmt.Sscanf(e.dataset, "public.t%d", &i)
		fmt.Sscanf(e.after["id"], "%d", &id)
		c := typeCases[i]
		v := e.row.Child("v")
		if got := avroName(v.Type); got != c.avro {
			t.Errorf("%s is avro %s, want %s", c.typ, got, c.avro)
		}
		got := s.text(fmt.Sprintf("format('%%s', (%s)::%s)", asSQL(v), c.typ))
		want := s.text(fmt.Sprintf("select format('%%s', v) from t%d where id = %d", i, id))
		if c.avro == "string" {
			got = render(v) // to the digit
		}
		if got != want {
			t.Errorf("%s %s, id %d, op %s: %.100q, Postgres says %.100q", c.typ, c.values[id%100], id, e.op, got, want)
		}
	}
}

func TestNumericModifier(t *testing.T) {
	for typmod, want := range map[int32][3]int{-1: {0, 0, 0}, 655366: {10, 2, 1}, 10<<16 | (-2 & 0x7ff) + 4: {10, -2, 1}} {
		p, sc, ok := numericModifier(typmod)
		if p != want[0] || sc != want[1] || ok != (want[2] == 1) {
			t.Errorf("numericModifier(%d) = %d, %d, %v, want %v", typmod, p, sc, ok, want)
		}
	}
}
