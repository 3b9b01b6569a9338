/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc.c: congestion control by name: the registry of a stack, the life of one
 * with a connection.
 */
#include "ext.h"
#include "tcp_loss.h"
#include "tcp_output.h"

#define PRIV_MAX 1024
#define CC_FLAGS                                                               \
	(UTCP_CC_OWN_RECOVERY | UTCP_CC_PACES | UTCP_CC_OWN_ECN | UTCP_CC_L4S)

/* ---- the registry ------------------------------------------------------ */

static bool
ops_good(const utcp_cc_ops_t *ops)
{
	bool own;

	if (!ops || ops->size < sizeof(*ops) || !ops->name || !ops->name[0])
		return false;
	own = ops->flags & UTCP_CC_OWN_RECOVERY;
	return strlen(ops->name) < sizeof(((struct utcp__cc_mod *)0)->name) &&
	       !(ops->flags & ~(uint32_t)CC_FLAGS) &&
	       ops->priv_bytes <= PRIV_MAX && ops->init && ops->ack &&
	       (ops->ssthresh || own);
}

int
utcp_cc_register(utcp_t *u, const utcp_cc_ops_t *ops)
{
	struct utcp__cc_mod *mod, **at;

	if (!u || !ops_good(ops))
		return -EINVAL;
	if (utcp__cc_find(u, ops->name))
		return -EEXIST;
	mod = utcp__alloc(u, sizeof(*mod));
	if (!mod)
		return -ENOMEM;
	mod->ops = *ops;
	memcpy(mod->name, ops->name, strlen(ops->name) + 1);
	mod->ops.name = mod->name;
	for (at = &u->ccs; *at; at = &(*at)->next)
		;
	*at = mod;
	return 0;
}

const struct utcp__cc_mod *
utcp__cc_find(utcp_t *u, const char *name)
{
	const struct utcp__cc_mod *mod = u->ccs;

	while (mod && strcmp(mod->name, name) != 0)
		mod = mod->next;
	return mod;
}

const char *
utcp_cc_name(const utcp_t *u, unsigned int i)
{
	const struct utcp__cc_mod *mod = u ? u->ccs : NULL;

	while (mod && i--)
		mod = mod->next;
	return mod ? mod->name : NULL;
}

int
utcp__cc_init(utcp_t *u)
{
	int r = utcp_cc_register(u, &utcp__cc_newreno);

	u->cc.random = utcp__random(u);
	r = r ? r : utcp_cc_register(u, &utcp__cc_cubic);
	r = r ? r : utcp_cc_register(u, &utcp__cc_bbr);
	return r ? r : utcp_cc_register(u, &utcp__cc_prague);
}

void
utcp__cc_deinit(utcp_t *u)
{
	struct utcp__cc_mod *mod;

	while ((mod = u->ccs) != NULL) {
		u->ccs = mod->next;
		utcp__free(u, mod, sizeof(*mod));
	}
}

/* ---- of a connection --------------------------------------------------- */

/* RFC 6928 section 2, with the option's number of segments. */
uint32_t
utcp__initial_window(const utcp_sock_t *s)
{
	uint32_t n = (uint32_t)OPT(s, INITCWND), mss = s->mss;
	uint32_t most = 2 * mss > n * 1460 ? 2 * mss : n * 1460;

	/* RFC 5681 section 3.1: one segment if the SYN was lost; RFC 6928
	   forgives the first, as its timeout may have been too short. */
	if (s->srtt_ns == 0 && s->total_retrans > 1)
		return mss;
	return n * mss < most ? n * mss : most;
}

utcp_cc_t *
utcp__cc_view(utcp_sock_t *s)
{
	utcp_cc_t *cc = &s->u->cc;

	s->u->cc_in = s;
	cc->cwnd = s->cc.cwnd;
	cc->ssthresh = s->cc.ssthresh;
	cc->pacing_rate = s->cc.pacing_rate;
	cc->gso_max = s->cc.gso_max;
	cc->latest_rtt_ns = s->cc.latest_rtt_ns;
	cc->initcwnd = s->cc.initcwnd;
	cc->priv = s->cc.priv;
	cc->sock = s;
	cc->mss = s->mss;
	cc->now_ns = s->u->now_ns;
	cc->srtt_ns = s->srtt_ns;
	cc->min_rtt_ns = s->min_rtt_ns ? s->min_rtt_ns : UTCP_NEVER;
	cc->delivered = s->delivered;
	cc->lost = s->lost;
	cc->inflight = utcp__inflight(s);
	cc->snd_una = s->snd_una;
	cc->snd_nxt = s->snd_nxt;
	/* What comes out of order is no disorder where that is the rule. */
	cc->recovery = s->recovery == REC_DISORDER && s->reo_seen ? REC_OPEN
								  : s->recovery;
	/* In slow start a window used by half may double (RFC 7661). */
	cc->cwnd_limited = s->cwnd_limited || (cc->cwnd < cc->ssthresh &&
					       cc->cwnd / 2 < s->cwnd_used);
	cc->random = cc->random * 6364136223846793005ull +
		     1442695040888963407ull;
	return cc;
}

