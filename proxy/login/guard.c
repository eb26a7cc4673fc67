/* SPDX-License-Identifier: PostgreSQL
 *
 * Against guessing passwords: refuses logins because others before them have failed
 * (proxy/auth/throttle.h). It counts by the client's address, as a trusted load balancer has told
 * it; behind a balancer that has told none the clients cannot be distinguished, and nothing is
 * counted.
 */
#include "config.h"

#include "proxy/login/authenticate.h"

#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/throttle.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"

#define NAME_TOLD_MAX ((size_t)100)
/* The longest wait for a turn: drivers give a login some 10 s, of which the wait is only a part. */
#define PATIENCE_MAX_US (8 * USEC_PER_SEC)

/* A session in the state THROTTLED. */
struct turn {
	struct session *session;
	struct event at;
	void (*go_on)(struct session *s);
};

static struct throttle_rules
rules_of(const struct session *s)
{
	const struct conf_main *m = &s->login->world->config->main;
	int64_t patience_us = m->client_login_timeout / 2;

	if (patience_us <= 0 || patience_us > PATIENCE_MAX_US)
		patience_us = PATIENCE_MAX_US;
	return (struct throttle_rules){ (unsigned)m->auth_throttle_after, m->auth_throttle_base,
					m->auth_throttle_max, patience_us };
}

/* Whether the client's own address is known. */
static bool
is_known(const struct session *s)
{
	return s->login != NULL && s->login->world != NULL &&
	       !cidrlist_has(&s->login->world->config->main.trusted_proxies, &s->true_addr);
}

static void
refuse(struct session *s, struct slice user, int64_t wait_us)
{
	struct err e;

	stat_add(&s->worker->stats.logins_throttled, 1);
	err_set(&e, SQLSTATE_INVALID_AUTHORIZATION, "too many failed logins of user \"%.*s\"",
		(int)(user.n < NAME_TOLD_MAX ? user.n : NAME_TOLD_MAX), user.p);
	err_hint(&e, "Try again in %lld s.",
		 (long long)((wait_us + USEC_PER_SEC - 1) / USEC_PER_SEC));
	session_close_err(s, WHY_THROTTLED, &e);
}

/* ---- turns ---- */

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct turn *turn = arg;

	(void)fd;
	(void)what;
	if (turn->session->state == SESSION_THROTTLED)
		turn->go_on(turn->session);
}

HOT void
guard_forget(struct login *l)
{
	if (l->turn == NULL)
		return;
	event_del(&l->turn->at);
	free(l->turn);
	l->turn = NULL;
}

/* What earlier failures do to a login. */
enum standing {
	STANDING_FREE,
	/* they were of its user or of its address: it shares turns with many others */
	STANDING_LIMITED,
	/* they were of its pair of user and address: it gets a turn of its own */
	STANDING_THROTTLED,
	STANDING_CLOSED /* of its pair, and too many logins wait: the session is closed */
};

struct look {
	struct throttle *table;
	struct throttle_rules rules;
	struct slice user;
	int64_t now_us;
	int64_t turn_us; /* how long it has to wait for its turn */
	int64_t end_us;  /* … and until the failures are forgotten */
};

static HOT enum standing
find_standing(struct session *s, struct look *k)
{
	struct throttle_turns *took = &s->login->took;

	*k = (struct look){ .table = s->worker->process->throttle,
			    .rules = rules_of(s),
			    .user = login_startup(s->login)->user,
			    .now_us = clock_us() };
	k->end_us = throttle_wait_us(k->table, &k->rules, &s->true_addr, k->user, k->now_us);
	if (k->end_us == 0) {
		k->end_us =
		    throttle_limit_us(k->table, &k->rules, &s->true_addr, k->user, k->now_us);
		return k->end_us > 0 ? STANDING_LIMITED : STANDING_FREE;
	}
	if (!took->of_pair)
		k->turn_us =
		    throttle_turn_us(k->table, &k->rules, &s->true_addr, k->user, k->now_us, took);
	if (k->turn_us <= k->rules.patience_us)
		return STANDING_THROTTLED;
	refuse(s, k->user, k->end_us);
	return STANDING_CLOSED;
}

HOT bool
guard_begin(struct session *s, void (*go_on)(struct session *))
{
	enum standing standing;
	struct look k;

	if (!is_known(s))
		return true;
	standing = find_standing(s, &k);
	if (standing == STANDING_THROTTLED && k.turn_us > 0) {
		struct timeval tv = { .tv_sec = k.turn_us / USEC_PER_SEC,
				      .tv_usec = k.turn_us % USEC_PER_SEC };
		struct turn *turn = xcalloc(1, sizeof(*turn));

		stat_add(&s->worker->stats.logins_delayed, 1);
		turn->session = s;
		turn->go_on = go_on;
		evtimer_assign(&turn->at, loop_base(s->worker->loop), on_turn, turn);
		event_add(&turn->at, &tv);
		guard_forget(s->login);
		s->login->turn = turn;
		session_enter(s, SESSION_THROTTLED);
	}
	return standing != STANDING_CLOSED && k.turn_us == 0;
}

/* ---- admission and failures ---- */

/* A limited login is admitted if there is a turn now, or was one when it was first looked at. */
static bool
has_shared_turn(struct session *s, const struct look *k)
{
	struct throttle_turns *took = &s->login->took;

	return took->of_user || took->of_address ||
	       throttle_share(k->table, &k->rules, &s->true_addr, k->user, k->now_us, took);
}

static void
count_failure(struct session *s, const struct look *k)
{
	(void)throttle_failed(k->table, &k->rules, &s->true_addr, k->user, k->now_us);
}

HOT bool
guard_admits(struct session *s)
{
	enum standing standing;
	struct look k;

	if (!is_known(s))
		return true;
	/* this login began before the others had failed: it takes a turn here without waiting, and
	 * a later one waits longer */
	standing = find_standing(s, &k);
	if (standing == STANDING_FREE || standing == STANDING_CLOSED)
		return standing == STANDING_FREE;
	if (throttle_trusts(k.table, &s->true_addr, k.user, k.now_us) ||
	    (standing == STANDING_LIMITED && has_shared_turn(s, &k)))
		return true;
	if (standing == STANDING_LIMITED)
		count_failure(s, &k); /* counts like a wrong password */
	refuse(s, k.user, k.end_us);
	return false;
}

bool
guard_failed(struct session *s)
{
	enum standing standing;
	struct look k;
	bool doubtful;

	if (!is_known(s))
		return true;
	doubtful = lookup_doubt(s);
	standing = find_standing(s, &k);
	if (standing == STANDING_CLOSED)
		return false;
	if (standing == STANDING_LIMITED)
		(void)has_shared_turn(s, &k); /* uses a turn, like a right password */
	if (standing != STANDING_THROTTLED && !doubtful)
		count_failure(s, &k);
	if (standing != STANDING_FREE)
		refuse(s, k.user, k.end_us);
	return standing == STANDING_FREE;
}

HOT void
guard_passed(struct session *s)
{
	struct throttle_rules rules;

	if (!is_known(s))
		return;
	rules = rules_of(s);
	throttle_passed(s->worker->process->throttle, &rules, &s->true_addr,
			login_startup(s->login)->user, &s->login->took, clock_us());
}
