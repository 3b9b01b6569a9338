/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.c: looks at each segment that a stack sends, with what had come to it
 * until then, and fails at what no TCP may do.
 */
#include "sim.h"

#define BUCKETS 4096

/* One direction of a connection. */
struct flow {
	struct flow *next;
	uint8_t from, to, family;
	uint16_t sport, dport;
	/* what its sender has sent */
	bool syn_sent, fin_sent, rst_sent, ts, sack_ok;
	bool cookie;	       /* SYN-ACKs differed: no state, no checks */
	uint32_t iss, snd_max; /* the most that was sent */
	uint32_t fin_seq;      /* where its FIN stands */
	uint64_t id;	       /* of the pattern */
	uint64_t high;	       /* snd_max - iss in 64 bits */
	uint32_t last_ack, last_edge; /* of segments that it sent */
	bool acked;
	uint8_t wscale; /* that it offered */
	bool wscale_ok; /* on its SYN */
	uint16_t mss;	/* that it asked for; 0: none */
	uint32_t ts_val;
	/* what has come to the other end */
	bool arrived;
	uint32_t rcv_max;   /* end of data that came */
	uint32_t edge, una; /* right edge and ACK that came */
	bool edge_known;
	uint32_t ts_max;
};

struct wire {
	struct flow *buckets[BUCKETS];
	uint64_t segs;
};

struct wire *
wire_new(void)
{
	return calloc(1, sizeof(struct wire));
}

void
wire_free(struct wire *x)
{
	struct flow *f;
	unsigned int i;

	for (i = 0; x != NULL && i < BUCKETS; i++)
		while ((f = x->buckets[i]) != NULL) {
			x->buckets[i] = f->next;
			free(f);
		}
	free(x);
}

static struct flow *
flow(struct wire *x, uint8_t family, uint8_t from, uint8_t to, uint16_t sport,
     uint16_t dport)
{
	uint32_t i = (from * 31u + to * 17u + sport * 2654435761u +
		      dport * 40503u + family) %
		     BUCKETS;
	struct flow *f;

	for (f = x->buckets[i]; f != NULL; f = f->next)
		if (f->from == from && f->to == to && f->sport == sport &&
		    f->dport == dport && f->family == family)
			return f;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		abort();
	f->next = x->buckets[i];
	x->buckets[i] = f;
	f->from = from;
	f->to = to;
	f->family = family;
	f->sport = sport;
	f->dport = dport;
	return f;
}

struct seen {
	const uint8_t *th, *data;
	uint32_t seq, ack, win, len, end; /* end with SYN and FIN */
	uint8_t flags;
	bool ts, sack_ok, wscale_is;
	uint32_t ts_val, ts_ecr;
	uint8_t wscale, num_sacks;
	uint16_t mss;
	struct utcp__sackblk sacks[4];
};

static bool
options(struct seen *s, const uint8_t *o, const uint8_t *end)
{
	unsigned int i;

	while (o < end && *o != 0) {
		if (*o == 1) {
			o++;
			continue;
		}
		if (end - o < 2 || o[1] < 2 || o[1] > end - o)
			return false;
		if (o[0] == 2 && o[1] == 4) {
			s->mss = get16(o + 2);
		} else if (o[0] == 3 && o[1] == 3) {
			s->wscale_is = true;
			s->wscale = o[2];
		} else if (o[0] == 4) {
			s->sack_ok = true;
		} else if (o[0] == 5) {
			for (i = 2; i + 8 <= o[1] && s->num_sacks < 4; i += 8) {
				s->sacks[s->num_sacks].start = get32(o + i);
				s->sacks[s->num_sacks++].end = get32(o + i + 4);
			}
		} else if (o[0] == 8 && o[1] == 10) {
			s->ts = true;
			s->ts_val = get32(o + 2);
			s->ts_ecr = get32(o + 6);
		}
		o += o[1];
	}
	return true;
}

/* False: no TCP, or (broken) not whole. */
static bool
see(struct seen *s, const uint8_t *pkt, uint32_t len, bool *broken)
{
	uint32_t l3 = pkt[0] >> 4 == 4 ? 20 : 40, off;

	*broken = false;
	if (pkt[l3 == 20 ? 9 : 6] != 6)
		return false;
	*broken = true;
	if (len < l3 + 20 || (l3 == 20 ? pkt[0] != 0x45 : pkt[0] >> 4 != 6) ||
	    (l3 == 20 ? get16(pkt + 2) : get16(pkt + 4) + 40u) != len)
		return false;
	memset(s, 0, sizeof(*s));
	s->th = pkt + l3;
	off = (uint32_t)(s->th[12] >> 4) * 4;
	if (off < 20 || l3 + off > len || !options(s, s->th + 20, s->th + off))
		return false;
	*broken = false;
	s->seq = get32(s->th + 4);
	s->ack = get32(s->th + 8);
	s->flags = s->th[13];
	s->win = get16(s->th + 14);
	s->data = s->th + off;
	s->len = len - l3 - off;
	s->end = s->seq + s->len + ((s->flags & TH_SYN) != 0) +
		 ((s->flags & TH_FIN) != 0);
	return true;
}

