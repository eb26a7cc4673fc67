/* SPDX-License-Identifier: PostgreSQL
 *
 * Channel binding, in both roles, against an exchange that another program has reckoned (RFC 7677's
 * example, bound to a certificate whose hash is the bytes 0 to 31), and what is left behind when an
 * exchange is over: the keys.
 */
#include "config.h"

#include "protocol/scram.h"

#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define CLIENT "rOprNGfwEbeRWgbNEkqO"
#define SERVER "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define BOUND  "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static const char verifier_text[] =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
static const char server_first[] = "r=" CLIENT SERVER ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
static const char bound_first[] = "p=tls-server-end-point,,n=user,r=" CLIENT;
static const char bound_final[] =
    BOUND ",r=" CLIENT SERVER ",p=nY1Wus9a+gM2DrbQ1msXFgyhW6KM5ktOxWiU+/P/EGY=";
static const char bound_server_final[] = "v=RwppMGddhz/J0lFYaRReBjXcQeNUFP5Qc76Lo5Exrig=";

static const struct slice plain = { SCRAM_MECHANISM, sizeof(SCRAM_MECHANISM) - 1 };
static const struct slice plus = { SCRAM_MECHANISM_PLUS, sizeof(SCRAM_MECHANISM_PLUS) - 1 };

/* The hash of a certificate: n bytes from `from` on. */
static struct scram_binding
certificate(uint8_t n, uint8_t from)
{
	struct scram_binding b = { .n = n };

	for (uint8_t i = 0; i < n; i++)
		b.hash[i] = (uint8_t)(from + i);
	return b;
}

/* A server that has offered to bind, unless the certificate has no hash. */
static void
begin_server(struct scram_server *s, const struct scram_binding *b)
{
	struct scram_verifier v;

	assert_int_equal(scram_verifier_parse(slice_str(verifier_text), &v, NULL), 0);
	scram_server_init(s, &v, SERVER);
	scram_server_bind(s, b);
}

static struct scram_keys
pencil(void)
{
	struct scram_keys k;
	struct scram_verifier v;
	struct slice salt;

	assert_int_equal(scram_verifier_parse(slice_str(verifier_text), &v, NULL), 0);
	salt = slice_of((const char *)v.salt, v.salt_len);
	assert_int_equal(scram_keys_make(slice_str("pencil"), salt, v.iterations, &k, NULL), 0);
	return k;
}

static void
the_server_takes_a_proof_that_is_bound_to_its_certificate(void **state)
{
	struct scram_binding b = certificate(32, 0);
	struct buf out = { 0 };
	struct scram_server s;

	(void)state;
	begin_server(&s, &b);
	assert_int_equal(scram_server_first(&s, plus, slice_str(bound_first), &out, NULL), 0);
	assert_string_equal(buf_text(&out), server_first);
	assert_int_equal(s.gs2_flag, 'p');
	buf_clear(&out);
	assert_int_equal(scram_server_final(&s, slice_str(bound_final), &out, NULL), 0);
	assert_string_equal(buf_text(&out), bound_server_final);
	scram_server_fini(&s);
	buf_fini(&out);
}

static void
the_client_binds_its_proof_to_the_certificate_of_the_server(void **state)
{
	struct scram_binding b = certificate(32, 0);
	struct scram_keys k = pencil();
	struct scram_challenge ask;
	struct buf out = { 0 };
	struct scram_client c;

	(void)state;
	scram_client_init(&c, CLIENT);
	scram_client_bind(&c, &b, true);
	assert_int_equal(scram_client_first(&c, slice_str("user"), &out, NULL), 0);
	assert_string_equal(buf_text(&out), bound_first);
	buf_clear(&out);
	assert_int_equal(scram_client_challenge(&c, slice_str(server_first), &ask, NULL), 0);
	assert_int_equal(ask.iterations, 4096);
	assert_int_equal(ask.salt_len, 16);
	assert_int_equal(scram_client_final(&c, &k, &out, NULL), 0);
	assert_string_equal(buf_text(&out), bound_final);
	assert_int_equal(scram_client_verify(&c, slice_str(bound_server_final), NULL), 0);
	scram_client_fini(&c);
	buf_fini(&out);
}

static void
a_client_that_could_bind_and_was_not_asked_says_so(void **state)
{
	struct scram_binding b = certificate(32, 0);
	struct buf out = { 0 };
	struct scram_client c;

	(void)state;
	scram_client_init(&c, "abc");
	scram_client_bind(&c, &b, false);
	assert_int_equal(scram_client_first(&c, slice_str(""), &out, NULL), 0);
	assert_string_equal(buf_text(&out), "y,,n=,r=abc");
	scram_client_fini(&c);
	buf_fini(&out);
}

