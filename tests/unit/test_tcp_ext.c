/* SPDX-License-Identifier: BSD-2-Clause */
/* Extensions: what a peer sees of one on the wire, what its hooks see, and what
   becomes of those that are wrong. */
#include "cc.h"
#include "tcp_util.h"

#define KIND 0xfd /* 253, of RFC 6994 */
#define EXID 0x4d53

/* What the test's extension is to do, and what it was called with. */
struct script {
	/* to do */
	unsigned int syn_bytes; /* of content on SYN and SYN-ACK; 99: none */
	unsigned int seg_bytes; /* likewise on segments, if wanted */
	unsigned int want;
	int init_says, open_says, in_says, out_says, timer_says;
	uint16_t set_flags; /* on what leaves, SYN or not */
	int set_ecn;	    /* of IP; -1: as it is */
	int ecn_mode;	    /* -1: none */
	uint32_t ce;	    /* told of each acknowledgement */
	bool stays;	    /* though the peer does not have it */
	bool spoils;	    /* the stack's part of what it was given */
	/* seen */
	unsigned int inits, releases, opens, ins, outs, acks, timers;
	unsigned int destroys;
	utcp_ext_in_t in;    /* the last */
	uint8_t content[40]; /* of its first option */
	utcp_ext_out_t out;  /* the last, as given */
	utcp_ext_ack_t ack;
	utcp_ext_t *ext;
};

static struct script *
of(utcp_ext_t *ext)
{
	return ext->shared;
}

static int
on_init(utcp_ext_t *ext)
{
	struct script *s = of(ext);

	s->inits++;
	s->ext = ext;
	assert_memory_equal(ext->priv, "\0\0\0\0", 4);
	memset(ext->priv, 0xaa, 4);
	if (s->ecn_mode >= 0)
		assert_int_equal(utcp_ext_ecn(ext, s->ecn_mode), 0);
	return s->init_says;
}

static void
on_release(utcp_ext_t *ext)
{
	of(ext)->releases++;
}

static int
on_open(utcp_ext_t *ext)
{
	struct script *s = of(ext);

	s->opens++;
	assert_non_null(ext->sock);
	assert_true(ext->flags & UTCP_EXT_OPEN);
	assert_int_equal(utcp_ext_want(ext, s->want), 0);
	return s->open_says;
}

static int
on_in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct script *s = of(ext);

	s->ins++;
	s->in = *seg;
	if (seg->num_opts > 0)
		memcpy(s->content, seg->opts[0].data, seg->opts[0].len);
	if (seg->flags & UTCP_TCP_SYN && seg->num_opts == 0 && !s->stays)
		return UTCP_EXT_LEAVE;
	return s->in_says;
}

static int
on_out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	struct script *s = of(ext);
	bool syn = seg->flags & UTCP_TCP_SYN;
	unsigned int n = syn ? s->syn_bytes : s->seg_bytes;
	uint8_t *p;

	s->outs++;
	s->out = *seg;
	seg->flags |= s->set_flags;
	if (s->set_ecn >= 0)
		seg->ecn = (uint8_t)s->set_ecn;
	if (s->spoils)
		seg->at_ += 41;
	if (n == 99 || (!syn && !s->want))
		return s->out_says;
	p = utcp_ext_put(seg, 0, n);
	for (unsigned int i = 0; p && i < n; i++)
		p[i] = (uint8_t)(0x10 + i);
	return s->out_says;
}

static void
on_ack(utcp_ext_t *ext, utcp_ext_ack_t *ack)
{
	of(ext)->acks++;
	of(ext)->ack = *ack;
	ack->ce = of(ext)->ce;
}

static int
on_timer(utcp_ext_t *ext)
{
	of(ext)->timers++;
	if (of(ext)->timer_says)
		(void)utcp_ext_timer(ext, 0); /* time goes on all the same */
	return of(ext)->timer_says;
}

static void
on_destroy(utcp_t *u, void *shared)
{
	assert_non_null(u);
	((struct script *)shared)->destroys++;
}

static const utcp_ext_option_t options[] = {
	{ .kind = KIND, .exid_bytes = 2, .exid = EXID },
	{ .kind = 172 },
};

