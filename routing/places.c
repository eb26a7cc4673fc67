/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/places.h"

#include <stdint.h>
#include <stdlib.h>

#include "routing/places_int.h"

/* Where folded bytes go; a separator is held back until something follows it. */
struct folding {
	char *to;
	size_t n;
	bool separate, full;
};

static void
fold_put(struct folding *f, char c)
{
	if (c == ' ') {
		f->separate = f->n > 0;
		return;
	}
	f->full = f->full || f->n + f->separate >= PLACE_NAME_MAX - 1;
	if (f->full)
		return;
	if (f->separate)
		f->to[f->n++] = ' ';
	f->separate = false;
	f->to[f->n++] = c;
}

static int
compare_fold(const void *key, const void *row)
{
	unsigned code = *(const unsigned *)key;
	const struct places_fold_row *r = row;

	return code < r->code ? -1 : code > r->code;
}

static void
fold_code_point(struct folding *f, unsigned code)
{
	const struct places_fold_row *row;

	if (code < 0x80) {
		char c = (char)code;
		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (c == '.' || c == '\'' || c == '`')
			return;
		fold_put(f, (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : ' ');
		return;
	}
	if (code >= 0x300 && code <= 0x36f) /* combining marks */
		return;
	row = bsearch(&code, places_folds, places_nfolds, sizeof(*row), compare_fold);
	if (row == NULL) {
		fold_put(f, ' ');
		return;
	}
	for (const char *p = row->to; *p != '\0'; p++)
		fold_put(f, *p);
}

/* Decode one code point of UTF-8 (RFC 3629); returns its length, 0 where it is malformed. */
static size_t
utf8_decode(struct slice s, unsigned *code)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n;
	unsigned c = p[0];

	if (c < 0x80) {
		*code = c;
		return 1;
	}
	n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || n > s.n)
		return 0;
	c &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return n;
}

bool
places_utf8(struct slice s)
{
	unsigned code;

	while (s.n > 0) {
		size_t n = utf8_decode(s, &code);
		if (n == 0)
			return false;
		s = slice_skip(s, n);
	}
	return true;
}

size_t
places_fold(struct slice name, char to[PLACE_NAME_MAX])
{
	struct folding f = { .to = to };
	bool utf8 = places_utf8(name);

	while (name.n > 0) {
		unsigned code = (unsigned char)name.p[0];
		size_t n = utf8 ? utf8_decode(name, &code) : 1;

		fold_code_point(&f, code);
		name = slice_skip(name, n);
	}
	to[f.n] = '\0';
	return f.n;
}

static const char *const providers[] = { "gcp", "aws", "azure", "az", "fly", "scalingo" };

/* The provider that a name begins with ("gcp-us-east1"), or NULL. */
static const char *
provider_of(struct slice region)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
		size_t n = strlen(providers[i]);

		if (region.n > n + 1 && region.p[n] == '-' &&
		    strncasecmp(region.p, providers[i], n) == 0)
			return providers[i];
	}
	return NULL;
}

struct slice
places_strip_provider(struct slice region)
{
	const char *provider = provider_of(region);

	return provider != NULL ? slice_skip(region, strlen(provider) + 1) : region;
}

bool
places_region(struct slice region, double *lat, double *lon)
{
	const char *provider = provider_of(region);
	struct slice name = places_strip_provider(region);

	if (provider != NULL && strcmp(provider, "az") == 0)
		provider = "azure";
	for (size_t i = 0; i < places_nregions; i++) {
		const struct places_region_row *r = &places_regions[i];

		if (!slice_is_nocase(name, r->name) ||
		    (provider != NULL && strcmp(provider, r->provider) != 0))
			continue;
		*lat = r->lat;
		*lon = r->lon;
		return true;
	}
	return false;
}

static int
compare_country(const void *key, const void *row)
{
	return strcmp(key, ((const struct places_country_row *)row)->key);
}

const char *
places_country(struct slice text)
{
	const struct places_country_row *row;
	char key[PLACE_NAME_MAX];

	places_fold(text, key);
	row = bsearch(key, places_countries, places_ncountries, sizeof(*row), compare_country);
	for (size_t i = 0; row == NULL && text.n == 2 && i < places_ncountries; i++) {
		if (slice_is_nocase(text, places_countries[i].code))
			row = &places_countries[i];
	}
	return row != NULL ? row->code : NULL;
}

static int
compare_division(const void *key, const void *row)
{
	return strcmp(key, ((const struct places_division_row *)row)->key);
}

const char *
places_division(struct slice text, const char **country)
{
	const struct places_division_row *row;
	char key[PLACE_NAME_MAX];

	places_fold(text, key);
	row = bsearch(key, places_divisions, places_ndivisions, sizeof(*row), compare_division);
	if (row == NULL)
		return NULL;
	*country = row->country;
	return row->code;
}
