/* SPDX-License-Identifier: PostgreSQL
 *
 * Options whose value is one of a few words, and libpq's words for the same.
 */
#ifndef PROXY_CONFIG_WORDS_H
#define PROXY_CONFIG_WORDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

enum tri_mode { MODE_OFF, MODE_ALLOW, MODE_REQUIRE }; /* off | allow | require */
enum tls_choice { TLS_AUTO, TLS_OFF, TLS_ALLOW, TLS_REQUIRE };

/* libpq's sslmode words. */
enum sslmode {
	SSLMODE_DISABLE,
	SSLMODE_ALLOW,
	SSLMODE_PREFER,
	SSLMODE_REQUIRE,
	SSLMODE_VERIFY_CA,
	SSLMODE_VERIFY_FULL,
};

/* libpq's channel_binding words, towards a node. */
enum binding_mode { BINDING_DISABLE, BINDING_PREFER, BINDING_REQUIRE };

/* How a client proves who it is. */
enum auth_method {
	METHOD_PASSTHROUGH, /* the node authenticates the client */
	METHOD_TRUST,
	METHOD_SCRAM,
	METHOD_MD5, /* SCRAM for users that have a verifier */
	METHOD_CERT,
	METHOD_HBA,    /* as the matching line of hba_file says */
	METHOD_GLOBAL, /* of a database: as in [meridian] */
	/* the next ones are used by lines of hba_file as well */
	METHOD_PASSWORD, /* in clear */
	METHOD_PEER,
	METHOD_REJECT,
};
enum pool_mode { POOL_OFF, POOL_SESSION, POOL_TRANSACTION };
enum reads_mode { READS_HOME, READS_OBSERVE, READS_NEAREST };
enum consistency_mode {
	CONSISTENCY_SESSION,
	CONSISTENCY_EVENTUAL,
	CONSISTENCY_STRICT,
	CONSISTENCY_BOUNDED, /* … by a time */
};
/* Where what a session has seen lies on WAL that a fail-over has lost. */
enum lost_wal_mode { LOST_WAL_HOME, LOST_WAL_FAIL };
enum residency_mode { RESIDENCY_PREFER, RESIDENCY_STRICT };

/* Their names: the words of the options, and of lines of hba_file. */
extern const char *const tri_mode_words[],
    *const tls_choice_words[], *const sslmode_words[],
				   *const binding_mode_words[],
				       *const auth_method_words[],
					   *const pool_mode_words[],
					       *const reads_mode_words[],
						   *const consistency_mode_words[],
						       *const lost_wal_mode_words[],
							   *const residency_mode_words[];

/* "session", "bounded:500ms": the time in milliseconds, which is 0 for other words. False: it is
 * none of them. */
bool consistency_parse(struct slice text, int *mode, int *bound_ms);
void consistency_put(struct buf *b, enum consistency_mode mode, int bound_ms);

#endif
