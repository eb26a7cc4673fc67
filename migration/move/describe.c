/* SPDX-License-Identifier: PostgreSQL
 *
 * What PLAN shows of each step: one table. %p publication, %f slot and subscription of the way
 * there, %r those of the way back, %s database on the source, %d on the target.
 */
#include "config.h"

#include "migration/move/move.h"

#include <string.h>

#include "migration/grammar.h"
#include "migration/move/verifiers.h"

struct words {
	const char *step, *sql, *lock, *undo;
};

#define WITH_THE_DATABASE "goes with the database on the target"
#define FENCE_ON                                                                                 \
	"BEGIN; ALTER TABLE <each> ENABLE TRIGGER meridian_fence; UPDATE meridian.authority SET" \
	" writable = false; INSERT INTO meridian.marker <sequences>; COMMIT"
#define DECISION                                                                                 \
	"DO $$ wait for the marker; setval(<each sequence>); ALTER TABLE <each> DISABLE TRIGGER" \
	" meridian_fence; UPDATE meridian.authority SET decision = 'forward', writable = true"   \
	" WHERE decision IS NULL $$"
#define SHARE_LOCK "SHARE ROW EXCLUSIVE on every table, waits for those who write"

/* clang-format off */
static const struct words texts[] = {
	{ "control_source", "CREATE FUNCTION meridian.fence(), meridian.ddl_block()", "none",
	  "DROP FUNCTION" },
	{ "identity", "ALTER TABLE <each without one> REPLICA IDENTITY USING INDEX <unique> | FULL",
	  "ACCESS EXCLUSIVE on each, lock_timeout and retries", "ALTER TABLE … REPLICA IDENTITY as it was" },
	{ "ddl_block", "CREATE EVENT TRIGGER meridian_ddl ON ddl_command_end EXECUTE FUNCTION"
	  " meridian.ddl_block(); CREATE EVENT TRIGGER meridian_drop ON sql_drop …", "none",
	  "DROP EVENT TRIGGER" },
	{ "fence_source_disabled", "CREATE TRIGGER meridian_fence BEFORE INSERT OR UPDATE OR DELETE OR"
	  " TRUNCATE ON <each> FOR EACH STATEMENT EXECUTE FUNCTION meridian.fence(); ALTER TABLE <each>"
	  " DISABLE TRIGGER meridian_fence", "SHARE ROW EXCLUSIVE on each, lock_timeout and retries",
	  "DROP TRIGGER" },
	{ "read_only", "ALTER TABLE <each> ENABLE TRIGGER meridian_fence", SHARE_LOCK,
	  "ALTER TABLE <each> DISABLE TRIGGER meridian_fence" },
	{ "roles", "CREATE ROLE <each that is missing>; GRANT <memberships>; ALTER ROLE … SET …", "none",
	  "DROP ROLE <those that were made>" },
	{ "role_verifiers", "ALTER ROLE <each with another verifier> PASSWORD '<the source's>'", "none",
	  "ALTER ROLE … PASSWORD '<what it had>'" },
	{ "database", "CREATE DATABASE %d TEMPLATE template0 ENCODING … LC_COLLATE … LC_CTYPE …",
	  "none", "DROP DATABASE %d" },
	{ "database_settings", "ALTER DATABASE %d SET …; ALTER ROLE … IN DATABASE %d SET …; GRANT … ON"
	  " DATABASE %d", "none", WITH_THE_DATABASE },
	{ "control_target", "CREATE SCHEMA meridian …; CREATE FUNCTION meridian.fence(); CREATE EVENT TRIGGER"
	  " meridian_new ON ddl_command_end …", "none",
	  WITH_THE_DATABASE },
	{ "schema", "pg_dump --schema-only %s | pg_restore --section=pre-data, and primary keys",
	  "ACCESS SHARE on the source", WITH_THE_DATABASE },
	{ "fence_target", "CREATE TRIGGER meridian_fence … ON <each that has none>; DROP EVENT TRIGGER"
	  " meridian_new", "none", WITH_THE_DATABASE },
	{ "publication", "CREATE PUBLICATION %p FOR TABLE <each>, meridian.marker", "SHARE UPDATE"
	  " EXCLUSIVE on each", "DROP PUBLICATION %p" },
	{ "slot", "SELECT pg_create_logical_replication_slot('%f', 'pgoutput')",
	  "none; waits for the transactions that are open", "SELECT pg_drop_replication_slot('%f')" },
	{ "subscription", "CREATE SUBSCRIPTION %f CONNECTION '…' PUBLICATION %p WITH (create_slot = false,"
	  " slot_name = '%f', copy_data = true)", "none", "DROP SUBSCRIPTION %f" },
	{ "copy", "-- until pg_subscription_rel.srsubstate is r for every table",
	  "ACCESS SHARE on the source", WITH_THE_DATABASE },
	{ "stop_writes", "ALTER TABLE <each> ENABLE TRIGGER meridian_fence", SHARE_LOCK,
	  "ALTER TABLE <each> DISABLE TRIGGER meridian_fence" },
	{ "copy_rows", "COPY <each> TO STDOUT | COPY <each> FROM STDIN", "ACCESS SHARE on the source",
	  WITH_THE_DATABASE },
	{ "post_data", "ALTER SUBSCRIPTION %f DISABLE; pg_restore --section=post-data --exit-on-error;"
	  " ANALYZE", "none on the source", WITH_THE_DATABASE },
	{ "enable", "ALTER SUBSCRIPTION %f ENABLE", "none", WITH_THE_DATABASE },
	{ "reverse_publication", "CREATE PUBLICATION %p FOR TABLE <each>, meridian.marker", "none",
	  WITH_THE_DATABASE },

	{ "guards", "-- everything copied, lag below max_lag, schemas the same, no long transaction, the"
	  " sessions' logins tried on the target",
	  "none", "nothing to undo" },
	{ "prewarm", "-- connections to the target for the sessions that will be moved", "none",
	  "nothing to undo" },
	{ "arm", DECISION " -- waits on the target", "none", "it ends by itself" },
	{ "freeze", "-- no transaction begins any more; those that are open may end", "none",
	  "transactions begin again" },
	{ "fence", FENCE_ON, SHARE_LOCK, "decision = 'back' on the target, then the fence is lifted" },
	{ "copy_rest", "-- large objects, unlogged tables, materialized views, as the options say",
	  "none", WITH_THE_DATABASE },
	{ "decide", "-- the armed block goes on when the marker arrives", SHARE_LOCK " of the target",
	  "" },
	{ "switch", "-- sessions go on at the target", "none", "" },
	{ "hand_over", "-- the rows of the migration live on the target from now on", "none", "" },
	{ "stop_forward", "ALTER SUBSCRIPTION %f DISABLE", "none", "" },
	{ "reverse_subscription", "CREATE SUBSCRIPTION %r CONNECTION '…' PUBLICATION %p WITH (create_slot"
	  " = false, slot_name = '%r', copy_data = false)", "none", "" },
	{ "reopen_source", "UPDATE meridian.authority SET decision = 'away', serves = '%T'", "none", "" },
	{ "refresh_views", "REFRESH MATERIALIZED VIEW <each>", "ACCESS EXCLUSIVE on each, target", "" },
	{ "verify", "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM <each> -- both sides, at the"
	  " frozen point", "none", "" },

	{ "reverse_guards", "-- as guards", "none", "" },
	{ "reverse_prewarm", "-- connections to the source", "none", "" },
	{ "reverse_arm", DECISION " -- waits on the source", "none", "it ends by itself" },
	{ "reverse_freeze", "-- no transaction begins any more", "none", "transactions begin again" },
	{ "reverse_fence", FENCE_ON, SHARE_LOCK, "" },
	{ "reverse_decide", "-- the armed block goes on when the marker arrives", SHARE_LOCK, "" },
	{ "reverse_switch", "-- sessions go on at the source", "none", "" },
	{ "reverse_hand_over", "-- the rows of the migration live on the source again", "none", "" },
	{ "stop_backward", "ALTER SUBSCRIPTION %r DISABLE", "none", "" },

	{ "reopen_target", "UPDATE meridian.authority SET decision = 'away', serves = '%F'", "none", "" },

	{ "drop_replication", "DROP SUBSCRIPTION %f, %r; SELECT pg_drop_replication_slot('%f'), ('%r');"
	  " DROP PUBLICATION %p", "none", "" },
	{ "drop_leftovers", "DROP EVENT TRIGGER meridian_ddl, meridian_drop; DROP TRIGGER meridian_fence ON <each>, where the database is served now;"
	  " REPLICA IDENTITY as it was", "ACCESS EXCLUSIVE on each, lock_timeout and retries", "" },
};
/* clang-format on */

