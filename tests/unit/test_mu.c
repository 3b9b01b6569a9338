/* SPDX-License-Identifier: BSD-2-Clause */
/* mu.h: TCP handles: the order of callbacks, lifetimes, errors. */
#include "test_mu.h"

static mu_tcp_t server, client, peer;
static mu_connect_t connect_req;
static mu_write_t write_req[64];
static mu_shutdown_t shutdown_req;
static int connect_status;
static size_t got_bytes;

/* ---- one letter for each callback ---------------------------------------- */

static void
on_close(uv_handle_t *h)
{
	assert_int_equal(h->type, UV_TCP);
	note(h == (uv_handle_t *)&server   ? 'S'
	     : h == (uv_handle_t *)&client ? 'K'
					   : 'P');
}

static void
close_both(void)
{
	if (!uv_is_closing((uv_handle_t *)&peer))
		mu_close((uv_handle_t *)&peer, on_close);
	mu_close((uv_handle_t *)&server, on_close);
}

static void
on_echo(mu_write_t *req, int status)
{
	assert_int_equal(status, 0);
	note('e');
	free(req);
}

/* The server gives back what it gets, then its end. */
static void
on_request(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	mu_write_t *req;
	uv_buf_t b;

	if (n == 0)
		return;
	if (n < 0) {
		assert_int_equal(n, UV_EOF);
		note('E');
		close_both();
		return;
	}
	note('r');
	req = malloc(sizeof *req);
	assert_non_null(req);
	b = uv_buf_init(buf->base, (unsigned int)n);
	assert_int_equal(mu_write(req, s, &b, 1, on_echo), 0);
}

static void
on_connection(mu_stream_t *s, int status)
{
	assert_int_equal(status, 0);
	note('a');
	assert_int_equal(mu_tcp_init(&loop, &peer), 0);
	assert_int_equal(mu_accept(s, (mu_stream_t *)&peer), 0);
	assert_int_equal(mu_accept(s, (mu_stream_t *)&peer), UV_EAGAIN);
	assert_int_equal(
	    mu_read_start((mu_stream_t *)&peer, any_alloc, on_request), 0);
}

static void
on_shutdown(mu_shutdown_t *req, int status)
{
	assert_ptr_equal(req->handle, &client);
	note(status == 0 ? 's' : status == UV_ECANCELED ? 'c' : '!');
}

static void
on_reply(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	if (n == 0)
		return;
	if (n < 0) {
		note(n == UV_EOF ? 'f' : 'x');
		mu_close((uv_handle_t *)s, on_close);
		return;
	}
	got_bytes += (size_t)n;
	note('R');
	assert_memory_equal(buf->base, "ping", 4);
	assert_int_equal(mu_shutdown(&shutdown_req, s, on_shutdown), 0);
	assert_int_equal(mu_shutdown(&shutdown_req, s, on_shutdown),
			 UV_ENOTCONN);
}

static void
on_write(mu_write_t *req, int status)
{
	(void)req;
	note(status == 0 ? 'w' : status == UV_ECANCELED ? 'c' : '!');
}

static void
on_connect(mu_connect_t *req, int status)
{
	uv_buf_t b = buffer("ping");

	assert_ptr_equal(req->handle, &client);
	connect_status = status;
	note('C');
	if (status)
		return;
	assert_int_equal(mu_read_start(req->handle, any_alloc, on_reply), 0);
	assert_int_equal(mu_write(&write_req[0], req->handle, &b, 1, on_write),
			 0);
	assert_int_equal(client.write_queue_size, 0); /* it is in the stack */
	note('-');
}

static void
on_connect_only(mu_connect_t *req, int status)
{
	(void)req;
	connect_status = status;
	note('C');
}

static void
listen_at(const char *text, mu_connection_cb cb)
{
	assert_int_equal(mu_tcp_init(&loop, &server), 0);
	assert_int_equal(mu_tcp_bind(&server, address(text, PORT), 0), 0);
	assert_int_equal(mu_listen((mu_stream_t *)&server, 16, cb), 0);
}

