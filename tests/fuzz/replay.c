/* SPDX-License-Identifier: PostgreSQL
 *
 * The main() of a fuzz target in an ordinary build: feeds it every file named on the command line
 * and every file in the directories named there, or its own corpus where nothing is named, and
 * prints TAP, one point per file. A property that does not hold aborts, which prove reports with
 * the last point's name as "started, not finished".
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES_MAX ((size_t)16 << 20)

static unsigned points;

static bool
read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	size_t got;
	bool ok;

	if (f == NULL)
		return false;
	do {
		char *to = buf_reserve(out, 4096);

		got = to != NULL ? fread(to, 1, 4096, f) : 0;
		out->n += got;
	} while (got > 0);
	ok = !ferror(f) && !out->failed;
	fclose(f);
	return ok;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
replay_file(const char *path)
{
	struct buf input = { .cap = FILE_BYTES_MAX };
	uint8_t *exact;

	printf("# %s\n", path);
	fflush(stdout);
	if (!read_file(path, &input)) {
		printf("not ok %u - %s: cannot be read: %s\n", ++points, path, strerror(errno));
		buf_fini(&input);
		return;
	}
	/* No spare byte behind it, so that a sanitizer sees the first one too many. */
	exact = malloc(input.n > 0 ? input.n : 1);
	if (exact == NULL)
		abort();
	if (input.n > 0)
		memcpy(exact, input.p, input.n);
	LLVMFuzzerTestOneInput(exact, input.n);
	printf("ok %u - %s\n", ++points, base_name(path));
	free(exact);
	buf_fini(&input);
}

static int
not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void
replay_directory(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, not_hidden, alphasort);

	if (n <= 0)
		printf("not ok %u - %s holds no file\n", ++points, path);
	for (int i = 0; i < n; i++) {
		struct buf name = { .cap = 4096 };

		buf_printf(&name, "%s/%s", path, list[i]->d_name);
		replay_file(buf_text(&name));
		buf_fini(&name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

static void
replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		replay_directory(path);
	else
		replay_file(path);
}

/* FUZZ_DIR/<name of the program>.corpus */
static void
replay_own_corpus(const char *program)
{
	struct buf path = { .cap = 4096 };

	buf_printf(&path, "%s/%s.corpus", FUZZ_DIR, base_name(program));
	replay(buf_text(&path));
	buf_fini(&path);
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		replay_own_corpus(argv[0]);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("1..%u\n", points);
	return 0;
}
