/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/sqlstate/vars.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/bug.h"
#include "base/hash.h"
#include "base/hot.h"
#include "base/mem.h"
#include "base/pgquote.h"
#include "base/utf8.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "protocol/startup.h"

struct vars {
	UT_hash_handle hh;
	struct vars_table *table;
	struct vars *sense; /* this without what changes no text's meaning; NULL: it is this */
	uint64_t serial;
	size_t refs;
	size_t count;
	size_t n;
	char text[]; /* name NUL value NUL …, in the order of names: also the key */
};

struct vars_table {
	struct vars *all;
	struct vars *empty; /* it outlives its references */
	uint64_t serials;   /* given so far */
	uint64_t seed;
};

static struct vars *sense_of(struct vars *v);

/* ---- the table ---- */

/* The one that consists of these items; a reference. */
static HOT struct vars *
intern(struct vars_table *t, struct slice text, size_t count)
{
	uint32_t hash = hash_slice(t->seed, text);
	struct vars *v;

	HASH_FIND_BYHASHVALUE(hh, t->all, text.p, text.n, hash, v);
	if (v != NULL)
		return vars_ref(v);
	v = xcalloc(1, sizeof(*v) + text.n);
	v->table = t;
	v->refs = 1;
	v->count = count;
	v->n = text.n;
	memcpy(v->text, text.p, text.n);
	v->serial = ++t->serials;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->all, v->text, v->n, hash, v);
	v->sense = sense_of(v);
	return v;
}

struct vars_table *
vars_table_new(void)
{
	struct vars_table *t = xcalloc(1, sizeof(*t));

	t->seed = hash_new_seed();
	t->empty = intern(t, SLICE_LITERAL(""), 0);
	return t;
}

void
vars_table_free(struct vars_table *t)
{
	if (t == NULL)
		return;
	vars_unref(t->empty);
	free(t);
}

size_t
vars_table_count(const struct vars_table *t)
{
	return HASH_COUNT(t->all);
}

HOT struct vars *
vars_ref(struct vars *v)
{
	v->refs++;
	return v;
}

HOT void
vars_unref(struct vars *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	HASH_DEL(v->table->all, v);
	vars_unref(v->sense);
	free(v);
}

HOT struct vars *
vars_empty(struct vars_table *t)
{
	return vars_ref(t->empty);
}

HOT struct vars *
vars_none(const struct vars *like)
{
	return vars_empty(like->table);
}

/* ---- looking ---- */

HOT bool
vars_next(const struct vars *v, size_t *at, struct vars_item *out)
{
	struct slice rest = slice_of(v->text + *at, v->n - *at);

	if (rest.n == 0)
		return false;
	out->name = slice_cut(&rest, '\0');
	out->value = slice_cut(&rest, '\0');
	*at += out->name.n + out->value.n + 2;
	return true;
}

