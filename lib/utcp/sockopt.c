/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockopt.c: options, and what is told about a connection.
 *
 * Sets of options are shared by all sockets that have the same, however they
 * came by it: a million connections on which NODELAY was set have two.
 */
#include "ext.h"
#include "tcp_output.h"

struct opt {
	const char *text;
	int64_t dflt, low, high;
};

static const struct opt opts[] = {
#define OPT_ROW(NAME, meaning, dflt, low, high) { meaning, dflt, low, high },
	UTCP_OPTIONS(OPT_ROW)
#undef OPT_ROW
};

static const char names[][20] = {
	[UTCP_OPT_NODELAY] = "nodelay",
	[UTCP_OPT_CORK] = "cork",
	[UTCP_OPT_QUICKACK] = "quickack",
	[UTCP_OPT_MAXSEG] = "maxseg",
	[UTCP_OPT_SNDBUF] = "sndbuf",
	[UTCP_OPT_RCVBUF] = "rcvbuf",
	[UTCP_OPT_SNDBUF_MAX] = "sndbuf_max",
	[UTCP_OPT_RCVBUF_MAX] = "rcvbuf_max",
	[UTCP_OPT_WINDOW_CLAMP] = "window_clamp",
	[UTCP_OPT_KEEPALIVE] = "keepalive",
	[UTCP_OPT_KEEPIDLE_NS] = "keepidle_ns",
	[UTCP_OPT_KEEPINTVL_NS] = "keepintvl_ns",
	[UTCP_OPT_KEEPCNT] = "keepcnt",
	[UTCP_OPT_USER_TIMEOUT_NS] = "user_timeout_ns",
	[UTCP_OPT_RETRIES] = "retries",
	[UTCP_OPT_SYN_RETRIES] = "syn_retries",
	[UTCP_OPT_SYNACK_RETRIES] = "synack_retries",
	[UTCP_OPT_NOTSENT_LOWAT] = "notsent_lowat",
	[UTCP_OPT_RCVLOWAT] = "rcvlowat",
	[UTCP_OPT_LINGER] = "linger",
	[UTCP_OPT_FIN_TIMEOUT_NS] = "fin_timeout_ns",
	[UTCP_OPT_MSL_NS] = "msl_ns",
	[UTCP_OPT_FASTOPEN] = "fastopen",
	[UTCP_OPT_FASTOPEN_CONNECT] = "fastopen_connect",
	[UTCP_OPT_FASTOPEN_NOCOOKIE] = "fastopen_nocookie",
	[UTCP_OPT_DEFER_ACCEPT_NS] = "defer_accept_ns",
	[UTCP_OPT_ECN] = "ecn",
	[UTCP_OPT_SACK] = "sack",
	[UTCP_OPT_TIMESTAMPS] = "timestamps",
	[UTCP_OPT_WSCALE] = "wscale",
	[UTCP_OPT_RACK] = "rack",
	[UTCP_OPT_PACING] = "pacing",
	[UTCP_OPT_MAX_PACING_RATE] = "max_pacing_rate",
	[UTCP_OPT_INITCWND] = "initcwnd",
	[UTCP_OPT_INITRTO_NS] = "initrto_ns",
	[UTCP_OPT_RTO_MIN_NS] = "rto_min_ns",
	[UTCP_OPT_RTO_MAX_NS] = "rto_max_ns",
	[UTCP_OPT_DELACK_NS] = "delack_ns",
	[UTCP_OPT_ACK_EVERY] = "ack_every",
	[UTCP_OPT_PMTUD] = "pmtud",
	[UTCP_OPT_DSCP] = "dscp",
	[UTCP_OPT_TTL] = "ttl",
	[UTCP_OPT_TTL_MIN] = "ttl_min",
	[UTCP_OPT_V6ONLY] = "v6only",
	[UTCP_OPT_REUSEADDR] = "reuseaddr",
	[UTCP_OPT_ERROR] = "error",
	[UTCP_OPT_SOFT_ERRORS] = "soft_errors",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == UTCP_OPT_MAX,
	       "each option has a name");

const char *
utcp_opt_name(unsigned int i)
{
	return i < UTCP_OPT_MAX ? names[i] : NULL;
}

