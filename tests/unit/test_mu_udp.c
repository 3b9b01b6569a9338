/* SPDX-License-Identifier: BSD-2-Clause */
/* mu.h: UDP handles. */
#include "test_mu.h"

#include <arpa/inet.h>

static mu_udp_t server, client;
static mu_udp_send_t send_req[8];
static char last[65536];
static ssize_t last_n;
static unsigned int last_flags;
static int datagrams;

static void
on_close(uv_handle_t *h)
{
	assert_int_equal(h->type, UV_UDP);
	note(h == (uv_handle_t *)&server ? 'S' : 'K');
}

static void
on_sent(mu_udp_send_t *req, int status)
{
	(void)req;
	note(status == 0 ? 'w' : status == UV_ECANCELED ? 'c' : '!');
}

/* The server: back to where it came from. */
static void
on_request(mu_udp_t *h, ssize_t n, const uv_buf_t *buf,
	   const struct sockaddr *addr, unsigned int flags)
{
	uv_buf_t b = uv_buf_init(buf->base, (unsigned int)n);

	if (!addr) {
		assert_int_equal(n, 0);
		return;
	}
	assert_int_equal(flags, 0);
	note('r');
	assert_int_equal(mu_udp_try_send(h, &b, 1, addr), n);
}

static void
on_reply(mu_udp_t *h, ssize_t n, const uv_buf_t *buf,
	 const struct sockaddr *addr, unsigned int flags)
{
	(void)flags;
	if (!addr)
		return;
	note('R');
	assert_int_equal(n, 4);
	assert_memory_equal(buf->base, "ping", 4);
	mu_close((uv_handle_t *)h, on_close);
	mu_close((uv_handle_t *)&server, on_close);
}

static void
serve(const char *text, mu_udp_recv_cb cb)
{
	assert_int_equal(mu_udp_init(&loop, &server), 0);
	assert_int_equal(mu_udp_bind(&server, address(text, PORT), 0), 0);
	assert_int_equal(mu_udp_recv_start(&server, any_alloc, cb), 0);
}

static void
datagrams_go_both_ways_over_every_address(void **state)
{
	uv_buf_t b[2] = { buffer("pi"), buffer("ng") };

	(void)state;
	for (size_t i = 0; i < NUM_ADDRESSES; i++) {
		diary[0] = '\0';
		serve(strchr(addresses[i], ':') ? "::" : "0.0.0.0", on_request);
		assert_int_equal(mu_udp_init(&loop, &client), 0);
		assert_int_equal(mu_udp_send(&send_req[0], &client, b, 2,
					     address(addresses[i], PORT),
					     on_sent),
				 0);
		assert_int_equal(
		    mu_udp_recv_start(&client, any_alloc, on_reply), 0);
		assert_string_equal(diary, "");
		run();
		assert_string_equal(diary, "wrRSK");
		assert_int_equal(mu_udp_get_send_queue_size(&client), 0);
	}
}

static void
on_last(mu_udp_t *h, ssize_t n, const uv_buf_t *buf,
	const struct sockaddr *addr, unsigned int flags)
{
	(void)h;
	if (!addr && n == 0 && !(flags & UV_UDP_MMSG_FREE)) {
		note('0');
		return;
	}
	note(flags & UV_UDP_MMSG_FREE ? 'f' : n < 0 ? '!' : 'r');
	last_n = n;
	last_flags = flags;
	if (n > 0)
		memcpy(last, buf->base, (size_t)n);
	datagrams++;
}

static void
turns(int n)
{
	while (n-- > 0)
		uv_run(&loop, UV_RUN_NOWAIT);
}

static void
close_all(void)
{
	mu_close((uv_handle_t *)&server, NULL);
	mu_close((uv_handle_t *)&client, NULL);
	run();
}

static void
two_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char two[2];

	(void)h;
	assert_int_equal(suggested, 65536);
	*buf = uv_buf_init(two, sizeof two);
}

static void
no_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	(void)h;
	(void)suggested;
	*buf = uv_buf_init(NULL, 0);
}

static void
many_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char many[4 * 65536];

	(void)h;
	(void)suggested;
	*buf = uv_buf_init(many, sizeof many);
}

