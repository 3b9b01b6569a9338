/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.c: main() for a fuzz target without libFuzzer: runs it once for each
 * file named, or for each file of each directory named.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"

#define FILE_BYTES_MAX (1 << 20)

static unsigned int files;

static int
replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf, *exact;
	size_t n;

	if (f == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	buf = malloc(FILE_BYTES_MAX);
	if (buf == NULL)
		abort();
	n = fread(buf, 1, FILE_BYTES_MAX, f);
	fclose(f);
	/* of exactly its size, so that a sanitizer sees reads past it */
	exact = malloc(n ? n : 1);
	if (exact == NULL)
		abort();
	memcpy(exact, buf, n);
	free(buf);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	files++;
	return 0;
}

static int
replay_dir(const char *path)
{
	char name[4096];
	struct dirent *e;
	int err = 0;
	DIR *d;

	d = opendir(path);
	if (d == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		err |= replay_file(name);
	}
	closedir(d);
	return err;
}

int
main(int argc, char **argv)
{
	struct stat st;
	int i, err = 0;

	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			err |= replay_dir(argv[i]);
		else
			err |= replay_file(argv[i]);
	}
	if (files == 0) {
		fprintf(stderr, "nothing to replay\n");
		return 1;
	}
	printf("%u inputs\n", files);
	return err;
}
