/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_crypt: a file over encrypted TCP, between two who know a secret.
 *
 *     ext_crypt DEVICE recv PORT ADDRESS SECRET >file
 *     ext_crypt DEVICE send PORT ADDRESS SECRET <file
 *
 * Both stacks have tcpcrypt (RFC 8548), switched on by one call; what is written
 * is encrypted, and a stream that was changed or cut off ends with an error.
 * That keeps out who listens. Who sits in between and speaks to both sides, each
 * with keys of its own, is found out here: the connection's session ID is the
 * same at both ends only if nobody is in between, so each end proves that it
 * knows the secret for this ID, and in this role:
 *
 *	sender (host A)				receiver (host B)
 *	one byte: there are keys		HMAC(secret, 'B' | ID)
 *	HMAC(secret, 'A' | ID), the file	reads it only now
 *
 * Compile: cc ext_crypt.c $(pkg-config --cflags --libs multistack-crypt libcrypto)
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <multistack/link.h>
#include <multistack/utcp_crypt.h>

#define PROOF 32
#define CHUNK 65536

static struct {
	mslink_t *link;
	const char *secret;
	utcp_sock_t *listener; /* of the receiver, until it has a sender */
	utcp_sock_t *s;
	bool sender;
	bool proved; /* the other end knows the secret */
	bool ended;
	unsigned long long bytes;
	char chunk[CHUNK]; /* of the file, read and not yet written */
	size_t len;
} me;

static int
fail(const char *what, int err)
{
	fprintf(stderr, "ext_crypt: %s: %s\n", what, strerror(-err));
	return err;
}

/* What host 'A' or 'B' of this connection says to prove itself. Keys are there
   as soon as anything was read. */
static int
proof(char host, uint8_t out[PROOF])
{
	utcp_crypt_session_t session = { .size = sizeof(session) };
	uint8_t text[1 + sizeof(session.id)];
	unsigned int len = PROOF;
	int r = utcp_crypt_session(me.s, &session);

	if (r)
		return fail("no session", r);
	text[0] = (uint8_t)host;
	memcpy(text + 1, session.id, sizeof(session.id));
	if (!HMAC(EVP_sha256(), me.secret, (int)strlen(me.secret), text,
		  sizeof(text), out, &len))
		return -ENOMEM;
	return 0;
}

static int
say_proof(char host)
{
	uint8_t mine[PROOF];
	ssize_t n;
	int r = proof(host, mine);

	if (r)
		return r;
	n = utcp_write(me.s, mine, PROOF, 0);
	return n == PROOF ? 0 : -EIO; /* the first bytes: they fit */
}

/* 1: the other end proved itself; 0: it has not said enough yet. */
static int
hear_proof(char host)
{
	uint8_t theirs[PROOF], want[PROOF];
	int r;

	if (utcp_readable(me.s) < PROOF) {
		if ((utcp_poll(me.s) & (UTCP_ERR | UTCP_RDHUP)) == 0)
			return 0;
		r = (int)utcp_read(me.s, theirs, PROOF, 0);
		return fail("no proof", r < 0 ? r : -ECONNRESET);
	}
	if (utcp_read(me.s, theirs, PROOF, 0) != PROOF)
		return -EIO;
	r = proof(host, want);
	if (r)
		return r;
	if (CRYPTO_memcmp(theirs, want, PROOF) != 0)
		return fail("somebody is in between, or has another secret",
			    -EACCES);
	return 1;
}

/* ---- the sender ----------------------------------------------------------- */

/* From standard input, as long as the send buffer takes it. */
static int
send_file(void)
{
	ssize_t n;

	while (!me.ended) {
		if (me.len == 0) {
			n = read(0, me.chunk, CHUNK);
			if (n < 0)
				return fail("standard input", -errno);
			me.len = (size_t)n;
		}
		if (me.len == 0) {
			me.ended = true;
			return utcp_shutdown(me.s, UTCP_SHUT_WR);
		}
		n = utcp_write(me.s, me.chunk, me.len, 0);
		if (n == -EAGAIN)
			return 0; /* UTCP_OUT will come */
		if (n < 0)
			return fail("write", (int)n);
		me.bytes += (unsigned long long)n;
		me.len -= (size_t)n;
		memmove(me.chunk, me.chunk + n, me.len);
	}
	return 0;
}

static int
on_sender(void)
{
	char byte;
	int r;

	if (!me.proved) {
		r = hear_proof('B');
		if (r <= 0)
			return r;
		r = say_proof('A');
		if (r)
			return r;
		me.proved = true;
	}
	r = send_file();
	/* The receiver ends when it has all. */
	if (r == 0 && me.ended && (utcp_poll(me.s) & UTCP_RDHUP)) {
		r = (int)utcp_read(me.s, &byte, 1, 0);
		return r == 0 ? 1 : fail("read", r);
	}
	return r;
}

