/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/gazetteer.h"

#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "protocol/crc32c.h"
#include "routing/places_int.h"

#include "tests/unit/unit.h"

#define PLACE 28 /* bytes of a place in the file */
#define HEAD  40

static struct gazetteer *world;

/* ---- allocations are counted (the linker is told to wrap them) ---- */

static unsigned allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *
__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	allocations++;
	return __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	allocations++;
	return __real_realloc(p, size);
}

/* ---- the shipped file ---- */

static int
open_world(void **state)
{
	struct err e;

	(void)state;
	world = gazetteer_open(TEST_GAZETTEER, &e);
	return world != NULL ? 0 : -1;
}

static int
close_world(void **state)
{
	(void)state;
	gazetteer_unref(world);
	return 0;
}

static void
cities_are_found_by_names_that_people_use(void **state)
{
	static const struct {
		const char *name, *found, *country;
	} v[] = {
		{ "new york", "New York City", "US" },
		{ "New York City", "New York City", "US" },
		{ "NYC", "New York City", "US" },
		{ "boston", "Boston", "US" },
		{ "washington, d.c.", "Washington D.C.", "US" },
		{ "Washington", "Washington D.C.", "US" },
		{ "washington_dc", "Washington D.C.", "US" },
		{ "San Francisco", "San Francisco", "US" },
		{ "seattle", "Seattle", "US" },
		{ "los angeles", "Los Angeles", "US" },
		{ "amsterdam", "Amsterdam", "NL" },
		{ "paris", "Paris", "FR" },
		{ "rome", "Rome", "IT" },
		{ "roma", "Rome", "IT" },
		{ "münchen", "Munich", "DE" },
		{ "munich", "Munich", "DE" },
		{ "Muenchen", "Munich", "DE" },
		{ "köln", "Köln", "DE" },
		{ "cologne", "Köln", "DE" },
		{ "Koeln", "Köln", "DE" },
		{ "genève", "Genève", "CH" },
		{ "geneva", "Genève", "CH" },
		{ "genf", "Genève", "CH" },
		{ "zuerich", "Zürich", "CH" },
		{ "kyiv", "Kyiv", "UA" },
		{ "kiev", "Kyiv", "UA" },
		{ "frankfurt", "Frankfurt am Main", "DE" },
		{ "são paulo", "São Paulo", "BR" },
		{ "S\xe3o Paulo", "São Paulo", "BR" },
		{ "den haag", "The Hague", "NL" },
		{ "'s-Gravenhage", "The Hague", "NL" },
		{ "londres", "London", "GB" },
		{ "parigi", "Paris", "FR" },
		{ "bangalore", "Bengaluru", "IN" },
		{ "praha", "Prague", "CZ" },
		{ "wien", "Vienna", "AT" },
		{ "saigon", "Ho Chi Minh City", "VN" },
		{ "bombay", "Mumbai", "IN" },
		{ "peking", "Beijing", "CN" },
		{ "lisboa", "Lisbon", "PT" },
		{ "moskva", "Moscow", "RU" },
		{ "bronx", "The Bronx", "US" },
		{ "brooklyn", "Brooklyn", "US" },
		{ "the dalles", "The Dalles", "US" },
		{ "tokyo", "Tokyo", "JP" },
		{ "singapore", "Singapore", "SG" },
	};
	static const char *const none[] = { "", "no such place", "parisx", "pari s", "東京", "a" };
	char folded[PLACE_NAME_MAX];
	struct place p;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		places_fold(slice_str(v[i].name), folded);
		assert_int_equal(gazetteer_find(world, folded, &p, 1), 1);
		assert_string_equal(p.name, v[i].found);
		assert_string_equal(p.country, v[i].country);
		assert_true(gazetteer_knows(world, folded));
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		places_fold(slice_str(none[i]), folded);
		assert_int_equal(gazetteer_find(world, folded, &p, 1), 0);
		assert_false(gazetteer_knows(world, folded));
	}
}

static void
a_name_may_mean_several_places_and_the_largest_comes_first(void **state)
{
	struct place v[8];
	size_t n = gazetteer_find(world, "paris", v, 8);

	(void)state;
	assert_int_equal(n, 2);
	assert_int_equal(v[0].id, 2988507);
	assert_true(fabs(v[0].lat - 48.8534) < 1e-9 && fabs(v[0].lon - 2.3488) < 1e-9);
	assert_int_equal(v[0].population, 2138551);
	assert_string_equal(v[0].state, "");
	assert_string_equal(v[1].country, "US");
	assert_string_equal(v[1].state, "TX");
	assert_true(v[1].lon < -95);
	assert_int_equal(gazetteer_find(world, "paris", v, 0), 0);
	assert_int_equal(gazetteer_find(world, "paris", v, 1), 1);
	n = gazetteer_find(world, "san jose", v, 8);
	assert_true(n > 2);
	for (size_t i = 1; i < n; i++)
		assert_true(v[i - 1].population >= v[i].population);
}

