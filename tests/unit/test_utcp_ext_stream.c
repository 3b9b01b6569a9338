/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An extension between the user's bytes and the stream. The test's: both sides
 * say a byte of hello first; then frames, of two bytes of length and so many
 * bytes, each XORed; a frame of no length is the end.
 */
#include "utcp_pair.h"

#define KIND 0xfe
#define HELLO 0x5a
#define FRAME_MAX 980u
#define CIPHER 0xa5u

static const utcp_ext_option_t option = { .kind = KIND,
					  .exid_bytes = 4,
					  .exid = 0xabcd1234 };

/* Of a stack's instances: what they are to do otherwise. */
struct ways {
	bool silent;	 /* no hello */
	bool late;	 /* hello after 50 ms */
	bool no_end;	 /* no frame of no length */
	bool small;	 /* `write` takes 7 bytes a time */
	bool refuses;	 /* `read` refuses a frame with 'X' in front */
	unsigned int by; /* `read` delivers each byte so many times; 0: once */
	bool greedy;	 /* `write` says that it took more than there is */
	bool leaves;	 /* when it opens */
	bool tells_end;	 /* with the frame, not with the FIN */
};

struct state {
	bool said, heard, ended;
	uint8_t head[2];
	unsigned int have; /* of head and frame */
	unsigned int records;
	uint8_t frame[FRAME_MAX];
};
_Static_assert(sizeof(struct state) <= 1024, "private state");

static const struct ways *
ways_of(const utcp_ext_t *ext)
{
	return ext->shared;
}

static int
st_out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	(void)ext;
	if (seg->flags & UTCP_TCP_SYN)
		assert_non_null(utcp_ext_put(seg, 0, 0));
	return 0;
}

static int
st_in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	(void)ext;
	return seg->flags & UTCP_TCP_SYN && !seg->num_opts ? UTCP_EXT_LEAVE : 0;
}

static int
hello(utcp_ext_t *ext)
{
	static const uint8_t is = HELLO;

	((struct state *)ext->priv)->said = true;
	(void)utcp_ext_resume(ext);
	return utcp_ext_emit(ext, &is, 1, 0);
}

static int
st_open(utcp_ext_t *ext)
{
	const struct ways *w = ways_of(ext);

	if (w->leaves)
		return UTCP_EXT_LEAVE;
	if (w->late)
		return utcp_ext_timer(ext, utcp_now_ns(ext->stack) + 50 * MSEC);
	return w->silent ? 0 : hello(ext);
}

static int
frame(utcp_ext_t *ext, const uint8_t *data, size_t len, int flags)
{
	uint8_t f[2 + FRAME_MAX] = { (uint8_t)(len >> 8), (uint8_t)len };

	for (size_t i = 0; i < len; i++)
		f[2 + i] = data[i] ^ CIPHER;
	return utcp_ext_emit(ext, f, 2 + len, flags);
}

static ssize_t
st_write(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	const struct ways *w = ways_of(ext);
	struct state *s = ext->priv;
	size_t most = w->small ? 7 : FRAME_MAX, n = len < most ? len : most;
	int r;

	if (!s->heard || !s->said)
		return 0;
	s->records += (flags & UTCP_MSG_EOR) != 0;
	r = frame(ext, data, n, n < len ? UTCP_MSG_MORE : flags);
	if (w->greedy)
		return (ssize_t)len + 1;
	return r < 0 ? r : (ssize_t)n;
}

static int
st_write_end(utcp_ext_t *ext)
{
	struct state *s = ext->priv;

	if (!s->heard || !s->said)
		return UTCP_EXT_WAIT;
	return ways_of(ext)->no_end ? 0 : frame(ext, NULL, 0, 0);
}

/* A frame is whole. */
static int
deliver(utcp_ext_t *ext, struct state *s)
{
	const struct ways *w = ways_of(ext);
	unsigned int len = s->have - 2;
	int r = 0;

	s->have = 0;
	if (!len) {
		s->ended = true;
		return w->tells_end ? utcp_ext_deliver_end(ext) : 0;
	}
	for (unsigned int i = 0; i < len; i++)
		s->frame[i] ^= CIPHER;
	if (w->refuses && s->frame[0] == 'X')
		return -EBADMSG;
	for (unsigned int i = 0; i < (w->by ? w->by : 1) && r == 0; i++)
		r = utcp_ext_deliver(ext, s->frame, len);
	return r;
}