static const utcp_ext_ops_t ops = {
	.size = sizeof(ops),
	.name = "test",
	.priv_bytes = 4,
	.num_options = 2,
	.options = options,
	.init = on_init,
	.release = on_release,
	.open = on_open,
	.in = on_in,
	.out = on_out,
	.ack = on_ack,
	.timer = on_timer,
	.destroy = on_destroy,
};

/* A stack that has it, and a listener that does. */
static void
begin(struct tt *t, struct script *s, uint32_t flags)
{
	memset(s, 0, sizeof(*s));
	s->set_ecn = s->ecn_mode = -1;
	s->syn_bytes = 2;
	tt_init(t, 4);
	assert_int_equal(utcp_ext_register(t->u, &ops, 0, s), 0);
	tt_listen(t);
	assert_int_equal(utcp_ext_add(t->listener, "test", NULL, flags), 0);
	t->p->stack_port = 80;
}

static void
end(struct tt *t, struct script *s)
{
	tt_end(t);
	assert_int_equal(s->inits, s->releases);
	assert_int_equal(s->destroys, 1);
}

/* The peer's SYN has the option, as have ours. */
#define SYN_RAW "raw fd064d530102"
#define SYN_OPTS TT_OPTS "," SYN_RAW

static void
registration_is_checked(void **state)
{
	static const utcp_ext_option_t own[] = {
		{ 0 },
		{ .kind = 1 },
		{ .kind = 2 },
		{ .kind = 3 },
		{ .kind = 4 },
		{ .kind = 5 },
		{ .kind = 8 },
		{ .kind = 34 },
		{ .kind = 254, .exid_bytes = 2, .exid = 0xf989 },
		{ .kind = 254, .exid_bytes = 4, .exid = 0xf9891234 },
		{ .kind = 253 },
		{ .kind = 253, .exid_bytes = 3 },
		{ .kind = 253, .exid_bytes = 2, .exid = 0x10000 },
		{ .kind = 69, .exid_bytes = 2 },
	};
	struct script s = { 0 };
	utcp_ext_ops_t bad;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
#define REFUSED(field, value)                                                  \
	do {                                                                   \
		bad = ops;                                                     \
		bad.field = (value);                                           \
		assert_int_equal(utcp_ext_register(t.u, &bad, 0, &s),          \
				 -EINVAL);                                     \
	} while (0)
	REFUSED(size, sizeof(ops) - 1);
	REFUSED(flags, 1u << 7);
	REFUSED(flags, UTCP_EXT_STREAM); /* without write and read */
	REFUSED(name, NULL);
	REFUSED(name, "");
	REFUSED(name, "sixteen_letters_");
	REFUSED(priv_bytes, 1025);
	REFUSED(num_options, 9);
	REFUSED(options, NULL);
#undef REFUSED
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		bad = ops;
		bad.options = &own[i];
		bad.num_options = 1;
		assert_int_equal(utcp_ext_register(t.u, &bad, 0, &s), -EINVAL);
	}
	assert_int_equal(utcp_ext_register(t.u, &ops, UTCP_EXT_MUST, &s),
			 -EINVAL);
	assert_int_equal(utcp_ext_register(t.u, &ops, 4, &s), -EINVAL);
	assert_string_equal(utcp_ext_name(t.u, 0), "accecn");
	assert_null(utcp_ext_name(t.u, 1));
	assert_int_equal(utcp_ext_register(t.u, &ops, UTCP_EXT_ALL, &s), 0);
	assert_int_equal(utcp_ext_register(t.u, &ops, 0, &s), -EEXIST);
	bad = ops;
	bad.name = "another"; /* with the same options */
	assert_int_equal(utcp_ext_register(t.u, &bad, UTCP_EXT_ALL, &s),
			 -EEXIST);
	assert_int_equal(utcp_ext_register(t.u, &bad, 0, &s), 0);
	assert_string_equal(utcp_ext_name(t.u, 1), "test");
	assert_string_equal(utcp_ext_name(t.u, 2), "another");
	assert_ptr_equal(utcp_ext_shared(t.u, "another"), &s);
	tt_open(&t);
	assert_int_equal(utcp_ext_add(t.s, "test", NULL, 0), -EEXIST);
	assert_int_equal(utcp_ext_add(t.s, "another", NULL, 0), -EEXIST);
	assert_int_equal(utcp_ext_add(t.s, "none", NULL, 0), -ENOENT);
	assert_int_equal(utcp_ext_add(t.s, "test", NULL, 8), -EINVAL);
	assert_int_equal(utcp_ext_remove(t.s, "another"), -ENOENT);
	assert_int_equal(utcp_ext_remove(t.s, "test"), 0);
	assert_null(t.s->ext);
	assert_int_equal(utcp_ext_add(t.s, "another", NULL, 0), 0);
	assert_null(utcp_ext_find(t.s, "another")); /* no connection yet */
	tt_end(&t);
	assert_int_equal(s.inits, 0);
	assert_int_equal(s.destroys, 2);
}

