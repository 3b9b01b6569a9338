/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_test.c: the kernel's switch as its users see it, good ones and others,
 * without a library: TAP on stdout, and exit status 0 if all is well.
 *
 *   kernel-test [-l] [-t SECONDS] [-s SEED] [-x] [TEXT]
 *
 * -l lists the cases. -t: so long runs each hostile case. -s: of what is
 * random; printed at the start. -x stops at the first failure. TEXT: only
 * cases whose name contains it.
 */
#include <stdlib.h>
#include <time.h>

#include "kt.h"

#define SKIPPED 77
#define CASE_S 600 /* a case that takes longer hangs */

static const struct kt_case *const suites[] = {
	kt_cases_commands, kt_cases_maps,    kt_cases_names,
	kt_cases_frames,   kt_cases_rules,   kt_cases_life,
	kt_cases_admin,	   kt_cases_hostile, os_cases,
};

static const struct kt_case *cases[256];
static unsigned int num_cases;
static bool world;

static void
collect(const char *text)
{
	const struct kt_case *c;
	unsigned int i;

	for (i = 0; i < KT_COUNT(suites); i++)
		for (c = suites[i]; c->name != NULL; c++)
			if (text == NULL || strstr(c->name, text) != NULL)
				cases[num_cases++] = c;
}

/* ---- one case -------------------------------------------------------------------- */

static volatile sig_atomic_t hung;

static void
on_alarm(int sig)
{
	hung = 1;
}

/* The child and all that it forked are one process group. */
static int
wait_for(pid_t pid)
{
	int status;

	hung = 0;
	alarm(CASE_S + kt_seconds * 4);
	while (waitpid(pid, &status, 0) != pid)
		if (hung)
			kill(-pid, SIGKILL);
	alarm(0);
	(void)kill(-pid, SIGKILL);
	if (hung)
		printf("# hung\n");
	else if (WIFSIGNALED(status))
		printf("# ended by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) && !hung ? WEXITSTATUS(status) : 1;
}

/* What a case leaves is its failure. Those it forked die a moment later. */
static bool
is_clean(void)
{
	uint64_t until = kt_now_ms() + KT_WAIT_MS;

	while (kt_num_ports() != 0 || kt_num_tuples() != 0) {
		if (kt_now_ms() > until) {
			printf("# left behind: %u ports, %llu tuples\n",
			       (unsigned int)kt_num_ports(),
			       (unsigned long long)kt_num_tuples());
			return false;
		}
		kt_nap_us(5000);
	}
	return true;
}

static int
run(const struct kt_case *c)
{
	int status;
	pid_t pid;

	if (!world) {
		os_world_create();
		CHECK_EQ(kt_attach(os_nic(OS_NEAR), ""), 0);
		world = true;
	}
	os_log(c->name);
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		setpgid(0, 0);
		c->run();
		fflush(stdout);
		_exit(0);
	}
	status = wait_for(pid);
	if (!is_clean())
		status = 1;
	if (c->ruins || (status != 0 && status != SKIPPED)) {
		os_world_destroy();
		world = false;
	}
	return status;
}

/* ---- all of them ------------------------------------------------------------------- */

static int
run_all(bool first_only)
{
	unsigned int i, failed = 0;

	printf("1..%u\n# seed %llu\n", num_cases, (unsigned long long)kt_seed);
	for (i = 0; i < num_cases; i++) {
		uint64_t begin = kt_now_ms();
		int status = run(cases[i]);

		printf("%s %u - %s%s # %llu ms\n",
		       status == 0 || status == SKIPPED ? "ok" : "not ok",
		       i + 1, cases[i]->name,
		       status == SKIPPED ? " # SKIP" : "",
		       (unsigned long long)(kt_now_ms() - begin));
		fflush(stdout);
		failed += status != 0 && status != SKIPPED;
		if (failed && first_only)
			break;
	}
	if (world)
		os_world_destroy();
	os_log("end");
	printf("# %u failed of %u\n", failed, num_cases);
	return failed ? 1 : 0;
}

static int
usage(const char *program)
{
	fprintf(stderr, "usage: %s [-l] [-t SECONDS] [-s SEED] [-x] [TEXT]\n",
		program);
	return 2;
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	bool only_list = false, first_only = false;
	const char *why;
	unsigned int i;
	int c;

	kt_seed = (uint64_t)time(NULL);
	while ((c = getopt(argc, argv, "lt:s:x")) != -1) {
		if (c == 'l')
			only_list = true;
		else if (c == 't')
			kt_seconds = (unsigned int)strtoul(optarg, NULL, 0);
		else if (c == 's')
			kt_seed = strtoull(optarg, NULL, 0);
		else if (c == 'x')
			first_only = true;
		else
			return usage(argv[0]);
	}
	if (argc - optind > 1)
		return usage(argv[0]);
	collect(argv[optind]);
	if (only_list) {
		for (i = 0; i < num_cases; i++)
			puts(cases[i]->name);
		return 0;
	}
	kt_seed |= 1;
	why = os_unable();
	if (why != NULL) {
		printf("1..0 # SKIP %s\n", why);
		return SKIPPED;
	}
	sigaction(SIGALRM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	return run_all(first_only);
}
