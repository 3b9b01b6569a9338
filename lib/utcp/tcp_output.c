/* SPDX-License-Identifier: BSD-2-Clause */
/* What a connection may send now, in the order of its urgency. */
#include "ext.h"
#include "tcp_loss.h"
#include "tcp_output.h"

#define TURN_BYTES 65536     /* then the others */
#define CORK_NS (200 * MSEC) /* as long as a cork holds */
#define NOMEM_RETRY_NS (10 * MSEC)

/* Why nothing (more) was sent. */
enum hold {
	HOLD_NOT,   /* all is sent */
	HOLD_FULL,  /* the caller's buffers are */
	HOLD_TURN,  /* enough for one turn */
	HOLD_NOMEM, /* for the scoreboard */
	HOLD_CWND,
	HOLD_WND,
	HOLD_PACE,
	HOLD_NAGLE,
	HOLD_CORK,
};

static enum hold
hold_of(int err)
{
	return err == -ENOMEM ? HOLD_NOMEM : HOLD_FULL;
}

/* Not in SYN-RECEIVED: utcp__established goes on from there. */
static inline bool
fin_waits(const utcp_sock_t *s)
{
	return s->fin_wanted && !s->fin_sent && s->state >= UTCP_ESTABLISHED &&
	       !utcp__ext_holds_fin(s);
}

/* Bytes of the peer's window from seq on. */
static uint32_t
window_from(const utcp_sock_t *s, uint32_t seq)
{
	uint32_t edge = s->snd_una + s->snd_wnd;

	return seq_lt(seq, edge) ? edge - seq : 0;
}

/* Data of a full segment now. A peer whose window was never twice that is sent
   smaller ones (RFC 9293 section 3.8.6.2.1, rule 3); SACK blocks that ride
   along take from it. */
static uint32_t
segment_bytes(const utcp_sock_t *s)
{
	uint32_t mss = s->mss, half = s->max_wnd;
	uint32_t more = utcp__opts_now(s) - utcp__opt_bytes(s), ext;

	if (half > 536)
		half /= 2;
	if (UNLIKELY(s->ext != NULL)) {
		ext = utcp__ext_room_of(s);
		mss -= ext;
		more -= ext;
	}
	if (half && half < mss)
		mss = MAX(half, 36u);
	return mss > more + 8 ? mss - more : mss;
}

/* Where a segment without data stands: SND.NXT, unless the peer has taken the
   window back and would not look at it. */
static uint32_t
bare_seq(const utcp_sock_t *s)
{
	uint32_t edge = s->snd_una + s->snd_wnd;
	uint32_t unit = 1u << s->snd_wscale; /* the edge is that blurred */

	if (seq_lt(edge, s->snd_nxt) && s->snd_nxt - edge >= unit)
		return edge;
	return s->snd_nxt;
}

static int
send_bare(utcp_sock_t *s, struct utcp__out *o, uint32_t seq)
{
	struct utcp__seg_out seg = { .seq = seq, .flags = TH_ACK };

	return utcp__segment(s, o, &seg);
}

static enum hold
send_ack_first(utcp_sock_t *s, struct utcp__out *o)
{
	int err = send_bare(s, o, bare_seq(s));

	if (err < 0)
		return hold_of(err);
	s->ext->ack_first = false;
	return HOLD_NOT;
}

/* ---- SYN --------------------------------------------------------------- */

/* The SYN is not acknowledged yet. HOLD_NOT: data may follow. */
static enum hold
send_syn(utcp_sock_t *s, struct utcp__out *o)
{
	int err;

	if (s->fastopen_syn)
		return HOLD_NAGLE; /* it takes the first data along */
	if (s->snd_nxt == s->iss || s->syn_owed) {
		if (s->snd_nxt == s->iss)
			s->busy->progress_ns = s->u->now_ns;
		err = utcp__segment_syn(s, o);
		if (err < 0)
			return hold_of(err);
	}
	/* Only Fast Open's server goes on before the handshake ends: RFC 7413
	   section 4.2.2. */
	return s->state != UTCP_SYN_SENT && s->passive ? HOLD_NOT : HOLD_NAGLE;
}

/* ---- again ------------------------------------------------------------- */

