/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_switch_tx.c: what ports send: the rules and the counter of each
 * refusal, where frames go, what the ring's owner sees of it, whose turn it
 * is.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "../hostile/rig.h"

#define SLOTS 64
#define OK MS_CTR_TX_FRAMES

static const uint8_t any4[4];

static struct rig rig;
static struct ms_port *port;  /* udp and tcp 5001, sctp 5001, protocol 253 */
static struct ms_port *other; /* udp 5002 */
static struct ms_ring *tx;
static struct ms_waiter bell;

static struct ms_port *
make_port(uint32_t slots)
{
	struct ms_port *p;

	assert_int_equal(rig_port_sized(&rig, &rig_root, 2, 2, slots, &p), 0);
	return p;
}

static void
bind4(struct ms_port *p, const uint8_t addr[4], uint8_t proto, uint16_t n)
{
	assert_int_equal(
	    rig_bind(&rig, &rig_root, p, rig_tuple4(addr, proto, n)), 0);
}

static void
bind6(struct ms_port *p, uint8_t proto, uint16_t n)
{
	assert_int_equal(
	    rig_bind(&rig, &rig_root, p, rig_tuple6(rig_ip6, proto, n)), 0);
}

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig, 1);
	port = make_port(SLOTS);
	other = make_port(SLOTS);
	bind4(port, rig_ip, IPPROTO_UDP, 5001);
	bind4(port, rig_ip, IPPROTO_TCP, 5001);
	bind4(port, rig_ip, IPPROTO_SCTP, 5001);
	bind4(port, rig_ip, 253, 0);
	bind6(port, IPPROTO_UDP, 5001);
	bind6(port, IPPROTO_TCP, 5001);
	bind4(other, rig_ip, IPPROTO_UDP, 5002);
	tx = rig_ring(port, false, 0);
	/* no wake-up for a long time, unless a test asks for it */
	tx->wake = tx->tail + 0x40000000;
	bell.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(bell.wake_fd >= 0);
	port->tx[0].waiter = &bell;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	while (rig.sw->ports != NULL)
		ms_port_destroy(rig.sw->ports);
	rig_deinit(&rig);
	close(bell.wake_fd);
	return 0;
}

