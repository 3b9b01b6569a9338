/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_port.c: ports, their regions, and the tuples they hold.
 */
#include "ms_core.h"

/* The region's descriptor says it in 64 bits; so much can nobody need, and
   sums of it cannot overflow. */
#define REGION_BYTES_MAX (1ull << 34)
#define REGION_RING_OFS 128u
#define REGION_PAGE 4096u
#define EPHEMERAL_TRIES 64

enum {
	PROTO_HOPOPT = 0,
	PROTO_ICMP = 1,
	PROTO_IGMP = 2,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_DCCP = 33,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AH = 51,
	PROTO_ICMPV6 = 58,
	PROTO_NONE = 59,
	PROTO_DSTOPTS = 60,
	PROTO_SCTP = 132,
	PROTO_MOBILITY = 135,
	PROTO_UDPLITE = 136,
	PROTO_HIP = 139,
	PROTO_SHIM6 = 140,
	PROTO_RESERVED = 255,
};

/* ---- create and destroy --------------------------------------------- */

static uint32_t
round_up_pow2(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p <<= 1;
	return p;
}

/* Fills in defaults, rounds, refuses. */
static int
port_check(struct ms_cmd_port_create *arg)
{
	if (arg->flags != 0)
		return -EINVAL;
	if (arg->tx_rings == 0)
		arg->tx_rings = 1;
	if (arg->rx_rings == 0)
		arg->rx_rings = 1;
	if (arg->tx_rings > MS_RINGS_MAX || arg->rx_rings > MS_RINGS_MAX)
		return -E2BIG;
	if (arg->slots == 0)
		arg->slots = 512;
	if (arg->slots > MS_SLOTS_MAX)
		return -E2BIG;
	if (arg->slots < MS_SLOTS_MIN)
		arg->slots = MS_SLOTS_MIN;
	arg->slots = round_up_pow2(arg->slots);
	if (arg->buf_bytes == 0)
		arg->buf_bytes = MS_BUF_BYTES_MIN;
	if (arg->buf_bytes > MS_BUF_BYTES_MAX)
		return -E2BIG;
	if (arg->buf_bytes < MS_BUF_BYTES_MIN ||
	    (arg->buf_bytes & (arg->buf_bytes - 1)) != 0)
		return -EINVAL;
	return 0;
}

/* Text of a stranger, to be shown on terminals: printable, and ended. */
static void
copy_label(char dst[16], const char src[16])
{
	unsigned int i;

	for (i = 0; i < 15 && src[i] != '\0'; i++)
		dst[i] = src[i] >= ' ' && src[i] <= '~' ? src[i] : '?';
	memset(dst + i, 0, 16 - i);
}

static size_t
align_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* Lays the region out and maps it: header, rings, page aligned buffers. */
static int
port_region(struct ms_port *port, const struct ms_cmd_port_create *arg)
{
	uint32_t rings = (uint32_t)arg->tx_rings + arg->rx_rings;
	uint64_t bufs = (uint64_t)rings * arg->slots + arg->extra_bufs;
	size_t stride = align_up(ms_kring_shared_bytes(arg->slots),
				 MS_CACHE_LINE);
	size_t bufs_ofs = align_up(REGION_RING_OFS + rings * stride,
				   REGION_PAGE);
	struct ms_region *r;

	if (bufs > UINT32_MAX ||
	    bufs_ofs + bufs * arg->buf_bytes > REGION_BYTES_MAX ||
	    bufs_ofs + bufs * arg->buf_bytes > SIZE_MAX)
		return -E2BIG;
	port->num_bufs = (uint32_t)bufs;
	port->region_bytes = bufs_ofs + (size_t)bufs * arg->buf_bytes;
	r = ms_os_shm_create(port->region_bytes, &port->shm);
	if (r == NULL)
		return -ENOMEM;
	port->region = r;
	r->magic = MS_REGION_MAGIC;
	r->abi = MS_ABI_VERSION;
	r->size = sizeof(*r);
	r->bytes = port->region_bytes;
	r->tx_rings = arg->tx_rings;
	r->rx_rings = arg->rx_rings;
	r->slots = arg->slots;
	r->buf_bytes = arg->buf_bytes;
	r->bufs = port->num_bufs;
	r->extra_bufs = arg->extra_bufs;
	r->port_id = port->id;
	r->ring_ofs = REGION_RING_OFS;
	r->ring_stride = stride;
	r->bufs_ofs = bufs_ofs;
	r->route_gen = port->nic->route_gen;
	return 0;
}

