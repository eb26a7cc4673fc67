/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/locality.h"

#include <stdio.h>
#include <string.h>

#include "base/hot.h"
#include "base/text.h"
#include "routing/locality_int.h"

/* A decision in the making. */
struct weighing {
	const struct locality_input *in;
	struct locality *out;
	bool decided;
	struct locality_evidence *evidence; /* or NULL */
	size_t n;
};

bool
claim_counts(const struct locality_input *in, const struct claim *c, const char **why)
{
	bool relayed = c->source == SOURCE_HEADER || c->source == SOURCE_TLV;

	if (relayed && !c->trusted)
		*why = "peer is not trusted";
	else if (c->source == SOURCE_STARTUP && !c->later && in->claims->nlater > 0)
		*why = "replaced by SET";
	else if (in->strict && !c->trusted)
		*why = "self-declared: does not count under residency = strict";
	else
		return true;
	return false;
}

/* Note what came of a claim; returns the row, or NULL where the caller keeps no evidence. */
static HOT struct locality_evidence *
note(struct weighing *w, const struct claim *c, const char *outcome)
{
	struct locality_evidence *e;

	if (w->evidence == NULL || w->n >= LOCALITY_EVIDENCE_MAX)
		return NULL;
	e = &w->evidence[w->n++];
	*e = (struct locality_evidence){
		.source = c->source, .kind = c->kind, .value = c->value, .trusted = c->trusted
	};
	(void)text_copy(e->outcome, sizeof(e->outcome), slice_str(outcome));
	return e;
}

/* The country that the source claims, for its cities. */
static void
set_context(const struct locality_input *in, enum locality_source source, struct claim_context *x)
{
	char text[PLACE_NAME_MAX];
	const char *why, *code;

	*x = (struct claim_context){ .in = in };
	for (unsigned i = 0; i < in->claims->n; i++) {
		struct claim c = claims_get(in->claims, i);

		if (c.source != source || c.kind != CLAIM_COUNTRY || !claim_counts(in, &c, &why))
			continue;
		code = places_country(slice_of(text, claim_clean(c.value, text)));
		if (code != NULL)
			text_copy(x->country, sizeof(x->country), slice_str(code));
	}
}

/* Fill in what the winning claim of a source left open from the source's others. */
static void
complete(struct finding *best, const struct finding *f)
{
	struct locality *to = &best->locality;
	const struct locality *from = &f->locality;

	if (to->city[0] == '\0' && from->city[0] != '\0') {
		memcpy(to->city, from->city, sizeof(to->city));
		memcpy(best->folded, f->folded, sizeof(best->folded));
		best->place = f->place;
	}
	if (to->country[0] == '\0')
		memcpy(to->country, from->country, sizeof(to->country));
}

/* Read every claim of a source; the best finding is the source's, the last one among equals. */
static void
find_by_claims(struct weighing *w, enum locality_source source, struct finding *best)
{
	const struct claims *claims = w->in->claims;
	struct locality_evidence *row, *winner = NULL;
	struct claim_context x;
	struct finding f, other = { .rank = FOUND_NOTHING };

	memset(best, 0, sizeof(*best));
	best->rank = FOUND_NOTHING;
	set_context(w->in, source, &x);
	for (unsigned i = 0; i < claims->n; i++) {
		struct claim c = claims_get(claims, i);

		if (c.source != source)
			continue;
		finding_of_claim(&x, &c, &f);
		row = note(w, &c, f.outcome);
		complete(&other, &f);
		if (f.rank > best->rank || f.rank == FOUND_NOTHING)
			continue;
		*best = f;
		winner = row;
	}
	complete(best, &other);
	if (best->rank != FOUND_NOTHING && !w->decided) {
		*w->out = best->locality;
		w->decided = true;
		if (winner != NULL)
			winner->won = true;
	}
}

/* What the caller is by all other sources: the first city, the first country. */
static void
find_by_others(const struct locality_input *in, struct finding *all)
{
	struct locality scratch;
	struct weighing quiet = { .in = in, .out = &scratch };
	struct finding f;

	memset(all, 0, sizeof(*all));
	for (size_t i = 0; i < in->norder; i++) {
		if (in->order[i] == SOURCE_OVERRIDE || in->order[i] == SOURCE_SELF)
			continue;
		find_by_claims(&quiet, in->order[i], &f);
		complete(all, &f);
		if (f.locality.has_location && !all->locality.has_location) {
			all->locality.has_location = true;
			all->locality.lat = f.locality.lat;
			all->locality.lon = f.locality.lon;
		}
	}
}

