/* SPDX-License-Identifier: BSD-2-Clause */
/* test_daemon_limits.c: multistackd's limits and privileges. */
#include "daemon_util.h"

/* ---- limits ------------------------------------------------------------------------ */

static void
test_out_of_descriptors_is_an_error_and_passes(void **state)
{
	msport_t *p[64] = { NULL };
	msport_error_t err = { 0 };
	int n = 0, bound = 0, r;

	(void)daemon_end(SIGTERM);
	daemon_start_with(NULL, 128);
	for (; n < 2; n++) {
		p[n] = must_open(device, NULL);
		must_bind(p[n], ADDR, (uint16_t)(1000 * (n + 1)));
	}
	while ((r = msport_open(&p[n], device, NULL, &err)) == 0)
		assert_true(++n < 64);
	for (uint16_t i = 1; i < 32 && bound == 0; i++)
		bound = try_bind(p[0], ADDR, (uint16_t)(1000 + i));
	assert_int_equal(bound, -ENFILE);
	assert_true(r == -ENFILE || r == -EMFILE || r == -EDQUOT);
	assert_non_null(strstr(err.text, "descriptors"));
	assert_true(n > 2);
	must_pass(p[0], 1000, p[1], 2000);
	msport_close(p[--n]);
	wait_for_ports((unsigned int)n);
	p[n] = must_open(device, NULL);
	for (int i = 0; i <= n; i++)
		msport_close(p[i]);
}

static void
test_a_flood_of_connections_ends(void **state)
{
	int s[300];
	msport_t *p;

	(void)daemon_end(SIGTERM);
	daemon_start_with(NULL, 128);
	p = must_open(device, NULL);
	must_bind(p, ADDR, 1000);
	must_bind(p, ADDR, 1001);
	for (int i = 0; i < 300; i++)
		s[i] = raw_connect();
	must_pass(p, 1000, p, 1001);
	for (int i = 0; i < 300; i++)
		close(s[i]);
	for (int i = 0; i < 2000; i++) {
		msport_t *c;

		if (msport_control(&c, device, NULL) == 0) {
			struct ms_cmd_info info = { .size = sizeof info };
			int r = msport_command(c, MS_CMD_INFO, &info);

			msport_close(c);
			if (r == 0)
				break;
		}
		nap_us(5000);
	}
	assert_int_equal(ports_now(), 1);
	msport_close(p);
}

