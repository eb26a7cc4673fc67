/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "base/ev/fetch.h"

#include <stdlib.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/mem.h"

struct fetch {
	struct fetcher *of;
	struct fetch *next, **at;
	CURL *easy;
	struct buf body;
	char why[CURL_ERROR_SIZE];
	fetch_fn done;
	void *arg;
};

struct fetcher {
	struct loop *loop;
	CURLM *multi;
	struct event timer;
	struct fetch *first;
};

static void
fetch_free(struct fetch *x)
{
	*x->at = x->next;
	if (x->next != NULL)
		x->next->at = x->at;
	curl_multi_remove_handle(x->of->multi, x->easy);
	curl_easy_cleanup(x->easy);
	buf_fini(&x->body);
	free(x);
}

/* ---- answers ---- */

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *x = arg;

	buf_put(&x->body, p, size * n);
	return x->body.failed ? 0 : size * n; /* less than all: libcurl gives it up */
}

static void
explain(const struct fetch *x, CURLcode code, long status, struct err *e)
{
	if (x->body.failed)
		(void)err_set(e, "08P01", "the answer is longer than %zu bytes", x->body.cap);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		(void)err_set(e, "57014", "no answer in time");
	else if (code != CURLE_OK)
		(void)err_set(e, "08006", "%s",
			      x->why[0] != '\0' ? x->why : curl_easy_strerror(code));
	else
		(void)err_set(e, "08P01", "the answer's status is %ld", status);
}

static void
end(struct fetch *x, CURLcode code)
{
	struct buf body = x->body;
	fetch_fn done = x->done;
	void *arg = x->arg;
	long status = 0;
	struct err e = { 0 };
	bool good;

	(void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	good = code == CURLE_OK && status == 200 && !body.failed;
	if (!good)
		explain(x, code, status, &e);
	x->body = (struct buf){ 0 };
	fetch_free(x);
	done(arg, good ? slice_str(buf_text(&body)) : slice_of(NULL, 0), &e);
	buf_fini(&body);
}

static void
end_what_is_over(struct fetcher *f)
{
	struct fetch *x = NULL;
	CURLcode code;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(f->multi, &left)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		code = m->data.result; /* the message goes with its handle */
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
		end(x, code);
	}
}

/* ---- libcurl on the loop ---- */

static void
fetch_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct fetcher *f = arg;
	int bits = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
		   ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(f->multi, fd, bits, &running);
	end_what_is_over(f);
}

static void
fetch_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fetcher *f = arg;
	int running;

	(void)fd, (void)what;
	curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	end_what_is_over(f);
}

/* libcurl has another wish about a socket: `ev` is what it was given for it before. */
static int
on_wish(CURL *easy, curl_socket_t fd, int wish, void *arg, void *had)
{
	struct fetcher *f = arg;
	struct event *ev = had;
	short what = (short)(((wish & CURL_POLL_IN) != 0 ? EV_READ : 0) |
			     ((wish & CURL_POLL_OUT) != 0 ? EV_WRITE : 0) | EV_PERSIST);

	(void)easy;
	if (ev != NULL)
		event_del(ev);
	if (wish == CURL_POLL_REMOVE) {
		free(ev);
		return 0;
	}
	if (ev == NULL) {
		ev = xcalloc(1, sizeof(*ev));
		curl_multi_assign(f->multi, fd, ev);
	}
	event_assign(ev, loop_base(f->loop), fd, what, fetch_on_socket, f);
	event_add(ev, NULL);
	return 0;
}

static int
on_timer_wish(CURLM *multi, long ms, void *arg)
{
	struct fetcher *f = arg;
	const struct timeval in = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	(void)multi;
	if (ms < 0)
		event_del(&f->timer);
	else
		event_add(&f->timer, &in);
	return 0;
}

/* ---- life ---- */

struct fetcher *
fetcher_new(struct loop *l)
{
	struct fetcher *f = xcalloc(1, sizeof(*f));

	BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
	f->loop = l;
	f->multi = curl_multi_init();
	BUG_ON(f->multi == NULL);
	evtimer_assign(&f->timer, loop_base(l), fetch_on_timer, f);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_wish);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	return f;
}

void
fetcher_free(struct fetcher *f)
{
	if (f == NULL)
		return;
	while (f->first != NULL)
		fetch_free(f->first);
	curl_multi_cleanup(f->multi);
	event_del(&f->timer);
	free(f);
	curl_global_cleanup();
}

static void
set_options(struct fetch *x, const struct fetch_request *r)
{
	curl_easy_setopt(x->easy, CURLOPT_URL, r->url);
	curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(x->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(x->easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(x->easy, CURLOPT_USERAGENT, "meridian");
	curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)(r->timeout_us / USEC_PER_MSEC));
	if (r->ca_file != NULL)
		curl_easy_setopt(x->easy, CURLOPT_CAINFO, r->ca_file);
	curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->why);
	curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
}

struct fetch *
fetch_start(struct fetcher *f, const struct fetch_request *r, fetch_fn done, void *arg)
{
	struct fetch *x = xcalloc(1, sizeof(*x));

	*x = (struct fetch){ .of = f, .next = f->first, .at = &f->first, .done = done, .arg = arg };
	if (f->first != NULL)
		f->first->at = &x->next;
	f->first = x;
	buf_init(&x->body, r->max);
	x->easy = curl_easy_init();
	BUG_ON(x->easy == NULL);
	set_options(x, r);
	/* libcurl begins when its timer, which this arms, is due: in the next turn at the earliest
	 */
	curl_multi_add_handle(f->multi, x->easy);
	return x;
}

void
fetch_cancel(struct fetch *x)
{
	if (x != NULL)
		fetch_free(x);
}
