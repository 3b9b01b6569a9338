/* SPDX-License-Identifier: BSD-2-Clause */
/* What each call says of a socket in each state, and that no call in a state
   that is not for it leaves anything behind. */
#include "utcp_pair.h"

enum { PORT = 80, NOBODY = 81 };

/* ---- a socket in each state -------------------------------------------- */

struct world {
	struct pair p;
	utcp_sock_t *l, *c, *s; /* listener; a connection's ends */
	utcp_buf_t buf;
};

static utcp_sock_t *
closed(struct world *w)
{
	assert_int_equal(utcp_open(w->p.u[0], 4, &w->c), 0);
	return w->c;
}

static utcp_sock_t *
bound(struct world *w)
{
	utcp_addr_t a = pair_addr(4, 1, PORT);

	assert_int_equal(utcp_bind(closed(w), &a), 0);
	return w->c;
}

static utcp_sock_t *
listener(struct world *w)
{
	assert_int_equal(utcp_listen(bound(w), 8), 0);
	return w->c;
}

static utcp_sock_t *
syn_sent(struct world *w)
{
	utcp_addr_t a = pair_addr(4, 2, NOBODY);

	assert_int_equal(utcp_connect(closed(w), &a), -EINPROGRESS);
	return w->c;
}

/* The SYNs cross. */
static utcp_sock_t *
syn_received(struct world *w)
{
	utcp_addr_t ours = pair_addr(4, 2, PORT), his = pair_addr(4, 1, PORT);

	assert_int_equal(utcp_connect(bound(w), &ours), -EINPROGRESS);
	assert_int_equal(utcp_open(w->p.u[1], 4, &w->s), 0);
	assert_int_equal(utcp_bind(w->s, &ours), 0);
	assert_int_equal(utcp_connect(w->s, &his), -EINPROGRESS);
	assert_int_equal(pair_move(&w->p, 0), 1);
	return w->s;
}

static utcp_sock_t *
established(struct world *w)
{
	w->l = pair_listen(&w->p, 1, PORT, 8);
	pair_connect(&w->p, w->l, &w->c, &w->s);
	return w->c;
}

static utcp_sock_t *
fin_wait_1(struct world *w)
{
	assert_int_equal(utcp_shutdown(established(w), UTCP_SHUT_WR), 0);
	return w->c;
}

static utcp_sock_t *
fin_wait_2(struct world *w)
{
	(void)fin_wait_1(w);
	pair_pump(&w->p);
	return w->c;
}

static utcp_sock_t *
close_wait(struct world *w)
{
	(void)fin_wait_2(w);
	return w->s;
}

static utcp_sock_t *
closing(struct world *w)
{
	(void)fin_wait_1(w);
	assert_int_equal(utcp_shutdown(w->s, UTCP_SHUT_WR), 0);
	assert_int_equal(pair_move(&w->p, 0), 1);
	return w->s;
}

static utcp_sock_t *
last_ack(struct world *w)
{
	assert_int_equal(utcp_shutdown(close_wait(w), UTCP_SHUT_WR), 0);
	return w->s;
}

static utcp_sock_t *
reset(struct world *w)
{
	utcp_abort(established(w));
	w->c = NULL;
	pair_pump(&w->p);
	return w->s;
}

/* TIME-WAIT has no socket any more. */
static utcp_sock_t *
ended(struct world *w)
{
	(void)last_ack(w);
	pair_pump(&w->p);
	return w->c;
}

#define STATES 13
static const struct {
	const char *name;
	utcp_sock_t *(*make)(struct world *w);
	enum utcp_state state;
} states[STATES] = {
	{ "closed", closed, UTCP_CLOSED },
	{ "bound", bound, UTCP_CLOSED },
	{ "listener", listener, UTCP_LISTEN },
	{ "SYN-SENT", syn_sent, UTCP_SYN_SENT },
	{ "SYN-RECEIVED", syn_received, UTCP_SYN_RECEIVED },
	{ "ESTABLISHED", established, UTCP_ESTABLISHED },
	{ "FIN-WAIT-1", fin_wait_1, UTCP_FIN_WAIT_1 },
	{ "FIN-WAIT-2", fin_wait_2, UTCP_FIN_WAIT_2 },
	{ "CLOSE-WAIT", close_wait, UTCP_CLOSE_WAIT },
	{ "CLOSING", closing, UTCP_CLOSING },
	{ "LAST-ACK", last_ack, UTCP_LAST_ACK },
	{ "reset", reset, UTCP_CLOSED },
	{ "ended", ended, UTCP_CLOSED },
};

/* ---- the calls --------------------------------------------------------- */

