/* SPDX-License-Identifier: BSD-2-Clause */
/* One TCP segment (or what GSO makes several of), into the caller's buffers. */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_loss.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define TCP_BYTES 20
#define TCP_CSUM 16 /* where the checksum stands */
#define OPTS_MAX 40
#define SACK_ONE 12 /* bytes of one block, padded */

/* SACK blocks to be told. */
static inline uint32_t
sacks_now(const utcp_sock_t *s)
{
	uint32_t blocks = s->num_sacks;

	if (s->busy->dsack.start != s->busy->dsack.end)
		blocks++;
	return LIKELY(!blocks) || !(s->negotiated & UTCP_GOT_SACK) ? 0 : blocks;
}

uint32_t
utcp__opts_more(const utcp_sock_t *s)
{
	uint32_t bytes = utcp__opt_bytes(s), blocks = sacks_now(s);

	if (UNLIKELY(s->ext != NULL))
		bytes += utcp__ext_room_of(s);
	if (LIKELY(!blocks) || bytes > OPTS_MAX - SACK_ONE)
		return bytes;
	return bytes + 4 + 8 * MIN(blocks, (OPTS_MAX - bytes - 4) / 8);
}

/* Stores so wide that reading them for the checksum, right after, need not wait
   for several to come together. */
static inline void
put64(uint8_t *p, uint32_t first_be, uint32_t second_be)
{
	uint32_t v[2] = { first_be, second_be };
	uint64_t w;

	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		w = first_be | (uint64_t)second_be << 32;
	else
		memcpy(&w, v, 8);
	memcpy(p, &w, 8);
}

/* Options of a segment that carries more than timestamps; bytes. */
static unsigned int
sack_options(utcp_sock_t *s, uint8_t *to, uint32_t want)
{
	struct utcp__opt_out op = { 0 };
	uint32_t ts = utcp__opt_bytes(s);

	op.ts_val = utcp__ts_now(s->u, s->ts_ofs);
	op.ts_ecr = s->ts_recent;
	if (ts)
		op.opts |= TO_TS;
	op.num_sacks = (uint8_t)utcp__sack_report(s, op.sacks,
						  (want - ts - 4) / 8);
	if (op.num_sacks)
		op.opts |= TO_SACK;
	return utcp__tcp_options(to, &op);
}

/* Up to the checksum and the urgent pointer, which are 0; those are left to
   others, with the first four bytes of options. */
static inline void
write_header(const utcp_sock_t *s, uint8_t *h, const struct utcp__seg_out *seg,
	     uint32_t opt_bytes, uint32_t wnd)
{
	uint32_t ports, rest = (TCP_BYTES + opt_bytes) << 26 |
			       (uint32_t)seg->flags << 16 | wnd;

	memcpy(&ports, &s->ent.key.lport_be, 4); /* and rport_be behind it */
	put64(h, ports, utcp__swap32(seg->seq));
	put64(h + 8, seg->flags & TH_ACK ? utcp__swap32(s->rcv_nxt) : 0,
	      utcp__swap32(rest));
}

/* Most segments: two NOPs, and the timestamps (RFC 7323 appendix A). */
static inline void
write_timestamps(const utcp_sock_t *s, uint8_t *h)
{
	put64(h + 16, 0, utcp__swap32(0x0101080a));
	put64(h + 24, utcp__swap32(utcp__ts_now(s->u, s->ts_ofs)),
	      utcp__swap32(s->ts_recent));
}

static void
end(utcp_sock_t *s, struct utcp__out *o, uint8_t ecn, uint16_t gso_size)
{
	uint8_t tos = (uint8_t)(OPT(s, DSCP) << 2 | ecn);

	utcp__out_end(o, PROTO_TCP, tos, (uint8_t)OPT(s, TTL), utcp__df(s),
		      TCP_CSUM, gso_size);
	s->segs_out++;
}