/* As PostgreSQL's read_client_first_message() has it. */
static void
what_the_client_says_of_binding_must_fit_what_was_offered_and_chosen(void **state)
{
	static const struct {
		bool offered;
		const struct slice *mechanism;
		const char *first, *sqlstate; /* "": taken */
	} rows[] = {
		{ false, &plain, "n,,n=,r=abc", "" },
		{ false, &plain, "y,,n=,r=abc", "" },
		{ false, &plain, "p=tls-server-end-point,,n=,r=abc", "08P01" },
		{ false, &plus, "n,,n=,r=abc", "08P01" },
		{ false, &plus, "p=tls-server-end-point,,n=,r=abc", "08P01" },
		{ true, &plain, "n,,n=,r=abc", "" },
		{ true, &plain, "y,,n=,r=abc", "28000" }, /* somebody took our offer out */
		{ true, &plain, "p=tls-server-end-point,,n=,r=abc", "08P01" },
		{ true, &plus, "n,,n=,r=abc", "08P01" },
		{ true, &plus, "y,,n=,r=abc", "08P01" },
		{ true, &plus, "p=tls-server-end-point,,n=,r=abc", "" },
		{ true, &plus, "p=tls-unique,,n=,r=abc", "08P01" },
		{ true, &plus, "p=tls-server-end-points,,n=,r=abc", "08P01" },
		{ true, &plus, "p=,,n=,r=abc", "08P01" },
		{ true, &plus, "p=tls-server-end-point,a=x,n=,r=abc", "0A000" },
		{ true, &plus, "p=tls-server-end-point,", "08P01" },
		{ true, &plus, "p=tls-server-end-point", "08P01" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scram_binding b = certificate(rows[i].offered ? 32 : 0, 0);
		struct buf out = { 0 };
		struct scram_server s;
		struct err e = { 0 };

		begin_server(&s, &b);
		if (scram_server_first(&s, *rows[i].mechanism, slice_str(rows[i].first), &out,
				       &e) == 0)
			assert_true(out.n > 0);
		else
			assert_int_equal(out.n, 0);
		if (strcmp(e.sqlstate, rows[i].sqlstate) != 0)
			print_error("row %zu: %s\n", i, e.msg);
		assert_string_equal(e.sqlstate, rows[i].sqlstate);
		scram_server_fini(&s);
		buf_fini(&out);
	}
}

static void
a_mechanism_that_is_not_ours_is_refused(void **state)
{
	static const char *const names[] = { "",
					     "SCRAM-SHA-1",
					     "SCRAM-SHA-256-",
					     "scram-sha-256",
					     "SCRAM-SHA-256-PLUS+",
					     "OAUTHBEARER" };
	struct scram_binding b = certificate(32, 0);

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct buf out = { 0 };
		struct scram_server s;
		struct err e = { 0 };

		begin_server(&s, &b);
		assert_int_equal(
		    scram_server_first(&s, slice_str(names[i]), slice_str("n,,n=,r=abc"), &out, &e),
		    -1);
		assert_string_equal(e.sqlstate, "08P01");
		assert_int_equal(s.step, SCRAM_FAILED);
		scram_server_fini(&s);
		buf_fini(&out);
	}
}

/* Both roles, each with what it takes for the server's certificate; the server's verdict. */
static int
meet(const struct scram_binding *ours, const struct scram_binding *seen, struct err *e)
{
	struct scram_keys k = pencil();
	struct buf a = { 0 }, b = { 0 };
	struct scram_challenge ask;
	struct scram_server s;
	struct scram_client c;
	int result;

	begin_server(&s, ours);
	scram_client_init(&c, CLIENT);
	scram_client_bind(&c, seen, true);
	assert_int_equal(scram_client_first(&c, slice_str(""), &a, NULL), 0);
	assert_int_equal(scram_server_first(&s, plus, buf_view(&a), &b, NULL), 0);
	buf_clear(&a);
	assert_int_equal(scram_client_challenge(&c, buf_view(&b), &ask, NULL), 0);
	assert_int_equal(scram_client_final(&c, &k, &a, NULL), 0);
	buf_clear(&b);
	result = scram_server_final(&s, buf_view(&a), &b, e);
	if (result == 0)
		assert_int_equal(scram_client_verify(&c, buf_view(&b), NULL), 0);
	else
		assert_int_equal(b.n, 0);
	scram_server_fini(&s);
	scram_client_fini(&c);
	buf_fini(&a);
	buf_fini(&b);
	return result;
}

static void
who_sees_another_certificate_is_not_let_in(void **state)
{
	static const uint8_t lengths[] = { 1, 20, 32, 48, 64 };

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (size_t k = 0; k < COUNT(lengths); k++) {
			struct scram_binding ours = certificate(lengths[i], 7);
			struct scram_binding seen = certificate(lengths[k], 7);
			struct err e = { 0 };

			assert_int_equal(meet(&ours, &seen, &e), i == k ? 0 : -1);
			assert_string_equal(e.sqlstate, i == k ? "" : "28000");
			seen.hash[seen.n - 1] ^= 1;
			assert_int_equal(meet(&ours, &seen, &e), -1);
		}
	}
}