static void
a_listener_negotiates(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	assert_int_equal(s.inits, 1);
	assert_int_equal(s.in.num_opts, 1);
	assert_int_equal(s.in.opts[0].len, 2);
	assert_int_equal(s.in.opts[0].which, 0);
	assert_memory_equal(s.content, "\1\2", 2);
	assert_true(s.ext->flags & UTCP_EXT_PASSIVE);
	assert_null(s.ext->sock);
	tt_expect(&t,
		  "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr *,wscale 7,"
		  "raw fd064d531011>");
	/* The SYN again, the SYN-ACK again: told each time. */
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	assert_int_equal(s.ins, 2);
	tt_expect(&t,
		  "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr *,wscale 7,"
		  "raw fd064d531011>");
	assert_int_equal(s.out.again, 1);
	assert_int_equal(s.opens, 0);
	tt_in(&t, ". 1:1(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_int_equal(s.opens, 1);
	assert_ptr_equal(s.ext->sock, t.s);
	assert_ptr_equal(utcp_ext_find(t.s, "test"), s.ext);
	assert_memory_equal(s.ext->priv, "\xaa\xaa\xaa\xaa", 4);
	assert_int_equal(s.in.num_opts, 0);
	assert_true(tt_info(&t).negotiated & UTCP_GOT_EXT);
	assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_OPENS), 1);
	tt_in(&t, "P. 1:11(10) ack 1");
	assert_int_equal(s.in.ofs, 0);
	assert_int_equal(s.in.len, 10);
	assert_int_equal(s.in.flags, UTCP_TCP_PSH | UTCP_TCP_ACK);
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_read(&t, 10);
	end(&t, &s);
}

static void
it_leaves_who_does_not_have_it(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_passive(&t, TT_OPTS);
	assert_int_equal(s.inits, 1);
	assert_int_equal(s.releases, 1);
	assert_int_equal(s.opens, 0);
	assert_null(t.s->ext);
	assert_null(utcp_ext_find(t.s, "test"));
	assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_LEAVES), 1);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_read(&t, 10);
	end(&t, &s);
}

static void
where_it_must_be_no_other_connection_opens(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, UTCP_EXT_MUST);
	tt_in(&t, "S 0:0(0) <" TT_OPTS ">");
	tt_expect(&t, "R. * ack 1");
	assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_ENDS), 1);
	assert_int_equal(s.releases, 1);
	tt_passive(&t, SYN_OPTS);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_read(&t, 10);
	end(&t, &s);
}

static void
a_client_negotiates(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_open(&t);
	assert_int_equal(utcp_ext_add(t.s, "test", &t, 0), 0);
	tt_active(&t, SYN_OPTS);
	assert_ptr_equal(s.ext->arg, &t);
	assert_int_equal(s.opens, 1);
	assert_int_equal(utcp_ext_add(t.s, "test", &t, 0), -EISCONN);
	assert_int_equal(utcp_ext_remove(t.s, "test"), -EISCONN);
	end(&t, &s);
}

