/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path MTU discovery of TCP between two stacks, over a path that takes less
 * than the interfaces: told by ICMP, or silently.
 */
#include <stdio.h>

#include "utcp_pkt.h"

#define PORT 80
#define RTT (20 * MS)
#define BUFS 64
#define BUF_BYTES 9300

struct flight {
	struct flight *next;
	uint64_t at_ns;
	int to;
	size_t len;
	uint8_t b[];
};

struct path {
	utcp_t *u[2]; /* us, them */
	uint64_t now;
	int family;
	uint32_t mtu; /* of the path */
	bool silent;  /* no ICMP */
	bool frag;    /* IPv4 without DF passes, as a router would cut it */
	struct flight *first, *last;
	utcp_sock_t *listener, *from, *to;
	uint64_t got, sent; /* bytes */
	uint64_t too_big;
	uint32_t longest; /* that came through */
	uint8_t *mem;
};

static struct mk m;

static void
put(struct path *p, int to, uint64_t delay, const uint8_t *ip, size_t len)
{
	struct flight *f = malloc(sizeof(*f) + len);

	assert_non_null(f);
	f->next = NULL;
	f->at_ns = p->now + delay;
	f->to = to;
	f->len = len;
	memcpy(f->b, ip, len);
	if (p->last != NULL)
		p->last->next = f;
	else
		p->first = f;
	p->last = f;
}

/* The router's word about a packet that did not fit. */
static void
tell(struct path *p, const uint8_t *ip, size_t len, uint32_t mtu, int to)
{
	uint8_t head[8] = { 3, 4 };
	size_t n = p->family == 4 ? 4 : 16, at = p->family == 4 ? 12 : 8;

	if (p->family == 6)
		head[0] = 2, head[1] = 0;
	wr32(head + 4, mtu);
	mk_ip(&m, p->family, p->family == 4 ? P_ICMP : P_ICMP6);
	memcpy(m.b + at + n, ip + at, n); /* to who sent it */
	m.b[at + n - 1] = 77;
	mk_put(&m, head, 8);
	mk_put(&m, ip, len < 100 ? len : 100);
	mk_done(&m);
	mk_l4_sum(&m);
	put(p, to, RTT / 4, m.b, m.len);
}

static void
carry(struct path *p, int from, const uint8_t *ip, size_t len)
{
	bool df = ip[0] >> 4 == 6 || (ip[6] & 0x40) != 0;

	if (len > p->mtu && (df || !p->frag)) {
		p->too_big++;
		if (!p->silent)
			tell(p, ip, len, p->mtu, from);
		return;
	}
	if (len > p->longest)
		p->longest = (uint32_t)len;
	put(p, !from, RTT / 2, ip, len);
}

static void
output(struct path *p)
{
	utcp_pkt_t pkt[BUFS];
	int n;

	for (int i = 0; i < 2; i++) {
		do {
			for (int j = 0; j < BUFS; j++) {
				memset(&pkt[j], 0, sizeof(pkt[j]));
				pkt[j].data = p->mem + j * BUF_BYTES;
				pkt[j].len = BUF_BYTES;
			}
			n = utcp_output(p->u[i], pkt, BUFS);
			assert_true(n >= 0);
			for (int j = 0; j < n; j++)
				carry(p, i, pkt[j].data + L2, pkt[j].len - L2);
		} while (n > 0);
	}
}

/* The application: as much as it takes, whenever there is room. */
static void
apply(struct path *p, uint64_t total)
{
	static uint8_t data[65536];
	ssize_t n;

	while (p->from != NULL && p->sent < total) {
		size_t len = sizeof(data);

		if (len > total - p->sent)
			len = (size_t)(total - p->sent);
		n = utcp_write(p->from, data, len, 0);
		if (n <= 0)
			break;
		p->sent += (uint64_t)n;
	}
	if (p->to == NULL && utcp_accept(p->listener, &p->to) != 0)
		return;
	while ((n = utcp_read(p->to, data, sizeof(data), 0)) > 0)
		p->got += (uint64_t)n;
}

