/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/guard.h"

#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/mem.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/throttle.h"
#include "proxy/session/lookup.h"
#include "proxy/worker_int.h"

#define NAME_TOLD_MAX ((size_t)100)
/* The longest wait for a turn: drivers give a login some 10 s, and the wait is not all of it. */
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

/* Whether it is known who this is. */
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

static void
await_turn(struct session *s, int64_t wait_us, void (*go_on)(struct session *))
{
	struct timeval tv = { .tv_sec = wait_us / USEC_PER_SEC, .tv_usec = wait_us % USEC_PER_SEC };
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

void
guard_forget(struct login *l)
{
	if (l->turn == NULL)
		return;
	event_del(&l->turn->at);
	free(l->turn);
	l->turn = NULL;
}

/* Whether the pair is throttled. Then the login has a turn, or the session is closed. */
enum standing { STANDING_FREE, STANDING_THROTTLED, STANDING_REFUSED };

static WARM enum standing
find_standing(struct session *s, int64_t *turn_us)
{
	struct throttle *t = s->worker->process->throttle;
	struct slice user = login_startup(s->login)->user;
	struct throttle_rules rules = rules_of(s);
	int64_t now_us = clock_us();
	int64_t wait_us = throttle_wait_us(t, &rules, &s->true_addr, user, now_us);

	*turn_us = 0;
	if (wait_us == 0)
		return STANDING_FREE;
	if (s->login->has_turn)
		return STANDING_THROTTLED;
	*turn_us = throttle_turn_us(t, &rules, &s->true_addr, user, now_us);
	if (*turn_us > rules.patience_us) {
		refuse(s, user, wait_us);
		return STANDING_REFUSED;
	}
	s->login->has_turn = true;
	return STANDING_THROTTLED;
}

WARM bool
guard_begin(struct session *s, void (*go_on)(struct session *))
{
	enum standing standing;
	int64_t turn_us;

	if (!is_known(s))
		return true;
	standing = find_standing(s, &turn_us);
	if (standing == STANDING_THROTTLED && turn_us > 0)
		await_turn(s, turn_us, go_on);
	return standing != STANDING_REFUSED && turn_us == 0;
}

/* ---- verdicts ---- */

static void
refuse_now(struct session *s)
{
	struct throttle_rules rules = rules_of(s);
	struct slice user = login_startup(s->login)->user;

	refuse(s, user,
	       throttle_wait_us(s->worker->process->throttle, &rules, &s->true_addr, user,
				clock_us()));
}

WARM bool
guard_admits(struct session *s)
{
	enum standing standing;
	int64_t turn_us;

	if (!is_known(s))
		return true;
	/* who began before the others had failed takes a turn here, and does not wait for it: what
	 * is taken early is missing later */
	standing = find_standing(s, &turn_us);
	if (standing == STANDING_THROTTLED &&
	    !throttle_trusts(s->worker->process->throttle, &s->true_addr,
			     login_startup(s->login)->user, clock_us())) {
		refuse_now(s);
		standing = STANDING_REFUSED;
	}
	return standing != STANDING_REFUSED;
}

bool
guard_failed(struct session *s)
{
	enum standing standing;
	bool doubtful;
	int64_t turn_us;
	struct throttle_rules rules;

	if (!is_known(s))
		return true;
	doubtful = lookup_doubt(s);
	standing = find_standing(s, &turn_us);
	if (standing == STANDING_THROTTLED)
		refuse_now(s);
	if (standing != STANDING_FREE)
		return false;
	rules = rules_of(s);
	if (!doubtful)
		(void)throttle_failed(s->worker->process->throttle, &rules, &s->true_addr,
				      login_startup(s->login)->user, clock_us());
	return true;
}

WARM void
guard_passed(struct session *s)
{
	struct throttle_rules rules;

	if (!is_known(s))
		return;
	rules = rules_of(s);
	throttle_passed(s->worker->process->throttle, &rules, &s->true_addr,
			login_startup(s->login)->user, s->login->has_turn, clock_us());
}