/* A SYN that is lost is told of as one that goes again. */
static void
a_client_asks_again(void **state)
{
	struct script s;
	utcp_addr_t a = { .family = 4, .addr = { 10, 0, 0, 2 } };
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_open(&t);
	assert_int_equal(utcp_ext_add(t.s, "test", NULL, UTCP_EXT_MUST), 0);
	put16(&a.port_be, 80);
	t.p->port = 80;
	t.p->stack_port = 0;
	assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0) <mss 1460,sackOK,TS val * ecr *,wscale 7,"
		      "raw fd064d531011>");
	assert_int_equal(s.out.again, 0);
	tt_expect_in(&t, SEC,
		     "S 0:0(0) <mss 1460,sackOK,TS val * ecr *,wscale 7,"
		     "raw fd064d531011>");
	assert_int_equal(s.out.again, 1);
	/* Without it, that it must have: not at all. */
	tt_in(&t, "S. 0:0(0) ack 1 <" TT_OPTS ">");
	tt_skip(&t);
	tt_ready(&t, UTCP_ERR | UTCP_HUP, 0);
	tt_read_is(&t, -EPROTO);
	assert_int_equal(s.opens, 0);
	end(&t, &s);
}

/* Data gets shorter by what the option takes, so that a packet never is longer
   than 1500 bytes; what is not wanted is not taken off. */
static void
segments_keep_to_the_mtu(void **state)
{
	static const struct {
		unsigned int want, put;
		unsigned int data;
		const char *raw; /* 3 NOPs of padding are the stack's */
	} cases[] = {
		{ 0, 2, 1448, "" },
		{ 6, 2, 1440, "raw fd064d531011" },
		{ 8, 4, 1440, "raw fd084d5310111213" },
		{ 9, 4, 1436, "raw fd084d5310111213" },
		{ 28, 24, 1420,
		  "raw fd1c4d53101112131415161718191a1b1c1d1e1f"
		  "2021222324252627" },
		{ 40, 24, 1420,
		  "raw fd1c4d53101112131415161718191a1b1c1d1e1f"
		  "2021222324252627" },
		{ 8, 5, 1440, "" }, /* it does not fit */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int n = cases[i].data;
		struct script s;
		struct tt t;

		begin(&t, &s, 0);
		s.want = cases[i].want;
		s.seg_bytes = cases[i].put;
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		tt_write(&t, 5000);
		tt_expect(&t, ". 1:%u(%u) ack 1 <TS val * ecr *%s%s>", 1 + n, n,
			  cases[i].raw[0] ? "," : "", cases[i].raw);
		assert_int_equal(s.out.segs, 1);
		tt_expect(&t, ". %u:%u(%u) ack 1", 1 + n, 1 + 2 * n, n);
		assert_int_equal(s.out.ofs, 3 * n); /* the third has left */
		end(&t, &s);
	}
}

/* SACK blocks take what is left; a bare ACK keeps room for one. */
static void
sack_blocks_give_way(void **state)
{
	static const struct {
		unsigned int want, blocks;
	} cases[] = { { 0, 3 },
		      { 8, 2 },
		      { 16, 1 },
		      /* no room for so much: nothing is written */
		      { 28, 3 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script s;
		struct tt_seg *seg;
		struct tt t;

		begin(&t, &s, 0);
		s.want = cases[i].want;
		s.seg_bytes = cases[i].want < 4 ? 99 : cases[i].want - 4;
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		tt_in(&t, ". 101:201(100) ack 1");
		tt_in(&t, ". 301:401(100) ack 1");
		tt_in(&t, ". 501:601(100) ack 1");
		tt_skip(&t);
		tt_in(&t, ". 701:801(100) ack 1");
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->len, 0);
		assert_int_equal(seg->num_sacks, cases[i].blocks);
		end(&t, &s);
	}
}

