/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_frames.c: frames from the wire, to it, and between ports of one host.
 */
#include <sys/socket.h>

#include "kt.h"

#define NUMBER 7000

static const uint8_t any[16];
static uint8_t frame[65600], got[65600];

/* ---- in and out ------------------------------------------------------------------ */

static void
a_frame_comes_as_it_was_sent(void)
{
	static const uint32_t sizes[] = { 0, 1, 17, 18, 100, 1471, 1472 };
	int raw = os_raw_open();
	struct kt_port p;
	uint32_t len, i, k;

	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	for (i = 0; i < KT_COUNT(sizes); i++) {
		uint8_t payload[1472];

		for (k = 0; k < sizes[i]; k++)
			payload[k] = (uint8_t)(k * 7 + i);
		len = rig_udp_in(frame, 9, NUMBER, payload, sizes[i]);
		os_raw_send(raw, frame, len);
		CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS), len);
		CHECK(memcmp(got, frame, len) == 0);
	}
	CHECK_EQ(kt_counter(&p, MS_CTR_RX_FRAMES), KT_COUNT(sizes));
	kt_port_close(&p);
}

static void
a_frame_goes_as_it_was_put(void)
{
	static const uint32_t sizes[] = { 18, 19, 100, 1471, 1472 };
	int raw = os_raw_open();
	struct kt_port p;
	uint32_t len, i, k;

	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	for (i = 0; i < KT_COUNT(sizes); i++) {
		uint8_t payload[1472];

		for (k = 0; k < sizes[i]; k++)
			payload[k] = (uint8_t)(k * 5 + i);
		len = rig_udp_out(frame, NUMBER, 9, payload, sizes[i]);
		kt_send(&p, frame, len);
		kt_far_expect(raw, frame, len);
	}
	CHECK_EQ(kt_counter(&p, MS_CTR_TX_FRAMES), KT_COUNT(sizes));
	kt_port_close(&p);
}

static void
ipv6_both_ways(void)
{
	int raw = os_raw_open();
	struct kt_port p;
	uint32_t len;

	kt_port_open(&p);
	CHECK_EQ(kt_bind(&p, rig_tuple6(rig_ip6, IPPROTO_UDP, NUMBER)), 0);
	rig_udp(frame + 54, 9, NUMBER, "six", 3);
	len = rig_ip6_hdr(frame, true, rig_peer_ip6, rig_ip6, IPPROTO_UDP, 11);
	os_raw_send(raw, frame, len);
	CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS), len);
	CHECK(memcmp(got, frame, len) == 0);
	rig_udp(frame + 54, NUMBER, 9, "six", 3);
	len = rig_ip6_hdr(frame, false, rig_ip6, rig_peer_ip6, IPPROTO_UDP, 11);
	kt_send(&p, frame, len);
	kt_far_expect(raw, frame, len);
	kt_port_close(&p);
}

static void
other_protocols_both_ways(void)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_SCTP, 253 };
	int raw = os_raw_open();
	struct kt_port p;
	uint32_t len, i;

	kt_port_open(&p);
	for (i = 0; i < KT_COUNT(protos); i++) {
		uint16_t n = protos[i] == 253 ? 0 : NUMBER;
		int r = kt_bind(&p, rig_tuple4(rig_ip, protos[i], n));

		if (r == -EPROTONOSUPPORT) {
			kt_note("the host has no protocol %u", protos[i]);
			continue;
		}
		CHECK_EQ(r, 0);
		memset(frame, 0, 100);
		rig_put16(frame + 34, 9);
		rig_put16(frame + 36, NUMBER);
		frame[46] = 0x50;
		len = rig_ip4(frame, true, rig_peer_ip, rig_ip, protos[i], 40);
		os_raw_send(raw, frame, len);
		CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS), len);
		CHECK(memcmp(got, frame, len) == 0);
		rig_put16(frame + 34, NUMBER);
		rig_put16(frame + 36, 9);
		len = rig_ip4(frame, false, rig_ip, rig_peer_ip, protos[i], 40);
		kt_send(&p, frame, len);
		kt_far_expect(raw, frame, len);
	}
	kt_port_close(&p);
}

static void
batches_keep_their_order(void)
{
	uint32_t seq, next = 0, n, rounds;
	int raw = os_raw_open();
	struct kt_port p;

	os_stay();
	CHECK_EQ(kt_port_try(&p, 1, 1, 256), 0);
	kt_must_bind(&p, NUMBER);
	for (rounds = 0; rounds < 20; rounds++) {
		for (seq = 0; seq < 100; seq++)
			CHECK_EQ(kt_put(&p, 0, frame,
					rig_udp_out(frame, NUMBER, 9, &seq,
						    sizeof(seq))),
				 0);
		CHECK_EQ(kt_sync(&p, false, 0), 0);
		for (seq = 0; seq < 100; seq++) {
			n = rig_udp_out(frame, NUMBER, 9, &seq, sizeof(seq));
			kt_far_expect(raw, frame, n);
			kt_far_udp(raw, NUMBER, &next, sizeof(next));
			next++;
		}
		for (seq = next - 100; seq < next; seq++) {
			CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS),
				 46);
			CHECK(memcmp(got + 42, &seq, sizeof(seq)) == 0);
		}
	}
	CHECK_EQ(kt_counter(&p, MS_CTR_DROP_RX_FULL), 0);
	kt_port_close(&p);
}

