/* SPDX-License-Identifier: PostgreSQL
 *
 * EXPLAIN ROUTE and EXPLAIN LOCALITY: where a caller that came now would be sent, and why; EXPLAIN
 * ROUTE QUERY: where a query of that caller would run. The subject takes the place of the claims
 * that such a caller would make; a session's own claims are weighed on the worker that has it.
 * Without a subject the session of this console is explained.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/words.h"
#include "protocol/http.h"
#include "protocol/sqlstate.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/explain.h"
#include "proxy/admin/fanout.h"
#include "proxy/admin/subject.h"
#include "proxy/process/worker.h"
#include "proxy/reads/near.h"
#include "proxy/reads/reads.h"
#include "proxy/reads/reasons.h"
#include "proxy/session/route.h"
#include "proxy/session/session.h"
#include "routing/headers.h"
#include "routing/sticky.h"

#define SUBJECT                                                                            \
	"[[FOR] (CITY <city> | COUNTRY <country> | REGION <region> | ADDRESS <address> | " \
	"LOCATION <location> | HEADER <header> [FROM <peer>] | SESSION <id>) | FOR <subject>]"

/* How a subject becomes a claim: as a caller would have made it. Of the row of a header only the
 * source is used, because what a header claims depends on the option header_names. */
static const struct subject {
	const char *argument;
	enum locality_source source;
	enum claim_kind kind;
	bool trusted;
} subjects[] = {
	{ "city", SOURCE_STARTUP, CLAIM_CITY, false },
	{ "country", SOURCE_STARTUP, CLAIM_COUNTRY, false },
	{ "region", SOURCE_STARTUP, CLAIM_REGION, false },
	{ "location", SOURCE_STARTUP, CLAIM_LOCATION, false },
	{ "address", SOURCE_GEOIP, CLAIM_ADDRESS, true },
	{ "header", SOURCE_HEADER, CLAIM_CITY, true },
};

/* What the operator asks about. */
struct asked {
	const struct subject *subject; /* NULL: a session */
	const char *value;             /* NULL: the session of this console */
};

/* The kind that the subject of `FOR <subject>` is taken for; NULL: no subject was given so, or it
 * is of no kind. */
static const char *
guessed_kind(const struct run *r)
{
	const char *text = run_arg(r, "subject");

	if (text == NULL)
		return NULL;
	return subject_guess(slice_str(text),
			     topology_region_by_name(r->world->topology, slice_str(text)) >= 0);
}

static struct asked
what_is_asked(const struct run *r)
{
	const char *kind = guessed_kind(r);

	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		const char *name = subjects[i].argument;

		if (kind != NULL ? strcmp(name, kind) == 0 : run_arg(r, name) != NULL)
			return (struct asked){ &subjects[i],
					       run_arg(r, kind != NULL ? "subject" : name) };
	}
	return (struct asked){ NULL, run_arg(r, kind != NULL ? "subject" : "id") };
}

/* ---- what is asked ---- */

static bool
valid_location(const char *text)
{
	struct slice rest = slice_str(text), lat = slice_trim(slice_cut(&rest, ','));
	double a, b;

	return text_to_double(lat, &a) && text_to_double(slice_trim(rest), &b) && a >= -90 &&
	       a <= 90 && b >= -180 && b <= 180;
}

/* Parses the headers of the subject, one line or several, where a line break may also be written
 * \n; *head points into `text`. */
static int
parse_headers(struct run *r, struct buf *text, struct http_head *head)
{
	const char *value = run_arg(r, "header");
	struct http_error he = { 0 };
	size_t used;

	buf_str(text, "GET / HTTP/1.1\r\nHost: localhost\r\n");
	for (const char *p = value; *p != '\0'; p++) {
		bool escaped = p[0] == '\\' && p[1] == 'n';

		if (escaped)
			p++;
		if (escaped || *p == '\n')
			buf_str(text, "\r\n");
		else if (*p != '\r')
			buf_u8(text, (uint8_t)*p);
	}
	buf_str(text, "\r\n\r\n");
	if (http_parse_head(buf_view(text), SIZE_MAX, head, &used, &he) == PARSE_DONE)
		return 0;
	err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%.100s\" is no header: %s", value,
		he.text != NULL ? he.text : "it does not end");
	return err_hint(&r->err, "Write it as in HTTP: 'X-City: paris'.");
}