/* An acknowledgement of all that came leaves, with this window. */
static void
acked(utcp_sock_t *s, uint32_t wnd_bytes)
{
	s->ack_now = false;
	utcp__tm_clear(s, UTCP__TM_DELACK);
	s->rcv_acked = s->rcv_nxt;
	if (seq_lt(s->rcv_adv, s->rcv_nxt + wnd_bytes))
		s->rcv_adv = s->rcv_nxt + wnd_bytes;
}

/* The ECN codepoint of new data, where an extension reads the feedback. */
static uint8_t
own_ect(const utcp_sock_t *s, const struct utcp__seg_out *seg)
{
	if (!(s->negotiated & UTCP_GOT_EXT_ECN) || !seg->len || !seg->fresh ||
	    s->probe_owed)
		return 0;
	return s->cc_mod && s->cc_mod->ops.flags & UTCP_CC_L4S ? 1 : 2;
}

/* What extensions may take, of a segment with data or without. */
static uint32_t
ext_room(const utcp_sock_t *s, const struct utcp__seg_out *seg)
{
	uint32_t room = OPTS_MAX - utcp__opt_bytes(s);

	if (seg->len)
		return utcp__ext_room(s);
	if (sacks_now(s))
		room -= SACK_ONE;
	return MIN(room, (uint32_t)s->ext->want);
}

/*
 * Options of a segment where extensions have a say, and flags and ECN bits as
 * they want them: timestamps, theirs, SACK blocks. Bytes; -ENOBUFS: no room for
 * the segment, of which they are not told then, or they want its connection to
 * end.
 */
static int
ext_options(utcp_sock_t *s, struct utcp__out *o, struct utcp__seg_out *seg,
	    uint8_t *ecn, uint8_t to[OPTS_MAX])
{
	uint32_t most = seg->len ? utcp__opts_now(s) : OPTS_MAX;
	uint32_t ts = utcp__opt_bytes(s), n;
	struct utcp__opt_out op = { .ts_val = utcp__ts_now(s->u, s->ts_ofs),
				    .ts_ecr = s->ts_recent,
				    .opts = ts ? TO_TS : 0 };
	struct utcp__ext_way way = {
		.seq = seg->seq,
		.ack = s->rcv_nxt,
		.len = seg->len,
		.ofs = s->una_ofs +
		       (uint64_t)(int64_t)(int32_t)(seg->seq - s->snd_una),
		.segs = 1,
		.again = !seg->fresh && (seg->len || seg->flags & TH_FIN),
		.probe = s->probe_owed,
		.flags = seg->flags,
		.ecn = seg->ect ? 2 : own_ect(s, seg),
	};

	if (!utcp__out_begin(o, &s->ent.key, TCP_BYTES + most, seg->len))
		return -ENOBUFS;
	if (seg->len)
		way.ofs = utcp__ofs_of(s, seg->seq);
	if (seg->gso_size)
		way.segs = (uint16_t)((seg->len + seg->gso_size - 1) /
				      seg->gso_size);
	n = utcp__tcp_options(to, &op);
	n += utcp__ext_out(s->ext, &way, to + n, ext_room(s, seg));
	if (s->ext->doom)
		return -ENOBUFS;
	seg->flags = way.flags;
	*ecn = way.ecn;
	if (!sacks_now(s) || most < n + SACK_ONE)
		return (int)n;
	op.opts = TO_SACK;
	op.num_sacks = (uint8_t)utcp__sack_report(s, op.sacks,
						  (most - n - 4) / 8);
	return (int)(n + utcp__tcp_options(to + n, &op));
}

