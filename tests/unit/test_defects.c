/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_defects.c: the known defects of earlier implementations, a test each: who
 * may send, claim and end what, and what goes when. They are told to the core
 * through its own calls; those of reading frames are in test_defects_frames.c,
 * what of them can be seen through libmultistack and multistackd in
 * test_defects_lib.c.
 */
#include "defects_rig.h"

/* ---- a stack sending from another stack's tuple ----------------------------- */

static void
test_foreign_tuple_is_refused(void **state)
{
	struct ms_port *a = bound(&rig_alice, udp(5001));
	struct ms_port *b = bound(&rig_bob, udp(5002));
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_out(frame, 5002, 9, "x", 1);
	refused(a, frame, len, MS_CTR_DROP_TX_FOREIGN);
	/* and the owner can */
	assert_int_equal(rig_send(&rig, b, frame, len), 0);
	assert_int_equal(rig.wire.frames, 1);
	/* nor with options, which take another path through the switch */
	memmove(frame + 38, frame + 34, 9);
	memset(frame + 34, 1, 4);
	frame[14] = 0x46;
	rig_put16(frame + 16, 24 + 9);
	rig_fix4(frame);
	refused(a, frame, len + 4, MS_CTR_DROP_TX_FOREIGN);
}

static void
test_foreign_tuple_behind_a_wildcard_is_refused(void **state)
{
	static const uint8_t any[4];
	struct ms_port *wild, *exact;
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	/* one user, two ports: the exact one owns its address */
	wild = bound(&rig_alice, rig_tuple4(any, IPPROTO_UDP, 5001));
	exact = bound(&rig_alice, udp(5001));
	len = rig_udp_out(frame, 5001, 9, "x", 1);
	refused(wild, frame, len, MS_CTR_DROP_TX_FOREIGN);
	assert_int_equal(rig_send(&rig, exact, frame, len), 0);
	assert_int_equal(rig.wire.frames, 1);
}

static void
test_wildcard_does_not_lend_strange_addresses(void **state)
{
	static const uint8_t any[4], stranger[4] = { 192, 0, 2, 1 };
	struct ms_port *wild;
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	wild = bound(&rig_alice, rig_tuple4(any, IPPROTO_UDP, 5001));
	rig_udp(frame + 34, 5001, 9, "x", 1);
	len = rig_ip4(frame, false, stranger, rig_peer_ip, IPPROTO_UDP, 9);
	refused(wild, frame, len, MS_CTR_DROP_TX_UNBOUND);
}

/* ---- an unbound port sending or injecting ----------------------------------- */

static void
test_unbound_port_cannot_send(void **state)
{
	struct ms_port *port = rig_port(&rig, &rig_alice);
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_out(frame, 5001, 9, "x", 1);
	refused(port, frame, len, MS_CTR_DROP_TX_UNBOUND);
}

static void
test_unbound_port_cannot_inject(void **state)
{
	struct ms_port *victim = bound(&rig_bob, udp(5001));
	struct ms_port *port = rig_port(&rig, &rig_alice);
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	/* towards another stack, and towards the host */
	rig_udp(frame + 34, 7, 5001, "x", 1);
	len = rig_ip4(frame, false, rig_peer_ip, rig_ip, IPPROTO_UDP, 9);
	refused(port, frame, len, MS_CTR_DROP_TX_UNBOUND);
	assert_int_equal(rig_rx(victim, 0, frame, sizeof(frame)), 0);
	rig_udp(frame + 34, 7, 5999, "x", 1);
	len = rig_ip4(frame, false, rig_peer_ip, rig_ip, IPPROTO_UDP, 9);
	refused(port, frame, len, MS_CTR_DROP_TX_UNBOUND);
}

static void
test_unbound_again_cannot_send(void **state)
{
	struct ms_port *port = bound(&rig_alice, udp(5001));
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	assert_int_equal(rig_unbind(&rig, &rig_alice, port, udp(5001)), 0);
	len = rig_udp_out(frame, 5001, 9, "x", 1);
	refused(port, frame, len, MS_CTR_DROP_TX_UNBOUND);
}

/* ---- an ARP or non-IP frame from a port -------------------------------------- */

static void
test_arp_and_others_are_refused(void **state)
{
	static const uint16_t types[] = { 0x0806, 0x8035, 0x88cc,
					  0x8847, 0x0026, 0x888e };
	struct ms_port *port = bound(&rig_alice, udp(5001));
	uint8_t frame[64];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memset(frame, 0, sizeof(frame));
		rig_ether(frame, false, types[i]);
		refused(port, frame, sizeof(frame), MS_CTR_DROP_TX_ETHER);
	}
	/* ARP in a VLAN tag */
	rig_ether(frame, false, 0x8100);
	rig_put16(frame + 14, 0);
	rig_put16(frame + 16, 0x0806);
	refused(port, frame, sizeof(frame), MS_CTR_DROP_TX_ETHER);
}

