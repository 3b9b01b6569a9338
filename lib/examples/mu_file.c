/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mu_file: sends a file over TCP, or takes one.
 *
 *     mu_file DEVICE receive FILE ADDRESS PORT
 *     mu_file DEVICE send FILE ADDRESS PORT
 *
 * Neither side copies. The sender maps the file and has the stack send it from
 * there (mu_write_ref); it then says so (shutdown) and waits for the other
 * side's end, by which it knows that all was taken. The receiver writes to its
 * file what it is shown where the frames lie (mu_read_start_view).
 *
 * Compile: cc mu_file.c $(pkg-config --cflags --libs multistack-mu)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <multistack/mu.h>

static struct {
	mu_tcp_t listener, tcp;
	mu_connect_t connect;
	mu_write_t *writes;
	mu_shutdown_t shutdown;
	int fd;
	char *map;
	size_t bytes, done;
	uint64_t start_ns;
	int error;
} the;

static void
failed(const char *what, int error)
{
	fprintf(stderr, "mu_file: %s: %s\n", what, mu_strerror(error));
	the.error = error;
	if (!mu_is_closing((mu_handle_t *)&the.tcp))
		mu_close((mu_handle_t *)&the.tcp, NULL);
}

static void
report(const char *did)
{
	double s = (double)(mu_hrtime() - the.start_ns) / 1e9;

	printf("mu_file: %s %zu bytes in %.3f s, %.2f Gb/s\n", did, the.done, s,
	       (double)the.done * 8 / 1e9 / s);
}

/* ---- sending ------------------------------------------------------------- */

static void
on_answer(mu_stream_t *s, ssize_t n, const mu_buf_t *buf)
{
	(void)buf;
	if (n >= 0)
		return; /* nobody asked */
	if (n == UV_EOF)
		report("sent");
	else
		failed("the receiver", (int)n);
	if (!mu_is_closing((mu_handle_t *)s))
		mu_close((mu_handle_t *)s, NULL);
}

static void
on_shutdown(mu_shutdown_t *req, int status)
{
	(void)req;
	if (status && status != UV_ECANCELED)
		failed("shutdown", status);
}

static void
on_written(mu_write_t *req, int status)
{
	(void)req;
	if (status && status != UV_ECANCELED)
		failed("write", status);
}

/* A request takes less than 2 GiB. */
#define PART ((size_t)1 << 30)

static int
write_all(mu_stream_t *s)
{
	size_t parts = the.bytes / PART + 1;
	int r = 0;

	the.writes = calloc(parts, sizeof *the.writes);
	if (!the.writes)
		return UV_ENOMEM;
	for (size_t i = 0; i < parts && r == 0; i++) {
		size_t left = the.bytes - i * PART;
		mu_buf_t b = mu_buf_init(
		    the.map + i * PART,
		    (unsigned int)(left < PART ? left : PART));

		r = mu_write_ref(&the.writes[i], s, &b, 1, on_written);
	}
	the.done = the.bytes;
	return r;
}

static void
on_connect(mu_connect_t *req, int status)
{
	mu_stream_t *s = req->handle;
	int r = status;

	the.start_ns = mu_hrtime();
	if (r == 0)
		r = mu_read_start_view(s, on_answer);
	if (r == 0)
		r = write_all(s);
	if (r == 0)
		r = mu_shutdown(&the.shutdown, s, on_shutdown);
	if (r)
		failed("connect", r);
}

static int
send_file(mu_loop_t *loop, const char *name, const struct sockaddr *to)
{
	struct stat st;

	the.fd = open(name, O_RDONLY);
	if (the.fd < 0 || fstat(the.fd, &st))
		return mu_translate_sys_error(errno);
	the.bytes = (size_t)st.st_size;
	if (the.bytes > 0)
		the.map = mmap(NULL, the.bytes, PROT_READ, MAP_PRIVATE, the.fd,
			       0);
	if (the.map == MAP_FAILED)
		return mu_translate_sys_error(errno);
	mu_tcp_init(loop, &the.tcp);
	return mu_tcp_connect(&the.connect, &the.tcp, to, on_connect);
}

/* ---- receiving ----------------------------------------------------------- */

static void
on_data(mu_stream_t *s, ssize_t n, const mu_buf_t *buf)
{
	ssize_t k;

	for (ssize_t at = 0; at < n; at += k) {
		k = write(the.fd, buf->base + at, (size_t)(n - at));
		if (k < 0) {
			failed("writing", mu_translate_sys_error(errno));
			return;
		}
		the.done += (size_t)k;
	}
	if (n >= 0)
		return;
	if (n == UV_EOF)
		report("received");
	else
		failed("the sender", (int)n);
	if (!mu_is_closing((mu_handle_t *)s))
		mu_close((mu_handle_t *)s, NULL);
}

static void
on_connection(mu_stream_t *listener, int status)
{
	int r = status;

	mu_tcp_init(listener->loop, &the.tcp);
	if (r == 0)
		r = mu_accept(listener, (mu_stream_t *)&the.tcp);
	the.start_ns = mu_hrtime();
	if (r == 0)
		r = mu_read_start_view((mu_stream_t *)&the.tcp, on_data);
	if (r)
		failed("accept", r);
	mu_close((mu_handle_t *)listener, NULL); /* one is all */
}

static int
receive_file(mu_loop_t *loop, const char *name, const struct sockaddr *at)
{
	int r;

	the.fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (the.fd < 0)
		return mu_translate_sys_error(errno);
	mu_tcp_init(loop, &the.listener);
	r = mu_tcp_bind(&the.listener, at, 0);
	if (r == 0)
		r = mu_listen((mu_stream_t *)&the.listener, 1, on_connection);
	return r;
}

int
main(int argc, char **argv)
{
	mu_loop_t *loop = mu_default_loop();
	struct sockaddr_storage a;
	msport_error_t err;
	int r;

	if (argc != 6 ||
	    (strcmp(argv[2], "send") != 0 && strcmp(argv[2], "receive") != 0) ||
	    (mu_ip4_addr(argv[4], atoi(argv[5]), (struct sockaddr_in *)&a) &&
	     mu_ip6_addr(argv[4], atoi(argv[5]), (struct sockaddr_in6 *)&a))) {
		fprintf(stderr, "usage: mu_file DEVICE send|receive FILE "
				"ADDRESS PORT\n");
		return 2;
	}
	if (mu_stack_open(loop, argv[1], NULL, &err)) {
		fprintf(stderr, "mu_file: %s\n", err.text);
		return 1;
	}
	r = *argv[2] == 's'
		? send_file(loop, argv[3], (struct sockaddr *)&a)
		: receive_file(loop, argv[3], (struct sockaddr *)&a);
	if (r) {
		fprintf(stderr, "mu_file: %s: %s\n", argv[3], mu_strerror(r));
		return 1;
	}
	mu_run(loop, UV_RUN_DEFAULT);
	mu_loop_close(loop);
	free(the.writes);
	return the.error != 0;
}
