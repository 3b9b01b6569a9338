/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_util.c: see tcp_util.h. */
#include "tcp_text.h"

#define LOG_LINES (sizeof(((struct tt *)0)->log) / 220)
#define SPINS_MAX 100

/* ---- failures ------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
note(struct tt *t, const char *fmt, ...)
{
	uint64_t us = (t->now_ns - t->begin_ns) / 1000;
	char *to = t->log[t->log_at++ % LOG_LINES];
	int n = snprintf(to, 220, "%5u.%06u ", (unsigned int)(us / 1000000),
			 (unsigned int)(us % 1000000));
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(to + n, 220 - (size_t)n, fmt, ap);
	va_end(ap);
}

static const char *
when(const struct tt *t, uint64_t at_ns)
{
	static char texts[4][40];
	static unsigned int turn;
	char *to = texts[turn++ % 4];

	if (at_ns == UTCP_NEVER)
		snprintf(to, 40, "never");
	else
		snprintf(to, 40, "%.6f s",
			 ((double)at_ns - (double)t->begin_ns) / 1e9);
	return to;
}

static void __attribute__((noreturn, format(printf, 4, 5)))
failed(struct tt *t, const char *file, int line, const char *fmt, ...)
{
	unsigned int i = t->log_at > LOG_LINES ? t->log_at - LOG_LINES : 0;
	char msg[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	print_error("%s:%d: %s\n", file, line, msg);
	print_error("the last segments, at %s (< to the stack, > from it):\n",
		    when(t, t->now_ns));
	for (; i < t->log_at; i++)
		print_error("    %s\n", t->log[i % LOG_LINES]);
	_fail(file, line);
	abort();
}

/* ---- the stack's memory and its packets --------------------------------------- */

static void *
tt_alloc(void *arg, size_t bytes)
{
	struct tt *t = arg;

	t->mem += (int64_t)bytes;
	return malloc(bytes);
}

static void
tt_release(void *arg, void *mem, size_t bytes)
{
	struct tt *t = arg;

	if (mem != NULL)
		t->mem -= (int64_t)bytes;
	free(mem);
}

uint8_t
tt_byte(uint64_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 13 + (i >> 16) + 1);
}

static bool
is_pattern(const struct tt_seg *seg)
{
	uint64_t ofs = (uint64_t)seg->seq - 1 + ((seg->flags & TH_SYN) != 0);
	uint32_t i;

	for (i = 0; i < seg->len; i++)
		if (seg->data[i] != tt_byte(ofs + i))
			return false;
	return true;
}

static void
took(struct tt *t, struct tt_pkt *pkt, bool partial)
{
	const char *why = NULL;
	struct tt_peer *p;
	uint32_t end;

	pkt->proto = pkt->bytes[pkt->bytes[0] >> 4 == 4 ? 9 : 6];
	pkt->seg.at_ns = t->now_ns;
	if (pkt->proto != 6) {
		note(t, "> protocol %u, %u bytes", pkt->proto, pkt->len);
		return;
	}
	p = tt__decode(t, &pkt->seg, pkt->bytes, pkt->len, partial, &why);
	if (p == NULL)
		failed(t, __FILE__, __LINE__, "the stack sent a bad packet: %s",
		       why);
	note(t, "> %s", tt_text(&pkt->seg));
	if (!t->no_pattern && !is_pattern(&pkt->seg))
		failed(t, __FILE__, __LINE__,
		       "data sent is not what was written: %s",
		       tt_text(&pkt->seg));
	if ((pkt->seg.flags & TH_RST) != 0)
		return;
	end = pkt->seg.seq + pkt->seg.len + ((pkt->seg.flags & TH_SYN) != 0) +
	      ((pkt->seg.flags & TH_FIN) != 0);
	if ((pkt->seg.flags & TH_SYN) != 0 || seq_lt(p->seen_end, end))
		p->seen_end = end;
}