static void
bits_are_its_own(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_set(t.listener, UTCP_OPT_NODELAY, 1);
	s.set_flags = UTCP_TCP_AE | UTCP_TCP_ECE;
	s.ecn_mode = UTCP_EXT_ECN_OWN;
	tt_in(&t, "SEWA 0:0(0) <" SYN_OPTS ">");
	assert_int_equal(s.in.flags, UTCP_TCP_SYN | UTCP_TCP_ECE |
					 UTCP_TCP_CWR | UTCP_TCP_AE);
	tt_expect(&t, "[noecn] S.EA 0:0(0) ack 1");
	tt_in(&t, "[ce] .WA 1:1(0) ack 1");
	assert_int_equal(s.in.ecn, 3);
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_int_equal(tt_info(&t).negotiated & UTCP_GOT_ECN, 0);
	assert_true(tt_info(&t).negotiated & UTCP_GOT_EXT_ECN);
	tt_write(&t, 10);
	tt_expect(&t, "[ect0] P.EA 1:11(10) ack 1");
	assert_int_equal(s.out.flags, UTCP_TCP_PSH | UTCP_TCP_ACK);
	s.set_ecn = 1;
	s.set_flags = UTCP_TCP_CWR | UTCP_TCP_FIN | UTCP_TCP_SYN;
	tt_write(&t, 10);
	tt_expect(&t, "[ect1] P.W 11:21(10) ack 1"); /* no FIN, no SYN */
	s.set_flags = 0;
	s.set_ecn = -1;
	/* An ECE is a bit of a count: nothing slows down. */
	tt_in(&t, ".E 1:1(0) ack 21");
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(s.ack.acked, 20);
	assert_int_equal(s.ack.segs, 2);
	/* But what it says of marks does, once a window. */
	tt_write(&t, 5000);
	tt_skip(&t);
	s.ce = 100;
	tt_in(&t, ". 1:1(0) ack 1469");
	assert_int_equal(tt_info(&t).recovery, 2);
	assert_int_equal(tt_info(&t).delivered_ce_bytes, 100);
	assert_int_equal(tt_counter(&t, UTCP_CTR_ECN_ECE), 1);
	end(&t, &s);
}

static void
a_control_of_its_own_answers_marks(void **state)
{
	utcp_cc_ops_t cc;
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	cc = utcp__cc_newreno;
	cc.name = "scalable";
	cc.flags = UTCP_CC_OWN_ECN | UTCP_CC_L4S;
	assert_int_equal(utcp_cc_register(t.u, &cc), 0);
	assert_int_equal(utcp_set_cc(t.listener, "scalable"), 0);
	s.ecn_mode = UTCP_EXT_ECN_OWN;
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	tt_write(&t, 1448);
	tt_expect(&t, "[ect1] P. 1:1449(1448) ack 1");
	s.ce = 1448;
	tt_in(&t, ". 1:1(0) ack 1449");
	assert_int_equal(tt_info(&t).recovery, 0);
	assert_int_equal(tt_info(&t).delivered_ce_bytes, 1448);
	/* Again: not new, so not ECN-capable but if it says so. */
	tt_write(&t, 10);
	tt_expect(&t, "[ect1] P. 1449:1459(10) ack 1");
	tt_expect_within(&t, SEC, "[noecn] P. 1449:1459(10) ack 1");
	assert_int_equal(s.out.again, 1);
	end(&t, &s);
}

static void
segments_are_refused(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	s.in_says = UTCP_EXT_DROP;
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_none(&t);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_EXT), 1);
	tt_read_is(&t, -EAGAIN);
	s.in_says = 0;
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	tt_read(&t, 10);
	end(&t, &s);
}

static void
a_timer_goes_off(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	assert_int_equal(utcp_ext_timer(s.ext, t.now_ns + 5 * MSEC), 0);
	tt_quiet(&t, 4 * MSEC);
	assert_int_equal(s.timers, 0);
	tt_quiet(&t, MSEC);
	assert_int_equal(s.timers, 1);
	tt_quiet(&t, SEC);
	assert_int_equal(s.timers, 1);
	assert_int_equal(utcp_ext_timer(s.ext, t.now_ns + MSEC), 0);
	assert_int_equal(utcp_ext_timer(s.ext, UTCP_NEVER), 0);
	tt_quiet(&t, SEC);
	assert_int_equal(s.timers, 1);
	/* An ACK asked for leaves at once; a bare one ahead of data. */
	assert_int_equal(utcp_ext_ack_now(s.ext), 0);
	tt_expect(&t, ". 1:1(0) ack 1");
	tt_write(&t, 10);
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_ext_ack_first(s.ext), 0);
	tt_write(&t, 10);
	tt_expect(&t, ". 11:11(0) ack 1");
	tt_expect(&t, "P. 11:21(10) ack 1");
	tt_none(&t);
	end(&t, &s);
}

