/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip_input.c: from a packet as it came to what a transport takes: header
 * checked, padding cut, fragments sent to ip_reass.c, extension headers walked.
 *
 * A packet may lie in many parts, and nothing says where they are cut. All
 * headers are read in one piece: where the first part is too short for them,
 * the packet is copied into one (rare: nobody cuts there).
 */
#include "tcp_input.h"
#include "udp.h"

#define PROTO_HOPOPTS 0
#define PROTO_ROUTING 43
#define PROTO_NONE 59
#define PROTO_DSTOPTS 60

#define EXT_MAX 8	 /* IPv6 extension headers of one packet */
#define L4_HEAD_MAX 60	 /* the longest transport header, TCP's */
#define PACKET_MAX 65575 /* the longest IP packet there is */

#define OPT4_END 0
#define OPT4_NOP 1
#define OPT4_LSRR 131
#define OPT4_SSRR 137

/* ---- the parts of a packet --------------------------------------------- */

/* Leaves the first `bytes` from part[0] on. */
static void
trim_parts(struct utcp__in *in, uint32_t bytes)
{
	unsigned int i;

	for (i = 0; i < in->num_parts; i++) {
		if (in->part[i].len >= bytes) {
			in->part[i].len = bytes;
			in->num_parts = i + 1;
			return;
		}
		bytes -= (uint32_t)in->part[i].len;
	}
}

void
utcp__in_trim(struct utcp__in *in, uint32_t l4_bytes)
{
	if (l4_bytes >= in->l4_bytes)
		return;
	in->l4_bytes = l4_bytes;
	trim_parts(in, l4_bytes);
}

/* A header of n bytes, which part[0] holds whole, is done with. */
static inline void
advance(struct utcp__in *in, uint32_t n)
{
	in->l4 += n;
	in->l4_bytes -= n;
	in->part[0].data += n;
	in->part[0].len -= n;
}

/* Takes the elements for parts that begin with the IP header. Returns the sum
   of their lengths, not more than PACKET_MAX; 0: nothing there. */
static uint32_t
gather(struct utcp__in *in, const utcp_pkt_t *pkt, unsigned int n, uint32_t l2)
{
	uint32_t total = 0, len;
	unsigned int i;

	if (n == 0 || n > UTCP_PKT_PARTS_MAX || pkt[0].len < l2)
		return 0;
	for (i = 0; i < n && total < PACKET_MAX; i++) {
		len = i == 0 ? pkt[0].len - l2 : pkt[i].len;
		if (len > PACKET_MAX - total)
			len = PACKET_MAX - total;
		if (len == 0)
			continue;
		in->part[in->num_parts].data = pkt[i].data + (i ? 0 : l2);
		in->part[in->num_parts].len = len;
		in->num_parts++;
		total += len;
	}
	return total;
}

/* Copies all parts into one piece, to be freed by the caller. NULL: no memory. */
static uint8_t *
pull_up(utcp_t *u, struct utcp__in *in, uint32_t total)
{
	uint8_t *mem = utcp__alloc_raw(u, total), *to = mem;
	unsigned int i;

	if (mem == NULL) {
		COUNT(u, DROP_NOMEM);
		return NULL;
	}
	for (i = 0; i < in->num_parts; i++) {
		memcpy(to, in->part[i].data, in->part[i].len);
		to += in->part[i].len;
	}
	in->part[0].data = mem;
	in->part[0].len = total;
	in->num_parts = 1;
	in->borrowed = false;
	return mem;
}

/* Whether the headers may not all lie in part[0]. */
static bool
is_cut(const struct utcp__in *in)
{
	const uint8_t *ip = in->part[0].data;
	size_t len = in->part[0].len;

	if (in->num_parts == 1)
		return false;
	if (len < 40)
		return true;
	if (ip[0] >> 4 == 4) {
		if (ip[9] != PROTO_TCP && ip[9] != PROTO_UDP)
			return true;
		return len < (ip[0] & 15u) * 4 + L4_HEAD_MAX;
	}
	if (ip[6] != PROTO_TCP && ip[6] != PROTO_UDP)
		return true;
	return len < 40 + L4_HEAD_MAX;
}

