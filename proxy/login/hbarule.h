/* SPDX-License-Identifier: PostgreSQL
 *
 * What hba_file, or auth = cert, says of a session: which line it falls under, and whether its
 * certificate or its socket is what that line wants. What is left then is the password, if the
 * line's method has one (authenticate.h).
 *
 * A client that is turned away is told so in PostgreSQL's words, with SQLSTATE 28000; which line it
 * was, and what a certificate says, is for the log alone.
 */
#ifndef PROXY_LOGIN_HBARULE_H
#define PROXY_LOGIN_HBARULE_H

#include "proxy/auth/hba.h"
#include "proxy/config/config.h"

struct session;

/* With `method` METHOD_HBA or METHOD_CERT: the rule for this session, which its certificate and its
 * socket fit. NULL: there is none; the session is over. Valid as long as login->world. */
const struct hba_rule *hbarule_enter(struct session *s, enum auth_method method);
/* How the client of a rule proves who it is; METHOD_CERT and METHOD_PEER: it has. */
enum auth_method hbarule_method(const struct hba_rule *rule);

#endif