/* A hook that goes wrong ends its connection, and nothing else. */
static void
nonsense_ends_the_connection_only(void **state)
{
	enum where { INIT, OPEN, IN, OUT, SPOIL, ECN, TIMER };
	static const struct {
		enum where where;
		int says, error;
		bool fault;
	} cases[] = {
		{ OPEN, -EACCES, EACCES, false },
		{ OPEN, 77, EPROTO, true },
		{ IN, -EBADMSG, EBADMSG, false },
		{ IN, 77, EPROTO, true },
		{ IN, INT32_MIN, EPROTO, true },
		{ OUT, -EIO, EIO, false },
		{ OUT, UTCP_EXT_DROP, EPROTO, true },
		{ SPOIL, 0, EPROTO, true },
		{ ECN, 4, EPROTO, true },
		{ TIMER, -EPERM, EPERM, false },
		{ TIMER, 9, EPROTO, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		utcp_sock_t *other;
		struct script s;
		struct tt t;

		begin(&t, &s, 0);
		tt_passive(&t, SYN_OPTS);
		other = t.s;
		s.open_says = cases[i].where == OPEN ? cases[i].says : 0;
		(void)tt_peer(&t, 2, 999, 80);
		tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
		tt_skip(&t);
		tt_in(&t, ". 1:1(0) ack 1");
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		if (cases[i].where == IN)
			s.in_says = cases[i].says;
		if (cases[i].where == OUT)
			s.out_says = cases[i].says;
		if (cases[i].where == ECN)
			s.set_ecn = cases[i].says;
		s.spoils = cases[i].where == SPOIL;
		s.timer_says = cases[i].where == TIMER ? cases[i].says : 0;
		if (cases[i].where == TIMER)
			(void)utcp_ext_timer(s.ext, t.now_ns + MSEC);
		if (cases[i].where != OPEN)
			tt_in(&t, "P. 1:11(10) ack 1");
		tt_run(&t, 2 * MSEC);
		assert_true(t.s->dead);
		assert_int_equal(t.s->error, cases[i].error);
		assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_FAULTS),
				 cases[i].fault);
		assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_ENDS), 1);
		/* The other one is well. */
		s.in_says = s.out_says = s.open_says = 0;
		s.set_ecn = -1;
		s.spoils = false;
		utcp_close(t.s);
		t.s = other;
		t.p = &t.peer0;
		tt_skip(&t);
		t.wrote = t.read = 0;
		tt_in(&t, "P. 1:11(10) ack 1");
		tt_expect(&t, ". 1:1(0) ack 11");
		tt_read(&t, 10);
		end(&t, &s);
	}
}

static void
it_may_leave_an_open_connection(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	s.want = 8;
	s.seg_bytes = 4;
	tt_set(t.listener, UTCP_OPT_NODELAY, 1);
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	tt_write(&t, 10);
	tt_expect(&t,
		  "P. 1:11(10) ack 1 <TS val * ecr *,raw fd084d5310111213>");
	s.out_says = UTCP_EXT_LEAVE;
	tt_write(&t, 10);
	tt_expect(&t, "P. 11:21(10) ack 1 <TS val * ecr *>");
	assert_int_equal(s.releases, 1);
	assert_null(t.s->ext);
	tt_write(&t, 1448);
	tt_expect(&t, "P. 21:1469(1448) ack 1 <TS val * ecr *>");
	end(&t, &s);
}

/* What one has is not the other's, whatever a peer puts on segments. */
static void
hostile_options_are_passed_over(void **state)
{
	static const struct {
		const char *raw;
		unsigned int num;
	} cases[] = {
		{ "raw fd024d53", 0 },	     /* no room for an ExID */
		{ "raw fd054d5400", 0 },     /* another's */
		{ "raw fe064d530102", 0 },   /* another kind */
		{ "raw fd284d53", 0 },	     /* longer than all options */
		{ "raw fd00", 0 },	     /* of no length */
		{ "raw fd", 0 },	     /* nor room for one */
		{ "raw 00fd064d530102", 0 }, /* behind the end */
		{ "raw fd044d53", 1 },	     /* of nothing */
		{ "raw ac02ac02ac02ac02ac02ac02ac02ac02ac02ac02", 8 },
		{ "raw ac03fffd064d530102", 2 },
	};
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	s.stays = true;
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_in(&t, ". 1:1(0) ack 1 <TS val 1000 ecr 0,%s>",
		      cases[i].raw);
		if (s.in.num_opts != cases[i].num)
			fail_msg("%s: %u options", cases[i].raw, s.in.num_opts);
	}
	end(&t, &s);
}

