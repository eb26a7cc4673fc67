/* SPDX-License-Identifier: PostgreSQL
 *
 * When descriptors run out: a few are held in reserve, open and unused. When accept() has none
 * left, one of them is closed for it, so that the new client can be heard: a client of the console
 * goes on, all others are refused (SQLSTATE 53300), and the reserve is refilled as soon as a
 * descriptor is closed. Of unix sockets, where the daemon's own user is administrator, a part of
 * the reserve is for those alone.
 *
 * All functions: any thread; NULL is an empty reserve.
 */
#ifndef PROXY_PROCESS_DESCRIPTORS_H
#define PROXY_PROCESS_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct descriptors;

/* Opens the reserve: DESCRIPTORS_RESERVE, or an eighth of the limit if that is less. */
#define DESCRIPTORS_RESERVE 16U
struct descriptors *descriptors_new(void);
/* The error for clients for which there is no descriptor. */
#define DESCRIPTORS_NONE_LEFT "Meridian has no descriptors left."
void descriptors_free(struct descriptors *d);

/* Whether some of the reserve is in use: then there are no descriptors for further sessions. */
bool descriptors_short(const struct descriptors *d);
/* Close one of the reserve, so that a descriptor can be opened. `privileged` callers may also have
 * the last quarter. False: there is none left. */
bool descriptors_spend(struct descriptors *d, bool privileged);
/* A descriptor was closed: refill the reserve as far as possible. */
void descriptors_refill(struct descriptors *d);
/* Make sure that two descriptors can be opened now, from the reserve if there are no others. */
void descriptors_make_room(struct descriptors *d);
/* How many descriptors of the reserve are held now. */
unsigned descriptors_held(const struct descriptors *d);

/* RLIMIT_NOFILE now. */
int64_t descriptors_limit(void);
/* To be called once, at the end of start-up: the descriptors open by then count as the process's
 * own. */
void descriptors_settle(struct descriptors *d);
/* How many descriptors the configuration's limits would need: its sessions with a server connection
 * each, and the process's own. */
int64_t descriptors_needed(const struct descriptors *d, const struct config *config);
/* Warn in the log if the limit is too low for that. */
void descriptors_warn(const struct descriptors *d, const struct config *config);

#endif
