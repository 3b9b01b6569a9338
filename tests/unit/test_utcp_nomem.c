/* SPDX-License-Identifier: BSD-2-Clause */
/* Each allocation fails once, in its turn: a call says so, or a packet is lost,
   and the second try does what was asked for. All memory comes back. */
#include "utcp_pair.h"

#define TOTAL 30000u
#define PKTS 64
#define TURNS 5000

struct shortage {
	unsigned long count, fails; /* the how manieth fails */
	int64_t bytes;		    /* not given back */
};

/* One scenario, begun from nothing. */
struct run {
	struct pair p;
	utcp_sock_t *l, *c, *s;
	uint32_t lost; /* every so manieth packet; 0: none */
	uint32_t packets, sent[2], got[2];
	bool ended[2]; /* its reader has seen the end */
};

static void *
take(void *arg, size_t bytes)
{
	struct shortage *m = arg;

	if (++m->count == m->fails)
		return NULL;
	m->bytes += (int64_t)bytes;
	return malloc(bytes);
}

static void
give(void *arg, void *mem, size_t bytes)
{
	struct shortage *m = arg;

	m->bytes -= (int64_t)bytes;
	free(mem);
}

/* A call that wants memory: the second time there is some. */
#define AGAIN(r, call)                                                         \
	do {                                                                   \
		(r) = (call);                                                  \
		if ((r) == -ENOMEM)                                            \
			(r) = (call);                                          \
	} while (0)

static int
move_some(struct run *x, int from)
{
	struct pair *p = &x->p;
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
		x->packets++;
		if (x->lost && x->packets % x->lost == 0)
			continue;
		assert_int_equal(
		    utcp_input(p->u[!from], pkts + i, (unsigned int)(j - i)),
		    0);
	}
	return n;
}

static void
pass_time(struct pair *p)
{
	uint64_t next = utcp_next_ns(p->u[0]);

	if (utcp_next_ns(p->u[1]) < next)
		next = utcp_next_ns(p->u[1]);
	if (next == UTCP_NEVER || next < p->now_ns + MSEC)
		next = p->now_ns + MSEC;
	p->now_ns = next;
	utcp_advance(p->u[0], p->now_ns);
	utcp_advance(p->u[1], p->now_ns);
}

/* ---- connections ------------------------------------------------------------- */

static void
write_some(utcp_sock_t *s, uint32_t *sent)
{
	uint8_t buf[4000];
	ssize_t r = 1;

	while (*sent < TOTAL && r > 0) {
		uint32_t n = TOTAL - *sent, i;

		n = n < sizeof(buf) ? n : (uint32_t)sizeof(buf);
		for (i = 0; i < n; i++)
			buf[i] = pattern(*sent + i);
		AGAIN(r, utcp_write(s, buf, n, 0));
		if (r > 0)
			*sent += (uint32_t)r;
		else
			assert_true(r == -EAGAIN || r == -ENOTCONN);
	}
	if (*sent == TOTAL)
		(void)utcp_shutdown(s, UTCP_SHUT_WR);
}

static void
read_some(utcp_sock_t *s, uint32_t *got, bool *ended)
{
	uint8_t buf[4000];
	ssize_t r, i;

	while ((r = utcp_read(s, buf, sizeof(buf), 0)) > 0)
		for (i = 0; i < r; i++)
			assert_int_equal(buf[i], pattern((*got)++));
	assert_true(r == 0 || r == -EAGAIN || r == -ENOTCONN);
	*ended = r == 0;
}

static void
listen_again(struct run *x)
{
	utcp_addr_t a = x->p.addr[1];
	int r;

	put16(&a.port_be, 80);
	AGAIN(r, utcp_open(x->p.u[1], a.family, &x->l));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_set(x->l, UTCP_OPT_FASTOPEN, 4));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_bind(x->l, &a));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_listen(x->l, 4));
	assert_int_equal(r, 0);
}

static void
connect_again(struct run *x, int fastopen)
{
	utcp_addr_t a = pair_addr(x->p.addr[1].family, 2, 80);
	int r;

	AGAIN(r, utcp_cc_default(x->p.u[0], "newreno"));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_open(x->p.u[0], a.family, &x->c));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_set(x->c, UTCP_OPT_FASTOPEN_CONNECT, fastopen));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_set_cc(x->c, "bbr"));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_connect(x->c, &a));
	assert_true(r == 0 || r == -EINPROGRESS);
}

/* Data both ways, and the end of it. */
static void
exchange(struct run *x)
{
	unsigned int turn;

	x->s = NULL;
	memset(x->sent, 0, sizeof(x->sent));
	memset(x->got, 0, sizeof(x->got));
	memset(x->ended, 0, sizeof(x->ended));
	for (turn = 0; !x->ended[0] || !x->ended[1]; turn++) {
		assert_true(turn < TURNS);
		write_some(x->c, &x->sent[0]);
		move_some(x, 0);
		if (!x->s)
			(void)utcp_accept(x->l, &x->s);
		/* Before utcp_retain: what it cannot copy ends the
		   connection. */
		if (x->s) {
			read_some(x->s, &x->got[1], &x->ended[1]);
			write_some(x->s, &x->sent[1]);
		}
		utcp_retain(x->p.u[1]);
		move_some(x, 1);
		read_some(x->c, &x->got[0], &x->ended[0]);
		utcp_retain(x->p.u[0]);
		pass_time(&x->p);
	}
	assert_int_equal(x->got[0], TOTAL);
	assert_int_equal(x->got[1], TOTAL);
	utcp_close(x->c);
	utcp_close(x->s);
}

