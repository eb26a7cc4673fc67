/* SPDX-License-Identifier: PostgreSQL
 *
 * Both roles against the example of RFC 7677, against verifiers that PostgreSQL 15 made, and
 * against each other.
 */
#include "config.h"

#include "protocol/scram.h"

#include "tests/unit/secrets.h"

#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* RFC 7677 section 3: user "user", password "pencil". */
#define RFC_CLIENT "rOprNGfwEbeRWgbNEkqO"
#define RFC_SERVER "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_NONCE  RFC_CLIENT RFC_SERVER
#define RFC_SALT   "W22ZaJ0SNY7soEsUEjb6gQ=="
#define RFC_PROOF  "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
static const char rfc_client_first[] = "n,,n=user,r=" RFC_CLIENT;
static const char rfc_server_first[] = "r=" RFC_NONCE ",s=" RFC_SALT ",i=4096";
static const char rfc_client_final[] = "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF;
static const char rfc_server_final[] = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/* What PostgreSQL 15 stored for: ALTER ROLE … PASSWORD 'correct horse', 'zürich'. */
static const char pg_ascii[] =
    "SCRAM-SHA-256$4096:EkOSF6RJHu4+k2gi8AUeiQ==$zZblK1QQpT7NdVvXIkEVE4fIPiQ/coXGEl8wBEtPaQM="
    ":pZ+3urUipgkmQ7HFN/ka0MzcabWkmJMzWX1DudNEETM=";
static const char pg_utf8[] =
    "SCRAM-SHA-256$4096:adhpOpgDJSKtIGKmSeO6PQ==$Nfsg1m31SUcPXG6bXhJlKR+yLL19oEMTGxFMwqGbdeg="
    ":FauoqeZcXPBSI7taQF/YZnqyCw3AChOcctWtyKDF5LY=";

static struct scram_verifier
verifier(const char *password, const char *salt, size_t n, int iterations)
{
	struct scram_verifier v;

	assert_int_equal(
	    scram_verifier_make(slice_str(password), slice_of(salt, n), iterations, &v, NULL), 0);
	return v;
}

static struct scram_verifier
rfc_verifier(void)
{
	return verifier(
	    "pencil", "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81", 16, 4096);
}

/* The client's last message as a password makes it. */
static int
client_final(struct scram_client *c, struct slice server_first, const char *password,
	     struct buf *out, struct err *e)
{
	struct scram_challenge ask;
	struct scram_keys k;
	struct slice salt;

	if (scram_client_challenge(c, server_first, &ask, e) != 0)
		return -1;
	salt = slice_of((const char *)ask.salt, ask.salt_len);
	assert_int_equal(scram_keys_make(slice_str(password), salt, ask.iterations, &k, e), 0);
	return scram_client_final(c, &k, out, e);
}

static const struct slice plain = { SCRAM_MECHANISM, sizeof(SCRAM_MECHANISM) - 1 };

/* The server role before its first message. */
static void
server(struct scram_server *s, const char *nonce)
{
	struct scram_verifier v = rfc_verifier();

	scram_server_init(s, &v, nonce);
}

static void
the_server_answers_as_in_rfc_7677(void **state)
{
	struct buf out = { 0 };
	struct scram_server s;

	(void)state;
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL), 0);
	assert_string_equal(buf_text(&out), rfc_server_first);
	assert_int_equal(s.step, SCRAM_SENT_FIRST);
	buf_clear(&out);
	assert_int_equal(scram_server_final(&s, slice_str(rfc_client_final), &out, NULL), 0);
	assert_string_equal(buf_text(&out), rfc_server_final);
	assert_int_equal(s.step, SCRAM_OK);
	scram_server_fini(&s);
	buf_fini(&out);
}

