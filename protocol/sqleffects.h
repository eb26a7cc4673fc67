/* SPDX-License-Identifier: PostgreSQL
 *
 * What a text of SQL may leave behind on the server connection that runs it: settings, LISTEN,
 * session locks, temporary tables, cursors, prepared statements. It only suspects, and rather too
 * much than too little; what is so the server is asked (proxy/sqlstate/session_probe.h). Knows
 * SQL's tokens and a table of words; allocates nothing but names, remembers nothing, never looks
 * beyond the text. Wants whole texts: of one that is cut, say EFFECT_UNKNOWN.
 *
 * It cannot see into functions: what SELECT f() does inside is suspected only where f is one of
 * PostgreSQL's own that this file knows. The body of DO is a text, and read.
 *
 * Whether a backslash escapes in '…' hangs on standard_conforming_strings: where that matters the
 * text is read both ways, and what either says counts.
 *
 * Grammar: PostgreSQL documentation, "Lexical Structure", and the reference pages of the commands.
 */
#ifndef PROTOCOL_SQLEFFECTS_H
#define PROTOCOL_SQLEFFECTS_H

#include "base/buf.h"
#include "base/slice.h"

/* A set. */
enum sqleffect {
	EFFECT_SETTINGS = 1 << 0, /* a setting may have changed: sqleffects_names() has it … */
	EFFECT_SETTINGS_ALL =
	    1 << 1,              /* … or one without a name there, or gone back to its default */
	EFFECT_UNNAMED = 1 << 2, /* set_config() of a name that the text does not say */
	EFFECT_LISTEN = 1 << 3,
	EFFECT_ADVISORY = 1 << 4,   /* advisory lock of the session, not of the transaction */
	EFFECT_TEMP = 1 << 5,       /* temporary table, or another object of pg_temp */
	EFFECT_HOLD = 1 << 6,       /* cursor WITH HOLD */
	EFFECT_PREPARE = 1 << 7,    /* PREPARE in SQL */
	EFFECT_LOAD = 1 << 8,       /* LOAD */
	EFFECT_SESSION = 1 << 9,    /* a function that binds something to the session for good */
	EFFECT_CLEAR = 1 << 10,     /* one of the above may have ended: UNLISTEN, CLOSE, DROP … */
	EFFECT_RESET_ALL = 1 << 11, /* DISCARD ALL, DEALLOCATE ALL, RESET ALL */
	EFFECT_CODE = 1 << 12,      /* DO, CALL: may do anything that can be asked for */
	EFFECT_UNKNOWN = 1 << 13,   /* the text could not be read: may do anything */
	EFFECT_MEANING = 1 << 14,   /* texts behind it may mean something else, be it only for this
				       transaction: sqleffects_has_meaning() */
	EFFECT_SCHEMA = 1 << 15,    /* … for all sessions of the database, once it is committed: a
				       table, a type, a function … was created or altered */
};

/* Behind these there may be a temporary table that had another's name before. */
#define EFFECTS_THAT_SHADOW (EFFECT_TEMP | EFFECT_CODE | EFFECT_UNKNOWN)

/* Behind these the meaning of a text is not known until the server has said what they have done. */
#define EFFECTS_ON_MEANING                                                       \
	(EFFECT_MEANING | EFFECT_SCHEMA | EFFECT_SETTINGS_ALL | EFFECT_UNNAMED | \
	 EFFECT_RESET_ALL | EFFECTS_THAT_SHADOW)

/* What a whole text may do; 0: nothing that outlives its transaction. */
unsigned sqleffects(struct slice sql);

/* Add the names of the settings that a text with EFFECT_SETTINGS may change to *names: lower case,
 * each with a NUL behind it, in their order (by byte; a longer one behind its beginning), none
 * twice. role, session_authorization and names with a dot in them are among them; those of a single
 * transaction are not. More than *names may hold (its cap; 0: SQLEFFECTS_NAMES_MAX): names->failed;
 * then say EFFECT_UNNAMED. */
#define SQLEFFECTS_NAMES_MAX 4096
/* A name of several parts, app.tenant, that is longer than this is none: EFFECT_UNNAMED. */
#define SQLEFFECTS_NAME_MAX 256
void sqleffects_names(struct slice sql, struct buf *names);
/* Whether what a text means when it is prepared depends on this setting. */
bool sqleffects_has_meaning(struct slice name);
/* Add one name as sqleffects_names() does; or all of another list, in time for both. */
void sqleffects_put_name(struct buf *names, struct slice name);
void sqleffects_put_names(struct buf *names, struct slice more);
/* Whether it is in such a list, in any case. */
bool sqleffects_is_named(struct slice names, struct slice name);

#endif
