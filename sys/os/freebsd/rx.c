/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * rx.c: from mbufs to the switch.
 *
 * Nothing of an mbuf is changed here, for until the switch has spoken it may be
 * the host's. Nor are headers believed where others could change them: of a
 * frame in pieces (whose payload may be a file's or a process's page) the first
 * MS_HDR_BYTES are copied and only the copy is parsed.
 *
 * Threads that receive can lose their processor, and another come by: so each
 * queue has a lock. There is one a processor, and it is hardly ever waited for.
 */
#include "ms_freebsd.h"

#include <sys/pcpu.h>

#include <net/if_vlan_var.h>

#include "ms_parse.h"

#define BATCH 32      /* frames shown to the switch together */
#define FRAME_SEGS 64 /* of one frame */
#define VLAN_BYTES 4
#define HDR_AT 6 /* with it, a tag and MACs before it, IP is on a word */

/* Sums that whoever sent it on this machine left to an interface, which there
   was none of on the way. */
#define WANTS_SCTP (CSUM_SCTP | CSUM_SCTP_IPV6)
#define WANTS_L4 (CSUM_DELAY_DATA | CSUM_DELAY_DATA_IPV6 | CSUM_TSO)
#define WANTS (CSUM_IP | WANTS_L4 | WANTS_SCTP)
#define VALID (CSUM_DATA_VALID | CSUM_PSEUDO_HDR)

/* A frame that is not one plain piece of memory: what its ms_frame points
   to. */
struct rx_pieces {
	struct ms_frame f;
	uint8_t hdr[HDR_AT + VLAN_BYTES + MS_HDR_BYTES] __aligned(8);
	struct ms_seg seg[FRAME_SEGS];
};

struct ms_rxq {
	struct mtx lock;
	struct ms_frame frame[BATCH]; /* (l) */
	struct mbuf *m[BATCH];	      /* (l) of those */
	struct rx_pieces pieces;      /* (l) */
	uint64_t counter[MS_CTR_MAX]; /* (l) */
} __aligned(CACHE_LINE_SIZE);

static void
rx_count(struct ms_rxq *rxq, enum ms_counter which, uint64_t n)
{
	ms_os_store_once(&rxq->counter[which], rxq->counter[which] + n);
}

/* ---- offload metadata --------------------------------------------------------- */

/* What the driver found. */
static uint16_t
flags_of(const struct mbuf *m)
{
	return (m->m_pkthdr.csum_flags & VALID) == VALID &&
		       m->m_pkthdr.csum_data == 0xffff
		   ? MS_SLOT_CSUM_OK
		   : 0;
}

