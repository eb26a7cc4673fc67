/* SPDX-License-Identifier: PostgreSQL
 *
 * What the files of proxy/sqlstate/statements.h share: what a client has (statements_acts.c), and
 * what the server's answers change (statements_answers.c). The client's direction
 * is statements.c and those that it walks with (statements_walk.h).
 *
 * A name is the client's, an entry of the session's table (prepared.h). What a message of the
 * client's will have done is an act: it waits in line until the server has answered, and only then
 * changes what is known (`name->st`, `slot->confirmed`). `view` is what a name will stand for when
 * all acts are done: right for messages of the same sequence.
 */
#ifndef PROXY_SQLSTATE_STATEMENTS_INT_H
#define PROXY_SQLSTATE_STATEMENTS_INT_H

#include "proxy/sqlstate/statements.h"

#include "protocol/exchange_list.h"
#include "proxy/sqlstate/statements_texts.h"

/* ---- what a client has ---- */

struct name {
	struct prepared prepared;  /* is_taken, while it is one of ours */
	LIST_ENTRY(name) standing; /* while there is `st` */
	struct statement *st;      /* as the server has answered; one reference; or NULL */
	struct statement *view;    /* when all that is pending is done; or NULL */
	uint64_t shape;            /* what Describe has told the client of it; 0: nothing */
	uint32_t pending;          /* acts */
	uint32_t seq;              /* of those acts */
	bool withdrawn;            /* `st` is, since it was put here */
};

LIST_HEAD(names, name);

/* ---- what is still to be answered ---- */

enum act_what {
	ACT_PASS,    /* Parse or Close that changes nothing here */
	ACT_NAME,    /* Parse of the client's, with a name */
	ACT_AGAIN,   /* … that the client has in use: an error, or it was gone */
	ACT_KNOWN,   /* Close that goes in the place of a Parse which the server need not see */
	ACT_UNNAMED, /* Parse of the client's without a name */
	ACT_CLOSE,   /* Close of the client's, of a name */
	ACT_CLOSE_UNNAMED, /* … without a name */
	ACT_DROP,          /* DEALLOCATE of a name */
	ACT_RESET,         /* DEALLOCATE of all that there were */
	ACT_OURS,          /* Parse of ours: the statement was not there */
	ACT_OURS_UNNAMED,  /* Parse or Close of ours of the statement without a name */
	ACT_EVICT,         /* Close of ours */
	ACT_DUMMY,         /* Parse of ours, to be DEALLOCATEd */
	ACT_SHAPE,         /* Describe of the client\'s */
	ACT_OUR_SHAPE,     /* … of ours */
	ACT_REFUSE,        /* Parse of ours that fails in the place of a Bind */
	ACT_QUERY,         /* Query of the client's: the statement without a name goes */
};

struct act {
	enum act_what what;
	bool is_query;        /* it is that of a Query: the statement without a name goes, too */
	bool done;            /* ACT_DROP: it has run; ACT_EVICT: it is gone anyway */
	bool dummy;           /* ACT_AGAIN: the name in use is a dummy's */
	struct name *name;    /* or NULL */
	struct statement *st; /* one reference, or NULL */
	struct slot *slot;    /* what comes into being, or is closed */
	struct slot *old;     /* what `slot` has displaced; belongs to the act */
	struct name **all;    /* ACT_RESET */
	size_t nall;
	uint32_t at; /* until it is sent: its message is so many that these bytes say */
};

/* What the client reads in place of a reply, where it is not another type of message. */
enum { REPLY_GOES = 0, REPLY_PASSES = 'p' };

/* Those from `head` to `sent` belong to tagged requests of the exchange, oldest first; those behind
 * to messages that are on their way to it. */
struct acts {
	struct act *v;
	uint32_t head, sent, n, size;
};

enum statements_state { STATEMENTS_FLOWING, STATEMENTS_WAITING, STATEMENTS_MAY_GO_ON };

struct statements {
	struct statement_table *table;
	struct server_statements *ss; /* while attached */
	struct exchange *exchange;
	struct prepared_names *names;
	struct names standing; /* for something: the last first, those that are withdrawn last */
	size_t bytes;          /* of names, and of the texts that they stand for */
	struct buf held;
	struct statement *unnamed; /* the one without a name, as the server has answered, or NULL */
	uint32_t unnamed_pending, unnamed_seq;
	uint32_t portal_hash;

