/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_rules.c: what a port may send: each refusal has its counter, the same as
 * in the user-space host. The tables are tests/hostile/tx_rules.h.
 */
#include "../hostile/tx_rules.h"
#include "kt.h"

static const uint8_t any[16];
static struct kt_port port;  /* as tx_rules.h has it */
static struct kt_port other; /* UDP 5002 */
static int raw;		     /* the far end */
static uint8_t frame[65600];

static void
bind_usual(void)
{
	static const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_TCP,
					  IPPROTO_SCTP, 253 };
	unsigned int i;

	for (i = 0; i < KT_COUNT(protos); i++) {
		uint16_t n = protos[i] == 253 ? 0 : 5001;
		int r = kt_bind(&port, rig_tuple4(rig_ip, protos[i], n));

		if (r != -EPROTONOSUPPORT)
			CHECK_EQ(r, 0);
	}
	CHECK_EQ(kt_bind(&port, rig_tuple6(rig_ip6, IPPROTO_UDP, 5001)), 0);
	CHECK_EQ(kt_bind(&port, rig_tuple6(rig_ip6, IPPROTO_TCP, 5001)), 0);
	CHECK_EQ(kt_bind(&other, rig_tuple4(rig_ip, IPPROTO_UDP, 5002)), 0);
}

static void
setup(void)
{
	raw = os_raw_open();
	kt_port_open(&port);
	kt_port_open(&other);
	bind_usual();
}

static void
teardown(void)
{
	kt_port_close(&port);
	kt_port_close(&other);
	close(raw);
}

static uint64_t
drops(const uint64_t c[MS_CTR_MAX])
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = MS_CTR_DROP_RX_FULL; i <= MS_CTR_DROP_NOMEM; i++)
		sum += c[i];
	return sum;
}

/* What is in the ring, one frame, is sent; one counter says what came of it. */
static void
expect(const char *name, const struct kt_port *p, enum ms_counter which)
{
	struct ms_ring *r = kt_ring(p, false, 0);
	uint64_t before[MS_CTR_MAX], after[MS_CTR_MAX];
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	unsigned int i;

	kt_stats(p->fd, NULL, before);
	CHECK_EQ(kt_sync(p, false, 0), 0);
	while (__atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) !=
	       r->head + p->geo.slots)
		CHECK(kt_now_ms() < until);
	kt_stats(p->fd, NULL, after);
	for (i = MS_CTR_DROP_RX_FULL; i <= MS_CTR_DROP_NOMEM; i++)
		if (after[i] - before[i] != (i == which))
			kt_fail(__FILE__, __LINE__,
				"%s: %s went from %llu to %llu, and %s was "
				"expected to move",
				name, kt_counter_name(i),
				(unsigned long long)before[i],
				(unsigned long long)after[i],
				kt_counter_name(which));
	CHECK_EQ(after[OK] - before[OK], which == OK);
	CHECK_EQ(r->lost, (uint32_t)drops(after));
}

static void
put_expect(const char *name, uint32_t len, enum ms_counter which)
{
	CHECK_EQ(kt_put(&port, 0, frame, len), 0);
	expect(name, &port, which);
}

/* ---- the tables ---------------------------------------------------------------------- */

static void
every_rule_has_its_counter(void)
{
	uint32_t len;
	unsigned int i;

	setup();
	for (i = 0; i < KT_COUNT(changed); i++) {
		len = udp4(frame);
		frame[changed[i].at] = changed[i].value;
		if (changed[i].sum)
			rig_fix4(frame);
		put_expect(changed[i].name, len, changed[i].which);
	}
	teardown();
}

static void
offload_metadata(void)
{
	struct ms_ring *r;
	struct ms_slot *s;
	unsigned int i;
	uint32_t len;

	setup();
	r = kt_ring(&port, false, 0);
	for (i = 0; i < KT_COUNT(offloads); i++) {
		const struct offload *o = &offloads[i];

		memset(frame, 0, 2048);
		len = build_offload(frame, o);
		s = &kt_slots(r)[r->head & (port.geo.slots - 1)];
		CHECK_EQ(kt_put(&port, 0, frame, len), 0);
		s->gso_type = o->gso_type;
		s->gso_size = o->gso_size;
		s->csum_start = o->csum_start;
		s->csum_offset = o->csum_offset;
		if (o->csum_start != 0)
			s->flags = MS_SLOT_CSUM_PARTIAL;
		expect(o->name, &port, o->which);
	}
	teardown();
}

