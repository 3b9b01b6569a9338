/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_errors.c: a host's errors: in words, and when memory or descriptors run
 * out.
 */
#include "host_util.h"

/* ---- attach and detach ---------------------------------------------- */

static void
attach_errors_name_thing_and_remedy(void **state)
{
	static const struct {
		struct ms_cmd_attach arg;
		int err;
		const char *words[3];
	} cases[] = {
		{ { .nic = "nosuch0" }, -ENODEV, { "nosuch0", "lo" } },
		{ { .nic = "nosuch0", .kind = "xdp" },
		  -ENODEV,
		  { "nosuch0", "lo" } },
		{ { .nic = "lo", .kind = "magic" },
		  -EINVAL,
		  { "magic", "xdp", "tap" } },
		{ { .nic = "pair0", .kind = "pair" },
		  -EEXIST,
		  { "pair0", "already", "detach" } },
		{ { .nic = "" }, -EINVAL, { "name" } },
		{ { .nic = "x", .vlan = 4095 }, -EINVAL, { "4095", "4094" } },
		{ { .nic = "x", .flags = 1u << 31 }, -EINVAL, { "flags" } },
		{ { .nic = "0123456789abcdef" }, -EINVAL, { "too long" } },
	};
	struct world *w = *state;
	struct ms_err err;
	unsigned int i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err.text[0] = '\0';
		assert_int_equal(ms_host_attach(w->a.host, &cases[i].arg, &err),
				 cases[i].err);
		for (j = 0; j < 3 && cases[i].words[j] != NULL; j++)
			if (strstr(err.text, cases[i].words[j]) == NULL)
				fail_msg("'%s' does not say '%s'", err.text,
					 cases[i].words[j]);
	}
}

static void
attaching_needs_the_administrator(void **state)
{
	struct ms_cmd_attach arg = pair_arg(0);
	struct world *w = *state;
	struct ms_port *none = NULL;
	struct ms_err err = { "" };

	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 -EPERM);
	assert_non_null(strstr(err.text, "CAP_NET_ADMIN"));
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_ATTACH, &arg, sizeof(arg), &err),
			 -EPERM);
	arg.size = 3;
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_ATTACH, &arg, sizeof(arg), &err),
			 -EINVAL);
	arg.size = sizeof(arg);
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 -EBUSY);
	assert_non_null(strstr(err.text, "force"));
	arg.flags = MS_ATTACH_FORCE;
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 0);
	assert_int_equal(MS_USER_READ(w->a.port->tx[0].shared->gone),
			 MS_GONE_NIC);
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_DETACH, &arg, sizeof(arg), &err),
			 -ENODEV);
	arg.flags = 0;
	assert_int_equal(ms_host_ctl(w->a.host, &root_cred, &none,
				     MS_CMD_ATTACH, &arg, sizeof(arg), &err),
			 0);
}

/* ---- errors of commands in words ------------------------------------ */

static void
expect_words(struct ms_err *err, const char *a, const char *b)
{
	if (strstr(err->text, a) == NULL || strstr(err->text, b) == NULL)
		fail_msg("'%s' does not say '%s' and '%s'", err->text, a, b);
	err->text[0] = '\0';
}

