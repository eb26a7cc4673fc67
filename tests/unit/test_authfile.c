/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/authfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "proxy/auth/credential.h"

#include "tests/unit/secrets.h"

#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define VERIFIER                                                                   \
	"SCRAM-SHA-256$4096:EkOSF6RJHu4+k2gi8AUeiQ==$zZblK1QQpT7NdVvXIkEVE4fIPiQ/" \
	"coXGEl8wBEtPaQM=:pZ+3urUipgkmQ7HFN/ka0MzcabWkmJMzWX1DudNEETM="

static const uint8_t salts[SCRAM_KEY_BYTES];

static struct authfile *
parsed(const char *text)
{
	struct err e = { 0 };
	struct authfile *f = authfile_parse(slice_str(text), "users.txt", salts, &e);

	if (f == NULL)
		print_error("%s\n", e.msg);
	assert_non_null(f);
	return f;
}

static const struct authfile_user *
user(const struct authfile *f, const char *name)
{
	return authfile_find(f, slice_str(name));
}

static void
verifiers_md5_and_empty_secrets_are_kept_as_they_are(void **state)
{
	struct authfile *f = parsed("\"alice\" \"" VERIFIER "\"\n"
				    "\"bob\" \"md599d7714169587ba382241135a9f425e7\"\n"
				    "\"carol\" \"\"\n");
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(authfile_count(f), 3);
	assert_int_equal(user(f, "alice")->kind, AUTHFILE_SCRAM);
	assert_false(user(f, "alice")->was_plain);
	assert_string_equal(user(f, "alice")->name, "alice");
	assert_null(authfile_why_not(user(f, "alice")));
	put_verifier(&b, &user(f, "alice")->scram);
	assert_string_equal(buf_text(&b), VERIFIER);
	assert_int_equal(user(f, "bob")->kind, AUTHFILE_MD5);
	assert_int_equal(user(f, "bob")->line, 2);
	assert_string_equal(user(f, "bob")->md5, "md599d7714169587ba382241135a9f425e7");
	assert_non_null(strstr(authfile_why_not(user(f, "bob")), "md5"));
	assert_int_equal(user(f, "carol")->kind, AUTHFILE_NONE);
	assert_non_null(strstr(authfile_why_not(user(f, "carol")), "empty"));
	assert_null(user(f, "dave"));
	assert_null(user(f, "Alice"));
	assert_null(user(f, ""));
	authfile_free(f);
	buf_fini(&b);
}

static void
plain_text_becomes_a_verifier_of_that_password(void **state)
{
	struct authfile *f = parsed("\"a\" \"secret\"\n\"b\" \"secret\"\n\"c\" \"md5notreally\"\n");
	const struct authfile_user *a = user(f, "a"), *b = user(f, "b");
	struct scram_verifier again;

	(void)state;
	assert_int_equal(a->kind, AUTHFILE_SCRAM);
	assert_true(a->was_plain);
	assert_int_equal(a->scram.iterations, SCRAM_ITERATIONS_DEFAULT);
	assert_int_equal(a->scram.salt_len, SCRAM_SALT_BYTES);
	assert_memory_not_equal(a->scram.salt, b->scram.salt, SCRAM_SALT_BYTES);
	assert_int_equal(
	    scram_verifier_make(slice_str("secret"),
				slice_of((const char *)a->scram.salt, SCRAM_SALT_BYTES),
				SCRAM_ITERATIONS_DEFAULT, &again, NULL),
	    0);
	assert_memory_equal(again.stored_key, a->scram.stored_key, SCRAM_KEY_BYTES);
	assert_memory_equal(again.server_key, a->scram.server_key, SCRAM_KEY_BYTES);
	assert_true(user(f, "c")->was_plain);
	authfile_free(f);
}

static void
what_serves_at_a_node_is_kept(void **state)
{
	struct authfile *f = parsed("\"alice\" \"" VERIFIER "\"\n"
				    "\"bob\" \"md599D7714169587BA382241135A9F425E7\"\n"
				    "\"carol\" \"\"\n"
				    "\"mary\" \"lamb\"\n");

	(void)state;
	assert_int_equal(user(f, "alice")->credential->kind, CREDENTIAL_NONE);
	assert_int_equal(user(f, "bob")->credential->kind, CREDENTIAL_MD5);
	assert_string_equal(user(f, "bob")->credential->md5, "md599d7714169587ba382241135a9f425e7");
	assert_int_equal(user(f, "carol")->credential->kind, CREDENTIAL_NONE);
	assert_int_equal(user(f, "mary")->credential->kind, CREDENTIAL_PASSWORD);
	assert_string_equal(user(f, "mary")->credential->password, "lamb");
	assert_string_equal(user(f, "mary")->md5, "md53974ce642e91c77ae68e995ea4bfbf0f");
	assert_false(authfile_is_mostly_md5(f));
	authfile_free(f);
	f = parsed("\"bob\" \"md599d7714169587ba382241135a9f425e7\"\n\"mary\" \"lamb\"\n");
	assert_true(authfile_is_mostly_md5(f));
	authfile_free(f);
}