int
vars_compare(struct slice a, struct slice b)
{
	int c = strncasecmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static bool
is_same(struct slice a, struct slice b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

HOT bool
vars_get(const struct vars *v, const char *name, struct slice *value)
{
	struct slice wanted = slice_str(name);
	struct vars_item item;
	int c = -1;

	for (size_t at = 0; c < 0 && vars_next(v, &at, &item);)
		c = vars_compare(item.name, wanted);
	if (c == 0)
		*value = item.value;
	return c == 0;
}

HOT size_t
vars_count(const struct vars *v)
{
	return v->count;
}

/* ---- making ---- */

struct draft {
	struct buf text;
	size_t count;
};

static void
put_item(struct draft *d, struct slice name, struct slice value)
{
	size_t n = name.n + value.n + 2;
	char *to = buf_reserve(&d->text, n);

	d->count++;
	if (to == NULL)
		return;
	memcpy(to, name.p, name.n);
	to[name.n] = '\0';
	if (value.n > 0)
		memcpy(to + name.n + 1, value.p, value.n);
	to[n - 1] = '\0';
	d->text.n += n;
}

static struct vars *
finish(struct vars_table *t, struct draft *d)
{
	struct vars *v = intern(t, d->count > 0 ? buf_view(&d->text) : SLICE_LITERAL(""), d->count);

	buf_fini(&d->text);
	return v;
}

/* Two lists at once, in the order of names. */
struct pair {
	const struct vars *a, *b;
	size_t a_at, b_at;
	bool has_a, has_b; /* the name of this turn is in there */
	struct vars_item in_a, in_b;
};

static HOT bool
pair_next(struct pair *p)
{
	size_t a_at = p->a_at, b_at = p->b_at;
	int c;

	p->has_a = p->a != NULL && vars_next(p->a, &a_at, &p->in_a);
	p->has_b = p->b != NULL && vars_next(p->b, &b_at, &p->in_b);
	if (p->has_a && p->has_b) {
		c = vars_compare(p->in_a.name, p->in_b.name);
		p->has_a = c <= 0;
		p->has_b = c >= 0;
	}
	if (p->has_a)
		p->a_at = a_at;
	if (p->has_b)
		p->b_at = b_at;
	return p->has_a || p->has_b;
}

HOT struct vars *
vars_overlay(struct vars *base, struct vars *over)
{
	struct pair p = { .a = base, .b = over };
	struct draft d = { 0 };

	if (base->count == 0 || base == over)
		return vars_ref(over);
	if (over->count == 0)
		return vars_ref(base);
	while (pair_next(&p)) {
		const struct vars_item *item = p.has_b ? &p.in_b : &p.in_a;

		put_item(&d, item->name, item->value);
	}
	return finish(base->table, &d);
}

HOT struct vars *
vars_with(struct vars *base, struct slice name, struct slice value)
{
	struct draft d = { 0 };
	struct vars *one, *both;

	put_item(&d, name, value);
	one = finish(base->table, &d);
	both = vars_overlay(base, one);
	vars_unref(one);
	return both;
}

/* What a list is, and is to stay below. */
struct size {
	size_t count, n;
};

/* With one item in the place of another; NULL: none. False: it is too much, and nothing has
 * changed.
 */
static bool
fits(struct size *s, const struct size *most, const struct vars_item *old,
     const struct vars_item *item)
{
	struct size to = *s;

	if (old != NULL) {
		to.count--;
		to.n -= old->name.n + old->value.n + 2;
	}
	if (item != NULL) {
		to.count++;
		to.n += item->name.n + item->value.n + 2;
		if (to.count > most->count || to.n > most->n)
			return false;
	}
	*s = to;
	return true;
}

static int
by_name(const void *a, const void *b)
{
	const struct vars_item *x = a, *y = b;
	int c = vars_compare(x->name, y->name);

	/* they stand in one text, in the order in which they were said */
	return c != 0 ? c : (x->name.p > y->name.p) - (x->name.p < y->name.p);
}

size_t
vars_sort(struct vars_item *items, size_t n)
{
	size_t kept = 0;

	if (n > 0)
		qsort(items, n, sizeof(*items), by_name);
	for (size_t i = 0; i < n; i++) {
		if (i + 1 == n || vars_compare(items[i].name, items[i + 1].name) != 0)
			items[kept++] = items[i];
	}
	return kept;
}

/* See vars_change(); most == NULL: there is no bound. */
static struct vars *
change(struct vars *base, struct vars_item *items, size_t *n, const struct size *most)
{
	struct size size = { base->count, base->n };
	struct draft d = { .text = { .cap = SIZE_MAX } };
	struct vars_item old;
	size_t at = 0, taken = 0;
	bool more = vars_next(base, &at, &old);

	if (*n == 0)
		return vars_ref(base);
	for (size_t i = 0; i < *n; i++) {
		const struct vars_item *item = &items[i];
		bool is_set = item->value.p != NULL, is_there;

		for (; more && vars_compare(old.name, item->name) < 0;
		     more = vars_next(base, &at, &old))
			put_item(&d, old.name, old.value);
		is_there = more && vars_compare(old.name, item->name) == 0;
		if (most != NULL &&
		    !fits(&size, most, is_there ? &old : NULL, is_set ? item : NULL))
			continue;
		if (is_there)
			more = vars_next(base, &at, &old);
		if (is_set)
			put_item(&d, item->name, item->value);
		items[taken++] = *item;
	}
	for (; more; more = vars_next(base, &at, &old))
		put_item(&d, old.name, old.value);
	*n = taken;
	return finish(base->table, &d);
}

struct vars *
vars_change(struct vars *base, struct vars_item *items, size_t *n, bool is_bounded)
{
	static const struct size most = { VARS_SET_MAX, VARS_SET_BYTES };

	return change(base, items, n, is_bounded ? &most : NULL);
}

/* ---- the meaning ---- */

/* A reference, or NULL: nothing has to go. */
static struct vars *
sense_of(struct vars *v)
{
	struct draft d = { 0 };
	struct vars_item item;

	for (size_t at = 0; vars_next(v, &at, &item);) {
		if (sqleffects_has_meaning(item.name))
			put_item(&d, item.name, item.value);
	}
	if (d.count < v->count)
		return finish(v->table, &d);
	buf_fini(&d.text);
	return NULL;
}

HOT uint64_t
vars_meaning(const struct vars *v)
{
	return v->sense != NULL ? v->sense->serial : v->serial;
}

/* ---- the StartupMessage ---- */

static bool
is_setting(struct slice name)
{
	static const char *const others[] = { "user", "database", "options", "replication" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (slice_is(name, others[i]))
			return false;
	}
	return name.n > 0 && !(name.n >= 9 && strncasecmp(name.p, "meridian.", 9) == 0) &&
	       !slice_starts(name, "_pq_.") && !slice_starts(name, "crdb:");
}

/* Into *out in the order of names; the later one of a name counts. Returns how many. */
static size_t
sort_params(const struct startup *in, const struct startup_param **out)
{
	size_t n = 0;

	for (size_t i = 0; i < in->params_n; i++) {
		const struct startup_param *param = &in->params[i];
		size_t at = n;

		if (!is_setting(param->name))
			continue;
		while (at > 0 && vars_compare(out[at - 1]->name, param->name) > 0)
			at--;
		if (at > 0 && vars_compare(out[at - 1]->name, param->name) == 0) {
			out[at - 1] = param;
			continue;
		}
		memmove(out + at + 1, out + at, (n - at) * sizeof(*out));
		out[at] = param;
		n++;
	}
	return n;
}

static void
put_lower(struct buf *b, struct slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		buf_u8(b, (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
	}
	buf_u8(b, 0);
}

HOT struct vars *
vars_from_startup(struct vars_table *t, const struct startup *in)
{
	const struct startup_param *params[STARTUP_PARAMS_MAX];
	struct draft d = { .count = sort_params(in, params) };

	for (size_t i = 0; i < d.count; i++) {
		put_lower(&d.text, params[i]->name);
		/* the protocol does not say in which encoding a StartupMessage is */
		utf8_put(&d.text, params[i]->value);
		buf_u8(&d.text, 0);
	}
	return finish(t, &d);
}

/* ---- the change ---- */

struct change {
	struct buf *sql;
	size_t calls;
	struct slice end; /* of a statement */
	/* how a setting is changed; value.p == NULL: back to the default */
	void (*put)(struct change *c, struct slice name, struct slice value);
};

/* PostgreSQL takes 1,664 entries in the list of a SELECT (MaxTupleAttributeNumber). */
#define CALLS_OF_SELECT 1024

static void
begin_call(struct change *c)
{
	if (c->calls % CALLS_OF_SELECT > 0) {
		buf_str(c->sql, ", ");
	} else {
		if (c->calls > 0)
			buf_slice(c->sql, c->end);
		buf_str(c->sql, "SELECT ");
	}
	c->calls++;
}

static void
put_call(struct change *c, struct slice name, struct slice value)
{
	begin_call(c);
	buf_str(c->sql, "pg_catalog.set_config(");
	pgquote_literal_ascii(c->sql, name);
	buf_str(c->sql, ", ");
	if (value.p != NULL)
		pgquote_literal_ascii(c->sql, value);
	else
		buf_str(c->sql, "NULL");
	buf_str(c->sql, ", false)");
}

static const struct slice to_default = { NULL, 0 };

/* What drivers say of themselves, which is what differs most often, and of which SET takes the
 * value as set_config() does: that costs a server neither a plan nor a snapshot. */
static bool
is_simple(struct slice name)
{
	static const char *const names[] = { "application_name", "client_encoding", "datestyle",
					     "extra_float_digits", "timezone" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (slice_is(name, names[i]))
			return true;
	}
	return false;
}

static HOT void
put_set(struct change *c, struct slice name, struct slice value)
{
	if (c->calls++ > 0)
		buf_slice(c->sql, c->end);
	buf_str(c->sql, "SET ");
	buf_slice(c->sql, name);
	buf_str(c->sql, " TO ");
	if (value.p != NULL)
		pgquote_literal_ascii(c->sql, value);
	else
		buf_str(c->sql, "DEFAULT");
}

#define EXIT_ON_ERROR "exit_on_error"

/* Who the session is decides what it may set, and is set last. */
static const char *const identity[] = { "session_authorization", "role" };

/* It is among the few that have a meaning. */
static bool
get_identity(const struct vars *v, size_t i, struct slice *value)
{
	return vars_get(v->sense != NULL ? v->sense : v, identity[i], value);
}

static bool
has_identity(const struct vars *v)
{
	struct slice value;

	return get_identity(v, 0, &value) || get_identity(v, 1, &value);
}

static bool
is_apart(struct slice name)
{
	return slice_is(name, identity[0]) || slice_is(name, identity[1]) ||
	       slice_is(name, EXIT_ON_ERROR);
}

static bool
loses_something(const struct vars *from, const struct vars *to)
{
	struct pair p = { .a = from, .b = to };

	while (pair_next(&p)) {
		if (!p.has_b)
			return true;
	}
	return false;
}

/* Back to nothing set. RESET ALL takes back what only a superuser may set, too, whichever role says
 * it; RESET of that one setting is refused to the role that the session is now. */
static void
put_reset(const struct change *c, const struct vars *from)
{
	if (from == NULL || has_identity(from)) {
		buf_str(c->sql, "RESET SESSION AUTHORIZATION");
		buf_slice(c->sql, c->end);
		buf_str(c->sql, "RESET ROLE");
		buf_slice(c->sql, c->end);
	}
	buf_str(c->sql, "RESET ALL");
	buf_slice(c->sql, c->end);
}

/* A superuser's role comes first: there are settings that only it may change. */
static void
put_role_first(struct change *c, struct slice role)
{
	begin_call(c);
	buf_str(c->sql, "(SELECT pg_catalog.set_config('role', ");
	pgquote_literal_ascii(c->sql, role);
	buf_str(c->sql, ", false) FROM pg_catalog.pg_roles WHERE rolsuper AND rolname "
			"OPERATOR(pg_catalog.=) ");
	pgquote_literal_ascii(c->sql, role);
	buf_u8(c->sql, ')');
}

/* `from` has nothing that `to` has not, or is NULL: nothing. */
static void
put_settings(struct change *c, const struct vars *from, const struct vars *to)
{
	struct pair p = { .a = from, .b = to };

	while (pair_next(&p)) {
		if (is_apart(p.in_b.name) || (p.has_a && is_same(p.in_a.value, p.in_b.value)))
			continue;
		/* "ISO" leaves the other half of DateStyle as it is */
		if (p.has_a && slice_is(p.in_b.name, "datestyle"))
			c->put(c, p.in_b.name, to_default);
		c->put(c, p.in_b.name, p.in_b.value);
	}
}

static bool
are_simple(const struct vars *from, const struct vars *to)
{
	struct pair p = { .a = from, .b = to };

	while (pair_next(&p)) {
		if (is_apart(p.in_b.name) ||
		    (!is_simple(p.in_b.name) && !(p.has_a && is_same(p.in_a.value, p.in_b.value))))
			return false;
	}
	return true;
}

static void
put_apart(struct change *c, const struct vars *to)
{
	struct slice value;

	for (size_t i = 0; i < 2; i++) {
		if (get_identity(to, i, &value))
			put_call(c, slice_str(identity[i]), value);
	}
	if (vars_get(to, EXIT_ON_ERROR, &value))
		put_call(c, slice_str(EXIT_ON_ERROR), value);
}

HOT void
vars_put_change(struct buf *sql, const struct vars *from, const struct vars *to,
		enum vars_failure failure)
{
	struct change c = { .sql = sql,
			    .end = failure == VARS_APART ? slice_of("", 1) : slice_str("; ") };
	struct slice value;

	if (from == to)
		return;
	if (from == NULL || has_identity(from) || loses_something(from, to)) {
		put_reset(&c, from);
		from = NULL;
	}
	c.put = are_simple(from, to) ? put_set : put_call;
	if (failure == VARS_FATAL)
		buf_str(sql, "SET " EXIT_ON_ERROR " TO on; ");
	if (get_identity(to, 1, &value) && !get_identity(to, 0, &value))
		put_role_first(&c, value);
	put_settings(&c, from, to);
	put_apart(&c, to);
	if (failure == VARS_FATAL && !vars_get(to, EXIT_ON_ERROR, &value))
		buf_str(sql, c.calls > 0 ? "; RESET " EXIT_ON_ERROR : "RESET " EXIT_ON_ERROR);
}

/* ---- reports ---- */

/* Servers report a dozen settings, and each change copies the list: one that has more to say than
 * any real one is not listened to. */
HOT void
vars_report_all(struct vars **reported, const struct vars_item *items, size_t n)
{
	static const struct size most = { VARS_REPORTS_MAX, VARS_REPORTS_BYTES };
	struct vars_item sorted[VARS_REPORTS_AT_ONCE];
	struct vars *old = *reported;

	BUG_ON(n > VARS_REPORTS_AT_ONCE);
	memcpy(sorted, items, n * sizeof(*items));
	n = vars_sort(sorted, n);
	*reported = change(old, sorted, &n, &most);
	vars_unref(old);
}

HOT void
vars_report(struct vars **reported, struct slice body)
{
	struct message_parameter m;
	struct vars_item item;

	if (message_parse_parameter(body, &m) != PARSE_DONE)
		return;
	item = (struct vars_item){ m.name, m.value };
	vars_report_all(reported, &item, 1);
}

HOT void
vars_put_reports(struct buf *b, const struct vars *told, const struct vars *reported)
{
	struct pair p = { .a = told, .b = reported };

	if (told == reported)
		return;
	while (pair_next(&p)) {
		if (p.has_b && !(p.has_a && is_same(p.in_a.value, p.in_b.value)))
			message_put_parameter(b, p.in_b.name, p.in_b.value);
	}
}

void
vars_put_changed(struct buf *names, const struct vars *a, const struct vars *b)
{
	struct pair p = { .a = a, .b = b };

	while (a != b && pair_next(&p)) {
		if (!(p.has_a && p.has_b && is_same(p.in_a.value, p.in_b.value)))
			sqleffects_put_name(names, p.has_a ? p.in_a.name : p.in_b.name);
	}
}
