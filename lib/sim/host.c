/* SPDX-License-Identifier: BSD-2-Clause */
/* host.c: a node's stack: packets in, applications, packets out, timers. */
#include "internal.h"

#define EVENTS 64
#define SPINS_MAX 1000

static uint64_t
stack_now(const mssim_node_t *n)
{
	return n->w->core.now_ns + MSSIM_CLOCK_NS;
}

static void
tell(mssim_node_t *n)
{
	utcp_event_t ev[EVENTS], own;
	int num, i, others;

	while ((num = utcp_events(n->u, ev, EVENTS)) > 0) {
		/* those of flows first; the others to the front */
		for (i = others = 0; i < num; i++) {
			own = ev[i];
			if (((uintptr_t)own.user & 1) != 0)
				mssim__flow_event(n, &own);
			else
				ev[others++] = own;
		}
		if (others > 0 && n->conf.ready)
			n->conf.ready(n->conf.arg, ev, others);
	}
}

/* Joins the parts of a packet; NULL: no memory. */
static struct mssim__packet *
join(mssim_t *w, const utcp_pkt_t *el, unsigned int num)
{
	struct mssim__packet *p;
	uint32_t len = 0;
	unsigned int i;

	for (i = 0; i < num; i++)
		len += el[i].len;
	p = mssim__packet(&w->core, len);
	if (!p)
		return NULL;
	for (i = 0, len = 0; i < num; len += el[i++].len)
		memcpy(p->data + len, el[i].data, el[i].len);
	return p;
}

static void
send_packet(mssim_node_t *n, struct mssim__packet *p)
{
	struct mssim__pipe *pipe = mssim__route(n, p->data);

	if (pipe) {
		mssim__pipe_send(pipe, p);
		return;
	}
	n->no_route++;
	mssim__packet_free(&n->w->core, p);
}

/* Sends one batch; how many elements it took, or -ENOMEM. The stack writes
   where the packets then travel from. */
static int
output_batch(mssim_node_t *n)
{
	utcp_pkt_t el[MSSIM__OUT_BUFS] = { 0 };
	mssim_t *w = n->w;
	struct mssim__packet *p;
	unsigned int i, j;
	int num;

	for (i = 0; i < MSSIM__OUT_BUFS; i++) {
		if (!w->out[i])
			w->out[i] = mssim__packet(&w->core, MSSIM__PACKET_ROOM);
		if (!w->out[i])
			return -ENOMEM;
		el[i].data = w->out[i]->data;
		el[i].len = MSSIM__PACKET_ROOM;
	}
	num = utcp_output(n->u, el, MSSIM__OUT_BUFS);
	for (i = 0; num > 0 && i < (unsigned int)num; i = j + 1) {
		for (j = i; (el[j].flags & UTCP_PKT_MORE) != 0; j++)
			;
		if (i == j) {
			p = w->out[i];
			w->out[i] = NULL;
			p->len = el[i].len;
		} else {
			p = join(w, &el[i], j + 1 - i);
		}
		if (p)
			send_packet(n, p);
		else
			n->nomem++;
	}
	return num;
}

void
mssim__node_work(mssim_node_t *n)
{
	struct mssim__core *core = &n->w->core;
	bool sent = false;
	uint64_t next;
	int num;

	utcp_advance(n->u, stack_now(n));
	tell(n);
	utcp_retain(n->u);
	while ((num = output_batch(n)) > 0)
		sent = true;
	if (num < 0)
		n->w->error = num;
	next = utcp_next_ns(n->u);
	if (next == UTCP_NEVER) {
		mssim__unset(core, &n->wake);
		return;
	}
	next = next < stack_now(n) ? core->now_ns : next - MSSIM_CLOCK_NS;
	if (sent || next > core->now_ns || n->spin_ns != core->now_ns) {
		n->spin_ns = core->now_ns;
		n->spins = 0;
	} else if (++n->spins > SPINS_MAX) {
		/* who asks to be called and does nothing may not stop time */
		next = core->now_ns + 1000000;
	}
	mssim__set(core, &n->wake, next);
}

void
mssim__node_packet(mssim_node_t *n, struct mssim__packet *p)
{
	utcp_pkt_t el = { .data = p->data, .len = p->len };

	if (!n->u) {
		send_packet(n, p);
		return;
	}
	utcp_advance(n->u, stack_now(n));
	(void)utcp_input(n->u, &el, 1);
	mssim__node_work(n);
	mssim__packet_free(&n->w->core, p);
}
