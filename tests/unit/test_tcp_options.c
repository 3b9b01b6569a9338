/* SPDX-License-Identifier: BSD-2-Clause */
/* The header and its options, read and written, good and bad (RFC 9293 section
   3.1, RFC 7323, RFC 2018, RFC 7413). */
#include "tcp_util.h"

/* A header of these flags and options, and data; parsed. */
static int
parse(struct utcp__seg_in *seg, uint8_t flags, const uint8_t *opts,
      uint32_t opt_len, uint32_t data)
{
	static struct utcp__in in;
	static uint8_t *bytes;
	uint32_t len = 20 + opt_len + data;

	free(bytes);
	bytes = calloc(1, len); /* exact, so that a sanitizer sees more */
	bytes[12] = (uint8_t)((20 + opt_len) << 2);
	bytes[13] = flags;
	memcpy(bytes + 20, opts, opt_len);
	memset(&in, 0, sizeof(in));
	in.l4 = bytes;
	in.l4_bytes = len;
	in.num_parts = 1;
	in.part[0].data = bytes;
	in.part[0].len = len;
	memset(seg, 0xee, sizeof(*seg));
	return utcp__tcp_parse(seg, &in);
}

static void
options_read(void **state)
{
	static const struct {
		const char *name;
		uint8_t flags, len, bytes[40];
		uint16_t opts;
	} cases[] = {
		{ "none", TH_SYN, 4, { 0 }, 0 },
		{ "nops", TH_SYN, 4, { 1, 1, 1, 1 }, 0 },
		{ "mss", TH_SYN, 4, { 2, 4, 5, 0xb4 }, TO_MSS },
		{ "mss, no syn", TH_ACK, 4, { 2, 4, 5, 0xb4 }, 0 },
		{ "mss, long", TH_SYN, 8, { 2, 6, 5, 0xb4 }, 0 },
		{ "mss, beyond", TH_SYN, 4, { 1, 2, 4, 5 }, 0 },
		{ "length 0", TH_SYN, 8, { 2, 0, 0, 0, 2, 4, 5, 0xb4 }, 0 },
		{ "length 1", TH_SYN, 8, { 2, 1, 0, 0, 2, 4, 5, 0xb4 }, 0 },
		{ "no length", TH_SYN, 4, { 1, 1, 1, 2 }, 0 },
		{ "unknown",
		  TH_SYN,
		  8,
		  { 99, 4, 0, 0, 2, 4, 5, 0xb4 },
		  TO_MSS },
		{ "behind the end",
		  TH_SYN,
		  8,
		  { 0, 0, 0, 0, 2, 4, 5, 0xb4 },
		  0 },
		{ "wscale", TH_SYN, 4, { 1, 3, 3, 9 }, TO_WSCALE },
		{ "wscale, no syn", TH_ACK, 4, { 1, 3, 3, 9 }, 0 },
		{ "wscale, short", TH_SYN, 4, { 3, 2, 1, 1 }, 0 },
		{ "sack ok", TH_SYN, 4, { 4, 2, 1, 1 }, TO_SACK_OK },
		{ "sack ok, long", TH_SYN, 4, { 4, 3, 0, 1 }, 0 },
		{ "ts",
		  TH_ACK,
		  12,
		  { 1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6 },
		  TO_TS },
		{ "ts, apart",
		  TH_ACK,
		  12,
		  { 8, 10, 0, 0, 0, 5, 0, 0, 0, 6, 1, 1 },
		  TO_TS },
		{ "ts, short",
		  TH_ACK,
		  12,
		  { 1, 1, 8, 9, 0, 0, 0, 5, 0, 0, 0, 1 },
		  0 },
		{ "ts, beyond", TH_ACK, 8, { 1, 1, 8, 10, 0, 0, 0, 5 }, 0 },
		{ "sack",
		  TH_ACK,
		  12,
		  { 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2 },
		  TO_SACK },
		{ "sack, odd",
		  TH_ACK,
		  12,
		  { 1, 1, 5, 9, 0, 0, 0, 1, 0, 0, 0, 1 },
		  0 },
		{ "sack, empty", TH_ACK, 4, { 1, 1, 5, 2 }, 0 },
		{ "cookie asked", TH_SYN, 4, { 34, 2, 1, 1 }, TO_FASTOPEN },
		{ "cookie",
		  TH_SYN,
		  8,
		  { 34, 6, 1, 2, 3, 4, 1, 1 },
		  TO_FASTOPEN },
		{ "cookie, odd", TH_SYN, 8, { 34, 7, 1, 2, 3, 4, 5, 1 }, 0 },
		{ "cookie, short", TH_SYN, 4, { 34, 4, 1, 2 }, 0 },
		{ "cookie, long", TH_SYN, 20, { 34, 20 }, 0 },
		{ "cookie, no syn", TH_ACK, 4, { 34, 2, 1, 1 }, 0 },
		{ "exp", TH_SYN, 4, { 254, 4, 0xf9, 0x89 }, TO_FASTOPEN },
		{ "exp, cookie",
		  TH_SYN,
		  12,
		  { 254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8 },
		  TO_FASTOPEN },
		{ "exp, another", TH_SYN, 4, { 254, 4, 0xf9, 0x88 }, 0 },
		{ "exp, none", TH_SYN, 4, { 254, 2, 1, 1 }, 0 },
	};
	struct utcp__seg_in seg;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(&seg, cases[i].flags, cases[i].bytes,
				       cases[i].len, 7),
				 0);
		if (seg.opts != cases[i].opts)
			fail_msg("%s: options 0x%x", cases[i].name, seg.opts);
		assert_int_equal(seg.len, 7);
		assert_int_equal(seg.num_parts, 1);
	}
}

