/* SPDX-License-Identifier: PostgreSQL
 *
 * Between classify.c and the lists of classify_names.c: what PostgreSQL itself has by that name,
 * and does not write.
 */
#ifndef ROUTING_CLASSIFY_INT_H
#define ROUTING_CLASSIFY_INT_H

#include "routing/classify.h"

bool classify_knows_function(const char *name);
bool classify_knows_operator(const char *name);
bool classify_knows_type(const char *name);

#endif
