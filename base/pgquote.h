/* SPDX-License-Identifier: PostgreSQL
 *
 * The one writer of what PostgreSQL reads between quotes: literals and identifiers of SQL, and
 * values of libpq's connection strings. Each function appends to `b`.
 *
 * A literal is right whatever standard_conforming_strings says: it is '…', and E'…' where it holds
 * a backslash. A NUL, which no text of PostgreSQL can hold, becomes '?'.
 *
 * Bytes beyond ASCII stay as they are, which is right where the reader's client_encoding is the
 * text's and may be a server's encoding, too (UTF8, LATIN1, EUC_JP …): in those no byte of a longer
 * character looks like a quote or a backslash. In SJIS, BIG5, GBK, GB18030, JOHAB, UHC and
 * SHIFT_JIS_2004 one may; for a reader whose client_encoding is not known there is
 * pgquote_literal_ascii().
 *
 * Source: PostgreSQL documentation, "Lexical Structure", and libpq's "Connection Strings".
 */
#ifndef BASE_PGQUOTE_H
#define BASE_PGQUOTE_H

#include "base/buf.h"
#include "base/slice.h"

void pgquote_literal(struct buf *b, struct slice s);
/* UTF-8, written in ASCII alone (E'\U000000e9'), so that it is right for every client_encoding; a
 * byte of no valid sequence becomes '?'. */
void pgquote_literal_ascii(struct buf *b, struct slice s);
/* An identifier in quotes, whatever its letters are: "select". */
void pgquote_ident(struct buf *b, struct slice s);
/* The same, but without quotes where it is made of a to z, digits and '_'. Keywords are not known
 * here: it is for names behind a point, and for people. */
void pgquote_ident_if_needed(struct buf *b, struct slice s);
/* A connection string's value: '…' with backslashes before quotes and backslashes. */
void pgquote_conninfo(struct buf *b, struct slice s);

#endif