static void
connect_with(const char *text, mu_connect_cb cb)
{
	assert_int_equal(mu_tcp_init(&loop, &client), 0);
	assert_int_equal(
	    mu_tcp_connect(&connect_req, &client, address(text, PORT), cb), 0);
}

/* ---- tests --------------------------------------------------------------- */

static void
callbacks_come_in_order_over_every_address(void **state)
{
	static const char *const order[] = {
		"C", "-", "w", "a", "r", "e", "R", "s", "E", "f",
	};

	(void)state;
	for (size_t i = 0; i < NUM_ADDRESSES; i++) {
		const char *from = diary;

		diary[0] = '\0';
		listen_at(addresses[i], on_connection);
		connect_with(addresses[i], on_connect);
		run();
		for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
			const char *at = strstr(diary, order[k]);

			if (!at)
				fail_msg("%s: no %s in %s", addresses[i],
					 order[k], diary);
			/* accepting and connecting are two sides */
			if (*order[k] == 'a')
				continue;
			if (at < from)
				fail_msg("%s: %s early in %s", addresses[i],
					 order[k], diary);
			from = at;
		}
		assert_int_equal(strlen(diary), 13); /* and K, P, S */
	}
}

static void
names_are_told(void **state)
{
	struct sockaddr_storage a, b;

	(void)state;
	for (size_t i = 0; i < NUM_ADDRESSES; i++) {
		int na = sizeof a, nb = sizeof b;

		listen_at(addresses[i], on_connection);
		connect_with(addresses[i], on_connect_only);
		while (!strchr(diary, 'a') || !strchr(diary, 'C'))
			uv_run(&loop, UV_RUN_ONCE);
		assert_int_equal(
		    mu_tcp_getsockname(&client, (struct sockaddr *)&a, &na), 0);
		assert_int_equal(
		    mu_tcp_getpeername(&peer, (struct sockaddr *)&b, &nb), 0);
		assert_int_equal(na, nb);
		assert_memory_equal(&a, &b, (size_t)na);
		na = sizeof a;
		assert_int_equal(
		    mu_tcp_getpeername(&client, (struct sockaddr *)&a, &na), 0);
		assert_memory_equal(&a, address(addresses[i], PORT),
				    (size_t)na);
		mu_close((uv_handle_t *)&client, NULL);
		close_both();
		run();
		diary[0] = '\0';
	}
}

static void
refused_is_told_by_the_callback(void **state)
{
	/* What is for this host and nobody's is the host's to refuse, which a
	   wire in memory has not. */
	(void)state;
	for (size_t i = 0; i < NUM_LOOPBACKS; i++) {
		connect_with(addresses[i], on_connect_only);
		run();
		assert_int_equal(connect_status, UV_ECONNREFUSED);
		mu_close((uv_handle_t *)&client, NULL);
		run();
	}
}

static void
address_in_use_is_told_late(void **state)
{
	int n = sizeof(struct sockaddr_storage);
	struct sockaddr_storage a;

	(void)state;
	listen_at("0.0.0.0", on_connection);
	assert_int_equal(mu_tcp_init(&loop, &peer), 0);
	assert_int_equal(mu_tcp_bind(&peer, address("0.0.0.0", PORT), 0), 0);
	assert_int_equal(mu_tcp_getsockname(&peer, (struct sockaddr *)&a, &n),
			 UV_EADDRINUSE);
	assert_int_equal(mu_listen((mu_stream_t *)&peer, 1, on_connection),
			 UV_EADDRINUSE);
	close_both();
	run();
}

/* Close callbacks come with the loop's next look at closing handles, and before
   them those of requests, cancelled. */
static void
closing_cancels_requests(void **state)
{
	uv_buf_t b = buffer("ping");

	(void)state;
	connect_with("127.0.0.1", on_connect_only);
	for (int i = 0; i < 3; i++)
		assert_int_equal(mu_write(&write_req[i], (mu_stream_t *)&client,
					  &b, 1, on_write),
				 0);
	assert_int_equal(client.write_queue_size, 12);
	assert_int_equal(mu_stream_get_write_queue_size((mu_stream_t *)&client),
			 12);
	mu_close((uv_handle_t *)&client, on_close);
	assert_int_equal(mu_handle_get_type((uv_handle_t *)&client), UV_TCP);
	assert_string_equal(diary, "");
	run();
	assert_int_equal(connect_status, UV_ECANCELED);
	assert_string_equal(diary, "CcccK");
	assert_int_equal(client.write_queue_size, 0);
}

