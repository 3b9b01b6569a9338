/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_tx.c: from transmit rings to the interface, to other ports and to the
 * host.
 *
 * Of each frame the slots are read once, the first MS_HDR_BYTES are copied to
 * where the sender cannot reach them, and only this copy is looked at and
 * sent. What follows it is payload, which the sender may change as it likes.
 */
#include "ms_tx.h"

#define COST_BYTES_MIN 64 /* what the shortest frame is charged */
/* Taken at once from a ring that keeps nobody waiting: a newcomer waits for no
   more. */
#define ALONE_BYTES (8 * MS_FRAME_BYTES_MAX)

/* ---- taking frames from the ring ------------------------------------------ */

/* The words of a slot, each read once. */
static inline void
slot_read(struct ms_slot *to, const struct ms_slot *from)
{
	const uint64_t *w = (const uint64_t *)(const void *)from;
	uint64_t word[2];

	word[0] = MS_USER_READ(w[0]);
	word[1] = MS_USER_READ(w[1]);
	ms_move(to, word, sizeof(*to));
}

static inline const uint8_t *
slot_buf(const struct ms_kring *ring, const struct ms_slot *s)
{
	return ring->bufs + ((size_t)s->buf << ring->buf_shift);
}

/* Slot i from v->pos on, of those in tx->slot. Reads it when it is new. */
static inline const struct ms_slot *
slot_get(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t i)
{
	const struct ms_kring *ring = v->ring;
	struct ms_slot *to;

	while (tx->num_slots <= i) {
		to = &tx->slot[tx->num_slots];
		slot_read(to,
			  &ring->slots[(v->pos + tx->num_slots) & ring->mask]);
		if (ms_likely(to->buf < ring->num_bufs))
			ms_prefetch(slot_buf(ring, to));
		tx->num_slots++;
	}
	return &tx->slot[i];
}

/* Bytes in a slot, or 0 if it is not to be used. */
static inline uint32_t
slot_bytes(const struct ms_kring *ring, const struct ms_slot *s)
{
	uint32_t bytes = s->len != 0 ? s->len : 65536;

	if (ms_unlikely(s->buf >= ring->num_bufs ||
			bytes > 1u << ring->buf_shift))
		return 0;
	return bytes;
}

/* Adds n bytes at p to a frame: to the snapshot while that has room. */
static void
frame_append(struct ms_tx_batch *tx, struct ms_frame *f, uint8_t *hdr,
	     const uint8_t *p, uint32_t n)
{
	uint32_t part = MS_HDR_BYTES - f->linear;

	if (part > n)
		part = n;
	ms_copy(hdr + f->linear, p, part);
	f->linear += part;
	f->len += n;
	if (n > part) {
		tx->seg[tx->num_segs].p = p + part;
		tx->seg[tx->num_segs].bytes = n - part;
		tx->num_segs++;
		f->nsegs++;
	}
}

/* The common case of frame_take(): a frame in one slot, without metadata.
   False: it is not one. */
static inline bool
frame_take_simple(const struct ms_tx_view *v, struct ms_tx_batch *tx,
		  uint32_t i, uint32_t at)
{
	const struct ms_kring *ring = v->ring;
	const struct ms_slot *slot = slot_get(v, tx, at);
	uint32_t bytes = slot_bytes(ring, slot);
	struct ms_frame *f = &tx->frame[i];
	struct ms_sent *s = &tx->sent[i];
	const uint8_t *p;

	if (ms_unlikely(bytes == 0 || slot->flags != 0 || slot->gso_type != 0))
		return false;
	p = slot_buf(ring, slot);
	f->data = tx->hdr[i];
	f->linear = bytes;
	f->len = bytes;
	f->segs = &tx->seg[tx->num_segs];
	f->nsegs = 0;
	if (bytes > MS_HDR_BYTES) {
		f->linear = MS_HDR_BYTES;
		tx->seg[tx->num_segs].p = p + MS_HDR_BYTES;
		tx->seg[tx->num_segs].bytes = bytes - MS_HDR_BYTES;
		tx->num_segs++;
		f->nsegs = 1;
	}
	ms_copy(tx->hdr[i], p, f->linear);
	memset(&f->meta, 0, sizeof(f->meta));
	f->os = NULL;
	s->slots = 1;
	s->reason = 0;
	s->key = 0;
	s->to_key = 0;
	return true;
}

