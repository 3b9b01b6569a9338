/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_ctl.c: the commands of multistack.h: sizes, privileges, lists.
 */
#include "ms_core.h"

uint32_t
ms_ctl_bytes(uint32_t cmd)
{
	switch (cmd) {
	case MS_CMD_INFO:
		return sizeof(struct ms_cmd_info);
	case MS_CMD_PORT_CREATE:
		return sizeof(struct ms_cmd_port_create);
	case MS_CMD_QUEUE_ATTACH:
		return sizeof(struct ms_cmd_queue_attach);
	case MS_CMD_BIND:
	case MS_CMD_UNBIND:
		return sizeof(struct ms_cmd_bind);
	case MS_CMD_ROUTE:
		return sizeof(struct ms_cmd_route);
	case MS_CMD_SYNC:
		return sizeof(struct ms_cmd_sync);
	case MS_CMD_STATS:
		return sizeof(struct ms_cmd_stats);
	case MS_CMD_TAP:
		return sizeof(struct ms_cmd_tap);
	case MS_CMD_HANDOVER:
		return sizeof(struct ms_cmd_handover);
	case MS_CMD_ATTACH:
	case MS_CMD_DETACH:
		return sizeof(struct ms_cmd_attach);
	case MS_CMD_LIST:
		return sizeof(struct ms_cmd_list);
	default:
		return 0;
	}
}

/* ---- look-ups, all with ctl_lock held ------------------------------- */

static bool
ended(const char *s, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		if (s[i] == '\0')
			return true;
	return false;
}

static bool
name_equal(const char a[MS_IFNAME_BYTES], const char b[MS_IFNAME_BYTES])
{
	unsigned int i;

	for (i = 0; i < MS_IFNAME_BYTES && a[i] == b[i]; i++)
		if (a[i] == '\0')
			return true;
	return i == MS_IFNAME_BYTES;
}

int
ms_ctl_attach_check(const struct ms_cmd_attach *arg)
{
	if (!ended(arg->nic, sizeof(arg->nic)) ||
	    !ended(arg->kind, sizeof(arg->kind)) ||
	    !ended(arg->options, sizeof(arg->options)) || arg->nic[0] == '\0')
		return -EINVAL;
	if ((arg->flags & ~(MS_ATTACH_GENERIC | MS_ATTACH_FORCE)) != 0 ||
	    arg->vlan > MS_VLAN_MAX)
		return -EINVAL;
	return 0;
}

static struct ms_nic *
find_nic(const struct ms_switch *sw, const char *name)
{
	struct ms_nic *nic;

	for (nic = sw->nics; nic != NULL; nic = nic->next)
		if (name_equal(nic->name, name))
			return nic;
	return NULL;
}

static struct ms_port *
find_port(const struct ms_switch *sw, uint32_t id)
{
	struct ms_port *port;

	for (port = sw->ports; port != NULL; port = port->next)
		if (port->id == id)
			return port;
	return NULL;
}

static bool
may_inspect(const struct ms_cred *cred, const struct ms_port *own,
	    const struct ms_port *port)
{
	return port == own || port->uid == ms_os_cred_uid(cred) ||
	       ms_os_cred_has(cred, MS_PRIV_ADMIN);
}

/* ---- commands, ctl_lock held ---------------------------------------- */

static int
ctl_info(struct ms_switch *sw, struct ms_cmd_info *arg)
{
	const struct ms_nic *nic;

	arg->abi = MS_ABI_VERSION;
	arg->features = 0;
	for (nic = sw->nics; nic != NULL; nic = nic->next)
		arg->features |= nic->features;
	arg->num_nics = sw->num_nics;
	arg->num_ports = sw->num_ports;
	arg->num_tuples = ms_table_count(sw->table);
	return 0;
}

static int
ctl_port_create(struct ms_switch *sw, const struct ms_cred *cred,
		struct ms_port **port, struct ms_cmd_port_create *arg)
{
	struct ms_nic *nic;

	if (*port != NULL)
		return -EBUSY;
	if (!ended(arg->nic, sizeof(arg->nic)))
		return -EINVAL;
	nic = find_nic(sw, arg->nic);
	if (nic == NULL)
		return -ENODEV;
	return ms_port_create(nic, cred, arg, port);
}

