/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip_reass.c: fragments become datagrams again (RFC 791, RFC 8200 section 4.5).
 *
 * Bounded: so many datagrams at once, so many bytes, so many pieces of each,
 * and none waits longer than its family's time; the oldest makes room. What
 * overlaps is never sorted out: the whole datagram goes (RFC 5722), and stays
 * in the list, empty, so that the rest of it goes too.
 */
#include "stack.h"

#define DGRAMS_MAX 256	     /* at once */
#define DGRAMS_OF_ONE_MAX 64 /* from one source: others have room */
#define BYTES_MAX (4u << 20) /* of all pieces */
#define PIECES_MAX 256	     /* of one datagram */
#define WAIT4_NS                                                               \
	(30 * SEC)	    /* RFC 1122 section 3.3.2 says 60 to 120,
				    but IDs come round sooner today */
#define WAIT6_NS (60 * SEC) /* RFC 8200 section 4.5 */

#define ECN_CE 3

struct piece {
	struct piece *next;
	uint32_t ofs, len;
	uint32_t head;	/* bytes of IP headers before it: of the first only */
	uint8_t data[]; /* head, then len */
};

struct dgram {
	struct utcp__link link; /* oldest first */
	struct utcp__key key;	/* proto 0 with IPv6: not part of it there */
	uint32_t id;
	uint64_t expires_ns;
	struct piece *first; /* by offset */
	unsigned int num;
	uint32_t have, total; /* bytes; total 0: the end has not come */
	uint32_t mem;	      /* bytes of pieces, told to reass */
	bool bad;	      /* overlapped: takes what comes and drops it */
	uint8_t proto;	      /* of the first fragment */
	uint8_t ecn_seen;     /* 1 << code point */
	uint8_t tos, ttl;
};

struct utcp__reass {
	struct utcp__link dgrams;
	unsigned int num;
	uint32_t bytes;
};

static inline uint32_t
cost_of(const struct piece *p)
{
	return (uint32_t)sizeof(*p) + p->head + p->len;
}

static void
drop_pieces(utcp_t *u, struct dgram *d)
{
	struct piece *p;

	while ((p = d->first) != NULL) {
		d->first = p->next;
		utcp__free(u, p, cost_of(p));
	}
	u->reass->bytes -= d->mem;
	d->mem = 0;
	d->num = 0;
}

static void
drop(utcp_t *u, struct dgram *d)
{
	drop_pieces(u, d);
	link_remove(&d->link);
	u->reass->num--;
	utcp__free(u, d, sizeof(*d));
}

/* It has something wrong with it: nothing of it is believed. */
static void
spoil(utcp_t *u, struct dgram *d)
{
	COUNT(u, DROP_FRAGMENT);
	drop_pieces(u, d);
	d->bad = true;
}

static struct dgram *
oldest(const utcp_t *u)
{
	return CONTAINER(u->reass->dgrams.next, struct dgram, link);
}

static struct dgram *
find(const utcp_t *u, const struct utcp__key *k, uint32_t id,
     unsigned int *of_one, struct dgram **oldest_of_one)
{
	struct utcp__link *l;

	*of_one = 0;
	*oldest_of_one = NULL;
	for (l = u->reass->dgrams.next; l != &u->reass->dgrams; l = l->next) {
		struct dgram *d = CONTAINER(l, struct dgram, link);

		if (memcmp(d->key.raddr, k->raddr, 16) != 0 ||
		    d->key.family != k->family)
			continue;
		if (d->id == id && d->key.proto == k->proto &&
		    memcmp(d->key.laddr, k->laddr, 16) == 0)
			return d;
		if ((*of_one)++ == 0)
			*oldest_of_one = d;
	}
	return NULL;
}

static void
rearm(utcp_t *u)
{
	struct utcp__link *l;
	uint64_t at = UTCP_NEVER;

	/* The list is by age, and its families wait differently. */
	for (l = u->reass->dgrams.next; l != &u->reass->dgrams; l = l->next) {
		struct dgram *d = CONTAINER(l, struct dgram, link);

		if (d->expires_ns < at)
			at = d->expires_ns;
	}
	if (at == UTCP_NEVER)
		utcp__timer_stop(u, &u->reass_timer);
	else
		utcp__timer_at(u, &u->reass_timer, at);
}

