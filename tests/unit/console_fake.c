/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "tests/unit/console_fake.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/authcache.h"
#include "proxy/auth/throttle.h"
#include "proxy/move/pause.h"
#include "proxy/move/rehome.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/show.h"
#include "proxy/process/control.h"
#include "proxy/reads/catalog.h"
#include "proxy/reads/reads.h"
#include "proxy/reads/reasons.h"
#include "proxy/session/route.h"

/* ---- proxy/process/worker.h ---- */

struct meridian *
worker_process(struct worker *w)
{
	return &w->fake->meridian;
}

int
worker_id(const struct worker *w)
{
	return w->id;
}

const readtally_list *
worker_reads(const struct worker *w)
{
	static readtally_list none;

	(void)w;
	return &none;
}

const struct stats *
worker_stats(const struct worker *w)
{
	return &w->stats;
}

static void
post(struct fake *f, struct worker *to, struct letter *letter)
{
	BUG_ON(f->nletters == FAKE_LETTERS);
	f->letters[f->nletters].letter = letter;
	f->letters[f->nletters++].to = to;
}

void
worker_post(struct worker *w, struct letter *take_letter, letter_fn deliver)
{
	take_letter->deliver = deliver;
	post(w->fake, w, take_letter);
}

unsigned
worker_nsessions(const struct worker *w)
{
	return w->nslots;
}

struct world *
worker_world(struct worker *w)
{
	return &w->fake->world;
}

const struct fingerprints *
worker_fingerprints(const struct worker *w)
{
	(void)w;
	return NULL;
}

struct pool_list *
pools_of_worker(const struct worker *w)
{
	return &w->fake->pools;
}

unsigned
worker_nslots(const struct worker *w)
{
	return w->nslots;
}

struct session *
worker_session_at(const struct worker *w, unsigned slot)
{
	return w->sessions[slot].facts.id > 0 ? &w->sessions[slot] : NULL;
}

struct session *
session_by_id(const struct worker *w, uint64_t id)
{
	for (unsigned i = 0; i < w->nslots; i++)
		if (w->sessions[i].facts.id == id)
			return &w->sessions[i];
	return NULL;
}

/* ---- proxy/session ---- */

void
session_close(struct session *s, enum why why, const char *detail)
{
	(void)detail;
	s->closed = why;
}

void
session_facts(const struct session *s, bool deep, struct session_facts *out)
{
	*out = s->facts;
	if (deep)
		out->client_rtt_us = 1500;
}

const struct claims *
session_claims(const struct session *s)
{
	return &s->claims;
}

size_t
session_history(const struct session *s, struct session_step *out, size_t max)
{
	static const struct session_step steps[] = {
		{ 0, "preface", "" },
		{ 1000000, "attaching", "db1:5432" },
	};
	size_t n = max < 2 ? max : 2;

	(void)s;
	memcpy(out, steps, n * sizeof(steps[0]));
	return n;
}

/* ---- proxy/pool/show.h, proxy/move/pause.h ---- */

void
pools_show(struct worker *w, void (*row)(void *arg, const struct pool_facts *f), void *arg)
{
	const struct pool_facts f = {
		.database = "movr",
		.user = "app",
		.region = "us-east1",
		.node = "db1:5432",
		.options = "",
		.mode = "transaction",
		.reason = "",
		.cl_active = 5,
		.cl_waiting = 2,
		.sv_used = 3,
		.sv_idle = 1,
		.size = 10,
		.lent = 7,
		.maxwait_us = 1500000,
	};

	if (w->nslots > 0)
		row(arg, &f);
}

void
pools_show_servers(struct worker *w, void (*row)(void *arg, const struct server_facts *f),
		   void *arg)
{
	const struct server_facts f = {
		.database = "movr",
		.user = "app",
		.region = "us-west1",
		.node = "db3:5432",
		.state = "idle",
		.mode = "transaction",
		.tls = "TLSv1.3",
		.tls_cipher = "TLS_AES_256_GCM_SHA384",
		.pid = 77,
		.prepared = 4,
		.rtt_us = -1,
	};

	if (w->nslots > 0)
		row(arg, &f);
}

unsigned
pools_renew(struct worker *w, const char *database, const char *region)
{
	return database == NULL && region == NULL ? w->nslots : 0;
}