static ssize_t
st_read(utcp_ext_t *ext, const void *data, size_t len)
{
	const uint8_t *p = data, *end = p + len;
	struct state *s = ext->priv;
	int r = 0;

	assert_true(len > 0);
	if (!s->heard) {
		if (*p++ != HELLO)
			return -EPROTO;
		s->heard = true;
		(void)utcp_ext_resume(ext);
	}
	while (p < end && r == 0) {
		if (s->have < 2)
			s->head[s->have++] = *p++;
		else
			s->frame[s->have++ - 2] = *p++;
		if (s->have >= 2 && get16(s->head) > FRAME_MAX)
			return -EBADMSG;
		if (s->have >= 2 && s->have == 2u + get16(s->head))
			r = deliver(ext, s);
	}
	return r < 0 ? r : p - (const uint8_t *)data;
}

static int
st_read_end(utcp_ext_t *ext)
{
	struct state *s = ext->priv;

	return s->ended ? 0 : -EBADMSG;
}

static const utcp_ext_ops_t ops = {
	.size = sizeof(ops),
	.name = "frames",
	.flags = UTCP_EXT_STREAM,
	.priv_bytes = sizeof(struct state),
	.num_options = 1,
	.options = &option,
	.open = st_open,
	.in = st_in,
	.out = st_out,
	.timer = hello,
	.write = st_write,
	.write_end = st_write_end,
	.read = st_read,
	.read_end = st_read_end,
};

/* Two stacks that have it, and a connection. */
struct two {
	struct pair p;
	struct ways w[2];
	utcp_sock_t *l, *s[2]; /* s[0] has connected */
};

static void
two_init(struct two *t)
{
	pair_init(&t->p, 4);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    utcp_ext_register(t->p.u[i], &ops, 0, &t->w[i]), 0);
	t->l = pair_listen(&t->p, 1, 80, 8);
	assert_int_equal(utcp_ext_add(t->l, "frames", NULL, 0), 0);
}

static void
two_connect(struct two *t, bool with)
{
	utcp_addr_t a = t->p.addr[1];

	put16(&a.port_be, 80);
	assert_int_equal(utcp_open(t->p.u[0], 4, &t->s[0]), 0);
	if (with)
		assert_int_equal(utcp_ext_add(t->s[0], "frames", NULL, 0), 0);
	assert_int_equal(utcp_connect(t->s[0], &a), -EINPROGRESS);
	pair_pump(&t->p);
	assert_int_equal(utcp_accept(t->l, &t->s[1]), 0);
}

static void
two_open(struct two *t, struct ways a, struct ways b)
{
	t->w[0] = a;
	t->w[1] = b;
	two_init(t);
	two_connect(t, true);
}

/* Both have given back all that a connection took, whatever became of it. */
static void
two_end(struct two *t)
{
	utcp_usage_t usage;

	utcp_close(t->s[0]);
	utcp_close(t->s[1]);
	pair_run(&t->p, 200 * SEC);
	for (int i = 0; i < 2; i++) {
		utcp_usage(t->p.u[i], &usage);
		assert_int_equal(usage.buffered_bytes, 0);
		assert_int_equal(usage.socks, i);
	}
	pair_end(&t->p);
}

static int
error_of(utcp_sock_t *s)
{
	int64_t e;

	assert_int_equal(utcp_get(s, UTCP_OPT_ERROR, &e), 0);
	return (int)e;
}

static uint64_t
counter(const struct two *t, int i, enum utcp_counter c)
{
	return t->p.u[i]->ctr[c];
}

/* All of len bytes of the pattern, one way, in calls of `step` bytes. */
static void
transfer(struct two *t, int from, size_t len, size_t step)
{
	static uint8_t out[1 << 16], in[1 << 16];
	size_t wrote = 0, got = 0;
	ssize_t n;

	while (got < len) {
		size_t want = len - wrote < step ? len - wrote : step;

		for (size_t i = 0; i < want; i++)
			out[i] = pattern(wrote + i);
		n = want ? utcp_write(t->s[from], out, want, 0) : 0;
		assert_true(n >= 0 || n == -EAGAIN);
		wrote += n > 0 ? (size_t)n : 0;
		pair_run(&t->p, MSEC);
		while ((n = utcp_read(t->s[!from], in, sizeof(in), 0)) > 0)
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(in[i], pattern(got++));
		assert_int_equal(n, -EAGAIN);
	}
	assert_int_equal(got, len);
}

