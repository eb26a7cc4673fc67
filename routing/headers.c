/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/headers.h"

#include <ctype.h>

#include "base/text.h"
#include "routing/forwarded.h"
#include "routing/place_parts.h"

/* Kinds of headers: the parts of a place, and these. */
enum {
	KIND_ADDRESS = PLACE_PARTS, /* one address */
	KIND_FORWARDED_FOR,         /* a list, as in X-Forwarded-For */
	KIND_FORWARDED,             /* RFC 7239 */
	KIND_COUNT
};

static const char *const address_kinds[] = { "address", "forwarded-for", "forwarded" };

struct rule {
	const char *name;
	int kind;
};

struct set {
	const char *name;
	const struct rule *rules; /* ends with a NULL name */
};

#define FORWARDED_FOR                                 \
	{                                             \
		"X-Forwarded-For", KIND_FORWARDED_FOR \
	}

/* Google Cloud's application load balancer: names are the operator's, these are the ones seen.
 * {client_region} is a country there, {client_region_subdivision} is USCA. */
static const struct rule gcp[] = { { "X-City", PLACE_CITY },
				   { "X-Client-City", PLACE_CITY },
				   { "X-Client-Geo-Location", PLACE_PLACE },
				   { "X-Place", PLACE_PLACE },
				   { "X-Client-City-Lat-Long", PLACE_LOCATION },
				   { "X-Client-CityLatLong", PLACE_LOCATION },
				   { "X-Client-Region", PLACE_COUNTRY },
				   { "X-Client-Region-Subdivision", PLACE_SUBDIVISION },
				   FORWARDED_FOR,
				   { NULL, 0 } };

static const struct rule appengine[] = {
	{ "X-Appengine-City", PLACE_CITY },       { "X-Appengine-CityLatLong", PLACE_LOCATION },
	{ "X-Appengine-Country", PLACE_COUNTRY }, { "X-Appengine-Region", PLACE_SUBDIVISION },
	{ "X-Appengine-User-IP", KIND_ADDRESS },  { NULL, 0 }
};

static const struct rule cloudflare[] = { { "CF-IPCity", PLACE_CITY },
					  { "CF-IPCountry", PLACE_COUNTRY },
					  { "CF-Region-Code", PLACE_SUBDIVISION },
					  { "CF-IPLatitude", PLACE_LATITUDE },
					  { "CF-IPLongitude", PLACE_LONGITUDE },
					  FORWARDED_FOR,
					  { "CF-Connecting-IP", KIND_ADDRESS },
					  { "True-Client-IP", KIND_ADDRESS },
					  { NULL, 0 } };

static const struct rule cloudfront[] = { { "CloudFront-Viewer-City", PLACE_CITY },
					  { "CloudFront-Viewer-Country", PLACE_COUNTRY },
					  { "CloudFront-Viewer-Country-Region", PLACE_SUBDIVISION },
					  { "CloudFront-Viewer-Latitude", PLACE_LATITUDE },
					  { "CloudFront-Viewer-Longitude", PLACE_LONGITUDE },
					  FORWARDED_FOR,
					  { "CloudFront-Viewer-Address", KIND_ADDRESS },
					  { NULL, 0 } };

static const struct rule vercel[] = { { "X-Vercel-IP-City", PLACE_CITY },
				      { "X-Vercel-IP-Country", PLACE_COUNTRY },
				      { "X-Vercel-IP-Country-Region", PLACE_SUBDIVISION },
				      { "X-Vercel-IP-Latitude", PLACE_LATITUDE },
				      { "X-Vercel-IP-Longitude", PLACE_LONGITUDE },
				      { "X-Vercel-Forwarded-For", KIND_FORWARDED_FOR },
				      { "X-Real-IP", KIND_ADDRESS },
				      { NULL, 0 } };

/* Fastly's names are the operator's; these are its own. */
static const struct rule fastly[] = { FORWARDED_FOR,
				      { "Fastly-Client-IP", KIND_ADDRESS },
				      { NULL, 0 } };

/* The edge that took the connection: a place by its three letters. */
static const struct rule fly[] = { { "Fly-Region", PLACE_REGION },
				   FORWARDED_FOR,
				   { "Fly-Client-IP", KIND_ADDRESS },
				   { NULL, 0 } };

static const struct rule akamai[] = { { "X-Akamai-Edgescape", PLACE_PAIRS },
				      FORWARDED_FOR,
				      { "True-Client-IP", KIND_ADDRESS },
				      { NULL, 0 } };

static const struct rule azure[] = { FORWARDED_FOR,
				     { "X-Azure-SocketIP", KIND_ADDRESS },
				     { "X-Azure-ClientIP", KIND_ADDRESS },
				     { NULL, 0 } };

static const struct rule generic[] = { { "X-City", PLACE_CITY },
				       { "X-Country", PLACE_COUNTRY },
				       FORWARDED_FOR,
				       { "Forwarded", KIND_FORWARDED },
				       { "X-Real-IP", KIND_ADDRESS },
				       { "True-Client-IP", KIND_ADDRESS },
				       { NULL, 0 } };

static const struct rule no_rules[] = { { NULL, 0 } };

static const struct set sets[] = {
	{ "gcp", gcp },
	{ "appengine", appengine },
	{ "cloudflare", cloudflare },
	{ "cloudfront", cloudfront },
	{ "vercel", vercel },
	{ "fastly", fastly },
	{ "fly", fly },
	{ "akamai", akamai },
	{ "azure", azure },
	{ "generic", generic },
};
#define SETS (sizeof(sets) / sizeof(sets[0]))

static const char *
kind_name(int kind)
{
	return kind < PLACE_PARTS ? place_part_name((enum place_part)kind)
				  : address_kinds[kind - PLACE_PARTS];
}