/* What the receiver is told of three datagrams that wait. */
static const struct {
	const char *name;
	unsigned int init_flags;
	uv_alloc_cb alloc;
	const char *told;
	ssize_t n;
	unsigned int flags;
} receivers[] = {
	{ "each in a buffer", 0, any_alloc, "rrr0", 4, 0 },
	{ "cut to the buffer", 0, two_alloc, "rrr0", 2, UV_UDP_PARTIAL },
	{ "no buffer", 0, no_alloc, "!", UV_ENOBUFS, 0 },
	{ "in one buffer", UV_UDP_RECVMMSG, many_alloc, "rrrf0", 0,
	  UV_UDP_MMSG_FREE },
	{ "too small for many", UV_UDP_RECVMMSG, two_alloc, "!", UV_EINVAL, 0 },
};

static void
receiver_is_told(void **state)
{
	uv_buf_t b = buffer("ping");

	(void)state;
	for (size_t i = 0; i < sizeof receivers / sizeof *receivers; i++) {
		diary[0] = '\0';
		assert_int_equal(
		    mu_udp_init_ex(&loop, &server,
				   AF_UNSPEC | receivers[i].init_flags),
		    0);
		assert_int_equal(mu_udp_using_recvmmsg(&server),
				 (receivers[i].init_flags & UV_UDP_RECVMMSG) !=
				     0);
		assert_int_equal(
		    mu_udp_bind(&server, address("127.0.0.1", PORT), 0), 0);
		assert_int_equal(mu_udp_init(&loop, &client), 0);
		for (int k = 0; k < 3; k++)
			assert_int_equal(
			    mu_udp_try_send(&client, &b, 1,
					    address("127.0.0.1", PORT)),
			    4);
		turns(4);
		assert_string_equal(diary, "");
		assert_int_equal(
		    mu_udp_recv_start(&server, receivers[i].alloc, on_last), 0);
		assert_int_equal(
		    mu_udp_recv_start(&server, receivers[i].alloc, on_last),
		    UV_EALREADY);
		while (strlen(diary) == 0)
			uv_run(&loop, UV_RUN_ONCE);
		if (strncmp(diary, receivers[i].told,
			    strlen(receivers[i].told)) != 0 ||
		    last_n != receivers[i].n ||
		    last_flags != receivers[i].flags)
			fail_msg("%s: %s, %zd, %u", receivers[i].name, diary,
				 last_n, last_flags);
		close_all();
	}
}