static void
bytes_go_through_both_ways(void **state)
{
	struct two t;

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ 0 });
	transfer(&t, 0, 300000, 5000);
	transfer(&t, 1, 100000, 60000);
	transfer(&t, 0, 50, 1);
	/* What is on the wire is more than what was written, and another. */
	assert_true(t.s[1]->bytes_received > 300000 + 300);
	two_end(&t);
}

static void
small_steps_do(void **state)
{
	struct two t;

	(void)state;
	two_open(&t, (struct ways){ .small = true },
		 (struct ways){ .small = true });
	transfer(&t, 0, 20000, 3000);
	transfer(&t, 1, 20000, 3000);
	two_end(&t);
}

/* Written before there is a connection, and before there are keys. */
static void
what_is_written_early_waits(void **state)
{
	struct two t = { .w = { { 0 }, { .late = true } } };
	utcp_addr_t a;
	char in[16];

	(void)state;
	two_init(&t);
	a = t.p.addr[1];
	put16(&a.port_be, 80);
	assert_int_equal(utcp_open(t.p.u[0], 4, &t.s[0]), 0);
	assert_int_equal(utcp_ext_add(t.s[0], "frames", NULL, 0), 0);
	assert_int_equal(utcp_connect(t.s[0], &a), -EINPROGRESS);
	assert_int_equal(utcp_write(t.s[0], "early", 5, 0), 5);
	pair_pump(&t.p);
	assert_int_equal(utcp_accept(t.l, &t.s[1]), 0);
	assert_int_equal(utcp_write(t.s[1], "too", 3, 0), 3);
	pair_run(&t.p, 10 * MSEC);
	/* It has nothing to send, and the other's hello is not the user's. */
	assert_int_equal(utcp_readable(t.s[1]), 0);
	assert_int_equal(t.s[1]->bytes_received, 1);
	pair_run(&t.p, 50 * MSEC);
	assert_int_equal(utcp_read(t.s[1], in, 16, 0), 5);
	assert_memory_equal(in, "early", 5);
	assert_int_equal(utcp_read(t.s[0], in, 16, 0), 3);
	two_end(&t);
}

/* The end of a record is told with its last bytes, or behind them. */
static void
records_end_where_they_ended(void **state)
{
	struct two t;
	struct state *s;

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ .late = true });
	s = utcp_ext_find(t.s[0], "frames")->priv;
	assert_int_equal(utcp_write(t.s[0], "one", 3, UTCP_MSG_EOR), 3);
	assert_int_equal(utcp_write(t.s[0], "two", 3, UTCP_MSG_MORE), 3);
	assert_int_equal(utcp_write(t.s[0], NULL, 0, UTCP_MSG_EOR), 0);
	assert_int_equal(utcp_write(t.s[0], "three", 5, 0), 5);
	assert_int_equal(s->records, 0);
	pair_run(&t.p, 100 * MSEC);
	assert_int_equal(s->records, 2);
	assert_int_equal(utcp_readable(t.s[1]), 11);
	two_end(&t);
}

static void
done_waits_for_the_peer(void **state)
{
	static uint8_t big[100000];
	struct pair_sent x = { .buf = { .data = big, .len = sizeof(big) } };
	struct pair_sent y = x;
	struct two t;

	(void)state;
	x.buf.done = y.buf.done = pair_done;
	x.buf.user = &x;
	y.buf.user = &y;
	two_open(&t, (struct ways){ 0 }, (struct ways){ 0 });
	assert_int_equal(utcp_send(t.s[0], &x.buf, 0), 0);
	assert_int_equal(x.calls, 0);
	for (int i = 0; i < 100 && !x.calls; i++) {
		pair_run(&t.p, MSEC);
		utcp_consume(t.s[1], utcp_readable(t.s[1]));
	}
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.status, 0);
	/* And is told when the end comes first. */
	assert_int_equal(utcp_send(t.s[0], &y.buf, 0), 0);
	t.p.cut = true;
	pair_run(&t.p, MSEC);
	utcp_abort(t.s[0]);
	t.s[0] = NULL;
	assert_int_equal(y.calls, 1);
	assert_int_equal(y.status, -ECANCELED);
	t.p.cut = false;
	pair_run(&t.p, 10 * MSEC);
	utcp_abort(t.s[1]);
	t.s[1] = NULL;
	two_end(&t);
}

