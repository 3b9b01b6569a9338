/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctl.c: packets that no connection sends: resets, SYN-ACKs, ICMP errors. And
 * how many answers strangers may get out of us.
 */
#include "stack.h"

#define CTL_MAX 4096

struct utcp__ctl_pkt {
	struct utcp__ctl_pkt *next;
	struct utcp__key key;
	uint16_t csum_offset, l4_bytes;
	uint8_t tos, ttl;
	bool pooled;
	uint8_t l4[];
};
#define POOLED_MAX (UTCP__CTL_PKT_BYTES - sizeof(struct utcp__ctl_pkt))
_Static_assert(POOLED_MAX >= 60, "TCP's longest header fits");

int
utcp__ctl(utcp_t *u, const struct utcp__key *k, uint8_t proto, const void *l4,
	  uint32_t l4_bytes, uint16_t csum_offset, uint8_t tos, uint8_t ttl)
{
	struct utcp__ctl_pkt *p = NULL;
	bool pooled;

	UTCP_ASSERT(l4_bytes <= UTCP__CTL_BYTES);
	if (l4_bytes == 0 || l4_bytes > UTCP__CTL_BYTES)
		return -EINVAL;
	pooled = l4_bytes <= POOLED_MAX;
	if (u->num_ctl < CTL_MAX)
		p = pooled ? utcp__pool_get(u, UTCP__POOL_CTL)
			   : utcp__alloc_raw(u, sizeof(*p) + l4_bytes);
	if (p == NULL) {
		if (u->num_ctl < CTL_MAX)
			COUNT(u, DROP_NOMEM);
		else
			COUNT(u, DROP_LIMIT);
		return -ENOBUFS;
	}
	p->next = NULL;
	p->pooled = pooled;
	p->key = *k;
	p->key.proto = proto;
	p->csum_offset = csum_offset;
	p->l4_bytes = (uint16_t)l4_bytes;
	p->tos = tos;
	p->ttl = ttl;
	memcpy(p->l4, l4, l4_bytes);
	if (u->ctl_last != NULL)
		u->ctl_last->next = p;
	else
		u->ctl_first = p;
	u->ctl_last = p;
	u->num_ctl++;
	return 0;
}

int
utcp__ctl_tcp(utcp_t *u, const struct utcp__key *k, const struct utcp__bare *b)
{
	uint8_t h[60] = { 0 };
	uint32_t bytes = 20 + utcp__tcp_options(h + 20, &b->opts);

	UTCP_ASSERT(bytes + b->more_bytes <= sizeof(h));
	if (b->more_bytes) {
		memcpy(h + bytes, b->more, b->more_bytes);
		bytes += b->more_bytes;
	}
	memcpy(h, &k->lport_be, 2);
	memcpy(h + 2, &k->rport_be, 2);
	put32(h + 4, b->seq);
	put32(h + 8, b->ack);
	h[12] = (uint8_t)(bytes << 2 | b->flags >> 8);
	h[13] = (uint8_t)b->flags;
	put16(h + 14, b->wnd);
	return utcp__ctl(u, k, PROTO_TCP, h, bytes, 16, b->tos, b->ttl);
}

static void
pop(utcp_t *u)
{
	struct utcp__ctl_pkt *p = u->ctl_first;

	u->ctl_first = p->next;
	if (u->ctl_first == NULL)
		u->ctl_last = NULL;
	u->num_ctl--;
	if (p->pooled)
		utcp__pool_put(u, UTCP__POOL_CTL, p);
	else
		utcp__free(u, p, sizeof(*p) + p->l4_bytes);
}

bool
utcp__ctl_output(utcp_t *u, struct utcp__out *o)
{
	struct utcp__ctl_pkt *p;
	uint32_t head;
	uint8_t *l4;

	while ((p = u->ctl_first) != NULL) {
		/* The first buffer takes headers only for sure. */
		head = p->l4_bytes < 60 ? p->l4_bytes & ~1u : 60;
		l4 = utcp__out_begin(o, &p->key, head, p->l4_bytes - head);
		if (l4 == NULL) {
			if (o->used > 0 || o->num < UTCP_PKT_PARTS_MAX)
				return true;
			COUNT(u, DROP_NOMEM); /* it will never fit */
			pop(u);
			continue;
		}
		memcpy(l4, p->l4, head);
		if (p->l4_bytes > head)
			utcp__out_data(o, p->l4 + head, p->l4_bytes - head);
		utcp__out_end(o, p->key.proto, p->tos, p->ttl,
			      p->key.proto == 6, p->csum_offset, 0);
		pop(u);
	}
	return false;
}

void
utcp__ctl_deinit(utcp_t *u)
{
	while (u->ctl_first != NULL)
		pop(u);
}

/*
 * A budget for each second. `spread` parts of it, at most, are withheld by
 * chance: who counts answers, to learn from a shared limit what others do here
 * (as CVE-2016-5696 and SAD DNS did), counts our dice.
 */
static bool
allow(utcp_t *u, uint64_t *until_ns, uint32_t *left, uint32_t budget,
      uint32_t spread)
{
	if (u->now_ns >= *until_ns) {
		*until_ns = u->now_ns + SEC;
		*left = budget -
			(uint32_t)(utcp__random(u) % (budget / spread + 1));
	}
	if (*left == 0) {
		COUNT(u, DROP_LIMIT);
		return false;
	}
	(*left)--;
	return true;
}

bool
utcp__allow_answer(utcp_t *u)
{
	return allow(u, &u->answers_ns, &u->answers, u->cfg.icmp_per_s, 16);
}

bool
utcp__allow_challenge(utcp_t *u)
{
	/* RFC 5961 section 10 */
	return allow(u, &u->challenges_ns, &u->challenges,
		     u->cfg.challenge_per_s, 2);
}
