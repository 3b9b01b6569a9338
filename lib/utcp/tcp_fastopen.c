/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_fastopen.c: TCP Fast Open (RFC 7413), both sides. */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_syn.h"

#define COOKIE_BYTES 8
#define BAD_NS (15 * 60 * SEC) /* after a refusal, for so long not */
#define EXP 0x80	       /* in s->cookie[0] */
#define ROOM 17		       /* of s->cookie */

/* ---- server ------------------------------------------------------------ */

void
utcp__fastopen_cookie(utcp_t *u, const struct utcp__key *k, uint8_t cookie[8])
{
	uint8_t in[33];
	uint64_t h;

	/* Section 4.1.2: proof of the address, not of the port. */
	memcpy(in, k->raddr, 16);
	memcpy(in + 16, k->laddr, 16);
	in[32] = k->family;
	h = utcp__siphash(u->key_fastopen, in, sizeof(in));
	memcpy(cookie, &h, COOKIE_BYTES);
}

static bool
cookie_good(utcp_t *u, const struct utcp__seg_in *seg)
{
	uint8_t cookie[COOKIE_BYTES], diff = 0;

	if ((seg->opts & TO_FASTOPEN) == 0 || seg->cookie_len != COOKIE_BYTES)
		return false;
	utcp__fastopen_cookie(u, &seg->in->key, cookie);
	for (unsigned int i = 0; i < COOKIE_BYTES; i++)
		diff |= (uint8_t)(cookie[i] ^ seg->cookie[i]);
	return diff == 0;
}

bool
utcp__fastopen_accept(utcp_sock_t *l, struct utcp__seg_in *seg, uint32_t iss)
{
	utcp_t *u = l->u;
	struct utcp__said said;
	struct utcp__exts *ext = NULL;
	bool refused = false;
	utcp_sock_t *s;
	uint32_t wnd;

	if (!cookie_good(u, seg) &&
	    !(OPT(l, FASTOPEN_NOCOOKIE) != 0 && seg->len > 0))
		return false;
	if (l->listen->num_fastopen >= (uint32_t)OPT(l, FASTOPEN)) {
		/* Section 5.1: so many unproven ones, and no more. Without the
		   option the SYN is like any other. */
		seg->opts &= (uint16_t)~TO_FASTOPEN;
		return false;
	}
	utcp__syn_say(l, &said);
	said.iss = iss;
	said.ts_ofs = utcp__ts_offset(u, &seg->in->key);
	if (UNLIKELY(l->ext != NULL))
		ext = utcp__ext_syn(l, seg, &refused);
	if (refused)
		return true;
	s = utcp__syn_child(l, seg, &said);
	if (s == NULL) {
		utcp__ext_free(ext);
		return true; /* counted; the SYN comes again */
	}
	if (UNLIKELY(ext != NULL))
		utcp__ext_attach(s, ext);
	s->fastopen_child = true;
	s->snd_wnd++; /* of data, behind the SYN that is in flight */
	l->listen->num_fastopen++;
	seg->seq++;
	seg->flags &= (uint16_t)~TH_SYN;
	wnd = s->rcv_adv - s->rcv_nxt;
	if (seg->len > wnd)
		utcp__seg_trim_end(seg, seg->len - wnd);
	/* What is not taken is not acknowledged, and sent again. */
	if (seg->len > 0 && utcp__rcv_append(s, seg) == 0) {
		s->negotiated |= UTCP_GOT_FASTOPEN;
		COUNT(u, FASTOPEN_IN);
	}
	utcp__sock_queue(l, s);
	utcp__ack_soon(s); /* the SYN-ACK */
	return true;
}

void
utcp__fastopen_done(utcp_sock_t *s)
{
	utcp_sock_t *l;

	if (!s->fastopen_child)
		return;
	s->fastopen_child = false;
	l = s->port != NULL ? s->port->listener : NULL;
	if (l != NULL && l->listen != NULL && l->listen->num_fastopen > 0)
		l->listen->num_fastopen--;
}

/* ---- client ------------------------------------------------------------ */

bool
utcp__fastopen_prepare(utcp_sock_t *s)
{
	const struct utcp__key *k = &s->ent.key;
	struct utcp__host *h = utcp__host(s->u, k->raddr, k->family, false);

	/* Section 4.1.3.1: a path that swallowed such a SYN. */
	if (h != NULL && h->fastopen_bad_ns > s->u->now_ns)
		return false;
	if (OPT(s, FASTOPEN_NOCOOKIE) != 0)
		return true;
	if (s->cookie == NULL)
		s->cookie = utcp__alloc(s->u, ROOM);
	if (s->cookie == NULL)
		return false;
	s->cookie[0] = 0;
	if (h == NULL || h->cookie_len == 0)
		return false;
	s->cookie[0] = (uint8_t)(h->cookie_len | (h->cookie_exp ? EXP : 0));
	memcpy(s->cookie + 1, h->cookie, h->cookie_len);
	return true;
}

void
utcp__fastopen_forget(utcp_sock_t *s)
{
	if (s->cookie != NULL)
		utcp__free(s->u, s->cookie, ROOM);
	s->cookie = NULL;
}

void
utcp__fastopen_synack(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	const struct utcp__key *k = &s->ent.key;
	bool cookie = (seg->opts & TO_FASTOPEN) != 0 && seg->cookie_len > 0;
	bool taken = seg->ack == s->snd_nxt, data = s->snd_nxt != s->iss + 1;
	struct utcp__host *h;

	if (OPT(s, FASTOPEN_CONNECT) == 0)
		return;
	h = utcp__host(s->u, k->raddr, k->family, cookie || !taken);
	if (h != NULL && (seg->opts & TO_MSS) != 0)
		h->mss = seg->mss;
	if (h != NULL && cookie) {
		memcpy(h->cookie, seg->cookie, seg->cookie_len);
		h->cookie_len = seg->cookie_len;
		h->cookie_exp = seg->exp_fastopen;
		h->unasked = 0;
	}
	if (h != NULL && (cookie || (taken && data))) {
		h->fastopen_bad_ns = 0;
	} else if (h != NULL && !taken && seg->ack == s->iss + 1) {
		/* Section 4.1.3.1: a negative response, to be remembered. */
		h->fastopen_bad_ns = s->u->now_ns + BAD_NS;
	}
	/* What was not taken, or not all of it, is sent again. */
	s->syn_data_refused = !taken;
	if (taken && data) {
		s->negotiated |= UTCP_GOT_FASTOPEN;
		COUNT(s->u, FASTOPEN_OUT);
	}
	utcp__fastopen_forget(s);
}

void
utcp__fastopen_timeout(utcp_sock_t *s)
{
	const struct utcp__key *k = &s->ent.key;
	struct utcp__host *h;

	if (OPT(s, FASTOPEN_CONNECT) == 0)
		return;
	/* Section 4.1.3.1: without the option from now on, perhaps a middlebox
	   has something against it. Of a SYN without data, that it was lost is
	   as likely, the first time. */
	h = utcp__host(s->u, k->raddr, k->family, true);
	if (h != NULL && (s->snd_nxt != s->iss + 1 || h->unasked++ != 0))
		h->fastopen_bad_ns = s->u->now_ns + BAD_NS;
	utcp__fastopen_forget(s);
}