/*
 * Takes frame number i, whose first slot is `at`. Returns how many slots it
 * takes up, or 0 if the user has not filled all of them yet.
 */
static uint32_t
frame_take(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t i,
	   uint32_t at)
{
	const struct ms_kring *ring = v->ring;
	struct ms_frame *f = &tx->frame[i];
	struct ms_sent *s = &tx->sent[i];
	const struct ms_slot *slot = slot_get(v, tx, at);
	bool sane = (slot->flags & ~(MS_SLOT_MORE | MS_SLOT_CSUM_PARTIAL)) == 0;
	uint32_t slots, bytes;

	memset(f, 0, sizeof(*f));
	memset(s, 0, sizeof(*s));
	f->data = tx->hdr[i];
	f->segs = &tx->seg[tx->num_segs];
	f->meta.flags = slot->flags & MS_SLOT_CSUM_PARTIAL;
	f->meta.gso_type = slot->gso_type;
	f->meta.gso_size = slot->gso_size;
	f->meta.csum_start = slot->csum_start;
	f->meta.csum_offset = slot->csum_offset;
	for (slots = 1;; slots++) {
		bytes = slot_bytes(ring, slot);
		if (ms_unlikely(bytes == 0))
			s->reason = MS_CTR_DROP_TX_SLOT;
		else if (ms_unlikely(f->len + bytes > MS_FRAME_BYTES_MAX))
			s->reason = MS_CTR_DROP_TX_LONG;
		if (ms_likely(s->reason == 0))
			frame_append(tx, f, tx->hdr[i], slot_buf(ring, slot),
				     bytes);
		if (ms_likely((slot->flags & MS_SLOT_MORE) == 0))
			break;
		/* No end: as long as a frame may be, or as the ring is. */
		if (slots == MS_FRAME_SLOTS_MAX || slots == ring->mask + 1) {
			sane = false;
			break;
		}
		if (at + slots >= v->num)
			return 0;
		slot = slot_get(v, tx, at + slots);
	}
	if (ms_unlikely(!sane))
		s->reason = MS_CTR_DROP_TX_SLOT;
	return slots;
}

/* Whether the frame is plain in all that does not need the table. */
static inline bool
is_plain(const struct ms_tx_view *v, const struct ms_frame *f)
{
	const uint8_t *p = f->data;

	return ms_parse_plain4(p, f->linear, f->len) && f->meta.flags == 0 &&
	       f->meta.gso_type == 0 && v->untagged &&
	       ms_mac_is(&v->mac, p + 6) &&
	       ms_addr_allowed(p + 26, 4, v->loopback) &&
	       ms_ip4_unicast(p + 30) && f->len - MS_ETHER_BYTES <= v->mtu;
}

static int64_t
frame_cost(const struct ms_frame *f)
{
	return f->len > COST_BYTES_MIN ? f->len : COST_BYTES_MIN;
}

/*
 * Takes up to `max` frames, of up to `bytes` together. Returns how many.
 * *spent: the next one is too long for `bytes`.
 */
static uint32_t
frames_take(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t max,
	    int64_t bytes, bool *spent)
{
	uint32_t at = 0;
	uint32_t n;

	tx->num_slots = 0;
	tx->num_segs = 0;
	*spent = false;
	if (max > v->num)
		max = v->num;
	if (max > 0)
		(void)slot_get(v, tx, max - 1);
	for (n = 0; n < max && at < v->num; n++) {
		/* A whole frame more must fit into the scratch. */
		if (at + MS_FRAME_SLOTS_MAX > MS_TX_SLOTS)
			break;
		if (ms_unlikely(!frame_take_simple(v, tx, n, at)))
			tx->sent[n].slots = frame_take(v, tx, n, at);
		if (tx->sent[n].slots == 0)
			break;
		bytes -= frame_cost(&tx->frame[n]);
		if (bytes < 0) {
			*spent = true;
			break;
		}
		at += tx->sent[n].slots;
	}
	return n;
}

/*
 * Parses, and asks for the table's lines: of the source, and of the destination
 * if that may be on this host. Apart from the copying, whose stores are still
 * under way right behind it.
 */
