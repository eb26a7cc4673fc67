/* SPDX-License-Identifier: PostgreSQL
 *
 * Meridian finds out itself who a client is, where `auth` is not passthrough: what to ask it for,
 * and whether its answer is right. The result is s->credential, with which Meridian logs in to a
 * node later (proxy/auth/credential.h). Consoles over the network go through here too, and so do
 * sessions of passthrough whose SCRAM is bound to our certificate (login.c).
 *
 * The order: the method (auth_method_of()), the secret (auth_lookup(), which may have to wait:
 * state LOOKUP until auth_secret_known()), the exchange (state AUTH), then auth->passed(). A user
 * that is not known goes through the same exchange as any other, of the same length, and gets the
 * same error; only the log says why.
 *
 * It costs a few hashes; a password in clear against a SCRAM verifier costs PBKDF2, on another
 * thread (proxy/auth/keymaker.h).
 */
#ifndef PROXY_LOGIN_AUTHENTICATE_H
#define PROXY_LOGIN_AUTHENTICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/frame.h"
#include "protocol/scram.h"
#include "proxy/auth/authfile.h"
#include "proxy/auth/md5.h"
#include "proxy/config/config.h"
#include "proxy/session/session_int.h"

struct credential;
struct hba_rule;
struct keyjob;

/* What the client's next message must be. */
enum auth_awaits {
	AWAIT_NOTHING,
	AWAIT_SECRET, /* the client was not asked yet: its secret is being looked up */
	AWAIT_EARLY,  /* an unasked password is expected: a WebSocket's frame is not complete yet */
	AWAIT_SASL_INITIAL,
	AWAIT_SASL_PROOF,
	AWAIT_MD5,
	AWAIT_PASSWORD,
	AWAIT_KEYS, /* its password is being hashed: what the client sends meanwhile is kept */
};

/* What is known while one client proves itself, in struct login. */
struct auth {
	enum auth_method method;
	enum auth_awaits awaits;
	/* The user whose secret the proof is checked against; NULL: it does not exist, and no proof
	 * passes. Borrowed from an object that the login holds a reference to. */
	const struct authfile_user *user;
	const char *cannot_pass; /* why no proof can pass, for the log; or NULL */
	void (*passed)(struct session *s);
	/* Called where there is no verifier and so no SCRAM; NULL: the exchange takes place all the
	 * same, and fails. */
	void (*unable)(struct session *s);
	uint8_t salt[MD5_SALT_BYTES];
	struct scram_server scram;
	struct credential *trial; /* AWAIT_KEYS: the password that is being hashed */
	struct keyjob *job;
	struct buf final; /* our last message of the exchange; it goes before AuthenticationOk */
};

/* What becomes of a message of the client. */
enum auth_verdict {
	VERDICT_MORE,   /* another one has to come */
	VERDICT_PASSED, /* s->credential is set */
	VERDICT_WAIT,   /* not known yet: auth_pass() or auth_refuse() will be called */
	VERDICT_OVER,   /* the session is over */
};

enum auth_lookup { LOOKUP_FOUND, LOOKUP_UNKNOWN, LOOKUP_PENDING };

/* A client of a database: its startup packet was read, its locality decided. */
void auth_begin(struct session *s);
/* The console: SCRAM, against auth_file alone. */
void auth_begin_console(struct session *s);
/* Passthrough: the client has bound its SCRAM to our certificate, so the node cannot check it. Its
 * message is in login->inbox. Calls `passed` when the client has proven itself to us, `unable`
 * where we cannot check it either. */
void auth_begin_bound(struct session *s, void (*passed)(struct session *s),
		      void (*unable)(struct session *s));
/* The secret that auth_lookup() had to wait for has arrived, or does not exist. */
void auth_secret_known(struct session *s);
/* Read the client's answers in login->inbox. May end the session, or its authentication. */
void auth_take_inbox(struct session *s);
void auth_on_client(struct session *s);
/* The client has proven itself: go on to a node, or to a pool. */
void auth_done(struct session *s);
/* Append AuthenticationOk, and before it our last message of the exchange. They are sent at once;
 * where the node refuses, its error is sent in place of both. */
void auth_put_ok(struct login *l, struct buf *out);
/* Free what the login holds for this. */
void auth_forget(struct login *l);

/* How this client has to prove itself. */
enum auth_method auth_method_of(const struct session *s);
/* The client wants a protocol newer than ours, or options that we do not have: answer with what we
 * speak. False: the session is over. */
bool auth_negotiate(struct session *s);

/* Tell the client the same as for any failure; the log alone says why. */
enum auth_verdict auth_refuse(struct session *s, const char *log_why);
void auth_pass(struct session *s);

/* proofs.c: ask for what the method needs, with auth->user known, or use what the client has
 * already sent. */
void auth_ask(struct session *s);
/* The same where the client has already chosen SCRAM. */
void auth_ask_bound(struct session *s);
/* Check a password in clear against auth->user. The result is in s->credential. */
enum auth_verdict password_check(struct session *s, struct slice password);
void password_forget(struct auth *a);
/* Whether a secret is needed to check the client; else it only serves for the login at the node. */
bool auth_needs_secret(const struct session *s);
/* Check the body of a PasswordMessage, SASLInitialResponse or SASLResponse. */
enum auth_verdict auth_check_answer(struct session *s, struct slice body);

/* Take a password that the client sends without being asked, out of the login's inbox into
 * login->said: Neon's driver sends it, and its first queries, right behind the startup packet, all
 * in one frame of its WebSocket (pipelineConnect = "password"). `needed`: it will be used, so it
 * must have come over a private connection. PARSE_DONE: it was taken, or there was none;
 * PARSE_MORE: it is not complete yet; PARSE_BAD: the session is over. */
enum parse early_password(struct session *s, bool needed) MUST_CHECK;

/* lookup.c */
/* The secret of the login's user. FOUND: *user lives as long as the login. PENDING:
 * auth_secret_known() is called when it is known, or the session is closed. */
enum auth_lookup lookup_user(struct session *s, const struct authfile_user **user);
/* A login has failed. True: the secret that it was checked against is not fresh, so it is asked for
 * again, and the failure counts if the secret is still the same. */
bool lookup_doubt(struct session *s);
/* Free what the login holds for this. */
void lookup_forget(struct login *l);

/* hbarule.c */
/* For METHOD_HBA and METHOD_CERT: the rule for this session, whose certificate and socket fit it.
 * NULL: there is none; the session is over. Valid as long as login->world. */
const struct hba_rule *hbarule_enter(struct session *s, enum auth_method method);
/* How a client under this rule proves itself; METHOD_CERT and METHOD_PEER: it has done so. */
enum auth_method hbarule_method(const struct hba_rule *rule);

/* guard.c: against guessing passwords */
/* The startup packet has been read. True: the login may go on. False: it waits for its turn (state
 * THROTTLED, then `go_on` is called), or the session is closed. */
bool guard_begin(struct session *s, void (*go_on)(struct session *s));
/* The client has proven itself, or is about to do so at the node: is it let in? Asked also for
 * logins that began before the others had failed. False: the session is closed. */
bool guard_admits(struct session *s);
/* The client's password was wrong, by our check or the node's. False: too many failed before it,
 * and the session is closed: the client does not learn whether its password was right. */
bool guard_failed(struct session *s);
/* The client has proven itself, and is let in. */
void guard_passed(struct session *s);
/* Free what the login holds for this. */
void guard_forget(struct login *l);

#endif