static int
check_subject(struct run *r, const struct subject *s, const char *value)
{
	const char *peer = run_arg(r, "peer");
	struct buf text = { 0 };
	struct http_head head;
	struct addr a;
	int rc = 0;

	if (s->source == SOURCE_HEADER)
		rc = parse_headers(r, &text, &head);
	buf_fini(&text);
	if (rc != 0)
		return rc;
	if (s->kind == CLAIM_ADDRESS && !addr_parse(slice_trim(slice_str(value)), &a))
		return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no IP address",
			       value);
	if (s->source == SOURCE_HEADER && peer != NULL && !addr_parse(slice_str(peer), &a))
		return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no IP address",
			       peer);
	if (s->kind == CLAIM_LOCATION && !valid_location(value)) {
		err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no location", value);
		return err_hint(&r->err, "Write degrees as '48.85,2.35': latitude, longitude.");
	}
	if (s->kind == CLAIM_COUNTRY && strlen(value) != 2)
		return err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE,
			       "\"%s\" is no ISO 3166 country code of two letters", value);
	return 0;
}

/* Tells the operator what the text behind FOR is taken for. */
static int
notice_guess(struct run *r)
{
	const char *text = run_arg(r, "subject"), *kind = guessed_kind(r);
	struct err e = { 0 };

	if (text == NULL)
		return 0;
	if (kind == NULL) {
		err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE,
			"\"%.100s\" is no address, location, session, region or city", text);
		return err_hint(&r->err, "Write FOR '81.2.69.142', '48.85,2.35', 'paris', or the "
					 "id of a session.");
	}
	err_set(&e, "00000", "'%.100s' is taken for %s %s", text, subject_article(kind), kind);
	run_notice(r, "NOTICE", &e);
	return 0;
}

/* ---- what is answered ---- */

/* What the assumed caller would say, and from which address it would come. */
struct caller {
	struct claims claims;
	struct addr address;
};

static void
claim_headers(struct run *r, struct caller *c)
{
	const struct conf_main *conf = &r->world->config->main;
	struct header_rules rules = { .names = &conf->header_names,
				      .trusted = &conf->trusted_proxies,
				      .hops = (unsigned)conf->trusted_hops };
	const char *peer = run_arg(r, "peer");
	struct err e = { 0 };
	struct buf text = { 0 };
	struct http_head head;
	char address[ADDR_TEXT_MAX];
	bool trusted;

	if (peer != NULL)
		(void)addr_parse(slice_str(peer), &c->address);
	trusted = peer == NULL || cidrlist_has(&conf->trusted_proxies, &c->address);
	if (parse_headers(r, &text, &head) == 0) {
		headers_claim(&rules, &head, trusted, &c->claims, &c->address);
		if (headers_count(&rules, &head) == 0) {
			err_set(&e, "01000", "no such header is in header_names");
			err_hint(&e, "SHOW CONFIG has the option header_names: sets of headers, or "
				     "NAME:KIND.");
			run_notice(r, "NOTICE", &e);
		}
	}
	if (c->address.family != ADDR_NONE)
		claims_add(&c->claims, SOURCE_GEOIP, CLAIM_ADDRESS, true,
			   slice_str(addr_print_ip(&c->address, address)));
	buf_fini(&text);
}

/* Tells the operator that the subject did not decide, where another source did. */
static void
notice_unused(struct run *r, const struct subject *s, const struct explained *x)
{
	struct err e = { 0 };

	if (x->locality.source == s->source)
		return;
	for (size_t i = 0; i < x->nevidence; i++) {
		if (x->evidence[i].source != s->source)
			continue;
		err_set(&e, "01000", "the %s did not decide where the caller is: %s", s->argument,
			x->evidence[i].outcome);
		err_hint(&e, "EXPLAIN LOCALITY with the same subject says what did.");
		run_notice(r, "NOTICE", &e);
	}
}

static struct route_wish
wish_of(const struct run *r, const struct addr *address, const struct conf_database *db,
	const struct explained *x)
{
	const char *access = run_arg(r, "access");

	return (struct route_wish){
		.database = slice_str(run_arg(r, "database")),
		.access = access != NULL ? (enum access)words_find(access_words, slice_str(access))
					 : db->access,
		.locality = &x->locality,
		.sticky_region = -1,
		.seed = sticky_key(&x->locality, address),
	};
}

