/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/steer.h"

#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/control_int.h"
#include "routing/places.h"
#include "routing/tlvs.h"

struct drain {
	LIST_ENTRY(drain) next;
	struct steer *steer;
	char *name;
	bool node;
	struct event deadline;
};

struct said_override {
	LIST_ENTRY(said_override) next;
	enum override_kind kind;
	char *value, *region;
	int64_t until_us;
};

/* Kept even where the place is "", so that an older epoch is not taken again. */
struct said_authority {
	LIST_ENTRY(said_authority) next;
	char *database, *place, *newdb;
	int64_t epoch;
};

void
steer_init(struct steer *s, struct control *c)
{
	s->control = c;
	LIST_INIT(&s->drains);
	LIST_INIT(&s->overrides);
	LIST_INIT(&s->authorities);
}

static void
drain_free(struct drain *d)
{
	event_del(&d->deadline);
	LIST_REMOVE(d, next);
	free(d->name);
	free(d);
}

static void
override_free(struct said_override *o)
{
	LIST_REMOVE(o, next);
	free(o->value);
	free(o->region);
	free(o);
}

static void
authority_free(struct said_authority *a)
{
	LIST_REMOVE(a, next);
	free(a->database);
	free(a->place);
	free(a->newdb);
	free(a);
}

void
steer_fini(struct steer *s)
{
	while (!LIST_EMPTY(&s->drains))
		drain_free(LIST_FIRST(&s->drains));
	while (!LIST_EMPTY(&s->overrides))
		override_free(LIST_FIRST(&s->overrides));
	while (!LIST_EMPTY(&s->authorities))
		authority_free(LIST_FIRST(&s->authorities));
}

static struct drain *
find_drain(struct steer *s, const char *name, bool node)
{
	struct drain *d;

	LIST_FOREACH (d, &s->drains, next) {
		if (d->node == node && strcmp(d->name, name) == 0)
			return d;
	}
	return NULL;
}

/* The deadline of a drain: end the sessions that are still there. */
static void
drain_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct drain *d = arg;
	struct meridian *p = d->steer->control->process;

	(void)fd;
	(void)what;
	log_msg(LOG_LEVEL_INFO, "drain deadline of %s \"%s\": ending its sessions",
		d->node ? "node" : "region", d->name);
	for (int i = 0; i < p->nworkers; i++)
		worker_evict(p->workers[i], d->node ? "" : d->name, d->node ? d->name : "");
}

void
steer_drain(struct steer *s, const char *name, bool node, int64_t deadline_us)
{
	struct drain *d = find_drain(s, name, node);
	struct timeval tv = { .tv_sec = deadline_us / USEC_PER_SEC,
			      .tv_usec = deadline_us % USEC_PER_SEC };

	if (d == NULL) {
		d = xcalloc(1, sizeof(*d));
		d->steer = s;
		d->name = xstrdup(name);
		d->node = node;
		evtimer_assign(&d->deadline, loop_base(s->control->loop), drain_on_deadline, d);
		LIST_INSERT_HEAD(&s->drains, d, next);
	}
	event_del(&d->deadline);
	if (deadline_us > 0)
		event_add(&d->deadline, &tv);
}

bool
steer_undrain(struct steer *s, const char *name, bool node)
{
	struct drain *d = find_drain(s, name, node);

	if (d == NULL)
		return false;
	drain_free(d);
	return true;
}

/* Normalises a value for comparison: folded cities, upper-case countries, address blocks as they
 * are printed. */
