/* SPDX-License-Identifier: BSD-2-Clause */
/* link.c: opening and closing; what is not hot. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define SLOTS 1024
/* In process nobody is late in taking frames, and less memory stays in cache:
   as many as an attachment gives at once. */
#define SLOTS_INPROC 256
/* Where frames of 64 KiB come and go, fewer and larger buffers. The kernel's ring
   has to be deep, too: there, a page each. */
#define BUF_BYTES_GSO 16384
#define BUF_BYTES_KMOD 4096

static int
fail(msport_error_t *err, int code, const char *text)
{
	if (err) {
		err->code = code;
		strncpy(err->text, text, sizeof err->text - 1);
		err->text[sizeof err->text - 1] = '\0';
	}
	return code;
}

/* ---- what links of one port share ----------------------------------------- */

/* A link lets go of its ring, and of the group. */
static void
group_put(struct mslink__group *g, unsigned int ring)
{
	bool last;

	pthread_mutex_lock(&g->lock);
	g->ring_used &= ~(1ull << ring);
	last = --g->refs == 0;
	pthread_mutex_unlock(&g->lock);
	if (!last)
		return;
	mslink__claims_free(g);
	msport_close(g->port);
	pthread_mutex_destroy(&g->lock);
	free(g->addrs);
	free(g);
}

static int
group_addrs(struct mslink__group *g)
{
	size_t bytes = g->opt.num_addrs * sizeof *g->addrs;

	if (bytes == 0)
		return 0;
	if (!g->opt.addrs)
		return -EINVAL;
	g->addrs = malloc(bytes);
	if (!g->addrs)
		return -ENOMEM;
	memcpy(g->addrs, g->opt.addrs, bytes);
	return 0;
}

/* port.h: these two, and a name alone, are served by others. */
static bool
is_inproc(const char *device)
{
	return strchr(device, ':') && strncmp(device, "kmod:", 5) != 0 &&
	       strncmp(device, "daemon:", 7) != 0 &&
	       strncmp(device, "daemon@", 7) != 0;
}

/* Bytes of a buffer where the user does not say; 0: the port's default. */
static uint32_t
buf_bytes_of(const struct mslink__group *g, const char *device)
{
	if (g->opt.buf_bytes)
		return g->opt.buf_bytes;
	if (strncmp(device, "kmod:", 5) == 0)
		return BUF_BYTES_KMOD;
	if (g->inproc && strncmp(device, "xdp:", 4) != 0)
		return BUF_BYTES_GSO;
	return 0;
}

static int
group_new(struct mslink__group **out, const char *device,
	  const mslink_options_t *opt, msport_error_t *err)
{
	msport_options_t p = { 0 };
	struct mslink__group *g = calloc(1, sizeof *g);
	int r;

	if (!g)
		return fail(err, -ENOMEM, "out of memory");
	if (opt)
		memcpy(&g->opt, opt,
		       opt->size < sizeof *opt ? opt->size : sizeof *opt);
	g->rings = g->opt.rings ? g->opt.rings : 1;
	g->refs = 1;
	g->ring_used = 1;
	mslink__claims_init(g);
	p.tx_rings = p.rx_rings = (uint16_t)g->rings;
	g->inproc = is_inproc(device);
	p.slots = g->opt.slots ? g->opt.slots
			       : (g->inproc ? SLOTS_INPROC : SLOTS);
	p.buf_bytes = buf_bytes_of(g, device);
	memcpy(p.label, g->opt.label, sizeof p.label);
	pthread_mutex_init(&g->lock, NULL);
	r = group_addrs(g);
	if (r)
		fail(err, r,
		     r == -EINVAL ? "mslink_open: no addrs" : "out of memory");
	else
		r = msport_open(&g->port, device, &p, err);
	if (r) {
		group_put(g, 0);
		return r;
	}
	*out = g;
	return 0;
}

/* ---- a stack on a ring ------------------------------------------------------- */