/* The datagram of this fragment, new if need be. NULL: no memory, counted. */
static struct dgram *
dgram_of(utcp_t *u, const struct utcp__in *in, const struct utcp__frag *frag)
{
	struct utcp__key k = in->key;
	struct utcp__reass *r = u->reass;
	struct dgram *d, *old;
	unsigned int of_one;

	k.proto = k.family == 4 ? frag->proto : 0;
	d = find(u, &k, frag->id, &of_one, &old);
	if (d != NULL)
		return d;
	if (of_one >= DGRAMS_OF_ONE_MAX || r->num >= DGRAMS_MAX) {
		COUNT(u, DROP_FRAGMENT);
		drop(u, of_one >= DGRAMS_OF_ONE_MAX ? old : oldest(u));
	}
	d = utcp__alloc(u, sizeof(*d));
	if (d == NULL) {
		COUNT(u, DROP_NOMEM);
		return NULL;
	}
	d->key = k;
	d->id = frag->id;
	d->expires_ns = u->now_ns + (k.family == 4 ? WAIT4_NS : WAIT6_NS);
	link_append(&r->dgrams, &d->link);
	r->num++;
	rearm(u);
	return d;
}

static struct piece *
copy_piece(utcp_t *u, const struct utcp__in *in, uint32_t ofs)
{
	uint32_t head = ofs == 0 ? (uint32_t)(in->l4 - in->l3) : 0;
	struct piece *p = utcp__alloc_raw(u, sizeof(*p) + head + in->l4_bytes);
	uint8_t *to;
	unsigned int i;

	if (p == NULL) {
		COUNT(u, DROP_NOMEM);
		return NULL;
	}
	p->ofs = ofs;
	p->len = in->l4_bytes;
	p->head = head;
	memcpy(p->data, in->l3, head);
	to = p->data + head;
	for (i = 0; i < in->num_parts; i++) {
		memcpy(to, in->part[i].data, in->part[i].len);
		to += in->part[i].len;
	}
	return p;
}

/* Where it goes: *at. 0; 1: a copy of what is there; -EINVAL: overlaps. */
static int
place(struct dgram *d, uint32_t ofs, uint32_t len, struct piece ***at)
{
	struct piece **pp = &d->first;

	while (*pp != NULL && (*pp)->ofs + (*pp)->len <= ofs)
		pp = &(*pp)->next;
	*at = pp;
	if (*pp == NULL || ofs + len <= (*pp)->ofs)
		return 0;
	if ((*pp)->ofs == ofs && (*pp)->len == len)
		return 1;
	return -EINVAL;
}

/* What the first fragment alone says. */
static void
take_head(struct dgram *d, const struct utcp__in *in,
	  const struct utcp__frag *frag)
{
	d->proto = frag->proto;
	d->tos = in->tos;
	d->ttl = in->ttl;
}

/* Whether offset and length go with what is known of the end. */
static bool
fits(struct dgram *d, const struct utcp__frag *frag, uint32_t len)
{
	uint32_t end = frag->ofs + len;

	if (end > 65535 - (d->key.family == 4 ? 20 : 0))
		return false;
	if (d->total != 0)
		return frag->more ? end <= d->total : end == d->total;
	if (!frag->more) {
		struct piece *p = d->first;

		while (p != NULL && p->next != NULL)
			p = p->next;
		if (p != NULL && p->ofs + p->len > end)
			return false;
		d->total = end;
	}
	return true;
}

/* RFC 7112 section 5, RFC 8200 section 4.5, RFC 3128: a first fragment has
   all headers, the transport's too, so that no other can change them. */
static bool
is_tiny(const struct utcp__in *in, const struct utcp__frag *frag)
{
	uint32_t at = 0, left = in->l4_bytes;
	uint8_t proto = frag->proto;

	if (frag->ofs != 0)
		return proto == 6 && frag->ofs < 20;
	while (in->key.family == 6 &&
	       (proto == 0 || proto == 43 || proto == 60)) {
		if (left - at < 8 || left - at < (in->l4[at + 1] + 1u) * 8)
			return true;
		proto = in->l4[at];
		at += (in->l4[at + 1] + 1u) * 8;
	}
	return left - at < (proto == 6 ? 20 : 8);
}

/* The code point of the whole: RFC 3168 section 5.3. False: contradictory. */
static bool
join_ecn(struct dgram *d)
{
	if (!(d->ecn_seen & 1 << ECN_CE))
		return true;
	if (d->ecn_seen & 1)
		return false;
	d->tos |= ECN_CE;
	return true;
}