static uint64_t
wakes(void)
{
	uint64_t n;

	return read(bell.wake_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static uint64_t
counter(struct ms_port *p, enum ms_counter which)
{
	return rig_counter(&rig, p, which);
}

/* The slot that the next frame of port goes into. */
static struct ms_slot *
next_slot(void)
{
	return &rig_slots(tx)[tx->head & (SLOTS - 1)];
}

static void
kick(struct ms_port *p)
{
	ms_kring_tx_ready(&p->tx[0]);
	rig_run(&rig, 0);
}

/* The sum of all counters that say a frame was not forwarded. */
static uint64_t
drops(struct ms_port *p)
{
	uint64_t ctr[MS_CTR_MAX], sum = 0;
	unsigned int i;

	rig_stats(&rig, p, ctr);
	for (i = MS_CTR_DROP_RX_FULL; i <= MS_CTR_DROP_NOMEM; i++)
		sum += ctr[i];
	return sum;
}

/* Sends what is in the ring already, one frame, and says what came of it. */
static void
expect(enum ms_counter which)
{
	uint64_t sent = counter(port, OK), lost = drops(port);
	uint64_t before = counter(port, which), nic = counter(NULL, which);

	kick(port);
	assert_int_equal(counter(port, which), before + 1);
	assert_int_equal(counter(NULL, which), nic + 1);
	assert_int_equal(counter(port, OK), sent + (which == OK));
	assert_int_equal(drops(port), lost + (which != OK));
	assert_int_equal(tx->lost, drops(port));
	assert_int_equal(tx->tail, tx->head + SLOTS);
}

static void
send_expect(const uint8_t *frame, uint32_t len, enum ms_counter which)
{
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	expect(which);
}

/* ---- frames ------------------------------------------------------------------ */

static uint32_t
udp4(uint8_t *p)
{
	return rig_udp_out(p, 5001, 9, "0123456789abcdef", 16);
}

static uint32_t
tcp4(uint8_t *p, uint32_t payload)
{
	memset(p + 34, 0, 20 + payload);
	rig_put16(p + 34, 5001);
	rig_put16(p + 36, 9);
	p[46] = 0x50;
	return rig_ip4(p, false, rig_ip, rig_peer_ip, IPPROTO_TCP,
		       20 + payload);
}

static uint32_t
tcp6(uint8_t *p, uint32_t payload)
{
	memset(p + 54, 0, 20 + payload);
	rig_put16(p + 54, 5001);
	rig_put16(p + 56, 9);
	p[66] = 0x50;
	return rig_ip6_hdr(p, false, rig_ip6, rig_peer_ip6, IPPROTO_TCP,
			   20 + payload);
}

static uint32_t
udp6(uint8_t *p)
{
	rig_udp(p + 54, 5001, 9, "x", 1);
	return rig_ip6_hdr(p, false, rig_ip6, rig_peer_ip6, IPPROTO_UDP, 9);
}

/* ---- the rules ------------------------------------------------------------------ */

static void
test_own_tuples_may_send(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = udp4(frame);
	send_expect(frame, len, OK);
	assert_memory_equal(rig.wire.kept[0].data, frame, len);
	send_expect(frame, tcp4(frame, 7), OK);
	send_expect(frame, tcp6(frame, 7), OK);
	send_expect(frame, udp6(frame), OK);
	memset(frame + 34, 0, 40);
	rig_put16(frame + 34, 5001);
	len = rig_ip4(frame, false, rig_ip, rig_peer_ip, IPPROTO_SCTP, 30);
	send_expect(frame, len, OK);
	len = rig_ip4(frame, false, rig_ip, rig_peer_ip, 253, 30);
	send_expect(frame, len, OK);
	assert_int_equal(rig.wire.frames, 6);
	assert_int_equal(counter(port, MS_CTR_TX_BYTES),
			 58 + 61 + 81 + 63 + 64 + 64);
}

/* One byte of a good UDP frame changed; the checksum is made right again. */
static const struct {
	const char *name;
	uint32_t at;
	uint8_t value;
	bool sum;
	enum ms_counter which;
} changed[] = {
	{ "destination MAC", 5, 77, true, OK },
	{ "source MAC, first byte", 6, 4, true, MS_CTR_DROP_TX_MAC },
	{ "source MAC, last byte", 11, 77, true, MS_CTR_DROP_TX_MAC },
	{ "ethertype", 13, 6, false, MS_CTR_DROP_TX_ETHER },
	{ "version", 14, 0x65, true, MS_CTR_DROP_TX_HEADER },
	{ "header length", 14, 0x44, false, MS_CTR_DROP_TX_HEADER },
	{ "total length", 17, 45, true, MS_CTR_DROP_TX_SHORT },
	{ "total length of 2^8 more", 16, 1, true, MS_CTR_DROP_TX_SHORT },
	{ "checksum", 24, 0x12, false, MS_CTR_DROP_TX_HEADER },
	{ "later fragment", 21, 1, true, MS_CTR_DROP_TX_FRAGMENT },
	{ "protocol", 23, 1, true, MS_CTR_DROP_TX_UNBOUND },
	{ "protocol, portless", 23, 254, true, MS_CTR_DROP_TX_UNBOUND },
	{ "source address", 29, 77, true, MS_CTR_DROP_TX_UNBOUND },
	{ "source port of nobody", 35, 0x8b, true, MS_CTR_DROP_TX_UNBOUND },
	{ "source port of another", 35, 0x8a, true, MS_CTR_DROP_TX_FOREIGN },
	{ "destination address", 33, 77, true, OK },
	{ "UDP length", 39, 7, true, MS_CTR_DROP_TX_HEADER },
	{ "UDP length past IP", 39, 25, true, MS_CTR_DROP_TX_HEADER },
};

static void
test_every_rule_has_its_counter(void **state)
{
	uint8_t frame[256];
	uint32_t len;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
		print_message("  %s\n", changed[i].name);
		len = udp4(frame);
		frame[changed[i].at] = changed[i].value;
		if (changed[i].sum)
			rig_fix4(frame);
		send_expect(frame, len, changed[i].which);
	}
	assert_int_equal(rig.wire.frames, 2);
	assert_int_equal(rig.host.frames, 0);
}

static void
test_short_frames(void **state)
{
	uint8_t frame[256];
	uint32_t len, n;

	(void)state;
	len = udp4(frame);
	for (n = 1; n < len; n++)
		send_expect(frame, n, MS_CTR_DROP_TX_SHORT);
	len = tcp6(frame, 0);
	for (n = 1; n < len; n++)
		send_expect(frame, n, MS_CTR_DROP_TX_SHORT);
	send_expect(frame, len, OK);
}

static void
test_other_ip6_rules(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = udp6(frame);
	frame[37] = 7; /* source address */
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = udp6(frame);
	frame[55] = 0x8b;
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = udp6(frame);
	frame[20] = 58;
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = udp6(frame);
	frame[14] = 0x40;
	send_expect(frame, len, MS_CTR_DROP_TX_HEADER);
	len = udp6(frame);
	frame[6] = 4;
	send_expect(frame, len, MS_CTR_DROP_TX_MAC);
}

static void
test_vlan_rules(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	memmove(frame + 16, frame + 12, len - 12);
	rig_put16(frame + 12, 0x8100);
	rig_put16(frame + 14, 7);
	send_expect(frame, len + 4, MS_CTR_DROP_TX_VLAN);
	rig.nic->vlan = 7;
	send_expect(frame, len + 4, OK);
	len = udp4(frame);
	send_expect(frame, len, MS_CTR_DROP_TX_VLAN);
}

/* A wildcard lends the host's addresses, but for those claimed exactly. */
static void
test_wildcard_sources(void **state)
{
	static const uint8_t second[4] = { 10, 0, 0, 77 };
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	bind4(port, any4, IPPROTO_UDP, 5002);
	bind4(port, any4, IPPROTO_UDP, 5003);
	len = rig_udp_out(frame, 5003, 9, "0123456789abcdef", 16);
	send_expect(frame, len, OK);
	memcpy(frame + 26, second, 4);
	rig_fix4(frame);
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	ms_mutex_lock(&rig.sw->ctl_lock);
	assert_int_equal(ms_table_addr_add(rig.sw->table, second, 4), 0);
	ms_mutex_unlock(&rig.sw->ctl_lock);
	send_expect(frame, len, OK);
	memset(frame + 26, 0, 4);
	rig_fix4(frame);
	send_expect(frame, len, MS_CTR_DROP_TX_UNBOUND);
	len = rig_udp_out(frame, 5002, 9, "0123456789abcdef", 16);
	send_expect(frame, len, MS_CTR_DROP_TX_FOREIGN);
}

static void
test_mtu(void **state)
{
	static uint8_t frame[2048];
	uint32_t len;

	(void)state;
	len = tcp4(frame, 1460);
	send_expect(frame, len, OK);
	len = tcp4(frame, 1461);
	send_expect(frame, len, MS_CTR_DROP_TX_LONG);
	len = tcp6(frame, 1440);
	send_expect(frame, len, OK);
	len = tcp6(frame, 1441);
	send_expect(frame, len, MS_CTR_DROP_TX_LONG);
	ms_nic_changed(rig.nic, NULL, 1400);
	len = tcp4(frame, 1361);
	send_expect(frame, len, MS_CTR_DROP_TX_LONG);
}

/* ---- fragments ------------------------------------------------------------------- */

static uint32_t
fragment(uint8_t *p, uint16_t id, uint16_t ofs_more, uint16_t sport)
{
	uint32_t len = rig_udp_out(p, sport, 9, "0123456789abcdef", 16);

	rig_put16(p + 38, 100);
	rig_put16(p + 18, id);
	rig_put16(p + 20, ofs_more);
	rig_fix4(p);
	return len;
}

static void
test_fragments_follow_an_own_first_one(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = fragment(frame, 7, 0x2003, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	len = fragment(frame, 7, 0x2000, 5001);
	send_expect(frame, len, OK);
	len = fragment(frame, 7, 0x2003, 0);
	send_expect(frame, len, OK);
	len = fragment(frame, 7, 0x0006, 0);
	send_expect(frame, len, OK);
	len = fragment(frame, 8, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	/* a refused first one opens nothing */
	len = fragment(frame, 9, 0x2000, 5002);
	send_expect(frame, len, MS_CTR_DROP_TX_FOREIGN);
	len = fragment(frame, 9, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	/* nor does another port's */
	len = fragment(frame, 10, 0x2000, 5002);
	assert_int_equal(rig_send(&rig, other, frame, len), 0);
	assert_int_equal(counter(other, OK), 1);
	len = fragment(frame, 10, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
	/* what was received opens nothing either */
	len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);
	rig_put16(frame + 38, 100);
	rig_put16(frame + 20, 0x2000);
	rig_fix4(frame);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	len = fragment(frame, 0, 0x0006, 0);
	send_expect(frame, len, MS_CTR_DROP_TX_FRAGMENT);
}

/* ---- offloads ----------------------------------------------------------------------- */

struct offload {
	const char *name;
	uint8_t kind; /* 4 or 6: TCP; 17: UDP over IPv4; 132: SCTP */
	uint16_t payload;
	uint8_t gso_type;
	uint16_t gso_size;
	uint16_t csum_start, csum_offset; /* 0, 0: not partial */
	enum ms_counter which;
};

#define OFFLOAD MS_CTR_DROP_TX_OFFLOAD
static const struct offload offloads[] = {
	{ "partial TCP", 4, 10, 0, 0, 34, 16, OK },
	{ "partial TCP over IPv6", 6, 10, 0, 0, 54, 16, OK },
	{ "partial UDP", 17, 10, 0, 0, 34, 6, OK },
	{ "partial SCTP", 132, 10, 0, 0, 34, 8, OFFLOAD },
	{ "start one byte off", 4, 10, 0, 0, 35, 16, OFFLOAD },
	{ "start in the IP header", 4, 10, 0, 0, 14, 16, OFFLOAD },
	{ "start far away", 4, 10, 0, 0, 0xfff0, 16, OFFLOAD },
	{ "UDP's offset for TCP", 4, 10, 0, 0, 34, 6, OFFLOAD },
	{ "TCP's offset for UDP", 17, 10, 0, 0, 34, 16, OFFLOAD },
	{ "offset far away", 4, 10, 0, 0, 34, 0xffff, OFFLOAD },
	{ "GSO", 4, 1900, MS_GSO_TCP4, 1460, 34, 16, OK },
	{ "GSO over IPv6", 6, 1900, MS_GSO_TCP6, 1440, 54, 16, OK },
	{ "GSO of UDP", 17, 1900, MS_GSO_UDP, 1472, 34, 6, OK },
	{ "GSO of a short frame", 4, 10, MS_GSO_TCP4, 1460, 34, 16, OK },
	{ "GSO without partial sum", 4, 1900, MS_GSO_TCP4, 1460, 0, 0,
	  OFFLOAD },
	{ "GSO of the other family", 4, 1900, MS_GSO_TCP6, 1440, 34, 16,
	  OFFLOAD },
	{ "GSO of the other family", 6, 1900, MS_GSO_TCP4, 1440, 54, 16,
	  OFFLOAD },
	{ "GSO of TCP as UDP", 4, 1900, MS_GSO_UDP, 1440, 34, 16, OFFLOAD },
	{ "GSO of UDP as TCP", 17, 1900, MS_GSO_TCP4, 1440, 34, 6, OFFLOAD },
	{ "GSO type 2", 4, 1900, 2, 1440, 34, 16, OFFLOAD },
	{ "GSO type 255", 4, 1900, 255, 1440, 34, 16, OFFLOAD },
	{ "GSO by 0", 4, 1900, MS_GSO_TCP4, 0, 34, 16, OFFLOAD },
	{ "GSO by 1", 4, 1900, MS_GSO_TCP4, 1, 34, 16, OFFLOAD },
	{ "GSO of UDP by 1", 17, 1900, MS_GSO_UDP, 1, 34, 6, OFFLOAD },
	{ "segments over the MTU", 4, 1900, MS_GSO_TCP4, 1461, 34, 16,
	  MS_CTR_DROP_TX_LONG },
	{ "segments over the MTU", 17, 1900, MS_GSO_UDP, 1473, 34, 6,
	  MS_CTR_DROP_TX_LONG },
};

static uint32_t
build_offload(uint8_t *frame, const struct offload *o)
{
	switch (o->kind) {
	case 4:
		return tcp4(frame, o->payload);
	case 6:
		return tcp6(frame, o->payload);
	case 17:
		memset(frame + 42, 0, o->payload);
		(void)rig_udp_out(frame, 5001, 9, "", 0);
		rig_put16(frame + 38, 8u + o->payload);
		return rig_ip4(frame, false, rig_ip, rig_peer_ip, IPPROTO_UDP,
			       8u + o->payload);
	default:
		memset(frame + 34, 0, 12 + o->payload);
		rig_put16(frame + 34, 5001);
		return rig_ip4(frame, false, rig_ip, rig_peer_ip, IPPROTO_SCTP,
			       12u + o->payload);
	}
}

static void
send_offload(const struct offload *o, enum ms_counter which)
{
	static uint8_t frame[2048];
	uint32_t len = build_offload(frame, o);
	struct ms_slot *slot = next_slot();

	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	slot->gso_type = o->gso_type;
	slot->gso_size = o->gso_size;
	slot->csum_start = o->csum_start;
	slot->csum_offset = o->csum_offset;
	if (o->csum_start != 0)
		slot->flags = MS_SLOT_CSUM_PARTIAL;
	expect(which);
}

static void
test_offload_metadata(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++) {
		print_message("  %s\n", offloads[i].name);
		send_offload(&offloads[i], offloads[i].which);
	}
}

static void
test_offloads_that_the_interface_lacks(void **state)
{
	size_t i;

	(void)state;
	rig.nic->features = MS_FEATURE_HOST;
	for (i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
		if (offloads[i].which == OK)
			send_offload(&offloads[i], OFFLOAD);
	rig.nic->features = MS_FEATURE_HOST | MS_FEATURE_CSUM_TX;
	for (i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
		if (offloads[i].which == OK)
			send_offload(&offloads[i],
				     offloads[i].gso_type != 0 ? OFFLOAD : OK);
}

/* ---- slots --------------------------------------------------------------------------- */

static void
test_bad_slots(void **state)
{
	static const struct {
		uint32_t buf;
		uint16_t len, flags;
	} bad[] = {
		{ 0xffffffff, 60, 0 },
		{ 0x40000000, 60, 0 },
		{ 0, 0, 0 }, /* 65536 do not fit */
		{ 0, 2049, 0 },
		{ 0, 0xffff, 0 },
		{ 0, 60, MS_SLOT_CSUM_OK },
		{ 0, 60, MS_SLOT_TAP_RX },
		{ 0, 60, 0x8000 },
	};
	uint8_t frame[256];
	uint32_t len = udp4(frame);
	struct ms_slot *slot;
	uint32_t good;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		slot = next_slot();
		good = slot->buf;
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
		slot->len = bad[i].len;
		slot->flags = bad[i].flags;
		if (bad[i].buf != 0)
			slot->buf = bad[i].buf;
		expect(MS_CTR_DROP_TX_SLOT);
		slot->buf = good;
	}
	slot = next_slot();
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	slot->buf = port->num_bufs - 1; /* the last one is good */
	memcpy(rig_buf(port, slot->buf), frame, len);
	expect(OK);
}

/* Puts a frame into slots of the given sizes; the last has no MORE. */
static void
put_chain(const uint8_t *frame, const uint16_t *sizes, uint32_t n, bool open)
{
	struct ms_slot *s;
	uint32_t i;

	for (i = 0; i < n; i++) {
		s = next_slot();
		memset((uint8_t *)s + 4, 0, sizeof(*s) - 4);
		memcpy(rig_buf(port, s->buf), frame, sizes[i]);
		s->len = sizes[i];
		s->flags = i + 1 < n || open ? MS_SLOT_MORE : 0;
		frame += sizes[i];
		ms_os_store_release(&tx->head, tx->head + 1);
	}
}

static void
test_frame_spans_slots(void **state)
{
	static const uint16_t cuts[][4] = { { 1, 13, 20, 26 },
					    { 14, 20, 8, 18 },
					    { 30, 1, 1, 28 },
					    { 57, 1, 1, 1 } };
	uint8_t frame[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		assert_int_equal(udp4(frame) + 2, 60);
		frame[58] = frame[59] = 0;
		put_chain(frame, cuts[i], 4, false);
		expect(OK);
		assert_int_equal(rig.wire.kept[i].bytes, 60);
		assert_memory_equal(rig.wire.kept[i].data, frame, 60);
	}
}

static void
test_long_frame_in_slots(void **state)
{
	static const uint16_t sizes[4] = { 2048, 100, 2048, 1000 };
	static uint8_t frame[8192];
	uint32_t i;

	(void)state;
	(void)tcp4(frame, 5196 - 54);
	for (i = 54; i < 5196; i++)
		frame[i] = (uint8_t)(i >> 3);
	next_slot();
	put_chain(frame, sizes, 4, false);
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].flags |=
	    MS_SLOT_CSUM_PARTIAL;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].gso_type = MS_GSO_TCP4;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].gso_size = 1000;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].csum_start = 34;
	rig_slots(tx)[(tx->head - 4) & (SLOTS - 1)].csum_offset = 16;
	expect(OK);
	assert_int_equal(rig.wire.kept[0].bytes, 5196);
	assert_memory_equal(rig.wire.kept[0].data, frame, RIG_WIRE_BYTES);
}