static void
on_accept_only(mu_stream_t *s, int status)
{
	assert_int_equal(status, 0);
	note('a');
	assert_int_equal(mu_tcp_init(&loop, &peer), 0);
	assert_int_equal(mu_accept(s, (mu_stream_t *)&peer), 0);
}

static void
open_pair(void)
{
	listen_at("127.0.0.1", on_accept_only);
	connect_with("127.0.0.1", on_connect_only);
	while (!strchr(diary, 'a') || !strchr(diary, 'C'))
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(connect_status, 0);
	diary[0] = '\0';
}

/* Nobody reads: the stack's buffer fills, the rest waits, and goes with the
   handle. */
static void
what_does_not_fit_waits(void **state)
{
	static char data[8 << 20];
	uv_buf_t b = uv_buf_init(data, sizeof data);
	int size = 65536, n;

	(void)state;
	open_pair();
	assert_int_equal(mu_send_buffer_size((uv_handle_t *)&client, &size), 0);
	assert_int_equal(
	    mu_write(&write_req[0], (mu_stream_t *)&client, &b, 1, on_write),
	    0);
	assert_int_equal(
	    mu_write(&write_req[1], (mu_stream_t *)&client, &b, 1, on_write),
	    0);
	assert_true(client.write_queue_size > sizeof data);
	assert_true(client.write_queue_size < 2 * sizeof data);
	assert_int_equal(mu_try_write((mu_stream_t *)&client, &b, 1),
			 UV_EAGAIN);
	size = 0;
	assert_int_equal(mu_send_buffer_size((uv_handle_t *)&client, &size), 0);
	assert_int_equal(size, 65536);
	for (n = 0; n < 50; n++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_string_equal(diary, "");
	mu_close((uv_handle_t *)&client, on_close);
	close_both();
	run();
	assert_int_equal(strspn(diary, "cKPS"), 5);
	assert_non_null(strstr(diary, "ccK"));
}

static void
on_bulk(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n < 0) {
		assert_int_equal(n, UV_EOF);
		mu_close((uv_handle_t *)s, on_close);
		mu_close((uv_handle_t *)&server, on_close);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal((uint8_t)buf->base[i],
				 (uint8_t)((got_bytes + (size_t)i) * 7));
	got_bytes += (size_t)n;
}

static void
on_bulk_shut(mu_shutdown_t *req, int status)
{
	assert_int_equal(status, 0);
	assert_int_equal(client.write_queue_size, 0);
	note('s');
	mu_close((uv_handle_t *)req->handle, on_close);
}

/* Requests finish in order, the shutdown's callback is the last. All arrives,
   also what was still in the stack when the handle was closed. */
static void
bulk(bool view)
{
	static char data[4 << 20];
	uv_buf_t b[8];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(uint8_t)(i * 7);
	got_bytes = 0;
	open_pair();
	if (view)
		assert_int_equal(
		    mu_read_start_view((mu_stream_t *)&peer, on_bulk), 0);
	else
		assert_int_equal(
		    mu_read_start((mu_stream_t *)&peer, any_alloc, on_bulk), 0);
	for (unsigned int i = 0; i < 4; i++) {
		for (unsigned int k = 0; k < 8; k++)
			b[k] = uv_buf_init(data + (i * 8 + k) * (128 << 10),
					   128 << 10);
		assert_int_equal(mu_write(&write_req[i], (mu_stream_t *)&client,
					  b, 8, on_write),
				 0);
	}
	assert_int_equal(
	    mu_shutdown(&shutdown_req, (mu_stream_t *)&client, on_bulk_shut),
	    0);
	assert_int_equal(
	    mu_write(&write_req[5], (mu_stream_t *)&client, b, 1, on_write),
	    UV_EPIPE);
	run();
	assert_int_equal(got_bytes, sizeof data);
	assert_memory_equal(diary, "wwwwsK", 6);
}

static void
all_bytes_arrive_in_order(void **state)
{
	(void)state;
	bulk(false);
}

static void
views_show_all_bytes(void **state)
{
	(void)state;
	bulk(true);
}

static int refs_status;

static void
on_ref(mu_write_t *req, int status)
{
	(void)req;
	refs_status = status;
	note('w');
}

/* Without a copy: done when the peer has it, in the order of all writes. */
static void
references_are_sent_in_order(void **state)
{
	static char data[4 << 20];
	uv_buf_t b[32];

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(uint8_t)(i * 7);
	for (unsigned int i = 0; i < 32; i++)
		b[i] = uv_buf_init(data + i * (128 << 10), 128 << 10);
	got_bytes = 0;
	open_pair();
	assert_int_equal(
	    mu_read_start((mu_stream_t *)&peer, any_alloc, on_bulk), 0);
	assert_int_equal(
	    mu_write_ref(&write_req[0], (mu_stream_t *)&client, b, 1, on_ref),
	    0);
	assert_int_equal(client.write_queue_size, 0);
	assert_int_equal(mu_write_ref(&write_req[1], (mu_stream_t *)&client,
				      b + 1, 15, on_ref),
			 0);
	assert_int_equal(
	    mu_write(&write_req[2], (mu_stream_t *)&client, b + 16, 15, on_ref),
	    0);
	assert_true(client.write_queue_size > 0);
	/* behind one that waits: as that */
	assert_int_equal(mu_write_ref(&write_req[3], (mu_stream_t *)&client,
				      b + 31, 1, on_ref),
			 0);
	assert_string_equal(diary, "");
	assert_int_equal(
	    mu_shutdown(&shutdown_req, (mu_stream_t *)&client, on_bulk_shut),
	    0);
	run();
	assert_int_equal(got_bytes, sizeof data);
	assert_int_equal(refs_status, 0);
	assert_memory_equal(diary, "wwwwsK", 6);
}

/* Who closes before that takes his memory back, and the peer is reset. */
static void
references_end_with_the_handle(void **state)
{
	static char data[4 << 20];
	uv_buf_t b[2] = { uv_buf_init(data, 1), uv_buf_init(data, 1) };

	(void)state;
	b[1].len = sizeof data - 1;
	open_pair();
	assert_int_equal(
	    mu_write_ref(&write_req[0], (mu_stream_t *)&client, b, 2, on_ref),
	    0);
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_string_equal(diary, "");
	mu_close((uv_handle_t *)&client, on_close);
	close_both();
	run();
	assert_int_equal(refs_status, UV_ECANCELED);
	assert_string_equal(diary, "SPwK");
}

static void
references_end_with_the_connection(void **state)
{
	static char data[4 << 20];
	uv_buf_t b = uv_buf_init(data, sizeof data);

	(void)state;
	open_pair();
	assert_int_equal(
	    mu_write_ref(&write_req[0], (mu_stream_t *)&client, &b, 1, on_ref),
	    0);
	assert_int_equal(mu_tcp_close_reset(&peer, NULL), 0);
	while (!strchr(diary, 'w'))
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(refs_status, UV_ECONNRESET);
	mu_close((uv_handle_t *)&client, NULL);
	mu_close((uv_handle_t *)&server, NULL);
	run();
}

static ssize_t
refuse(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	(void)ext;
	(void)data;
	(void)len;
	(void)flags;
	return -EIO;
}

static ssize_t
swallow(utcp_ext_t *ext, const void *data, size_t len)
{
	(void)ext;
	(void)data;
	return (ssize_t)len;
}

/* An extension that ends the connection has them given back within the call;
   the callback comes later all the same. */
static void
references_end_with_an_extensions_error(void **state)
{
	const utcp_ext_ops_t ops = {
		.size = sizeof ops,
		.flags = UTCP_EXT_STREAM,
		.name = "refuse",
		.write = refuse,
		.read = swallow,
	};
	char data[8] = "refused";
	uv_buf_t b[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		b[i] = uv_buf_init(data + i, 1);
	assert_int_equal(utcp_ext_register(mslink_stack(mu_stack_link(&loop)),
					   &ops, UTCP_EXT_ALL, NULL),
			 0);
	open_pair();
	/* As a stack frame was before it: not zeros. */
	memset(&write_req[0], 0xaa, sizeof write_req[0]);
	assert_int_equal(
	    mu_write_ref(&write_req[0], (mu_stream_t *)&client, b, 3, on_ref),
	    0);
	assert_string_equal(diary, "");
	while (!strchr(diary, 'w'))
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(refs_status, UV_EIO);
	mu_close((uv_handle_t *)&client, NULL);
	close_both();
	run();
}

static void
on_error_read(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	connect_status = (int)n;
	note('x');
	assert_int_equal(mu_is_readable(s), n == UV_EOF);
	mu_close((uv_handle_t *)s, on_close);
}

static void
reset_is_seen_by_the_peer(void **state)
{
	(void)state;
	open_pair();
	assert_int_equal(
	    mu_read_start((mu_stream_t *)&client, any_alloc, on_error_read), 0);
	assert_int_equal(mu_tcp_close_reset(&peer, on_close), 0);
	mu_close((uv_handle_t *)&server, NULL);
	run();
	assert_int_equal(connect_status, UV_ECONNRESET);
	/* The last to be closed is the first to be told. */
	assert_string_equal(diary, "xKP");
}

static void
no_reset_after_shutdown(void **state)
{
	(void)state;
	open_pair();
	assert_int_equal(
	    mu_shutdown(&shutdown_req, (mu_stream_t *)&client, on_shutdown), 0);
	assert_int_equal(mu_tcp_close_reset(&client, NULL), UV_EINVAL);
	mu_close((uv_handle_t *)&client, on_close);
	close_both();
	run();
	assert_string_equal(diary, "SPcK");
}

static void
empty_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	(void)h;
	assert_int_equal(suggested, 65536);
	buf->base = NULL;
	buf->len = 0;
}

static void
on_enobufs(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	assert_int_equal(n, UV_ENOBUFS);
	assert_int_equal(buf->len, 0);
	note('n');
	mu_close((uv_handle_t *)s, on_close);
}

static void
no_buffer_is_enobufs(void **state)
{
	uv_buf_t b = buffer("ping");

	(void)state;
	open_pair();
	assert_int_equal(
	    mu_read_start((mu_stream_t *)&peer, empty_alloc, on_enobufs), 0);
	assert_int_equal(mu_try_write((mu_stream_t *)&client, &b, 1), 4);
	mu_close((uv_handle_t *)&server, NULL);
	while (!strchr(diary, 'P'))
		uv_run(&loop, UV_RUN_ONCE);
	assert_string_equal(diary, "nP");
	mu_close((uv_handle_t *)&client, NULL);
	run();
}

/* In the callback that shows data without a copy, closing is no reset. */
static void
on_view_close(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	assert_int_equal(n, 4);
	assert_memory_equal(buf->base, "ping", 4);
	mu_close((uv_handle_t *)s, on_close);
}

static void
a_view_may_be_the_last(void **state)
{
	uv_buf_t b = buffer("ping");

	(void)state;
	open_pair();
	assert_int_equal(
	    mu_read_start((mu_stream_t *)&client, any_alloc, on_error_read), 0);
	assert_int_equal(
	    mu_read_start_view((mu_stream_t *)&peer, on_view_close), 0);
	assert_int_equal(mu_try_write((mu_stream_t *)&client, &b, 1), 4);
	mu_close((uv_handle_t *)&server, NULL);
	run();
	assert_int_equal(connect_status, UV_EOF);
}

static void
stop_at_once(mu_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	assert_true(n > 0);
	note('r');
	assert_int_equal(mu_read_stop(s), 0);
	assert_int_equal(uv_is_active((uv_handle_t *)s), 0);
}

static void
small_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char two[2];

	(void)h;
	(void)suggested;
	*buf = uv_buf_init(two, sizeof two);
}

