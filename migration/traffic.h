/* SPDX-License-Identifier: PostgreSQL
 *
 * What statements run on a database, for those that ask what a change will meet: from what this
 * proxy saw of its sessions in the last 24 hours (site_ops.traffic; statement_sample), else from
 * pg_stat_statements, which counts since it was reset and knows no distribution. Figures
 * come with which of the two they are from.
 */
#ifndef MIGRATION_TRAFFIC_H
#define MIGRATION_TRAFFIC_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

struct site;

enum traffic_source { TRAFFIC_UNKNOWN, TRAFFIC_OF_PROXY, TRAFFIC_OF_SERVER };

struct traffic_statement {
	char *text;
	double calls, mean_ms;
	double p99_ms; /* < 0: not known */
};

struct traffic {
	enum traffic_source source;
	int64_t window_us; /* TRAFFIC_OF_PROXY: so far back */
	struct traffic_statement *v;
	size_t n;
};

/* All zero is empty. */
void traffic_add(struct traffic *t, const char *text, double calls, double mean_ms, double p99_ms);
void traffic_fini(struct traffic *t);

/* What this proxy saw of that database (job_database()); nothing: TRAFFIC_UNKNOWN. */
void traffic_of_proxy(const struct site *site, const char *database, struct traffic *out);
/* The first of the two that knows something. */
void traffic_load(const struct site *site, const char *database, PGconn *c, struct traffic *out);

/* Statements that name both; NULL: that matters not. */
struct traffic_count {
	double calls, mean_ms, p99_ms; /* the worst of them; < 0: not known */
};
void traffic_count(const struct traffic *t, const char *a, const char *b,
		   struct traffic_count *out);
double traffic_per_second(const struct traffic *t, double calls); /* < 0: not known */
/* "this proxy, last 3 h", "pg_stat_statements since its reset", "not known". */
#define TRAFFIC_TEXT_MAX 64
const char *traffic_source_text(const struct traffic *t, char to[TRAFFIC_TEXT_MAX]);

#endif