static void
ends_are_in_order(void **state)
{
	struct two t;
	char in[16];

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ 0 });
	assert_int_equal(utcp_write(t.s[0], "bye", 3, 0), 3);
	assert_int_equal(utcp_shutdown(t.s[0], UTCP_SHUT_WR), 0);
	assert_int_equal(utcp_write(t.s[0], "x", 1, 0), -EPIPE);
	pair_run(&t.p, MSEC);
	assert_true(utcp_poll(t.s[1]) & UTCP_RDHUP);
	assert_int_equal(utcp_read(t.s[1], in, 16, 0), 3);
	assert_int_equal(utcp_read(t.s[1], in, 16, 0), 0);
	/* Half closed, the other half goes on. */
	assert_int_equal(utcp_write(t.s[1], "still here", 10, 0), 10);
	pair_run(&t.p, 100 * MSEC);
	assert_int_equal(utcp_read(t.s[0], in, 16, 0), 10);
	utcp_close(t.s[1]);
	t.s[1] = NULL;
	pair_run(&t.p, MSEC);
	assert_int_equal(utcp_read(t.s[0], in, 16, 0), 0);
	two_end(&t);
}

/* A reader of what the other has cut off is never told that all is well. */
static void
cut_off_is_an_error(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct two t;
		char in[16];

		two_open(&t, (struct ways){ .no_end = true },
			 (struct ways){ 0 });
		if (i) /* the other half is closed: TIME-WAIT with the FIN */
			assert_int_equal(utcp_shutdown(t.s[1], UTCP_SHUT_WR),
					 0);
		pair_run(&t.p, MSEC);
		assert_int_equal(utcp_write(t.s[0], "half", 4, 0), 4);
		assert_int_equal(utcp_shutdown(t.s[0], UTCP_SHUT_WR), 0);
		pair_run(&t.p, MSEC);
		assert_int_equal(utcp_read(t.s[1], in, 16, 0), 4);
		assert_int_equal(utcp_read(t.s[1], in, 16, 0), -EBADMSG);
		two_end(&t);
	}
}

static void
a_bad_frame_ends_it(void **state)
{
	struct two t;
	char in[16];

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ .refuses = true });
	assert_int_equal(utcp_write(t.s[0], "good", 4, UTCP_MSG_EOR), 4);
	pair_run(&t.p, MSEC);
	assert_int_equal(utcp_write(t.s[0], "X", 1, 0), 1);
	pair_run(&t.p, 100 * MSEC);
	assert_true(utcp_poll(t.s[1]) & UTCP_ERR);
	assert_int_equal(utcp_read(t.s[1], in, 16, 0), 4);
	assert_int_equal(utcp_read(t.s[1], in, 16, 0), -EBADMSG);
	assert_int_equal(error_of(t.s[0]), ECONNRESET);
	assert_int_equal(counter(&t, 1, UTCP_CTR_EXT_ENDS), 1);
	two_end(&t);
}

static void
a_greedy_hook_ends_it(void **state)
{
	struct two t;

	(void)state;
	two_open(&t, (struct ways){ .greedy = true }, (struct ways){ 0 });
	assert_int_equal(utcp_write(t.s[0], "x", 1, 0), 1);
	assert_int_equal(error_of(t.s[0]), EPROTO);
	assert_int_equal(counter(&t, 0, UTCP_CTR_EXT_FAULTS), 1);
	two_end(&t);
}

/* What nobody reads shuts the window, though an extension makes four of one
   byte: memory stays in proportion, and all of it comes in the end. */
