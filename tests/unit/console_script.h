/* SPDX-License-Identifier: PostgreSQL
 *
 * Scripts of messages for the console of console_fake.h, one message per line:
 *
 *     Q sql                 P name|sql|oid,oid     B portal|statement|value,value|formats
 *     DS name   DP name     E portal|rows          CS name   CP name      S  H  X  F  d
 */
#ifndef TESTS_UNIT_CONSOLE_SCRIPT_H
#define TESTS_UNIT_CONSOLE_SCRIPT_H

#include "tests/unit/console_fake.h"

/* The messages of a script. */
void put_script(struct buf *b, const char *script);
/* Bytes of the client; then all letters are delivered. */
void feed(struct fake *f, const char *p, size_t n);
/* A whole script, and what the console answers, as fake_print() writes it. */
void ask(struct fake *f, const char *script, struct buf *answer);
/* One query; no letter is delivered. */
void send_query(struct fake *f, const char *sql);

#endif
