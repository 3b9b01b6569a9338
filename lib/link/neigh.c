/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neigh.c: who is where on the Ethernet.
 *
 * Who sends us a frame can be answered where it came from, so a server asks the
 * switch for no route at all. But a frame may lie: one that contradicts what is
 * known has the switch asked, which has it from the host's tables.
 *
 * A frame whose neighbour the host is still looking for waits here, copied;
 * so does what follows it to there only by luck of order, which is TCP's to
 * mend.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define ASK_AGAIN_NS 1000000000ull /* what was learnt is doubted */
#define PENDING_NS 50000000ull	   /* between questions while it is sought */
#define HOLD_NS 3000000000ull	   /* as long as the kernel looks for one */

static inline unsigned int
addr_bytes(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static struct mslink__neigh *
slot_of(const mslink_t *l, const uint8_t *addr, uint8_t family)
{
	uint64_t h[2] = { 0, 0 };

	memcpy(h, addr, addr_bytes(family));
	h[0] = (h[0] ^ (h[1] >> 29) ^ h[1]) * 0x9e3779b97f4a7c15ull;
	return &l->neighs[(h[0] >> 40) & (MSLINK__NEIGHS - 1)];
}

static inline bool
is_of(const struct mslink__neigh *n, const uint8_t *addr, uint8_t family)
{
	return n->family == family &&
	       memcmp(n->addr, addr, addr_bytes(family)) == 0;
}

/* The entry of this address; of another that had its slot nothing remains. */
static struct mslink__neigh *
entry(mslink_t *l, const uint8_t *addr, uint8_t family)
{
	struct mslink__neigh *n = l->last_neigh;

	if (is_of(n, addr, family))
		return n;
	n = slot_of(l, addr, family);
	l->last_neigh = n;
	if (!is_of(n, addr, family)) {
		memset(n, 0, sizeof *n);
		memcpy(n->addr, addr, addr_bytes(family));
		n->family = family;
	}
	return n;
}

int
mslink__neigh_init(mslink_t *l)
{
	l->neighs = calloc(MSLINK__NEIGHS, sizeof *l->neighs);
	l->last_neigh = l->neighs;
	l->held_end = &l->held;
	return l->neighs ? 0 : -ENOMEM;
}

void
mslink__neigh_deinit(mslink_t *l)
{
	while (l->held) {
		struct mslink__held *h = l->held;

		l->held = h->next;
		free(h);
	}
	free(l->neighs);
}

int
mslink__route(mslink_t *l, const uint8_t *addr, uint8_t family,
	      struct ms_cmd_route *r)
{
	int e;

	memset(r, 0, sizeof *r);
	memcpy(r->dst.addr, addr, addr_bytes(family));
	r->dst.family = family;
	COUNT(l, ROUTES);
	pthread_mutex_lock(&l->group->lock);
	e = msport_route(l->port, r);
	pthread_mutex_unlock(&l->group->lock);
	return e;
}

static void
ask(mslink_t *l, struct mslink__neigh *n, uint64_t now_ns)
{
	struct ms_cmd_route r;
	uint32_t gen = __atomic_load_n(l->route_gen, __ATOMIC_ACQUIRE);
	int e;

	n->asked_ns = now_ns;
	n->gen = gen;
	e = mslink__route(l, n->addr, n->family, &r);
	if ((e || r.state != MS_ROUTE_LOCAL) &&
	    mslink__is_loopback(n->addr, n->family)) {
		n->state = NEIGH_SELF;
		return;
	}
	if (e) {
		if (n->state != NEIGH_LEARNT)
			n->state = NEIGH_NONE;
		return;
	}
	if (r.state == MS_ROUTE_PENDING) {
		if (n->state != NEIGH_LEARNT)
			n->state = NEIGH_PENDING;
		return;
	}
	memcpy(n->mac, r.dst_mac, 6);
	n->state = NEIGH_ROUTED;
}

void
mslink__learn(mslink_t *l, const msport_view_t *v)
{
	const uint8_t *f = v->data, *src;
	uint32_t l3 = l->l2_bytes;
	struct mslink__neigh *n;
	uint8_t family;

	if (v->len < l3 + 20 || (f[0] & 1)) /* broadcast, multicast: no peer */
		return;
	if (f[l3] >> 4 == 4) {
		family = 4;
		src = f + l3 + 12;
	} else if (f[l3] >> 4 == 6 && v->len >= l3 + 40) {
		family = 6;
		src = f + l3 + 8;
	} else {
		return;
	}
	n = entry(l, src, family);
	if (n->state != NEIGH_NONE && memcmp(n->mac, f + 6, 6) == 0)
		return;
	if (n->state == NEIGH_SELF)
		return;
	if (n->state == NEIGH_NONE || n->state == NEIGH_PENDING) {
		memcpy(n->mac, f + 6, 6);
		n->gen = __atomic_load_n(l->route_gen, __ATOMIC_RELAXED);
		n->state = NEIGH_LEARNT;
		COUNT(l, LEARNT);
	} else if (utcp_now_ns(l->u) - n->asked_ns > ASK_AGAIN_NS) {
		ask(l, n, utcp_now_ns(l->u));
	}
}

/* Where the IP packet in this frame goes. */
static const uint8_t *
destination(const mslink_t *l, const msport_view_t *v, uint8_t *family)
{
	const uint8_t *ip = v->data + l->l2_bytes;

	*family = ip[0] >> 4 == 4 ? 4 : 6;
	return ip + (*family == 4 ? 16 : 24);
}

static void
header_write(const mslink_t *l, uint8_t *f, const uint8_t *dst, uint8_t family)
{
	uint16_t type = family == 4 ? 0x0800 : 0x86dd;

	memcpy(f, dst, 6);
	memcpy(f + 6, l->mac, 6);
	if (l->vlan) { /* IEEE 802.1Q */
		f[12] = 0x81;
		f[13] = 0x00;
		f[14] = (uint8_t)(l->vlan >> 8);
		f[15] = (uint8_t)l->vlan;
		f += 4;
	}
	f[12] = (uint8_t)(type >> 8);
	f[13] = (uint8_t)type;
}

int
mslink__address(mslink_t *l, msport_view_t *v, uint64_t now_ns)
{
	uint8_t family;
	const uint8_t *dst = destination(l, v, &family);
	struct mslink__neigh *n = entry(l, dst, family);
	uint32_t gen = __atomic_load_n(l->route_gen, __ATOMIC_RELAXED);

	/* What was learnt stays good until the peer is silent or contradicts
	   itself; what the routes said, until they move. */
	if (n->state == NEIGH_NONE ||
	    ((n->state == NEIGH_ROUTED || n->state == NEIGH_SELF) &&
	     n->gen != gen) ||
	    (n->state == NEIGH_PENDING &&
	     (n->gen != gen || now_ns - n->asked_ns > PENDING_NS)))
		ask(l, n, now_ns);
	if (n->state == NEIGH_NONE)
		return -EHOSTUNREACH;
	if (n->state == NEIGH_SELF)
		return -ELOOP;
	if (n->state == NEIGH_PENDING)
		return -EAGAIN;
	header_write(l, v->data, n->mac, family);
	return 0;
}

/* ---- frames that wait -------------------------------------------------------- */

void
mslink__hold(mslink_t *l, const msport_view_t *v, unsigned int n,
	     uint64_t now_ns)
{
	struct mslink__held *h;
	uint32_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += v[i].len;
	h = l->num_held < MSLINK__HOLD_MAX ? malloc(sizeof *h + len) : NULL;
	if (!h) {
		COUNT(l, DROP_HOLD_FULL);
		return;
	}
	memcpy(&h->meta, v, sizeof h->meta);
	h->until_ns = now_ns + HOLD_NS;
	h->next = NULL;
	h->len = 0;
	for (unsigned int i = 0; i < n; i++) {
		memcpy(h->data + h->len, v[i].data, v[i].len);
		h->len += v[i].len;
	}
	*l->held_end = h;
	l->held_end = &h->next;
	l->num_held++;
	l->held_next_ns = now_ns + PENDING_NS;
	COUNT(l, HELD);
}

/* Spreads h over at most n views; how many, 0 if there is no room. */
static unsigned int
spread(const struct mslink__held *h, msport_view_t *v, unsigned int n)
{
	uint32_t room = v[0].len, used = 0;
	unsigned int i;

	if ((uint64_t)room * n < h->len)
		return 0;
	for (i = 0; used < h->len; i++) {
		uint32_t part = h->len - used < room ? h->len - used : room;
		uint8_t *data = v[i].data;

		if (i == 0)
			memcpy(&v[i], &h->meta, sizeof v[i]);
		v[i].data = data;
		v[i].len = part;
		memcpy(data, h->data + used, part);
		used += part;
		v[i].flags = (uint16_t)((v[i].flags & ~MS_SLOT_MORE) |
					(used < h->len ? MS_SLOT_MORE : 0));
	}
	return i;
}

unsigned int
mslink__unhold(mslink_t *l, msport_view_t *v, unsigned int n, uint64_t now_ns)
{
	struct mslink__held **p = &l->held;
	unsigned int used = 0, k;

	while (*p && used < n) {
		struct mslink__held *h = *p;
		msport_view_t probe = { .data = h->data, .len = h->len };
		int e = mslink__address(l, &probe, now_ns);

		if (e == -EAGAIN && h->until_ns > now_ns) {
			p = &h->next;
			continue;
		}
		if (e == 0) {
			k = spread(h, v + used, n - used);
			if (k == 0)
				break;
			used += k;
		} else if (e == -EAGAIN) {
			COUNT(l, DROP_HELD);
		} else {
			COUNT(l, DROP_NO_ROUTE);
		}
		*p = h->next;
		free(h);
		l->num_held--;
	}
	if (!*p)
		l->held_end = p;
	l->held_next_ns = l->num_held ? now_ns + PENDING_NS : 0;
	return used;
}
