/* SPDX-License-Identifier: BSD-2-Clause */
/* Extensions and SYN cookies, which keep nothing of them: plain TCP. */
#include "ext_script.h"

/* A listener whose only place for half open connections is taken, by one that
   has the extension: t->p is another peer. */
static void
begin_full(struct tt *t, struct script *s, const utcp_ext_ops_t *o,
	   uint32_t flags)
{
	utcp_config_t c = { .size = sizeof(c), .max_syns = 1 };

	memset(s, 0, sizeof(*s));
	s->set_ecn = s->ecn_mode = -1;
	s->syn_bytes = 2;
	tt_init_config(t, 4, &c);
	assert_int_equal(utcp_ext_register(t->u, o, 0, s), 0);
	tt_listen(t);
	t->p->stack_port = 80;
	assert_int_equal(utcp_ext_add(t->listener, "test", NULL, flags), 0);
	tt_in(t, "S 0:0(0) <" SYN_OPTS ">");
	tt_skip(t);
	assert_int_equal(s->inits, 1);
	assert_int_equal(s->ins, 1);
	assert_int_equal(s->outs, 1);
	(void)tt_peer(t, 2, 999, 80);
}

/* Of all that follows the first peer's SYN-ACK, hooks saw nothing. */
static void
nothing_seen(const struct script *s)
{
	assert_int_equal(s->inits, 1);
	assert_int_equal(s->ins, 1);
	assert_int_equal(s->outs, 1);
	assert_int_equal(s->opens + s->acks + s->timers + s->ends, 0);
}

static void
a_connection_by_cookie_is_plain_tcp(void **state)
{
	struct script s;
	struct tt t;
	uint32_t got;

	(void)state;
	begin_full(&t, &s, &ops, 0);
	tt_in(&t, "SEW 0:0(0) <" SYN_OPTS ">");
	tt_expect(&t, "S. 0:0(0) ack 1 "
		      "<mss 1460,sackOK,TS val * ecr *,wscale 7>");
	tt_in(&t, ". 1:1(0) ack 1 <TS val 1001 ecr 0,raw fd064d530102>");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_null(utcp_ext_find(t.s, "test"));
	assert_null(t.s->ext);
	assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_COOKIES), 1);
	got = tt_info(&t).negotiated;
	assert_int_equal(got, UTCP_GOT_COOKIE | UTCP_GOT_SACK |
				  UTCP_GOT_TIMESTAMPS | UTCP_GOT_WSCALE);
	/* Both ways, options of ours passed over, to the end. */
	tt_in(&t, "P. 1:11(10) ack 1 <TS val 1001 ecr 0,raw fd064d530102>");
	tt_expect(&t, ". 1:1(0) ack 11 <TS val * ecr *>");
	tt_read(&t, 10);
	tt_write(&t, 1448);
	tt_expect(&t, "P. 1:1449(1448) ack 11 <TS val * ecr *>");
	tt_in(&t, ". 11:11(0) ack 1449");
	tt_in(&t, "R 11:11(0)");
	tt_read_is(&t, -ECONNRESET);
	utcp_close(t.s);
	t.s = NULL;
	nothing_seen(&s);
	assert_int_equal(s.releases, 0);
	end(&t, &s);
}

static void
where_it_must_be_there_is_no_cookie(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin_full(&t, &s, &ops, UTCP_EXT_MUST);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_none(&t);
	assert_int_equal(tt_counter(&t, UTCP_CTR_DROP_SYN), 1);
	nothing_seen(&s);
	/* Again, and the other has gone meanwhile. */
	tt_run(&t, 300 * SEC);
	tt_skip(&t);
	tt_passive(&t, SYN_OPTS);
	assert_ptr_equal(utcp_ext_find(t.s, "test"), s.ext);
	assert_int_equal(s.opens, 1);
	assert_int_equal(tt_counter(&t, UTCP_CTR_EXT_COOKIES), 0);
	end(&t, &s);
}

/* Its SYN came again when there was room, but it answers the cookie. */
static void
an_instance_gives_way_to_a_cookie(void **state)
{
	struct tt_peer *by_cookie;
	struct script s;
	struct tt t;
	uint32_t iss;

	(void)state;
	begin_full(&t, &s, &ops, 0);
	by_cookie = t.p;
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_skip(&t);
	iss = t.p->iss;
	t.p = &t.peer0;
	tt_in(&t, "R 1:1(0)"); /* the first one's place is free */
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.releases, 1);
	t.p = by_cookie;
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	assert_int_equal(s.inits, 2);
	tt_skip(&t);
	t.p->iss = iss;
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	assert_null(t.s->ext);
	assert_int_equal(s.releases, 2);
	assert_int_equal(s.ends, 1); /* it was not reset */
	assert_int_equal(s.opens, 0);
	end(&t, &s);
}

/* ---- one that stands in the stream ---------------------------------------- */

static ssize_t
never_write(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	(void)data;
	(void)flags;
	of(ext)->timers += 1000;
	return (ssize_t)len;
}

static ssize_t
never_read(utcp_ext_t *ext, const void *data, size_t len)
{
	return never_write(ext, data, len, 0);
}

static void
bytes_go_straight_past_a_stream(void **state)
{
	utcp_ext_ops_t stream = ops;
	struct script s;
	struct tt t;

	(void)state;
	stream.flags = UTCP_EXT_STREAM;
	stream.write = never_write;
	stream.read = never_read;
	begin_full(&t, &s, &stream, 0);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_skip(&t);
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_expect(&t, ". 1:1(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_read(&t, 10);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100) ack 11 <TS val * ecr *>");
	tt_in(&t, "F. 11:11(0) ack 101");
	tt_read_is(&t, 0);
	nothing_seen(&s);
	end(&t, &s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_by_cookie_is_plain_tcp),
		cmocka_unit_test(where_it_must_be_there_is_no_cookie),
		cmocka_unit_test(an_instance_gives_way_to_a_cookie),
		cmocka_unit_test(bytes_go_straight_past_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
