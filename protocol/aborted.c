/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/aborted.h"

#include <string.h>

#include "base/text.h"
#include "protocol/console_lexer.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"

/* ---- texts ---- */

static bool
is_word(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && slice_is_nocase(t->text, word);
}

/* The next token that is no empty statement's. False: it is not text that could be read. */
static bool
next(struct lexer *l, struct token *t)
{
	do {
		if (lexer_next(l, t, NULL) != 0)
			return false;
	} while (t->kind == TOKEN_SEMICOLON);
	return true;
}

/* What follows COMMIT, END, ROLLBACK or ABORT: nothing that changes what it does. */
static bool
is_plain_end(struct lexer *l)
{
	struct token t;

	if (lexer_next(l, &t, NULL) != 0)
		return false;
	if (is_word(&t, "work") || is_word(&t, "transaction")) {
		if (lexer_next(l, &t, NULL) != 0)
			return false;
	}
	if (is_word(&t, "and")) {
		if (lexer_next(l, &t, NULL) != 0 || !is_word(&t, "no") ||
		    lexer_next(l, &t, NULL) != 0 || lexer_next(l, &t, NULL) != 0)
			return false;
	}
	if (t.kind == TOKEN_END)
		return true;
	return t.kind == TOKEN_SEMICOLON && next(l, &t) && t.kind == TOKEN_END;
}

/* ROLLBACK TO, ROLLBACK PREPARED, COMMIT PREPARED: the transaction goes on. */
static bool
is_of_another_kind(struct lexer l)
{
	struct token t;

	if (lexer_next(&l, &t, NULL) != 0)
		return true;
	if (is_word(&t, "work") || is_word(&t, "transaction")) {
		if (lexer_next(&l, &t, NULL) != 0)
			return true;
	}
	return is_word(&t, "to") || is_word(&t, "prepared");
}

/* More than one statement, or AND CHAIN: the rest is not done, so it fails as a whole. */
enum aborted_verb
aborted_verb_of(struct slice sql)
{
	struct lexer l = { sql };
	struct token t;
	bool commit, rollback;

	if (!next(&l, &t))
		return ABORTED_REFUSED;
	if (t.kind == TOKEN_END)
		return ABORTED_EMPTY;
	commit = is_word(&t, "commit") || is_word(&t, "end");
	rollback = is_word(&t, "rollback") || is_word(&t, "abort");
	if (is_word(&t, "prepare"))
		return lexer_next(&l, &t, NULL) == 0 && is_word(&t, "transaction")
			   ? ABORTED_COMMIT
			   : ABORTED_REFUSED;
	if ((!commit && !rollback) || is_of_another_kind(l))
		return ABORTED_REFUSED;
	return rollback && is_plain_end(&l) ? ABORTED_ROLLBACK : ABORTED_COMMIT;
}

/* ---- names ---- */

static struct aborted_name *
find_name(struct aborted_name *v, struct slice name)
{
	for (int i = 0; i < ABORTED_NAMES; i++) {
		if (v[i].used && slice_is(name, v[i].name))
			return &v[i];
	}
	return NULL;
}

/* False: there is no room for it. */
static bool
keep_name(struct aborted_name *v, struct slice name, enum aborted_verb verb)
{
	struct aborted_name *to = find_name(v, name);

	for (int i = 0; to == NULL && i < ABORTED_NAMES; i++) {
		if (!v[i].used)
			to = &v[i];
	}
	if (to == NULL || name.n >= sizeof(to->name))
		return false;
	(void)text_copy(to->name, sizeof(to->name), name);
	to->verb = verb;
	to->used = true;
	return true;
}

static enum aborted_verb
verb_of_statement(struct aborted *a, struct slice name)
{
	struct aborted_name *found = find_name(a->statements, name);
	struct slice sql;

	if (found != NULL)
		return found->verb;
	if (a->text_of != NULL && a->text_of(a->arg, name, &sql))
		return aborted_verb_of(sql);
	return ABORTED_UNKNOWN;
}

/* ---- answers ---- */

/* The client's transaction is not over before the client says so. */
static bool
is_explicit(const struct aborted *a)
{
	return exchange_tx_status(&a->exchange) != 'I';
}

static void
put_failure(struct aborted *a, struct buf *out)
{
	struct err e = { 0 };

	if (a->told && is_explicit(a)) {
		err_set(&e, SQLSTATE_IN_FAILED_TRANSACTION,
			"current transaction is aborted, commands ignored until end of transaction "
			"block");
	} else {
		err_set(&e, SQLSTATE_SERIALIZATION_FAILURE,
			"the transaction was ended: its database is being moved");
		err_hint(&e, "Nothing of it was done. Try it again.");
	}
	a->told = true;
	message_put_error(out, "ERROR", &e);
}

