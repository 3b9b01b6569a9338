/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_tcp.c: two stacks, the wire between them and who sits on it.
 *
 * The input is a program. Its steps call the sockets of either stack, let time
 * pass, and deal with the packets that wait on the wire: deliver, lose, repeat,
 * swap, cut, turn bits of (checksums put right again), cut into fragments; and
 * forge segments and ICMP errors that fit a connection, or nearly. Memory fails
 * now and then. What must hold:
 *
 *  - no stack says for ever that it is its turn, and two do not answer each
 *    other for ever while time stands still;
 *  - what is read is what was written, and if the wire is good from now on, all
 *    of it comes (unless packets were forged);
 *  - with tcpcrypt on all sockets (target tcp-crypt) what is read is what was
 *    written, forged or not;
 *  - memory counts are right, and after the end all is back: memory, ports, and
 *    each buffer that was lent, once.
 */
#include "tcp_world.h"

#define STEPS_MAX 600
#define QUIET_PACKETS 40000
#define DAY_NS (24 * 3600 * SEC)

/* ---- memory and ports --------------------------------------------------------- */

static bool
fails(struct side *s)
{
	if (s->fail_in > 0 && --s->fail_in == 0)
		return true;
	return s->fail_rate > 0 && (dice(&s->dice) & 255) < s->fail_rate;
}

static void *
count_alloc(void *arg, size_t bytes)
{
	struct side *s = arg;

	if (fails(s))
		return NULL;
	s->mem += (int64_t)bytes;
	if (s->mem > s->mem_max)
		s->mem_max = s->mem;
	return malloc(bytes);
}

static void
count_release(void *arg, void *mem, size_t bytes)
{
	struct side *s = arg;

	if (mem != NULL)
		s->mem -= (int64_t)bytes;
	free(mem);
}

/* The namespace outside: it refuses some, and chooses for those who ask. */
static int
claim(void *arg, utcp_addr_t *local, uint8_t proto)
{
	struct side *s = arg;
	uint32_t port = get16(&local->port_be);

	(void)proto;
	if (port % 7 == 6)
		return -EADDRINUSE;
	if (port == 0)
		put16(&local->port_be, 20000 + dice(&s->dice) % 20000);
	s->claims++;
	return 0;
}

static void
unclaim(void *arg, const utcp_addr_t *local, uint8_t proto)
{
	struct side *s = arg;

	(void)local;
	(void)proto;
	FUZZ_CHECK(s->claims > 0);
	s->claims--;
}

/* ---- time ---------------------------------------------------------------------- */

static void
events(struct side *s)
{
	utcp_event_t ev[3];
	int n;

	do {
		n = utcp_events(s->u, ev, 3);
		FUZZ_CHECK(n >= 0 && n <= 3);
	} while (n > 0);
}

/* When the side has something to do, by the world's clock. */
static uint64_t
next_of(const struct side *s)
{
	uint64_t next = utcp_next_ns(s->u);

	if (next == UTCP_NEVER)
		return next;
	return next > s->clock_ns ? next - s->clock_ns : 0;
}

static uint64_t
next_of_both(const struct world *w)
{
	uint64_t a = next_of(&w->side[0]), b = next_of(&w->side[1]);

	return a < b ? a : b;
}

/* Both send all they want now; then neither says that it is its turn. */
static void
settle(struct world *w)
{
	unsigned int nr, turns = 0;
	bool again;

	do {
		again = false;
		for (nr = 0; nr < 2; nr++) {
			struct side *s = &w->side[nr];

			utcp_advance(s->u, w->now_ns + s->clock_ns);
			wire_drain(w, nr, OUT_ELEMENTS, 2048);
			events(s);
			if (next_of(s) <= w->now_ns)
				again = true;
		}
		FUZZ_CHECK(turns++ < 100);
	} while (again);
}