static uint32_t
data_bytes(const struct utcp__seg *seg)
{
	return seg->len - (seg->flags & SEG_FIN ? 1 : 0);
}

static int
resend(utcp_sock_t *s, struct utcp__out *o, struct utcp__seg *seg)
{
	uint32_t full = segment_bytes(s), data = data_bytes(seg);
	struct utcp__seg_out out = {
		.seq = seg->seq,
		.len = data,
		.flags = TH_ACK,
		.gso_size = data > full ? (uint16_t)full : 0,
	};
	int err;

	if (seg->flags & SEG_SYN)
		return utcp__segment_syn(s, o);
	if (seg->flags & SEG_FIN)
		out.flags |= TH_FIN;
	if (out.gso_size ||
	    (data && utcp__ofs_of(s, seg->seq) + data == s->end_ofs))
		out.flags |= TH_PSH;
	err = utcp__segment(s, o, &out);
	if (err < 0)
		return err;
	s->bytes_sent += data;
	COUNT_N(s->u, OUT_SEGS, data ? (data + full - 1) / full : 0);
	utcp__pace_sent(s, data);
	utcp__seg_resent(s, seg);
	seg->unit = (uint16_t)full;
	return 0;
}

/* How much of a lost segment may go now; 0: why tells. */
static uint32_t
resend_bytes(utcp_sock_t *s, const struct utcp__out *o,
	     const struct utcp__seg *seg, enum hold *why)
{
	uint32_t full = segment_bytes(s), data = data_bytes(seg);
	uint32_t wnd = window_from(s, seg->seq), room = utcp__cwnd_room(s);
	uint32_t n = MIN(data, utcp__burst_bytes(s, o, full));

	if (!wnd) {
		/* The peer took the window back. Its first segment is sent
		   all the same, and serves as the probe. */
		if (seg->seq != s->snd_una) {
			*why = HOLD_WND;
			return 0;
		}
		n = MIN(n, full);
	} else if (n > wnd) {
		n = wnd < full ? wnd : wnd - wnd % full;
	}
	if (n > room) {
		if (room < MIN(n, full) && utcp__inflight(s)) {
			*why = HOLD_CWND;
			return 0;
		}
		n = room < full ? MIN(n, full) : room - room % full;
	}
	return n == data ? seg->len : n;
}

static enum hold
send_lost(utcp_sock_t *s, struct utcp__out *o)
{
	struct utcp__seg *seg;
	enum hold why = HOLD_NOT;
	uint32_t n, turn = 0;
	int err;

	while (s->lost_bytes && (seg = utcp__next_lost(s))) {
		if (turn >= TURN_BYTES)
			return HOLD_TURN;
		if (utcp__pace_blocked(s))
			return HOLD_PACE;
		n = resend_bytes(s, o, seg, &why);
		if (!n)
			return why;
		if (n < seg->len && utcp__seg_split(s, seg, n) < 0)
			return HOLD_NOMEM;
		err = resend(s, o, seg);
		if (err < 0)
			return hold_of(err);
		turn += n;
	}
	return HOLD_NOT;
}

/* ---- new data ---------------------------------------------------------- */

/* Whether a last segment that is not full has to wait for more data, or for
   acknowledgements. */
static enum hold
small_waits(const utcp_sock_t *s)
{
	if (s->push || fin_waits(s))
		return HOLD_NOT;
	if (OPT(s, CORK) || s->write_more)
		return HOLD_CORK;
	/* Nagle (RFC 9293 section 3.7.4), as Minshall amended it: only while
	   another small one is out. */
	if (!OPT(s, NODELAY) && seq_lt(s->snd_una, s->snd_sml) &&
	    seq_leq(s->snd_sml, s->snd_nxt))
		return HOLD_NAGLE;
	return HOLD_NOT;
}

/* Of the unsent bytes, those before a record ends. */
static inline uint32_t
run_of(utcp_sock_t *s, uint32_t unsent)
{
	return LIKELY(!s->busy->eor) ? unsent : utcp__snd_record(s, unsent);
}

