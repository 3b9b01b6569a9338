/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_util.c: the stack, its time and its sockets; see tcp_util.h. */
#include "tcp_text.h"

#define LOG_LINES (sizeof(((struct tt *)0)->log) / 220)
#define SPINS_MAX 100

/* ---- failures ---------------------------------------------------------- */

void
tt__note(struct tt *t, const char *fmt, ...)
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

const char *
tt__when(const struct tt *t, uint64_t at_ns)
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

void
tt__failed(struct tt *t, const char *file, int line, const char *fmt, ...)
{
	unsigned int i = t->log_at > LOG_LINES ? t->log_at - LOG_LINES : 0;
	char msg[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	print_error("%s:%d: %s\n", file, line, msg);
	print_error("the last segments, at %s (< to the stack, > from it):\n",
		    tt__when(t, t->now_ns));
	for (; i < t->log_at; i++)
		print_error("    %s\n", t->log[i % LOG_LINES]);
	_fail(file, line);
	abort();
}

/* ---- the stack's memory and its packets -------------------------------- */

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
		tt__note(t, "> protocol %u, %u bytes", pkt->proto, pkt->len);
		return;
	}
	p = tt__decode(t, &pkt->seg, pkt->bytes, pkt->len, partial, &why);
	if (p == NULL)
		tt__failed(t, __FILE__, __LINE__,
			   "the stack sent a bad packet: %s", why);
	tt__note(t, "> %s", tt_text(&pkt->seg));
	if (!t->no_pattern && !is_pattern(&pkt->seg))
		tt__failed(t, __FILE__, __LINE__,
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
			tt__failed(t, __FILE__, __LINE__,
				   "%u packets left that nobody expected",
				   TT_QUEUE);
		pkt = &t->out[(t->out_first + t->out_num++) % TT_QUEUE];
		free(pkt->bytes);
		memset(pkt, 0, sizeof(*pkt));
		pkt->bytes = malloc(TT_BYTES_MAX + 4096);
		for (j = i, len = 0; j < n; j++) {
			if (len + el[j].len > TT_BYTES_MAX)
				tt__failed(t, __FILE__, __LINE__,
					   "packet too long");
			memcpy(pkt->bytes + len, el[j].data, el[j].len);
			len += el[j].len;
			if ((el[j].flags & UTCP_PKT_MORE) == 0)
				break;
		}
		if (j++ == n)
			tt__failed(t, __FILE__, __LINE__,
				   "packet without an end");
		pkt->len = len - t->cfg.l2_bytes;
		memmove(pkt->bytes, pkt->bytes + t->cfg.l2_bytes, pkt->len);
		pkt->seg.gso_size = el[i].gso_type != 0 ? el[i].gso_size : 0;
		took(t, pkt, (el[i].flags & UTCP_PKT_CSUM_PARTIAL) != 0);
	}
}

/* Has the stack send what it wants to send now. */
void
tt__drain(struct tt *t)
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
			tt__failed(t, __FILE__, __LINE__, "utcp_output: %d", n);
		collect(t, el, (unsigned int)n);
	} while (n > 0);
}

/* Time to target, or to when the first packet leaves if first is true. */
void
tt__go(struct tt *t, uint64_t target, bool first)
{
	unsigned int spins = 0;
	uint64_t next;

	for (;;) {
		tt__drain(t);
		if (first && t->out_num > 0)
			return;
		next = utcp_next_ns(t->u);
		if (next > target)
			break;
		if (next > t->now_ns) {
			t->now_ns = next;
			spins = 0;
		} else if (++spins > SPINS_MAX) {
			tt__failed(
			    t, __FILE__, __LINE__,
			    "utcp_next_ns stays at %s, and nothing is sent",
			    tt__when(t, next));
		}
	}
	t->now_ns = target;
	tt__drain(t);
}

void
tt_run(struct tt *t, uint64_t ns)
{
	tt__go(t, t->now_ns + ns, false);
}