/* As user nobody, in a child; `run` returns its exit status. */
static int
as_nobody(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(setresgid(NOBODY, NOBODY, NOBODY) ||
			      setresuid(NOBODY, NOBODY, NOBODY)
			  ? 99
			  : run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int
open_three(void)
{
	msport_error_t err;
	msport_t *p;

	for (int i = 0; i < 2; i++)
		if (msport_open(&p, device, NULL, &err))
			return 1;
	if (msport_open(&p, device, NULL, &err) != -EDQUOT)
		return 2;
	return strstr(err.text, "--max-ports") ? 0 : 3;
}

static int
open_large(void)
{
	static const msport_options_t opt = { .slots = 16384,
					      .buf_bytes = 65536 };
	msport_error_t err;
	msport_t *p;

	if (msport_open(&p, device, &opt, &err) != -EDQUOT)
		return 1;
	return strstr(err.text, "--max-memory") ? 0 : 2;
}

static int
bind_low_and_attach(void)
{
	struct ms_cmd_attach a = { .size = sizeof a,
				   .nic = "p9",
				   .kind = "pair" };
	msport_t *p;

	if (msport_open(&p, device, NULL, NULL))
		return 1;
	if (msport_command(p, MS_CMD_ATTACH, &a) != -EPERM)
		return 2;
	return strstr(msport_error(p), "CAP_NET_ADMIN") ? 0 : 3;
}

static void
test_a_user_has_limits_and_no_privileges(void **state)
{
	static const char *const args[] = { "--max-ports", "2", "--max-memory",
					    "64", NULL };

	if (geteuid() != 0) {
		print_message("skipped: takes root to become another user\n");
		skip();
	}
	(void)daemon_end(SIGTERM);
	daemon_start_with(args, 0);
	assert_int_equal(as_nobody(open_three), 0);
	wait_for_ports(0);
	assert_int_equal(as_nobody(open_large), 0);
	assert_int_equal(as_nobody(bind_low_and_attach), 0);
}

/* ---- privileges ---------------------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__)
#define SANITIZER_THREAD true /* it has one of its own, with all it likes */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZER_THREAD true
#endif
#endif
#ifndef SANITIZER_THREAD
#define SANITIZER_THREAD false
#endif

/* The capabilities that each thread of the daemon may use, or'ed. */
static unsigned long long
caps_of_threads(const char *field, bool first_only)
{
	char name[320], line[256];
	unsigned long long all = 0, caps;
	struct dirent *de;
	DIR *dir_;

	snprintf(name, sizeof name, "/proc/%d/task", (int)d.pid);
	dir_ = opendir(name);
	assert_non_null(dir_);
	while ((de = readdir(dir_))) {
		FILE *f;

		if (*de->d_name == '.' ||
		    (atoi(de->d_name) == (int)d.pid) != first_only)
			continue;
		snprintf(name, sizeof name, "/proc/%d/task/%s/status",
			 (int)d.pid, de->d_name);
		f = fopen(name, "r");
		assert_non_null(f);
		while (fgets(line, sizeof line, f))
			if (!strncmp(line, field, strlen(field)) &&
			    sscanf(line + strlen(field), ": %llx", &caps) == 1)
				all |= caps;
		fclose(f);
	}
	closedir(dir_);
	return all;
}

/* The daemon itself could not see any more that root is root here. */
static void
test_an_administrator_is_known_after_the_drop(void **state)
{
	static const char *const nobody[] = { "--user", "nobody", NULL };
	struct ms_cmd_attach a = { .size = sizeof a,
				   .nic = "p9",
				   .kind = "pair" };
	msport_error_t err;
	msport_t *c;

	if (geteuid() != 0) {
		print_message("skipped: takes root\n");
		skip();
	}
	(void)daemon_end(SIGTERM);
	daemon_start_with(nobody, 0);
	assert_int_equal(msport_control(&c, device, &err), 0);
	if (msport_command(c, MS_CMD_ATTACH, &a))
		fail_msg("%s", msport_error(c));
	assert_int_equal(msport_command(c, MS_CMD_ATTACH, &a), -EEXIST);
	assert_int_equal(msport_command(c, MS_CMD_DETACH, &a), 0);
	assert_int_equal(msport_command(c, MS_CMD_DETACH, &a), -ENODEV);
	msport_close(c);
}

static void
test_privileges_are_dropped(void **state)
{
	static const char *const args[] = { "--no-attach", NULL };
	static const char *const nobody[] = { "--no-attach", "--user", "nobody",
					      NULL };
	const unsigned long long serve = 1ull << 10 /* NET_BIND_SERVICE */ |
					 1ull << 13 /* NET_RAW */;
	const unsigned long long attach = 1ull << 12 /* NET_ADMIN */ |
					  1ull << 38 /* PERFMON */ |
					  1ull << 39 /* BPF */;

	if (geteuid() != 0 || SANITIZER_THREAD) {
		print_message("skipped: takes root, and no thread sanitizer\n");
		skip();
	}
	assert_int_equal(caps_of_threads("CapPrm", true) & ~(serve | attach),
			 0);
	(void)daemon_end(SIGTERM);
	daemon_start_with(args, 0);
	assert_int_equal(caps_of_threads("CapPrm", true) & ~serve, 0);
	assert_int_equal(caps_of_threads("CapEff", true) & ~serve, 0);
	assert_int_equal(caps_of_threads("CapPrm", false) & ~serve, 0);
	(void)daemon_end(SIGTERM);
	daemon_start_with(nobody, 0);
	assert_int_equal(caps_of_threads("CapPrm", true) & ~serve, 0);
	assert_int_equal(caps_of_threads("CapPrm", false) & ~serve, 0);
	assert_int_equal(caps_of_threads("Uid", true), 0x65534);
	assert_int_equal(ports_now(), 0);
}

#define WITH(t, end) cmocka_unit_test_setup_teardown(t, setup, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_out_of_descriptors_is_an_error_and_passes, teardown),
		WITH(test_a_flood_of_connections_ends, teardown),
		WITH(test_a_user_has_limits_and_no_privileges, teardown),
		WITH(test_an_administrator_is_known_after_the_drop, teardown),
		WITH(test_privileges_are_dropped, teardown),
	};

	return cmocka_run_group_tests_name("daemon_limits", tests, group_setup,
					   group_teardown);
}