static void
test_chain_that_goes_on_waits(void **state)
{
	static const uint16_t sizes[2] = { 30, 28 };
	uint8_t frame[256];

	(void)state;
	(void)udp4(frame);
	put_chain(frame, sizes, 1, true);
	kick(port);
	assert_int_equal(counter(port, OK) + drops(port), 0);
	assert_int_equal(tx->doze, 1); /* and nobody is kept busy */
	put_chain(frame + 30, sizes + 1, 1, false);
	expect(OK);
	assert_memory_equal(rig.wire.kept[0].data, frame, 58);
}

static void
test_endless_chains(void **state)
{
	static const uint16_t sizes[SLOTS] = { [0 ... SLOTS - 1] = 10 };
	static uint8_t frame[SLOTS * 10];
	uint64_t lost;

	(void)state;
	put_chain(frame, sizes, MS_FRAME_SLOTS_MAX, true);
	expect(MS_CTR_DROP_TX_SLOT);
	put_chain(frame, sizes, SLOTS, true);
	kick(port);
	lost = drops(port);
	assert_int_equal(lost, 2);
	assert_int_equal(tx->tail - tx->head,
			 SLOTS - (SLOTS - MS_FRAME_SLOTS_MAX));
	/* a bad slot in a chain costs the whole chain, and nothing else */
	put_chain(frame, sizes, 1, false);
	kick(port);
	assert_int_equal(drops(port), 3);
	put_chain(frame, sizes, 3, false);
	rig_slots(tx)[(tx->head - 2) & (SLOTS - 1)].buf = 0x12345678;
	expect(MS_CTR_DROP_TX_SLOT);
}

