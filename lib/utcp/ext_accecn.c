/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_accecn.c: accurate ECN feedback (AccECN, RFC 9768), as the extension
 * "accecn". What fields mean is accecn.c's; here is when they come and leave.
 *
 * Our SYNs, SYN-ACKs and ACKs are not ECN-capable, and data that is sent again is
 * not (RFC 3168): what leaves with ECT is new data.
 */
#include "accecn.h"
#include "cc.h"
#include "ext.h"

#define SACK_BYTES 20 /* two blocks, which go first (section 3.2.3.3) */
#define TS_BYTES 12
#define OPTS_MAX 40

struct accecn {
	struct utcp__accecn a;
	struct utcp__accecn_opt opt; /* of the segment that is being taken */
	uint64_t position;	     /* of what arrived, in bytes */
	uint32_t owed_ce;	     /* bytes, not yet told of */
	uint16_t flags;		     /* of that segment; */
	bool counts;		     /* its ACE is the counter */
	bool decided;		     /* mode is, by the first SYN or SYN-ACK */
	bool synack_ce;		     /* one came with CE: counted once */
	bool waiting;		     /* data came, and no segment left since */
	uint8_t mode;		     /* enum utcp__ecn */
	uint8_t syn_ip;		     /* ECN field of the last SYN */
};

void
utcp__accecn_follow(utcp_sock_t *s)
{
	const struct utcp__cc_mod *cc = s->opts->cc;

	if (OPT(s, ECN) == 0)
		(void)utcp_ext_remove(s, utcp__accecn_ops.name);
	else if (cc && cc->ops.flags & UTCP_CC_L4S)
		(void)utcp_ext_add(s, utcp__accecn_ops.name, NULL, 0);
}

/* ---- it came ----------------------------------------------------------- */

/* What the next segment needs, as far as it is known now. */
static void
want(utcp_ext_t *ext)
{
	const utcp_sock_t *s = ext->sock;
	struct accecn *x = ext->priv;
	uint32_t room = OPTS_MAX;
	unsigned int fields;

	if (!s || s->negotiated & UTCP_GOT_TIMESTAMPS)
		room -= TS_BYTES;
	if (s && (s->num_sacks || s->busy->dsack.start != s->busy->dsack.end))
		room -= SACK_BYTES;
	fields = utcp__accecn_fields(&x->a, room, true);
	utcp_ext_want(ext, fields ? utcp__accecn_bytes(fields) : 0);
	/* Of many segments, the device clears CWR on all but the first. */
	utcp_ext_gso(ext, !(x->a.r_cep << ACE_SHIFT & TH_CWR));
}

static int
decide(utcp_ext_t *ext, enum utcp__ecn mode)
{
	static const int modes[] = { [ECN_OFF] = UTCP_EXT_ECN_OFF,
				     [ECN_CLASSIC] = UTCP_EXT_ECN_RFC3168,
				     [ECN_ACCURATE] = UTCP_EXT_ECN_OWN };
	struct accecn *x = ext->priv;

	x->decided = true;
	x->mode = (uint8_t)mode;
	utcp__accecn_init(&x->a);
	return utcp_ext_ecn(ext, modes[mode]);
}

/* A SYN: of a client's, or one that crossed ours. */
static int
take_syn(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	enum utcp__ecn asked = utcp__accecn_asked(seg->flags);
	struct accecn *x = ext->priv;

	x->syn_ip = seg->ecn;
	if (!x->decided) {
		x->a.opt_owed = true;
		return decide(ext, asked);
	}
	/* Section 3.1.5: nobody can tell which of both would count. */
	if (asked + x->mode == ECN_CLASSIC + ECN_ACCURATE && asked != x->mode)
		return -ECONNRESET;
	if (asked == ECN_OFF)
		x->a.no_ect = true;
	return 0;
}

static int
take_synack(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct accecn *x = ext->priv;
	enum utcp__ecn mode;
	uint8_t ip;
	int err;

	if (!x->decided) {
		mode = utcp__accecn_answer(seg->flags, IP_NOT_ECT, &ip);
		err = decide(ext, mode);
		if (err || mode != ECN_ACCURATE)
			return err;
		/* Our SYN left as Not-ECT: something has changed that. */
		x->a.no_ect = ip != IP_NOT_ECT;
		utcp__accecn_judge(&x->a, &x->opt);
		x->a.opt_owed = x->a.data_owed = true;
	}
	if (x->mode != ECN_ACCURATE)
		return 0;
	/* Table 3, of each that comes; its ACK tells it. */
	x->a.echo = seg->ecn;
	x->a.echo_owed = true;
	if (seg->ecn == IP_CE && !x->synack_ce) {
		x->synack_ce = true;
		x->a.r_cep++;
	}
	want(ext);
	utcp_ext_ack_first(ext);
	return 0;
}

