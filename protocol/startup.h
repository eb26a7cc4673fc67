/* SPDX-License-Identifier: PostgreSQL
 *
 * The first packet of a connection: StartupMessage 3.x, SSLRequest, GSSENCRequest, CancelRequest.
 * Parses it with PostgreSQL's own rules and errors (ProcessStartupPacket), finds the `meridian.*`
 * settings in it (as parameters and inside `options`), and builds the StartupMessage for a server.
 * Does not know what a setting means, and makes no decision.
 *
 * Ownership: every slice in struct startup points into the packet that was parsed and lives as long
 * as those bytes; what had to be unescaped lives in a buffer of the caller's.
 *
 * `options` is split as PostgreSQL does it (pg_split_opts: blanks separate, a backslash takes the
 * next byte literally), and `-c name=value`, `-cname=value` and `--name=value` are recognised, with
 * dashes in names turned into underscores (ParseLongOption).
 */
#ifndef PROTOCOL_STARTUP_H
#define PROTOCOL_STARTUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define STARTUP_PARAMS_MAX     128
#define STARTUP_EXTENSIONS_MAX 32
#define STARTUP_CANCEL_KEY_MIN 4
#define STARTUP_CANCEL_KEY_MAX 256
#define STARTUP_MINOR_LATEST   2 /* we speak 3.0 to 3.2 */

enum startup_kind {
	STARTUP_V3,
	STARTUP_SSL,
	STARTUP_GSSENC,
	STARTUP_CANCEL,
	STARTUP_FLEET_HELLO,  /* of another proxy: see protocol/fleetkey.h */
	STARTUP_FLEET_LETTER, /* … with `letter` */
	STARTUP_BAD_VERSION,
};

enum replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

struct startup_param {
	struct slice name;
	struct slice value;
};

struct startup {
	enum startup_kind kind;
	uint16_t major;
	uint16_t minor;
	/* STARTUP_V3 */
	struct slice user;
	struct slice database; /* the user's name where none was given */
	struct slice application_name;
	struct slice options;
	enum replication replication;
	struct startup_param params[STARTUP_PARAMS_MAX]; /* all but _pq_.*, in the order sent */
	size_t params_n;
	struct startup_param extensions[STARTUP_EXTENSIONS_MAX]; /* _pq_.*, name with its prefix */
	size_t extensions_n;
	/* STARTUP_CANCEL */
	uint32_t cancel_pid;
	struct slice cancel_key;
	struct slice letter; /* STARTUP_FLEET_LETTER: what follows the code */
};

/* Parse a whole packet (what frame_cut_startup gave). BAD fills *e with PostgreSQL's SQLSTATE and
 * words: 08P01 layout, 28000 no user, 22023 value of `replication`. STARTUP_BAD_VERSION is DONE
 * (major and minor are set), and *e then holds 0A000 and the text to answer with; so does it where
 * the packet is of a fleet, for those who have none. Never MORE. */
enum parse startup_parse(struct slice packet, struct startup *out, struct err *e) MUST_CHECK;
/* A parameter's value by exact name; the last one wins, as in PostgreSQL. False where it is absent.
 */
bool startup_param(const struct startup *in, const char *name, struct slice *value);

/* One `meridian.*` setting. */
struct startup_setting {
	struct slice name;  /* what follows "meridian.", lower case, dashes as underscores */
	struct slice value; /* unescaped */
};

/* List the meridian.* settings, those inside `options` first, then plain parameters: where a name
 * comes twice the later one wins, which is PostgreSQL's order. The slices point into *text, which
 * the caller owns and must not touch while it uses them. Returns how many were written (at most
 * max). */
size_t startup_settings(const struct startup *in, struct buf *text, struct startup_setting *out,
			size_t max);

/* What a server would take for its setting of that name: from options, or a plain parameter, which
 * wins. False: neither says. */
bool startup_setting_value(const struct startup *in, const char *name, struct buf *value);
/* Whether what the client asks for may keep a server that is well from answering: any client may
 * set post_auth_delay, which `options` can say in many ways. */
bool startup_may_delay(const struct startup *in);

/* The next word of an options string, unescaped, appended to *word; false at the end. *rest moves
 * on behind it. */
bool startup_option_word(struct slice *rest, struct buf *word);
/* Append `options` without meridian.* and without what startup_build() drops, escaped again. Text
 * in which there is nothing to remove is appended as it is. */
void startup_options_strip(struct buf *out, struct slice options);

/* What to change in a StartupMessage on its way to a server. Empty slices change nothing. */
struct startup_edit {
	struct slice user;
	struct slice database;
	const struct startup_param *set; /* set or replaced, by name; written last */
	size_t set_n;
	bool plain; /* a version that we speak, and no _pq_.* */
};

/* Append a StartupMessage made from *in: same protocol version, _pq_.* and parameters, without
 * meridian.* (plain and inside options) and without what only a proxy may say to CockroachDB
 * (crdb:remote_addr, crdb:session_revival_token_base64), with *edit (may be NULL) applied. A packet
 * that PostgreSQL would refuse for its size sets out->failed. */
void startup_build(struct buf *out, const struct startup *in, const struct startup_edit *edit);
void startup_build_ssl_request(struct buf *out);
void startup_build_cancel(struct buf *out, uint32_t pid, struct slice key);

#endif
