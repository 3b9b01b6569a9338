/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_switch.c: the switch and its interfaces: how they come and go, and what
 * they have counted.
 */
#include "ms_batch.h"

#define QUEUES_MAX 1024

int
ms_switch_create(struct ms_switch **out)
{
	struct ms_switch *sw = ms_os_alloc(sizeof(*sw));
	int err;

	if (sw == NULL)
		return -ENOMEM;
	err = ms_table_create(&sw->table);
	if (err != 0) {
		ms_os_free(sw);
		return err;
	}
	ms_mutex_init(&sw->ctl_lock);
	ms_os_random(sw->flow_key, sizeof(sw->flow_key));
	*out = sw;
	return 0;
}

void
ms_switch_destroy(struct ms_switch *sw)
{
	if (sw == NULL)
		return;
	MS_ASSERT(sw->nics == NULL && sw->ports == NULL);
	ms_table_destroy(sw->table);
	ms_mutex_deinit(&sw->ctl_lock);
	ms_os_free(sw);
}

struct ms_kring *
ms_flow_ring(const struct ms_switch *sw, uint64_t value,
	     const struct ms_pkt *pkt, const uint8_t *saddr,
	     const uint8_t *daddr)
{
	const uint64_t *k = sw->flow_key;
	struct ms_kring *rings = ms_value_rings(value);
	uint32_t num = ms_value_num(value);
	uint32_t ports, hash;
	uint64_t sum;
	unsigned int i;

	if (num == 1)
		return rings;
	/* As the two fields lie in a header. */
	memcpy((uint8_t *)&ports, &pkt->sport_be, 2);
	memcpy((uint8_t *)&ports + 2, &pkt->dport_be, 2);
	if (pkt->family == 4) {
		hash = ms_flow_hash4(k, ms_raw32(saddr), ms_raw32(daddr), ports,
				     pkt->proto);
		return rings + ms_flow_pick(hash, num);
	}
	sum = k[0] + k[9] * ports + k[10] * pkt->proto;
	for (i = 0; i < 4; i++) {
		sum += k[1 + i] * ms_raw32(saddr + 4 * i);
		sum += k[5 + i] * ms_raw32(daddr + 4 * i);
	}
	return rings + ms_flow_pick(ms_hash_end(sum), num);
}

/* ---- interfaces ----------------------------------------------------------- */

static void
nic_free(struct ms_nic *nic)
{
	unsigned int q;

	for (q = 0; q < nic->num_queues; q++) {
		if (nic->batch != NULL)
			ms_os_free(nic->batch[q]);
		if (nic->sched != NULL && nic->sched[q].nic != NULL)
			ms_spin_deinit(&nic->sched[q].lock);
	}
	ms_os_free(nic->batch);
	ms_os_free(nic->sched);
	ms_frag_destroy(nic->frags);
	ms_os_free(nic);
}

