/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.c: TCP sockets: their beginning, states and end, and the calls for them.
 *
 * Who holds a socket: its user, from utcp_open or utcp_accept to utcp_close or
 * utcp_abort (`orphan` from then on); before utcp_accept its listener
 * (`parent`). One that has ended (`dead`) and that nobody holds stands in
 * u->dead until the public call is over.
 */
#include "ext.h"
#include "tcp_input.h"
#include "tcp_loss.h"
#include "tcp_output.h"
#include "tcp_syn.h"

/* ---- beginning and end ------------------------------------------------- */

static utcp_sock_t *
sock_new(utcp_t *u, int family, struct utcp__opts *opts)
{
	utcp_sock_t *s;
	unsigned int i;

	if (u->num_socks >= u->cfg.max_socks)
		return NULL;
	/* And the stack's own timers. */
	if (utcp__heap_reserve(u, u->num_socks + 4))
		return NULL;
	s = utcp__pool_get(u, UTCP__POOL_SOCK);
	if (!s)
		return NULL;
	s->u = u;
	s->opts = utcp__opts_get(opts);
	s->family = (uint8_t)family;
	s->ent.kind = UTCP__CONN;
	s->busy = &u->rest;
	link_append(&u->socks, &s->all);
	link_init(&s->ready);
	link_init(&s->out);
	utcp__timer_init(&s->timer);
	for (i = 0; i < UTCP__TM_MAX; i++)
		s->due[i] = UTCP_NEVER;
	s->min_rtt_ns = UTCP_NEVER;
	utcp__bufs_init(s);
	u->num_socks++;
	return s;
}

static void
sock_free(utcp_sock_t *s)
{
	utcp_t *u = s->u;

	link_remove(&s->all);
	utcp__rcv_drop(s);
	utcp__rest(s);
	if (s->cookie)
		utcp__free(u, s->cookie, 17);
	utcp__ext_free(s->ext);
	if (s->listen)
		utcp__free(u, s->listen, sizeof(*s->listen));
	utcp__port_put(s->port);
	utcp__opts_put(u, s->opts);
	utcp__pool_put(u, UTCP__POOL_SOCK, s);
	u->num_socks--;
	(void)utcp__heap_reserve(u, u->num_socks + 3);
}

/* Frees those in u->dead; called last by public calls, when depth is 0. */
static void
reap(utcp_t *u)
{
	UTCP_ASSERT(u->depth == 0);
	while (!link_empty(&u->dead))
		sock_free(CONTAINER(u->dead.next, utcp_sock_t, all));
}

void
utcp__leave(utcp_t *u)
{
	utcp_buf_t *b;

	if (u->depth == 1) {
		if (UNLIKELY(!link_empty(&u->ext_work)))
			utcp__ext_work(u);
		/* Hooks may call us: they find all in order, and what they
		   write waits for utcp_output. */
		while ((b = u->done_first) != NULL) {
			u->done_first = b->next_;
			if (!u->done_first)
				u->done_last = NULL;
			b->next_ = NULL;
			b->done(b, (int)(int64_t)b->seq_);
			if (UNLIKELY(!link_empty(&u->ext_work)))
				utcp__ext_work(u);
		}
	}
	if (--u->depth == 0) {
		utcp__settle(u);
		reap(u);
	}
}

/* Nobody holds it any more: it is freed at the end of the call. */
static void
bury(utcp_sock_t *s)
{
	UTCP_ASSERT(s->dead);
	link_remove(&s->ready);
	link_remove(&s->all);
	link_append(&s->u->dead, &s->all);
}

/* The listener that would have given it away does not any more. */
static void
leave_parent(utcp_sock_t *s)
{
	if (!s->parent)
		return;
	if (!link_empty(&s->accept_link)) {
		link_remove(&s->accept_link);
		s->parent->listen->num_accept--;
	}
	s->parent = NULL;
}

/* It is bound, or listening, no more (a reference to the port stays). */
static void
unname(utcp_sock_t *s)
{
	if (!s->port)
		return;
	if (s->bound)
		s->port->bound_alone = false;
	s->bound = false;
	if (s->port->listener == s)
		s->port->listener = NULL;
}