static void
frames_parse(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n)
{
	const uint8_t *p;
	struct ms_sent *s;
	uint32_t i;

	for (i = 0; i < n; i++) {
		s = &tx->sent[i];
		p = tx->hdr[i];
		if (ms_unlikely(s->reason != 0 || !is_plain(v, &tx->frame[i])))
			continue;
		s->key = ms_key4(ms_raw32(p + 26), ms_raw16(p + 34), p[23]);
		s->hash = ms_table_hash4(v->table, s->key);
		ms_prefetch(ms_gen_bucket(v->gen, s->hash));
		if (ms_likely(!ms_table_perhaps4(v->table, p + 30)))
			continue;
		s->to_key = ms_key4(ms_raw32(p + 30), ms_raw16(p + 36), p[23]);
		s->to_hash = ms_table_hash4(v->table, s->to_key);
		ms_prefetch(ms_gen_bucket(v->gen, s->to_hash));
	}
}

/* Decides about all, and says in v->num_way how many go which way. */
static void
frames_decide(struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n)
{
	struct ms_sent *s;
	uint32_t i;

	memset(v->num_way, 0, sizeof(v->num_way));
	for (i = 0; i < n; i++) {
		s = &tx->sent[i];
		s->way = MS_WAY_DROP;
		if (ms_likely(s->key != 0))
			ms_tx_decide_plain(v, &tx->frame[i], s);
		else if (s->reason == 0)
			ms_tx_decide(v, &tx->frame[i], s);
		v->num_way[s->way]++;
	}
}

/* ---- sending ---------------------------------------------------------------- */

static void
tx_count(const struct ms_tx_view *v, struct ms_tx_batch *tx,
	 enum ms_counter which, uint64_t n)
{
	ms_ctr_add(&v->ring->counter[which], n);
	ms_ctr_add(&tx->counter[which], n);
}

/* n frames come to nothing; the user sees the sum in the ring. */
static void
tx_lose(const struct ms_tx_view *v, struct ms_tx_batch *tx,
	enum ms_counter which, uint32_t n)
{
	struct ms_kring *ring = v->ring;

	if (ms_likely(n == 0))
		return;
	tx_count(v, tx, which, n);
	ring->lost += n;
	MS_USER_WRITE(ring->shared->lost, ring->lost);
}

static void
count_sent(const struct ms_tx_view *v, struct ms_tx_batch *tx,
	   const struct ms_frame *frames, uint32_t n)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < n; i++)
		bytes += frames[i].len;
	tx_count(v, tx, MS_CTR_TX_FRAMES, n);
	tx_count(v, tx, MS_CTR_TX_BYTES, bytes);
}

/* How many of the n frames can go now: up to the first that the interface has
   no room for. */
static uint32_t
frames_fit(const struct ms_tx_view *v, const struct ms_tx_batch *tx, uint32_t n)
{
	const struct ms_nic_ops *ops = v->nic->ops;
	uint32_t room, i;

	if (ops->room == NULL)
		return n;
	room = ops->room(v->nic, v->q);
	if (room >= n)
		return n;
	for (i = 0; i < n; i++) {
		if (tx->sent[i].way != MS_WAY_NIC)
			continue;
		if (room == 0)
			break;
		room--;
	}
	return i;
}

/* The frames that go one way, in order. Where all do, they need no moving. */
static struct ms_frame *
frames_of_way(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n,
	      enum ms_way way)
{
	uint32_t i, k;

	if (v->num_way[way] == n)
		return tx->frame;
	for (i = k = 0; k < v->num_way[way]; i++) {
		if (tx->sent[i].way == way)
			tx->out[k++] = tx->frame[i];
	}
	return tx->out;
}

static void
send_nic(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n,
	 bool more)
{
	uint32_t num = v->num_way[MS_WAY_NIC];
	struct ms_frame *frames;
	uint32_t sent;

	if (num == 0)
		return;
	frames = frames_of_way(v, tx, n, MS_WAY_NIC);
	sent = v->nic->ops->xmit(v->nic, v->q, frames, num, more);
	if (sent > num)
		sent = num;
	count_sent(v, tx, frames, sent);
	if (ms_unlikely(sent < num))
		tx_lose(v, tx, MS_CTR_DROP_TX_NIC, num - sent);
}