static void
the_client_answers_as_in_rfc_7677(void **state)
{
	struct buf out = { 0 };
	struct scram_client c;

	(void)state;
	scram_client_init(&c, RFC_CLIENT);
	assert_int_equal(scram_client_first(&c, slice_str("user"), &out, NULL), 0);
	assert_string_equal(buf_text(&out), rfc_client_first);
	buf_clear(&out);
	assert_int_equal(client_final(&c, slice_str(rfc_server_first), "pencil", &out, NULL), 0);
	assert_string_equal(buf_text(&out), rfc_client_final);
	assert_int_equal(scram_client_verify(&c, slice_str(rfc_server_final), NULL), 0);
	assert_int_equal(c.step, SCRAM_OK);
	scram_client_fini(&c);
	buf_fini(&out);
}

static void
verifiers_are_those_of_postgresql(void **state)
{
	static const struct {
		const char *text, *password;
	} made[] = { { pg_ascii, "correct horse" }, { pg_utf8, "z\xc3\xbcrich" } };
	struct scram_verifier theirs, ours;
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(made); i++) {
		assert_int_equal(scram_verifier_parse(slice_str(made[i].text), &theirs, NULL), 0);
		assert_int_equal(theirs.iterations, 4096);
		assert_int_equal(theirs.salt_len, 16);
		assert_false(theirs.is_mock);
		ours = verifier(made[i].password, (const char *)theirs.salt, theirs.salt_len, 4096);
		buf_clear(&b);
		put_verifier(&b, &ours);
		assert_string_equal(buf_text(&b), made[i].text);
	}
	buf_fini(&b);
}

static void
what_is_no_verifier_is_refused_without_being_shown(void **state)
{
#define SALT "c2FsdHNhbHRzYWx0c2FsdA=="
#define KEY  "zZblK1QQpT7NdVvXIkEVE4fIPiQ/coXGEl8wBEtPaQM="
	static const char *const texts[] = {
		"",
		"plain",
		"scram-sha-256$4096:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256",
		"SCRAM-SHA-256$",
		"SCRAM-SHA-256$:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$0:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$-1:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$+1:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$ 1:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$4096x:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$10000001:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$99999999999999999999:" SALT "$" KEY ":" KEY,
		"SCRAM-SHA-256$4096:$" KEY ":" KEY,
		"SCRAM-SHA-256$4096:" SALT "$" KEY,
		"SCRAM-SHA-256$4096:" SALT "$" KEY ":",
		"SCRAM-SHA-256$4096:" SALT "$:" KEY,
		"SCRAM-SHA-256$4096:" SALT "$" KEY ":" KEY "A",
		"SCRAM-SHA-256$4096:" SALT "$" KEY ":" KEY ":",
		"SCRAM-SHA-256$4096:" SALT "$" SALT ":" KEY,
		"SCRAM-SHA-256$4096:" SALT "!$" KEY ":" KEY,
		"SCRAM-SHA-256$4096:" KEY KEY "$" KEY ":" KEY,
	};
	struct scram_verifier v = { .iterations = 77 };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct err e = { 0 };

		assert_int_equal(scram_verifier_parse(slice_str(texts[i]), &v, &e), -1);
		assert_string_equal(e.sqlstate, "22023");
		assert_null(strstr(e.msg, "zZblK1"));
		assert_null(strstr(e.msg, "c2Fsd"));
	}
	assert_int_equal(v.iterations, 77);
}

static void
every_part_of_a_verifier_cut_short_is_refused(void **state)
{
	struct scram_verifier v;

	(void)state;
	for (size_t i = 0; i < sizeof(pg_ascii) - 1; i++)
		assert_int_equal(scram_verifier_parse(slice_of(pg_ascii, i), &v, NULL), -1);
}

