/* SPDX-License-Identifier: PostgreSQL
 *
 * The listed form of an exchange (protocol/exchange.h): each outstanding request is an entry of its
 * own, which says what becomes of its answer. It is for who puts requests of Meridian's among the
 * client's, takes their answers out again, or must know which request an answer belongs to.
 *
 * In an extended query each message has one answer that ends it ("Message Flow: Extended Query");
 * an error answers the oldest request that is outstanding, and the server discards what follows up
 * to the next Sync. So the owner of every answer and of every error is known. What was outstanding
 * when the list began stays known by its rounds only, as in the compact form, and is answered
 * first.
 *
 * Allocates the list and nothing else; calls back only the observer, which must not call the
 * exchange. The list goes away by itself when nothing is outstanding and no transaction is open.
 */
#ifndef PROTOCOL_EXCHANGE_LIST_H
#define PROTOCOL_EXCHANGE_LIST_H

#include "base/buf.h"
#include "protocol/exchange.h"
#include "protocol/frame.h"

#define EXCHANGE_HELD_MAX 4 /* bytes of the server's that exchange_filter() keeps back */

/* What becomes of the answer to a request. An ErrorResponse goes to the client in any case. */
enum request_fate {
	REQUEST_FORWARD,
	REQUEST_SKIP,    /* the client does not read it: the request is Meridian's */
	REQUEST_REPLACE, /* it reads another message in its place, `instead`, which has no body */
};

struct exchange_request {
	char type; /* of the message; see also enum request_kind */
	char instead;
	uint8_t fate : 2;         /* enum request_fate */
	uint8_t tagged : 1;       /* the observer's */
	uint8_t of_statement : 1; /* a Describe of a statement, not of a portal */
};

/* Types that stand for other than the message of that type. */
enum request_kind {
	REQUEST_NONSENSE =
	    'H', /* a Flush with a body, or a type that there is not: an error answers */
	REQUEST_COPY_END = 'c', /* CopyDone or CopyFail before CopyInResponse: nothing answers it */
	REQUEST_ANY = '?',  /* sent before the list began: some message of an extended query … */
	REQUEST_MANY = '*', /* … or more than were counted */
};

enum request_outcome { REQUEST_DONE, REQUEST_FAILED, REQUEST_SKIPPED };

/* What the one who has it listed hears. None of these may be NULL. */
struct exchange_observer {
	/* A message of the client's direction has passed: it has become *r, whose fate and tag may
	 * be set now; or NULL, and nothing will answer it. */
	void (*sent)(void *arg, char type, struct exchange_request *r);
	/* A piece of a CommandComplete, RowDescription or NoData, before the request ends that it
	 * answers; NULL where that is not in the list. */
	void (*answer)(void *arg, const struct exchange_request *r,
		       const struct frame_piece *piece);
	/* An ErrorResponse for this request begins; its body is whole, and may be changed here. */
	void (*failing)(void *arg, const struct exchange_request *r, char *body, size_t n);
	/* The oldest request is not outstanding any more. */
	void (*ended)(void *arg, const struct exchange_request *r, enum request_outcome how);
};

/* From now on each request is listed. Where it is so already, the observer takes the place of the
 * one before; NULL: no observer, or the one that there is. */
void exchange_list(struct exchange *x, const struct exchange_observer *observer, void *arg);
/* The owner of each answer and of each error is known, in a list that begins now, or has begun. Not
 * so where more was sent behind a COPY than what ends it, of which the server has ignored some, and
 * behind more messages or rounds than the compact form counts. */
bool exchange_lists_exactly(const struct exchange *x);
/* What is outstanding will not be answered any more: each request is skipped, and the list ends. To
 * be followed by exchange_restart(), unless nothing was. */
void exchange_unlist(struct exchange *x);
/* It does not go away by itself (true), or does again. */
void exchange_keep_listed(struct exchange *x, bool kept);
bool exchange_is_kept(const struct exchange *x);
/* What the server has answered up to now the client has heard; of a list that is kept. Else it has
 * heard what a ReadyForQuery has ended. */
void exchange_note_heard(struct exchange *x);
/* What a server says when the one command that is outstanding was a COMMIT, and is done: the
 * answers that the client has not heard. False: it is not known, or more than that is outstanding.
 */
bool exchange_put_commit(const struct exchange *x, struct buf *out);
/* No request that is listed now is tagged any more. */
void exchange_untag(struct exchange *x);

static inline bool
exchange_is_listed(const struct exchange *x)
{
	return x->listed;
}

/* Requests that are in the list, 0 where there is none. */
size_t exchange_listed(const struct exchange *x);
/* The i-th of them, oldest first. */
const struct exchange_request *exchange_request_at(const struct exchange *x, size_t i);
/* Only what is listed is outstanding, nothing that was sent before. */
bool exchange_is_all_listed(const struct exchange *x);

/* Follow the server's next bytes, in either form, as exchange_server() does in the compact one: the
 * answers that the client is not to read are taken out, others are replaced; *n is how many bytes
 * are left for the client. */
unsigned exchange_filter(struct exchange *x, char *p, size_t *n, struct exchange_tally *tally);
/* Put the bytes that were kept back (up to EXCHANGE_HELD_MAX) in front of what is read next;
 * returns how many. They count as bytes for exchange_filter(). */
size_t exchange_put_held(const struct exchange *x, char *to);
/* Bytes are kept back, or a message is half through that the client does not read. */
bool exchange_holds(const struct exchange *x);

#endif