/* Puts the n elements of packets the stack wrote together, one by one. */
static void
collect(struct tt *t, const utcp_pkt_t *el, unsigned int n)
{
	struct tt_pkt *pkt;
	unsigned int i, j;
	uint32_t len;

	for (i = 0; i < n; i = j) {
		if (t->out_num == TT_QUEUE)
			failed(t, __FILE__, __LINE__,
			       "%u packets left that nobody expected",
			       TT_QUEUE);
		pkt = &t->out[(t->out_first + t->out_num++) % TT_QUEUE];
		free(pkt->bytes);
		memset(pkt, 0, sizeof(*pkt));
		pkt->bytes = malloc(TT_BYTES_MAX + 4096);
		for (j = i, len = 0; j < n; j++) {
			if (len + el[j].len > TT_BYTES_MAX)
				failed(t, __FILE__, __LINE__,
				       "packet too long");
			memcpy(pkt->bytes + len, el[j].data, el[j].len);
			len += el[j].len;
			if ((el[j].flags & UTCP_PKT_MORE) == 0)
				break;
		}
		if (j++ == n)
			failed(t, __FILE__, __LINE__, "packet without an end");
		pkt->len = len - t->cfg.l2_bytes;
		memmove(pkt->bytes, pkt->bytes + t->cfg.l2_bytes, pkt->len);
		pkt->seg.gso_size = el[i].gso_type != 0 ? el[i].gso_size : 0;
		took(t, pkt, (el[i].flags & UTCP_PKT_CSUM_PARTIAL) != 0);
	}
}

/* Has the stack send what it wants to send now. */
static void
drain(struct tt *t)
{
	static uint8_t bufs[UTCP_PKT_PARTS_MAX][2048];
	utcp_pkt_t el[UTCP_PKT_PARTS_MAX];
	unsigned int i;
	int n;

	utcp_advance(t->u, t->now_ns);
	do {
		memset(el, 0, sizeof(el));
		for (i = 0; i < UTCP_PKT_PARTS_MAX; i++) {
			el[i].data = bufs[i];
			el[i].len = sizeof(bufs[i]);
		}
		n = utcp_output(t->u, el, UTCP_PKT_PARTS_MAX);
		if (n < 0)
			failed(t, __FILE__, __LINE__, "utcp_output: %d", n);
		collect(t, el, (unsigned int)n);
	} while (n > 0);
}

/* Time to target, or to when the first packet leaves if first is true. */
static void
go(struct tt *t, uint64_t target, bool first)
{
	unsigned int spins = 0;
	uint64_t next;

	for (;;) {
		drain(t);
		if (first && t->out_num > 0)
			return;
		next = utcp_next_ns(t->u);
		if (next > target)
			break;
		if (next > t->now_ns) {
			t->now_ns = next;
			spins = 0;
		} else if (++spins > SPINS_MAX) {
			failed(t, __FILE__, __LINE__,
			       "utcp_next_ns stays at %s, and nothing is sent",
			       when(t, next));
		}
	}
	t->now_ns = target;
	drain(t);
}

void
tt_run(struct tt *t, uint64_t ns)
{
	go(t, t->now_ns + ns, false);
}

unsigned int
tt_skip(struct tt *t)
{
	unsigned int n;

	drain(t);
	n = t->out_num;
	t->out_num = 0;
	return n;
}

struct tt_pkt *
tt_next_pkt(struct tt *t)
{
	struct tt_pkt *pkt;

	if (t->out_num == 0)
		drain(t);
	if (t->out_num == 0)
		return NULL;
	pkt = &t->out[t->out_first];
	t->out_first = (t->out_first + 1) % TT_QUEUE;
	t->out_num--;
	return pkt;
}

struct tt_seg *
tt_next(struct tt *t)
{
	struct tt_pkt *pkt = tt_next_pkt(t);

	return pkt != NULL ? &pkt->seg : NULL;
}

/* ---- begin and end ---------------------------------------------------------------- */

void
tt__init(struct tt *t, int family, const utcp_config_t *cfg, const char *file,
	 int line)
{
	utcp_addr_t a = { .family = (uint8_t)family };
	int err;

	memset(t, 0, sizeof(*t));
	if (cfg != NULL)
		t->cfg = *cfg;
	t->cfg.size = sizeof(t->cfg);
	memset(t->cfg.seed, 7, sizeof(t->cfg.seed));
	if (t->cfg.now_ns == 0)
		t->cfg.now_ns = 1000 * SEC;
	t->cfg.alloc = tt_alloc;
	t->cfg.release = tt_release;
	t->cfg.alloc_arg = t;
	t->family = (uint8_t)family;
	t->now_ns = t->begin_ns = t->cfg.now_ns;
	err = utcp_create(&t->u, &t->cfg);
	if (err != 0)
		failed(t, file, line, "utcp_create: %d", err);
	memcpy(a.addr, family == 4 ? "\12\0\0\1" : "\xfd\0\0\0", 4);
	a.addr[15] = family == 6;
	err = utcp_address(t->u, &a, 1);
	if (err != 0)
		failed(t, file, line, "utcp_address: %d", err);
	t->p = &t->peer0;
	tt_peer(t, 2, 40000, 0);
}

