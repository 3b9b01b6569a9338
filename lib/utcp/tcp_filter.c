/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_filter.c: ACK filtering (RFC 3449 section 5.2.1), at the receiver of a
 * batch. A client without GRO acknowledges each segment of a large send while
 * we are still about to send it, so a batch holds runs of ACKs of which the
 * last says all: the others need not be looked at more closely than here.
 *
 * What differs in anything but the acknowledgement number, the window and a
 * newer timestamp stays: data, SYN, FIN, RST, PSH, ECN in either header (RFC
 * 3168), SACK or any other option. So do duplicate ACKs. If the later one turns
 * out bad, the earlier one is lost as it might have been on its way.
 */
#include "tcp_input.h"

#define TS_OPTION 0x0101080au /* NOP, NOP, kind 8, length 10 */

/* Bytes of the IP header if it is of these two packets alike and they are whole
   TCP segments; *len of IP. 0: not so. */
static uint32_t
alike(const uint8_t *a, const uint8_t *b, uint32_t *len)
{
	if (a[0] == 0x45) {
		*len = get16(a + 2);
		return memcmp(a, b, 4) == 0 && (a[1] & 3) == 0 &&
			       ((get16(a + 6) | get16(b + 6)) & 0xbfff) == 0 &&
			       a[9] == PROTO_TCP &&
			       memcmp(a + 8, b + 8, 2) == 0 &&
			       memcmp(a + 12, b + 12, 8) == 0
			   ? 20
			   : 0;
	}
	*len = 40u + get16(a + 4);
	return a[0] >> 4 == 6 && a[6] == PROTO_TCP && (a[1] & 0x30) == 0 &&
		       memcmp(a, b, 40) == 0
		   ? 40
		   : 0;
}

bool
utcp__ack_surpassed(const utcp_pkt_t *pkt, const utcp_pkt_t *next,
		    uint32_t l2_bytes)
{
	const uint8_t *a, *b;
	uint32_t ip, len, most;

	if (((pkt->flags | next->flags) & UTCP_PKT_MORE) ||
	    pkt->len < l2_bytes + 40 || next->len < l2_bytes + 40)
		return false;
	most = (pkt->len < next->len ? pkt->len : next->len) - l2_bytes;
	a = pkt->data + l2_bytes;
	b = next->data + l2_bytes;
	ip = alike(a, b, &len);
	if (ip == 0 || len > most || (len != ip + 20 && len != ip + 32))
		return false;
	a += ip;
	b += ip;
	len -= ip;
	/* Ports and sequence number, then nothing but ACK. */
	if (memcmp(a, b, 8) != 0 || get16(a + 12) != (len << 10 | TH_ACK) ||
	    memcmp(a + 12, b + 12, 2) != 0 ||
	    !seq_lt(get32(a + 8), get32(b + 8)))
		return false;
	return len == 20 ||
	       (get32(a + 20) == TS_OPTION && get32(b + 20) == TS_OPTION &&
		seq_leq(get32(a + 24), get32(b + 24)));
}
