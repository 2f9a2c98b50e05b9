package schemas

import (
	"bytes"
	"math/big"
	"strings"
	"testing"
	"time"
)

// textCase is one text and what it becomes: the Avro bytes, or an error that contains fail.
type textCase struct {
	text string
	want string
	fail string
}

func long(v int64) string { return string(AppendLong(nil, v)) }

func sized(b string) string { return string(AppendString(nil, b)) }

func TestCompileText(t *testing.T) {
	micros := func(y, mo, d, h, mi, s, us int) int64 {
		return time.Date(y, time.Month(mo), d, h, mi, s, us*1000, time.UTC).UnixMicro()
	}
	for _, group := range []struct {
		typ   *Type
		cases []textCase
	}{
		{Primitive(Boolean), []textCase{
			{"true", "\x01", ""}, {"t", "\x01", ""}, {"1", "\x01", ""}, {"TRUE", "\x01", ""}, {"false", "\x00", ""}, {"f", "\x00", ""}, {"0", "\x00", ""},
			{"", "", "not a boolean"}, {"yes", "", "not a boolean"}, {"truex", "", "not a boolean"},
		}},
		{Primitive(Int), []textCase{
			{"0", long(0), ""}, {"-0", long(0), ""}, {"+7", long(7), ""}, {"007", long(7), ""}, {"2147483647", long(2147483647), ""}, {"-2147483648", long(-2147483648), ""},
			{"2147483648", "", "32 bits"}, {"-2147483649", "", "32 bits"}, {"", "", "whole"}, {"-", "", "whole"}, {"1.0", "", "whole"}, {" 1", "", "whole"}, {"1 ", "", "whole"},
			{"99999999999999999999999", "", "64 bits"}, {"99999999999999999999999x", "", "whole"},
		}},
		{Primitive(Long), []textCase{
			{"9223372036854775807", long(9223372036854775807), ""}, {"-9223372036854775808", long(-9223372036854775808), ""},
			{"9223372036854775808", "", "64 bits"}, {"-9223372036854775809", "", "64 bits"}, {"18446744073709551616", "", "64 bits"}, {"18446744073709551617", "", "64 bits"},
		}},
		{Primitive(Float), []textCase{
			{"1.5", string(AppendFloat(nil, 1.5)), ""}, {"-0", "\x00\x00\x00\x80", ""}, {"NaN", string(AppendFloat(nil, float32(nan()))), ""},
			{"-Infinity", "\x00\x00\x80\xff", ""}, {"3.5e38", "", "32 bits"}, {"1e-50", "", "too small"}, {"0e-50", "\x00\x00\x00\x00", ""},
		}},
		{Primitive(Double), []textCase{
			{"0.1", string(AppendDouble(nil, 0.1)), ""}, {"Infinity", string(AppendDouble(nil, inf())), ""}, {"5e-324", string(AppendDouble(nil, 5e-324)), ""},
			{"1e400", "", "64 bits"}, {"1e-400", "", "too small"}, {"0x1p3", "", "not a number"}, {"1_0", "", "not a number"}, {"", "", "not a number"}, {"1,5", "", "not a number"},
		}},
		{Primitive(String), []textCase{{"", "\x00", ""}, {"é\U0010ffff", sized("é\U0010ffff"), ""}, {"a\xff", "", "UTF-8"}}},
		{Primitive(Bytes), []textCase{{"", "\x00", ""}, {"a\xff\x00", sized("a\xff\x00"), ""}}},
		{&Type{Kind: Fixed, Name: "f", Size: 2}, []textCase{{"ab", "ab", ""}, {"a", "", "exactly 2"}, {"abc", "", "exactly 2"}}},
		{&Type{Kind: Enum, Name: "e", Symbols: []string{"A", "B"}}, []textCase{{"B", long(1), ""}, {"b", "", "symbols"}, {"", "", "symbols"}}},
		{LogicalOf(Date), []textCase{
			{"1970-01-01", long(0), ""}, {"2000-02-29", long(11016), ""}, {"1969-12-31", long(-1), ""}, {"0001-01-01", long(-719162), ""}, {"0000-12-31", long(-719163), ""},
			{"0001-12-31 BC", long(-719163), ""}, {"-0001-12-31", long(-719163 - 366), ""}, {"+12345-01-01", long(time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400), ""}, {"5874897-12-31", long(2147483493 - 2440588), ""},
			{"2001-02-29", "", "not a date"}, {"1900-02-29", "", "not a date"}, {"2000-13-01", "", "not a date"}, {"2000-00-01", "", "not a date"}, {"2000-01-00", "", "not a date"},
			{"99-01-01", "", "not a date"}, {"2000-1-1", "", "not a date"}, {"2000-01-01 ", "", "not a date"}, {"infinity", "", "not a date"}, {"", "", "not a date"},
			{"9999999-01-01", "", "32 bits"}, {"0000-01-01 BC", "", "not a date"}, {"-0001-01-01 BC", "", "not a date"},
		}},
		{LogicalOf(TimeMillis), []textCase{
			{"00:00", long(0), ""}, {"23:59:59.999", long(86399999), ""}, {"24:00:00", long(86400000), ""}, {"12:00:00.123000", long(43200123), ""},
			{"12:00:00.1234", "", "finer than a millisecond"}, {"24:00:00.001", "", "not a time"}, {"24:01", "", "not a time"},
		}},
		{LogicalOf(TimeMicros), []textCase{
			{"01:02:03.000004", long(3723000004), ""}, {"24:00:00", long(86400000000), ""}, {"01:02:03.", "", "not a time"}, {"01:02:60", "", "not a time"}, {"01:60", "", "not a time"},
			{"25:00", "", "not a time"}, {"1:00", "", "not a time"}, {"01:00:00.0000001", "", "finer"}, {"01:00:00.0000000000001", "", "finer"}, {"01:00:00.0000000000000", long(3600e6), ""},
		}},
		{LogicalOf(TimestampMillis), []textCase{
			{"1970-01-01T00:00:00Z", long(0), ""}, {"1969-12-31 23:59:59.999+00", long(-1), ""}, {"2016-11-04T13:51:30.123+02:00", long(micros(2016, 11, 4, 11, 51, 30, 0)/1000 + 123), ""},
			{"1970-01-01T00:00:00", "", "no offset"}, {"1970-01-01T00:00:00.0001Z", "", "finer"},
		}},
		{LogicalOf(TimestampMicros), []textCase{
			{"2016-11-04T13:51:30.123456+0200", long(micros(2016, 11, 4, 11, 51, 30, 123456)), ""}, {"2016-11-04 13:51:30.123456-02:30:15", long(micros(2016, 11, 4, 16, 21, 45, 123456)), ""},
			{"294246-12-31 23:59:59.999999+00", long(micros(294246, 12, 31, 23, 59, 59, 999999)), ""}, {"294277-01-01 00:00:00+00", "", "64 bits"}, {"4713-01-01 00:00:00+00 BC", long(-210863520000000000), ""},
			{"294247-01-10T04:00:54.775807Z", long(9223372036854775807), ""}, {"294247-01-10T04:00:54.775808Z", "", "64 bits"},
			{"-290308-12-21T19:59:05.224192Z", long(-9223372036854775808), ""}, {"-290308-12-21T19:59:05.224191Z", "", "64 bits"},
			{"infinity", "", "not a timestamp"}, {"1970-01-01", "", "not a timestamp"}, {"1970-01-01T00:00:00+5", "", "offset"}, {"1970-01-01T00:00:00 Z", "", "offset"},
			{"1970-01-01T00:00:00+24", "", "offset"}, {"1970-01-01T00:00:00+01:", "", "offset"}, {"1970-01-01T24:00:00Z", long(86400e6), ""},
		}},
		{LogicalOf(TimestampNanos), []textCase{
			{"1970-01-01T00:00:00.000000001Z", long(1), ""}, {"2262-04-11T23:47:16.854775807Z", long(9223372036854775807), ""}, {"2262-04-11T23:47:16.854775808Z", "", "64 bits"},
		}},
		{LogicalOf(LocalTimestampMicros), []textCase{{"1970-01-01 00:00:00.000001", long(1), ""}, {"1970-01-01 00:00:00Z", "", "has an offset"}}},
		{LogicalOf(UUID), []textCase{
			{"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", sized("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), ""}, {"a0eebc999c0b4ef8bb6d6bb9bd380a11", sized("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), ""},
			{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "", "uuid"}, {"a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11", "", "uuid"}, {"a0eebc999c0b4ef8bb6d6bb9bd380a11ff", "", "uuid"}, {"g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "", "uuid"}, {"", "", "uuid"},
		}},
		{&Type{Kind: Fixed, Name: "u", Size: 16, Logical: UUID}, []textCase{{"61626364-6566-6768-696a-6b6c6d6e6f70", "abcdefghijklmnop", ""}}},
		{DecimalOf(5, 2), []textCase{
			{"0", "\x02\x00", ""}, {"-0.00", "\x02\x00", ""}, {"1.28", "\x04\x00\x80", ""}, {"-1.28", "\x02\x80", ""}, {"-1.29", "\x04\xff\x7f", ""}, {"+001.2", "\x02\x78", ""}, {"1.2000", "\x02\x78", ""},
			{"999.99", "\x06\x01\x86\x9f", ""}, {"12e1", "\x04\x2e\xe0", ""}, {"1200e-3", "\x02\x78", ""}, {".5", "\x02\x32", ""}, {"5.", "\x04\x01\xf4", ""}, {"0e999999999999", "\x02\x00", ""},
			{"1000", "", "before the point"}, {"1.234", "", "after the point"}, {"0.001", "", "after the point"}, {"1e999999999999", "", "before the point"}, {"1e-999999999999", "", "after the point"},
			{"", "", "not a decimal"}, {".", "", "not a decimal"}, {"-", "", "not a decimal"}, {"1e", "", "not a decimal"}, {"1.2.3", "", "not a decimal"}, {"1 ", "", "not a decimal"}, {"NaN", "", "not finite"}, {"-Infinity", "", "not finite"},
		}},
		{&Type{Kind: Fixed, Name: "d", Size: 2, Logical: Decimal, Precision: 4, Scale: 0}, []textCase{{"-1", "\xff\xff", ""}, {"9999", "\x27\x0f", ""}, {"10000", "", "before"}}},
		{&Type{Kind: Fixed, Name: "d", Size: 1, Logical: Decimal, Precision: 4, Scale: 0}, []textCase{{"127", "\x7f", ""}, {"-128", "\x80", ""}, {"128", "", "fixed(1)"}}},
	} {
		for _, nullable := range []bool{false, true} {
			typ, prefix := group.typ, "head"
			if nullable {
				typ = Nullable(typ)
			}
			f, err := CompileText(typ)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range group.cases {
				got, err := f([]byte(prefix), []byte(c.text))
				switch {
				case c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)):
					t.Errorf("%s%s %q: error %v, want one about %q", group.typ.Kind, group.typ.Logical, c.text, err, c.fail)
				case c.fail != "" && string(got) != prefix:
					t.Errorf("%s %q: an error left %q behind", group.typ.Kind, c.text, got)
				case c.fail == "" && err != nil:
					t.Errorf("%s%s %q: %v", group.typ.Kind, group.typ.Logical, c.text, err)
				case c.fail == "":
					want := prefix
					if nullable {
						want += "\x02"
					}
					if want += c.want; string(got) != want {
						t.Errorf("%s%s %q = %x, want %x", group.typ.Kind, group.typ.Logical, c.text, got, want)
					}
				}
			}
		}
	}
}

