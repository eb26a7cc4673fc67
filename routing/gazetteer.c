/* SPDX-License-Identifier: PostgreSQL
 *
 * The file (written by routing/mkplaces.pl; all numbers are little-endian):
 *
 *   header     "MERIDGAZ", u32 version = 1, u32 size of the file, u32 CRC32C of what follows, u32
 *              numbers of places P, names N, refs R, countries C, u32 bytes of text T
 *   places     P × { u32 id, i32 lat × 10⁴, i32 lon × 10⁴, u32 population, u32 name in text,
 *              char country[2], char state[4], 2 bytes zero }, largest population first
 *   names      (N + 1) × { u32 folded name in text, u32 first ref }, by name; each goes up to the
 *              first ref of the next, and the last one is there for that only
 *   countries  C × { char code[2], 2 bytes zero, u32 first ref, u32 how many }, by code
 *   refs       R × u32 index of a place; those of one name or country ascend: largest first
 *   text       T bytes, strings that end with a zero byte
 */
#include "config.h"

#include "routing/gazetteer.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/filecopy.h"
#include "base/mem.h"
#include "base/snapshot.h"
#include "base/utf8.h"
#include "protocol/crc32c.h"
#include "routing/places.h"

#define MAGIC        "MERIDGAZ"
#define FORMAT_NOW   1
#define SUM_AT       16 /* the checksum; it covers what follows it */
#define SUMMED_AT    20
#define HEAD_SIZE    40
#define PLACE_SIZE   28
#define NAME_SIZE    8
#define COUNTRY_SIZE 12
#define REF_SIZE     4
#define FILE_MAX     (64U << 20)
#define DEGREE       10000

struct gazetteer {
	struct refcount refs;
	char *path; /* NULL: bytes of the caller's */
	struct filecopy_id id;
	const uint8_t *bytes;
	size_t size;
	/* from the header, checked */
	uint32_t nplaces, nnames, nrefs, ncountries, ntext;
	const uint8_t *places, *names, *countries, *refs_at;
	const char *text;
};

/* ---- what stands where ---- */

static uint32_t
u32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static const uint8_t *
place_at(const struct gazetteer *g, size_t i)
{
	return g->places + i * PLACE_SIZE;
}

static const uint8_t *
name_at(const struct gazetteer *g, size_t i)
{
	return g->names + i * NAME_SIZE;
}

static const uint8_t *
country_at(const struct gazetteer *g, size_t i)
{
	return g->countries + i * COUNTRY_SIZE;
}

static uint32_t
ref_at(const struct gazetteer *g, size_t i)
{
	return u32(g->refs_at + i * REF_SIZE);
}

static const char *
text_at(const struct gazetteer *g, const uint8_t *offset)
{
	return g->text + u32(offset);
}

static void
read_place(const struct gazetteer *g, size_t i, struct place *out)
{
	const uint8_t *p = place_at(g, i);

	out->id = u32(p);
	out->lat = (double)(int32_t)u32(p + 4) / DEGREE;
	out->lon = (double)(int32_t)u32(p + 8) / DEGREE;
	out->population = u32(p + 12);
	out->name = text_at(g, p + 16);
	memcpy(out->country, p + 20, 2);
	out->country[2] = '\0';
	memcpy(out->state, p + 22, 4);
	out->state[4] = '\0';
}

/* ---- checking ---- */

static bool
is_capital(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_code(const uint8_t *p)
{
	return is_capital(p[0]) && is_capital(p[1]);
}

/* Letters or digits, then zero bytes. */
static bool
is_state(const uint8_t *p)
{
	size_t n = 0;

	while (n < 4 && (is_capital(p[n]) || (p[n] >= '0' && p[n] <= '9')))
		n++;
	for (; n < 4; n++) {
		if (p[n] != 0)
			return false;
	}
	return true;
}

static bool
is_within(uint32_t coordinate, int32_t limit)
{
	int32_t v = (int32_t)coordinate;

	return v >= -limit && v <= limit;
}

/* Whether it is shown as it stands. */
static bool
is_text(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	}
	return n > 0 && n < PLACE_NAME_MAX && utf8_valid(slice_of(s, n));
}