static void
test_chain_longer_than_a_small_ring(void **state)
{
	struct ms_port *small = make_port(8);
	struct ms_ring *r = rig_ring(small, false, 0);
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++) {
		rig_slots(r)[i].len = 100;
		rig_slots(r)[i].flags = MS_SLOT_MORE;
	}
	ms_os_store_release(&r->head, 8);
	kick(small);
	assert_int_equal(counter(small, MS_CTR_DROP_TX_SLOT), 1);
	assert_int_equal(r->tail, 16);
}

static void
test_frame_over_64k(void **state)
{
	static const uint16_t sizes[33] = { [0 ... 32] = 2048 };
	static uint8_t frame[33 * 2048];

	(void)state;
	(void)tcp4(frame, 1000);
	put_chain(frame, sizes, 33, false);
	expect(MS_CTR_DROP_TX_LONG);
}

/* The validated copy is what goes out, whatever the sender writes meanwhile:
   headers never come from its memory again. */
static uint32_t
evil_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	  uint32_t n, bool more)
{
	uint32_t i;

	memset(port->tx[0].bufs, 0xff, (size_t)port->num_bufs * 2048);
	for (i = 0; i < n; i++) {
		assert_true(frames[i].linear >= frames[i].len ||
			    frames[i].linear >= 54);
		assert_true(frames[i].data < port->tx[0].bufs ||
			    frames[i].data >=
				port->tx[0].bufs +
				    (size_t)port->num_bufs * 2048);
	}
	return rig_xmit(nic, q, frames, n, more);
}