/* Data of the next packet; 0: *why tells, HOLD_NOT: only the FIN is left. */
static uint32_t
new_bytes(utcp_sock_t *s, const struct utcp__out *o, uint32_t unsent,
	  uint32_t full, enum hold *why)
{
	uint32_t wnd = window_from(s, s->snd_nxt), room = utcp__cwnd_room(s);
	uint32_t run = run_of(s, unsent);
	uint32_t n = MIN(run, utcp__burst_bytes(s, o, full));
	uint32_t least = MIN(run, full);

	*why = HOLD_NOT;
	if (wnd < MAX(least, 1u)) {
		*why = HOLD_WND;
		return 0;
	}
	if (room < least) {
		/* A congestion control that leaves less than a segment must
		   not stop the connection. */
		if (s->out_bytes) {
			*why = HOLD_CWND;
			return 0;
		}
		room = least;
	}
	room = MIN(room, wnd);
	if (n > room)
		n = room - room % full;
	if (n == unsent && n % full) {
		*why = small_waits(s);
		if (*why != HOLD_NOT)
			n -= n % full;
	}
	return n;
}

static void
fin_left(utcp_sock_t *s)
{
	s->fin_sent = true;
	if (s->state == UTCP_ESTABLISHED)
		utcp__set_state(s, UTCP_FIN_WAIT_1);
	else if (s->state == UTCP_CLOSE_WAIT)
		utcp__set_state(s, UTCP_LAST_ACK);
}

/* Sends n bytes of new data, with the FIN if its turn has come. */
static int
send_data(utcp_sock_t *s, struct utcp__out *o, uint32_t n, uint32_t full,
	  uint16_t mark)
{
	uint64_t end_ofs = utcp__ofs_of(s, s->snd_nxt) + n;
	bool last = end_ofs == s->end_ofs;
	struct utcp__seg_out out = {
		.seq = s->snd_nxt,
		.len = n,
		.flags = TH_ACK,
		.gso_size = n > full ? (uint16_t)full : 0,
		.fresh = true,
		.mark = mark,
		/* Not on window probes: RFC 3168 section 6.1.6. */
		.ect = n && (s->negotiated & UTCP_GOT_ECN) && !s->probe_owed,
	};
	int err;

	if (s->persist)
		utcp__persist_stop(s);
	if (!s->out_bytes) {
		if (n && s->u->now_ns - s->last_snd_ns > s->rto_ns)
			utcp__idle_restart(s);
		if (!s->bytes_sent)
			s->snd_sml = s->snd_una;
		s->busy->progress_ns = s->u->now_ns;
	}
	/* With what was written last, a record's end (RFC 9293 section 3.9.1.2),
	   and on several segments at once, which the receiver need not hold for
	   more to join. */
	if (out.gso_size ||
	    (n && (last || (UNLIKELY(s->busy->eor != NULL) &&
			    s->busy->eor->next->ofs == end_ofs))))
		out.flags |= TH_PSH;
	if (last && fin_waits(s) && window_from(s, s->snd_nxt) > n) {
		out.flags |= TH_FIN;
		out.mark |= SEG_FIN;
	}
	/* RFC 3168 section 6.1.2: on the first new data after the window was
	   reduced. */
	if (s->cwr_owed && out.ect)
		out.flags |= TH_CWR;
	err = utcp__segment(s, o, &out);
	if (err < 0)
		return err;
	if (full != s->mss)
		CONTAINER(s->busy->segs.prev, struct utcp__seg, link)->unit =
		    (uint16_t)full;
	if (out.flags & TH_CWR)
		s->cwr_owed = false;
	if (out.flags & TH_FIN)
		fin_left(s);
	if (n % full)
		s->snd_sml = s->snd_nxt;
	if (n) {
		s->bytes_sent += n;
		COUNT_N(s->u, OUT_SEGS, (n + full - 1) / full);
		utcp__pace_sent(s, n);
	}
	return 0;
}

/* A probe for a larger path MTU, if one is due and all of it may go. */
static enum hold
send_mtu_probe(utcp_sock_t *s, struct utcp__out *o)
{
	uint32_t n, seq;
	int err;

	/* It has the size it was made for only without SACK blocks. */
	if (utcp__opts_now(s) != utcp__opt_fixed(s))
		return HOLD_NOT;
	n = utcp__mtu_probe(s);
	if (n == UTCP__PROBE_WAITS)
		return HOLD_CWND;
	if (!n)
		return HOLD_NOT;
	seq = s->snd_nxt;
	err = send_data(s, o, n, n, SEG_PROBE);
	if (err < 0)
		return hold_of(err);
	s->pmtu_probing = true;
	s->probe_seq = seq;
	return HOLD_NOT;
}