static void
unread_bytes_shut_the_window(void **state)
{
	struct two t = { .w = { { 0 }, { .by = 4 } } };
	static uint8_t out[1000], in[16384];
	size_t wrote = 0, got = 0;
	utcp_usage_t usage;
	ssize_t n;

	(void)state;
	two_init(&t);
	assert_int_equal(utcp_set(t.l, UTCP_OPT_RCVBUF, 16384), 0);
	two_connect(&t, true);
	assert_int_equal(utcp_set(t.s[0], UTCP_OPT_SNDBUF, 16384), 0);
	for (int i = 0; i < 400; i++) {
		n = utcp_write(t.s[0], out, sizeof(out), 0);
		wrote += n > 0 ? (size_t)n : 0;
		pair_run(&t.p, 5 * MSEC);
	}
	utcp_usage(t.p.u[1], &usage);
	assert_true(usage.buffered_bytes < 5 * 16384);
	assert_true(wrote < 60000);
	assert_true(t.s[0]->snd_wnd < 1448);
	while (got < 4 * wrote) {
		n = utcp_read(t.s[1], in, sizeof(in), 0);
		got += n > 0 ? (size_t)n : 0;
		pair_run(&t.p, 300 * MSEC);
	}
	assert_int_equal(got, 4 * wrote);
	two_end(&t);
}

/* The peer has it not, or goes without: bytes go as they are. */
static void
without_it_bytes_are_plain(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct two t = { .w = { { .leaves = i == 2 },
					{ .leaves = i == 2 } } };
		utcp_addr_t a;

		two_init(&t);
		if (i == 1)
			assert_int_equal(utcp_ext_remove(t.l, "frames"), 0);
		a = t.p.addr[1];
		put16(&a.port_be, 80);
		assert_int_equal(utcp_open(t.p.u[0], 4, &t.s[0]), 0);
		if (i)
			assert_int_equal(
			    utcp_ext_add(t.s[0], "frames", NULL, 0), 0);
		assert_int_equal(utcp_connect(t.s[0], &a), -EINPROGRESS);
		if (i) { /* it waits for what will become of it */
			uint8_t first = pattern(0);

			assert_int_equal(utcp_write(t.s[0], &first, 1, 0), 1);
		}
		pair_pump(&t.p);
		assert_int_equal(utcp_accept(t.l, &t.s[1]), 0);
		if (i) {
			uint8_t b;

			assert_int_equal(utcp_read(t.s[1], &b, 1, 0), 1);
			assert_int_equal(b, pattern(0));
		}
		assert_null(utcp_ext_find(t.s[0], "frames"));
		assert_null(utcp_ext_find(t.s[1], "frames"));
		transfer(&t, 0, 30000, 5000);
		transfer(&t, 1, 30000, 5000);
		assert_int_equal(t.s[0]->bytes_received, 30000);
		two_end(&t);
	}
}

/* A handle is closed before the other side had keys: what was written arrives,
   although the hello comes for nobody. */
static void
an_orphan_says_all(void **state)
{
	struct two t;
	char in[16];

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ .late = true });
	assert_int_equal(utcp_write(t.s[0], "last words", 10, 0), 10);
	utcp_close(t.s[0]);
	t.s[0] = NULL;
	pair_run(&t.p, 100 * MSEC);
	assert_int_equal(utcp_read(t.s[1], in, 16, 0), 10);
	assert_int_equal(utcp_read(t.s[1], in, 16, 0), 0);
	two_end(&t);
}

/* One that never has keys does not last for ever, nor does the other's. */
static void
an_orphan_does_not_wait_for_ever(void **state)
{
	struct two t;

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ .silent = true });
	assert_int_equal(utcp_write(t.s[0], "x", 1, 0), 1);
	utcp_close(t.s[0]);
	t.s[0] = NULL;
	pair_run(&t.p, 59 * SEC);
	assert_int_equal(t.p.u[0]->num_socks, 1);
	pair_run(&t.p, 2 * SEC);
	assert_int_equal(t.p.u[0]->num_socks, 0);
	utcp_abort(t.s[1]);
	t.s[1] = NULL;
	two_end(&t);
}

/* RFC 1122: data for which there is no reader. */
static void
an_orphan_takes_no_data(void **state)
{
	struct two t;

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ 0 });
	pair_run(&t.p, MSEC);
	utcp_close(t.s[0]);
	t.s[0] = NULL;
	pair_run(&t.p, MSEC);
	assert_int_equal(utcp_write(t.s[1], "x", 1, 0), 1);
	pair_run(&t.p, MSEC);
	assert_int_equal(error_of(t.s[1]), EPIPE);
	two_end(&t);
}

static void
unread_bytes_reset_who_closes(void **state)
{
	struct two t;

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ 0 });
	assert_int_equal(utcp_write(t.s[0], "x", 1, 0), 1);
	pair_run(&t.p, MSEC);
	utcp_close(t.s[1]);
	t.s[1] = NULL;
	pair_run(&t.p, MSEC);
	assert_int_equal(error_of(t.s[0]), ECONNRESET);
	two_end(&t);
}

