/* SPDX-License-Identifier: PostgreSQL
 *
 * Both SCRAM roles against a peer who says anything. The first line of the input is the peer's
 * first message, the second its last one, the third a verifier. The nonces are those of RFC 7677,
 * so that its example is one of the seeds: nothing else may make either role content.
 */
#include "config.h"

#include "protocol/scram.h"

#include "protocol/b64.h"
#include "tests/fuzz/fuzz.h"

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

/* Salt and keys of the example: user "user", password "pencil". */
static const char rfc_verifier[] =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

static void
check_failed(enum scram_step step, const struct buf *out, const struct err *e)
{
	FUZZ_ASSERT(step == SCRAM_FAILED && out->n == 0);
	FUZZ_ASSERT(e->sqlstate[0] != '\0' && e->msg[0] != '\0');
}

/* 0 where the client got in. */
static int
serve(const struct scram_verifier *v, struct slice first, struct slice final)
{
	struct scram_server s;
	struct buf out = { 0 };
	struct err e = { 0 };
	int result;

	scram_server_init(&s, v, SERVER_NONCE);
	result = scram_server_first(&s, slice_str(SCRAM_MECHANISM), first, &out, &e);
	if (result == 0) {
		FUZZ_ASSERT(out.n > 0 && out.n <= SCRAM_MESSAGE_MAX);
		buf_clear(&out);
		result = scram_server_final(&s, final, &out, &e);
	}
	if (result == 0)
		FUZZ_ASSERT(s.step == SCRAM_OK && out.n == 2 + B64_LENGTH(SCRAM_KEY_BYTES));
	else
		check_failed(s.step, &out, &e);
	scram_server_fini(&s);
	buf_fini(&out);
	return result;
}

static void
serve_all(struct slice first, struct slice final)
{
	static const uint8_t secret[SCRAM_KEY_BYTES] = "secret";
	struct scram_verifier v, mock;

	FUZZ_ASSERT(scram_verifier_parse(slice_str(rfc_verifier), &v, NULL) == 0);
	scram_verifier_mock(slice_str("user"), secret, &mock);
	FUZZ_ASSERT(serve(&mock, first, final) == -1);
	/* The proof covers all that was said, so whoever gets in has said what the example says, or
	 * knows how to find a second message with the same hash. */
	if (serve(&v, first, final) == 0)
		FUZZ_ASSERT(slice_is(first, "n,,n=user,r=" CLIENT_NONCE) ||
			    slice_is(first, "y,,n=user,r=" CLIENT_NONCE));
}

static void
connect_to(struct slice first, struct slice final)
{
	static const struct scram_keys rfc_keys = { "client", "server" };
	struct scram_challenge ask;
	struct scram_client c;
	struct buf out = { 0 };
	struct err e = { 0 };
	int result;

	scram_client_init(&c, CLIENT_NONCE);
	FUZZ_ASSERT(scram_client_first(&c, slice_str("user"), &out, &e) == 0);
	buf_clear(&out);
	result = scram_client_challenge(&c, first, &ask, &e);
	if (result == 0)
		result = scram_client_final(&c, &rfc_keys, &out, &e);
	if (result == 0) {
		FUZZ_ASSERT(out.n > 0 && out.n <= 2 * SCRAM_MESSAGE_MAX);
		buf_clear(&out);
		result = scram_client_verify(&c, final, &e);
	}
	if (result == 0)
		FUZZ_ASSERT(c.step == SCRAM_OK);
	else
		check_failed(c.step, &out, &e);
	scram_client_fini(&c);
	buf_fini(&out);
}

/* The text of a verifier is canonical: what is taken is written the same again. */
static void
check_verifier(struct slice text)
{
	struct scram_verifier v;
	struct buf out = { 0 };

	if (scram_verifier_parse(text, &v, NULL) != 0)
		return;
	scram_verifier_put(&out, &v);
	FUZZ_ASSERT(out.n == text.n && memcmp(out.p, text.p, out.n) == 0);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, size), first, final;

	first = slice_cut(&rest, '\n');
	final = slice_cut(&rest, '\n');
	serve_all(first, final);
	connect_to(first, final);
	check_verifier(rest);
	return 0;
}