/* The sum that IP's header should have. */
static void
ip4_fill_sum(uint8_t *ip, uint32_t bytes)
{
	uint32_t len = (uint32_t)(ip[0] & 15) * 4;
	uint32_t sum = 0, i;

	if (ip[0] >> 4 != 4 || len < MS_IP4_BYTES || len > bytes)
		return;
	ip[10] = ip[11] = 0;
	for (i = 0; i < len; i += 2)
		sum += ms_be16(ip + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
}

/* Of a frame whose headers are copied: what is missing is done, or said. */
static void
meta_set(struct rx_pieces *p, const struct mbuf *m)
{
	uint32_t wants = (uint32_t)m->m_pkthdr.csum_flags & WANTS;
	struct ms_frame *f = &p->f;
	struct ms_pkt pkt;

	memset(&f->meta, 0, sizeof(f->meta));
	f->meta.flags = flags_of(m);
	if (wants == 0)
		return;
	/* As received, it starts behind a header of known length. */
	ms_parse(f->data, f->linear, f->len, &pkt);
	if ((wants & CSUM_IP) != 0 && pkt.family == 4 &&
	    pkt.l3_ofs < f->linear) {
		ip4_fill_sum(p->hdr + (f->data - p->hdr) + pkt.l3_ofs,
			     f->linear - pkt.l3_ofs);
		ms_parse(f->data, f->linear, f->len, &pkt);
	}
	/* SCTP's is another sum, and nobody will look at it. */
	if ((wants & WANTS_SCTP) != 0)
		f->meta.flags = MS_SLOT_CSUM_OK;
	if ((wants & WANTS_L4) == 0 || pkt.kind != MS_PKT_TUPLE)
		return;
	f->meta.flags = MS_SLOT_CSUM_PARTIAL;
	f->meta.csum_start = pkt.l4_ofs;
	f->meta.csum_offset = pkt.proto == MS_PROTO_TCP ? 16 : 6;
	if ((wants & CSUM_TSO) != 0 && pkt.proto == MS_PROTO_TCP) {
		f->meta.gso_type = pkt.family == 4 ? MS_GSO_TCP4 : MS_GSO_TCP6;
		f->meta.gso_size = m->m_pkthdr.tso_segsz;
	}
}

/* ---- frames in pieces ----------------------------------------------------------- */

/* All of m behind its first `skip` bytes. False: not to be had that way. */
static bool
pieces_add(struct rx_pieces *p, const struct mbuf *m, uint32_t skip)
{
	uint32_t left = (uint32_t)m->m_pkthdr.len - skip;
	uint32_t known, bytes;

	p->f.nsegs = 0;
	for (; m != NULL && left > 0; m = m->m_next) {
		known = MIN((uint32_t)m->m_len, skip);
		skip -= known;
		bytes = MIN((uint32_t)m->m_len - known, left);
		if (bytes == 0)
			continue;
		if (p->f.nsegs == FRAME_SEGS || (m->m_flags & M_EXTPG) != 0)
			return false;
		p->seg[p->f.nsegs].p = mtod(m, const uint8_t *) + known;
		p->seg[p->f.nsegs].bytes = bytes;
		p->f.nsegs++;
		left -= bytes;
	}
	return left == 0;
}

/*
 * The first bytes of the frame, with its tag where the wire had it. ether: what
 * to put before an IP packet, or NULL for a frame that has its own; vlan: the
 * tag, or 0. Returns the bytes of m that are in it.
 */
static uint32_t
header_copy(struct rx_pieces *p, const struct mbuf *m, const uint8_t *ether,
	    uint16_t vlan)
{
	uint32_t own = ether != NULL ? ETHER_HDR_LEN : 0;
	uint32_t bytes = MIN((uint32_t)m->m_pkthdr.len, MS_HDR_BYTES - own);
	uint8_t *h = p->hdr + HDR_AT + VLAN_BYTES;
	uint16_t tag[2] = { htons(ETHERTYPE_VLAN), htons(vlan) };

	if (ether != NULL)
		memcpy(h, ether, own);
	m_copydata(m, 0, (int)bytes, (caddr_t)h + own);
	p->f.len = (uint32_t)m->m_pkthdr.len + own;
	p->f.linear = bytes + own;
	if (vlan != 0) {
		h -= VLAN_BYTES;
		memmove(h, h + VLAN_BYTES, 2 * ETHER_ADDR_LEN);
		memcpy(h + 2 * ETHER_ADDR_LEN, tag, sizeof(tag));
		p->f.len += VLAN_BYTES;
		p->f.linear += VLAN_BYTES;
	}
	p->f.data = h;
	p->f.segs = p->seg;
	p->f.nsegs = 0;
	p->f.os = NULL;
	return bytes;
}

static bool
pieces_input(struct ms_ifnet *mi, unsigned int q, struct rx_pieces *p)
{
	ms_nic_input(mi->nic, q, &p->f, 1);
	return p->f.verdict == MS_VERDICT_TAKEN;
}

/* The rare frame of which not even the pieces fit, or cannot be read where they
   are: in one piece. */
static bool
rx_monster(struct ms_ifnet *mi, unsigned int q, struct rx_pieces *p,
	   const struct mbuf *m, uint32_t skip)
{
	uint32_t bytes = (uint32_t)m->m_pkthdr.len - skip;
	uint8_t *rest;
	bool taken;

	if (!ms_nic_claims(mi->nic, &p->f))
		return false;
	rest = malloc(bytes, M_MULTISTACK, M_NOWAIT);
	if (rest == NULL) {
		rx_count(&mi->rxq[q], MS_CTR_RX_SEEN, 1);
		rx_count(&mi->rxq[q], MS_CTR_DROP_NOMEM, 1);
		return true;
	}
	m_copydata(m, (int)skip, (int)bytes, (caddr_t)rest);
	p->seg[0].p = rest;
	p->seg[0].bytes = bytes;
	p->f.nsegs = 1;
	taken = pieces_input(mi, q, p);
	free(rest, M_MULTISTACK);
	return taken;
}

/* A frame of any shape. Its queue is locked. */
static bool
rx_any(struct ms_ifnet *mi, unsigned int q, const struct mbuf *m)
{
	struct rx_pieces *p = &mi->rxq[q].pieces;
	uint16_t vlan = 0;
	uint32_t skip;

	if (m->m_pkthdr.len < ETHER_HDR_LEN)
		return false;
	if ((m->m_flags & M_VLANTAG) != 0 &&
	    EVL_VLANOFTAG(m->m_pkthdr.ether_vtag) != 0)
		vlan = m->m_pkthdr.ether_vtag;
	skip = header_copy(p, m, NULL, vlan);
	meta_set(p, m);
	if (!pieces_add(p, m, skip))
		return rx_monster(mi, q, p, m, skip);
	return pieces_input(mi, q, p);
}

/* ---- lists of frames -------------------------------------------------------------- */

/* A frame in one piece, about which nothing has to be said or done. */
static bool
rx_plain(const struct mbuf *m, struct ms_frame *f)
{
	if (__predict_false(m->m_next != NULL ||
			    (m->m_flags & (M_VLANTAG | M_EXTPG)) != 0 ||
			    ((uint32_t)m->m_pkthdr.csum_flags & WANTS) != 0 ||
			    m->m_len != m->m_pkthdr.len ||
			    m->m_len < ETHER_HDR_LEN))
		return false;
	f->data = mtod(m, const uint8_t *);
	f->len = (uint32_t)m->m_len;
	f->linear = f->len;
	f->segs = NULL;
	f->nsegs = 0;
	f->os = NULL;
	memset(&f->meta, 0, sizeof(f->meta));
	f->meta.flags = flags_of(m);
	return true;
}

struct rx_way { /* where the frames of one list go */
	struct ms_mbufs host;
	struct ms_mbufs *taken;
};

static void
rx_sort(struct rx_way *way, struct mbuf *m, bool taken)
{
	ms_mbufs_append(taken ? way->taken : &way->host, m);
}

/* Those that were gathered. */
static void
rx_batch(struct ms_ifnet *mi, unsigned int q, struct rx_way *way,
	 uint32_t *gathered)
{
	struct ms_rxq *rxq = &mi->rxq[q];
	uint32_t i;

	if (*gathered == 0)
		return;
	ms_nic_input(mi->nic, q, rxq->frame, *gathered);
	for (i = 0; i < *gathered; i++)
		rx_sort(way, rxq->m[i],
			rxq->frame[i].verdict == MS_VERDICT_TAKEN);
	*gathered = 0;
}

static void
rx_one(struct ms_ifnet *mi, unsigned int q, struct rx_way *way, struct mbuf *m,
       uint32_t *gathered)
{
	struct ms_rxq *rxq = &mi->rxq[q];
	struct ms_frame *f = &rxq->frame[*gathered];

	if ((m->m_flags & M_HASFCS) != 0) {
		m_adj(m, -ETHER_CRC_LEN);
		m->m_flags &= ~M_HASFCS;
	}
	if (!rx_plain(m, f)) {
		rx_batch(mi, q, way, gathered);
		rx_sort(way, m, rx_any(mi, q, m));
		return;
	}
	/* Most of the host's own goes by here. */
	if (ms_nic_passes(mi->nic, q, f->data, f->linear)) {
		rx_batch(mi, q, way, gathered);
		rx_sort(way, m, false);
		return;
	}
	rxq->m[*gathered] = m;
	if (++*gathered == BATCH)
		rx_batch(mi, q, way, gathered);
}

struct mbuf *
ms_rx_list(struct ms_ifnet *mi, struct mbuf *m, struct ms_mbufs *taken)
{
	struct rx_way way = { .taken = taken };
	unsigned int q = (unsigned int)curcpu;
	uint32_t gathered = 0;
	struct mbuf *next;

	ms_mbufs_init(&way.host);
	mtx_lock(&mi->rxq[q].lock);
	for (; m != NULL; m = next) {
		next = m->m_nextpkt;
		rx_one(mi, q, &way, m, &gathered);
	}
	rx_batch(mi, q, &way, &gathered);
	mtx_unlock(&mi->rxq[q].lock);
	return way.host.first;
}

/* ---- packets of the host's own -------------------------------------------------- */

/* It is as if it had come by mi, to and from its MAC address. Not all that runs
   over lo is seen by the interface: what it does not claim is not counted. */
static bool
rx_packet(struct ms_ifnet *mi, unsigned int q, const struct mbuf *m,
	  const uint8_t *ether)
{
	struct rx_pieces *p = &mi->rxq[q].pieces;
	uint32_t skip;

	skip = header_copy(p, m, ether, mi->nic->vlan);
	if (mi->nic->vlan == 0 &&
	    ms_nic_unclaimed(mi->nic, p->f.data, p->f.linear))
		return false;
	meta_set(p, m);
	if (!ms_nic_claims(mi->nic, &p->f))
		return false;
	if (!pieces_add(p, m, skip))
		return rx_monster(mi, q, p, m, skip);
	return pieces_input(mi, q, p);
}

bool
ms_rx_packet(struct ms_ifnet *mi, const struct mbuf *m, int family)
{
	uint16_t type = htons(family == AF_INET ? ETHERTYPE_IP
						: ETHERTYPE_IPV6);
	unsigned int q = (unsigned int)curcpu, i;
	uint8_t ether[ETHER_HDR_LEN];
	bool taken;

	if (m->m_pkthdr.len < MS_IP4_BYTES)
		return false;
	for (i = 0; i < ETHER_ADDR_LEN; i++)
		ether[i] = ether[ETHER_ADDR_LEN + i] = ms_os_load_once(
		    &mi->nic->mac[i]);
	memcpy(ether + 2 * ETHER_ADDR_LEN, &type, sizeof(type));
	mtx_lock(&mi->rxq[q].lock);
	taken = rx_packet(mi, q, m, ether);
	mtx_unlock(&mi->rxq[q].lock);
	return taken;
}

/* ---- life ------------------------------------------------------------------------- */

int
ms_rx_create(struct ms_ifnet *mi)
{
	unsigned int q;

	mi->rxq = ms_os_alloc(ms_num_queues() * sizeof(*mi->rxq));
	if (mi->rxq == NULL)
		return -ENOMEM;
	for (q = 0; q < ms_num_queues(); q++)
		mtx_init(&mi->rxq[q].lock, "multistack rx", NULL, MTX_DEF);
	return 0;
}

void
ms_rx_destroy(struct ms_ifnet *mi)
{
	unsigned int q;

	for (q = 0; mi->rxq != NULL && q < ms_num_queues(); q++)
		mtx_destroy(&mi->rxq[q].lock);
	ms_os_free(mi->rxq);
	mi->rxq = NULL;
}

void
ms_rx_stats(struct ms_ifnet *mi, uint64_t counter[MS_CTR_MAX])
{
	unsigned int q, i;

	for (q = 0; mi->rxq != NULL && q < ms_num_queues(); q++)
		for (i = 0; i < MS_CTR_MAX; i++)
			counter[i] += ms_os_load_once(&mi->rxq[q].counter[i]);
}
