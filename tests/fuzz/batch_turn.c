/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch_turn.c: lists of commands, good ones and bad ones, and what batch.h
 * says that a turn may answer and tell.
 */
#include "batch_world.h"

#define TEXT 65536 /* a stream's bytes stand in it, again and again */
#define CMDS_MAX (2 * MSBATCH_COMMANDS)
#define DATA_MAX (1u << 20)
#define ADDR sizeof(utcp_addr_t)

static struct world *const w = &fuzz_world;

/* ---- what is written ---------------------------------------------------------- */

static const uint8_t *
text(void)
{
	static uint8_t bytes[2 * TEXT];

	if (bytes[1] == 0)
		for (unsigned int i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(i * 7 + (i % TEXT >> 8));
	return bytes;
}

void
text_put(uint8_t *to, uint64_t at, size_t len)
{
	for (size_t n; len > 0; to += n, at += n, len -= n) {
		n = len < TEXT ? len : TEXT;
		memcpy(to, text() + at % TEXT, n);
	}
}

void
text_check(const uint8_t *data, uint64_t at, size_t len)
{
	for (size_t n; len > 0; data += n, at += n, len -= n) {
		n = len < TEXT ? len : TEXT;
		FUZZ_CHECK(memcmp(data, text() + at % TEXT, n) == 0);
	}
}

void
dgram_put(uint8_t *to, size_t len)
{
	text_put(to, len * 31, len);
}

void
dgram_check(const uint8_t *data, size_t len)
{
	text_check(data, len * 31, len);
}

/* ---- the model ------------------------------------------------------------------ */

static struct number *
number(uint32_t id)
{
	struct number *k = id < NUMBERS ? &w->numbers[id] : NULL;

	return k != NULL && (k->s != NULL || k->udp != NULL) ? k : NULL;
}

void
number_new(uint32_t id, const struct number *k)
{
	FUZZ_CHECK(id < NUMBERS && number(id) == NULL);
	w->numbers[id] = *k;
	if (id >= w->num_numbers)
		w->num_numbers = id + 1;
}

void
number_free(struct number *k)
{
	w->dgrams_lost |= k->udp != NULL;
	memset(k, 0, sizeof(*k));
}

void
numbers_check(void)
{
	for (uint32_t id = 0; id < w->num_numbers + 2; id++) {
		FUZZ_CHECK(msbatch_sock(w->b, id) == w->numbers[id].s);
		FUZZ_CHECK(msbatch_udp(w->b, id) == w->numbers[id].udp);
	}
}

/* The answer to command `at`, if the next one is that. */
static const msbatch_event_t *
answer(uint32_t *next, uint32_t at, uint32_t id)
{
	const msbatch_event_t *ev = &w->v->events[*next];

	if (*next == w->v->num_answers || ev->arg != at)
		return NULL;
	FUZZ_CHECK(ev->id == id);
	FUZZ_CHECK((ev->what & (MSBATCH_SHORT | MSBATCH_ERROR)) == ev->what);
	FUZZ_CHECK(((ev->what & MSBATCH_ERROR) != 0) == (ev->error != 0));
	(*next)++;
	return ev;
}

static void
wants(const msbatch_event_t *ev, int error)
{
	FUZZ_CHECK(ev != NULL && ev->what == MSBATCH_ERROR);
	FUZZ_CHECK(ev->error == error);
}

static void
wrote(struct number *k, const msbatch_cmd_t *c, const msbatch_event_t *ev)
{
	if (ev == NULL) {
		k->sent += c->len;
		return;
	}
	FUZZ_CHECK((ev->what & MSBATCH_SHORT) != 0 && ev->len < c->len);
	k->sent += ev->len;
	k->short_now = true;
	if (ev->error == 0)
		k->want_room = true;
}

static void
sent_to(struct number *k, const msbatch_cmd_t *c, const msbatch_event_t *ev)
{
	if (k->udp == NULL || c->len < ADDR) {
		wants(ev, EINVAL);
	} else if (ev != NULL && (ev->what & MSBATCH_SHORT) != 0) {
		FUZZ_CHECK(ev->error == 0 && ev->len == 0);
		k->short_now = k->want_room = true;
	}
}

static void
moded(struct number *k, const msbatch_cmd_t *c, const msbatch_event_t *ev)
{
	if (c->arg > MSBATCH_ACCEPT ||
	    (k->udp != NULL && c->arg == MSBATCH_ACCEPT)) {
		wants(ev, EINVAL);
		return;
	}
	FUZZ_CHECK(ev == NULL);
	k->mode = (uint8_t)c->arg;
	k->told = 0;
}

/* What command c has done to a number that there is. */
static void
done(struct number *k, const msbatch_cmd_t *c, const msbatch_event_t *ev)
{
	if (k->short_now && c->op != MSBATCH_MODE && c->op != MSBATCH_ABORT) {
		FUZZ_CHECK((ev != NULL) == (c->op == MSBATCH_SENDTO));
		FUZZ_CHECK(ev == NULL || ev->what == MSBATCH_SHORT);
	} else if (c->op == MSBATCH_WRITE && k->s != NULL) {
		wrote(k, c, ev);
	} else if (c->op == MSBATCH_SENDTO) {
		sent_to(k, c, ev);
	} else if (c->op == MSBATCH_SHUTDOWN && k->s != NULL) {
		FUZZ_CHECK(ev == NULL || ev->what == MSBATCH_ERROR);
	} else if (c->op == MSBATCH_CLOSE || c->op == MSBATCH_ABORT) {
		FUZZ_CHECK(ev == NULL);
		number_free(k);
	} else if (c->op == MSBATCH_MODE) {
		moded(k, c, ev);
	} else {
		wants(ev, EINVAL);
	}
}

static void
answers(const msbatch_cmd_t *cmds, unsigned int n, size_t len)
{
	uint32_t next = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const msbatch_cmd_t *c = &cmds[i];
		const msbatch_event_t *ev = answer(&next, i, c->id);
		bool writes = c->op == MSBATCH_WRITE || c->op == MSBATCH_SENDTO;

		if (writes && c->len > len) {
			wants(ev, EINVAL);
			break;
		}
		len -= writes ? c->len : 0;
		if (number(c->id) == NULL)
			wants(ev, EBADF);
		else
			done(number(c->id), c, ev);
	}
	FUZZ_CHECK(next == w->v->num_answers);
	for (i = 0; i < w->num_numbers; i++)
		w->numbers[i].short_now = false;
}