static void
the_client_may_say_y_and_must_stay_with_it(void **state)
{
	/* the exchange of RFC 7677 with "y,,", reckoned by another program */
	static const char first[] = "y,,n=user,r=" RFC_CLIENT;
	static const char final[] =
	    "c=eSws,r=" RFC_NONCE ",p=FoqiHTtQEDE8lz1CdaEe3tK4mS+iMDTl77SPyDS53DY=";
	struct buf out = { 0 };
	struct scram_server s;

	(void)state;
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_first(&s, plain, slice_str(first), &out, NULL), 0);
	assert_string_equal(buf_text(&out), rfc_server_first);
	assert_int_equal(s.gs2_flag, 'y');
	buf_clear(&out);
	assert_int_equal(scram_server_final(&s, slice_str(final), &out, NULL), 0);
	assert_string_equal(buf_text(&out), "v=dI4KpiQJwBr1+V+K6U1dA6l6I4I9DUNXWND4pcpRU3U=");
	scram_server_fini(&s);
	/* n at first, y in the end, and the other way round */
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL), 0);
	assert_int_equal(scram_server_final(&s, slice_str(final), &out, NULL), -1);
	scram_server_fini(&s);
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_first(&s, plain, slice_str(first), &out, NULL), 0);
	assert_int_equal(scram_server_final(&s, slice_str(rfc_client_final), &out, NULL), -1);
	scram_server_fini(&s);
	buf_fini(&out);
}

static void
client_first_messages_out_of_form_are_refused(void **state)
{
	static const struct {
		const char *text, *sqlstate;
	} messages[] = {
		{ "", "08P01" },
		{ "n", "08P01" },
		{ "n,", "08P01" },
		{ "n,,", "08P01" },
		{ "x,,n=,r=abc", "08P01" },
		{ "nn,,n=,r=abc", "08P01" },
		{ "N,,n=,r=abc", "08P01" },
		{ ",,n=,r=abc", "08P01" },
		{ "p=tls-server-end-point,,n=,r=abc", "08P01" },
		{ "p,,n=,r=abc", "08P01" },
		{ "n,a=bob,n=,r=abc", "0A000" },
		{ "n,x,n=,r=abc", "0A000" },
		{ "n,,m=ext,n=,r=abc", "0A000" },
		{ "n,,r=abc", "08P01" },
		{ "n,,n=", "08P01" },
		{ "n,,n=,", "08P01" },
		{ "n,,n=,r", "08P01" },
		{ "n,,n=,r=", "08P01" },
		{ "n,,n=,x=1,r=abc", "08P01" },
		{ "n,,n=,r=a\tb", "08P01" },
		{ "n,,n=,r=a b", "08P01" },
		{ "n,,n=,r=a\x7f", "08P01" },
		{ "n,,n=,r=\xc3\xbc", "08P01" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct scram_server s;
		struct err e = { 0 };

		server(&s, "def");
		if (scram_server_first(&s, plain, slice_str(messages[i].text), &out, &e) == 0)
			print_error("%s\n", messages[i].text);
		assert_string_equal(e.sqlstate, messages[i].sqlstate);
		assert_int_equal(s.step, SCRAM_FAILED);
		assert_int_equal(out.n, 0);
		scram_server_fini(&s);
	}
	buf_fini(&out);
}

static void
channel_binding_that_was_not_offered_is_refused_as_such(void **state)
{
	struct buf out = { 0 };
	struct scram_server s;
	struct err e = { 0 };

	(void)state;
	server(&s, "def");
	assert_int_equal(
	    scram_server_first(&s, plain, slice_str("p=tls-unique,,n=,r=abc"), &out, &e), -1);
	assert_non_null(strstr(e.msg, "channel binding was not agreed on"));
	scram_server_fini(&s);
	buf_fini(&out);
}

static void
the_client_escapes_the_user_name(void **state)
{
	struct buf out = { 0 };
	struct scram_client c;

	(void)state;
	scram_client_init(&c, "abc");
	assert_int_equal(scram_client_first(&c, slice_str("a=b,c"), &out, NULL), 0);
	assert_string_equal(buf_text(&out), "n,,n=a=3Db=2Cc,r=abc");
	scram_client_fini(&c);
	buf_fini(&out);
}

static void
the_client_says_no_name_without_end(void **state)
{
	char name[SCRAM_MESSAGE_MAX / 8 + 1];
	struct buf out = { 0 };
	struct scram_client c;

	(void)state;
	memset(name, '=', sizeof(name));
	for (size_t n = sizeof(name) - 1; n <= sizeof(name); n++) {
		scram_client_init(&c, "abc");
		assert_int_equal(scram_client_first(&c, slice_of(name, n), &out, NULL),
				 n < sizeof(name) ? 0 : -1);
		scram_client_fini(&c);
	}
	buf_fini(&out);
}

static void
extensions_and_odd_user_names_are_taken(void **state)
{
	static const char *const messages[] = { "n,,n=,r=abc", "n,,n=,r=abc,x=1,y=2",
						"n,,n=a=2Cb,r=abc", "y,,n=*,r=abc",
						"n,,n=\xc3\xbc,r=abc" };
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct scram_server s;

		server(&s, "def");
		buf_clear(&out);
		assert_int_equal(scram_server_first(&s, plain, slice_str(messages[i]), &out, NULL),
				 0);
		assert_string_equal(buf_text(&out), "r=abcdef,s=" RFC_SALT ",i=4096");
		scram_server_fini(&s);
	}
	buf_fini(&out);
}