static void
test_false_mac_is_refused(void **state)
{
	struct ms_port *port = bound(&rig_alice, udp(5001));
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_out(frame, 5001, 9, "x", 1);
	frame[11] ^= 1;
	refused(port, frame, len, MS_CTR_DROP_TX_MAC);
}

static void
test_icmp_from_a_port_is_refused(void **state)
{
	struct ms_port *port = bound(&rig_alice, udp(5001));
	uint8_t frame[128] = { 0 };
	uint32_t len;

	(void)state;
	frame[34] = 5; /* a redirect */
	len = rig_ip4(frame, false, rig_ip, rig_peer_ip, IPPROTO_ICMP, 36);
	refused(port, frame, len, MS_CTR_DROP_TX_UNBOUND);
	memset(frame + 34, 0, 60);
	frame[54] = 136; /* a neighbour advertisement */
	len = rig_ip6_hdr(frame, false, rig_ip6, rig_peer_ip6, 58, 24);
	refused(port, frame, len, MS_CTR_DROP_TX_UNBOUND);
}

/* ---- an error return holding a lock ----------------------------------------------- */

static void
test_no_error_holds_a_lock(void **state)
{
	uint8_t arg[sizeof(struct ms_cmd_stats) + 64];
	struct ms_port *port = bound(&rig_alice, udp(5001));
	struct ms_port *none = NULL, *other = rig_port(&rig, &rig_bob);
	uint32_t cmd, size, fill;

	(void)state;
	/* Whatever fails, the next command comes through. A lock that was kept
	   would stop this test for ever. */
	for (cmd = 0; cmd <= MS_CMD_MAX; cmd++) {
		for (fill = 0; fill < 3; fill++) {
			size = ms_ctl_bytes(cmd) + fill;
			memset(arg, fill == 0 ? 0 : 0xff, sizeof(arg));
			memcpy(arg, &size, sizeof(size));
			(void)ms_ctl(rig.sw, &rig_alice, &none, cmd, arg, size);
			ms_port_destroy(none);
			none = NULL;
			memset(arg, fill == 0 ? 0 : 0xff, sizeof(arg));
			memcpy(arg, &size, sizeof(size));
			(void)ms_ctl(rig.sw, &rig_bob, &other, cmd, arg, size);
		}
		assert_int_equal(pthread_mutex_trylock(&rig.sw->ctl_lock.m), 0);
		pthread_mutex_unlock(&rig.sw->ctl_lock.m);
	}
	assert_int_equal(rig_bind(&rig, &rig_bob, other, udp(5001)),
			 -EADDRINUSE);
	assert_int_equal(rig_unbind(&rig, &rig_alice, port, udp(5001)), 0);
	assert_int_equal(rig_bind(&rig, &rig_bob, other, udp(5001)), 0);
}

/* ---- a route used after it is freed -------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool asked, answer, gone;
} slow = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .change = PTHREAD_COND_INITIALIZER };

static int
slow_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	pthread_mutex_lock(&slow.lock);
	slow.asked = true;
	pthread_cond_broadcast(&slow.change);
	while (!slow.answer)
		pthread_cond_wait(&slow.change, &slow.lock);
	/* the interface must still be there */
	RIG_CHECK(!slow.gone);
	r->mtu = nic->mtu;
	memcpy(r->src_mac, nic->mac, 6);
	r->state = MS_ROUTE_REACHABLE;
	pthread_mutex_unlock(&slow.lock);
	return 0;
}

static void *
ask_route(void *arg)
{
	struct ms_cmd_route r = { .size = sizeof(r), .dst.family = 4 };
	struct ms_port *port = arg;

	RIG_CHECK(ms_ctl(rig.sw, &rig_alice, &port, MS_CMD_ROUTE, &r,
			 sizeof(r)) == 0);
	RIG_CHECK(r.state == MS_ROUTE_REACHABLE && r.mtu == 1500);
	return NULL;
}

static void *
end_nic(void *arg)
{
	ms_nic_destroy(arg);
	pthread_mutex_lock(&slow.lock);
	slow.gone = true;
	pthread_mutex_unlock(&slow.lock);
	return NULL;
}

