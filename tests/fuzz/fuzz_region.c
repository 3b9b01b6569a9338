/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_region.c: a port whose owner writes what it likes, where it likes, when
 * it likes, while the switch works on it; beside it a port that behaves.
 *
 * The input is a program: each step either writes somewhere into the hostile
 * region, or gives the switch something to do. After it
 *
 *   - the good port has received each frame meant for it once, in order and
 *     unharmed, or the switch has counted it as dropped for want of room;
 *   - on the wire there is nothing but frames of tuples that their senders
 *     own, and the good port's are in order and unharmed;
 *   - every frame is in exactly one counter;
 *   - nothing crashed, and no run of the switch went on for ever.
 */
#include "fuzz.h"
#include "../hostile/rig.h"

#define HOSTILE_SLOTS 8
#define HOSTILE_PORT 6666
#define GOOD_PORT 7777
#define STEPS_MAX 400
#define GOOD_MAGIC 0x600d600du

struct payload { /* of frames to and from the good port */
	uint32_t magic, seq, again;
};

struct world {
	struct rig *rig;
	struct ms_port *bad, *good, *look; /* look may tap bad */
	size_t control_bytes; /* of the hostile region: header and rings */
	uint64_t inputs;      /* frames given to ms_nic_input */
	uint32_t to_good, got, to_good_lost;
	uint32_t from_good;
};

static struct rig rig;

/* ---- the hostile owner ------------------------------------------------------ */

static struct ms_ring *
some_ring(struct world *w, uint8_t which)
{
	return rig_ring(w->bad, (which & 2) != 0, which & 1);
}

static void
write_word(struct world *w, struct fuzz_in *in)
{
	struct ms_ring *r = some_ring(w, fuzz_u8(in));
	uint8_t field = fuzz_u8(in);
	uint32_t v = fuzz_u32(in);

	switch (field % 8) {
	case 0:
		r->head = v;
		break;
	case 1:
		r->head += v % 16; /* near what is allowed */
		break;
	case 2:
		r->wake = v;
		break;
	case 3:
		r->tail = v;
		break;
	case 4:
		r->doze = v;
		break;
	case 5:
		r->num_slots = v;
		r->buf_bytes = ~v;
		r->slots_ofs = v;
		break;
	case 6:
		r->wake = r->tail;
		break;
	default:
		r->gone = r->lost = v;
	}
}

static void
write_slot(struct world *w, struct fuzz_in *in)
{
	struct ms_ring *r = some_ring(w, fuzz_u8(in));
	uint8_t i = fuzz_u8(in);

	fuzz_bytes(in, &rig_slots(r)[i % HOSTILE_SLOTS],
		   sizeof(struct ms_slot));
}

static void
write_bytes(struct world *w, struct fuzz_in *in)
{
	uint32_t at = fuzz_u32(in) % (uint32_t)w->control_bytes;
	uint32_t n = fuzz_u8(in);

	if (n > w->control_bytes - at)
		n = (uint32_t)w->control_bytes - at;
	fuzz_bytes(in, (uint8_t *)w->bad->region + at, n);
}

/* A frame that would be good, but for a few bytes and its slot. */
static void
write_frame(struct world *w, struct fuzz_in *in)
{
	static const uint8_t good_ip[4] = { 10, 0, 0, 1 };
	uint8_t how = fuzz_u8(in), n = fuzz_u8(in), i;
	struct ms_ring *r = rig_ring(w->bad, false, how & 1);
	struct ms_slot *s = &rig_slots(r)[r->head % HOSTILE_SLOTS];
	uint16_t sport = (how & 2) != 0 ? GOOD_PORT : HOSTILE_PORT;
	uint8_t *p;

	s->buf %= w->bad->num_bufs;
	p = rig_buf(w->bad, s->buf);
	rig_udp(p + 34, sport, GOOD_PORT, "evil", 4);
	s->len = (uint16_t)rig_ip4(p, false, rig_ip,
				   (how & 4) != 0 ? good_ip : rig_peer_ip,
				   IPPROTO_UDP, 12);
	s->flags = (how & 8) != 0 ? MS_SLOT_MORE : 0;
	s->gso_type = 0;
	for (i = 0; i < n % 8; i++) {
		uint8_t at = fuzz_u8(in);

		p[at % 64] = fuzz_u8(in);
	}
	if ((how & 16) != 0)
		rig_fix4(p);
	if ((how & 32) != 0) {
		s->flags |= MS_SLOT_CSUM_PARTIAL;
		s->csum_start = 34;
		s->csum_offset = 6;
		s->gso_type = fuzz_u8(in);
		s->gso_size = fuzz_u16(in);
		s->len = fuzz_u16(in);
	}
	r->head++;
}

/* ---- the switch -------------------------------------------------------------- */

