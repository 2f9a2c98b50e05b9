package clickhouse

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
)

// Rows receives the result of a query: the columns once, then every row as text. A NULL is nil.
type Rows interface {
	Columns(names, types []string) error
	Row(values []*string) error
}

// Query runs one SQL statement for a person and gives its result to rows as text, as it comes.
func (s *Sink) Query(ctx context.Context, sql string, rows Rows) error {
	sql = strings.TrimRight(strings.TrimSpace(sql), ";")
	if !hasResult(sql) {
		if err := s.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("query clickhouse: %w", err)
		}
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	result, err := s.conn.Query(ctx, sql)
	if err != nil {
		cancel()
		return fmt.Errorf("query clickhouse: %w", err)
	}
	defer func() {
		cancel() // or Close would read what is left to its end
		result.Close()
	}()
	var names, types []string
	var dests []any
	for _, c := range result.ColumnTypes() {
		names, types = append(names, c.Name()), append(types, c.DatabaseTypeName())
		dests = append(dests, reflect.New(c.ScanType()).Interface())
	}
	if err := rows.Columns(names, types); err != nil {
		return err
	}
	values := make([]*string, len(dests))
	for result.Next() {
		if err := result.Scan(dests...); err != nil {
			return fmt.Errorf("query clickhouse: %w", err)
		}
		for i, d := range dests {
			values[i] = text(reflect.ValueOf(d).Elem(), strings.Contains(types[i], "UInt8"), false)
			if at, ok := instant(d); ok && strings.Contains(types[i], "Date") && !strings.Contains(types[i], "DateTime") {
				values[i] = ptr(at.Format(time.DateOnly))
			}
		}
		if err := rows.Row(values); err != nil {
			return err
		}
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("query clickhouse: %w", err)
	}
	return nil
}

// hasResult tells whether a statement answers with rows. The others answer with nothing, which the client cannot tell from a broken connection.
func hasResult(sql string) bool {
	words := strings.FieldsFunc(strings.ToUpper(uncommented(sql)), func(r rune) bool { return r < 'A' || r > 'Z' })
	if len(words) == 0 {
		return true
	}
	switch words[0] {
	case "ALTER", "ATTACH", "BACKUP", "CREATE", "DELETE", "DETACH", "DROP", "EXCHANGE", "GRANT", "INSERT", "OPTIMIZE", "RENAME", "REPLACE", "RESTORE", "REVOKE",
		"SET", "SYSTEM", "TRUNCATE", "UNDROP", "UPDATE", "USE":
		return false
	}
	return true
}

// uncommented is a statement without the comments before it.
func uncommented(sql string) string {
	for {
		sql = strings.TrimSpace(sql)
		end := ""
		switch {
		case strings.HasPrefix(sql, "--"), strings.HasPrefix(sql, "#"):
			end = "\n"
		case strings.HasPrefix(sql, "/*"):
			end = "*/"
		default:
			return sql
		}
		_, rest, found := strings.Cut(sql, end)
		if !found {
			return ""
		}
		sql = rest
	}
}

// text renders a value as ClickHouse's own client does, nil for NULL. Inside of arrays, maps and tuples text is quoted. Bytes are text unless they
// are numbers.
func text(v reflect.Value, numbers, inside bool) *string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		if s, ok := known(v.Interface(), inside); ok {
			return &s
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil
	}
	if v, ok := v.Interface().(clickhouse.Variant); ok {
		return text(reflect.ValueOf(v.Any()), false, inside)
	}
	if s, ok := known(v.Interface(), inside); ok {
		return &s
	}
	var s string
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && !numbers {
			s = quoted(string(v.Bytes()), inside)
			break
		}
		var parts []string
		for i := range v.Len() {
			parts = append(parts, orNull(text(v.Index(i), numbers, true)))
		}
		s = "[" + strings.Join(parts, ",") + "]"
	case reflect.Map:
		var parts []string
		for it := v.MapRange(); it.Next(); {
			parts = append(parts, orNull(text(it.Key(), numbers, true))+":"+orNull(text(it.Value(), numbers, true)))
		}
		s = "{" + strings.Join(sorted(parts), ",") + "}"
	case reflect.Float32:
		s = strconv.FormatFloat(v.Float(), 'g', -1, 32)
	case reflect.Float64:
		s = strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.String:
		s = quoted(v.String(), inside)
	default:
		s = fmt.Sprint(v.Interface())
	}
	return &s
}

// known renders values that say how themselves.
func known(v any, inside bool) (string, bool) {
	switch v := v.(type) {
	case time.Time:
		return quoted(v.Format("2006-01-02 15:04:05.999999999"), inside), true
	case json.RawMessage:
		return string(v), true
	case fmt.Stringer:
		if _, isPointer := v.(interface{ Elem() reflect.Type }); !isPointer {
			return quoted(v.String(), inside), true
		}
	case driver.Valuer:
		if inner, err := v.Value(); err == nil && inner != nil {
			return fmt.Sprint(inner), true
		}
	}
	return "", false
}

// instant is the time that a scan has brought, if it is one.
func instant(dest any) (time.Time, bool) {
	switch v := dest.(type) {
	case *time.Time:
		return *v, true
	case **time.Time:
		if *v != nil {
			return **v, true
		}
	}
	return time.Time{}, false
}

func ptr(s string) *string { return &s }

func quoted(s string, inside bool) string {
	if !utf8.ValidString(s) {
		return fmt.Sprintf("<%d bytes>", len(s))
	}
	if inside {
		return quoteText(s)
	}
	return s
}

func orNull(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}
