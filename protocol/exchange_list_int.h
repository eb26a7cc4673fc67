/* SPDX-License-Identifier: PostgreSQL
 *
 * The inside of the listed form (protocol/exchange_list.h), for the files of the exchange.
 */
#ifndef PROTOCOL_EXCHANGE_LIST_INT_H
#define PROTOCOL_EXCHANGE_LIST_INT_H

#include "protocol/exchange_list.h"
#include "protocol/message.h"

#define EXCHANGE_LIST_FIRST 16

struct exchange_list {
	uint64_t rounds; /* in place of `queue`: those that were outstanding before the list */
	const struct exchange_observer *observer; /* or NULL */
	void *arg;
	struct exchange_request *v; /* those from `head` to `n` are outstanding, oldest first */
	uint32_t heard;             /* … those from here to `head` are answered, and kept for
				       exchange_put_commit() */
	uint32_t head, n, size;
	uint32_t ends, parses, closes; /* of those: what ends a round, Parses, Closes */
	/* the server's message that is passing … */
	uint32_t length; /* … has a body of so many bytes … */
	uint32_t left;   /* … of which so many are still to be kept from the client … */
	char type;
	bool answers;      /* … it answers the oldest request … */
	bool ends_request; /* … to the end */
	bool kept;         /* exchange_keep_listed() */
	bool strayed;      /* the server has said what no request asked for */
	bool inexact;      /* !exchange_lists_exactly() */
	uint8_t have;      /* bytes of a header that are kept back */
	char head_bytes[EXCHANGE_HELD_MAX];
	struct exchange_request first[EXCHANGE_LIST_FIRST]; /* `v` until there are more */
};

/* A ReadyForQuery answers it. */
static inline bool
ends_round(char type)
{
	return type == MSG_SYNC || type == MSG_QUERY || type == MSG_FUNCTION_CALL;
}

static inline bool
list_is_empty(const struct exchange_list *l)
{
	return l->head == l->n;
}

/* The oldest that something answers; NULL: there is none, or a round is outstanding. */
struct exchange_request *list_oldest(struct exchange *x);
void list_end_oldest(struct exchange *x, enum request_outcome how);
/* The list ends where nothing keeps it. */
void list_end_if_idle(struct exchange *x);
unsigned list_client(struct exchange *x, const char *p, size_t n);
/* An error of what is listed: what it discards is not outstanding. */
void list_attribute_error(struct exchange *x);
/* … of what stood in front. */
void list_skip_to_sync(struct exchange *x);
/* A COPY has begun, by the oldest that is listed or by a round in front. */
void list_copy_in(struct exchange *x, bool in_front);
/* No round is outstanding: the oldest request has more to say before a ReadyForQuery. */
bool list_is_surplus(struct exchange *x);
/* No round is outstanding: a ReadyForQuery has come. */
void list_end_round(struct exchange *x);
bool list_awaits_query(const struct exchange *x);

#endif