/* Until `total` bytes have come, or `until`. */
static void
run(struct path *p, uint64_t total, uint64_t until)
{
	while (p->got < total && p->now < until) {
		uint64_t next;
		struct flight *f;

		apply(p, total);
		output(p);
		next = utcp_next_ns(p->u[0]);
		if (utcp_next_ns(p->u[1]) < next)
			next = utcp_next_ns(p->u[1]);
		if (p->first != NULL && p->first->at_ns < next)
			next = p->first->at_ns;
		if (next > until)
			next = until;
		if (next > p->now)
			p->now = next;
		utcp_advance(p->u[0], p->now);
		utcp_advance(p->u[1], p->now);
		while ((f = p->first) != NULL && f->at_ns <= p->now) {
			p->first = f->next;
			if (f->next == NULL)
				p->last = NULL;
			give(p->u[f->to], f->b, f->len);
			free(f);
		}
	}
	if (p->now < until && p->got >= total)
		apply(p, total);
}

static void
quiet(struct path *p, uint64_t ns)
{
	uint64_t sent = p->sent;

	p->sent = UINT64_MAX;
	run(p, UINT64_MAX, p->now + ns);
	p->sent = sent;
}

/* Some data each second, for so many of them. */
static void
flow(struct path *p, int seconds)
{
	while (seconds-- > 0) {
		run(p, p->got + 200000, p->now + SECOND);
		quiet(p, SECOND);
	}
}

static void
connect_them(struct path *p)
{
	utcp_addr_t a = them(p->family, PORT);

	assert_int_equal(utcp_open(p->u[0], p->family, &p->from), 0);
	assert_int_equal(utcp_connect(p->from, &a), -EINPROGRESS);
	p->to = NULL;
	p->got = p->sent = 0;
}

static void
begin_with(struct path *p, int family, uint32_t iface, uint32_t mtu)
{
	utcp_config_t cfg = { .mtu = iface, .now_ns = SECOND };
	utcp_addr_t a;

	memset(p, 0, sizeof(*p));
	p->now = SECOND;
	p->family = family;
	p->mtu = mtu;
	p->mem = malloc((size_t)BUFS * BUF_BYTES);
	assert_non_null(p->mem);
	for (int i = 0; i < 2; i++) {
		cfg.seed[0] = (uint8_t)i;
		p->u[i] = stack_new(&cfg);
	}
	a = us(family, 0);
	assert_int_equal(utcp_address(p->u[1], &a, 0), 0);
	a = them(family, 0);
	assert_int_equal(utcp_address(p->u[1], &a, 1), 0);
	assert_int_equal(utcp_open(p->u[1], family, &p->listener), 0);
	a = them(family, PORT);
	assert_int_equal(utcp_bind(p->listener, &a), 0);
	assert_int_equal(utcp_listen(p->listener, 4), 0);
}

static void
begin(struct path *p, int family, uint32_t iface, uint32_t mtu)
{
	begin_with(p, family, iface, mtu);
	connect_them(p);
}

static void
end(struct path *p)
{
	struct flight *f;

	while ((f = p->first) != NULL) {
		p->first = f->next;
		free(f);
	}
	utcp_destroy(p->u[0]);
	utcp_destroy(p->u[1]);
	free(p->mem);
}

static utcp_info_t
info(const struct path *p)
{
	utcp_info_t i = { .size = sizeof(i) };

	assert_int_equal(utcp_info(p->from, &i), 0);
	return i;
}

/* ---- told -------------------------------------------------------------- */

static void
a_told_mtu_is_kept_to(void **state)
{
	static const uint32_t mtus[] = { 1499, 1400, 1280, 600, 552 };
	struct path p;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		for (int i = 0; i < 5; i++) {
			if (family == 6 && mtus[i] < 1280)
				continue;
			begin(&p, family, 1500, mtus[i]);
			run(&p, 300000, p.now + 20 * SECOND);
			assert_int_equal(p.got, 300000);
			assert_int_equal(info(&p).pmtu, mtus[i]);
			assert_int_equal(p.longest, mtus[i]);
			/* What was in flight when it was told, no more. */
			assert_in_range(p.too_big, 1, 12);
			assert_int_equal(ctr(p.u[0], UTCP_CTR_TIMEOUTS), 0);
			assert_in_range(p.now, SECOND, SECOND + 30 * RTT);
			end(&p);
		}
	}
}