int
utcp__segment(utcp_sock_t *s, struct utcp__out *o,
	      const struct utcp__seg_out *seg)
{
	const struct utcp__sackblk dsack = s->busy->dsack;
	struct utcp__seg_out now = *seg;
	uint32_t opt_bytes = utcp__opts_now(s), wnd;
	bool plain = opt_bytes == 12 && utcp__opt_bytes(s);
	uint8_t options[OPTS_MAX], ecn = seg->ect ? 2 : 0, *h;

	/* RFC 3168 section 6.1.3: until the peer says CWR. */
	if (s->ece_owed)
		now.flags |= TH_ECE;
	if (UNLIKELY(s->ext != NULL)) {
		int r = ext_options(s, o, &now, &ecn, options);

		if (r < 0)
			return r;
		opt_bytes = (uint32_t)r;
		plain = false;
	} else if (opt_bytes && !plain) {
		opt_bytes = sack_options(s, options, opt_bytes);
	}

	h = utcp__out_begin(o, &s->ent.key, TCP_BYTES + opt_bytes, seg->len);
	if (!h) {
		s->busy->dsack = dsack; /* has not left */
		return -ENOBUFS;
	}
	wnd = utcp__rcv_window(s) >> s->rcv_wscale;
	write_header(s, h, &now, opt_bytes, wnd);
	if (plain) {
		write_timestamps(s, h);
	} else {
		memset(h + 16, 0, 4);
		memcpy(h + TCP_BYTES, options, opt_bytes);
	}
	if (seg->len)
		utcp__snd_copy(s, utcp__ofs_of(s, seg->seq), seg->len, o);
	if (seg->fresh &&
	    utcp__seg_sent(s, seg->seq,
			   seg->len + (seg->flags & TH_FIN ? 1 : 0),
			   seg->mark) < 0) {
		s->busy->dsack = dsack;
		return -ENOMEM;
	}
	end(s, o, ecn, seg->gso_size);
	acked(s, wnd << s->rcv_wscale);
	return 0;
}

/* ---- SYN --------------------------------------------------------------- */

/* Fast Open (RFC 7413 section 4.1.2): how many bytes of data may go with our
   SYN, before options are taken off. */
static uint32_t
fastopen_bytes(utcp_sock_t *s)
{
	const struct utcp__key *k = &s->ent.key;
	struct utcp__host *h;

	if (!utcp__fastopen_prepare(s))
		return 0;
	h = utcp__host(s->u, k->raddr, k->family, false);
	if (h && h->mss)
		return h->mss;
	return utcp__default_mss(k->family);
}

static void
syn_options(utcp_sock_t *s, struct utcp__opt_out *op, bool first)
{
	bool answer = s->state != UTCP_SYN_SENT;
	int scale = utcp__wscale_offer(s->opts);

	op->opts = TO_MSS;
	op->mss = utcp__mss_offer(s->u, s->opts, s->ent.key.family);
	op->ts_val = utcp__ts_now(s->u, s->ts_ofs);
	if (!answer) {
		/* The same on each, whatever the buffers are meanwhile. */
		if (first)
			s->rcv_wscale = scale < 0 ? 0 : (uint8_t)scale;
		if (OPT(s, TIMESTAMPS))
			op->opts |= TO_TS;
		if (OPT(s, SACK))
			op->opts |= TO_SACK_OK;
		if (scale >= 0)
			op->opts |= TO_WSCALE;
	} else {
		/* Only what the other's SYN had too. */
		op->ts_ecr = s->ts_recent;
		if (s->negotiated & UTCP_GOT_TIMESTAMPS)
			op->opts |= TO_TS;
		if (s->negotiated & UTCP_GOT_SACK)
			op->opts |= TO_SACK_OK;
		if (s->negotiated & UTCP_GOT_WSCALE)
			op->opts |= TO_WSCALE;
	}
	/* Not on the answer to a SYN that crossed ours. */
	if (s->cookie && (!answer || s->passive)) {
		op->opts |= TO_FASTOPEN;
		op->cookie_len = s->cookie[0] & 0x7f;
		op->exp_fastopen = s->cookie[0] >> 7;
		op->cookie = s->cookie + 1;
	}
	op->wscale = s->rcv_wscale;
}

/* The flags of RFC 3168 section 6.1.1. A SYN that got no answer is sent again
   without: something may have taken offence (6.1.1.1). */
static uint16_t
syn_flags(const utcp_sock_t *s, bool first)
{
	if (s->state != UTCP_SYN_SENT)
		return TH_SYN | TH_ACK |
		       (s->negotiated & UTCP_GOT_ECN ? TH_ECE : 0);
	return TH_SYN | (first && OPT(s, ECN) == 2 ? TH_ECE | TH_CWR : 0);
}

