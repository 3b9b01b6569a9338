/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens to a connection when nothing comes. */
#include "ext.h"
#include "tcp_loss.h"
#include "tcp_output.h"
#include "tcp_syn.h"

#define R1 2		 /* RFC 9293 section 3.8.3: doubt the path */
#define ORPHAN_RETRIES 8 /* nobody waits for the outcome */
#define BACKOFF_MAX 30
#define RTO_FALLBACK (3 * SEC) /* RFC 6298 section 5.7 */

/* ---- retransmission ---------------------------------------------------- */

/* The timeout as it is now, with backoff (RFC 6298 section 5.5). */
static uint64_t
rto_now(const utcp_sock_t *s)
{
	uint64_t rto = s->rto_ns ? s->rto_ns : (uint64_t)OPT(s, INITRTO_NS);
	uint64_t most = (uint64_t)OPT(s, RTO_MAX_NS);

	/* No sample from the handshake: it was sent more than once, or there
	   was none. Section 5.7. */
	if (!s->srtt_ns && !utcp__syn_unacked(s))
		rto = MAX(rto, RTO_FALLBACK);
	if (s->backoff >= BACKOFF_MAX || rto > most >> s->backoff)
		return most;
	return rto << s->backoff;
}

/* When the user's patience ends (RFC 9293 section 3.9.1, RFC 5482). */
static uint64_t
patience_ends(const utcp_sock_t *s)
{
	uint64_t timeout = (uint64_t)OPT(s, USER_TIMEOUT_NS);

	return timeout ? s->busy->progress_ns + timeout : UTCP_NEVER;
}

void
utcp__rto_restart(utcp_sock_t *s)
{
	uint64_t at = s->u->now_ns + rto_now(s);

	s->persist = false;
	/* So that it ends when it was told to, not an RTO later. */
	if (UNLIKELY(OPT(s, USER_TIMEOUT_NS)))
		at = MAX(MIN(at, patience_ends(s)), s->u->now_ns + 1);
	utcp__tm_set(s, UTCP__TM_REXMT, at);
}

/* What to tell of a connection that ends for want of answers: if the network
   gave a reason, that (RFC 1122 section 4.2.3.9). */
static int
verdict(const utcp_sock_t *s)
{
	return s->soft_error ? s->soft_error : ETIMEDOUT;
}

static void
give_up(utcp_sock_t *s)
{
	utcp__sock_dead(s, verdict(s));
}

/* Retransmissions of the SYN or SYN-ACK: R2 of RFC 9293 section 3.8.3. */
static void
syn_timeout(utcp_sock_t *s)
{
	int64_t most = s->state == UTCP_SYN_SENT ? OPT(s, SYN_RETRIES)
						 : OPT(s, SYNACK_RETRIES);

	if (s->retries >= most || s->u->now_ns >= patience_ends(s)) {
		give_up(s);
		return;
	}
	if (s->state == UTCP_SYN_SENT && s->cookie)
		utcp__fastopen_timeout(s);
	s->retries++;
	s->backoff = (uint8_t)MIN(s->backoff + 1, BACKOFF_MAX);
	s->syn_owed = true;
	utcp__rto_restart(s);
	utcp__want_output(s);
}

static bool
out_of_patience(const utcp_sock_t *s)
{
	uint64_t now = s->u->now_ns;
	int64_t most = OPT(s, RETRIES);

	if (OPT(s, USER_TIMEOUT_NS))
		return now >= patience_ends(s);
	/* A peer that answers, but takes nothing, is alive (RFC 9293 section
	   3.8.6.1): its silence counts, not our tries. */
	if (!s->snd_wnd && now - s->last_rcv_ns < (uint64_t)OPT(s, RTO_MAX_NS))
		return false;
	if (s->orphan)
		most = MIN(most, ORPHAN_RETRIES);
	return s->retries >= most;
}

static void
rexmt_timeout(utcp_sock_t *s)
{
	COUNT(s->u, TIMEOUTS);
	if (utcp__syn_unacked(s)) {
		syn_timeout(s);
		return;
	}
	if (out_of_patience(s)) {
		give_up(s);
		return;
	}
	if (s->retries < UINT8_MAX)
		s->retries++;
	utcp__loss_timeout(s);
	utcp__mtu_timeout(s);
	/* RFC 4821 section 7.7: full segments may be what gets lost. */
	if (s->retries >= R1)
		utcp__mtu_black_hole(s);
	utcp__rto_restart(s);
	utcp__want_output(s);
}

/* ---- zero window (RFC 9293 section 3.8.6.1) ---------------------------- */

/* Starts to probe: data waits, nothing is in flight, the window is shut. */
void
utcp__persist_start(utcp_sock_t *s)
{
	uint64_t at = s->u->now_ns + rto_now(s);

	if (s->persist && s->due[UTCP__TM_REXMT] != UTCP_NEVER)
		return;
	if (!s->persist)
		s->busy->progress_ns = s->u->now_ns;
	s->persist = true;
	at = MAX(MIN(at, patience_ends(s)), s->u->now_ns + 1);
	utcp__tm_set(s, UTCP__TM_REXMT, at);
}

void
utcp__persist_stop(utcp_sock_t *s)
{
	s->persist = false;
	s->backoff = 0;
	s->probes = 0;
	utcp__tm_clear(s, UTCP__TM_REXMT);
}

