/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session of a pool leaves on its server: settings, prepared statements, and what cannot be
 * carried over and pins it. The decisions are proxy/session/{statements,vars,truth}.c's.
 */
#include "config.h"

#include "proxy/session/pooled_int.h"

#include "protocol/frame.h"
#include "protocol/message.h"
#include "proxy/pool/ask.h"
#include "proxy/pool/pool.h"
#include "proxy/session/session_int.h"
#include "proxy/session/statements.h"
#include "proxy/worker_int.h"

void
pooled_put_welcome(struct pooled *pd, struct buf *b)
{
	buf_slice(b, buf_view(&pd->pool->welcome));
}

void
pooled_hear(struct pooled *pd, struct slice messages)
{
	struct session *s = pd->session;
	struct frame f;

	while (s->state == SESSION_RELAY && pd->greeted &&
	       frame_cut(messages, ASK_ANSWER_MAX, &f) == PARSE_DONE) {
		if (f.type == MSG_PARAMETER_STATUS)
			(void)session_say(s, messages.p, f.total);
		messages = slice_skip(messages, f.total);
	}
}

static struct truth_question
question_of(const struct pooled *pd)
{
	return (struct truth_question){
		.effects = pd->effects,
		.pins = pd->pins,
		.names = buf_view(&pd->names),
		.user = session_name(pd->session, NAME_USER),
		.session = pd->vars,
		.startup = pd->startup,
		.server = pd->session->server->vars,
	};
}

static void
take_truth(struct pooled *pd, struct truth *t)
{
	struct server *sv = pd->session->server;

	vars_unref(pd->vars);
	pd->vars = vars_ref(t->session);
	vars_unref(sv->vars);
	sv->vars = t->server != NULL ? vars_ref(t->server) : NULL;
	pd->pins = t->pins;
	pd->effects = 0;
	buf_clear(&pd->names);
	truth_fini(t);
}

bool
pooled_suspects(struct pooled *pd, struct buf *sql)
{
	struct truth_question q;
	struct truth t;

	pd->effects |= statements_effects(pd->statements);
	if (pd->effects == 0)
		return false;
	q = question_of(pd);
	if (truth_is_wanted(&q)) {
		truth_put_query(sql, &q);
		return true;
	}
	truth_guess(&q, &t);
	take_truth(pd, &t);
	return false;
}

void
pooled_learn(struct pooled *pd, const struct ask_answer *a)
{
	struct truth_question q = question_of(pd);
	struct truth t;

	(void)truth_read(a->messages, &q, &t);
	take_truth(pd, &t);
}

/* ---- prepared statements ---- */

void
pooled_forget_statements(struct server *sv)
{
	server_statements_clear(sv->statements);
}

/* Texts mean what the settings say, as far as we know: equal settings, equal meaning. */
static uint64_t
meaning_of(const struct pooled *pd)
{
	return (uint64_t)(uintptr_t)pd->vars;
}

bool
pooled_rewrite(struct session *s, const char **p, size_t *n)
{
	struct pooled *pd = s->pooled;
	struct buf *out = &s->worker->rewritten;

	buf_clear(out);
	switch (statements_client(pd->statements, meaning_of(pd), *p, *n, out)) {
	case STATEMENTS_AS_IS:
		return true;
	case STATEMENTS_REWRITTEN:
		*p = out->p;
		*n = out->n;
		if (statements_waits(pd->statements))
			stream_want(&s->client, s->client.interest & ~EV_READ);
		return out->n > 0;
	case STATEMENTS_BAD:
		break;
	}
	session_close(s, WHY_PROTOCOL, statements_why(pd->statements));
	return false;
}

bool
pooled_terminate(struct session *s, size_t n)
{
	if (flow_is_idle(&s->flow) && n == FRAME_HEAD_BYTES) {
		/* it is for us: the server stays */
		session_end(s, WHY_CLIENT_DONE);
		return false;
	}
	s->server->close_needed = true;
	return true;
}

size_t
pooled_put_held(struct session *s, char *to)
{
	return statements_put_held(s->pooled->statements, to);
}

size_t
pooled_from_server(struct session *s, char *p, size_t n)
{
	struct statements *c = s->pooled->statements;

	return statements_expects(c) ? statements_server(c, p, n) : n;
}

void
pooled_on_error(struct session *s, const char sqlstate[5])
{
	statements_error(s->pooled->statements, sqlstate);
}

void
pooled_answered(struct session *s, bool is_ready)
{
	struct pooled *pd = s->pooled;

	if (statements_goes_on(pd->statements)) {
		stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
		(void)relay_to_server(s, NULL, 0);
	}
	if (is_ready && s->state == SESSION_RELAY)
		pooled_settle(s);
}
