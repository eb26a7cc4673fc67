/* SPDX-License-Identifier: PostgreSQL
 *
 * Answers of Patroni's REST API, and addresses of it. An answer is refused with a reason and leaves
 * nothing, or all that it tells is bounded; an address is written as it is read again.
 */
#include "config.h"

#include <string.h>

#include "routing/patroni.h"
#include "tests/fuzz/fuzz.h"

static void
check_api(struct slice in)
{
	char api[PATRONI_API_MAX], again[PATRONI_API_MAX];

	if (!patroni_api(in, api, sizeof(api)))
		return;
	FUZZ_ASSERT(patroni_api(slice_str(api), again, sizeof(again)));
	FUZZ_ASSERT(strcmp(api, again) == 0 && strpbrk(api, " @?#\r\n") == NULL);
}

static void
check_told(const struct sightings *seen, const struct strlist *said)
{
	FUZZ_ASSERT(seen->n <= SIGHTINGS_MAX && said->n <= seen->n);
	for (size_t i = 0; i < seen->n; i++) {
		FUZZ_ASSERT(seen->v[i].name[0] != '\0' && seen->v[i].host[0] != '/');
		FUZZ_ASSERT(seen->v[i].state[0] != '\0');
	}
	for (size_t i = 0; i < said->n; i++)
		check_api(slice_str(said->v[i]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct sightings seen;
	struct strlist said;
	struct err e = { 0 };

	check_api(in);
	if (patroni_read(in, &seen, &said, &e) != 0) {
		FUZZ_ASSERT(seen.n == 0 && said.n == 0);
		FUZZ_ASSERT(e.msg[0] != '\0' && e.sqlstate[0] != '\0');
		return 0;
	}
	check_told(&seen, &said);
	sightings_fini(&seen);
	strlist_fini(&said);
	return 0;
}