static void
states_are_known_where_headers_name_them(void **state)
{
	static const struct {
		const char *folded, *state;
	} v[] = { { "seattle", "WA" },   { "vancouver", "BC" }, { "sydney", "NSW" },
		  { "sao paulo", "SP" }, { "munich", "BY" },    { "glasgow", "SCT" },
		  { "zurich", "ZH" },    { "tokyo", "" } };
	struct place p;

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		assert_int_equal(gazetteer_find(world, v[i].folded, &p, 1), 1);
		assert_string_equal(p.state, v[i].state);
	}
}

static void
every_state_with_a_name_has_places(void **state)
{
	struct place p;

	(void)state;
	for (size_t i = 0; i < places_ndivisions; i++) {
		const struct places_division_row *r = &places_divisions[i];
		bool found = false;

		for (size_t k = 0; !found && gazetteer_in_country(world, r->country, k, &p); k++)
			found = strcmp(p.state, r->code) == 0;
		if (!found)
			fail_msg("no place in %s-%s", r->country, r->code);
	}
}

/* C folds every name as the generator did. */
static void
every_place_is_found_by_its_own_name(void **state)
{
	struct place p, v[32];
	char folded[PLACE_NAME_MAX];
	uint32_t before = UINT32_MAX;
	size_t i;

	(void)state;
	for (i = 0; gazetteer_place(world, i, &p); i++) {
		bool there = false;

		places_fold(slice_str(p.name), folded);
		for (size_t n = gazetteer_find(world, folded, v, 32); n > 0; n--)
			there = there || v[n - 1].id == p.id;
		assert_true(there);
		assert_true(p.population <= before);
		assert_true(fabs(p.lat) <= 90 && fabs(p.lon) <= 180);
		assert_non_null(places_country(slice_str(p.country)));
		before = p.population;
	}
	assert_true(i > 25000);
	assert_int_equal(i, gazetteer_size(world).places);
}

static void
every_name_is_folded_and_in_order(void **state)
{
	char folded[PLACE_NAME_MAX];
	const char *name, *before = "";
	size_t i;

	(void)state;
	for (i = 0; (name = gazetteer_name(world, i)) != NULL; i++) {
		places_fold(slice_str(name), folded);
		assert_string_equal(folded, name);
		assert_true(strcmp(before, name) < 0);
		assert_true(gazetteer_knows(world, name));
		before = name;
	}
	assert_true(i > 42000);
	assert_int_equal(i, gazetteer_size(world).names);
}

static void
places_of_a_country_come_largest_first(void **state)
{
	struct place p;
	uint32_t before = UINT32_MAX;
	size_t n = 0;

	(void)state;
	for (; gazetteer_in_country(world, "FR", n, &p); n++) {
		assert_string_equal(p.country, "FR");
		assert_true(p.population <= before);
		before = p.population;
	}
	assert_true(n > 500);
	assert_true(gazetteer_in_country(world, "FR", 0, &p));
	assert_string_equal(p.name, "Paris");
	assert_true(gazetteer_in_country(world, "AD", 0, &p));
	assert_true(gazetteer_in_country(world, "ZW", 0, &p));
	assert_false(gazetteer_in_country(world, "XX", 0, &p));
	assert_false(gazetteer_in_country(world, "", 0, &p));
	assert_false(gazetteer_in_country(world, "F", 0, &p));
}

static void
lookups_allocate_nothing(void **state)
{
	struct place v[32];
	unsigned before;
	const char *name;

	(void)state;
	before = allocations;
	for (size_t i = 0; (name = gazetteer_name(world, i)) != NULL; i += 7) {
		gazetteer_find(world, name, v, 32);
		gazetteer_in_country(world, v[0].country, i % 10, &v[1]);
	}
	assert_int_equal(allocations, before);
	free(strdup("counted")); /* libc's own are not, ours are */
	gazetteer_unref(gazetteer_open(TEST_GAZETTEER, NULL));
	assert_true(allocations > before);
}