func TestCompileTextRefusesTypesWithoutText(t *testing.T) {
	for _, typ := range []*Type{ArrayOf(Primitive(Int)), RecordOf("r"), {Kind: Fixed, Name: "d", Size: 12, Logical: Duration}, Nullable(MapOf(Primitive(Int)))} {
		if _, err := CompileText(typ); err == nil {
			t.Errorf("a %s compiled", typ.Kind)
		}
	}
}

func TestDecimalForms(t *testing.T) {
	for _, s := range []string{"0", "1", "-1", "127", "128", "-128", "-129", "32767", "32768", "-32768", "9223372036854775807", "-9223372036854775808",
		"9223372036854775808", "-170141183460469231731687303715884105728", "170141183460469231731687303715884105728"} {
		v, _ := new(big.Int).SetString(s, 10)
		one := AppendDecimalBig(nil, v)
		if v.IsInt64() {
			if got := AppendDecimalInt64(nil, v.Int64()); !bytes.Equal(got, one) {
				t.Errorf("int64 %s: %x, big %x", s, got, one)
			}
		}
		wide := appendTwosComplement(nil, v, 40)
		if got := AppendDecimalBytes(nil, wide); !bytes.Equal(got, one) {
			t.Errorf("bytes %s: %x, want %x", s, got, one)
		}
		if got := bigFromBytes(wide); got.Cmp(v) != 0 {
			t.Errorf("read back %s: %s", s, got)
		}
		text, err := AppendDecimalText(nil, []byte(s), 60, 0)
		if err != nil || !bytes.Equal(text, one) {
			t.Errorf("text %s: %x, %v, want %x", s, text, err, one)
		}
		if got, err := AppendDecimalFixed(nil, wide, 17); err != nil || bigFromBytes(got).Cmp(v) != 0 {
			t.Errorf("fixed %s: %x, %v", s, got, err)
		}
	}
	if got := AppendDecimalBytes(nil, nil); string(got) != "\x02\x00" {
		t.Errorf("no bytes: %x", got)
	}
}

