/* SPDX-License-Identifier: PostgreSQL
 *
 * The text of an hba_file. What is accepted can be written down again, and the copy answers every
 * question as the original does; what is refused names a line that exists.
 */
#include "config.h"

#include "proxy/auth/hba.h"

#include "tests/fuzz/hbafuzz.h"

#define QUESTIONS_MAX 24

static struct hba *
read_input(const struct slice *input, struct err *e)
{
	struct hbafile_source source = { hbafuzz_read, hbafuzz_list, (void *)(uintptr_t)input };
	struct cidr own[2] = { { .bits = 8 }, { .bits = 64 } };
	struct hba_own all = { own, 2 };

	FUZZ_ASSERT(addr_parse(SLICE_LITERAL("127.0.0.1"), &own[0].net));
	FUZZ_ASSERT(addr_parse(SLICE_LITERAL("fe80::1"), &own[1].net));
	return hba_read(&source, "a", &all, e);
}

/* One line per rule, so that the line is one more than the index. False: an empty list of names,
 * which only an empty file can be. */
static bool
write_rules(const struct hba *h, struct buf *b)
{
	for (size_t i = 0; i < hba_count(h); i++) {
		for (int column = HBA_TYPE; column <= HBA_OPTIONS; column++) {
			size_t before = b->n;

			hba_put(b, hba_rule(h, i), (enum hba_column)column);
			if (b->n == before && column < HBA_ADDRESS)
				return false;
			buf_u8(b, ' ');
		}
		buf_u8(b, '\n');
	}
	return true;
}

static size_t
index_of(const struct hba *h, const struct hba_rule *rule)
{
	for (size_t i = 0; i < hba_count(h); i++) {
		if (hba_rule(h, i) == rule)
			return i + 1;
	}
	return 0;
}

static void
check_rule(const struct hba_rule *rule, const struct hba_question *q)
{
	FUZZ_ASSERT((rule->type == HBA_LOCAL) == (q->client->family == ADDR_UNIX));
	FUZZ_ASSERT(rule->type != HBA_HOSTSSL || q->tls);
	FUZZ_ASSERT(rule->type != HBA_HOSTNOSSL || !q->tls);
	FUZZ_ASSERT(rule->type != HBA_HOSTGSSENC);
	FUZZ_ASSERT(rule->method != HBA_CERT || rule->clientcert == HBA_CERT_VERIFY_FULL);
	FUZZ_ASSERT(rule->method != HBA_PEER || rule->type == HBA_LOCAL);
	FUZZ_ASSERT(rule->clientcert == HBA_CERT_ANY || rule->type == HBA_HOSTSSL);
}

static void
compare(const struct hba *h, const struct hba *copy, const struct hba_question *q)
{
	const struct hba_rule *rule = hba_match(h, q), *same = hba_match(copy, q);

	FUZZ_ASSERT(index_of(h, rule) == index_of(copy, same));
	FUZZ_ASSERT(same == NULL || copy == h || same->line == index_of(copy, same));
	if (rule != NULL)
		check_rule(rule, q);
}

/* Ask about the words of the file itself. */
static void
ask(const struct hba *h, const struct hba *copy, struct slice input)
{
	static const char *const places[] = { "", "127.0.0.1", "10.1.2.3", "fe80::2" };
	struct slice database = SLICE_LITERAL("d"), user;

	for (int i = 0; i < QUESTIONS_MAX && (user = hbafuzz_word(&input)).n > 0; i++) {
		struct addr client = { .family = ADDR_UNIX };
		struct hba_question q = { database, user, &client, i % 3 == 0, i % 7 == 0 };

		if (i % 4 != 0)
			FUZZ_ASSERT(addr_parse(slice_str(places[i % 4]), &client));
		compare(h, copy, &q);
		q.database = user;
		compare(h, copy, &q);
		database = user;
	}
}

static void
check_copy(const struct hba *h, struct slice input)
{
	struct buf first = { .cap = 1 << 20 }, second = { .cap = 1 << 20 };
	struct err e = { 0 };
	struct slice text;
	struct hba *copy;

	if (!write_rules(h, &first)) {
		ask(h, h, input);
		buf_fini(&first);
		return;
	}
	text = buf_view(&first);
	if (text.p == NULL)
		text = SLICE_LITERAL("");
	copy = read_input(&text, &e);
	FUZZ_ASSERT(copy != NULL);
	FUZZ_ASSERT(hba_count(copy) == hba_count(h));
	FUZZ_ASSERT(write_rules(copy, &second));
	FUZZ_ASSERT(strcmp(buf_text(&first), buf_text(&second)) == 0);
	ask(h, copy, input);
	hba_unref(copy);
	buf_fini(&first);
	buf_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = slice_of((const char *)data, size);
	struct err e = { 0 };
	struct hba *h;

	if (size == 0 || size > HBAFUZZ_BYTES_MAX || hbafuzz_is_costly(input))
		return 0;
	h = read_input(&input, &e);
	if (h != NULL)
		check_copy(h, input);
	else
		hbafuzz_check_error(input, &e);
	hba_unref(h);
	return 0;
}