const char *
utcp_opt_text(unsigned int i)
{
	return i < UTCP_OPT_MAX ? opts[i].text : NULL;
}

int
utcp__opt_check(int opt, int64_t value)
{
	if (opt < 0 || opt >= UTCP_OPT_MAX)
		return -ENOPROTOOPT;
	if (value < opts[opt].low || value > opts[opt].high)
		return -EINVAL;
	return 0;
}

/* ---- sets -------------------------------------------------------------- */

#define CHAINS 32

/* The hash of a set is the sum over its values of this. */
static uint32_t
mix(unsigned int opt, int64_t value)
{
	uint64_t v = ((uint64_t)value + opt + 1) * 0x9e3779b97f4a7c15;

	v ^= v >> 29;
	v *= 0xbf58476d1ce4e5b9 + 2 * opt;
	return (uint32_t)(v >> 32);
}

static void
put_in_chain(utcp_t *u, struct utcp__opts *o)
{
	struct utcp__opts **c = &u->opts[o->hash % CHAINS];

	o->next = *c;
	*c = o;
}

/* One that stands alone (utcp__opts_own) is in no chain. */
static void
take_from_chain(utcp_t *u, struct utcp__opts *o)
{
	struct utcp__opts **p = &u->opts[o->hash % CHAINS];

	while (*p && *p != o)
		p = &(*p)->next;
	if (*p)
		*p = o->next;
	o->next = NULL;
}

int
utcp__opts_init(utcp_t *u)
{
	struct utcp__opts *o = utcp__alloc(u, sizeof(*o));
	unsigned int i;

	if (!o)
		return -ENOMEM;
	o->refs = 1;
	for (i = 0; i < UTCP_OPT_MAX; i++) {
		o->v[i] = opts[i].dflt;
		o->hash += mix(i, o->v[i]);
	}
	put_in_chain(u, o);
	u->dflt = o;
	return 0;
}

void
utcp__opts_put(utcp_t *u, struct utcp__opts *o)
{
	if (!o || --o->refs)
		return;
	take_from_chain(u, o);
	utcp__free(u, o, sizeof(*o));
}

struct utcp__opts *
utcp__opts_own(utcp_t *u, struct utcp__opts **at)
{
	struct utcp__opts *o = *at;

	if (o->refs > 1) {
		o = utcp__alloc(u, sizeof(*o));
		if (!o)
			return NULL;
		*o = **at;
		o->refs = 1;
		o->next = NULL;
		utcp__opts_put(u, *at);
		*at = o;
	} else {
		take_from_chain(u, o);
	}
	return o;
}

/* s gets the set that differs from its own in this. */
static int
change(utcp_sock_t *s, unsigned int opt, int64_t value)
{
	utcp_t *u = s->u;
	struct utcp__opts *o = s->opts, *c;
	uint32_t hash = o->hash - mix(opt, o->v[opt]) + mix(opt, value);
	int64_t v[UTCP_OPT_MAX];

	if (o->v[opt] == value)
		return 0;
	memcpy(v, o->v, sizeof(v));
	v[opt] = value;
	for (c = u->opts[hash % CHAINS]; c; c = c->next) {
		if (c->hash == hash && c->cc == o->cc &&
		    memcmp(c->v, v, sizeof(v)) == 0) {
			s->opts = utcp__opts_get(c);
			utcp__opts_put(u, o);
			return 0;
		}
	}
	o = utcp__opts_own(u, &s->opts);
	if (!o)
		return -ENOMEM;
	o->v[opt] = value;
	o->hash = hash;
	put_in_chain(u, o);
	return 0;
}

/* ---- calls ------------------------------------------------------------- */

static bool
is_conn(const utcp_sock_t *s)
{
	return !s->dead && s->state >= UTCP_SYN_SENT;
}

