/* SPDX-License-Identifier: PostgreSQL
 *
 * Between reads.c (which way a unit goes) and reads_answers.c (what a server nearby says to it).
 */
#ifndef PROXY_READS_READS_INT_H
#define PROXY_READS_READS_INT_H

#include "base/buf.h"
#include "proxy/config/words.h"
#include "proxy/reads/reads.h"
#include "proxy/sqlstate/session_probe.h"

struct answer;
struct node_live;
struct readtally;

enum way {
	WAY_HOME,    /* it is at home, or nothing is under way */
	WAY_NEARBY,  /* a unit is under way nearby, and may still be refused … */
	WAY_SERVED,  /* … and is not: the client has been told of it */
	WAY_REFUSED, /* … and was: its answer is dropped, then it goes home */
};

struct reads {
	enum reads_mode mode;
	int64_t wait_us;
	enum way state;
	bool judged;    /* what goes on its way has been looked at */
	bool is_ending; /* it has said the end of its transaction nearby */
	bool is_pinned; /* its server nearby keeps it, until what it has left there is gone */
	bool is_known;  /* `floor` is */
	bool was_full;  /* the client is not read, so much is kept */
	struct wal_position floor;
	struct buf kept;              /* said by the client, and neither sent nor decided */
	unsigned reason;              /* why a unit is under way nearby … */
	struct buf unit;              /* … and what it is, as the client has said it */
	struct buf answer;            /* what has come of it that decides nothing */
	struct readtally *tallies[2]; /* what counts it at home and nearby; NULL: not known */
	struct node_live *near;       /* that was found last, one reference; or NULL … */
	int64_t near_at_us;           /* … and when; 0: never */
};

/* The server's bytes, on their way to the client. False: they do not go there now. */
bool reads_pass(struct session *s, const struct answer *a);
/* Its server has gone, or says an error. True: the client is not to hear of it. */
bool reads_server_lost(struct session *s, bool is_gone);
/* A transaction has gone home, or nearby, for this reason (proxy/reads/reasons.h). */
void reads_count(struct session *s, unsigned reason);

#endif
