/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_batch.c: sockets by the batch (batch.h), the stack beneath them, and
 * another one over a wire.
 *
 * The input is a program. Its steps are turns with any commands, sound and
 * unsound; sockets that are added, called, closed; what the peer does; packets
 * that come, are lost, doubled, overtaken, spoilt; time; failing memory; a port
 * that goes and comes back. What must hold:
 *
 *  - each command has the answer that batch.h promises, at its place, and what
 *    is told fits the socket's mode, its past and the arena (batch_turn.c);
 *  - streams and datagrams arrive as they were written, and if the wire is good
 *    from now on, all of a stream arrives;
 *  - who is told to sleep has nothing to learn;
 *  - a number is nobody's after CLOSE or ABORT, and is given again;
 *  - after the end all memory is back.
 */
#include "batch_world.h"

#define STEPS_MAX 400
#define DAY_NS (24 * 3600 * SEC)

struct world fuzz_world;
static struct world *const w = &fuzz_world;

/* ---- steps -------------------------------------------------------------------- */

static void
step_close(struct fuzz_in *in)
{
	uint32_t id = fuzz_u8(in) % 24;
	struct number *k = &w->numbers[id];
	bool there = k->s != NULL || k->udp != NULL;

	FUZZ_CHECK(msbatch_close(w->b, id) == (there ? 0 : -EINVAL));
	number_free(k);
}

static void
step_memory(uint8_t how)
{
	w->fail_in = 1u + how;
	w->dgrams_lost = true;
}

/* What the last turn left stays. */
static void
step_keep(void)
{
	static msbatch_event_t before[3 * MSBATCH_COMMANDS];
	uint32_t n = w->v->num_events;
	int r;

	FUZZ_CHECK(n <= sizeof(before) / sizeof(before[0]));
	memcpy(before, w->v->events, n * sizeof(before[0]));
	r = msbatch_keep(w->b);
	FUZZ_CHECK(r == w->link[0].lost || (r < 0 && w->link[0].lost == 0));
	FUZZ_CHECK(w->v->num_events == n);
	FUZZ_CHECK(memcmp(before, w->v->events, n * sizeof(before[0])) == 0);
}

static void
step_link(uint8_t how)
{
	struct mslink_s *l = &w->link[0];
	int r;

	l->reopens = (how & 4) != 0;
	if ((how & 3) == 0)
		l->lost_in = 1 + (how >> 3);
	if ((how & 3) != 1)
		return;
	r = msbatch_reopen(w->b);
	FUZZ_CHECK(r == (l->reopens ? 0 : -ENODEV));
}

/* Calls that make no sense, of which nothing comes. */
static void
step_misuse(uint8_t how)
{
	const msbatch_cmd_t c = { 0 };
	struct number *k = &w->numbers[how % 24];

	msbatch_destroy(NULL);
	FUZZ_CHECK(msbatch_create(NULL, &w->link[0], 0, 0) == -EINVAL);
	FUZZ_CHECK(msbatch_keep(NULL) == -EINVAL);
	FUZZ_CHECK(msbatch_reopen(NULL) == -EINVAL);
	FUZZ_CHECK(msbatch_turn(w->b, NULL, 1, NULL, 0, 0) == -EINVAL);
	FUZZ_CHECK(msbatch_turn(w->b, &c, 1, NULL, 1, 0) == -EINVAL);
	FUZZ_CHECK(msbatch_turn(w->b, &c, UINT32_MAX, NULL, 0, 0) == -EINVAL);
	FUZZ_CHECK(msbatch_close(w->b, UINT32_MAX - how) == -EINVAL);
	FUZZ_CHECK(msbatch_sock(w->b, UINT32_MAX - how) == NULL);
	FUZZ_CHECK(msbatch_add(w->b, k->s, MSBATCH_ACCEPT + 1) == -EINVAL);
	FUZZ_CHECK(msbatch_add_udp(w->b, k->udp, MSBATCH_ACCEPT) == -EINVAL);
	if (w->num_ends > 0)
		FUZZ_CHECK(msbatch_add(w->b, w->ends[0].s, 0) == -EINVAL);
	if (w->num_udps > 0)
		FUZZ_CHECK(msbatch_add_udp(w->b, w->udps[0], 0) == -EINVAL);
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in), how;

	if ((op & 15) < 6) {
		fuzz_turn(in);
		return;
	}
	how = fuzz_u8(in);
	switch (op & 15) {
	case 6:
		fuzz_add(in, how);
		break;
	case 7:
		fuzz_direct(in, how);
		break;
	case 8:
		wire_step(in, how & 1);
		break;
	case 9:
		step_keep();
		break;
	case 10:
		w->now_ns += 1ull << how % 40;
		break;
	case 11:
		if ((op & 16) != 0)
			step_close(in);
		else if ((op & 32) != 0)
			step_memory(how);
		else if ((op & 64) != 0)
			step_misuse(how);
		else
			step_link(how);
		break;
	case 12: /* all goes well for a moment */
	case 13:
		wire_flow(how & 1, 1 + how % 32);
		break;
	default:
		fuzz_peer(in, how);
	}
	/* The peer answers, but not always at once. */
	if ((op & 128) == 0)
		peer_turn();
}

/* ---- the end -------------------------------------------------------------------- */

static bool
alive(utcp_sock_t *s)
{
	utcp_info_t info = { .size = sizeof(info) };

	return utcp_info(s, &info) == 0 && info.state >= UTCP_ESTABLISHED &&
	       info.state != UTCP_TIME_WAIT;
}

