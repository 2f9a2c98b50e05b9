package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"adventureworks.example/extract/schemas"
	"adventureworks.example/extract/schemas/faults"
)

// entry is a table as the catalog lists it.
type entry struct {
	oid         uint32
	schema      string
	name        string
	partitioned bool
	identity    bool // its updates and deletes can be told apart: it has a replica identity
	selectable  bool
	usable      bool // its schema may be used
	published   bool
	columns     string // names that the publication is limited to, as a list in SQL; empty for all
	filter      string // row filter of the publication, SQL; empty for none
	gone        bool   // it was dropped, or made again, while it was to be copied
}

// String is schema and table, as people write them.
func (e *entry) String() string { return e.schema + "." + e.name }

func (e *entry) dataset() string { return schemas.Name(e.schema) + "." + schemas.Name(e.name) }

const listTables = `
select c.oid, n.nspname, c.relname, c.relkind = 'p',
  c.relreplident = 'f' or exists (select from pg_index i where i.indrelid = c.oid and i.indisvalid and
    (c.relreplident = 'd' and i.indisprimary and i.indimmediate or c.relreplident = 'i' and i.indisreplident)),
  has_table_privilege(c.oid, 'SELECT') or has_any_column_privilege(c.oid, 'SELECT'), has_schema_privilege(n.oid, 'USAGE')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence = 'p' and not c.relispartition
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 2, 3`

// listEntries lists the tables that the configuration captures. Partitions count as their root, unlogged and temporary tables cannot be followed.
func (s *Source) listEntries(ctx context.Context, conn *pgconn.PgConn) ([]*entry, error) {
	rows, err := query(ctx, conn, listTables)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var out []*entry
	s.unwanted = nil
	for _, r := range rows {
		if !s.config.wants(r[1], r[2]) {
			s.unwanted = append(s.unwanted, schemas.Name(r[1])+"."+schemas.Name(r[2]))
		} else {
			out = append(out, &entry{oid: parseOID(r[0]), schema: r[1], name: r[2], partitioned: r[3] == "t", identity: r[4] == "t",
				selectable: r[5] == "t", usable: r[6] == "t"})
		}
	}
	return out, s.checkPrivileges(ctx, conn, out)
}

func (s *Source) checkPrivileges(ctx context.Context, conn *pgconn.PgConn, entries []*entry) error {
	var missing, repair string
	schemasSeen := map[string]bool{}
	for _, e := range entries {
		if !e.usable && !schemasSeen[e.schema] {
			schemasSeen[e.schema] = true
			repair += " GRANT USAGE ON SCHEMA " + quoteName(e.schema) + " TO %[1]s;"
		}
		if !e.selectable {
			repair += " GRANT SELECT ON " + quoteTable(e.schema, e.name) + " TO %[1]s;"
		}
		if !e.usable || !e.selectable {
			missing += " " + e.String()
		}
	}
	if missing == "" {
		return nil
	}
	user, err := query(ctx, conn, "select current_user")
	if err != nil {
		return fmt.Errorf("ask for the current user: %w", err)
	}
	return faults.PostgresRefused.With(fmt.Errorf("these tables may not be read:%s", missing), "run:"+fmt.Sprintf(repair, quoteName(user[0][0])))
}

const listColumns = `
select a.attname, a.atttypid, a.atttypmod, coalesce(a.attnum = any(i.indkey::int2[]), false), c.relreplident
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
left join pg_index i on i.indrelid = c.oid and i.indisvalid and
  (c.relreplident in ('d', 'f') and i.indisprimary and i.indimmediate or c.relreplident = 'i' and i.indisreplident)
where c.oid = `

