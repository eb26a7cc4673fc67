/* SPDX-License-Identifier: PostgreSQL
 *
 * A client whose server has been taken away in the middle of a transaction. First byte: whose texts
 * are known; second: how many of the next bytes are what had been said before, as in fuzz_exchange;
 * the rest is what the client says now. What it is answered is whole messages, never more of
 * ReadyForQuery than it asked for, and does not depend on how its bytes are cut; what is kept of
 * them is bounded.
 */
#include "config.h"

#include "protocol/aborted.h"

#include <string.h>

#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
	struct buf out, owed;
	size_t taken;
	bool over, terminated;
};

/* Every text, or none, or of names with an even length. */
static bool
text_of(void *arg, struct slice name, struct slice *sql)
{
	const uint8_t *known = arg;

	if (*known % 3 == 0 || (*known % 3 == 1 && name.n % 2 == 1))
		return false;
	*sql = name.n == 0 ? SLICE_LITERAL("ROLLBACK") : name;
	return true;
}

static void
play(struct exchange *f, struct slice in)
{
	exchange_init(f, REPLICATION_NONE);
	while (in.n > 0) {
		bool server;
		struct slice chunk = fuzz_chunk(&in, &server);

		if (server)
			(void)exchange_server(f, chunk.p, chunk.n, NULL);
		else
			(void)exchange_client(f, chunk.p, chunk.n);
	}
}

static void
run(struct outcome *o, const struct exchange *f, uint8_t known, struct slice in, size_t step)
{
	struct aborted a = { .text_of = text_of, .arg = &known };

	*o = (struct outcome){ 0 };
	o->over = aborted_begin(&a, f, &o->out);
	while (!o->over && !a.terminated && o->taken < in.n) {
		size_t n = in.n - o->taken < step ? in.n - o->taken : step, used = SIZE_MAX;
		struct buf out = { .cap = ABORTED_SAY_MAX + 1024 };

		o->over = aborted_client(&a, in.p + o->taken, n, &used, &out);
		FUZZ_ASSERT(!out.failed && used <= n);
		FUZZ_ASSERT(o->over || a.terminated || used == n || out.n >= ABORTED_SAY_MAX);
		FUZZ_ASSERT(used > 0 || o->over || a.terminated);
		buf_slice(&o->out, buf_view(&out));
		buf_fini(&out);
		FUZZ_ASSERT(a.in.n <= ABORTED_LOOK_MAX && !a.in.failed);
		FUZZ_ASSERT(a.owed.n <= ABORTED_OWED_MAX && !a.owed.failed);
		o->taken += used;
	}
	o->terminated = a.terminated;
	buf_slice(&o->owed, buf_view(&a.owed));
	aborted_fini(&a);
}

static void
outcome_fini(struct outcome *o)
{
	buf_fini(&o->out);
	buf_fini(&o->owed);
}

static bool
same(const struct buf *a, const struct buf *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

/* How many messages of these types; the bytes are nothing but messages. */
static size_t
count(struct slice in, const char *types)
{
	struct message_report report;
	struct frame f;
	size_t n = 0;

	while (in.n > 0) {
		FUZZ_ASSERT(frame_cut(in, BUF_CAP_DEFAULT, &f) == PARSE_DONE);
		FUZZ_ASSERT(f.type != MSG_ERROR ||
			    message_parse_report(f.body, &report) == PARSE_DONE);
		n += f.type != '\0' && strchr(types, f.type) != NULL;
		in = slice_skip(in, f.total);
	}
	return n;
}

/* What the client has asked for: by the lengths of its messages alone. */
static size_t
count_rounds(const struct exchange *f, struct slice in)
{
	struct buf said = { 0 };
	size_t n = 0;

	buf_put(&said, f->client.head, f->client.have);
	buf_slice(&said, slice_skip(in, f->client.left));
	in = buf_view(&said);
	while (in.n >= FRAME_HEAD_BYTES && get_u32(in.p + 1) >= 4) {
		n += strchr("QFS", in.p[0]) != NULL;
		in = slice_skip(in, (size_t)get_u32(in.p + 1) + 1);
	}
	buf_fini(&said);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 2, 3, 7 };
	struct slice in = slice_of((const char *)data, size), before;
	struct outcome whole, cut;
	struct exchange f;

	if (size < 2)
		return 0;
	in = slice_skip(in, 2);
	before = slice_of(in.p, in.n < data[1] ? in.n : data[1]);
	in = slice_skip(in, before.n);
	play(&f, before);
	if (f.client.bad || f.server.bad)
		return 0; /* such a session has ended */
	run(&whole, &f, data[0], in, in.n > 0 ? in.n : 1);
	FUZZ_ASSERT(count(buf_view(&whole.out), "Z") <=
		    f.pending + count_rounds(&f, slice_of(in.p, whole.taken)));
	(void)count(buf_view(&whole.owed), "");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		run(&cut, &f, data[0], in, steps[i]);
		FUZZ_ASSERT(cut.over == whole.over && cut.terminated == whole.terminated);
		FUZZ_ASSERT(cut.terminated || cut.taken == whole.taken);
		FUZZ_ASSERT(same(&cut.out, &whole.out) && same(&cut.owed, &whole.owed));
		outcome_fini(&cut);
	}
	outcome_fini(&whole);
	return 0;
}