static void
client_final_messages_out_of_form_are_refused(void **state)
{
	static const struct {
		const char *text, *sqlstate;
	} messages[] = {
		{ "", "08P01" },
		{ "c=biws", "08P01" },
		{ "c=biws,r=" RFC_NONCE, "08P01" },
		{ "c=biws,r=" RFC_NONCE ",", "08P01" },
		{ "c=biws,r=" RFC_NONCE ",p", "08P01" },
		{ "c=biws,r=" RFC_NONCE ",p=", "08P01" },
		{ "c=biws,r=" RFC_NONCE ",p=dHzb", "08P01" },
		{ "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF ",", "08P01" },
		{ "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF ",x=1", "08P01" },
		{ "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF RFC_PROOF, "08P01" },
		{ "c=eSws,r=" RFC_NONCE ",p=" RFC_PROOF, "08P01" },
		{ "c=,r=" RFC_NONCE ",p=" RFC_PROOF, "08P01" },
		{ "r=" RFC_NONCE ",p=" RFC_PROOF, "08P01" },
		{ "c=biws,r=" RFC_CLIENT ",p=" RFC_PROOF, "08P01" },
		{ "c=biws,r=" RFC_NONCE "x,p=" RFC_PROOF, "08P01" },
		{ "c=biws,p=" RFC_PROOF, "08P01" },
		{ "c=biws,p=" RFC_PROOF ",r=" RFC_NONCE, "08P01" },
		{ "c=biws,r=" RFC_NONCE ",x=1,p=" RFC_PROOF, "28P01" },
		{ "c=biws,r=" RFC_NONCE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		  "28P01" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct buf out = { 0 };
		struct scram_server s;
		struct err e = { 0 };

		server(&s, RFC_SERVER);
		assert_int_equal(
		    scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL), 0);
		buf_clear(&out);
		if (scram_server_final(&s, slice_str(messages[i].text), &out, &e) == 0 ||
		    strcmp(e.sqlstate, messages[i].sqlstate) != 0)
			print_error("%s: %s\n", messages[i].text, e.msg);
		assert_string_equal(e.sqlstate, messages[i].sqlstate);
		assert_int_equal(s.step, SCRAM_FAILED);
		assert_int_equal(out.n, 0);
		scram_server_fini(&s);
		buf_fini(&out);
	}
}

static void
every_message_cut_short_fails(void **state)
{
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rfc_client_final) - 1; i++) {
		struct scram_server s;

		server(&s, RFC_SERVER);
		assert_int_equal(
		    scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL), 0);
		assert_int_equal(scram_server_final(&s, slice_of(rfc_client_final, i), &out, NULL),
				 -1);
		scram_server_fini(&s);
	}
	for (size_t i = 0; i < sizeof(rfc_server_first) - 1; i++) {
		struct scram_client c;
		struct err e = { 0 };
		int got;

		scram_client_init(&c, RFC_CLIENT);
		assert_int_equal(scram_client_first(&c, slice_str("user"), &out, NULL), 0);
		got = client_final(&c, slice_of(rfc_server_first, i), "pencil", &out, &e);
		/* "i=4", "i=40" and "i=409" are numbers too */
		assert_int_equal(got, i >= sizeof(rfc_server_first) - 1 - 3 ? 0 : -1);
		scram_client_fini(&c);
	}
	buf_fini(&out);
}