static void
good_input(struct world *w)
{
	struct payload pay = { GOOD_MAGIC, w->to_good, ~w->to_good };
	uint64_t full = rig_counter(w->rig, w->good, MS_CTR_DROP_RX_FULL);
	uint8_t frame[128];
	uint32_t len;

	len = rig_udp_in(frame, 1234, GOOD_PORT, &pay, sizeof(pay));
	FUZZ_CHECK(rig_input(w->rig, 0, frame, len) == MS_VERDICT_TAKEN);
	w->inputs++;
	if (rig_counter(w->rig, w->good, MS_CTR_DROP_RX_FULL) != full)
		w->to_good_lost++;
	else
		w->to_good++;
}

static void
good_receive(struct world *w)
{
	uint8_t frame[4096];
	struct payload pay;
	uint32_t n;

	while ((n = rig_rx(w->good, 0, frame, sizeof(frame))) != 0) {
		FUZZ_CHECK(n <= sizeof(frame));
		if (memcmp(frame + 26, rig_ip, 4) == 0) {
			/* what the hostile port may send us */
			FUZZ_CHECK(frame[34] << 8 != 0 || frame[35] != 0);
			continue;
		}
		FUZZ_CHECK(n == 42 + sizeof(pay));
		memcpy(&pay, frame + 42, sizeof(pay));
		FUZZ_CHECK(pay.magic == GOOD_MAGIC);
		FUZZ_CHECK(pay.seq == w->got && pay.again == ~w->got);
		w->got++;
	}
}

static void
good_send(struct world *w)
{
	struct payload pay = { GOOD_MAGIC, w->from_good, ~w->from_good };
	uint8_t frame[128];
	uint32_t len;

	len = rig_udp_out(frame, GOOD_PORT, 1234, &pay, sizeof(pay));
	if (rig_tx(w->good, 0, frame, len) == 0)
		w->from_good++;
	ms_kring_tx_ready(&w->good->tx[0]);
}

static void
bad_input(struct world *w, struct fuzz_in *in)
{
	static uint8_t frame[9100];
	struct ms_frame f = { .data = frame };
	struct ms_seg seg;
	uint8_t how = fuzz_u8(in);
	uint32_t n = fuzz_u16(in) % 9000;

	f.len = rig_udp_in(frame, fuzz_u8(in), HOSTILE_PORT, "", 0) + n;
	rig_udp(frame + 34, how, HOSTILE_PORT, "", 0);
	rig_put16(frame + 16, 28 + n);
	rig_put16(frame + 38, 8 + n);
	rig_fix4(frame);
	f.linear = f.len;
	if ((how & 1) != 0 && n > 0) {
		f.linear = 42 + n / 2;
		seg.p = frame + f.linear;
		seg.bytes = f.len - f.linear;
		f.segs = &seg;
		f.nsegs = 1;
	}
	ms_nic_input(w->rig->nic, 0, &f, 1);
	FUZZ_CHECK(f.verdict == MS_VERDICT_TAKEN);
	w->inputs++;
}

static void
run(struct world *w, struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);

	ms_kring_tx_ready(&w->bad->tx[how & 1]);
	if ((how & 2) != 0)
		w->rig->room = how >> 4;
	(void)ms_nic_sched_run(w->rig->nic, 0, 1 + (how >> 2));
	w->rig->room = UINT32_MAX;
}

static void
tap(struct world *w, struct fuzz_in *in)
{
	struct ms_cmd_tap arg = { .size = sizeof(arg) };
	uint8_t how = fuzz_u8(in);

	arg.scope = how % 3;
	arg.port_id = (how & 4) != 0 ? w->bad->id : w->good->id;
	arg.snap_bytes = how >> 3;
	arg.flags = how >> 7 ? how >> 5 & 3 : 0; /* MS_TAP_* */
	/* the hostile port looks on, or is looked at */
	(void)ms_ctl(w->rig->sw, &rig_root, (how & 8) != 0 ? &w->bad : &w->look,
		     MS_CMD_TAP, &arg, sizeof(arg));
}

/* ---- afterwards ---------------------------------------------------------------- */

static void
check_wire(struct world *w)
{
	uint64_t n = w->rig->wire.frames;
	uint32_t seq = 0, i;
	struct payload pay;
	const uint8_t *p;
	struct ms_pkt pkt;

	if (n > RIG_WIRE_FRAMES)
		n = RIG_WIRE_FRAMES;
	for (i = 0; i < n; i++) {
		p = w->rig->wire.kept[i].data;
		FUZZ_CHECK(memcmp(p + 6, rig_mac, 6) == 0);
		ms_parse(p,
			 w->rig->wire.kept[i].bytes < RIG_WIRE_BYTES
			     ? w->rig->wire.kept[i].bytes
			     : RIG_WIRE_BYTES,
			 w->rig->wire.kept[i].bytes, &pkt);
		FUZZ_CHECK(pkt.kind == MS_PKT_TUPLE ||
			   pkt.kind == MS_PKT_FRAGMENT);
		FUZZ_CHECK(pkt.proto == IPPROTO_UDP && pkt.family == 4);
		FUZZ_CHECK(memcmp(pkt.saddr, rig_ip, 4) == 0);
		if (pkt.kind == MS_PKT_FRAGMENT)
			continue;
		if (pkt.sport_be == htons(HOSTILE_PORT) ||
		    pkt.sport_be == htons(HOSTILE_PORT + 1))
			continue;
		FUZZ_CHECK(pkt.sport_be == htons(GOOD_PORT));
		memcpy(&pay, p + 42, sizeof(pay));
		FUZZ_CHECK(pay.magic == GOOD_MAGIC && pay.seq == seq &&
			   pay.again == ~seq);
		seq++;
	}
	if (w->rig->wire.frames <= RIG_WIRE_FRAMES)
		FUZZ_CHECK(seq == w->from_good);
}

