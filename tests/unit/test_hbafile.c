/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/hbafile.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/hbafiles.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Records as "file:line[token,'quoted'][…]". */
static int
note(void *arg, const struct hbafile_line *line, struct err *e)
{
	struct buf *b = arg;

	(void)e;
	buf_printf(b, "%s:%u", line->file, line->number);
	for (size_t i = 0; i < line->n; i++) {
		buf_u8(b, '[');
		for (size_t j = 0; j < line->v[i].n; j++) {
			const struct hbafile_token *t = &line->v[i].v[j];

			buf_printf(b, "%s%s%s%s", j > 0 ? "," : "", t->quoted ? "'" : "", t->text,
				   t->quoted ? "'" : "");
		}
		buf_u8(b, ']');
	}
	buf_u8(b, '\n');
	return 0;
}

static int
read_files(const struct hbafiles *files, struct buf *b, struct err *e)
{
	struct hbafile_source source = hbafiles_source(files);

	return hbafile_read(&source, "a", note, b, e);
}

struct good {
	const char *text, *records;
};

static void
a_record_is_fields_of_tokens(void **state)
{
	static const struct good rows[] = {
		{ "", "" },
		{ "# only a comment\n\n  \t\n#\n", "" },
		{ "host all all", "a:1[host][all][all]\n" },
		{ "  host\tall \t all  \n", "a:1[host][all][all]\n" },
		{ "a,b c", "a:1[a,b][c]\n" },
		{ "a, b c", "a:1[a,b][c]\n" },
		{ "a ,b c", "a:1[a][b][c]\n" },
		{ "a,,b c,", "a:1[a,b][c]\n" },
		{ ",a", "a:1[a]\n" },
		{ "a b#c d", "a:1[a][b]\n" },
		{ "a \"b#c d\"", "a:1[a]['b#c d']\n" },
		{ "\"a,b\",c", "a:1['a,b',c]\n" },
		{ "\"a\"\"b\"", "a:1['a\"b']\n" },
		{ "\"\" x", "a:1[''][x]\n" },
		{ "\"\"\"\"", "a:1['\"']\n" },
		{ "\"al\"l", "a:1['all']\n" },
		{ "a\"l\"l", "a:1[all]\n" },
		{ "a\"b c\"d", "a:1[ab cd]\n" },
		{ "a\r\nb\r\n", "a:1[a]\na:2[b]\n" },
		{ "a\n\n#x\nb", "a:1[a]\na:4[b]\n" },
		{ "a \\\n b \\\nc\nd", "a:1[a][b][c]\na:4[d]\n" },
		{ "al\\\nl", "a:1[all]\n" },
		{ "a \\\r\nb", "a:1[a][b]\n" },
		{ "# goes on \\\n as a comment\nb", "a:3[b]\n" },
		{ "a \\", "a:1[a]\n" },
		{ "\\", "" },
		{ "a\\b", "a:1[a\\b]\n" },
		{ "\"a\\\nb\"", "a:1['ab']\n" },
		{ "@", "a:1[@]\n" },
		{ "\"@x\" y", "a:1['@x'][y]\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct hbafiles files[] = { { "a", rows[i].text }, { NULL, NULL } };
		struct buf b = { .cap = 0 };
		struct err e = { 0 };

		assert_int_equal(read_files(files, &b, &e), 0);
		assert_string_equal(buf_text(&b), rows[i].records);
		buf_fini(&b);
	}
}

static void
other_files_are_read_where_they_are_named(void **state)
{
	static const struct hbafiles files[] = {
		{ "a", "one\ninclude d/b\ninclude_if_exists nowhere\nlast @d/list,z y\n" },
		{ "d/b", "two\ninclude c\nthree\n" },
		{ "d/c", "four\n" },
		{ "d/list", "p q,r\n\"s t\"\n@more # ends here\n" },
		{ "d/more", "u\n\nv\n" },
		{ NULL, NULL },
	};
	struct buf b = { .cap = 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(read_files(files, &b, &e), 0);
	assert_string_equal(buf_text(&b), "a:1[one]\nd/b:1[two]\nd/c:1[four]\nd/b:3[three]\n"
					  "a:4[last][p,q,r,'s t',u,v,z][y]\n");
	buf_fini(&b);
}

static void
a_directory_is_read_in_the_order_of_its_names(void **state)
{
	static const struct hbafiles files[] = {
		{ "a", "include_dir d\n" },
		{ "d/2.conf", "second\n" },
		{ "d/10.conf", "first\n" },
		{ "d/.x.conf", "no\n" },
		{ "d/readme", "nor this\n" },
		{ "d/.conf", "no\n" },
		{ NULL, NULL },
	};
	struct buf b = { .cap = 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(read_files(files, &b, &e), 0);
	assert_string_equal(buf_text(&b), "d/10.conf:1[first]\nd/2.conf:1[second]\n");
	buf_fini(&b);
}

static void
an_empty_list_is_a_field_all_the_same(void **state)
{
	static const struct hbafiles files[] = { { "a", "x @none y\n" },
						 { "none", "# nobody\n" },
						 { NULL, NULL } };
	struct buf b = { .cap = 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(read_files(files, &b, &e), 0);
	assert_string_equal(buf_text(&b), "a:1[x][][y]\n");
	buf_fini(&b);
}

static void
errors_name_file_and_line(void **state)
{
	static const struct {
		struct hbafiles files[3];
		const char *message;
	} rows[] = {
		{ { { "b", "" } }, "could not open file \"a\"" },
		{ { { "a", "x\n\"y\n" } }, "a:2: no closing double quote in the line" },
		{ { { "a", "x \\\n \"y\nz" } }, "a:1: no closing double quote in the line" },
		{ { { "a", "x\n\ninclude b\n" } }, "a:3: could not open file \"b\"" },
		{ { { "a", "x @b\n" } }, "a:1: could not open file \"b\"" },
		{ { { "a", "include b\n" }, { "b", "x\n\"" } },
		  "b:2: no closing double quote in the line" },
		{ { { "a", "\nx @b\n" }, { "b", "\n\"" } },
		  "b:2: no closing double quote in the line" },
		{ { { "a", "include\n" } }, "a:1: expected one file name behind \"include\"" },
		{ { { "a", "include b c\n" } }, "a:1: expected one file name behind \"include\"" },
		{ { { "a", "include_dir d,e\n" } },
		  "a:1: expected one file name behind \"include_dir\"" },
		{ { { "a", "include_dir d\n" } }, "a:1: could not open directory \"d\"" },
		{ { { "a", "\ninclude a\n" } },
		  "a:2: could not open file \"a\": maximum nesting depth exceeded" },
		{ { { "a", "x @a\n" } },
		  "a:1: could not open file \"a\": maximum nesting depth exceeded" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf b = { .cap = 0 };
		struct err e = { 0 };

		assert_int_equal(read_files(rows[i].files, &b, &e), -1);
		assert_string_equal(e.msg, rows[i].message);
		buf_fini(&b);
	}
}

static int
refuse(void *arg, const struct hbafile_line *line, struct err *e)
{
	(void)arg;
	return line->number == 2 ? err_set(e, "F0000", "not so") : 0;
}

static void
the_taker_may_refuse(void **state)
{
	static const struct hbafiles files[] = { { "a", "x\ny\nz\n" }, { NULL, NULL } };
	struct hbafile_source source = hbafiles_source(files);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(hbafile_read(&source, "a", refuse, NULL, &e), -1);
	assert_string_equal(e.msg, "a:2: not so");
}

static void
eleven_files_may_lie_in_each_other(void **state)
{
	char texts[13][16], names[13][2];
	struct hbafiles files[14] = { { NULL, NULL } };

	(void)state;
	for (size_t n = 11; n <= 12; n++) {
		struct buf b = { .cap = 0 };
		struct err e = { 0 };

		for (size_t i = 0; i < n; i++) {
			snprintf(names[i], sizeof(names[i]), "%c", (int)('a' + i));
			snprintf(texts[i], sizeof(texts[i]), i + 1 < n ? "include %c\n" : "%c\n",
				 (int)('a' + i + 1));
			files[i] = (struct hbafiles){ names[i], texts[i] };
		}
		assert_int_equal(read_files(files, &b, &e), n == 11 ? 0 : -1);
		assert_string_equal(buf_text(&b), n == 11 ? "k:1[l]\n" : "");
		buf_fini(&b);
	}
}

/* Nine files, each naming the next ten times: a billion readings, were they not counted. */
static void
files_that_multiply_come_to_an_end(void **state)
{
	char texts[9][1200], names[9][2];
	struct hbafiles files[10] = { { NULL, NULL } };
	struct buf b = { .cap = 0 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		size_t n = 0;

		names[i][0] = (char)('a' + i);
		names[i][1] = '\0';
		for (int j = 0; j < 10; j++)
			n += (size_t)snprintf(texts[i] + n, sizeof(texts[i]) - n,
					      "include %c #%99s\n", i < 8 ? (int)('b' + i) : 'x',
					      "");
		files[i] = (struct hbafiles){ names[i], texts[i] };
	}
	texts[8][0] = '\0';
	assert_int_equal(read_files(files, &b, &e), -1);
	assert_non_null(strstr(e.msg, "more than 4 MB would be read"));
	assert_string_equal(e.sqlstate, "54000");
	buf_fini(&b);
}

static void
a_zero_byte_is_no_text(void **state)
{
	char path[] = "/tmp/hbafile.XXXXXX";
	int fd = mkstemp(path);
	struct buf b = { .cap = 0 };
	struct err e = { 0 };
	char expected[64];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x\na\0b", 5), 5);
	assert_int_equal(hbafile_read(&hbafile_disk, path, note, &b, &e), -1);
	snprintf(expected, sizeof(expected), "%s:2: a zero byte: this is not a text file", path);
	assert_string_equal(e.msg, expected);
	close(fd);
	unlink(path);
	buf_fini(&b);
}

static void
the_disk_has_files_and_directories(void **state)
{
	char dir[] = "/tmp/hbafile.XXXXXX";
	char *path, *inner, *text, *expected;
	struct buf b = { .cap = 0 };
	struct err e = { 0 };
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/main", dir);
	inner = xasprintf("%s/x.conf", dir);
	text = xasprintf("include x.conf\ninclude_if_exists y.conf\ninclude_dir %s\n", dir);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	f = fopen(inner, "w");
	fputs("hello\n", f);
	fclose(f);
	assert_int_equal(hbafile_read(&hbafile_disk, path, note, &b, &e), 0);
	expected = xasprintf("%s:1[hello]\n%s:1[hello]\n", inner, inner);
	assert_string_equal(buf_text(&b), expected);
	unlink(inner);
	assert_int_equal(mkfifo(inner, 0600), 0); /* must neither be waited for nor read */
	assert_int_equal(hbafile_read(&hbafile_disk, path, note, &b, &e), -1);
	assert_non_null(strstr(e.msg, "is not a regular file"));
	unlink(inner);
	unlink(path);
	rmdir(dir);
	assert_int_equal(hbafile_read(&hbafile_disk, path, note, &b, &e), -1);
	assert_string_equal(e.sqlstate, HBAFILE_ABSENT);
	free(expected);
	free(text);
	free(inner);
	free(path);
	buf_fini(&b);
}

static void
a_token_is_written_as_it_is_read(void **state)
{
	static const char *const texts[] = {
		"all", "",     "a b", "a\"b", "a,b", "#",  "a#b",
		"\"",  "\"\"", "@x",  "+x",   "a\\", "\\", "/^a, \"b\"$",
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(texts); i++) {
		const char *text = texts[i / 2];
		bool plain = i % 2 == 1;
		struct buf written = { .cap = 0 }, read = { .cap = 0 }, expected = { .cap = 0 };
		struct hbafiles files[2] = { { "a", NULL }, { NULL, NULL } };
		struct err e = { 0 };
		bool quoted;

		if (!plain && text[0] == '@')
			continue; /* would be a list */
		hbafile_put(&written, text, plain);
		files[0].text = buf_text(&written);
		quoted = written.p[0] == '"';
		assert_true(quoted || !plain);
		assert_int_equal(read_files(files, &read, &e), 0);
		buf_printf(&expected, quoted ? "a:1['%s']\n" : "a:1[%s]\n", text);
		assert_string_equal(buf_text(&read), buf_text(&expected));
		buf_fini(&written);
		buf_fini(&read);
		buf_fini(&expected);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_fields_of_tokens),
		cmocka_unit_test(other_files_are_read_where_they_are_named),
		cmocka_unit_test(a_directory_is_read_in_the_order_of_its_names),
		cmocka_unit_test(an_empty_list_is_a_field_all_the_same),
		cmocka_unit_test(errors_name_file_and_line),
		cmocka_unit_test(the_taker_may_refuse),
		cmocka_unit_test(eleven_files_may_lie_in_each_other),
		cmocka_unit_test(files_that_multiply_come_to_an_end),
		cmocka_unit_test(a_zero_byte_is_no_text),
		cmocka_unit_test(the_disk_has_files_and_directories),
		cmocka_unit_test(a_token_is_written_as_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
