/* SPDX-License-Identifier: PostgreSQL
 *
 * Who a client is, found out by Meridian itself, where `auth` is not passthrough: what it is asked
 * for, and whether its answer is right. What comes of it is s->credential, with which Meridian logs
 * in to a node later (proxy/auth/credential.h). Consoles over the network go through here too, and
 * sessions of passthrough whose SCRAM is bound to our certificate (login.c).
 *
 * The order: which method (auth_method_of()), which secret (auth_lookup(), which may have to wait:
 * state LOOKUP until auth_go_on()), the exchange (state AUTH), then auth->passed(). A user of whom
 * nothing is known goes through the same exchange as everybody, of the same length, and gets the
 * same error; the log alone knows why.
 *
 * Costs a few hashes; a password in clear against a SCRAM verifier costs PBKDF2, on another thread
 * (proxy/auth/keymaker.h).
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
struct keyjob;

/* What the next message of the client must be. */
enum auth_awaits {
	AWAIT_NOTHING,
	AWAIT_SECRET, /* not asked yet: the user is being looked up */
	AWAIT_EARLY,  /* a password in front of being asked: a WebSocket's frame is not all there */
	AWAIT_SASL_INITIAL,
	AWAIT_SASL_PROOF,
	AWAIT_MD5,
	AWAIT_PASSWORD,
	AWAIT_KEYS, /* its password is being hashed: what it says meanwhile is kept */
};

/* One client's proof, in struct login. */
struct auth {
	enum auth_method method;
	enum auth_awaits awaits;
	/* Whose secret it is held against; NULL: there is no such user, and no proof will do.
	 * Borrowed from what the login holds a reference of. */
	const struct authfile_user *user;
	const char *hopeless; /* why no proof will do, for the log; or NULL */
	void (*passed)(struct session *s);
	/* There is no verifier, so that SCRAM cannot be had; NULL: it is had all the same, in vain.
	 */
	void (*unable)(struct session *s);
	uint8_t salt[MD5_SALT_BYTES];
	struct scram_server scram;
	struct credential *trial; /* AWAIT_KEYS: the password that is being hashed */
	struct keyjob *job;
	struct buf final; /* our last word, in front of AuthenticationOk */
};

/* What becomes of a message of the client. */
enum auth_verdict {
	VERDICT_ON,     /* another one is to come */
	VERDICT_PASSED, /* s->credential is there */
	VERDICT_WAIT,   /* it is not known yet: auth_pass() or auth_refuse() will be called */
	VERDICT_OVER,   /* the session is */
};

enum auth_lookup { LOOKUP_FOUND, LOOKUP_UNKNOWN, LOOKUP_PENDING };

/* An application: its startup packet is read, its locality decided. */
void auth_begin(struct session *s);
/* The console: SCRAM, by auth_file alone. */
void auth_begin_console(struct session *s);
/* Passthrough: the client has bound its SCRAM to our certificate, so the node cannot check it. Its
 * message is in login->inbox. `passed` when it has proven itself to us, `unable` where we cannot
 * check it either. */
void auth_begin_bound(struct session *s, void (*passed)(struct session *s),
		      void (*unable)(struct session *s));
/* The secret that auth_lookup() had to wait for is there, or is known not to be. */
void auth_go_on(struct session *s);
/* The answers of the client that are in login->inbox. May end the session, or its authentication.
 */
void auth_take_inbox(struct session *s);
void auth_on_client(struct session *s);
/* It has proven who it is: on to a node, or to a pool. */
void auth_done(struct session *s);
/* Append AuthenticationOk, and what our part of an exchange ends with in front of it: one message
 * to send, and where the node refuses, its error comes in place of both. */
void auth_put_ok(struct login *l, struct buf *out);
/* What the login holds of it. */
void auth_forget(struct login *l);

/* What this client has to prove itself by. */
enum auth_method auth_method_of(const struct session *s);
/* A protocol newer than ours, or options that we do not have: say what we do speak. False: the
 * session is over. */
bool auth_negotiate(struct session *s);

/* To the client always the same; the log knows why. */
enum auth_verdict auth_refuse(struct session *s, const char *log_why);
void auth_pass(struct session *s);

/* proofs.c: ask for what the method wants, auth->user being known; or take what was said already.
 */
void auth_ask(struct session *s);
/* The same where the client has chosen SCRAM already. */
void auth_ask_bound(struct session *s);
/* cleartext.c: a password in clear against auth->user. What one knows by it is s->credential. */
enum auth_verdict password_check(struct session *s, struct slice password);
void password_forget(struct auth *a);
/* A secret is needed to find out who it is; else it only serves at the node. */
bool auth_needs_secret(const struct session *s);
/* The body of a PasswordMessage, SASLInitialResponse or SASLResponse. */
enum auth_verdict auth_weigh(struct session *s, struct slice body);

#endif
