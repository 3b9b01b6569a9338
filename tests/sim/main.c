/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c: runs groups of worlds, a seed each. A process of its own runs them;
 * when it ends badly (a check, an assertion, a sanitizer) the seed is run again
 * with traces of both ends, and the next process goes on behind it.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define SECONDS_MAX 300 /* of processor time, for one seed */

struct shared {
	uint64_t seed, done;
};

static struct shared *shared;
static const char *pcap_dir = "sim-traces";
static const char *program;
static bool all;

static int
usage(void)
{
	const struct group *g;

	fprintf(
	    stderr,
	    "usage: sim [-v] [--all] [--seed N] [--seeds N] [--times N]\n"
	    "           [--pcap DIR] [--crypt] GROUP...\n"
	    "  --seed   the first seed (1)\n"
	    "  --seeds  how many, instead of each group's own number\n"
	    "  --times  so many times that number\n"
	    "  --pcap   where traces of a failing seed go (%s)\n"
	    "  --all    go on after three failures, and do not trace\n"
	    "  --crypt  all stacks have tcpcrypt; a sixteenth of the seeds\n"
	    "groups:\n",
	    pcap_dir);
	for (g = sim_groups; g->name != NULL; g++)
		fprintf(stderr, "  %-10s %5u  %s\n", g->name, g->seeds,
			g->text);
	return 2;
}

static double
seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Runs seeds from..to-1 in a process; 0: all went well. */
static int
run_seeds(const struct group *g, uint64_t from, uint64_t to, const char *dir)
{
	struct rlimit limit = { SECONDS_MAX, SECONDS_MAX + 5 };
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0) {
		sim_pcap_dir = dir;
		for (; from < to; from++) {
			shared->seed = from;
			/* the limit is on all the process has used */
			limit.rlim_cur = (rlim_t)seconds(
					     CLOCK_PROCESS_CPUTIME_ID) +
					 SECONDS_MAX;
			limit.rlim_max = RLIM_INFINITY;
			setrlimit(RLIMIT_CPU, &limit);
			g->run(from);
			shared->done++;
		}
		fflush(stdout);
		exit(0);
	}
	if (waitpid(pid, &status, 0) < 0)
		exit(1);
	if (WIFSIGNALED(status))
		printf("sim %s seed %llu: signal %d (%s)\n", g->name,
		       (unsigned long long)shared->seed, WTERMSIG(status),
		       strsignal(WTERMSIG(status)));
	return status;
}

static unsigned int
run_group(const struct group *g, uint64_t seed, uint64_t num)
{
	double begin = seconds(CLOCK_MONOTONIC);
	uint64_t to = seed + num;
	unsigned int failed = 0;

	shared->done = 0;
	while (seed < to && (failed < 3 || all)) {
		if (run_seeds(g, seed, to, NULL) == 0)
			break;
		failed++;
		if (all) {
			seed = shared->seed + 1;
			continue;
		}
		printf(
		    "  again with traces:\n  %s --pcap %s%s --seeds 1 --seed "
		    "%llu %s\n",
		    program, pcap_dir, sim_extend != NULL ? " --crypt" : "",
		    (unsigned long long)shared->seed, g->name);
		seed = shared->seed;
		mkdir(pcap_dir, 0777);
		if (run_seeds(g, seed, seed + 1, pcap_dir) == 0)
			printf("  it went well this time\n");
		seed++;
	}
	printf("%s: %llu of %llu seeds good, %.1f s\n", g->name,
	       (unsigned long long)shared->done, (unsigned long long)num,
	       seconds(CLOCK_MONOTONIC) - begin);
	return failed;
}

static const struct group *
find_group(const char *name)
{
	const struct group *g;

	for (g = sim_groups; g->name != NULL; g++)
		if (strcmp(g->name, name) == 0)
			return g;
	return NULL;
}

int
main(int argc, char **argv)
{
	uint64_t seed = 1, seeds = 0, times = 1, part = 1;
	unsigned int failed = 0, ran = 0;
	const struct group *g;
	int i;

	program = argv[0];
	if (getenv("SIM_SEEDS_TIMES") != NULL)
		times = strtoull(getenv("SIM_SEEDS_TIMES"), NULL, 0);
	/* of each group one seed in so many: for slow builds */
	if (getenv("SIM_SEEDS_PART") != NULL)
		part = strtoull(getenv("SIM_SEEDS_PART"), NULL, 0);
	if (part == 0)
		part = 1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0) {
			sim_verbose = true;
			continue;
		}
		if (strcmp(argv[i], "--all") == 0) {
			all = true;
			continue;
		}
#ifdef SIM_CRYPT
		if (strcmp(argv[i], "--crypt") == 0) {
			sim_extend = sim_encrypt;
			part *= 16;
			continue;
		}
#endif
		if (argv[i][0] == '-' && i + 1 == argc)
			return usage();
		if (strcmp(argv[i], "--seed") == 0) {
			seed = strtoull(argv[++i], NULL, 0);
		} else if (strcmp(argv[i], "--seeds") == 0) {
			seeds = strtoull(argv[++i], NULL, 0);
		} else if (strcmp(argv[i], "--times") == 0) {
			times = strtoull(argv[++i], NULL, 0);
		} else if (strcmp(argv[i], "--pcap") == 0) {
			pcap_dir = argv[++i];
		} else {
			g = find_group(argv[i]);
			if (g == NULL)
				return usage();
			ran++;
			failed += run_group(
			    g, seed,
			    seeds ? seeds
				  : (g->seeds * times + part - 1) / part);
		}
	}
	return ran == 0 ? usage() : failed > 0;
}
