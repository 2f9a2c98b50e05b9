package clickhouse

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"adventureworks.example/extract/consumers"
)

// SQLFile is a file of the dataset's statements.
type SQLFile struct {
	Name string
	Text string
}

// applied is the table that remembers which statements made what there is, by the hash of their text.
const applied = "_applied"

// ApplySQL runs the statements of the files in order, once each: a statement whose text was run before, by this process or an earlier one, is not
// run again. When the text of a statement that creates something has changed, what it created is dropped and made again. A statement that
// reads a table which is not there yet waits for it, and everything after it waits too; ApplySQL says so once and tries again every few
// seconds until ctx ends. The statements are meant to be CREATE DATABASE, TABLE, VIEW and MATERIALIZED VIEW, REFRESH EVERY included.
func (s *Sink) ApplySQL(ctx context.Context, files []SQLFile) error {
	backoff, said := 500*time.Millisecond, ""
	for {
		err := s.applyAll(ctx, files)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !waits(err) && consumers.Classify(err) != consumers.Retry {
			return err
		}
		if text := err.Error(); text != said {
			said = text
			s.log.Info("the dataset waits for its sources", "err", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, 5*time.Second)
	}
}

// waits tells whether an error goes away when the sources have been stored: a table, database or column that is not there yet.
func waits(err error) bool {
	code, _, _ := exception(err)
	return slices.Contains([]int{8, 16, 47, 60, 81}, code)
}

func (s *Sink) applyAll(ctx context.Context, files []SQLFile) error {
	table := quoteName(s.conf.Dataset) + "." + quoteName(applied)
	for _, sql := range []string{
		"CREATE DATABASE IF NOT EXISTS " + quoteName(s.conf.Dataset),
		"CREATE TABLE IF NOT EXISTS " + table + " (`name` String, `hash` String, `at` DateTime64(3, 'UTC')) ENGINE = ReplacingMergeTree(at) ORDER BY `name`",
	} {
		if err := s.exec(ctx, sql); err != nil {
			return fmt.Errorf("prepare the dataset: %w", err)
		}
	}
	rows, err := s.texts(ctx, "SELECT name, hash FROM "+table+" FINAL", 2)
	if err != nil {
		return classify(fmt.Errorf("prepare the dataset: %w", err))
	}
	done := map[string]string{}
	for _, r := range rows {
		done[r[0]] = r[1]
	}
	for _, f := range files {
		for i, sql := range SplitSQL(f.Text) {
			name := statementName(f.Name, i, sql)
			hash := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.TrimSpace(stripComments(sql)))))
			if done[name] == hash {
				continue
			}
			if err := s.apply(ctx, sql, done[name] != ""); err != nil {
				return fmt.Errorf("run %s, statement %d: %w", f.Name, i+1, err)
			}
			if err := s.exec(ctx, "INSERT INTO "+table+" SETTINGS async_insert = 0 VALUES ("+quoteText(name)+", "+quoteText(hash)+", now64(3))"); err != nil {
				return fmt.Errorf("remember %s, statement %d: %w", f.Name, i+1, err)
			}
			s.log.Info("ran a statement of the dataset", "file", f.Name, "name", name)
		}
	}
	return nil
}

// created finds what a statement creates.
var created = regexp.MustCompile(`(?is)^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(MATERIALIZED\s+VIEW|VIEW|TABLE|DICTIONARY|DATABASE|FUNCTION)\s+(?:IF\s+NOT\s+EXISTS\s+)?((?:` + "`[^`]+`|[\\w]+)(?:\\.(?:`[^`]+`|[\\w]+))?)")

// statementName is what a statement creates, or its place in the file.
func statementName(file string, i int, sql string) string {
	if m := created.FindStringSubmatch(stripComments(sql)); m != nil {
		return strings.ReplaceAll(m[2], "`", "")
	}
	return fmt.Sprintf("%s#%d", file, i+1)
}

func (s *Sink) apply(ctx context.Context, sql string, changed bool) error {
	if m := created.FindStringSubmatch(stripComments(sql)); m != nil && changed {
		what := strings.ToUpper(m[1])
		if strings.Contains(what, "VIEW") {
			what = "VIEW"
		}
		if what != "DATABASE" {
			if err := s.exec(ctx, "DROP "+what+" IF EXISTS "+m[2]+" SYNC"); err != nil {
				return err
			}
		}
	}
	return s.exec(ctx, sql)
}

// Refresh makes every refreshable view of the dataset anew, those that others read before those, and waits until all are done.
func (s *Sink) Refresh(ctx context.Context) error {
	rows, err := s.texts(ctx, "SELECT v.view, t.as_select, t.create_table_query FROM system.view_refreshes AS v INNER JOIN system.tables AS t ON t.database = v.database AND "+
		"t.name = v.view WHERE v.database = "+quoteText(s.conf.Dataset)+" ORDER BY v.view", 3)
	if err != nil {
		return classify(fmt.Errorf("list the dataset's views: %w", err))
	}
	var views []refreshable
	for _, r := range rows {
		v := refreshable{name: r[0], reads: r[1], fills: s.conf.Dataset + "." + r[0]}
		if m := target.FindStringSubmatch(r[2]); m != nil {
			v.fills = strings.ReplaceAll(m[1], "`", "")
		}
		views = append(views, v)
	}
	for _, v := range inOrder(views) {
		view := quoteName(s.conf.Dataset) + "." + quoteName(v.name)
		for _, sql := range []string{"SYSTEM REFRESH VIEW ", "SYSTEM WAIT VIEW "} {
			if err := s.exec(ctx, sql+view); err != nil {
				return fmt.Errorf("refresh %s: %w", view, err)
			}
		}
	}
	return nil
}

// target finds the table that a materialized view writes to.
var target = regexp.MustCompile("\\sTO\\s+((?:`[^`]+`|\\w+)\\.(?:`[^`]+`|\\w+))")

// refreshable is a view with the table it fills and the text of its query.
type refreshable struct{ name, fills, reads string }

// inOrder puts every view behind those that fill what it reads. Views in a circle come in the order they are in.
func inOrder(views []refreshable) []refreshable {
	var order []refreshable
	state := make([]int, len(views)) // 0 not seen, 1 being placed, 2 placed
	var place func(i int)
	place = func(i int) {
		if state[i] != 0 {
			return
		}
		state[i] = 1
		reads := strings.ReplaceAll(views[i].reads, "`", "")
		for k, other := range views {
			if k != i && regexp.MustCompile(`\b`+regexp.QuoteMeta(other.fills)+`\b`).MatchString(reads) {
				place(k)
			}
		}
		state[i] = 2
		order = append(order, views[i])
	}
	for i := range views {
		place(i)
	}
	return order
}
