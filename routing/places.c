/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/places.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"
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

size_t
places_fold(struct slice name, char to[PLACE_NAME_MAX])
{
	struct folding f = { .to = to };
	bool utf8 = utf8_valid(name);

	while (name.n > 0) {
		struct slice one = slice_of(name.p, utf8 ? utf8_sequence(name) : 1);

		fold_code_point(&f, one.n > 1 ? utf8_code_point(one) : (unsigned char)one.p[0]);
		name = slice_skip(name, one.n);
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