static void
pass(struct world *w, uint64_t ns)
{
	uint64_t to = w->now_ns + ns, next;
	unsigned int turns = 0;

	for (;;) {
		settle(w);
		next = next_of_both(w);
		if (next > to || turns++ > 300)
			break;
		w->now_ns = next;
	}
	w->now_ns = to;
	settle(w);
}

/* Time passes, and the wire delivers, reads are read; or loses one of
   2^(8-loss). */
static void
live(struct world *w, uint64_t ns, uint8_t how, uint32_t luck)
{
	uint64_t to = w->now_ns + ns, next;
	uint32_t loss = (1u << (how >> 5)) - 1;
	unsigned int turns = 0, i;

	while (turns++ < 400) {
		settle(w);
		if ((how & 16) != 0)
			read_all(w);
		if (w->num_wire > 0) {
			i = dice(&luck) % 16 == 0 && w->num_wire > 1;
			if ((dice(&luck) & 255) >= loss)
				wire_deliver(w, w->wire[i], 1 + dice(&luck) % 3,
					     false);
			wire_remove(w, i);
			w->now_ns += 20000;
			continue;
		}
		next = next_of_both(w);
		if (next > to)
			break;
		if (next > w->now_ns)
			w->now_ns = next;
	}
	if (w->now_ns < to)
		w->now_ns = to;
	settle(w);
}

/* Side nr's clock goes to where its next connection from port 80 to port 80
   begins shortly before the wrap of sequence numbers, or of timestamps. */
static void
to_the_wrap(struct world *w, unsigned int nr, bool timestamps)
{
	struct side *s = &w->side[nr];
	utcp_addr_t l = fuzz_address(nr, 4, 80), r = fuzz_address(!nr, 4, 80);
	struct utcp__key k = { .family = 4, .proto = 6 };
	uint32_t now;

	memcpy(k.laddr, l.addr, 16);
	memcpy(k.raddr, r.addr, 16);
	k.lport_be = l.port_be;
	k.rport_be = r.port_be;
	settle(w);
	if (timestamps) {
		now = utcp__ts_now(s->u, utcp__ts_offset(s->u, &k));
		s->clock_ns += (uint64_t)(uint32_t)(-300 - now) * MSEC;
	} else {
		now = utcp__iss(s->u, &k);
		s->clock_ns += (uint64_t)(uint32_t)(-3000 - now) * 4000;
	}
	settle(w);
}

/* ---- the end -------------------------------------------------------------------- */

/* While time stands still it becomes quiet. */
static void
quiet(struct world *w)
{
	unsigned int n = 0;

	settle(w);
	while (w->num_wire > 0) {
		wire_flow(w, 1);
		read_all(w);
		settle(w);
		FUZZ_CHECK(n++ < QUIET_PACKETS);
	}
}

/* The end of e's connection on the other side; NULL: it has no handle. */
static struct end *
other_end(struct world *w, unsigned int nr, const struct end *e)
{
	struct side *o = &w->side[!nr];
	utcp_addr_t l, r, ol, or;
	unsigned int i;

	if (utcp_getsockname(e->s, &l) != 0 || utcp_getpeername(e->s, &r) != 0)
		return NULL;
	for (i = 0; i < o->num_ends; i++)
		if (utcp_getsockname(o->ends[i].s, &ol) == 0 &&
		    utcp_getpeername(o->ends[i].s, &or) == 0 &&
		    memcmp(&ol, &r, sizeof(r)) == 0 &&
		    memcmp(&or, &l, sizeof(l)) == 0)
			return &o->ends[i];
	return NULL;
}

static bool
alive(utcp_sock_t *s)
{
	utcp_info_t info = { .size = sizeof(info) };

	return utcp_info(s, &info) == 0 && info.state >= UTCP_ESTABLISHED &&
	       info.state != UTCP_TIME_WAIT;
}