/* Notes that the SYN, with len bytes of data, has left. */
static int
syn_sent(utcp_sock_t *s, struct utcp__out *o, bool first, uint32_t len)
{
	int err;

	s->syn_owed = false;
	if (!first) {
		utcp__seg_resent(
		    s, CONTAINER(s->busy->segs.next, struct utcp__seg, link));
		return 0;
	}
	err = utcp__seg_sent(s, s->iss, 1, SEG_SYN);
	if (err || !len)
		return err;
	if (utcp__seg_sent(s, s->iss + 1, len, 0) < 0) {
		/* Without memory the data stays behind: we would reset who
		   acknowledged what we do not know to be sent. */
		(void)utcp__out_begin(o, &s->ent.key, o->l4_bytes, 0);
		return 0;
	}
	s->bytes_sent += len;
	COUNT(s->u, OUT_SEGS);
	return 0;
}

/* What extensions add to the options of a SYN, and the flags; its ECN codepoint
   goes to *ecn. As ext_options. */
static int
ext_syn(utcp_sock_t *s, struct utcp__out *o, struct utcp__seg_out *seg,
	uint32_t len, uint8_t *ecn, uint8_t to[OPTS_MAX], uint32_t used)
{
	struct utcp__ext_way way = {
		.seq = s->iss,
		.ack = s->rcv_nxt,
		.len = len,
		.segs = 1,
		.flags = seg->flags,
	};

	if (!utcp__out_begin(o, &s->ent.key, TCP_BYTES + OPTS_MAX, len))
		return -ENOBUFS;
	if (s->snd_nxt != s->iss)
		way.again = (uint8_t)MAX(s->retries, 1);
	used += utcp__ext_out(s->ext, &way, to + used, OPTS_MAX - used);
	seg->flags = way.flags;
	*ecn = way.ecn;
	return s->ext->doom ? -ENOBUFS : (int)used;
}

int
utcp__segment_syn(utcp_sock_t *s, struct utcp__out *o)
{
	bool first = s->snd_nxt == s->iss;
	struct utcp__seg_out seg = { .seq = s->iss };
	struct utcp__opt_out op = { 0 };
	uint8_t options[OPTS_MAX], ecn = 0, *h;
	unsigned int opt_bytes;
	uint32_t wnd, len = 0, unsent = utcp__snd_unsent(s);

	if (UNLIKELY(s->busy->eor != NULL))
		unsent = utcp__snd_record(s, unsent);
	if (first && s->state == UTCP_SYN_SENT && OPT(s, FASTOPEN_CONNECT))
		len = fastopen_bytes(s);
	syn_options(s, &op, first);
	seg.flags = syn_flags(s, first);
	opt_bytes = utcp__tcp_options(options, &op);
	/* As if all options were there, so that it fits whatever they are. */
	len = MIN(len, op.mss);
	len = len > OPTS_MAX ? MIN(len - OPTS_MAX, unsent) : 0;
	if (UNLIKELY(s->ext != NULL)) {
		int r = ext_syn(s, o, &seg, len, &ecn, options, opt_bytes);

		if (r < 0)
			return r;
		opt_bytes = (unsigned int)r;
	}

	h = utcp__out_begin(o, &s->ent.key, TCP_BYTES + opt_bytes, len);
	if (!h)
		return -ENOBUFS;
	wnd = MIN(utcp__rcv_window(s), 65535u); /* never scaled on a SYN */
	write_header(s, h, &seg, opt_bytes, wnd);
	memset(h + 16, 0, 4);
	memcpy(h + TCP_BYTES, options, opt_bytes);
	if (len)
		utcp__snd_copy(s, 0, len, o);
	if (syn_sent(s, o, first, len) < 0)
		return -ENOMEM;
	end(s, o, ecn, 0);
	if (seg.flags & TH_ACK)
		acked(s, wnd);
	return 0;
}
