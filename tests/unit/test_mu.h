/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mu.h: a loop with a stack on a wire in memory, of which nobody has the
 * other end: peers are of the same stack, over a loopback address or over its
 * own through the switch.
 *
 * Callbacks write a letter each into a diary, which a test compares.
 */
#ifndef TEST_MU_H
#define TEST_MU_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <multistack/mu.h>

#define PORT 7000
#define PATIENCE_MS 60000

static uv_loop_t loop;
static uv_timer_t patience;
static char diary[256];

static const char *const addresses[] = {
	"127.0.0.1",
	"::1",
	"10.0.0.1",
	"fd00::1",
};
#define NUM_LOOPBACKS 2 /* the first */
#define NUM_ADDRESSES (sizeof addresses / sizeof *addresses)

static inline void
note(char c)
{
	size_t n = strlen(diary);

	assert_true(n + 1 < sizeof diary);
	diary[n] = c;
	diary[n + 1] = '\0';
}

static void
out_of_patience(uv_timer_t *t)
{
	/* Not fail(): the teardown would wait in the same way. */
	fprintf(stderr, "%s: still running: %s\n", (const char *)t->data,
		diary);
	abort();
}

static int
loop_open(void **state)
{
	static unsigned int number;
	msport_error_t err = { 0 };
	static char device[128];

	(void)state;
	diary[0] = '\0';
	assert_int_equal(uv_loop_init(&loop), 0);
	snprintf(device, sizeof device,
		 "pair:p%u,link=mu%u,addr=10.0.0.1+fd00::1", number, number);
	number++;
	if (mu_stack_open(&loop, device, NULL, &err))
		fail_msg("%s: %s", device, err.text);
	assert_int_equal(uv_timer_init(&loop, &patience), 0);
	patience.data = device;
	assert_int_equal(
	    uv_timer_start(&patience, out_of_patience, PATIENCE_MS, 0), 0);
	uv_unref((uv_handle_t *)&patience);
	return 0;
}

static void
close_one(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		mu_close(h, NULL);
}

/* A test that failed has left handles. */
static int
loop_close(void **state)
{
	(void)state;
	uv_walk(&loop, close_one, NULL);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(mu_loop_close(&loop), 0);
	return 0;
}

static inline struct sockaddr *
address(const char *text, int port)
{
	static struct sockaddr_storage s;

	if (strchr(text, ':'))
		assert_int_equal(
		    uv_ip6_addr(text, port, (struct sockaddr_in6 *)&s), 0);
	else
		assert_int_equal(
		    uv_ip4_addr(text, port, (struct sockaddr_in *)&s), 0);
	return (struct sockaddr *)&s;
}

static inline void
any_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char slab[65536];

	(void)h;
	(void)suggested;
	*buf = uv_buf_init(slab, sizeof slab);
}

static inline uv_buf_t
buffer(const char *text)
{
	return uv_buf_init((char *)(uintptr_t)text, (unsigned int)strlen(text));
}

static inline void
run(void)
{
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

#endif /* TEST_MU_H */
