/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_attach_offload.c: checksums and segments in software against the plain
 * way of computing them, over frames cut into pieces at random.
 */
#include "attach_net.h"
#include "offload.h"

#define ROUNDS 3000

static uint32_t seed = 20240817;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static uint8_t whole[70000], out[70000];
static struct ms_seg segs[MS_FRAME_SLOTS_MAX];

/* The frame `whole`, `len` bytes, its first `linear` in one piece. */
static struct ms_frame
cut(uint32_t linear, uint32_t len)
{
	struct ms_frame f = { .data = whole, .linear = linear, .len = len };
	uint32_t ofs = linear;

	while (ofs < len) {
		struct ms_seg *s = &segs[f.nsegs++];
		uint32_t left = len - ofs;

		s->p = whole + ofs;
		s->bytes = f.nsegs == MS_FRAME_SLOTS_MAX ? left : 1 + rnd(left);
		ofs += s->bytes;
	}
	f.segs = segs;
	return f;
}

static void
test_sums_match_the_plain_way(void **state)
{
	unsigned int i, k;

	for (i = 0; i < ROUNDS; i++) {
		uint32_t n = rnd(300), sum, got;

		for (k = 0; k < n; k++)
			whole[k] = (uint8_t)(i % 7 == 0 ? 0xff : rnd(256));
		sum = sum16(0, whole, n);
		got = (uint16_t)~ms_csum_fold(ms_csum_add(0, whole, n));
		assert_int_equal(ntohs((uint16_t)got) % 0xffff, sum % 0xffff);
		got = (uint16_t)~ms_csum_fold(ms_csum_copy(0, out, whole, n));
		assert_int_equal(ntohs((uint16_t)got) % 0xffff, sum % 0xffff);
		assert_memory_equal(out, whole, n);
	}
}

static void
test_partial_checksum_is_finished(void **state)
{
	static const char *const addr[2][2] = { { OUR4, THEIR4 },
						{ OUR6, THEIR6 } };
	struct ms_cmd_route r;
	uint8_t data[2000];
	unsigned int i, k;

	memset(&r, 0, sizeof(r));
	for (i = 0; i < ROUNDS; i++) {
		const char *const *a = addr[i & 1];
		uint32_t bytes = rnd(sizeof(data)), len,
			 l4 = (i & 1) != 0 ? 54 : 34;
		struct ms_frame f;

		for (k = 0; k < bytes; k++)
			data[k] = (uint8_t)rnd(256);
		len = udp_frame(out, &r, a[0], 1, a[1], 2, data, bytes, false);
		memcpy(whole, out, len);
		udp_frame(whole, &r, a[0], 1, a[1], 2, data, bytes, true);
		f = cut(l4 + rnd(len - l4 + 1), len);
		f.meta.flags = MS_SLOT_CSUM_PARTIAL;
		f.meta.csum_start = (uint16_t)l4;
		f.meta.csum_offset = 6;
		memset(out + len, 0, 8);
		memcpy(data, out + l4 + 6, 2);
		assert_int_equal(ms_frame_flatten(&f, out), 0);
		/* 0 is written as its other representation */
		if (ms_be16(data) != 0)
			assert_memory_equal(out + l4 + 6, data, 2);
		else
			assert_int_equal(ms_be16(out + l4 + 6), 0xffff);
	}
}

static void
test_nonsense_is_refused(void **state)
{
	static const struct {
		uint16_t start, offset;
	} cases[] = {
		{ 60, 0 }, { 59, 0 }, { 50, 9 }, { 0, 65535 }, { 65535, 6 }
	};
	struct ms_segmenter s;
	struct ms_frame f;
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f = cut(40, 60);
		f.meta.flags = MS_SLOT_CSUM_PARTIAL;
		f.meta.csum_start = cases[i].start;
		f.meta.csum_offset = cases[i].offset;
		assert_int_equal(ms_frame_flatten(&f, out), -EINVAL);
		f.meta.gso_type = MS_GSO_TCP4;
		f.meta.gso_size = 10;
		assert_int_equal(ms_segmenter_init(&s, &f), -EINVAL);
	}
}