void
utcp__sock_dead(utcp_sock_t *s, int error)
{
	utcp_t *u = s->u;
	/* Who waits in an accept queue has a user yet, who may read what the
	   peer sent before it reset the connection. */
	bool nobodys = s->orphan || (s->parent && link_empty(&s->accept_link));
	unsigned int i;

	if (s->dead)
		return;
	if (UNLIKELY(s->ext))
		utcp__ext_end(s->ext, error);
	if (s->state == UTCP_SYN_SENT)
		COUNT(u, CONNECT_FAILS);
	utcp__fastopen_done(s);
	s->dead = true;
	s->state = UTCP_CLOSED;
	s->error = (int16_t)error;
	utcp__unlink_ent(u, &s->ent);
	utcp__timer_stop(u, &s->timer);
	for (i = 0; i < UTCP__TM_MAX; i++)
		s->due[i] = UTCP_NEVER;
	link_remove(&s->out);
	utcp__segs_drop(s);
	utcp__snd_drop(s, error ? -error : -ECANCELED);
	if (UNLIKELY(s->ext))
		utcp__ext_snd_drop(s, error ? -error : -ECANCELED);
	utcp__cc_stop(s);
	utcp__reass_drop(s);
	if (s->port && !s->listen) {
		/* The name goes, but for what getsockname may be asked. */
		unname(s);
		utcp__port_put(s->port);
		s->port = NULL;
	}
	if (nobodys) {
		s->parent = NULL;
		utcp__rcv_drop(s);
		bury(s);
	} else {
		utcp__wake(s);
	}
}

void
utcp__set_state(utcp_sock_t *s, enum utcp_state state)
{
	UTCP_ASSERT(!s->dead && state != UTCP_CLOSED);
	s->state = (uint8_t)state;
	/* RFC 9293 section 3.6 lets the other side send for ever; nobody reads
	   it of an orphan. */
	if (state == UTCP_FIN_WAIT_2 && s->orphan)
		utcp__tm_set(s, UTCP__TM_END,
			     s->u->now_ns + (uint64_t)OPT(s, FIN_TIMEOUT_NS));
}

/* ---- resets ------------------------------------------------------------ */

static void
send_rst(utcp_sock_t *s, uint32_t seq, uint8_t flags)
{
	utcp_t *u = s->u;
	struct utcp__bare rst = {
		.seq = seq,
		.ack = flags & TH_ACK ? s->rcv_nxt : 0,
		.flags = flags,
		.tos = (uint8_t)(OPT(s, DSCP) << 2),
		.ttl = (uint8_t)OPT(s, TTL),
		.opts.ts_val = utcp__ts_now(u, s->ts_ofs),
		.opts.ts_ecr = s->ts_recent,
	};

	if (s->negotiated & UTCP_GOT_TIMESTAMPS) /* RFC 7323 section 3.2 */
		rst.opts.opts = TO_TS;
	if (UNLIKELY(s->ext))
		s->ext->reset = UTCP_EXT_RST_OUT;
	if (utcp__ctl_tcp(u, &s->ent.key, &rst) == 0)
		COUNT(u, RESETS_OUT);
}

void
utcp__sock_abort(utcp_sock_t *s, int error)
{
	switch (s->state) {
	case UTCP_SYN_RECEIVED:
	case UTCP_ESTABLISHED:
	case UTCP_FIN_WAIT_1:
	case UTCP_FIN_WAIT_2:
	case UTCP_CLOSE_WAIT:
		send_rst(s, s->snd_nxt, TH_RST | TH_ACK);
		break;
	default: /* RFC 9293 section 3.10.5: the others just end */
		break;
	}
	utcp__sock_dead(s, error);
}

void
utcp__sock_refuse(utcp_sock_t *s, const struct utcp__seg_in *seg)
{
	send_rst(s, seg->ack, TH_RST);
	utcp__sock_dead(s, ECONNRESET);
}

void
utcp__sock_reset(utcp_sock_t *s, int error)
{
	if (UNLIKELY(s->ext))
		s->ext->reset = UTCP_EXT_RST_IN;
	utcp__sock_dead(s, error);
}

/* ---- what the other rooms tell ----------------------------------------- */

void
utcp__wake(utcp_sock_t *s)
{
	uint32_t level;

	if (s->orphan || s->parent)
		return;
	level = utcp_poll(s);
	s->told &= (uint8_t)level;
	if ((level & ~(uint32_t)s->told) && link_empty(&s->ready))
		link_append(&s->u->ready, &s->ready);
}

void
utcp__want_output(utcp_sock_t *s)
{
	if (!s->dead && link_empty(&s->out))
		link_append(&s->u->outq, &s->out);
}

