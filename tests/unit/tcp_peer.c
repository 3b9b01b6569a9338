/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_peer.c: what the peer says, and what it expects; see tcp_util.h. */
#include "tcp_text.h"

/* ---- packets in -------------------------------------------------------- */

/* What was not said. */
static void
fill_in(struct tt *t, struct tt_seg *seg)
{
	struct tt_peer *p = t->p;

	if (seg->ecn < 0)
		seg->ecn = p->ecn;
	if (seg->ttl < 0)
		seg->ttl = 64;
	if (seg->has_win != TT_IS)
		seg->win = p->win;
	if (seg->has_ack != TT_IS && (seg->flags & TH_ACK) != 0) {
		seg->has_ack = TT_IS;
		seg->ack = p->seen_end;
	}
	if ((seg->flags & TH_SYN) != 0) {
		/* What the stack answers with is not known yet. */
		p->ts = seg->ts == TT_IS;
		if (p->ts)
			p->ts_ofs = seg->ts_val -
				    (uint32_t)((t->now_ns - t->begin_ns) /
					       MSEC);
	} else if (p->ts && seg->ts == TT_NO && !seg->no_ts && p->ts_known &&
		   (seg->flags & TH_RST) == 0) {
		seg->ts = TT_IS;
		seg->has_opts = true;
		seg->ts_val = (uint32_t)((t->now_ns - t->begin_ns) / MSEC) +
			      p->ts_ofs;
		seg->ts_ecr = p->ts_last;
	}
}

void
tt__in_raw(struct tt *t, const void *bytes, uint32_t len, const char *file,
	   int line)
{
	/* of exactly its size, so that a sanitizer sees reads past it */
	uint8_t *mem = calloc(1, t->cfg.l2_bytes + len);
	utcp_pkt_t pkt = { .data = mem, .len = t->cfg.l2_bytes + len };
	int err;

	memcpy(mem + t->cfg.l2_bytes, bytes, len);
	utcp_advance(t->u, t->now_ns);
	err = utcp_input(t->u, &pkt, 1);
	if (t->num_held == sizeof(t->held) / sizeof(t->held[0]))
		tt__failed(t, file, line, "too many packets held");
	t->held[t->num_held++] = mem;
	if (!t->keep) {
		utcp_retain(t->u);
		tt__release_held(t);
	}
	if (err != 0)
		tt__failed(t, file, line, "utcp_input: %d", err);
	if (!t->batch)
		tt__drain(t);
}

static struct tt_seg
parsed(struct tt *t, const char *text, const char *file, int line)
{
	struct tt_seg seg;
	const char *wrong = tt__parse(&seg, text);

	if (wrong != NULL)
		tt__failed(t, file, line, "\"%s\": %s", text, wrong);
	return seg;
}

void
tt__in(struct tt *t, const void *data, const char *file, int line,
       const char *fmt, ...)
{
	static uint8_t bytes[TT_BYTES_MAX + 200];
	struct tt_seg seg;
	char text[500];
	uint32_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tt__drain(t);
	seg = parsed(t, text, file, line);
	fill_in(t, &seg);
	tt__note(t, "< %s", tt_text(&seg));
	len = tt__bytes(t, t->p, &seg, data, bytes);
	tt__in_raw(t, bytes, len, file, line);
}

uint32_t
tt_build(struct tt *t, uint8_t *to, const char *text)
{
	struct tt_seg seg = parsed(t, text, __FILE__, __LINE__);

	fill_in(t, &seg);
	return tt__bytes(t, t->p, &seg, NULL, to);
}

