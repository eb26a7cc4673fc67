/* SPDX-License-Identifier: PostgreSQL
 *
 * Prepared statements of sessions that share servers. The first byte says which of two runs it is:
 * clients that behave, against a model of PostgreSQL, which read what a server of their own would
 * have said; or bytes of any kind from both sides, in chunks of one control byte (top bit: from the
 * server; the rest: length), which must not break anything.
 */
#include "config.h"

#include "proxy/sqlstate/statements.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/slice.h"
#include "protocol/exchange_list.h"
#include "proxy/sqlstate/prepared.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/statements_play.h"

struct raw {
	struct statements *c;
	struct exchange exchange;
	bool over;
};

static void
from_client(struct raw *r, struct slice in)
{
	struct buf out = { .cap = (size_t)4 << 20 };
	enum statements_verdict v = statements_client(r->c, 1, in.p, in.n, &out);

	if (v == STATEMENTS_AS_IS)
		(void)exchange_client(&r->exchange, in.p, in.n);
	else if (v == STATEMENTS_REWRITTEN && out.n > 0)
		(void)exchange_client(&r->exchange, out.p, out.n);
	r->over = v == STATEMENTS_BAD;
	FUZZ_ASSERT(v != STATEMENTS_AS_IS || !statements_holds(r->c));
	buf_fini(&out);
}

static void
from_server(struct raw *r, struct slice in)
{
	struct exchange_tally tally = { 0 };
	char bytes[256];
	size_t held = exchange_put_held(&r->exchange, bytes), n = held + in.n;

	FUZZ_ASSERT(held <= EXCHANGE_HELD_MAX);
	memcpy(bytes + held, in.p, in.n);
	(void)exchange_filter(&r->exchange, bytes, &n, &tally);
	FUZZ_ASSERT(n <= held + in.n);
	statements_heard(r->c);
	for (unsigned i = 0; i < tally.errors && i < EXCHANGE_TALLY_MAX; i++)
		statements_error(r->c, tally.sqlstates[i]);
	if (statements_goes_on(r->c))
		from_client(r, slice_of(NULL, 0));
}

static void
run_raw(struct slice in)
{
	struct statement_table *t = statement_table_new(2);
	struct server_statements *ss = server_statements_new(t);
	struct prepared_names *names =
	    prepared_names_init(xmalloc(sizeof(struct prepared_names)), 1);
	struct raw r = { .c = statements_new(t, names) };

	exchange_init(&r.exchange, REPLICATION_NONE);
	statements_attach(r.c, ss, &r.exchange);
	while (in.n > 0 && !r.over) {
		bool server;
		struct slice chunk = fuzz_chunk(&in, &server);

		if (server)
			from_server(&r, chunk);
		else
			from_client(&r, chunk);
		if (exchange_safe_point(&r.exchange) && statements_settled(r.c)) {
			statements_detach(r.c);
			statements_attach(r.c, ss, &r.exchange);
		}
	}
	statements_free(r.c);
	prepared_names_fini(names);
	free(names);
	server_statements_free(ss);
	FUZZ_ASSERT(statement_table_count(t) == 0);
	statement_table_free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned limits[] = { 1, 3, 200 };
	struct play_result r;

	if (size == 0)
		return 0;
	if (data[0] & 1) {
		run_raw(slice_of((const char *)data + 1, size - 1));
		return 0;
	}
	r = statements_play(data + 1, size - 1, limits[data[0] / 2 % 3]);
	if (r.wrong != NULL)
		fprintf(stderr, "%s\n", r.wrong);
	FUZZ_ASSERT(r.wrong == NULL);
	return 0;
}