static void
test_headers_are_snapshots(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	static uint8_t frame[2048];
	uint32_t len = tcp4(frame, 1000);

	(void)state;
	ops.xmit = evil_xmit;
	rig.nic->ops = &ops;
	send_expect(frame, len, OK);
	assert_memory_equal(rig.wire.kept[0].data, frame, MS_HDR_BYTES);
	assert_int_equal(rig.wire.kept[0].data[MS_HDR_BYTES], 0xff);
	rig.nic->ops = rig_ops();
}

/* ---- where frames go -------------------------------------------------------------------- */

static void
test_to_another_port(void **state)
{
	uint8_t frame[256], out[256];
	uint32_t len;

	(void)state;
	rig_udp(frame + 34, 5001, 5002, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_UDP, 24);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_LOCAL), 1);
	assert_int_equal(rig.wire.frames + rig.host.frames, 0);
	len = rig_rx(other, 0, out, sizeof(out)) +
	      rig_rx(other, 1, out, sizeof(out));
	assert_int_equal(len, 58);
	assert_memory_equal(out, frame, len);
	assert_int_equal(counter(other, MS_CTR_RX_FRAMES), 1);
	/* to itself */
	rig_udp(frame + 34, 5001, 5001, "0123456789abcdef", 16);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_RX_FRAMES), 1);
	assert_int_equal(counter(NULL, MS_CTR_TX_LOCAL), 2);
}

static void
test_to_the_host(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	rig_udp(frame + 34, 5001, 7777, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_UDP, 24);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_HOST), 1);
	assert_int_equal(rig.host.frames, 1);
	assert_int_equal(rig.wire.frames, 0);
	assert_memory_equal(rig.host.kept[0].data, frame, len);
	ops.to_host = NULL;
	rig.nic->ops = &ops;
	send_expect(frame, len, MS_CTR_DROP_TX_NOHOST);
	rig.nic->ops = rig_ops();
}

static void
test_to_ip6_on_this_host(void **state)
{
	uint8_t frame[256], out[256];
	uint32_t len;

	(void)state;
	bind6(other, IPPROTO_UDP, 5002);
	rig_udp(frame + 54, 5001, 5002, "x", 1);
	len = rig_ip6_hdr(frame, false, rig_ip6, rig_ip6, IPPROTO_UDP, 9);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_LOCAL), 1);
	assert_int_equal(rig_rx(other, 0, out, sizeof(out)) +
			     rig_rx(other, 1, out, sizeof(out)),
			 len);
	rig_put16(frame + 56, 7777);
	send_expect(frame, len, OK);
	assert_int_equal(counter(port, MS_CTR_TX_HOST), 1);
}

