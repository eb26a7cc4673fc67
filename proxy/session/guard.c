/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/guard.h"

#include "base/clock.h"
#include "base/hot.h"
#include "protocol/sqlstate.h"
#include "proxy/auth/throttle.h"
#include "proxy/session/lookup.h"
#include "proxy/worker_int.h"

#define NAME_TOLD_MAX ((size_t)100)

static struct throttle_rules
rules_of(const struct session *s)
{
	const struct conf_main *m = &s->login->world->config->main;

	return (struct throttle_rules){ (unsigned)m->auth_throttle_after, m->auth_throttle_base,
					m->auth_throttle_max };
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

WARM bool
guard_admits(struct session *s)
{
	struct throttle_rules rules;
	struct slice user;
	int64_t wait_us;

	if (!is_known(s))
		return true;
	rules = rules_of(s);
	user = login_startup(s->login)->user;
	wait_us =
	    throttle_wait_us(s->worker->process->throttle, &rules, &s->true_addr, user, clock_us());
	if (wait_us > 0)
		refuse(s, user, wait_us);
	return wait_us == 0;
}

void
guard_failed(struct session *s)
{
	struct throttle_rules rules;

	if (!is_known(s) || lookup_doubt(s))
		return;
	rules = rules_of(s);
	(void)throttle_failed(s->worker->process->throttle, &rules, &s->true_addr,
			      login_startup(s->login)->user, clock_us());
}

WARM void
guard_passed(struct session *s)
{
	if (is_known(s))
		throttle_passed(s->worker->process->throttle, &s->true_addr,
				login_startup(s->login)->user);
}
