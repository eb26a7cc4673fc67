/* SPDX-License-Identifier: PostgreSQL
 *
 * Small text work: numbers with bounds, times and sizes with units, escaping for logs.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Whole decimal number, optional sign, nothing around it; false where it is none or out of
 * [min, max]. */
bool text_to_int(struct slice s, int64_t min, int64_t max, int64_t *out);
/* Finite decimal number ("48.85", "-2.35", "1e3"); locale-independent. */
bool text_to_double(struct slice s, double *out);
/* A duration: a number and a unit of us, ms, s, sec, min, h, d; a bare number is in seconds, as in
 * PgBouncer; fractions are allowed ("0.5", "1.5s"). Result in microseconds. */
bool text_to_usec(struct slice s, int64_t *out);
/* A number of bytes: a number and a unit of B, kB, MB, GB (1024 each); bare: bytes. */
bool text_to_bytes(struct slice s, int64_t *out);
/* on/off, yes/no, true/false, 1/0. */
bool text_to_bool(struct slice s, bool *out);

/* What a hexadecimal digit stands for; -1: it is none. */
int text_hex_digit(char c);
/* Letters and digits of ASCII, one at least. */
bool text_is_alnum(struct slice s);

/* Append a duration in the largest unit that divides it ("500ms", "10min", "0"). */
void text_put_usec(struct buf *b, int64_t usec);
/* Append a number of bytes in the largest unit that divides it ("16kB", "0"). */
void text_put_bytes(struct buf *b, int64_t bytes);
/* Append for a log line: quoted where it holds blanks, quotes, '=' or control bytes (\xNN); at most
 * `max` input bytes, then "…". */
void text_put_safe(struct buf *b, struct slice s, size_t max);
/* Copy into a fixed array, always terminated; false where it was cut. */
bool text_copy(char *to, size_t size, struct slice s);
/* Put s behind the first *n bytes of a fixed array, and count it; nothing is terminated. False,
 * with nothing changed, where there is no room for all of it. */
bool text_append(char *to, size_t size, size_t *n, struct slice s) MUST_CHECK;

#endif