static void
reading_stops_and_goes_on(void **state)
{
	uv_buf_t b = buffer("pingpong");

	(void)state;
	open_pair();
	assert_int_equal(mu_try_write((mu_stream_t *)&client, &b, 1), 8);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(mu_read_start((mu_stream_t *)&peer,
					       small_alloc, stop_at_once),
				 0);
		assert_int_equal(mu_read_start((mu_stream_t *)&peer,
					       small_alloc, stop_at_once),
				 UV_EALREADY);
		while ((int)strlen(diary) == i)
			uv_run(&loop, UV_RUN_ONCE);
	}
	assert_string_equal(diary, "rrrr");
	mu_close((uv_handle_t *)&client, NULL);
	close_both();
	run();
}

static mu_stream_t *late;

static void
on_connection_later(mu_stream_t *s, int status)
{
	assert_int_equal(status, 0);
	note('a');
	late = s;
}

/* A connection that is not accepted in the callback waits, and others behind
   it. */
static void
accepting_can_wait(void **state)
{
	mu_tcp_t more, taken[2];
	mu_connect_t req;

	(void)state;
	listen_at("127.0.0.1", on_connection_later);
	connect_with("127.0.0.1", on_connect_only);
	assert_int_equal(mu_tcp_init(&loop, &more), 0);
	assert_int_equal(mu_tcp_connect(&req, &more, address("127.0.0.1", PORT),
					on_connect_only),
			 0);
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(strspn(diary, "aC"), strlen(diary));
	assert_ptr_equal(strchr(diary, 'a'), strrchr(diary, 'a'));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mu_tcp_init(&loop, &taken[i]), 0);
		assert_int_equal(mu_accept(late, (mu_stream_t *)&taken[i]), 0);
		for (int k = 0; k < 20; k++)
			uv_run(&loop, UV_RUN_NOWAIT);
		mu_close((uv_handle_t *)&taken[i], NULL);
	}
	assert_true(strchr(diary, 'a') != strrchr(diary, 'a'));
	mu_close((uv_handle_t *)&client, NULL);
	mu_close((uv_handle_t *)&more, NULL);
	mu_close((uv_handle_t *)&server, NULL);
	run();
}

