/* SPDX-License-Identifier: PostgreSQL
 *
 * First byte: odd, the rest is the text of one Query; even, it is whatever a client may send. Fed
 * whole and byte by byte: both give the same messages, all of them well formed, every Query ends in
 * ReadyForQuery, and nothing stays behind when the operator hangs up with letters, or a command
 * about migrations, under way.
 */
#include "config.h"

#include "proxy/admin/console.h"

#include <string.h>

#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/console_fake.h"

#define INPUT_MAX 4096 /* an input byte by byte must not take for ever */

/* Until nothing is waited for: commands about migrations say something and end, well or not. */
static void
settle(struct fake *f)
{
	for (fake_settle(f); f->call.wake != NULL; fake_settle(f)) {
		fake_say_notice(f, "said");
		fake_call_ends(f, "XX000", strlen(f->call.asked) % 2 == 0 ? "in vain" : NULL);
	}
}

/* The types of the console's messages, one letter each, in order. */
static void
answer_types(struct slice in, size_t step, struct buf *types)
{
	struct fake *f = fake_new();

	fake_sessions(f, 3);
	fake_open(f, PRIVILEGE_ADMIN);
	for (; in.n > 0 && !f->closed; in = slice_skip(in, step)) {
		console_input(f->console, in.p, step < in.n ? step : in.n);
		settle(f);
	}
	fake_types(f, types);
	fake_free(f);
}

/* As answer_types(), but the operator is gone after some letters. */
static void
hang_up(struct slice in, unsigned letters)
{
	struct fake *f = fake_new();

	fake_sessions(f, 300);
	fake_open(f, PRIVILEGE_ADMIN);
	f->full = letters % 2 == 0;
	console_input(f->console, in.p, in.n);
	while (letters-- > 0 && fake_deliver(f))
		;
	console_free(f->console);
	f->console = NULL;
	fake_settle(f);
	FUZZ_ASSERT(atomic_load(&f->world.refs.n) == 1);
	fake_free(f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf message = { 0 }, whole = { 0 }, pieces = { 0 };
	struct slice in;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	in = slice_of((const char *)data + 1, size - 1);
	if (data[0] % 2 == 1) {
		if (memchr(in.p, '\0', in.n) != NULL)
			return 0;
		message_put_query(&message, in);
		in = buf_view(&message);
	}
	answer_types(in, in.n, &whole);
	answer_types(in, 1, &pieces);
	FUZZ_ASSERT(whole.n == pieces.n &&
		    (whole.n == 0 || memcmp(whole.p, pieces.p, whole.n) == 0));
	if (data[0] % 2 == 1)
		FUZZ_ASSERT(whole.n > 0 && whole.p[whole.n - 1] == MSG_READY);
	hang_up(in, data[0] / 2);
	buf_fini(&message);
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