/* Offload metadata goes along; a long frame fills several slots. */
static void
test_local_offloads(void **state)
{
	static uint8_t frame[4096], out[8192];
	static const uint16_t sizes[2] = { 2048, 1952 };
	struct ms_slot *slot = next_slot();
	struct ms_ring *rx;
	unsigned int i;

	(void)state;
	bind4(other, rig_ip, IPPROTO_TCP, 9);
	(void)tcp4(frame, 4000 - 54);
	(void)rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_TCP, 4000 - 34);
	put_chain(frame, sizes, 2, false);
	slot->flags |= MS_SLOT_CSUM_PARTIAL;
	slot->gso_type = MS_GSO_TCP4;
	slot->gso_size = 1400;
	slot->csum_start = 34;
	slot->csum_offset = 16;
	expect(OK);
	for (i = 0; i < 2; i++) {
		rx = rig_ring(other, true, i);
		if (rx->tail == rx->head)
			continue;
		slot = &rig_slots(rx)[0];
		assert_int_equal(slot->flags,
				 MS_SLOT_MORE | MS_SLOT_CSUM_PARTIAL);
		assert_int_equal(slot->gso_type, MS_GSO_TCP4);
		assert_int_equal(slot->gso_size, 1400);
		assert_int_equal(rig_rx(other, i, out, sizeof(out)), 4000);
		assert_memory_equal(out, frame, 4000);
		return;
	}
	fail_msg("%s", "no ring has it");
}

/* Many ways in one batch: each gets its frames, in order. */
static void
test_ways_mixed(void **state)
{
	uint8_t frame[256], out[256];
	static const uint16_t dports[4] = { 9, 5002, 7777, 5002 };
	uint32_t i, len, pay[4] = { 0 }, seen = 0;

	(void)state;
	for (i = 0; i < 40; i++) {
		pay[0] = i;
		rig_udp(frame + 34, i % 5 == 4 ? 5002 : 5001, dports[i % 4],
			pay, 16);
		len = rig_ip4(frame, false, rig_ip,
			      i % 4 == 0 ? rig_peer_ip : rig_ip, IPPROTO_UDP,
			      24);
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
	}
	kick(port);
	assert_int_equal(counter(port, MS_CTR_DROP_TX_FOREIGN), 8);
	assert_int_equal(counter(port, OK), 32);
	assert_int_equal(rig.wire.frames, 8);
	assert_int_equal(rig.host.frames, 8);
	assert_int_equal(counter(port, MS_CTR_TX_LOCAL), 16);
	for (i = 0; i < 40; i += 4) {
		if (i % 5 == 4)
			continue;
		memcpy(pay, rig.wire.kept[seen].data + 42, 4);
		assert_int_equal(pay[0], i);
		memcpy(pay, rig.host.kept[seen].data + 42, 4);
		seen++;
	}
	for (i = 1; i < 40; i += 2) {
		if (i % 5 == 4)
			continue;
		assert_int_not_equal(rig_rx(other, 0, out, sizeof(out)) +
					 rig_rx(other, 1, out, sizeof(out)),
				     0);
	}
}

static void
test_loopback_interface(void **state)
{
	static const uint8_t lo[4] = { 127, 0, 0, 1 };
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	bind4(port, lo, IPPROTO_UDP, 5001);
	rig_udp(frame + 34, 5001, 7777, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, lo, lo, IPPROTO_UDP, 24);
	send_expect(frame, len, OK);
	assert_int_equal(rig.host.frames, 1);
	memset(frame, 0, 12);
	send_expect(frame, len, MS_CTR_DROP_TX_MAC);
	rig.nic->loopback = true;
	send_expect(frame, len, OK);
	assert_int_equal(rig.host.frames, 2);
}

/* ---- the ring's owner ---------------------------------------------------------------------- */

static void
test_bad_heads_are_ignored(void **state)
{
	static const uint32_t bad[] = { SLOTS + 1, 0xffffffff, 0x80000000 };
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	for (i = 0; i < 3; i++) {
		uint64_t before = counter(port, MS_CTR_BAD_HEAD);

		ms_os_store_release(&tx->head, bad[i]);
		kick(port);
		assert_true(counter(port, MS_CTR_BAD_HEAD) > before);
		assert_int_equal(counter(port, OK) + drops(port), 0);
		assert_int_equal(tx->tail, SLOTS);
	}
	ms_os_store_release(&tx->head, 0);
	send_expect(frame, len, OK);
	ms_os_store_release(&tx->head, 0); /* backwards */
	kick(port);
	assert_int_equal(counter(port, OK), 1);
	ms_os_store_release(&tx->head, 1);
	send_expect(frame, len, OK);
}

static uint32_t
filling_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	     uint32_t n, bool more)
{
	assert_in_range(n, 1, rig.room);
	rig.room -= n;
	return rig_xmit(nic, q, frames, n, more);
}

static void
test_no_room_loses_nothing(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	ops.xmit = filling_xmit;
	rig.nic->ops = &ops;
	for (i = 0; i < 10; i++)
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
	rig.room = 3;
	kick(port);
	for (i = 3; i < 10; i++) {
		assert_int_equal(rig.wire.frames, i);
		assert_int_equal(tx->tail, SLOTS + i);
		assert_int_equal(ms_nic_sched_run(rig.nic, 0, 256), 0);
		rig.room = 1;
		rig_run(&rig, 0); /* nobody has to kick */
	}
	assert_int_equal(rig.wire.frames, 10);
	assert_int_equal(drops(port), 0);
	rig.nic->ops = rig_ops();
}

/* What does not go to the interface does not wait for it. */
static void
test_no_room_does_not_stop_local_frames(void **state)
{
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	rig.room = 0;
	len = udp4(frame);
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	rig_udp(frame + 34, 5002, 5001, "0123456789abcdef", 16);
	len = rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_UDP, 24);
	assert_int_equal(rig_tx(other, 0, frame, len), 0);
	ms_kring_tx_ready(&port->tx[0]);
	ms_kring_tx_ready(&other->tx[0]);
	(void)ms_nic_sched_run(rig.nic, 0, 256);
	assert_int_equal(counter(other, MS_CTR_TX_LOCAL), 1);
	assert_int_equal(counter(port, OK), 0);
}

