/* SPDX-License-Identifier: BSD-2-Clause */
/* batch_link.c: a link of memory, that can be lost; its wire; failing memory. */
#include "batch_world.h"

#define OUT_ELEMENTS 48
#define OUT_BYTES 2048
#define POLL_MAX 32

/* ---- memory ------------------------------------------------------------------ */

static bool
fails(void)
{
	return fuzz_world.fail_in > 0 && --fuzz_world.fail_in == 0;
}

void *
fuzz_stack_alloc(void *arg, size_t bytes)
{
	(void)arg;
	if (fails())
		return NULL;
	fuzz_world.stack_bytes += (int64_t)bytes;
	return malloc(bytes);
}

void
fuzz_stack_release(void *arg, void *mem, size_t bytes)
{
	(void)arg;
	if (mem != NULL)
		fuzz_world.stack_bytes -= (int64_t)bytes;
	free(mem);
}

/* batch.c is built with these names for malloc and its kin. */
void *fuzz_malloc(size_t bytes);
void *fuzz_calloc(size_t n, size_t bytes);
void *fuzz_realloc(void *mem, size_t bytes);
void fuzz_free(void *mem);

static void *
counted(void *mem)
{
	FUZZ_CHECK(mem != NULL);
	fuzz_world.blocks++;
	return mem;
}

void *
fuzz_malloc(size_t bytes)
{
	return fails() ? NULL : counted(malloc(bytes));
}

void *
fuzz_calloc(size_t n, size_t bytes)
{
	return fails() ? NULL : counted(calloc(n, bytes));
}

void *
fuzz_realloc(void *mem, size_t bytes)
{
	if (mem == NULL)
		return fuzz_malloc(bytes);
	if (fails())
		return NULL;
	mem = realloc(mem, bytes);
	FUZZ_CHECK(mem != NULL);
	return mem;
}

void
fuzz_free(void *mem)
{
	if (mem != NULL) {
		FUZZ_CHECK(fuzz_world.blocks > 0);
		fuzz_world.blocks--;
	}
	free(mem);
}

/* ---- packets ------------------------------------------------------------------- */

static void
put(struct packets *q, struct packet *p)
{
	struct packet **end = &q->first;

	while (*end != NULL)
		end = &(*end)->next;
	p->next = NULL;
	*end = p;
	q->num++;
}

/* The i-th, which is there. */
static struct packet *
take(struct packets *q, unsigned int i)
{
	struct packet **at = &q->first, *p;

	while (i-- > 0)
		at = &(*at)->next;
	p = *at;
	*at = p->next;
	q->num--;
	return p;
}

static void
drop_all(struct packets *q)
{
	while (q->num > 0)
		free(take(q, 0));
}

static struct packet *
copy_of(const struct packet *p)
{
	struct packet *c = malloc(sizeof(*c) + p->meta.len);

	FUZZ_CHECK(c != NULL);
	memcpy(c, p, sizeof(*c) + p->meta.len);
	c->meta.data = c->bytes;
	return c;
}

/* One block of its n elements, so that a sanitizer sees who keeps it. */
static struct packet *
gathered(const utcp_pkt_t *pkts, unsigned int n)
{
	struct packet *p;
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		len += pkts[i].len;
	p = malloc(sizeof(*p) + len);
	FUZZ_CHECK(p != NULL);
	p->meta = pkts[0];
	p->meta.flags &= (uint16_t)~UTCP_PKT_MORE;
	p->meta.data = p->bytes;
	p->meta.len = 0;
	for (i = 0; i < n; i++) {
		memcpy(p->bytes + p->meta.len, pkts[i].data, pkts[i].len);
		p->meta.len += pkts[i].len;
	}
	return p;
}

/* Whether it is for who sent it: a loopback address, or its own. */
static bool
for_itself(const struct mslink_s *l, const struct packet *p)
{
	unsigned int nr = l == &fuzz_world.link[1];
	bool four = p->bytes[0] >> 4 == 4;
	const uint8_t *to = p->bytes + (four ? 16 : 24);
	utcp_addr_t own = fuzz_address(nr, four ? 4 : 6, 0);
	uint8_t one[16] = { [15] = 1 };

	if (four ? to[0] == 127 : memcmp(to, one, 16) == 0)
		return true;
	return memcmp(to, own.addr, four ? 4 : 16) == 0;
}

static void
sent(struct mslink_s *l, struct packet *p)
{
	struct mslink_s *other = &fuzz_world.link[l == &fuzz_world.link[0]];

	if (for_itself(l, p))
		put(&l->came, p);
	else if (other->wire.num < WIRE_MAX)
		put(&other->wire, p);
	else
		free(p);
}