/* Where the caller comes from, as overrides of networks match it. */
struct origin {
	bool has_address;
	struct addr address;
	struct slice endpoint; /* "" none */
};

static bool
address_of(const struct locality_input *in, struct addr *a)
{
	char text[PLACE_NAME_MAX];
	const char *why;

	for (unsigned i = 0; i < in->claims->n; i++) {
		struct claim c = claims_get(in->claims, i);
		struct slice s;

		if (c.kind != CLAIM_ADDRESS || !claim_counts(in, &c, &why))
			continue;
		s = slice_of(text, claim_clean(c.value, text));
		if (addr_parse(s, a) || addr_parse_port(s, a))
			return true;
	}
	return false;
}

static void
find_origin(const struct locality_input *in, struct origin *o)
{
	const char *why;

	memset(o, 0, sizeof(*o));
	o->has_address = address_of(in, &o->address);
	for (unsigned i = 0; i < in->claims->n; i++) {
		struct claim c = claims_get(in->claims, i);

		if (c.kind == CLAIM_ENDPOINT && claim_counts(in, &c, &why))
			o->endpoint = c.value;
	}
}

/* A block by its length; an endpoint is more specific than any. */
static unsigned
network_fits(const struct override *o, const struct origin *from)
{
	if (o->net.net.family == ADDR_NONE)
		return slice_is(from->endpoint, o->value) ? 3U + 128U + 1U : 0;
	return from->has_address && cidr_has(&o->net, &from->address) ? 3U + o->net.bits : 0;
}

static bool
override_means_place(const struct gazetteer *g, const struct override *o, const struct finding *f)
{
	struct place largest;

	return f->place != 0 && gazetteer_find(g, o->value, &largest, 1) == 1 &&
	       largest.id == f->place;
}

/* How specific a matching override is, higher wins: networks by prefix, then city, then country; 0
 * where it does not match. */
static unsigned
override_fits(const struct gazetteer *g, const struct override *o, const struct finding *f,
	      const struct origin *from)
{
	switch (o->kind) {
	case OVERRIDE_NETWORK:
		return network_fits(o, from);
	case OVERRIDE_CITY:
		if (f->folded[0] == '\0')
			return 0;
		return strcmp(o->value, f->folded) == 0 || override_means_place(g, o, f) ? 2 : 0;
	case OVERRIDE_COUNTRY:
		return f->locality.country[0] != '\0' && strcmp(o->value, f->locality.country) == 0
			   ? 1
			   : 0;
	}
	return 0;
}

static const struct override *
best_override(const struct locality_input *in, const struct finding *f, const struct origin *from)
{
	const struct topology *t = in->topology;
	const struct override *best = NULL;
	unsigned best_fit = 0;

	for (uint32_t i = 0; i < t->noverrides; i++) {
		const struct override *o = &t->overrides[i];
		unsigned fit = override_fits(in->gazetteer, o, f, from);

		if (fit == 0 || fit < best_fit || o->region >= t->nregions ||
		    (o->until_us != 0 && o->until_us <= in->now_us))
			continue;
		best = o;
		best_fit = fit;
	}
	return best;
}

static void
weigh_overrides(struct weighing *w)
{
	static const enum claim_kind kinds[] = { [OVERRIDE_CITY] = CLAIM_CITY,
						 [OVERRIDE_COUNTRY] = CLAIM_COUNTRY,
						 [OVERRIDE_NETWORK] = CLAIM_ADDRESS };
	const struct topology *t = w->in->topology;
	struct claim row = { .source = SOURCE_OVERRIDE, .trusted = true };
	struct locality_evidence *noted;
	const struct override *o;
	struct origin from;
	struct finding f;
	char outcome[160];

	if (t->noverrides == 0)
		return;
	find_by_others(w->in, &f);
	find_origin(w->in, &from);
	o = best_override(w->in, &f, &from);
	if (o == NULL) {
		note(w, &row, "no override applies");
		return;
	}
	row.kind = kinds[o->kind];
	if (o->kind == OVERRIDE_NETWORK && o->net.net.family == ADDR_NONE)
		row.kind = CLAIM_ENDPOINT;
	row.value = slice_str(o->value);
	snprintf(outcome, sizeof(outcome), "overridden to region %.63s",
		 t->regions[o->region].name);
	noted = note(w, &row, outcome);
	if (w->decided)
		return;
	f.locality.source = SOURCE_OVERRIDE;
	f.locality.region = o->region;
	f.locality.confidence = CONFIDENCE_EXACT;
	*w->out = f.locality;
	w->decided = true;
	if (noted != NULL)
		noted->won = true;
}