static void
the_next_connection_knows_it(void **state)
{
	struct path p;

	(void)state;
	begin(&p, 4, 1500, 1300);
	run(&p, 50000, p.now + 20 * SECOND);
	p.too_big = 0;
	connect_them(&p);
	run(&p, 50000, p.now + 20 * SECOND);
	assert_int_equal(p.got, 50000);
	assert_int_equal(p.too_big, 0);
	assert_int_equal(info(&p).pmtu, 1300);
	end(&p);
}

/* Claims about the packet that the connection has in flight. */
static void
claim(struct path *p, uint32_t mtu, int32_t seq_off)
{
	utcp_info_t i = info(p);
	uint8_t q[60] = { 0 };
	utcp_addr_t a;

	if (p->family == 4) {
		q[0] = 0x45;
		q[2] = 5;
		q[9] = P_TCP;
		memcpy(q + 12, us4, 4);
		memcpy(q + 16, them4, 4);
	} else {
		q[0] = 0x60;
		q[4] = 5;
		q[6] = P_TCP;
		memcpy(q + 8, us6, 16);
		memcpy(q + 24, them6, 16);
	}
	assert_int_equal(utcp_getsockname(p->from, &a), 0);
	memcpy(q + (p->family == 4 ? 20 : 40), &a.port_be, 2);
	wr16(q + (p->family == 4 ? 22 : 42), PORT);
	wr32(q + (p->family == 4 ? 24 : 44), i.snd_una + (uint32_t)seq_off);
	tell(p, q, sizeof(q), mtu, 0);
	give(p->u[0], m.b, m.len);
	/* and not over the path as well */
	while (p->first != NULL) {
		struct flight *f = p->first;

		p->first = f->next;
		free(f);
	}
	p->last = NULL;
}

static void
lies_are_not_believed(void **state)
{
	static const uint8_t full[1400];
	struct path p;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		begin(&p, family, 1500, 1500);
		quiet(&p, 10 * RTT);
		assert_true(p.to != NULL);
		/* nothing in flight */
		claim(&p, 1280, 0);
		assert_int_equal(info(&p).pmtu, 1500);
		assert_int_equal(ctr(p.u[0], UTCP_CTR_DROP_WINDOW), 1);
		assert_int_equal(utcp_write(p.from, full, sizeof(full), 0),
				 sizeof(full));
		output(&p);
		claim(&p, 1280, -1);
		claim(&p, 1280, sizeof(full));
		claim(&p, 1280, 1 << 30);
		assert_int_equal(ctr(p.u[0], UTCP_CTR_DROP_WINDOW), 4);
		claim(&p, 1500, 0);
		claim(&p, 9000, 0);
		claim(&p, 65535, 4);
		assert_int_equal(info(&p).pmtu, 1500);
		claim(&p, family == 4 ? 67 : 1279, 0);
		assert_int_equal(info(&p).pmtu, 1500);
		assert_int_equal(ctr(p.u[0], UTCP_CTR_PMTU), 0);
		/* In flight and smaller: believed, down to a floor. */
		claim(&p, 1400, 4);
		assert_int_equal(info(&p).pmtu, 1400);
		claim(&p, family == 4 ? 68 : 1280, 0);
		assert_int_equal(info(&p).pmtu, family == 4 ? 552 : 1280);
		assert_int_equal(ctr(p.u[0], UTCP_CTR_PMTU), 2);
		end(&p);
	}
}

static void
below_the_floor_routers_may_cut(void **state)
{
	struct path p;

	(void)state;
	/* Narrower than we believe in: without DF it goes through. */
	begin(&p, 4, 1500, 400);
	p.frag = true;
	run(&p, 50000, p.now + 30 * SECOND);
	assert_int_equal(p.got, 50000);
	assert_int_equal(info(&p).pmtu, 552);
	end(&p);
}

static void
discovery_can_be_off(void **state)
{
	struct path p;

	(void)state;
	begin_with(&p, 4, 1500, 1400);
	p.frag = true;
	connect_them(&p);
	assert_int_equal(utcp_set(p.from, UTCP_OPT_PMTUD, 0), 0);
	run(&p, 50000, p.now + 10 * SECOND);
	assert_int_equal(p.got, 50000);
	assert_int_equal(p.too_big, 0); /* no DF */
	assert_int_equal(info(&p).pmtu, 1500);
	/* and who says something is not heard */
	assert_int_equal(utcp_write(p.from, "hello", 5, 0), 5);
	output(&p);
	claim(&p, 1280, 0);
	assert_int_equal(info(&p).pmtu, 1500);
	end(&p);
}