static void
without_a_gazetteer_there_are_no_places(void **state)
{
	struct place p;

	(void)state;
	assert_int_equal(gazetteer_find(NULL, "paris", &p, 1), 0);
	assert_false(gazetteer_knows(NULL, "paris"));
	assert_false(gazetteer_place(NULL, 0, &p));
	assert_false(gazetteer_in_country(NULL, "FR", 0, &p));
	assert_null(gazetteer_name(NULL, 0));
	assert_int_equal(gazetteer_size(NULL).places, 0);
	assert_null(gazetteer_ref(NULL));
	gazetteer_unref(NULL);
}

/* ---- files that are not as they should be ---- */

struct file {
	uint8_t *bytes;
	size_t n;
};

static struct file
read_shipped(void)
{
	FILE *f = fopen(TEST_GAZETTEER, "rb");
	struct file file = { 0 };
	long size;

	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	rewind(f);
	file.n = (size_t)size;
	file.bytes = malloc(file.n);
	assert_non_null(file.bytes);
	assert_int_equal(fread(file.bytes, 1, file.n, f), file.n);
	fclose(f);
	return file;
}

static uint32_t
get(const struct file *f, size_t at)
{
	uint32_t v;

	memcpy(&v, f->bytes + at, sizeof(v));
	return le32toh(v);
}

static void
put(const struct file *f, size_t at, uint32_t v)
{
	v = htole32(v);
	memcpy(f->bytes + at, &v, sizeof(v));
}

static void
seal(const struct file *f)
{
	put(f, 16, crc32c(0, f->bytes + 20, f->n - 20));
}

static void
assert_refused(const struct file *f, size_t n, const char *why)
{
	struct err e = { 0 };

	assert_null(gazetteer_read(f->bytes, n, &e));
	assert_string_equal(e.msg, why);
}

static void
a_file_cut_anywhere_is_refused(void **state)
{
	struct file f = read_shipped();
	struct err e;

	(void)state;
	for (size_t n = 0; n < HEAD; n++)
		assert_refused(&f, n, "gazetteer: not a gazetteer");
	for (size_t n = HEAD; n < f.n; n += 9973)
		assert_refused(&f, n, "gazetteer: cut off or damaged");
	assert_refused(&f, f.n - 1, "gazetteer: cut off or damaged");
	world = gazetteer_ref(world);
	gazetteer_unref(world);
	gazetteer_unref(gazetteer_read(f.bytes, f.n, &e));
	free(f.bytes);
}

static void
a_damaged_byte_is_noticed(void **state)
{
	struct file f = read_shipped();

	(void)state;
	for (size_t at = 20; at < f.n; at += f.n / 40) {
		struct err e;

		f.bytes[at] ^= 0x20;
		assert_null(gazetteer_read(f.bytes, f.n, &e));
		f.bytes[at] ^= 0x20;
	}
	f.bytes[0] = 'm';
	assert_refused(&f, f.n, "gazetteer: not a gazetteer");
	f.bytes[0] = 'M';
	put(&f, 8, 2);
	assert_refused(&f, f.n, "gazetteer: of another version of Meridian");
	put(&f, 8, 0x01000000); /* written in the other byte order */
	assert_refused(&f, f.n, "gazetteer: of another version of Meridian");
	free(f.bytes);
}

