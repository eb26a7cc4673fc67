/* SPDX-License-Identifier: PostgreSQL
 *
 * What is done where descriptors run out: a few are held in reserve, open and of no use. Where
 * accept() has none left, one of them is given back to the kernel for it, so that whoever comes can
 * be heard: who asks for the console goes on, all others are refused (SQLSTATE 53300), and the
 * reserve is made whole again as soon as something closes. Of sockets in the file system (where the
 * daemon's own user is administrator) some are for those alone. All functions: any thread; NULL is
 * a reserve of none.
 */
#ifndef PROXY_PROCESS_DESCRIPTORS_H
#define PROXY_PROCESS_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct descriptors;

/* Takes the reserve: DESCRIPTORS_RESERVE, or an eighth of the limit where that is less. */
#define DESCRIPTORS_RESERVE 16U
struct descriptors *descriptors_new(void);
/* What those are told for whom there is none. */
#define DESCRIPTORS_NONE_LEFT "Meridian has no descriptors left."
void descriptors_free(struct descriptors *d);

/* Whether some of the reserve is out: there are none for further sessions. */
bool descriptors_short(const struct descriptors *d);
/* Somebody needs one: give one of the reserve back to the kernel. `privileged` may have the last
 * quarter of it. False: there is none. */
bool descriptors_spend(struct descriptors *d, bool privileged);
/* Something was closed: take back what is missing of the reserve, as far as it goes. */
void descriptors_refill(struct descriptors *d);
/* So that two more can be opened now, of the reserve where there are no others. */
void descriptors_make_room(struct descriptors *d);
/* How many of the reserve are held now. */
unsigned descriptors_held(const struct descriptors *d);

/* RLIMIT_NOFILE now. */
int64_t descriptors_limit(void);
/* Those that are open before any client has come count as our own. Once, at the end of start-up. */
void descriptors_settle(struct descriptors *d);
/* What the configuration's limits would take: its sessions with a server connection each, and what
 * is our own. */
int64_t descriptors_needed(const struct descriptors *d, const struct config *config);
/* Say so in the log where the limit does not suffice for that. */
void descriptors_warn(const struct descriptors *d, const struct config *config);

#endif
