/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.c: errors that others send about our packets, and ours about theirs.
 *
 * Anyone can send an ICMP error. It touches a connection only if the packet in
 * it is one that is in flight now (RFC 5927 section 4.1), and ends none that is
 * open (section 5.2). One that is being opened it ends: that is what RFC 9293
 * section 3.9.2.2 asks of hard errors, and what most stacks make of soft ones
 * (RFC 5461 section 4.1), unless UTCP_OPT_SOFT_ERRORS is off. Echo and the rest
 * are the host's.
 */
#include "sock.h"
#include "tcp_output.h"
#include "tcp_syn.h"
#include "udp.h"

#define EXT_MAX 8
#define QUOTE4_MAX 548	/* RFC 1812 section 4.3.2.3: 576 in all */
#define QUOTE6_MAX 1232 /* RFC 4443 section 2.4 (c): 1280 in all */

#ifndef ENONET
#define ENONET EHOSTUNREACH /* Linux has a word for it */
#endif

/* An error, its meaning, and the packet that it is about. */
struct told {
	int err;	/* positive errno; 0: it is about the MTU */
	bool hard;	/* will not pass: RFC 1122 section 4.2.3.9 */
	uint32_t mtu;	/* 0: it does not say */
	uint32_t bytes; /* of IP of that packet */
	struct utcp__key key;
	const uint8_t *l4; /* 8 bytes */
};

/* RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1; RFC 9293 says of codes 0,
   1 and 5 that they are soft, the others are as Linux has them. */
static const struct {
	int16_t err;
	bool hard;
} unreachable4[] = {
	{ ENETUNREACH, false },
	{ EHOSTUNREACH, false },
	{ ENOPROTOOPT, true },
	{ ECONNREFUSED, true },
	{ 0, false },
	{ EOPNOTSUPP, false }, /* source route failed */
	{ ENETUNREACH, true },
	{ EHOSTDOWN, true },
	{ ENONET, true },
	{ ENETUNREACH, true },
	{ EHOSTUNREACH, true },
	{ ENETUNREACH, false },
	{ EHOSTUNREACH, false },
	{ EHOSTUNREACH, true },
	{ EHOSTUNREACH, true },
	{ EHOSTUNREACH, true },
};

/* RFC 4443 section 3.1 */
static const struct {
	int16_t err;
	bool hard;
} unreachable6[] = {
	{ ENETUNREACH, false },	 { EACCES, true },
	{ EHOSTUNREACH, false }, { EHOSTUNREACH, false },
	{ ECONNREFUSED, true },	 { EACCES, true },
	{ EACCES, true },
};

/* What type and code say. False: nothing that concerns us. */
static bool
meaning4(const uint8_t *icmp, struct told *t)
{
	switch (icmp[0]) {
	case 3:
		if (icmp[1] >= sizeof(unreachable4) / sizeof(*unreachable4))
			return false;
		t->err = unreachable4[icmp[1]].err;
		t->hard = unreachable4[icmp[1]].hard;
		t->mtu = get16(icmp + 6); /* RFC 1191 section 4 */
		return true;
	case 11:
		t->err = EHOSTUNREACH;
		return true;
	case 12:
		t->err = EPROTO;
		return true;
	default: /* 4, source quench, is to be ignored: RFC 6633 */
		return false;
	}
}

static bool
meaning6(const uint8_t *icmp, struct told *t)
{
	t->err = EPROTO;
	switch (icmp[0]) {
	case 1:
		if (icmp[1] >= sizeof(unreachable6) / sizeof(*unreachable6))
			return true;
		t->err = unreachable6[icmp[1]].err;
		t->hard = unreachable6[icmp[1]].hard;
		return true;
	case 2:
		t->err = 0;
		t->mtu = get32(icmp + 4);
		return t->mtu != 0;
	case 3:
		t->err = EHOSTUNREACH;
		return true;
	case 4:
		t->hard = icmp[1] == 1; /* next header unknown: no TCP there */
		return true;
	default:
		/* RFC 4443 section 2.4 (a): unknown errors are passed up. */
		return icmp[0] < 128;
	}
}

/* The packet within, which we are to have sent. False: not so. */
static bool
quoted4(const uint8_t *ip, size_t len, struct told *t)
{
	uint32_t head;

	if (len < 20 || ip[0] >> 4 != 4)
		return false;
	head = (ip[0] & 15u) * 4;
	if (head < 20 || len < head + 8 || (get16(ip + 6) & 0x1fff) != 0)
		return false;
	t->bytes = get16(ip + 2);
	t->key.family = 4;
	t->key.proto = ip[9];
	memcpy(t->key.laddr, ip + 12, 4);
	memcpy(t->key.raddr, ip + 16, 4);
	t->l4 = ip + head;
	return true;
}

