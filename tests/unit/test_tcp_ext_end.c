/* SPDX-License-Identifier: BSD-2-Clause */
/* Extensions are told how their connection ended: once, who reset it, the
   error. */
#include "ext_script.h"

/* ---- ways in which an open connection ends ------------------------------- */

static void
peer_resets(struct tt *t)
{
	tt_in(t, "R 1:1(0)");
	tt_read_is(t, -ECONNRESET);
}

static void
peer_resets_behind_its_fin(struct tt *t)
{
	tt_in(t, "F. 1:1(0) ack 1");
	tt_expect(t, ". 1:1(0) ack 2");
	tt_in(t, "R 2:2(0)");
}

/* RFC 5961 section 3.2: only the second one counts. */
static void
peer_resets_after_a_blind_attempt(struct tt *t)
{
	tt_in(t, "R 100:100(0)");
	tt_expect(t, ". 1:1(0) ack 1");
	tt_state(t, UTCP_ESTABLISHED);
	tt_in(t, "R 1:1(0)");
}

static void
user_aborts(struct tt *t)
{
	utcp_abort(t->s);
	t->s = NULL;
	tt_expect(t, "R. 1:1(0) ack 1");
}

static void
user_closes_with_data_unread(struct tt *t)
{
	tt_in(t, "P. 1:11(10) ack 1");
	tt_expect(t, ". 1:1(0) ack 11");
	utcp_close(t->s);
	t->s = NULL;
	tt_expect(t, "R. 1:1(0) ack 11");
}

static void
data_comes_for_nobody(struct tt *t)
{
	utcp_close(t->s);
	t->s = NULL;
	tt_expect(t, "F. 1:1(0) ack 1");
	tt_in(t, "P. 1:11(10) ack 2");
	tt_expect(t, "R 2:2(0)");
}

static void
keepalives_are_not_answered(struct tt *t)
{
	tt_set(t->s, UTCP_OPT_KEEPALIVE, 1);
	tt_run(t, 4 * 3600 * SEC);
	tt_read_is(t, -ETIMEDOUT);
}

static void
data_is_never_acknowledged(struct tt *t)
{
	tt_write(t, 10);
	tt_run(t, 4 * 3600 * SEC);
	tt_read_is(t, -ETIMEDOUT);
}

static void
both_close(struct tt *t)
{
	tt_in(t, "F. 1:1(0) ack 1");
	utcp_close(t->s);
	t->s = NULL;
	tt_skip(t);
	tt_in(t, ". 2:2(0) ack 2");
}

static void
we_close_first(struct tt *t)
{
	utcp_close(t->s);
	t->s = NULL;
	tt_skip(t);
	tt_in(t, "F. 1:1(0) ack 2");
	tt_expect(t, ". 2:2(0) ack 2");
}

static void
a_hook_says_an_error(struct tt *t)
{
	((struct script *)utcp_ext_shared(t->u, "test"))->in_says = -EIO;
	tt_in(t, "P. 1:11(10) ack 1");
	tt_expect(t, "R. 1:1(0) ack 1");
	tt_read_is(t, -EIO);
}

static void
stack_ends(struct tt *t)
{
	tt_end(t);
	t->u = NULL;
}

static const struct {
	const char *name;
	void (*act)(struct tt *t);
	int reset, error;
	enum utcp_state last; /* CLOSED: its user is gone, and so is release */
} ways[] = {
#define WAY(f, ...) { #f, f, __VA_ARGS__ }
	WAY(peer_resets, UTCP_EXT_RST_IN, -ECONNRESET, UTCP_ESTABLISHED),
	WAY(peer_resets_behind_its_fin, UTCP_EXT_RST_IN, -EPIPE,
	    UTCP_CLOSE_WAIT),
	WAY(peer_resets_after_a_blind_attempt, UTCP_EXT_RST_IN, -ECONNRESET,
	    UTCP_ESTABLISHED),
	WAY(user_aborts, UTCP_EXT_RST_OUT, 0, UTCP_CLOSED),
	WAY(user_closes_with_data_unread, UTCP_EXT_RST_OUT, 0, UTCP_CLOSED),
	WAY(data_comes_for_nobody, UTCP_EXT_RST_OUT, -ECONNRESET, UTCP_CLOSED),
	WAY(keepalives_are_not_answered, UTCP_EXT_RST_OUT, -ETIMEDOUT,
	    UTCP_ESTABLISHED),
	WAY(data_is_never_acknowledged, 0, -ETIMEDOUT, UTCP_ESTABLISHED),
	WAY(both_close, 0, 0, UTCP_CLOSED),
	WAY(we_close_first, 0, 0, UTCP_CLOSED),
	WAY(a_hook_says_an_error, UTCP_EXT_RST_OUT, -EIO, UTCP_ESTABLISHED),
	WAY(stack_ends, 0, -ECANCELED, UTCP_CLOSED),
#undef WAY
};