/* A connection to close when all else is gone keeps nobody. */
static void
the_loop_ends_as_with_libuv(void **state)
{
	(void)state;
	listen_at("127.0.0.1", on_connection);
	assert_int_equal(uv_loop_alive(&loop), 1);
	uv_unref((uv_handle_t *)&server);
	assert_int_equal(uv_has_ref((uv_handle_t *)&server), 0);
	assert_int_equal(uv_loop_alive(&loop), 0);
	run();
	connect_with("127.0.0.1", on_connect_only);
	uv_unref((uv_handle_t *)&client);
	assert_int_equal(uv_loop_alive(&loop), 1); /* by its request */
	run();
	assert_non_null(strchr(diary, 'C'));
	mu_close((uv_handle_t *)&client, NULL);
	if (strchr(diary, 'a'))
		close_both();
	else
		mu_close((uv_handle_t *)&server, NULL);
	run();
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_open, loop_close)
	const struct CMUnitTest tests[] = {
		TEST(callbacks_come_in_order_over_every_address),
		TEST(names_are_told),
		TEST(refused_is_told_by_the_callback),
		TEST(address_in_use_is_told_late),
		TEST(closing_cancels_requests),
		TEST(what_does_not_fit_waits),
		TEST(all_bytes_arrive_in_order),
		TEST(views_show_all_bytes),
		TEST(references_are_sent_in_order),
		TEST(references_end_with_the_handle),
		TEST(references_end_with_the_connection),
		TEST(references_end_with_an_extensions_error),
		TEST(reset_is_seen_by_the_peer),
		TEST(no_reset_after_shutdown),
		TEST(no_buffer_is_enobufs),
		TEST(a_view_may_be_the_last),
		TEST(reading_stops_and_goes_on),
		TEST(accepting_can_wait),
		TEST(the_loop_ends_as_with_libuv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