static intmax_t
do_bind(struct world *w, utcp_sock_t *s)
{
	utcp_addr_t a = { .family = 4 };

	(void)w;
	return utcp_bind(s, &a);
}

static intmax_t
do_listen(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_listen(s, 1);
}

static intmax_t
do_accept(struct world *w, utcp_sock_t *s)
{
	utcp_sock_t *got = s;
	int r = utcp_accept(s, &got);

	(void)w;
	assert_null(got);
	return r;
}

static intmax_t
do_connect(struct world *w, utcp_sock_t *s)
{
	utcp_addr_t a = pair_addr(4, 3, NOBODY);

	(void)w;
	return utcp_connect(s, &a);
}

static intmax_t
do_read(struct world *w, utcp_sock_t *s)
{
	char b[4];

	(void)w;
	return utcp_read(s, b, sizeof(b), 0);
}

static intmax_t
do_views(struct world *w, utcp_sock_t *s)
{
	utcp_view_t v;

	(void)w;
	return utcp_views(s, &v, 1);
}

static intmax_t
do_consume(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_consume(s, 1);
}

static intmax_t
do_readable(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return (intmax_t)utcp_readable(s);
}

static intmax_t
do_write(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_write(s, "x", 1, 0);
}

static intmax_t
do_send(struct world *w, utcp_sock_t *s)
{
	return utcp_send(s, &w->buf, 0);
}

static intmax_t
do_shutdown(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_shutdown(s, UTCP_SHUT_WR);
}

static intmax_t
do_poll(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_poll(s);
}

static intmax_t
do_getsockname(struct world *w, utcp_sock_t *s)
{
	utcp_addr_t a;

	(void)w;
	return utcp_getsockname(s, &a);
}

static intmax_t
do_getpeername(struct world *w, utcp_sock_t *s)
{
	utcp_addr_t a;

	(void)w;
	return utcp_getpeername(s, &a);
}

static intmax_t
do_set(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_set(s, UTCP_OPT_NODELAY, 1);
}

static intmax_t
do_set_early(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_set(s, UTCP_OPT_SACK, 0);
}

static intmax_t
do_get(struct world *w, utcp_sock_t *s)
{
	int64_t value;

	(void)w;
	return utcp_get(s, UTCP_OPT_TTL, &value);
}

static intmax_t
do_set_cc(struct world *w, utcp_sock_t *s)
{
	(void)w;
	return utcp_set_cc(s, "newreno");
}

static intmax_t
do_info(struct world *w, utcp_sock_t *s)
{
	utcp_info_t i = { .size = sizeof(i) };

	(void)w;
	return utcp_info(s, &i);
}

static intmax_t
do_close(struct world *w, utcp_sock_t *s)
{
	w->c = w->c == s ? NULL : w->c;
	w->s = w->s == s ? NULL : w->s;
	utcp_close(s);
	return 0;
}

static intmax_t
do_abort(struct world *w, utcp_sock_t *s)
{
	w->c = w->c == s ? NULL : w->c;
	w->s = w->s == s ? NULL : w->s;
	utcp_abort(s);
	return 0;
}

#define ALL(v) v, v, v, v, v, v, v, v, v, v, v, v, v
#define OPEN(v) v, v, v, v, v, v, v, v /* SYN-SENT to LAST-ACK */
#define NAY(code) (-(code))
#define INVAL NAY(EINVAL)
#define NOTCONN NAY(ENOTCONN)
#define ISCONN NAY(EISCONN)
#define AGAIN NAY(EAGAIN)
#define PIPE NAY(EPIPE)
#define RESET NAY(ECONNRESET)
#define BEGUN NAY(EINPROGRESS)
#define ALREADY NAY(EALREADY)
#define END (UTCP_IN | UTCP_RDHUP | UTCP_HUP)

/* closed, bound, listener; SYN-SENT, SYN-RECEIVED; ESTABLISHED, FIN-WAIT-1 and
   -2, CLOSE-WAIT, CLOSING, LAST-ACK; reset, ended. */
