/* SPDX-License-Identifier: PostgreSQL
 *
 * A startup packet behind its length word (which the target supplies). What is accepted keeps its
 * meaning when it is built again; no setting of ours and nothing reserved survives that, however it
 * was spelled.
 */
#include "config.h"

#include "protocol/startup.h"

#include "protocol/frame.h"
#include "tests/fuzz/fuzz.h"

#define SETTINGS_MAX 512

static bool
same(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static bool
inside(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void
check_slices(const struct startup *s, struct slice packet)
{
	FUZZ_ASSERT(inside(s->user, packet) && inside(s->database, packet));
	FUZZ_ASSERT(inside(s->options, packet) && inside(s->application_name, packet));
	FUZZ_ASSERT(inside(s->cancel_key, packet));
	FUZZ_ASSERT(s->params_n <= STARTUP_PARAMS_MAX);
	FUZZ_ASSERT(s->extensions_n <= STARTUP_EXTENSIONS_MAX);
	for (size_t i = 0; i < s->params_n; i++)
		FUZZ_ASSERT(inside(s->params[i].name, packet) &&
			    inside(s->params[i].value, packet));
}

static size_t
count_settings(const struct startup *s)
{
	static struct startup_setting settings[SETTINGS_MAX];
	struct buf text = { 0 };
	size_t n = startup_settings(s, &text, settings, SETTINGS_MAX);
	volatile size_t sum = 0;

	FUZZ_ASSERT(n <= SETTINGS_MAX);
	for (size_t i = 0; i < n; i++) {
		FUZZ_ASSERT(settings[i].name.n > 0);
		for (size_t k = 0; k < settings[i].name.n; k++)
			sum += (unsigned char)settings[i].name.p[k];
		for (size_t k = 0; k < settings[i].value.n; k++)
			sum += (unsigned char)settings[i].value.p[k];
	}
	(void)sum; /* the bytes were read: that is what the sanitizers look at */
	buf_fini(&text);
	return n;
}

/* The words of an options string, each behind a NUL: what PostgreSQL would see. */
static void
split_words(struct slice options, struct buf *out)
{
	do
		buf_u8(out, 0);
	while (startup_option_word(&options, out));
}

static void
check_strip(struct slice options)
{
	struct buf once = { 0 }, twice = { 0 }, a = { 0 }, b = { 0 };

	startup_options_strip(&once, options);
	startup_options_strip(&twice, buf_view(&once));
	FUZZ_ASSERT(!once.failed && once.n <= options.n && same(buf_view(&once), buf_view(&twice)));
	split_words(options, &a);
	split_words(buf_view(&once), &b);
	FUZZ_ASSERT(b.n <= a.n);
	buf_fini(&once);
	buf_fini(&twice);
	buf_fini(&a);
	buf_fini(&b);
}

static void
check_rebuilt(const struct startup *s)
{
	static struct startup again;
	struct buf out = { 0 }, twice = { 0 };
	struct err e = { 0 };

	startup_build(&out, s, NULL);
	FUZZ_ASSERT(!out.failed);
	FUZZ_ASSERT(startup_parse(buf_view(&out), &again, &e) == PARSE_DONE);
	FUZZ_ASSERT(again.kind == STARTUP_V3 && again.minor == s->minor);
	FUZZ_ASSERT(same(again.user, s->user) && same(again.database, s->database));
	FUZZ_ASSERT(same(again.application_name, s->application_name));
	FUZZ_ASSERT(again.replication == s->replication);
	FUZZ_ASSERT(again.extensions_n == s->extensions_n);
	FUZZ_ASSERT(count_settings(&again) == 0);
	startup_build(&twice, &again, NULL);
	FUZZ_ASSERT(same(buf_view(&out), buf_view(&twice)));
	buf_fini(&out);
	buf_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct startup s;
	struct buf packet = { 0 };
	struct err e = { 0 };
	size_t at;

	if (size > STARTUP_BYTES_MAX)
		return 0;
	at = buf_message(&packet, 0);
	buf_put(&packet, data, size);
	buf_message_end(&packet, at);
	if (startup_parse(buf_view(&packet), &s, &e) != PARSE_DONE) {
		FUZZ_ASSERT(e.sqlstate[0] != '\0' && e.msg[0] != '\0');
	} else if (s.kind == STARTUP_V3) {
		check_slices(&s, buf_view(&packet));
		count_settings(&s);
		check_strip(s.options);
		check_rebuilt(&s);
	} else {
		check_slices(&s, buf_view(&packet));
	}
	buf_fini(&packet);
	return 0;
}
