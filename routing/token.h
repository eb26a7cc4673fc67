/* SPDX-License-Identifier: PostgreSQL
 *
 * A position in the history of a cluster that a session carries to another one, to another service
 * or proxy: who reads with it sees no less than whoever it is of has seen. Its text is opaque to
 * those who carry it:
 *
 *   m1.<system identifier>.<timeline>.<position in the WAL>
 *
 * each of them a number greater than 0 in hexadecimal digits without leading zeros ("m1" is the
 * version of the format): m1.6a1f0c2b3d4e5f60.2.3000148.
 *
 * Positions of one cluster compare within a timeline, and across those that a timeline descends
 * from: it has all that they had up to the position where it left them. Pure.
 *
 * Source: PostgreSQL documentation, "Timelines".
 */
#ifndef ROUTING_TOKEN_H
#define ROUTING_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define TOKEN_TEXT_MAX sizeof("m1.ffffffffffffffff.ffffffff.ffffffffffffffff")

struct wal_token {
	uint64_t system_id;
	uint64_t lsn;      /* 0: none */
	uint32_t timeline; /* 0: not known */
};

/* False: it is none. */
bool token_parse(struct slice text, struct wal_token *out);
void token_put(struct buf *b, const struct wal_token *t);
/* The first comment of a text of SQL that says meridian_token='…', among other pairs or alone: what
 * stands between the quotes. False: there is none. Source: the specification of sqlcommenter. */
bool token_in_comment(struct slice sql, struct slice *value);
/* What has seen both: *t becomes it. One of another cluster, or of a later timeline, replaces *t.
 */
void token_raise(struct wal_token *t, const struct wal_token *seen);

#define TIMELINE_ENDS 8

/* Where a cluster has left its earlier timelines, as far as that is known: the last few. */
struct timeline_ends {
	uint32_t of; /* the timeline that descends from them; 0: nothing is known */
	unsigned n;
	struct {
		uint32_t timeline;
		uint64_t lsn; /* the first position that is not in it any more */
	} ends[TIMELINE_ENDS];
};

/* Read a history file of PostgreSQL, that of timeline `of`. False: it cannot be read. */
bool timeline_ends_read(struct timeline_ends *e, uint32_t of, struct slice file);

enum token_verdict {
	TOKEN_STANDS, /* the timeline has it, or will */
	TOKEN_LOST, /* it lies behind the end of its own timeline: that WAL is not there any more */
	TOKEN_UNKNOWN, /* of a timeline that is to come, or one whose end is not known */
	TOKEN_FOREIGN, /* of another cluster */
};

/* What a token is to a cluster that is on this timeline. */
enum token_verdict token_judge(const struct wal_token *t, uint64_t system_id, uint32_t timeline,
			       const struct timeline_ends *e);

#endif
