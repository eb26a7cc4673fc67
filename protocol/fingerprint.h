/* SPDX-License-Identifier: PostgreSQL
 *
 * What statements have in common that differ in their constants only: the text in one spelling,
 * words in lower case, without comments, every constant and parameter a question mark, lists of
 * them and repeated rows cut to the first. No constant gets into it, whatever the text is: where a
 * backslash leaves open where a string ends, the text ends before it.
 *
 * Reads tokens (protocol/sqltoken.h), knows no grammar: what tables a text names is a guess by the
 * words in front of them. Keeps nothing; the time it takes is bounded by the text that is given.
 */
#ifndef PROTOCOL_FINGERPRINT_H
#define PROTOCOL_FINGERPRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Longer ones end in " ...". */
#define FINGERPRINT_MAX ((size_t)4096)

/* Append it; `is_cut`: there is more of the text than is given. False: the end of the text is not
 * in it. Quoted names stay as they are written. */
bool fingerprint_put(struct slice sql, bool is_cut, struct buf *out);
/* Another number for each text, the same one everywhere. */
uint64_t fingerprint_id(struct slice text);
/* The same, going on from another number. */
uint64_t fingerprint_id_from(uint64_t from, struct slice text);

/* Append the tables that a fingerprint names, as it writes them: "orders, public.stores". */
void fingerprint_put_tables(struct slice text, struct buf *out);
/* Whether it has this name as a word of its own; capitals do not matter. */
bool fingerprint_names(struct slice text, struct slice name);

#endif
