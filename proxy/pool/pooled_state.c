/* SPDX-License-Identifier: PostgreSQL
 *
 * What a session of a pool leaves on its server: settings, prepared statements, and what cannot be
 * carried over and pins it. The decisions are proxy/session/{statements,vars,session_probe}.c's.
 */
#include "config.h"

#include "proxy/pool/pooled_int.h"

#include "base/hot.h"
#include "protocol/calleffects.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqleffects.h"
#include "proxy/pool/pool_int.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/ask.h"
#include "proxy/session/session_int.h"
#include "proxy/sqlstate/reports.h"
#include "proxy/sqlstate/statements.h"

static void
told(struct pooled *pd, struct vars *reported)
{
	(void)vars_ref(reported);
	vars_unref(pd->told);
	pd->told = reported;
}

static struct vars *
greeting_of(const struct pooled *pd)
{
	struct vars *none = vars_none(pd->startup);
	struct vars *known = greetings_find(pd->pool->greetings, pd->startup, none);

	vars_unref(none);
	return known;
}

HOT bool
pooled_can_greet(const struct pooled *pd)
{
	return greeting_of(pd) != NULL;
}

HOT void
pooled_put_welcome(struct pooled *pd, struct buf *b)
{
	const struct server *sv = pd->session->server;
	struct vars *known;

	if (sv != NULL)
		greetings_note(pd->pool->greetings, pd->startup, sv->reported);
	known = greeting_of(pd);
	vars_put_reports(b, pd->told, known);
	told(pd, known);
}

HOT void
pooled_tell(struct pooled *pd)
{
	struct session *s = pd->session;
	struct buf b = { .cap = ASK_ANSWER_MAX };

	/* a server nearby has the same settings, and what else it says is not the session's home */
	if (!pooled_is_greeted(pd) || s->state != SESSION_RELAY || pd->home != NULL ||
	    pd->told == s->server->reported)
		return;
	vars_put_reports(&b, pd->told, s->server->reported);
	told(pd, s->server->reported);
	if (b.n > 0)
		(void)session_say(s, b.p, b.n);
	buf_fini(&b);
}

void
pooled_on_reports(struct session *s, struct framer before, struct slice bytes)
{
	struct reports r;

	reports_begin(&r, &s->server->reported, &s->pooled->told, bytes);
	reports_read(&s->pooled->report, before, bytes, reports_add, &r);
	reports_end(&r);
}

static struct session_question
question_of(const struct pooled *pd)
{
	return (struct session_question){
		.effects = pd->asked_effects,
		.pins = pd->pins,
		.names = buf_view(&pd->asked_names),
		.user = session_name(pd->session, NAME_USER),
		.session = pd->vars,
		.startup = pd->startup,
		.server = pd->session->server->vars,
		.position = pd->is_tracked,
	};
}

bool
pooled_ends_on_error(const struct server *sv)
{
	struct slice value;

	return !vars_get(sv->reported, "crdb_version", &value);
}

HOT void
pooled_settled(struct server *sv)
{
	(void)vars_ref(sv->reported);
	vars_unref(sv->settled);
	sv->settled = sv->reported;
}

/* What the texts have done that went to the server since this was last said. */
static void
note_effects(struct pooled *pd)
{
	pd->effects |= statements_effects(pd->statements, &pd->names);
	if (pd->names.failed)
		pd->effects |= EFFECT_UNNAMED;
}

static void
take_findings(struct pooled *pd, struct session_findings *t)
{
	struct server *sv = pd->session->server;

	vars_unref(pd->vars);
	pd->vars = vars_ref(t->session);
	vars_unref(sv->vars);
	sv->vars = t->server != NULL ? vars_ref(t->server) : NULL;
	pooled_settled(sv);
	pd->pins = t->pins;
	note_effects(pd);
	if (t->pins & PIN_TEMP)
		statements_shadow(pd->statements, true);
	else if (!(t->pins & PINS_UNKNOWN) && !(pd->effects & EFFECTS_THAT_SHADOW))
		statements_shadow(pd->statements, false);
	pd->asked_effects = 0;
	buf_fini(&pd->asked_names);
	if (pd->is_tracked)
		pool_ops.on_position(pd->session, &t->position);
	session_probe_fini(t);
}

HOT bool
pooled_was_reset(struct pooled *pd)
{
	note_effects(pd);
	return ((pd->effects | pd->asked_effects) & EFFECT_SETTINGS_ALL) &&
	       vars_count(pd->startup) > 0;
}

HOT bool
pooled_suspects(struct pooled *pd, struct buf *sql)
{
	const struct server *sv = pd->session->server;
	struct session_question q;
	struct session_findings t;

	note_effects(pd);
	/* a function has changed what its caller's text does not name */
	if (sv->reported != sv->settled) {
		vars_put_changed(&pd->names, sv->settled, sv->reported);
		pd->effects |= EFFECT_SETTINGS;
	}
	if ((pd->effects | pd->asked_effects) == 0 && !pd->is_untold)
		return false;
	pd->is_untold = false;
	/* all of it is in question now */
	pd->asked_effects |= pd->effects;
	sqleffects_put_names(&pd->asked_names, buf_view(&pd->names));
	if (pd->asked_names.failed)
		pd->asked_effects |= EFFECT_UNNAMED;
	pd->effects = 0;
	buf_fini(&pd->names);
	q = question_of(pd);
	if (session_probe_is_wanted(&q)) {
		session_probe_put_query(sql, &q);
		return true;
	}
	session_probe_infer(&q, &t);
	take_findings(pd, &t);
	return false;
}

