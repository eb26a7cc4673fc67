/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/session/ownlogin.h"

#include "protocol/frame.h"
#include "protocol/scram.h"
#include "proxy/auth/credential.h"
#include "proxy/auth/md5.h"

#include "tests/unit/unit.h"

#define NONCE "3rfcNHYJY1ZVvWVs7j)hNlF$k0"

static const struct message_auth ok = { .code = AUTH_OK };

/* What answers a request of the node: the body of its 'p'. */
static struct slice
answer(struct ownlogin *o, uint32_t code, struct slice data, struct buf *out)
{
	struct message_auth auth = { .code = code, .data = data };
	struct frame f = { 0 };
	struct err e = { 0 };

	buf_clear(out);
	if (ownlogin_answer(o, slice_str("mary"), &auth, out, &e) != 0)
		fail_msg("%s", e.msg);
	assert_int_equal(frame_cut(buf_view(out), 65536, &f), PARSE_DONE);
	assert_int_equal(f.type, MSG_PASSWORD);
	assert_int_equal(f.total, out->n);
	return f.body;
}

static void
refuses(struct ownlogin *o, const struct message_auth *auth, const char *sqlstate)
{
	struct buf out = { 0 };
	struct err e = { 0 };

	assert_int_equal(ownlogin_answer(o, slice_str("mary"), auth, &out, &e), -1);
	assert_string_equal(e.sqlstate, sqlstate);
	assert_int_equal(out.n, 0);
	buf_fini(&out);
}

static void
the_password_is_said_as_it_is_asked_for(void **state)
{
	struct ownlogin *o = ownlogin_new(slice_str("lamb"));
	struct buf out = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(ownlogin_answer(o, slice_str("mary"), &ok, &out, &e), 0);
	assert_int_equal(out.n, 0);
	assert_memory_equal(answer(o, AUTH_CLEARTEXT, slice_of("", 0), &out).p, "lamb", 5);
	assert_memory_equal(answer(o, AUTH_MD5, slice_of("\1\2\3\4", 4), &out).p, "md5", 3);
	assert_int_equal(out.n, 5 + 36);
	ownlogin_free(o);
	o = ownlogin_new(slice_of(NULL, 0));
	assert_int_equal(answer(o, AUTH_CLEARTEXT, slice_of("", 0), &out).n, 1);
	ownlogin_free(o);
	buf_fini(&out);
}

/* The node's side, up to and with its final message. */
static void
exchange(struct ownlogin *o, struct scram_server *s, struct buf *final)
{
	struct scram_verifier v;
	struct message_sasl_initial first;
	struct buf out = { 0 }, said = { 0 };
	struct slice body;
	struct err e;

	assert_int_equal(
	    scram_verifier_make(slice_str("lamb"), slice_str("0123456789abcdef"), 4096, &v, &e), 0);
	scram_server_init(s, &v, NONCE);
	body = answer(o, AUTH_SASL, slice_of("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0", 33), &out);
	assert_int_equal(message_parse_sasl_initial(body, &first), PARSE_DONE);
	assert_true(slice_is(first.mechanism, SCRAM_MECHANISM));
	assert_int_equal(scram_server_first(s, first.mechanism, first.data, &said, &e), 0);
	body = answer(o, AUTH_SASL_CONTINUE, buf_view(&said), &out);
	assert_int_equal(scram_server_final(s, body, final, &e), 0);
	buf_fini(&out);
	buf_fini(&said);
}

static void
a_node_that_asks_for_scram_proves_itself(void **state)
{
	struct ownlogin *o = ownlogin_new(slice_str("lamb"));
	struct scram_server s;
	struct buf final = { 0 }, out = { 0 };
	struct message_auth end = { .code = AUTH_SASL_FINAL };
	struct err e;

	(void)state;
	exchange(o, &s, &final);
	end.data = buf_view(&final);
	assert_int_equal(ownlogin_answer(o, slice_str("mary"), &end, &out, &e), 0);
	assert_int_equal(ownlogin_answer(o, slice_str("mary"), &ok, &out, &e), 0);
	assert_int_equal(out.n, 0);
	scram_server_fini(&s);
	ownlogin_free(o);
	buf_fini(&final);
}

