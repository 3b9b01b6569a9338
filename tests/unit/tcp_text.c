/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_text.c: see tcp_util.h. */
#include <ctype.h>

#include "tcp_text.h"

static const struct {
	char letter;
	uint16_t flag;
} letters[] = { { 'S', TH_SYN }, { 'F', TH_FIN }, { 'R', TH_RST },
		{ 'P', TH_PSH }, { '.', TH_ACK }, { 'U', TH_URG },
		{ 'E', TH_ECE }, { 'W', TH_CWR }, { 'A', TH_AE } };
static const char *const ecns[] = { "[noecn]", "[ect1]", "[ect0]", "[ce]" };

/* ---- text to segment ------------------------------------------------------ */

static bool
word(const char **p, const char *w)
{
	size_t n = strlen(w);

	while (**p == ' ')
		(*p)++;
	if (strncmp(*p, w, n) != 0)
		return false;
	if (isalpha((unsigned char)w[n - 1]) && isalnum((unsigned char)(*p)[n]))
		return false;
	*p += n;
	return true;
}

static enum tt_mode
number(const char **p, uint32_t *v)
{
	char *end;

	while (**p == ' ')
		(*p)++;
	if (**p == '*') {
		(*p)++;
		return TT_ANY;
	}
	if (!isdigit((unsigned char)**p) && **p != '-')
		return TT_NO;
	*v = (uint32_t)strtoll(*p, &end, 10);
	*p = end;
	return TT_IS;
}

static unsigned int
hex(const char **p, uint8_t *to, unsigned int max)
{
	unsigned int n = 0, v;

	while (**p == ' ')
		(*p)++;
	while (n < max && isxdigit((unsigned char)(*p)[0]) &&
	       isxdigit((unsigned char)(*p)[1])) {
		sscanf(*p, "%2x", &v);
		to[n++] = (uint8_t)v;
		*p += 2;
	}
	return n;
}

static const char *
parse_sack(struct tt_seg *seg, const char **p)
{
	struct utcp__sackblk *b;

	while (seg->num_sacks < 4) {
		b = &seg->sacks[seg->num_sacks];
		if (number(p, &b->start) != TT_IS)
			break;
		if (!word(p, ":") || number(p, &b->end) != TT_IS)
			return "sack START:END expected";
		seg->num_sacks++;
	}
	return seg->num_sacks == 0 ? "sack without a block" : NULL;
}

static const char *
parse_option(struct tt_seg *seg, const char **p)
{
	if (word(p, "mss")) {
		seg->mss = number(p, &seg->mss_is);
		return seg->mss == TT_NO ? "mss: a number" : NULL;
	}
	if (word(p, "wscale")) {
		seg->wscale = number(p, &seg->wscale_is);
		return seg->wscale == TT_NO ? "wscale: a number" : NULL;
	}
	if (word(p, "sackOK")) {
		seg->sack_ok = TT_IS;
		return NULL;
	}
	if (word(p, "sack"))
		return parse_sack(seg, p);
	if (word(p, "TS")) {
		word(p, "val");
		seg->ts = number(p, &seg->ts_val);
		word(p, "ecr");
		seg->ts_ecr_is = number(p, &seg->ts_ecr);
		return seg->ts == TT_NO || seg->ts_ecr_is == TT_NO
			   ? "TS val N ecr N"
			   : NULL;
	}
	if (word(p, "noTS")) {
		seg->no_ts = true;
		return NULL;
	}
	if (word(p, "FOEXP") || word(p, "FO")) {
		seg->fo_exp = (*p)[-1] == 'P';
		seg->fo = word(p, "*") ? TT_ANY : TT_IS;
		seg->fo_len = hex(p, seg->fo_cookie, 16);
		return NULL;
	}
	if (word(p, "raw")) {
		seg->raw_len += hex(p, seg->raw + seg->raw_len,
				    40 - seg->raw_len);
		return NULL;
	}
	if (word(p, "nop") || word(p, "eol"))
		return NULL;
	return "unknown option";
}