/* What the segments carry, joined, is what was sent; each is sound. */
static void
check_segments(struct ms_frame *f, uint32_t l3, uint32_t l4, uint32_t hdr,
	       bool udp)
{
	uint32_t total = 0, n, count = 0, payload = f->len - hdr;
	uint32_t seq = ms_be32(whole + l4 + 4);
	struct ms_segmenter s;

	assert_int_equal(ms_segmenter_init(&s, f), 0);
	assert_int_equal(s.segs,
			 (payload + f->meta.gso_size - 1) / f->meta.gso_size);
	while ((n = ms_segmenter_next(&s, out)) != 0) {
		struct ms_pkt pkt;
		uint32_t sum;
		bool six = whole[l3] >> 4 == 6;
		struct ms_tuple a = { .family = six ? 6 : 4 }, b = a;

		assert_true(n - hdr <= f->meta.gso_size);
		assert_memory_equal(out + hdr, whole + hdr + total, n - hdr);
		ms_parse(out, n, n, &pkt);
		assert_int_equal(pkt.kind, MS_PKT_TUPLE);
		assert_int_equal(pkt.ip_bytes, n - l3);
		memcpy(a.addr, pkt.saddr, six ? 16 : 4);
		memcpy(b.addr, pkt.daddr, six ? 16 : 4);
		sum = pseudo_sum(&a, &b, pkt.proto, n - l4);
		assert_int_equal(sum16(sum, out + l4, n - l4), 0xffff);
		if (!udp) {
			assert_int_equal(ms_be32(out + l4 + 4), seq + total);
			/* FIN and PSH at the end, CWR at the start only */
			assert_int_equal((out[l4 + 13] & 0x09) != 0,
					 total + n - hdr == payload);
			assert_int_equal((out[l4 + 13] & 0x80) != 0,
					 count == 0);
		} else {
			assert_int_equal(ms_be16(out + l4 + 4), n - l4);
		}
		total += n - hdr;
		count++;
	}
	assert_int_equal(total, payload);
	assert_int_equal(count, s.segs);
}

static void
test_segments_join_to_what_was_sent(void **state)
{
	static const char *const addr[2][2] = { { OUR4, THEIR4 },
						{ OUR6, THEIR6 } };
	struct ms_cmd_route r;
	unsigned int i, k;

	memset(&r, 0, sizeof(r));
	for (i = 0; i < ROUNDS / 10; i++) {
		bool six = (i & 1) != 0, udp = (i & 2) != 0;
		uint32_t l4 = six ? 54 : 34, hdr = l4 + (udp ? 8 : 20);
		uint32_t bytes = 1 + rnd(60000), len;
		struct ms_frame f;

		for (k = 0; k < hdr - l4 + bytes; k++)
			whole[l4 + k] = (uint8_t)rnd(256);
		if (!udp) {
			whole[l4 + 12] = 0x50;
			whole[l4 + 13] = 0x99; /* CWR ACK PSH FIN */
		} else {
			be16(whole + l4 + 4, 8 + bytes);
		}
		len = frame_finish(whole, &r, addr[six][0], addr[six][1],
				   udp ? IPPROTO_UDP : IPPROTO_TCP,
				   hdr - l4 + bytes, udp ? 6 : 16, true);
		f = cut(hdr + rnd(100 < bytes ? 100 : bytes), len);
		f.meta.flags = MS_SLOT_CSUM_PARTIAL;
		f.meta.csum_start = (uint16_t)l4;
		f.meta.csum_offset = udp ? 6 : 16;
		f.meta.gso_type = udp	? MS_GSO_UDP
				  : six ? MS_GSO_TCP6
					: MS_GSO_TCP4;
		f.meta.gso_size = (uint16_t)(1 + rnd(9000));
		check_segments(&f, 14, l4, hdr, udp);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums_match_the_plain_way),
		cmocka_unit_test(test_partial_checksum_is_finished),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_segments_join_to_what_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
