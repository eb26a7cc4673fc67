/* SPDX-License-Identifier: PostgreSQL
 *
 * Reads the file of the fleet's keys; protocol/fleetkey.h knows its content.
 */
#ifndef PROXY_CONFIG_FLEETFILE_H
#define PROXY_CONFIG_FLEETFILE_H

#include "base/err.h"
#include "base/slice.h"

struct fleet_keys;

/* NULL and *e on failure. Refuses a file that all users of the system may read: a key allows to
 * cancel any query. */
struct fleet_keys *fleetfile_load(const char *path, struct err *e) MUST_CHECK;

#endif
