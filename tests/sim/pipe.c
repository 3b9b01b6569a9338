/* SPDX-License-Identifier: BSD-2-Clause */
/* pipe.c: one direction of a link. */
#include "sim.h"

#define PACKET_ROOM 2048

/* ---- packets ---------------------------------------------------------------- */

struct packet *
packet_new(struct sim *w, uint32_t len)
{
	struct packet *p = w->free_packets;
	uint32_t room = len > PACKET_ROOM ? len : PACKET_ROOM;

	if (p != NULL && len <= PACKET_ROOM) {
		w->free_packets = p->next;
	} else {
		p = malloc(sizeof(*p) + room);
		if (p == NULL)
			abort();
		p->room = room;
	}
	p->next = NULL;
	p->to = NULL;
	p->len = len;
	p->corrupt = false;
	return p;
}

void
packet_free(struct sim *w, struct packet *p)
{
	if (p->room != PACKET_ROOM) {
		free(p);
		return;
	}
	p->next = w->free_packets;
	w->free_packets = p;
}

uint16_t
sim_sum(const uint8_t *b, size_t len, uint32_t start)
{
	uint64_t sum = 0, v;
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		memcpy(&v, b + i, 8);
		sum += (v >> 32) + (v & 0xffffffff);
	}
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = __builtin_bswap16((uint16_t)sum) + (uint64_t)start;
	for (; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (len % 2 != 0)
		sum += (uint32_t)b[len - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint32_t
sim_pseudo(const uint8_t *pkt, uint32_t l4_bytes, uint8_t proto)
{
	uint32_t sum = proto + (l4_bytes >> 16) + (l4_bytes & 0xffff);

	return pkt[0] >> 4 == 4 ? sim_sum(pkt + 12, 8, sum)
				: sim_sum(pkt + 8, 32, sum);
}

/* ---- what can happen ------------------------------------------------------------ */

static void
set_ip_sum(uint8_t *pkt)
{
	put16(pkt + 10, 0);
	put16(pkt + 10, (uint16_t)~sim_sum(pkt, 20, 0));
}

bool
packet_mark(struct packet *p)
{
	uint8_t *d = p->data;

	if (d[0] >> 4 == 4) {
		if ((d[1] & 3) == 0)
			return false;
		d[1] |= 3;
		set_ip_sum(d);
	} else {
		if ((d[1] & 0x30) == 0)
			return false;
		d[1] |= 0x30;
	}
	return true;
}

bool
packet_is_l4s(const struct packet *p)
{
	const uint8_t *d = p->data;

	return (d[0] >> 4 == 4 ? d[1] : d[1] >> 4) & 1;
}

static void
begin(struct pipe *pipe, struct waits **waits)
{
	if (*waits == NULL)
		*waits = malloc(sizeof(**waits));
	SIM_CHECK(pipe->w, *waits != NULL);
	memset(*waits, 0, sizeof(**waits));
	(*waits)->since_ns = pipe->w->now_ns;
}

void
waits_begin(struct pipe *pipe)
{
	begin(pipe, &pipe->waits);
	if (pipe->dualq != NULL)
		begin(pipe, &pipe->classic_waits);
}

void
waits_add(struct waits *w, uint64_t ns, uint32_t len)
{
	uint64_t at = (ns + WAIT_STEP - 1) / WAIT_STEP;

	w->num++;
	w->bytes += len;
	w->sum_ns += ns;
	if (ns > w->max_ns)
		w->max_ns = ns;
	w->hist[at < WAITS_MAX ? at : WAITS_MAX]++;
}

uint64_t
waits_quantile(const struct waits *w, double share)
{
	uint64_t left = (uint64_t)((double)w->num * share);
	uint64_t i;

	for (i = 0; i < WAITS_MAX && w->hist[i] <= left; i++)
		left -= w->hist[i];
	return i * WAIT_STEP;
}

static bool
is_lost(struct pipe *pipe, uint64_t now_ns)
{
	const struct pipe_conf *c = &pipe->conf;
	struct rng *r = &pipe->w->rng;

	if (now_ns >= c->dead_from_ns && now_ns < c->dead_to_ns)
		return true;
	if (c->loss_every != 0 && pipe->pkts % c->loss_every == 0)
		return true;
	if (c->burst_begin > 0) {
		/* a burst is over after a second, though nothing was sent */
		if (now_ns > pipe->burst_ns + SEC)
			pipe->bad = false;
		pipe->burst_ns = now_ns;
		if (rng_chance(r, pipe->bad ? c->burst_end : c->burst_begin))
			pipe->bad = !pipe->bad;
		if (pipe->bad && rng_chance(r, c->burst_loss))
			return true;
	}
	return c->loss > 0 && rng_chance(r, c->loss);
}

/* One bit is turned: no checksum overlooks that. But IPv6's header has none,
   and of the version the link layer says the same: behind those. */
static void
corrupt(struct sim *w, struct packet *p)
{
	uint64_t from = p->data[0] >> 4 == 6 ? 40 * 8 : 4;
	uint64_t bit = rng_range(&w->rng, from, (uint64_t)p->len * 8 - 1);

	p->data[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	p->corrupt = true;
}

void
packet_event(struct sim *w, void *arg)
{
	struct packet *p = arg;

	node_arrive(p->to, p);
}

void
pipe_deliver(struct pipe *pipe, struct packet *p, uint64_t at_ns)
{
	struct pipe_conf *c = &pipe->conf;
	struct rng *r = &pipe->w->rng;

	at_ns += c->delay_ns + p->to->conf.extra_ns;
	if (c->jitter_ns != 0)
		at_ns += rng_below(r, c->jitter_ns + 1);
	if (c->reorder > 0 && rng_chance(r, c->reorder)) {
		at_ns += c->reorder_ns;
		pipe->late++;
	} else if (!c->jitter_reorders && c->jitter_ns != 0) {
		if (at_ns < pipe->last_ns)
			at_ns = pipe->last_ns;
		pipe->last_ns = at_ns;
	}
	if (c->corrupt > 0 && rng_chance(r, c->corrupt)) {
		corrupt(pipe->w, p);
		pipe->broken++;
	}
	sim_at(pipe->w, at_ns, packet_event, p);
}

/* Tells the sender that p is too big (RFC 792, 1191; RFC 4443). */
static void
too_big(struct pipe *pipe, struct node *from, const struct packet *p)
{
	uint32_t quote, hdr;
	struct packet *e;
	uint8_t *d;

	pipe->too_big++;
	if (pipe->conf.mtu_silent)
		return;
	hdr = p->data[0] >> 4 == 4 ? 20 : 40;
	quote = hdr == 20 ? 28 : 1232;
	if (quote > p->len)
		quote = p->len;
	e = packet_new(pipe->w, hdr + 8 + quote);
	d = e->data;
	memset(d, 0, hdr + 8);
	memcpy(d + hdr + 8, p->data, quote);
	if (hdr == 20) {
		d[0] = 0x45;
		put16(d + 2, e->len);
		d[8] = 64;
		d[9] = 1;
		memcpy(d + 12, "\12\0\0\376", 4);
		memcpy(d + 16, p->data + 12, 4);
		set_ip_sum(d);
		d[20] = 3;
		d[21] = 4;
		put16(d + 26, pipe->conf.mtu);
		put16(d + 22, (uint16_t)~sim_sum(d + 20, e->len - 20, 0));
	} else {
		d[0] = 0x60;
		put16(d + 4, e->len - 40);
		d[6] = 58;
		d[7] = 64;
		d[8] = 0xfd;
		d[23] = 254;
		memcpy(d + 24, p->data + 8, 16);
		d[40] = 2;
		put32(d + 44, pipe->conf.mtu);
		put16(d + 42,
		      (uint16_t)~sim_sum(d + 40, e->len - 40,
					 sim_pseudo(d, e->len - 40, 58)));
	}
	e->to = from;
	sim_at(pipe->w, pipe->w->now_ns + pipe->conf.delay_ns, packet_event, e);
}

/* Whether there is room in the queue; then when its last bit has left. */
static bool
enqueue(struct pipe *pipe, struct packet *p, uint64_t *left_ns)
{
	const struct pipe_conf *c = &pipe->conf;
	uint64_t now = pipe->w->now_ns, backlog = 0, wait;

	*left_ns = now;
	if (c->rate_bps == 0)
		return true;
	if (pipe->busy_ns > now)
		backlog = (uint64_t)((double)(pipe->busy_ns - now) * 1e-9 *
				     (double)c->rate_bps / 8);
	if (c->queue_bytes != 0 && backlog + p->len > c->queue_bytes) {
		pipe->overflows++;
		return false;
	}
	if (c->mark_bytes != 0 && backlog > c->mark_bytes && packet_mark(p))
		pipe->marks++;
	wait = pipe->busy_ns > now ? pipe->busy_ns - now : 0;
	/* First in, first out: it is known already. */
	if (c->step_ns != 0 && wait > c->step_ns && packet_is_l4s(p) &&
	    packet_mark(p))
		pipe->marks++;
	if (pipe->waits != NULL)
		waits_add(pipe->waits, wait, p->len);
	pipe->backlog_sum += backlog;
	if (backlog > pipe->backlog_max)
		pipe->backlog_max = backlog;
	if (pipe->busy_ns < now)
		pipe->busy_ns = now;
	pipe->busy_ns += (uint64_t)((double)p->len * 8e9 / (double)c->rate_bps);
	*left_ns = pipe->busy_ns;
	return true;
}

void
pipe_send(struct pipe *pipe, struct node *from, struct packet *p)
{
	struct sim *w = pipe->w;
	struct packet *twin;
	uint64_t left_ns;

	node_trace(from, p, true);
	p->to = sim_node_of(w, p->data);
	if (w->wire != NULL && p->to != NULL)
		wire_out(w, from, p->data, p->len);
	pipe->pkts++;
	pipe->bytes += p->len;
	if (p->to == NULL && !w->lost_at_sea)
		sim_fail(w, "a packet for an address that nobody has");
	if (p->to == NULL) {
		packet_free(w, p);
		return;
	}
	if (pipe->conf.mtu != 0 && p->len > pipe->conf.mtu) {
		too_big(pipe, from, p);
		packet_free(w, p);
		return;
	}
	if (pipe->dualq != NULL) {
		dualq_send(pipe, p);
		return;
	}
	if (!enqueue(pipe, p, &left_ns)) {
		packet_free(w, p);
		return;
	}
	if (is_lost(pipe, w->now_ns)) {
		pipe->losses++;
		packet_free(w, p);
		return;
	}
	if (pipe->conf.dup > 0 && rng_chance(&w->rng, pipe->conf.dup)) {
		twin = packet_new(w, p->len);
		memcpy(twin->data, p->data, p->len);
		twin->to = p->to;
		pipe_deliver(pipe, twin, left_ns);
	}
	pipe_deliver(pipe, p, left_ns);
}

/* ---- offloads in software ----------------------------------------------------------- */

/* UDP's 0 means that there is none. */
static uint16_t
finished(uint16_t sum, bool udp)
{
	return sum == 0xffff && udp ? 0xffff : (uint16_t)~sum;
}

/* Segments of a GSO packet, as a device would cut them. */
static void
segment(struct pipe *pipe, struct node *from, const uint8_t *big, uint32_t len,
	const utcp_pkt_t *meta)
{
	struct sim *w = pipe->w;
	bool udp = meta->gso_type == UTCP_GSO_UDP, v4 = big[0] >> 4 == 4;
	uint32_t l3 = v4 ? 20 : 40, l4, ofs, part, n = 0;
	struct packet *p;
	uint8_t *d;

	SIM_CHECK(w, meta->csum_start == l3);
	SIM_CHECK(w, meta->csum_offset == (udp ? 6 : 16));
	SIM_CHECK(w, udp || meta->gso_type == (v4 ? 1 : 4));
	l4 = udp ? 8 : (uint32_t)(big[l3 + 12] >> 4) * 4;
	SIM_CHECK(w, meta->gso_size > 0 && len > l3 + l4 + meta->gso_size);
	for (ofs = l3 + l4; ofs < len; ofs += part, n++) {
		part = len - ofs < meta->gso_size ? len - ofs : meta->gso_size;
		p = packet_new(w, l3 + l4 + part);
		d = p->data;
		memcpy(d, big, l3 + l4);
		memcpy(d + l3 + l4, big + ofs, part);
		if (v4) {
			put16(d + 2, p->len);
			put16(d + 4, get16(big + 4) + n);
			set_ip_sum(d);
		} else {
			put16(d + 4, p->len - 40);
		}
		if (udp) {
			put16(d + l3 + 4, 8 + part);
		} else {
			put32(d + l3 + 4, get32(big + l3 + 4) + ofs - l3 - l4);
			if (ofs + part < len)
				d[l3 + 13] &= (uint8_t)~(TH_FIN | TH_PSH);
			if (n > 0)
				d[l3 + 13] &= (uint8_t)~TH_CWR;
		}
		put16(d + l3 + meta->csum_offset, 0);
		put16(d + l3 + meta->csum_offset,
		      finished(sim_sum(d + l3, l4 + part,
				       sim_pseudo(d, l4 + part, udp ? 17 : 6)),
			       udp));
		pipe_send(pipe, from, p);
	}
}

void
pipe_send_pkt(struct pipe *pipe, struct node *from, const utcp_pkt_t *el,
	      unsigned int n)
{
	struct sim *w = pipe->w;
	uint32_t len = 0, mtu = from->conf.mtu != 0 ? from->conf.mtu : 1500;
	struct packet *p;
	unsigned int i;
	uint8_t *field;

	for (i = 0; i < n; i++)
		len += el[i].len;
	p = packet_new(w, len);
	for (i = 0, len = 0; i < n; len += el[i++].len)
		memcpy(p->data + len, el[i].data, el[i].len);
	if ((el->flags & UTCP_PKT_CSUM_PARTIAL) != 0) {
		SIM_CHECK(w, (from->conf.offloads & UTCP_OFFLOAD_CSUM) != 0);
		field = p->data + el->csum_start + el->csum_offset;
		if (get16(field) !=
		    sim_sum(NULL, 0,
			    sim_pseudo(p->data, len - el->csum_start,
				       el->csum_offset == 6 ? 17 : 6)))
			sim_fail(w, "a partial checksum starts wrong");
		put16(field, finished(sim_sum(p->data + el->csum_start,
					      len - el->csum_start, 0),
				      el->csum_offset == 6));
	}
	if (el->gso_type != UTCP_GSO_NONE) {
		segment(pipe, from, p->data, len, el);
		packet_free(w, p);
		return;
	}
	if (len > mtu)
		sim_fail(w, "a packet of %u bytes, MTU %u", len, mtu);
	pipe_send(pipe, from, p);
}
