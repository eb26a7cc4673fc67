/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/login_state.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/hot.h"
#include "proxy/auth/credential.h"
#include "proxy/process/world.h"
#include "proxy/session/ownlogin.h"
#include "proxy/session/session_int.h"

HOT struct login *
session_login(struct session *s)
{
	if (s->login == NULL) {
		s->login = xcalloc(1, sizeof(*s->login));
		s->login->session = s;
		s->login->inbox.cap = 128 * 1024;
		s->login->failures.cap = 1024; /* half of what an error's detail holds */
	}
	return s->login;
}

HOT const struct startup *
login_startup(const struct login *l)
{
	struct worker *w = l->session->worker;

	if (w->startup_of != l) {
		/* it was read before, when it came */
		BUG_ON(startup_parse(buf_view(&l->packet), &w->startup, NULL) != PARSE_DONE);
		w->startup_of = l;
	}
	return &w->startup;
}

HOT void
login_free(struct login *l)
{
	if (l == NULL)
		return;
	session_ops.login_ends(l);
	if (l->session->worker->startup_of == l)
		(void)worker_startup(l->session->worker);
	buf_fini(&l->inbox);
	buf_fini(&l->packet);
	buf_fini(&l->text);
	buf_fini(&l->failures);
	buf_fini(&l->refused);
	buf_fini(&l->server_inbox);
	credential_unref(l->said);
	free(l->through);
	ownlogin_free(l->own);
	world_unref(l->world);
	free(l);
}