/* ---- the receiver ------------------------------------------------------------ */

static int
receive_file(void)
{
	static char buf[CHUNK];
	ssize_t n;

	while ((n = utcp_read(me.s, buf, sizeof(buf), 0)) > 0) {
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			return fail("standard output", -errno);
		me.bytes += (unsigned long long)n;
	}
	/* 0 only where the sender ended: a connection that was cut off, or
	   bytes that were changed, are -EBADMSG. */
	if (n == 0)
		return 1;
	return n == -EAGAIN ? 0 : fail("read", (int)n);
}

static int
on_receiver(void)
{
	char hello;
	int r;

	if (!me.ended) { /* nothing was heard yet */
		r = (int)utcp_read(me.s, &hello, 1, 0);
		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return fail("read", r);
		me.ended = true;
		r = say_proof('B');
		if (r)
			return r;
	}
	if (!me.proved) {
		r = hear_proof('A');
		if (r <= 0)
			return r;
		me.proved = true;
	}
	return receive_file();
}

/* ---- both -------------------------------------------------------------------- */

static int
on_event(const utcp_event_t *e)
{
	int r;

	if (e->sock == me.listener) {
		r = me.s ? -EAGAIN : utcp_accept(me.listener, &me.s);
		if (r)
			return 0;
		utcp_close(me.listener);
		me.listener = NULL;
	}
	return me.sender ? on_sender() : on_receiver();
}

static int
begin(const char *port, const char *address)
{
	/* Rather nothing than plain TCP; and this application compares
	   session IDs. */
	utcp_crypt_options_t o = {
		.size = sizeof(o), .flags = UTCP_CRYPT_MUST | UTCP_CRYPT_AWARE
	};
	utcp_t *u = mslink_stack(me.link);
	utcp_addr_t a;
	utcp_sock_t *s;
	int r = mslink_addr(&a, address, (uint16_t)atoi(port));

	if (r == 0)
		r = utcp_crypt_register(u);
	if (r == 0)
		r = utcp_open(u, a.family, &s);
	if (r)
		return r;
	r = utcp_crypt_set(s, &o);
	if (me.sender) {
		me.s = s;
		if (r == 0)
			r = mslink_connect(me.link, s, &a);
		if (r == -EINPROGRESS)
			r = utcp_write(s, "", 1, 0) == 1 ? 0 : -EIO;
		return r;
	}
	me.listener = s;
	if (r == 0)
		r = utcp_bind(s, &a);
	return r ? r : utcp_listen(s, 1);
}

/* What was written is sent, and the connection ends; for two seconds at most. */
static void
leave(void)
{
	utcp_usage_t usage;

	utcp_close(me.s);
	utcp_close(me.listener);
	for (int i = 0; i < 200; i++) {
		utcp_usage(mslink_stack(me.link), &usage);
		if (usage.socks == 0 || mslink_flush(me.link) < 0)
			break;
		(void)mslink_wait(me.link, 10);
		if (mslink_poll(me.link) < 0)
			break;
	}
	(void)mslink_flush(me.link);
}

/* 1: all is said. */
static int
run(void)
{
	utcp_event_t events[8];
	int r = 0, n, err;

	while (r == 0) {
		err = mslink_poll(me.link);
		if (err < 0)
			return err;
		while (r == 0 &&
		       (n = utcp_events(mslink_stack(me.link), events, 8)) > 0)
			for (int i = 0; i < n && r == 0; i++)
				r = on_event(&events[i]);
		err = mslink_flush(me.link);
		if (err < 0)
			return err;
		if (r == 0)
			(void)mslink_wait(me.link, -1);
	}
	return r;
}

int
main(int argc, char **argv)
{
	mslink_options_t opt = { .size = sizeof(opt), .label = "ext_crypt" };
	msport_error_t err;
	int r;

	if (argc != 6 || (strcmp(argv[2], "send") && strcmp(argv[2], "recv"))) {
		fprintf(stderr,
			"usage: ext_crypt DEVICE send|recv PORT ADDRESS "
			"SECRET\n");
		return 2;
	}
	me.sender = !strcmp(argv[2], "send");
	me.secret = argv[5];
	r = mslink_open(&me.link, argv[1], &opt, &err);
	if (r) {
		fprintf(stderr, "ext_crypt: %s\n", err.text);
		return 1;
	}
	r = begin(argv[3], argv[4]);
	if (r)
		fail(argv[4], r);
	else
		r = run();
	if (r == 1)
		fprintf(stderr, "ext_crypt: %llu bytes, as they were sent\n",
			me.bytes);
	leave();
	mslink_close(me.link);
	return r != 1;
}