/* Whether a and b are both ends of a connection that goes on. */
static bool
are_one(utcp_sock_t *a, utcp_sock_t *b)
{
	utcp_addr_t al, ar, bl, br;

	return utcp_getsockname(a, &al) == 0 && utcp_getpeername(a, &ar) == 0 &&
	       utcp_getsockname(b, &bl) == 0 && utcp_getpeername(b, &br) == 0 &&
	       memcmp(&al, &br, sizeof(al)) == 0 &&
	       memcmp(&ar, &bl, sizeof(ar)) == 0 && alive(a) && alive(b);
}

/* Whether bytes of a connection with both ends still here are under way. */
static bool
something_lacks(void)
{
	for (unsigned int i = 0; i < w->num_numbers; i++) {
		const struct number *k = &w->numbers[i];

		for (unsigned int j = 0; k->s != NULL && j < w->num_ends; j++) {
			const struct end *e = &w->ends[j];

			if ((k->sent != e->got || e->sent != k->got) &&
			    are_one(k->s, e->s))
				return true;
		}
	}
	return false;
}

static uint64_t
next_ns(void)
{
	uint64_t a = utcp_next_ns(w->link[0].u), b = utcp_next_ns(w->link[1].u);

	return a < b ? a : b;
}

/* A day on a good wire: what can come has come. */
static void
all_comes(void)
{
	uint64_t idle_ns = w->now_ns, next, got;
	unsigned int turns;

	for (turns = 0; turns < 3000 && something_lacks(); turns++) {
		got = w->got;
		turn(NULL, 0, NULL, 0, MSBATCH_SLEEP);
		peer_turn();
		peer_read_all();
		peer_turn();
		if (w->got != got)
			idle_ns = w->now_ns;
		if (w->link[0].wire.num + w->link[1].wire.num > 0 ||
		    w->link[0].came.num > 0) {
			wire_flow(0, WIRE_MAX);
			wire_flow(1, WIRE_MAX);
			w->now_ns += MSEC;
			continue;
		}
		if (w->v->timeout_ns == 0)
			continue;
		next = next_ns();
		if (next == UTCP_NEVER || w->now_ns - idle_ns > DAY_NS) {
			FUZZ_CHECK(!something_lacks());
			break;
		}
		if (next > w->now_ns)
			w->now_ns = next;
	}
}

/* All serve again, and nothing fails any more. */
static void
mend(void)
{
	w->fail_in = 0;
	w->link[0].lost_in = 0;
	w->link[0].reopens = true;
	FUZZ_CHECK(msbatch_reopen(w->b) == 0);
	for (uint32_t id = 0; id < w->num_numbers; id++)
		if (w->numbers[id].s != NULL &&
		    w->numbers[id].mode != MSBATCH_ACCEPT)
			turn_one(id, MSBATCH_MODE, MSBATCH_READ);
}

static void
close_all(void)
{
	bool some = true;

	/* A listener accepts some more before its turn has come. */
	while (some) {
		some = false;
		for (uint32_t id = 0; id < w->num_numbers; id++) {
			struct number *k = &w->numbers[id];

			if (k->s == NULL && k->udp == NULL)
				continue;
			some = true;
			turn_one(
			    id, id % 2 != 0 ? MSBATCH_ABORT : MSBATCH_CLOSE, 0);
		}
	}
}

/* As many numbers as ever were at a time are given again. */
static void
numbers_come_back(void)
{
	uint32_t id, num;
	utcp_udp_t *s;
	int r;

	close_all();
	num = w->num_numbers;
	turn(NULL, 0, NULL, 0, 0);
	for (id = 0; id < num; id++) {
		FUZZ_CHECK(utcp_udp_open(w->link[0].u, 4, &s) == 0);
		r = msbatch_add_udp(w->b, s, MSBATCH_HOLD);
		FUZZ_CHECK(r >= 0 && r < (int)num);
		FUZZ_CHECK(w->numbers[r].udp == NULL);
		w->numbers[r].udp = s;
	}
	numbers_check();
}

static void
end(void)
{
	mend();
	all_comes();
	numbers_come_back();
	msbatch_destroy(w->b);
	link_end(&w->link[0]);
	link_end(&w->link[1]);
	FUZZ_CHECK(w->blocks == 0);
	FUZZ_CHECK(w->stack_bytes == 0);
}

/* ---- an input ----------------------------------------------------------------------- */

static void
begin(unsigned int nr, uint8_t how)
{
	utcp_config_t cfg = { .size = sizeof(cfg) };
	utcp_addr_t a;

	cfg.alloc = fuzz_stack_alloc;
	cfg.release = fuzz_stack_release;
	cfg.now_ns = w->now_ns;
	cfg.seed[0] = (uint8_t)(nr + 1);
	if ((how & 1) != 0)
		cfg.offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP |
			       UTCP_OFFLOAD_GSO_UDP;
	if ((how & 2) != 0)
		cfg.max_bytes = 50000;
	if ((how & 4) != 0)
		cfg.mtu = 9000;
	FUZZ_CHECK(utcp_create(&w->link[nr].u, &cfg) == 0);
	for (int family = 4; family <= 6; family += 2) {
		a = fuzz_address(nr, family, 0);
		FUZZ_CHECK(utcp_address(w->link[nr].u, &a, 1) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t how = fuzz_u8(&in), more = fuzz_u8(&in);
	unsigned int steps = 0;

	memset(w, 0, sizeof(*w));
	w->now_ns = SEC;
	begin(0, how);
	begin(1, how >> 4);
	w->fail_in = more >> 4;
	w->dgrams_lost = w->fail_in > 0 || (how & 2) != 0;
	while (msbatch_create(&w->b, &w->link[0], more & 1 ? 0 : 1,
			      (how & 8) != 0 ? 1 : 0))
		FUZZ_CHECK(w->b == NULL && w->blocks == 0);
	w->v = msbatch_view(w->b);
	while (in.left > 0 && steps++ < STEPS_MAX)
		step(&in);
	end();
	return 0;
}