static uint32_t
half_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	  uint32_t n, bool more)
{
	return rig_xmit(nic, q, frames, n / 2, more);
}

static void
test_driver_refuses(void **state)
{
	struct ms_nic_ops ops = *rig.nic->ops;
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	ops.xmit = half_xmit;
	rig.nic->ops = &ops;
	for (i = 0; i < 10; i++)
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
	kick(port);
	assert_int_equal(counter(port, OK), 5);
	assert_int_equal(counter(port, MS_CTR_TX_BYTES), 5 * len);
	assert_int_equal(counter(port, MS_CTR_DROP_TX_NIC), 5);
	assert_int_equal(tx->tail, SLOTS + 10);
	rig.nic->ops = rig_ops();
}

static void
test_owner_is_woken_when_asked(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 0);
	tx->wake = tx->tail; /* at the next slot given back */
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 1);
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 0);
	tx->wake = tx->tail + 1;
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 0);
	send_expect(frame, len, OK);
	assert_int_equal(wakes(), 1);
}

static void
test_doze(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	assert_int_equal(tx->doze, 1); /* from the start */
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	rig_run(&rig, 0);
	assert_int_equal(counter(port, OK), 0); /* nobody kicked */
	assert_true(ms_kring_tx_pending(&port->tx[0]));
	expect(OK);
	assert_false(ms_kring_tx_pending(&port->tx[0]));
	assert_int_equal(tx->doze, 1);
	ms_kring_tx_ready(&port->tx[0]); /* for nothing */
	rig_run(&rig, 0);
	assert_int_equal(tx->doze, 1);
}

static void
test_polled_scheduler_needs_no_kicks(void **state)
{
	uint8_t frame[256];
	uint32_t i, len = udp4(frame);

	(void)state;
	ms_nic_sched_poll(rig.nic, 0, true);
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	kick(port);
	assert_int_equal(counter(port, OK), 1);
	for (i = 2; i < 10; i++) {
		assert_int_equal(tx->doze, 0);
		assert_int_equal(rig_tx(port, 0, frame, len), 0);
		assert_int_equal(ms_nic_sched_run(rig.nic, 0, 256), 1);
		assert_int_equal(counter(port, OK), i);
	}
	ms_nic_sched_poll(rig.nic, 0, false);
	assert_int_equal(ms_nic_sched_run(rig.nic, 0, 256), 0);
	assert_int_equal(tx->doze, 1);
}

static void
test_stopped_port_sends_nothing(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);

	(void)state;
	assert_int_equal(rig_tx(port, 0, frame, len), 0);
	ms_kring_tx_ready(&port->tx[0]);
	ms_kring_tx_ready(&port->tx[1]);
	ms_kring_tx_ready(&other->tx[0]);
	ms_kring_stop(&port->tx[0]); /* the first of the list */
	rig_run(&rig, 0);
	ms_kring_tx_ready(&port->tx[0]);
	rig_run(&rig, 0);
	assert_int_equal(rig.wire.frames, 0);
	ms_kring_tx_ready(&port->tx[1]);
	ms_kring_tx_ready(&other->tx[0]);
	ms_kring_stop(&other->tx[0]); /* the last of the list */
	ms_kring_tx_ready(&other->tx[1]);
	rig_run(&rig, 0);
	assert_int_equal(rig.nic->sched[0].num, 0);
}

/* ---- whose turn it is -------------------------------------------------------------------------- */

/* Keeps a ring full of frames of one size. */
static void
fill(struct ms_port *p, const uint8_t *frame, uint32_t len)
{
	while (rig_tx(p, 0, frame, len) == 0)
		;
}

static void
test_greedy_rings_share_bytes(void **state)
{
	static const uint32_t payloads[3] = { 6, 500, 1400 };
	static uint8_t frames[3][2048];
	struct ms_port *p[3];
	uint64_t bytes[3], least, most;
	uint32_t i, len[3], round;

	(void)state;
	for (i = 0; i < 3; i++) {
		p[i] = make_port(1024);
		bind4(p[i], rig_ip, IPPROTO_UDP, (uint16_t)(6000 + i));
		memset(frames[i], 0, 2048);
		(void)rig_udp_out(frames[i], (uint16_t)(6000 + i), 9, "", 0);
		rig_put16(frames[i] + 38, 8 + payloads[i]);
		len[i] = rig_ip4(frames[i], false, rig_ip, rig_peer_ip,
				 IPPROTO_UDP, 8 + payloads[i]);
	}
	for (round = 0; round < 300; round++) {
		for (i = 0; i < 3; i++) {
			fill(p[i], frames[i], len[i]);
			ms_kring_tx_ready(&p[i]->tx[0]);
		}
		(void)ms_nic_sched_run(rig.nic, 0, 100);
	}
	least = UINT64_MAX;
	most = 0;
	for (i = 0; i < 3; i++) {
		/* short frames are charged 64 bytes */
		bytes[i] = counter(p[i], OK) * (len[i] < 64 ? 64 : len[i]);
		if (bytes[i] < least)
			least = bytes[i];
		if (bytes[i] > most)
			most = bytes[i];
	}
	assert_true(least > 20 * MS_DRR_QUANTUM_BYTES);
	assert_true(most - least <= 2 * MS_DRR_QUANTUM_BYTES);
}

