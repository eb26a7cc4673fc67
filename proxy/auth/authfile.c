/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "proxy/auth/authfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* uthash's default hash falls through its switch, which clang warns of */
#define HASH_FUNCTION(key, n, hash) HASH_FNV(key, n, hash)
#include <uthash.h>

#include "base/hot.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/auth/credential.h"

#define MD5_TEXT_LENGTH    35
#define MANY_PLAIN_ENTRIES 1000 /* loading them takes seconds */

struct entry {
	struct authfile_user user;
	char *name; /* what user.name shows */
	UT_hash_handle hh;
};

struct authfile {
	const uint8_t *secret; /* while it is read */
	struct entry *by_name;
	size_t plain, md5, verifiers;
};

/* Where in the file a message points. */
struct place {
	const char *file;
	unsigned line;
};

static int
expected(struct err *e, const struct place *at, const char *what, const char *found)
{
	return err_set(e, "F0000", "%s:%u: expected %s, found %s", at->file, at->line, what, found);
}

/* ---- fields ---- */

/* Take a quoted field off *rest and write it, with doubled quotes made single, to `to`, which has
 * room for `size` bytes. Returns what is wrong, or NULL. */
static const char *
take_quoted(struct slice *rest, char *to, size_t size, size_t *n)
{
	size_t used = 0, i = 1;

	if (rest->n == 0)
		return "the end of the line";
	if (rest->p[0] != '"')
		return "text that does not begin with a double quote";
	for (; i < rest->n; i++) {
		if (rest->p[i] == '"') {
			if (i + 1 == rest->n || rest->p[i + 1] != '"')
				break;
			i++;
		}
		if (used == size)
			return "a longer one";
		to[used++] = rest->p[i];
	}
	if (i == rest->n)
		return "no closing double quote in the line";
	*rest = slice_skip(*rest, i + 1);
	*n = used;
	return NULL;
}

static bool
looks_like_md5(struct slice secret)
{
	if (secret.n != MD5_TEXT_LENGTH || !slice_starts(secret, "md5"))
		return false;
	for (size_t i = 3; i < secret.n; i++) {
		if (secret.p[i] == '\0' || strchr("0123456789abcdefABCDEF", secret.p[i]) == NULL)
			return false;
	}
	return true;
}

static int
make_from_plain(struct slice text, const uint8_t secret[SCRAM_KEY_BYTES], struct authfile_user *u,
		struct err *e)
{
	struct slice name = slice_of(u->name, u->name_len);
	struct scram_verifier mock;

	if (!md5_secret(name, text, u->md5))
		/* the library has no MD5: the method md5 is not available to this user */
		u->md5[0] = '\0';
	u->was_plain = true;
	u->credential = credential_new_password(text);
	scram_verifier_mock(name, secret, &mock);
	return scram_verifier_make(text, slice_of((const char *)mock.salt, mock.salt_len),
				   mock.iterations, &u->scram, e);
}

int
authfile_user_init(struct authfile_user *u, struct slice text,
		   const uint8_t secret[SCRAM_KEY_BYTES], struct err *e)
{
	u->kind = AUTHFILE_SCRAM;
	if (looks_like_md5(text)) {
		u->kind = AUTHFILE_MD5;
		/* PostgreSQL hashes the hex text, in lower case, together with the salt */
		for (size_t i = 0; i < text.n; i++)
			u->md5[i] = (char)(text.p[i] | 0x20);
		u->credential = credential_new_md5(u->md5);
		return 0;
	}
	if (text.n > 0 && !slice_starts(text, SCRAM_MECHANISM "$"))
		return make_from_plain(text, secret, u, e);
	u->credential = credential_new_none();
	if (text.n > 0)
		return scram_verifier_parse(text, &u->scram, e);
	u->kind = AUTHFILE_NONE;
	return 0;
}

void
authfile_user_fini(struct authfile_user *u)
{
	credential_unref(u->credential);
	explicit_bzero(u, sizeof(*u));
}

/* ---- the table ---- */

static HOT struct entry *
find(const struct authfile *f, const char *name, size_t n)
{
	struct entry *found;

	HASH_FIND(hh, f->by_name, name, n, found);
	return found;
}

static void
entry_free(struct entry *entry)
{
	free(entry->name);
	authfile_user_fini(&entry->user);
	free(entry);
}

static int
add(struct authfile *f, const struct place *at, struct slice name, struct slice secret,
    struct err *e)
{
	struct entry *entry = find(f, name.p, name.n);

	if (entry != NULL)
		return err_set(e, "F0000", "%s:%u: user \"%s\" is already in line %u", at->file,
			       at->line, entry->name, entry->user.line);
	entry = xcalloc(1, sizeof(*entry));
	entry->name = xstrndup(name.p, name.n);
	entry->user.name = entry->name;
	entry->user.name_len = name.n;
	entry->user.line = at->line;
	if (authfile_user_init(&entry->user, secret, f->secret, e) != 0) {
		err_prefix(e, "%s:%u: user \"%s\"", at->file, at->line, entry->name);
		entry_free(entry);
		return -1;
	}
	f->plain += entry->user.was_plain;
	f->md5 += entry->user.kind == AUTHFILE_MD5;
	f->verifiers += entry->user.kind == AUTHFILE_SCRAM && !entry->user.was_plain;
	HASH_ADD_KEYPTR(hh, f->by_name, entry->name, entry->user.name_len, entry);
	return 0;
}

