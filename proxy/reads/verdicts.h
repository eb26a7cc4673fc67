/* SPDX-License-Identifier: PostgreSQL
 *
 * What is known of texts: whether they only read (routing/classify.h). One per worker; the texts
 * that were asked for last are kept, in bounded memory.
 */
#ifndef PROXY_READS_VERDICTS_H
#define PROXY_READS_VERDICTS_H

#include "base/slice.h"
#include "routing/classify.h"

struct verdicts;

struct verdicts *verdicts_new(void);
void verdicts_free(struct verdicts *v); /* accepts NULL */
enum classify_reason verdicts_get(struct verdicts *v, struct slice sql);
/* A standby has refused it: it is CLASSIFY_MISJUDGED from now on. */
void verdicts_refuse(struct verdicts *v, struct slice sql);
size_t verdicts_count(const struct verdicts *v);

#endif