/* Garbage is charged as well: it buys its writer no extra turn. */
static void
test_garbage_pays(void **state)
{
	uint8_t frame[256];
	struct ms_port *good = make_port(1024);
	struct ms_port *bad = make_port(1024);
	uint32_t len, round;

	(void)state;
	bind4(good, rig_ip, IPPROTO_UDP, 6000);
	len = rig_udp_out(frame, 6000, 9, "0123456789abcdef", 16);
	for (round = 0; round < 200; round++) {
		fill(good, frame, len);
		ms_os_store_release(&rig_ring(bad, false, 0)->head,
				    rig_ring(bad, false, 0)->tail);
		ms_kring_tx_ready(&good->tx[0]);
		ms_kring_tx_ready(&bad->tx[0]);
		(void)ms_nic_sched_run(rig.nic, 0, 100);
	}
	assert_true(counter(good, OK) + 600 >= drops(bad));
	assert_true(counter(good, OK) > 5000);
}

/* A frame of more than a round's share is sent after some rounds, in one run. */
static void
test_frame_longer_than_the_share(void **state)
{
	static const uint16_t sizes[30] = { [0 ... 29] = 2048 };
	static uint8_t frame[30 * 2048];
	struct ms_slot *slot = next_slot();

	(void)state;
	(void)tcp4(frame, sizeof(frame) - 54);
	put_chain(frame, sizes, 30, false);
	slot->flags |= MS_SLOT_CSUM_PARTIAL;
	slot->gso_type = MS_GSO_TCP4;
	slot->gso_size = 1400;
	slot->csum_start = 34;
	slot->csum_offset = 16;
	expect(OK);
	assert_int_equal(rig.wire.kept[0].bytes, sizeof(frame));
}

static void
test_budget_is_kept(void **state)
{
	uint8_t frame[256];
	uint32_t len = udp4(frame);
	uint32_t i;

	(void)state;
	fill(port, frame, len);
	ms_kring_tx_ready(&port->tx[0]);
	for (i = 1; i <= SLOTS; i++) {
		assert_int_equal(ms_nic_sched_run(rig.nic, 0, 1), 1);
		assert_int_equal(rig.wire.frames, i);
	}
	assert_int_equal(ms_nic_sched_run(rig.nic, 0, 1), 0);
	assert_int_equal(tx->doze, 1);
}

/* ---- several threads --------------------------------------------------------------------------- */

#define SENDERS 3
#define EACH 20000

static struct ms_port *sender_port[SENDERS];

/* Sends, kicks only when asked, and runs the scheduler when it kicked: as the
   callers of a kernel do. */
static void *
sender(void *arg)
{
	struct ms_port *p = sender_port[(uintptr_t)arg];
	struct ms_ring *r = rig_ring(p, false, 0);
	uint32_t i, len, pay[4] = { (uint32_t)(uintptr_t)arg };
	uint8_t frame[256];

	for (i = 0; i < EACH;) {
		pay[1] = i;
		len = rig_udp_out(frame, (uint16_t)(6000 + pay[0]), 9, pay, 16);
		if (rig_tx(p, 0, frame, len) == 0) {
			i++;
			ms_os_fence(); /* H */
		}
		if (MS_USER_READ(r->doze) != 0) {
			ms_kring_tx_ready(&p->tx[0]);
			(void)ms_nic_sched_run(rig.nic, 0, 256);
		}
	}
	return NULL;
}

/* Nothing is lost or left behind, whoever happened to be the runner. */
static void
test_many_runners(void **state)
{
	pthread_t thread[SENDERS];
	uintptr_t i;

	(void)state;
	for (i = 0; i < SENDERS; i++) {
		sender_port[i] = make_port(64);
		bind4(sender_port[i], rig_ip, IPPROTO_UDP,
		      (uint16_t)(6000 + i));
	}
	for (i = 0; i < SENDERS; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, sender, (void *)i), 0);
	for (i = 0; i < SENDERS; i++)
		pthread_join(thread[i], NULL);
	/* who left at the end may have left frames to a runner that had gone
	   on with its budget used up */
	rig_run(&rig, 0);
	for (i = 0; i < SENDERS; i++) {
		assert_int_equal(counter(sender_port[i], OK), EACH);
		assert_int_equal(drops(sender_port[i]), 0);
	}
	assert_int_equal(rig.wire.frames, SENDERS * EACH);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_tuples_may_send),
		TEST(test_every_rule_has_its_counter),
		TEST(test_short_frames),
		TEST(test_other_ip6_rules),
		TEST(test_vlan_rules),
		TEST(test_wildcard_sources),
		TEST(test_mtu),
		TEST(test_fragments_follow_an_own_first_one),
		TEST(test_offload_metadata),
		TEST(test_offloads_that_the_interface_lacks),
		TEST(test_bad_slots),
		TEST(test_frame_spans_slots),
		TEST(test_long_frame_in_slots),
		TEST(test_chain_that_goes_on_waits),
		TEST(test_endless_chains),
		TEST(test_chain_longer_than_a_small_ring),
		TEST(test_frame_over_64k),
		TEST(test_headers_are_snapshots),
		TEST(test_to_another_port),
		TEST(test_to_the_host),
		TEST(test_to_ip6_on_this_host),
		TEST(test_local_offloads),
		TEST(test_ways_mixed),
		TEST(test_loopback_interface),
		TEST(test_bad_heads_are_ignored),
		TEST(test_no_room_loses_nothing),
		TEST(test_no_room_does_not_stop_local_frames),
		TEST(test_driver_refuses),
		TEST(test_owner_is_woken_when_asked),
		TEST(test_doze),
		TEST(test_polled_scheduler_needs_no_kicks),
		TEST(test_stopped_port_sends_nothing),
		TEST(test_greedy_rings_share_bytes),
		TEST(test_garbage_pays),
		TEST(test_frame_longer_than_the_share),
		TEST(test_budget_is_kept),
		TEST(test_many_runners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
