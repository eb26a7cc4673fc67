/* SPDX-License-Identifier: PostgreSQL
 *
 * Between the two files of the executor: executor.c (the thread: lease, what a dead one left, how
 * it ended) and executor_run.c (phases and their guards, step by step; ABORT). All of it runs on
 * the executor's thread; 0, or -1 and *e.
 */
#ifndef MIGRATION_EXECUTOR_INT_H
#define MIGRATION_EXECUTOR_INT_H

struct err;
struct executor;
struct job;

/* ---- executor.c ---- */

/* What was ordered, as the row keeps it: JSON, the caller's. */
char *executor_order_text(const struct executor *x);
/* Whoever gave the order hears that it runs (`why` NULL), or why it does not. Once; then nothing.
 */
void executor_tell_starter(struct executor *x, const struct err *why);

/* ---- executor_run.c ---- */

/* What was ordered. 1: as far as that goes, and there is more. */
int executor_run(struct job *j, struct err *e);
int executor_abort(struct job *j, struct err *e);
/* Always -1: it is decided. */
int executor_refuse_abort(struct job *j, struct err *e);
/* What was asked of this executor has been heard. */
int executor_forget_request(struct job *j, struct err *e);

#endif
