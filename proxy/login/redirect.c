/* SPDX-License-Identifier: PostgreSQL
 *
 * Clients that come by the region that their database has left: they are forwarded, told so where
 * the operator wants it (redirect_notice), and refused when forwarding has ended and there is an
 * address to send them to (`entry` of the region that serves the database now).
 */
#include "config.h"

#include "proxy/login/login_int.h"

#include "base/hot.h"
#include "protocol/message.h"
#include "protocol/sqlstate.h"
#include "proxy/http/http.h"
#include "proxy/move/redirects.h"
#include "proxy/process/worker_int.h"
#include "proxy/session/login_state.h"
#include "proxy/session/route.h"
#include "proxy/session/session_int.h"

#define SHOWN ((size_t)128)

static int
shown(struct slice s)
{
	return (int)(s.n < SHOWN ? s.n : SHOWN);
}

static HOT bool
find(const struct session *s, struct redirection *out)
{
	const struct world *w = s->login->world;

	if (w->topology->nauthorities == 0 || s->login->through != NULL)
		return false;
	return redirections_find(s->worker->process->redirections, w->topology,
				 locate_configured_dbname(w, session_name(s, NAME_DATABASE)), out);
}

static void
count(const struct session *s, const struct redirection *r, bool refused)
{
	char addr[ADDR_TEXT_MAX];

	redirections_count(s->worker->process->redirections, r->uuid,
			   addr_print_ip(&s->true_addr, addr), session_name(s, NAME_USER),
			   session_name(s, NAME_APPLICATION), refused);
}

HOT bool
redirect_admits(struct session *s)
{
	struct slice database = session_name(s, NAME_DATABASE);
	struct redirection r;
	const char *entry;
	struct err e;

	if (!find(s, &r) || !r.is_over)
		return true;
	entry = world_entry(s->login->world, r.to);
	if (entry == NULL)
		return true;
	count(s, &r, true);
	err_set(&e, why_get(WHY_ENTRY_CLOSED)->sqlstate,
		"database \"%.*s\" has moved to %s (region \"%s\")", shown(database), database.p,
		entry, r.to);
	err_detail(&e, "Connections by region \"%s\" were forwarded until %s.", r.from, r.until);
	err_hint(&e, "Connect to %s.", entry);
	session_close_err(s, WHY_ENTRY_CLOSED, &e);
	return false;
}

/* Whether client_min_messages of the startup packet hides the notice, as it would on a server. */
static bool
is_too_quiet(const struct session *s)
{
	static const char *const above[] = { "warning", "error", "fatal", "panic" };
	struct buf said = { .cap = 64 };
	bool quiet = false;

	if (startup_setting_value(login_startup(s->login), "client_min_messages", &said))
		for (size_t i = 0; i < sizeof(above) / sizeof(above[0]); i++)
			quiet = quiet || slice_is_nocase(buf_view(&said), above[i]);
	buf_fini(&said);
	return quiet;
}

HOT void
redirect_welcome(struct session *s, struct buf *out)
{
	struct slice database = session_name(s, NAME_DATABASE);
	struct redirection r;
	const char *entry;
	struct err e;

	if (!find(s, &r))
		return;
	count(s, &r, false);
	if (!s->login->world->config->main.redirect_notice || http_speaks(s) || is_too_quiet(s))
		return;
	entry = world_entry(s->login->world, r.to);
	if (entry != NULL)
		err_set(&e, SQLSTATE_SUCCESS, "database \"%.*s\" has moved to %s (region \"%s\")",
			shown(database), database.p, entry, r.to);
	else
		err_set(&e, SQLSTATE_SUCCESS, "database \"%.*s\" has moved to region \"%s\"",
			shown(database), database.p, r.to);
	if (entry != NULL && r.until[0] != '\0')
		err_detail(&e, "Connections by region \"%s\" are forwarded until %s.", r.from,
			   r.until);
	else
		err_detail(&e, "Connections by region \"%s\" are forwarded.", r.from);
	if (entry != NULL)
		err_hint(&e, "Connect to %s.", entry);
	message_put_notice(out, "NOTICE", &e);
}