struct tt_peer *
tt_peer(struct tt *t, unsigned int n, uint16_t port, uint16_t stack_port)
{
	struct tt_peer *p = &t->peer0;

	if (p->port != 0) {
		p = calloc(1, sizeof(*p));
		p->next = t->peer0.next;
		t->peer0.next = p;
	}
	memcpy(p->addr, t->family == 4 ? "\12\0\0\0" : "\xfd\0\0\0", 4);
	p->addr[t->family == 4 ? 3 : 15] = (uint8_t)n;
	p->addr[t->family == 4 ? 2 : 14] = (uint8_t)(n >> 8);
	p->port = port;
	p->stack_port = stack_port;
	p->isn = 1000000 + n;
	p->win = 65535;
	p->ts_ofs = 1000;
	t->p = p;
	return p;
}

static void
release_held(struct tt *t)
{
	while (t->num_held > 0)
		free(t->held[--t->num_held]);
}

void
tt__end(struct tt *t, const char *file, int line)
{
	struct tt_peer *p;
	unsigned int i;

	utcp_close(t->s);
	utcp_close(t->listener);
	utcp_destroy(t->u);
	release_held(t);
	for (i = 0; i < TT_QUEUE; i++)
		free(t->out[i].bytes);
	while ((p = t->peer0.next) != NULL) {
		t->peer0.next = p->next;
		free(p);
	}
	if (t->mem != 0)
		failed(t, file, line, "%lld bytes of memory are not back",
		       (long long)t->mem);
}

void
tt__open(struct tt *t, const char *file, int line)
{
	int err = utcp_open(t->u, t->family, &t->s);

	if (err != 0)
		failed(t, file, line, "utcp_open: %d", err);
}

void
tt__listen(struct tt *t, const char *file, int line)
{
	utcp_addr_t a = { .family = t->family };
	int err;

	put16(&a.port_be, 80);
	err = utcp_open(t->u, t->family, &t->listener);
	if (err == 0)
		err = utcp_bind(t->listener, &a);
	if (err == 0)
		err = utcp_listen(t->listener, 128);
	if (err != 0)
		failed(t, file, line, "no listener: %d", err);
}

void
tt__passive(struct tt *t, const char *opts, const char *file, int line)
{
	int err;

	if (t->listener == NULL)
		tt__listen(t, file, line);
	t->p->stack_port = 80;
	tt__in(t, NULL, file, line, "S 0:0(0) <%s>", opts);
	tt__expect(t, 0, 0, file, line, "S. 0:0(0) ack 1");
	tt__in(t, NULL, file, line, ". 1:1(0) ack 1");
	err = utcp_accept(t->listener, &t->s);
	if (err != 0)
		failed(t, file, line, "utcp_accept: %d", err);
	tt__state(t, UTCP_ESTABLISHED, file, line);
}

void
tt__active(struct tt *t, const char *opts, const char *file, int line)
{
	utcp_addr_t a = { .family = t->family };
	int err;

	if (t->s == NULL)
		tt__open(t, file, line);
	t->p->port = 80;
	t->p->stack_port = 0;
	memcpy(a.addr, t->p->addr, 16);
	put16(&a.port_be, 80);
	err = utcp_connect(t->s, &a);
	if (err != -EINPROGRESS)
		failed(t, file, line, "utcp_connect: %d", err);
	tt__expect(t, 0, 0, file, line, "S 0:0(0)");
	tt__in(t, NULL, file, line, "S. 0:0(0) ack 1 <%s>", opts);
	tt__expect(t, 0, 0, file, line, ". 1:1(0) ack 1");
	tt__state(t, UTCP_ESTABLISHED, file, line);
}

/* ---- packets in ----------------------------------------------------------------------- */

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
		failed(t, file, line, "too many packets held");
	t->held[t->num_held++] = mem;
	if (!t->keep) {
		utcp_retain(t->u);
		release_held(t);
	}
	if (err != 0)
		failed(t, file, line, "utcp_input: %d", err);
	if (!t->batch)
		drain(t);
}

static struct tt_seg
parsed(struct tt *t, const char *text, const char *file, int line)
{
	struct tt_seg seg;
	const char *wrong = tt__parse(&seg, text);

	if (wrong != NULL)
		failed(t, file, line, "\"%s\": %s", text, wrong);
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
	drain(t);
	seg = parsed(t, text, file, line);
	fill_in(t, &seg);
	note(t, "< %s", tt_text(&seg));
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
	note(t, "< ICMP type %u code %u mtu %u about seq %u", type, code, mtu,
	     seq);
	tt__in_raw(t, b, len, file, line);
}

/* ---- packets out ------------------------------------------------------------------------ */

