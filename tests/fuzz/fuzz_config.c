/* SPDX-License-Identifier: PostgreSQL
 *
 * Any bytes as a configuration file. A refusal names file and line in one line of clean text; what
 * is accepted can be printed, and each printed value read again gives the same.
 */
#include "config.h"

#include "base/log.h"
#include "proxy/config/check.h"
#include "proxy/config/config.h"
#include "proxy/config/parse.h"
#include "proxy/config/values.h"
#include "tests/fuzz/fuzz.h"

static void
check_message(const char *msg)
{
	FUZZ_ASSERT(strncmp(msg, "m.conf:", 7) == 0);
	for (const char *p = msg; *p != '\0'; p++)
		FUZZ_ASSERT((unsigned char)*p >= ' ' && *p != 127);
}

static void
check_value(const struct option *o, enum section_kind kind, const void *conf)
{
	struct config *other = config_new();
	struct buf text = { 0 }, again = { 0 }, shown = { 0 };
	struct err e = { 0 };
	size_t index = 0;

	if (section_of(kind)->arg != NULL)
		index = config_add_section(other, kind, xstrdup("x"));
	value_print(o, conf, true, &text);
	FUZZ_ASSERT(value_set(o, config_section(other, kind, index), buf_view(&text), &e) == 0);
	value_print(o, config_section(other, kind, index), true, &again);
	FUZZ_ASSERT(text.n == again.n && (text.n == 0 || memcmp(text.p, again.p, text.n) == 0));
	value_print(o, conf, false, &shown);
	FUZZ_ASSERT(!shown.failed);
	buf_fini(&text);
	buf_fini(&again);
	buf_fini(&shown);
	config_unref(other);
}

static void
check_values(struct config *c)
{
	for (int k = 0; k < SECTION_KIND_COUNT; k++) {
		enum section_kind kind = (enum section_kind)k;
		const struct section *s = section_of(kind);

		for (size_t i = 0; i < config_count(c, kind); i++) {
			for (size_t j = 0; j < s->nrows; j++)
				check_value(&s->rows[j], kind, config_section(c, kind, i));
		}
	}
}

static void
check_accepted(struct config *c)
{
	struct buf text = { 0 };
	struct config_row row;

	FUZZ_ASSERT(c->nregions > 0 && c->listeners[0].listen.n + c->nlisteners > 1);
	check_values(c);
	for (size_t i = 0; i < config_nrows(); i++)
		config_row(c, c, i, &row);
	FUZZ_ASSERT(config_diff(c, c, DIFF_ALL, &text) == 0 && text.n == 0);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = config_new();
	struct origins origins = { 0 };
	struct err e = { 0 };

	log_set_level(LOG_LEVEL_FATAL);
	if (config_parse(c, slice_of((const char *)data, size), "m.conf", &origins, &e) < 0) {
		check_message(e.msg);
	} else {
		config_resolve(c);
		if (config_check(c, &origins, false, &e) == 0)
			check_accepted(c);
		else
			check_message(e.msg);
	}
	origins_fini(&origins);
	config_unref(c);
	return 0;
}
