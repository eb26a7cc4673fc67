/* SPDX-License-Identifier: PostgreSQL
 *
 * Heads of requests and what is read from them, for tests. Include it before unit.h.
 */
#ifndef TESTS_UNIT_HEADS_H
#define TESTS_UNIT_HEADS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http.h"
#include "routing/locality_int.h"

/* A head with these lines, which end in CRLF; the text must live as long as the head. */
static inline const char *
head_of(const char *lines, struct http_head *h)
{
	char *text = malloc(strlen(lines) + 64);
	struct http_error e = { 0, "" };
	size_t used;

	sprintf(text, "GET / HTTP/1.1\r\nHost: db.example\r\n%s\r\n", lines);
	if (http_parse_head(slice_str(text), 65536, h, &used, &e) != PARSE_DONE) {
		fprintf(stderr, "%s: %d %s\n", lines, e.status, e.text);
		abort();
	}
	return text;
}

/* Claims as text: "city=Paris country=FR ~city=Rome", ~ where it is not trusted; cleaned. */
static inline const char *
claims_text(const struct claims *c, char to[4096])
{
	char value[PLACE_NAME_MAX];
	size_t n = 0;

	to[0] = '\0';
	for (unsigned i = 0; i < c->n; i++) {
		struct claim k = claims_get(c, i);

		claim_clean(k.value, value);
		n += (size_t)snprintf(to + n, 4096 - n, "%s%s%s=%s", i > 0 ? " " : "",
				      k.trusted ? "" : "~", claim_kind_name(k.kind), value);
	}
	return to;
}

#endif