static int
normalize(enum override_kind kind, const char *value, char to[PLACE_NAME_MAX], struct err *e)
{
	char block[ADDR_TEXT_MAX];
	struct cidr net;

	switch (kind) {
	case OVERRIDE_CITY:
		if (places_fold(slice_str(value), to) > 0)
			return 0;
		return err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE, "invalid city \"%s\"", value);
	case OVERRIDE_COUNTRY:
		if (strlen(value) != 2)
			return err_set(e, SQLSTATE_INVALID_PARAMETER_VALUE,
				       "invalid country \"%s\": expected two letters (ISO 3166)",
				       value);
		for (int i = 0; i < 3; i++)
			to[i] =
			    (char)(value[i] >= 'a' && value[i] <= 'z' ? value[i] - 32 : value[i]);
		return 0;
	case OVERRIDE_NETWORK:
		if (endpoint_parse(slice_str(value), to))
			return 0;
		if (!cidr_parse(slice_str(value), &net))
			return err_set(
			    e, SQLSTATE_INVALID_PARAMETER_VALUE,
			    "invalid network \"%s\": expected an address block such as 10.0.0.0/8",
			    value);
		(void)text_copy(to, PLACE_NAME_MAX, slice_str(cidr_print(&net, block)));
		return 0;
	}
	return -1;
}

unsigned
steer_clear(struct steer *s, enum override_kind kind, const char *value)
{
	struct said_override *o, *next;
	char wanted[PLACE_NAME_MAX] = "";
	unsigned n = 0;

	if (value[0] != '\0' && normalize(kind, value, wanted, NULL) != 0)
		return 0;
	for (o = LIST_FIRST(&s->overrides); o != NULL; o = next) {
		next = LIST_NEXT(o, next);
		if (value[0] == '\0' || (o->kind == kind && strcmp(o->value, wanted) == 0)) {
			override_free(o);
			n++;
		}
	}
	return n;
}

int
steer_override(struct steer *s, enum override_kind kind, const char *value, const char *region,
	       int64_t until_us, struct err *e)
{
	char wanted[PLACE_NAME_MAX];
	struct said_override *o;

	if (normalize(kind, value, wanted, e) != 0)
		return -1;
	(void)steer_clear(s, kind, value);
	o = xcalloc(1, sizeof(*o));
	o->kind = kind;
	o->value = xstrdup(wanted);
	o->region = xstrdup(region);
	o->until_us = until_us;
	LIST_INSERT_HEAD(&s->overrides, o, next);
	return 0;
}

bool
steer_serve(struct steer *s, const char *database, const char *place, const char *newdb,
	    int64_t epoch)
{
	struct said_authority *a;

	LIST_FOREACH (a, &s->authorities, next) {
		if (strcmp(a->database, database) == 0)
			break;
	}
	if (a != NULL && epoch <= a->epoch)
		return false;
	if (a != NULL)
		authority_free(a);
	a = xcalloc(1, sizeof(*a));
	a->database = xstrdup(database);
	a->place = xstrdup(place);
	a->newdb = newdb != NULL && newdb[0] != '\0' ? xstrdup(newdb) : NULL;
	a->epoch = epoch;
	LIST_INSERT_HEAD(&s->authorities, a, next);
	return true;
}

static void
fill_drain(const struct drain *d, struct topology *t)
{
	for (unsigned i = 0; i < t->nnodes && d->node; i++) {
		if (strcmp(t->nodes[i].name, d->name) == 0)
			t->nodes[i].drained = true;
	}
	for (unsigned i = 0; i < t->nregions && !d->node; i++) {
		if (strcmp(t->regions[i].name, d->name) == 0)
			t->regions[i].drained = true;
	}
}

void
steer_fill(struct steer *s, struct topology *t, int64_t now_us)
{
	struct said_override *o, *next;
	const struct said_authority *a;
	const struct drain *d;

	LIST_FOREACH (d, &s->drains, next)
		fill_drain(d, t);
	LIST_FOREACH (a, &s->authorities, next) {
		if (a->place[0] != '\0')
			topology_add_authority(t, a->database, a->place, a->newdb, a->epoch);
	}
	for (o = LIST_FIRST(&s->overrides); o != NULL; o = next) {
		int region = topology_region_by_name(t, slice_str(o->region));

		next = LIST_NEXT(o, next);
		if (o->until_us != 0 && o->until_us <= now_us)
			override_free(o);
		else if (region >= 0)
			topology_add_override(t, o->kind, o->value, (uint16_t)region, o->until_us);
	}
}
