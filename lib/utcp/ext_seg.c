/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_seg.c: extensions and segments: options and bits of their own, both ways,
 * what was acknowledged, timers.
 */
#include "ext.h"
#include "tcp_loss.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define OPTS_MAX 40
#define OPT_EOL 0
#define OPT_NOP 1
#define LEAST_DATA 8u /* in a segment, whatever options are wanted */
#define SACK_ONE 12u  /* bytes of one SACK block, padded */
#define ECN_FLAGS (TH_AE | TH_CWR | TH_ECE)

/* ---- it came ----------------------------------------------------------- */

/* Behind kind, length and ExID of an option of n bytes at p, if it is this one;
   NULL. */
static const uint8_t *
content(const utcp_ext_option_t *o, const uint8_t *p, uint32_t n)
{
	uint32_t exid;

	if (p[0] != o->kind || n < 2u + o->exid_bytes)
		return NULL;
	if (o->exid_bytes) {
		exid = o->exid_bytes == 2 ? get16(p + 2) : get32(p + 2);
		if (exid != o->exid)
			return NULL;
	}
	return p + 2 + o->exid_bytes;
}

static void
take_option(const struct utcp__ext *e, utcp_ext_in_t *in, const uint8_t *p,
	    uint32_t n)
{
	const utcp_ext_ops_t *ops = &e->mod->ops;
	const uint8_t *data;

	for (unsigned int i = 0;
	     i < ops->num_options && in->num_opts < UTCP_EXT_OPTS_MAX; i++) {
		data = content(&ops->options[i], p, n);
		if (!data)
			continue;
		in->opts[in->num_opts].data = data;
		in->opts[in->num_opts].len = (uint8_t)(p + n - data);
		in->opts[in->num_opts++].which = (uint8_t)i;
		return;
	}
}

/* Those of e's among the options at p. */
static void
find_options(const struct utcp__ext *e, utcp_ext_in_t *in, const uint8_t *p,
	     uint32_t len)
{
	in->num_opts = 0;
	while (len > 0 && p[0] != OPT_EOL) {
		uint32_t n = 1;

		if (p[0] != OPT_NOP) {
			if (len < 2 || p[1] < 2 || p[1] > len)
				return;
			n = p[1];
			take_option(e, in, p, n);
		}
		p += n;
		len -= n;
	}
}

/* The header as it was sent: what the stack made of it meanwhile is not the
   extensions' affair. Returns bytes of options, copied to opts. */
static uint32_t
fill_in(utcp_ext_in_t *to, const struct utcp__exts *x,
	const struct utcp__seg_in *seg, uint8_t opts[OPTS_MAX])
{
	const struct utcp__in *in = seg->in;
	uint32_t got = (uint32_t)MIN(in->part[0].len, 20u + OPTS_MAX), hlen;
	uint32_t gso = in->gso_size;
	uint8_t h[20 + OPTS_MAX];

	memset(to, 0, sizeof(*to));
	memcpy(h, in->l4, got);
	hlen = MIN((uint32_t)(h[12] >> 4) * 4, got);
	hlen = MAX(hlen, 20u);
	memcpy(opts, h + 20, hlen - 20);
	to->seq = get32(h + 4);
	to->ack = get32(h + 8);
	to->flags = (uint16_t)(get16(h + 12) & 0x1ff);
	to->wnd = get16(h + 14);
	to->ecn = in->tos & 3;
	to->len = in->l4_bytes > hlen ? in->l4_bytes - hlen : 0;
	to->segs = 1;
	if (gso && to->len > gso)
		to->segs = (uint16_t)((to->len + gso - 1) / gso);
	if (to->flags & TH_SYN)
		return hlen - 20;
	if (x->s) /* the FIN counts in rcv_nxt */
		to->ofs = x->s->bytes_received +
			  (uint64_t)(int64_t)(int32_t)(to->seq -
						       (x->s->rcv_nxt -
							x->s->fin_seen));
	else
		to->ofs = to->seq - (x->irs + 1);
	return hlen - 20;
}

bool
utcp__ext_in(struct utcp__exts *x, const struct utcp__seg_in *seg)
{
	uint8_t opts[OPTS_MAX];
	utcp_ext_in_t in;
	uint32_t len;
	bool taken = true;
	int r;

	if (x->seen) {
		x->seen = false;
		return true;
	}
	/* What came before it goes first. */
	if (x->s && utcp__ext_raw(x->s))
		utcp__ext_pump_in(x->s);
	len = fill_in(&in, x, seg, opts);
	for (struct utcp__ext *e = x->first; e; e = e->next) {
		if (!e->mod->ops.in || !utcp__ext_lives(e))
			continue;
		find_options(e, &in, opts, len);
		r = e->mod->ops.in(&e->pub, &in);
		if (r == UTCP_EXT_DROP)
			taken = false;
		else
			(void)utcp__ext_took(e, r);
	}
	if (!taken || x->doom)
		COUNT(x->u, DROP_EXT);
	return taken && !x->doom;
}

/* ---- it leaves --------------------------------------------------------- */