static void
short_frames(void)
{
	uint32_t len, n;

	setup();
	len = udp4(frame);
	for (n = 1; n < len; n++)
		put_expect("a short frame", n, MS_CTR_DROP_TX_SHORT);
	len = tcp6(frame, 0);
	for (n = 1; n < len; n++)
		put_expect("a short IPv6 frame", n, MS_CTR_DROP_TX_SHORT);
	put_expect("the whole frame", len, OK);
	teardown();
}

static void
fragments_follow_an_own_first_one(void)
{
	setup();
	put_expect("a later one first", fragment(frame, 7, 0x2003, 0),
		   MS_CTR_DROP_TX_FRAGMENT);
	put_expect("the first", fragment(frame, 7, 0x2000, 5001), OK);
	put_expect("the next", fragment(frame, 7, 0x2003, 0), OK);
	put_expect("the last", fragment(frame, 7, 0x0006, 0), OK);
	put_expect("another's", fragment(frame, 8, 0x0006, 0),
		   MS_CTR_DROP_TX_FRAGMENT);
	put_expect("a foreign first", fragment(frame, 9, 0x2000, 5002),
		   MS_CTR_DROP_TX_FOREIGN);
	put_expect("behind that", fragment(frame, 9, 0x0006, 0),
		   MS_CTR_DROP_TX_FRAGMENT);
	teardown();
}

static void
nothing_without_a_name(void)
{
	uint32_t len;

	raw = os_raw_open();
	kt_port_open(&port);
	len = udp4(frame);
	put_expect("unbound", len, MS_CTR_DROP_TX_UNBOUND);
	CHECK_EQ(kt_bind(&port, rig_tuple4(rig_ip, IPPROTO_UDP, 5001)), 0);
	put_expect("bound", len, OK);
	CHECK_EQ(kt_unbind(&port, rig_tuple4(rig_ip, IPPROTO_UDP, 5001)), 0);
	put_expect("unbound again", len, MS_CTR_DROP_TX_UNBOUND);
	CHECK_EQ(kt_bind(&port, rig_tuple4(any, IPPROTO_UDP, 5001)), 0);
	put_expect("bound to any", len, OK);
	frame[29] = 77;
	rig_fix4(frame);
	put_expect("any, but not a stranger's", len, MS_CTR_DROP_TX_UNBOUND);
	kt_port_close(&port);
	close(raw);
}

static void
longer_than_the_wire_allows(void)
{
	setup();
	put_expect("1500", tcp4(frame, 1460), OK);
	put_expect("1501", tcp4(frame, 1461), MS_CTR_DROP_TX_LONG);
	put_expect("IPv6, 1500", tcp6(frame, 1440), OK);
	put_expect("IPv6, 1501", tcp6(frame, 1441), MS_CTR_DROP_TX_LONG);
	put_expect("9000", tcp4(frame, 8960), MS_CTR_DROP_TX_LONG);
	teardown();
}

/* ---- slots ---------------------------------------------------------------------------- */

static const struct {
	const char *what;
	uint32_t buf;
	uint16_t len, flags;
} slots[] = {
	{ "a buffer past the pool", 0x10000, 58, 0 },
	{ "a buffer of all ones", 0xffffffff, 58, 0 },
	{ "a length past the buffer", 0, 2049, 0 },
	{ "a length of 65536 in 2048", 0, 0, 0 },
	{ "a length of all ones", 0, 0xffff, 0 },
	{ "a flag of reception", 0, 58, MS_SLOT_CSUM_OK },
	{ "a tap's flag", 0, 58, MS_SLOT_TAP_TX },
	{ "all flags but MORE", 0, 58, 0xfffe },
};

static void
slots_of_nonsense(void)
{
	struct ms_ring *r;
	struct ms_slot *s, good;
	unsigned int i;

	setup();
	r = kt_ring(&port, false, 0);
	for (i = 0; i < KT_COUNT(slots); i++) {
		s = &kt_slots(r)[r->head & (port.geo.slots - 1)];
		good = *s;
		CHECK_EQ(kt_put(&port, 0, frame, udp4(frame)), 0);
		if (slots[i].buf != 0)
			s->buf = slots[i].buf;
		s->len = slots[i].len;
		s->flags = slots[i].flags;
		expect(slots[i].what, &port, MS_CTR_DROP_TX_SLOT);
		*s = good;
	}
	put_expect("a good one behind them", udp4(frame), OK);
	teardown();
}

