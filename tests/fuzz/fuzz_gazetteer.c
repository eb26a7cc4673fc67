/* SPDX-License-Identifier: PostgreSQL
 *
 * The bytes of a gazetteer file. As they are; and once more with the magic, the version, the size
 * and the checksum put right, so that the look at each row has to hold. What is accepted answers
 * every lookup within bounds: names in order, each of them found, places that are on this earth.
 */
#include "config.h"

#include "routing/gazetteer.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "protocol/crc32c.h"
#include "routing/places.h"
#include "tests/fuzz/fuzz.h"

static void
check_place(const struct place *p)
{
	size_t n = strlen(p->name);

	FUZZ_ASSERT(p->id != 0 && n > 0 && n < PLACE_NAME_MAX);
	FUZZ_ASSERT(utf8_valid(slice_of(p->name, n)));
	FUZZ_ASSERT(fabs(p->lat) <= 90 && fabs(p->lon) <= 180);
	FUZZ_ASSERT(strlen(p->country) == 2 && strlen(p->state) <= 4);
}

static void
look_up_everything(const struct gazetteer *g)
{
	struct place v[8];
	const char *name, *before = "";
	size_t i;

	for (i = 0; gazetteer_place(g, i, &v[0]); i++) {
		struct place p;

		check_place(&v[0]);
		if (gazetteer_in_country(g, v[0].country, i, &p))
			check_place(&p);
	}
	FUZZ_ASSERT(i == gazetteer_size(g).places);
	for (i = 0; (name = gazetteer_name(g, i)) != NULL; i++) {
		size_t n = gazetteer_find(g, name, v, 8);

		FUZZ_ASSERT(strcmp(before, name) < 0);
		FUZZ_ASSERT(n > 0 && gazetteer_knows(g, name));
		for (size_t k = 0; k < n; k++) {
			check_place(&v[k]);
			FUZZ_ASSERT(k == 0 || v[k - 1].population >= v[k].population);
		}
		before = name;
	}
	FUZZ_ASSERT(i == gazetteer_size(g).names);
	FUZZ_ASSERT(!gazetteer_knows(g, "no such place, nor any like it"));
}

static void
try_bytes(const uint8_t *bytes, size_t size)
{
	struct err e = { 0 };
	struct gazetteer *g = gazetteer_read(bytes, size, &e);

	FUZZ_ASSERT((g == NULL) == (e.msg[0] != '\0'));
	if (g != NULL)
		look_up_everything(g);
	gazetteer_unref(g);
}

static void
put_le32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sealed;

	try_bytes(data, size);
	if (size < 40)
		return 0;
	sealed = malloc(size);
	FUZZ_ASSERT(sealed != NULL);
	memcpy(sealed, data, size);
	memcpy(sealed, "MERIDGAZ", 8);
	put_le32(sealed + 8, 1);
	put_le32(sealed + 12, (uint32_t)size);
	put_le32(sealed + 16, crc32c(0, sealed + 20, size - 20));
	try_bytes(sealed, size);
	free(sealed);
	return 0;
}