/* Both roles against each other; returns the server's verdict. */
static int
handshake(const struct scram_verifier *v, const char *user, const char *password, struct err *e)
{
	struct buf a = { 0 }, b = { 0 };
	struct scram_server s;
	struct scram_client c;
	int result;

	scram_client_init(&c, "fyko+d2lbbFgONRv9qkxdawL");
	scram_server_init(&s, v, "3rfcNHYJY1ZVvWVs7j");
	assert_int_equal(scram_client_first(&c, slice_str(user), &a, NULL), 0);
	assert_int_equal(scram_server_first(&s, plain, buf_view(&a), &b, NULL), 0);
	buf_clear(&a);
	assert_int_equal(client_final(&c, buf_view(&b), password, &a, NULL), 0);
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
the_right_password_logs_in_and_no_other(void **state)
{
	static const char *const passwords[] = { "",
						 "a",
						 "correct horse battery staple",
						 "z\xc3\xbcrich",
						 "\xff\xfe not utf-8",
						 "comma,equals=quote'\"" };
	static const int iterations[] = { 1, 2, 4096 };

	(void)state;
	for (size_t i = 0; i < COUNT(passwords); i++) {
		struct scram_verifier v =
		    verifier(passwords[i], "0123456789abcdef", i + 1, iterations[i % 3]);

		for (size_t k = 0; k < COUNT(passwords); k++) {
			struct err e = { 0 };

			assert_int_equal(handshake(&v, "a=b,c", passwords[k], &e), i == k ? 0 : -1);
			assert_string_equal(e.sqlstate, i == k ? "" : "28P01");
			if (i != k)
				assert_string_equal(e.msg, "password authentication failed");
		}
	}
}

static void
a_mock_looks_real_and_never_lets_anybody_in(void **state)
{
	static const uint8_t secret[SCRAM_KEY_BYTES] = "one", other[SCRAM_KEY_BYTES] = "two";
	struct scram_verifier a, b, real = rfc_verifier();
	struct err e = { 0 };

	(void)state;
	scram_verifier_mock(slice_str("nobody"), secret, &a);
	scram_verifier_mock(slice_str("nobody"), secret, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true(a.is_mock);
	assert_int_equal(a.salt_len, SCRAM_SALT_BYTES);
	assert_int_equal(a.iterations, SCRAM_ITERATIONS_DEFAULT);
	scram_verifier_mock(slice_str("somebody"), secret, &b);
	assert_memory_not_equal(a.salt, b.salt, SCRAM_SALT_BYTES);
	assert_memory_not_equal(a.stored_key, b.stored_key, SCRAM_KEY_BYTES);
	scram_verifier_mock(slice_str("nobody"), other, &b);
	assert_memory_not_equal(a.salt, b.salt, SCRAM_SALT_BYTES);
	assert_memory_not_equal(a.salt, a.stored_key, SCRAM_SALT_BYTES);
	assert_memory_not_equal(a.stored_key, a.server_key, SCRAM_KEY_BYTES);
	assert_int_equal(handshake(&a, "nobody", "x", &e), -1);
	assert_string_equal(e.msg, "password authentication failed");
	/* not even with the right proof */
	real.is_mock = true;
	assert_int_equal(handshake(&real, "user", "pencil", &e), -1);
	assert_string_equal(e.sqlstate, "28P01");
}

static void
messages_out_of_turn_are_refused(void **state)
{
	struct buf out = { 0 };
	struct scram_server s;
	struct scram_client c;

	(void)state;
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_final(&s, slice_str(rfc_client_final), &out, NULL), -1);
	assert_int_equal(scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL),
			 -1);
	scram_server_fini(&s);
	/* a proof that failed cannot be tried again, nor a good one be played twice */
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL), 0);
	assert_int_equal(scram_server_final(&s, slice_str("c=biws"), &out, NULL), -1);
	assert_int_equal(scram_server_final(&s, slice_str(rfc_client_final), &out, NULL), -1);
	scram_server_fini(&s);
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL), 0);
	assert_int_equal(scram_server_final(&s, slice_str(rfc_client_final), &out, NULL), 0);
	assert_int_equal(scram_server_final(&s, slice_str(rfc_client_final), &out, NULL), -1);
	scram_server_fini(&s);
	scram_client_init(&c, RFC_CLIENT);
	assert_int_equal(scram_client_verify(&c, slice_str(rfc_server_final), NULL), -1);
	assert_int_equal(scram_client_first(&c, slice_str(""), &out, NULL), -1);
	scram_client_fini(&c);
	buf_fini(&out);
}