/* With the right checksum, so that only the look at each row is left to refuse it. */
static void
rows_that_lead_astray_are_refused(void **state)
{
	struct file f = read_shipped();
	size_t names = HEAD + (size_t)get(&f, 20) * PLACE;
	size_t countries = names + ((size_t)get(&f, 24) + 1) * 8;
	size_t refs = countries + (size_t)get(&f, 32) * 12;
	size_t text = refs + (size_t)get(&f, 28) * 4;
	const struct {
		size_t at;
		uint32_t value;
	} v[] = {
		{ HEAD, 0 },                        /* an id of none */
		{ HEAD + 4, 900001 },               /* beyond the pole */
		{ HEAD + 4, (uint32_t)-900001 },    /* beyond the other */
		{ HEAD + 8, 1800001 },              /* around the world */
		{ HEAD + 12, 1 },                   /* smaller than the next */
		{ HEAD + 16, get(&f, 36) },         /* a name behind the text */
		{ HEAD + 16, UINT32_MAX },          /* far behind it */
		{ HEAD + 20, 0x7a7a7a7a },          /* a country in small letters */
		{ HEAD + 20, 0x01014e43 },          /* a state of control characters */
		{ names, get(&f, 36) },             /* a key behind the text */
		{ names, get(&f, names + 16) },     /* out of order */
		{ names + 4, get(&f, 28) },         /* refs behind the last */
		{ names + 4, get(&f, names + 12) }, /* no refs at all */
		{ names + 12, UINT32_MAX },         /* up to far behind */
		{ countries, 0 },                   /* a country of no letters */
		{ countries, 0x5a5a },              /* out of order */
		{ countries + 4, UINT32_MAX },      /* refs from far behind */
		{ countries + 8, UINT32_MAX },      /* very many */
		{ countries + 8, 0 },               /* none */
		{ refs, get(&f, 20) },              /* a place behind the last */
		{ refs, UINT32_MAX },               /* far behind it */
		{ text, 0x01010101 },               /* a name of control characters */
		{ text, 0xffffffff },               /* a name that is not UTF-8 */
		{ text, 0 },                        /* an empty name */
		{ f.n - 4, 0x41414141 },            /* the end is not marked */
		{ 20, get(&f, 20) + 1 },            /* counts that do not fill the file */
		{ 24, UINT32_MAX },                 /* or overflow */
		{ 36, 0 },                          /* no text */
		{ 12, 0 },                          /* another size */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		uint32_t before = get(&f, v[i].at);
		struct err e = { 0 };

		put(&f, v[i].at, v[i].value);
		seal(&f);
		assert_null(gazetteer_read(f.bytes, f.n, &e));
		assert_non_null(strstr(e.msg, "damaged"));
		put(&f, v[i].at, before);
	}
	seal(&f);
	gazetteer_unref(gazetteer_read(f.bytes, f.n, NULL));
	free(f.bytes);
}

static void
write_file(const char *path, const void *bytes, size_t n)
{
	FILE *out = fopen(path, "wb");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
}

static void
files_are_opened_anew_when_they_are_replaced(void **state)
{
	char dir[] = "/tmp/test_gazetteer.XXXXXX", path[64], other[64];
	struct file f = read_shipped();
	struct gazetteer *g;
	struct place p;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a", dir);
	snprintf(other, sizeof(other), "%s/b", dir);
	assert_null(gazetteer_open(path, &e));
	assert_non_null(strstr(e.msg, "gazetteer file \"/tmp/"));
	assert_non_null(strstr(e.msg, "No such file"));
	assert_null(gazetteer_open(dir, &e));
	assert_non_null(strstr(e.msg, "not a regular file"));
	write_file(path, "", 0);
	assert_null(gazetteer_open(path, &e));
	assert_non_null(strstr(e.msg, "not a gazetteer"));
	assert_true(gazetteer_changed(NULL, path));
	assert_false(gazetteer_changed(NULL, NULL));

	write_file(path, f.bytes, f.n);
	g = gazetteer_open(path, &e);
	assert_non_null(g);
	assert_false(gazetteer_changed(g, path));
	assert_true(gazetteer_changed(g, other));
	assert_true(gazetteer_changed(g, NULL));
	write_file(other, f.bytes, f.n);
	assert_int_equal(rename(other, path), 0);
	assert_true(gazetteer_changed(g, path));
	/* cut or overwritten in place, what is open is as it was */
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(gazetteer_find(g, "paris", &p, 1), 1);
	assert_string_equal(p.name, "Paris");
	assert_null(gazetteer_open(path, &e));
	assert_non_null(strstr(e.msg, "cut off or damaged"));
	assert_int_equal(unlink(path), 0);
	assert_false(gazetteer_changed(g, path));
	gazetteer_unref(g);
	assert_int_equal(rmdir(dir), 0);
	free(f.bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cities_are_found_by_names_that_people_use),
		cmocka_unit_test(a_name_may_mean_several_places_and_the_largest_comes_first),
		cmocka_unit_test(states_are_known_where_headers_name_them),
		cmocka_unit_test(every_state_with_a_name_has_places),
		cmocka_unit_test(every_place_is_found_by_its_own_name),
		cmocka_unit_test(every_name_is_folded_and_in_order),
		cmocka_unit_test(places_of_a_country_come_largest_first),
		cmocka_unit_test(lookups_allocate_nothing),
		cmocka_unit_test(without_a_gazetteer_there_are_no_places),
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(a_damaged_byte_is_noticed),
		cmocka_unit_test(rows_that_lead_astray_are_refused),
		cmocka_unit_test(files_are_opened_anew_when_they_are_replaced),
	};

	return cmocka_run_group_tests_name("gazetteer", tests, open_world, close_world);
}