/* Slots whose MORE never ends are one frame that is refused. */
static void
a_frame_of_too_many_slots(void)
{
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	struct ms_ring *r;
	unsigned int i;

	setup();
	r = kt_ring(&port, false, 0);
	for (i = 0; i < port.geo.slots; i++) {
		struct ms_slot *s;

		s = &kt_slots(r)[r->head & (port.geo.slots - 1)];
		CHECK_EQ(kt_put(&port, 0, frame, udp4(frame)), 0);
		s->flags = MS_SLOT_MORE;
	}
	CHECK_EQ(kt_sync(&port, false, 0), 0);
	while (kt_counter(&port, MS_CTR_DROP_TX_SLOT) == 0)
		CHECK(kt_now_ms() < until);
	CHECK_EQ(kt_counter(&port, OK), 0);
	kt_port_close(&port);
	kt_port_open(&port);
	CHECK_EQ(kt_bind(&port, rig_tuple4(rig_ip, IPPROTO_UDP, 5001)), 0);
	put_expect("another port's", udp4(frame), OK);
	teardown();
}

static void
heads_of_nonsense(void)
{
	static const uint32_t off[] = { 1,	    64,		65,
					0x7fffffff, 0x80000000, 0xffffffff };
	struct ms_ring *tx, *rx;
	unsigned int i;
	uint32_t head;

	setup();
	tx = kt_ring(&port, false, 0);
	rx = kt_ring(&port, true, 0);
	for (i = 0; i < KT_COUNT(off); i++) {
		head = tx->head;
		/* behind, or past the tail */
		tx->head = tx->tail + off[i];
		CHECK_EQ(kt_sync(&port, false, 0), 0);
		tx->head = head - off[i];
		CHECK_EQ(kt_sync(&port, false, 0), 0);
		tx->head = head;
		rx->head += off[i];
		kt_far_udp(raw, 5001, "x", 1);
		CHECK_EQ(kt_sync(&port, true, 0), 0);
		rx->head -= off[i];
	}
	CHECK(kt_counter(&port, MS_CTR_BAD_HEAD) > 0);
	teardown();
	/* its neighbour of then is as it was */
	setup();
	CHECK_EQ(kt_put(&other, 0, frame, rig_udp_out(frame, 5002, 9, "x", 1)),
		 0);
	expect("the neighbour", &other, OK);
	teardown();
}

/* The region's header and what the switch wrote into rings is for the user
   alone: the switch reads nothing of it. */
static void
what_the_switch_wrote_may_be_spoiled(void)
{
	struct ms_region *g;
	unsigned int ring;

	setup();
	g = port.region;
	memset(g, 0xff, sizeof(*g));
	for (ring = 0; ring < 2; ring++) {
		struct ms_ring *r = kt_ring(&port, ring, 0);

		r->num_slots = r->buf_bytes = r->slots_ofs = 0xffffffff;
		r->is_rx = r->index = 0xffff;
		r->doze = 0;
	}
	put_expect("with nonsense around it", udp4(frame), OK);
	kt_far_udp(raw, 5001, "x", 1);
	CHECK(kt_recv(&port, 0, frame, sizeof(frame), KT_WAIT_MS) != 0);
	teardown();
}

const struct kt_case kt_cases_rules[] = {
	{ .name = "every rule has its counter",
	  .run = every_rule_has_its_counter },
	{ .name = "offload metadata", .run = offload_metadata },
	{ .name = "short frames", .run = short_frames },
	{ .name = "fragments follow an own first one",
	  .run = fragments_follow_an_own_first_one },
	{ .name = "nothing without a name", .run = nothing_without_a_name },
	{ .name = "longer than the wire allows",
	  .run = longer_than_the_wire_allows },
	{ .name = "slots of nonsense", .run = slots_of_nonsense },
	{ .name = "a frame of too many slots",
	  .run = a_frame_of_too_many_slots },
	{ .name = "heads of nonsense", .run = heads_of_nonsense },
	{ .name = "what the switch wrote may be spoiled",
	  .run = what_the_switch_wrote_may_be_spoiled },
	{ 0 },
};