static void
oversize_messages_are_refused(void **state)
{
	char message[SCRAM_MESSAGE_MAX + 1];
	struct buf out = { 0 };
	struct scram_server s;

	(void)state;
	memset(message, 'x', sizeof(message));
	memcpy(message, "n,,n=,r=abc,x=", 14);
	server(&s, "def");
	assert_int_equal(
	    scram_server_first(&s, plain, slice_of(message, SCRAM_MESSAGE_MAX), &out, NULL), 0);
	scram_server_fini(&s);
	server(&s, "def");
	assert_int_equal(
	    scram_server_first(&s, plain, slice_of(message, SCRAM_MESSAGE_MAX + 1), &out, NULL),
	    -1);
	scram_server_fini(&s);
	message[20] = '\0';
	server(&s, "def");
	assert_int_equal(scram_server_first(&s, plain, slice_of(message, 100), &out, NULL), -1);
	scram_server_fini(&s);
	/* the longest nonce, and one more */
	memset(message, 'x', sizeof(message));
	memcpy(message, "n,,n=,r=", 8);
	server(&s, "def");
	assert_int_equal(
	    scram_server_first(&s, plain, slice_of(message, 8 + SCRAM_NONCE_MAX), &out, NULL), 0);
	scram_server_fini(&s);
	server(&s, "def");
	assert_int_equal(
	    scram_server_first(&s, plain, slice_of(message, 9 + SCRAM_NONCE_MAX), &out, NULL), -1);
	scram_server_fini(&s);
	buf_fini(&out);
}

