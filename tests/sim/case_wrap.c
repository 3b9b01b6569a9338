/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_wrap.c: sequence numbers and timestamps that pass 2^32 in the middle of
 * a transfer. The nodes' clocks are set so that they do.
 */
#include "cases.h"
#include "tcp_input.h"

static struct utcp__key
key_of(const struct node *l, uint16_t lport, const struct node *r,
       uint16_t rport)
{
	utcp_addr_t la = node_addr(l, 4, lport), ra = node_addr(r, 4, rport);
	struct utcp__key k = { .family = 4, .proto = 6 };

	memcpy(k.laddr, la.addr, 16);
	memcpy(k.raddr, ra.addr, 16);
	k.lport_be = la.port_be;
	k.rport_be = ra.port_be;
	return k;
}

/* Puts n's clock forward until its next ISN for k is near `iss` (RFC 6528's
   clock: 4 us) or its timestamps near ts. */
static void
set_clock(struct node *n, const struct utcp__key *k, bool seq)
{
	uint32_t now;

	utcp_advance(n->u, n->w->now_ns + n->conf.clock_ns);
	if (seq) {
		now = utcp__iss(n->u, k);
		n->conf.clock_ns += (uint64_t)(uint32_t)(-300000 - now) * 4000;
	} else {
		now = utcp__ts_now(n->u, utcp__ts_offset(n->u, k));
		n->conf.clock_ns += (uint64_t)(uint32_t)(-400 - now) * MSEC;
	}
	utcp_advance(n->u, n->w->now_ns + n->conf.clock_ns);
}

void
case_wrap(uint64_t seed)
{
	bool seq = seed % 2 != 0, passed, all = seed > 16;
	struct rng r = { seed };
	struct pipe_conf pipe = { .rate_bps = 20 * MBPS,
				  .delay_ns = 5 * MSEC,
				  .queue_bytes = 100000,
				  .jitter_ns = 2 * MSEC };
	struct ep_conf c = { 0 }, s = { 0 };
	struct node_conf node = { 0 };
	struct utcp__key there, back;
	utcp_info_t info;
	struct two t;
	struct ep *e;

	if (seed > 2) { /* the first two are clean */
		pipe.loss = 0.01;
		pipe.reorder = 0.01;
		pipe.reorder_ns = 5 * MSEC;
		pipe.dup = 0.01;
	}
	if (all) {
		draw_pipe(&r, &pipe);
		draw_options(&r, &c);
		draw_options(&r, &s);
		c.waits = s.waits = is_harsh(&pipe);
	}
	if (seed % 8 == 7)
		conf_opt(&c, UTCP_OPT_SACK, 0);
	if (seed % 8 == 5)
		conf_opt(&c, UTCP_OPT_TIMESTAMPS, 0);
	conf_step(&c, OP_XFER, MB, MB, 0);
	conf_step(&c, OP_SLEEP, 0, 0, 500 * MSEC);
	conf_step(&c, OP_XFER, 100 * KB, 100 * KB, 0);
	conf_step(&c, OP_SHUT, 0, 0, 0);
	conf_step(&c, OP_EOF, 0, 0, 0);
	conf_step(&s, OP_XFER, MB, MB, 0);
	conf_step(&s, OP_XFER, 100 * KB, 100 * KB, 0);
	conf_step(&s, OP_SHUT, 0, 0, 0);
	conf_step(&s, OP_EOF, 0, 0, 0);
	two_nodes(&t, "wrap", seed, &pipe, &node);
	t.w->stall_ns = 60 * MINUTE;
	say_pipe(t.w, "both", &pipe);
	sim_say(t.w, " of %s", seq ? "sequence numbers" : "timestamps");
	there = key_of(t.a, 4000, t.b, 80);
	back = key_of(t.b, 80, t.a, 4000);
	set_clock(t.a, &there, seq);
	set_clock(t.b, &back, seq);
	app_listen(t.b, 4, 80, &s);
	e = app_connect(t.a, 4, 4000, t.b, 80, &c);
	sim_run(t.w);
	info = app_info(e);
	if (seq)
		passed = info.snd_una < 1 << 24 && info.rcv_nxt < 1 << 24;
	else
		passed = utcp__ts_now(t.a->u, e->s->ts_ofs) < 1u << 31;
	SIM_CHECK(t.w, passed);
	all_is_back(t.w);
	sim_end(t.w);
}
