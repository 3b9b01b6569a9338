/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* ms_bind.c: the tuples that ports hold. */
#include "ms_core.h"

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

/* Unicast, or the wildcard; what follows an IPv4 address is 0. */
static bool
addr_can_be_bound(const struct ms_tuple *t)
{
	static const uint8_t none[12];
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (ms_tuple_is_wildcard(t))
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

struct ms_resv *
ms_port_wildcard_resv(const struct ms_switch *sw, const struct ms_tuple *t,
		      uint32_t uid)
{
	struct ms_bind *b;

	if (ms_tuple_is_wildcard(t) || t->port_be == 0)
		return NULL;
	b = find_wildcard(sw, t);
	return b != NULL && b->port->uid == uid ? b->resv : NULL;
}

/* The bind that forbids this port to have t, or NULL. */
static struct ms_bind *
find_conflict(const struct ms_port *port, const struct ms_tuple *t)
{
	struct ms_bind *b = ms_table_find(port->sw->table, t);

	if (b != NULL)
		return b;
	if (ms_tuple_is_wildcard(t))
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
		b = ms_tuple_is_wildcard(t) ? find_under(port->sw, t, -1)
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

void
ms_port_withdraw_binds(struct ms_port *port)
{
	struct ms_bind *b;

	for (b = port->binds; b != NULL; b = b->next)
		bind_withdraw(port->sw, b);
}

void
ms_port_free_binds(struct ms_port *port)
{
	struct ms_bind *b, *next;

	for (b = port->binds; b != NULL; b = next) {
		next = b->next;
		bind_free(b);
	}
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