static bool
quoted6(const uint8_t *ip, size_t len, struct told *t)
{
	size_t at = 40, n;
	uint8_t proto;
	int i;

	if (len < 48 || ip[0] >> 4 != 6)
		return false;
	t->bytes = 40u + get16(ip + 4);
	t->key.family = 6;
	memcpy(t->key.laddr, ip + 8, 16);
	memcpy(t->key.raddr, ip + 24, 16);
	proto = ip[6];
	for (i = 0; i < EXT_MAX; i++) {
		if (proto == 44) {
			if ((get16(ip + at + 2) & 0xfff8) != 0)
				return false;
			n = 8;
		} else if (proto == 0 || proto == 43 || proto == 60) {
			n = (ip[at + 1] + 1u) * 8;
		} else {
			break;
		}
		proto = ip[at];
		at += n;
		if (len < at + 8)
			return false;
	}
	t->key.proto = proto;
	t->l4 = ip + at;
	return true;
}

/* RFC 1191 section 7: a router that does not say how much fits gets tried what
   is common below the size that did not. */
static uint32_t
plateau(uint32_t bytes)
{
	static const uint16_t sizes[] = { 32000, 17914, 8166, 4352,
					  2002,	 1492,	1006, 552 };
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		if (sizes[i] < bytes)
			return sizes[i];
	return 552;
}

/* An error about a packet of this connection. */
static void
tcp_error(utcp_sock_t *s, int err, bool hard)
{
	/* RFC 1122 section 4.2.3.9 has hard errors end any connection; RFC
	   5927 section 5.2: only one that is not open, for what was open can
	   be probed better than by ICMP. */
	if ((s->state == UTCP_SYN_SENT || s->state == UTCP_SYN_RECEIVED) &&
	    (hard || OPT(s, SOFT_ERRORS) != 0)) {
		utcp__sock_dead(s, err);
		return;
	}
	s->soft_error = (int16_t)err;
}

static void
to_conn(utcp_sock_t *s, const struct told *t)
{
	uint32_t seq = get32(t->l4 + 4);

	/* RFC 5927 section 4.1: SND.UNA =< SEG.SEQ < SND.NXT */
	if (!seq_leq(s->snd_una, seq) || !seq_lt(seq, s->snd_nxt)) {
		COUNT(s->u, DROP_WINDOW);
		return;
	}
	if (t->err != 0)
		tcp_error(s, t->err, t->hard);
	else
		utcp__mtu_told(s, t->mtu, seq);
}

/* About our SYN-ACK, of which nothing is known but by its sequence number. */
static void
to_half_open(struct utcp__syn *syn, const struct told *t)
{
	utcp_sock_t *l = syn->listener;

	if (get32(t->l4 + 4) != syn->iss)
		COUNT(l->u, DROP_WINDOW);
	else if (t->err != 0 && !syn->acked &&
		 (t->hard || OPT(l, SOFT_ERRORS) != 0))
		utcp__syn_drop(syn);
	else
		COUNT(l->u, DROP_STATE);
}

static void
to_tcp(utcp_t *u, const struct told *t)
{
	struct utcp__ent *e = utcp__find(u, &t->key);

	if (e == NULL)
		COUNT(u, DROP_CLOSED);
	else if (e->kind == UTCP__CONN)
		to_conn(CONTAINER(e, utcp_sock_t, ent), t);
	else if (e->kind == UTCP__SYN)
		to_half_open(CONTAINER(e, struct utcp__syn, ent), t);
	else
		COUNT(u, DROP_STATE); /* TIME-WAIT: nothing to change */
}

static void
to_udp(utcp_t *u, const struct told *t)
{
	utcp_udp_t *s = utcp__find_udp(u, &t->key);

	if (s == NULL || !utcp__udp_takes(s, &t->key)) {
		COUNT(u, DROP_CLOSED);
		return;
	}
	if (t->err != 0) {
		utcp__udp_error(s, t->err, t->hard);
		return;
	}
	/* Kept by peer; who does not want fragments has something to learn. */
	if (utcp__path_mtu_told(u, t->key.raddr, t->key.family, t->mtu) != 0 &&
	    s->pmtud == 2)
		utcp__udp_error(s, EMSGSIZE, true);
}

