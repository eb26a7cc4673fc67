/* SPDX-License-Identifier: PostgreSQL */
#include <config.h> /* the build's: "config.h" would be the one beside this file */

#include "proxy/config/fleetfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/fleetkey.h"

/* Returns the descriptor, or -1 and *e. */
static int
open_file(const char *path, struct err *e)
{
	/* O_NONBLOCK: opening a named pipe must not wait for its writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return err_set(e, "58030", "could not open fleet_key_file \"%s\": %s", path,
			       strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO) == 0)
		return fd;
	close(fd);
	err_set(e, "58030", "fleet_key_file \"%s\" is no regular file, or others may use it", path);
	err_hint(e, "chmod o= takes it from them.");
	return -1;
}

struct fleet_keys *
fleetfile_load(const char *path, struct err *e)
{
	struct fleet_keys *keys = NULL;
	int fd = open_file(path, e);
	char text[FLEET_FILE_MAX];
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, text, sizeof(text));
	if (n < 0)
		err_set(e, "58030", "could not read fleet_key_file \"%s\": %s", path,
			strerror(errno));
	else if (n == sizeof(text))
		err_set(e, "54000", "fleet_key_file \"%s\" is longer than %d bytes", path,
			FLEET_FILE_MAX - 1);
	else
		keys = fleetkey_parse(slice_of(text, (size_t)n), path, e);
	explicit_bzero(text, sizeof(text));
	close(fd);
	return keys;
}