/* ---- what is not ours --------------------------------------------------------------- */

static void
what_nobody_claimed_is_the_hosts(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(NUMBER + 1) };
	int raw = os_raw_open(), fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct kt_port p;

	memcpy(&a.sin_addr, rig_ip, 4);
	CHECK(bind(fd, (void *)&a, sizeof(a)) == 0);
	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	kt_far_udp(raw, NUMBER + 1, "host", 4);
	CHECK(poll(&pfd, 1, KT_WAIT_MS) == 1);
	CHECK_EQ(recv(fd, got, sizeof(got), 0), 4);
	CHECK(memcmp(got, "host", 4) == 0);
	CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_QUIET_MS), 0);
	kt_port_close(&p);
	close(fd);
}

static void
exact_beats_wildcard(void)
{
	int raw = os_raw_open();
	struct kt_port a, b;

	kt_port_open(&a);
	kt_port_open(&b);
	CHECK_EQ(kt_bind(&a, rig_tuple4(any, IPPROTO_UDP, NUMBER)), 0);
	kt_must_bind(&b, NUMBER);
	kt_far_udp(raw, NUMBER, "exact", 5);
	CHECK(kt_recv(&b, 0, got, sizeof(got), KT_WAIT_MS) != 0);
	CHECK_EQ(kt_get(&a, 0, got, sizeof(got)), 0);
	kt_port_close(&b);
	kt_far_udp(raw, NUMBER, "any", 3);
	CHECK(kt_recv(&a, 0, got, sizeof(got), KT_WAIT_MS) != 0);
	kt_port_close(&a);
}

static void
errors_of_the_net_follow_what_was_sent(void)
{
	int raw = os_raw_open();
	struct kt_port p;
	uint8_t inner[64];
	uint32_t len;

	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	(void)rig_udp_out(inner, NUMBER, 9, "sent", 4);
	memset(frame, 0, 256);
	frame[34] = 3; /* unreachable: port */
	frame[35] = 3;
	memcpy(frame + 42, inner + 14, 28);
	/* the ICMP checksum is for the stack to check */
	len = rig_ip4(frame, true, rig_peer_ip, rig_ip, IPPROTO_ICMP, 36);
	os_raw_send(raw, frame, len);
	CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS), len);
	kt_port_close(&p);
}

/* ---- between ports --------------------------------------------------------------------- */

static uint32_t
local(uint16_t from, uint16_t to, const void *payload, uint32_t n)
{
	rig_udp(frame + 34, from, to, payload, n);
	n = rig_ip4(frame, false, rig_ip, rig_ip, IPPROTO_UDP, 8 + n);
	memcpy(frame, rig_mac, 6);
	return n;
}

static void
ports_of_one_host_reach_each_other(void)
{
	struct kt_port a, b;
	uint32_t i, n;

	kt_port_open(&a);
	kt_port_open(&b);
	kt_must_bind(&a, NUMBER);
	kt_must_bind(&b, NUMBER + 1);
	for (i = 0; i < 100; i++) {
		n = local(NUMBER, NUMBER + 1, &i, sizeof(i));
		kt_send(&a, frame, n);
		CHECK_EQ(kt_recv(&b, 0, got, sizeof(got), KT_WAIT_MS), n);
		CHECK(memcmp(got + 42, &i, sizeof(i)) == 0);
		kt_send(&b, frame, local(NUMBER + 1, NUMBER, &i, sizeof(i)));
		CHECK_EQ(kt_recv(&a, 0, got, sizeof(got), KT_WAIT_MS), n);
	}
	CHECK_EQ(kt_counter(&a, MS_CTR_TX_LOCAL), 100);
	kt_port_close(&a);
	kt_port_close(&b);
}

static void
a_port_and_the_hosts_socket_reach_each_other(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(NUMBER) };
	struct sockaddr_in at = to;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct kt_port p;

	at.sin_port = htons(NUMBER + 1);
	memcpy(&at.sin_addr, rig_ip, 4);
	memcpy(&to.sin_addr, rig_ip, 4);
	CHECK(bind(fd, (void *)&at, sizeof(at)) == 0);
	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	kt_send(&p, frame, local(NUMBER, NUMBER + 1, "to host", 7));
	CHECK(poll(&pfd, 1, KT_WAIT_MS) == 1);
	CHECK_EQ(recv(fd, got, sizeof(got), 0), 7);
	CHECK_EQ(kt_counter(&p, MS_CTR_TX_HOST), 1);
	CHECK_EQ(sendto(fd, "to port", 7, 0, (void *)&to, sizeof(to)), 7);
	CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS), 49);
	CHECK(memcmp(got + 42, "to port", 7) == 0);
	kt_port_close(&p);
	close(fd);
}

