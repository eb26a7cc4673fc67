/* SPDX-License-Identifier: PostgreSQL
 *
 * What a server says: any bytes. The reports among them are the same however they are cut; what is
 * known of them afterwards can be told to a client, and asked of another server, in ASCII.
 */
#include "config.h"

#include "proxy/sqlstate/reports.h"

#include <string.h>

#include "protocol/exchange.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/sqlstate/vars.h"
#include "tests/fuzz/fuzz.h"

struct heard {
	struct vars *reported;
	struct buf bodies;
	size_t n;
};

static void
on_report(void *arg, struct slice body)
{
	struct heard *h = arg;

	h->n++;
	buf_u32(&h->bodies, (uint32_t)body.n);
	buf_slice(&h->bodies, body);
	vars_report(&h->reported, body);
}

/* As the relay does it. False: it would have closed the session. */
static bool
feed(struct heard *h, struct vars_table *t, struct slice in, size_t step)
{
	struct buf part = { 0 };
	struct exchange f;
	bool good = true;

	exchange_init(&f, REPLICATION_NONE);
	*h = (struct heard){ .reported = vars_empty(t) };
	for (; in.n > 0 && good; in = slice_skip(in, step)) {
		size_t n = in.n < step ? in.n : step;
		struct framer before = exchange_server_framer(&f);
		char *exact = malloc(n);
		unsigned events;

		FUZZ_ASSERT(exact != NULL);
		memcpy(exact, in.p, n);
		events = exchange_server(&f, exact, n, NULL);
		good = !(events & EXCHANGE_BAD);
		if (good && ((events & EXCHANGE_PARAMETER) || part.n > 0))
			reports_read(&part, before, slice_of(exact, n), on_report, h);
		free(exact);
	}
	buf_fini(&part);
	return good;
}

static void
heard_fini(struct heard *h)
{
	vars_unref(h->reported);
	buf_fini(&h->bodies);
}

/* Told to one who was told nothing, it leaves him with the same. */
static void
check_told(struct vars_table *t, struct vars *reported)
{
	struct vars *told = vars_empty(t), *none = vars_empty(t);
	struct buf b = { 0 };
	struct slice rest;
	struct frame f;

	vars_put_reports(&b, told, reported);
	for (rest = buf_view(&b); rest.n > 0; rest = slice_skip(rest, f.total)) {
		FUZZ_ASSERT(frame_cut(rest, BUF_CAP_DEFAULT, &f) == PARSE_DONE);
		FUZZ_ASSERT(f.type == MSG_PARAMETER_STATUS);
		vars_report(&told, f.body);
	}
	FUZZ_ASSERT(told == reported);
	buf_clear(&b);
	vars_put_change(&b, none, reported, VARS_ERROR);
	for (size_t i = 0; i < b.n; i++)
		FUZZ_ASSERT(b.p[i] != '\0' && (b.p[i] & 0x80) == 0);
	buf_fini(&b);
	vars_unref(told);
	vars_unref(none);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 2, 3, 7, 64 };
	struct slice in = slice_of((const char *)data, size);
	struct vars_table *t = vars_table_new();
	struct heard whole, cut;

	if (size > 0 && feed(&whole, t, in, in.n)) {
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			FUZZ_ASSERT(feed(&cut, t, in, steps[i]) && cut.n == whole.n);
			FUZZ_ASSERT(cut.reported == whole.reported &&
				    cut.bodies.n == whole.bodies.n);
			FUZZ_ASSERT(cut.bodies.n == 0 ||
				    memcmp(cut.bodies.p, whole.bodies.p, cut.bodies.n) == 0);
			heard_fini(&cut);
		}
		check_told(t, whole.reported);
	}
	if (size > 0)
		heard_fini(&whole);
	vars_table_free(t);
	return 0;
}
