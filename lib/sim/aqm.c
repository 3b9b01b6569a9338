/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aqm.c: active queue management: which packets are dropped, or marked, before
 * the queue is full.
 */
#include "internal.h"

#define MS 1000000ull
#define PIE_UPDATE_NS (15 * MS)
#define PIE_BURST_NS (150 * MS)

static uint64_t
target_ns(const mssim_way_t *c)
{
	if (c->target_ns != 0)
		return c->target_ns;
	return c->aqm == MSSIM_CODEL ? 5 * MS
	       : c->aqm == MSSIM_PIE ? 15 * MS
				     : MS;
}

/* Sets CE if the packet is of an ECN transport. */
static bool
mark(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	uint8_t *d = p->data;

	if (d[0] >> 4 == 4) {
		if ((d[1] & 3) == 0)
			return false;
		d[1] |= 3;
		mssim__put16(d + 10, 0);
		mssim__put16(d + 10, (uint16_t)~mssim__sum(d, 20, 0));
	} else {
		if ((d[1] & 0x30) == 0)
			return false;
		d[1] |= 0x30;
	}
	pipe->stats.marks++;
	return true;
}

/* ---- CoDel -------------------------------------------------------------------- */

static uint32_t
root(uint32_t n)
{
	uint32_t bit = 1u << 15, r = 0;

	for (; bit != 0; bit >>= 1)
		if ((uint64_t)(r | bit) * (r | bit) <= n)
			r |= bit;
	return r;
}

/* interval / sqrt(count), the root of 2^-10 exactness. */
static uint64_t
codel_later(const struct mssim__pipe *pipe, uint64_t from_ns)
{
	uint64_t interval = pipe->conf.interval_ns;
	uint32_t count = pipe->aqm.count;

	if (interval == 0)
		interval = 100 * MS;
	/* up to 4095 the root is taken of count << 20 */
	if (count < 4096)
		return from_ns + (interval << 10) / root(count << 20);
	return from_ns + interval / root(count);
}

/* The head of the queue; *above: it has been too long there for too long. */
static struct mssim__packet *
codel_head(struct mssim__pipe *pipe, bool *above)
{
	struct mssim__packet *p = mssim__list_take(&pipe->queue);
	struct mssim__aqm *q = &pipe->aqm;
	uint64_t now = pipe->core->now_ns, interval = pipe->conf.interval_ns;

	*above = false;
	if (!p) {
		q->first_above_ns = 0;
		return NULL;
	}
	pipe->queued_bytes -= p->len;
	if (now - p->at_ns < target_ns(&pipe->conf) ||
	    pipe->queued_bytes <= 1500)
		q->first_above_ns = 0;
	else if (q->first_above_ns == 0)
		q->first_above_ns = now + (interval ? interval : 100 * MS);
	else
		*above = now >= q->first_above_ns;
	return p;
}

/* Whether p stays: marked instead of dropped. */
static bool
codel_drop(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	if (pipe->conf.ecn && mark(pipe, p))
		return true;
	pipe->stats.drops++;
	mssim__packet_free(pipe->core, p);
	return false;
}

static struct mssim__packet *
codel_take(struct mssim__pipe *pipe)
{
	struct mssim__aqm *q = &pipe->aqm;
	uint64_t now = pipe->core->now_ns;
	struct mssim__packet *p;
	uint32_t delta;
	bool above;

	p = codel_head(pipe, &above);
	if (!above) {
		q->dropping = false;
		return p;
	}
	if (!q->dropping) {
		q->dropping = true;
		delta = q->count - q->last_count;
		/* soon after the last time: go on from its rate */
		q->count = delta > 1 && now < q->drop_next_ns + 1600 * MS
			       ? delta
			       : 1;
		q->last_count = q->count;
		q->drop_next_ns = codel_later(pipe, now);
		return codel_drop(pipe, p) ? p : codel_head(pipe, &above);
	}
	while (above && now >= q->drop_next_ns) {
		q->count++;
		q->drop_next_ns = codel_later(pipe, q->drop_next_ns);
		if (codel_drop(pipe, p))
			return p;
		p = codel_head(pipe, &above);
	}
	q->dropping = above;
	return p;
}