static enum hold
send_new(utcp_sock_t *s, struct utcp__out *o)
{
	uint32_t turn = 0, unsent, full, n;
	enum hold why;
	int err;

	for (;;) {
		unsent = utcp__snd_unsent(s);
		if (!unsent && !fin_waits(s))
			return HOLD_NOT;
		if (turn >= TURN_BYTES)
			return HOLD_TURN;
		if (utcp__pace_blocked(s))
			return HOLD_PACE;
		if (!turn && unsent > s->mss && OPT(s, PMTUD) &&
		    !s->busy->eor) {
			why = send_mtu_probe(s, o);
			if (why != HOLD_NOT)
				return why;
			unsent = utcp__snd_unsent(s);
		}
		full = segment_bytes(s);
		n = new_bytes(s, o, unsent, full, &why);
		if (!n && (unsent || why != HOLD_NOT))
			return why;
		err = send_data(s, o, n, full, 0);
		if (err < 0)
			return hold_of(err);
		turn += n + 1;
	}
}

/* Of RFC 8985 section 7.3: something at the tail, to have its fate told. The
   congestion window does not count. */
static enum hold
send_tail_probe(utcp_sock_t *s, struct utcp__out *o)
{
	uint32_t full = segment_bytes(s), n;
	struct utcp__seg *seg;
	int err = 0;

	/* Recovery has begun since: it probes enough. */
	if (!s->out_bytes || s->recovery >= REC_FAST) {
		s->tlp_owed = false;
		return HOLD_NOT;
	}
	seg = utcp__tlp_pick(s);
	if (seg) {
		if (seg->len > full) {
			n = (seg->len - 1) / full * full;
			if (utcp__seg_split(s, seg, n) < 0)
				return HOLD_NOMEM;
			seg = CONTAINER(seg->link.next, struct utcp__seg, link);
		}
		err = resend(s, o, seg);
		if (err == 0)
			utcp__tlp_sent(s, true);
	} else {
		n = MIN(MIN(run_of(s, utcp__snd_unsent(s)), full),
			window_from(s, s->snd_nxt));
		if (n)
			err = send_data(s, o, n, full, 0);
		if (n && err == 0)
			utcp__tlp_sent(s, false);
	}
	if (err < 0)
		return hold_of(err);
	s->tlp_owed = false;
	utcp__rto_restart(s);
	return HOLD_NOT;
}

/* Keepalive, or a look whether the window is open: a segment of old data,
   which the peer has to answer (RFC 9293 section 3.10.7.4). A window that is
   open, but small, is used in the end (section 3.8.6.2.1, rule 4). */
static enum hold
send_probe(utcp_sock_t *s, struct utcp__out *o)
{
	uint32_t full = segment_bytes(s), n = 0;
	int err;

	if (s->persist)
		n = MIN(MIN(run_of(s, utcp__snd_unsent(s)), full),
			window_from(s, s->snd_nxt));
	if (n) {
		err = send_data(s, o, n, full, 0);
	} else {
		err = send_bare(s, o, s->snd_una - 1);
	}
	if (err < 0)
		return hold_of(err);
	s->probe_owed = false;
	return HOLD_NOT;
}

/* ---- afterwards -------------------------------------------------------- */

/* What the congestion control is to know: was it the window that held us? */
static void
note_limits(utcp_sock_t *s, enum hold why, uint64_t sent_before)
{
	uint32_t room;

	if (why == HOLD_CWND) {
		s->cwnd_limited = true;
		return;
	}
	if (s->bytes_sent == sent_before && s->app_limited)
		return;
	room = utcp__cwnd_room(s);
	if ((why == HOLD_NOT || why == HOLD_NAGLE || why == HOLD_CORK) &&
	    room >= s->mss)
		utcp__rate_app_limited(s);
}

/* And what utcp_info is to tell. */
static void
note_times(utcp_sock_t *s, enum hold why, bool waits)
{
	enum utcp__limit limit = LIMIT_NET;

	if (!waits && !s->out_bytes)
		limit = LIMIT_NONE;
	else if (why == HOLD_WND)
		limit = LIMIT_RWND;
	else if (why == HOLD_NOT && !s->cwnd_limited &&
		 s->end_ofs - s->una_ofs >= s->sndbuf)
		limit = LIMIT_SNDBUF;
	utcp__limit_is(s, limit);
}

