/* SPDX-License-Identifier: PostgreSQL
 *
 * PAUSE and RESUME, control's side: what is paused, by names, so that it survives reloads; which
 * consoles and migrations wait to be told that no transaction is open there; and the deadlines at
 * which a PAUSE that has not got that far is taken back. The workers do the work
 * (proxy/move/pause.h).
 *
 * A PAUSE that was answered with success is in force until RESUME. One that failed, that was ended
 * by its deadline or by RESUME, or whose console went away before the answer, leaves nothing
 * behind.
 *
 * The freeze of a migration (migration/gate.h) is a PAUSE that is not the operator's: it stays when
 * its deadline is over, RESUME does not end it, and it has an end of its own.
 */
#ifndef PROXY_MOVE_PAUSES_H
#define PROXY_MOVE_PAUSES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct control;
struct control_request;
struct errand;
struct loop;
struct meridian;
struct pause_scope;
struct paused;

/* Control's; all of it on its thread. */
struct paused_list {
	struct meridian *process;
	struct loop *loop;
	LIST_HEAD(, paused) list;
	uint64_t last_serial;
	bool closed; /* the proxy is stopping: nothing is paused any more */
};

void paused_init(struct paused_list *all, struct meridian *process, struct loop *loop);
/* Answers the requests that wait. */
void paused_fini(struct paused_list *all);
/* Requests CONTROL_PAUSE, CONTROL_RESUME, CONTROL_PAUSE_LEFT: subject is a database, `region` a
 * region; "" stands for all. True: answered; false: the request is kept until it can be. */
bool paused_begin(struct paused_list *all, struct control_request *r);
bool paused_end(struct paused_list *all, struct control_request *r);
bool paused_left(struct paused_list *all, struct control_request *r);

bool paused_any(const struct paused_list *all);

/* Begin a freeze, or give the one that exists another end; expires_us: from now on, 0: none. The
 * part of `take_e` is over when no transaction is open there. False: the proxy is stopping, and
 * nothing was taken. */
bool paused_freeze(struct paused_list *all, const struct pause_scope *scope, int64_t expires_us,
		   struct errand *take_e);
/* Whether a migration has frozen that database, or a part of it. */
bool paused_is_frozen(const struct paused_list *all, const char *database);
/* End that migration's freeze of that database. */
void paused_thaw(struct paused_list *all, const struct pause_scope *scope, const char *why);

/* Any thread: on one worker no transaction is open any more in the part that this PAUSE is
 * about. */
void control_paused(struct control *c, uint64_t serial);

#endif
