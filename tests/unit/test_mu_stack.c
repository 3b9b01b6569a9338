/* SPDX-License-Identifier: BSD-2-Clause */
/* mu.h: stacks and loops, what is not a network's handle, misuse. */
#include "test_mu.h"

#include <pthread.h>

static mu_tcp_t tcp;
static mu_udp_t udp;

/* ---- stacks -------------------------------------------------------------- */

static void
nothing_works_without_a_stack(void **state)
{
	uv_loop_t bare;
	mu_options_t o = { 0 };

	(void)state;
	assert_int_equal(uv_loop_init(&bare), 0);
	assert_int_equal(mu_tcp_init(&bare, &tcp), UV_ENODEV);
	assert_int_equal(mu_udp_init(&bare, &udp), UV_ENODEV);
	assert_null(mu_stack_link(&bare));
	assert_int_equal(mu_stack_close(&bare), UV_EINVAL);
	assert_int_equal(mu_stack_open(&bare, NULL, NULL, NULL), UV_EINVAL);
	assert_int_equal(mu_stack_open(&bare, "pair:x", &o, NULL), UV_EINVAL);
	assert_int_equal(mu_stack_open(&bare, "no:such", NULL, NULL),
			 UV_EINVAL);
	assert_int_equal(mu_stack_open_ring(&bare, &bare, 1), UV_ENODEV);
	assert_int_equal(mu_loop_close(&bare), 0);
}

static void
the_environment_names_a_device(void **state)
{
	uv_loop_t bare;

	(void)state;
	assert_int_equal(uv_loop_init(&bare), 0);
	setenv("MULTISTACK_DEVICE", "pair:env,addr=10.0.0.9", 1);
	assert_int_equal(mu_tcp_init(&bare, &tcp), 0);
	unsetenv("MULTISTACK_DEVICE");
	assert_non_null(mu_stack_link(&bare));
	mu_close((uv_handle_t *)&tcp, NULL);
	assert_int_equal(uv_run(&bare, UV_RUN_DEFAULT), 0);
	assert_int_equal(mu_loop_close(&bare), 0);
}

static void
a_loop_has_one_stack(void **state)
{
	(void)state;
	assert_int_equal(mu_stack_open(&loop, "pair:two", NULL, NULL),
			 UV_EEXIST);
	assert_non_null(mu_stack_link(&loop));
}

static void
count(uv_handle_t *h, void *arg)
{
	(void)h;
	++*(int *)arg;
}

/* What the stack needs of the loop is not the program's to see or close. */
static void
the_stack_does_not_show(void **state)
{
	int n = 0;

	(void)state;
	uv_walk(&loop, count, &n);
	assert_int_equal(n, 1); /* this test's timer */
	assert_int_equal(mu_tcp_init(&loop, &tcp), 0);
	assert_int_equal(mu_udp_init(&loop, &udp), 0);
	n = 0;
	mu_walk(&loop, count, &n);
	assert_int_equal(n, 3);
	assert_int_equal(uv_loop_alive(&loop), 0);
	assert_int_equal(mu_stack_close(&loop), UV_EBUSY);
	assert_int_equal(mu_loop_close(&loop), UV_EBUSY);
	mu_close((uv_handle_t *)&tcp, NULL);
	mu_close((uv_handle_t *)&udp, NULL);
	run();
}

/* ---- two stacks on a wire, each in a thread ------------------------------ */

struct receiver {
	pthread_t thread;
	uv_loop_t loop;
	mu_tcp_t server, conn;
	size_t bytes;
	ssize_t end;
	pthread_barrier_t ready;
};

static void
on_bytes(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct receiver *r = s->data;

	(void)buf;
	if (n >= 0) {
		r->bytes += (size_t)n;
		return;
	}
	r->end = n;
	mu_close((uv_handle_t *)s, NULL);
	mu_close((uv_handle_t *)&r->server, NULL);
}

static void
own_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static __thread char slab[65536];

	(void)h;
	(void)suggested;
	*buf = uv_buf_init(slab, sizeof slab);
}

static void
on_accept(mu_stream_t *s, int status)
{
	struct receiver *r = s->data;

	assert_int_equal(status, 0);
	assert_int_equal(mu_tcp_init(s->loop, &r->conn), 0);
	r->conn.data = r;
	assert_int_equal(mu_accept(s, (mu_stream_t *)&r->conn), 0);
	assert_int_equal(
	    mu_read_start((mu_stream_t *)&r->conn, own_alloc, on_bytes), 0);
}