size_t
pause_count(const struct worker *w)
{
	return w->nslots > 0 && w->id == 1 ? 1 : 0;
}

void
pause_facts(const struct worker *w, size_t i, struct pause_facts *out)
{
	(void)w;
	(void)i;
	*out = (struct pause_facts){ .pause.scope.database = "movr", .held = 3, .open = 1 };
}

/* ---- proxy/move/rehome.h: only session 4 can be moved, and not to us-west1 ---- */

bool
rehome_can(const struct session *s, const char **why)
{
	*why = s->facts.id == 4 ? "" : "temp table";
	return **why == '\0';
}

enum rehome_stage
rehome_stage(const struct session *s)
{
	(void)s;
	return REHOME_NONE;
}

struct node_live *
rehome_choose(struct session *s, const char *region, struct err *e)
{
	static struct node_live live;

	(void)s;
	if (region != NULL && strcmp(region, "us-west1") == 0) {
		err_set(e, SQLSTATE_OBJECT_NOT_IN_STATE, "no node of region us-west1");
		return NULL;
	}
	return &live;
}

void
rehome_to(struct session *s, enum rehome_stage goal, const struct rehome_want *want)
{
	struct err e;

	(void)goal;
	(void)err_set(&e, SQLSTATE_CONNECTION_FAILURE, "in vain");
	want->done(want->arg, s, want->live != NULL ? NULL : &e);
}

void
locate_route(const struct world *w, const struct route_wish *wish, struct route *out)
{
	const struct conf_database *db = config_database(w->config, wish->database);
	struct route_input in = {
		.topology = w->topology,
		.locality = wish->locality,
		.nearest = NEAREST_CALLER,
		.access = wish->access,
		.sticky_region = wish->sticky_region,
		.seed = wish->seed,
		.now_us = 1000000,
	};
	uint16_t served[8];

	for (size_t i = 0; i < db->regions.n; i++)
		served[in.nserved++] =
		    (uint16_t)topology_region_by_name(w->topology, slice_str(db->regions.v[i]));
	in.served = in.nserved > 0 ? served : NULL;
	route_decide(&in, out);
}

const struct authority *
locate_authority(const struct world *w, struct slice database)
{
	(void)w;
	(void)database;
	return NULL;
}

struct slice
locate_dbname(const struct world *w, struct slice database)
{
	(void)w;
	return database;
}

/* ---- proxy/reads ---- */

struct catalog *
catalog_find(uint32_t node, const char *dbname, int64_t now_us)
{
	(void)node;
	(void)dbname;
	(void)now_us;
	return NULL;
}

void
catalog_unref(struct catalog *c)
{
	(void)c;
}

bool
reads_knows(const struct worker *w, struct slice fingerprint, unsigned *reason)
{
	(void)w;
	(void)fingerprint;
	(void)reason;
	return false;
}

void
reads_explain(struct session *s, struct reads_place *out)
{
	(void)s;
	*out = (struct reads_place){ .reason = READS_NO_POSITION, .floor = 0x500000060 };
}

/* ---- proxy/move/migrations.h: the pointer to them is the fake ---- */

void
call_item_free(struct call_item *item)
{
	for (size_t i = 0; i < item->n; i++)
		free(item->values[i]);
	free(item->values);
	free(item->notice);
	free(item->line);
	free(item);
}

static void
print_request(const struct migration_request *rq, char *to, size_t size)
{
	static const char *const verbs[] = {
#define VERB(constant, words) words,
		MIGRATION_VERBS(VERB)
#undef VERB
	};
	const char *const given[] = { rq->migration, rq->text,     rq->phase, rq->argument,
				      rq->argument2, rq->deadline, rq->force, rq->statement };
	size_t at = (size_t)snprintf(to, size, "%s by %s from %s%s%s", verbs[rq->verb], rq->user,
				     rq->address, rq->nowait ? " nowait" : "",
				     rq->is_forced ? " forced" : "");

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (given[i] != NULL)
			at += (size_t)snprintf(to + at, size - at, " [%s]", given[i]);
}

struct migration_call *
call_start(struct proxy_migrations *pm, const struct migration_request *rq, struct err *e)
{
	struct migration_call *c = &((struct fake *)pm)->call;

	if (rq->text != NULL && strcmp(rq->text, "too many") == 0) {
		err_set(e, "53300", "too many");
		return NULL;
	}
	*c = (struct migration_call){ .last = &c->first };
	print_request(rq, c->asked, sizeof(c->asked));
	return c;
}