static void
a_node_that_lets_in_without_its_proof_is_refused(void **state)
{
	struct ownlogin *o = ownlogin_new(slice_str("lamb"));
	struct scram_server s;
	struct buf final = { 0 };

	(void)state;
	exchange(o, &s, &final);
	refuses(o, &ok, "08P01");
	scram_server_fini(&s);
	ownlogin_free(o);
	buf_fini(&final);
}

static void
a_node_with_a_wrong_proof_is_refused(void **state)
{
	struct ownlogin *o = ownlogin_new(slice_str("lamb"));
	struct message_auth end = { .code = AUTH_SASL_FINAL };
	struct scram_server s;
	struct buf final = { 0 };

	(void)state;
	exchange(o, &s, &final);
	final.p[5] = final.p[5] == 'A' ? 'B' : 'A'; /* base64 still, but another proof */
	end.data = buf_view(&final);
	refuses(o, &end, "28P01");
	refuses(o, &ok, "08P01");
	scram_server_fini(&s);
	ownlogin_free(o);
	buf_fini(&final);
}

static void
what_is_not_known_here_is_refused(void **state)
{
	static const struct {
		struct message_auth auth;
		const char *sqlstate;
	} cases[] = {
		{ { AUTH_GSS, { "", 0 } }, "28000" },
		{ { AUTH_SSPI, { "", 0 } }, "28000" },
		{ { AUTH_KERBEROS_V5, { "", 0 } }, "28000" },
		{ { 99, { "", 0 } }, "28000" },
		{ { AUTH_SASL, { "SCRAM-SHA-512\0", 14 } }, "28000" },
		{ { AUTH_MD5, { "\1\2\3", 3 } }, "08P01" },
		{ { AUTH_SASL_CONTINUE, { "r=x", 3 } }, "08P01" },
		{ { AUTH_SASL_FINAL, { "v=x", 3 } }, "08P01" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ownlogin *o = ownlogin_new(slice_str("lamb"));

		refuses(o, &cases[i].auth, cases[i].sqlstate);
		ownlogin_free(o);
	}
}

static void
a_node_that_wants_too_much_work_is_refused(void **state)
{
	struct ownlogin *o = ownlogin_new(slice_str("lamb"));
	struct message_auth more = { .code = AUTH_SASL_CONTINUE };
	struct message_sasl_initial first;
	struct buf out = { 0 }, said = { 0 };
	struct slice body;

	(void)state;
	body = answer(o, AUTH_SASL, slice_of("SCRAM-SHA-256\0", 14), &out);
	assert_int_equal(message_parse_sasl_initial(body, &first), PARSE_DONE);
	/* n,,n=,r=<nonce> */
	buf_printf(&said, "r=%.*s" NONCE ",s=MDEyMzQ1Njc4OWFiY2RlZg==,i=100001",
		   (int)(first.data.n - 8), first.data.p + 8);
	more.data = buf_view(&said);
	refuses(o, &more, "08P01");
	ownlogin_free(o);
	buf_fini(&out);
	buf_fini(&said);
}

static struct ownlogin *
with(struct credential *take_credential)
{
	struct ownlogin *o = ownlogin_new_credential(take_credential);

	credential_unref(take_credential);
	return o;
}

static void
a_hash_answers_what_its_password_would(void **state)
{
	struct credential *c;
	struct ownlogin *a, *b;
	struct buf x = { 0 }, y = { 0 };
	char secret[MD5_PASSWORD_TEXT];

	(void)state;
	assert_true(md5_secret(slice_str("mary"), slice_str("lamb"), secret));
	c = credential_new_md5(secret);
	a = with(c);
	b = ownlogin_new(slice_str("lamb"));
	assert_memory_equal(answer(a, AUTH_MD5, slice_of("\1\2\3\4", 4), &x).p,
			    answer(b, AUTH_MD5, slice_of("\1\2\3\4", 4), &y).p, 36);
	ownlogin_free(a);
	ownlogin_free(b);
	buf_fini(&x);
	buf_fini(&y);
}

static void
keys_answer_scram_as_the_password_would(void **state)
{
	struct scram_keys k;
	struct scram_server s;
	struct buf final = { 0 }, out = { 0 };
	struct message_auth end = { .code = AUTH_SASL_FINAL };
	struct ownlogin *o;
	struct err e;

	(void)state;
	assert_int_equal(
	    scram_keys_make(slice_str("lamb"), slice_str("0123456789abcdef"), 4096, &k, &e), 0);
	o = with(credential_new_keys(&k));
	exchange(o, &s, &final);
	end.data = buf_view(&final);
	assert_int_equal(ownlogin_answer(o, slice_str("mary"), &end, &out, &e), 0);
	assert_int_equal(ownlogin_answer(o, slice_str("mary"), &ok, &out, &e), 0);
	assert_non_null(ownlogin_suspicion(o));
	scram_server_fini(&s);
	ownlogin_free(o);
	buf_fini(&final);
}

static void
what_a_credential_cannot_answer_is_said(void **state)
{
	static const struct scram_keys keys = { "client", "server" };
	static const struct message_auth asked[] = {
		{ AUTH_CLEARTEXT, { "", 0 } },
		{ AUTH_MD5, { "\1\2\3\4", 4 } },
		{ AUTH_SASL, { "SCRAM-SHA-256\0", 14 } },
	};
	struct {
		struct ownlogin *o;
		const char *can; /* per request: y or n */
	} rows[] = {
		{ ownlogin_new_credential(NULL), "nnn" },
		{ with(credential_new_none()), "nnn" },
		{ with(credential_new_md5("md5abcdef0123456789abcdef0123456789")), "nyn" },
		{ with(credential_new_keys(&keys)), "nny" },
		{ ownlogin_new(slice_str("lamb")), "yyy" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < 3; k++) {
			if (rows[i].can[k] == 'y')
				(void)answer(rows[i].o, asked[k].code, asked[k].data, &out);
			else
				refuses(rows[i].o, &asked[k], "28000");
		}
		ownlogin_free(rows[i].o);
	}
	buf_fini(&out);
}

/* PostgreSQL 18 can ask for a token: not for a secret that the proxy might know. */
static void
what_is_no_scram_is_not_said_to_be(void **state)
{
	static const struct {
		struct slice offered;
		const char *why;
	} rows[] = {
		{ { "OAUTHBEARER\0", 13 },
		  "the node asks for an OAuth token, which passes under auth = passthrough alone" },
		{ { "SCRAM-SHA-512\0", 15 },
		  "the node offers no SASL mechanism that is known here" },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		const struct message_auth asked = { .code = AUTH_SASL,
						    .data = rows[i / 2].offered };
		struct ownlogin *o =
		    i % 2 == 0 ? ownlogin_new_credential(NULL) : ownlogin_new(slice_str("lamb"));
		struct buf out = { 0 };
		struct err e = { 0 };

		assert_int_equal(ownlogin_answer(o, slice_str("mary"), &asked, &out, &e), -1);
		assert_string_equal(e.sqlstate, "28000");
		assert_string_equal(e.msg, rows[i / 2].why);
		ownlogin_free(o);
		buf_fini(&out);
	}
}

static void
who_requires_a_bound_channel_says_nothing_over_another(void **state)
{
	static const struct message_auth asked[] = {
		{ AUTH_OK, { "", 0 } },
		{ AUTH_CLEARTEXT, { "", 0 } },
		{ AUTH_MD5, { "\1\2\3\4", 4 } },
		{ AUTH_SASL, { "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0", 33 } },
		{ AUTH_SASL, { "SCRAM-SHA-256\0", 14 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct ownlogin *o = ownlogin_new(slice_str("lamb"));

		ownlogin_on_channel(o, NULL, BINDING_REQUIRE);
		refuses(o, &asked[i], "28000");
		ownlogin_free(o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_password_is_said_as_it_is_asked_for),
		cmocka_unit_test(a_node_that_asks_for_scram_proves_itself),
		cmocka_unit_test(a_node_that_lets_in_without_its_proof_is_refused),
		cmocka_unit_test(a_node_with_a_wrong_proof_is_refused),
		cmocka_unit_test(what_is_not_known_here_is_refused),
		cmocka_unit_test(a_node_that_wants_too_much_work_is_refused),
		cmocka_unit_test(a_hash_answers_what_its_password_would),
		cmocka_unit_test(keys_answer_scram_as_the_password_would),
		cmocka_unit_test(what_a_credential_cannot_answer_is_said),
		cmocka_unit_test(what_is_no_scram_is_not_said_to_be),
		cmocka_unit_test(who_requires_a_bound_channel_says_nothing_over_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
