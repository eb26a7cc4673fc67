/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "routing/patroni.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/addr.h"
#include "base/text.h"

bool
patroni_api(struct slice text, char *to, size_t size)
{
	const char *scheme = "http";
	struct slice host, port;
	int n;

	if (slice_starts(text, "https://"))
		scheme = "https";
	if (slice_starts(text, "http://") || slice_starts(text, "https://"))
		text = slice_skip(text, strlen(scheme) + strlen("://"));
	if (text.n > 0 && text.p[text.n - 1] == '/')
		text.n--;
	if (!host_port_split(text, &host, &port))
		return false;
	if (port.p == NULL)
		port = slice_str(PATRONI_PORT);
	/* an IPv6 address that was written without brackets gets them */
	n = snprintf(to, size,
		     host.p[0] != '[' && memchr(host.p, ':', host.n) != NULL ? "%s://[%.*s]:%.*s"
									     : "%s://%.*s:%.*s",
		     scheme, (int)host.n, host.p, (int)port.n, port.p);
	return n > 0 && (size_t)n < size;
}

/* ---- members ---- */

/* A text of a member, or nothing; false: there is something else. */
static bool
text_of(const json_t *of, const char *key, struct slice *to)
{
	const json_t *v = json_object_get(of, key);

	*to = slice_of(NULL, 0);
	if (v == NULL || json_is_null(v))
		return true;
	*to = slice_of(json_string_value(v), json_string_length(v));
	return json_is_string(v);
}

/* A port, which Patroni writes as a number. */
static bool
port_of(const json_t *member, char to[8], struct slice *port)
{
	const json_t *v = json_object_get(member, "port");
	json_int_t n = json_integer_value(v);

	*port = slice_of(NULL, 0);
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_integer(v) || n < 1 || n > UINT16_MAX)
		return false;
	snprintf(to, 8, "%d", (int)n);
	*port = slice_str(to);
	return true;
}

/* Tags are written by hand: whatever YAML makes a truth value of, and what stands for one. */
static bool
is_set(const json_t *tags, const char *key)
{
	const json_t *v = json_object_get(tags, key);
	bool said;

	if (json_is_string(v))
		return text_to_bool(slice_str(json_string_value(v)), &said) ? said : true;
	return json_is_true(v) || json_number_value(v) != 0.0;
}

static bool
runs(struct slice state)
{
	/* "streaming" and "in archive recovery" are what later versions say of a replica */
	return slice_is(state, "running") || slice_is(state, "streaming") ||
	       slice_is(state, "in archive recovery");
}

static int
add_member(const json_t *member, struct sightings *seen, struct strlist *apis, struct err *e)
{
	const json_t *tags = json_object_get(member, "tags");
	struct slice columns[SIGHTING_COLUMNS] = { 0 }, role, state, api;
	char port[8], url[PATRONI_API_MAX];
	bool replica, spared;

	if (!json_is_object(member) || (tags != NULL && !json_is_object(tags)))
		return err_set(e, "08P01", "a member is no object");
	if (!text_of(member, "name", &columns[SIGHTING_NAME]) ||
	    !text_of(member, "host", &columns[SIGHTING_HOST]) ||
	    !text_of(tags, "region", &columns[SIGHTING_PLACE]) ||
	    !port_of(member, port, &columns[SIGHTING_PORT]) || !text_of(member, "role", &role) ||
	    !text_of(member, "state", &state) || !text_of(member, "api_url", &api) ||
	    columns[SIGHTING_NAME].n == 0 || role.n == 0 || state.n == 0)
		return err_set(e, "08P01", "a member is not told of as Patroni does");
	replica = !slice_is(role, "leader") && !slice_is(role, "master");
	spared = replica && is_set(tags, "noloadbalance");
	columns[SIGHTING_SERVES] = slice_str(runs(state) && !spared ? "t" : "f");
	columns[SIGHTING_STATE] = !runs(state) ? state : spared ? slice_str("noloadbalance") : role;
	if (sightings_add(seen, columns, e) != 0)
		return -1;
	/* "http://10.0.0.7:8008/patroni" */
	if (api.n > strlen("/patroni") &&
	    slice_is(slice_skip(api, api.n - strlen("/patroni")), "/patroni"))
		api.n -= strlen("/patroni");
	if (api.n > 0 && patroni_api(api, url, sizeof(url)))
		strlist_add_once(apis, url);
	return 0;
}

int
patroni_read(struct slice answer, struct sightings *seen, struct strlist *apis, struct err *e)
{
	json_error_t error;
	json_t *all = json_loadb(answer.p, answer.n, JSON_REJECT_DUPLICATES, &error);
	const json_t *members = json_object_get(all, "members");
	int r = 0;

	*seen = (struct sightings){ 0 };
	*apis = (struct strlist){ 0 };
	if (!json_is_array(members))
		r = err_set(e, "08P01", "the answer is not one of Patroni's GET /cluster");
	for (size_t i = 0; r == 0 && i < json_array_size(members); i++)
		r = add_member(json_array_get(members, i), seen, apis, e);
	json_decref(all);
	if (r != 0) {
		sightings_fini(seen);
		strlist_fini(apis);
	}
	return r;
}