/* ---- rings ------------------------------------------------------------------------------- */

static void
a_full_ring_drops_and_counts(void)
{
	int raw = os_raw_open();
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	struct kt_port p;
	uint32_t i, n = 0;

	CHECK_EQ(kt_port_try(&p, 1, 1, 8), 0);
	kt_must_bind(&p, NUMBER);
	for (i = 0; i < 20; i++)
		kt_far_udp(raw, NUMBER, &i, sizeof(i));
	while (kt_counter(&p, MS_CTR_DROP_RX_FULL) != 12)
		CHECK(kt_now_ms() < until);
	CHECK_EQ(kt_counter(&p, MS_CTR_RX_FRAMES), 8);
	CHECK_EQ(kt_ring(&p, true, 0)->lost, 12);
	for (; kt_get(&p, 0, got, sizeof(got)) != 0; n++)
		CHECK(memcmp(got + 42, &n, sizeof(n)) == 0);
	CHECK_EQ(n, 8);
	kt_far_udp(raw, NUMBER, &i, sizeof(i));
	CHECK(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS) != 0);
	kt_port_close(&p);
}

/* Which ring a flow comes to is the switch's choice, and stays. */
static void
flows_keep_to_their_ring(void)
{
	uint32_t ring[64], flow, round, r, seen = 0;
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	int raw = os_raw_open();
	struct kt_port p;

	CHECK_EQ(kt_port_try(&p, 1, 4, 256), 0);
	kt_must_bind(&p, NUMBER);
	for (round = 0; round < 3; round++)
		for (flow = 0; flow < 64; flow++) {
			os_raw_send(raw, frame,
				    rig_udp_in(frame, (uint16_t)(1000 + flow),
					       NUMBER, &flow, sizeof(flow)));
			for (r = 0;; r = (r + 1) % 4) {
				if (kt_get(&p, r, got, sizeof(got)) != 0)
					break;
				CHECK(kt_now_ms() < until);
			}
			CHECK(memcmp(got + 42, &flow, sizeof(flow)) == 0);
			if (round == 0)
				ring[flow] = r;
			CHECK_EQ(r, ring[flow]);
			seen |= 1u << r;
		}
	CHECK_EQ(seen, 15);
	kt_port_close(&p);
}

static void
a_long_frame_spans_slots(void)
{
	int raw = os_raw_open();
	uint32_t bytes = os_has(OS_LONG_FRAMES) ? 8000 : 4000;
	static uint8_t payload[8000];
	struct kt_port p;
	uint32_t len, i;

	os_set_mtu(9000);
	for (i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 11);
	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	len = rig_udp_in(frame, 9, NUMBER, payload, bytes);
	os_raw_send(raw, frame, len);
	CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS), len);
	CHECK(memcmp(got, frame, len) == 0);
	len = rig_udp_out(frame, NUMBER, 9, payload, bytes);
	kt_send(&p, frame, len);
	kt_far_expect(raw, frame, len);
	kt_port_close(&p);
	os_set_mtu(1500);
}

const struct kt_case kt_cases_frames[] = {
	{ .name = "a frame comes as it was sent",
	  .run = a_frame_comes_as_it_was_sent },
	{ .name = "a frame goes as it was put",
	  .run = a_frame_goes_as_it_was_put },
	{ .name = "IPv6 both ways", .run = ipv6_both_ways },
	{ .name = "other protocols both ways",
	  .run = other_protocols_both_ways },
	{ .name = "batches keep their order", .run = batches_keep_their_order },
	{ .name = "what nobody claimed is the host's",
	  .run = what_nobody_claimed_is_the_hosts },
	{ .name = "exact beats wildcard", .run = exact_beats_wildcard },
	{ .name = "errors of the net follow what was sent",
	  .run = errors_of_the_net_follow_what_was_sent },
	{ .name = "ports of one host reach each other",
	  .run = ports_of_one_host_reach_each_other },
	{ .name = "a port and the host's socket reach each other",
	  .run = a_port_and_the_hosts_socket_reach_each_other },
	{ .name = "a full ring drops and counts",
	  .run = a_full_ring_drops_and_counts },
	{ .name = "flows keep to their ring", .run = flows_keep_to_their_ring },
	{ .name = "a long frame spans slots", .run = a_long_frame_spans_slots },
	{ 0 },
};