/* What a connection has before anything is known of the peer. */
void
utcp__conn_init(utcp_sock_t *s)
{
	utcp_t *u = s->u;
	const struct utcp__key *k = &s->ent.key;
	uint32_t mtu = utcp__path_mtu(u, k->raddr, k->family);

	s->pmtu = (uint16_t)(mtu < 65535 ? mtu : 65535);
	/* RFC 9293 section 3.7.1: without the option. */
	s->peer_mss = utcp__default_mss(k->family);
	s->ts_ofs = utcp__ts_offset(u, k);
	s->rto_ns = (uint64_t)OPT(s, INITRTO_NS);
	s->reordering = 3;
	s->cc.ssthresh = UINT32_MAX;
	s->last_rcv_ns = s->last_snd_ns = u->now_ns;
	utcp__set_mss(s);
	s->cc.cwnd = (uint32_t)OPT(s, INITCWND) * s->mss;
}

utcp_sock_t *
utcp__sock_accepted(utcp_sock_t *listener, const struct utcp__key *k)
{
	utcp_t *u = listener->u;
	struct utcp__ent *e = utcp__find(u, k);
	utcp_sock_t *s;

	if (e && e->kind != UTCP__SYN)
		return NULL;
	s = sock_new(u, k->family, listener->opts);
	if (!s)
		return NULL;
	s->ent.key = *k;
	s->port = utcp__port_get(listener->port);
	if (!utcp__rouse(s)) {
		s->orphan = true;
		utcp__sock_dead(s, 0);
		return NULL;
	}
	s->passive = true;
	s->parent = listener;
	s->state = UTCP_SYN_RECEIVED;
	if (e)
		utcp__replace_ent(u, e, &s->ent);
	else
		utcp__link_ent(u, &s->ent);
	utcp__conn_init(s);
	return s;
}

void
utcp__sock_queue(utcp_sock_t *listener, utcp_sock_t *s)
{
	UTCP_ASSERT(s->parent == listener && link_empty(&s->accept_link));
	link_append(&listener->listen->accept, &s->accept_link);
	listener->listen->num_accept++;
	listener->told &= (uint8_t)~UTCP_IN; /* another one is news */
	utcp__wake(listener);
}

/* ---- calls: from open to close ----------------------------------------- */

int
utcp_open(utcp_t *u, int family, utcp_sock_t **out)
{
	utcp_sock_t *s;

	if (!u || !out || (family != 4 && family != 6))
		return -EINVAL;
	*out = NULL;
	if (u->num_socks >= u->cfg.max_socks)
		return -ENFILE;
	s = sock_new(u, family, u->dflt);
	if (!s)
		return -ENOMEM;
	if (UNLIKELY(u->ext_mods) && utcp__ext_opened(s) < 0) {
		sock_free(s);
		return -ENOMEM;
	}
	utcp__accecn_follow(s);
	*out = s;
	return 0;
}

/* The user's handle is gone. */
static void
disown(utcp_sock_t *s)
{
	s->orphan = true;
	link_remove(&s->ready);
	unname(s);
	if (s->dead) {
		utcp__rcv_drop(s);
		bury(s);
	}
}

static void
listener_end(utcp_sock_t *s)
{
	struct utcp__listen *l = s->listen;

	utcp__listen_end(s);
	while (!link_empty(&l->accept)) {
		utcp_sock_t *c = CONTAINER(l->accept.next, utcp_sock_t,
					   accept_link);

		leave_parent(c);
		disown(c);
		utcp__sock_abort(c, ECONNABORTED);
	}
	unname(s);
}

void
utcp__sock_destroy(utcp_sock_t *s)
{
	if (s->listen && !s->dead)
		listener_end(s);
	leave_parent(s);
	disown(s);
	utcp__sock_dead(s, ECANCELED);
}

/* The user will write no more: fin_wanted, and the state that follows. */
static void
sock_fin(utcp_sock_t *s)
{
	if (s->fin_wanted)
		return;
	s->fin_wanted = true;
	s->push = true;
	s->write_more = false;
	s->fastopen_syn = false;
	if (UNLIKELY(s->ext))
		utcp__ext_later(s->ext); /* `write_end` */
	/* RFC 9293 section 3.10.4; SYN_SENT and SYN_RECEIVED go on to this when
	   they open. */
	if (s->state == UTCP_ESTABLISHED)
		utcp__set_state(s, UTCP_FIN_WAIT_1);
	else if (s->state == UTCP_CLOSE_WAIT)
		utcp__set_state(s, UTCP_LAST_ACK);
	utcp__want_output(s);
}