static void
check_time(struct tt *t, const struct tt_seg *got, int mode, uint64_t from,
	   uint64_t ns, const char *text, const char *file, int line)
{
	uint64_t want = mode == 1 ? from + ns : t->now_ns;
	uint64_t off = got->at_ns > want ? got->at_ns - want
					 : want - got->at_ns;

	if (mode == 2 ? got->at_ns > from + ns : off > t->slack_ns)
		failed(t, file, line, "expected: %s at %s\n  it came at %s: %s",
		       text, when(t, want), when(t, got->at_ns), tt_text(got));
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
	drain(t);
	if (t->out_num == 0 && mode != 0)
		go(t, from + ns + t->slack_ns, true);
	if (t->out_num > 0 && t->out[t->out_first].proto != 6)
		failed(t, file, line,
		       "expected: %s\n  came: a packet of protocol %u", text,
		       t->out[t->out_first].proto);
	got = tt_next(t);
	if (got == NULL)
		failed(t, file, line,
		       "expected: %s\n  came: nothing (next timer at %s)", text,
		       when(t, utcp_next_ns(t->u)));
	differs = tt__differs(&want, got);
	if (differs != NULL)
		failed(t, file, line, "expected: %s\n  came:     %s\n  %s",
		       text, tt_text(got), differs);
	check_time(t, got, mode, from, ns, text, file, line);
}

void
tt__quiet(struct tt *t, uint64_t ns, const char *file, int line)
{
	go(t, t->now_ns + ns, true);
	if (t->out_num > 0)
		failed(t, file, line, "expected: nothing\n  came at %s: %s",
		       when(t, t->out[t->out_first].seg.at_ns),
		       t->out[t->out_first].proto == 6
			   ? tt_text(&t->out[t->out_first].seg)
			   : "a packet of another protocol");
}

/* ---- the socket --------------------------------------------------------------------------- */

void
tt__write(struct tt *t, uint32_t len, const char *file, int line)
{
	uint8_t *b = malloc(len ? len : 1);
	ssize_t n;
	uint32_t i;

	for (i = 0; i < len; i++)
		b[i] = tt_byte(t->wrote + i);
	n = utcp_write(t->s, b, len, 0);
	free(b);
	note(t, "write %u: %d", len, (int)n);
	if (n != (ssize_t)len)
		failed(t, file, line, "utcp_write of %u: %d", len, (int)n);
	t->wrote += len;
}

void
tt__read(struct tt *t, uint32_t len, const char *file, int line)
{
	uint8_t *b = malloc(len + 1);
	ssize_t n = utcp_read(t->s, b, len, 0);
	uint32_t i;

	note(t, "read %u: %d", len, (int)n);
	if (n != (ssize_t)len)
		failed(t, file, line, "utcp_read of %u: %d", len, (int)n);
	for (i = 0; i < len; i++, t->read++)
		if (b[i] != tt_byte(t->read))
			failed(t, file, line, "byte %llu read is wrong",
			       (unsigned long long)t->read);
	free(b);
}

void
tt__read_is(struct tt *t, ssize_t ret, const char *file, int line)
{
	uint8_t b[1];
	ssize_t n = utcp_read(t->s, b, 1, 0);

	note(t, "read 1: %d", (int)n);
	if (n != ret)
		failed(t, file, line, "utcp_read: %d, expected %d", (int)n,
		       (int)ret);
}

utcp_info_t
tt_info(struct tt *t)
{
	utcp_info_t info = { .size = sizeof(info) };
	int err = utcp_info(t->s, &info);

	if (err != 0)
		failed(t, __FILE__, __LINE__, "utcp_info: %d", err);
	return info;
}

uint64_t
tt_counter(struct tt *t, enum utcp_counter i)
{
	uint64_t v[UTCP_CTR_MAX] = { 0 };

	utcp_counters(t->u, v, UTCP_CTR_MAX);
	return v[i];
}

void
tt__state(struct tt *t, enum utcp_state state, const char *file, int line)
{
	static const char *const names[] = {
		"CLOSED",      "LISTEN",     "SYN-SENT",   "SYN-RECEIVED",
		"ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT",
		"CLOSING",     "LAST-ACK",   "TIME-WAIT"
	};
	unsigned int is = tt_info(t).state;

	if (is != state)
		failed(t, file, line, "state is %s, expected %s", names[is],
		       names[state]);
}

void
tt__ready(struct tt *t, uint32_t has, uint32_t has_not, const char *file,
	  int line)
{
	uint32_t is = utcp_poll(t->s);

	if ((is & has) != has || (is & has_not) != 0)
		failed(t, file, line,
		       "ready is 0x%x, expected 0x%x and not 0x%x", is, has,
		       has_not);
}