/* ---- what is told ------------------------------------------------------------------ */

static void
accepted(const struct number *l, const msbatch_event_t *ev, const uint8_t *at)
{
	utcp_sock_t *s = msbatch_sock(w->b, ev->arg);
	const struct number k = { .s = s, .mode = MSBATCH_READ };
	utcp_addr_t local, mine;

	FUZZ_CHECK(l->mode == MSBATCH_ACCEPT && l->s != NULL);
	FUZZ_CHECK(ev->what == MSBATCH_ACCEPTED && ev->len == 2 * ADDR);
	FUZZ_CHECK(s != NULL);
	memcpy(&local, at + ADDR, ADDR);
	if (utcp_getsockname(s, &mine) == 0)
		FUZZ_CHECK(memcmp(&mine, &local, ADDR) == 0);
	number_new(ev->arg, &k);
}

static void
received(struct number *k, const msbatch_event_t *ev, const uint8_t *at)
{
	FUZZ_CHECK(k->mode == MSBATCH_READ);
	FUZZ_CHECK(((ev->what & MSBATCH_ERROR) != 0) == (ev->error != 0));
	if ((ev->what & MSBATCH_DGRAM) != 0) {
		FUZZ_CHECK(k->udp != NULL && ev->what == MSBATCH_DGRAM);
		FUZZ_CHECK(ev->len >= ADDR);
		dgram_check(at + ADDR, ev->len - ADDR);
		w->dgrams++;
	} else if (k->udp != NULL) {
		FUZZ_CHECK(ev->what == MSBATCH_ERROR && ev->len == 0);
	} else {
		FUZZ_CHECK(((ev->what & MSBATCH_DATA) != 0) == (ev->len > 0));
		FUZZ_CHECK(ev->len == 0 || !k->ended);
		FUZZ_CHECK((ev->what & MSBATCH_EOF) == 0 || !k->ended);
		text_check(at, k->got, ev->len);
		k->got += ev->len;
		w->got += ev->len;
		if ((ev->what & (MSBATCH_EOF | MSBATCH_ERROR)) != 0)
			k->ended = true;
	}
}

