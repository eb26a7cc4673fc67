/* SPDX-License-Identifier: PostgreSQL
 *
 * The client's role of SCRAM against a server that says anything. The first line of the input is
 * its first message, the second its last. The client is tried without channel binding, with it, and
 * with what it says where it was not offered. A server of our own, given the same certificate and
 * keys, must take whatever proof the client makes of a challenge that it could have made itself.
 */
#include "config.h"

#include "protocol/scram.h"

#include "protocol/b64.h"
#include "tests/fuzz/fuzz.h"

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

/* RFC 7677: user "user", password "pencil". */
static const char rfc_verifier[] =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
static const struct scram_keys rfc_keys = {
	{ 0xa6, 0x0f, 0xc9, 0x23, 0xd6, 0x7e, 0x86, 0x44, 0xa9, 0x2d, 0x16,
	  0xb9, 0x6e, 0xda, 0x5e, 0xf4, 0x65, 0x6b, 0x0c, 0x72, 0x5c, 0x48,
	  0x43, 0x74, 0xbe, 0x25, 0x53, 0x55, 0x76, 0x99, 0x6e, 0x8b },
	{ 0xc1, 0xf3, 0xcb, 0xc1, 0xc1, 0x3a, 0x9d, 0x35, 0xa1, 0x4c, 0x09,
	  0x90, 0xee, 0xd9, 0x76, 0x29, 0xea, 0x22, 0x58, 0x63, 0xe5, 0x66,
	  0xa4, 0x31, 0x4a, 0xb9, 0x9f, 0x3f, 0x00, 0xe5, 0xd9, 0xd5 },
};

/* How the client thinks of binding. */
enum manner { UNBOUND, NOT_OFFERED, BOUND, MANNERS };

static struct scram_binding
certificate(void)
{
	struct scram_binding b = { .n = 32 };

	for (uint8_t i = 0; i < 32; i++)
		b.hash[i] = i;
	return b;
}

static void
begin(struct scram_client *c, enum manner manner, struct buf *out)
{
	struct scram_binding b = certificate();

	scram_client_init(c, CLIENT_NONCE);
	if (manner != UNBOUND)
		scram_client_bind(c, &b, manner == BOUND);
	FUZZ_ASSERT(scram_client_first(c, slice_str("user"), out, NULL) == 0);
}

static void
check_failed(enum scram_step step, const struct buf *out, const struct err *e)
{
	FUZZ_ASSERT(step == SCRAM_FAILED && out->n == 0);
	FUZZ_ASSERT(e->sqlstate[0] != '\0' && e->msg[0] != '\0');
}

/* True where the challenge was taken. */
static bool
connect_to(enum manner manner, struct slice first, struct slice final)
{
	struct scram_challenge ask = { 0 };
	struct scram_client c;
	struct buf out = { 0 };
	struct err e = { 0 };
	bool taken;
	int result;

	begin(&c, manner, &out);
	buf_clear(&out);
	result = scram_client_challenge(&c, first, &ask, &e);
	taken = result == 0;
	if (taken) {
		FUZZ_ASSERT(ask.salt_len > 0 && ask.salt_len <= SCRAM_SALT_MAX);
		FUZZ_ASSERT(ask.iterations > 0 && ask.iterations <= SCRAM_ITERATIONS_MAX);
		FUZZ_ASSERT(scram_client_final(&c, &rfc_keys, &out, &e) == 0);
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
	return taken;
}

/* The server of our own: whether it lets the client in that was told `first` in place of its first
 * message. */
static bool
serve(enum manner manner, struct slice first)
{
	struct scram_binding b = certificate();
	struct buf said = { 0 }, answer = { 0 };
	struct scram_verifier v;
	struct scram_challenge ask;
	struct scram_server s;
	struct scram_client c;
	bool in = false;

	FUZZ_ASSERT(scram_verifier_parse(slice_str(rfc_verifier), &v, NULL) == 0);
	scram_server_init(&s, &v, SERVER_NONCE);
	if (manner == BOUND)
		scram_server_bind(&s, &b);
	begin(&c, manner, &said);
	FUZZ_ASSERT(scram_server_first(
			&s, slice_str(manner == BOUND ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM),
			buf_view(&said), &answer, NULL) == 0);
	buf_clear(&said);
	if (scram_client_challenge(&c, first, &ask, NULL) == 0) {
		FUZZ_ASSERT(scram_client_final(&c, &rfc_keys, &said, NULL) == 0);
		buf_clear(&answer);
		in = scram_server_final(&s, buf_view(&said), &answer, NULL) == 0;
	}
	scram_server_fini(&s);
	scram_client_fini(&c);
	buf_fini(&said);
	buf_fini(&answer);
	return in;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, size), first, final;

	first = slice_cut(&rest, '\n');
	final = slice_cut(&rest, '\n');
	for (int m = UNBOUND; m < MANNERS; m++) {
		enum manner manner = (enum manner)m;

		/* a challenge that somebody has changed on the way lets nobody in */
		if (connect_to(manner, first, final) && serve(manner, first))
			FUZZ_ASSERT(slice_is(first, "r=" CLIENT_NONCE SERVER_NONCE
						    ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
	}
	return 0;
}