/* COMMIT is told as what it is whatever was told before. */
static void
put_no_commit(struct aborted *a, struct buf *out)
{
	a->told = false;
	put_failure(a, out);
}

static void
put_ready(const struct aborted *a, struct buf *out)
{
	message_put_ready(out, is_explicit(a) && !a->over ? 'E' : 'I');
}

/* ---- messages ---- */

static void
on_query(struct aborted *a, struct slice sql, struct buf *out)
{
	switch (aborted_verb_of(sql)) {
	case ABORTED_ROLLBACK:
		message_put_command_complete(out, "ROLLBACK");
		a->over = true;
		break;
	case ABORTED_COMMIT:
		put_no_commit(a, out);
		a->over = true;
		break;
	case ABORTED_EMPTY:
		message_put_bare(out, MSG_EMPTY_QUERY);
		break;
	case ABORTED_REFUSED:
	case ABORTED_UNKNOWN:
		put_failure(a, out);
		break;
	}
	put_ready(a, out);
}

static void
on_parse(struct aborted *a, const struct message_parse *m, struct slice raw, struct buf *out)
{
	enum aborted_verb verb = aborted_verb_of(m->sql);

	if (verb == ABORTED_REFUSED || a->over || a->owed.n + raw.n > ABORTED_OWED_MAX ||
	    !keep_name(a->statements, m->name, verb)) {
		put_failure(a, out);
		return;
	}
	if (m->name.n > 0)
		buf_slice(&a->owed, raw);
	message_put_bare(out, MSG_PARSE_COMPLETE);
}

static void
on_bind(struct aborted *a, const struct message_bind *m, struct buf *out)
{
	enum aborted_verb verb = verb_of_statement(a, m->statement);

	if (verb != ABORTED_REFUSED && verb != ABORTED_UNKNOWN && !a->over &&
	    keep_name(a->portals, m->portal, verb)) {
		message_put_bare(out, MSG_BIND_COMPLETE);
		return;
	}
	/* A statement whose text is not known may be the one that ends the transaction. The first
	 * of them is refused; if the client sends another, the transaction counts as over at the
	 * next Sync, so that it is not refused for ever. */
	if (verb == ABORTED_UNKNOWN) {
		a->over = a->over || a->refused;
		a->refused = true;
	}
	put_failure(a, out);
}

/* None of those that may be has parameters or rows. */
static void
on_describe(struct aborted *a, const struct message_target *m, struct buf *out)
{
	enum aborted_verb verb = ABORTED_REFUSED;

	if (m->kind == 'S')
		verb = verb_of_statement(a, m->name);
	else if (find_name(a->portals, m->name) != NULL)
		verb = find_name(a->portals, m->name)->verb;
	if (verb == ABORTED_REFUSED || verb == ABORTED_UNKNOWN) {
		put_failure(a, out);
		return;
	}
	if (m->kind == 'S')
		message_put_parameter_description(out, NULL, 0);
	message_put_bare(out, MSG_NO_DATA);
}

static void
on_execute(struct aborted *a, const struct message_execute *m, struct buf *out)
{
	const struct aborted_name *portal = find_name(a->portals, m->portal);

	if (portal == NULL || a->over) {
		put_failure(a, out);
	} else if (portal->verb == ABORTED_ROLLBACK) {
		message_put_command_complete(out, "ROLLBACK");
		a->over = true;
	} else if (portal->verb == ABORTED_COMMIT) {
		put_no_commit(a, out);
		a->over = true;
	} else {
		message_put_bare(out, MSG_EMPTY_QUERY);
	}
}

static void
on_close(struct aborted *a, const struct message_target *m, struct slice raw, struct buf *out)
{
	struct aborted_name *found =
	    find_name(m->kind == 'S' ? a->statements : a->portals, m->name);

	if (a->owed.n + raw.n > ABORTED_OWED_MAX) {
		put_failure(a, out);
		return;
	}
	if (found != NULL)
		found->used = false;
	if (m->kind == 'S' && m->name.n > 0)
		buf_slice(&a->owed, raw);
	message_put_bare(out, MSG_CLOSE_COMPLETE);
}

/* Those of the extended protocol, but for Sync. False: not one of them, or nothing that could be
 * read. */