/* The end is told in the stream, before the FIN. */
static void
the_end_may_come_early(void **state)
{
	struct two t;
	uint8_t end[2] = { 0 };
	char in[4];

	(void)state;
	two_open(&t, (struct ways){ 0 }, (struct ways){ .tells_end = true });
	pair_run(&t.p, MSEC);
	assert_int_equal(
	    utcp_ext_emit(utcp_ext_find(t.s[0], "frames"), end, 2, 0), 0);
	pair_run(&t.p, MSEC);
	assert_int_equal(pair_state(t.s[1]), UTCP_ESTABLISHED);
	assert_true(utcp_poll(t.s[1]) & UTCP_RDHUP);
	assert_int_equal(utcp_read(t.s[1], in, 4, 0), 0);
	two_end(&t);
}

/* Only one stands there; calls at the wrong time are refused. */
static void
calls_have_their_place(void **state)
{
	utcp_ext_ops_t other = ops;
	utcp_ext_option_t o = { .kind = 99 };
	struct two t;
	utcp_ext_t *ext;
	utcp_sock_t *s;

	(void)state;
	other.name = "other";
	other.options = &o;
	two_open(&t, (struct ways){ 0 }, (struct ways){ 0 });
	assert_int_equal(utcp_ext_register(t.p.u[0], &other, 0, &t.w[0]), 0);
	assert_int_equal(utcp_open(t.p.u[0], 4, &s), 0);
	assert_int_equal(utcp_ext_add(s, "frames", NULL, 0), 0);
	assert_int_equal(utcp_ext_add(s, "other", NULL, 0), -EEXIST);
	utcp_close(s);
	ext = utcp_ext_find(t.s[0], "frames");
	assert_int_equal(utcp_ext_deliver(ext, "x", 1), -EINVAL);
	assert_int_equal(utcp_ext_deliver_end(ext), -EINVAL);
	assert_int_equal(utcp_ext_emit(ext, "x", 1, 4), -EINVAL);
	assert_int_equal(utcp_shutdown(t.s[0], UTCP_SHUT_WR), 0);
	pair_run(&t.p, MSEC);
	assert_int_equal(utcp_ext_emit(ext, "x", 1, 0), -EPIPE);
	two_end(&t);
}

/* Segments are lost in between; the stream is the same. */
static void
losses_do_no_harm(void **state)
{
	static uint8_t out[20000], in[20000];
	struct two t;
	size_t got = 0;
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = pattern(i);
	two_open(&t, (struct ways){ 0 }, (struct ways){ 0 });
	assert_int_equal(utcp_write(t.s[0], out, sizeof(out), 0), sizeof(out));
	for (int i = 0; i < 200 && got < sizeof(out); i++) {
		t.p.cut = i % 3 == 0;
		(void)pair_move(&t.p, 0);
		t.p.cut = false;
		pair_run(&t.p, 300 * MSEC);
		while ((n = utcp_read(t.s[1], in, sizeof(in), 0)) > 0) {
			assert_memory_equal(in, out + got, (size_t)n);
			got += (size_t)n;
		}
	}
	assert_int_equal(got, sizeof(out));
	two_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_through_both_ways),
		cmocka_unit_test(small_steps_do),
		cmocka_unit_test(what_is_written_early_waits),
		cmocka_unit_test(records_end_where_they_ended),
		cmocka_unit_test(done_waits_for_the_peer),
		cmocka_unit_test(ends_are_in_order),
		cmocka_unit_test(cut_off_is_an_error),
		cmocka_unit_test(a_bad_frame_ends_it),
		cmocka_unit_test(a_greedy_hook_ends_it),
		cmocka_unit_test(unread_bytes_shut_the_window),
		cmocka_unit_test(without_it_bytes_are_plain),
		cmocka_unit_test(an_orphan_says_all),
		cmocka_unit_test(an_orphan_does_not_wait_for_ever),
		cmocka_unit_test(an_orphan_takes_no_data),
		cmocka_unit_test(unread_bytes_reset_who_closes),
		cmocka_unit_test(the_end_may_come_early),
		cmocka_unit_test(calls_have_their_place),
		cmocka_unit_test(losses_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
