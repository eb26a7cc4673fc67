/* SPDX-License-Identifier: PostgreSQL
 *
 * Reads the file of the fleet's keys; what stands in it is protocol/fleetkey.h's business.
 */
#ifndef PROXY_CONFIG_FLEETFILE_H
#define PROXY_CONFIG_FLEETFILE_H

#include "base/err.h"
#include "base/slice.h"

struct fleet_keys;

/* NULL and *e on failure. Refuses a file that everybody may read: who has a key may cancel any
 * query. */
struct fleet_keys *fleetfile_load(const char *path, struct err *e) MUST_CHECK;

#endif