static void
told(void)
{
	const msbatch_view_t *v = w->v;
	uint64_t end = 0;

	FUZZ_CHECK(v->num_events - v->num_answers <= v->max_events);
	for (uint32_t i = v->num_answers; i < v->num_events; i++) {
		const msbatch_event_t *ev = &v->events[i];
		struct number *k = number(ev->id);

		FUZZ_CHECK(k != NULL && ev->what != 0);
		if (ev->len > 0) {
			FUZZ_CHECK(ev->offset >= end);
			end = (uint64_t)ev->offset + ev->len;
			FUZZ_CHECK(end <= v->arena_bytes);
		}
		if (ev->what == MSBATCH_READY) {
			FUZZ_CHECK(k->mode == MSBATCH_TELL);
			k->told = ev->arg;
		} else if (ev->what == MSBATCH_ROOM) {
			FUZZ_CHECK(k->want_room && k->mode != MSBATCH_TELL);
			k->want_room = false;
		} else if (ev->what == MSBATCH_ACCEPTED) {
			accepted(k, ev, v->arena + ev->offset);
		} else {
			received(k, ev, v->arena + ev->offset);
		}
	}
}

static bool
listens(utcp_sock_t *s)
{
	utcp_info_t info = { .size = sizeof(info) };

	return utcp_info(s, &info) == 0 && info.state == UTCP_LISTEN;
}

/* Of the datagrams that came none is missing. */
static void
dgrams_told(void)
{
	uint64_t ctr[UTCP_CTR_MAX];

	for (uint32_t id = 0; id < w->num_numbers; id++)
		if (w->numbers[id].udp != NULL &&
		    w->numbers[id].mode != MSBATCH_READ)
			return;
	(void)utcp_counters(w->link[0].u, ctr, UTCP_CTR_MAX);
	FUZZ_CHECK(w->dgrams_lost || w->dgrams == ctr[UTCP_CTR_UDP_IN]);
}

/* Who may sleep has been told all: of no socket is there something to say. */
static void
all_told(void)
{
	for (uint32_t id = 0; id < w->num_numbers; id++) {
		struct number *k = number(id);
		uint32_t ready, come = UTCP_IN | UTCP_RDHUP | UTCP_ERR;

		if (k == NULL)
			continue;
		ready = k->s != NULL ? utcp_poll(k->s) : utcp_udp_poll(k->udp);
		if (k->mode == MSBATCH_TELL)
			FUZZ_CHECK((ready & ~k->told) == 0);
		if (k->mode == MSBATCH_READ && !k->ended)
			FUZZ_CHECK((ready & come) == 0);
		if (k->mode == MSBATCH_ACCEPT && listens(k->s))
			FUZZ_CHECK((ready & UTCP_IN) == 0);
		if (k->mode == MSBATCH_READ || k->mode == MSBATCH_HOLD)
			FUZZ_CHECK(!k->want_room || (ready & UTCP_OUT) == 0);
	}
}

/* What a socket was told holds until it holds no more. */
static void
told_holds(void)
{
	for (uint32_t id = 0; id < w->num_numbers; id++) {
		struct number *k = number(id);

		if (k != NULL)
			k->told &= k->s != NULL ? utcp_poll(k->s)
						: utcp_udp_poll(k->udp);
	}
}

void
turn(const msbatch_cmd_t *cmds, unsigned int n, const uint8_t *data, size_t len,
     uint32_t flags)
{
	const msbatch_view_t *v = w->v;
	int r = msbatch_turn(w->b, cmds, n, data, len, flags);

	if (r == -ENOMEM)
		return; /* nothing was done */
	FUZZ_CHECK(r == (v->error != 0 ? v->error : (int)v->num_events));
	FUZZ_CHECK(v->num_answers <= v->num_events);
	answers(cmds, n, len);
	told();
	numbers_check();
	told_holds();
	if ((flags & MSBATCH_SLEEP) == 0 || v->timeout_ns == 0)
		return;
	FUZZ_CHECK(r == 0);
	all_told();
	dgrams_told();
	/* Nor is there later, as long as nothing happens. */
	FUZZ_CHECK(msbatch_turn(w->b, NULL, 0, NULL, 0, 0) == v->error);
	FUZZ_CHECK(v->num_events == 0);
}

