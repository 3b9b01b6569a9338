/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets by the batch: both ends are of one link, over its loopback. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <multistack/batch.h>

#define PORT 7000
#define TURNS 20000
#define ARENA (128u << 10)
#define BIG (6u << 20)

static mslink_t *l;
static msbatch_t *b;
static const msbatch_view_t *v;
static uint32_t listener, client, server;

static int
up(void **state)
{
	static unsigned int number;
	msport_error_t err = { 0 };
	char device[96];

	(void)state;
	number++;
	snprintf(device, sizeof device, "pair:b%u,link=b%u,addr=10.0.0.1",
		 number, number);
	if (mslink_open(&l, device, NULL, &err))
		fail_msg("%s: %s", device, err.text);
	assert_int_equal(msbatch_create(&b, l, ARENA, 64), 0);
	v = msbatch_view(b);
	return 0;
}

static int
down(void **state)
{
	(void)state;
	msbatch_destroy(b);
	(void)mslink_linger(l, 0);
	mslink_close(l);
	return 0;
}

static int
turn(const msbatch_cmd_t *cmds, unsigned int n, const void *data, size_t len)
{
	int r = msbatch_turn(b, cmds, n, data, len, 0);

	assert_true(r >= 0);
	assert_int_equal(r, v->num_events);
	assert_true(v->num_answers <= v->num_events);
	for (int i = 0; i < r; i++)
		assert_true(v->events[i].offset + v->events[i].len <=
				v->arena_bytes ||
			    v->events[i].what & MSBATCH_SHORT);
	return r;
}

static int
command(uint32_t id, uint32_t op, uint32_t arg)
{
	msbatch_cmd_t c = { .id = id, .op = op, .arg = arg };

	return turn(&c, 1, NULL, 0);
}

static int
write_to(uint32_t id, const void *data, size_t len, uint32_t arg)
{
	msbatch_cmd_t c = { id, MSBATCH_WRITE, (uint32_t)len, arg };

	return turn(&c, 1, data, len);
}

/* Turns until there is such an event; a copy of it. */
static msbatch_event_t
await(uint32_t id, uint32_t what)
{
	for (int t = 0; t < TURNS; t++) {
		for (uint32_t i = 0; i < v->num_events; i++)
			if (v->events[i].id == id && v->events[i].what & what)
				return v->events[i];
		(void)turn(NULL, 0, NULL, 0);
	}
	fail_msg("%u never was %#x", id, what);
	return (msbatch_event_t){ 0 };
}

static void
connect_both(void)
{
	utcp_sock_t *s, *c;
	utcp_addr_t a;
	msbatch_event_t e;

	assert_int_equal(mslink_addr(&a, "127.0.0.1", PORT), 0);
	assert_int_equal(utcp_open(mslink_stack(l), 4, &s), 0);
	assert_int_equal(utcp_bind(s, &a), 0);
	assert_int_equal(utcp_listen(s, 10), 0);
	listener = (uint32_t)msbatch_add(b, s, MSBATCH_ACCEPT);
	assert_ptr_equal(msbatch_sock(b, listener), s);
	assert_null(msbatch_udp(b, listener));
	assert_int_equal(utcp_open(mslink_stack(l), 4, &c), 0);
	client = (uint32_t)msbatch_add(b, c, MSBATCH_TELL);
	assert_int_equal(mslink_connect(l, c, &a), -EINPROGRESS);
	e = await(listener, MSBATCH_ACCEPTED);
	server = e.arg;
	assert_int_equal(e.len, 2 * sizeof a);
	memcpy(&a, v->arena + e.offset + sizeof a, sizeof a);
	assert_int_equal(a.port_be, (PORT >> 8) | (PORT & 0xff) << 8);
	while (!(utcp_poll(c) & UTCP_OUT))
		(void)turn(NULL, 0, NULL, 0);
	(void)command(client, MSBATCH_MODE, MSBATCH_READ);
}

