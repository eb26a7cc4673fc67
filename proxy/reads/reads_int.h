/* SPDX-License-Identifier: PostgreSQL
 *
 * Between reads.c (units on their way), reads_choose.c (which way a unit goes), reads_where.c
 * (where that leads), reads_texts.c (what texts say of it), reads_answers.c (what a server nearby
 * says to it), reads_floor.c (what the session has seen) and reads_settings.c (what the client
 * sets).
 */
#ifndef PROXY_READS_READS_INT_H
#define PROXY_READS_READS_INT_H

#include "base/buf.h"
#include "base/clock.h"
#include "protocol/frame.h"
#include "proxy/config/words.h"
#include "proxy/reads/reads.h"
#include "proxy/sqlstate/session_probe.h"
#include "routing/token.h"

#define KEPT_ENOUGH ((size_t)16 * 1024) /* a unit that is longer goes home */

struct answer;
struct catalog;
struct node_live;
struct readtally;

/* Settings of a session, each of them a word of the table of that name (proxy/config/words.h). */
enum reads_setting {
	SET_READS,       /* enum reads_mode */
	SET_CONSISTENCY, /* enum consistency_mode, with SET_BOUND */
	SET_LOST_WAL,    /* enum lost_wal_mode */
	SET_REPORT,      /* off, on: the client is told of `floor` when it changes */
	SET_COUNT,
	SET_BOUND = SET_COUNT, /* milliseconds, of CONSISTENCY_BOUNDED; else 0 */
	SET_VALUES,
};

enum way {
	WAY_HOME,    /* it is at home, or nothing is under way */
	WAY_ASKING,  /* … but that home is asked for its position, for a unit that is kept */
	WAY_NEARBY,  /* a unit is under way nearby, and may still be refused … */
	WAY_SERVED,  /* … and is not: the client has been told of it … */
	WAY_ENDING,  /* … and has said the end of its transaction there */
	WAY_PINNED,  /* its server nearby keeps it, until what it has left there is gone */
	WAY_REFUSED, /* the unit was refused: its answer is dropped, then it goes home */
};

struct reads {
	int now[SET_VALUES], startup[SET_VALUES];
	int64_t wait_us;
	enum way state;
	bool judged;    /* what goes on its way has been looked at */
	bool is_known;  /* `floor` is */
	bool was_asked; /* home was asked for the unit that is kept, whatever came of it */
	bool ends_unit; /* what has gone home last ends with a unit, where a read is to fail … */
	struct framer sent;      /* … and the message that it ends in */
	bool holds_ready;        /* the client gets its ReadyForQuery when `floor` is known */
	bool was_full;           /* the client is not read, so much is kept */
	bool is_warned;          /* the client has been told that `floor` cannot be read nearby */
	bool is_serializable;    /* a standby has said so, where no setting of the session does */
	bool knows_lost;         /* … or it was known to be lost, when a unit last went home */
	struct wal_token floor;  /* what the session has seen */
	struct buf kept;         /* said by the client, and neither sent nor decided */
	unsigned reason;         /* why a unit is under way nearby … */
	struct buf unit;         /* … and what it is, as the client has said it */
	struct buf answer;       /* what has come of it that decides nothing */
	bool is_followed;        /* it has several statements: of its answer … */
	struct framer heard;     /* … the messages, */
	size_t answered;         /* how many of them are done … */
	bool has_failed;         /* … and whether the next has failed */
	struct catalog *catalog; /* what is known of names; one reference, or NULL … */
	int64_t look_us;         /* … and not to be looked for before this */
	uint64_t serial;         /* of that by which the unit under way was judged; 0: none */
	unsigned changes;        /* of the schema, when its home was asked for names */
	bool wants_names;        /* its home is to be asked for them */
	struct readtally *tallies[2]; /* what counts it at home and nearby; NULL: not known */
	struct node_live *near;       /* that was found last, one reference; or NULL … */
	int64_t near_at_us;           /* … and when; 0: never … */
	uint32_t near_timeline;       /* … and of home, with which it was found */
	/* where it has read last, one reference, or NULL; when, and in which timeline of home */
	struct node_live *read_at;
	int64_t read_us;
	uint32_t read_timeline;
	struct buf instead; /* what goes on its way home in place of the unit; mostly nothing */
};