/* Memory of half open connections goes with them. */
static void
half_open_ones_end(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_run(&t, 300 * SEC); /* no answer */
	assert_int_equal(t.u->num_syns, 0);
	assert_int_equal(s.releases, 1);
	assert_int_equal(s.outs, 6);
	assert_int_equal(s.out.again, 5);
	tt_skip(&t);
	s.out_says = -EIO; /* not even a SYN-ACK */
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_none(&t);
	assert_int_equal(t.u->num_syns, 0);
	s.out_says = 0;
	s.init_says = -EIO;
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_expect(&t, "R. * ack 1");
	s.init_says = UTCP_EXT_LEAVE;
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_expect(&t,
		  "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr *,wscale 7>");
	tt_in(&t, "R 1:1(0)");
	tt_end(&t);
	assert_int_equal(s.inits, 4);
	assert_int_equal(s.releases, 2); /* init had refused the others */
}

/* A cookie keeps nothing; where the extension must be, none is sent. */
static void
cookies_carry_none(void **state)
{
	(void)state;
	for (int must = 0; must < 2; must++) {
		utcp_config_t c = { .size = sizeof(c), .max_syns = 1 };
		struct script s = { .set_ecn = -1, .ecn_mode = -1 };
		struct tt t;

		tt_init_config(&t, 4, &c);
		assert_int_equal(utcp_ext_register(t.u, &ops, 0, &s), 0);
		tt_listen(&t);
		t.p->stack_port = 80;
		assert_int_equal(utcp_ext_add(t.listener, "test", NULL,
					      must ? UTCP_EXT_MUST : 0),
				 0);
		tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
		tt_skip(&t);
		(void)tt_peer(&t, 2, 999, 80);
		tt_in(&t, "SEW 0:0(0) <" SYN_OPTS ">");
		assert_int_equal(s.inits, 1);
		if (must) {
			tt_none(&t);
			assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_SYN), 1);
		} else {
			tt_expect(&t,
				  "S. 0:0(0) ack 1 "
				  "<mss 1460,sackOK,TS val * ecr *,wscale 7>");
			tt_in(&t, ". 1:1(0) ack 1");
			assert_int_equal(utcp_accept(t.listener, &t.s), 0);
			assert_null(t.s->ext);
			assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_COOKIES),
					 1);
		}
		end(&t, &s);
	}
}

/* On for all sockets opened from then on; one may do without. */
static void
it_may_be_on_for_all(void **state)
{
	struct script s = { .set_ecn = -1, .ecn_mode = -1, .syn_bytes = 2 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t); /* before it was known */
	assert_int_equal(utcp_ext_register(t.u, &ops, UTCP_EXT_ALL, &s), 0);
	t.p->stack_port = 80;
	tt_passive(&t, SYN_OPTS);
	assert_int_equal(s.inits, 0);
	utcp_abort(t.s);
	utcp_close(t.listener);
	t.s = t.listener = NULL;
	tt_skip(&t);
	(void)tt_peer(&t, 2, 999, 80);
	tt_passive(&t, SYN_OPTS);
	assert_int_equal(s.opens, 1);
	assert_ptr_equal(s.ext->arg, &s);
	utcp_abort(t.s);
	t.s = NULL;
	tt_expect(&t, "R. 1:1(0) ack 1");
	tt_open(&t);
	assert_int_equal(utcp_ext_remove(t.s, "test"), 0);
	(void)tt_peer(&t, 3, 80, 0);
	tt_active(&t, SYN_OPTS);
	assert_int_equal(s.inits, 1);
	end(&t, &s);
}