static void
command_errors_name_thing_and_remedy(void **state)
{
	struct ms_cmd_port_create create = { .size = sizeof(create) };
	struct ms_cmd_stats stats = { .size = sizeof(stats), .port_id = 999 };
	struct ms_cmd_bind raw = { .size = sizeof(raw),
				   .tuple = tuple_of("10.0.0.1", 253, 0) };
	struct world *w = *state;
	struct ms_port *none = NULL, *other;
	struct ms_err err = { "" };

	snprintf(create.nic, sizeof(create.nic), "pair0");
	snprintf(create.label, sizeof(create.label), "other");
	other = NULL;
	assert_int_equal(ms_host_ctl(w->a.host, &other_cred, &other,
				     MS_CMD_PORT_CREATE, &create,
				     sizeof(create), &err),
			 0);
	assert_int_equal(
	    try_bind(&w->a, other, &other_cred, "10.0.0.1", 8000, &err), 0);
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 8000, &err),
	    -EADDRINUSE);
	expect_words(&err, "UDP 10.0.0.1:8000", "('other') of process 3");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 7000, &err),
	    -EADDRINUSE);
	expect_words(&err, "UDP 10.0.0.1:7000", "already");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 53, &err),
	    -EACCES);
	expect_words(&err, "CAP_NET_BIND_SERVICE",
		     "ip_unprivileged_port_start=53");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "224.0.0.1", 5353, &err),
	    -EINVAL);
	expect_words(&err, "224.0.0.1", "unicast");
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "192.0.2.1", 5353, &err),
	    -EADDRNOTAVAIL);
	expect_words(&err, "192.0.2.1", "there are: ");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &w->a.port,
				     MS_CMD_BIND, &raw, sizeof(raw), &err),
			 -EPERM);
	expect_words(&err, "protocol 253", "CAP_NET_RAW");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &w->a.port,
				     MS_CMD_UNBIND, &raw, sizeof(raw), &err),
			 -ENOENT);
	expect_words(&err, "protocol 253", "nobody");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none, MS_CMD_BIND,
				     &raw, sizeof(raw), &err),
			 -ENOTCONN);
	expect_words(&err, "port", "create");
	snprintf(create.nic, sizeof(create.nic), "eth77");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_PORT_CREATE, &create,
				     sizeof(create), &err),
			 -ENODEV);
	expect_words(&err, "eth77", "pair0");
	create.slots = 1u << 20;
	snprintf(create.nic, sizeof(create.nic), "pair0");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none,
				     MS_CMD_PORT_CREATE, &create,
				     sizeof(create), &err),
			 -E2BIG);
	expect_words(&err, "65536 slots", "too large");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none, MS_CMD_STATS,
				     &stats, sizeof(stats), &err),
			 -ENOENT);
	expect_words(&err, "999", "status");
	assert_int_equal(ms_host_ctl(w->a.host, &user_cred, &none, 77, &stats,
				     sizeof(stats), &err),
			 -EOPNOTSUPP);
	expect_words(&err, "77", "no such command");
	ms_port_destroy(other);
}

/* ---- memory and descriptors that run out ---------------------------- */

/* A whole life; 0, or how far it came is undone. */
static int
whole_life(void)
{
	struct ms_host_options opt = { .flags = MS_HOST_NO_THREADS };
	struct ms_cmd_attach arg = pair_arg(0);
	struct ms_cmd_port_create create = { .size = sizeof(create),
					     .tx_rings = 2,
					     .slots = 8,
					     .nic = "pair0" };
	struct ms_cmd_bind bind = { .size = sizeof(bind),
				    .tuple = tuple_of("10.0.0.1", UDP, 7000) };
	struct ms_port *port = NULL;
	struct ms_host *host = NULL;
	struct ms_err err = { "" };
	bool watched = false;
	int r;

	r = ms_host_create(&opt, &host, &err);
	if (r == 0)
		r = ms_host_attach(host, &arg, &err);
	if (r == 0)
		r = ms_host_ctl(host, &user_cred, &port, MS_CMD_PORT_CREATE,
				&create, sizeof(create), &err);
	if (r == 0) {
		r = ms_host_port_watch(host, port);
		watched = r == 0;
	}
	if (r == 0)
		r = ms_host_ctl(host, &user_cred, &port, MS_CMD_BIND, &bind,
				sizeof(bind), &err);
	if (watched)
		ms_host_port_unwatch(host, port);
	ms_port_destroy(port);
	ms_host_destroy(host);
	return r;
}

static unsigned int
open_descriptors(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
every_allocation_can_fail(void **state)
{
	unsigned int before = open_descriptors(), n;
	int r;

	(void)state;
	for (n = 1; n < 1000; n++) {
		ms_os_fail_after(n, n % 2 == 0);
		r = whole_life();
		ms_os_fail_after(0, false);
		assert_int_equal(open_descriptors(), before);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
	}
	assert_in_range(n, 10, 999);
}

static void
every_descriptor_can_be_missing(void **state)
{
	unsigned int before = open_descriptors(), n;
	struct rlimit old, tight;
	int r = -1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (n = 0; n < 100 && r != 0; n++) {
		tight = old;
		tight.rlim_cur = before + n;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		r = whole_life();
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(open_descriptors(), before);
		assert_true(r == 0 || r == -EMFILE || r == -ENOMEM);
	}
	assert_in_range(n, 5, 99);
}

int
main(void)
{
#define THREADS(f) cmocka_unit_test_setup_teardown(f, setup_threads, teardown)
#define STEPPED(f) cmocka_unit_test_setup_teardown(f, setup_stepped, teardown)
	const struct CMUnitTest tests[] = {
		STEPPED(attach_errors_name_thing_and_remedy),
		THREADS(attaching_needs_the_administrator),
		STEPPED(command_errors_name_thing_and_remedy),
		cmocka_unit_test(every_allocation_can_fail),
		cmocka_unit_test(every_descriptor_can_be_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