static void
send_host(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n)
{
	const struct ms_nic_ops *ops = v->nic->ops;
	uint32_t num = v->num_way[MS_WAY_HOST];
	struct ms_frame *frames;
	uint32_t sent = 0;

	if (num == 0)
		return;
	frames = frames_of_way(v, tx, n, MS_WAY_HOST);
	if (ops->to_host != NULL)
		sent = ops->to_host(v->nic, v->q, frames, num);
	if (sent > num)
		sent = num;
	count_sent(v, tx, frames, sent);
	tx_count(v, tx, MS_CTR_TX_HOST, sent);
	tx_lose(v, tx, MS_CTR_DROP_TX_NOHOST, num - sent);
}

static void
send_local(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n)
{
	uint64_t bytes = 0;
	uint32_t i;

	if (v->num_way[MS_WAY_LOCAL] == 0)
		return;
	for (i = 0; i < n; i++) {
		if (tx->sent[i].way != MS_WAY_LOCAL)
			continue;
		ms_deliver_add(&tx->deliver, i, tx->frame[i].len,
			       tx->sent[i].ring);
		bytes += tx->frame[i].len;
	}
	tx_count(v, tx, MS_CTR_TX_FRAMES, v->num_way[MS_WAY_LOCAL]);
	tx_count(v, tx, MS_CTR_TX_BYTES, bytes);
	tx_count(v, tx, MS_CTR_TX_LOCAL, v->num_way[MS_WAY_LOCAL]);
	ms_deliver_run(&tx->deliver);
}

static void
frames_tap(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n)
{
	const struct ms_tap *port = ms_os_load_acquire(&v->ring->tap);
	const struct ms_tap *nic = ms_os_load_acquire(&v->nic->tap);
	uint32_t i;

	if (ms_likely(port == NULL && nic == NULL))
		return;
	for (i = 0; i < n; i++) {
		if (tx->sent[i].way == MS_WAY_DROP) {
			ms_tap_refused(port, &tx->frame[i], tx->sent[i].reason,
				       tx->counter);
			ms_tap_refused(nic, &tx->frame[i], tx->sent[i].reason,
				       tx->counter);
			continue;
		}
		ms_tap_frame(port, &tx->frame[i], MS_SLOT_TAP_TX, tx->counter);
		ms_tap_frame(nic, &tx->frame[i], MS_SLOT_TAP_TX, tx->counter);
	}
}

/* Counts what was refused, by reason. */
static void
frames_drop(const struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n)
{
	uint32_t i;

	if (ms_likely(v->num_way[MS_WAY_DROP] == 0))
		return;
	for (i = 0; i < n; i++) {
		if (tx->sent[i].way == MS_WAY_DROP)
			tx_lose(v, tx, tx->sent[i].reason, 1);
	}
}

/* Gives the slots of n frames back to the user. */
static void
frames_done(struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n)
{
	struct ms_kring *ring = v->ring;
	uint32_t old = ms_os_load_once(&ring->tail);
	uint32_t i, now;

	for (i = 0; i < n; i++) {
		v->pos += tx->sent[i].slots;
		ring->deficit_bytes -= frame_cost(&tx->frame[i]);
	}
	ms_os_store_once(&ring->pos, v->pos);
	if (ms_unlikely(ms_holds_any(ring->holds))) {
		ms_holds_consumed(ring->holds, ring);
		now = ms_os_load_once(&ring->tail);
	} else {
		now = v->pos + ring->mask + 1;
		ms_os_store_once(&ring->tail, now);
		ms_os_store_release(&ring->shared->tail, now); /* A */
	}
	ms_os_fence(); /* E */
	if (ms_ring_wake(ring, old, now))
		ms_ctr_add(&tx->counter[MS_CTR_RX_WAKEUPS], 1);
}

/* Sends what can be sent of the n frames decided about. Returns how many are
   done with. */