void
tt__icmp(struct tt *t, uint8_t type, uint8_t code, uint32_t mtu, uint32_t seq,
	 const char *file, int line)
{
	uint8_t b[128] = { 0 }, *in, *icmp;
	uint32_t hdr = t->family == 4 ? 20 : 40, sum = 0, len, i;

	len = hdr + 8 + hdr + 8;
	icmp = b + hdr;
	in = icmp + 8;
	if (t->family == 4) {
		memcpy(b, "\x45\0\0\0\0\0\0\0\100\1\0\0\12\0\0\376\12\0\0\1",
		       20);
		put16(b + 2, len);
		memcpy(in, "\x45\0\5\334\0\0\100\0\100\6\0\0\12\0\0\1", 16);
		memcpy(in + 16, t->p->addr, 4);
		put16(icmp + 6, mtu);
		for (i = 0; i < 20; i += 2)
			sum += get16(b + i);
		sum = (sum & 0xffff) + (sum >> 16);
		put16(b + 10, ~sum);
		sum = 0;
	} else {
		memcpy(b, "\x60\0\0\0\0\0\72\100\xfd", 9);
		put16(b + 4, len - 40);
		b[23] = 254;
		b[24] = 0xfd;
		b[39] = 1;
		memcpy(in, "\x60\0\0\0\5\264\6\100\xfd", 9);
		in[23] = 1;
		memcpy(in + 24, t->p->addr, 16);
		put32(icmp + 4, mtu);
		for (i = 8; i < 40; i += 2)
			sum += get16(b + i);
		sum += 58 + len - 40;
	}
	icmp[0] = type;
	icmp[1] = code;
	put16(in + hdr, t->p->stack_port);
	put16(in + hdr + 2, t->p->port);
	put32(in + hdr + 4, t->p->iss + seq);
	for (i = hdr; i < len; i += 2)
		sum += get16(b + i);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(icmp + 2, ~sum);
	tt__note(t, "< ICMP type %u code %u mtu %u about seq %u", type, code,
		 mtu, seq);
	tt__in_raw(t, b, len, file, line);
}

/* ---- packets out ------------------------------------------------------- */

static void
check_time(struct tt *t, const struct tt_seg *got, int mode, uint64_t from,
	   uint64_t ns, const char *text, const char *file, int line)
{
	uint64_t want = mode == 1 ? from + ns : t->now_ns;
	uint64_t off = got->at_ns > want ? got->at_ns - want
					 : want - got->at_ns;

	if (mode == 2 ? got->at_ns > from + ns : off > t->slack_ns)
		tt__failed(t, file, line,
			   "expected: %s at %s\n  it came at %s: %s", text,
			   tt__when(t, want), tt__when(t, got->at_ns),
			   tt_text(got));
}

void
tt__expect(struct tt *t, int mode, uint64_t ns, const char *file, int line,
	   const char *fmt, ...)
{
	uint64_t from = t->now_ns;
	struct tt_seg want, *got;
	const char *differs;
	char text[500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	want = parsed(t, text, file, line);
	tt__drain(t);
	if (t->out_num == 0 && mode != 0)
		tt__go(t, from + ns + t->slack_ns, true);
	if (t->out_num > 0 && t->out[t->out_first].proto != 6)
		tt__failed(t, file, line,
			   "expected: %s\n  came: a packet of protocol %u",
			   text, t->out[t->out_first].proto);
	got = tt_next(t);
	if (got == NULL)
		tt__failed(t, file, line,
			   "expected: %s\n  came: nothing (next timer at %s)",
			   text, tt__when(t, utcp_next_ns(t->u)));
	differs = tt__differs(&want, got);
	if (differs != NULL)
		tt__failed(t, file, line, "expected: %s\n  came:     %s\n  %s",
			   text, tt_text(got), differs);
	check_time(t, got, mode, from, ns, text, file, line);
}

void
tt__quiet(struct tt *t, uint64_t ns, const char *file, int line)
{
	tt__go(t, t->now_ns + ns, true);
	if (t->out_num > 0)
		tt__failed(t, file, line, "expected: nothing\n  came at %s: %s",
			   tt__when(t, t->out[t->out_first].seg.at_ns),
			   t->out[t->out_first].proto == 6
			       ? tt_text(&t->out[t->out_first].seg)
			       : "a packet of another protocol");
}
