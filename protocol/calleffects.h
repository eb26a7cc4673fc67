/* SPDX-License-Identifier: PostgreSQL
 *
 * What a FunctionCall may leave behind on the server connection that runs it: what sqleffects.h
 * says of a text. A function goes by its number, and those of PostgreSQL's own keep theirs from
 * version to version (pg_proc.dat): of set_config() the name is read, the ones for large objects
 * leave nothing, any other may do what DO may.
 *
 * Format: PostgreSQL documentation, "Message Formats", FunctionCall.
 */
#ifndef PROTOCOL_CALLEFFECTS_H
#define PROTOCOL_CALLEFFECTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

/* How many bytes of a body of n bytes must be there, of which these are: the number, or all. */
size_t calleffects_wants(struct slice body, size_t n);
/* A set of enum sqleffect. The name of a setting goes to *names, if there is one, as
 * sqleffects_names() does it. With less of the body than is wanted: whatever it may do. */
unsigned calleffects(struct slice body, size_t n, struct buf *names);

/* A whole call of set_config(): what it sets. value.p == NULL: back to the default. */
struct call_setting {
	struct slice name, value;
	bool is_local; /* to its transaction */
};
/* False: it is none, or fails. */
bool calleffects_setting(struct slice body, struct call_setting *out);

#endif
