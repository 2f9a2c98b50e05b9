package faults

// Name names a fault: in the status, as a label of metrics, in the log and in docs/errors.md.
type Name string

// The names that code speaks of. The others are found by what a server says, see Find.
const (
	KafkaDown            Name = "kafka-down"
	KafkaCertificate     Name = "kafka-certificate"
	KafkaSettings        Name = "kafka-settings"
	KafkaFenced          Name = "kafka-fenced"
	KafkaExpired         Name = "kafka-transaction-expired"
	KafkaTopicMissing    Name = "kafka-topic-missing"
	KafkaTopicSettings   Name = "kafka-topic-settings"
	KafkaTopicRefused    Name = "kafka-topic-refused"
	KafkaTopicMadeAgain  Name = "kafka-topic-made-again"
	KafkaTopicsCollide   Name = "kafka-topics-collide"
	KafkaOffsetsGone     Name = "kafka-offsets-gone"
	KafkaProgressForeign Name = "kafka-progress-foreign"
	KafkaHeldBack        Name = "kafka-held-back"

	RegistryDown         Name = "registry-down"
	RegistryRefused      Name = "registry-refused"
	RegistryUnknownID    Name = "registry-unknown-id"
	RegistryIncompatible Name = "registry-incompatible"

	ClickHouseDown         Name = "clickhouse-down"
	ClickHouseUnknown      Name = "clickhouse-unknown"
	ClickHouseDiskFull     Name = "clickhouse-disk-full"
	ClickHouseTableMissing Name = "clickhouse-table-missing"
	ClickHouseTableForeign Name = "clickhouse-table-foreign"
	ClickHouseTableHoles   Name = "clickhouse-table-holes"
	ClickHouseRefusesAll   Name = "clickhouse-refuses-all"
	ClickHouseSchema       Name = "clickhouse-schema"
	ClickHouseStale        Name = "clickhouse-stale"

	PostgresDown        Name = "postgres-down"
	PostgresCertificate Name = "postgres-certificate"
	PostgresSlotLost    Name = "postgres-slot-lost"
	PostgresSlotInUse   Name = "postgres-slot-in-use"
	PostgresSlotForeign Name = "postgres-slot-foreign"
	PostgresSlots       Name = "postgres-slots"
	PostgresPublication Name = "postgres-publication"
	PostgresIdentity    Name = "postgres-no-identity"
	PostgresRefused     Name = "postgres-refused"
	PostgresReplication Name = "postgres-no-replication"
	PostgresWALLevel    Name = "postgres-wal-level"
	PostgresSchema      Name = "postgres-schema"
	PostgresPosition    Name = "postgres-position"

	FileMissing Name = "files-missing"
	FileRefused Name = "files-refused"
	FilesFull   Name = "files-disk-full"

	InputBurst Name = "input-burst"
)

