/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory is short, and packets get lost: nothing is wrong, nothing stalls. */
#include "utcp_pair.h"

#define TOTAL 200000u
#define PKTS 64
#define SHORT_NS (20 * SEC) /* then there is memory again */
#define SEEDS 12

struct shortage {
	uint32_t state;	  /* of the random numbers */
	uint32_t percent; /* of allocations that fail */
	unsigned long failed;
};

static uint32_t
draw(struct shortage *m, uint32_t below)
{
	m->state = m->state * 1664525 + 1013904223;
	return (m->state >> 8) % below;
}

static void *
take(void *arg, size_t bytes)
{
	struct shortage *m = arg;

	if (draw(m, 100) >= m->percent)
		return malloc(bytes);
	m->failed++;
	return NULL;
}

static void
give(void *arg, void *mem, size_t bytes)
{
	(void)arg;
	(void)bytes;
	free(mem);
}

/* What one has to send goes to the other, but for 3 %. */
static int
move_some(struct pair *p, struct shortage *m, int from)
{
	utcp_pkt_t pkts[PKTS] = { 0 };
	int n, i, j;

	for (i = 0; i < PKTS; i++) {
		pkts[i].data = p->mem + i * BUF_BYTES;
		pkts[i].len = BUF_BYTES;
	}
	n = utcp_output(p->u[from], pkts, PKTS);
	for (i = 0; i < n; i = j) {
		for (j = i; pkts[j].flags & UTCP_PKT_MORE; j++)
			;
		j++;
		if (draw(m, 100) >= 3)
			assert_int_equal(utcp_input(p->u[!from], pkts + i,
						    (unsigned int)(j - i)),
					 0);
	}
	return n;
}

static void
write_some(struct shortage *m, utcp_sock_t *s, uint32_t *sent)
{
	uint8_t buf[8000];
	ssize_t r = 1;

	while (*sent < TOTAL && r > 0) {
		uint32_t n = 1 + draw(m, sizeof(buf)), i;

		n = n < TOTAL - *sent ? n : TOTAL - *sent;
		for (i = 0; i < n; i++)
			buf[i] = pattern(*sent + i);
		r = utcp_write(s, buf, n, draw(m, 4) ? 0 : UTCP_MSG_MORE);
		if (r > 0)
			*sent += (uint32_t)r;
		else
			assert_true(r == -EAGAIN || r == -ENOMEM);
	}
	if (*sent == TOTAL)
		(void)utcp_shutdown(s, UTCP_SHUT_WR);
}

/* True: the end was read. */
static bool
read_some(utcp_sock_t *s, uint32_t *got)
{
	uint8_t buf[8000];
	ssize_t r, i;

	while ((r = utcp_read(s, buf, sizeof(buf), 0)) > 0)
		for (i = 0; i < r; i++)
			assert_int_equal(buf[i], pattern((*got)++));
	assert_true(r == 0 || r == -EAGAIN);
	return r == 0;
}

static void
pass_time(struct pair *p, bool moved)
{
	uint64_t next = utcp_next_ns(p->u[0]);

	if (utcp_next_ns(p->u[1]) < next)
		next = utcp_next_ns(p->u[1]);
	if (moved || next == UTCP_NEVER)
		p->now_ns += MSEC;
	else
		p->now_ns = next > p->now_ns ? next : p->now_ns + 1;
	utcp_advance(p->u[0], p->now_ns);
	utcp_advance(p->u[1], p->now_ns);
}

static void
transfer(struct pair *p, struct shortage *m)
{
	utcp_sock_t *l = pair_listen(p, 1, 80, 4), *c, *s = NULL;
	utcp_addr_t a = pair_addr(4, 2, 80);
	uint64_t begin_ns = p->now_ns;
	uint32_t sent = 0, got = 0;
	bool ended = false;

	assert_int_equal(utcp_open(p->u[0], 4, &c), 0);
	m->percent = 1 + draw(m, 40);
	while (utcp_connect(c, &a) == -ENOMEM)
		;
	while (!ended) {
		bool moved = move_some(p, m, 0) > 0;

		assert_true(p->now_ns - begin_ns < 4000 * SEC);
		if (p->now_ns - begin_ns > SHORT_NS)
			m->percent = 0;
		write_some(m, c, &sent);
		if (!s)
			(void)utcp_accept(l, &s);
		/* Before utcp_retain: what it cannot copy ends the
		   connection. */
		if (s)
			ended = read_some(s, &got);
		utcp_retain(p->u[1]);
		moved |= move_some(p, m, 1) > 0;
		utcp_retain(p->u[0]);
		pass_time(p, moved);
	}
	assert_int_equal(got, TOTAL);
	utcp_close(c);
	utcp_close(s);
	utcp_close(l);
}

static void
short_memory_delays_only(void **state)
{
	unsigned long failed = 0;
	uint32_t seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		struct shortage m = { .state = seed };
		utcp_config_t c = {
			.offloads = seed & 1 ? UTCP_OFFLOAD_CSUM |
						   UTCP_OFFLOAD_GSO_TCP
					     : 0,
			.alloc = take,
			.release = give,
			.alloc_arg = &m,
		};
		struct pair p;

		pair_init_with(&p, 4, c);
		transfer(&p, &m);
		pair_end(&p);
		failed += m.failed;
	}
	assert_true(failed > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_memory_delays_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
