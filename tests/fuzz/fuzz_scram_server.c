/* SPDX-License-Identifier: PostgreSQL
 *
 * The server's role of SCRAM against a client that says anything. The first line of the input is
 * the mechanism it chooses, the second its first message, the third its last, the rest a verifier.
 * Each exchange is tried with channel binding offered and not. Nonce, secret and certificate are
 * those of the unit tests, so that the three exchanges known to be right are among the seeds:
 * nobody else may get in.
 */
#include "config.h"

#include "protocol/scram.h"

#include "protocol/b64.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/secrets.h"

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

/* Salt and keys of RFC 7677: user "user", password "pencil". */
static const char rfc_verifier[] =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

struct place_parts {
	struct slice mechanism, first, final;
};

static void
check_failed(enum scram_step step, const struct buf *out, const struct err *e)
{
	FUZZ_ASSERT(step == SCRAM_FAILED && out->n == 0);
	FUZZ_ASSERT(e->sqlstate[0] != '\0' && e->msg[0] != '\0');
}

/* Whoever gets in leaves the keys of the verifier, and has bound the channel where that was agreed
 * on. */
static void
check_let_in(const struct scram_server *s, const struct place_parts *said, const struct buf *out)
{
	bool plus = slice_is(said->mechanism, SCRAM_MECHANISM_PLUS);
	struct scram_keys k;

	FUZZ_ASSERT(s->step == SCRAM_OK && out->n == 2 + B64_LENGTH(SCRAM_KEY_BYTES));
	FUZZ_ASSERT(plus == (s->gs2_flag == 'p') && (!plus || s->binding.n > 0));
	FUZZ_ASSERT(s->gs2_flag != 'y' || s->binding.n == 0);
	scram_server_keys(s, &k);
	FUZZ_ASSERT(scram_keys_fit(&k, &s->verifier));
}

/* True where the client got in. */
static bool
serve(const struct scram_verifier *v, bool offered, const struct place_parts *said)
{
	struct scram_binding b = { .n = offered ? 32 : 0 };
	struct scram_server s;
	struct buf out = { 0 };
	struct err e = { 0 };
	int result;

	for (uint8_t i = 0; i < 32; i++)
		b.hash[i] = i;
	scram_server_init(&s, v, SERVER_NONCE);
	scram_server_bind(&s, &b);
	result = scram_server_first(&s, said->mechanism, said->first, &out, &e);
	if (result == 0) {
		FUZZ_ASSERT(out.n > 0 && out.n <= SCRAM_MESSAGE_MAX);
		buf_clear(&out);
		result = scram_server_final(&s, said->final, &out, &e);
	}
	if (result == 0)
		check_let_in(&s, said, &out);
	else
		check_failed(s.step, &out, &e);
	scram_server_fini(&s);
	buf_fini(&out);
	return result == 0;
}

static void
serve_all(const struct place_parts *said)
{
	static const uint8_t secret[SCRAM_KEY_BYTES] = "secret";
	struct scram_verifier v, mock;
	bool with, without;

	FUZZ_ASSERT(scram_verifier_parse(slice_str(rfc_verifier), &v, NULL) == 0);
	scram_verifier_mock(slice_str("user"), secret, &mock);
	FUZZ_ASSERT(!serve(&mock, true, said) && !serve(&mock, false, said));
	with = serve(&v, true, said);
	without = serve(&v, false, said);
	/* The proof covers all that was said, so whoever gets in has said what the examples say, or
	 * knows how to find a second message with the same hash. */
	if (slice_is(said->first, "n,,n=user,r=" CLIENT_NONCE))
		FUZZ_ASSERT(with == without);
	else if (slice_is(said->first, "y,,n=user,r=" CLIENT_NONCE))
		FUZZ_ASSERT(!with);
	else if (slice_is(said->first, "p=tls-server-end-point,,n=user,r=" CLIENT_NONCE))
		FUZZ_ASSERT(!without);
	else
		FUZZ_ASSERT(!with && !without);
}

/* The text of a verifier is canonical: what is taken is written the same again. */
static void
check_verifier(struct slice text)
{
	struct scram_verifier v;
	struct buf out = { 0 };

	if (scram_verifier_parse(text, &v, NULL) != 0)
		return;
	put_verifier(&out, &v);
	FUZZ_ASSERT(out.n == text.n && memcmp(out.p, text.p, out.n) == 0);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, size);
	struct place_parts said;

	said.mechanism = slice_cut(&rest, '\n');
	said.first = slice_cut(&rest, '\n');
	said.final = slice_cut(&rest, '\n');
	serve_all(&said);
	check_verifier(rest);
	return 0;
}
