/* SPDX-License-Identifier: BSD-2-Clause */
/* eno.c: the option of RFC 8547, its suboptions, and what is agreed on. */
#include <errno.h>
#include <string.h>

#include "eno.h"

#define TEP_FIRST 0x20
#define LENGTH_BITS 0x1f

static bool
is_tep(uint8_t byte)
{
	return (byte & ~ENO_V) >= TEP_FIRST;
}

/* A length byte and what it introduces; bytes of both, 0: ill-formed. */
static size_t
take_lengthed(struct crypt__eno *eno, const uint8_t *p, size_t left)
{
	struct crypt__sub *sub = &eno->sub[eno->num];
	size_t len = (size_t)(p[0] & LENGTH_BITS) + 1;

	if (left < 2 + len || (p[1] & ENO_V) == 0 || !is_tep(p[1]))
		return 0;
	sub->tep = (uint8_t)(p[1] & ~ENO_V);
	sub->v = true;
	sub->len = (uint8_t)len;
	sub->data = p + 2;
	eno->num++;
	return 2 + len;
}

int
crypt__eno_parse(struct crypt__eno *eno, const uint8_t *opt, size_t len)
{
	const uint8_t *p = opt + 2, *end = opt + len;
	bool global = false;

	memset(eno, 0, sizeof(*eno));
	if (len < 2 || len > ENO_MAX || opt[0] != ENO_KIND || opt[1] != len)
		return -EBADMSG;
	while (p < end) {
		struct crypt__sub *sub = &eno->sub[eno->num];
		size_t left = (size_t)(end - p), n;

		if (!is_tep(*p) && (*p & ENO_V) != 0) {
			n = take_lengthed(eno, p, left);
			if (n == 0)
				return -EBADMSG;
			p += n;
			continue;
		}
		if (!is_tep(*p)) {
			/* All but the first are of some later time. */
			if (!global)
				eno->global = *p;
			global = true;
			p++;
			continue;
		}
		sub->tep = (uint8_t)(*p & ~ENO_V);
		sub->v = (*p & ENO_V) != 0;
		sub->data = p + 1;
		sub->len = sub->v ? (uint8_t)(left - 1) : 0;
		p += 1 + sub->len;
		eno->num++;
	}
	return 0;
}

size_t
crypt__eno_write(uint8_t to[ENO_MAX], size_t room, unsigned int nonce_min,
		 const struct crypt__offer *o)
{
	const struct crypt__ticket *t = o->resume;
	size_t len = 2, bare, nonce;
	unsigned int i, n = 0;

	if (room > ENO_MAX)
		room = ENO_MAX;
	for (i = 0; i < o->num; i++)
		n += t == NULL || o->teps[i] != t->tep;
	bare = 2 + (o->global != 0) + n;
	if (t != NULL && bare + 1 + RESUME_HALF + nonce_min > room) {
		t = NULL;
		bare = 2u + (o->global != 0) + o->num;
	}
	if (bare > room)
		return 0;
	to[0] = ENO_KIND;
	if (o->global != 0)
		to[len++] = o->global;
	for (i = 0; i < o->num; i++)
		if (t == NULL || o->teps[i] != t->tep)
			to[len++] = o->teps[i];
	if (t != NULL) {
		nonce = room - len - 1 - RESUME_HALF;
		if (nonce > RESUME_NONCE_MAX)
			nonce = RESUME_NONCE_MAX;
		to[len++] = t->tep | ENO_V;
		memcpy(to + len, t->send, RESUME_HALF);
		len += RESUME_HALF;
		memcpy(to + len, o->nonce, nonce);
		len += nonce;
	}
	to[1] = (uint8_t)len;
	return len;
}

/* The only suboption of a TEP; NULL: none, or several, of which tcpcrypt knows
   no meaning (section 4.5). */
static const struct crypt__sub *
only(const struct crypt__eno *eno, uint8_t tep)
{
	const struct crypt__sub *found = NULL;
	unsigned int i;

	for (i = 0; i < eno->num; i++) {
		if (eno->sub[i].tep != tep)
			continue;
		if (found != NULL)
			return NULL;
		found = &eno->sub[i];
	}
	return found;
}

static bool
is_resumption(const struct crypt__sub *sub)
{
	return sub->v && sub->len >= RESUME_HALF &&
	       sub->len <= RESUME_HALF + RESUME_NONCE_MAX;
}

uint8_t
crypt__eno_answer(const struct crypt__eno *peer, const uint8_t *teps,
		  unsigned int num, bool need_aware, crypt__find_fn find,
		  void *arg, const struct crypt__ticket **ticket)
{
	const struct crypt__sub *sub;
	uint8_t tep = 0;
	unsigned int i;

	*ticket = NULL;
	if ((peer->global & ENO_B) != 0)
		return 0;
	if (need_aware && (peer->global & ENO_A) == 0)
		return 0;
	for (i = 0; i < num; i++) {
		sub = only(peer, teps[i]);
		if (sub == NULL)
			continue;
		tep = teps[i];
		if (find == NULL || !is_resumption(sub))
			continue;
		*ticket = find(arg, tep, sub->data);
		if (*ticket != NULL)
			return tep;
	}
	return tep;
}

/* Whether a TEP that both sent is valid (section 4.5), and if it resumes. */
static bool
valid(const struct crypt__sub *own, const struct crypt__sub *peer, bool own_b,
      const struct crypt__ticket *ticket, bool *resumed)
{
	const struct crypt__sub *b = own_b ? own : peer;

	*resumed = false;
	if (!b->v)
		return true; /* fresh keys, whatever host A sent */
	/* A resumption, on whose secret both agree, or nothing. */
	if (ticket == NULL || ticket->tep != own->tep || !own->v ||
	    !is_resumption(peer) ||
	    memcmp(peer->data, ticket->expect, RESUME_HALF) != 0)
		return false;
	*resumed = true;
	return true;
}

bool
crypt__eno_choose(const struct crypt__eno *own, const struct crypt__eno *peer,
		  bool need_aware, const struct crypt__ticket *ticket,
		  struct crypt__choice *out)
{
	const struct crypt__eno *b;
	unsigned int i;

	memset(out, 0, sizeof(*out));
	out->own_b = (own->global & ENO_B) != 0;
	out->peer_aware = (peer->global & ENO_A) != 0;
	if (out->own_b == ((peer->global & ENO_B) != 0))
		return false;
	if (need_aware && !out->peer_aware)
		return false;
	b = out->own_b ? own : peer;
	for (i = b->num; i-- > 0;) {
		const struct crypt__sub *mine = only(own, b->sub[i].tep);
		const struct crypt__sub *his = only(peer, b->sub[i].tep);

		if (mine == NULL || his == NULL ||
		    !valid(mine, his, out->own_b, ticket, &out->resumed))
			continue;
		out->tep_byte = (uint8_t)(b->sub[i].tep |
					  (b->sub[i].v ? ENO_V : 0));
		if (out->resumed) {
			out->own_nonce = mine->data + RESUME_HALF;
			out->own_nonce_len = (uint8_t)(mine->len - RESUME_HALF);
			out->peer_nonce = his->data + RESUME_HALF;
			out->peer_nonce_len = (uint8_t)(his->len - RESUME_HALF);
		}
		return true;
	}
	return false;
}
