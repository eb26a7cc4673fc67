/* SPDX-License-Identifier: PostgreSQL
 *
 * Any bytes as an address, a block of them, a number, a time, a size, Base64, UTF-8, a value of a
 * Bind message to the console. What is read can be written, and is read again as the same.
 */
#include "config.h"

#include "base/text.h"

#include <string.h>

#include "base/addr.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "protocol/b64.h"
#include "proxy/admin/parameter.h"
#include "tests/fuzz/fuzz.h"

static bool
same(const struct buf *b, struct slice s)
{
	return b->n == s.n && (s.n == 0 || memcmp(b->p, s.p, s.n) == 0);
}

static void
check_addr(struct slice in)
{
	char text[ADDR_TEXT_MAX];
	struct addr a, again;
	struct cidr c, block;

	if (addr_parse(in, &a)) {
		FUZZ_ASSERT(addr_parse(slice_str(addr_print_ip(&a, text)), &again));
		FUZZ_ASSERT(addr_same_ip(&a, &again) && a.port == 0);
	}
	if (addr_parse_port(in, &a)) {
		FUZZ_ASSERT(addr_parse_port(slice_str(addr_print(&a, text)), &again));
		FUZZ_ASSERT(addr_same_ip(&a, &again) && a.port == again.port);
	}
	if (cidr_parse(in, &c)) {
		FUZZ_ASSERT(c.bits <= (c.net.family == ADDR_IPV4 ? 32 : 128));
		FUZZ_ASSERT(cidr_has(&c, &c.net));
		FUZZ_ASSERT(cidr_parse(slice_str(cidr_print(&c, text)), &block));
		FUZZ_ASSERT(addr_same_ip(&c.net, &block.net) && c.bits == block.bits);
	}
}

static void
check_units(struct slice in)
{
	struct buf b = { 0 };
	int64_t n, again;
	double d;
	bool flag;

	if (text_to_usec(in, &n)) {
		text_put_usec(&b, n);
		FUZZ_ASSERT(text_to_usec(buf_view(&b), &again) && again == n);
	}
	buf_clear(&b);
	if (text_to_bytes(in, &n)) {
		text_put_bytes(&b, n);
		FUZZ_ASSERT(text_to_bytes(buf_view(&b), &again) && again == n);
	}
	buf_clear(&b);
	if (text_to_int(in, INT64_MIN, INT64_MAX, &n)) {
		buf_printf(&b, "%lld", (long long)n);
		FUZZ_ASSERT(text_to_int(buf_view(&b), n, n, &again) && again == n);
	}
	FUZZ_ASSERT(!text_to_double(in, &d) || d - d == 0);
	(void)text_to_bool(in, &flag);
	buf_fini(&b);
}

static void
check_utf8(struct slice in)
{
	struct buf once = { 0 }, twice = { 0 };
	bool clean = in.n == 0 || memchr(in.p, '\0', in.n) == NULL;

	utf8_put(&once, in);
	FUZZ_ASSERT(utf8_valid(buf_view(&once)) && once.n <= 3 * in.n);
	FUZZ_ASSERT(same(&once, in) == (clean && utf8_valid(in)));
	utf8_put(&twice, buf_view(&once));
	FUZZ_ASSERT(same(&twice, buf_view(&once)));
	buf_clear(&twice);
	text_put_safe(&twice, in, 100);
	FUZZ_ASSERT(twice.n <= 4 * 100 + 5);
	for (size_t i = 0; i < twice.n; i++)
		FUZZ_ASSERT((unsigned char)twice.p[i] >= ' ' && twice.p[i] != 127);
	buf_fini(&once);
	buf_fini(&twice);
}

static void
check_b64(struct slice in)
{
	static uint8_t bytes[4096];
	struct buf b = { 0 };
	size_t n = 0;

	if (b64_decode(in, bytes, sizeof(bytes), &n)) {
		FUZZ_ASSERT(n <= sizeof(bytes));
		b64_put(&b, bytes, n);
		FUZZ_ASSERT(same(&b, in));
	}
	buf_clear(&b);
	b64_put(&b, in.p, in.n);
	FUZZ_ASSERT(b.n == B64_LENGTH(in.n));
	FUZZ_ASSERT(in.n > sizeof(bytes) || b64_decode(buf_view(&b), bytes, sizeof(bytes), &n));
	FUZZ_ASSERT(in.n > sizeof(bytes) || (n == in.n && (n == 0 || memcmp(bytes, in.p, n) == 0)));
	FUZZ_ASSERT(in.n == 0 || !b64_decode(buf_view(&b), bytes, in.n - 1, &n));
	buf_fini(&b);
}

static void
check_parameter(struct slice in)
{
	static const uint32_t types[] = { 0, 16, 20, 21, 23, 25, 701 };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (int16_t format = -1; format <= 2; format++) {
			char *text = parameter_text(types[i], format, in, &e);

			if (text == NULL)
				FUZZ_ASSERT(strlen(e.sqlstate) == 5 && e.msg[0] != '\0');
			else
				FUZZ_ASSERT(utf8_valid(slice_str(text)));
			free(text);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct suggestion s = { .word = in };
	char cut[16];

	if (size > 4000)
		return 0;
	check_addr(in);
	check_units(in);
	check_utf8(in);
	check_b64(in);
	check_parameter(in);
	suggest_offer(&s, "sessions");
	suggest_offer(&s, "session");
	FUZZ_ASSERT(!slice_is_nocase(in, "session") || strcmp(s.best, "session") == 0);
	FUZZ_ASSERT(text_copy(cut, sizeof(cut), in) == (size < sizeof(cut)));
	FUZZ_ASSERT(strlen(cut) < sizeof(cut));
	return 0;
}
