/* SPDX-License-Identifier: BSD-2-Clause */
/* Extensions: how they are registered and negotiated, and what becomes of those
   that are wrong. */
#include "ext_script.h"

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
	REFUSED(size, offsetof(utcp_ext_ops_t, end) - 1);
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
		cmocka_unit_test(nonsense_ends_the_connection_only),
		cmocka_unit_test(it_may_leave_an_open_connection),
		cmocka_unit_test(half_open_ones_end),
		cmocka_unit_test(it_may_be_on_for_all),
		cmocka_unit_test(fast_open_has_room_for_it),
		cmocka_unit_test(both_may_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