/* Sees to it that a timer runs for whatever waits. */
static void
settle(utcp_sock_t *s, enum hold why)
{
	bool waits = utcp__snd_unsent(s) || fin_waits(s);

	note_times(s, why, waits);
	if (s->out_bytes) {
		if (s->persist)
			utcp__persist_stop(s);
		if (s->due[UTCP__TM_REXMT] == UTCP_NEVER)
			utcp__rto_restart(s);
	} else if (waits && why == HOLD_WND) {
		utcp__persist_start(s);
	} else if (s->persist) {
		utcp__persist_stop(s);
	}
	if (why == HOLD_CORK && s->due[UTCP__TM_CORK] == UTCP_NEVER)
		utcp__tm_set(s, UTCP__TM_CORK, s->u->now_ns + CORK_NS);
	if (why == HOLD_NOMEM)
		utcp__tm_set(s, UTCP__TM_PACE, s->u->now_ns + NOMEM_RETRY_NS);
	if (why == HOLD_NOT) {
		s->push = false;
		utcp__tm_clear(s, UTCP__TM_CORK);
	}
	/* The watchdog: nobody waits for nothing. */
	UTCP_ASSERT(!s->out_bytes || s->due[UTCP__TM_REXMT] != UTCP_NEVER);
	UTCP_ASSERT(s->out_bytes || !waits || s->state < UTCP_ESTABLISHED ||
		    s->due[UTCP__TM_REXMT] != UTCP_NEVER ||
		    s->due[UTCP__TM_PACE] != UTCP_NEVER ||
		    s->due[UTCP__TM_CORK] != UTCP_NEVER);
}

/* Whether F-RTO waits for new data, to see what its ACK says, and none could be
   sent: RFC 5682 section 2.1, step 2b, which has to become 2a then. */
static bool
frto_in_vain(const utcp_sock_t *s, enum hold why)
{
	return s->frto_new && !seq_lt(s->high_seq, s->snd_nxt) &&
	       why != HOLD_PACE && why != HOLD_FULL && why != HOLD_NOMEM;
}

/* Data, from the most urgent on. */
static enum hold
send_all(utcp_sock_t *s, struct utcp__out *o)
{
	enum hold why = HOLD_NOT;

	if (s->lost_bytes)
		why = send_lost(s, o);
	if (why == HOLD_NOT && s->tlp_owed)
		why = send_tail_probe(s, o);
	if (why == HOLD_NOT)
		why = send_new(s, o);
	if (UNLIKELY(frto_in_vain(s, why))) {
		s->frto = s->frto_new = false;
		why = send_lost(s, o);
		if (why == HOLD_NOT)
			why = send_new(s, o);
	}
	return why;
}

bool
utcp__tcp_output(utcp_sock_t *s, struct utcp__out *o)
{
	uint64_t sent = s->bytes_sent;
	enum hold why = HOLD_NOT, more;

	if (s->dead)
		return false;
	if (s->state == UTCP_CLOSED || s->state == UTCP_LISTEN)
		return false;
	if (UNLIKELY(s->ext != NULL) && s->ext->doom)
		return false;
	if (utcp__syn_unacked(s))
		why = send_syn(s, o);
	else if (UNLIKELY(s->ext != NULL) && s->ext->ack_first)
		why = send_ack_first(s, o);
	if (why == HOLD_NOT) {
		why = send_all(s, o);
		if (why != HOLD_FULL)
			note_limits(s, why, sent);
	}
	more = why;
	if (more != HOLD_FULL && s->state != UTCP_SYN_SENT) {
		if (s->probe_owed)
			more = send_probe(s, o);
		if (more != HOLD_FULL && s->ack_now && s->snd_nxt != s->iss &&
		    send_bare(s, o, bare_seq(s)) < 0)
			more = HOLD_FULL;
	}
	if (UNLIKELY(s->ext != NULL) && s->ext->doom)
		return false; /* a hook said so meanwhile */
	if (more == HOLD_FULL || why == HOLD_TURN)
		return true;
	settle(s, why);
	return false;
}