// FuzzDecimalText compares with math/big: a text that is read has exactly that value.
func FuzzDecimalText(f *testing.F) {
	f.Add("123456789012345678901.50", 30, 2)
	f.Add("-0.0001e4", 5, 0)
	f.Fuzz(func(t *testing.T, text string, precision, scale int) {
		if len(text) > 200 || precision < 1 || precision > 100 || scale < 0 || scale > precision {
			return
		}
		small, large, err := parseDecimal([]byte(text), precision, scale)
		if err != nil {
			return
		}
		if large == nil {
			large = big.NewInt(small)
		}
		if n, _ := scanDecimal([]byte(text)); n.exponent > 1000 || n.exponent < -1000 {
			return // big.Rat would take for ever
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q is no number to math/big", text)
		}
		got := new(big.Rat).SetFrac(large, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		if got.Cmp(want) != 0 {
			t.Fatalf("%q = %s", text, got)
		}
	})
}

// FuzzTimestampText compares with package time: what time reads within its own grammar must give the same instant here.
func FuzzTimestampText(f *testing.F) {
	f.Add("2016-11-04T13:51:30.123456+02:00")
	f.Add("1969-12-31T23:59:59.999999Z")
	f.Add("0000-01-01T00:00:00+00:60")
	f.Fuzz(func(t *testing.T, text string) {
		want, timeErr := time.Parse(time.RFC3339Nano, text)
		got, zoned, err := parseTimestamp([]byte(text), 1000, "microsecond")
		if timeErr != nil || strings.Contains(text, ",") || text[13] != ':' || err != nil && strings.Contains(err.Error(), "finer") {
			return // package time also takes commas and hours of one digit, and cuts digits past the nanosecond
		}
		if !strings.HasSuffix(text, "Z") && text[len(text)-2:] > "59" {
			return // and offsets of 60 minutes
		}
		if _, offset := want.Zone(); offset%60 != 0 || offset > 86340 || offset < -86340 {
			return
		}
		if err != nil || !zoned || got != want.UnixMicro() {
			t.Fatalf("%q = %d %t %v, want %d", text, got, zoned, err, want.UnixMicro())
		}
	})
}

func TestTextDoesNotAllocate(t *testing.T) {
	for _, c := range []struct {
		typ  *Type
		text string
	}{
		{Primitive(Long), "-1234567890123"}, {Primitive(Double), "1234.5678"}, {DecimalOf(18, 4), "12345678.1234"}, {LogicalOf(TimestampMicros), "2016-11-04 13:51:30.123456+02"},
		{LogicalOf(UUID), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {Primitive(String), "some text"}, {&Type{Kind: Enum, Name: "e", Symbols: []string{"A", "B"}}, "B"},
	} {
		f, err := CompileText(Nullable(c.typ))
		if err != nil {
			t.Fatal(err)
		}
		dst, text := make([]byte, 0, 100), []byte(c.text)
		if n := testing.AllocsPerRun(100, func() { _, _ = f(dst, text) }); n != 0 {
			t.Errorf("%s%s: %v allocations a value", c.typ.Kind, c.typ.Logical, n)
		}
	}
}