/* Whether bytes of a connection with both ends still here are under way. */
static bool
something_lacks(struct world *w)
{
	unsigned int nr, i;
	struct end *e, *o;

	for (nr = 0; nr < 2; nr++)
		for (i = 0; i < w->side[nr].num_ends; i++) {
			e = &w->side[nr].ends[i];
			o = e->sent > 0 && e->own_port ? other_end(w, nr, e)
						       : NULL;
			if (o != NULL && !o->deaf && o->got != e->sent &&
			    alive(e->s) && alive(o->s))
				return true;
		}
	return false;
}

/* A day on a good wire: what can come has come. */
static void
all_comes(struct world *w)
{
	uint64_t got = w->got, idle_ns = w->now_ns, next;
	unsigned int turns;

	w->side[0].fail_rate = w->side[1].fail_rate = 0;
	w->side[0].fail_in = w->side[1].fail_in = 0;
	for (turns = 0; turns < 3000 && something_lacks(w); turns++) {
		settle(w);
		read_all(w);
		settle(w);
		next = next_of_both(w);
		if (w->got != got)
			idle_ns = w->now_ns;
		got = w->got;
		if (w->num_wire > 0) {
			wire_flow(w, w->num_wire);
			w->now_ns += MSEC;
			continue;
		}
		if (next == UTCP_NEVER || w->now_ns - idle_ns > DAY_NS) {
			FUZZ_CHECK(w->hostile || !something_lacks(w));
			break;
		}
		if (next > w->now_ns)
			w->now_ns = next;
	}
}

static void
end(struct world *w)
{
	unsigned int i;

	quiet(w);
	all_comes(w);
	for (i = 0; i < 2; i++) {
		struct side *s = &w->side[i];
		utcp_usage_t usage;

		utcp_usage(s->u, &usage);
		FUZZ_CHECK(usage.mem_bytes == (uint64_t)s->mem);
		utcp_destroy(s->u);
		FUZZ_CHECK(s->mem == 0);
		FUZZ_CHECK(s->claims == 0);
	}
	FUZZ_CHECK(w->lent == 0);
}

/* ---- an input --------------------------------------------------------------------------------- */

static void
more_config(struct fuzz_in *in, struct side *s, utcp_config_t *cfg)
{
	uint8_t how = fuzz_u8(in);

	if ((how & 1) != 0)
		cfg->icmp_per_s = 3;
	if ((how & 2) != 0)
		cfg->challenge_per_s = 2;
	if ((how & 4) != 0) {
		cfg->claim = claim;
		cfg->unclaim = unclaim;
		cfg->claim_arg = s;
	}
	if ((how & 8) != 0)
		cfg->cc = (how & 32) != 0 ? "prague" : "bbr";
	if ((how & 16) != 0)
		cfg->offloads |= UTCP_OFFLOAD_CSUM_TRUST;
	s->clock_ns = (uint64_t)(how >> 5) << 51;
}

/* Without memory there is no stack, and nothing is left of it. */
static void
create_failing(struct side *s, const utcp_config_t *cfg)
{
	unsigned int n;
	int err;

	for (n = 1; n < 40; n++) {
		s->fail_in = n;
		err = utcp_create(&s->u, cfg);
		FUZZ_CHECK(err == 0 || err == -ENOMEM);
		if (err == 0)
			utcp_destroy(s->u);
		FUZZ_CHECK(s->mem == 0);
		if (err == 0)
			break;
	}
	FUZZ_CHECK(n < 40);
	s->fail_in = 0;
}