static int
nic_alloc(struct ms_nic *nic)
{
	struct ms_sched *s;
	unsigned int q;

	if (ms_frag_create(&nic->frags) != 0)
		return -ENOMEM;
	nic->sched = ms_os_alloc(nic->num_queues * sizeof(*nic->sched));
	nic->batch = ms_os_alloc(nic->num_queues * sizeof(*nic->batch));
	if (nic->sched == NULL || nic->batch == NULL)
		return -ENOMEM;
	for (q = 0; q < nic->num_queues; q++) {
		s = &nic->sched[q];
		ms_spin_init(&s->lock);
		s->lastp = &s->first;
		s->nic = nic;
		s->q = q;
		nic->batch[q] = ms_os_alloc(sizeof(*nic->batch[q]));
		if (nic->batch[q] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int
nic_link(struct ms_switch *sw, struct ms_nic *nic)
{
	struct ms_nic **at;

	for (at = &sw->nics; *at != NULL; at = &(*at)->next) {
		if (memcmp((*at)->name, nic->name, sizeof(nic->name)) == 0)
			return -EEXIST;
	}
	nic->id = ++sw->next_nic_id;
	*at = nic;
	sw->num_nics++;
	return 0;
}

/* Same name, same bytes: what is behind the NUL is cleared. */
static void
name_copy(char *to, const char *from, size_t bytes)
{
	size_t i;

	for (i = 0; i + 1 < bytes && from[i] != '\0'; i++)
		to[i] = from[i];
	memset(to + i, 0, bytes - i);
}

int
ms_nic_create(struct ms_switch *sw, const struct ms_nic *tmpl,
	      struct ms_nic **out)
{
	struct ms_nic *nic;
	int err;

	if (tmpl->ops == NULL || tmpl->ops->name == NULL ||
	    tmpl->ops->xmit == NULL || tmpl->num_queues == 0 ||
	    tmpl->num_queues > QUEUES_MAX || tmpl->vlan > 4094 ||
	    tmpl->name[0] == '\0')
		return -EINVAL;
	nic = ms_os_alloc(sizeof(*nic));
	if (nic == NULL)
		return -ENOMEM;
	nic->sw = sw;
	nic->ops = tmpl->ops;
	nic->os = tmpl->os;
	nic->attach = tmpl->attach;
	name_copy(nic->name, tmpl->name, sizeof(nic->name));
	name_copy(nic->kind, tmpl->kind, sizeof(nic->kind));
	memcpy(nic->mac, tmpl->mac, sizeof(nic->mac));
	nic->vlan = tmpl->vlan;
	nic->mtu = tmpl->mtu;
	nic->features = tmpl->features;
	nic->loopback = tmpl->loopback;
	nic->holds = tmpl->holds;
	nic->spread = tmpl->spread;
	nic->num_queues = tmpl->num_queues;
	nic->route_gen = 1;
	err = nic_alloc(nic);
	if (err != 0) {
		nic_free(nic);
		return err;
	}
	ms_mutex_lock(&sw->ctl_lock);
	err = nic_link(sw, nic);
	ms_mutex_unlock(&sw->ctl_lock);
	if (err != 0) {
		nic_free(nic);
		return err;
	}
	err = ms_nic_claim_all(nic);
	if (err != 0) {
		ms_nic_destroy(nic);
		return err;
	}
	*out = nic;
	return 0;
}

/* Takes the interface from a port. Its rings say so to their owner. */
static void
port_orphan(struct ms_port *port)
{
	uint32_t i, num = (uint32_t)port->num_tx + port->num_rx;
	struct ms_kring *ring;

	for (i = 0; i < num; i++) {
		ring = i < port->num_tx ? &port->tx[i]
					: &port->rx[i - port->num_tx];
		ms_kring_stop(ring);
		ms_os_store_release(&ring->sched, NULL);
		MS_USER_WRITE(ring->shared->gone, MS_GONE_NIC);
	}
	ms_os_store_release(&port->nic, NULL);
	ms_os_fence(); /* E: gone, as if it were a tail */
	for (i = 0; i < num; i++)
		ms_os_wake(i < port->num_tx ? &port->tx[i]
					    : &port->rx[i - port->num_tx]);
}

/* Waits for look-ups of routes under way, with the interface already taken from
   its ports and from the switch. */
static void
quiesce(struct ms_nic *nic)
{
	ms_mutex_lock(&nic->sw->ctl_lock);
	while (nic->route_calls > 0) {
		ms_mutex_unlock(&nic->sw->ctl_lock);
		ms_os_sleep_us(500);
		ms_mutex_lock(&nic->sw->ctl_lock);
	}
	ms_mutex_unlock(&nic->sw->ctl_lock);
}

void
ms_nic_destroy(struct ms_nic *nic)
{
	struct ms_switch *sw;
	struct ms_port *port;
	struct ms_nic **at;

	if (nic == NULL)
		return;
	sw = nic->sw;
	ms_mutex_lock(&sw->ctl_lock);
	ms_tap_end_nic(nic);
	for (port = sw->ports; port != NULL; port = port->next) {
		if (port->nic == nic)
			port_orphan(port);
	}
	for (at = &sw->nics; *at != NULL; at = &(*at)->next) {
		if (*at == nic) {
			*at = nic->next;
			sw->num_nics--;
			break;
		}
	}
	ms_mutex_unlock(&sw->ctl_lock);
	quiesce(nic);
	ms_os_read_sync();
	nic_free(nic);
}

void
ms_nic_moved(struct ms_nic *nic)
{
	struct ms_port *port;

	nic->route_gen++;
	for (port = nic->sw->ports; port != NULL; port = port->next) {
		if (port->nic == nic)
			MS_USER_WRITE(port->region->route_gen, nic->route_gen);
	}
}

void
ms_nic_changed(struct ms_nic *nic, const uint8_t *mac, uint32_t mtu)
{
	struct ms_switch *sw = nic->sw;
	unsigned int i;

	ms_mutex_lock(&sw->ctl_lock);
	for (i = 0; mac != NULL && i < sizeof(nic->mac); i++)
		ms_os_store_once(&nic->mac[i], mac[i]);
	if (mtu != 0)
		ms_os_store_once(&nic->mtu, mtu);
	ms_nic_moved(nic);
	ms_mutex_unlock(&sw->ctl_lock);
}

int
ms_nic_rename(struct ms_nic *nic, const char *name)
{
	struct ms_switch *sw = nic->sw;
	char to[MS_IFNAME_BYTES];
	struct ms_nic *other;
	int err = 0;

	name_copy(to, name, sizeof(to));
	ms_mutex_lock(&sw->ctl_lock);
	for (other = sw->nics; other != NULL; other = other->next) {
		if (other != nic && memcmp(other->name, to, sizeof(to)) == 0)
			err = -EEXIST;
	}
	if (err == 0)
		memcpy(nic->name, to, sizeof(to));
	ms_mutex_unlock(&sw->ctl_lock);
	return err;
}

/* ---- counters -------------------------------------------------------------- */

static void
counters_add(uint64_t *sum, const uint64_t *counter)
{
	unsigned int i;

	for (i = 0; i < MS_CTR_MAX; i++)
		sum[i] += ms_os_load_once(&counter[i]);
}

void
ms_port_stats(const struct ms_port *port, uint64_t counter[MS_CTR_MAX])
{
	uint32_t i;

	memset(counter, 0, MS_CTR_MAX * sizeof(*counter));
	for (i = 0; i < port->num_tx; i++)
		counters_add(counter, port->tx[i].counter);
	for (i = 0; i < port->num_rx; i++)
		counters_add(counter, port->rx[i].counter);
}

void
ms_nic_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX])
{
	unsigned int q;

	memset(counter, 0, MS_CTR_MAX * sizeof(*counter));
	for (q = 0; q < nic->num_queues; q++) {
		counters_add(counter, nic->batch[q]->rx.counter);
		counters_add(counter, nic->batch[q]->tx.counter);
	}
	if (nic->ops->stats != NULL)
		nic->ops->stats(nic, counter);
}
