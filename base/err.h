/* SPDX-License-Identifier: PostgreSQL
 *
 * struct err: why a piece of setup work failed, in the words that a user will read. Functions that
 * return 0/-1 fill it on -1. Messages: lower case, no full stop; detail and hint are whole
 * sentences (PostgreSQL's error message style guide).
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
	char sqlstate[6]; /* "" where none applies */
	char msg[512];
	char detail[2048];
	char hint[256];
};

/* Each returns -1, so that `return err_set(e, …)` reads well; e may be NULL. */
int err_set(struct err *e, const char *sqlstate, const char *fmt, ...)
    __attribute__((cold, format(printf, 3, 4)));
int err_detail(struct err *e, const char *fmt, ...) __attribute__((cold, format(printf, 2, 3)));
int err_hint(struct err *e, const char *fmt, ...) __attribute__((cold, format(printf, 2, 3)));
/* Put "context: " before the message. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((cold, format(printf, 2, 3)));

#endif