/* What the device can do, the user wants, and has what it needs. */
static uint32_t
offloads_of(const mslink_t *l)
{
	const mslink_options_t *opt = &l->group->opt;
	uint32_t can = msport_info(l->port)->features, o = 0;

	if (can & MS_FEATURE_CSUM_TX)
		o |= UTCP_OFFLOAD_CSUM;
	if (can & MS_FEATURE_GSO_TCP)
		o |= UTCP_OFFLOAD_GSO_TCP;
	if (can & MS_FEATURE_GSO_UDP)
		o |= UTCP_OFFLOAD_GSO_UDP;
	o |= opt->config.size ? opt->config.offloads : 0;
	o &= ~opt->no_offloads;
	if (!(o & UTCP_OFFLOAD_CSUM))
		o &= ~(UTCP_OFFLOAD_GSO_TCP | UTCP_OFFLOAD_GSO_UDP);
	return o;
}

/* The buffers of the first slots serve for all of them. */
static void
hot_init(mslink_t *l)
{
	const struct ms_region *m = msport_region(l->port);
	unsigned int want;
	int n;

	l->tx_ring = (const void *)((const uint8_t *)m + m->ring_ofs +
				    l->ring * m->ring_stride);
	l->frame_views = MS_FRAME_BYTES_MAX / m->buf_bytes + 2;
	if (l->frame_views > UTCP_PKT_PARTS_MAX)
		l->frame_views = UTCP_PKT_PARTS_MAX;
	l->num_hot = l->next_hot = 0;
	if (!l->group->inproc)
		return;
	want = MSLINK__HOT_BYTES / m->buf_bytes;
	if (want > MSLINK__HOT)
		want = MSLINK__HOT;
	if (want < 2 * l->frame_views)
		want = 2 * l->frame_views;
	n = msport_tx(l->port, l->ring, l->tx, want);
	for (int i = 0; i < n; i++)
		l->hot[i] = l->tx[i].data;
	l->num_hot = n > 0 ? (unsigned int)n : 0;
}

void
mslink__refresh(mslink_t *l)
{
	const struct ms_cmd_port_create *info = msport_info(l->port);

	memcpy(l->mac, info->mac, 6);
	l->vlan = info->vlan;
	l->l2_bytes = info->vlan ? 18 : 14;
	l->route_gen = &msport_region(l->port)->route_gen;
	l->gen = __atomic_load_n(l->route_gen, __ATOMIC_ACQUIRE);
	l->mtu = info->mtu;
	hot_init(l);
}

static int
seed(utcp_config_t *c)
{
	static const uint8_t none[sizeof c->seed];

	if (memcmp(c->seed, none, sizeof none) != 0)
		return 0;
	return mslink__random(c->seed, sizeof c->seed);
}

static int
stack_new(mslink_t *l, bool reseed)
{
	const struct mslink__group *g = l->group;
	utcp_config_t c = { 0 };
	uint32_t given = g->opt.config.size;
	int r;

	memcpy(&c, &g->opt.config, given < sizeof c ? given : sizeof c);
	c.size = sizeof c;
	if (reseed)
		memset(c.seed, 0, sizeof c.seed);
	r = seed(&c);
	if (r)
		return r;
	c.now_ns = mslink_now_ns();
	c.l2_bytes = l->l2_bytes;
	c.offloads = offloads_of(l);
	if (c.mtu == 0)
		c.mtu = l->mtu;
	c.claim = mslink__claim;
	c.unclaim = mslink__unclaim;
	c.claim_arg = l;
	return utcp_create(&l->u, &c);
}

/* The source that the host would take; documentation's addresses (RFC 5737,
   RFC 3849) stand for everywhere. */