static const struct {
	const char *name;
	intmax_t (*call)(struct world *w, utcp_sock_t *s);
	intmax_t want[STATES];
} calls[] = {
	{ "bind", do_bind, { 0, INVAL, INVAL, OPEN(INVAL), INVAL, INVAL } },
	{ "listen", do_listen, { INVAL, 0, 0, OPEN(ISCONN), INVAL, INVAL } },
	{ "accept",
	  do_accept,
	  { INVAL, INVAL, AGAIN, OPEN(INVAL), INVAL, INVAL } },
	{ "connect",
	  do_connect,
	  { BEGUN, BEGUN, ISCONN, ALREADY, ALREADY, ISCONN, ISCONN, ISCONN,
	    ISCONN, ISCONN, ISCONN, INVAL, INVAL } },
	{ "read",
	  do_read,
	  { NOTCONN, NOTCONN, NOTCONN, AGAIN, AGAIN, AGAIN, AGAIN, AGAIN, 0, 0,
	    0, RESET, 0 } },
	{ "views", do_views, { NOTCONN, NOTCONN, NOTCONN, OPEN(0), RESET, 0 } },
	{ "consume", do_consume, { ALL(INVAL) } },
	{ "readable", do_readable, { ALL(0) } },
	{ "write",
	  do_write,
	  { NOTCONN, NOTCONN, NOTCONN, 1, 1, 1, PIPE, PIPE, 1, PIPE, PIPE,
	    RESET, PIPE } },
	{ "send",
	  do_send,
	  { NOTCONN, NOTCONN, NOTCONN, 0, 0, 0, PIPE, PIPE, 0, PIPE, PIPE,
	    RESET, PIPE } },
	{ "shutdown",
	  do_shutdown,
	  { NOTCONN, NOTCONN, NOTCONN, OPEN(0), NOTCONN, NOTCONN } },
	{ "poll",
	  do_poll,
	  { 0, 0, 0, 0, 0, UTCP_OUT, 0, 0, UTCP_IN | UTCP_OUT | UTCP_RDHUP, END,
	    END, END | UTCP_ERR, END } },
	{ "getsockname", do_getsockname, { INVAL, 0, 0, OPEN(0), 0, 0 } },
	{ "getpeername",
	  do_getpeername,
	  { NOTCONN, NOTCONN, NOTCONN, OPEN(0), NOTCONN, NOTCONN } },
	{ "set", do_set, { ALL(0) } },
	{ "set, too late",
	  do_set_early,
	  { 0, 0, 0, OPEN(ISCONN), ISCONN, ISCONN } },
	{ "get", do_get, { ALL(0) } },
	{ "set_cc", do_set_cc, { ALL(0) } },
	{ "info", do_info, { ALL(0) } },
	{ "close", do_close, { ALL(0) } },
	{ "abort", do_abort, { ALL(0) } },
};

/* ---- each of them in each of those ------------------------------------- */

static void
world_begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->buf.data = "y";
	w->buf.len = 1;
	pair_init(&w->p, 4);
}

/* All ends in order whatever was called. */
static void
world_end(struct world *w)
{
	pair_pump(&w->p);
	utcp_close(w->l);
	utcp_close(w->c);
	utcp_close(w->s);
	pair_run(&w->p, 1000 * SEC);
	assert_int_equal(utcp_next_ns(w->p.u[0]), UTCP_NEVER);
	assert_int_equal(utcp_next_ns(w->p.u[1]), UTCP_NEVER);
	pair_end(&w->p);
}

static void
each_call_in_each_state(void **state)
{
	(void)state;
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		for (size_t i = 0; i < STATES; i++) {
			struct world w;
			utcp_sock_t *s;
			intmax_t said;

			world_begin(&w);
			s = states[i].make(&w);
			assert_int_equal(pair_state(s), states[i].state);
			said = calls[c].call(&w, s);
			if (said != calls[c].want[i])
				fail_msg("%s in %s: %jd, not %jd",
					 calls[c].name, states[i].name, said,
					 calls[c].want[i]);
			world_end(&w);
		}
	}
}

/* The error that ended it is told once, by whoever asks first. */
static void
error_is_told_once(void **state)
{
	int64_t value;

	(void)state;
	for (int way = 0; way < 4; way++) {
		struct world w;
		utcp_sock_t *s;

		world_begin(&w);
		s = reset(&w);
		if (way == 0)
			assert_int_equal(do_read(&w, s), RESET);
		if (way == 1)
			assert_int_equal(do_write(&w, s), RESET);
		if (way == 2)
			assert_int_equal(do_send(&w, s), RESET);
		if (way == 3) {
			assert_int_equal(utcp_get(s, UTCP_OPT_ERROR, &value),
					 0);
			assert_int_equal(value, ECONNRESET);
		}
		assert_int_equal(utcp_poll(s), END);
		assert_int_equal(do_read(&w, s), 0);
		assert_int_equal(do_write(&w, s), PIPE);
		assert_int_equal(do_send(&w, s), PIPE);
		assert_int_equal(utcp_get(s, UTCP_OPT_ERROR, &value), 0);
		assert_int_equal(value, 0);
		world_end(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_in_each_state),
		cmocka_unit_test(error_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
