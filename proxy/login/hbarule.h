/* SPDX-License-Identifier: PostgreSQL
 *
 * What hba_file, or auth = cert, says about a session: which line applies to it, and whether its
 * certificate or its socket is what that line asks for. If the line's method has a password, that
 * is checked afterwards (authenticate.h). A refused client is told so in PostgreSQL's words, with
 * SQLSTATE 28000; only the log says which line it was, and what a certificate contains.
 */
#ifndef PROXY_LOGIN_HBARULE_H
#define PROXY_LOGIN_HBARULE_H

#include "proxy/auth/hba.h"
#include "proxy/config/config.h"

struct session;

/* For METHOD_HBA and METHOD_CERT: the rule for this session, whose certificate and socket fit it.
 * NULL: there is none; the session is over. Valid as long as login->world. */
const struct hba_rule *hbarule_enter(struct session *s, enum auth_method method);
/* How a client under this rule proves itself; METHOD_CERT and METHOD_PEER: it has done so. */
enum auth_method hbarule_method(const struct hba_rule *rule);

#endif