/* Offsets are computed again and not read back: the region is not ours. */
static int
port_rings(struct ms_port *port)
{
	size_t stride = align_up(ms_kring_shared_bytes(port->slots),
				 MS_CACHE_LINE);
	uint32_t rings = (uint32_t)port->num_tx + port->num_rx;
	uint8_t *base = (uint8_t *)port->region;
	uint8_t *bufs = base +
			align_up(REGION_RING_OFS + rings * stride, REGION_PAGE);
	struct ms_kring *ring;
	uint16_t index;
	uint32_t i;
	bool is_rx;
	int err;

	port->tx = ms_os_alloc(port->num_tx * sizeof(*port->tx));
	port->rx = ms_os_alloc(port->num_rx * sizeof(*port->rx));
	if (port->tx == NULL || port->rx == NULL)
		return -ENOMEM;
	for (i = 0; i < rings; i++) {
		is_rx = i >= port->num_tx;
		index = (uint16_t)(is_rx ? i - port->num_tx : i);
		ring = is_rx ? &port->rx[index] : &port->tx[index];
		err = ms_kring_init(
		    ring, port, (void *)(base + REGION_RING_OFS + i * stride),
		    bufs, is_rx, index, i * port->slots);
		if (err)
			return err;
	}
	return 0;
}

static struct ms_port *
port_by_id(const struct ms_switch *sw, uint32_t id)
{
	struct ms_port *port;

	for (port = sw->ports; port != NULL; port = port->next)
		if (port->id == id)
			return port;
	return NULL;
}

/* Ids are not used again before 2^32 others were. */
static uint32_t
port_new_id(struct ms_switch *sw)
{
	do {
		sw->next_port_id++;
	} while (sw->next_port_id == 0 ||
		 port_by_id(sw, sw->next_port_id) != NULL);
	return sw->next_port_id;
}

/* Frees what only the port refers to. No ring is in use any more. */
static void
port_free(struct ms_port *port)
{
	uint32_t i;

	for (i = 0; port->tx != NULL && i < port->num_tx; i++)
		ms_kring_deinit(&port->tx[i]);
	for (i = 0; port->rx != NULL && i < port->num_rx; i++)
		ms_kring_deinit(&port->rx[i]);
	ms_os_free(port->tx);
	ms_os_free(port->rx);
	ms_os_shm_destroy(port->shm);
	ms_os_free(port);
}

int
ms_port_create(struct ms_nic *nic, const struct ms_cred *cred,
	       struct ms_cmd_port_create *arg, struct ms_port **out)
{
	struct ms_switch *sw = nic->sw;
	struct ms_port *port;
	int err;

	err = port_check(arg);
	if (err)
		return err;
	port = ms_os_alloc(sizeof(*port));
	if (port == NULL)
		return -ENOMEM;
	port->sw = sw;
	port->nic = nic;
	port->id = port_new_id(sw);
	port->uid = ms_os_cred_uid(cred);
	port->pid = ms_os_cred_pid(cred);
	copy_label(port->label, arg->label);
	port->num_tx = arg->tx_rings;
	port->num_rx = arg->rx_rings;
	port->slots = arg->slots;
	port->buf_bytes = arg->buf_bytes;
	err = port_region(port, arg);
	if (err == 0)
		err = port_rings(port);
	if (err) {
		port_free(port);
		return err;
	}
	port->next = sw->ports;
	port->prevp = &sw->ports;
	if (port->next != NULL)
		port->next->prevp = &port->next;
	sw->ports = port;
	sw->num_ports++;
	nic->num_ports++;