static int
accecn_in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct accecn *x = ext->priv;
	bool pure = !seg->len && !(seg->flags & TH_FIN);
	unsigned int i;

	x->counts = false;
	x->opt = (struct utcp__accecn_opt){ 0 };
	for (i = 0; i < seg->num_opts && !x->opt.have; i++)
		utcp__accecn_parse(&x->opt, seg->opts[i].data,
				   seg->opts[i].len);
	if (seg->flags & TH_SYN)
		return seg->flags & TH_ACK ? take_synack(ext, seg)
					   : take_syn(ext, seg);
	if (x->mode != ECN_ACCURATE)
		return 0;
	x->flags = seg->flags;
	x->counts = true;
	if (!(ext->flags & UTCP_EXT_OPEN)) {
		x->counts = !pure;
		utcp__accecn_third(&x->a, seg->flags, pure, IP_NOT_ECT);
		utcp__accecn_judge(&x->a, &x->opt);
	}
	x->waiting |= seg->len > 0;
	if (utcp__accecn_came(&x->a, seg->ecn, seg->len, seg->segs, x->waiting))
		utcp_ext_ack_now(ext);
	want(ext);
	return 0;
}

/* What its ACE field, and its option, say of what we sent. One that acknowledges
   nothing may be older than what is known (appendix A.1). */
static void
accecn_ack(utcp_ext_t *ext, utcp_ext_ack_t *ack)
{
	struct accecn *x = ext->priv;
	struct utcp__accecn_ack k;
	struct utcp__accecn_ce ce;

	if (!x->counts || (!ack->acked && !ack->delivered))
		return;
	x->counts = false;
	x->position += ack->delivered;
	k = (struct utcp__accecn_ack){
		.flags = x->flags,
		.delivered = ack->delivered,
		.mss = ext->sock->mss,
		.position = x->position,
		.end = x->position + ack->inflight - ack->delivered,
		.opt = x->opt,
	};
	ce = utcp__accecn_feedback(&x->a, &k);
	x->owed_ce += ce.bytes;
	ack->ce = MIN(x->owed_ce, MAX(ack->delivered, k.mss));
	x->owed_ce -= ack->ce;
}

/* ---- it leaves --------------------------------------------------------- */

static void
put_option(struct accecn *x, utcp_ext_out_t *seg)
{
	unsigned int fields = utcp__accecn_fields(&x->a, seg->room, seg->len);
	bool order1 = utcp__accecn_order1(&x->a);
	uint8_t *to;

	if (!fields)
		return;
	to = utcp_ext_put(seg, order1, 3 * fields);
	if (!to)
		return;
	utcp__accecn_write(&x->a, to, fields);
	if (seg->len)
		x->a.data_owed = false;
}

/* Sections 3.1.4.2, 3.2.3.2.2: without the option the second time, without
   flags from the third on. */
static void
leave_synack(struct accecn *x, utcp_ext_out_t *seg)
{
	if (x->mode != ECN_ACCURATE)
		return;
	seg->flags &= (uint16_t)~TH_ACE;
	if (seg->again >= 2) {
		x->a.no_ect = true;
		return;
	}
	seg->flags |= utcp__accecn_echo(x->syn_ip);
	x->a.opt_owed = seg->again == 0;
	put_option(x, seg);
	x->a.opt_owed = false;
}

static int
accecn_out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	struct accecn *x = ext->priv;
	bool pure;

	if (seg->flags & TH_SYN) {
		if (seg->flags & TH_ACK) {
			leave_synack(x, seg);
			return 0;
		}
		seg->flags &= (uint16_t)~TH_ACE;
		seg->flags |= utcp__accecn_syn(seg->again);
		return 0;
	}
	if (x->mode != ECN_ACCURATE)
		return 0;
	pure = !seg->len && !(seg->flags & TH_FIN) && !ext->sock->num_sacks;
	seg->flags &= (uint16_t)~TH_ACE;
	seg->flags |= utcp__accecn_flags(&x->a, pure);
	if (x->a.no_ect)
		seg->ecn = IP_NOT_ECT;
	put_option(x, seg);
	x->waiting = false;
	want(ext);
	return 0;
}

/* ---- the extension ----------------------------------------------------- */

static int
accecn_open(utcp_ext_t *ext)
{
	struct accecn *x = ext->priv;

	return x->mode == ECN_ACCURATE ? 0 : UTCP_EXT_LEAVE;
}

static const utcp_ext_option_t options[] = { { .kind = OPT_ACCECN0 },
					     { .kind = OPT_ACCECN1 } };

const utcp_ext_ops_t utcp__accecn_ops = {
	.size = sizeof(utcp_ext_ops_t),
	.name = "accecn",
	.priv_bytes = sizeof(struct accecn),
	.num_options = 2,
	.options = options,
	.open = accecn_open,
	.in = accecn_in,
	.out = accecn_out,
	.ack = accecn_ack,
};