void *
utcp_ext_put(utcp_ext_out_t *seg, unsigned int which, unsigned int len)
{
	const utcp_ext_ops_t *ops;
	const utcp_ext_option_t *o;
	uint32_t head;
	uint8_t *p;

	if (!seg || !seg->ops_)
		return NULL;
	ops = seg->ops_;
	if (which >= ops->num_options)
		return NULL;
	o = &ops->options[which];
	head = 2u + o->exid_bytes;
	if (len > seg->room || head + len > seg->room)
		return NULL;
	p = seg->at_;
	seg->at_ += head + len;
	seg->room -= head + len;
	p[0] = o->kind;
	p[1] = (uint8_t)(head + len);
	if (o->exid_bytes == 2)
		put16(p + 2, o->exid);
	else if (o->exid_bytes == 4)
		put32(p + 2, o->exid);
	memset(p + head, 0, len);
	return p + head;
}

/* One extension's turn. What it left in `out` is checked against what we know:
   bits that are not its own stay what they were. */
static void
out_of(struct utcp__ext *e, struct utcp__ext_way *way, uint8_t **at,
       uint8_t *end)
{
	utcp_ext_out_t out = {
		.flags = way->flags,
		.ecn = way->ecn,
		.again = way->again,
		.segs = way->segs,
		.probe = way->probe,
		.seq = way->seq,
		.ack = way->ack,
		.ofs = way->ofs,
		.len = way->len,
		.room = (uint32_t)(end - *at),
		.at_ = *at,
		.ops_ = &e->mod->ops,
	};

	if (!utcp__ext_took(e, e->mod->ops.out(&e->pub, &out)))
		return;
	if (out.at_ < *at || out.at_ > end || out.ecn > 3) {
		utcp__ext_fault(e);
		return;
	}
	*at = out.at_;
	way->ecn = out.ecn;
	way->flags = (uint16_t)((way->flags & ~ECN_FLAGS) |
				(out.flags & ECN_FLAGS));
}

uint32_t
utcp__ext_out(struct utcp__exts *x, struct utcp__ext_way *way, uint8_t *to,
	      uint32_t room)
{
	uint8_t *at = to;

	for (struct utcp__ext *e = x->first; e; e = e->next)
		if (e->mod->ops.out && utcp__ext_lives(e))
			out_of(e, way, &at, to + room);
	if (x->doom)
		return 0;
	while ((at - to) & 3)
		*at++ = OPT_NOP;
	return (uint32_t)(at - to);
}

uint32_t
utcp__ext_room_of(const utcp_sock_t *s)
{
	uint32_t room = OPTS_MAX - utcp__opt_bytes(s);

	room = MIN(room, (uint32_t)s->ext->want);
	return s->mss >= room + LEAST_DATA ? room : 0;
}

bool
utcp__ext_synack(const struct utcp__synack *a, struct utcp__bare *synack,
		 uint8_t more[40])
{
	struct utcp__ext_way way = {
		.seq = a->iss,
		.ack = a->irs + 1,
		.segs = 1,
		.again = a->again,
		.flags = synack->flags,
	};
	uint32_t used = utcp__tcp_options(more, &a->opts);

	if (a->ext->ecn == 1 + UTCP_EXT_ECN_RFC3168)
		way.flags |= a->again ? 0 : TH_ECE;
	else if (a->ext->ecn != 0)
		way.flags &= (uint16_t)~TH_ECE;
	synack->more_bytes = utcp__ext_out(a->ext, &way, more, 40 - used);
	synack->more = more;
	synack->flags = way.flags;
	synack->tos |= way.ecn;
	return a->ext->doom == 0;
}

/* ---- it was acknowledged ----------------------------------------------- */

uint32_t
utcp__ext_ack(utcp_sock_t *s, const struct utcp__ackwork *w, bool has_data)
{
	struct utcp__exts *x = s->ext;
	uint32_t most = MAX(w->delivered, (uint32_t)s->mss), ce = 0;

	for (struct utcp__ext *e = x->first; e; e = e->next) {
		utcp_ext_ack_t ack = {
			.acked = w->acked,
			.delivered = w->delivered,
			.segs = w->segs,
			.inflight = w->prior_inflight,
			.has_data = has_data,
		};

		if (!e->mod->ops.ack || !utcp__ext_lives(e))
			continue;
		e->mod->ops.ack(&e->pub, &ack);
		if (x->ecn_of == e && s->negotiated & UTCP_GOT_EXT_ECN)
			ce = MIN(ack.ce, most);
	}
	return ce;
}

/* ---- time -------------------------------------------------------------- */

void
utcp__ext_timers(utcp_sock_t *s)
{
	struct utcp__exts *x = s->ext;
	uint64_t now = s->u->now_ns, next = UTCP_NEVER;

	for (struct utcp__ext *e = x->first; e; e = e->next) {
		if (e->due_ns <= now) {
			e->due_ns = UTCP_NEVER;
			if (e->mod->ops.timer && utcp__ext_lives(e))
				(void)utcp__ext_took(
				    e, e->mod->ops.timer(&e->pub));
		}
		if (!e->left)
			next = MIN(next, e->due_ns);
	}
	utcp__tm_set(s, UTCP__TM_EXT, next);
}
