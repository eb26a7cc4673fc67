/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/forecast.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REASONS_MAX 16 /* different ones; those of the rest are "other reasons" */
#define NAMED_MAX   5  /* sessions that are named for each */

/* Sessions that cannot be moved for one reason. */
struct pinned {
	const char *why; /* a word of the proxy's: static */
	unsigned n;
	struct buf ids;
};

struct tally {
	struct forecast *f;
	struct pinned v[REASONS_MAX];
	size_t n;
};

/* ---- those that cannot be moved ---- */

/* Nothing that the session does ends it. */
static bool
is_lasting(const char *why)
{
	return strcmp(why, "passthrough login") == 0 || strcmp(why, "replication") == 0;
}

static struct pinned *
pinned_by(struct tally *t, const char *why)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->v[i].why, why) == 0)
			return &t->v[i];
	}
	if (t->n == REASONS_MAX)
		return &t->v[REASONS_MAX - 1];
	t->v[t->n] = (struct pinned){ .why = why, .ids.cap = 256 };
	return &t->v[t->n++];
}

static void
count_session(void *to, const struct gate_session *s)
{
	struct tally *t = to;
	struct pinned *p;

	t->f->sessions++;
	if (s->movable)
		return;
	t->f->closed++;
	p = pinned_by(t, s->why);
	if (p->n++ < NAMED_MAX)
		buf_printf(&p->ids, "%s%" PRIu64, p->ids.n > 0 ? ", " : "", s->id);
}

/* ---- those whose login the other side refuses ---- */

void
forecast_add(struct forecast *f, unsigned closed, const char *object, const char *detail)
{
	struct buf text = { .cap = 1024 };

	buf_printf(&text, "%u would be closed at the switch: %s", closed, detail);
	checks_add(&f->reasons, CHECK_ERROR, "sessions", object, buf_text(&text), "");
	buf_fini(&text);
	f->closed += closed;
	f->may_resolve_itself = false;
	if (f->closed > f->sessions) /* some have come in between */
		f->sessions = f->closed;
}

static void
count_login(void *to, const struct gate_login *l)
{
	char object[160];

	if (!l->is_rehearsed || *l->refused == '\0')
		return;
	snprintf(object, sizeof(object), "role %s", l->user);
	forecast_add(to, l->sessions, object, l->refused);
}

void
forecast_make(const struct site *site, const struct gate_move *m, const struct gate_logins *logins,
	      struct forecast *out)
{
	const struct gate_ops *gate = site->ops->gate;
	struct tally t = { .f = out };

	*out = (struct forecast){ .may_resolve_itself = true };
	if (gate == NULL || gate->sessions == NULL)
		return;
	gate->sessions(site->arg, m, count_session, &t);
	for (size_t i = 0; i < t.n; i++) {
		struct pinned *p = &t.v[i];
		struct buf text = { .cap = 512 };

		buf_printf(&text, "%u would be closed at the switch: session %s%s", p->n,
			   buf_text(&p->ids), p->n > NAMED_MAX ? ", …" : "");
		out->may_resolve_itself = out->may_resolve_itself && !is_lasting(p->why);
		checks_add(&out->reasons, CHECK_ERROR, "sessions", p->why, buf_text(&text),
			   is_lasting(p->why)
			       ? "FORCE (sessions): they are told to reconnect (57P01)"
			       : "wait, or FORCE (sessions): they are told to reconnect (57P01)");
		buf_fini(&text);
		buf_fini(&p->ids);
	}
	if (logins != NULL)
		gate->logins_each(logins, count_login, out);
}

void
forecast_put(const struct forecast *f, struct buf *b)
{
	buf_printf(b, "%u of %u sessions will be kept", f->sessions - f->closed, f->sessions);
	for (size_t i = 0; i < f->reasons.n; i++)
		buf_printf(b, "; %s: %s", f->reasons.v[i].object, f->reasons.v[i].detail);
}

void
forecast_fini(struct forecast *f)
{
	checks_fini(&f->reasons);
}