static void
the_client_refuses_a_server_that_cheats(void **state)
{
	static const struct {
		bool early; /* its first message is wrong */
		const char *text, *sqlstate;
	} rows[] = {
		/* adds nothing to the nonce; not our nonce; no salt */
		{ true, "r=" RFC_CLIENT ",s=" RFC_SALT ",i=4096", "08P01" },
		{ true, "r=x" RFC_CLIENT ",s=" RFC_SALT ",i=4096", "08P01" },
		{ true, "r=" RFC_NONCE ",s=,i=4096", "08P01" },
		/* iterations: none, more than there ever are, fewer than none, no number */
		{ true, "r=" RFC_NONCE ",s=" RFC_SALT ",i=0", "08P01" },
		{ true, "r=" RFC_NONCE ",s=" RFC_SALT ",i=10000001", "08P01" },
		{ true, "r=" RFC_NONCE ",s=" RFC_SALT ",i=-4096", "08P01" },
		{ true, "r=" RFC_NONCE ",s=" RFC_SALT ",i=4096 ", "08P01" },
		/* we must know m, and do not; out of order */
		{ true, "m=x,r=" RFC_NONCE ",s=" RFC_SALT ",i=4096", "0A000" },
		{ true, "r=" RFC_NONCE ",x=1,s=" RFC_SALT ",i=4096", "08P01" },
		{ true, "e=other-error", "08P01" },
		{ false, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "28P01" },
		{ false, "v=", "08P01" },
		{ false, "e=invalid-proof", "28P01" },
		{ false, "x", "08P01" },
		{ false, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4", "08P01" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool early = rows[i].early;
		const char *first = early ? rows[i].text : rfc_server_first;
		struct scram_client c;
		struct err e = { 0 };
		int got;

		scram_client_init(&c, RFC_CLIENT);
		assert_int_equal(scram_client_first(&c, slice_str("user"), &out, NULL), 0);
		buf_clear(&out);
		got = client_final(&c, slice_str(first), "pencil", &out, &e);
		assert_int_equal(got, early ? -1 : 0);
		if (!early)
			got = scram_client_verify(&c, slice_str(rows[i].text), &e);
		else
			assert_int_equal(out.n, 0);
		assert_int_equal(got, -1);
		assert_string_equal(e.sqlstate, rows[i].sqlstate);
		assert_int_equal(c.step, SCRAM_FAILED);
		scram_client_fini(&c);
	}
	buf_fini(&out);
}

static void
nonces_are_printable_and_carry_every_bit(void **state)
{
	uint8_t random[SCRAM_NONCE_BYTES] = { 0 };
	char a[SCRAM_NONCE_TEXT + 1], b[SCRAM_NONCE_TEXT + 1];

	(void)state;
	scram_nonce(random, a);
	assert_string_equal(a, "AAAAAAAAAAAAAAAAAAAAAAAA");
	for (size_t i = 0; i < sizeof(random) * 8; i++) {
		random[i / 8] ^= (uint8_t)(1 << i % 8);
		scram_nonce(random, b);
		assert_string_not_equal(a, b);
		random[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void
secrets_are_gone_afterwards(void **state)
{
	static const struct scram_server zero_server;
	static const struct scram_client zero_client;
	struct buf out = { 0 };
	struct scram_server s;
	struct scram_client c;

	(void)state;
	server(&s, RFC_SERVER);
	assert_int_equal(scram_server_first(&s, plain, slice_str(rfc_client_first), &out, NULL), 0);
	scram_server_fini(&s);
	assert_memory_equal(&s, &zero_server, sizeof(s));
	scram_client_init(&c, RFC_CLIENT);
	assert_int_equal(scram_client_first(&c, slice_str("user"), &out, NULL), 0);
	scram_client_fini(&c);
	assert_memory_equal(&c, &zero_client, sizeof(c));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_server_answers_as_in_rfc_7677),
		cmocka_unit_test(the_client_answers_as_in_rfc_7677),
		cmocka_unit_test(verifiers_are_those_of_postgresql),
		cmocka_unit_test(what_is_no_verifier_is_refused_without_being_shown),
		cmocka_unit_test(every_part_of_a_verifier_cut_short_is_refused),
		cmocka_unit_test(the_client_may_say_y_and_must_stay_with_it),
		cmocka_unit_test(client_first_messages_out_of_form_are_refused),
		cmocka_unit_test(channel_binding_that_was_not_offered_is_refused_as_such),
		cmocka_unit_test(the_client_escapes_the_user_name),
		cmocka_unit_test(the_client_says_no_name_without_end),
		cmocka_unit_test(extensions_and_odd_user_names_are_taken),
		cmocka_unit_test(client_final_messages_out_of_form_are_refused),
		cmocka_unit_test(every_message_cut_short_fails),
		cmocka_unit_test(the_right_password_logs_in_and_no_other),
		cmocka_unit_test(a_mock_looks_real_and_never_lets_anybody_in),
		cmocka_unit_test(messages_out_of_turn_are_refused),
		cmocka_unit_test(oversize_messages_are_refused),
		cmocka_unit_test(the_client_refuses_a_server_that_cheats),
		cmocka_unit_test(nonces_are_printable_and_carry_every_bit),
		cmocka_unit_test(secrets_are_gone_afterwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
