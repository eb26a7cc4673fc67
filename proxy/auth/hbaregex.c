/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/hbaregex.h"

#include <ctype.h>

/* `p` is at the [ of a bracket expression: returns its ], or NULL where there is none. */
static const char *
bracket_end(const char *p)
{
	p += p[1] == '^' ? 2 : 1;
	if (*p == ']')
		p++;
	while (*p != '\0' && *p != ']') {
		if (*p == '[' && p[1] != '\0' && strchr(":.=", p[1]) != NULL) {
			const char close[] = { p[1], ']', '\0' };
			const char *end = strstr(p + 2, close);

			if (end == NULL)
				return NULL;
			p = end + 1;
		}
		p++;
	}
	return *p == ']' ? p : NULL;
}

/* Whether \c means the same in both kinds. */
static bool
is_common_escape(char c)
{
	if (isalnum((unsigned char)c))
		return strchr("wWsS123456789", c) != NULL;
	return strchr("<>`'", c) ==
	       NULL; /* POSIX with GNU extensions: edges of words; PostgreSQL: plain letters */
}

static int
refuse(const char *text, const char *why, struct err *e)
{
	return err_set(e, "F0000", "invalid regular expression \"%s\": %s", text, why);
}

static int
check_escapes(const char *text, struct err *e)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '[') {
			const char *end = bracket_end(p);

			if (end == NULL)
				return 0; /* regcomp() reports it better */
			if (memchr(p, '\\', (size_t)(end - p)) != NULL)
				return refuse(text, "a backslash inside brackets", e);
			p = end;
		} else if (*p == '\\' && p[1] != '\0') {
			p++;
			if (!is_common_escape(*p))
				return refuse(text, "a backslash that is not read so everywhere",
					      e);
		} else if (strchr("*+?}", *p) != NULL && p[1] == '?') {
			return refuse(text, "a repetition that is not greedy", e);
		}
	}
	return 0;
}

int
hbaregex_compile(const char *text, regex_t *to, struct err *e)
{
	char why[128];
	int code;

	if (check_escapes(text, e) != 0)
		return -1;
	code = regcomp(to, text, REG_EXTENDED);
	if (code == 0)
		return 0;
	regerror(code, to, why, sizeof(why));
	return refuse(text, why, e);
}
