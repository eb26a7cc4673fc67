/* SPDX-License-Identifier: PostgreSQL
 *
 * The names under which a session's client has prepared statements: the one table of them. Three
 * features hang something on a name, each at a time of its own:
 *
 *   session/settings.c   a text that sets meridian.*, when the client has said it
 *   sampler.c            the key of a text's fingerprint, when the server gets it
 *   statements*          what the name stands for on any server, when the server has answered
 *
 * A message may wait for a server between the first two, and fail in front of the third; so what
 * one of them has forgotten the others keep until they are there, too. A name is there as long as
 * anything hangs on it.
 *
 * The first two take *notes*: of the last names that they have asked for, in bounded memory. They
 * go by what the client says, and do not wait for answers: a name whose Parse fails has lost its
 * note, and what it stands for on the server is not noticed until it is prepared anew. To follow
 * the answers the exchange would have to be listed (protocol/exchange_list.h) for sessions without
 * a pool.
 */
#ifndef PROXY_SQLSTATE_PREPARED_H
#define PROXY_SQLSTATE_PREPARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* the default falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

/* an idle session has few names */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS      4U
#define HASH_INITIAL_NUM_BUCKETS_LOG2 2U

#include "base/slice.h"

#define PREPARED_NAME_MAX 63 /* NAMEDATALEN - 1: what is beyond does not count */

enum prepared_kind { PREPARED_TEXTS, PREPARED_KEYS, PREPARED_KINDS };

/* ---- names ---- */

struct prepared {
	UT_hash_handle hh;
	uint8_t notes[PREPARED_KINDS]; /* its place among the notes of each kind, from 1; or 0 */
	bool is_taken;                 /* statements_acts.c has it */
};

struct prepared_names {
	struct prepared *by_name;
	uint64_t seed;
	uint32_t room; /* of one entry, without its name; 0: it was not begun */
};

/* `seed`: base/hash.h. Returns `names`. */
struct prepared_names *prepared_names_init(struct prepared_names *names, uint64_t seed);
/* Everything has been given back; also one of zeros, that was not begun. */
void prepared_names_fini(const struct prepared_names *names);
/* Entries are to be larger than struct prepared, which they begin with. There is none yet. */
void prepared_names_enlarge(struct prepared_names *names, size_t room);
/* NULL: nothing hangs on that name. */
struct prepared *prepared_find(const struct prepared_names *names, struct slice name);
/* Found or made; what is behind a new one's struct prepared is zero. */
struct prepared *prepared_need(struct prepared_names *names, struct slice name);
/* It goes if nothing hangs on it any more. */
void prepared_release(struct prepared_names *names, struct prepared *p);
size_t prepared_bytes(const struct prepared_names *names, const struct prepared *p);

/* ---- notes ---- */

struct prepared_text;

struct prepared_note {
	struct prepared *of;
	union {
		struct prepared_text *text; /* of PREPARED_TEXTS */
		uint64_t key;               /* of PREPARED_KEYS; not 0 */
	} is;
};

/* One feature's: one set of each kind in a session. */
struct prepared_notes {
	struct prepared_names *names;
	struct prepared_note *v; /* the oldest first, which gives way where there are `max` */
	uint8_t kind, max, n;
};

void prepared_notes_init(struct prepared_notes *notes, struct prepared_names *names,
			 enum prepared_kind kind, uint8_t max);
void prepared_notes_fini(struct prepared_notes *notes);

/* In the place of what was noted of that name. The text is copied. */
void prepared_note_text(struct prepared_notes *notes, struct slice name, struct slice text);
void prepared_note_key(struct prepared_notes *notes, struct slice name, uint64_t key);
/* False: nothing is noted. The text is there until a note is made or dropped. */
bool prepared_text(const struct prepared_notes *notes, struct slice name, struct slice *text);
/* 0: nothing is noted. */
uint64_t prepared_key(const struct prepared_notes *notes, struct slice name);

/* The client says this message: a Parse, a Close or a Query takes away what a name stood for. Of
 * the body only the beginning need be there, with the name. */
void prepared_heard(struct prepared_notes *notes, char type, struct slice body);
/* This text runs: DEALLOCATE and DISCARD ALL take names away. */
void prepared_ran(struct prepared_notes *notes, struct slice sql);

#endif