	arg->region_bytes = port->region_bytes;
	arg->port_id = port->id;
	arg->features = nic->features;
	arg->mtu = nic->mtu;
	memcpy(arg->mac, nic->mac, sizeof(arg->mac));
	arg->vlan = nic->vlan;
	*out = port;
	return 0;
}

/* ---- which tuples there can be -------------------------------------- */

bool
ms_proto_has_ports(uint8_t proto)
{
	return proto == PROTO_TCP || proto == PROTO_UDP ||
	       proto == PROTO_SCTP || proto == PROTO_UDPLITE ||
	       proto == PROTO_DCCP;
}

/* Protocols that the host needs for itself, and numbers that are none. */
static bool
proto_is_hosts(uint8_t proto)
{
	switch (proto) {
	case PROTO_HOPOPT:
	case PROTO_ICMP:
	case PROTO_IGMP:
	case PROTO_ROUTING:
	case PROTO_FRAGMENT:
	case PROTO_AH:
	case PROTO_ICMPV6:
	case PROTO_NONE:
	case PROTO_DSTOPTS:
	case PROTO_MOBILITY:
	case PROTO_HIP:
	case PROTO_SHIM6:
	case PROTO_RESERVED:
		return true;
	default:
		return false;
	}
}

static bool
is_wildcard(const struct ms_tuple *t)
{
	static const uint8_t none[16];

	return memcmp(t->addr, none, sizeof(none)) == 0;
}

/* Unicast, or the wildcard; what follows an IPv4 address is 0. */
static bool
addr_can_be_bound(const struct ms_tuple *t)
{
	static const uint8_t none[12];
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (is_wildcard(t))
		return t->family == 4 || t->family == 6;
	if (t->family == 4)
		return memcmp(t->addr + 4, none, 12) == 0 && t->addr[0] != 0 &&
		       t->addr[0] < 224;
	return t->family == 6 && t->addr[0] != 0xff &&
	       memcmp(t->addr, mapped, 12) != 0;
}

static int
tuple_check(const struct ms_tuple *t, const struct ms_cred *cred)
{
	if (!addr_can_be_bound(t))
		return -EINVAL;
	if (ms_proto_has_ports(t->proto))
		return 0;
	if (t->port_be != 0 || proto_is_hosts(t->proto))
		return -EINVAL;
	return ms_os_cred_has(cred, MS_PRIV_RAW) ? 0 : -EPERM;
}

/* ---- who is in the way ---------------------------------------------- */

static bool
same_service(const struct ms_tuple *a, const struct ms_tuple *b)
{
	return a->port_be == b->port_be && a->proto == b->proto &&
	       a->family == b->family;
}

/* A bind of a port, that is not of uid `but`, under this wildcard. */
static struct ms_bind *
find_under(const struct ms_switch *sw, const struct ms_tuple *t, int64_t but)
{
	struct ms_port *port;
	struct ms_bind *b;

	for (port = sw->ports; port != NULL; port = port->next) {
		if (port->uid == but)
			continue;
		for (b = port->binds; b != NULL; b = b->next)
			if (same_service(&b->tuple, t))
				return b;
	}
	return NULL;
}

static struct ms_bind *
find_wildcard(const struct ms_switch *sw, const struct ms_tuple *t)
{
	struct ms_tuple w = *t;

	memset(w.addr, 0, sizeof(w.addr));
	return ms_table_find(sw->table, &w);
}

/* The bind that forbids this port to have t, or NULL. */
static struct ms_bind *
find_conflict(const struct ms_port *port, const struct ms_tuple *t)
{
	struct ms_bind *b = ms_table_find(port->sw->table, t);

	if (b != NULL)
		return b;
	if (is_wildcard(t))
		return find_under(port->sw, t, port->uid);
	b = find_wildcard(port->sw, t);
	return b != NULL && b->port->uid != port->uid ? b : NULL;
}

