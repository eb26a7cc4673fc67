/* SPDX-License-Identifier: PostgreSQL
 *
 * What a client says, any bytes, to those who look into it as it passes: what a session may have
 * left on its server, and which statements run. What they make of it does not depend on how the
 * bytes are cut, and is bounded.
 */
#include "config.h"

#include "proxy/sqlstate/traces.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/exchange.h"
#include "protocol/exchange_list.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/sqlstate/fingerprints.h"
#include "proxy/sqlstate/prepared.h"
#include "proxy/sqlstate/sampler.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	struct traces *traces;
	struct fingerprints *table;
	struct fingerprint_sums sums;
};

/* The server does all that is outstanding, and takes nonsense for an error. */
static void
answer_all(struct exchange *f)
{
	static const char requests[] = "PBCDE?QFS", answers[] = "123nC1ZZZ";

	while (exchange_is_listed(f) && (exchange_pending(f) > 0 || exchange_listed(f) > 0)) {
		bool is_listed = exchange_is_all_listed(f) && exchange_listed(f) > 0;
		char type = is_listed ? exchange_request_at(f, 0)->type : MSG_SYNC;
		const char *at = strchr(requests, type);
		char answer = at != NULL ? answers[at - requests] : MSG_ERROR;
		struct buf b = { 0 };

		if (answer == 'Z')
			message_put_ready(&b, 'I');
		else
			message_put_bare(&b, (enum message_type)answer);
		FUZZ_ASSERT(!(exchange_filter(f, b.p, &b.n, NULL) & EXCHANGE_BAD));
		buf_fini(&b);
	}
}

/* As the relay does it; it closes a session that says what is no message. */
static void
feed(struct seen *s, struct slice in, size_t step)
{
	struct prepared_names *names =
	    prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
	struct sampler *sampler;
	struct exchange f;
	bool good = true;

	exchange_init(&f, REPLICATION_NONE);
	*s = (struct seen){ .traces = traces_new(SLICE_LITERAL("packet")),
			    .table = fingerprints_new(clock_us()) };
	sampler = sampler_new(s->table, names, SLICE_LITERAL("shop"), 1);
	for (; in.n > 0 && good; in = slice_skip(in, step)) {
		size_t n = in.n < step ? in.n : step;
		char *exact = malloc(n);

		FUZZ_ASSERT(exact != NULL);
		memcpy(exact, in.p, n);
		traces_client(s->traces, &f, exact, n);
		sampler_client(sampler, slice_of(exact, n));
		good = !(exchange_client(&f, exact, n) & EXCHANGE_BAD);
		free(exact);
	}
	answer_all(&f);
	exchange_fini(&f);
	sampler_free(sampler);
	prepared_names_fini(names);
	free(names);
	fingerprint_sums_add(&s->sums, s->table, NULL, clock_us());
}

static void
seen_fini(struct seen *s)
{
	traces_free(s->traces);
	fingerprint_sums_fini(&s->sums);
	fingerprints_free(s->table);
}

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void
check_traces(const struct traces *t)
{
	struct slice unnamed, names = traces_names(t);
	struct message_parse m;
	struct frame f;

	FUZZ_ASSERT(names.n == 0 || names.p[names.n - 1] == '\0');
	if (!traces_unnamed(t, &unnamed) || unnamed.n == 0)
		return;
	FUZZ_ASSERT(unnamed.n <= TRACES_PARSE_MAX);
	FUZZ_ASSERT(frame_cut(unnamed, unnamed.n, &f) == PARSE_DONE && f.total == unnamed.n);
	FUZZ_ASSERT(message_parse_parse(f.body, &m) == PARSE_DONE && m.name.n == 0);
}

static uint64_t
calls(const struct fingerprint_sums *sums, const char *text)
{
	for (size_t i = 0; i < sums->n; i++) {
		if (strcmp(sums->v[i].text, text) == 0)
			return sums->v[i].calls;
	}
	return 0;
}

static void
check_same(const struct seen *a, const struct seen *b)
{
	struct slice one, other;

	/* of a long one that is cut behind its head nobody knows whether it has a name */
	if (traces_unnamed(a->traces, &one) && traces_unnamed(b->traces, &other))
		FUZZ_ASSERT(same(one, other));
	FUZZ_ASSERT(same(traces_names(a->traces), traces_names(b->traces)));
	FUZZ_ASSERT(traces_pins(a->traces) == traces_pins(b->traces));
	FUZZ_ASSERT(a->sums.n == b->sums.n && a->sums.n <= FINGERPRINTS_MAX);
	for (size_t i = 0; i < a->sums.n; i++)
		FUZZ_ASSERT(a->sums.v[i].calls == calls(&b->sums, a->sums.v[i].text));
}

/* All that the bytes are is messages: else what stands in front of the bad one in a read counts or
 * not, and the session is over either way. */
static bool
is_good(struct slice in)
{
	while (in.n >= FRAME_HEAD_BYTES) {
		if (get_u32(in.p + 1) < 4 || get_u32(in.p + 1) > INT32_MAX)
			return false;
		in = slice_skip(in, (size_t)get_u32(in.p + 1) + 1);
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 3, 64 };
	struct slice in = slice_of((const char *)data, size);
	struct seen whole, cut;

	if (size == 0 || size > 20000)
		return 0;
	feed(&whole, in, in.n);
	check_traces(whole.traces);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		feed(&cut, in, steps[i]);
		check_traces(cut.traces);
		if (is_good(in))
			check_same(&whole, &cut);
		seen_fini(&cut);
	}
	seen_fini(&whole);
	return 0;
}
