/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_ext.c: the worlds of case_random.c, with extensions on every connection:
 * one whose option comes and goes and says where its segment's data stands in
 * the stream, one between the users and the stream. All bytes come, and no
 * segment is longer than its path (wire.c).
 */
#include "cases.h"

#define CHUNK_MAX 300u
#define AHEAD 65536u /* of which a GSO packet's option is */

static const utcp_ext_option_t place_option = { .kind = 253,
						.exid_bytes = 4,
						.exid = 0x53494d31 };
static const utcp_ext_option_t chunk_option = { .kind = 77 };

/* ---- where data stands --------------------------------------------------- */

struct place {
	struct rng r;
	uint8_t bytes; /* of the option's content */
};

static struct sim *
world_of(utcp_ext_t *ext)
{
	return ext->shared;
}

static int
place_init(utcp_ext_t *ext)
{
	struct place *p = ext->priv;

	p->r.s = rng_next(&world_of(ext)->rng);
	p->bytes = (uint8_t)(4 + rng_below(&p->r, 11));
	return 0;
}

static int
place_open(utcp_ext_t *ext)
{
	struct place *p = ext->priv;

	if (rng_chance(&p->r, 0.2))
		(void)utcp_ext_gso(ext, 0);
	return utcp_ext_want(ext, 6u + p->bytes);
}

static int
place_out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	struct place *p = ext->priv;
	uint8_t *to;

	if (!(seg->flags & UTCP_TCP_SYN))
		(void)utcp_ext_want(ext,
				    rng_chance(&p->r, 0.5) ? 6u + p->bytes : 0);
	to = utcp_ext_put(seg, 0, p->bytes);
	if (to)
		put32(to, (uint32_t)seg->ofs);
	return 0;
}

static int
place_in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct place *p = ext->priv;
	struct sim *w = world_of(ext);

	if (seg->flags & UTCP_TCP_SYN) {
		SIM_CHECK(w, seg->num_opts == 1);
		return 0;
	}
	/* A segment that is refused is like one that is lost. */
	if (rng_chance(&p->r, 0.01))
		return UTCP_EXT_DROP;
	if (seg->num_opts && seg->len)
		SIM_CHECK(w, (uint32_t)seg->ofs - get32(seg->opts[0].data) <
				 AHEAD);
	return 0;
}

/* ---- chunks --------------------------------------------------------------- */

struct chunks {
	struct rng r;
	bool ended;
	uint8_t head[2];
	unsigned int have; /* of head and chunk */
	uint8_t chunk[CHUNK_MAX];
};

static int
chunks_init(utcp_ext_t *ext)
{
	((struct chunks *)ext->priv)->r.s = rng_next(&world_of(ext)->rng);
	return 0;
}

/* Not now; but soon. */
static int
wait_for_it(utcp_ext_t *ext, struct chunks *c)
{
	uint64_t ns = rng_log(&c->r, USEC, 100 * MSEC);

	(void)utcp_ext_timer(ext, utcp_now_ns(ext->stack) + ns);
	return 0;
}

static int
chunks_timer(utcp_ext_t *ext)
{
	return utcp_ext_resume(ext);
}

static int
emit(utcp_ext_t *ext, const uint8_t *data, size_t len, int flags)
{
	uint8_t b[2 + CHUNK_MAX] = { (uint8_t)(len >> 8), (uint8_t)len };

	for (size_t i = 0; i < len; i++)
		b[2 + i] = data[i] ^ 0x5a;
	return utcp_ext_emit(ext, b, 2 + len, flags);
}

static ssize_t
chunks_write(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	struct chunks *c = ext->priv;
	size_t n = 1 + rng_below(&c->r, CHUNK_MAX);
	int r;

	if (rng_chance(&c->r, 0.01))
		return wait_for_it(ext, c);
	if (n >= len)
		n = len;
	else
		flags = UTCP_MSG_MORE;
	r = emit(ext, data, n, flags);
	return r < 0 ? r : (ssize_t)n;
}

static int
chunks_write_end(utcp_ext_t *ext)
{
	struct chunks *c = ext->priv;

	if (rng_chance(&c->r, 0.5)) {
		(void)wait_for_it(ext, c);
		return UTCP_EXT_WAIT;
	}
	return emit(ext, NULL, 0, 0);
}

static int
whole(utcp_ext_t *ext, struct chunks *c)
{
	unsigned int len = c->have - 2;

	c->have = 0;
	SIM_CHECK(world_of(ext), !c->ended);
	c->ended = len == 0;
	for (unsigned int i = 0; i < len; i++)
		c->chunk[i] ^= 0x5a;
	return len ? utcp_ext_deliver(ext, c->chunk, len) : 0;
}

static ssize_t
chunks_read(utcp_ext_t *ext, const void *data, size_t len)
{
	struct chunks *c = ext->priv;
	const uint8_t *p = data;
	bool all = ext->flags & UTCP_EXT_OVER || rng_chance(&c->r, 0.9);
	size_t n = all ? len : rng_below(&c->r, len + 1);
	int r = 0;

	if (n == 0)
		return wait_for_it(ext, c);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (c->have < 2)
			c->head[c->have++] = p[i];
		else
			c->chunk[c->have++ - 2] = p[i];
		SIM_CHECK(world_of(ext),
			  c->have < 2 || get16(c->head) <= CHUNK_MAX);
		if (c->have >= 2 && c->have == 2u + get16(c->head))
			r = whole(ext, c);
	}
	return r < 0 ? r : (ssize_t)n;
}

static int
chunks_read_end(utcp_ext_t *ext)
{
	return ((struct chunks *)ext->priv)->ended ? 0 : -EBADMSG;
}

static void
prepare(struct sim *w, struct node *n)
{
	const utcp_ext_ops_t place = {
		.size = sizeof(place),
		.name = "place",
		.priv_bytes = sizeof(struct place),
		.num_options = 1,
		.options = &place_option,
		.init = place_init,
		.open = place_open,
		.out = place_out,
		.in = place_in,
	};
	const utcp_ext_ops_t chunks = {
		.size = sizeof(chunks),
		.name = "chunks",
		.flags = UTCP_EXT_STREAM,
		.priv_bytes = sizeof(struct chunks),
		.num_options = 1,
		.options = &chunk_option,
		.init = chunks_init,
		.timer = chunks_timer,
		.write = chunks_write,
		.write_end = chunks_write_end,
		.read = chunks_read,
		.read_end = chunks_read_end,
	};
	bool option = w->seed % 3 != 0, stream = w->seed % 3 != 1;

	w->veiled = stream;
	if (option)
		SIM_CHECK(w, !utcp_ext_register(n->u, &place, UTCP_EXT_ALL, w));
	if (stream)
		SIM_CHECK(w,
			  !utcp_ext_register(n->u, &chunks, UTCP_EXT_ALL, w));
}

void
case_ext(uint64_t seed)
{
	random_world("ext", seed, prepare);
}