static void
route_of_subject(struct run *r, const struct route_wish *wish)
{
	struct route *route = xcalloc(1, sizeof(*route));

	locate_route(r->world, wish, route);
	explain_route_rows(r->world, route, &r->rows);
	free(route);
}

static void
query_of_subject(struct run *r, struct route_wish wish)
{
	const struct topology *t = r->world->topology;
	struct route *route = xcalloc(1, sizeof(*route));
	const struct conf_database *db = config_database(r->world->config, wish.database);
	struct reads_place place = { .is_nearest = db->reads == READS_NEAREST,
				     .reason = READS_NO_NEARER };

	locate_route(r->world, &wish, route);
	if (route->nnodes > 0)
		place.home = &t->nodes[route->nodes[0]];
	wish.access = ACCESS_ANY;
	locate_route(r->world, &wish, route);
	if (place.home != NULL && locate_authority(r->world, wish.database) == NULL)
		place.near =
		    near_find(t, route, place.home,
			      (int64_t)db->consistency_bound_ms * USEC_PER_MSEC, clock_us());
	if (place.near != NULL)
		place.reason = CLASSIFY_READ;
	explain_query_row(r->world, slice_str(run_arg(r, "sql")), wish.database, &place, &r->rows);
	free(route);
}

static enum step
explain_row(struct run *r)
{
	const struct conf_database *db =
	    config_database(r->world->config, slice_str(run_arg(r, "database")));
	struct asked asked = what_is_asked(r);
	const struct subject *s = asked.subject;
	struct caller caller = { 0 };
	struct slice value;
	struct explained x;

	if (s == NULL)
		return fanout_row(r);
	value = slice_trim(slice_str(asked.value));
	if (s->kind == CLAIM_ADDRESS)
		(void)addr_parse(value, &caller.address);
	if (s->source == SOURCE_HEADER)
		claim_headers(r, &caller);
	else
		claims_add(&caller.claims, s->source, s->kind, s->trusted, value);
	explain_locality(r->world, &caller.claims, db, &x);
	if (r->command->columns == explain_locality_columns) {
		explain_locality_rows(r->world, &x, &r->rows);
	} else {
		struct route_wish wish = wish_of(r, &caller.address, db, &x);

		notice_unused(r, s, &x);
		if (r->command->columns == explain_query_columns)
			query_of_subject(r, wish);
		else
			route_of_subject(r, &wish);
	}
	claims_fini(&caller.claims);
	return STEP_DONE;
}

/* ---- on the worker that has the session ---- */

/* Explains the session with its own database and access, unless the operator has named others.
 * False: this worker does not have the session. */
static bool
explain_session(struct fanout *a, struct route_wish *wish, struct explained *x)
{
	const struct session *s = session_by_id(a->to, a->id);
	const struct world *w = worker_world(a->to);
	const struct conf_database *db;
	struct session_facts facts;

	if (s == NULL)
		return false;
	session_facts(s, false, &facts);
	wish->database = a->database != NULL ? slice_str(a->database) : facts.database;
	db = config_database(w->config, wish->database);
	wish->access = a->access != NULL
			   ? (enum access)words_find(access_words, slice_str(a->access))
		       : a->database != NULL ? db->access
					     : facts.access;
	wish->locality = &x->locality;
	wish->sticky_region = -1;
	wish->seed = a->id;
	explain_locality(w, session_claims(s), db, x);
	return true;
}

static enum answer
route_answer(struct fanout *a)
{
	struct route_wish wish = { 0 };
	struct explained x;
	struct route *route;

	if (!explain_session(a, &wish, &x))
		return ANSWER_NEXT;
	route = xcalloc(1, sizeof(*route));
	locate_route(worker_world(a->to), &wish, route);
	explain_route_rows(worker_world(a->to), route, &a->rows);
	free(route);
	return ANSWER_STOP;
}

static enum answer
locality_answer(struct fanout *a)
{
	struct route_wish wish = { 0 };
	struct explained x;

	if (!explain_session(a, &wish, &x))
		return ANSWER_NEXT;
	explain_locality_rows(worker_world(a->to), &x, &a->rows);
	return ANSWER_STOP;
}

