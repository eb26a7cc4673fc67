/* SPDX-License-Identifier: PostgreSQL
 *
 * What is known of texts: whether they only read (routing/classify.h). One per worker; the texts
 * that were asked for last are kept, in bounded memory, and their fingerprints
 * (protocol/fingerprint.h) beside them: texts that differ in constants and comments only read, or
 * do not, alike, and one of them is parsed. What is known goes with what the catalog of its
 * database says of names: once that says something else, or is not known any more, the text is
 * looked at again.
 */
#ifndef PROXY_READS_VERDICTS_H
#define PROXY_READS_VERDICTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "routing/classify.h"

struct catalog;
struct verdicts;

struct verdicts *verdicts_new(void);
void verdicts_free(struct verdicts *v); /* accepts NULL */
/* `catalog`: NULL: not known. */
enum classify_reason verdicts_get(struct verdicts *v, struct slice sql,
				  const struct catalog *catalog);
/* A standby has refused it: it is CLASSIFY_MISJUDGED from now on, and so is what comes with other
 * constants. `serial`: of the catalog by which
 * it was judged; 0: by none. */
void verdicts_refuse(struct verdicts *v, struct slice sql, uint64_t serial);
/* What is known of a fingerprint, by the catalog of whichever database. False: nothing. */
bool verdicts_know(const struct verdicts *v, struct slice fingerprint, unsigned *reason);
size_t verdicts_count(const struct verdicts *v);

#endif