static void
data_end_and_close(void **state)
{
	msbatch_cmd_t c[2];
	msbatch_event_t e;

	(void)state;
	connect_both();
	c[0] = (msbatch_cmd_t){ client, MSBATCH_WRITE, 5, 0 };
	c[1] = (msbatch_cmd_t){ client, MSBATCH_SHUTDOWN, 0, 0 };
	(void)turn(c, 2, "hello", 5);
	e = await(server, MSBATCH_DATA);
	assert_int_equal(e.len, 5);
	assert_memory_equal(v->arena + e.offset, "hello", 5);
	if (!(e.what & MSBATCH_EOF))
		(void)await(server, MSBATCH_EOF);
	c[0] = (msbatch_cmd_t){ server, MSBATCH_WRITE, 3, MSBATCH_ALL };
	c[1] = (msbatch_cmd_t){ server, MSBATCH_CLOSE, 0, 0 };
	(void)turn(c, 2, "bye", 3);
	e = await(client, MSBATCH_DATA);
	assert_memory_equal(v->arena + e.offset, "bye", 3);
	if (!(e.what & MSBATCH_EOF))
		(void)await(client, MSBATCH_EOF);
	assert_null(msbatch_sock(b, server));
	assert_int_equal(msbatch_close(b, client), 0);
	assert_int_equal(msbatch_close(b, client), -EINVAL);
}

static void
a_reset_is_an_error(void **state)
{
	(void)state;
	connect_both();
	(void)command(client, MSBATCH_ABORT, 0);
	assert_int_equal(await(server, MSBATCH_ERROR).error, ECONNRESET);
	(void)write_to(server, "x", 1, 0);
	assert_int_equal(v->num_answers, 1);
	assert_int_equal(v->events[0].what, MSBATCH_SHORT | MSBATCH_ERROR);
}

static bool roomy; /* the client was told of room */

/* Reads what the server gets, up to `most`; how much it was. */
static size_t
drain(size_t most, const uint8_t *expected)
{
	size_t got = 0;

	for (int t = 0; t < TURNS && got < most; t++) {
		if (t)
			(void)turn(NULL, 0, NULL, 0);
		for (uint32_t i = 0; i < v->num_events; i++) {
			const msbatch_event_t *e = &v->events[i];

			roomy |= e->id == client && e->what & MSBATCH_ROOM;
			if (e->id != server || !(e->what & MSBATCH_DATA))
				continue;
			assert_memory_equal(v->arena + e->offset,
					    expected + got, e->len);
			got += e->len;
		}
	}
	return got;
}

static uint8_t *
pattern(void)
{
	uint8_t *big = malloc(BIG);

	assert_non_null(big);
	for (uint32_t i = 0; i < BIG; i++)
		big[i] = (uint8_t)(i * 2654435761u >> 13);
	return big;
}

static void
what_has_no_room_is_told_and_so_is_room(void **state)
{
	uint8_t *big = pattern();
	msbatch_cmd_t c[3];
	size_t taken;

	(void)state;
	connect_both();
	(void)command(server, MSBATCH_MODE, MSBATCH_HOLD);
	c[0] = (msbatch_cmd_t){ client, MSBATCH_WRITE, BIG, 0 };
	/* These are left out, and the socket stays. */
	c[1] = (msbatch_cmd_t){ client, MSBATCH_SHUTDOWN, 0, 0 };
	c[2] = (msbatch_cmd_t){ client, MSBATCH_CLOSE, 0, 0 };
	(void)turn(c, 3, big, BIG);
	assert_int_equal(v->num_answers, 1);
	assert_int_equal(v->events[0].what, MSBATCH_SHORT);
	assert_int_equal(v->events[0].arg, 0);
	taken = v->events[0].len;
	assert_in_range(taken, 1, BIG - 1);
	assert_non_null(msbatch_sock(b, client));
	(void)command(server, MSBATCH_MODE, MSBATCH_READ);
	assert_int_equal(drain(taken, big), taken);
	if (!roomy)
		(void)await(client, MSBATCH_ROOM);
	free(big);
}

static void
all_is_taken_if_asked_for(void **state)
{
	uint8_t *big = pattern();
	msbatch_cmd_t c[2];

	(void)state;
	connect_both();
	c[0] = (msbatch_cmd_t){ client, MSBATCH_WRITE, BIG, MSBATCH_ALL };
	c[1] = (msbatch_cmd_t){ client, MSBATCH_CLOSE, 0, 0 };
	(void)turn(c, 2, big, BIG);
	assert_int_equal(v->num_answers, 0);
	assert_int_equal(drain(BIG, big), BIG);
	(void)await(server, MSBATCH_EOF);
	free(big);
}

