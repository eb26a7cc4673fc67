/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/keymaker.h"

#include "protocol/frame.h"
#include "proxy/auth/credential.h"
#include "proxy/session/ownlogin.h"

#include "tests/unit/unit.h"

#define JOBS 40

static struct loop *loop;
static struct mailbox *mail;

struct result {
	int called;
	bool made;
	struct scram_keys keys;
};

static int ncalled;

static void
on_done(void *arg, const struct scram_keys *keys)
{
	struct result *r = arg;

	r->called++;
	r->made = keys != NULL;
	if (keys != NULL)
		r->keys = *keys;
	ncalled++;
}

static struct scram_challenge
challenge(int i)
{
	return (struct scram_challenge){ .salt_len = 2,
					 .salt = { (uint8_t)i, 'x' },
					 .iterations = 500 };
}

static void
await(int n)
{
	while (ncalled < n) {
		mailbox_wait(mail, 1000);
		(void)mailbox_deliver(mail);
	}
}

static void
keys_come_to_whoever_asked(void **state)
{
	struct keymaker *m = keymaker_new();
	struct credential *c = credential_new_password(slice_str("pencil"));
	struct result r[JOBS] = { 0 };

	(void)state;
	ncalled = 0;
	assert_int_equal(keymaker_start(m, 2), 0);
	for (int i = 0; i < JOBS; i++) {
		struct scram_challenge ask = challenge(i / 2);

		assert_non_null(keymaker_post(m, mail, c, &ask, on_done, &r[i]));
	}
	await(JOBS);
	for (int i = 0; i < JOBS; i++) {
		struct scram_challenge ask = challenge(i / 2);
		struct scram_keys k;

		assert_int_equal(r[i].called, 1);
		assert_true(r[i].made);
		assert_int_equal(scram_keys_make(slice_str("pencil"),
						 slice_of((const char *)ask.salt, ask.salt_len),
						 ask.iterations, &k, NULL),
				 0);
		assert_memory_equal(&r[i].keys, &k, sizeof(k));
	}
	keymaker_stop(m);
	keymaker_free(m);
	credential_unref(c);
}

static void
who_was_forgotten_is_not_called(void **state)
{
	struct keymaker *m = keymaker_new();
	struct credential *c = credential_new_password(slice_str("pencil"));
	struct scram_challenge ask = challenge(1);
	struct result r[3] = { 0 };

	(void)state;
	ncalled = 0;
	assert_int_equal(keymaker_start(m, 1), 0);
	(void)keymaker_post(m, mail, c, &ask, on_done, &r[0]);
	keyjob_forget(keymaker_post(m, mail, c, &ask, on_done, &r[1]));
	(void)keymaker_post(m, mail, c, &ask, on_done, &r[2]);
	await(2);
	assert_int_equal(r[1].called, 0);
	assert_true(r[0].made && r[2].made);
	keymaker_stop(m);
	(void)mailbox_deliver(mail);
	keymaker_free(m);
	credential_unref(c);
}

static void
what_waits_when_it_ends_comes_back_without_keys(void **state)
{
	struct keymaker *m = keymaker_new();
	struct credential *c = credential_new_password(slice_str("pencil"));
	struct result r[JOBS] = { 0 };
	int made = 0;

	(void)state;
	/* nor does anybody make keys before it begins */
	ncalled = 0;
	(void)keymaker_post(m, mail, c, &(struct scram_challenge){ 1, "x", 1 }, on_done, &r[0]);
	await(1);
	assert_false(r[0].made);
	r[0].called = 0;
	ncalled = 0;
	assert_int_equal(keymaker_start(m, 1), 0);
	for (int i = 0; i < JOBS; i++) {
		struct scram_challenge ask = challenge(i);

		ask.iterations = 20000;
		(void)keymaker_post(m, mail, c, &ask, on_done, &r[i]);
		if (i == JOBS - 2)
			keymaker_stop(m);
	}
	await(JOBS);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(r[i].called, 1);
		made += r[i].made;
	}
	assert_true(made < JOBS - 1);
	assert_false(r[JOBS - 1].made);
	keymaker_free(m);
	credential_unref(c);
}

/* What ownlogin has said, when it was ready. */
struct place_parts {
	struct buf reply;
	char sqlstate[6];
};

static void
on_ready(void *arg, struct slice reply, const struct err *failed)
{
	struct place_parts *s = arg;

	buf_slice(&s->reply, reply);
	if (failed != NULL)
		memcpy(s->sqlstate, failed->sqlstate, sizeof(s->sqlstate));
	ncalled++;
}

