/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_owner: whose packets a core receives.
 *
 *     bench_owner NAMESPACE NAMESPACE
 *
 * On veth and on TAP whoever sends does the receiving of the other side too, on
 * its own core and in its own name. This says, when its standard input ends,
 * for how long each core has received for each of the two namespaces, in a line
 * of JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_owner.h"
#include "bench_owner.skel.h"

static void
die(const char *what)
{
	fprintf(stderr, "bench_owner: %s: %s\n", what, strerror(errno));
	exit(1);
}

static __u32
inum_of(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof path, "/run/netns/%s", name);
	if (stat(path, &st))
		die(path);
	return (__u32)st.st_ino;
}

static void
report(const struct bench_owner_bpf *b, int cpus)
{
	struct bench_owner *of = calloc((size_t)cpus, sizeof *of);
	__u32 zero = 0;

	if (!of || bpf_map__lookup_elem(b->maps.owners, &zero, sizeof zero, of,
					(size_t)cpus * sizeof *of, 0))
		die("counters");
	printf("{\"ns\": [");
	for (int i = 0; i < cpus; i++)
		printf("%s[%llu, %llu]", i ? ", " : "", of[i].ns[0],
		       of[i].ns[1]);
	printf("], \"packets\": [");
	for (int i = 0; i < cpus; i++)
		printf("%s%llu", i ? ", " : "", of[i].packets);
	printf("]}\n");
	free(of);
}

int
main(int argc, char **argv)
{
	struct bench_owner_bpf *b = bench_owner_bpf__open();
	char byte;

	if (argc != 1 + BENCH_OWNERS) {
		fprintf(stderr, "usage: bench_owner NAMESPACE NAMESPACE\n");
		return 2;
	}
	if (!b)
		die("open");
	for (int i = 0; i < BENCH_OWNERS; i++)
		b->rodata->namespaces[i] = inum_of(argv[1 + i]);
	if (bench_owner_bpf__load(b) || bench_owner_bpf__attach(b))
		die("the kernel does not let its functions be traced");
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	report(b, libbpf_num_possible_cpus());
	bench_owner_bpf__destroy(b);
	return 0;
}
