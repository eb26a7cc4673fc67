/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/greeting.h"

/* Drivers and psql read the number at the front of server_version: it says which PostgreSQL the
 * console behaves like, and is not Meridian's version. */
static const struct greeting_row rows[] = {
	{ "server_version", "15.0 (Meridian " PACKAGE_VERSION ")", true },
	{ "server_encoding", "UTF8", true },
	{ "client_encoding", "UTF8", true },
	{ "DateStyle", "ISO, MDY", true },
	{ "IntervalStyle", "postgres", true },
	{ "TimeZone", "UTC", true },
	{ "integer_datetimes", "on", true },
	{ "standard_conforming_strings", "on", true },
	{ "is_superuser", "off", true },
	{ "in_hot_standby", "off", true },
	{ "default_transaction_read_only", "off", true },
	{ "application_name", "", true },
	{ "server_version_num", "150000", false },
	{ "transaction_read_only", "off", false },
	{ "transaction_isolation", "read committed", false },
	{ "default_transaction_isolation", "read committed", false },
	{ "search_path", "", false },
	{ "extra_float_digits", "1", false },
	{ "client_min_messages", "notice", false },
	{ "bytea_output", "hex", false },
	{ "backslash_quote", "safe_encoding", false },
	{ "escape_string_warning", "on", false },
	{ "lc_collate", "C", false },
	{ "lc_monetary", "C", false },
	{ "lc_numeric", "C", false },
	{ "max_identifier_length", "63", false },
	{ "max_index_keys", "32", false },
	{ "statement_timeout", "0", false },
	{ "lock_timeout", "0", false },
	{ "idle_in_transaction_session_timeout", "0", false },
	{ "row_security", "on", false },
	{ "synchronous_commit", "on", false },
	{ "session_replication_role", "origin", false },
	{ 0 },
};

const struct greeting_row *
greeting_rows(void)
{
	return rows;
}

const struct greeting_row *
greeting_find(struct slice name)
{
	for (const struct greeting_row *row = rows; row->name != NULL; row++)
		if (slice_is_nocase(name, row->name))
			return row;
	return NULL;
}