/* ---- silent ------------------------------------------------------------ */

static void
a_black_hole_is_found(void **state)
{
	static const struct {
		uint32_t iface, mtu;
	} cases[] = {
		{ 1500, 1492 }, { 1500, 1400 }, { 1500, 1281 }, { 1500, 1280 },
		{ 9000, 1500 }, { 9000, 4000 }, { 1500, 1000 }, { 1500, 552 },
	};
	struct path p;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		for (int i = 0; i < 8; i++) {
			uint32_t mtu = cases[i].mtu;

			if (family == 6 && mtu < 1280)
				continue;
			begin(&p, family, cases[i].iface, mtu);
			p.silent = true;
			run(&p, 100000, p.now + 60 * SECOND);
			assert_int_equal(p.got, 100000);
			/* The search goes on while data flows. */
			flow(&p, 40);
			assert_in_range(info(&p).pmtu, mtu - 8, mtu);
			assert_true(p.longest <= mtu);
			end(&p);
		}
	}
}

static void
by_icmp_alone_it_is_not(void **state)
{
	struct path p;

	(void)state;
	begin_with(&p, 4, 1500, 1400);
	p.silent = true;
	connect_them(&p);
	assert_int_equal(utcp_set(p.from, UTCP_OPT_PMTUD, 1), 0);
	run(&p, 100000, p.now + 60 * SECOND);
	assert_int_equal(p.got, 0);
	assert_int_equal(info(&p).pmtu, 1500);
	end(&p);
}

static void
plain_loss_is_no_black_hole_for_long(void **state)
{
	struct path p;

	(void)state;
	begin(&p, 4, 1500, 1500);
	run(&p, 1000000, p.now + 10 * SECOND);
	/* Nothing gets through for some seconds. */
	p.mtu = 0;
	p.silent = true;
	run(&p, 2000000, p.now + 5 * SECOND);
	assert_true(p.got < 2000000);
	p.mtu = 1500;
	flow(&p, 20);
	assert_int_equal(info(&p).pmtu, 1500);
	end(&p);
}

/* ---- up again ---------------------------------------------------------- */

static void
it_is_raised_after_ten_minutes(void **state)
{
	struct path p;

	(void)state;
	for (int mode = 1; mode <= 2; mode++) {
		begin_with(&p, 4, 1500, 1400);
		connect_them(&p);
		assert_int_equal(utcp_set(p.from, UTCP_OPT_PMTUD, mode), 0);
		run(&p, 1000000, p.now + 10 * SECOND);
		assert_int_equal(info(&p).pmtu, 1400);
		p.mtu = 1500;
		quiet(&p, 590 * SECOND);
		p.sent = p.got = 0;
		run(&p, 1000000, p.now + 8 * SECOND);
		assert_int_equal(info(&p).pmtu, 1400);
		quiet(&p, 12 * SECOND);
		p.sent = p.got = 0;
		run(&p, 2000000, p.now + 60 * SECOND);
		assert_int_equal(p.got, 2000000);
		assert_int_equal(info(&p).pmtu, 1500);
		end(&p);
	}
}

static void
a_probe_is_data_and_its_loss_costs_little(void **state)
{
	struct path p;

	(void)state;
	for (int silent = 0; silent < 2; silent++) {
		begin(&p, 4, 1500, 1400);
		run(&p, 1000000, p.now + 10 * SECOND);
		p.silent = silent;
		p.too_big = 0;
		quiet(&p, 601 * SECOND);
		p.sent = p.got = 0;
		run(&p, 4000000, p.now + 60 * SECOND);
		assert_int_equal(p.got, 4000000);
		/* Still so narrow: some probes, each lost alone. */
		assert_in_range(p.too_big, 1, 8);
		assert_int_equal(info(&p).pmtu, 1400);
		assert_int_equal(ctr(p.u[0], UTCP_CTR_TIMEOUTS), 0);
		assert_int_equal(ctr(p.u[0], UTCP_CTR_FAST_RECOVERY), 0);
		end(&p);
	}
}

