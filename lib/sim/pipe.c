/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipe.c: one way of a link: a queue that a rate empties, then a wire with a
 * delay, where all can happen to a packet.
 */
#include "internal.h"

static const uint8_t router4[4] = { 10, 255, 255, 254 };

int
mssim__way_check(const mssim_way_t *c)
{
	const double p[] = { c->loss,	    c->burst_begin, c->burst_end,
			     c->burst_loss, c->reorder,	    c->dup,
			     c->corrupt };
	size_t i;

	for (i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		if (!(p[i] >= 0 && p[i] <= 1))
			return -EINVAL;
	if (c->size < sizeof(*c) || c->aqm >= MSSIM_AQM_MAX ||
	    (c->aqm == MSSIM_HOOK && !c->hook))
		return -EINVAL;
	if (c->delay_ns > 3600 * MSSIM__SEC ||
	    c->jitter_ns > 3600 * MSSIM__SEC ||
	    c->reorder_ns > 3600 * MSSIM__SEC)
		return -EINVAL;
	return (c->mtu != 0 && c->mtu < 68) ? -EINVAL : 0;
}

/* ---- onto the wire ------------------------------------------------------------ */

static bool
is_lost(struct mssim__pipe *pipe, uint64_t now_ns)
{
	const mssim_way_t *c = &pipe->conf;
	struct mssim__rng *r = &pipe->rng;

	if (now_ns >= c->dead_from_ns && now_ns < c->dead_to_ns)
		return true;
	if (c->loss_every != 0 && pipe->stats.sent % c->loss_every == 0)
		return true;
	if (c->burst_begin > 0) {
		/* a burst is over after a second, though nothing was sent */
		if (now_ns > pipe->burst_ns + MSSIM__SEC)
			pipe->bad = false;
		pipe->burst_ns = now_ns;
		if (mssim__chance(r, pipe->bad ? c->burst_end : c->burst_begin))
			pipe->bad = !pipe->bad;
		if (pipe->bad && mssim__chance(r, c->burst_loss))
			return true;
	}
	return c->loss > 0 && mssim__chance(r, c->loss);
}

/* One bit is turned: no checksum overlooks that. But IPv6's header has none,
   and of the version the link layer says the same: behind those. */
static void
corrupt(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	uint64_t from = p->data[0] >> 4 == 6 ? 40 * 8 : 4;
	uint64_t bits = (uint64_t)p->len * 8, bit;

	if (bits <= from)
		return;
	bit = from + mssim__below(&pipe->rng, bits - from);
	p->data[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	p->corrupt = true;
	pipe->stats.corrupted++;
}

static void
arrive(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	mssim__pcapng_write(pipe->far, pipe->core->now_ns, p->data, p->len,
			    false);
	pipe->deliver(pipe, p);
}

/* An error that this end of the pipe has sent to the sender. */
static void
arrive_error(void *arg)
{
	struct mssim__packet *p = arg;

	p->pipe->bounce(p->pipe, p);
}

static void
arrive_late(void *arg)
{
	struct mssim__packet *p = arg;

	arrive(p->pipe, p);
}

static void
arrive_next(void *arg)
{
	struct mssim__pipe *pipe = arg;
	struct mssim__packet *p = mssim__list_take(&pipe->wire);

	/* before the packet: what it sets off comes behind the next one */
	if (pipe->wire.first)
		mssim__set(pipe->core, &pipe->arrive_ev,
			   pipe->wire.first->at_ns);
	arrive(pipe, p);
}

static void
travel(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	const mssim_way_t *c = &pipe->conf;
	struct mssim__rng *r = &pipe->rng;
	bool alone = false;

	p->at_ns = pipe->core->now_ns + c->delay_ns;
	if (c->jitter_ns != 0) {
		p->at_ns += mssim__below(r, c->jitter_ns + 1);
		alone = c->jitter_reorders;
	}
	if (c->reorder > 0 && mssim__chance(r, c->reorder)) {
		p->at_ns += c->reorder_ns;
		pipe->stats.reordered++;
		alone = true;
	}
	if (c->corrupt > 0 && mssim__chance(r, c->corrupt))
		corrupt(pipe, p);
	if (alone) {
		p->ev.fn = arrive_late;
		p->ev.arg = p;
		mssim__set(pipe->core, &p->ev, p->at_ns);
		return;
	}
	if (p->at_ns < pipe->last_ns)
		p->at_ns = pipe->last_ns;
	pipe->last_ns = p->at_ns;
	if (!pipe->wire.first)
		mssim__set(pipe->core, &pipe->arrive_ev, p->at_ns);
	mssim__list_put(&pipe->wire, p);
}

/* Its last bit has left the queue. */
static void
depart(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	struct mssim__core *core = pipe->core;
	struct mssim__packet *twin;

	mssim__pcapng_write(pipe->near, core->now_ns, p->data, p->len, true);
	pipe->stats.sent++;
	pipe->stats.sent_bytes += p->len;
	if (is_lost(pipe, core->now_ns)) {
		pipe->stats.losses++;
		mssim__packet_free(core, p);
		return;
	}
	if (pipe->conf.dup > 0 && mssim__chance(&pipe->rng, pipe->conf.dup)) {
		twin = mssim__packet(core, p->len);
		if (twin) {
			memcpy(twin->data, p->data, p->len);
			twin->pipe = pipe;
			twin->to = p->to;
			pipe->stats.duplicated++;
			travel(pipe, twin);
		} else {
			pipe->stats.nomem++;
		}
	}
	travel(pipe, p);
}

/* ---- the queue ---------------------------------------------------------------- */

static void
send_next(struct mssim__pipe *pipe)
{
	struct mssim__packet *p;
	uint64_t ns;

	/* without a rate what waited (it had one) leaves at once */
	while ((p = mssim__aqm_take(pipe)) != NULL && pipe->conf.rate_bps == 0)
		depart(pipe, p);
	pipe->sending = p;
	if (!p)
		return;
	ns = (uint64_t)((double)p->len * 8e9 / (double)pipe->conf.rate_bps);
	mssim__set(pipe->core, &pipe->sent_ev, pipe->core->now_ns + ns);
}

static void
sent(void *arg)
{
	struct mssim__pipe *pipe = arg;
	struct mssim__packet *p = pipe->sending;

	pipe->sending = NULL;
	depart(pipe, p);
	send_next(pipe);
}

uint64_t
mssim__backlog(const struct mssim__pipe *pipe)
{
	uint64_t left_ns;

	if (!pipe->sending)
		return pipe->queued_bytes;
	left_ns = pipe->sent_ev.at_ns - pipe->core->now_ns;
	return pipe->queued_bytes + (uint64_t)((double)left_ns * 1e-9 *
					       (double)pipe->conf.rate_bps / 8);
}

uint64_t
mssim__delay_ns(const struct mssim__pipe *pipe)
{
	if (pipe->conf.rate_bps == 0)
		return 0;
	return (uint64_t)((double)mssim__backlog(pipe) * 8e9 /
			  (double)pipe->conf.rate_bps);
}

static bool
enqueue(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	const mssim_way_t *c = &pipe->conf;
	mssim_way_stats_t *stats = &pipe->stats;
	uint64_t backlog = mssim__backlog(pipe);

	if (c->queue_bytes != 0 && backlog + p->len > c->queue_bytes) {
		stats->overflows++;
		return false;
	}
	if (!mssim__aqm_admit(pipe, p)) {
		stats->drops++;
		return false;
	}
	stats->backlog_sum += backlog;
	if (backlog > stats->backlog_max)
		stats->backlog_max = backlog;
	p->at_ns = pipe->core->now_ns;
	mssim__list_put(&pipe->queue, p);
	pipe->queued_bytes += p->len;
	if (!pipe->sending)
		send_next(pipe);
	return true;
}

/* Fills e->data with the error that says that p is too big, of an IP header of
   hdr bytes (RFC 792, 1191; RFC 4443). */
static void
write_too_big(struct mssim__packet *e, uint32_t hdr, uint32_t mtu,
	      const struct mssim__packet *p)
{
	uint8_t *d = e->data, *icmp = d + hdr;
	uint32_t len = e->len - hdr, sum = 0;

	memset(d, 0, hdr + 8);
	memcpy(icmp + 8, p->data, len - 8);
	if (hdr == 20) {
		d[0] = 0x45;
		mssim__put16(d + 2, e->len);
		d[8] = 64;
		d[9] = 1;
		memcpy(d + 12, router4, 4);
		memcpy(d + 16, p->data + 12, 4);
		mssim__put16(d + 10, (uint16_t)~mssim__sum(d, 20, 0));
		icmp[0] = 3;
		icmp[1] = 4;
	} else {
		d[0] = 0x60;
		mssim__put16(d + 4, len);
		d[6] = 58;
		d[7] = 64;
		d[8] = 0xfd;
		d[21] = d[22] = 0xff;
		d[23] = 254;
		memcpy(d + 24, p->data + 8, 16);
		icmp[0] = 2;
		sum = mssim__pseudo(d, len, 58);
	}
	mssim__put16(icmp + 6, mtu);
	mssim__put16(icmp + 2, (uint16_t)~mssim__sum(icmp, len, sum));
}

static void
too_big(struct mssim__pipe *pipe, const struct mssim__packet *p)
{
	uint32_t hdr = p->data[0] >> 4 == 4 ? 20 : 40;
	uint32_t quote = hdr == 20 ? 28 : 1232;
	struct mssim__packet *e;

	pipe->stats.too_big++;
	if (pipe->conf.mtu_silent)
		return;
	if (quote > p->len)
		quote = p->len;
	e = mssim__packet(pipe->core, hdr + 8 + quote);
	if (!e) {
		pipe->stats.nomem++;
		return;
	}
	write_too_big(e, hdr, pipe->conf.mtu, p);
	e->pipe = pipe;
	e->ev.fn = arrive_error;
	e->ev.arg = e;
	mssim__set(pipe->core, &e->ev,
		   pipe->core->now_ns + pipe->conf.delay_ns);
}

void
mssim__pipe_send(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	pipe->stats.pkts++;
	pipe->stats.bytes += p->len;
	p->pipe = pipe;
	if (pipe->conf.mtu != 0 && p->len > pipe->conf.mtu)
		too_big(pipe, p);
	else if (pipe->conf.rate_bps == 0 && !pipe->sending) {
		depart(pipe, p);
		return;
	} else if (enqueue(pipe, p))
		return;
	mssim__packet_free(pipe->core, p);
}

/* ---- begin, end --------------------------------------------------------------- */

int
mssim__pipe_init(struct mssim__pipe *pipe, struct mssim__core *core,
		 const mssim_way_t *conf, uint64_t seed)
{
	int err = mssim__reserve(core, 2);

	if (err < 0)
		return err;
	memset(pipe, 0, sizeof(*pipe));
	pipe->core = core;
	pipe->conf = *conf;
	pipe->rng.s = seed;
	mssim__list_init(&pipe->queue);
	mssim__list_init(&pipe->wire);
	pipe->sent_ev.fn = sent;
	pipe->arrive_ev.fn = arrive_next;
	pipe->sent_ev.arg = pipe->arrive_ev.arg = pipe;
	return 0;
}

static void
free_list(struct mssim__core *core, struct mssim__list *l)
{
	struct mssim__packet *p;

	while ((p = mssim__list_take(l)) != NULL)
		mssim__packet_free(core, p);
}

void
mssim__pipe_deinit(struct mssim__pipe *pipe)
{
	struct mssim__core *core = pipe->core;
	struct mssim__event *ev;
	struct mssim__packet *p;
	uint32_t i;

	if (!core)
		return;
	mssim__unset(core, &pipe->sent_ev);
	mssim__unset(core, &pipe->arrive_ev);
	if (pipe->sending)
		mssim__packet_free(core, pipe->sending);
	free_list(core, &pipe->queue);
	free_list(core, &pipe->wire);
	for (i = core->num; i-- > 0;) {
		ev = core->heap[i];
		p = ev->arg;
		if ((ev->fn != arrive_late && ev->fn != arrive_error) ||
		    p->pipe != pipe)
			continue;
		mssim__unset(core, ev);
		mssim__packet_free(core, p);
		/* another one has taken its place */
		i = core->num;
	}
	pipe->core = NULL;
}