/* RFC 9293 section 3.10.4 */
static void
end_in_order(utcp_sock_t *s)
{
	switch (s->state) {
	case UTCP_CLOSED:
	case UTCP_LISTEN:
	case UTCP_SYN_SENT: /* there is nobody to tell */
		utcp__sock_dead(s, 0);
		return;
	default:
		break;
	}
	if (s->rcvq_bytes || utcp__ext_raw(s)) { /* RFC 2525 section 2.17 */
		send_rst(s, s->snd_nxt, TH_RST | TH_ACK);
		utcp__sock_dead(s, 0);
	} else if (OPT(s, LINGER) == 0) {
		utcp__sock_abort(s, 0);
	} else {
		sock_fin(s);
		/* From now on it waits no longer than for an orphan. */
		if (s->state == UTCP_FIN_WAIT_2)
			utcp__set_state(s, UTCP_FIN_WAIT_2);
	}
}

/* The user is done with it. */
static void
let_go(utcp_sock_t *s, bool in_order)
{
	utcp_t *u;

	if (!s || s->orphan)
		return;
	u = s->u;
	utcp__enter(u);
	if (s->listen)
		listener_end(s);
	disown(s);
	if (!s->dead && in_order)
		end_in_order(s);
	else if (!s->dead)
		utcp__sock_abort(s, 0);
	utcp__leave(u);
}

void
utcp_close(utcp_sock_t *s)
{
	let_go(s, true);
}

void
utcp_abort(utcp_sock_t *s)
{
	let_go(s, false);
}

int
utcp_shutdown(utcp_sock_t *s, int how)
{
	if (!s || how < UTCP_SHUT_RD || how > UTCP_SHUT_RDWR)
		return -EINVAL;
	if (s->dead || s->orphan || s->state == UTCP_CLOSED ||
	    s->state == UTCP_LISTEN)
		return -ENOTCONN;
	utcp__enter(s->u);
	if (how != UTCP_SHUT_RD)
		sock_fin(s);
	if (how != UTCP_SHUT_WR)
		s->rd_shut = true;
	utcp__wake(s);
	utcp__leave(s->u);
	return 0;
}

/* ---- readiness --------------------------------------------------------- */

static bool
can_write(const utcp_sock_t *s)
{
	uint64_t waiting = utcp__ext_waiting(s);
	uint64_t used = s->end_ofs - s->una_ofs + waiting;
	int64_t lowat = OPT(s, NOTSENT_LOWAT);

	if (s->fin_wanted)
		return false;
	/* A Fast Open connection answers before it is established. */
	if (s->state != UTCP_ESTABLISHED && s->state != UTCP_CLOSE_WAIT &&
	    !s->fastopen_syn && !(s->state == UTCP_SYN_RECEIVED && s->passive))
		return false;
	/* Not for a few bytes: a third of the buffer is worth a call. */
	if (used + used / 2 > s->sndbuf)
		return false;
	return lowat == 0 || utcp__snd_unsent(s) + waiting < (uint64_t)lowat;
}

/* More than half the buffer is, whatever was asked for: it may not get more. */
static bool
enough(const utcp_sock_t *s)
{
	return s->rcvq_bytes >= OPT(s, RCVLOWAT) ||
	       s->rcvq_bytes >= s->rcvbuf / 2;
}

uint32_t
utcp_poll(const utcp_sock_t *s)
{
	uint32_t ready = 0;
	bool rd_end;

	if (!s)
		return 0;
	if (s->dead)
		return UTCP_IN | UTCP_RDHUP | UTCP_HUP |
		       (s->error ? UTCP_ERR : 0);
	if (s->listen)
		return link_empty(&s->listen->accept) ? 0 : UTCP_IN;
	rd_end = utcp__rd_end(s);
	if (rd_end || (s->rcvq_bytes && enough(s)))
		ready |= UTCP_IN;
	if (rd_end)
		ready |= UTCP_RDHUP;
	if (rd_end && s->fin_wanted)
		ready |= UTCP_HUP;
	if (can_write(s))
		ready |= UTCP_OUT;
	return ready;
}

void
utcp_set_user(utcp_sock_t *s, void *user)
{
	if (s)
		s->user = user;
}

void *
utcp_user(const utcp_sock_t *s)
{
	return s ? s->user : NULL;
}

utcp_t *
utcp_stack(const utcp_sock_t *s)
{
	return s ? s->u : NULL;
}

utcp_sock_t *
utcp_next_sock(const utcp_t *u, const utcp_sock_t *after)
{
	const struct utcp__link *l;
	utcp_sock_t *s;

	if (!u || (after && after->u != u))
		return NULL;
	for (l = after ? after->all.next : u->socks.next; l != &u->socks;
	     l = l->next) {
		s = CONTAINER(l, utcp_sock_t, all);
		if (!s->orphan)
			return s;
	}
	return NULL;
}