static void
check_counters(struct world *w)
{
	uint64_t nic[MS_CTR_MAX], c[MS_CTR_MAX], sum[MS_CTR_MAX] = { 0 };
	struct ms_port *ports[3] = { w->bad, w->good, w->look };
	unsigned int i, k;

	rig_stats(w->rig, NULL, nic);
	for (i = 0; i < 3; i++) {
		rig_stats(w->rig, ports[i], c);
		for (k = 0; k < MS_CTR_MAX; k++)
			sum[k] += c[k];
	}
	FUZZ_CHECK(nic[MS_CTR_RX_SEEN] == w->inputs);
	FUZZ_CHECK(nic[MS_CTR_RX_SEEN] + nic[MS_CTR_TX_LOCAL] ==
		   nic[MS_CTR_RX_FRAMES] + nic[MS_CTR_RX_HOST] +
		       nic[MS_CTR_DROP_RX_FULL] + nic[MS_CTR_DROP_RX_SLOT] +
		       nic[MS_CTR_DROP_RX_LONG] + nic[MS_CTR_DROP_RX_GONE] +
		       nic[MS_CTR_DROP_RX_NOHOST]);
	FUZZ_CHECK(nic[MS_CTR_TX_FRAMES] == nic[MS_CTR_TX_LOCAL] +
						nic[MS_CTR_TX_HOST] +
						w->rig->wire.frames);
	FUZZ_CHECK(nic[MS_CTR_TX_HOST] == w->rig->host.frames);
	/* what the ports saw is what the interface saw */
	for (k = 0; k < MS_CTR_MAX; k++)
		if (k != MS_CTR_RX_SEEN && k != MS_CTR_RX_HOST &&
		    k != MS_CTR_BAD_HEAD && k != MS_CTR_RX_WAKEUPS)
			FUZZ_CHECK(nic[k] == sum[k]);
	FUZZ_CHECK(
	    w->got + (w->good->rx[0].tail - rig_ring(w->good, true, 0)->head) >=
	    w->to_good);
}

static void
step(struct world *w, struct fuzz_in *in)
{
	switch (fuzz_u8(in) % 12) {
	case 0:
	case 1:
		write_word(w, in);
		break;
	case 2:
		write_slot(w, in);
		break;
	case 3:
		write_bytes(w, in);
		break;
	case 4:
	case 5:
		write_frame(w, in);
		break;
	case 6:
		bad_input(w, in);
		break;
	case 7:
		good_input(w);
		break;
	case 8:
		good_send(w);
		break;
	case 9:
	case 10:
		run(w, in);
		break;
	default:
		if ((fuzz_u8(in) & 7) == 0)
			tap(w, in);
		else
			good_receive(w);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct world w = { .rig = &rig };
	unsigned int steps = 0;

	rig_init(&rig, 1);
	FUZZ_CHECK(
	    rig_port_sized(&rig, &rig_alice, 2, 2, HOSTILE_SLOTS, &w.bad) == 0);
	w.good = rig_port(&rig, &rig_bob);
	w.look = rig_port(&rig, &rig_root);
	w.control_bytes = (size_t)(w.bad->rx[0].bufs -
				   (uint8_t *)w.bad->region);
	FUZZ_CHECK(rig_bind(&rig, &rig_alice, w.bad,
			    rig_tuple4(rig_ip, IPPROTO_UDP, HOSTILE_PORT)) ==
		   0);
	FUZZ_CHECK(
	    rig_bind(&rig, &rig_alice, w.bad,
		     rig_tuple4(rig_ip, IPPROTO_UDP, HOSTILE_PORT + 1)) == 0);
	FUZZ_CHECK(rig_bind(&rig, &rig_bob, w.good,
			    rig_tuple4(rig_ip, IPPROTO_UDP, GOOD_PORT)) == 0);
	while (in.left > 0 && steps++ < STEPS_MAX)
		step(&w, &in);
	rig_run(&rig, 0);
	good_receive(&w);
	check_wire(&w);
	check_counters(&w);
	FUZZ_CHECK(w.got == w.to_good);
	ms_port_destroy(w.bad);
	ms_port_destroy(w.good);
	ms_port_destroy(w.look);
	rig_deinit(&rig);
	return 0;
}