/* The hook that is over has asked for another control. */
static void
change(utcp_sock_t *s)
{
	const struct utcp__cc_mod *mod = s->u->cc_next;

	if (LIKELY(!mod) || !s->cc_mod)
		return;
	s->u->cc_next = NULL;
	if (mod != s->cc_mod && !s->dead)
		utcp__cc_start(s, mod);
}

void
utcp__cc_taken(utcp_sock_t *s)
{
	const utcp_cc_t *cc = &s->u->cc;

	s->u->cc_in = NULL;

	s->cc.cwnd = cc->cwnd;
	s->cc.ssthresh = cc->ssthresh;
	s->cc.pacing_rate = cc->pacing_rate;
	s->cc.gso_max = cc->gso_max;
	change(s);
}

void
utcp__cc_event(utcp_sock_t *s, enum utcp_cc_event event)
{
	if (!s->cc_mod || !s->cc_mod->ops.event)
		return;
	s->cc_mod->ops.event(utcp__cc_view(s), event);
	utcp__cc_taken(s);
}

static int
try_start(utcp_sock_t *s, const struct utcp__cc_mod *mod)
{
	int r;

	s->cc.priv = NULL;
	if (mod->ops.priv_bytes) {
		s->cc.priv = utcp__alloc(s->u, mod->ops.priv_bytes);
		if (!s->cc.priv)
			return -ENOMEM;
	}
	s->cc.pacing_rate = 0;
	s->cc.gso_max = 0;
	r = mod->ops.init(utcp__cc_view(s));
	utcp__cc_taken(s);
	if (r < 0) {
		if (s->cc.priv)
			utcp__free(s->u, s->cc.priv, mod->ops.priv_bytes);
		s->cc.priv = NULL;
		return r;
	}
	s->cc_mod = mod;
	return 0;
}

void
utcp__cc_start(utcp_sock_t *s, const struct utcp__cc_mod *mod)
{
	if (s->cc_mod) {
		utcp__cc_stop(s);
	} else {
		s->cc.cwnd = utcp__initial_window(s);
		s->cc.ssthresh = UINT32_MAX;
		s->cc.initcwnd = s->cc.cwnd;
		s->cwnd_used_seq = s->snd_una;
		s->reordering = DUPTHRESH;
		if (s->recovery <= REC_DISORDER)
			s->high_seq = s->snd_una - 1;
	}
	if (!mod)
		mod = utcp__cc_find(s->u,
				    s->u->cfg.cc ? s->u->cfg.cc : "cubic");
	if (!mod || try_start(s, mod) < 0) {
		/* NewReno's state is small, and it does without. */
		mod = utcp__cc_find(s->u, "newreno");
		if (mod && try_start(s, mod) < 0)
			s->cc_mod = mod;
	}
	change(s);
	utcp__pace_update(s);
}

void
utcp__cc_stop(utcp_sock_t *s)
{
	const struct utcp__cc_mod *mod = s->cc_mod;

	if (!mod)
		return;
	if (mod->ops.release)
		mod->ops.release(utcp__cc_view(s));
	s->u->cc_in = NULL;
	s->u->cc_next = NULL; /* it is too late to ask */
	if (s->cc.priv)
		utcp__free(s->u, s->cc.priv, mod->ops.priv_bytes);
	s->cc.priv = NULL;
	s->cc_mod = NULL;
}

int
utcp_set_cc(utcp_sock_t *s, const char *name)
{
	const struct utcp__cc_mod *mod;
	struct utcp__opts *o;

	if (!s || !name)
		return -EINVAL;
	mod = utcp__cc_find(s->u, name);
	if (!mod)
		return -ENOENT;
	if (s->u->cc_in && s->u->cc_in != s)
		return -EBUSY;
	if (mod == (s->cc_mod ? s->cc_mod : s->opts->cc))
		return 0;
	o = utcp__opts_own(s->u, &s->opts);
	if (!o)
		return -ENOMEM;
	o->cc = mod;
	utcp__accecn_follow(s);
	if (s->u->cc_in)
		s->u->cc_next = mod; /* change() */
	else if (s->cc_mod && !s->dead)
		utcp__cc_start(s, mod);
	return 0;
}

int
utcp_cc_default(utcp_t *u, const char *name)
{
	const struct utcp__cc_mod *mod;
	struct utcp__opts *o;

	if (!u || !name)
		return -EINVAL;
	mod = utcp__cc_find(u, name);
	if (!mod)
		return -ENOENT;
	if (mod == u->dflt->cc)
		return 0;
	/* Sockets that are open keep the set that they have. */
	o = utcp__opts_own(u, &u->dflt);
	if (!o)
		return -ENOMEM;
	o->cc = mod;
	return 0;
}

const char *
utcp_cc(const utcp_sock_t *s)
{
	const struct utcp__cc_mod *mod;

	if (!s)
		return NULL;
	mod = s->cc_mod ? s->cc_mod : s->opts->cc;
	return mod ? mod->name : "";
}