/* One that never pauses, and whose window is always full. */
static void
a_steady_flow_makes_room_for_probes(void **state)
{
	struct path p;

	(void)state;
	for (int big = 0; big < 2; big++) {
		uint32_t mtu = big ? 9000 : 1440;

		begin_with(&p, 4, big ? 9000 : 1500, mtu);
		assert_int_equal(utcp_set(p.listener, UTCP_OPT_RCVBUF, 65536),
				 0);
		p.silent = true;
		connect_them(&p);
		run(&p, 1000, p.now + 10 * SECOND);
		p.mtu = big ? 1400 : 1300;
		run(&p, 200000, p.now + 10 * SECOND);
		assert_int_equal(info(&p).pmtu, 1280);
		p.mtu = mtu;
		run(&p, UINT64_MAX, p.now + 15 * SECOND);
		assert_in_range(info(&p).pmtu, mtu - 8, mtu);
		end(&p);
	}
}

static void
the_interface_may_change(void **state)
{
	struct path p;

	(void)state;
	begin(&p, 4, 1500, 9000);
	run(&p, 100000, p.now + 10 * SECOND);
	assert_int_equal(utcp_set_mtu(p.u[0], 1300), 0);
	assert_int_equal(info(&p).pmtu, 1300);
	p.longest = 0;
	run(&p, 200000, p.now + 10 * SECOND);
	assert_int_equal(p.got, 200000);
	assert_int_equal(p.longest, 1300);
	assert_int_equal(utcp_set_mtu(p.u[0], 1500), 0);
	run(&p, 400000, p.now + 10 * SECOND);
	assert_int_equal(info(&p).pmtu, 1500);
	assert_int_equal(p.longest, 1500);
	end(&p);
}

/* RFC 8200 section 5: no link that carries IPv6 is so narrow. */
static void
the_least_interface_carries_segments(void **state)
{
	struct path p;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		begin(&p, family, 1500, 1500);
		run(&p, 100000, p.now + 20 * SECOND);
		assert_int_equal(utcp_set_mtu(p.u[0], 68), 0);
		run(&p, 200000, p.now + 600 * SECOND);
		assert_int_equal(p.got, 200000);
		assert_int_equal(info(&p).pmtu, family == 4 ? 68 : 1280);
		assert_int_equal(info(&p).mss, family == 4 ? 16 : 1208);
		connect_them(&p);
		run(&p, 10000, p.now + 60 * SECOND);
		assert_int_equal(p.got, 10000);
		assert_int_equal(info(&p).pmtu, family == 4 ? 68 : 1280);
		end(&p);
	}
}

static void
a_wider_interface_asks_the_path(void **state)
{
	struct path p;

	(void)state;
	begin(&p, 4, 1500, 1400);
	run(&p, 100000, p.now + 10 * SECOND);
	assert_int_equal(info(&p).pmtu, 1400);
	p.mtu = 1480;
	assert_int_equal(utcp_set_mtu(p.u[0], 9000), 0);
	/* Not at once: the path was narrower than the interface before. */
	assert_int_equal(info(&p).pmtu, 1400);
	flow(&p, 20);
	assert_in_range(info(&p).pmtu, 1472, 1480);
	/* and never beyond what the peer takes */
	p.mtu = 9000;
	quiet(&p, 601 * SECOND);
	flow(&p, 20);
	assert_int_equal(info(&p).pmtu, 1500);
	assert_int_equal(p.longest, 1500);
	end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_told_mtu_is_kept_to),
		cmocka_unit_test(the_next_connection_knows_it),
		cmocka_unit_test(lies_are_not_believed),
		cmocka_unit_test(below_the_floor_routers_may_cut),
		cmocka_unit_test(discovery_can_be_off),
		cmocka_unit_test(a_black_hole_is_found),
		cmocka_unit_test(by_icmp_alone_it_is_not),
		cmocka_unit_test(plain_loss_is_no_black_hole_for_long),
		cmocka_unit_test(it_is_raised_after_ten_minutes),
		cmocka_unit_test(a_probe_is_data_and_its_loss_costs_little),
		cmocka_unit_test(a_steady_flow_makes_room_for_probes),
		cmocka_unit_test(the_interface_may_change),
		cmocka_unit_test(the_least_interface_carries_segments),
		cmocka_unit_test(a_wider_interface_asks_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