/* Up to the challenge of a node whose verifier is v: its answer comes later, or now. */
static void
challenge_own(struct ownlogin *o, struct scram_server *s, struct buf *now)
{
	struct message_auth auth = { .code = AUTH_SASL, .data = { "SCRAM-SHA-256\0", 14 } };
	struct message_sasl_initial first;
	struct scram_verifier v;
	struct buf said = { 0 };
	struct frame f = { 0 };
	struct err e;

	assert_int_equal(scram_verifier_make(slice_str("pencil"), slice_str("salt"), 4096, &v, &e),
			 0);
	scram_server_init(s, &v, "3rfcNHYJY1ZVvWVs7j");
	assert_int_equal(ownlogin_answer(o, slice_str("mary"), &auth, now, &e), 0);
	assert_int_equal(frame_cut(buf_view(now), 65536, &f), PARSE_DONE);
	assert_int_equal(message_parse_sasl_initial(f.body, &first), PARSE_DONE);
	assert_int_equal(scram_server_first(s, first.mechanism, first.data, &said, &e), 0);
	auth = (struct message_auth){ .code = AUTH_SASL_CONTINUE, .data = buf_view(&said) };
	buf_clear(now);
	assert_int_equal(ownlogin_answer(o, slice_str("mary"), &auth, now, &e), 0);
	buf_fini(&said);
}

static void
is_right(struct scram_server *s, struct slice answer)
{
	struct frame f = { 0 };
	struct buf final = { 0 };
	struct err e;

	assert_int_equal(frame_cut(answer, 65536, &f), PARSE_DONE);
	assert_int_equal(scram_server_final(s, f.body, &final, &e), 0);
	buf_fini(&final);
	scram_server_fini(s);
}

static void
a_login_waits_for_its_keys_once(void **state)
{
	struct keymaker *m = keymaker_new();
	struct credential *c = credential_new_password(slice_str("pencil"));
	struct message_auth ok = { .code = AUTH_OK };
	struct place_parts said = { 0 };
	struct ownlogin_away away = { m, mail, on_ready, &said };
	struct buf now = { 0 };
	struct scram_server s;
	struct err e;

	(void)state;
	ncalled = 0;
	assert_int_equal(keymaker_start(m, 1), 0);
	for (int round = 0; round < 2; round++) {
		struct ownlogin *o = ownlogin_new_credential(c);

		buf_clear(&now);
		ownlogin_may_wait(o, &away);
		challenge_own(o, &s, &now);
		if (round == 0) {
			assert_int_equal(now.n, 0);
			/* a node that goes on meanwhile is not heard */
			assert_int_equal(ownlogin_answer(o, slice_str("mary"), &ok, &now, &e), -1);
			assert_string_equal(e.sqlstate, "08P01");
			await(1);
			assert_string_equal(said.sqlstate, "");
			is_right(&s, buf_view(&said.reply));
		} else {
			is_right(&s, buf_view(&now));
		}
		ownlogin_free(o);
	}
	assert_int_equal(ncalled, 1);
	keymaker_stop(m);
	keymaker_free(m);
	credential_unref(c);
	buf_fini(&said.reply);
	buf_fini(&now);
}

static void
a_login_that_ends_meanwhile_hears_nothing(void **state)
{
	struct keymaker *m = keymaker_new();
	struct place_parts said = { 0 };
	struct ownlogin_away away = { m, mail, on_ready, &said };
	struct buf now = { 0 };
	struct scram_server s;
	struct ownlogin *o = ownlogin_new(slice_str("pencil"));

	(void)state;
	ncalled = 0;
	assert_int_equal(keymaker_start(m, 1), 0);
	ownlogin_may_wait(o, &away);
	challenge_own(o, &s, &now);
	ownlogin_free(o);
	keymaker_stop(m);
	(void)mailbox_deliver(mail);
	assert_int_equal(ncalled, 0);
	/* nobody makes keys any more: a login is told so */
	o = ownlogin_new(slice_str("pencil"));
	ownlogin_may_wait(o, &away);
	buf_clear(&now);
	scram_server_fini(&s);
	challenge_own(o, &s, &now);
	assert_int_equal(now.n, 0);
	await(1);
	assert_string_equal(said.sqlstate, "XX000");
	assert_int_equal(said.reply.n, 0);
	ownlogin_free(o);
	scram_server_fini(&s);
	keymaker_free(m);
	buf_fini(&now);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_come_to_whoever_asked),
		cmocka_unit_test(who_was_forgotten_is_not_called),
		cmocka_unit_test(what_waits_when_it_ends_comes_back_without_keys),
		cmocka_unit_test(a_login_waits_for_its_keys_once),
		cmocka_unit_test(a_login_that_ends_meanwhile_hears_nothing),
	};
	int failed;

	loop = loop_new();
	mail = mailbox_new(loop, NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	mailbox_free(mail);
	loop_free(loop);
	return failed;
}