struct mssim__packet *
mssim__aqm_take(struct mssim__pipe *pipe)
{
	struct mssim__packet *p;

	if (pipe->conf.aqm == MSSIM_CODEL)
		return codel_take(pipe);
	p = mssim__list_take(&pipe->queue);
	if (p)
		pipe->queued_bytes -= p->len;
	return p;
}

/* ---- PIE ---------------------------------------------------------------------- */

/* The probability follows the delay and its trend, carefully while it is
   small (RFC 8033 section 4.2). */
static void
pie_update(struct mssim__aqm *q, double delay, double target)
{
	double old = (double)q->old_delay_ns * 1e-9, step;
	double bound = 0.000001, by = 2048;

	step = 0.125 * (delay - target) + 1.25 * (delay - old);
	while (q->prob >= bound && by > 1) {
		bound *= 10;
		by = by > 2 ? by / 4 : 1;
	}
	step /= by;
	if (q->prob >= 0.1 && step > 0.02)
		step = 0.02;
	q->prob += step;
	if (delay == 0 && old == 0)
		q->prob *= 0.98;
	if (q->prob < 0)
		q->prob = 0;
	if (q->prob > 1)
		q->prob = 1;
}

/* Updates are due every 15 ms. They are made when a packet comes: those missed
   since the last one found an ever shorter queue, then none. */
static void
pie_tick(struct mssim__pipe *pipe)
{
	struct mssim__aqm *q = &pipe->aqm;
	uint64_t now = pipe->core->now_ns, delay = mssim__delay_ns(pipe);
	uint64_t target = target_ns(&pipe->conf);

	while (now >= q->update_ns) {
		pie_update(q, (double)delay * 1e-9, (double)target * 1e-9);
		if (q->prob == 0 && delay < target / 2 &&
		    q->old_delay_ns < target / 2)
			q->burst_ns = PIE_BURST_NS;
		else
			q->burst_ns -= q->burst_ns < PIE_UPDATE_NS
					   ? q->burst_ns
					   : PIE_UPDATE_NS;
		q->old_delay_ns = delay;
		q->update_ns += PIE_UPDATE_NS;
		/* nothing came for long: it begins anew */
		if (now > q->update_ns + MSSIM__SEC) {
			q->prob = 0;
			q->burst_ns = PIE_BURST_NS;
			q->update_ns = now + PIE_UPDATE_NS;
		}
	}
}

static bool
pie_admit(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	struct mssim__aqm *q = &pipe->aqm;
	uint64_t target = target_ns(&pipe->conf);

	pie_tick(pipe);
	if (q->burst_ns > 0 ||
	    (q->old_delay_ns < target / 2 && q->prob < 0.2) ||
	    pipe->queued_bytes <= 2 * 1500)
		return true;
	if (!mssim__chance(&pipe->rng, q->prob))
		return true;
	return pipe->conf.ecn && q->prob <= 0.1 && mark(pipe, p);
}

/* ---- all ---------------------------------------------------------------------- */

bool
mssim__aqm_admit(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	const mssim_way_t *c = &pipe->conf;

	switch (c->aqm) {
	case MSSIM_STEP:
		if (c->step_bytes != 0 ? mssim__backlog(pipe) > c->step_bytes
				       : mssim__delay_ns(pipe) > target_ns(c))
			(void)mark(pipe, p);
		return true;
	case MSSIM_PIE:
		return pie_admit(pipe, p);
	case MSSIM_HOOK:
		switch (c->hook(c->hook_arg, p->data, p->len,
				pipe->core->now_ns, mssim__backlog(pipe))) {
		case MSSIM_DROP:
			return false;
		case MSSIM_MARK:
			(void)mark(pipe, p);
			return true;
		default:
			return true;
		}
	default:
		return true;
	}
}