static enum answer
query_answer(struct fanout *a)
{
	struct session *s = session_by_id(a->to, a->id);
	struct session_facts facts;
	struct reads_place place;
	struct slice database;

	if (s == NULL)
		return ANSWER_NEXT;
	session_facts(s, false, &facts);
	database = a->database != NULL ? slice_str(a->database) : facts.database;
	reads_explain(s, &place);
	explain_query_row(worker_world(a->to), slice_str(a->tally), database, &place, &a->rows);
	return ANSWER_STOP;
}

/* Asks the worker that has the session. */
static struct fanout *
ask_worker(struct run *r)
{
	struct fanout *a;

	if (r->command->columns == explain_locality_columns)
		return fanout_begin(r, locality_answer);
	if (r->command->columns == explain_route_columns)
		return fanout_begin(r, route_answer);
	a = fanout_begin(r, query_answer);
	a->tally = run_arg_dup(r, "sql");
	a->tally_free = free;
	return a;
}

static int
explain_begin(struct run *r)
{
	const char *access = run_arg(r, "access");
	struct asked asked = what_is_asked(r);
	struct err e = { 0 };
	struct fanout *a;

	if (notice_guess(r) != 0)
		return -1;
	if (access != NULL && words_find(access_words, slice_str(access)) < 0) {
		err_set(&r->err, SQLSTATE_INVALID_PARAMETER_VALUE, "\"%s\" is no access", access);
		return err_hint(&r->err, "One of any, read-write, read-only, primary, standby, "
					 "prefer-standby.");
	}
	if (asked.subject != NULL)
		return check_subject(r, asked.subject, asked.value);
	a = ask_worker(r);
	a->database = run_arg_dup(r, "database");
	a->access = run_arg_dup(r, "access");
	if (asked.value != NULL)
		return fanout_take_id(r, a, asked.value);
	a->id = run_session(r);
	err_set(&e, "00000", "this connection is explained: session %llu",
		(unsigned long long)a->id);
	run_notice(r, "NOTICE", &e);
	return 0;
}

static const struct command commands[] = {
	{ .words = "EXPLAIN ROUTE",
	  .args = SUBJECT " [DATABASE <database>] [USER <user>] [ACCESS <access>]",
	  COLUMNS(explain_route_columns),
	  .begin = explain_begin,
	  .row = explain_row,
	  .end = fanout_end,
	  .help = "every region in the order in which this caller would get it, and why; without a "
		  "caller: this connection",
	  .brief = "every region in the order in which a caller would get it",
	  .example = "EXPLAIN ROUTE FOR 'paris' ACCESS read-write",
	  .answer =
	      "1|europe-west1|10.1.10.15:5432|chosen|named by the caller or the "
	      "operator|206.5|1.249|0|0.01|207.5\n"
	      "2|us-east1|10.0.10.15:5432|standby|usable, but farther|6778.1|4.473|0|0.01|6779.2" },
	{ .words = "EXPLAIN ROUTE QUERY",
	  .args = "<sql> " SUBJECT " [DATABASE <database>]",
	  COLUMNS(explain_query_columns),
	  .begin = explain_begin,
	  .row = explain_row,
	  .end = fanout_end,
	  .help = "whether a query reads or writes, and why (the function, operator or statement "
		  "that decided); where it would run, near with reads = nearest alone; the standby "
		  "that would be read, what that had replayed when it was last probed, and how far "
		  "it is behind; of a session, what must have been replayed for it (floor). It is "
		  "not run",
	  .brief = "whether a query reads, and which standby would run it",
	  .example = "EXPLAIN ROUTE QUERY 'SELECT nextval(''s'')' CITY 'paris'",
	  .answer = "write|home|FUNCTION|nextval|calls a function that may write, or is not "
		    "known|us-east1|10.0.10.15:5432|europe-west1|10.1.10.15:5432||0/5000060|4.1" },
	{ .words = "EXPLAIN LOCALITY",
	  .args = SUBJECT " [DATABASE <database>]",
	  COLUMNS(explain_locality_columns),
	  .begin = explain_begin,
	  .row = explain_row,
	  .end = fanout_end,
	  .help = "which source says what about where this caller is, which one wins, and why; "
		  "without a caller: this connection",
	  .brief = "which source says what about where a caller is",
	  .example = "EXPLAIN LOCALITY FOR 'paris'",
	  .answer = "startup|city|paris|f|t|city of region europe-west1\n"
		    "self|region||t|f|this proxy stands in region us-east1\n"
		    "override||||f|says nothing" },
};

COMMAND_TABLE(commands_explain, commands);