static void
values_read(void **state)
{
	static const uint8_t syn[] = { 2,  4,	 0x12, 0x34, 4,	   2,  8,
				       10, 1,	 2,    3,    4,	   5,  6,
				       7,  8,	 1,    3,    3,	   99, 34,
				       6,  0xaa, 0xbb, 0xcc, 0xdd, 1,  1 };
	static const uint8_t sacks[] = { 1, 1, 5, 34, 0, 0, 0, 1, 0, 0, 0, 2,
					 0, 0, 0, 3,  0, 0, 0, 4, 0, 0, 0, 5,
					 0, 0, 0, 6,  0, 0, 0, 7, 0, 0, 0, 8 };
	struct utcp__seg_in seg;

	(void)state;
	assert_int_equal(parse(&seg, TH_SYN, syn, sizeof(syn), 0), 0);
	assert_int_equal(seg.opts,
			 TO_MSS | TO_SACK_OK | TO_TS | TO_WSCALE | TO_FASTOPEN);
	assert_int_equal(seg.mss, 0x1234);
	assert_int_equal(seg.ts_val, 0x01020304);
	assert_int_equal(seg.ts_ecr, 0x05060708);
	assert_int_equal(seg.wscale, 14); /* RFC 7323 section 2.3 */
	assert_int_equal(seg.cookie_len, 4);
	assert_int_equal(seg.cookie[3], 0xdd);
	assert_int_equal(seg.num_parts, 0);
	assert_int_equal(parse(&seg, TH_ACK, sacks, sizeof(sacks), 0), 0);
	assert_int_equal(seg.num_sacks, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(seg.sacks[i].start, 2 * i + 1);
		assert_int_equal(seg.sacks[i].end, 2 * i + 2);
	}
}

static void
bad_headers(void **state)
{
	uint8_t bytes[64] = { 0 };
	struct utcp__in in = { .l4 = bytes, .num_parts = 1 };
	struct utcp__seg_in seg;

	(void)state;
	in.part[0].data = bytes;
	for (uint32_t len = 0; len <= 64; len++) {
		for (unsigned int off = 0; off < 16; off++) {
			bool good = len >= 20 && off >= 5 && off * 4 <= len;

			bytes[12] = (uint8_t)(off << 4);
			in.l4_bytes = len;
			in.part[0].len = len;
			assert_int_equal(utcp__tcp_parse(&seg, &in),
					 good ? 0 : -EINVAL);
		}
	}
	/* the header must be in one piece */
	bytes[12] = 0x80;
	in.l4_bytes = 40;
	in.num_parts = 2;
	in.part[0].len = 28;
	in.part[1].data = bytes + 28;
	in.part[1].len = 12;
	assert_int_equal(utcp__tcp_parse(&seg, &in), -EINVAL);
}

/* Any bytes are options: nothing is read past them. */
static void
any_options(void **state)
{
	uint64_t rnd = 1;
	struct utcp__seg_in seg;
	uint8_t opts[40];

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		uint32_t len = (uint32_t)(i % 11) * 4;

		for (unsigned int j = 0; j < 40; j++) {
			rnd = rnd * 6364136223846793005ull + 1;
			opts[j] = (uint8_t)(rnd >> 33);
			if ((rnd >> 50 & 3) == 0)
				opts[j] &= 7;
		}
		assert_int_equal(
		    parse(&seg, (uint8_t)(rnd >> 20), opts, len, i % 3), 0);
		assert_true(seg.num_sacks <= 4);
		assert_true(seg.cookie_len <= 16);
		assert_int_equal(seg.len, i % 3);
	}
}