#define NTEXTS (sizeof(texts) / sizeof(texts[0]))

static const char *
value_of(const struct job *j, const struct move_names *names, char c)
{
	switch (c) {
	case 'p':
		return names->publication;
	case 'f':
		return names->forward;
	case 'r':
		return names->backward;
	case 's':
		return job_dbname(j, MOVE_SOURCE);
	case 'd':
		return job_dbname(j, MOVE_TARGET);
	case 'T':
		return job_spec(j)->to;
	case 'F':
		return job_spec(j)->from;
	default:
		return NULL;
	}
}

static void
put(struct buf *b, const char *text, const struct job *j, const struct move_names *names)
{
	for (const char *p = text; *p != '\0'; p++) {
		const char *value = *p == '%' ? value_of(j, names, p[1]) : NULL;

		if (value == NULL) {
			buf_u8(b, (uint8_t)*p);
			continue;
		}
		buf_str(b, value);
		p++;
	}
}

int
move_describe(struct job *j, const struct migration_step *s, struct step_text *out, struct err *e)
{
	struct move_names names = move_names(j);

	if (s->def == &move_switch && move_put_forecast(j, &out->estimate, e) != 0)
		return -1;
	for (size_t i = 0; i < NTEXTS; i++) {
		if (strcmp(texts[i].step, s->def->name) != 0)
			continue;
		put(&out->sql, texts[i].sql, j, &names);
		put(&out->lock, texts[i].lock, j, &names);
		put(&out->undo, texts[i].undo, j, &names);
	}
	return 0;
}