static unsigned int
output(struct mslink_s *l)
{
	static uint8_t room[OUT_ELEMENTS][OUT_BYTES];
	utcp_pkt_t out[OUT_ELEMENTS] = { 0 };
	unsigned int i, first = 0;
	int n;

	for (i = 0; i < OUT_ELEMENTS; i++) {
		out[i].data = room[i];
		out[i].len = OUT_BYTES;
	}
	n = utcp_output(l->u, out, OUT_ELEMENTS);
	FUZZ_CHECK(n >= 0 && n <= OUT_ELEMENTS);
	for (i = 0; i < (unsigned int)n; i++) {
		if ((out[i].flags & UTCP_PKT_MORE) != 0)
			continue;
		sent(l, gathered(&out[first], i + 1 - first));
		first = i + 1;
	}
	FUZZ_CHECK(first == (unsigned int)n);
	return (unsigned int)n;
}

static void
release(struct mslink_s *l)
{
	utcp_retain(l->u);
	drop_all(&l->lent);
}

/* ---- link.h -------------------------------------------------------------------- */

/* A call that a lost port refuses. */
static int
lost(struct mslink_s *l)
{
	if (l->lost_in > 0 && --l->lost_in == 0)
		l->lost = -ENETDOWN;
	return l->lost;
}

utcp_t *
mslink_stack(const mslink_t *l)
{
	return l->u;
}

uint64_t
mslink_now_ns(void)
{
	return fuzz_world.now_ns;
}

int
mslink_poll(mslink_t *l)
{
	int n = 0;

	release(l);
	utcp_advance(l->u, fuzz_world.now_ns);
	if (lost(l) != 0)
		return l->lost;
	for (; n < POLL_MAX && l->came.num > 0; n++) {
		struct packet *p = take(&l->came, 0);

		put(&l->lent, p);
		FUZZ_CHECK(utcp_input(l->u, &p->meta, 1) == 0);
	}
	return n;
}

int
mslink_flush(mslink_t *l)
{
	unsigned int n, all = 0, turns = 0;

	release(l);
	if (lost(l) != 0)
		return l->lost;
	while ((n = output(l)) > 0) {
		all += n;
		FUZZ_CHECK(turns++ < 10000);
	}
	return (int)all;
}

int
mslink_arm(mslink_t *l)
{
	return lost(l) != 0 ? l->lost : l->came.num > 0;
}

int
mslink_near(mslink_t *l)
{
	return l->came.num > 0;
}

uint64_t
mslink_timeout_ns(const mslink_t *l)
{
	uint64_t next = utcp_next_ns(l->u);

	if (next == UTCP_NEVER)
		return UTCP_NEVER;
	return next > fuzz_world.now_ns ? next - fuzz_world.now_ns : 0;
}

int
mslink_reopen(mslink_t *l)
{
	if (!l->reopens)
		return -ENODEV;
	release(l);
	drop_all(&l->came);
	l->lost = 0;
	return 0;
}

void
peer_turn(void)
{
	struct mslink_s *l = &fuzz_world.link[1];

	do {
		(void)mslink_poll(l);
		(void)mslink_flush(l);
	} while (l->came.num > 0);
}

void
link_end(struct mslink_s *l)
{
	utcp_destroy(l->u);
	drop_all(&l->wire);
	drop_all(&l->came);
	drop_all(&l->lent);
}

/* ---- the wire -------------------------------------------------------------------- */

void
wire_flow(unsigned int to, unsigned int n)
{
	struct mslink_s *l = &fuzz_world.link[to];

	while (n-- > 0 && l->wire.num > 0)
		put(&l->came, take(&l->wire, 0));
}

/* Turns a bit, which the checksum tells; where there is none yet, it is lost. */
static void
spoil(struct mslink_s *l, struct packet *p, unsigned int bit)
{
	if ((p->meta.flags & UTCP_PKT_CSUM_PARTIAL) != 0 ||
	    p->meta.gso_type != UTCP_GSO_NONE) {
		free(p);
		return;
	}
	bit %= p->meta.len * 8;
	p->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	put(&l->came, p);
}

void
wire_step(struct fuzz_in *in, unsigned int to)
{
	struct mslink_s *l = &fuzz_world.link[to];
	uint8_t how = fuzz_u8(in);
	struct packet *p;

	if (l->wire.num == 0)
		return;
	p = take(&l->wire, (how >> 2) % l->wire.num);
	switch (how & 3) {
	case 0: /* overtakes others */
		put(&l->came, p);
		break;
	case 1:
		free(p);
		break;
	case 2:
		put(&l->came, copy_of(p));
		put(&l->wire, p);
		break;
	default:
		spoil(l, p, fuzz_u16(in));
	}
}
