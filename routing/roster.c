/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* ---- life ---- */

static struct told_node
told_copy(const struct told_node *t)
{
	struct told_node c = *t;

	c.name = xstrdup(t->name);
	c.host = xstrdup(t->host);
	c.region = xstrdup(t->region);
	return c;
}

static void
told_fini(struct told_node *t)
{
	free(t->name);
	free(t->host);
	free(t->region);
}

static void
source_drop_told(struct roster_source *s)
{
	for (size_t i = 0; i < s->ntold; i++)
		told_fini(&s->told[i]);
	free(s->told);
	s->told = NULL;
	s->ntold = 0;
}

static void
source_set_told(struct roster_source *s, const struct told_node *told, size_t n)
{
	source_drop_told(s);
	s->told = xcalloc(n + 1, sizeof(*s->told));
	s->ntold = n;
	for (size_t i = 0; i < n; i++)
		s->told[i] = told_copy(&told[i]);
}

static void
found_fini(struct found_node *f)
{
	told_fini(&f->is);
	free(f->asked);
}

struct roster *
roster_new(void)
{
	struct roster *r = xcalloc(1, sizeof(*r));

	refcount_init(&r->refs);
	return r;
}

REFCOUNT_REF(roster_ref, struct roster)

void
roster_unref(struct roster *r)
{
	if (r == NULL || !refcount_put(&r->refs))
		return;
	for (size_t i = 0; i < r->nsources; i++) {
		source_drop_told(&r->sources[i]);
		free(r->sources[i].node);
	}
	for (size_t i = 0; i < r->nfound; i++)
		found_fini(&r->found[i]);
	free(r->sources);
	free(r->found);
	free(r);
}

struct roster *
roster_dup(const struct roster *r)
{
	struct roster *d = roster_new();

	d->sources = xcalloc(r->nsources + 1, sizeof(*d->sources));
	d->found = xcalloc(r->nfound + 1, sizeof(*d->found));
	d->nsources = r->nsources;
	d->nfound = r->nfound;
	for (size_t i = 0; i < r->nsources; i++) {
		struct roster_source *s = &d->sources[i];

		*s = r->sources[i];
		s->node = xstrdup(s->node);
		s->told = NULL;
		s->ntold = 0;
		source_set_told(s, r->sources[i].told, r->sources[i].ntold);
	}
	for (size_t i = 0; i < r->nfound; i++) {
		d->found[i] = r->found[i];
		d->found[i].is = told_copy(&r->found[i].is);
		d->found[i].asked = xstrdup(r->found[i].asked);
	}
	return d;
}

/* ---- what is known ---- */

static struct roster_source *
find_source(const struct roster *r, const char *node, enum discover_source kind)
{
	for (size_t i = 0; i < r->nsources; i++)
		if (r->sources[i].kind == kind && strcmp(r->sources[i].node, node) == 0)
			return &r->sources[i];
	return NULL;
}

static struct roster_source *
source_of(struct roster *r, const char *node, enum discover_source kind)
{
	struct roster_source *s = find_source(r, node, kind);

	if (s != NULL)
		return s;
	r->sources = xreallocarray(r->sources, r->nsources + 1, sizeof(*r->sources));
	s = &r->sources[r->nsources++];
	*s = (struct roster_source){ .node = xstrdup(node), .kind = kind };
	return s;
}

static struct found_node *
found_of(const struct roster *r, const char *name)
{
	for (size_t i = 0; i < r->nfound; i++)
		if (strcasecmp(r->found[i].is.name, name) == 0)
			return &r->found[i];
	return NULL;
}

const struct found_node *
roster_find(const struct roster *r, const char *name)
{
	return found_of(r, name);
}

const char *
roster_alarm(const struct roster *r, const char *node, enum discover_source kind)
{
	const struct roster_source *s = find_source(r, node, kind);

	return s != NULL ? s->alarm : "";
}

