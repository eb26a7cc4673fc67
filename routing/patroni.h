/* SPDX-License-Identifier: PostgreSQL
 *
 * What Patroni's REST API says of a cluster: the answer to GET /cluster, as sightings
 * (routing/sightings.h). A member takes queries while its PostgreSQL runs, unless it is a replica
 * with the tag noloadbalance; a tag "region" says where it is. An answer is believed as a whole or
 * not at all. Pure.
 *
 * Source: Patroni documentation, "Patroni REST API" (GET /cluster) and "Patroni configuration"
 * (tags).
 */
#ifndef ROUTING_PATRONI_H
#define ROUTING_PATRONI_H

#include "routing/sightings.h"

/* Bytes of an answer that is read; of SIGHTINGS_MAX members at most 256 each. */
#define PATRONI_ANSWER_MAX (256 * 1024)
#define PATRONI_PORT       "8008"
/* Of an address as patroni_api() writes it, with its end. */
#define PATRONI_API_MAX 256

/* -1 and *e: it is no answer of Patroni; nothing is owned by the caller then. Else the members go
 * to `seen`, and to `apis` the addresses under which they answer themselves ("http://host:port",
 * one each at most); both are the caller's. */
int patroni_read(struct slice answer, struct sightings *seen, struct strlist *apis, struct err *e);

/* "[http[s]://]HOST[:PORT][/]" in one spelling: "http://HOST:PORT", where the port that is left out
 * is PATRONI_PORT. False: it is none, or does not fit. */
bool patroni_api(struct slice text, char *to, size_t size);

#endif