// Table is the vocabulary. docs/errors.md is made of it.
var Table = []Fault{
	{KafkaDown, Kafka, nil, Retry, "no broker answers", "start the brokers, or correct `kafka.brokers`", true},
	{"kafka-moving", Kafka, []string{"NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS",
		"BROKER_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE", "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "OFFSET_NOT_AVAILABLE", "NETWORK_EXCEPTION", "REQUEST_TIMED_OUT",
		"CONCURRENT_TRANSACTIONS", "REBALANCE_IN_PROGRESS", "UNSTABLE_OFFSET_COMMIT", "NOT_CONTROLLER", "REBOOTSTRAP_REQUIRED", "CORRUPT_MESSAGE",
		"INCONSISTENT_TOPIC_ID", "FETCH_SESSION_TOPIC_ID_ERROR", "FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH", "LISTENER_NOT_FOUND"}, Retry,
		"a leader or coordinator moves to another broker", "wait for the cluster to settle", true},
	{"kafka-replicas", Kafka, []string{"NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"}, Retry, "too few replicas are in step to take records safely",
		"start the brokers that are down, or lower the topic's min.insync.replicas", true},
	{"kafka-disk", Kafka, []string{"KAFKA_STORAGE_ERROR", "LOG_DIR_NOT_FOUND"}, Retry, "a broker cannot use its disk", "look at the broker's log and its disk", true},
	{"kafka-quota", Kafka, []string{"THROTTLING_QUOTA_EXCEEDED"}, Retry, "the cluster's quota is used up", "raise the quota of this user", true},
	{"kafka-login", Kafka, []string{"SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE", "SECURITY_DISABLED", "UNACCEPTABLE_CREDENTIAL"}, Pause,
		"the broker refuses the login", "check the Kafka user and password, the SASL mechanism and TLS", true},
	{KafkaCertificate, Kafka, nil, Pause, "a certificate is not trusted or not of this host", "check the broker's certificate and the configured certificate authority", true},
	{KafkaTopicRefused, Kafka, []string{"TOPIC_AUTHORIZATION_FAILED"}, Pause, "the user may not use a topic",
		"grant this user Create, Describe, DescribeConfigs, Read and Write on the prefix's topics", false},
	{"kafka-cluster-refused", Kafka, []string{"CLUSTER_AUTHORIZATION_FAILED"}, Pause, "the user may not do this in the cluster",
		"grant this user IdempotentWrite and, to make topics, Create on the cluster", true},
	{"kafka-transaction-refused", Kafka, []string{"TRANSACTIONAL_ID_AUTHORIZATION_FAILED"}, Pause, "the user may not use the transactional id",
		"grant this user Describe and Write on the transactional ids that start with the prefix", true},
	{"kafka-group-refused", Kafka, []string{"GROUP_AUTHORIZATION_FAILED"}, Pause, "the user may not use the consumer group", "grant this user Read on the prefix's groups", true},
	{KafkaTopicMissing, Kafka, []string{"UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_ID"}, Pause, "a topic is not there, or was deleted",
		"make the topic; a producer makes its own by itself, and rows that were only in the deleted one are lost to Kafka", false},
	{KafkaTopicMadeAgain, Kafka, nil, Pause, "a topic was made again under its name, and its table holds the old one", "rename the table, or drop it", false},
	{KafkaTopicSettings, Kafka, []string{"POLICY_VIOLATION", "INVALID_REPLICATION_FACTOR", "INVALID_PARTITIONS", "INVALID_CONFIG", "INVALID_TOPIC_EXCEPTION"}, Pause,
		"the cluster does not take a topic as it is configured, or the one that is there would lose rows", "make it by hand, or change the topic's settings here or there", false},
	{KafkaTopicsCollide, Kafka, nil, Stop, "two topics would share one table", "rename one of the datasets", false},
	{KafkaOffsetsGone, Kafka, []string{"OFFSET_OUT_OF_RANGE"}, Pause, "records were deleted from a topic before they were stored",
		"raise the topic's retention; what is still at its origin comes back by copying it again", false},
	{"kafka-record-too-large", Kafka, []string{"MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"}, Pause, "the topic does not take a record of this size",
		"raise the topic's max.message.bytes (and segment.bytes), or lower max_record_bytes", false},
	{"kafka-transaction-timeout", Kafka, []string{"INVALID_TRANSACTION_TIMEOUT"}, Pause, "the broker does not allow so long a transaction",
		"lower the transaction timeout, or raise the broker's transaction.max.timeout.ms", true},
	{"kafka-too-old", Kafka, []string{"UNSUPPORTED_VERSION", "UNSUPPORTED_FOR_MESSAGE_FORMAT"}, Pause, "the broker is too old",
		"use Kafka 2.5 or later, the oldest with the transactions needed", true},
	{KafkaExpired, Kafka, nil, Retry, "the broker has ended a transaction of this process that lasted too long", "nothing: its rows are sent again", false},
	{KafkaHeldBack, Kafka, nil, Retry, "a transaction that does not end keeps the positions from being read",
		"start the producer that left it open, or wait for Kafka to end it; extract audit --repair ends one that Kafka has forgotten", false},
	{KafkaFenced, Kafka, []string{"FENCED_INSTANCE_ID"}, Stop, "another process runs this source, or runs under this consumer's name", "run each source once, and give each consumer a name of its own", false},
	{KafkaSettings, Kafka, nil, Stop, "the client does not take the settings", "correct the kafka settings", true},
	{KafkaProgressForeign, Kafka, nil, Stop, "the progress topic holds what this program did not write", "something else writes to the progress topic: stop it", true},

	{RegistryDown, Registry, nil, Retry, "the schema registry does not answer, or answers that it cannot now",
		"start the schema registry, or correct `registry.url`; what has known schemas goes on meanwhile", true},
	{RegistryRefused, Registry, nil, Pause, "the registry refuses the login or the right", "check the schema registry's user and password", true},
	{RegistryUnknownID, Registry, nil, Reject, "a record names a schema that the registry does not have, or that nobody can read",
		"register the schema under its id, then retry the dead letters", false},
	{RegistryIncompatible, Registry, nil, Pause, "the registry refuses a new schema as incompatible",
		"change the source back, or loosen the subject's compatibility in the schema registry", false},

	{ClickHouseDown, ClickHouse, []string{"209 SOCKET_TIMEOUT", "210 NETWORK_ERROR", "279 ALL_CONNECTION_TRIES_FAILED", "236 ABORTED"}, Retry, "ClickHouse does not answer",
		"start ClickHouse, or correct `clickhouse.addresses`", true},
	{"clickhouse-busy", ClickHouse, []string{"159 TIMEOUT_EXCEEDED", "160 TOO_SLOW", "202 TOO_MANY_SIMULTANEOUS_QUERIES", "319 UNKNOWN_STATUS_OF_INSERT", "394 QUERY_WAS_CANCELLED",
		"425 SYSTEM_ERROR", "999 KEEPER_EXCEPTION"}, Retry, "the server cannot now", "look at what else the server does, if it lasts", true},
	{"clickhouse-memory", ClickHouse, []string{"241 MEMORY_LIMIT_EXCEEDED"}, Pause, "the server or the user has no memory left for it",
		"raise max_server_memory_usage or max_memory_usage, or look at what else the server does", true},
	{"clickhouse-login", ClickHouse, []string{"516 AUTHENTICATION_FAILED", "192 UNKNOWN_USER", "193 WRONG_PASSWORD", "194 REQUIRED_PASSWORD"}, Pause, "the server refuses the login",
		"check user and password", true},
	{"clickhouse-right", ClickHouse, []string{"497 ACCESS_DENIED"}, Pause, "the user lacks a right", "give the user the right that is named", false},
	{"clickhouse-read-only-user", ClickHouse, []string{"164 READONLY"}, Pause, "the user may only read", "give the user the right to insert, create and alter: no readonly in its settings", true},
	{"clickhouse-quota", ClickHouse, []string{"201 QUOTA_EXCEEDED"}, Pause, "the user's quota is used up", "raise the quota, or wait for its interval to end", true},
	{ClickHouseDiskFull, ClickHouse, []string{"243 NOT_ENOUGH_SPACE"}, Pause, "the server's disk is full", "free disk space on the server", true},
	{"clickhouse-read-only-table", ClickHouse, []string{"242 TABLE_IS_READ_ONLY", "774 TABLE_IS_PERMANENTLY_READ_ONLY"}, Pause, "the table is read-only", "check the server's disks, the table's settings and Keeper", false},
	{"clickhouse-parts", ClickHouse, []string{"252 TOO_MANY_PARTS"}, Pause, "the table has too many parts: the server merges more slowly than rows come in",
		"wait, or look at why the server does not merge", false},
	{"clickhouse-database-missing", ClickHouse, []string{"81 UNKNOWN_DATABASE"}, Pause, "the database is missing", "create it again", true},
	{ClickHouseTableMissing, ClickHouse, []string{"60 UNKNOWN_TABLE"}, Pause, "a table is missing, though rows of its topic were stored",
		"restore it, or replay the topic into a new one", false},
	{ClickHouseTableForeign, ClickHouse, nil, Pause, "a table of the name is there that this program did not make", "rename it", false},
	{ClickHouseTableHoles, ClickHouse, nil, Pause, "a table has lost some rows of a block that it once took", "delete the rest of them, or replay the topic into a new table", false},
	{"clickhouse-key", ClickHouse, []string{"524 ALTER_OF_COLUMN_IS_FORBIDDEN"}, Pause, "a column of a table's key got a wider type, which ClickHouse cannot change in place",
		"replay the topic: its new table has the wider key, and everything goes on by itself", false},
	{ClickHouseRefusesAll, ClickHouse, nil, Pause, "the table refuses every row of a batch", "look at the table's constraints and materialized views", false},
	{"clickhouse-refuses-row", ClickHouse, []string{"6 CANNOT_PARSE_TEXT", "27 CANNOT_PARSE_INPUT_ASSERTION_FAILED", "38 CANNOT_PARSE_DATE", "41 CANNOT_PARSE_DATETIME",
		"43 ILLEGAL_TYPE_OF_ARGUMENT", "69 ARGUMENT_OUT_OF_BOUND", "72 CANNOT_PARSE_NUMBER", "117 INCORRECT_DATA", "128 TOO_LARGE_ARRAY_SIZE", "131 TOO_LARGE_STRING_SIZE",
		"153 ILLEGAL_DIVISION", "321 VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", "349 CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", "395 FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
		"407 DECIMAL_OVERFLOW", "469 VIOLATED_CONSTRAINT"}, Reject, "a constraint or a materialized view refuses a row", "", false},
	{ClickHouseStale, ClickHouse, []string{"8 THERE_IS_NO_COLUMN", "10 NOT_FOUND_COLUMN_IN_BLOCK", "16 NO_SUCH_COLUMN_IN_TABLE", "20 NUMBER_OF_COLUMNS_DOESNT_MATCH",
		"44 ILLEGAL_COLUMN", "47 UNKNOWN_IDENTIFIER", "53 TYPE_MISMATCH", "70 CANNOT_CONVERT_TYPE"}, Retry, "the table is not as this process remembers it; its description is read again",
		"", false},
	{ClickHouseSchema, ClickHouse, nil, Stop, "a schema does not fit what the table holds", "make the schema compatible, or replay the topic into a new table", false},
	{ClickHouseUnknown, ClickHouse, []string{"1001 STD_EXCEPTION"}, Pause, "the server fails in a way that is not in this table", "look at the server's log", false},

	{PostgresDown, Postgres, []string{"08 connection_exception", "57P01 admin_shutdown", "57P02 crash_shutdown", "57P03 cannot_connect_now"}, Retry,
		"the server does not answer, stops or starts", "start Postgres, or correct the source's url", false},
	{"postgres-connections", Postgres, []string{"53300 too_many_connections"}, Retry, "the server has no connection left", "raise max_connections, or the role's connection limit", false},
	{"postgres-disk", Postgres, []string{"53100 disk_full", "53200 out_of_memory"}, Retry, "the server's disk or memory is full", "free disk space on the server", false},
	{"postgres-login", Postgres, []string{"28 invalid_authorization"}, Pause, "the server refuses the login", "check the user, the password and pg_hba.conf", false},
	{PostgresCertificate, Postgres, nil, Pause, "the server's certificate is not trusted or not of this host", "check the server's certificate and sslrootcert in the url", false},
	{"postgres-database", Postgres, []string{"3D000 invalid_catalog_name"}, Pause, "the database is not there", "check the database in the url", false},
	{PostgresRefused, Postgres, []string{"42501 insufficient_privilege"}, Pause, "the role may not do this", "grant the role what is named", false},
	{PostgresReplication, Postgres, nil, Pause, "the role may not stream", "run: ALTER ROLE … REPLICATION", false},
	{PostgresWALLevel, Postgres, nil, Pause, "wal_level is not logical", "run: ALTER SYSTEM SET wal_level = 'logical'; and restart the server", false},
	{PostgresPublication, Postgres, nil, Pause, "the publication does not publish every kind of change, or sends partitions one by one", "run the SQL of the message", false},
	{PostgresIdentity, Postgres, nil, Pause, "a table has no replica identity, so its updates and deletes would fail once it is published",
		"give it a primary key, or run: ALTER TABLE … REPLICA IDENTITY FULL; or list it under exclude", false},
	{PostgresSlots, Postgres, []string{"53400 configuration_limit_exceeded"}, Pause, "no replication slot is free", "raise max_replication_slots and restart the server", false},
	{PostgresSlotInUse, Postgres, []string{"55006 object_in_use"}, Pause, "another connection streams from the slot",
		"stop the program that streams from it; a connection that died is let go within wal_sender_timeout", false},
	{PostgresSlotForeign, Postgres, nil, Pause, "the slot is of another plugin or database", "name another slot in the configuration", false},
	{PostgresSlotLost, Postgres, nil, Stop, "the slot was dropped, invalidated or made again, its publication was dropped, or the server is another: changes are missing between the position and what it still has",
		"set on_slot_lost: resnapshot to make a new slot and copy every table again", false},
	{PostgresSchema, Postgres, nil, Pause, "a table's new columns are incompatible with its topic", "see the ways out in the message", false},
	{PostgresPosition, Postgres, nil, Stop, "the position in Kafka is not one of a Postgres source", "give the source a name of its own", false},

	{FileMissing, Files, nil, Pause, "a folder is not there", "make the folder, or correct it in the configuration", false},
	{FileRefused, Files, []string{"EROFS"}, Pause, "this program may not read or write a file or folder", "let this program's user read and write in the folder and everything below it", false},
	{FilesFull, Files, []string{"ENOSPC", "EDQUOT"}, Pause, "the disk is full", "free disk space", false},
	{"files-too-many-open", Files, []string{"EMFILE", "ENFILE"}, Retry, "too many files are open", "raise the limit of open files (ulimit -n)", true},
	{"files-disk", Files, []string{"EIO"}, Retry, "the disk does not work", "look at the disk and the system's log", false},

	{InputBurst, Input, nil, Pause, "more rows would go to the dead letters within a minute than max_rejected allows",
		"repair the input, its schema file or the table, or raise `max_rejected` and start again; nothing is lost meanwhile", false},
}
