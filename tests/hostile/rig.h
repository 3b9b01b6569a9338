/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig.h: a switch on a bench: one interface whose wire is an array, ports made
 * through ms_ctl() as any caller makes them, and a user's side of the rings
 * that works on the bare region. For the hostile programs, the fuzz targets
 * and the tests of defects. All checks abort.
 */
#ifndef MS_RIG_H
#define MS_RIG_H

#include <unistd.h>

#include "ms_core.h"
#include "ms_user.h"

#include "frames.h"

#define RIG_WIRE_FRAMES 512
#define RIG_WIRE_BYTES 2048

/* What was sent, to the NIC or to the host; the oldest RIG_WIRE_FRAMES. */
struct rig_wire {
	uint64_t frames; /* all */
	struct {
		uint32_t bytes; /* of the frame; at most RIG_WIRE_BYTES kept */
		uint8_t data[RIG_WIRE_BYTES];
	} kept[RIG_WIRE_FRAMES];
};

struct rig {
	struct ms_switch *sw;
	struct ms_nic *nic;
	struct rig_wire wire, host;
	uint32_t room; /* what xmit says it can take */
};

static const struct ms_cred rig_root = {
	.uid = 0,
	.pid = 1,
	.net_admin = true,
	.net_raw = true,
	.net_bind_service = true,
};
static const struct ms_cred rig_alice = { .uid = 1000, .pid = 100 };
static const struct ms_cred rig_bob = { .uid = 1001, .pid = 101 };

/* ---- the interface --------------------------------------------------------- */

RIG_FN void
rig_record(struct rig_wire *w, const struct ms_frame *f)
{
	uint32_t at = 0, n, i;
	uint8_t *to;

	/* The shape of what the switch hands to drivers. */
	RIG_CHECK(f->linear <= f->len);
	if (w->frames < RIG_WIRE_FRAMES) {
		w->kept[w->frames].bytes = f->len;
		to = w->kept[w->frames].data;
		n = f->linear < RIG_WIRE_BYTES ? f->linear : RIG_WIRE_BYTES;
		memcpy(to, f->data, n);
		at = n;
	}
	n = f->linear;
	for (i = 0; i < f->nsegs; i++) {
		const volatile uint8_t *p = f->segs[i].p;
		uint32_t k;

		for (k = 0; k < f->segs[i].bytes; k++, at++) {
			uint8_t byte = p[k];

			if (w->frames < RIG_WIRE_FRAMES && at < RIG_WIRE_BYTES)
				w->kept[w->frames].data[at] = byte;
		}
		n += f->segs[i].bytes;
	}
	RIG_CHECK(n == f->len);
	w->frames++;
}

RIG_FN uint32_t
rig_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	 uint32_t n, bool more)
{
	struct rig *rig = nic->os;
	uint32_t i;

	(void)q;
	(void)more;
	for (i = 0; i < n; i++)
		rig_record(&rig->wire, &frames[i]);
	return n;
}

RIG_FN uint32_t
rig_to_host(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	    uint32_t n)
{
	struct rig *rig = nic->os;
	uint32_t i;

	(void)q;
	for (i = 0; i < n; i++)
		rig_record(&rig->host, &frames[i]);
	return n;
}

RIG_FN uint32_t
rig_room(struct ms_nic *nic, unsigned int q)
{
	struct rig *rig = nic->os;

	(void)q;
	return rig->room;
}

RIG_FN const struct ms_nic_ops *
rig_ops(void)
{
	static const struct ms_nic_ops ops = {
		.name = "rig",
		.room = rig_room,
		.xmit = rig_xmit,
		.to_host = rig_to_host,
	};

	return &ops;
}

RIG_FN void
rig_init_ops(struct rig *rig, unsigned int queues, const struct ms_nic_ops *ops)
{
	struct ms_nic tmpl;

	rig->wire.frames = rig->host.frames = 0; /* what is kept is large */
	rig->room = UINT32_MAX;
	memset(&tmpl, 0, sizeof(tmpl));
	tmpl.ops = ops;
	tmpl.os = rig;
	strcpy(tmpl.name, "rig0");
	strcpy(tmpl.kind, "rig");
	memcpy(tmpl.mac, rig_mac, 6);
	tmpl.mtu = 1500;
	tmpl.features = MS_FEATURE_HOST | MS_FEATURE_CSUM_TX |
			MS_FEATURE_GSO_TCP | MS_FEATURE_GSO_UDP;
	tmpl.num_queues = queues;
	RIG_CHECK(ms_switch_create(&rig->sw) == 0);
	RIG_CHECK(ms_nic_create(rig->sw, &tmpl, &rig->nic) == 0);
	ms_mutex_lock(&rig->sw->ctl_lock);
	RIG_CHECK(ms_table_addr_add(rig->sw->table, rig_ip, 4) == 0);
	RIG_CHECK(ms_table_addr_add(rig->sw->table, rig_ip6, 6) == 0);
	ms_mutex_unlock(&rig->sw->ctl_lock);
}

RIG_FN void
rig_init(struct rig *rig, unsigned int queues)
{
	rig_init_ops(rig, queues, rig_ops());
}

RIG_FN void
rig_deinit(struct rig *rig)
{
	ms_nic_destroy(rig->nic);
	ms_switch_destroy(rig->sw);
}

/* ---- callers ----------------------------------------------------------------- */

RIG_FN int
rig_port_sized(struct rig *rig, const struct ms_cred *cred, uint16_t tx,
	       uint16_t rx, uint32_t slots, struct ms_port **out)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg),
					  .tx_rings = tx,
					  .rx_rings = rx,
					  .slots = slots };

	strcpy(arg.nic, "rig0");
	*out = NULL;
	return ms_ctl(rig->sw, cred, out, MS_CMD_PORT_CREATE, &arg,
		      sizeof(arg));
}

