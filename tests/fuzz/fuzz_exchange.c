/* SPDX-License-Identifier: PostgreSQL
 *
 * A conversation: chunks of one control byte (top bit: from the server; the rest: length) and that
 * many bytes. The state at its end does not depend on how the chunks are cut, nor do the events,
 * and the queue's bookkeeping stays consistent. In the listed form nothing is lost of what the
 * client is to read, and the answers that are made up in a server's place answer all there is.
 */
#include "config.h"

#include "protocol/exchange_int.h"

#include <string.h>

#include "base/slice.h"
#include "protocol/exchange_list.h"
#include "tests/fuzz/fuzz.h"

/* Feed `in` in pieces of `step` bytes (0: in one). */
static unsigned
feed(struct exchange *f, bool server, struct slice in, size_t step, struct exchange_tally *sum)
{
	unsigned events = 0;

	while (in.n > 0) {
		size_t n = step == 0 || step > in.n ? in.n : step;
		struct exchange_tally tally = { 0 };

		events |=
		    server ? exchange_server(f, in.p, n, &tally) : exchange_client(f, in.p, n);
		FUZZ_ASSERT(tally.transactions <= n && tally.errors <= n);
		sum->transactions += tally.transactions;
		sum->errors += tally.errors;
		in = slice_skip(in, n);
	}
	return events;
}

static unsigned
run(struct exchange *f, struct slice in, size_t step, struct exchange_tally *sum)
{
	unsigned events = 0;

	*sum = (struct exchange_tally){ 0 };
	exchange_init(f, REPLICATION_NONE);
	while (in.n > 0) {
		bool server;
		struct slice chunk = fuzz_chunk(&in, &server);

		events |= feed(f, server, chunk, step, sum);
	}
	return events;
}

static void
check_queue(const struct exchange *f)
{
	unsigned units = 0;

	FUZZ_ASSERT(f->queued <= ROUNDS_MAX);
	for (unsigned i = 0; i < f->queued; i++) {
		FUZZ_ASSERT(round_at(f, i) <= ROUND_SYNC_IN_DOUBT);
		units += !round_is_copy_end(round_at(f, i));
	}
	FUZZ_ASSERT(f->queued == ROUNDS_MAX || f->queue >> (ROUND_BITS * f->queued) == 0);
	FUZZ_ASSERT(f->beyond ? units <= f->pending : units == f->pending);
	FUZZ_ASSERT(f->tx == 'I' || f->tx == 'T' || f->tx == 'E');
}

/* ---- listed ---- */

static void
feed_listed(struct exchange *x, bool server, struct slice in, size_t step)
{
	char bytes[128];

	while (in.n > 0) {
		size_t n = step > in.n ? in.n : step, left = n;

		memcpy(bytes, in.p, n);
		if (server)
			(void)exchange_filter(x, bytes, &left, NULL);
		else
			(void)exchange_client(x, bytes, n);
		FUZZ_ASSERT(left == n);
		in = slice_skip(in, n);
	}
}

/* Listed from the at-th chunk on. */
static void
run_listed(struct exchange *x, struct slice in, size_t step, unsigned at)
{
	exchange_init(x, REPLICATION_NONE);
	for (unsigned i = 0; in.n > 0; i++) {
		bool server;
		struct slice chunk = fuzz_chunk(&in, &server);

		if (i == at) {
			exchange_list(x, NULL, NULL);
			exchange_keep_listed(x, true);
		}
		feed_listed(x, server, chunk, step);
	}
}

static void
check_list(const struct exchange *x)
{
	uint32_t ends = 0;

	for (size_t i = 0; i < exchange_listed(x); i++) {
		const struct exchange_request *r = exchange_request_at(x, i);

		FUZZ_ASSERT(strchr("PBDECSQFHc?*", r->type) != NULL);
		ends += r->type == 'S' || r->type == 'Q' || r->type == 'F';
	}
	FUZZ_ASSERT(ends <= exchange_pending(x));
	FUZZ_ASSERT(!exchange_is_all_listed(x) || ends == exchange_pending(x));
	FUZZ_ASSERT(!exchange_safe_point(x) || exchange_listed(x) == 0);
}

static void
check_same(const struct exchange *a, const struct exchange *b)
{
	FUZZ_ASSERT(exchange_pending(a) == exchange_pending(b) && a->tx == b->tx);
	FUZZ_ASSERT(a->client.bad == b->client.bad && a->server.bad == b->server.bad);
	FUZZ_ASSERT(exchange_activity(a) == exchange_activity(b));
	FUZZ_ASSERT(exchange_safe_point(a) == exchange_safe_point(b));
	FUZZ_ASSERT(exchange_listed(a) == exchange_listed(b));
	for (size_t i = 0; i < exchange_listed(a); i++)
		FUZZ_ASSERT(memcmp(exchange_request_at(a, i), exchange_request_at(b, i),
				   sizeof(struct exchange_request)) == 0);
}

static void
check_commit(struct exchange *x)
{
	struct buf out = { 0 };

	/* between two messages of the server's, as the caller has made sure */
	x->server = (struct exchange_side){ 0 };
	if (exchange_put_commit(x, &out)) {
		size_t n = out.n;

		FUZZ_ASSERT(out.n > 0 && !out.failed);
		(void)exchange_filter(x, out.p, &n, NULL);
		FUZZ_ASSERT(exchange_pending(x) == 0 && exchange_listed(x) == 0);
	} else {
		FUZZ_ASSERT(out.n == 0);
	}
	buf_fini(&out);
}

static void
check_listed(struct slice in, unsigned at)
{
	static const size_t steps[] = { 1, 3, 7 };
	struct exchange whole, cut;

	run_listed(&whole, in, 128, at);
	check_list(&whole);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		run_listed(&cut, in, steps[i], at);
		check_same(&whole, &cut);
		exchange_fini(&cut);
	}
	check_commit(&whole);
	exchange_fini(&whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 2, 3, 7 };
	struct slice in = slice_of((const char *)data, size);
	struct exchange_tally sum, sum_cut;
	struct exchange whole, cut;
	unsigned events = run(&whole, in, 0, &sum);

	check_listed(in, 0);
	check_listed(in, size > 0 ? data[size - 1] % 8 : 0);
	check_queue(&whole);
	FUZZ_ASSERT(!exchange_safe_point(&whole) || exchange_is_idle(&whole));
	FUZZ_ASSERT(exchange_activity_name(exchange_activity(&whole)) != NULL);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		FUZZ_ASSERT(run(&cut, in, steps[i], &sum_cut) == events);
		FUZZ_ASSERT(sum_cut.transactions == sum.transactions);
		FUZZ_ASSERT(sum_cut.errors == sum.errors);
		FUZZ_ASSERT(memcmp(&cut, &whole, sizeof(cut)) == 0);
	}
	return 0;
}