static void
the_last_message_must_say_the_header_of_the_first(void **state)
{
	static const char *const finals[] = {
		"c=biws",                             /* n */
		"c=eSws",                             /* y */
		"c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws", /* p and no hash */
		BOUND "AA",                           /* no base64 */
		"c=",
	};
	struct scram_binding b = certificate(32, 0);

	(void)state;
	for (size_t i = 0; i < COUNT(finals); i++) {
		struct buf out = { 0 }, final = { 0 };
		struct scram_server s;
		struct err e = { 0 };

		begin_server(&s, &b);
		assert_int_equal(scram_server_first(&s, plus, slice_str(bound_first), &out, NULL),
				 0);
		buf_clear(&out);
		buf_str(&final, finals[i]);
		buf_str(&final, strchr(bound_final, ','));
		assert_int_equal(scram_server_final(&s, buf_view(&final), &out, &e), -1);
		assert_int_equal(out.n, 0);
		scram_server_fini(&s);
		buf_fini(&out);
		buf_fini(&final);
	}
}

static void
the_bound_messages_cut_short_fail(void **state)
{
	struct scram_binding b = certificate(32, 0);
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bound_final) - 1; i++) {
		struct scram_server s;

		begin_server(&s, &b);
		assert_int_equal(scram_server_first(&s, plus, slice_str(bound_first), &out, NULL),
				 0);
		assert_int_equal(scram_server_final(&s, slice_of(bound_final, i), &out, NULL), -1);
		scram_server_fini(&s);
	}
	for (size_t i = 0; i <= sizeof(bound_first) - sizeof(CLIENT); i++) {
		struct scram_server s;

		begin_server(&s, &b);
		assert_int_equal(scram_server_first(&s, plus, slice_of(bound_first, i), &out, NULL),
				 -1);
		scram_server_fini(&s);
	}
	buf_fini(&out);
}

static void
an_exchange_leaves_the_keys_that_the_password_makes(void **state)
{
	struct scram_binding b = certificate(32, 0);
	struct scram_keys made = pencil(), left;
	struct buf out = { 0 };
	struct scram_server s;
	struct scram_verifier v;

	(void)state;
	begin_server(&s, &b);
	assert_int_equal(scram_server_first(&s, plus, slice_str(bound_first), &out, NULL), 0);
	assert_int_equal(scram_server_final(&s, slice_str(bound_final), &out, NULL), 0);
	scram_server_keys(&s, &left);
	assert_memory_equal(&left, &made, sizeof(left));
	scram_server_fini(&s);
	buf_fini(&out);
	/* they are the verifier's, and no others are */
	assert_int_equal(scram_verifier_parse(slice_str(verifier_text), &v, NULL), 0);
	assert_true(scram_keys_fit(&left, &v));
	left.client_key[31] ^= 1;
	assert_false(scram_keys_fit(&left, &v));
	v.is_mock = true;
	assert_false(scram_keys_fit(&made, &v));
	scram_keys_wipe(&left);
	assert_memory_equal(&left, &(struct scram_keys){ 0 }, sizeof(left));
}

static void
the_keys_log_in_where_salt_and_iterations_are_others(void **state)
{
	static const char first[] = "r=" CLIENT SERVER ",s=QUJD,i=10000000";
	struct scram_keys k = pencil();
	struct scram_challenge ask;
	struct buf out = { 0 };
	struct scram_client c;

	(void)state;
	scram_client_init(&c, CLIENT);
	assert_int_equal(scram_client_first(&c, slice_str("user"), &out, NULL), 0);
	assert_int_equal(scram_client_challenge(&c, slice_str(first), &ask, NULL), 0);
	assert_int_equal(ask.iterations, 10000000);
	assert_int_equal(ask.salt_len, 3);
	assert_int_equal(scram_client_final(&c, &k, &out, NULL), 0);
	scram_client_fini(&c);
	/* not in front of the challenge, and not twice */
	scram_client_init(&c, CLIENT);
	assert_int_equal(scram_client_final(&c, &k, &out, NULL), -1);
	assert_int_equal(scram_client_challenge(&c, slice_str(first), &ask, NULL), -1);
	scram_client_fini(&c);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_server_takes_a_proof_that_is_bound_to_its_certificate),
		cmocka_unit_test(the_client_binds_its_proof_to_the_certificate_of_the_server),
		cmocka_unit_test(a_client_that_could_bind_and_was_not_asked_says_so),
		cmocka_unit_test(
		    what_the_client_says_of_binding_must_fit_what_was_offered_and_chosen),
		cmocka_unit_test(a_mechanism_that_is_not_ours_is_refused),
		cmocka_unit_test(who_sees_another_certificate_is_not_let_in),
		cmocka_unit_test(the_last_message_must_say_the_header_of_the_first),
		cmocka_unit_test(the_bound_messages_cut_short_fail),
		cmocka_unit_test(an_exchange_leaves_the_keys_that_the_password_makes),
		cmocka_unit_test(the_keys_log_in_where_salt_and_iterations_are_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