static void
begin_side(struct world *w, struct fuzz_in *in, unsigned int nr, uint8_t how)
{
	struct side *s = &w->side[nr];
	utcp_config_t cfg = { .size = sizeof(cfg) };
	utcp_addr_t a;

	s->w = w;
	s->dice = nr + 1;
	cfg.alloc = count_alloc;
	cfg.release = count_release;
	cfg.alloc_arg = s;
	if ((how & 1) != 0)
		cfg.max_syns = 2;
	if ((how & 2) != 0)
		cfg.max_socks = 5;
	if ((how & 4) != 0)
		cfg.max_bytes = 50000;
	if ((how & 8) != 0)
		cfg.mtu = 9000;
	if ((how & 16) != 0)
		cfg.max_timewait = 1;
	cfg.l2_bytes = w->l2_bytes;
	cfg.gso_max_bytes = 9000; /* offloads may come later */
	if ((how & 64) != 0)
		cfg.offloads = UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP |
			       UTCP_OFFLOAD_GSO_UDP;
	if ((how & 128) != 0)
		more_config(in, s, &cfg);
	cfg.now_ns = w->now_ns + s->clock_ns;
	cfg.seed[0] = (uint8_t)nr;
	if ((how & 32) != 0)
		create_failing(s, &cfg);
	FUZZ_CHECK(utcp_create(&s->u, &cfg) == 0);
	fuzz_crypt_stack(s->u);
	a = fuzz_address(nr, 4, 0);
	FUZZ_CHECK(utcp_address(s->u, &a, 1) == 0);
	a = fuzz_address(nr, 6, 0);
	FUZZ_CHECK(utcp_address(s->u, &a, 1) == 0);
}

/* Steps with longer reach. */
static void
far_step(struct world *w, struct fuzz_in *in, uint8_t op)
{
	uint8_t how = fuzz_u8(in);
	struct side *s = &w->side[how & 1];

	switch (op & 7) {
	case 0:
	case 1:
		live(w, 1ull << (20 + (how & 15)), how, fuzz_u8(in));
		break;
	case 2: /* the n-th allocation from now on fails */
		s->fail_in = 1u + (how >> 1);
		break;
	case 3:
		s->fail_rate = (how & 2) != 0 ? how >> 2 : 0;
		break;
	case 4:
		fuzz_call_stack(w, in, how);
		break;
	case 5:
		wire_deliver_odd(w, in, how & 1);
		break;
	case 6:
		to_the_wrap(w, how & 1, (how & 2) != 0);
		break;
	default:
		pass(w, 1ull << (32 + how % 22));
	}
}

static void
step(struct world *w, struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in), how;

	if (op >= 0xe0) {
		far_step(w, in, op);
		return;
	}
	how = fuzz_u8(in);
	switch (op & 7) {
	case 0:
	case 1:
		fuzz_call(w, in, how);
		break;
	case 2:
		wire_step(w, in, how);
		break;
	case 3:
		wire_flow(w, 1 + how % 32);
		break;
	case 4:
		forge(w, in, how & 1);
		break;
	case 5:
		pass(w, (uint64_t)(1 + (how >> 5)) << (how & 31) << 5);
		break;
	case 6:
		if ((how & 6) == 0)
			forge_raw(w, in, how & 1);
		else if ((how & 6) == 2)
			forge_icmp(w, in, how & 1);
		else
			forge(w, in, how & 1);
		wire_flow(w, w->num_wire);
		break;
	default: /* little room for output */
		utcp_advance(w->side[how & 1].u,
			     w->now_ns + w->side[how & 1].clock_ns);
		wire_drain(w, how & 1, UTCP_PKT_PARTS_MAX + how % 8,
			   128 + (how & 0xf8u) * 6);
	}
	if ((op & 8) != 0)
		settle(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world the_world;
	struct world *w = &the_world;
	struct fuzz_in in = { data, size };
	unsigned int i, steps = 0;
	uint8_t how = fuzz_u8(&in);

	memset(w, 0, offsetof(struct world, packets));
	for (i = 0; i < TEXT; i++)
		fuzz_text[i] = (uint8_t)(i * 7 + (i >> 8));
	for (i = 0; i < WIRE_MAX; i++)
		w->wire[i] = &w->packets[i];
	w->now_ns = SEC;
	w->l2_bytes = (how & 64) != 0 ? 14 : 0;
	for (i = 0; i < 2; i++)
		begin_side(w, &in, i, how);
	while (in.left > 0 && steps++ < STEPS_MAX)
		step(w, &in);
	end(w);
	return 0;
}
