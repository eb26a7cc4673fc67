/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "protocol/startup.h"

#include "protocol/frame.h"

#include "tests/unit/unit.h"

/* A packet: version, then strings up to a NULL, each with its NUL, then the terminator. */
static struct slice
packet(struct buf *b, uint32_t version, const char *const *words)
{
	size_t at;

	buf_clear(b);
	at = buf_message(b, 0);
	buf_u32(b, version);
	for (size_t i = 0; words[i] != NULL; i++)
		buf_cstr(b, words[i]);
	buf_u8(b, 0);
	buf_message_end(b, at);
	return buf_view(b);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define V3_0       0x00030000u
#define V3_2       0x00030002u

static void
assert_slice(struct slice got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

/* Parse, expecting success. */
static void
parse_ok(struct buf *b, uint32_t version, const char *const *words, struct startup *out)
{
	struct err e = { 0 };

	assert_int_equal(startup_parse(packet(b, version, words), out, &e), PARSE_DONE);
}

static void
parse_bad(struct slice bytes, const char *sqlstate, const char *message)
{
	struct startup s;
	struct err e = { 0 };

	assert_int_equal(startup_parse(bytes, &s, &e), PARSE_BAD);
	assert_string_equal(e.sqlstate, sqlstate);
	assert_string_equal(e.msg, message);
}

static void
parameters_are_found(void **state)
{
	struct buf b = { 0 };
	struct startup s;
	struct slice v;

	(void)state;
	parse_ok(&b, V3_2,
		 WORDS("user", "app", "database", "movr", "application_name", "psql", "options",
		       "-c geqo=off", "_pq_.x", "1", "client_encoding", "UTF8"),
		 &s);
	assert_int_equal(s.kind, STARTUP_V3);
	assert_int_equal(s.major, 3);
	assert_int_equal(s.minor, 2);
	assert_slice(s.user, "app");
	assert_slice(s.database, "movr");
	assert_slice(s.application_name, "psql");
	assert_slice(s.options, "-c geqo=off");
	assert_int_equal(s.replication, REPLICATION_NONE);
	assert_int_equal(s.params_n, 5);
	assert_slice(s.params[4].name, "client_encoding");
	assert_int_equal(s.extensions_n, 1);
	assert_slice(s.extensions[0].name, "_pq_.x");
	assert_slice(s.extensions[0].value, "1");
	assert_true(startup_param(&s, "client_encoding", &v));
	assert_slice(v, "UTF8");
	assert_false(startup_param(&s, "Client_Encoding", &v));
	assert_false(startup_param(&s, "_pq_.x", &v));
	buf_fini(&b);
}

static void
the_database_defaults_to_the_user_and_the_last_word_wins(void **state)
{
	struct buf b = { 0 };
	struct startup s;

	(void)state;
	parse_ok(&b, V3_0, WORDS("user", "app"), &s);
	assert_slice(s.database, "app");
	parse_ok(&b, V3_0, WORDS("user", "app", "database", ""), &s);
	assert_slice(s.database, "app");
	parse_ok(&b, V3_0, WORDS("user", "a", "database", "x", "user", "b"), &s);
	assert_slice(s.user, "b");
	buf_fini(&b);
}

static void
replication_is_understood_as_postgresql_does(void **state)
{
	static const struct {
		const char *value;
		enum replication want;
	} vectors[] = {
		{ "true", REPLICATION_PHYSICAL },    { "on", REPLICATION_PHYSICAL },
		{ "yes", REPLICATION_PHYSICAL },     { "1", REPLICATION_PHYSICAL },
		{ "TRUE", REPLICATION_PHYSICAL },    { "t", REPLICATION_PHYSICAL },
		{ "database", REPLICATION_LOGICAL }, { "false", REPLICATION_NONE },
		{ "off", REPLICATION_NONE },         { "of", REPLICATION_NONE },
		{ "0", REPLICATION_NONE },           { "no", REPLICATION_NONE },
	};
	struct buf b = { 0 };
	struct startup s;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		parse_ok(&b, V3_0, WORDS("user", "rep", "replication", vectors[i].value), &s);
		assert_int_equal(s.replication, vectors[i].want);
	}
	parse_bad(packet(&b, V3_0, WORDS("user", "rep", "replication", "o")), "22023",
		  "invalid value for parameter \"replication\": \"o\"");
	parse_bad(packet(&b, V3_0, WORDS("user", "rep", "replication", "")), "22023",
		  "invalid value for parameter \"replication\": \"\"");
	buf_fini(&b);
}

static void
a_packet_without_a_user_is_refused(void **state)
{
	struct buf b = { 0 };
	const char *want = "no PostgreSQL user name specified in startup packet";

	(void)state;
	parse_bad(packet(&b, V3_0, WORDS("database", "movr")), "28000", want);
	parse_bad(packet(&b, V3_0, WORDS("user", "")), "28000", want);
	parse_bad(packet(&b, V3_0, (const char *const[]){ NULL }), "28000", want);
	buf_fini(&b);
}

/* Cut short or with a byte too many, whatever the length word says, a packet is refused. */
static void
the_layout_is_exact(void **state)
{
	const char *want = "invalid startup packet layout: expected terminator as last byte";
	struct buf b = { 0 }, cut = { 0 };
	struct slice whole = packet(&b, V3_0, WORDS("user", "app", "database", "movr"));
	struct startup s;
	struct err e = { 0 };

	(void)state;
	for (size_t n = 9; n < whole.n; n++) {
		buf_clear(&cut);
		buf_put(&cut, whole.p, n);
		put_u32(cut.p, (uint32_t)n);
		parse_bad(buf_view(&cut), "08P01", want);
	}
	buf_clear(&cut);
	buf_slice(&cut, whole);
	buf_u8(&cut, 0);
	put_u32(cut.p, (uint32_t)cut.n);
	parse_bad(buf_view(&cut), "08P01", want);
	for (size_t n = 0; n < whole.n; n++)
		assert_int_equal(startup_parse(slice_of(whole.p, n), &s, &e), PARSE_BAD);
	buf_fini(&cut);
	buf_fini(&b);
}

static void
the_number_of_parameters_is_bounded(void **state)
{
	const char *words[2 * (STARTUP_PARAMS_MAX + 1) + 1] = { "user", "app" };
	struct buf b = { 0 };
	struct startup s;

	(void)state;
	for (size_t i = 2; i < 2 * STARTUP_PARAMS_MAX; i++)
		words[i] = "x";
	parse_ok(&b, V3_0, words, &s);
	assert_int_equal(s.params_n, STARTUP_PARAMS_MAX);
	words[2 * STARTUP_PARAMS_MAX] = words[2 * STARTUP_PARAMS_MAX + 1] = "x";
	parse_bad(packet(&b, V3_0, words), "54000", "too many parameters in startup packet");
	buf_fini(&b);
}

static void
requests_are_told_apart(void **state)
{
	struct buf b = { 0 };
	struct startup s;
	struct err e = { 0 };

	(void)state;
	startup_build_ssl_request(&b);
	assert_memory_equal(b.p, "\0\0\0\10\4\322\26\57", 8);
	assert_int_equal(startup_parse(buf_view(&b), &s, &e), PARSE_DONE);
	assert_int_equal(s.kind, STARTUP_SSL);
	buf_clear(&b);
	buf_put(&b, "\0\0\0\10\4\322\26\60", 8);
	assert_int_equal(startup_parse(buf_view(&b), &s, &e), PARSE_DONE);
	assert_int_equal(s.kind, STARTUP_GSSENC);
	buf_u8(&b, 0);
	put_u32(b.p, 9);
	parse_bad(buf_view(&b), "08P01", "invalid length of startup packet");
	buf_fini(&b);
}

static void
a_cancel_key_has_4_to_256_bytes(void **state)
{
	char key[257];
	struct buf b = { 0 };
	struct startup s;
	struct err e = { 0 };

	(void)state;
	memset(key, 'k', sizeof(key));
	for (size_t n = 0; n <= 257; n++) {
		buf_clear(&b);
		startup_build_cancel(&b, 0x01020304, slice_of(key, n));
		if (n < 4 || n > 256) {
			parse_bad(buf_view(&b), "08P01", "invalid length of cancel request packet");
			continue;
		}
		assert_int_equal(startup_parse(buf_view(&b), &s, &e), PARSE_DONE);
		assert_int_equal(s.kind, STARTUP_CANCEL);
		assert_int_equal(s.cancel_pid, 0x01020304);
		assert_int_equal(s.cancel_key.n, n);
		assert_memory_equal(s.cancel_key.p, key, n);
	}
	buf_fini(&b);
}

static void
another_major_version_is_named_and_answered(void **state)
{
	struct buf b = { 0 };
	struct startup s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(startup_parse(packet(&b, 0x00020007, WORDS("x")), &s, &e), PARSE_DONE);
	assert_int_equal(s.kind, STARTUP_BAD_VERSION);
	assert_int_equal(s.major, 2);
	assert_int_equal(s.minor, 7);
	assert_string_equal(e.sqlstate, "0A000");
	assert_string_equal(e.msg, "unsupported frontend protocol 2.7: server supports 3.0 to 3.2");
	parse_ok(&b, 0x0003270f, WORDS("user", "app"), &s);
	assert_int_equal(s.kind, STARTUP_V3);
	assert_int_equal(s.minor, 9999);
	buf_fini(&b);
}

static void
a_packet_of_a_fleet_is_told_apart(void **state)
{
	struct buf b = { 0 };
	struct startup s;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(startup_parse(slice_of("\0\0\0\x08MF\0\x01", 8), &s, &e), PARSE_DONE);
	assert_int_equal(s.kind, STARTUP_FLEET_HELLO);
	/* who has no fleet answers as to any stranger */
	assert_string_equal(e.sqlstate, "0A000");
	assert_int_equal(startup_parse(slice_of("\0\0\0\x0bMF\0\x02yes", 11), &s, &e), PARSE_DONE);
	assert_int_equal(s.kind, STARTUP_FLEET_LETTER);
	assert_true(slice_is(s.letter, "yes"));
	assert_int_equal(startup_parse(slice_of("\0\0\0\x0bMF\0\x01yes", 11), &s, &e), PARSE_DONE);
	assert_int_equal(s.kind, STARTUP_BAD_VERSION);
	assert_int_equal(startup_parse(slice_of("\0\0\0\x0bMF\0\x03yes", 11), &s, &e), PARSE_DONE);
	assert_int_equal(s.kind, STARTUP_BAD_VERSION);
	parse_ok(&b, 0x00030000, WORDS("user", "app"), &s);
	assert_int_equal(s.letter.n, 0);
	buf_fini(&b);
}

static void
options_are_split_as_postgresql_does(void **state)
{
	static const struct {
		const char *options;
		const char *words[4];
	} vectors[] = {
		{ "", { NULL } },
		{ " \t\n\v\f\r ", { NULL } },
		{ "-c a=b", { "-c", "a=b" } },
		{ "  -c\ta=b  ", { "-c", "a=b" } },
		{ "-ca=New\\ York", { "-ca=New York" } },
		{ "a\\\\b c\\d", { "a\\b", "cd" } },
		{ "a\\", { "a" } },
		{ "a \\", { "a", "" } },
		{ "\\ a", { " a" } },
		{ "a\\\tb", { "a\tb" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct slice rest = slice_str(vectors[i].options);
		struct buf word = { 0 };
		size_t n = 0;

		while (startup_option_word(&rest, &word)) {
			assert_non_null(vectors[i].words[n]);
			assert_string_equal(buf_text(&word), vectors[i].words[n]);
			buf_clear(&word);
			n++;
		}
		assert_null(vectors[i].words[n]);
		buf_fini(&word);
	}
}

static void
our_settings_leave_the_options_and_nothing_else_does(void **state)
{
	static const struct {
		const char *before, *after;
	} vectors[] = {
		{ "", "" },
		{ "  -c  geqo=off ", "  -c  geqo=off " }, /* nothing of ours: untouched */
		{ "-c meridian.city=paris", "" },
		{ "-cmeridian.city=paris", "" },
		{ "--meridian.city=paris", "" },
		{ "--MERIDIAN.City=paris", "" },
		{ "-c geqo=off --meridian.city=paris -cjit=off", "-c geqo=off -cjit=off" },
		{ "-c meridian.city=New\\ York -c a=x\\ y\\\\", "-c a=x\\ y\\\\" },
		{ "-c work_mem=4MB -c meridian.city=a\\\\b", "-c work_mem=4MB" },
		{ "-c meridianx.city=paris --meridian.a=1", "-c meridianx.city=paris" },
		{ "-c meridian.city", "-c meridian.city" }, /* no value: the server's error */
		{ "-c x=--meridian.city=a --meridian.b=c", "-c x=--meridian.city=a" },
		{ "-c crdb:remote_addr=1.2.3.4:5 -e", "-e" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct buf out = { 0 };

		startup_options_strip(&out, slice_str(vectors[i].before));
		assert_string_equal(buf_text(&out), vectors[i].after);
		buf_fini(&out);
	}
}

static void
a_servers_setting_is_the_last_one_said_and_plain_ones_win(void **state)
{
	struct buf b = { 0 }, value = { .cap = 64 };
	struct startup s;

	(void)state;
	parse_ok(&b, V3_0,
		 WORDS("user", "app", "options",
		       "-c client_min_messages=error --Client_Min_Messages=a\\ b -c geqo=off"),
		 &s);
	assert_true(startup_setting_value(&s, "client_min_messages", &value));
	assert_string_equal(buf_text(&value), "a b");
	assert_false(startup_setting_value(&s, "work_mem", &value));
	buf_fini(&b);
	parse_ok(&b, V3_0,
		 WORDS("user", "app", "Client_min_messages", "warning", "options",
		       "-c client_min_messages=error"),
		 &s);
	assert_true(startup_setting_value(&s, "client_min_messages", &value));
	assert_string_equal(buf_text(&value), "warning");
	buf_fini(&value);
	buf_fini(&b);
}

static void
who_may_have_told_the_server_to_take_its_time(void **state)
{
	static const struct {
		const char *name, *value;
		bool may;
	} rows[] = {
		{ "options", "", false },
		{ "options", "-c meridian.city=paris --search_path=a -cgeqo=off", false },
		{ "options", "-c post_auth_delay=30", true },
		{ "options", "-c meridian.city=paris -cPost_Auth_Delay=30", true },
		{ "options", "--post-auth-delay=30", true },
		{ "options", "-c post\\-auth-delay=30", true },
		{ "options", "-c geqo=off -W 30", true },
		{ "options", "-EW30", true },
		{ "options", "-c", true },
		{ "Post_Auth_Delay", "30", true },
		{ "geqo", "off", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 };
		struct startup s;

		parse_ok(&b, V3_0, WORDS("user", "app", rows[i].name, rows[i].value), &s);
		if (startup_may_delay(&s) != rows[i].may)
			fail_msg("%s = %s", rows[i].name, rows[i].value);
		buf_fini(&b);
	}
}

static void
our_settings_are_listed_with_their_values_unescaped(void **state)
{
	struct startup_setting settings[8];
	struct buf b = { 0 }, text = { 0 };
	struct startup s;

	(void)state;
	parse_ok(&b, V3_0,
		 WORDS("user", "app", "Meridian.City", "S\303\243o Paulo", "options",
		       "-c meridian.city=New\\ York --meridian.lat-long=1,2 -cgeqo=off "
		       "-cmeridian.access=",
		       "meridian.", "x"),
		 &s);
	assert_int_equal(startup_settings(&s, &text, settings, 8), 4);
	assert_slice(settings[0].name, "city");
	assert_slice(settings[0].value, "New York");
	assert_slice(settings[1].name, "lat_long");
	assert_slice(settings[1].value, "1,2");
	assert_slice(settings[2].name, "access");
	assert_int_equal(settings[2].value.n, 0);
	assert_slice(settings[3].name, "city");
	assert_slice(settings[3].value, "S\303\243o Paulo");
	assert_int_equal(startup_settings(&s, &text, settings, 2), 2);
	buf_fini(&text);
	buf_fini(&b);
}

static void
what_is_built_has_no_trace_of_us_and_nothing_reserved(void **state)
{
	static const char *const want[] = {
		"user", "app",    "database", "movr", "options", "-c geqo=off", "application_name",
		"x",    "_pq_.y", "1",        NULL
	};
	struct buf b = { 0 }, out = { 0 }, expected = { 0 };
	struct startup s;

	(void)state;
	parse_ok(&b, V3_2,
		 WORDS("application_name", "x", "meridian.city", "paris", "user", "app",
		       "crdb:remote_addr", "1.2.3.4:5", "options",
		       "-c geqo=off --meridian.city=rome", "CRDB:session_revival_token_base64",
		       "eA", "_pq_.y", "1", "MERIDIAN.region", "r", "database", "movr"),
		 &s);
	startup_build(&out, &s, NULL);
	packet(&expected, V3_2, want);
	assert_false(out.failed);
	assert_int_equal(out.n, expected.n);
	assert_memory_equal(out.p, expected.p, out.n);
	buf_fini(&expected);
	buf_fini(&out);
	buf_fini(&b);
}

static void
a_plain_edit_says_no_more_than_we_speak(void **state)
{
	static const char *const want[] = { "user", "app", "database", "movr", NULL };
	const struct startup_edit plain = { .plain = true };
	const uint32_t versions[][2] = {
		{ 0x00030000u, 0x00030000u },
		{ V3_2, V3_2 },
		{ 0x00030009u, V3_2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct buf b = { 0 }, out = { 0 }, expected = { 0 };
		struct startup s;

		parse_ok(&b, versions[i][0],
			 WORDS("_pq_.future", "1", "user", "app", "database", "movr", "_pq_.x", ""),
			 &s);
		startup_build(&out, &s, &plain);
		packet(&expected, versions[i][1], want);
		assert_int_equal(out.n, expected.n);
		assert_memory_equal(out.p, expected.p, out.n);
		buf_fini(&expected);
		buf_fini(&out);
		buf_fini(&b);
	}
}

static void
an_edit_replaces_and_adds(void **state)
{
	static const char *const want[] = {
		"user", "app",           "database", "movr2", "TimeZone", "UTC", "application_name",
		"mine", "meridian.city", "paris",    NULL
	};
	const struct startup_param set[] = {
		{ SLICE_LITERAL("application_name"), SLICE_LITERAL("mine") },
		{ SLICE_LITERAL("meridian.city"), SLICE_LITERAL("paris") },
	};
	const struct startup_edit edit = {
		.database = SLICE_LITERAL("movr2"),
		.set = set,
		.set_n = 2,
	};
	struct buf b = { 0 }, out = { 0 }, expected = { 0 };
	struct startup s;

	(void)state;
	parse_ok(&b, V3_0,
		 WORDS("user", "app", "application_name", "theirs", "TimeZone", "UTC",
		       "meridian.city", "rome", "options", "-c meridian.access=any"),
		 &s);
	startup_build(&out, &s, &edit);
	packet(&expected, V3_0, want);
	assert_int_equal(out.n, expected.n);
	assert_memory_equal(out.p, expected.p, out.n);
	buf_fini(&expected);
	buf_fini(&out);
	buf_fini(&b);
}

static void
another_user_does_not_change_the_database(void **state)
{
	static const char *const want[] = { "user", "boss", "database", "app", NULL };
	const struct startup_edit edit = { .user = SLICE_LITERAL("boss") };
	struct buf b = { 0 }, out = { 0 }, expected = { 0 };
	struct startup s;

	(void)state;
	parse_ok(&b, V3_0, WORDS("user", "app"), &s);
	startup_build(&out, &s, &edit);
	packet(&expected, V3_0, want);
	assert_int_equal(out.n, expected.n);
	assert_memory_equal(out.p, expected.p, out.n);
	buf_fini(&expected);
	buf_fini(&out);
	buf_fini(&b);
}

static void
a_packet_too_large_for_a_server_is_not_built(void **state)
{
	static char big[9990];
	struct startup_param set = { SLICE_LITERAL("x"), { big, sizeof(big) } };
	const struct startup_edit edit = { .set = &set, .set_n = 1 };
	struct buf b = { 0 }, out = { 0 };
	struct startup s;

	(void)state;
	memset(big, 'x', sizeof(big));
	parse_ok(&b, V3_0, WORDS("user", "a"), &s);
	startup_build(&out, &s, &edit); /* 4 + 4 + 7 + 2 + 9990 + 1 + 1 = 10009 */
	assert_true(out.failed);
	buf_clear(&out);
	set.value.n -= 5;
	startup_build(&out, &s, &edit);
	assert_false(out.failed);
	assert_int_equal(out.n, STARTUP_BYTES_MAX);
	buf_fini(&out);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_found),
		cmocka_unit_test(the_database_defaults_to_the_user_and_the_last_word_wins),
		cmocka_unit_test(replication_is_understood_as_postgresql_does),
		cmocka_unit_test(a_packet_without_a_user_is_refused),
		cmocka_unit_test(the_layout_is_exact),
		cmocka_unit_test(the_number_of_parameters_is_bounded),
		cmocka_unit_test(requests_are_told_apart),
		cmocka_unit_test(a_cancel_key_has_4_to_256_bytes),
		cmocka_unit_test(another_major_version_is_named_and_answered),
		cmocka_unit_test(a_packet_of_a_fleet_is_told_apart),
		cmocka_unit_test(options_are_split_as_postgresql_does),
		cmocka_unit_test(our_settings_leave_the_options_and_nothing_else_does),
		cmocka_unit_test(a_servers_setting_is_the_last_one_said_and_plain_ones_win),
		cmocka_unit_test(who_may_have_told_the_server_to_take_its_time),
		cmocka_unit_test(our_settings_are_listed_with_their_values_unescaped),
		cmocka_unit_test(what_is_built_has_no_trace_of_us_and_nothing_reserved),
		cmocka_unit_test(a_plain_edit_says_no_more_than_we_speak),
		cmocka_unit_test(an_edit_replaces_and_adds),
		cmocka_unit_test(another_user_does_not_change_the_database),
		cmocka_unit_test(a_packet_too_large_for_a_server_is_not_built),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