bool
utcp__csum_good(const struct utcp__in *in, uint8_t proto)
{
	uint64_t sum = 0, part;
	bool odd = false;
	unsigned int i;
	uint16_t c;

	if (proto != PROTO_ICMP)
		sum = utcp__sum_pseudo(&in->key, proto, in->l4_bytes);
	for (i = 0; i < in->num_parts; i++) {
		if (!odd) {
			sum = utcp__sum(in->part[i].data, in->part[i].len, sum);
		} else {
			part = utcp__sum(in->part[i].data, in->part[i].len, 0);
			c = utcp__sum_fold(part);
			sum += (uint16_t)(c << 8 | c >> 8);
		}
		odd ^= in->part[i].len & 1;
	}
	return utcp__sum_fold(sum) == 0xffff;
}

/* ---- to the transports ------------------------------------------------- */

static void
tcp(utcp_t *u, struct utcp__in *in)
{
	if (in->l4_bytes < 20) {
		COUNT(u, DROP_SHORT);
		return;
	}
	/* RFC 9293 section 3.9.2.3: connections are of two. */
	if (utcp__is_many(in->key.laddr, in->key.family)) {
		COUNT(u, DROP_CLOSED);
		return;
	}
	if (!in->csum_ok) {
		if (!utcp__csum_good(in, PROTO_TCP)) {
			COUNT(u, DROP_CSUM);
			return;
		}
		in->csum_ok = true;
	}
	utcp__tcp_input(u, in);
}

/* True: a transport's, and it has it. */
static bool
dispatch(utcp_t *u, struct utcp__in *in, uint8_t proto)
{
	in->key.proto = proto;
	switch (proto) {
	case PROTO_TCP:
		tcp(u, in);
		return true;
	case PROTO_UDP:
		utcp__udp_input(u, in);
		return true;
	case PROTO_ICMP:
		if (in->key.family != 4)
			return false;
		utcp__icmp_input(u, in, 4);
		return true;
	case PROTO_ICMP6:
		if (in->key.family != 6)
			return false;
		utcp__icmp_input(u, in, 6);
		return true;
	default:
		return false;
	}
}

static inline void
count_ce(utcp_t *u, const struct utcp__in *in)
{
	if ((in->tos & 3) == 3)
		COUNT(u, ECN_CE);
}

/* ---- IPv4 -------------------------------------------------------------- */

static bool
bad_source4(const uint8_t *src, const uint8_t *dst)
{
	/* RFC 1122 section 3.2.1.3: neither multicast (nor what was class E,
	   or broadcast) nor "this network" is a source; loopback stays. */
	return src[0] >= 224 || src[0] == 0 || (src[0] == 127 && dst[0] != 127);
}

/* False: malformed, or source routed, which is refused (RFC 7126 sections 4.3
   and 4.4). Others are not for us and skipped (RFC 1122 section 3.2.1.8). */
static bool
options4(const uint8_t *opt, uint32_t len)
{
	uint32_t i = 0, n;

	while (i < len && opt[i] != OPT4_END) {
		if (opt[i] == OPT4_NOP) {
			i++;
			continue;
		}
		if (opt[i] == OPT4_LSRR || opt[i] == OPT4_SSRR)
			return false;
		if (len - i < 2)
			return false;
		n = opt[i + 1];
		if (n < 2 || n > len - i)
			return false;
		i += n;
	}
	return true;
}

static void
fragment4(utcp_t *u, struct utcp__in *in, const uint8_t *ip)
{
	uint32_t field = get16(ip + 6);
	struct utcp__frag frag = {
		.id = get16(ip + 4),
		.ofs = (field & 0x1fff) * 8,
		.proto = ip[9],
		.more = (field & 0x2000) != 0,
	};

	utcp__reass_input(u, in, &frag);
}

static inline bool
header_good(const uint8_t *ip, uint32_t head)
{
	uint64_t sum;

	if (LIKELY(head == 20))
		sum = (uint64_t)get32(ip) + get32(ip + 4) + get32(ip + 8) +
		      get32(ip + 12) + get32(ip + 16);
	else
		sum = utcp__sum(ip, head, 0);
	return utcp__sum_fold(sum) == 0xffff;
}