static int
parse_fields(struct authfile *f, const struct place *at, struct slice line, char *secret,
	     struct err *e)
{
	char name[AUTHFILE_NAME_MAX];
	const char *wrong;
	size_t name_len = 0, secret_len = 0;

	wrong = take_quoted(&line, name, sizeof(name), &name_len);
	if (wrong == NULL && name_len == 0)
		wrong = "an empty one";
	if (wrong != NULL)
		return expected(e, at, "a user name of 1 to 128 bytes in double quotes", wrong);
	line = slice_trim(line);
	wrong = take_quoted(&line, secret, AUTHFILE_SECRET_MAX, &secret_len);
	if (wrong != NULL)
		return expected(e, at, "a secret of at most 2048 bytes in double quotes", wrong);
	return add(f, at, slice_of(name, name_len), slice_of(secret, secret_len), e);
}

static int
parse_line(struct authfile *f, const struct place *at, struct slice line, struct err *e)
{
	char secret[AUTHFILE_SECRET_MAX];
	int result;

	line = slice_trim(line);
	if (line.n == 0 || line.p[0] == ';')
		return 0;
	if (memchr(line.p, '\0', line.n) != NULL)
		return expected(e, at, "text", "a zero byte");
	result = parse_fields(f, at, line, secret, e);
	explicit_bzero(secret, sizeof(secret));
	return result;
}

struct authfile *
authfile_parse(struct slice text, const char *name, const uint8_t secret[SCRAM_KEY_BYTES],
	       struct err *e)
{
	struct authfile *f = xcalloc(1, sizeof(*f));
	struct place at = { .file = name };

	f->secret = secret;
	while (text.n > 0) {
		at.line++;
		if (parse_line(f, &at, slice_cut(&text, '\n'), e) != 0) {
			authfile_free(f);
			return NULL;
		}
	}
	f->secret = NULL;
	if (f->plain > MANY_PLAIN_ENTRIES)
		log_msg(LOG_LEVEL_WARNING,
			"%s: %zu plain-text passwords make loading slow; SCRAM verifiers "
			"would not",
			name, f->plain);
	return f;
}

HOT const struct authfile_user *
authfile_find(const struct authfile *f, struct slice user)
{
	struct entry *entry;

	if (user.n == 0 || user.n > AUTHFILE_NAME_MAX)
		return NULL;
	entry = find(f, user.p, user.n);
	return entry != NULL ? &entry->user : NULL;
}

HOT const char *
authfile_why_not(const struct authfile_user *u)
{
	static const char *const why[] = {
		[AUTHFILE_SCRAM] = NULL,
		[AUTHFILE_MD5] = "auth_file has an md5 hash for this user, and SCRAM needs a SCRAM "
				 "verifier or plain text",
		[AUTHFILE_NONE] = "auth_file has an empty password for this user",
	};

	return why[u->kind];
}

bool
authfile_is_mostly_md5(const struct authfile *f)
{
	return f->md5 > f->verifiers;
}

void
authfile_walk(const struct authfile *f, void (*visit)(const struct authfile_user *u, void *arg),
	      void *arg)
{
	struct entry *entry, *next;

	HASH_ITER(hh, f->by_name, entry, next)
	{
		visit(&entry->user, arg);
	}
}

size_t
authfile_count(const struct authfile *f)
{
	return HASH_COUNT(f->by_name);
}

void
authfile_free(struct authfile *f)
{
	struct entry *entry, *next;

	if (f == NULL)
		return;
	HASH_ITER(hh, f->by_name, entry, next)
	{
		HASH_DEL(f->by_name, entry);
		entry_free(entry);
	}
	free(f);
}

/* ---- the file ---- */

static int
open_file(const char *path, size_t *size, struct err *e)
{
	/* O_NONBLOCK: opening a named pipe must not wait for its writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int result;

	if (fd < 0)
		return err_set(e, "58030", "could not open auth_file \"%s\": %m", path);
	if (fstat(fd, &st) != 0)
		result = err_set(e, "58030", "could not examine auth_file \"%s\": %m", path);
	else if (!S_ISREG(st.st_mode))
		result = err_set(e, "58030", "auth_file \"%s\" is not a regular file", path);
	else if (st.st_size > (off_t)AUTHFILE_MAX_BYTES)
		result = err_set(e, "54000", "auth_file \"%s\" is larger than 16 MB", path);
	else
		result = 0;
	if (result != 0) {
		close(fd);
		return -1;
	}
	if ((st.st_mode & S_IROTH) != 0)
		log_msg(LOG_LEVEL_WARNING, "auth_file \"%s\" can be read by everybody (mode %03o)",
			path, (unsigned)(st.st_mode & 0777));
	*size = (size_t)st.st_size;
	return fd;
}

/* Read up to `size` bytes; what is appended meanwhile is left for the next reload. */
static ssize_t
read_all(int fd, char *to, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, to + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

struct authfile *
authfile_load(const char *path, const uint8_t secret[SCRAM_KEY_BYTES], struct err *e)
{
	struct authfile *f = NULL;
	size_t size = 0;
	int fd = open_file(path, &size, e);
	ssize_t n;
	char *text;

	if (fd < 0)
		return NULL;
	text = xmalloc(size + 1);
	n = read_all(fd, text, size);
	if (n < 0)
		err_set(e, "58030", "could not read auth_file \"%s\": %m", path);
	else
		f = authfile_parse(slice_of(text, (size_t)n), path, secret, e);
	close(fd);
	explicit_bzero(text, size);
	free(text);
	return f;
}