unsigned int
tt_skip(struct tt *t)
{
	unsigned int n;

	tt__drain(t);
	n = t->out_num;
	t->out_num = 0;
	return n;
}

struct tt_pkt *
tt_next_pkt(struct tt *t)
{
	struct tt_pkt *pkt;

	if (t->out_num == 0)
		tt__drain(t);
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

/* ---- begin and end ----------------------------------------------------- */

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
		tt__failed(t, file, line, "utcp_create: %d", err);
	memcpy(a.addr, family == 4 ? "\12\0\0\1" : "\xfd\0\0\0", 4);
	a.addr[15] = family == 6;
	err = utcp_address(t->u, &a, 1);
	if (err != 0)
		tt__failed(t, file, line, "utcp_address: %d", err);
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

void
tt__release_held(struct tt *t)
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
	tt__release_held(t);
	for (i = 0; i < TT_QUEUE; i++)
		free(t->out[i].bytes);
	while ((p = t->peer0.next) != NULL) {
		t->peer0.next = p->next;
		free(p);
	}
	if (t->mem != 0)
		tt__failed(t, file, line, "%lld bytes of memory are not back",
			   (long long)t->mem);
}

void
tt__open(struct tt *t, const char *file, int line)
{
	int err = utcp_open(t->u, t->family, &t->s);

	if (err != 0)
		tt__failed(t, file, line, "utcp_open: %d", err);
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
		tt__failed(t, file, line, "no listener: %d", err);
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
		tt__failed(t, file, line, "utcp_accept: %d", err);
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
		tt__failed(t, file, line, "utcp_connect: %d", err);
	tt__expect(t, 0, 0, file, line, "S 0:0(0)");
	tt__in(t, NULL, file, line, "S. 0:0(0) ack 1 <%s>", opts);
	tt__expect(t, 0, 0, file, line, ". 1:1(0) ack 1");
	tt__state(t, UTCP_ESTABLISHED, file, line);
}

/* ---- the socket -------------------------------------------------------- */

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
	tt__note(t, "write %u: %d", len, (int)n);
	if (n != (ssize_t)len)
		tt__failed(t, file, line, "utcp_write of %u: %d", len, (int)n);
	t->wrote += len;
}

void
tt__read(struct tt *t, uint32_t len, const char *file, int line)
{
	uint8_t *b = malloc(len + 1);
	ssize_t n = utcp_read(t->s, b, len, 0);
	uint32_t i;

	tt__note(t, "read %u: %d", len, (int)n);
	if (n != (ssize_t)len)
		tt__failed(t, file, line, "utcp_read of %u: %d", len, (int)n);
	for (i = 0; i < len; i++, t->read++)
		if (b[i] != tt_byte(t->read))
			tt__failed(t, file, line, "byte %llu read is wrong",
				   (unsigned long long)t->read);
	free(b);
}

void
tt__read_is(struct tt *t, ssize_t ret, const char *file, int line)
{
	uint8_t b[1];
	ssize_t n = utcp_read(t->s, b, 1, 0);

	tt__note(t, "read 1: %d", (int)n);
	if (n != ret)
		tt__failed(t, file, line, "utcp_read: %d, expected %d", (int)n,
			   (int)ret);
}

utcp_info_t
tt_info(struct tt *t)
{
	utcp_info_t info = { .size = sizeof(info) };
	int err = utcp_info(t->s, &info);

	if (err != 0)
		tt__failed(t, __FILE__, __LINE__, "utcp_info: %d", err);
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
		tt__failed(t, file, line, "state is %s, expected %s", names[is],
			   names[state]);
}

void
tt__ready(struct tt *t, uint32_t has, uint32_t has_not, const char *file,
	  int line)
{
	uint32_t is = utcp_poll(t->s);

	if ((is & has) != has || (is & has_not) != 0)
		tt__failed(t, file, line,
			   "ready is 0x%x, expected 0x%x and not 0x%x", is, has,
			   has_not);
}