static void *
receive(void *arg)
{
	struct receiver *r = arg;
	struct sockaddr_in a;

	assert_int_equal(uv_loop_init(&r->loop), 0);
	assert_int_equal(mu_stack_open(&r->loop,
				       "pair:t1,link=t,side=1,addr=10.1.0.2",
				       NULL, NULL),
			 0);
	assert_int_equal(mu_tcp_init(&r->loop, &r->server), 0);
	r->server.data = r;
	uv_ip4_addr("10.1.0.2", PORT, &a);
	assert_int_equal(mu_tcp_bind(&r->server, (struct sockaddr *)&a, 0), 0);
	assert_int_equal(mu_listen((mu_stream_t *)&r->server, 1, on_accept), 0);
	pthread_barrier_wait(&r->ready);
	assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(mu_loop_close(&r->loop), 0);
	return NULL;
}

#define SENT_BYTES ((size_t)2 << 20)

static void
write_and_close(mu_connect_t *req, int status)
{
	static char data[SENT_BYTES];
	uv_buf_t b = uv_buf_init(data, sizeof data);
	int size = SENT_BYTES;

	assert_int_equal(status, 0);
	assert_int_equal(mu_send_buffer_size((uv_handle_t *)req->handle, &size),
			 0);
	assert_int_equal(mu_try_write(req->handle, &b, 1), SENT_BYTES);
	mu_close((uv_handle_t *)req->handle, NULL);
}

/* The handle is closed and the loop has ended: what was written is there all
   the same when the loop is closed. */
static void
what_was_written_outlives_the_loop(void **state)
{
	struct receiver r = { .end = 0 };
	struct sockaddr_in a;
	mu_connect_t req;
	uv_loop_t l;

	(void)state;
	pthread_barrier_init(&r.ready, NULL, 2);
	assert_int_equal(pthread_create(&r.thread, NULL, receive, &r), 0);
	assert_int_equal(uv_loop_init(&l), 0);
	assert_int_equal(mu_stack_open(&l,
				       "pair:t0,link=t,side=0,addr=10.1.0.1",
				       NULL, NULL),
			 0);
	pthread_barrier_wait(&r.ready);
	uv_ip4_addr("10.1.0.2", PORT, &a);
	assert_int_equal(mu_tcp_init(&l, &tcp), 0);
	assert_int_equal(
	    mu_tcp_connect(&req, &tcp, (struct sockaddr *)&a, write_and_close),
	    0);
	assert_int_equal(uv_run(&l, UV_RUN_DEFAULT), 0);
	assert_int_equal(mu_loop_close(&l), 0);
	pthread_join(r.thread, NULL);
	pthread_barrier_destroy(&r.ready);
	assert_int_equal(r.bytes, SENT_BYTES);
	assert_int_equal(r.end, UV_EOF);
}

/* ---- rings of one port ---------------------------------------------------- */

#define CONNECTIONS 32

static struct ring {
	uv_loop_t loop;
	mu_tcp_t server;
	unsigned int accepted;
	mu_tcp_t conns[CONNECTIONS];
} rings[2];

static void
on_ring(mu_stream_t *s, int status)
{
	struct ring *r = s->data;
	mu_tcp_t *c = &r->conns[r->accepted++];

	assert_int_equal(status, 0);
	assert_int_equal(mu_tcp_init(s->loop, c), 0);
	assert_int_equal(mu_accept(s, (mu_stream_t *)c), 0);
}

static void
ring_close(struct ring *r)
{
	mu_close((uv_handle_t *)&r->server, NULL);
	for (unsigned int i = 0; i < r->accepted; i++)
		mu_close((uv_handle_t *)&r->conns[i], NULL);
	assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(mu_loop_close(&r->loop), 0);
}