static HOT void
weigh_self(struct weighing *w)
{
	const struct topology *t = w->in->topology;
	bool known = t->self_region >= 0 && t->self_region < t->nregions;
	struct claim row = { .source = SOURCE_SELF, .kind = CLAIM_REGION, .trusted = true };
	struct locality_evidence *noted;

	noted = note(w, &row, known ? "" : "this proxy does not know its own region");
	if (noted != NULL && known)
		snprintf(noted->outcome, sizeof(noted->outcome),
			 "this proxy stands in region %.63s", t->regions[t->self_region].name);
	if (w->decided)
		return;
	*w->out = (struct locality){ .source = SOURCE_SELF,
				     .region = known ? t->self_region : -1,
				     .confidence = known ? CONFIDENCE_COUNTRY : CONFIDENCE_NONE };
	w->decided = true;
	if (noted != NULL)
		noted->won = true;
}

/* Whether nothing can come of what the source claims: it claims nothing, or addresses of which no
 * data file knows anything. */
static bool
is_mute(const struct locality_input *in, enum locality_source source)
{
	const struct topology *t = in->topology;

	for (unsigned i = 0; i < in->claims->n; i++) {
		struct claim c = claims_get(in->claims, i);

		if (c.source == source && (c.kind != CLAIM_ADDRESS || in->geo != NULL))
			return false;
		for (unsigned r = 0; c.source == source && r < t->nregions; r++) {
			if (t->regions[r].networks.n > 0)
				return false;
		}
	}
	return true;
}

HOT void
locality_decide(const struct locality_input *in, struct locality *out,
		struct locality_evidence *evidence, size_t *nevidence)
{
	struct weighing w = { .in = in, .out = out, .evidence = evidence };
	unsigned asked = 0;
	struct finding f;

	*out = (struct locality){ .source = SOURCE_SELF, .region = -1 };
	/* for evidence all are asked, also when the decision has fallen */
	for (size_t i = 0; i < in->norder && (!w.decided || evidence != NULL); i++) {
		enum locality_source source = in->order[i];

		if ((unsigned)source >= SOURCE_COUNT || (asked & 1U << source) != 0)
			continue;
		asked |= 1U << source;
		if (source == SOURCE_OVERRIDE)
			weigh_overrides(&w);
		else if (source == SOURCE_SELF)
			weigh_self(&w);
		else if (w.evidence != NULL || !is_mute(w.in, source))
			find_by_claims(&w, source, &f);
	}
	if (!w.decided)
		weigh_self(&w);
	/* Claims of sources that the option `locality` leaves out. */
	for (unsigned i = 0; evidence != NULL && i < in->claims->n; i++) {
		struct claim c = claims_get(in->claims, i);

		if ((asked & 1U << c.source) == 0)
			note(&w, &c, "source is not in the option locality");
	}
	if (nevidence != NULL)
		*nevidence = w.n;
}

int
locality_region_of_city(const struct topology *t, const struct gazetteer *gazetteer,
			struct slice city)
{
	static const enum locality_source order[] = { SOURCE_STARTUP };
	struct claims claims = { 0 };
	struct locality_input in = { .claims = &claims,
				     .topology = t,
				     .gazetteer = gazetteer,
				     .order = order,
				     .norder = 1 };
	struct locality l;
	double best_km, second_km;

	claims_add(&claims, SOURCE_STARTUP, CLAIM_CITY, true, city);
	locality_decide(&in, &l, NULL, NULL);
	claims_fini(&claims);
	if (l.source != SOURCE_STARTUP)
		return -1;
	if (l.region >= 0)
		return l.region;
	if (!l.has_location || l.confidence < CONFIDENCE_CITY)
		return -1;
	return nearest_region(t, l.lat, l.lon, &best_km, &second_km);
}