static bool
check_places(const struct gazetteer *g)
{
	for (size_t i = 0; i < g->nplaces; i++) {
		const uint8_t *p = place_at(g, i);

		if (u32(p) == 0 || !is_within(u32(p + 4), 90 * DEGREE) ||
		    !is_within(u32(p + 8), 180 * DEGREE) || u32(p + 16) >= g->ntext ||
		    !is_code(p + 20) || !is_state(p + 22) || !is_text(text_at(g, p + 16)))
			return false;
		if (i > 0 && u32(p + 12) > u32(p + 12 - PLACE_SIZE))
			return false;
	}
	return true;
}

/* Whether refs first … end - 1 are there, and name places in ascending order. */
static bool
check_refs(const struct gazetteer *g, uint32_t first, uint32_t end)
{
	if (first >= end || end > g->nrefs)
		return false;
	for (uint32_t i = first; i < end; i++) {
		if (ref_at(g, i) >= g->nplaces || (i > first && ref_at(g, i) <= ref_at(g, i - 1)))
			return false;
	}
	return true;
}

static bool
check_names(const struct gazetteer *g)
{
	const char *before = "";

	for (size_t i = 0; i < g->nnames; i++) {
		const uint8_t *p = name_at(g, i);
		const char *name;

		if (u32(p) >= g->ntext || !check_refs(g, u32(p + 4), u32(p + NAME_SIZE + 4)))
			return false;
		name = text_at(g, p);
		if (strcmp(before, name) >= 0 || strlen(name) >= PLACE_NAME_MAX)
			return false;
		before = name;
	}
	return true;
}

static bool
check_countries(const struct gazetteer *g)
{
	for (size_t i = 0; i < g->ncountries; i++) {
		const uint8_t *p = country_at(g, i);
		uint32_t first = u32(p + 4), n = u32(p + 8);

		if (!is_code(p) || n > g->nrefs || first > g->nrefs ||
		    !check_refs(g, first, first + n) ||
		    (i > 0 && memcmp(p - COUNTRY_SIZE, p, 2) >= 0))
			return false;
	}
	return true;
}

/* Take the header; false where the sections that it announces do not fill the file exactly. */
static bool
lay_out(struct gazetteer *g)
{
	const uint8_t *h = g->bytes;
	uint64_t size;

	g->nplaces = u32(h + 20);
	g->nnames = u32(h + 24);
	g->nrefs = u32(h + 28);
	g->ncountries = u32(h + 32);
	g->ntext = u32(h + 36);
	size = HEAD_SIZE + (uint64_t)g->nplaces * PLACE_SIZE +
	       ((uint64_t)g->nnames + 1) * NAME_SIZE + (uint64_t)g->ncountries * COUNTRY_SIZE +
	       (uint64_t)g->nrefs * REF_SIZE + g->ntext;
	if (size != g->size || u32(h + 12) != g->size || g->ntext == 0)
		return false;
	g->places = h + HEAD_SIZE;
	g->names = place_at(g, g->nplaces);
	g->countries = name_at(g, (size_t)g->nnames + 1);
	g->refs_at = country_at(g, g->ncountries);
	g->text = (const char *)g->refs_at + (size_t)g->nrefs * REF_SIZE;
	return g->text[g->ntext - 1] == '\0';
}

/* NULL, or what is wrong with the bytes. */
static const char *
check(struct gazetteer *g)
{
	if (g->size < HEAD_SIZE || g->size > FILE_MAX ||
	    memcmp(g->bytes, MAGIC, sizeof(MAGIC) - 1) != 0)
		return "not a gazetteer";
	if (u32(g->bytes + 8) != FORMAT_NOW)
		return "of another version of Meridian";
	if (!lay_out(g))
		return "cut off or damaged";
	if (u32(g->bytes + SUM_AT) != crc32c(0, g->bytes + SUMMED_AT, g->size - SUMMED_AT) ||
	    !check_places(g) || !check_names(g) || !check_countries(g))
		return "damaged";
	return NULL;
}

/* ---- life ---- */

static struct gazetteer *
new_gazetteer(const void *bytes, size_t n)
{
	struct gazetteer *g = xcalloc(1, sizeof(*g));

	refcount_init(&g->refs);
	g->bytes = bytes;
	g->size = n;
	return g;
}