/* Each loop listens, and has its share. */
static void
loops_share_a_port_by_rings(void **state)
{
	static mu_tcp_t clients[CONNECTIONS];
	static mu_connect_t reqs[CONNECTIONS];
	mslink_options_t link = { .size = sizeof link, .rings = 2 };
	mu_options_t opt = { .size = sizeof opt,
			     .linger_ms = 100,
			     .link = &link };
	uv_loop_t l;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(uv_loop_init(&rings[i].loop), 0);
	assert_int_equal(mu_stack_open(&rings[0].loop,
				       "pair:r0,link=r,side=0,addr=10.2.0.1",
				       &opt, NULL),
			 0);
	assert_int_equal(mu_stack_open_ring(&rings[1].loop, &rings[0].loop, 2),
			 UV_EINVAL);
	assert_int_equal(mu_stack_open_ring(&rings[1].loop, &rings[0].loop, 1),
			 0);
	for (int i = 0; i < 2; i++) {
		struct ring *r = &rings[i];

		assert_int_equal(mu_tcp_init(&r->loop, &r->server), 0);
		r->server.data = r;
		assert_int_equal(
		    mu_tcp_bind(&r->server, address("10.2.0.1", PORT), 0), 0);
		assert_int_equal(
		    mu_listen((mu_stream_t *)&r->server, 64, on_ring), 0);
	}
	assert_int_equal(uv_loop_init(&l), 0);
	assert_int_equal(mu_stack_open(&l,
				       "pair:r1,link=r,side=1,addr=10.2.0.2",
				       NULL, NULL),
			 0);
	for (int i = 0; i < CONNECTIONS; i++) {
		assert_int_equal(mu_tcp_init(&l, &clients[i]), 0);
		assert_int_equal(mu_tcp_connect(&reqs[i], &clients[i],
						address("10.2.0.1", PORT),
						NULL),
				 0);
	}
	for (int i = 0;
	     i < 100000 && rings[0].accepted + rings[1].accepted < CONNECTIONS;
	     i++) {
		uv_run(&l, UV_RUN_NOWAIT);
		uv_run(&rings[0].loop, UV_RUN_NOWAIT);
		uv_run(&rings[1].loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(rings[0].accepted + rings[1].accepted, CONNECTIONS);
	assert_true(rings[0].accepted > 0 && rings[1].accepted > 0);
	for (int i = 0; i < CONNECTIONS; i++)
		mu_close((uv_handle_t *)&clients[i], NULL);
	assert_int_equal(uv_run(&l, UV_RUN_DEFAULT), 0);
	assert_int_equal(mu_loop_close(&l), 0);
	ring_close(&rings[1]);
	ring_close(&rings[0]);
}

/* ---- handles of libuv's -------------------------------------------------- */

static uv_pipe_t pipes[2];
static mu_write_t pipe_write;
static mu_shutdown_t pipe_shut;

static void
on_pipe_write(mu_write_t *req, int status)
{
	assert_ptr_equal(req->handle, &pipes[0]);
	assert_int_equal(status, 0);
	note('w');
}

static void
on_pipe_shut(mu_shutdown_t *req, int status)
{
	(void)req;
	assert_int_equal(status, 0);
	note('s');
}

static void
on_pipe_read(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	if (n > 0) {
		assert_memory_equal(buf->base, "ping", 4);
		note('r');
		return;
	}
	note('E');
	mu_close((uv_handle_t *)s, NULL);
	mu_close((uv_handle_t *)&pipes[0], NULL);
}

static void
pipes_are_handed_on(void **state)
{
	mu_stream_t *a = (mu_stream_t *)&pipes[0],
		    *b = (mu_stream_t *)&pipes[1];
	uv_buf_t buf = buffer("ping");
	uv_os_sock_t fds[2];
	uv_os_fd_t fd;

	(void)state;
	assert_int_equal(uv_socketpair(SOCK_STREAM, 0, fds, 0, 0), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mu_pipe_init(&loop, &pipes[i], 0), 0);
		assert_int_equal(mu_pipe_open(&pipes[i], fds[i]), 0);
	}
	assert_int_equal(mu_fileno((uv_handle_t *)a, &fd), 0);
	assert_int_equal(fd, fds[0]);
	assert_int_equal(mu_is_readable(a), 1);
	assert_int_equal(mu_is_writable(a), 1);
	assert_int_equal(mu_read_start_view(b, on_pipe_read), UV_ENOTSUP);
	assert_int_equal(mu_read_start(b, any_alloc, on_pipe_read), 0);
	assert_int_equal(mu_write(&pipe_write, a, &buf, 1, on_pipe_write), 0);
	assert_int_equal(mu_stream_get_write_queue_size(a), 0);
	assert_int_equal(mu_shutdown(&pipe_shut, a, on_pipe_shut), 0);
	run();
	assert_int_equal(strlen(diary), 4);
	for (const char *c = "wsrE"; *c; c++)
		assert_non_null(strchr(diary, *c));
}

static void
sizes_and_types_are_told(void **state)
{
	uv_os_fd_t fd;

	(void)state;
	assert_int_equal(mu_handle_size(UV_TCP), sizeof(mu_tcp_t));
	assert_int_equal(mu_handle_size(UV_UDP), sizeof(mu_udp_t));
	assert_int_equal(mu_handle_size(UV_TIMER), sizeof(uv_timer_t));
	assert_int_equal(mu_req_size(UV_WRITE), sizeof(mu_write_t));
	assert_int_equal(mu_req_size(UV_CONNECT), sizeof(mu_connect_t));
	assert_int_equal(mu_req_size(UV_SHUTDOWN), sizeof(mu_shutdown_t));
	assert_int_equal(mu_req_size(UV_UDP_SEND), sizeof(mu_udp_send_t));
	assert_int_equal(mu_req_size(UV_FS), sizeof(uv_fs_t));
	assert_int_equal(mu_tcp_init(&loop, &tcp), 0);
	tcp.data = &fd;
	assert_int_equal(tcp.type, UV_TCP);
	assert_ptr_equal(tcp.loop, &loop);
	assert_ptr_equal(mu_handle_get_data((uv_handle_t *)&tcp), &fd);
	assert_int_equal(mu_fileno((uv_handle_t *)&tcp, &fd), UV_EBADF);
	assert_int_equal(mu_handle_get_type((uv_handle_t *)&tcp), UV_TCP);
	assert_null(mu_tcp_sock(&tcp));
	mu_close((uv_handle_t *)&tcp, NULL);
	run();
}

/* ---- what makes no sense ------------------------------------------------- */

static uv_buf_t word;
static mu_write_t write_req;
static mu_connect_t connect_req;
static mu_shutdown_t shutdown_req;
static mu_udp_send_t send_req;
static int size;

static void
any_read(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	(void)s;
	(void)n;
	(void)buf;
}

#define T ((mu_stream_t *)&tcp)
#define H(h) ((uv_handle_t *)&(h))

/* On a TCP and a UDP handle that are new. */
#define MISUSES(X)                                                             \
	X(mu_tcp_init_ex(&loop, &tcp, 47), UV_EINVAL)                          \
	X(mu_tcp_init_ex(&loop, &tcp, 256), UV_EINVAL)                         \
	X(mu_udp_init_ex(&loop, &udp, 47), UV_EINVAL)                          \
	X(mu_udp_init_ex(&loop, &udp, 1 << 20), UV_EINVAL)                     \
	X(mu_tcp_open(&tcp, 0), UV_ENOTSUP)                                    \
	X(mu_udp_open(&udp, 0), UV_ENOTSUP)                                    \
	X(mu_accept(T, T), UV_EAGAIN)                                          \
	X(mu_read_start(NULL, any_alloc, any_read), UV_EINVAL)                 \
	X(mu_read_start(T, NULL, any_read), UV_EINVAL)                         \
	X(mu_read_start(T, any_alloc, NULL), UV_EINVAL)                        \
	X(mu_read_start(T, any_alloc, any_read), UV_ENOTCONN)                  \
	X(mu_read_stop(T), 0)                                                  \
	X(mu_write(&write_req, T, &word, 0, NULL), UV_EINVAL)                  \
	X(mu_write(&write_req, T, &word, 1, NULL), UV_EBADF)                   \
	X(mu_try_write(T, &word, 1), UV_EBADF)                                 \
	X(mu_shutdown(&shutdown_req, T, NULL), UV_ENOTCONN)                    \
	X(mu_tcp_close_reset(&tcp, NULL), UV_EBADF)                            \
	X(mu_stream_set_blocking(T, 1), UV_ENOTSUP)                            \
	X(mu_send_buffer_size(NULL, &size), UV_EINVAL)                         \
	X(mu_send_buffer_size(H(tcp), NULL), UV_EINVAL)                        \
	X(mu_send_buffer_size(H(tcp), &size), UV_EBADF)                        \
	X(mu_recv_buffer_size(H(udp), &size), UV_EBADF)                        \
	X(mu_tcp_bind(&tcp, address("10.9.9.9", PORT), 0), UV_EADDRNOTAVAIL)   \
	X(mu_tcp_bind(&tcp, address("0.0.0.0", PORT), UV_TCP_IPV6ONLY),        \
	  UV_EINVAL)                                                           \
	X(mu_tcp_bind(&tcp, address("0.0.0.0", PORT), 2), UV_ENOTSUP)          \
	X(mu_tcp_bind(&tcp, address("::1", PORT), 0), UV_EINVAL)               \
	X(mu_tcp_bind(&tcp, address("0.0.0.0", PORT), 0), 0)                   \
	X(mu_tcp_bind(&tcp, address("0.0.0.0", PORT), 0), UV_EINVAL)           \
	X(mu_write(&write_req, T, &word, 1, NULL), UV_EPIPE)                   \
	X(mu_tcp_keepalive_ex(&tcp, 1, 0, 1, 1), UV_EINVAL)                    \
	X(mu_tcp_keepalive(&tcp, 1, 60), 0)                                    \
	X(mu_tcp_nodelay(&tcp, 1), 0)                                          \
	X(mu_tcp_simultaneous_accepts(&tcp, 1), 0)                             \
	X(mu_tcp_connect(&connect_req, (mu_tcp_t *)&udp,                       \
			 address("10.0.0.2", PORT), NULL),                     \
	  UV_EINVAL)                                                           \
	X(mu_udp_recv_stop(&udp), 0)                                           \
	X(mu_udp_set_ttl(&udp, 1), UV_EBADF)                                   \
	X(mu_udp_set_ttl(&udp, 256), UV_EINVAL)                                \
	X(mu_udp_set_broadcast(&udp, 1), UV_EBADF)                             \
	X(mu_udp_set_membership(&udp, "224.0.0.9", NULL, UV_JOIN_GROUP),       \
	  UV_ENOTSUP)                                                          \
	X(mu_udp_send(&send_req, &udp, &word, 1, NULL, NULL), UV_EDESTADDRREQ) \
	X(mu_udp_send(&send_req, &udp, &word, 0, address("10.0.0.2", 9),       \
		      NULL),                                                   \
	  UV_EINVAL)                                                           \
	X(mu_udp_bind(&udp, address("::", PORT), 1 << 20), UV_EINVAL)          \
	X(mu_udp_bind(&udp, address("0.0.0.0", PORT), UV_UDP_IPV6ONLY),        \
	  UV_EINVAL)                                                           \
	X(mu_udp_bind(&udp, address("0.0.0.0", PORT), 0), 0)                   \
	X(mu_udp_set_multicast_ttl(&udp, 256), UV_EINVAL)                      \
	X(mu_udp_set_multicast_ttl(&udp, 32), 0)                               \
	X(mu_udp_set_multicast_interface(&udp, "eth"), UV_EINVAL)              \
	X(mu_udp_recv_start(&udp, NULL, NULL), UV_EINVAL)

static void
misuse_is_an_error(void **state)
{
	(void)state;
	word = buffer("word");
	assert_int_equal(mu_tcp_init(&loop, &tcp), 0);
	assert_int_equal(mu_udp_init(&loop, &udp), 0);
#define ROW(call, error)                                                       \
	do {                                                                   \
		int r_ = call;                                                 \
		if (r_ != (error))                                             \
			fail_msg("%s: %d", #call, r_);                         \
	} while (0);
	MISUSES(ROW)
#undef ROW
	mu_close((uv_handle_t *)&tcp, NULL);
	mu_close((uv_handle_t *)&udp, NULL);
	assert_int_equal(mu_listen(T, 1, NULL), UV_EINVAL);
	assert_int_equal(mu_read_start(T, any_alloc, any_read), UV_EINVAL);
	run();
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_close)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_works_without_a_stack),
		cmocka_unit_test(the_environment_names_a_device),
		TEST(a_loop_has_one_stack),
		TEST(the_stack_does_not_show),
		TEST(what_was_written_outlives_the_loop),
		cmocka_unit_test(loops_share_a_port_by_rings),
		TEST(pipes_are_handed_on),
		TEST(sizes_and_types_are_told),
		TEST(misuse_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