static void
test_route_outlives_the_interface(void **state)
{
	static const struct ms_nic_ops ops = { .name = "slow",
					       .xmit = rig_xmit,
					       .route = slow_route };
	struct ms_cmd_route r = { .size = sizeof(r), .dst.family = 4 };
	struct ms_cmd_port_create create = { .size = sizeof(create),
					     .nic = "slow0" };
	struct ms_nic tmpl = { .ops = &ops,
			       .os = &rig,
			       .name = "slow0",
			       .mtu = 1500,
			       .num_queues = 1 };
	struct ms_port *port = NULL;
	pthread_t asker, ender;
	struct ms_nic *nic;

	(void)state;
	slow.asked = slow.answer = slow.gone = false;
	assert_int_equal(ms_nic_create(rig.sw, &tmpl, &nic), 0);
	assert_int_equal(ms_ctl(rig.sw, &rig_alice, &port, MS_CMD_PORT_CREATE,
				&create, sizeof(create)),
			 0);
	assert_int_equal(pthread_create(&asker, NULL, ask_route, port), 0);
	pthread_mutex_lock(&slow.lock);
	while (!slow.asked)
		pthread_cond_wait(&slow.change, &slow.lock);
	pthread_mutex_unlock(&slow.lock);
	/* the look-up is under way; the interface goes; other commands work */
	assert_int_equal(pthread_create(&ender, NULL, end_nic, nic), 0);
	assert_non_null(rig_port(&rig, &rig_bob));
	pthread_mutex_lock(&slow.lock);
	slow.answer = true;
	pthread_cond_broadcast(&slow.change);
	pthread_mutex_unlock(&slow.lock);
	pthread_join(asker, NULL);
	pthread_join(ender, NULL);
	/* and afterwards there is no interface to ask */
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_alice, &port, MS_CMD_ROUTE, &r, sizeof(r)),
	    -ENODEV);
	assert_int_equal(rig_ring(port, true, 0)->gone, MS_GONE_NIC);
}

/* ---- unbind by a stranger --------------------------------------------------------------- */

static void
test_stranger_cannot_unbind(void **state)
{
	struct ms_port *port = bound(&rig_alice, udp(5001));
	struct ms_port *same_user = rig_port(&rig, &rig_alice);
	struct ms_port *stranger = rig_port(&rig, &rig_bob);
	struct ms_port *root = rig_port(&rig, &rig_root);
	struct ms_tuple odd = udp(5001);
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	assert_int_equal(rig_unbind(&rig, &rig_bob, stranger, udp(5001)),
			 -EPERM);
	assert_int_equal(rig_unbind(&rig, &rig_alice, same_user, udp(5001)),
			 -EPERM);
	assert_int_equal(rig_unbind(&rig, &rig_root, root, udp(5001)), -EPERM);
	assert_int_equal(rig_unbind(&rig, &rig_bob, NULL, udp(5001)),
			 -ENOTCONN);
	assert_int_equal(rig_unbind(&rig, &rig_alice, port, udp(5002)),
			 -ENOENT);
	odd.family = 77;
	assert_int_not_equal(rig_unbind(&rig, &rig_alice, port, odd), 0);
	len = rig_udp_in(frame, 9, 5001, "x", 1);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	assert_int_equal(rig_rx(port, 0, frame, sizeof(frame)), len);
}

/* ---- another user claiming a visible tuple ------------------------------------------------ */

static void
test_other_user_cannot_claim(void **state)
{
	static const uint8_t any[4], other_ip[4] = { 10, 0, 0, 3 };
	struct ms_port *a = bound(&rig_alice, udp(5001));
	struct ms_port *b = rig_port(&rig, &rig_bob);
	struct ms_tuple wild = rig_tuple4(any, IPPROTO_UDP, 5001);
	uint32_t holder;

	(void)state;
	assert_int_equal(
	    rig_bind_cmd(&rig, &rig_bob, b, MS_CMD_BIND, udp(5001), &holder),
	    -EADDRINUSE);
	assert_int_equal(holder, a->id);
	/* nor all of it, or a part of it */
	assert_int_equal(
	    rig_bind_cmd(&rig, &rig_bob, b, MS_CMD_BIND, wild, &holder),
	    -EADDRINUSE);
	assert_int_equal(holder, a->id);
	assert_int_equal(rig_unbind(&rig, &rig_alice, a, udp(5001)), 0);
	assert_int_equal(rig_bind(&rig, &rig_alice, a, wild), 0);
	assert_int_equal(
	    rig_bind_cmd(&rig, &rig_bob, b, MS_CMD_BIND, udp(5001), &holder),
	    -EADDRINUSE);
	assert_int_equal(holder, a->id);
	assert_int_equal(rig_bind(&rig, &rig_bob, b,
				  rig_tuple4(other_ip, IPPROTO_UDP, 5001)),
			 -EADDRINUSE);
	/* another protocol is another namespace */
	assert_int_equal(
	    rig_bind(&rig, &rig_bob, b, rig_tuple4(rig_ip, IPPROTO_TCP, 5001)),
	    0);
}

