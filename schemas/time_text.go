package schemas

import (
	"fmt"
	"math"
)

const (
	secondsPerDay = 86400
	nanosPerDay   = secondsPerDay * 1e9
)

// ParseDate reads YYYY-MM-DD in the proleptic Gregorian calendar as days since 1970-01-01. The year may have a sign and more than four digits, year
// 0 is the one before year 1, and a trailing " BC", as Postgres writes it, counts backwards from there.
func ParseDate(text []byte) (int32, error) {
	body, bc := cutBC(text)
	days, rest, ok := scanDate(body, bc)
	if !ok || len(rest) > 0 {
		return 0, fmt.Errorf("%s is not a date (YYYY-MM-DD)", excerpt(text))
	}
	if days != int64(int32(days)) {
		return 0, fmt.Errorf("date %s does not fit in 32 bits", excerpt(text))
	}
	return int32(days), nil
}

// ParseTimeMicros reads HH:MM[:SS[.ffffff]] as microseconds since midnight, 24:00:00 included. Digits past the microsecond must be zeros.
func ParseTimeMicros(text []byte) (int64, error) { return parseTime(text, 1000, "microsecond") }

// ParseTimestampMicros reads a date and a time of day, with T or a blank between them, as microseconds since 1970. zoned tells whether the text has an
// offset (Z, +hh, +hhmm, +hh:mm or +hh:mm:ss); with one the result is UTC, without one it is local time. Digits past the microsecond must be zeros.
func ParseTimestampMicros(text []byte) (micros int64, zoned bool, err error) {
	return parseTimestamp(text, 1000, "microsecond")
}

// parseTime returns units of `unit` nanoseconds.
func parseTime(text []byte, unit int64, word string) (int64, error) {
	nanos, rest, ok := scanClock(text)
	if !ok || len(rest) > 0 {
		return 0, fmt.Errorf("%s is not a time (HH:MM:SS)", excerpt(text))
	}
	if nanos < 0 || nanos%unit != 0 {
		return 0, fmt.Errorf("time %s is finer than a %s", excerpt(text), word)
	}
	return nanos / unit, nil
}

func parseTimestamp(text []byte, unit int64, word string) (v int64, zoned bool, err error) {
	body, bc := cutBC(text)
	days, rest, ok := scanDate(body, bc)
	if !ok || len(rest) == 0 || rest[0] != 'T' && rest[0] != 't' && rest[0] != ' ' {
		return 0, false, fmt.Errorf("%s is not a timestamp (YYYY-MM-DD HH:MM:SS)", excerpt(text))
	}
	nanos, rest, ok := scanClock(rest[1:])
	if !ok {
		return 0, false, fmt.Errorf("%s is not a timestamp (YYYY-MM-DD HH:MM:SS)", excerpt(text))
	}
	offset, zoned, ok := scanOffset(rest)
	if !ok {
		return 0, false, fmt.Errorf("%s does not end in an offset (Z or +hh:mm)", excerpt(text))
	}
	if nanos < 0 || nanos%unit != 0 {
		return 0, false, fmt.Errorf("timestamp %s is finer than a %s", excerpt(text), word)
	}
	perSecond := 1_000_000_000 / unit
	seconds := days*secondsPerDay - offset
	sub := nanos / unit // at most a day
	// Carry whole seconds over, and borrow one below the epoch, so that the product leaves the range only when the sum does.
	seconds, sub = seconds+sub/perSecond, sub%perSecond
	if seconds < 0 && sub > 0 {
		seconds, sub = seconds+1, sub-perSecond
	}
	if seconds > math.MaxInt64/perSecond || seconds < math.MinInt64/perSecond {
		return 0, false, fmt.Errorf("timestamp %s does not fit in 64 bits of %ss", excerpt(text), word)
	}
	v = seconds * perSecond
	if sub > 0 && v > math.MaxInt64-sub || sub < 0 && v < math.MinInt64-sub {
		return 0, false, fmt.Errorf("timestamp %s does not fit in 64 bits of %ss", excerpt(text), word)
	}
	return v + sub, zoned, nil
}

// cutBC takes a trailing " BC" away.
func cutBC(text []byte) ([]byte, bool) {
	if n := len(text) - 3; n > 0 && text[n] == ' ' && text[n+1] == 'B' && text[n+2] == 'C' {
		return text[:n], true
	}
	return text, false
}