/* Options that are part of how a connection opens. */
static bool
too_late(const utcp_sock_t *s, int opt)
{
	switch (opt) {
	case UTCP_OPT_SACK:
	case UTCP_OPT_TIMESTAMPS:
	case UTCP_OPT_WSCALE:
	case UTCP_OPT_ECN:
	case UTCP_OPT_FASTOPEN:
	case UTCP_OPT_FASTOPEN_CONNECT:
	case UTCP_OPT_FASTOPEN_NOCOOKIE:
	case UTCP_OPT_INITCWND:
		return s->dead || s->state >= UTCP_SYN_SENT;
	case UTCP_OPT_V6ONLY:
	case UTCP_OPT_REUSEADDR:
		return s->dead || s->port;
	default:
		return false;
	}
}

/* A buffer's size was set, or is the connection's own affair again. */
static void
resize(utcp_sock_t *s, int opt)
{
	uint32_t snd = s->sndbuf, rcv = s->rcvbuf;

	utcp__bufs_init(s);
	if (opt == UTCP_OPT_RCVBUF || opt == UTCP_OPT_RCVBUF_MAX) {
		s->sndbuf = snd;
		if (!OPT(s, RCVBUF) && rcv > s->rcvbuf)
			s->rcvbuf = rcv;
		/* The peer hears of it with the next acknowledgement. */
	} else {
		s->rcvbuf = rcv;
		if (!OPT(s, SNDBUF) && snd > s->sndbuf)
			s->sndbuf = snd;
	}
}

/* What a running connection has to do about it. */
static void
apply(utcp_sock_t *s, int opt, int64_t value)
{
	switch (opt) {
	case UTCP_OPT_SNDBUF:
	case UTCP_OPT_RCVBUF:
	case UTCP_OPT_SNDBUF_MAX:
	case UTCP_OPT_RCVBUF_MAX:
		resize(s, opt);
		break;
	case UTCP_OPT_CORK:
	case UTCP_OPT_NODELAY:
		/* What was held back leaves. */
		if ((opt == UTCP_OPT_NODELAY) == (value != 0) && is_conn(s)) {
			s->push = true;
			utcp__want_output(s);
		}
		break;
	case UTCP_OPT_PACING:
	case UTCP_OPT_MAX_PACING_RATE:
		if (is_conn(s))
			utcp__want_output(s);
		break;
	case UTCP_OPT_QUICKACK:
		if (value && is_conn(s) && s->state >= UTCP_ESTABLISHED &&
		    s->rcv_nxt != s->rcv_acked)
			utcp__ack_soon(s);
		break;
	case UTCP_OPT_MAXSEG:
		if (is_conn(s))
			utcp__set_mss(s);
		break;
	case UTCP_OPT_USER_TIMEOUT_NS:
		/* Patience may end before the next retransmission. */
		if (value && is_conn(s) && s->out_bytes &&
		    s->busy->progress_ns + (uint64_t)value <
			s->due[UTCP__TM_REXMT])
			utcp__tm_set(s, UTCP__TM_REXMT,
				     s->busy->progress_ns + (uint64_t)value);
		break;
	case UTCP_OPT_ECN:
		utcp__accecn_follow(s);
		break;
	case UTCP_OPT_KEEPALIVE:
	case UTCP_OPT_KEEPIDLE_NS:
	case UTCP_OPT_KEEPINTVL_NS:
		if (is_conn(s) && s->state >= UTCP_ESTABLISHED)
			utcp__keep_restart(s);
		break;
	default:
		break;
	}
	utcp__wake(s);
}

int
utcp_set(utcp_sock_t *s, int opt, int64_t value)
{
	int r;

	if (!s || s->orphan)
		return -EINVAL;
	r = utcp__opt_check(opt, value);
	if (r)
		return r;
	if (too_late(s, opt))
		return -EISCONN;
	if (opt == UTCP_OPT_ERROR) {
		s->error = 0;
		return 0;
	}
	r = change(s, (unsigned int)opt, value);
	if (r)
		return r;
	utcp__enter(s->u);
	apply(s, opt, value);
	utcp__leave(s->u);
	return 0;
}

int
utcp_get(utcp_sock_t *s, int opt, int64_t *value)
{
	if (!s || !value || s->orphan)
		return -EINVAL;
	if (opt < 0 || opt >= UTCP_OPT_MAX)
		return -ENOPROTOOPT;
	if (opt == UTCP_OPT_ERROR)
		*value = -utcp__take_error(s);
	else
		*value = s->opts->v[opt];
	return 0;
}