enum call_state
call_take(struct migration_call *c, struct call_item **item, bool *failed, struct err *e,
	  void (*wake)(void *arg), void *arg)
{
	*item = c->first;
	if (c->first != NULL) {
		c->first = c->first->next;
		if (c->first == NULL)
			c->last = &c->first;
		return CALL_SAYS;
	}
	*failed = c->failed;
	*e = c->err;
	if (c->over)
		return CALL_OVER;
	c->wake = wake;
	c->arg = arg;
	return CALL_WAITS;
}

void *
call_drop(struct migration_call *c)
{
	void *arg = c->wake != NULL ? c->arg : NULL;

	c->wake = NULL;
	c->dropped = true;
	while (c->first != NULL) {
		struct call_item *item = c->first;

		c->first = item->next;
		call_item_free(item);
	}
	c->last = &c->first;
	return arg;
}

static void
say(struct fake *f, struct call_item *item)
{
	struct migration_call *c = &f->call;
	void (*wake)(void *arg) = c->wake;

	c->wake = NULL;
	if (item != NULL) {
		*c->last = item;
		c->last = &item->next;
	}
	if (wake != NULL)
		wake(c->arg);
}

void
fake_say_row(struct fake *f, const char *values)
{
	struct call_item *item = xcalloc(1, sizeof(*item));
	struct slice rest = slice_str(values);

	item->kind = CALL_ROW;
	while (rest.p != NULL) {
		struct slice v = slice_cut(&rest, '|');

		item->values = xreallocarray(item->values, item->n + 1, sizeof(*item->values));
		item->values[item->n++] = slice_is(v, "-") ? NULL : xstrndup(v.p, v.n);
	}
	say(f, item);
}

void
fake_say_notice(struct fake *f, const char *text)
{
	struct call_item *item = xcalloc(1, sizeof(*item));

	item->kind = CALL_NOTICE;
	snprintf(item->severity, sizeof(item->severity), "NOTICE");
	item->notice = xcalloc(1, sizeof(*item->notice));
	err_set(item->notice, "00000", "%s", text);
	say(f, item);
}

void
fake_say_line(struct fake *f, const char *text)
{
	struct call_item *item = xcalloc(1, sizeof(*item));

	item->kind = CALL_LINE;
	item->line = xstrdup(text);
	say(f, item);
}

void
fake_call_ends(struct fake *f, const char *sqlstate, const char *error)
{
	f->call.over = true;
	f->call.failed = error != NULL;
	if (error != NULL)
		err_set(&f->call.err, sqlstate, "%s", error);
	say(f, NULL);
}

/* ---- proxy/process/control.h ---- */

static void
control_work(struct letter *letter, void *owner)
{
	struct control_request *q = (struct control_request *)letter;
	struct control *c = &((struct worker *)owner)->fake->control;

	c->last = *q;
	if (c->refuse.msg[0] != '\0') {
		q->failed = true;
		q->err = c->refuse;
	}
	snprintf(q->tag, sizeof(q->tag), "TAG");
	worker_post(q->from, &q->letter, q->reply);
}

static void
request(struct control *c, struct control_request *take_request)
{
	worker_post(&c->fake->workers[0], &take_request->letter, control_work);
}

const struct control_ops control_ops = { .request = request };

/* ---- proxy/process/world.h ---- */

struct world *
world_ref(struct world *w)
{
	refcount_get(&w->refs);
	return w;
}

void
world_unref(struct world *w)
{
	BUG_ON(refcount_put(&w->refs)); /* the fake keeps one */
}

/* ---- the test's side ---- */

static bool
port_send(void *owner, const char *p, size_t n)
{
	struct fake *f = owner;

	f->sends++;
	buf_put(&f->got, p, n);
	return !f->full;
}

static void
port_close(void *owner)
{
	((struct fake *)owner)->closed = true;
}

static void
add_region(struct topology *t, const char *name, double lat, double lon, const char *host)
{
	uint16_t i = topology_add_region(t, name);
	struct node *n = topology_add_node(t, host, 5432, NULL);

	region_set_location(&t->regions[i], lat, lon);
	n->state = NODE_UP;
	n->role = ROLE_PRIMARY;
	n->kind = KIND_POSTGRES;
	n->server_version = 150006;
	n->rtt_us = 12345;
	n->lag_us = n->lag_bytes = -1;
}