static void
persist_timeout(utcp_sock_t *s)
{
	int64_t most = OPT(s, RETRIES);

	/* For as long as the probes are answered it goes on for ever;
	   s->probes counts those without an answer. */
	if (s->orphan)
		most = MIN(most, ORPHAN_RETRIES);
	if (s->u->now_ns >= patience_ends(s) || s->probes >= most) {
		give_up(s);
		return;
	}
	s->probe_owed = true;
	s->probes++;
	if (s->backoff < BACKOFF_MAX)
		s->backoff++;
	COUNT(s->u, PROBES);
	utcp__persist_start(s);
	utcp__want_output(s);
}

/* ---- keepalive (RFC 9293 section 3.8.4) -------------------------------- */

void
utcp__keep_restart(utcp_sock_t *s)
{
	uint64_t at = s->last_rcv_ns + (uint64_t)OPT(s, KEEPIDLE_NS);

	if (!OPT(s, KEEPALIVE) || s->state < UTCP_ESTABLISHED ||
	    s->state == UTCP_TIME_WAIT) {
		utcp__tm_clear(s, UTCP__TM_KEEP);
		s->keep_probing = false;
		return;
	}
	utcp__tm_set(s, UTCP__TM_KEEP, MAX(at, s->u->now_ns));
}

static void
keep_timeout(utcp_sock_t *s)
{
	uint64_t now = s->u->now_ns, idle_ns = now - s->last_rcv_ns;
	uint64_t limit = (uint64_t)OPT(s, USER_TIMEOUT_NS);

	if (!OPT(s, KEEPALIVE))
		return;
	/* Data in flight or waiting has timers of its own. */
	if (s->out_bytes || utcp__snd_unsent(s)) {
		utcp__tm_set(s, UTCP__TM_KEEP,
			     now + (uint64_t)OPT(s, KEEPIDLE_NS));
		return;
	}
	if (idle_ns < (uint64_t)OPT(s, KEEPIDLE_NS)) {
		s->probes = 0;
		s->keep_probing = false;
		utcp__tm_set(s, UTCP__TM_KEEP,
			     s->last_rcv_ns + (uint64_t)OPT(s, KEEPIDLE_NS));
		return;
	}
	/* RFC 5482 section 4: the user timeout overrides the count. */
	if (limit ? idle_ns >= limit && s->probes
		  : s->probes >= OPT(s, KEEPCNT)) {
		utcp__sock_abort(s, verdict(s)); /* in case it lives */
		return;
	}
	s->probes++;
	s->keep_probing = true;
	s->probe_owed = true;
	COUNT(s->u, KEEPALIVES);
	utcp__tm_set(s, UTCP__TM_KEEP, now + (uint64_t)OPT(s, KEEPINTVL_NS));
	utcp__want_output(s);
}

/* ---- all of them ------------------------------------------------------- */

static void
run(utcp_sock_t *s, enum utcp__tm tm)
{
	switch (tm) {
	case UTCP__TM_REXMT:
		if (s->persist)
			persist_timeout(s);
		else if (s->out_bytes)
			rexmt_timeout(s);
		break;
	case UTCP__TM_TLP:
		/* RFC 8985 section 7.3: the RTO starts anew with the probe. */
		if (s->out_bytes) {
			s->tlp_owed = true;
			utcp__rto_restart(s);
			utcp__want_output(s);
		}
		break;
	case UTCP__TM_REO:
		utcp__rack_timeout(s);
		utcp__want_output(s);
		break;
	case UTCP__TM_DELACK:
		utcp__ack_soon(s);
		break;
	case UTCP__TM_KEEP:
		keep_timeout(s);
		break;
	case UTCP__TM_PACE:
		utcp__want_output(s);
		break;
	case UTCP__TM_CORK:
		s->push = true;
		utcp__want_output(s);
		break;
	case UTCP__TM_END:
		/* Nobody reads what an orphan's peer would still send
		   (FIN-WAIT-2 has no end of its own in RFC 9293). */
		utcp__sock_dead(s, s->orphan ? 0 : ETIMEDOUT);
		break;
	case UTCP__TM_EXT:
		if (s->ext)
			utcp__ext_timers(s);
		break;
	case UTCP__TM_MAX:
		break;
	}
}

void
utcp__tm_set(utcp_sock_t *s, enum utcp__tm tm, uint64_t at_ns)
{
	if (s->dead)
		return;
	s->due[tm] = at_ns;
	if (at_ns < s->timer.at_ns)
		utcp__timer_at(s->u, &s->timer, at_ns);
}

void
utcp__tm_rearm(utcp_sock_t *s)
{
	uint64_t at = UTCP_NEVER;
	unsigned int i;

	if (s->dead)
		return;
	for (i = 0; i < UTCP__TM_MAX; i++)
		if (s->due[i] < at)
			at = s->due[i];
	if (at == UTCP_NEVER)
		return;
	/* Time goes on, whatever a handler set. */
	utcp__timer_at(s->u, &s->timer,
		       at > s->u->now_ns ? at : s->u->now_ns + 1);
}

void
utcp__tcp_timers(utcp_sock_t *s)
{
	/* What puts the RTO off comes before it. */
	static const uint8_t order[UTCP__TM_MAX] = {
		UTCP__TM_DELACK, UTCP__TM_REO,	UTCP__TM_TLP,
		UTCP__TM_REXMT,	 UTCP__TM_EXT,	UTCP__TM_PACE,
		UTCP__TM_CORK,	 UTCP__TM_KEEP, UTCP__TM_END,
	};
	unsigned int i;

	for (i = 0; i < UTCP__TM_MAX && !s->dead; i++) {
		if (s->due[order[i]] > s->u->now_ns)
			continue;
		s->due[order[i]] = UTCP_NEVER;
		run(s, (enum utcp__tm)order[i]);
	}
}