/* ---- what is told about a connection ----------------------------------- */

static void
info_sent(const utcp_sock_t *s, utcp_info_t *i)
{
	uint64_t rto = s->rto_ns << (s->backoff < 20 ? s->backoff : 20);
	uint64_t max = (uint64_t)OPT(s, RTO_MAX_NS), ns[3];

	i->rtt_ns = s->srtt_ns;
	i->rttvar_ns = s->rttvar_ns;
	i->min_rtt_ns = s->min_rtt_ns == UTCP_NEVER ? 0 : s->min_rtt_ns;
	i->rto_ns = rto < max ? rto : max;
	i->backoff = s->backoff;
	i->cwnd_bytes = s->cc.cwnd;
	i->ssthresh_bytes = s->cc.ssthresh;
	i->snd_wnd_bytes = s->snd_wnd;
	i->unacked_bytes = s->out_bytes;
	i->sacked_bytes = s->sacked_bytes;
	i->lost_bytes = s->lost_bytes;
	i->retrans_out_bytes = s->retrans_bytes;
	i->notsent_bytes = s->dead ? 0
				   : utcp__snd_unsent(s) +
					 (uint32_t)utcp__ext_waiting(s);
	i->reordering_segs = s->reordering;
	i->total_retrans_segs = s->total_retrans;
	i->bytes_sent = s->bytes_sent;
	i->bytes_acked = s->una_ofs;
	i->bytes_retrans = s->bytes_retrans;
	i->delivered_bytes = s->delivered;
	i->delivered_ce_bytes = s->delivered_ce;
	i->pacing_rate = s->pace_rate;
	if (s->rate_interval_ns)
		i->delivery_rate = (uint64_t)((double)s->rate_delivered * 1e9 /
					      (double)s->rate_interval_ns);
	i->dsack_dups = s->dsack_dups;
	utcp__limit_times(s, ns);
	i->busy_ns = ns[0];
	i->rwnd_limited_ns = ns[1];
	i->sndbuf_limited_ns = ns[2];
	i->snd_nxt = s->snd_nxt;
	i->snd_una = s->snd_una;
	i->last_sent_ms = (uint32_t)((s->u->now_ns - s->last_snd_ns) / MSEC);
	i->probes = s->persist ? s->retries : s->probes;
	i->soft_error = (uint32_t)s->soft_error;
}

static void
info_received(const utcp_sock_t *s, utcp_info_t *i)
{
	i->rcv_mss = s->rcv_mss;
	i->rcv_wnd_bytes = s->rcv_adv - s->rcv_nxt;
	i->unread_bytes = s->rcvq_bytes;
	i->bytes_received = s->bytes_received;
	i->rcv_nxt = s->rcv_nxt;
	i->last_heard_ms = (uint32_t)((s->u->now_ns - s->last_rcv_ns) / MSEC);
	i->last_data_ms = UINT32_MAX;
	if (s->last_data_ms != 0) /* made odd, so a millisecond ahead */
		i->last_data_ms = (uint32_t)(s->u->now_ns / MSEC + 1) -
				  s->last_data_ms;
}

int
utcp_info(const utcp_sock_t *s, utcp_info_t *info)
{
	utcp_info_t i = { 0 };
	const char *cc;
	uint32_t size;

	if (!s || !info || s->orphan)
		return -EINVAL;
	size = info->size;
	if (!size || size > sizeof(i))
		return -EINVAL;
	i.size = size;
	i.state = s->state;
	i.recovery = s->recovery;
	i.snd_wscale = s->snd_wscale;
	i.rcv_wscale = s->rcv_wscale;
	i.negotiated = s->negotiated;
	if (s->ext && s->ext->open)
		i.negotiated |= UTCP_GOT_EXT;
	i.mss = s->mss;
	i.pmtu = s->pmtu;
	i.segs_in = s->segs_in;
	i.segs_out = s->segs_out;
	if (s->ent.key.family) {
		info_sent(s, &i);
		info_received(s, &i);
	}
	cc = utcp_cc(s);
	if (cc)
		memcpy(i.cc, cc, strnlen(cc, sizeof(i.cc) - 1));
	memcpy(info, &i, size);
	return 0;
}
