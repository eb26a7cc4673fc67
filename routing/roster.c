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

static int
compare_told(const void *a, const void *b)
{
	const struct told_node *const *x = a, *const *y = b;

	return strcasecmp((*x)->name, (*y)->name);
}

static void
source_free_told(struct roster_source *s)
{
	for (size_t i = 0; i < s->ntold; i++)
		told_fini(&s->told[i]);
	free(s->told);
	free(s->by_name);
	s->told = NULL;
	s->by_name = NULL;
	s->ntold = s->nnames = 0;
}

/* What it told before is not freed. */
static void
source_copy_told(struct roster_source *s, const struct told_node *told, size_t n)
{
	s->told = xcalloc(n + 1, sizeof(*s->told));
	s->by_name = xcalloc(n + 1, sizeof(*s->by_name));
	s->ntold = n;
	s->nnames = 0;
	for (size_t i = 0; i < n; i++) {
		s->told[i] = told_copy(&told[i]);
		s->by_name[i] = &s->told[i];
	}
	qsort(s->by_name, n, sizeof(*s->by_name), compare_told);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || compare_told(&s->by_name[s->nnames - 1], &s->by_name[i]) != 0)
			s->by_name[s->nnames++] = s->by_name[i];
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
		source_free_told(&r->sources[i]);
		free(r->sources[i].node);
	}
	for (size_t i = 0; i < r->nfound; i++)
		found_fini(&r->found[i]);
	free(r->sources);
	free(r->found);
	free(r->by_name);
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
		source_copy_told(s, r->sources[i].told, r->sources[i].ntold);
	}
	d->by_name = xcalloc(r->nfound + 1, sizeof(*d->by_name));
	for (size_t i = 0; i < r->nfound; i++) {
		d->by_name[i] = r->by_name[i];
		d->found[i] = r->found[i];
		d->found[i].is = told_copy(&r->found[i].is);
		d->found[i].asked = xstrdup(r->found[i].asked);
	}
	return d;
}

/* ---- what is known ---- */

/* Where a source is, or would be. */
static size_t
place_of_source(const struct roster *r, const char *node, enum discover_source kind, bool *is_there)
{
	size_t from = 0, to = r->nsources;

	*is_there = false;
	while (from < to && !*is_there) {
		size_t at = from + (to - from) / 2;
		const struct roster_source *s = &r->sources[at];
		int order = strcmp(s->node, node);

		if (order == 0)
			order = (int)s->kind - (int)kind;
		*is_there = order == 0;
		if (order >= 0)
			to = at;
		else
			from = at + 1;
	}
	return *is_there ? to : from;
}

static struct roster_source *
find_source(const struct roster *r, const char *node, enum discover_source kind)
{
	bool is_there;
	size_t at = place_of_source(r, node, kind, &is_there);

	return is_there ? &r->sources[at] : NULL;
}

static struct roster_source *
source_of(struct roster *r, const char *node, enum discover_source kind)
{
	bool is_there;
	size_t at = place_of_source(r, node, kind, &is_there);

	if (is_there)
		return &r->sources[at];
	r->sources = xreallocarray(r->sources, r->nsources + 1, sizeof(*r->sources));
	memmove(&r->sources[at + 1], &r->sources[at], (r->nsources - at) * sizeof(*r->sources));
	r->nsources++;
	r->sources[at] = (struct roster_source){ .node = xstrdup(node), .kind = kind };
	return &r->sources[at];
}

/* Where a name is in by_name, or would be. */
static size_t
place_of_name(const struct roster *r, const char *name, bool *is_there)
{
	size_t from = 0, to = r->nfound;

	*is_there = false;
	while (from < to && !*is_there) {
		size_t at = from + (to - from) / 2;
		int order = strcasecmp(r->found[r->by_name[at]].is.name, name);

		*is_there = order == 0;
		if (order >= 0)
			to = at;
		else
			from = at + 1;
	}
	return *is_there ? to : from;
}

static struct found_node *
found_of(const struct roster *r, const char *name)
{
	bool is_there;
	size_t at = place_of_name(r, name, &is_there);

	return is_there ? &r->found[r->by_name[at]] : NULL;
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

static int
compare_name(const void *name, const void *told)
{
	const struct told_node *const *t = told;

	return strcasecmp(name, (*t)->name);
}

static bool
tells(const struct roster_source *s, const char *name)
{
	return s->nnames > 0 &&
	       bsearch(name, s->by_name, s->nnames, sizeof(*s->by_name), compare_name) != NULL;
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

	return s != NULL && tells(s, f->is.name);
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
	bool is_there;
	size_t at = place_of_name(r, r->found[i].is.name, &is_there);

	found_fini(&r->found[i]);
	r->nfound--;
	memmove(&r->found[i], &r->found[i + 1], (r->nfound - i) * sizeof(r->found[0]));
	memmove(&r->by_name[at], &r->by_name[at + 1], (r->nfound - at) * sizeof(r->by_name[0]));
	for (size_t j = 0; j < r->nfound; j++)
		r->by_name[j] -= r->by_name[j] > i;
}

static struct found_node *
add(struct roster *r, const char *name, int64_t now_us)
{
	bool is_there;
	size_t at = place_of_name(r, name, &is_there);
	struct found_node *f;

	r->found = xreallocarray(r->found, r->nfound + 1, sizeof(*r->found));
	r->by_name = xreallocarray(r->by_name, r->nfound + 1, sizeof(*r->by_name));
	memmove(&r->by_name[at + 1], &r->by_name[at], (r->nfound - at) * sizeof(r->by_name[0]));
	r->by_name[at] = (uint32_t)r->nfound;
	f = &r->found[r->nfound++];
	*f = (struct found_node){ .since_us = now_us };
	for (size_t i = 0; i < r->nsources; i++)
		f->tellers += tells(&r->sources[i], name);
	return f;
}

/* What a source tells counts, or does so no more. */
static void
count_tellers(struct roster *r, const struct roster_source *s, int by)
{
	for (size_t i = 0; i < s->nnames; i++) {
		struct found_node *f = found_of(r, s->by_name[i]->name);

		if (f != NULL)
			f->tellers += (unsigned)by;
	}
}

static void
source_drop_told(struct roster *r, struct roster_source *s)
{
	count_tellers(r, s, -1);
	source_free_told(s);
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
		f = add(r, t->name, now_us);
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

		if (f->tellers > 0 || f->state == FOUND_MISSING || f->state == FOUND_GONE)
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
	struct roster_source *s = source_of(r, node, kind), fresh = *s;
	size_t kept = 0;
	bool changed;
	char why[sizeof(s->alarm)];

	s->asked_us = now_us;
	source_copy_told(&fresh, told, n);
	for (size_t i = 0; i < s->ntold; i++)
		kept += (size_t)tells(&fresh, s->told[i].name);
	if (s->ntold - kept > 1 && kept * 100 < s->ntold * c->min_keep_pct) {
		snprintf(why, sizeof(why),
			 "its answer has only %zu of the %zu nodes that it has told before: not "
			 "taken (discover_min_keep)",
			 kept, s->ntold);
		source_free_told(&fresh);
		return refuse(s, why);
	}
	changed = s->alarm[0] != '\0';
	source_drop_told(r, s);
	*s = fresh;
	s->asked_us = now_us;
	s->alarm[0] = '\0';
	count_tellers(r, s, 1);
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
		source_drop_told(r, s);
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
			source_drop_told(r, &r->sources[i]);
		r->sources[i].alarm[0] = '\0';
	}
}