/* One call for what the device cuts; or a call, and a packet, for each. */
static void
a_model_of_several_segments(void **state)
{
	(void)state;
	for (int on = 1; on >= 0; on--) {
		utcp_config_t c = { .size = sizeof(c),
				    .offloads = UTCP_OFFLOAD_CSUM |
						UTCP_OFFLOAD_GSO_TCP };
		struct script s = {
			.set_ecn = -1, .ecn_mode = -1, .want = 8, .seg_bytes = 4
		};
		struct tt_seg *seg;
		struct tt t;

		tt_init_config(&t, 4, &c);
		assert_int_equal(utcp_ext_register(t.u, &ops, UTCP_EXT_ALL, &s),
				 0);
		t.p->stack_port = 80;
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		assert_int_equal(utcp_ext_gso(s.ext, on), 0);
		s.outs = 0;
		tt_write(&t, 4 * 1440);
		seg = tt_next(&t);
		assert_non_null(seg);
		assert_int_equal(seg->raw_len, 8); /* the option */
		assert_int_equal(seg->gso_size, on ? 1440 : 0);
		assert_int_equal(s.outs, on ? 1 : 4);
		assert_int_equal(s.out.segs, on ? 4 : 1);
		assert_int_equal(s.out.ofs, on ? 0 : 3 * 1440);
		tt_in(&t, ". 1:1(0) ack 5761");
		assert_int_equal(s.ack.segs, 4);
		end(&t, &s);
	}
}

/* Data on the SYN goes with options of ours; instances have their socket at
   once. */
static void
fast_open_has_room_for_it(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_set(t.listener, UTCP_OPT_FASTOPEN, 5);
	tt_set(t.listener, UTCP_OPT_FASTOPEN_NOCOOKIE, 1);
	tt_in(&t, "S 0:10(10) <" SYN_OPTS ">");
	assert_int_equal(s.in.len, 10);
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_ptr_equal(s.ext->sock, t.s);
	tt_expect(&t, "S. 0:0(0) ack 11 <mss 1460,sackOK,TS val * ecr *,"
		      "wscale 7,raw fd064d531011>");
	tt_read(&t, 10);
	assert_int_equal(s.opens, 0);
	tt_in(&t, ". 11:11(0) ack 1");
	assert_int_equal(s.opens, 1);
	end(&t, &s);
}

/* Both open at once: SYNs cross, SYN-ACKs follow. */
static void
both_may_open(void **state)
{
	struct script s;
	utcp_addr_t a = { .family = 4, .addr = { 10, 0, 0, 2 } };
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_open(&t);
	assert_int_equal(utcp_ext_add(t.s, "test", NULL, UTCP_EXT_MUST), 0);
	put16(&a.port_be, 80);
	t.p->port = 80;
	t.p->stack_port = 0;
	assert_int_equal(utcp_connect(t.s, &a), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0) <mss 1460,sackOK,TS val * ecr *,wscale 7,"
		      "raw fd064d531011>");
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	assert_int_equal(s.in.num_opts, 1);
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460,sackOK,TS val * ecr *,"
		      "wscale 7,raw fd064d531011>");
	assert_int_equal(s.opens, 0);
	tt_in(&t, "S. 0:0(0) ack 1 <" SYN_OPTS ">");
	assert_int_equal(s.in.flags, UTCP_TCP_SYN | UTCP_TCP_ACK);
	assert_int_equal(s.opens, 1);
	tt_state(&t, UTCP_ESTABLISHED);
	end(&t, &s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registration_is_checked),
		cmocka_unit_test(a_listener_negotiates),
		cmocka_unit_test(it_leaves_who_does_not_have_it),
		cmocka_unit_test(where_it_must_be_no_other_connection_opens),
		cmocka_unit_test(a_client_negotiates),
		cmocka_unit_test(a_client_asks_again),
		cmocka_unit_test(segments_keep_to_the_mtu),
		cmocka_unit_test(sack_blocks_give_way),
		cmocka_unit_test(bits_are_its_own),
		cmocka_unit_test(a_control_of_its_own_answers_marks),
		cmocka_unit_test(segments_are_refused),
		cmocka_unit_test(a_timer_goes_off),
		cmocka_unit_test(nonsense_ends_the_connection_only),
		cmocka_unit_test(it_may_leave_an_open_connection),
		cmocka_unit_test(hostile_options_are_passed_over),
		cmocka_unit_test(half_open_ones_end),
		cmocka_unit_test(cookies_carry_none),
		cmocka_unit_test(it_may_be_on_for_all),
		cmocka_unit_test(a_model_of_several_segments),
		cmocka_unit_test(fast_open_has_room_for_it),
		cmocka_unit_test(both_may_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