static void
datagrams_go_and_come_with_their_peers(void **state)
{
	uint8_t out[sizeof(utcp_addr_t) + 4];
	msbatch_cmd_t c = { .op = MSBATCH_SENDTO, .len = sizeof out };
	utcp_addr_t a, peer;
	msbatch_event_t e;
	utcp_udp_t *u[2];
	uint32_t id[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(
		    mslink_addr(&a, "127.0.0.1", (uint16_t)(PORT + i)), 0);
		assert_int_equal(utcp_udp_open(mslink_stack(l), 4, &u[i]), 0);
		assert_int_equal(utcp_udp_bind(u[i], &a), 0);
		id[i] = (uint32_t)msbatch_add_udp(b, u[i], MSBATCH_READ);
	}
	assert_ptr_equal(msbatch_udp(b, id[1]), u[1]);
	memcpy(out, &a, sizeof a);
	memcpy(out + sizeof a, "ping", 4);
	c.id = id[0];
	(void)turn(&c, 1, out, sizeof out);
	e = await(id[1], MSBATCH_DGRAM);
	assert_int_equal(e.len, sizeof out);
	memcpy(&peer, v->arena + e.offset, sizeof peer);
	assert_int_equal(peer.port_be, (PORT >> 8) | (PORT & 0xff) << 8);
	assert_memory_equal(v->arena + e.offset + sizeof peer, "ping", 4);
	/* Too short for an address. */
	c.len = sizeof a - 1;
	(void)turn(&c, 1, out, c.len);
	assert_int_equal(v->events[0].error, EINVAL);
}

/* More of them than there is room for in a turn. */
static void
datagrams_that_came_as_one_are_all_told(void **state)
{
	enum { EACH = 100, IN_ONE = 50, TIMES = 10 };
	static uint8_t bytes[EACH * IN_ONE];
	utcp_dgram_t d = { .data = bytes, .len = sizeof bytes };
	unsigned int told = 0;
	utcp_udp_t *u[2];

	(void)state;
	assert_int_equal(
	    utcp_set_offloads(mslink_stack(l),
			      UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_UDP),
	    0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(utcp_udp_open(mslink_stack(l), 4, &u[i]), 0);
		assert_int_equal(
		    mslink_addr(&d.peer, "127.0.0.1", (uint16_t)(PORT + i)), 0);
		assert_int_equal(utcp_udp_bind(u[i], &d.peer), 0);
		assert_true(msbatch_add_udp(b, u[i], MSBATCH_READ) >= 0);
	}
	d.gso_size = EACH;
	for (unsigned int i = 0; i < TIMES; i++)
		assert_int_equal(utcp_udp_send(u[0], &d, 1), 1);
	for (int t = 0; t < 100; t++) {
		(void)turn(NULL, 0, NULL, 0);
		assert_in_range(v->num_events, 0, v->max_events);
		for (uint32_t i = 0; i < v->num_events; i++) {
			assert_int_equal(v->events[i].what, MSBATCH_DGRAM);
			assert_int_equal(v->events[i].len,
					 sizeof d.peer + EACH);
			told++;
		}
	}
	assert_int_equal(told, IN_ONE * TIMES);
}

/* A mode that is none of theirs, a socket that it has, another's. */
static void
sockets_that_make_no_sense_are_refused(void **state)
{
	utcp_udp_t *u, *other_udp;
	utcp_sock_t *s, *other;
	utcp_t *stack;
	int id;

	(void)state;
	assert_int_equal(utcp_udp_open(mslink_stack(l), 4, &u), 0);
	assert_int_equal(msbatch_add_udp(b, u, MSBATCH_ACCEPT), -EINVAL);
	id = msbatch_add_udp(b, u, MSBATCH_READ);
	assert_true(id >= 0);
	assert_int_equal(msbatch_add_udp(b, u, MSBATCH_READ), -EINVAL);
	assert_int_equal(command((uint32_t)id, MSBATCH_MODE, MSBATCH_ACCEPT),
			 1);
	assert_int_equal(v->events[0].error, EINVAL);
	assert_int_equal(utcp_open(mslink_stack(l), 4, &s), 0);
	assert_true(msbatch_add(b, s, MSBATCH_READ) >= 0);
	assert_int_equal(msbatch_add(b, s, MSBATCH_READ), -EINVAL);
	assert_int_equal(utcp_create(&stack, NULL), 0);
	assert_int_equal(utcp_open(stack, 4, &other), 0);
	assert_int_equal(utcp_udp_open(stack, 4, &other_udp), 0);
	assert_int_equal(msbatch_add(b, other, MSBATCH_READ), -EINVAL);
	assert_int_equal(msbatch_add_udp(b, other_udp, MSBATCH_READ), -EINVAL);
	utcp_destroy(stack);
}