static void
ip4_input(utcp_t *u, struct utcp__in *in, uint32_t avail)
{
	const uint8_t *ip = in->l3;
	uint32_t head, total;

	if (avail < 20 || (head = (ip[0] & 15u) * 4) < 20) {
		COUNT(u, DROP_HEADER);
		return;
	}
	total = get16(ip + 2);
	if (total < head || total > avail || in->part[0].len < head) {
		COUNT(u, DROP_SHORT);
		return;
	}
	if (!(u->cfg.offloads & UTCP_OFFLOAD_CSUM_TRUST) &&
	    !header_good(ip, head)) {
		COUNT(u, DROP_CSUM);
		return;
	}
	if (bad_source4(ip + 12, ip + 16)) {
		COUNT(u, DROP_SOURCE);
		return;
	}
	if (head > 20 && !options4(ip + 20, head - 20)) {
		COUNT(u, DROP_HEADER);
		return;
	}
	trim_parts(in, total);
	in->key.family = 4;
	memcpy(in->key.raddr, ip + 12, 4);
	memcpy(in->key.laddr, ip + 16, 4);
	in->tos = ip[1];
	in->ttl = ip[8];
	in->l4 = ip;
	in->l4_bytes = total;
	advance(in, head);
	in->key.proto = ip[9];
	count_ce(u, in);
	if ((get16(ip + 6) & 0x3fff) != 0) {
		fragment4(u, in, ip);
		return;
	}
	utcp__ip_upper(u, in, ip[9], true);
}

/* ---- IPv6 -------------------------------------------------------------- */

static bool
bad_source6(const uint8_t *src, const uint8_t *dst)
{
	static const uint8_t zeros[16],
	    mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t self[16] = { [15] = 1 };

	/* RFC 4291 sections 2.5.2, 2.5.3, 2.7; RFC 4942 section 2.2 */
	if (src[0] == 0xff || memcmp(src, zeros, 16) == 0 ||
	    memcmp(src, mapped, 12) == 0)
		return true;
	return memcmp(src, self, 16) == 0 && memcmp(dst, self, 16) != 0;
}

static uint32_t
offset_of(const struct utcp__in *in, const uint8_t *at)
{
	return (uint32_t)(at - in->l3);
}

/* Options of a hop-by-hop or destination header: none is for us, and those
   unknown say themselves what to do (RFC 8200 section 4.2). False: drop. */
static bool
options6(utcp_t *u, struct utcp__in *in, uint32_t len)
{
	const uint8_t *opt = in->l4;
	uint32_t i = 2, n;

	while (i < len) {
		if (opt[i] == 0) { /* Pad1 */
			i++;
			continue;
		}
		if (len - i < 2 || (n = opt[i + 1] + 2u) > len - i)
			return false;
		switch (opt[i] >> 6) {
		case 0:
			break;
		case 3:
			if (utcp__is_many(in->key.laddr, in->key.family))
				return false;
			/* fall through */
		case 2:
			utcp__icmp_send(u, in, 4, 2, offset_of(in, opt + i));
			/* fall through */
		default:
			return false;
		}
		i += n;
	}
	return true;
}

static void
fragment6(utcp_t *u, struct utcp__in *in)
{
	const uint8_t *h = in->l4;
	struct utcp__frag frag = {
		.id = get32(h + 4),
		.ofs = get16(h + 2) & 0xfff8u,
		.proto = h[0],
		.more = (h[3] & 1) != 0,
	};
	uint32_t len;

	advance(in, 8);
	len = in->l4_bytes;
	/* RFC 6946: a fragment that is all is not kept waiting with others. */
	if (frag.ofs == 0 && !frag.more) {
		utcp__ip_upper(u, in, frag.proto, true);
		return;
	}
	/* RFC 8200 section 4.5 */
	if (frag.more && len % 8 != 0) {
		COUNT(u, DROP_HEADER);
		utcp__icmp_send(u, in, 4, 0, 4);
		return;
	}
	if (frag.ofs + len > 65535) {
		COUNT(u, DROP_HEADER);
		utcp__icmp_send(u, in, 4, 0, offset_of(in, h + 2));
		return;
	}
	utcp__reass_input(u, in, &frag);
}

/* One extension header, in->l4. Returns its length, 0: drop (counted). */
static uint32_t
extension6(utcp_t *u, struct utcp__in *in, uint8_t type)
{
	uint32_t len;

	if (in->part[0].len < 8 ||
	    in->part[0].len < (len = (in->l4[1] + 1u) * 8)) {
		COUNT(u, DROP_SHORT);
		return 0;
	}
	if (type == PROTO_ROUTING) {
		/* RFC 8200 section 4.4, RFC 5095: no type is known here. */
		if (in->l4[3] == 0)
			return len;
		COUNT(u, DROP_HEADER);
		utcp__icmp_send(u, in, 4, 0, offset_of(in, in->l4 + 2));
		return 0;
	}
	if (!options6(u, in, len)) {
		COUNT(u, DROP_HEADER);
		return 0;
	}
	return len;
}