static void
addr_ask(mslink_t *l, uint8_t family)
{
	static const uint8_t everywhere[2][16] = {
		{ 192, 0, 2, 1 },
		{ 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
	};
	struct ms_cmd_route r;
	utcp_addr_t a;

	if (mslink__route(l, everywhere[family == 6], family, &r))
		return;
	memcpy(&a, &r.src, sizeof a);
	(void)utcp_address(l->u, &a, 1);
}

static int
addrs_set(mslink_t *l)
{
	const struct mslink__group *g = l->group;
	int r = 0;

	for (unsigned int i = 0; i < g->opt.num_addrs && r == 0; i++)
		r = utcp_address(l->u, &g->addrs[i], 1);
	if (g->opt.num_addrs == 0) {
		addr_ask(l, 4);
		addr_ask(l, 6);
	}
	return r;
}

/* The ring is taken, and a reference of g; by this also if it fails. */
static int
link_new(mslink_t **out, struct mslink__group *g, unsigned int ring)
{
	mslink_t *l = calloc(1, sizeof *l);
	int r;

	if (!l) {
		group_put(g, ring);
		return -ENOMEM;
	}
	l->group = g;
	l->port = g->port;
	l->ring = ring;
	mslink__spin_init(&l->spin, 0);
	l->last_out = MSLINK__BATCH / 4;
	mslink__loop_init(l);
	mslink__refresh(l);
	mslink__table_init(l);
	r = mslink__neigh_init(l);
	if (r == 0)
		r = stack_new(l, ring > 0);
	if (r == 0)
		r = addrs_set(l);
	if (r) {
		mslink_close(l);
		return r;
	}
	*out = l;
	return 0;
}

int
mslink_open(mslink_t **out, const char *device, const mslink_options_t *opt,
	    msport_error_t *err)
{
	struct mslink__group *g;
	int r;

	if (out)
		*out = NULL;
	if (!out || !device || (opt && opt->size == 0))
		return fail(err, -EINVAL, "mslink_open: no device or no size");
	r = group_new(&g, device, opt, err);
	if (r)
		return r;
	r = link_new(out, g, 0);
	if (r == -EINVAL)
		return fail(err, r, "the stack refuses its configuration");
	return r ? fail(err, r, strerror(-r)) : 0;
}

int
mslink_open_ring(mslink_t **out, mslink_t *first, unsigned int ring)
{
	struct mslink__group *g;
	bool used;

	if (!out || !first)
		return -EINVAL;
	*out = NULL;
	g = first->group;
	if (ring >= g->rings)
		return -EINVAL;
	pthread_mutex_lock(&g->lock);
	used = g->ring_used & 1ull << ring;
	if (!used) {
		g->ring_used |= 1ull << ring;
		g->refs++;
	}
	pthread_mutex_unlock(&g->lock);
	return used ? -EBUSY : link_new(out, g, ring);
}

void
mslink_close(mslink_t *l)
{
	struct mslink__group *g;
	unsigned int ring;

	if (!l)
		return;
	g = l->group;
	ring = l->ring;
	if (l->u)
		(void)mslink_flush(l);
	l->sending = true;
	utcp_destroy(l->u);
	mslink__claims_end(g);
	mslink__neigh_deinit(l);
	mslink__loop_deinit(l);
	mslink__table_deinit(l);
	free(l);
	group_put(g, ring);
}

/* The region may have gone; closing sockets still asks what is under way. */
static void
regionless(mslink_t *l)
{
	static const struct ms_ring no_ring;
	static const uint32_t no_gen;

	if (msport_region(l->port))
		return;
	l->tx_ring = &no_ring;
	l->route_gen = &no_gen;
	l->num_hot = 0;
}

int
mslink_reopen(mslink_t *l)
{
	struct mslink__group *g;
	bool shared;
	int r;

	if (!l)
		return -EINVAL;
	g = l->group;
	pthread_mutex_lock(&g->lock);
	shared = g->refs > 1;
	pthread_mutex_unlock(&g->lock);
	if (shared)
		return -EBUSY;
	utcp_retain(l->u);
	mslink__loop_release(l);
	l->unreleased = 0;
	l->want_room = false;
	r = msport_reopen(l->port);
	if (r) {
		regionless(l);
		return r;
	}
	mslink__refresh(l);
	memset(l->neighs, 0, MSLINK__NEIGHS * sizeof *l->neighs);
	l->last_neigh = l->neighs;
	if (g->opt.config.mtu == 0)
		(void)utcp_set_mtu(l->u, l->mtu);
	return utcp_set_offloads(l->u, offloads_of(l));
}

void
mslink__routes_moved(mslink_t *l)
{
	struct ms_cmd_route r;

	l->gen = __atomic_load_n(l->route_gen, __ATOMIC_ACQUIRE);
	if (l->last_neigh->family == 0 || l->group->opt.config.mtu ||
	    mslink__route(l, l->last_neigh->addr, l->last_neigh->family, &r))
		return;
	if (r.mtu && r.mtu != l->mtu && utcp_set_mtu(l->u, r.mtu) == 0)
		l->mtu = r.mtu;
}

/* ---- small calls -------------------------------------------------------------- */

static bool
is_any(const utcp_addr_t *a)
{
	static const uint8_t any[16];

	return memcmp(a->addr, any, a->family == 4 ? 4 : 16) == 0;
}

void
mslink_peer(utcp_addr_t *peer, const utcp_addr_t *local)
{
	if (!peer || (peer->family != 4 && peer->family != 6) || !is_any(peer))
		return;
	if (local && local->family == peer->family && !is_any(local)) {
		memcpy(peer->addr, local->addr, peer->family == 4 ? 4 : 16);
		return;
	}
	peer->addr[0] = peer->family == 4 ? 127 : 0;
	peer->addr[peer->family == 4 ? 3 : 15] = 1;
}

/* The stack is told its address on the way there, if it is to be found out.
   On the way to loopback addresses it knows it. */
static int
source_ask(mslink_t *l, const utcp_addr_t *peer)
{
	struct ms_cmd_route r;
	utcp_addr_t a;
	int e;

	if (l->group->opt.num_addrs ||
	    mslink__is_loopback(peer->addr, peer->family))
		return 0;
	e = mslink__route(l, peer->addr, peer->family, &r);
	if (e)
		return e;
	memcpy(&a, &r.src, sizeof a);
	(void)utcp_address(l->u, &a, 1);
	return 0;
}

int
mslink_connect(mslink_t *l, utcp_sock_t *s, const utcp_addr_t *peer)
{
	utcp_addr_t to, local;
	int e;

	if (!l || !s || !peer || utcp_stack(s) != l->u)
		return -EINVAL;
	if (peer->family != 4 && peer->family != 6)
		return -EAFNOSUPPORT;
	to = *peer;
	mslink_peer(&to, utcp_getsockname(s, &local) ? NULL : &local);
	e = source_ask(l, &to);
	return e ? e : utcp_connect(s, &to);
}

int
mslink_udp_connect(mslink_t *l, utcp_udp_t *s, const utcp_addr_t *peer)
{
	utcp_addr_t to, local;

	if (!l || !s || !peer || utcp_udp_stack(s) != l->u)
		return -EINVAL;
	to = *peer;
	if (to.family == 4 || to.family == 6) {
		mslink_peer(&to,
			    utcp_udp_getsockname(s, &local) ? NULL : &local);
		/* To have named a peer is not to have sent to it. */
		(void)source_ask(l, &to);
	}
	return utcp_udp_connect(s, &to);
}

int
mslink_addr(utcp_addr_t *addr, const char *text, uint16_t port)
{
	struct ms_tuple t;
	int r;

	if (!addr || !text)
		return -EINVAL;
	r = msport_tuple(&t, text, IPPROTO_TCP, port);
	if (r == 0)
		memcpy(addr, &t, sizeof *addr);
	return r;
}

utcp_t *
mslink_stack(const mslink_t *l)
{
	return l ? l->u : NULL;
}

msport_t *
mslink_port(const mslink_t *l)
{
	return l ? l->port : NULL;
}

static const char *const counters[][2] = {
#define ROW(NAME, name, meaning) { name, meaning },
	MSLINK_COUNTERS(ROW)
#undef ROW
};

unsigned int
mslink_counters(const mslink_t *l, uint64_t *values, unsigned int n)
{
	if (!l || !values)
		return 0;
	if (n > MSLINK_CTR_MAX)
		n = MSLINK_CTR_MAX;
	memcpy(values, l->ctr, n * sizeof *values);
	return n;
}

const char *
mslink_counter_name(unsigned int i)
{
	return i < MSLINK_CTR_MAX ? counters[i][0] : NULL;
}

const char *
mslink_counter_text(unsigned int i)
{
	return i < MSLINK_CTR_MAX ? counters[i][1] : NULL;
}
