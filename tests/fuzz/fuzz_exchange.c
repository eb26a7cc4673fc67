/* SPDX-License-Identifier: PostgreSQL
 *
 * A conversation: chunks of one control byte (top bit: from the server; the rest: length) and that
 * many bytes. The state at its end does not depend on how the chunks are cut, nor do the events,
 * and the queue's bookkeeping stays consistent.
 */
#include "config.h"

#include "protocol/exchange_int.h"

#include <string.h>

#include "base/slice.h"
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 2, 3, 7 };
	struct slice in = slice_of((const char *)data, size);
	struct exchange_tally sum, sum_cut;
	struct exchange whole, cut;
	unsigned events = run(&whole, in, 0, &sum);

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