/* What is written is read, and its order is the usual one. */
static void
options_written(void **state)
{
	static const uint8_t cookie[16] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	static const struct {
		uint16_t opts;
		uint8_t sacks, cookie;
		bool exp;
		uint8_t len, bytes[40];
		uint16_t read; /* 0: as opts */
	} cases[] = {
		{ TO_MSS, 0, 0, false, 4, { 2, 4, 5, 0xb4 }, 0 },
		{ TO_MSS | TO_SACK_OK | TO_TS | TO_WSCALE,
		  0,
		  0,
		  false,
		  20,
		  { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
		    0, 1, 0, 0,	   0, 2, 1, 3,	3, 7 },
		  0 },
		{ TO_MSS | TO_SACK_OK | TO_WSCALE,
		  0,
		  0,
		  false,
		  12,
		  { 2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7 },
		  0 },
		{ TO_TS,
		  0,
		  0,
		  false,
		  12,
		  { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2 },
		  0 },
		{ TO_TS | TO_SACK,
		  1,
		  0,
		  false,
		  24,
		  { 1, 1, 8, 10, 0, 0, 0, 1,  0, 0, 0, 2,
		    1, 1, 5, 10, 0, 0, 0, 10, 0, 0, 0, 20 },
		  0 },
		/* as many as fit */
		{ TO_TS | TO_SACK, 4, 0, false, 40, { 1, 1, 8, 10 }, 0 },
		{ TO_SACK, 4, 0, false, 36, { 1, 1, 5, 34 }, 0 },
		{ TO_MSS | TO_FASTOPEN,
		  0,
		  0,
		  false,
		  8,
		  { 2, 4, 5, 0xb4, 34, 2, 1, 1 },
		  0 },
		{ TO_MSS | TO_FASTOPEN,
		  0,
		  8,
		  false,
		  16,
		  { 2, 4, 5, 0xb4, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1 },
		  0 },
		{ TO_MSS | TO_FASTOPEN,
		  0,
		  8,
		  true,
		  16,
		  { 2, 4, 5, 0xb4, 254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7,
		    8 },
		  0 },
		/* a cookie of 16 bytes fits beside all others */
		{ TO_MSS | TO_SACK_OK | TO_TS | TO_WSCALE | TO_FASTOPEN,
		  0,
		  16,
		  true,
		  40,
		  { 2, 4 },
		  0 },
	};
	struct utcp__seg_in seg;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct utcp__opt_out o = { .opts = cases[i].opts,
					   .mss = 1460,
					   .wscale = 7,
					   .num_sacks = cases[i].sacks,
					   .cookie_len = cases[i].cookie,
					   .exp_fastopen = cases[i].exp,
					   .cookie = cookie,
					   .ts_val = 1,
					   .ts_ecr = 2 };
		uint8_t to[48];
		unsigned int n;

		for (uint32_t j = 0; j < 4; j++) {
			o.sacks[j].start = 10 + 100 * j;
			o.sacks[j].end = 20 + 100 * j;
		}
		memset(to, 0x77, sizeof(to));
		n = utcp__tcp_options(to, &o);
		assert_int_equal(n, cases[i].len);
		for (unsigned int j = n; j < sizeof(to); j++)
			assert_int_equal(to[j], 0x77);
		for (unsigned int j = 0; j < n; j++)
			if (cases[i].bytes[4] != 0)
				assert_int_equal(to[j], cases[i].bytes[j]);
		assert_int_equal(parse(&seg, TH_SYN | TH_ACK, to, n, 0), 0);
		assert_int_equal(seg.opts, cases[i].opts);
		assert_int_equal(seg.cookie_len, cases[i].cookie);
	}
}

/* Data cut at either end, over several parts. */
static void
trims(void **state)
{
	static uint8_t bytes[100];
	static const uint32_t lens[] = { 24, 1, 30, 5, 40 };
	struct utcp__in in = { .l4 = bytes, .l4_bytes = 100, .num_parts = 5 };
	struct utcp__seg_in seg;
	uint32_t at = 0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		bytes[i] = (uint8_t)i;
	bytes[12] = 5 << 4;
	for (unsigned int i = 0; i < 5; i++) {
		in.part[i].data = bytes + at;
		in.part[i].len = lens[i];
		at += lens[i];
	}
	for (uint32_t front = 0; front <= 90; front++) {
		for (uint32_t tail = 0; tail <= 90; tail++) {
			uint32_t seq, n = 0, first = 20 + front;

			assert_int_equal(utcp__tcp_parse(&seg, &in), 0);
			seq = seg.seq;
			assert_int_equal(seg.len, 80);
			utcp__seg_trim_front(&seg, front);
			assert_int_equal(seg.seq - seq,
					 front > 80 ? 80 : front);
			utcp__seg_trim_end(&seg, tail);
			assert_int_equal(seg.len, front + tail >= 80
						      ? 0
						      : 80 - front - tail);
			for (unsigned int i = 0; i < seg.num_parts; i++) {
				assert_true(seg.part[i].len > 0);
				for (size_t j = 0; j < seg.part[i].len; j++)
					assert_int_equal(seg.part[i].data[j],
							 first + n++);
			}
			assert_int_equal(n, seg.len);
		}
	}
}

static void
padding_not_data(void **state)
{
	static uint8_t bytes[64];
	struct utcp__in in = { .l4 = bytes, .l4_bytes = 30, .num_parts = 1 };
	struct utcp__seg_in seg;

	(void)state;
	/* Ethernet pads short frames: what is behind the IP packet is none of
	   its data. */
	bytes[12] = 5 << 4;
	in.part[0].data = bytes;
	in.part[0].len = 46;
	assert_int_equal(utcp__tcp_parse(&seg, &in), 0);
	assert_int_equal(seg.len, 10);
	assert_int_equal(seg.part[0].len, 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_read),
		cmocka_unit_test(values_read),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(any_options),
		cmocka_unit_test(options_written),
		cmocka_unit_test(trims),
		cmocka_unit_test(padding_not_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