static void
it_is_told_once_by_whom_and_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct script s;
		struct tt t;

		begin(&t, &s, 0);
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		assert_int_equal(s.opens, 1);
		ways[i].act(&t);
		if (s.ends != 1 || s.reset != ways[i].reset ||
		    s.error != ways[i].error || s.last != ways[i].last ||
		    s.releases != (s.last == UTCP_CLOSED))
			fail_msg("%s: ends %u, reset %d, error %d, in state "
				 "%d, releases %u",
				 ways[i].name, s.ends, s.reset, s.error,
				 (int)s.last, s.releases);
		if (t.u)
			end(&t, &s);
		assert_int_equal(s.ends, 1);
		assert_int_equal(s.releases, 1);
	}
}

/* ---- those that never opened --------------------------------------------- */

static void
connecting(struct tt *t, struct script *s)
{
	utcp_addr_t a = { .family = 4, .addr = { 10, 0, 0, 2 } };

	begin(t, s, 0);
	tt_open(t);
	assert_int_equal(utcp_ext_add(t->s, "test", NULL, 0), 0);
	put16(&a.port_be, 80);
	t->p->port = 80;
	t->p->stack_port = 0;
	assert_int_equal(utcp_connect(t->s, &a), -EINPROGRESS);
	tt_skip(t);
}

static void
a_connection_that_does_not_open_ends_too(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	connecting(&t, &s); /* refused */
	tt_in(&t, "R. 0:0(0) ack 1");
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.reset, UTCP_EXT_RST_IN);
	assert_int_equal(s.error, -ECONNREFUSED);
	assert_int_equal(s.last, UTCP_SYN_SENT);
	end(&t, &s);
	connecting(&t, &s); /* no answer */
	tt_run(&t, 3600 * SEC);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.reset, 0);
	assert_int_equal(s.error, -ETIMEDOUT);
	end(&t, &s);
	connecting(&t, &s); /* closed before there was one */
	utcp_close(t.s);
	t.s = NULL;
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.reset, 0);
	assert_int_equal(s.error, 0);
	end(&t, &s);
}

/* At a listener: resets, but not that it was waited for in vain. */
static void
a_half_open_one_is_told_of_a_reset(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_skip(&t);
	tt_in(&t, "R 1:1(0)");
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.reset, UTCP_EXT_RST_IN);
	assert_int_equal(s.error, -ECONNRESET);
	assert_int_equal(s.releases, 1);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_skip(&t);
	s.in_says = -EIO; /* of the ACK */
	tt_in(&t, ". 1:1(0) ack 1");
	tt_expect(&t, "R 1:1(0)");
	assert_int_equal(s.ends, 2);
	assert_int_equal(s.reset, UTCP_EXT_RST_OUT);
	assert_int_equal(s.error, -EIO);
	assert_int_equal(s.releases, 2);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">"); /* and of a SYN */
	tt_expect(&t, "R. * ack 1");
	assert_int_equal(s.ends, 3);
	assert_int_equal(s.reset, UTCP_EXT_RST_OUT);
	assert_int_equal(s.releases, 3);
	s.in_says = 0;
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_run(&t, 300 * SEC);
	assert_int_equal(s.releases, 4);
	assert_int_equal(s.ends, 3);
	tt_skip(&t);
	end(&t, &s);
}

/* Nobody has accepted it, and nobody will. */
static void
one_that_waits_ends_with_its_listener(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
	tt_skip(&t);
	tt_in(&t, ". 1:1(0) ack 1");
	utcp_close(t.listener);
	t.listener = NULL;
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.reset, UTCP_EXT_RST_OUT);
	assert_int_equal(s.error, -ECONNABORTED);
	tt_expect(&t, "R. 1:1(0) ack 1");
	end(&t, &s);
}

/* ---- within the user's own call ------------------------------------------ */

static ssize_t
refuses(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	(void)ext;
	(void)data;
	(void)len;
	(void)flags;
	return -EIO;
}

static ssize_t
takes(utcp_ext_t *ext, const void *data, size_t len)
{
	(void)ext;
	(void)data;
	return (ssize_t)len;
}

static void
note_status(utcp_buf_t *b, int status)
{
	*(int *)b->user = status;
}

/* What comes to `write` is refused: the buffer is back before utcp_send is. */
static void
a_write_that_fails_ends_it_at_once(void **state)
{
	utcp_ext_ops_t stream = ops;
	struct script s = { .set_ecn = -1, .ecn_mode = -1, .syn_bytes = 2 };
	int status = 1;
	utcp_buf_t b = {
		.data = "x", .len = 1, .done = note_status, .user = &status
	};
	struct tt t;

	(void)state;
	stream.flags = UTCP_EXT_STREAM;
	stream.write = refuses;
	stream.read = takes;
	tt_init(&t, 4);
	assert_int_equal(utcp_ext_register(t.u, &stream, UTCP_EXT_ALL, &s), 0);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	assert_int_equal(utcp_send(t.s, &b, 0), 0);
	assert_int_equal(status, -EIO);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.reset, UTCP_EXT_RST_OUT);
	assert_int_equal(s.error, -EIO);
	tt_expect(&t, "R. 1:1(0) ack 1");
	tt_read_is(&t, -EIO);
	end(&t, &s);
}