static void
flows_of(struct wire *x, const uint8_t *pkt, const struct seen *s,
	 struct flow **f, struct flow **back)
{
	uint8_t family = pkt[0] >> 4;
	uint8_t from = family == 4 ? pkt[15] : pkt[23];
	uint8_t to = family == 4 ? pkt[19] : pkt[39];
	uint16_t sport = get16(s->th), dport = get16(s->th + 2);

	*f = flow(x, family, from, to, sport, dport);
	*back = flow(x, family, to, from, dport, sport);
}

static void __attribute__((noreturn))
bad(struct sim *w, const struct flow *f, const struct seen *s, const char *what)
{
	sim_fail(w,
		 "10.0.0.%u:%u to 10.0.0.%u:%u sent flags 0x%02x seq +%u len "
		 "%u ack 0x%08x win %u: %s (snd_max +%u una +%u edge +%u)",
		 f->from, f->sport, f->to, f->dport, s->flags, s->seq - f->iss,
		 s->len, s->ack, s->win, what, f->snd_max - f->iss,
		 f->una - f->iss, f->edge - f->iss);
}

/* As conn_id of app.c. */
static uint64_t
flow_id(uint8_t from, uint8_t to, uint8_t family, uint16_t sport,
	uint16_t dport)
{
	return (uint64_t)from << 48 | (uint64_t)to << 40 |
	       (uint64_t)family << 32 | (uint64_t)sport << 16 | dport;
}

/* A SYN: a new incarnation, unless it is the old one's again. */
static void
out_syn(struct sim *w, struct flow *f, struct flow *back, const struct seen *s)
{
	struct flow *keep = f->next;
	uint8_t from = f->from, to = f->to, family = f->family;
	uint16_t sport = f->sport, dport = f->dport;
	bool cookie = false;

	if (f->syn_sent && f->iss == s->seq && !f->fin_sent && !f->rst_sent)
		return;
	if ((s->flags & TH_ACK) != 0)
		cookie = f->syn_sent;
	else
		back->cookie = false;
	memset(f, 0, sizeof(*f));
	f->next = keep;
	f->from = from;
	f->to = to;
	f->family = family;
	f->sport = sport;
	f->dport = dport;
	f->cookie = cookie;
	f->syn_sent = true;
	f->iss = s->seq;
	f->snd_max = s->seq + 1;
	f->mss = s->mss;
	f->ts = s->ts;
	f->ts_val = s->ts_val;
	f->sack_ok = s->sack_ok;
	f->wscale_ok = s->wscale_is;
	f->wscale = s->wscale;
	if (s->wscale_is && s->wscale > 14)
		bad(w, f, s, "window scale over 14");
	if (from < to)
		f->id = flow_id(from, to, family, sport, dport);
	else
		f->id = flow_id(to, from, family, dport, sport);
	if ((s->flags & TH_ACK) == 0)
		return;
	if (s->wscale_is && !back->wscale_ok)
		bad(w, f, s, "window scale that was not asked for");
	if (s->sack_ok && !back->sack_ok)
		bad(w, f, s, "SACK that was not asked for");
	if (s->ts && !back->ts)
		bad(w, f, s, "timestamps that were not asked for");
}

static void
out_data(struct sim *w, struct flow *f, struct flow *back, const struct seen *s)
{
	uint64_t ofs = f->high -
		       (f->snd_max - (s->seq + ((s->flags & TH_SYN) != 0)));
	uint32_t mss = back->mss != 0 ? back->mss : f->family == 4 ? 536 : 1220;

	if (back->arrived && s->len > mss)
		bad(w, f, s, "more than the peer's MSS");
	if (f->fin_sent && seq_lt(f->fin_seq, s->seq + s->len))
		bad(w, f, s, "data after the FIN");
	if (f->edge_known && (s->flags & TH_SYN) == 0 &&
	    seq_lt(f->edge, s->seq + s->len) && s->len > 1)
		bad(w, f, s, "data beyond the window offered");
	if (!w->veiled &&
	    !pattern_is(f->id, f->from < f->to, ofs, s->data, s->len))
		bad(w, f, s, "data that is not the stream's");
}