static void
unknown(utcp_t *u, struct utcp__in *in, uint8_t proto, const uint8_t *said)
{
	COUNT(u, DROP_PROTO);
	if (in->key.family == 4)
		utcp__icmp_send(u, in, 3, 2, 0);
	else if (proto != PROTO_NONE)
		/* RFC 8200 section 4: points to the Next Header field */
		utcp__icmp_send(u, in, 4, 1, offset_of(in, said));
}

void
utcp__ip_upper(utcp_t *u, struct utcp__in *in, uint8_t proto, bool whole)
{
	const uint8_t *said = in->l3 + 6;
	unsigned int i;
	uint32_t len;

	for (i = 0; !dispatch(u, in, proto); i++) {
		if (in->key.family == 4 || i == EXT_MAX) {
			unknown(u, in, proto, said);
			return;
		}
		if (proto == PROTO_FRAGMENT && !whole) {
			if (in->part[0].len < 8)
				COUNT(u, DROP_SHORT);
			else
				fragment6(u, in);
			return;
		}
		/* Hop-by-hop options come first or not at all. */
		if (!(proto == PROTO_HOPOPTS && in->l4 == in->l3 + 40) &&
		    proto != PROTO_DSTOPTS && proto != PROTO_ROUTING) {
			unknown(u, in, proto, said);
			return;
		}
		len = extension6(u, in, proto);
		if (len == 0)
			return;
		said = in->l4;
		proto = in->l4[0];
		advance(in, len);
	}
}

static void
ip6_input(utcp_t *u, struct utcp__in *in, uint32_t avail)
{
	const uint8_t *ip = in->l3;
	uint32_t total;

	if (avail < 40) {
		COUNT(u, DROP_HEADER);
		return;
	}
	total = 40u + get16(ip + 4);
	if (total > avail) {
		COUNT(u, DROP_SHORT);
		return;
	}
	if (bad_source6(ip + 8, ip + 24)) {
		COUNT(u, DROP_SOURCE);
		return;
	}
	trim_parts(in, total);
	in->key.family = 6;
	memcpy(in->key.raddr, ip + 8, 16);
	memcpy(in->key.laddr, ip + 24, 16);
	in->tos = (uint8_t)(get16(ip) >> 4);
	in->ttl = ip[7];
	in->l4 = ip;
	in->l4_bytes = total;
	advance(in, 40);
	count_ce(u, in);
	utcp__ip_upper(u, in, ip[6], false);
}

/* ---- a packet ---------------------------------------------------------- */

void
utcp__ip_input(utcp_t *u, const utcp_pkt_t *pkt, unsigned int n)
{
	struct utcp__in in;
	uint8_t *mem = NULL;
	uint32_t total;

	/* Not its parts, which are 640 bytes. */
	memset(&in, 0, offsetof(struct utcp__in, part));
	COUNT(u, IN_PKTS);
	total = gather(&in, pkt, n, u->cfg.l2_bytes);
	COUNT_N(u, IN_BYTES, total);
	if (total < 20) {
		COUNT(u, DROP_SHORT);
		return;
	}
	in.borrowed = true;
	in.csum_ok = (pkt[0].flags &
		      (UTCP_PKT_CSUM_OK | UTCP_PKT_CSUM_PARTIAL)) != 0 ||
		     (u->cfg.offloads & UTCP_OFFLOAD_CSUM_TRUST) != 0;
	if (pkt[0].gso_type != UTCP_GSO_NONE)
		in.gso_size = pkt[0].gso_size;
	if (UNLIKELY(is_cut(&in))) {
		mem = pull_up(u, &in, total);
		if (mem == NULL)
			return;
	}
	in.l3 = in.part[0].data;
	if (in.l3[0] >> 4 == 4)
		ip4_input(u, &in, total);
	else if (in.l3[0] >> 4 == 6)
		ip6_input(u, &in, total);
	else
		COUNT(u, DROP_HEADER);
	if (UNLIKELY(mem != NULL))
		utcp__free(u, mem, total);
}