static void
what_only_resembles_an_md5_hash_is_plain_text(void **state)
{
	struct authfile *f = parsed("\"short\" \"md599d7714169587ba382241135a9f425e\"\n"
				    "\"long\" \"md599d7714169587ba382241135a9f425e77\"\n"
				    "\"letters\" \"md599d7714169587ba382241135a9f425eg\"\n");

	(void)state;
	assert_true(user(f, "short")->was_plain);
	assert_true(user(f, "long")->was_plain);
	assert_true(user(f, "letters")->was_plain);
	authfile_free(f);
}

static void
the_grammar_is_that_of_userlist_txt(void **state)
{
	struct authfile *f = parsed("; a comment\n"
				    "\n"
				    "   \t ; another\r\n"
				    "\"a\"\"b\" \"\" and the rest is ignored\r\n"
				    "  \"c d\"\t\t\"\" \"x\" \"y\"\n"
				    "\";\" \"\"\n"
				    "\"last line without an end\" \"\"");

	(void)state;
	assert_int_equal(authfile_count(f), 4);
	assert_non_null(user(f, "a\"b"));
	assert_int_equal(user(f, "a\"b")->line, 4);
	assert_non_null(user(f, "c d"));
	assert_non_null(user(f, ";"));
	assert_non_null(user(f, "last line without an end"));
	authfile_free(f);
	f = parsed("");
	assert_int_equal(authfile_count(f), 0);
	assert_null(user(f, "a"));
	authfile_free(f);
	authfile_free(NULL);
}

static void
a_doubled_quote_in_a_password_is_one_quote(void **state)
{
	struct authfile *f = parsed("\"a\" \"p\"\"q\"\"\"");
	const struct authfile_user *a = user(f, "a");
	struct scram_verifier again;

	(void)state;
	assert_int_equal(
	    scram_verifier_make(slice_str("p\"q\""),
				slice_of((const char *)a->scram.salt, SCRAM_SALT_BYTES),
				SCRAM_ITERATIONS_DEFAULT, &again, NULL),
	    0);
	assert_memory_equal(again.stored_key, a->scram.stored_key, SCRAM_KEY_BYTES);
	authfile_free(f);
}