static int
kind_parse(struct slice word)
{
	for (int i = 0; i < KIND_COUNT; i++) {
		if (slice_is_nocase(word, kind_name(i)))
			return i;
	}
	return -1;
}

static const struct set *
find_set(struct slice word)
{
	for (size_t i = 0; i < SETS; i++) {
		if (slice_is_nocase(word, sets[i].name))
			return &sets[i];
	}
	return NULL;
}

/* What a header says by any of the sets; -1: none of them has it. */
static int
known_kind(struct slice name)
{
	for (size_t i = 0; i < SETS; i++) {
		for (const struct rule *r = sets[i].rules; r->name != NULL; r++) {
			if (slice_is_nocase(name, r->name))
				return r->kind;
		}
	}
	return -1;
}

int
headers_part(struct slice name)
{
	int part = place_part_parse(name);

	if (part < 0)
		part = known_kind(name);
	return part < PLACE_PARTS ? part : -1;
}

bool
headers_item(struct slice item, char to[HEADERS_ITEM_MAX])
{
	struct slice word = item, name = slice_trim(slice_cut(&word, ':'));
	const struct set *set = word.p == NULL ? find_set(name) : NULL;
	int kind = word.p != NULL ? kind_parse(slice_trim(word)) : known_kind(name);

	if (set != NULL)
		return text_copy(to, HEADERS_ITEM_MAX, slice_str(set->name));
	if (kind < 0 || !http_is_token(name) || name.n >= HEADERS_ITEM_MAX - 16)
		return false;
	for (size_t i = 0; i < name.n; i++)
		to[i] = (char)tolower((unsigned char)name.p[i]);
	to[name.n] = ':';
	return text_copy(to + name.n + 1, HEADERS_ITEM_MAX - name.n - 1,
			 slice_str(kind_name(kind)));
}

/* A head being read. */
struct reading {
	const struct header_rules *rules;
	const struct http_head *head;
	struct place_parts said; /* of the set at hand */
	struct slice listed;     /* an address header as it stands */
	struct addr address;
	bool has_address;
};

static void
take_header(struct reading *d, const char *name, int kind)
{
	struct forwarded f = { .trusted = d->rules->trusted, .hops = d->rules->hops };
	struct slice value = http_header(d->head, name);

	if (value.p == NULL || place_part_is_unknown(value))
		return;
	if (kind < PLACE_PARTS)
		place_parts_put(&d->said, (enum place_part)kind, value);
	if (kind < PLACE_PARTS || d->has_address)
		return;
	d->listed = value;
	if (kind == KIND_FORWARDED_FOR)
		d->has_address = forwarded_for(&f, d->head, name, &d->address);
	else if (kind == KIND_FORWARDED)
		d->has_address = forwarded_rfc7239(&f, d->head, name, &d->address);
	else
		d->has_address = forwarded_address(value, &d->address);
}

/* "x-town:city" taken apart; false where the item is a set. */
static bool
cut_item(const char *item, char name[HEADERS_ITEM_MAX], int *kind)
{
	struct slice word = slice_str(item), head = slice_cut(&word, ':');

	*kind = word.p != NULL ? kind_parse(word) : -1;
	return *kind >= 0 && text_copy(name, HEADERS_ITEM_MAX, head);
}

static bool
says_anything(const struct place_parts *s)
{
	for (int i = 0; i < PLACE_PARTS; i++) {
		if (s->part[i].n > 0)
			return true;
	}
	return false;
}

/* Whether the rules read a header of this name. */
static bool
is_read(const struct header_rules *r, struct slice name)
{
	char own[HEADERS_ITEM_MAX];
	int kind;

	for (size_t i = 0; i < r->names->n; i++) {
		const struct set *set = find_set(slice_str(r->names->v[i]));

		for (const struct rule *k = set != NULL ? set->rules : no_rules; k->name != NULL;
		     k++) {
			if (slice_is_nocase(name, k->name))
				return true;
		}
		if (set == NULL && cut_item(r->names->v[i], own, &kind) &&
		    slice_is_nocase(name, own))
			return true;
	}
	return false;
}

unsigned
headers_count(const struct header_rules *r, const struct http_head *h)
{
	unsigned n = 0;

	for (size_t i = 0; i < h->nheaders; i++)
		n += is_read(r, h->headers[i].name);
	return n;
}

void
headers_claim(const struct header_rules *r, const struct http_head *h, bool trusted,
	      struct claims *to, struct addr *address)
{
	struct reading d = { .rules = r, .head = h };
	bool named = false, placed = false;
	char name[HEADERS_ITEM_MAX];
	int kind;

	for (size_t i = 0; i < r->names->n; i++) {
		const struct set *set = find_set(slice_str(r->names->v[i]));

		if (set == NULL && named)
			continue;
		d.said = (struct place_parts){ 0 };
		for (const struct rule *k = set != NULL ? set->rules : no_rules; k->name != NULL;
		     k++)
			take_header(&d, k->name, k->kind);
		/* all items that name one header */
		for (size_t k = i; set == NULL && k < r->names->n; k++)
			if (cut_item(r->names->v[k], name, &kind))
				take_header(&d, name, kind);
		named = named || set == NULL;
		if (placed || !says_anything(&d.said))
			continue;
		place_parts_claim(&d.said, SOURCE_HEADER, trusted, to);
		placed = place_parts_beyond_country(&d.said);
	}
	if (trusted && d.has_address)
		*address = d.address;
	else if (!trusted && d.listed.n > 0)
		claims_add(to, SOURCE_HEADER, CLAIM_ADDRESS, false, d.listed);
}
