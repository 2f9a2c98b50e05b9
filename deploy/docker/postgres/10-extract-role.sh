#!/bin/sh
# Runs once, when the database is made: the role that extract reads with. It may replicate; what it may read is granted with the tables.
set -eu
: "${EXTRACT_PASSWORD:?set POSTGRES_EXTRACT_PASSWORD in .env}"
psql --no-psqlrc -v ON_ERROR_STOP=1 -v password="$EXTRACT_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE extract LOGIN REPLICATION PASSWORD :'password';
SQL
