/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_bulk: one flow from stack to stack over memory, in one thread, checksums
 * made and verified by both. One line of JSON.
 *
 *     bench_bulk direct|pair SECONDS [MTU [CC [CIPHER]]]
 *
 * CIPHER, a number of RFC 8548 table 5, encrypts it (tcpcrypt).
 *
 * gbps counts payload over the time on the clock, core_gbps over the processor
 * time of both ends together.
 */
#include "bench_ends.h"

#ifdef HAS_CRYPT
#include <multistack/utcp_crypt.h>
#endif

#define CHUNKS 16
#define CHUNK_BYTES (256u << 10)

static struct {
	utcp_buf_t buf[CHUNKS];
	bool busy[CHUNKS];
	uint8_t *data;
} tx;

static void
sent(utcp_buf_t *buf, int status)
{
	(void)status;
	tx.busy[buf - tx.buf] = false;
}

static void
feed(utcp_sock_t *s)
{
	for (unsigned int i = 0; i < CHUNKS; i++) {
		if (tx.busy[i])
			continue;
		tx.buf[i] = (utcp_buf_t){ .data = tx.data,
					  .len = CHUNK_BYTES,
					  .done = sent };
		tx.busy[i] = utcp_send(s, &tx.buf[i], 0) == 0;
	}
}

static uint64_t
take(utcp_sock_t *s)
{
	utcp_view_t v[64];
	uint64_t total = 0;
	int n;

	while ((n = utcp_views(s, v, 64)) > 0) {
		size_t len = 0;

		for (int i = 0; i < n; i++)
			len += v[i].len;
		(void)utcp_consume(s, len);
		total += len;
	}
	return total;
}

/* Encrypts what a's stack and b's make from now on, if there is a cipher. */
static void
encrypt(utcp_t *a, utcp_t *b, unsigned int cipher)
{
	int r = cipher ? -ENOSYS : 0;

#ifdef HAS_CRYPT
	if (cipher)
		r = utcp_crypt_register(a);
	if (cipher && r == 0)
		r = utcp_crypt_register(b);
#endif
	if (r)
		bench_die("tcpcrypt", r);
}

static utcp_sock_t *
open_to(struct bench_end *e, unsigned int cipher)
{
	utcp_sock_t *s;
	int r = utcp_open(e[0].u, 4, &s);

#ifdef HAS_CRYPT
	utcp_crypt_options_t o = { .size = sizeof o,
				   .flags = UTCP_CRYPT_MUST,
				   .ciphers = { (uint16_t)cipher } };

	if (cipher && r == 0)
		r = utcp_crypt_set(s, &o);
#endif
	if (r == 0)
		r = utcp_connect(s, &e[1].addr);
	if (r && r != -EINPROGRESS)
		bench_die("connect", r);
	return s;
}

int
main(int argc, char **argv)
{
	unsigned int cipher = argc > 5 ? (unsigned int)atoi(argv[5]) : 0;
	utcp_config_t c = { .mtu = 1500 };
	uint64_t got = 0, from_ns = 0, cpu_ns = 0, end_ns, now_ns;
	utcp_sock_t *listener, *a, *b = NULL;
	struct bench_end e[2];
	utcp_event_t ev[16];
	double seconds;

	if (argc < 3)
		return 2;
	seconds = atof(argv[2]);
	if (argc > 3)
		c.mtu = (uint32_t)atoi(argv[3]);
	if (argc > 4)
		c.cc = argv[4];
	bench_ends(e, !strcmp(argv[1], "pair"), &c);
	tx.data = malloc(CHUNK_BYTES);
	memset(tx.data, 0x5a, CHUNK_BYTES);
	encrypt(e[0].u, e[1].u, cipher);
	listener = bench_listen(&e[1]);
	a = open_to(e, cipher);
	end_ns = UINT64_MAX;
	for (;;) {
		bench_in(&e[0]);
		(void)utcp_events(e[0].u, ev, 16);
		if (utcp_poll(a) & UTCP_OUT)
			feed(a);
		(void)bench_out(&e[0]);
		bench_in(&e[1]);
		(void)utcp_events(e[1].u, ev, 16);
		if (b)
			got += take(b);
		else
			(void)utcp_accept(listener, &b);
		(void)bench_out(&e[1]);
		now_ns = mslink_now_ns();
		/* Half a second for the window to open. */
		if (!from_ns && got) {
			from_ns = now_ns;
			end_ns = now_ns + 500000000u;
		} else if (now_ns > end_ns && !cpu_ns) {
			from_ns = now_ns;
			cpu_ns = bench_cpu_ns();
			got = 0;
			end_ns = now_ns + (uint64_t)(seconds * 1e9);
		} else if (now_ns > end_ns) {
			break;
		}
	}
	cpu_ns = bench_cpu_ns() - cpu_ns;
	printf("{\"case\": \"bulk\", \"gbps\": %.3f, \"core_gbps\": %.3f}\n",
	       (double)got * 8 / (double)(now_ns - from_ns),
	       (double)got * 8 / (double)cpu_ns);
	utcp_abort(a);
	utcp_abort(b);
	utcp_close(listener);
	bench_ends_close(e);
	free(tx.data);
	return 0;
}