static uint32_t
frames_send(struct ms_tx_view *v, struct ms_tx_batch *tx, uint32_t n, bool more)
{
	uint32_t fit = frames_fit(v, tx, n);
	uint32_t i;

	if (fit == 0)
		return 0;
	for (i = fit; i < n; i++)
		v->num_way[tx->sent[i].way]--;
	frames_tap(v, tx, fit);
	send_nic(v, tx, fit, more);
	send_host(v, tx, fit);
	send_local(v, tx, fit);
	frames_drop(v, tx, fit);
	frames_done(v, tx, fit);
	return fit;
}

/* ---- one visit to a ring ------------------------------------------------------ */

static void
visit_begin(struct ms_tx_view *v, struct ms_tx_batch *tx, struct ms_nic *nic,
	    unsigned int q, struct ms_kring *ring)
{
	v->sw = nic->sw;
	v->table = nic->sw->table;
	v->gen = ms_os_load_acquire(&v->table->gen[0]);
	v->nic = nic;
	v->q = q;
	v->ring = ring;
	v->own = ms_port_value(ring->port);
	v->pos = ring->pos;
	v->mtu = ms_os_load_once(&nic->mtu);
	v->mac = ms_nic_mac(nic);
	v->untagged = nic->vlan == 0;
	v->loopback = nic->loopback;
	tx->ring = ring;
	tx->deliver.frames = tx->frame;
	tx->deliver.counter = tx->counter;
	ms_ctr_add(&ring->counter[MS_CTR_TX_SYNCS], 1);
	ms_ctr_add(&tx->counter[MS_CTR_TX_SYNCS], 1);
}

/* Whether `head` is one that the user may have moved to. */
static bool
head_sane(const struct ms_kring *ring, uint32_t head)
{
	return head - ring->head <= ms_os_load_once(&ring->tail) - ring->head;
}

static void
head_refresh(struct ms_tx_view *v, struct ms_tx_batch *tx)
{
	struct ms_kring *ring = v->ring;
	uint32_t head = ms_os_load_acquire(&ring->shared->head); /* D */

	if (ms_likely(head_sane(ring, head)))
		ms_os_store_once(&ring->head, head);
	else
		tx_count(v, tx, MS_CTR_BAD_HEAD, 1);
	v->num = ring->head - v->pos;
}

bool
ms_tx_doze(struct ms_kring *ring)
{
	uint32_t head;

	MS_USER_WRITE(ring->shared->doze, 1);
	ring->dozing = true;
	ms_os_fence(); /* G */
	head = ms_os_load_acquire(&ring->shared->head);
	if (head == ring->head || !head_sane(ring, head))
		return true;
	MS_USER_WRITE(ring->shared->doze, 0);
	ring->dozing = false;
	return false;
}

enum ms_visit
ms_tx_visit(struct ms_nic *nic, unsigned int q, struct ms_kring *ring,
	    uint32_t budget, uint32_t *done)
{
	struct ms_tx_batch *tx = &nic->batch[q]->tx;
	struct ms_tx_view v;
	uint32_t n, sent;
	bool spent, alone;

	visit_begin(&v, tx, nic, q, ring);
	if (ring->dozing) {
		MS_USER_WRITE(ring->shared->doze, 0);
		ring->dozing = false;
	}
	if (!ring->resumed)
		ring->deficit_bytes += MS_DRR_QUANTUM_BYTES;
	for (*done = 0;; *done += sent) {
		if (*done == budget)
			return MS_VISIT_BUDGET;
		head_refresh(&v, tx);
		if (v.num == 0)
			return MS_VISIT_EMPTY;
		/* Turns are for others' sake: a long frame would have to be
		   looked at in several before its own has come. */
		alone = ms_os_load_once(&nic->sched[q].num) == 0;
		n = budget - *done;
		n = frames_take(&v, tx, n < MS_TX_FRAMES ? n : MS_TX_FRAMES,
				alone ? ALONE_BYTES : ring->deficit_bytes,
				&spent);
		if (n == 0)
			return spent ? MS_VISIT_SPENT : MS_VISIT_EMPTY;
		frames_parse(&v, tx, n);
		frames_decide(&v, tx, n);
		sent = frames_send(&v, tx, n, n == MS_TX_FRAMES);
		if (alone)
			ring->deficit_bytes = 0;
		if (sent < n) {
			*done += sent;
			return MS_VISIT_NO_ROOM;
		}
	}
}
