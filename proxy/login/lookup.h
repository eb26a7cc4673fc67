/* SPDX-License-Identifier: PostgreSQL
 *
 * The users that auth_file does not have, looked up by auth_query (proxy/login/authquery.h), for
 * one login: what is known without asking, the question, the answer, and the doubt where a login
 * has failed against an answer that was kept for a while.
 */
#ifndef PROXY_LOGIN_LOOKUP_H
#define PROXY_LOGIN_LOOKUP_H

#include <stdbool.h>

#include "proxy/login/authenticate.h"

/* The secret of the login's user. FOUND: *user lives as long as the login. PENDING:
 * auth_secret_known() is called when it is known, or the session is closed. */
enum auth_lookup lookup_user(struct session *s, const struct authfile_user **user);
/* A login has failed. True: the secret that it was checked against is not fresh, so it is asked for
 * again, and the failure counts if the secret is still the same. */
bool lookup_doubt(struct session *s);
/* Free what the login holds for this. */
void lookup_forget(struct login *l);

#endif