static void
connected_handle_is_told_of_refusal(void **state)
{
	uv_buf_t b = buffer("ping");
	struct sockaddr_in a;
	int n = sizeof a;

	(void)state;
	assert_int_equal(mu_udp_init(&loop, &server), 0);
	assert_int_equal(mu_udp_init(&loop, &client), 0);
	assert_int_equal(mu_udp_connect(&client, NULL), UV_ENOTCONN);
	assert_int_equal(mu_udp_connect(&client, address("127.0.0.1", PORT)),
			 0);
	assert_int_equal(mu_udp_connect(&client, address("127.0.0.1", PORT)),
			 UV_EISCONN);
	assert_int_equal(mu_udp_getpeername(&client, (struct sockaddr *)&a, &n),
			 0);
	assert_int_equal(ntohs(a.sin_port), PORT);
	assert_int_equal(mu_udp_getsockname(&client, (struct sockaddr *)&a, &n),
			 0);
	assert_int_equal(ntohl(a.sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(
	    mu_udp_try_send(&client, &b, 1, address("127.0.0.1", PORT)),
	    UV_EISCONN);
	assert_int_equal(mu_udp_recv_start(&client, any_alloc, on_last), 0);
	assert_int_equal(mu_udp_try_send(&client, &b, 1, NULL), 4);
	while (!strchr(diary, '!'))
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(last_n, UV_ECONNREFUSED);
	assert_int_equal(mu_udp_connect(&client, NULL), 0);
	assert_int_equal(mu_udp_try_send(&client, &b, 1, NULL),
			 UV_EDESTADDRREQ);
	close_all();
}

/* The last datagram before a close leaves all the same; one that waited for
   room is cancelled. */
static void
what_was_queued_leaves(void **state)
{
	static mu_udp_t again;
	static char big[60000];
	uv_buf_t b = uv_buf_init(big, sizeof big);
	int size = 70000;

	(void)state;
	serve("127.0.0.1", on_last);
	assert_int_equal(mu_udp_init(&loop, &client), 0);
	assert_int_equal(
	    mu_udp_bind(&client, address("127.0.0.1", PORT + 1), 0), 0);
	assert_int_equal(mu_send_buffer_size((uv_handle_t *)&client, &size), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(mu_udp_send(&send_req[i], &client, &b, 1,
					     address("127.0.0.1", PORT),
					     on_sent),
				 0);
	assert_int_equal(mu_udp_get_send_queue_count(&client), 3);
	mu_close((uv_handle_t *)&client, on_close);
	/* Its port is free at once. */
	assert_int_equal(mu_udp_init(&loop, &again), 0);
	assert_int_equal(mu_udp_bind(&again, address("127.0.0.1", PORT + 1), 0),
			 0);
	mu_close((uv_handle_t *)&again, NULL);
	datagrams = 0;
	while (datagrams == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(last_n, 60000);
	mu_close((uv_handle_t *)&server, NULL);
	run();
	assert_int_equal(datagrams, 1);
	assert_non_null(strstr(diary, "wccK"));
}

static void
addresses_are_shared_on_request(void **state)
{
	uv_buf_t b = buffer("ping");

	(void)state;
	assert_int_equal(mu_udp_init(&loop, &server), 0);
	assert_int_equal(
	    mu_udp_bind(&server, address("127.0.0.1", PORT), UV_UDP_REUSEADDR),
	    0);
	assert_int_equal(mu_udp_init(&loop, &client), 0);
	assert_int_equal(mu_udp_bind(&client, address("127.0.0.1", PORT), 0),
			 UV_EADDRINUSE);
	mu_close((uv_handle_t *)&client, NULL);
	run();
	assert_int_equal(mu_udp_init(&loop, &client), 0);
	assert_int_equal(
	    mu_udp_bind(&client, address("127.0.0.1", PORT), UV_UDP_REUSEADDR),
	    0);
	/* The newest receives, and when it is gone the one before. */
	assert_int_equal(mu_udp_recv_start(&client, any_alloc, on_last), 0);
	assert_int_equal(
	    mu_udp_try_send(&server, &b, 1, address("127.0.0.1", PORT)), 4);
	while (!strchr(diary, 'r'))
		uv_run(&loop, UV_RUN_ONCE);
	mu_close((uv_handle_t *)&client, NULL);
	run();
	diary[0] = '\0';
	assert_int_equal(mu_udp_recv_start(&server, any_alloc, on_last), 0);
	assert_int_equal(
	    mu_udp_try_send(&server, &b, 1, address("127.0.0.1", PORT)), 4);
	while (!strchr(diary, 'r'))
		uv_run(&loop, UV_RUN_ONCE);
	mu_close((uv_handle_t *)&server, NULL);
	run();
}

static void
try_send2_sends_several(void **state)
{
	uv_buf_t b[2] = { buffer("ping"), buffer("ping") };
	uv_buf_t *bufs[2] = { &b[0], &b[1] };
	unsigned int nbufs[2] = { 1, 1 };
	struct sockaddr *to[2];

	(void)state;
	serve("127.0.0.1", on_last);
	assert_int_equal(mu_udp_init_ex(&loop, &client, AF_INET), 0);
	to[0] = to[1] = address("127.0.0.1", PORT);
	assert_int_equal(mu_udp_try_send2(&client, 0, bufs, nbufs, to, 0),
			 UV_EINVAL);
	assert_int_equal(mu_udp_try_send2(&client, 2, bufs, nbufs, to, 1),
			 UV_EINVAL);
	assert_int_equal(mu_udp_try_send2(&client, 2, bufs, nbufs, to, 0), 2);
	datagrams = 0;
	while (datagrams < 2)
		uv_run(&loop, UV_RUN_ONCE);
	close_all();
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_close)
	const struct CMUnitTest tests[] = {
		TEST(datagrams_go_both_ways_over_every_address),
		TEST(receiver_is_told),
		TEST(connected_handle_is_told_of_refusal),
		TEST(what_was_queued_leaves),
		TEST(addresses_are_shared_on_request),
		TEST(try_send2_sends_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
