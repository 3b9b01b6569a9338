/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_text.c: segments as text, and compared; see tcp_util.h. */
#include <ctype.h>

#include "tcp_text.h"

static const struct {
	char letter;
	uint16_t flag;
} letters[] = { { 'S', TH_SYN }, { 'F', TH_FIN }, { 'R', TH_RST },
		{ 'P', TH_PSH }, { '.', TH_ACK }, { 'U', TH_URG },
		{ 'E', TH_ECE }, { 'W', TH_CWR }, { 'A', TH_AE } };
static const char *const ecns[] = { "[noecn]", "[ect1]", "[ect0]", "[ce]" };

/* ---- text to segment --------------------------------------------------- */

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

/* ---- segment to text --------------------------------------------------- */

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

/* ---- two segments ------------------------------------------------------ */

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