static void
connection(struct run *x)
{
	listen_again(x);
	connect_again(x, 0);
	exchange(x);
}

static void
bad_link(struct run *x)
{
	x->lost = 7;
	connection(x);
}

static void
fast_open(struct run *x)
{
	listen_again(x);
	connect_again(x, 1);
	exchange(x);
	connect_again(x, 1); /* with a cookie */
	exchange(x);
}

/* ---- datagrams -------------------------------------------------------------------- */

static utcp_udp_t *
udp_again(struct run *x, int who)
{
	utcp_addr_t a = x->p.addr[who];
	utcp_udp_t *s;
	int r;

	put16(&a.port_be, 53);
	AGAIN(r, utcp_udp_open(x->p.u[who], a.family, &s));
	assert_int_equal(r, 0);
	AGAIN(r, utcp_udp_bind(s, &a));
	assert_int_equal(r, 0);
	return s;
}

/* A datagram in fragments, which stays unread for a while; one that was lost is
   sent again. */
static void
datagrams(struct run *x)
{
	utcp_udp_t *from = udp_again(x, 0), *to = udp_again(x, 1);
	static uint8_t data[9000];
	utcp_dgram_t d = { .data = data, .len = sizeof(data) }, got;
	int tries, r;

	d.peer = pair_addr(x->p.addr[1].family, 2, 53);
	for (tries = 0; utcp_udp_recv(to, &got, 1) != 1; tries++) {
		assert_true(tries < 3);
		AGAIN(r, utcp_udp_send(from, &d, 1));
		assert_int_equal(r, 1);
		move_some(x, 0);
		utcp_retain(x->p.u[1]);
	}
	assert_int_equal(got.len, sizeof(data));
	/* To nobody: an ICMP error comes back. */
	d.peer = pair_addr(x->p.addr[1].family, 2, 54);
	AGAIN(r, utcp_udp_send(from, &d, 1));
	assert_int_equal(r, 1);
	move_some(x, 0);
	move_some(x, 1);
	utcp_udp_close(from);
	utcp_udp_close(to);
}

/* ---- each in turn ------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*play)(struct run *x);
	int family;
	utcp_config_t cfg;
} scenarios[] = {
	{ "connection", connection, 4, { 0 } },
	{ "bad link", bad_link, 4, { 0 } },
	{ "bad link, IPv6", bad_link, 6, { 0 } },
	{ "GSO",
	  bad_link,
	  4,
	  { .offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP } },
	{ "Fast Open", fast_open, 4, { 0 } },
	{ "datagrams", datagrams, 4, { 0 } },
	{ "datagrams, IPv6", datagrams, 6, { 0 } },
};

/* The how manieth allocation of the scenario fails (0: none); how many there
   were. */
static unsigned long
play(unsigned int nr, unsigned long fails)
{
	struct shortage m = { 0 };
	utcp_config_t c = scenarios[nr].cfg;
	struct run x = { 0 };
	unsigned long first;

	c.alloc = take;
	c.release = give;
	c.alloc_arg = &m;
	pair_init_with(&x.p, scenarios[nr].family, c);
	first = m.count;
	if (fails)
		m.fails = first + fails;
	scenarios[nr].play(&x);
	m.fails = 0;
	pair_end(&x.p);
	assert_int_equal(m.bytes, 0);
	return m.count - first;
}

static void
each_allocation_fails_once(void **state)
{
	unsigned int nr;
	unsigned long i, num;

	(void)state;
	for (nr = 0; nr < sizeof(scenarios) / sizeof(scenarios[0]); nr++) {
		num = play(nr, 0);
		assert_true(num > 5);
		for (i = 1; i <= num; i++)
			(void)play(nr, i);
		print_message("%s: %lu allocations\n", scenarios[nr].name, num);
	}
}

/* Nothing is left of a stack that could not be made. */
static void
no_stack_without_memory(void **state)
{
	struct shortage m = { 0 };
	utcp_config_t c = { .size = sizeof(c),
			    .alloc = take,
			    .release = give,
			    .alloc_arg = &m };
	utcp_t *u = NULL;
	int r;

	(void)state;
	do {
		m.fails++;
		m.count = 0;
		r = utcp_create(&u, &c);
		assert_true(r == 0 || r == -ENOMEM);
		if (r == 0)
			utcp_destroy(u);
		assert_int_equal(m.bytes, 0);
	} while (r != 0);
	assert_true(m.fails > 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_fails_once),
		cmocka_unit_test(no_stack_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