static struct topology *
make_topology(void)
{
	struct topology *t = topology_new();
	struct node *n;

	t->self_region = 0;
	add_region(t, "us-east1", 33.84, -81.16, "db1");
	n = topology_add_node(t, "db2", 5432, NULL);
	n->state = NODE_DOWN;
	snprintf(n->reason, sizeof(n->reason), "connection refused");
	strlist_add(&t->regions[0].cities, "new york");
	add_region(t, "us-west1", 45.59, -121.18, "db3");
	add_region(t, "europe-west1", 50.45, 3.82, "db4");
	topology_add_override(t, OVERRIDE_COUNTRY, "JP", 1, 0);
	return t;
}

static struct config *
make_config(void)
{
	struct config_args args = { .path = "/dev/null" };
	struct config *config;
	struct err e = { 0 };

	strlist_add(&args.regions, "us-east1=db1:5432,db2:5432");
	strlist_add(&args.regions, "us-west1=db3:5432");
	strlist_add(&args.regions, "europe-west1=db4:5432");
	strlist_add(&args.set, "admin_users=admin");
	strlist_add(&args.set, "stats_users=monitor, eve");
	config = config_load(&args, &e);
	if (config == NULL)
		fprintf(stderr, "# %s\n", e.msg);
	BUG_ON(config == NULL);
	strlist_fini(&args.regions);
	strlist_fini(&args.set);
	return config;
}

struct fake *
fake_new(void)
{
	static const uint8_t secret[THROTTLE_SECRET_BYTES];
	struct fake *f = xcalloc(1, sizeof(*f));

	log_set_level(LOG_LEVEL_ERROR);
	for (int i = 0; i < FAKE_WORKERS; i++) {
		f->workers[i].fake = f;
		f->workers[i].id = i + 1;
		f->pointers[i] = &f->workers[i];
	}
	f->control.fake = f;
	f->meridian.workers = f->pointers;
	f->meridian.nworkers = FAKE_WORKERS;
	f->meridian.control = &f->control;
	f->meridian.migrations = (struct proxy_migrations *)f;
	f->meridian.throttle = throttle_new(secret);
	f->meridian.authcache = authcache_new(10, 10);
	TAILQ_INIT(&f->pools);
	refcount_init(&f->world.refs);
	f->world.config = make_config();
	f->meridian.begun = f->world.config;
	f->world.topology = make_topology();
	return f;
}

void
fake_sessions(struct fake *f, unsigned n)
{
	for (int w = 0; w < FAKE_WORKERS; w++) {
		f->workers[w].sessions = xcalloc(n, sizeof(struct session));
		f->workers[w].nslots = n;
		for (unsigned i = 0; i < n; i++) {
			struct session *s = &f->workers[w].sessions[i];

			s->facts = (struct session_facts){
				.id = 2 * i + (unsigned)w + 1,
				.worker = w + 1,
				.database = SLICE_LITERAL("movr"),
				.user = i % 2 == 0 ? SLICE_LITERAL("app") : SLICE_LITERAL("other"),
				.application_name = slice_of("caf\xe9", 4),
				.listener = "main",
				.state = "idle",
				.city = "paris",
				.country = "FR",
				.source = SOURCE_STARTUP,
				.confidence = CONFIDENCE_CITY,
				.tls = "",
				.auth = "trust",
				.hba_line = 7,
				.client_rtt_us = -1,
				.server_rtt_us = -1,
				.move_block = "",
				.home = "us-east1",
				.node = "db1:5432",
				.server_pid = 4711,
				.transport = "tcp",
				.target = "",
			};
			claims_add(&s->claims, SOURCE_STARTUP, CLAIM_CITY, false,
				   slice_str("paris"));
		}
	}
}

void
fake_open(struct fake *f, enum privilege privilege)
{
	struct console_port port = { f, port_send, port_close, 1 };

	f->console = console_new(&f->workers[0], &port, privilege, "ada", "192.0.2.7");
}

bool
fake_deliver(struct fake *f)
{
	struct letter *letter;
	struct worker *to;

	if (f->nletters == 0)
		return false;
	letter = f->letters[0].letter;
	to = f->letters[0].to;
	f->nletters--;
	memmove(&f->letters[0], &f->letters[1], f->nletters * sizeof(f->letters[0]));
	letter->deliver(letter, to);
	return true;
}