static void
out_ack(struct sim *w, struct flow *f, struct flow *back, const struct seen *s)
{
	uint32_t edge, i;

	if (!back->arrived)
		bad(w, f, s, "an ACK of nothing");
	if (seq_lt(back->rcv_max, s->ack))
		bad(w, f, s, "an ACK of what has not come");
	if (f->acked && seq_lt(s->ack, f->last_ack))
		bad(w, f, s, "an ACK that goes back");
	edge = s->ack + (s->win << ((s->flags & TH_SYN) == 0 && f->wscale_ok &&
					    back->wscale_ok
					? f->wscale
					: 0));
	/* RFC 7323 section 2.4: within the rounding of the scale */
	if (f->acked && (s->flags & TH_SYN) == 0 &&
	    seq_lt(edge + (1u << f->wscale), f->last_edge))
		bad(w, f, s, "the window's right edge goes back");
	if (!f->acked || seq_lt(f->last_edge, edge))
		f->last_edge = edge;
	f->acked = true;
	f->last_ack = s->ack;
	if (s->num_sacks > 0 && !(f->sack_ok && back->sack_ok))
		bad(w, f, s, "SACK blocks without SACK");
	for (i = 0; i < s->num_sacks; i++) {
		if (!seq_lt(s->sacks[i].start, s->sacks[i].end) ||
		    seq_lt(back->rcv_max, s->sacks[i].end))
			bad(w, f, s, "a SACK of what has not come");
		if (i > 0 && seq_lt(s->sacks[i].start, s->ack))
			bad(w, f, s, "a SACK below the ACK, not as DSACK");
	}
}

void
wire_out(struct sim *w, struct node *n, const uint8_t *pkt, uint32_t len)
{
	struct flow *f, *back;
	struct seen s;
	bool broken;

	(void)n;
	if (!see(&s, pkt, len, &broken)) {
		if (broken)
			sim_fail(w, "10.0.0.%u sent a malformed segment",
				 n->nr);
		return;
	}
	w->wire->segs++;
	flows_of(w->wire, pkt, &s, &f, &back);
	if ((s.flags & TH_RST) != 0) {
		f->rst_sent = true;
		return;
	}
	if ((s.flags & TH_SYN) != 0)
		out_syn(w, f, back, &s);
	if (f->cookie || back->cookie)
		return;
	if ((s.flags & TH_ACK) != 0)
		out_ack(w, f, back, &s);
	else if ((s.flags & TH_SYN) == 0)
		bad(w, f, &s, "neither SYN nor RST nor ACK");
	if (f->syn_sent && seq_lt(f->snd_max, s.seq))
		bad(w, f, &s, "a gap in what is sent");
	if (f->ts && back->ts && back->arrived) {
		if (!s.ts)
			bad(w, f, &s, "no timestamp (RFC 7323 section 3.2)");
		if (seq_lt(s.ts_val, f->ts_val))
			bad(w, f, &s, "a timestamp that goes back");
		f->ts_val = s.ts_val;
	}
	if (s.len > 0)
		out_data(w, f, back, &s);
	if ((s.flags & TH_FIN) != 0) {
		if (f->fin_sent && f->fin_seq != s.seq + s.len)
			bad(w, f, &s, "a FIN in another place");
		f->fin_sent = true;
		f->fin_seq = s.seq + s.len;
	}
	if (seq_lt(f->snd_max, s.end)) {
		f->high += s.end - f->snd_max;
		f->snd_max = s.end;
	}
}

/* Whether seq is one that this incarnation of the flow has sent, or may have
   long ago. */
static bool
was_sent(const struct flow *f, uint32_t seq)
{
	return f->syn_sent && seq_leq(seq, f->snd_max) &&
	       (f->high > INT32_MAX || seq_leq(f->iss, seq));
}

void
wire_in(struct sim *w, struct node *n, const struct packet *p)
{
	struct flow *f, *back;
	uint32_t edge;
	struct seen s;
	bool broken;

	(void)n;
	if (p->corrupt || !see(&s, p->data, p->len, &broken))
		return;
	flows_of(w->wire, p->data, &s, &f, &back);
	/* of another incarnation */
	if ((s.flags & TH_RST) != 0 || !was_sent(f, s.end) ||
	    ((s.flags & TH_ACK) != 0 && !was_sent(back, s.ack)))
		return;
	if (!f->arrived || seq_lt(f->rcv_max, s.end)) {
		f->arrived = true;
		f->rcv_max = s.end;
	}
	if ((s.flags & TH_ACK) == 0)
		return;
	edge = s.ack + (s.win << ((s.flags & TH_SYN) == 0 && f->wscale_ok &&
					  back->wscale_ok
				      ? f->wscale
				      : 0));
	if (!back->edge_known || seq_lt(back->edge, edge))
		back->edge = edge;
	if (!back->edge_known || seq_lt(back->una, s.ack))
		back->una = s.ack;
	back->edge_known = true;
}