void
utcp__icmp_input(utcp_t *u, struct utcp__in *in, int version)
{
	const uint8_t *icmp = in->l4;
	struct told t;
	size_t len;
	bool ok;

	if (in->l4_bytes < 8 || in->part[0].len < 8) {
		COUNT(u, DROP_SHORT);
		return;
	}
	memset(&t, 0, sizeof(t));
	if (!(version == 4 ? meaning4(icmp, &t) : meaning6(icmp, &t))) {
		COUNT(u, DROP_PROTO);
		return;
	}
	if (!in->csum_ok &&
	    !utcp__csum_good(in, version == 4 ? PROTO_ICMP : PROTO_ICMP6)) {
		COUNT(u, DROP_CSUM);
		return;
	}
	len = in->part[0].len - 8;
	ok = version == 4 ? quoted4(icmp + 8, len, &t)
			  : quoted6(icmp + 8, len, &t);
	/* It came to where the packet had come from. */
	if (!ok || memcmp(t.key.laddr, in->key.laddr, 16) != 0) {
		COUNT(u, DROP_HEADER);
		return;
	}
	memcpy(&t.key.lport_be, t.l4, 2);
	memcpy(&t.key.rport_be, t.l4 + 2, 2);
	if (t.err == 0 && t.mtu == 0)
		t.mtu = plateau(t.bytes);
	if (t.key.proto == PROTO_TCP)
		to_tcp(u, &t);
	else if (t.key.proto == PROTO_UDP)
		to_udp(u, &t);
	else
		COUNT(u, DROP_PROTO);
}

/* ---- ours -------------------------------------------------------------- */

/* As much of the packet as `max` bytes hold. Returns how many. */
static uint32_t
quote(uint8_t *to, const struct utcp__in *in, uint32_t max)
{
	uint32_t n = (uint32_t)(in->l4 - in->l3), len;
	unsigned int i;

	if (n > max)
		n = max;
	memcpy(to, in->l3, n);
	for (i = 0; i < in->num_parts && n < max; i++) {
		len = max - n;
		if (len > in->part[i].len)
			len = (uint32_t)in->part[i].len;
		memcpy(to + n, in->part[i].data, len);
		n += len;
	}
	return n;
}

/* Whether it is an ICMP error itself, or a redirect. */
static bool
is_error(const struct utcp__in *in)
{
	size_t len = (size_t)(in->part[0].data - in->l3) + in->part[0].len;
	struct told t;

	memset(&t, 0, sizeof(t));
	if (in->key.family == 4)
		return quoted4(in->l3, len, &t) && t.key.proto == PROTO_ICMP &&
		       (t.l4[0] == 3 || t.l4[0] == 4 || t.l4[0] == 5 ||
			t.l4[0] == 11 || t.l4[0] == 12);
	return quoted6(in->l3, len, &t) && t.key.proto == PROTO_ICMP6 &&
	       (t.l4[0] < 128 || t.l4[0] == 137);
}

/* RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e): nothing is said about
   errors, nor about what went to many: but for an option that asks for it, and
   then by an address of our own. */
static bool
may_send(const utcp_t *u, struct utcp__key *k, uint8_t type, uint8_t code)
{
	unsigned int i;

	if (k->family == 4)
		return k->laddr[0] < 224;
	if (k->laddr[0] != 0xff)
		return true;
	for (i = 0; type == 4 && code == 2 && i < u->num_addrs; i++) {
		if (u->addrs[i].family == 6) {
			memcpy(k->laddr, u->addrs[i].addr, 16);
			return true;
		}
	}
	return false;
}

void
utcp__icmp_send(utcp_t *u, const struct utcp__in *in, uint8_t type,
		uint8_t code, uint32_t rest)
{
	uint8_t mem[8 + QUOTE6_MAX];
	struct utcp__key k = in->key;
	bool v4 = k.family == 4;
	uint32_t n;

	if (is_error(in) || !may_send(u, &k, type, code) ||
	    !utcp__allow_answer(u))
		return;
	mem[0] = type;
	mem[1] = code;
	mem[2] = mem[3] = 0;
	put32(mem + 4, rest);
	n = quote(mem + 8, in, v4 ? QUOTE4_MAX : QUOTE6_MAX);
	utcp__ctl(u, &k, v4 ? PROTO_ICMP : PROTO_ICMP6, mem, 8 + n, 2, 0, 64);
}

void
utcp__icmp_error(utcp_t *u, const struct utcp__in *in, uint8_t type4,
		 uint8_t code4, uint8_t type6, uint8_t code6)
{
	if (in->key.family == 4)
		utcp__icmp_send(u, in, type4, code4, 0);
	else
		utcp__icmp_send(u, in, type6, code6, 0);
}