void
fake_settle(struct fake *f)
{
	while (fake_deliver(f))
		;
}

void
fake_free(struct fake *f)
{
	console_free(f->console);
	fake_settle(f);
	for (int w = 0; w < FAKE_WORKERS; w++) {
		for (unsigned i = 0; i < f->workers[w].nslots; i++)
			claims_fini(&f->workers[w].sessions[i].claims);
		free(f->workers[w].sessions);
	}
	config_unref(f->world.config);
	topology_unref(f->world.topology);
	gazetteer_unref(f->world.gazetteer);
	authcache_free(f->meridian.authcache);
	throttle_free(f->meridian.throttle);
	buf_fini(&f->got);
	free(f);
}

/* ---- messages as text ---- */

static void
print_row_description(struct slice body, struct buf *out)
{
	uint16_t n = get_u16(body.p);

	body = slice_skip(body, 2);
	buf_str(out, "T(");
	for (uint16_t i = 0; i < n; i++) {
		struct slice name = slice_of(body.p, strlen(body.p));

		body = slice_skip(body, name.n + 1);
		buf_printf(out, "%s%.*s:%u%s", i > 0 ? " " : "", (int)name.n, name.p,
			   get_u32(body.p + 6), get_u16(body.p + 16) != 0 ? ":b" : "");
		body = slice_skip(body, 18);
	}
	buf_str(out, ")");
}

/* Binary values show their bytes. */
static void
print_value(struct slice value, struct buf *out)
{
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] >= 0 && value.p[i] < ' ')
			buf_printf(out, "\\%d", value.p[i]);
		else
			buf_u8(out, (uint8_t)value.p[i]);
	}
}

static void
print_row(struct slice body, struct buf *out)
{
	uint16_t n = get_u16(body.p);

	body = slice_skip(body, 2);
	buf_str(out, "D[");
	for (uint16_t i = 0; i < n; i++) {
		uint32_t length = get_u32(body.p);

		body = slice_skip(body, 4);
		if (i > 0)
			buf_u8(out, '|');
		if (length == UINT32_MAX)
			continue;
		print_value(slice_of(body.p, length), out);
		body = slice_skip(body, length);
	}
	buf_str(out, "]");
}

static void
print_message(const struct frame *m, struct buf *out)
{
	struct message_report report;

	if (m->type == MSG_ROW_DESCRIPTION) {
		print_row_description(m->body, out);
	} else if (m->type == MSG_DATA_ROW) {
		print_row(m->body, out);
	} else if (m->type == MSG_ERROR || m->type == MSG_NOTICE) {
		BUG_ON(message_parse_report(m->body, &report) != PARSE_DONE);
		buf_printf(out, "%c(%.*s %.*s)", m->type, (int)report.sqlstate.n, report.sqlstate.p,
			   (int)report.message.n, report.message.p);
	} else if (m->type == MSG_COMMAND_COMPLETE) {
		buf_printf(out, "C(%s)", m->body.p);
	} else if (m->type == MSG_PARAMETER_DESCRIPTION) {
		buf_str(out, "t(");
		for (uint16_t i = 0; i < get_u16(m->body.p); i++)
			buf_printf(out, "%s%u", i > 0 ? " " : "", get_u32(m->body.p + 2 + 4 * i));
		buf_str(out, ")");
	} else {
		buf_printf(out, "%c", m->type);
	}
}

void
fake_print(struct fake *f, struct buf *out)
{
	struct slice rest = buf_view(&f->got);
	struct frame m;

	while (rest.n > 0) {
		BUG_ON(frame_cut(rest, UINT32_MAX, &m) != PARSE_DONE);
		if (out->n > 0)
			buf_u8(out, ' ');
		print_message(&m, out);
		rest = slice_skip(rest, m.total);
	}
	buf_clear(&f->got);
}

void
fake_types(struct fake *f, struct buf *out)
{
	struct frame m;

	for (struct slice rest = buf_view(&f->got); rest.n > 0; rest = slice_skip(rest, m.total)) {
		BUG_ON(frame_cut(rest, UINT32_MAX, &m) != PARSE_DONE);
		buf_u8(out, (uint8_t)m.type);
	}
	buf_clear(&f->got);
}