static void
test_token_is_not_enough_for_another_user(void **state)
{
	struct ms_cmd_handover h = { .size = sizeof(h),
				     .op = MS_HANDOVER_OFFER };
	struct ms_port *a = bound(&rig_alice, udp(5001));
	struct ms_port *b = rig_port(&rig, &rig_bob);
	struct ms_port *c = rig_port(&rig, &rig_alice);

	(void)state;
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_alice, &a, MS_CMD_HANDOVER, &h, sizeof(h)), 0);
	h.op = MS_HANDOVER_ACCEPT;
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_bob, &b, MS_CMD_HANDOVER, &h, sizeof(h)),
	    -EPERM);
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_alice, &c, MS_CMD_HANDOVER, &h, sizeof(h)), 0);
	assert_int_equal(h.moved, 1);
	/* once */
	assert_int_equal(
	    ms_ctl(rig.sw, &rig_alice, &a, MS_CMD_HANDOVER, &h, sizeof(h)),
	    -ENOENT);
}

/* ---- ports, and what ends them ------------------------------------------------------------------- */

static void
test_destroyed_port_leaves_nothing(void **state)
{
	struct ms_port *a = bound(&rig_alice, udp(5001));
	struct ms_port *b = rig_port(&rig, &rig_bob);
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_in(frame, 9, 5001, "x", 1);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	ms_port_destroy(a);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
	assert_int_equal(rig_bind(&rig, &rig_bob, b, udp(5001)), 0);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_TAKEN);
	assert_int_equal(rig_rx(b, 0, frame, sizeof(frame)), len);
}

/* A switch that turned to the next ring lost those behind an empty one. */
static void
test_empty_ring_does_not_end_the_round(void **state)
{
	struct ms_port *idle = bound(&rig_alice, udp(5001));
	struct ms_port *busy = bound(&rig_bob, udp(5002));
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	len = rig_udp_out(frame, 5002, 9, "x", 1);
	assert_int_equal(rig_tx(busy, 0, frame, len), 0);
	ms_kring_tx_ready(&idle->tx[0]);
	ms_kring_tx_ready(&busy->tx[0]);
	(void)ms_nic_sched_run(rig.nic, 0, 256);
	assert_int_equal(rig.wire.frames, 1);
}

/* No address of the loopback network leaves the host, nor comes in. */
static void
test_loopback_addresses_stay_inside(void **state)
{
	static const uint8_t any[4], lo[4] = { 127, 0, 0, 1 };
	struct ms_port *port = bound(&rig_alice,
				     rig_tuple4(any, IPPROTO_UDP, 5001));
	uint8_t frame[256];
	uint32_t len;

	(void)state;
	rig_udp(frame + 34, 5001, 9, "x", 1);
	len = rig_ip4(frame, false, lo, rig_peer_ip, IPPROTO_UDP, 9);
	assert_int_equal(rig_send(&rig, port, frame, len), 0);
	assert_int_equal(rig.wire.frames, 0);
	rig_udp(frame + 34, 9, 5001, "x", 1);
	len = rig_ip4(frame, true, rig_peer_ip, lo, IPPROTO_UDP, 9);
	assert_int_equal(rig_input(&rig, 0, frame, len), MS_VERDICT_HOST);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_foreign_tuple_is_refused),
		TEST(test_foreign_tuple_behind_a_wildcard_is_refused),
		TEST(test_wildcard_does_not_lend_strange_addresses),
		TEST(test_unbound_port_cannot_send),
		TEST(test_unbound_port_cannot_inject),
		TEST(test_unbound_again_cannot_send),
		TEST(test_arp_and_others_are_refused),
		TEST(test_false_mac_is_refused),
		TEST(test_icmp_from_a_port_is_refused),
		TEST(test_no_error_holds_a_lock),
		TEST(test_route_outlives_the_interface),
		TEST(test_stranger_cannot_unbind),
		TEST(test_other_user_cannot_claim),
		TEST(test_token_is_not_enough_for_another_user),
		TEST(test_destroyed_port_leaves_nothing),
		TEST(test_empty_ring_does_not_end_the_round),
		TEST(test_loopback_addresses_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