static const char *
parse_options(struct tt_seg *seg, const char **p)
{
	const char *wrong;

	seg->has_opts = true;
	while (!word(p, ">")) {
		wrong = parse_option(seg, p);
		if (wrong != NULL)
			return wrong;
		word(p, ",");
	}
	return NULL;
}

static bool
parse_flags(struct tt_seg *seg, const char **p)
{
	size_t i, n = sizeof(letters) / sizeof(letters[0]);

	while (**p != '\0' && **p != ' ') {
		for (i = 0; i < n && letters[i].letter != **p; i++)
			;
		if (i == n)
			return **p == '-' && *++*p == ' ';
		seg->flags |= letters[i].flag;
		(*p)++;
	}
	return true;
}

static const char *
parse_range(struct tt_seg *seg, const char **p)
{
	uint32_t end;
	enum tt_mode has_end;

	seg->has_seq = number(p, &seg->seq);
	if (seg->has_seq == TT_NO)
		return NULL;
	if (word(p, ":")) {
		has_end = number(p, &end);
		if (has_end == TT_NO)
			return "SEQ:END(LEN): no END";
		seg->has_len = has_end;
		if (has_end == TT_IS)
			seg->len = end - seg->seq;
	}
	if (word(p, "(")) {
		seg->has_len = number(p, &end);
		if (seg->has_len == TT_NO || !word(p, ")"))
			return "SEQ:END(LEN): no LEN";
		if (seg->has_len == TT_IS)
			seg->len = end;
	}
	return NULL;
}

const char *
tt__parse(struct tt_seg *seg, const char *text)
{
	const char *p = text, *wrong;
	int i;

	memset(seg, 0, sizeof(*seg));
	seg->ecn = seg->ttl = seg->dscp = -1;
	for (i = 0; i < 4; i++)
		if (word(&p, ecns[i]))
			seg->ecn = i;
	while (*p == ' ')
		p++;
	if (!parse_flags(seg, &p))
		return "unknown flag";
	wrong = parse_range(seg, &p);
	if (wrong != NULL)
		return wrong;
	for (;;) {
		if (word(&p, "ack"))
			seg->has_ack = number(&p, &seg->ack);
		else if (word(&p, "win"))
			seg->has_win = number(&p, &seg->win);
		else if (word(&p, "urg"))
			seg->has_urg = number(&p, &seg->urg);
		else if (word(&p, "ttl"))
			number(&p, (uint32_t *)&seg->ttl);
		else if (word(&p, "dscp"))
			number(&p, (uint32_t *)&seg->dscp);
		else if (word(&p, "<"))
			wrong = parse_options(seg, &p);
		else
			break;
		if (wrong != NULL)
			return wrong;
	}
	while (*p == ' ')
		p++;
	return *p == '\0' ? NULL : "something behind its end";
}

/* ---- segment to text ------------------------------------------------------- */

struct text {
	char *to;
	size_t left;
};

static void __attribute__((format(printf, 2, 3)))
say(struct text *x, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(x->to, x->left, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= x->left)
		return;
	x->to += n;
	x->left -= (size_t)n;
}

static void
say_number(struct text *x, const char *name, enum tt_mode has, uint32_t v)
{
	if (has == TT_IS)
		say(x, "%s%d", name, (int)v);
	else if (has == TT_ANY)
		say(x, "%s*", name);
}

static void
say_hex(struct text *x, const char *name, const uint8_t *b, unsigned int n)
{
	unsigned int i;

	say(x, "%s", name);
	for (i = 0; i < n; i++)
		say(x, "%02x", b[i]);
}