static int
ctl_stats(struct ms_switch *sw, const struct ms_cred *cred,
	  struct ms_port *port, struct ms_cmd_stats *arg)
{
	struct ms_nic *nic;

	if (!ended(arg->nic, sizeof(arg->nic)))
		return -EINVAL;
	arg->num = MS_CTR_MAX;
	if (arg->nic[0] != '\0') {
		nic = find_nic(sw, arg->nic);
		if (nic == NULL)
			return -ENODEV;
		ms_nic_stats(nic, arg->counter);
		return 0;
	}
	if (arg->port_id != 0) {
		port = find_port(sw, arg->port_id);
		if (port == NULL)
			return -ENOENT;
		if (!may_inspect(cred, NULL, port))
			return -EPERM;
	} else if (port == NULL) {
		return -ENOTCONN;
	}
	ms_port_stats(port, arg->counter);
	return 0;
}

static int
ctl_tap(struct ms_switch *sw, const struct ms_cred *cred, struct ms_port *port,
	const struct ms_cmd_tap *arg)
{
	struct ms_port *target;

	if (port == NULL)
		return -ENOTCONN;
	if (arg->flags > (MS_TAP_REFUSED | MS_TAP_NO_OTHERS) ||
	    arg->flags == MS_TAP_NO_OTHERS)
		return -EINVAL;
	switch (arg->scope) {
	case 0:
		ms_tap_stop(port);
		return 0;
	case MS_TAP_PORT:
		target = find_port(sw, arg->port_id);
		if (target == NULL)
			return -ENOENT;
		if (!may_inspect(cred, port, target))
			return -EPERM;
		return ms_tap_start(port, target, NULL, arg->snap_bytes,
				    arg->flags);
	case MS_TAP_NIC:
		if (!ms_os_cred_has(cred, MS_PRIV_ADMIN))
			return -EPERM;
		if (port->nic == NULL)
			return -ENODEV;
		return ms_tap_start(port, NULL, port->nic, arg->snap_bytes,
				    arg->flags);
	default:
		return -EINVAL;
	}
}

