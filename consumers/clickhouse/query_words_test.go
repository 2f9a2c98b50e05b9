package clickhouse

import "testing"

func TestHasResult(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT 1": true, "(select 1)": true, "WITH x AS (SELECT 1) SELECT * FROM x": true, "show tables": true, "DESCRIBE\ttable t": true, "": true,
		"-- a comment\nSELECT 1": true, "EXPLAIN SELECT 1": true, "CHECK TABLE t": true, "-- without an end": true,
		"RENAME TABLE a TO b": false, "alter table t delete where 1": false, "Drop\nTABLE t": false, "/* DROP */ -- SELECT\n truncate t": false,
		"INSERT INTO t SELECT 1": false, "SYSTEM FLUSH LOGS": false, "# SELECT\nSET x = 1": false,
	} {
		if got := hasResult(sql); got != want {
			t.Errorf("hasResult(%q) = %v", sql, got)
		}
	}
}