struct gazetteer *
gazetteer_read(const void *bytes, size_t n, struct err *e)
{
	struct gazetteer *g = new_gazetteer(bytes, n);
	const char *wrong = check(g);

	if (wrong == NULL)
		return g;
	err_set(e, "", "gazetteer: %s", wrong);
	gazetteer_unref(g);
	return NULL;
}

struct gazetteer *
gazetteer_open(const char *path, struct err *e)
{
	struct filecopy_id id;
	struct gazetteer *g;
	const char *wrong = "not a gazetteer";
	void *bytes = MAP_FAILED;
	int fd = filecopy_open("gazetteer", path, &id, e);

	if (fd < 0)
		return NULL;
	if (id.size > 0 && id.size <= FILE_MAX)
		bytes = mmap(NULL, (size_t)id.size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (bytes != MAP_FAILED) {
		g = new_gazetteer(bytes, (size_t)id.size);
		g->path = xstrdup(path);
		g->id = id;
		wrong = check(g);
		if (wrong == NULL)
			return g;
		gazetteer_unref(g);
	}
	err_set(e, "", "gazetteer file \"%s\": %s", path, wrong);
	return NULL;
}

struct gazetteer *
gazetteer_ref(struct gazetteer *g)
{
	if (g != NULL)
		refcount_get(&g->refs);
	return g;
}

void
gazetteer_unref(struct gazetteer *g)
{
	if (g == NULL || !refcount_put(&g->refs))
		return;
	if (g->path != NULL) /* the mapping is ours */
		munmap((void *)(uintptr_t)g->bytes, g->size);
	free(g->path);
	free(g);
}

bool
gazetteer_changed(const struct gazetteer *g, const char *path)
{
	if (g == NULL || path == NULL)
		return (g == NULL) != (path == NULL);
	return g->path == NULL || strcmp(g->path, path) != 0 || filecopy_is_replaced(path, &g->id);
}

/* ---- lookups ---- */

/* The refs of a folded name, first … end - 1; false where there is none. */
static bool
find_name(const struct gazetteer *g, const char *folded, uint32_t *first, uint32_t *end)
{
	size_t low = 0, high = g != NULL ? g->nnames : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const uint8_t *p = name_at(g, middle);
		int c = strcmp(folded, text_at(g, p));

		if (c == 0) {
			*first = u32(p + 4);
			*end = u32(p + NAME_SIZE + 4);
			return true;
		}
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

size_t
gazetteer_find(const struct gazetteer *g, const char *folded, struct place *out, size_t max)
{
	uint32_t first, end;
	size_t n = 0;

	if (!find_name(g, folded, &first, &end))
		return 0;
	for (; first < end && n < max; first++)
		read_place(g, ref_at(g, first), &out[n++]);
	return n;
}

bool
gazetteer_knows(const struct gazetteer *g, const char *folded)
{
	uint32_t first, end;

	return find_name(g, folded, &first, &end);
}

bool
gazetteer_place(const struct gazetteer *g, size_t i, struct place *out)
{
	if (g == NULL || i >= g->nplaces)
		return false;
	read_place(g, i, out);
	return true;
}

static int
compare_codes(const void *code, const void *country)
{
	return memcmp(code, country, 2);
}

bool
gazetteer_in_country(const struct gazetteer *g, const char *country, size_t i, struct place *out)
{
	const uint8_t *p = NULL;

	if (g != NULL && strlen(country) == 2)
		p = bsearch(country, g->countries, g->ncountries, COUNTRY_SIZE, compare_codes);
	if (p == NULL || i >= u32(p + 8))
		return false;
	read_place(g, ref_at(g, u32(p + 4) + i), out);
	return true;
}

const char *
gazetteer_name(const struct gazetteer *g, size_t i)
{
	return g != NULL && i < g->nnames ? text_at(g, name_at(g, i)) : NULL;
}

struct gazetteer_size
gazetteer_size(const struct gazetteer *g)
{
	return (struct gazetteer_size){ .places = g != NULL ? g->nplaces : 0,
					.names = g != NULL ? g->nnames : 0 };
}