static bool
is_told(const struct told_node *told, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(told[i].name, name) == 0)
			return true;
	return false;
}

const char *
found_state_name(enum found_state s)
{
	static const char *const names[] = { "new", "used", "missing", "gone" };

	return names[s];
}

bool
found_usable(const struct found_node *f)
{
	return f->is.serves && (f->state == FOUND_USED || f->state == FOUND_MISSING);
}

static void
explain(struct found_node *f)
{
	static const char *const whys[] = {
		[FOUND_NEW] = "it was not probed yet",
		[FOUND_USED] = "",
		[FOUND_MISSING] = "",
		[FOUND_GONE] = "no source tells of it any more",
	};

	if (whys[f->state][0] == '\0' && !f->is.serves)
		snprintf(f->why, sizeof(f->why), "its source says that it takes no queries: %s",
			 f->is.state);
	else
		snprintf(f->why, sizeof(f->why), "%s", whys[f->state]);
}

static bool
same_told(const struct told_node *a, const struct told_node *b)
{
	return a->serves == b->serves && strcmp(a->region, b->region) == 0 &&
	       strcmp(a->state, b->state) == 0;
}

/* ---- changes ---- */

static bool
is_of(const struct found_node *f, const struct roster_source *s)
{
	return f->kind == s->kind && strcmp(f->asked, s->node) == 0;
}

/* Whether the source by which it was found tells of it still. Others may do so in other words: it
 * does not move with each answer. */
static bool
has_its_source(const struct roster *r, const struct found_node *f)
{
	const struct roster_source *s = find_source(r, f->asked, f->kind);

	return s != NULL && is_told(s->told, s->ntold, f->is.name);
}

/* What it is, from now on, is what this source says. */
static void
adopt(struct found_node *f, const struct roster_source *s, const struct told_node *t,
      uint64_t system_id)
{
	found_fini(f);
	f->is = told_copy(t);
	f->kind = s->kind;
	f->asked = xstrdup(s->node);
	f->system_id = discover_same_system(s->kind) ? system_id : 0;
	explain(f);
}

static void
forget(struct roster *r, size_t i)
{
	found_fini(&r->found[i]);
	r->nfound--;
	memmove(&r->found[i], &r->found[i + 1], (r->nfound - i) * sizeof(r->found[0]));
}

/* One node of an answer that was taken. */
static bool
see(struct roster *r, const struct roster_source *s, const struct told_node *t, uint64_t system_id,
    int64_t now_us)
{
	struct found_node *f = found_of(r, t->name);
	bool changed = false;

	if (f == NULL) {
		if (r->nfound == ROSTER_MAX)
			return false;
		r->found = xreallocarray(r->found, r->nfound + 1, sizeof(*r->found));
		f = &r->found[r->nfound++];
		*f = (struct found_node){ .since_us = now_us };
		adopt(f, s, t, system_id);
		changed = true;
	} else if (is_of(f, s) ? !same_told(&f->is, t) : !has_its_source(r, f)) {
		adopt(f, s, t, system_id);
		changed = true;
	}
	if (f->state == FOUND_MISSING || f->state == FOUND_GONE) {
		f->state = FOUND_USED;
		explain(f);
		changed = true;
	}
	f->told_us = now_us;
	return changed;
}

/* What no source tells any more is missing; what was told and never answered is forgotten at once.
 */
static bool
look_for_missing(struct roster *r, int64_t now_us)
{
	bool changed = false;

	for (size_t i = r->nfound; i-- > 0;) {
		struct found_node *f = &r->found[i];
		bool told = false;

		for (size_t j = 0; j < r->nsources && !told; j++)
			told = is_told(r->sources[j].told, r->sources[j].ntold, f->is.name);
		if (told || f->state == FOUND_MISSING || f->state == FOUND_GONE)
			continue;
		changed = true;
		if (f->state == FOUND_NEW) {
			forget(r, i);
			continue;
		}
		f->state = FOUND_MISSING;
		f->told_us = now_us;
		explain(f);
	}
	return changed;
}