/* The host refused: which of our ports is the reason, if one is. */
static uint32_t
find_holder(const struct ms_port *port, const struct ms_tuple *t)
{
	struct ms_bind *b = ms_table_find(port->sw->table, t);

	if (b == NULL)
		b = is_wildcard(t) ? find_under(port->sw, t, -1)
				   : find_wildcard(port->sw, t);
	return b != NULL ? b->port->id : 0;
}

/* ---- bind and unbind ------------------------------------------------ */

/* Tells interfaces of a claim, up to but without `end`. */
static int
claim_on(struct ms_switch *sw, const struct ms_tuple *t, bool on,
	 const struct ms_nic *end, struct ms_nic **failed)
{
	struct ms_nic *nic;
	int err;

	for (nic = sw->nics; nic != end; nic = nic->next) {
		if (nic->ops->claim == NULL)
			continue;
		err = nic->ops->claim(nic, t, on);
		if (on && err) {
			*failed = nic;
			return err;
		}
	}
	return 0;
}

static void
bind_link(struct ms_port *port, struct ms_bind *b)
{
	b->seq = ++port->last_seq;
	b->next = port->binds;
	b->prevp = &port->binds;
	if (b->next != NULL)
		b->next->prevp = &b->next;
	port->binds = b;
	port->num_binds++;
}

static void
bind_unlink(struct ms_port *port, struct ms_bind *b)
{
	if (port->listed == b)
		port->listed = NULL;
	*b->prevp = b->next;
	if (b->next != NULL)
		b->next->prevp = b->prevp;
	port->num_binds--;
}

/* Makes the claim, with the reservation in hand, which it takes on success. */
static int
bind_insert(struct ms_port *port, const struct ms_tuple *t,
	    struct ms_resv *resv)
{
	struct ms_switch *sw = port->sw;
	struct ms_nic *failed;
	struct ms_bind *b;
	int err;

	b = ms_os_alloc(sizeof(*b));
	if (b == NULL)
		return -ENOMEM;
	b->tuple = *t;
	b->port = port;
	b->resv = resv;
	err = ms_table_insert(sw->table, b);
	if (err)
		goto out_free;
	err = claim_on(sw, t, true, NULL, &failed);
	if (err)
		goto out_delete;
	bind_link(port, b);
	return 0;

out_delete:
	claim_on(sw, t, false, failed, NULL);
	ms_table_delete(sw->table, b);
	ms_os_read_sync();
	ms_table_reclaim(sw->table);
out_free:
	ms_os_free(b);
	return err;
}

int
ms_port_bind(struct ms_port *port, const struct ms_cred *cred,
	     struct ms_cmd_bind *arg)
{
	unsigned int tries = arg->tuple.port_be == 0 ? EPHEMERAL_TRIES : 1;
	struct ms_resv *resv;
	struct ms_bind *other;
	struct ms_tuple t;
	int err;

	arg->holder = 0;
	if (arg->flags != 0)
		return -EINVAL;
	err = tuple_check(&arg->tuple, cred);
	if (err)
		return err;
	if (!ms_proto_has_ports(arg->tuple.proto))
		tries = 1;
	do {
		if (port->nic == NULL)
			return -ENODEV;
		t = arg->tuple;
		resv = NULL;
		err = ms_os_resv_create(port->nic, cred, &t, &resv);
		if (err) {
			if (err == -EADDRINUSE)
				arg->holder = find_holder(port, &t);
			return err;
		}
		other = find_conflict(port, &t);
		err = other != NULL ? -EADDRINUSE : bind_insert(port, &t, resv);
		if (err)
			ms_os_resv_destroy(resv);
	} while (err == -EADDRINUSE && --tries > 0);
	if (other != NULL)
		arg->holder = other->port->id;
	if (err == 0)
		arg->tuple = t;
	return err;
}

