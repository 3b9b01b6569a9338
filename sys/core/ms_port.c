/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* ms_port.c: ports and their regions. */
#include "ms_core.h"

/* The region's descriptor says it in 64 bits; so much can nobody need, and
   sums of it cannot overflow. */
#define REGION_BYTES_MAX (1ull << 34)
#define REGION_RING_OFS 128u
#define REGION_PAGE 4096u

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

struct layout { /* of a region: header, rings, page aligned buffers */
	uint64_t bufs, bytes;
	size_t stride, bufs_ofs;
};

static struct layout
region_layout(const struct ms_cmd_port_create *arg)
{
	uint32_t rings = (uint32_t)arg->tx_rings + arg->rx_rings;
	struct layout l;

	l.bufs = (uint64_t)rings * arg->slots + arg->extra_bufs;
	l.stride = align_up(ms_kring_shared_bytes(arg->slots), MS_CACHE_LINE);
	l.bufs_ofs = align_up(REGION_RING_OFS + rings * l.stride, REGION_PAGE);
	l.bytes = l.bufs_ofs + l.bufs * arg->buf_bytes;
	return l;
}

static bool
layout_fits(const struct layout *l)
{
	return l->bufs <= UINT32_MAX && l->bytes <= REGION_BYTES_MAX &&
	       l->bytes <= SIZE_MAX;
}

uint64_t
ms_port_region_bytes(const struct ms_cmd_port_create *arg)
{
	struct ms_cmd_port_create a = *arg;
	struct layout l;

	if (port_check(&a))
		return 0;
	l = region_layout(&a);
	return layout_fits(&l) ? align_up(l.bytes, REGION_PAGE) : 0;
}

/* Maps the region, and describes it there. */
static int
port_region(struct ms_port *port, const struct ms_cmd_port_create *arg,
	    const struct layout *l)
{
	struct ms_region *r;

	port->num_bufs = (uint32_t)l->bufs;
	port->region_bytes = (size_t)l->bytes;
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
	r->ring_stride = l->stride;
	r->bufs_ofs = l->bufs_ofs;
	r->route_gen = port->nic->route_gen;
	return 0;
}

/* Nothing is read back: the region is not ours. */
static int
port_rings(struct ms_port *port, const struct layout *l)
{
	uint32_t rings = (uint32_t)port->num_tx + port->num_rx;
	uint8_t *base = (uint8_t *)port->region;
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
		    ring, port,
		    (void *)(base + REGION_RING_OFS + i * l->stride),
		    base + l->bufs_ofs, is_rx, index, i * port->slots);
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

struct ms_kring *
ms_port_ring(const struct ms_port *port, unsigned int is_rx, unsigned int index)
{
	if (is_rx > 1 || index >= (is_rx ? port->num_rx : port->num_tx))
		return NULL;
	return is_rx ? &port->rx[index] : &port->tx[index];
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
	struct layout l;
	int err;

	err = port_check(arg);
	if (err)
		return err;
	l = region_layout(arg);
	if (!layout_fits(&l))
		return -E2BIG;
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
	err = port_region(port, arg, &l);
	if (err == 0)
		err = port_rings(port, &l);
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

/* One grace period for all that the port had, however much that is. */
void
ms_port_destroy(struct ms_port *port)
{
	struct ms_switch *sw;
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
	ms_port_withdraw_binds(port);
	if (port->nic != NULL)
		port->nic->num_ports--;
	*port->prevp = port->next;
	if (port->next != NULL)
		port->next->prevp = port->prevp;
	sw->num_ports--;
	ms_os_store_release(&sw->gone, sw->gone + 1);
	ms_os_read_sync();
	ms_table_reclaim(sw->table);
	ms_port_free_binds(port);
	ms_mutex_unlock(&sw->ctl_lock);
	port_free(port);
}