void
pooled_put_position_question(struct pooled *pd, struct buf *sql)
{
	struct session_question q = question_of(pd);

	session_probe_put_query(sql, &q);
}

void
pooled_learn(struct pooled *pd, const struct ask_answer *a)
{
	struct session_question q = question_of(pd);
	struct session_findings t;

	(void)session_probe_read(a->messages, &q, &t);
	take_findings(pd, &t);
}

/* ---- prepared statements ---- */

#define SERIAL_BITS 40 /* of vars_meaning(): the settings that there have ever been in a worker */

/* Texts mean what the settings say, as far as we know, and what the schema is that they are
 * prepared under: equal settings, and no change of the schema between, equal meaning. */
static uint64_t
meaning_of(struct pooled *pd)
{
	uint64_t changes =
	    atomic_load_explicit(&pd->pool->of_database->changes, memory_order_acquire);

	if (((pd->effects | pd->asked_effects) & EFFECTS_ON_MEANING) || (pd->pins & PINS_UNKNOWN))
		return 0;
	return vars_meaning(pd->vars) ^ changes << SERIAL_BITS;
}

static bool
takes_settings_back(struct pooled *pd, const struct frame *f)
{
	struct message_parse parse;
	struct message_bind bind;
	struct slice sql;

	if (f->type == MSG_QUERY && message_parse_query(f->body, &sql) == PARSE_DONE)
		return sqleffects(sql) & EFFECT_SETTINGS_ALL;
	if (f->type == MSG_FUNCTION_CALL)
		return calleffects(f->body, f->body.n, NULL) & EFFECT_SETTINGS_ALL;
	if (f->type == MSG_PARSE && message_parse_parse(f->body, &parse) == PARSE_DONE) {
		/* which statements take settings back is known by whether they have a name */
		bool resets = (sqleffects(parse.sql) & EFFECT_SETTINGS_ALL) != 0;

		if (parse.name.n == 0)
			pd->resets_unnamed = resets;
		else
			pd->resets_named |= resets;
	}
	if (f->type == MSG_BIND && message_parse_bind(f->body, &bind) == PARSE_DONE)
		return bind.statement.n == 0 ? pd->resets_unnamed : pd->resets_named;
	return false;
}

/* The same of a message of which only the beginning is here, so that what it says is not known:
 * true where it may take settings back. */
static bool
may_take_settings_back(struct pooled *pd, struct slice in)
{
	char type = in.n < FRAME_HEAD_BYTES ? '\0' : *in.p;
	bool is_named = in.n > FRAME_HEAD_BYTES && in.p[FRAME_HEAD_BYTES] != '\0';

	if (type == MSG_PARSE || type == '\0') {
		pd->resets_unnamed |= !is_named;
		pd->resets_named |= is_named || in.n <= FRAME_HEAD_BYTES;
	}
	if (type == MSG_FUNCTION_CALL)
		return calleffects(slice_skip(in, FRAME_HEAD_BYTES),
				   frame_total(in.p) - FRAME_HEAD_BYTES, NULL) &
		       EFFECT_SETTINGS_ALL;
	return type == '\0' || type == MSG_QUERY ||
	       (type == MSG_BIND && (pd->resets_unnamed || pd->resets_named));
}

/* In a session pool: whether settings of the StartupMessage may go. */
static void
look_for_resets(struct pooled *pd, struct slice in)
{
	struct frame f;

	in = slice_skip(in, exchange_client_rest(&pd->session->exchange, in.p, in.n));
	while (in.n > 0) {
		bool is_whole = frame_cut(in, INT32_MAX, &f) == PARSE_DONE;

		if (is_whole ? takes_settings_back(pd, &f) : may_take_settings_back(pd, in))
			pd->effects |= EFFECT_SETTINGS_ALL;
		if (!is_whole)
			return;
		in = slice_skip(in, f.total);
	}
}

HOT bool
pooled_rewrite(struct session *s, const char **p, size_t *n)
{
	struct pooled *pd = s->pooled;
	struct buf *out = &s->worker->rewritten;
	enum statements_verdict verdict;

	/* it has its server for good: names are the server's, also in SQL */
	if (pd->mode == POOL_SESSION) {
		if (vars_count(pd->startup) > 0)
			look_for_resets(pd, slice_of(*p, *n));
		return true;
	}
	buf_clear(out);
	verdict = statements_client(pd->statements, meaning_of(pd), *p, *n, out);
	note_effects(pd);
	switch (verdict) {
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

HOT bool
pooled_terminate(struct session *s, size_t n)
{
	if (exchange_is_idle(&s->exchange) && n == FRAME_HEAD_BYTES) {
		/* it is for us: the server stays */
		session_end(s, WHY_CLIENT_DONE);
		return false;
	}
	s->server->close_needed = true;
	return true;
}

/* What has waited for the server's answers goes on, as far as the server takes it. */
static void
statements_go_on(struct session *s)
{
	struct statements *c = s->pooled->statements;

	if (statements_waits(c) && !statements_goes_on(c))
		return;
	stream_want(&s->client, EV_READ | (s->client.interest & EV_WRITE));
	if (statements_goes_on(c))
		(void)relay_to_server(s, NULL, 0);
}

bool
pooled_on_server_drained(struct session *s)
{
	statements_go_on(s);
	if (s->state == SESSION_RELAY)
		pooled_settle(s);
	return true;
}

HOT void
pooled_answered(struct session *s, bool is_ready)
{
	if (statements_goes_on(s->pooled->statements) && !stream_is_blocked(&s->server->stream))
		statements_go_on(s);
	if (is_ready && s->state == SESSION_RELAY)
		pooled_settle(s);
}