static void
say_options(struct text *x, const struct tt_seg *seg)
{
	char *begin;
	unsigned int i;

	say(x, " <");
	begin = x->to;
	say_number(x, ",mss ", seg->mss, seg->mss_is);
	if (seg->sack_ok)
		say(x, ",sackOK");
	say_number(x, ",TS val ", seg->ts, seg->ts_val);
	say_number(x, " ecr ", seg->ts_ecr_is, seg->ts_ecr);
	say_number(x, ",wscale ", seg->wscale, seg->wscale_is);
	for (i = 0; i < seg->num_sacks; i++)
		say(x, "%s %d:%d", i == 0 ? ",sack" : "",
		    (int)seg->sacks[i].start, (int)seg->sacks[i].end);
	if (seg->fo != TT_NO)
		say_hex(x, seg->fo_exp ? ",FOEXP " : ",FO ", seg->fo_cookie,
			seg->fo_len);
	if (seg->raw_len > 0)
		say_hex(x, ",raw ", seg->raw, seg->raw_len);
	if (x->to > begin) /* the first comma */
		memmove(begin, begin + 1, (size_t)(x->to-- - begin));
	say(x, ">");
}

const char *
tt_text(const struct tt_seg *seg)
{
	static char texts[8][200];
	static unsigned int turn;
	struct text x = { texts[turn++ % 8], sizeof(texts[0]) };
	char *text = x.to;
	size_t i;

	if (seg->ecn > 0)
		say(&x, "%s ", ecns[seg->ecn & 3]);
	for (i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if ((seg->flags & letters[i].flag) != 0)
			say(&x, "%c", letters[i].letter);
	if (seg->flags == 0)
		say(&x, "-");
	say_number(&x, " ", seg->has_seq, seg->seq);
	if (seg->has_len == TT_IS)
		say(&x, ":%d(%u)", (int)(seg->seq + seg->len), seg->len);
	say_number(&x, " ack ", seg->has_ack, seg->ack);
	say_number(&x, " win ", seg->has_win, seg->win);
	if (seg->urg != 0)
		say_number(&x, " urg ", seg->has_urg, seg->urg);
	if (seg->has_opts)
		say_options(&x, seg);
	if (seg->gso_size != 0)
		say(&x, " gso %u", seg->gso_size);
	return text;
}

/* ---- segment to bytes --------------------------------------------------------- */

static unsigned int
put_options(const struct tt_peer *p, const struct tt_seg *s, uint8_t *to)
{
	uint8_t opts[120];
	unsigned int n = 0, i;

	if (s->mss == TT_IS) {
		memcpy(opts + n, "\2\4", 2);
		put16(opts + n + 2, s->mss_is);
		n += 4;
	}
	if (s->sack_ok == TT_IS) {
		if (s->ts != TT_IS) { /* which comes next and aligns */
			memcpy(opts + n, "\1\1", 2);
			n += 2;
		}
		memcpy(opts + n, "\4\2", 2);
		n += 2;
	}
	if (s->ts == TT_IS) {
		if (s->sack_ok != TT_IS) {
			memcpy(opts + n, "\1\1", 2);
			n += 2;
		}
		memcpy(opts + n, "\10\12", 2);
		put32(opts + n + 2, s->ts_val);
		put32(opts + n + 6, s->ts_ecr + (p->ts_known ? p->ts_base : 0));
		n += 10;
	}
	if (s->wscale == TT_IS) {
		memcpy(opts + n, "\1\3\3", 3);
		opts[n + 3] = (uint8_t)s->wscale_is;
		n += 4;
	}
	if (s->num_sacks > 0) {
		memcpy(opts + n, "\1\1\5", 3);
		opts[n + 3] = (uint8_t)(2 + 8 * s->num_sacks);
		n += 4;
		for (i = 0; i < s->num_sacks; i++, n += 8) {
			put32(opts + n, s->sacks[i].start + p->iss);
			put32(opts + n + 4, s->sacks[i].end + p->iss);
		}
	}
	if (s->fo != TT_NO) {
		opts[n++] = s->fo_exp ? 254 : 34;
		opts[n++] = (uint8_t)(2 + 2 * s->fo_exp + s->fo_len);
		if (s->fo_exp) {
			put16(opts + n, 0xf989);
			n += 2;
		}
		memcpy(opts + n, s->fo_cookie, s->fo_len);
		n += s->fo_len;
	}
	memcpy(opts + n, s->raw, s->raw_len);
	n += s->raw_len;
	while (n % 4 != 0)
		opts[n++] = 1;
	if (n > 40)
		n = 40;
	memcpy(to, opts, n);
	return n;
}

/* A sum of its own: the stack's is what is tested. */
static uint16_t
sum16(const uint8_t *b, size_t len, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (len % 2 != 0)
		sum += (uint32_t)b[len - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of the pseudo header and what follows the IP header. */
static uint16_t
l4_sum(const uint8_t *pkt, uint32_t len, uint32_t hdr, uint8_t proto)
{
	uint32_t l4 = len - hdr;
	uint32_t sum = proto + (l4 >> 16) + (l4 & 0xffff);

	if (pkt[0] >> 4 == 4)
		sum = sum16(pkt + 12, 8, sum);
	else
		sum = sum16(pkt + 8, 32, sum);
	return sum16(pkt + hdr, l4, sum);
}

void
tt_fix(struct tt *t, uint8_t *pkt, uint32_t len)
{
	uint32_t hdr = pkt[0] >> 4 == 4 ? 20 : 40;
	uint16_t sum;

	if (hdr == 20) {
		put16(pkt + 2, len);
		put16(pkt + 10, 0);
		put16(pkt + 10, (uint16_t)~sum16(pkt, 20, 0));
	} else {
		put16(pkt + 4, len - 40);
	}
	put16(pkt + hdr + 16, 0);
	sum = (uint16_t)~l4_sum(pkt, len, hdr, 6);
	put16(pkt + hdr + 16, sum);
}

uint32_t
tt__bytes(struct tt *t, struct tt_peer *p, const struct tt_seg *seg,
	  const void *data, uint8_t *to)
{
	uint32_t hdr = t->family == 4 ? 20 : 40, opts, i;
	uint8_t *th = to + hdr;

	memset(to, 0, hdr + 20);
	if (t->family == 4) {
		to[0] = 0x45;
		to[1] = (uint8_t)(seg->ecn |
				  (seg->dscp > 0 ? seg->dscp << 2 : 0));
		put16(to + 6, 0x4000);
		to[8] = (uint8_t)seg->ttl;
		to[9] = 6;
		memcpy(to + 12, p->addr, 4);
		memcpy(to + 16, "\12\0\0\1", 4);
	} else {
		to[0] = 0x60;
		to[1] = (uint8_t)(seg->ecn << 4);
		to[6] = 6;
		to[7] = (uint8_t)seg->ttl;
		memcpy(to + 8, p->addr, 16);
		to[24] = 0xfd;
		to[39] = 1;
	}
	put16(th, p->port);
	put16(th + 2, p->stack_port);
	put32(th + 4, p->isn + seg->seq);
	if ((seg->flags & TH_ACK) != 0 || seg->has_ack == TT_IS)
		put32(th + 8, p->iss + seg->ack);
	opts = put_options(p, seg, th + 20);
	th[12] = (uint8_t)((20 + opts) << 2 | seg->flags >> 8);
	th[13] = (uint8_t)seg->flags;
	put16(th + 14, seg->win);
	put16(th + 18, seg->urg);
	for (i = 0; i < seg->len; i++)
		th[20 + opts + i] = data != NULL
					? ((const uint8_t *)data)[i]
					: tt_byte((uint64_t)seg->seq + i - 1 +
						  ((seg->flags & TH_SYN) != 0));
	tt_fix(t, to, hdr + 20 + opts + seg->len);
	return hdr + 20 + opts + seg->len;
}

/* ---- bytes to segment ------------------------------------------------------------ */

static void
get_option(struct tt_peer *p, struct tt_seg *s, const uint8_t *o,
	   unsigned int len)
{
	unsigned int skip;

	if (o[0] == 2 && len == 4) {
		s->mss = TT_IS;
		s->mss_is = get16(o + 2);
	} else if (o[0] == 3 && len == 3) {
		s->wscale = TT_IS;
		s->wscale_is = o[2];
	} else if (o[0] == 4 && len == 2) {
		s->sack_ok = TT_IS;
	} else if (o[0] == 5) {
		for (o += 2; len >= 10 && s->num_sacks < 4; len -= 8, o += 8) {
			s->sacks[s->num_sacks].start = get32(o) - p->isn;
			s->sacks[s->num_sacks++].end = get32(o + 4) - p->isn;
		}
	} else if (o[0] == 8 && len == 10) {
		if (!p->ts_known) {
			p->ts_known = true;
			p->ts_base = get32(o + 2);
		}
		s->ts = s->ts_ecr_is = TT_IS;
		s->ts_val = p->ts_last = get32(o + 2) - p->ts_base;
		s->ts_ecr = get32(o + 6);
	} else if (o[0] == 34 || (o[0] == 254 && len >= 4)) {
		s->fo = TT_IS;
		s->fo_exp = o[0] == 254;
		skip = s->fo_exp ? 4 : 2;
		s->fo_len = len - skip;
		memcpy(s->fo_cookie, o + skip, s->fo_len);
	} else if (s->raw_len + len <= sizeof(s->raw)) {
		memcpy(s->raw + s->raw_len, o, len);
		s->raw_len += len;
	}
}

static const char *
get_options(struct tt_peer *p, struct tt_seg *s, const uint8_t *o,
	    const uint8_t *end)
{
	while (o < end && *o != 0) {
		if (*o == 1) {
			o++;
			continue;
		}
		if (end - o < 2 || o[1] < 2 || o[1] > end - o)
			return "malformed TCP options";
		get_option(p, s, o, o[1]);
		o += o[1];
	}
	return NULL;
}

static struct tt_peer *
peer_of(struct tt *t, const uint8_t *addr, uint16_t port, uint16_t stack_port)
{
	struct tt_peer *p;

	for (p = &t->peer0; p != NULL; p = p->next)
		if (memcmp(p->addr, addr, t->family == 4 ? 4 : 16) == 0 &&
		    p->port == port &&
		    (p->stack_port == 0 || p->stack_port == stack_port))
			break;
	if (p != NULL)
		p->stack_port = stack_port;
	return p;
}

static const char *
check_ip(const struct tt *t, struct tt_seg *seg, const uint8_t *pkt,
	 uint32_t len)
{
	if (t->family == 4) {
		if (len < 40 || pkt[0] != 0x45)
			return "IP header";
		if (get16(pkt + 2) != len)
			return "IP length";
		if (sum16(pkt, 20, 0) != 0xffff)
			return "IP checksum";
		seg->ecn = pkt[1] & 3;
		seg->dscp = pkt[1] >> 2;
		seg->ttl = pkt[8];
	} else {
		if (len < 60 || pkt[0] >> 4 != 6)
			return "IPv6 header";
		if (get16(pkt + 4) != len - 40)
			return "IPv6 length";
		seg->ecn = pkt[1] >> 4 & 3;
		seg->dscp = (pkt[0] << 2 | pkt[1] >> 6) & 63;
		seg->ttl = pkt[7];
	}
	return NULL;
}

struct tt_peer *
tt__decode(struct tt *t, struct tt_seg *seg, const uint8_t *pkt, uint32_t len,
	   bool partial, const char **why)
{
	uint32_t hdr = t->family == 4 ? 20 : 40, off;
	const uint8_t *th = pkt + hdr;
	struct tt_peer *p;

	*why = check_ip(t, seg, pkt, len);
	if (*why != NULL)
		return NULL;
	off = (uint32_t)(th[12] >> 4) * 4;
	if (off < 20 || hdr + off > len)
		*why = "TCP header length";
	else if (!partial && l4_sum(pkt, len, hdr, 6) != 0xffff)
		*why = "TCP checksum";
	p = peer_of(t, pkt + (t->family == 4 ? 16 : 24), get16(th + 2),
		    get16(th));
	if (p == NULL)
		*why = "for a peer that nobody knows";
	if (*why != NULL)
		return NULL;
	seg->flags = (uint16_t)(th[13] | (th[12] & 1) << 8);
	seg->has_seq = seg->has_len = seg->has_win = seg->has_urg = TT_IS;
	if ((seg->flags & TH_SYN) != 0 && get32(th + 4) != p->iss) {
		p->iss = get32(th + 4);
		p->iss_known = true;
		p->ts_known = false;
	}
	seg->seq = get32(th + 4) - p->iss;
	seg->has_ack = (seg->flags & TH_ACK) != 0 ? TT_IS : TT_NO;
	seg->ack = get32(th + 8) - p->isn;
	seg->win = get16(th + 14);
	seg->urg = get16(th + 18);
	seg->len = len - hdr - off;
	seg->data = th + off;
	*why = get_options(p, seg, th + 20, th + off);
	seg->has_opts = off > 20;
	return *why == NULL ? p : NULL;
}

/* ---- two segments -------------------------------------------------------------------- */

static bool
is(enum tt_mode has, uint32_t want, enum tt_mode got_has, uint32_t got)
{
	if (has == TT_ANY)
		return got_has == TT_IS;
	return has == got_has && (has == TT_NO || want == got);
}

static const char *
differing_options(const struct tt_seg *w, const struct tt_seg *g)
{
	if (!is(w->mss, w->mss_is, g->mss, g->mss_is))
		return "mss";
	if (!is(w->wscale, w->wscale_is, g->wscale, g->wscale_is))
		return "wscale";
	if (w->sack_ok != g->sack_ok)
		return "sackOK";
	if (w->no_ts && g->ts != TT_NO)
		return "timestamps";
	if (w->ts != TT_NO && !is(w->ts, w->ts_val, g->ts, g->ts_val))
		return "TS val";
	if (w->ts != TT_NO && !is(w->ts_ecr_is, w->ts_ecr, g->ts, g->ts_ecr))
		return "TS ecr";
	if (w->num_sacks != g->num_sacks ||
	    memcmp(w->sacks, g->sacks, w->num_sacks * sizeof(w->sacks[0])) != 0)
		return "sack";
	if ((w->fo == TT_NO) != (g->fo == TT_NO) || w->fo_exp != g->fo_exp)
		return "fast open";
	if (w->fo == TT_IS && (w->fo_len != g->fo_len ||
			       memcmp(w->fo_cookie, g->fo_cookie, w->fo_len)))
		return "fast open cookie";
	if (w->raw_len != g->raw_len || memcmp(w->raw, g->raw, w->raw_len) != 0)
		return "other options";
	return NULL;
}

const char *
tt__differs(const struct tt_seg *w, const struct tt_seg *g)
{
	uint16_t ignore = (w->flags & TH_PSH) != 0 ? 0 : TH_PSH;

	if ((w->flags & ~ignore) != (g->flags & ~ignore))
		return "flags";
	if (w->has_seq == TT_IS && w->seq != g->seq)
		return "seq";
	if (w->has_len == TT_IS && w->len != g->len)
		return "length";
	if (w->has_ack == TT_IS && w->ack != g->ack)
		return "ack";
	if (w->has_win == TT_IS && w->win != g->win)
		return "win";
	if (w->has_urg == TT_IS && w->urg != g->urg)
		return "urg";
	if (w->ecn >= 0 && w->ecn != g->ecn)
		return "ECN of IP";
	if (w->ttl >= 0 && w->ttl != g->ttl)
		return "ttl";
	if (w->dscp >= 0 && w->dscp != g->dscp)
		return "dscp";
	return w->has_opts ? differing_options(w, g) : NULL;
}