/* All is there: in one piece, behind a header that says so. */
static void
deliver(utcp_t *u, struct dgram *d)
{
	/* IPv6's other headers before the fragment header have been heeded. */
	uint32_t head = d->key.family == 4 ? d->first->head : 40;
	uint32_t bytes = head + d->total;
	uint8_t proto = d->proto, *mem, *to;
	struct utcp__in in;
	struct piece *p;
	uint16_t sum;

	if (!join_ecn(d) || (d->key.family == 4 && bytes > 65535) ||
	    (mem = utcp__alloc_raw(u, bytes)) == NULL) {
		COUNT(u, DROP_FRAGMENT);
		drop(u, d);
		return;
	}
	memset(&in, 0, offsetof(struct utcp__in, part));
	memcpy(mem, d->first->data, head);
	for (p = d->first, to = mem + head; p != NULL; p = p->next) {
		memcpy(to, p->data + p->head, p->len);
		to += p->len;
	}
	if (d->key.family == 4) {
		put16(mem + 2, bytes);
		put16(mem + 6, 0);
		mem[10] = mem[11] = 0;
		sum = (uint16_t)~utcp__sum_fold(utcp__sum(mem, head, 0));
		memcpy(mem + 10, &sum, 2);
	} else {
		put16(mem + 4, d->total);
		mem[6] = proto;
	}
	in.key = d->key;
	in.l3 = mem;
	in.l4 = mem + head;
	in.l4_bytes = d->total;
	in.tos = d->tos;
	in.ttl = d->ttl;
	in.csum_ok = (u->cfg.offloads & UTCP_OFFLOAD_CSUM_TRUST) != 0;
	in.num_parts = 1;
	in.part[0].data = in.l4;
	in.part[0].len = in.l4_bytes;
	drop(u, d);
	rearm(u);
	utcp__ip_upper(u, &in, proto, true);
	utcp__free(u, mem, bytes);
}

static void
insert(utcp_t *u, struct dgram *d, struct utcp__in *in,
       const struct utcp__frag *frag)
{
	struct piece **at, *p;
	int r;

	if (!fits(d, frag, in->l4_bytes) || d->num >= PIECES_MAX) {
		spoil(u, d);
		return;
	}
	r = place(d, frag->ofs, in->l4_bytes, &at);
	if (r < 0) {
		spoil(u, d); /* RFC 5722, RFC 8200 section 4.5 */
		return;
	}
	if (r > 0)
		return; /* an exact copy may be ignored, ibid. */
	p = copy_piece(u, in, frag->ofs);
	if (p == NULL)
		return;
	p->next = *at;
	*at = p;
	d->num++;
	d->have += p->len;
	d->mem += cost_of(p);
	u->reass->bytes += cost_of(p);
	d->ecn_seen |= (uint8_t)(1 << (in->tos & 3));
	if (frag->ofs == 0)
		take_head(d, in, frag);
	if (d->total != 0 && d->have == d->total)
		deliver(u, d);
}

void
utcp__reass_input(utcp_t *u, struct utcp__in *in, const struct utcp__frag *frag)
{
	struct dgram *d;

	if (in->l4_bytes == 0 || (frag->more && in->l4_bytes % 8 != 0)) {
		COUNT(u, DROP_HEADER);
		return;
	}
	if (u->reass == NULL) {
		u->reass = utcp__alloc(u, sizeof(*u->reass));
		if (u->reass == NULL) {
			COUNT(u, DROP_NOMEM);
			return;
		}
		link_init(&u->reass->dgrams);
	}
	d = dgram_of(u, in, frag);
	if (d == NULL)
		return;
	if (d->bad) {
		COUNT(u, DROP_FRAGMENT);
		return;
	}
	if (is_tiny(in, frag)) {
		if (d->key.family == 6 && frag->ofs == 0)
			utcp__icmp_send(u, in, 4, 3, 0);
		spoil(u, d);
		return;
	}
	/* Room for this piece, from the oldest, but not from its own. */
	while (u->reass->bytes + in->l4_bytes > BYTES_MAX && oldest(u) != d) {
		COUNT(u, DROP_FRAGMENT);
		drop(u, oldest(u));
	}
	insert(u, d, in, frag);
}

/* RFC 1122 section 3.3.2, RFC 8200 section 4.5: told to the sender if the
   first fragment is here, which is quoted as it came. */
static void
tell_expired(utcp_t *u, const struct dgram *d)
{
	const struct piece *p = d->first;
	struct utcp__in in;

	if (p == NULL || p->ofs != 0)
		return;
	memset(&in, 0, offsetof(struct utcp__in, part));
	in.key = d->key;
	in.l3 = p->data;
	in.l4 = p->data + p->head;
	in.l4_bytes = p->len;
	in.num_parts = 1;
	in.part[0].data = in.l4;
	in.part[0].len = p->len;
	utcp__icmp_error(u, &in, 11, 1, 3, 1);
}

void
utcp__reass_tick(utcp_t *u)
{
	struct utcp__link *l, *next;

	if (u->reass == NULL)
		return;
	for (l = u->reass->dgrams.next; l != &u->reass->dgrams; l = next) {
		struct dgram *d = CONTAINER(l, struct dgram, link);

		next = l->next;
		if (d->expires_ns > u->now_ns)
			continue;
		if (!d->bad) {
			COUNT(u, DROP_FRAGMENT);
			tell_expired(u, d);
		}
		drop(u, d);
	}
	rearm(u);
}

void
utcp__reass_deinit(utcp_t *u)
{
	if (u->reass == NULL)
		return;
	while (u->reass->num > 0)
		drop(u, oldest(u));
	utcp__free(u, u->reass, sizeof(*u->reass));
	u->reass = NULL;
}