/* Out of sight of the packet path after the next grace period. */
static void
bind_withdraw(struct ms_switch *sw, struct ms_bind *b)
{
	claim_on(sw, &b->tuple, false, NULL, NULL);
	ms_table_delete(sw->table, b);
}

static void
bind_free(struct ms_bind *b)
{
	ms_os_resv_destroy(b->resv);
	ms_os_free(b);
}

int
ms_port_unbind(struct ms_port *port, struct ms_cmd_bind *arg)
{
	struct ms_switch *sw = port->sw;
	struct ms_bind *b;

	arg->holder = 0;
	if (arg->flags != 0)
		return -EINVAL;
	/* The table looks only at what makes a valid tuple. */
	b = ms_table_find(sw->table, &arg->tuple);
	if (b == NULL || memcmp(&b->tuple, &arg->tuple, sizeof(b->tuple)) != 0)
		return -ENOENT;
	if (b->port != port)
		return -EPERM;
	bind_unlink(port, b);
	bind_withdraw(sw, b);
	ms_os_read_sync();
	ms_table_reclaim(sw->table);
	bind_free(b);
	return 0;
}

uint32_t
ms_port_move_binds(struct ms_port *from, struct ms_port *to)
{
	struct ms_bind *b, *last = NULL, *next;
	uint32_t moved = 0;

	/* Oldest first, so that the order of the list stays. */
	for (b = from->binds; b != NULL; b = b->next)
		last = b;
	for (b = last; b != NULL; b = next) {
		next = b->prevp == &from->binds
			   ? NULL
			   : (struct ms_bind *)((uint8_t *)b->prevp -
						offsetof(struct ms_bind, next));
		bind_unlink(from, b);
		bind_link(to, b);
		ms_os_store_release(&b->port, to);
		ms_table_update(to->sw->table, b);
		moved++;
	}
	return moved;
}

int
ms_nic_claim_all(struct ms_nic *nic)
{
	struct ms_switch *sw = nic->sw;
	struct ms_port *port;
	struct ms_bind *b;
	int err = 0;

	if (nic->ops->claim == NULL)
		return 0;
	ms_mutex_lock(&sw->ctl_lock);
	for (port = sw->ports; port != NULL && !err; port = port->next)
		for (b = port->binds; b != NULL && !err; b = b->next)
			err = nic->ops->claim(nic, &b->tuple, true);
	ms_mutex_unlock(&sw->ctl_lock);
	return err;
}

void
ms_nic_quiesce(struct ms_nic *nic)
{
	ms_mutex_lock(&nic->sw->ctl_lock);
	while (nic->route_calls > 0) {
		ms_mutex_unlock(&nic->sw->ctl_lock);
		ms_os_sleep_us(500);
		ms_mutex_lock(&nic->sw->ctl_lock);
	}
	ms_mutex_unlock(&nic->sw->ctl_lock);
}

/* One grace period for all that the port had, however much that is. */
void
ms_port_destroy(struct ms_port *port)
{
	struct ms_switch *sw;
	struct ms_bind *b, *next;
	uint32_t i;

	if (port == NULL)
		return;
	sw = port->sw;
	ms_mutex_lock(&sw->ctl_lock);
	ms_tap_stop(port);
	ms_tap_end(port);
	for (i = 0; i < port->num_tx; i++)
		ms_kring_stop(&port->tx[i]);
	for (i = 0; i < port->num_rx; i++)
		ms_kring_stop(&port->rx[i]);
	for (b = port->binds; b != NULL; b = b->next)
		bind_withdraw(sw, b);
	if (port->nic != NULL)
		port->nic->num_ports--;
	*port->prevp = port->next;
	if (port->next != NULL)
		port->next->prevp = port->prevp;
	sw->num_ports--;
	ms_os_store_release(&sw->gone, sw->gone + 1);
	ms_os_read_sync();
	ms_table_reclaim(sw->table);
	for (b = port->binds; b != NULL; b = next) {
		next = b->next;
		bind_free(b);
	}
	ms_mutex_unlock(&sw->ctl_lock);
	port_free(port);
}
