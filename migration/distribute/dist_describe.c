/* SPDX-License-Identifier: PostgreSQL
 *
 * What PLAN shows of a step.
 */
#include "config.h"

#include <string.h>

#include "migration/distribute/dist_args.h"
#include "migration/distribute/dist_proof.h"
#include "migration/distribute/dist_sql.h"
#include "migration/distribute/dist_steps.h"

typedef void (*describe_fn)(const struct dist_args *a, struct step_text *out);

static void
put_estimate(const struct dist_args *a, struct step_text *out)
{
	if (a->bytes >= 1 << 20)
		buf_printf(&out->estimate, "%lld MB", a->bytes >> 20);
	else
		buf_printf(&out->estimate, "%lld kB", a->bytes >> 10);
	buf_printf(&out->estimate, ", about %.1f s", a->seconds);
	if (a->why[0] != '\0')
		buf_printf(&out->estimate, " (%s)", a->why);
}

static void
put_undo(const struct dist_args *a, struct step_text *out)
{
	if (a->is_irreversible)
		buf_str(&out->undo, "none: Citus does not bring back tables with identity columns");
	else if (!a->is_alone)
		buf_str(&out->undo, "-- its foreign keys dropped, to come back with step 1\n");
	if (!a->is_irreversible && a->table != NULL)
		dist_sql_undistribute(&out->undo, a->table);
	for (size_t i = a->ntables; !a->is_irreversible && i > 0; i--)
		dist_sql_undistribute(&out->undo, a->tables[i - 1].table);
}

/* Each table once. */
static void
put_locks(const struct dist_args *a, struct step_text *out, const char *mode)
{
	struct strlist seen = { 0 };

	for (size_t i = 0; i < 2 * a->nkeys; i++) {
		const struct dist_key_args *k = &a->keys[i / 2];
		const char *table = i % 2 == 0 ? k->table : k->refer;

		if (strlist_has(&seen, table))
			continue;
		if (seen.n == 0)
			buf_printf(&out->lock, "%s on %s", mode, table);
		else
			buf_printf(&out->lock, ", %s", table);
		strlist_add(&seen, table);
	}
	strlist_fini(&seen);
}

static void
on_keys(const struct dist_args *a, struct step_text *out)
{
	buf_printf(&out->sql,
		   "-- %zu foreign keys, and %zu comments and grants, are kept in the journal\n",
		   a->nkeys, a->trimmings.n);
	buf_str(&out->lock, "none");
	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_add_key(&out->undo, &a->keys[i], a->keys[i].is_valid);
}

static void
on_orphans(const struct dist_args *a, struct step_text *out)
{
	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_orphans(&out->sql, &a->keys[i]);
	put_locks(a, out, "ACCESS SHARE");
	buf_str(&out->undo, "nothing to undo");
}

static void
on_drop(const struct dist_args *a, struct step_text *out)
{
	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_drop_key(&out->sql, &a->keys[i]);
	put_locks(a, out, "ACCESS EXCLUSIVE");
	buf_str(&out->undo, "with step 1, when every table is back");
}

static void
on_distribute(const struct dist_args *a, struct step_text *out)
{
	dist_sql_settings(&out->sql, a->is_sequential);
	dist_proof_sql(&out->sql, a, DIST_BEFORE);
	dist_sql_distribute(&out->sql, a->table, a->column, a->colocated);
	dist_proof_sql(&out->sql, a, DIST_AFTER);
	buf_printf(&out->lock, "EXCLUSIVE on %s: writes wait", a->table);
	put_estimate(a, out);
	put_undo(a, out);
}

static void
on_concurrently(const struct dist_args *a, struct step_text *out)
{
	dist_sql_concurrently(&out->sql, a->table, a->column, a->colocated);
	buf_printf(&out->lock, "none while copying; writes wait shortly at its end on %s",
		   a->table);
	put_estimate(a, out);
	put_undo(a, out);
}

static void
on_reference(const struct dist_args *a, struct step_text *out)
{
	dist_sql_settings(&out->sql, a->is_sequential);
	dist_proof_sql(&out->sql, a, DIST_BEFORE);
	dist_sql_reference(&out->sql, a->table);
	dist_proof_sql(&out->sql, a, DIST_AFTER);
	buf_printf(&out->lock, "EXCLUSIVE on %s: writes wait", a->table);
	put_estimate(a, out);
	put_undo(a, out);
}

static void
on_all(const struct dist_args *a, struct step_text *out)
{
	dist_sql_settings(&out->sql, a->is_sequential);
	dist_proof_sql(&out->sql, a, DIST_BEFORE);
	dist_sql_all(&out->sql, a);
	dist_proof_sql(&out->sql, a, DIST_AFTER);
	buf_printf(&out->lock, "EXCLUSIVE on %zu tables: writes wait", a->ntables);
	put_estimate(a, out);
	put_undo(a, out);
}

static void
on_trim(const struct dist_args *a, struct step_text *out)
{
	for (size_t i = 0; i < a->trimmings.n; i++)
		buf_printf(&out->sql, "%s;\n", a->trimmings.v[i]);
	buf_printf(&out->lock, "SHARE UPDATE EXCLUSIVE on %s and its views", a->table);
	buf_str(&out->undo, "nothing to undo");
}

static void
on_add(const struct dist_args *a, struct step_text *out)
{
	dist_sql_settings(&out->sql, a->is_sequential);
	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_add_key(&out->sql, &a->keys[i], false);
	put_locks(a, out, "SHARE ROW EXCLUSIVE");
	buf_str(&out->undo, "goes back with its tables");
}

static void
on_validate(const struct dist_args *a, struct step_text *out)
{
	for (size_t i = 0; i < a->nkeys; i++)
		dist_sql_validate_key(&out->sql, &a->keys[i]);
	put_locks(a, out, "SHARE UPDATE EXCLUSIVE");
	buf_str(&out->undo, "nothing to undo");
}

static void
on_truncate(const struct dist_args *a, struct step_text *out)
{
	dist_sql_truncate(&out->sql, a->table);
	buf_printf(&out->lock, "ACCESS EXCLUSIVE on %s", a->table);
	buf_str(&out->undo, "nothing to undo: the rows are on the workers");
}

int
dist_describe(struct job *j, const struct migration_step *s, struct step_text *out, struct err *e)
{
	static const describe_fn table[DIST_NACTS] = {
		[DIST_KEEP_KEYS] = on_keys,
		[DIST_ORPHANS] = on_orphans,
		[DIST_DROP_KEYS] = on_drop,
		[DIST_BLOCKING] = on_distribute,
		[DIST_CONCURRENT] = on_concurrently,
		[DIST_REFER] = on_reference,
		[DIST_ALL] = on_all,
		[DIST_TRIM] = on_trim,
		[DIST_ADD_KEYS] = on_add,
		[DIST_VALIDATE] = on_validate,
		[DIST_TRUNCATE] = on_truncate,
	};
	enum dist_act act = dist_act_of(s);
	struct dist_args a;

	if (act == DIST_NACTS || dist_args_parse(&a, s->args, e) != 0)
		return -1;
	a.verify = dist_proof_wanted(j);
	table[act](&a, out);
	dist_args_fini(&a);
	return 0;
}
