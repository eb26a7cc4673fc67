/* SPDX-License-Identifier: PostgreSQL */
#include "config.h"

#include "migration/move/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "migration/kind.h"

#define SQLSTATE_UNDEFINED_FILE   "58P01"
#define SQLSTATE_EXTERNAL_FAILURE "38000"
#define TICK_MS                   100
#define OUTPUT_CAP                ((size_t)256 << 20)
#define ERRORS_CAP                ((size_t)1 << 20)
#define ERRORS_SHOWN              1500

extern char **environ;

/* ---- where they are ---- */

static char *
runnable(const char *dir, const char *program)
{
	char *path = xasprintf("%s/%s", dir, program);

	if (access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static int
major_of(const char *path)
{
	const char *at = strstr(path, "postgresql/");

	return at != NULL ? atoi(at + strlen("postgresql/")) : 0;
}

static char *
newest_packaged(const char *program)
{
	char *pattern = xasprintf("/usr/lib/postgresql/*/bin/%s", program);
	const char *best = NULL;
	glob_t g;
	char *path;

	if (glob(pattern, 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++) {
			if (best == NULL || major_of(g.gl_pathv[i]) > major_of(best))
				best = g.gl_pathv[i];
		}
	}
	path = best != NULL ? xstrdup(best) : NULL;
	globfree(&g);
	free(pattern);
	return path;
}

char *
tool_find(const char *dir, const char *program, struct err *e)
{
	char *path, *dirs, *rest;

	if (*dir != '\0') {
		path = runnable(dir, program);
		if (path == NULL)
			err_set(e, SQLSTATE_UNDEFINED_FILE, "there is no %s in \"%s\"", program,
				dir);
		return path;
	}
	path = newest_packaged(program);
	dirs = rest = xstrdup(getenv("PATH") != NULL ? getenv("PATH") : "");
	while (path == NULL && (dir = strsep(&rest, ":")) != NULL)
		path = *dir != '\0' ? runnable(dir, program) : NULL;
	free(dirs);
	if (path == NULL) {
		err_set(e, SQLSTATE_UNDEFINED_FILE, "%s is not installed here", program);
		err_hint(e, "Install PostgreSQL's client programs, or set migration_bindir.");
	}
	return path;
}

char *
tool_of_job(struct job *j, const char *program, struct err *e)
{
	const struct site *site = job_site(j);
	struct site_settings settings = { 0 };

	site->ops->settings(site->arg, &settings);
	return tool_find(settings.bindir, program, e);
}

/* ---- their environment ---- */

void
tool_environment_free(char **env)
{
	for (size_t i = 0; env != NULL && env[i] != NULL; i++)
		free(env[i]);
	free(env);
}

char **
tool_environment(const char *conninfo, struct err *e)
{
	char *why = NULL, **env;
	PQconninfoOption *o = conninfo != NULL ? PQconninfoParse(conninfo, &why) : NULL;
	size_t n = 0, max = 64;

	if (conninfo != NULL && o == NULL) {
		err_set(e, SQLSTATE_EXTERNAL_FAILURE, "%s", why != NULL ? why : "out of memory");
		PQfreemem(why);
		return NULL;
	}
	for (char **v = environ; *v != NULL; v++)
		max++;
	env = xcalloc(max + 64, sizeof(*env));
	for (char **v = environ; *v != NULL; v++) {
		if (strncmp(*v, "PG", 2) != 0) /* libpq's own */
			env[n++] = xstrdup(*v);
	}
	for (PQconninfoOption *x = o; x != NULL && x->keyword != NULL && n < max + 62; x++) {
		if (x->val != NULL && x->envvar != NULL && strcmp(x->keyword, "options") != 0)
			env[n++] = xasprintf("%s=%s", x->envvar, x->val);
	}
	env[n] = xstrdup("PGOPTIONS=-c meridian.internal=on -c default_transaction_read_only=off"
			 " -c statement_timeout=0");
	PQconninfoFree(o);
	return env;
}

/* ---- running ---- */

struct child {
	pid_t pid;
	int out, err; /* our ends; -1 closed */
	struct buf errors;
};

static int
make_pipes(int out[2], int err[2])
{
	if (pipe2(out, O_CLOEXEC) != 0)
		return -1;
	if (pipe2(err, O_CLOEXEC) == 0)
		return 0;
	close(out[0]);
	close(out[1]);
	return -1;
}

static int
child_start(struct child *k, const char *const *argv, char **env, struct err *e)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int out[2], err[2], rc;

	if (make_pipes(out, err) != 0)
		return err_set(e, SQLSTATE_EXTERNAL_FAILURE, "pipe: %s", strerror(errno));
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, err[1], STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* Its type lacks the const that it keeps. */
	rc =
	    posix_spawn(&k->pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv, env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	close(out[1]);
	close(err[1]);
	k->out = out[0];
	k->err = err[0];
	if (rc == 0)
		return 0;
	close(k->out);
	close(k->err);
	return err_set(e, SQLSTATE_EXTERNAL_FAILURE, "%s: %s", argv[0], strerror(rc));
}

/* What is there to read; closed at its end. */
static void
slurp(int *fd, struct buf *to)
{
	char bytes[8192];
	ssize_t n = read(*fd, bytes, sizeof(bytes));

	if (n > 0 && to != NULL)
		buf_put(to, bytes, (size_t)n);
	if (n > 0 || (n < 0 && errno == EINTR))
		return;
	close(*fd);
	*fd = -1;
}

static int
child_read(struct job *j, struct child *k, struct buf *out, struct err *e)
{
	while (k->out >= 0 || k->err >= 0) {
		struct pollfd p[2] = { { .fd = k->out, .events = POLLIN },
				       { .fd = k->err, .events = POLLIN } };

		poll(p, 2, TICK_MS);
		if (p[0].fd >= 0 && p[0].revents != 0)
			slurp(&k->out, out);
		if (p[1].fd >= 0 && p[1].revents != 0)
			slurp(&k->err, &k->errors);
		if (job_check_stop(j, e) != 0)
			return -1;
	}
	return 0;
}

static int
child_end(struct child *k, bool is_stopped, const char *program, struct err *e)
{
	const char *said = buf_text(&k->errors);
	int status = 0;

	if (is_stopped)
		kill(k->pid, SIGTERM);
	if (k->out >= 0)
		close(k->out);
	if (k->err >= 0)
		close(k->err);
	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (is_stopped)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	err_set(e, SQLSTATE_EXTERNAL_FAILURE, "%s failed", program);
	err_detail(e, "%s", k->errors.n > ERRORS_SHOWN ? said + k->errors.n - ERRORS_SHOWN : said);
	return -1;
}

int
tool_run(struct job *j, const char *const *argv, const char *conninfo, struct buf *out,
	 struct err *e)
{
	struct child k = { .errors = { .cap = ERRORS_CAP } };
	char **env = tool_environment(conninfo, e);
	int rc;

	if (env == NULL)
		return -1;
	if (out != NULL && out->cap == 0)
		out->cap = OUTPUT_CAP;
	rc = child_start(&k, argv, env, e);
	tool_environment_free(env);
	if (rc == 0) {
		bool is_stopped = child_read(j, &k, out, e) != 0;
		const char *slash = strrchr(argv[0], '/');

		rc = child_end(&k, is_stopped, slash != NULL ? slash + 1 : argv[0], e);
	}
	buf_fini(&k.errors);
	if (rc == 0 && out != NULL && out->failed)
		rc = err_set(e, SQLSTATE_EXTERNAL_FAILURE, "the schema is too large");
	return rc;
}