static enum roster_news
refuse(struct roster_source *s, const char *why)
{
	bool again = strcmp(s->alarm, why) == 0;

	snprintf(s->alarm, sizeof(s->alarm), "%s", why);
	return again ? ROSTER_SAME : ROSTER_REFUSED;
}

enum roster_news
roster_take(struct roster *r, const struct roster_conf *c, const char *node,
	    enum discover_source kind, uint64_t system_id, const struct told_node *told, size_t n,
	    int64_t now_us)
{
	struct roster_source *s = source_of(r, node, kind);
	size_t kept = 0;
	bool changed = false;
	char why[sizeof(s->alarm)];

	s->asked_us = now_us;
	for (size_t i = 0; i < s->ntold; i++)
		kept += (size_t)is_told(told, n, s->told[i].name);
	if (s->ntold - kept > 1 && kept * 100 < s->ntold * c->min_keep_pct) {
		snprintf(why, sizeof(why),
			 "its answer has only %zu of the %zu nodes that it has told before: not "
			 "taken (discover_min_keep)",
			 kept, s->ntold);
		return refuse(s, why);
	}
	changed = s->alarm[0] != '\0';
	s->alarm[0] = '\0';
	source_set_told(s, told, n);
	for (size_t i = 0; i < n; i++)
		if (told[i].host[0] != '\0')
			changed = see(r, s, &told[i], system_id, now_us) || changed;
	changed = look_for_missing(r, now_us) || changed;
	return changed ? ROSTER_CHANGED : ROSTER_SAME;
}

enum roster_news
roster_complain(struct roster *r, const char *node, enum discover_source kind, const char *why,
		int64_t now_us)
{
	struct roster_source *s = source_of(r, node, kind);

	s->asked_us = now_us;
	return refuse(s, why);
}

bool
roster_probed(struct roster *r, const char *name, bool up, uint64_t system_id)
{
	struct found_node *f = found_of(r, name);

	if (f == NULL || f->state != FOUND_NEW || !up)
		return false;
	if (f->system_id != 0 && system_id != f->system_id) {
		snprintf(f->why, sizeof(f->why), "%s",
			 system_id == 0 ? "its system identifier is not known yet"
					: "a server of another cluster answers there");
		return false;
	}
	f->state = FOUND_USED;
	explain(f);
	return true;
}

bool
roster_tick(struct roster *r, const struct roster_conf *c, int64_t now_us,
	    bool (*has_sessions)(void *arg, const struct found_node *f), void *arg)
{
	bool changed = false;

	for (size_t i = r->nfound; i-- > 0;) {
		struct found_node *f = &r->found[i];

		if (f->state == FOUND_MISSING && now_us - f->told_us >= c->grace_us) {
			f->state = FOUND_GONE;
			explain(f);
			changed = true;
		} else if (f->state == FOUND_GONE && !has_sessions(arg, f)) {
			forget(r, i);
			changed = true;
		}
	}
	return changed;
}

bool
roster_keep_sources(struct roster *r, bool (*keeps)(void *arg, const struct roster_source *s),
		    void *arg, int64_t now_us)
{
	size_t had = r->nsources;

	for (size_t i = r->nsources; i-- > 0;) {
		struct roster_source *s = &r->sources[i];

		if (keeps(arg, s))
			continue;
		source_drop_told(s);
		free(s->node);
		r->nsources--;
		memmove(s, s + 1, (r->nsources - i) * sizeof(*s));
	}
	return r->nsources != had && look_for_missing(r, now_us);
}

void
roster_believe(struct roster *r)
{
	for (size_t i = 0; i < r->nsources; i++) {
		if (r->sources[i].alarm[0] != '\0')
			source_drop_told(&r->sources[i]);
		r->sources[i].alarm[0] = '\0';
	}
}