// readColumns reads a table's columns as the connection's snapshot sees them.
func (s *Source) readColumns(ctx context.Context, conn *pgconn.PgConn, e *entry) (columns []column, nullableKey bool, err error) {
	limit := ""
	if e.columns != "" {
		limit = " and a.attname in (" + e.columns + ")"
	}
	rows, err := query(ctx, conn, listColumns+strconv.FormatUint(uint64(e.oid), 10)+limit+" order by a.attnum")
	if err != nil {
		return nil, false, fmt.Errorf("read columns of %s: %w", e, err)
	}
	var raw []rawColumn
	identity := byte('d')
	primary := map[string]bool{}
	for _, r := range rows {
		typmod, _ := strconv.ParseInt(r[2], 10, 32)
		raw = append(raw, rawColumn{name: r[0], oid: parseOID(r[1]), typmod: int32(typmod), key: r[3] == "t"})
		primary[r[0]] = r[3] == "t"
		identity = r[4][0]
	}
	return s.resolveColumns(ctx, e.schema, e.name, identity, raw, primary)
}

// rawColumn is a column as the catalog or a Relation message gives it.
type rawColumn struct {
	name   string
	oid    uint32
	typmod int32
	key    bool
}

// resolveColumns is the one way from what Postgres says of a table's columns to what they are in Avro. With REPLICA IDENTITY FULL the key is the primary
// key, named by primary, or else the whole row.
func (s *Source) resolveColumns(ctx context.Context, schema, table string, identity byte, raw []rawColumn, primary map[string]bool) (columns []column, nullableKey bool, err error) {
	if identity == 'f' {
		nullableKey = true
		for _, r := range raw {
			nullableKey = nullableKey && !primary[r.name]
		}
	}
	for _, r := range raw {
		c := column{name: r.name, field: schemas.Name(r.name), key: r.key}
		switch identity {
		case 'n':
			c.key = false
		case 'f':
			c.key = nullableKey || primary[r.name]
		}
		if c.typ, err = s.resolveType(ctx, pgType{r.oid, r.typmod}); err != nil {
			return nil, false, err
		}
		if s.config.textColumn(schema, table, r.name) {
			c.avro, c.append = schemas.Primitive(schemas.String), mustText()
		} else {
			c.avro, c.append = avroType(c.typ, s.money)
		}
		columns = append(columns, c)
	}
	return columns, nullableKey, nil
}

func mustText() schemas.TextFunc {
	_, f := avroType(pgType{}, false)
	return f
}

// firstUserOID is the first that is not built in (FirstNormalObjectId).
const firstUserOID = 16384

const listDomains = `
with recursive d(oid, base, typmod) as (
  select oid, typbasetype, typtypmod from pg_type where typtype = 'd'
  union all
  select d.oid, t.typbasetype, case when d.typmod <> -1 then d.typmod else t.typtypmod end
  from d join pg_type t on t.oid = d.base and t.typtype = 'd')
select d.oid, d.base, d.typmod from d join pg_type t on t.oid = d.base and t.typtype <> 'd'`

// resolveType follows a domain to the type it is made of. A domain is looked up once: it never changes its base.
func (s *Source) resolveType(ctx context.Context, t pgType) (pgType, error) {
	if t.oid < firstUserOID {
		return t, nil
	}
	base, ok := s.domains[t.oid]
	if !ok {
		if err := s.loadDomains(ctx); err != nil {
			return t, err
		}
		if base, ok = s.domains[t.oid]; !ok {
			base = t
			s.domains[t.oid] = t // not a domain
		}
	}
	if base.oid != t.oid && base.typmod == -1 {
		base.typmod = t.typmod
	}
	return base, nil
}

func (s *Source) loadDomains(ctx context.Context) error {
	conn, err := s.dial(ctx, false)
	if err != nil {
		return err
	}
	defer s.hangUp(ctx, conn)
	rows, err := query(ctx, conn, listDomains)
	if err != nil {
		return fmt.Errorf("list domains: %w", err)
	}
	for _, r := range rows {
		typmod, _ := strconv.ParseInt(r[2], 10, 32)
		s.domains[parseOID(r[0])] = pgType{parseOID(r[1]), int32(typmod)}
	}
	return nil
}

func parseOID(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32) // the server writes nothing else
	return uint32(n)
}