static inline bool
reads_is_nearest(const struct reads *r)
{
	return r->now[SET_READS] == READS_NEAREST;
}

/* It is nearby, or on its way there. */
static inline bool
reads_is_away(const struct reads *r)
{
	return r->state > WAY_ASKING;
}

static inline int64_t
reads_bound_us(const struct reads *r)
{
	return (int64_t)r->now[SET_BOUND] * USEC_PER_MSEC;
}

/* reads.c. A session has settings of reads nearby, and has seen nothing that is known. */
struct reads *reads_new(struct session *s, int64_t wait_us);
/* Its settings have changed. */
void reads_changed(struct session *s);

/* reads_choose.c. How many of these bytes may go on their way now, wherever that leads; SIZE_MAX:
 * they wait. */
size_t reads_passing(struct session *s, struct slice in);
/* The client speaks into the transaction that is open nearby, and has not ended it yet; or to the
 * server there that it cannot leave. */
bool reads_is_inside(const struct session *s);

/* reads_where.c. The standby nearest to its client, found anew now and then; NULL: there is none.
 */
struct node_live *reads_near(struct session *s);
/* It is not that one for a while, as it had not replayed enough. */
void reads_shun(struct session *s);
bool reads_is_serializable(const struct session *s);
/* What reads by its text may be kept home by what the session is, and what there is nearby. */
void reads_judge_session(struct session *s, unsigned *reason);
/* A transaction has gone home, or nearby, for this reason (proxy/reads/reasons.h). */
void reads_count(struct session *s, unsigned reason);

/* reads_floor.c. Its reads must show what it has seen. */
bool reads_have_floor(const struct reads *r);
/* What it has seen, to the cluster that it is in now. */
enum token_verdict reads_judge_floor(const struct session *s);
/* It has seen this, or its client speaks for one that has. */
void reads_see(struct reads *r, const struct session *s, const struct wal_token *seen);
/* What it has seen is known now, and all of it. */
bool reads_knows_floor(const struct session *s);
/* What it has seen was lost, or may have been. */
bool reads_have_lost(const struct session *s);
/* What it has seen was lost, and it is an error to read without, until the client has said that it
 * may be. */
bool reads_keep_lost(const struct session *s);
/* In place of the unit its server gets one that raises the error (reads.instead). */
void reads_fail_unit(struct reads *r, const struct err *e);
/* The client is told, where it has asked for that, in front of the ReadyForQuery that it waits for.
 */
void reads_report(struct session *s, bool is_new);
/* What goes home does so behind a fail-over that has lost what the session has seen, or may have:
 * the client is told once; or it is a read that is to fail (reads.instead). */
void reads_warn_of_lost(struct session *s, bool is_read);

/* reads_texts.c. For units_cut(): `arg` is the session. */
enum classify_reason reads_judge_text(void *arg, struct slice sql);
bool reads_judge_prepared(void *arg, struct slice name, struct slice *sql);
/* With default_transaction_read_only = on, BEGIN is BEGIN READ ONLY. */
bool reads_begins_read_only(const struct session *s);
/* What the session is to show for the tokens in comments of a unit; a wrong one makes it fail. */
void reads_take_tokens(struct session *s, struct slice unit);
/* What is known of the names in its database at home; NULL: nothing, or nothing any more. */
const struct catalog *reads_catalog(const struct session *s);
/* Behind a transaction at home, where `wants_names`. */
void reads_ask_for_names(struct session *s);

/* reads_settings.c. A token for a session. -1: it is none, or of another cluster: *e. */
int reads_parse_token(const struct session *s, struct slice value, struct wal_token *out,
		      struct err *e) MUST_CHECK;
/* Made where it is not there, with the settings of its database. */
struct reads *reads_needed(struct session *s);

/* reads_answers.c. The server's bytes, on their way to the client. False: they do not go there now.
 */
bool reads_pass(struct session *s, const struct answer *a);
/* Its server has gone, or says an error. True: the client is not to hear of it. */
bool reads_server_lost(struct session *s, bool is_gone);

#endif
