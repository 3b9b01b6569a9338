/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * local.c: the host's own stack and the ports of the same machine.
 *
 *   host to port   what an application of the host sends to an address of this
 *                  host goes to lo's output. There we look at it, and hand on
 *                  what is claimed as if it had come by vn->local
 *   port to host   received on lo, as the host's own packets are
 *
 * The second goes by a queue of netisr(9), and the first ends in a ring, so
 * neither is ever inside of the other.
 */
#include "ms_freebsd.h"

#include <sys/sockio.h>

#include <net/bpf.h>

#include "ms_parse.h"

/* ---- from the host ---------------------------------------------------------- */

/* As lo would have counted and shown it. */
static void
packet_done(struct mbuf *m, int family)
{
	uint32_t af = (uint32_t)family;
	if_t lo = V_loif;

	BPF_MTAP2(lo, &af, sizeof(af), m);
	if_inc_counter(lo, IFCOUNTER_OPACKETS, 1);
	if_inc_counter(lo, IFCOUNTER_OBYTES, m->m_pkthdr.len);
	m_freem(m);
}

static int
local_output(struct ifnet *ifp, struct mbuf *m, const struct sockaddr *dst,
	     struct route *ro)
{
	int family = dst->sa_family;
	struct ms_ifnet *mi = NULL;
	if_output_fn_t next = NULL;
	struct ms_vnet *vn;
	struct ms_read r;
	bool taken = false;
	int error = 0;

	ms_hook_enter();
	/* For IPv6, ifp may be the interface that has the address. */
	CURVNET_SET_QUIET(if_getvnet(ifp));
	ms_os_read_enter(&r);
	vn = ms_vnet_find();
	if (vn != NULL) {
		next = ms_os_load_acquire(&vn->lo_next);
		mi = ms_os_load_acquire(&vn->local);
	}
	if (mi != NULL && (family == AF_INET || family == AF_INET6))
		taken = ms_rx_packet(mi, m, family);
	ms_os_read_exit(&r);
	/* Called by who read the pointer just before we left. */
	if (next == NULL && vn != NULL)
		next = ms_if_output(V_loif);
	if (taken) {
		packet_done(m, family);
	} else if (next != NULL && next != local_output) {
		error = next(ifp, m, dst, ro);
	} else {
		m_freem(m);
		error = ENETDOWN;
	}
	CURVNET_RESTORE();
	ms_hook_exit();
	return error;
}

void
ms_local_start(struct ms_vnet *vn)
{
	if (vn->lo_next != NULL)
		return;
	ms_os_store_release(&vn->lo_next, ms_if_output(V_loif));
	if_setoutputfn(V_loif, local_output);
}

bool
ms_local_stop(struct ms_vnet *vn)
{
	if (vn->lo_next == NULL)
		return true;
	if (ms_if_output(V_loif) != local_output)
		return false;
	if_setoutputfn(V_loif, vn->lo_next);
	ms_os_store_release(&vn->lo_next, NULL);
	return true;
}

/* ---- to the host ------------------------------------------------------------ */

/* What nobody computed nobody has to check: it never leaves this machine. */
static void
sums_are_good(struct mbuf *m)
{
	if ((m->m_pkthdr.csum_flags &
	     (CSUM_DELAY_DATA | CSUM_DELAY_DATA_IPV6)) != 0) {
		m->m_pkthdr.csum_flags = CSUM_DATA_VALID | CSUM_PSEUDO_HDR |
					 CSUM_IP_CHECKED | CSUM_IP_VALID;
		m->m_pkthdr.csum_data = 0xffff;
	} else {
		m->m_pkthdr.csum_flags = 0;
	}
	m->m_pkthdr.tso_segsz = 0;
}

/* An address of one link is known on that link only. */
static bool
is_linklocal(const struct mbuf *m)
{
	const uint8_t *dst = mtod(m, const uint8_t *) + 24;

	return m->m_len >= MS_IP6_BYTES && dst[0] == 0xfe &&
	       (dst[1] & 0xc0) == 0x80;
}

void
ms_local_input(if_t ifp, struct mbuf *m)
{
	const uint8_t *p = mtod(m, const uint8_t *);
	uint32_t cut = ETHER_HDR_LEN;
	uint16_t type = ms_be16(p + 2 * ETHER_ADDR_LEN);
	if_t lo = V_loif;

	if (type == ETHERTYPE_VLAN || type == MS_ETHERTYPE_QINQ)
		cut += ETHER_VLAN_ENCAP_LEN;
	type = ms_be16(p + cut - sizeof(type));
	sums_are_good(m);
	m_adj(m, (int)cut);
	if (type == ETHERTYPE_IP) {
		(void)if_simloop(lo, m, AF_INET, 0);
	} else {
		if (is_linklocal(m))
			lo = ifp;
		(void)if_simloop(lo, m, AF_INET6, 0);
	}
}
