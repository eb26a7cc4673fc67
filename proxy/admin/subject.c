/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/admin/subject.h"

#include <ctype.h>

#include "base/addr.h"
#include "base/text.h"

static bool
is_number(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isdigit((unsigned char)s.p[i]))
			return false;
	return s.n > 0;
}

static bool
is_location(struct slice s)
{
	struct slice lat = slice_trim(slice_cut(&s, ','));
	double v;

	return text_to_double(lat, &v) && text_to_double(slice_trim(s), &v);
}

/* A name of a city has letters, of any script, and no colon: a text with one is a misspelt address.
 */
static bool
may_be_city(struct slice s)
{
	bool has_letter = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == ':')
			return false;
		has_letter |= isalpha(c) != 0 || c >= 0x80;
	}
	return has_letter;
}

const char *
subject_guess(struct slice text, bool is_region)
{
	struct slice s = slice_trim(text);
	struct addr a;

	if (is_region)
		return "region";
	if (is_number(s))
		return "session";
	if (addr_parse(s, &a))
		return "address";
	if (is_location(s))
		return "location";
	return may_be_city(s) ? "city" : NULL;
}

const char *
subject_article(const char *kind)
{
	return *kind == 'a' ? "an" : "a";
}