static void
errors_name_the_line_and_never_the_secret(void **state)
{
	static const struct {
		const char *text, *message;
	} files[] = {
		{ "\"a\" \"\"\nbob:hunter2\n", "users.txt:2: expected a user name of 1 to 128 "
					       "bytes in double quotes, found text "
					       "that does not begin with a double quote" },
		{ "\"a\" hunter2\n", "users.txt:1: expected a secret of at most 2048 bytes in "
				     "double quotes, found text "
				     "that does not begin with a double quote" },
		{ "\"a\"\n",
		  "users.txt:1: expected a secret of at most 2048 bytes in double quotes, "
		  "found the end of the line" },
		{ "\"a\" \"hunter2\n", "users.txt:1: expected a secret of at most 2048 bytes in "
				       "double quotes, found no closing double quote in the line" },
		{ "\"hunter2\n", "users.txt:1: expected a user name of 1 to 128 bytes in double "
				 "quotes, found no closing double quote in the line" },
		{ "\"\" \"hunter2\"\n", "users.txt:1: expected a user name of 1 to 128 bytes in "
					"double quotes, found an empty one" },
		{ "\"\"\"hunter2\"\n", "users.txt:1: expected a secret of at most 2048 bytes in "
				       "double quotes, found the end of the line" },
		{ "\"a\" \"\"\n;\n\"b\" \"\"\n\"a\" \"hunter2\"\n",
		  "users.txt:4: user \"a\" is already in line 1" },
		{ "\"a\" \"SCRAM-SHA-256$hunter2\"\n",
		  "users.txt:1: user \"a\": the iterations of a SCRAM verifier are a number from 1 "
		  "to 10000000" },
		{ "\"a\" \"SCRAM-SHA-256$1:hunter2\"\n",
		  "users.txt:1: user \"a\": the salt of a SCRAM verifier is base64 of 1 to 64 "
		  "bytes" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(files); i++) {
		struct err e = { 0 };

		assert_null(authfile_parse(slice_str(files[i].text), "users.txt", salts, &e));
		assert_string_equal(e.msg, files[i].message);
	}
}

static void
a_zero_byte_is_an_error(void **state)
{
	static const char text[] = "\"a\" \"\"\n\"b\0c\" \"\"\n";
	struct err e = { 0 };

	(void)state;
	assert_null(authfile_parse(slice_of(text, sizeof(text) - 1), "users.txt", salts, &e));
	assert_non_null(strstr(e.msg, "users.txt:2: "));
}

static void
names_and_secrets_have_a_longest(void **state)
{
	char name[AUTHFILE_NAME_MAX + 2] = "", secret[AUTHFILE_SECRET_MAX + 2] = "";
	struct authfile *f;
	struct buf b = { 0 };

	(void)state;
	memset(name, 'n', AUTHFILE_NAME_MAX);
	memset(secret, 's', AUTHFILE_SECRET_MAX);
	buf_printf(&b, "\"%s\" \"%s\"", name, secret);
	f = parsed(buf_text(&b));
	assert_non_null(user(f, name));
	name[AUTHFILE_NAME_MAX] = 'n';
	assert_null(user(f, name));
	authfile_free(f);
	buf_clear(&b);
	buf_printf(&b, "\"%s\" \"\"", name);
	assert_null(authfile_parse(buf_view(&b), "users.txt", salts, NULL));
	secret[AUTHFILE_SECRET_MAX] = 's';
	buf_clear(&b);
	buf_printf(&b, "\"a\" \"%s\"", secret);
	assert_null(authfile_parse(buf_view(&b), "users.txt", salts, NULL));
	buf_fini(&b);
}

/* Write a file of its own for this test; returns its name. */
static const char *
file_with(const char *text, mode_t mode)
{
	static char path[64];
	int fd;

	strcpy(path, "/tmp/meridian-authfile-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

/* Load a file and return what was logged meanwhile. */
static const char *
log_of_loading(const char *path)
{
	static char text[1024];
	FILE *to = tmpfile();
	int saved = dup(STDERR_FILENO);
	struct err e = { 0 };
	struct authfile *f;
	size_t n;

	assert_non_null(to);
	fflush(stderr);
	assert_true(dup2(fileno(to), STDERR_FILENO) >= 0);
	f = authfile_load(path, salts, &e);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_non_null(f);
	assert_int_equal(authfile_count(f), 1);
	authfile_free(f);
	rewind(to);
	n = fread(text, 1, sizeof(text) - 1, to);
	text[n] = '\0';
	fclose(to);
	return text;
}

static void
a_file_that_everybody_may_read_is_warned_of(void **state)
{
	const char *path = file_with("\"a\" \"hunter2\"\n", 0644);
	const char *log = log_of_loading(path);

	(void)state;
	assert_non_null(strstr(log, "WARNING"));
	assert_non_null(strstr(log, path));
	assert_null(strstr(log, "hunter2"));
	unlink(path);
	path = file_with("\"a\" \"hunter2\"\n", 0640);
	assert_string_equal(log_of_loading(path), "");
	unlink(path);
}

static void
what_is_no_readable_file_is_an_error_with_its_name(void **state)
{
	static const char *const paths[] = { "/nonexistent/users.txt", "/dev/null", "/tmp" };

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct err e = { 0 };

		assert_null(authfile_load(paths[i], salts, &e));
		assert_non_null(strstr(e.msg, paths[i]));
		assert_string_equal(e.sqlstate, "58030");
	}
}

static void
a_file_of_more_than_16_mb_is_refused(void **state)
{
	const char *path = file_with("\"a\" \"\"\n", 0600);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(truncate(path, (off_t)AUTHFILE_MAX_BYTES + 1), 0);
	assert_null(authfile_load(path, salts, &e));
	assert_non_null(strstr(e.msg, "larger than 16 MB"));
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifiers_md5_and_empty_secrets_are_kept_as_they_are),
		cmocka_unit_test(plain_text_becomes_a_verifier_of_that_password),
		cmocka_unit_test(what_serves_at_a_node_is_kept),
		cmocka_unit_test(what_only_resembles_an_md5_hash_is_plain_text),
		cmocka_unit_test(the_grammar_is_that_of_userlist_txt),
		cmocka_unit_test(a_doubled_quote_in_a_password_is_one_quote),
		cmocka_unit_test(errors_name_the_line_and_never_the_secret),
		cmocka_unit_test(a_zero_byte_is_an_error),
		cmocka_unit_test(names_and_secrets_have_a_longest),
		cmocka_unit_test(a_file_that_everybody_may_read_is_warned_of),
		cmocka_unit_test(what_is_no_readable_file_is_an_error_with_its_name),
		cmocka_unit_test(a_file_of_more_than_16_mb_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