/* In a time that does not tell how much of a guess was right. */
static bool
token_equal(const uint8_t a[16], const uint8_t b[16])
{
	uint8_t diff = 0;
	unsigned int i;

	for (i = 0; i < 16; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

/*
 * The token shows that the offerer meant it; that both are of one user keeps
 * the rule that no user gets into another's address (ms_port_bind).
 */
static int
handover_accept(struct ms_switch *sw, const struct ms_cred *cred,
		struct ms_port *port, struct ms_cmd_handover *arg)
{
	struct ms_port *from, *p;

	from = NULL;
	for (p = sw->ports; p != NULL; p = p->next)
		if (p->has_token && token_equal(p->token, arg->token))
			from = p;
	if (from == NULL)
		return -ENOENT;
	if (from == port)
		return -EINVAL;
	if (from->uid != port->uid && !ms_os_cred_has(cred, MS_PRIV_ADMIN))
		return -EPERM;
	if (port->nic == NULL)
		return -ENODEV;
	if (from->nic != port->nic)
		return -EXDEV;
	from->has_token = false;
	memset(from->token, 0, sizeof(from->token));
	arg->moved = ms_port_move_binds(from, port);
	return 0;
}

static int
ctl_handover(struct ms_switch *sw, const struct ms_cred *cred,
	     struct ms_port *port, struct ms_cmd_handover *arg)
{
	if (port == NULL)
		return -ENOTCONN;
	arg->moved = 0;
	switch (arg->op) {
	case MS_HANDOVER_OFFER:
		ms_os_random(port->token, sizeof(port->token));
		port->has_token = true;
		memcpy(arg->token, port->token, sizeof(arg->token));
		return 0;
	case MS_HANDOVER_ACCEPT:
		return handover_accept(sw, cred, port, arg);
	default:
		return -EINVAL;
	}
}

/* ---- lists ---------------------------------------------------------- */

static int
list_nics(const struct ms_switch *sw, struct ms_cmd_list *arg)
{
	const struct ms_nic *best = NULL, *nic;

	for (nic = sw->nics; nic != NULL; nic = nic->next)
		if (nic->id > arg->cursor &&
		    (best == NULL || nic->id < best->id))
			best = nic;
	if (best == NULL)
		return -ENOENT;
	arg->cursor = best->id;
	arg->num = best->num_ports;
	memcpy(arg->nic, best->name, sizeof(arg->nic));
	memcpy(arg->label, best->kind, sizeof(arg->label));
	arg->tx_rings = arg->rx_rings = (uint16_t)best->num_queues;
	arg->mtu = best->mtu;
	arg->features = best->features;
	memcpy(arg->mac, best->mac, sizeof(arg->mac));
	arg->vlan = best->vlan;
	return 0;
}

/* The port with the smallest id above this one. */
static struct ms_port *
next_port(const struct ms_switch *sw, uint64_t id)
{
	struct ms_port *best = NULL, *port;

	for (port = sw->ports; port != NULL; port = port->next)
		if (port->id > id && (best == NULL || port->id < best->id))
			best = port;
	return best;
}

static void
list_port(const struct ms_port *port, struct ms_cmd_list *arg)
{
	arg->port_id = port->id;
	arg->uid = port->uid;
	arg->pid = port->pid;
	arg->num = port->num_binds;
	memcpy(arg->label, port->label, sizeof(arg->label));
	arg->tx_rings = port->num_tx;
	arg->rx_rings = port->num_rx;
	arg->slots = port->slots;
	if (port->nic == NULL)
		return;
	memcpy(arg->nic, port->nic->name, sizeof(arg->nic));
	arg->mtu = port->nic->mtu;
	arg->features = port->nic->features;
	memcpy(arg->mac, port->nic->mac, sizeof(arg->mac));
	arg->vlan = port->nic->vlan;
}

static int
list_ports(const struct ms_switch *sw, struct ms_cmd_list *arg)
{
	const struct ms_port *port = next_port(sw, arg->cursor);

	if (port == NULL)
		return -ENOENT;
	arg->cursor = port->id;
	list_port(port, arg);
	return 0;
}

/* The newest bind of a port that is older than `seq`. Whoever lists them one
   after the other finds each at once. */
static struct ms_bind *
older_bind(const struct ms_port *port, uint32_t seq)
{
	struct ms_bind *b = port->binds;

	if (port->listed != NULL && port->listed->seq == seq)
		return port->listed->next;
	while (b != NULL && b->seq >= seq)
		b = b->next;
	return b;
}

/* The cursor is a port's id and the number of a bind of it. */
static int
list_tuples(const struct ms_switch *sw, struct ms_cmd_list *arg)
{
	struct ms_port *port = find_port(sw, (uint32_t)(arg->cursor >> 32));
	struct ms_bind *b = NULL;

	if (port != NULL)
		b = older_bind(port, (uint32_t)arg->cursor);
	if (b == NULL) {
		port = next_port(sw, arg->cursor >> 32);
		while (port != NULL && port->binds == NULL)
			port = next_port(sw, port->id);
		if (port == NULL)
			return -ENOENT;
		b = port->binds;
	}
	port->listed = b;
	arg->cursor = (uint64_t)port->id << 32 | b->seq;
	list_port(port, arg);
	arg->tuple = b->tuple;
	return 0;
}

static int
ctl_list(const struct ms_switch *sw, struct ms_cmd_list *arg)
{
	struct ms_cmd_list in = *arg;
	int err;

	memset(arg, 0, sizeof(*arg));
	arg->size = in.size;
	arg->what = in.what;
	arg->cursor = in.cursor;
	switch (in.what) {
	case MS_LIST_NICS:
		err = list_nics(sw, arg);
		break;
	case MS_LIST_PORTS:
		err = list_ports(sw, arg);
		break;
	case MS_LIST_TUPLES:
		err = list_tuples(sw, arg);
		break;
	default:
		err = -EINVAL;
	}
	return err;
}

/* ---- one command ---------------------------------------------------- */

/* Without ctl_lock across the look-up, which may wait for a neighbour. */
static int
ctl_route(struct ms_switch *sw, struct ms_port *port, struct ms_cmd_route *arg)
{
	struct ms_nic *nic;
	int err;

	if (port == NULL)
		return -ENOTCONN;
	if (arg->flags != 0 || (arg->dst.family != 4 && arg->dst.family != 6))
		return -EINVAL;
	ms_mutex_lock(&sw->ctl_lock);
	nic = port->nic;
	if (nic != NULL) {
		nic->route_calls++;
		arg->gen = nic->route_gen;
	}
	ms_mutex_unlock(&sw->ctl_lock);
	if (nic == NULL)
		return -ENODEV;
	err = nic->ops->route != NULL ? nic->ops->route(nic, arg) : -EOPNOTSUPP;
	ms_mutex_lock(&sw->ctl_lock);
	nic->route_calls--;
	ms_mutex_unlock(&sw->ctl_lock);
	return err;
}

static int
ctl_locked(struct ms_switch *sw, const struct ms_cred *cred,
	   struct ms_port **port, uint32_t cmd, union ms_args *arg)
{
	int err;

	ms_mutex_lock(&sw->ctl_lock);
	switch (cmd) {
	case MS_CMD_INFO:
		err = ctl_info(sw, &arg->info);
		break;
	case MS_CMD_PORT_CREATE:
		err = ctl_port_create(sw, cred, port, &arg->create);
		break;
	case MS_CMD_BIND:
		err = *port == NULL ? -ENOTCONN
				    : ms_port_bind(*port, cred, &arg->bind);
		break;
	case MS_CMD_UNBIND:
		err = *port == NULL ? -ENOTCONN
				    : ms_port_unbind(*port, &arg->bind);
		break;
	case MS_CMD_STATS:
		err = ctl_stats(sw, cred, *port, &arg->stats);
		break;
	case MS_CMD_TAP:
		err = ctl_tap(sw, cred, *port, &arg->tap);
		break;
	case MS_CMD_HANDOVER:
		err = ctl_handover(sw, cred, *port, &arg->handover);
		break;
	case MS_CMD_LIST:
		err = ctl_list(sw, &arg->list);
		break;
	default:
		err = -EOPNOTSUPP;
	}
	ms_mutex_unlock(&sw->ctl_lock);
	return err;
}

/*
 * Brings the caller's struct to the size known here. size counts, not bytes:
 * a buffer may be larger than what the caller filled in.
 */
static int
args_in(union ms_args *a, uint32_t known, const void *arg, uint32_t bytes,
	uint32_t *size)
{
	const uint8_t *from = arg;
	uint32_t i;

	if (bytes < sizeof(*size))
		return -EINVAL;
	memcpy(size, arg, sizeof(*size));
	if (*size < sizeof(*size) || *size > bytes)
		return -EINVAL;
	for (i = known; i < *size; i++)
		if (from[i] != 0)
			return -E2BIG;
	memset(a, 0, sizeof(*a));
	memcpy(a, arg, *size < known ? *size : known);
	return 0;
}

static bool
is_of_the_os(uint32_t cmd)
{
	return cmd == MS_CMD_ATTACH || cmd == MS_CMD_DETACH ||
	       cmd == MS_CMD_SYNC || cmd == MS_CMD_QUEUE_ATTACH;
}

int
ms_ctl(struct ms_switch *sw, const struct ms_cred *cred, struct ms_port **port,
       uint32_t cmd, void *arg, uint32_t bytes)
{
	uint32_t known = ms_ctl_bytes(cmd);
	union ms_args a;
	uint32_t size;
	int err;

	if (known == 0 || is_of_the_os(cmd))
		return -EOPNOTSUPP;
	err = args_in(&a, known, arg, bytes, &size);
	if (err)
		return err;
	if (cmd == MS_CMD_ROUTE)
		err = ctl_route(sw, *port, &a.route);
	else
		err = ctl_locked(sw, cred, port, cmd, &a);
	a.size = size;
	memcpy(arg, &a, size < known ? size : known);
	return err;
}