void
turn_one(uint32_t id, uint32_t op, uint32_t arg)
{
	msbatch_cmd_t c = { .id = id, .op = op, .arg = arg };

	turn(&c, 1, NULL, 0, 0);
}

/* ---- lists -------------------------------------------------------------------------- */

/* The bytes that c writes, as far as there is a place for them. */
static size_t
fill(msbatch_cmd_t *c, struct fuzz_in *in, uint8_t *data, size_t room)
{
	struct number *k = number(c->id);
	utcp_addr_t to;

	if (c->len > room)
		return 0;
	if (c->op == MSBATCH_WRITE) {
		text_put(data, k != NULL ? k->next : 0, c->len);
		if (k != NULL)
			k->next += c->len;
	} else if (c->len >= ADDR) {
		to = fuzz_address(fuzz_u8(in) & 1, 4, 7 + fuzz_u8(in) % 8);
		if ((c->arg & 2) != 0)
			to.family = 0;
		memcpy(data, &to, ADDR);
		dgram_put(data + ADDR, c->len - ADDR);
	}
	return c->len;
}

static msbatch_cmd_t
command(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in), how = fuzz_u8(in);
	msbatch_cmd_t c = { .id = fuzz_u8(in) % 24, .op = op & 7 };

	/* Most of them write. */
	if ((op & 8) != 0)
		c.op = op & 1;
	if ((op & 16) != 0 && w->numbers[c.id].udp != NULL)
		c.op = MSBATCH_SENDTO;
	if (op == 0xff)
		c.id = fuzz_u32(in);
	c.arg = how & 3;
	if (how >= 0xf0)
		c.arg = fuzz_u32(in);
	c.len = (uint32_t)(how >> 2 & 31) << (op >> 5) * 2;
	if ((how & 0x80) != 0 && c.op == MSBATCH_SENDTO)
		c.len += ADDR;
	if (op == 0xfe)
		c.len = fuzz_u32(in);
	return c;
}

/* In blocks of their size, so that a sanitizer sees what is read past them. */
static void
turn_exact(const msbatch_cmd_t *cmds, unsigned int n, const uint8_t *data,
	   size_t len, uint32_t flags)
{
	msbatch_cmd_t *c = n > 0 ? malloc(n * sizeof(*c)) : NULL;
	uint8_t *d = len > 0 ? malloc(len) : NULL;

	FUZZ_CHECK((c != NULL || n == 0) && (d != NULL || len == 0));
	if (n > 0)
		memcpy(c, cmds, n * sizeof(*c));
	if (len > 0)
		memcpy(d, data, len);
	turn(c, n, d, len, flags);
	free(c);
	free(d);
}

void
fuzz_turn(struct fuzz_in *in)
{
	static msbatch_cmd_t cmds[CMDS_MAX];
	static uint8_t data[DATA_MAX];
	uint8_t how = fuzz_u8(in);
	unsigned int n = how & 7, i;
	size_t at = 0, len;

	for (i = 0; i < w->num_numbers; i++)
		w->numbers[i].next = w->numbers[i].sent;
	for (i = 0; i < n; i++) {
		cmds[i] = command(in);
		if (cmds[i].op <= MSBATCH_SENDTO)
			at += fill(&cmds[i], in, data + at, DATA_MAX - at);
	}
	len = at;
	if ((how & 0x18) == 0x18) /* more data than given, or less */
		len = (how & 32) != 0 ? at + 9 : at / 2;
	if (len > DATA_MAX)
		len = DATA_MAX;
	if (how >= 0xe0 && n > 0) /* more than there is room for events */
		for (n = CMDS_MAX - how % 4 * 300; i < n; i++)
			cmds[i] = (msbatch_cmd_t){ .id = cmds[i - 1].id,
						   .op = cmds[0].op };
	turn_exact(cmds, n, data, len, (how & 64) != 0 ? MSBATCH_SLEEP : 0);
}