RIG_FN struct ms_port *
rig_port(struct rig *rig, const struct ms_cred *cred)
{
	struct ms_port *port;

	RIG_CHECK(rig_port_sized(rig, cred, 1, 1, 64, &port) == 0);
	return port;
}

RIG_FN int
rig_bind_cmd(struct rig *rig, const struct ms_cred *cred, struct ms_port *port,
	     uint32_t cmd, struct ms_tuple tuple, uint32_t *holder)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg), .tuple = tuple };
	int err;

	err = ms_ctl(rig->sw, cred, &port, cmd, &arg, sizeof(arg));
	if (holder != NULL)
		*holder = arg.holder;
	return err;
}

RIG_FN int
rig_bind(struct rig *rig, const struct ms_cred *cred, struct ms_port *port,
	 struct ms_tuple tuple)
{
	return rig_bind_cmd(rig, cred, port, MS_CMD_BIND, tuple, NULL);
}

RIG_FN int
rig_unbind(struct rig *rig, const struct ms_cred *cred, struct ms_port *port,
	   struct ms_tuple tuple)
{
	return rig_bind_cmd(rig, cred, port, MS_CMD_UNBIND, tuple, NULL);
}

RIG_FN void
rig_stats(struct rig *rig, struct ms_port *port, uint64_t ctr[MS_CTR_MAX])
{
	struct ms_cmd_stats arg = { .size = sizeof(arg) };

	if (port == NULL)
		strcpy(arg.nic, "rig0");
	RIG_CHECK(ms_ctl(rig->sw, &rig_root, &port, MS_CMD_STATS, &arg,
			 sizeof(arg)) == 0);
	memcpy(ctr, arg.counter, sizeof(arg.counter));
}

RIG_FN uint64_t
rig_counter(struct rig *rig, struct ms_port *port, enum ms_counter which)
{
	uint64_t ctr[MS_CTR_MAX];

	rig_stats(rig, port, ctr);
	return ctr[which];
}

/* ---- frames in ------------------------------------------------------------- */

RIG_FN enum ms_verdict
rig_input(struct rig *rig, unsigned int q, const void *data, uint32_t len)
{
	struct ms_frame f = { .data = data, .linear = len, .len = len };

	ms_nic_input(rig->nic, q, &f, 1);
	return f.verdict;
}

/* ---- the user's side ----------------------------------------------------------- */

RIG_FN struct ms_ring *
rig_ring(const struct ms_port *port, bool is_rx, unsigned int i)
{
	return is_rx ? port->rx[i].shared : port->tx[i].shared;
}

RIG_FN struct ms_slot *
rig_slots(struct ms_ring *r)
{
	return (struct ms_slot *)(void *)((uint8_t *)r + sizeof(*r));
}

RIG_FN uint8_t *
rig_buf(const struct ms_port *port, uint32_t buf)
{
	return port->rx[0].bufs + (size_t)buf * port->buf_bytes;
}

/* Puts a frame of one slot into a transmit ring. -ENOBUFS. */
RIG_FN int
rig_tx(const struct ms_port *port, unsigned int i, const void *data,
       uint32_t len)
{
	struct ms_ring *r = rig_ring(port, false, i);
	uint32_t head = ms_os_load_once(&r->head);
	struct ms_slot *s;

	if (ms_os_load_acquire(&r->tail) == head)
		return -ENOBUFS;
	s = &rig_slots(r)[head & (port->slots - 1)];
	RIG_CHECK(len <= port->buf_bytes);
	memcpy(rig_buf(port, s->buf), data, len);
	s->len = (uint16_t)len;
	s->flags = 0;
	s->gso_type = 0;
	s->reason = 0;
	s->gso_size = s->csum_start = s->csum_offset = 0;
	ms_os_store_release(&r->head, head + 1);
	return 0;
}

/* Runs the scheduler of a queue until it has nothing more to do. */
RIG_FN void
rig_run(struct rig *rig, unsigned int q)
{
	unsigned int rounds = 0;

	while (ms_nic_sched_run(rig->nic, q, 256) == 256)
		RIG_CHECK(++rounds < 100000);
}

/* One frame to the switch, and what becomes of it. */
RIG_FN int
rig_send(struct rig *rig, struct ms_port *port, const void *data, uint32_t len)
{
	int err = rig_tx(port, 0, data, len);

	if (err)
		return err;
	ms_kring_tx_ready(&port->tx[0]);
	rig_run(rig, 0);
	return 0;
}

/* The oldest frame of a receive ring, joined; its length, or 0 if none. Over
   65535 for a slot that the switch published empty. */
RIG_FN uint32_t
rig_rx(const struct ms_port *port, unsigned int i, void *buf, uint32_t room)
{
	struct ms_ring *r = rig_ring(port, true, i);
	uint32_t head = ms_os_load_once(&r->head);
	uint32_t tail = ms_os_load_acquire(&r->tail);
	uint32_t n = 0, len;
	const struct ms_slot *s;
	uint8_t *to = buf;
	uint16_t flags;

	if (head == tail)
		return 0;
	do {
		RIG_CHECK(head != tail);
		s = &rig_slots(r)[head & (port->slots - 1)];
		len = s->len != 0 ? s->len : 65536;
		flags = s->flags;
		if (len <= port->buf_bytes && n + len <= room)
			memcpy(to + n, rig_buf(port, s->buf), len);
		n += len;
		head++;
	} while ((flags & MS_SLOT_MORE) != 0);
	ms_os_store_release(&r->head, head);
	return n;
}

#endif /* MS_RIG_H */