	enum statements_state state;
	uint32_t left;              /* bytes of a client's body that pass */
	uint32_t seq;               /* number of the sequence that is open; wraps */
	uint16_t unnamed_there : 1; /* the server's is the client's, also where there is none */
	uint16_t unnamed_bound : 1;
	uint16_t unnamed_again : 1; /* what is pending puts it there once more */
	uint16_t unnamed_drops : 1; /* it is a DEALLOCATE ALL */
	uint16_t portal_drops : 1;  /* … and the portal of this hash is bound to one */

	uint16_t doubt : 1;             /* all statements may be gone when what runs has run … */
	uint16_t lists : 1;             /* the exchange is to be listed before it has these bytes */
	uint16_t own : 1;               /* a name has passed as it was */
	uint16_t as_is : 1;             /* they all do: so it began, and so it stays */
	uint16_t strayed : 1;           /* a name that we do not know was referred to */
	uint16_t shadowed : 1;          /* there may be temporary tables: see statements_shadow() */
	uint16_t none : 1;              /* behind the last ALL no name has come */
	uint16_t ended : 1;             /* … and none of those of an act that has ended stands */
	uint16_t stale : 1;             /* an act has a slot that an ALL takes with it */
	uint32_t doubt_from, doubt_seq; /* … in these sequences: the first, and the last */
	uint32_t longs;                 /* names of statements that cannot be repeated */
	uint32_t nnames;                /* that are ours: others hang on names, too */
	uint32_t era;                   /* how often `shadowed` has begun */

	uint32_t ended_here; /* sequences, in these bytes */
	uint32_t said,
	    heard_said; /* messages that these bytes say, and that the exchange has had */
	struct acts acts;
	/* of names that ACT_RESETs await the end of, and ALL_LEAST for each; of those, in a
	 * sequence */
	uint32_t all, all_here, all_seq;

	struct name *drop; /* the next Execute of this sequence DEALLOCATEs it … */
	struct slot *drop_slot;

	uint64_t shape;
	unsigned effects;

	uint8_t tag_n, field_at; /* where in a RowDescription we are */
	char tag[16];

	struct buf settings; /* names, of `effects`: sqleffects_names() */
	const char *why;
};

/* Each message of these bytes is a request in the list. */
static inline bool
is_listed(const struct statements *c)
{
	return c->lists || exchange_is_listed(c->exchange);
}

/* The server has answered all of this sequence. */
static inline bool
is_settled(const struct statements *c, uint32_t seq)
{
	return (int32_t)(c->seq - c->ended_here - exchange_pending(c->exchange) - seq) > 0;
}

struct name *name_find(const struct statements *c, struct slice text);
struct name *name_need(struct statements *c, struct slice text);
/* An act on it is under way, and will make it stand for `view`. */
void name_expect(struct statements *c, struct name *name, struct statement *view);
/* What is to come for a statement without a name: an act, or a Query. */
void unnamed_expect(struct statements *c);
void unnamed_set(struct statements *c, struct statement *st);
/* It is the same, prepared anew. */
void name_renew(struct statements *c, struct name *name, struct statement *take_st);
/* The statements that the names stand for are shared with no other session from now on. */
void names_withdraw(struct statements *c);
/* Whether so many names are to be gone by what is under way that the next of that kind has to wait
 * for an answer; there is one to come. */
bool names_must_wait(const struct statements *c);
/* All names that there are now will be gone; fills the act. */
void names_expect_none(struct statements *c, struct act *act);
/* DEALLOCATE ALL or DISCARD ALL has run. */
void names_forget_all(struct statements *c);
void names_fini(struct statements *c);
void act_end(struct statements *c, struct act *take_act, enum request_outcome e);
char act_instead(enum act_what what);

/* The message that these bytes say last has this act, which is copied, and belongs to its request.
 */
void acts_add(struct statements *c, const struct act *take_act);
/* Those that were sent are skipped. */
void acts_abandon(struct statements *c);
void acts_fini(struct statements *c);
extern const struct exchange_observer statements_of_exchange; /* its arg: struct statements */

#endif