static void
kept_while_nobody_turns(void **state)
{
	(void)state;
	connect_both();
	assert_int_equal(utcp_write(msbatch_sock(b, client), "x", 1, 0), 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(msbatch_keep(b), 0);
	assert_int_equal(utcp_readable(msbatch_sock(b, server)), 1);
	assert_int_equal(await(server, MSBATCH_DATA).len, 1);
}

/* Commands that a hand has garbled: answers, and nothing worse. */
static void
nonsense_is_answered(void **state)
{
	uint32_t rnd = 1;
	uint8_t data[256] = { 0 };
	msbatch_cmd_t c[8];
	msbatch_t *none;

	(void)state;
	connect_both();
	for (int round = 0; round < 3000; round++) {
		for (unsigned int i = 0; i < 8; i++) {
			rnd = rnd * 1664525u + 1013904223u;
			c[i].id = (rnd >> 8) % 12;
			c[i].op = (rnd >> 16) % 8;
			c[i].len = (rnd >> 20) % 64;
			c[i].arg = (rnd >> 26) % 6;
			/* Each connection is needed for a while. */
			if (c[i].op == MSBATCH_CLOSE ||
			    c[i].op == MSBATCH_ABORT)
				c[i].op = rnd >> 30 ? 99 : c[i].op;
		}
		(void)turn(c, 8, data, sizeof data);
	}
	assert_int_equal(msbatch_turn(b, NULL, 1, NULL, 0, 0), -EINVAL);
	assert_int_equal(msbatch_turn(b, c, 1, NULL, 9, 0), -EINVAL);
	assert_int_equal(msbatch_turn(NULL, c, 1, data, 9, 0), -EINVAL);
	assert_int_equal(msbatch_add(b, NULL, 0), -EINVAL);
	assert_int_equal(msbatch_create(NULL, l, 0, 0), -EINVAL);
	assert_int_equal(msbatch_create(&none, l, 0, UINT32_MAX), -EINVAL);
	assert_null(none);
	assert_int_equal(msbatch_reopen(NULL), -EINVAL);
	assert_int_equal(msbatch_keep(NULL), -EINVAL);
	assert_null(msbatch_view(NULL));
	msbatch_destroy(NULL);
}

static void
more_commands_than_events(void **state)
{
	enum { N = 3 * MSBATCH_COMMANDS };
	msbatch_cmd_t *c = calloc(N, sizeof *c);

	(void)state;
	assert_non_null(c);
	for (unsigned int i = 0; i < N; i++)
		c[i] = (msbatch_cmd_t){ 1000 + i, MSBATCH_CLOSE, 0, 0 };
	assert_int_equal(turn(c, N, NULL, 0), N);
	assert_int_equal(v->num_answers, N);
	for (unsigned int i = 0; i < N; i++) {
		assert_int_equal(v->events[i].error, EBADF);
		assert_int_equal(v->events[i].arg, i);
	}
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
		TEST(data_end_and_close),
		TEST(a_reset_is_an_error),
		TEST(what_has_no_room_is_told_and_so_is_room),
		TEST(all_is_taken_if_asked_for),
		TEST(datagrams_go_and_come_with_their_peers),
		TEST(datagrams_that_came_as_one_are_all_told),
		TEST(sockets_that_make_no_sense_are_refused),
		TEST(kept_while_nobody_turns),
		TEST(nonsense_is_answered),
		TEST(more_commands_than_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
