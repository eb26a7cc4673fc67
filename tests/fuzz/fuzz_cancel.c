/* SPDX-License-Identifier: PostgreSQL
 *
 * Who may cancel what. Five bytes each: what is done, with which secret; the index finds exactly
 * the sessions that a list finds, each once, whatever came and went before. And the secret as the
 * packet of a cancel request is read as it was written.
 */
#include "config.h"

#include "proxy/cancel/cancelkeys.h"

#include <string.h>

#include "base/buf.h"
#include "protocol/startup.h"
#include "tests/fuzz/fuzz.h"

#define SLOTS    64 /* the index grows twice on the way there */
#define ACTS_MAX 256

/* The model: the secret of each slot, where it has one. */
struct model {
	bool used[SLOTS];
	uint8_t secrets[SLOTS][4];
};

static void
check_found(const struct cancel_keys *k, const struct model *m, const uint8_t *secret)
{
	bool seen[SLOTS] = { false };
	unsigned want = 0, n = 0;
	uint32_t slot;

	for (unsigned i = 0; i < SLOTS; i++)
		want += m->used[i] && memcmp(m->secrets[i], secret, 4) == 0;
	while ((slot = cancelkeys_find(k, secret, n)) != UINT32_MAX) {
		FUZZ_ASSERT(slot < SLOTS && m->used[slot] && !seen[slot]);
		FUZZ_ASSERT(memcmp(m->secrets[slot], secret, 4) == 0);
		seen[slot] = true;
		n++;
	}
	FUZZ_ASSERT(n == want);
}

static void
act(struct cancel_keys *k, struct model *m, const uint8_t *what)
{
	uint32_t slot = what[0] % SLOTS;

	if (m->used[slot]) {
		cancelkeys_remove(k, m->secrets[slot], slot);
	} else {
		memcpy(m->secrets[slot], what + 1, 4);
		cancelkeys_add(k, m->secrets[slot], slot);
	}
	m->used[slot] = !m->used[slot];
	check_found(k, m, m->secrets[slot]);
}

/* The bytes as the key of a cancel request. */
static void
check_packet(struct slice secret)
{
	static struct startup s;
	struct buf b = { 0 };
	struct err e = { 0 };
	enum parse p;

	startup_build_cancel(&b, 4711, secret);
	p = startup_parse(buf_view(&b), &s, &e);
	FUZZ_ASSERT(p != PARSE_MORE);
	if (p == PARSE_DONE) {
		FUZZ_ASSERT(s.kind == STARTUP_CANCEL && s.cancel_pid == 4711);
		FUZZ_ASSERT(s.cancel_key.n == secret.n && secret.n > 0);
		FUZZ_ASSERT(memcmp(s.cancel_key.p, secret.p, secret.n) == 0);
	} else {
		FUZZ_ASSERT(strlen(e.sqlstate) == 5);
	}
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cancel_keys *k = cancelkeys_new();
	struct model *m = calloc(1, sizeof(*m));

	FUZZ_ASSERT(m != NULL);
	for (size_t at = 0; at + 5 <= size && at < (size_t)5 * ACTS_MAX; at += 5)
		act(k, m, data + at);
	for (unsigned i = 0; i < SLOTS; i++)
		check_found(k, m, m->secrets[i]);
	if (size < 2000)
		check_packet(slice_of((const char *)data, size));
	cancelkeys_free(k);
	free(m);
	return 0;
}