/* ---- a hook that does what it may not ------------------------------------- */

static void
says_more(utcp_ext_t *ext, int reset, int error)
{
	on_end(ext, reset, error);
	(void)utcp_ext_want(ext, 8);
	(void)utcp_ext_timer(ext, 0);
	(void)utcp_ext_ack_now(ext);
	(void)utcp_ext_ack_first(ext);
	(void)utcp_ext_output(ext);
	(void)utcp_ext_gso(ext, 0);
	(void)utcp_ext_ecn(ext, UTCP_EXT_ECN_OWN);
	(void)utcp_ext_resume(ext);
	assert_int_equal(utcp_ext_emit(ext, "x", 1, 0), -EINVAL);
	assert_int_equal(utcp_ext_deliver(ext, "x", 1), -EINVAL);
	assert_int_equal(utcp_ext_deliver_end(ext), -EINVAL);
}

static void
what_it_may_not_call_does_nothing(void **state)
{
	utcp_ext_ops_t bad = ops;

	(void)state;
	bad.end = says_more;
	for (int ours = 0; ours < 2; ours++) {
		struct script s = { .set_ecn = -1,
				    .ecn_mode = -1,
				    .syn_bytes = 2 };
		struct tt t;

		tt_init(&t, 4);
		assert_int_equal(utcp_ext_register(t.u, &bad, UTCP_EXT_ALL, &s),
				 0);
		tt_listen(&t);
		t.p->stack_port = 80;
		tt_in(&t, "S 0:0(0) <" SYN_OPTS ">");
		tt_skip(&t);
		tt_in(&t, "R 1:1(0)"); /* half open */
		assert_int_equal(s.ends, 1);
		tt_passive(&t, SYN_OPTS);
		tt_skip(&t);
		if (ours) {
			utcp_abort(t.s);
			t.s = NULL;
			tt_expect(&t, "R. 1:1(0) ack 1");
		} else {
			tt_in(&t, "R 1:1(0)");
			tt_read_is(&t, -ECONNRESET);
		}
		tt_quiet(&t, 3600 * SEC);
		assert_int_equal(s.ends, 2);
		assert_int_equal(s.timers, 0);
		end(&t, &s);
	}
}

/* ---- who is not told ------------------------------------------------------ */

static void
who_has_left_is_not_told(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	tt_passive(&t, TT_OPTS); /* the peer has it not */
	tt_skip(&t);
	tt_in(&t, "R 1:1(0)");
	tt_read_is(&t, -ECONNRESET);
	end(&t, &s);
	assert_int_equal(s.ends, 0);
}

/* A listener has what its connections will have, but is none. */
static void
a_listener_is_not_told(void **state)
{
	struct script s;
	struct tt t;

	(void)state;
	begin(&t, &s, 0);
	utcp_close(t.listener);
	t.listener = NULL;
	end(&t, &s);
	assert_int_equal(s.ends + s.inits, 0);
}

/* Compiled when there was no such hook: what stands behind is not looked at. */
static void
one_of_before_does_without(void **state)
{
	struct {
		char bytes[offsetof(utcp_ext_ops_t, end)];
		uint64_t behind;
	} before;
	struct script s = { .set_ecn = -1, .ecn_mode = -1, .syn_bytes = 2 };
	utcp_ext_ops_t old = ops;
	struct tt t;

	(void)state;
	old.size = sizeof(before.bytes);
	memcpy(before.bytes, &old, sizeof(before.bytes));
	before.behind = 1; /* no place to jump to */
	tt_init(&t, 4);
	assert_int_equal(
	    utcp_ext_register(t.u, (const void *)&before, UTCP_EXT_ALL, &s), 0);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_passive(&t, SYN_OPTS);
	tt_skip(&t);
	assert_int_equal(s.opens, 1);
	tt_in(&t, "R 1:1(0)");
	tt_read_is(&t, -ECONNRESET);
	end(&t, &s);
	assert_int_equal(s.ends, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_told_once_by_whom_and_why),
		cmocka_unit_test(a_connection_that_does_not_open_ends_too),
		cmocka_unit_test(a_half_open_one_is_told_of_a_reset),
		cmocka_unit_test(one_that_waits_ends_with_its_listener),
		cmocka_unit_test(a_write_that_fails_ends_it_at_once),
		cmocka_unit_test(what_it_may_not_call_does_nothing),
		cmocka_unit_test(who_has_left_is_not_told),
		cmocka_unit_test(a_listener_is_not_told),
		cmocka_unit_test(one_of_before_does_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