static bool
on_extended(struct aborted *a, char type, struct slice body, struct slice raw, struct buf *out)
{
	struct message_parse parse;
	struct message_bind bind;
	struct message_target target;
	struct message_execute execute;

	if (type == MSG_PARSE && message_parse_parse(body, &parse) == PARSE_DONE)
		on_parse(a, &parse, raw, out);
	else if (type == MSG_BIND && message_parse_bind(body, &bind) == PARSE_DONE)
		on_bind(a, &bind, out);
	else if (type == MSG_DESCRIBE && message_parse_target(body, &target) == PARSE_DONE)
		on_describe(a, &target, out);
	else if (type == MSG_EXECUTE && message_parse_execute(body, &execute) == PARSE_DONE)
		on_execute(a, &execute, out);
	else if (type == MSG_CLOSE && message_parse_target(body, &target) == PARSE_DONE)
		on_close(a, &target, raw, out);
	else
		return false;
	return true;
}

/* A message that the server would not discard: all of it (`raw`), or its header where it is too
 * long to be looked into. CopyData, CopyDone, CopyFail are what is left of a COPY that has failed.
 */
static void
answer(struct aborted *a, struct slice raw, struct buf *out)
{
	bool is_whole = exchange_at_client_boundary(&a->exchange);
	struct slice body = slice_skip(raw, FRAME_HEAD_BYTES), sql;
	char type = raw.p[0];

	if (type == MSG_SYNC) {
		memset(a->portals, 0, sizeof(a->portals));
		put_ready(a, out);
	} else if (type == MSG_QUERY && is_whole && message_parse_query(body, &sql) == PARSE_DONE) {
		on_query(a, sql, out);
	} else if (type == MSG_QUERY || type == MSG_FUNCTION_CALL) {
		put_failure(a, out);
		put_ready(a, out);
	} else if (memchr("dcfX", type, 4) == NULL &&
		   (type != MSG_FLUSH || raw.n > FRAME_HEAD_BYTES) &&
		   (!is_whole || !on_extended(a, type, body, raw, out))) {
		put_failure(a, out);
	}
}

/* The exchange hears of the message, and of what it is answered: it knows what is discarded. */
static void
take(struct aborted *a, struct slice raw, struct buf *out)
{
	bool was_discarding = exchange_skips(&a->exchange);
	size_t at = out->n;
	unsigned events = exchange_client(&a->exchange, raw.p, raw.n);

	a->terminated = (events & (EXCHANGE_TERMINATE | EXCHANGE_BAD)) != 0;
	if (a->terminated)
		return;
	if (!was_discarding)
		answer(a, raw, out);
	else if (exchange_pending(&a->exchange) > 0)
		put_ready(a, out);
	if (out->n > at)
		(void)exchange_server(&a->exchange, out->p + at, out->n - at, NULL);
}

/* ---- the stream ---- */

/* Gather up to `want` bytes of the message; true when they are there. */
static bool
gather(struct aborted *a, struct slice *rest, size_t want)
{
	size_t n = a->in.n < want ? want - a->in.n : 0;

	if (n > rest->n)
		n = rest->n;
	buf_put(&a->in, rest->p, n);
	*rest = slice_skip(*rest, n);
	return a->in.n >= want;
}

/* One message, or as much of it as there is. False: there is not enough. */
static bool
step(struct aborted *a, struct slice *rest, struct buf *out)
{
	size_t total;

	if (!gather(a, rest, FRAME_HEAD_BYTES))
		return false;
	total = frame_total(a->in.p);
	if (total <= ABORTED_LOOK_MAX && !gather(a, rest, total))
		return false;
	take(a, buf_view(&a->in), out);
	buf_clear(&a->in);
	return true;
}

bool
aborted_client(struct aborted *a, const char *p, size_t n, size_t *used, struct buf *out)
{
	struct slice rest = slice_of(p, n);
	bool is_over;

	do {
		size_t passed = exchange_client_rest(&a->exchange, rest.p, rest.n);

		(void)exchange_client(&a->exchange, rest.p, passed);
		rest = slice_skip(rest, passed);
		is_over = exchange_is_idle(&a->exchange);
	} while (!is_over && exchange_at_client_boundary(&a->exchange) && !a->terminated &&
		 out->n < ABORTED_SAY_MAX && step(a, &rest, out));
	*used = n - rest.n;
	return is_over;
}

bool
aborted_begin(struct aborted *a, const struct exchange *x, struct buf *out)
{
	struct framer client = exchange_client_framer(x);

	a->in.cap = ABORTED_LOOK_MAX;
	a->owed.cap = ABORTED_OWED_MAX;
	buf_put(&a->in, client.head, client.have);
	exchange_init_failed(&a->exchange, x);
	for (uint32_t i = 0; i < exchange_pending(x) && !out->failed; i++) {
		put_failure(a, out);
		put_ready(a, out);
	}
	if (exchange_skips(&a->exchange) && !exchange_skips(x))
		put_failure(a, out);
	return exchange_is_idle(&a->exchange);
}

void
aborted_fini(struct aborted *a)
{
	buf_fini(&a->in);
	buf_fini(&a->owed);
}
