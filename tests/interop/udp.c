/* SPDX-License-Identifier: BSD-2-Clause */
/* udp.c: UDP sockets of utcp-peer, which answer each datagram with itself. */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

int
udp_echo_open(struct peer *p, const utcp_addr_t *local)
{
	utcp_udp_t *s;
	int r = utcp_udp_open(p->u, local->family, &s);

	if (r)
		return r;
	r = utcp_udp_bind(s, local);
	if (r)
		utcp_udp_close(s);
	return r;
}

void
udp_echo_step(struct peer *p, utcp_udp_t *s)
{
	utcp_dgram_t d[32];
	int n;

	while ((n = utcp_udp_recv(s, d, 32)) > 0) {
		p->udp_in += (unsigned int)n;
		for (int i = 0; i < n; i++) {
			d[i].ttl = 0;
			d[i].tos &= 0xfc;
		}
		n = utcp_udp_send(s, d, (unsigned int)n);
		if (n > 0)
			p->udp_out += (unsigned int)n;
	}
}
