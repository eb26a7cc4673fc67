/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/watch/pgdial.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"

#define WORDS_MAX 192

/* Keywords and values for PQconnectStartParams(); of a keyword given twice the last one counts. */
struct words {
	const char *key[WORDS_MAX + 1], *value[WORDS_MAX + 1];
	unsigned n;
};

static void
words_add(struct words *w, const char *key, const char *value)
{
	if (value != NULL && w->n < WORDS_MAX) {
		w->key[w->n] = key;
		w->value[w->n++] = value;
	}
}

/* The words of a conninfo string; *keep holds their memory. */
static int
words_add_info(struct words *w, const char *conninfo, PQconninfoOption **keep, char why[128])
{
	char *message = NULL;

	*keep = NULL;
	if (conninfo == NULL || conninfo[0] == '\0')
		return 0;
	*keep = PQconninfoParse(conninfo, &message);
	if (*keep == NULL) {
		char sqlstate[6];

		pgdial_explain(message != NULL ? message : "out of memory", why, sqlstate);
		PQfreemem(message);
		return -1;
	}
	for (const PQconninfoOption *o = *keep; o->keyword != NULL; o++)
		words_add(w, o->keyword, o->val);
	return 0;
}

static void
ignore_notice(void *arg, const PGresult *res)
{
	(void)arg, (void)res;
}

/* The connection as libpq has begun it, or why it has not. */
static PGconn *
take_started(PGconn *conn, char why[128])
{
	char sqlstate[6];

	if (conn == NULL) {
		snprintf(why, 128, "out of memory");
		return NULL;
	}
	if (PQstatus(conn) == CONNECTION_BAD) {
		pgdial_explain(pgdial_message(conn), why, sqlstate);
		PQfinish(conn);
		return NULL;
	}
	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* for the SQLSTATE */
	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	return conn;
}

PGconn *
pgdial_start(const struct pgdial *d, char why[128])
{
	struct words words = { .n = 0 };
	PQconninfoOption *own, *regional = NULL;
	struct buf hosts = { .cap = 8192 }, addrs = { .cap = 8192 };
	PGconn *conn = NULL;
	char port[8];
	char text[ADDR_TEXT_MAX];

	/* negotiating GSS encryption may ask a key server, and wait for it */
	words_add(&words, "gssencmode", "disable");
	words_add(&words, "dbname", "postgres");
	words_add(&words, "fallback_application_name", d->application);
	words_add(&words, "password", d->password);
	snprintf(port, sizeof(port), "%u", (unsigned)d->port);
	/* "a,b,c" of the node's addresses, the one to try first in front; and as many times its
	 * name. */
	for (unsigned i = 0; i < d->naddrs; i++) {
		const struct addr *a = &d->addrs[(d->first + i) % d->naddrs];

		buf_printf(&hosts, "%s%s", i > 0 ? "," : "", d->host);
		buf_printf(&addrs, "%s%s", i > 0 ? "," : "", addr_print_ip(a, text));
	}
	if (words_add_info(&words, d->conninfo, &own, why) == 0 &&
	    words_add_info(&words, d->region, &regional, why) == 0) {
		words_add(&words, "dbname", d->dbname);
		words_add(&words, "options", d->options);
		words_add(&words, "host", d->naddrs > 0 ? buf_text(&hosts) : d->host);
		words_add(&words, "hostaddr", d->naddrs > 0 ? buf_text(&addrs) : "");
		words_add(&words, "port", port);
		conn = take_started(PQconnectStartParams(words.key, words.value, 0), why);
	}
	PQconninfoFree(own);
	PQconninfoFree(regional);
	buf_fini(&hosts);
	buf_fini(&addrs);
	return conn;
}

const char *
pgdial_message(const PGconn *conn)
{
	const char *said = PQerrorMessage(conn);
	int fd;

	if (said[0] != '\0')
		return said;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return strerror(errno);
	close(fd);
	return "could not create a socket";
}

/* "FATAL:  28P01: password …": take the code out, return what follows it. */
static const char *
skip_code(const char *m, char sqlstate[6])
{
	const char *colon = strstr(m, ":  "), *line_end = strchr(m, '\n');

	if (colon == NULL || (line_end != NULL && colon > line_end))
		return m;
	for (unsigned i = 0; i < 5; i++)
		if (!isupper((unsigned char)colon[3 + i]) && !isdigit((unsigned char)colon[3 + i]))
			return colon + 3;
	if (colon[8] != ':' || colon[9] != ' ')
		return colon + 3;
	memcpy(sqlstate, colon + 3, 5);
	sqlstate[5] = '\0';
	return colon + 10;
}

void
pgdial_explain(const char *message, char why[128], char sqlstate[6])
{
	static const char head[] = "connection to server";
	const char *m = message, *p;
	size_t n;

	sqlstate[0] = '\0';
	/* of several addresses the last one tried */
	while (m[0] != '\0' && (p = strstr(m + 1, head)) != NULL && p[-1] == '\n')
		m = p;
	if (strncmp(m, head, sizeof(head) - 1) == 0 && (p = strstr(m, "failed: ")) != NULL)
		m = p + 8;
	m = skip_code(m, sqlstate);
	n = strcspn(m, "\n");
	text_copy(why, 128, slice_trim(slice_of(m, n)));
	for (char *c = why; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (isupper((unsigned char)why[0]) && islower((unsigned char)why[1]))
		why[0] = (char)tolower((unsigned char)why[0]);
}

bool
pgdial_hear(const PGconn *conn, size_t *heard)
{
	int waiting = 0;

	if (ioctl(PQsocket(conn), FIONREAD, &waiting) == 0 && waiting > 0)
		*heard += (size_t)waiting;
	return *heard <= PGDIAL_HEARD_MAX;
}