// scanDate reads a date at the start of b. The year has four to seven digits, more than a 64-bit count of microseconds reaches.
func scanDate(b []byte, bc bool) (days int64, rest []byte, ok bool) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	year, n := int64(0), 0
	for n < len(b) && n < 8 && isDigit(b[n]) {
		year = year*10 + int64(b[n]-'0')
		n++
	}
	if n < 4 || n > 7 || len(b) < n+6 || b[n] != '-' || b[n+3] != '-' {
		return 0, nil, false
	}
	month, ok1 := twoDigits(b[n+1:])
	day, ok2 := twoDigits(b[n+4:])
	if bc {
		if negative || year == 0 {
			return 0, nil, false
		}
		year = 1 - year
	} else if negative {
		year = -year
	}
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, nil, false
	}
	return civilDays(year, month, day), b[n+6:], true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// civilDays counts the days from 1970-01-01 to a date. Years are taken to begin in March, so that the leap day is their last.
func civilDays(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	y := year - era*400                // 0 to 399
	d := (153*(month-3)+2)/5 + day - 1 // days since the first of March
	return era*146097 + y*365 + y/4 - y/100 + d - 719468
}

// scanClock reads HH:MM[:SS[.fffffffff]] at the start of b, as nanoseconds. -1 stands for a time with digits past the nanosecond.
func scanClock(b []byte) (nanos int64, rest []byte, ok bool) {
	if len(b) < 5 || b[2] != ':' {
		return 0, nil, false
	}
	hour, ok1 := twoDigits(b)
	minute, ok2 := twoDigits(b[3:])
	if !ok1 || !ok2 || hour > 24 || minute > 59 {
		return 0, nil, false
	}
	b = b[5:]
	second, tooFine := int64(0), false
	if len(b) > 0 && b[0] == ':' {
		if second, ok = twoDigits(b[1:]); !ok || second > 59 {
			return 0, nil, false
		}
		b = b[3:]
		if len(b) > 0 && b[0] == '.' {
			if nanos, tooFine, b, ok = scanFraction(b[1:]); !ok {
				return 0, nil, false
			}
		}
	}
	nanos += (hour*3600 + minute*60 + second) * 1e9
	if nanos > nanosPerDay || nanos == nanosPerDay && tooFine {
		return 0, nil, false
	}
	if tooFine {
		nanos = -1
	}
	return nanos, b, true
}

func scanFraction(b []byte) (nanos int64, tooFine bool, rest []byte, ok bool) {
	n := 0
	for ; n < len(b) && isDigit(b[n]); n++ {
		if n < 9 {
			nanos = nanos*10 + int64(b[n]-'0')
		} else if b[n] != '0' {
			tooFine = true
		}
	}
	if n == 0 {
		return 0, false, nil, false
	}
	if n < 9 {
		nanos *= pow10[9-n]
	}
	return nanos, tooFine, b[n:], true
}

// scanOffset reads all of b as an offset from UTC in seconds; no bytes are none.
func scanOffset(b []byte) (seconds int64, zoned, ok bool) {
	if len(b) == 0 {
		return 0, false, true
	}
	if len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true, true
	}
	if b[0] != '+' && b[0] != '-' {
		return 0, false, false
	}
	negative := b[0] == '-'
	var part [3]int64
	n := 0
	for b = b[1:]; n < len(part); n++ {
		if n > 0 && len(b) > 0 && b[0] == ':' {
			b = b[1:]
		}
		v, ok := twoDigits(b)
		if !ok || v > 59 || n == 0 && v > 23 {
			return 0, false, false
		}
		part[n] = v
		if b = b[2:]; len(b) == 0 {
			break
		}
	}
	if len(b) > 0 {
		return 0, false, false
	}
	seconds = part[0]*3600 + part[1]*60 + part[2]
	if negative {
		seconds = -seconds
	}
	return seconds, true, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func twoDigits(b []byte) (int64, bool) {
	if len(b) < 2 || !isDigit(b[0]) || !isDigit(b[1]) {
		return 0, false
	}
	return int64(b[0]-'0')*10 + int64(b[1]-'0'), true
}
