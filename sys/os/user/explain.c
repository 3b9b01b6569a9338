/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * explain.c: errors for people: what, and what to do about it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "host.h"

union args {
	struct ms_cmd_port_create create;
	struct ms_cmd_bind bind;
	struct ms_cmd_route route;
	struct ms_cmd_stats stats;
	struct ms_cmd_tap tap;
	struct ms_cmd_attach attach;
};

struct question {
	const struct ms_ask *ask;
	uint32_t cmd;
	union args arg;
	int code;
};

/* Text that grows; what does not fit ends in an ellipsis. */
struct text {
	char *to;
	size_t used, bytes;
};

static void
add(struct text *t, const char *fmt, const char *word)
{
	int n = snprintf(t->to + t->used, t->bytes - t->used, fmt, word);

	if (n >= 0 && (size_t)n < t->bytes - t->used) {
		t->used += (size_t)n;
		return;
	}
	t->to[t->used] = '\0';
	if (t->used + 4 < t->bytes)
		memcpy(t->to + t->used, "...", 4);
	t->bytes = t->used + 1; /* full */
}

int
ms_err_set(struct ms_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

/* ---- names of things ------------------------------------------------ */

/* Of the protocols that have ports. */
static const char *
proto_name(uint8_t proto)
{
	switch (proto) {
	case 6:
		return "TCP";
	case 17:
		return "UDP";
	case 33:
		return "DCCP";
	case 132:
		return "SCTP";
	case 136:
		return "UDP-Lite";
	default:
		return NULL;
	}
}

static void
addr_name(const struct ms_tuple *t, char *buf, size_t bytes)
{
	if (inet_ntop(t->family == 4 ? AF_INET : AF_INET6, t->addr, buf,
		      (socklen_t)bytes) == NULL)
		snprintf(buf, bytes, "?");
}

/* "TCP 10.0.0.1:80", "UDP [::1]:53", "protocol 99 on ::1" */
static const char *
tuple_name(const struct ms_tuple *t, char *buf, size_t bytes)
{
	char addr[INET6_ADDRSTRLEN];

	addr_name(t, addr, sizeof(addr));
	if (proto_name(t->proto) == NULL)
		snprintf(buf, bytes, "protocol %u on %s", t->proto, addr);
	else
		snprintf(buf, bytes, t->family == 6 ? "%s [%s]:%u" : "%s %s:%u",
			 proto_name(t->proto), addr, ntohs(t->port_be));
	return buf;
}

static void
add_interfaces(struct text *t)
{
	struct if_nameindex *all = if_nameindex();
	unsigned int i;

	for (i = 0; all != NULL && all[i].if_index != 0; i++)
		add(t, i == 0 ? "%s" : ", %s", all[i].if_name);
	if (all != NULL)
		if_freenameindex(all);
}

static void
add_addresses(struct text *t, uint8_t family)
{
	int af = family == 4 ? AF_INET : AF_INET6;
	char addr[INET6_ADDRSTRLEN];
	struct ifaddrs *all, *ifa;
	const char *sep = "%s";
	const void *p;

	if (getifaddrs(&all) != 0)
		return;
	for (ifa = all; ifa != NULL; ifa = ifa->ifa_next) {
		if (ifa->ifa_addr == NULL || ifa->ifa_addr->sa_family != af)
			continue;
		p = af == AF_INET
			? (void *)&((struct sockaddr_in *)ifa->ifa_addr)
			      ->sin_addr
			: (void *)&((struct sockaddr_in6 *)ifa->ifa_addr)
			      ->sin6_addr;
		if (inet_ntop(af, p, addr, sizeof(addr)) == NULL)
			continue;
		add(t, sep, addr);
		sep = ", %s";
	}
	freeifaddrs(all);
}

/* ---- without a command ---------------------------------------------- */

int
ms__explain_no_interface(const char *name, struct ms_err *err)
{
	struct text t;

	if (err == NULL)
		return -ENODEV;
	ms_err_set(err, -ENODEV, "no interface '%.15s'; there are: ", name);
	t.to = err->text;
	t.used = strlen(err->text);
	t.bytes = sizeof(err->text);
	add_interfaces(&t);
	return -ENODEV;
}

/* ---- bind ----------------------------------------------------------- */

/* The first of the switch's list behind the cursor. */
static bool
ask_list(const struct ms_ask *ask, enum ms_list what, uint64_t cursor,
	 struct ms_cmd_list *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	out->what = what;
	out->cursor = cursor;
	return ask->command(ask->ctx, MS_CMD_LIST, out, sizeof(*out)) == 0;
}

static int
bind_in_use(const struct question *q, const char *name, struct ms_err *err)
{
	uint32_t holder = q->arg.bind.holder;
	char label[16] = "", whose[64] = "";
	struct ms_cmd_list p;

	if (holder == 0)
		return ms_err_set(err, q->code,
				  "%s is taken by an application of the host: "
				  "`%s` shows which",
				  name, ms__words.sockets);
	if (q->ask->port_id == holder)
		return ms_err_set(err, q->code, "%s is this port's already",
				  name);
	if (ask_list(q->ask, MS_LIST_PORTS, holder - 1, &p) &&
	    p.port_id == holder) {
		memcpy(label, p.label, sizeof(label) - 1);
		snprintf(whose, sizeof(whose), " of process %d, user %u",
			 (int)p.pid, p.uid);
	}
	return ms_err_set(err, q->code, "%s is taken by port %u%s%s%s%s", name,
			  holder, label[0] ? " ('" : "", label,
			  label[0] ? "')" : "", whose);
}

static int
bind_not_here(const struct question *q, struct ms_err *err)
{
	const struct ms_tuple *t = &q->arg.bind.tuple;
	char addr[INET6_ADDRSTRLEN];
	struct text out;

	addr_name(t, addr, sizeof(addr));
	if (err == NULL)
		return q->code;
	ms_err_set(err, q->code,
		   "%s is not an address of this host; there are: ", addr);
	out.to = err->text;
	out.used = strlen(err->text);
	out.bytes = sizeof(err->text);
	add_addresses(&out, t->family);
	return q->code;
}

/* Why a tuple cannot be claimed by anybody. */
static int
bind_invalid(const struct question *q, const char *name, struct ms_err *err)
{
	const struct ms_tuple *t = &q->arg.bind.tuple;
	const char *why = "it must be a unicast address or the wildcard, "
			  "of IPv4 with 0 behind its four bytes";

	if (q->arg.bind.flags != 0)
		why = "flags must be 0";
	else if (t->family != 4 && t->family != 6)
		why = "the family must be 4 or 6";
	else if (proto_name(t->proto) == NULL && t->port_be != 0)
		why = "this protocol has no ports, so port_be must be 0";
	else if (proto_name(t->proto) == NULL)
		why = "this protocol is the host's, or the address is not "
		      "unicast";
	return ms_err_set(err, q->code, "cannot bind %s: %s", name, why);
}

static int
explain_bind(const struct question *q, struct ms_err *err)
{
	char name[96];

	tuple_name(&q->arg.bind.tuple, name, sizeof(name));
	switch (q->code) {
	case -EADDRINUSE:
		return bind_in_use(q, name, err);
	case -EADDRNOTAVAIL:
		return bind_not_here(q, err);
	case -EACCES:
		return ms__explain_low_port(q->ask, name,
					    ntohs(q->arg.bind.tuple.port_be),
					    q->code, err);
	case -EINVAL:
		return bind_invalid(q, name, err);
	case -EPERM:
		return ms__explain_no_raw(q->ask, name, q->code, err);
	case -EPROTONOSUPPORT:
		return ms_err_set(err, q->code,
				  "%s: this kernel has no such protocol, so "
				  "the port cannot be reserved on the host; "
				  "load its module (%s sctp, for one)",
				  name, ms__words.load);
	case -EMFILE:
		return ms_err_set(err, q->code,
				  "out of descriptors for %s: raise the limit "
				  "(ulimit -n%s)",
				  name, ms__words.descriptors);
	case -ENOMEM:
		return ms_err_set(err, q->code, "out of memory for %s", name);
	default:
		return ms_err_set(err, q->code, "bind %s: %s", name,
				  strerror(-q->code));
	}
}

static int
explain_unbind(const struct question *q, struct ms_err *err)
{
	char name[96];

	tuple_name(&q->arg.bind.tuple, name, sizeof(name));
	if (q->code == -ENOENT)
		return ms_err_set(err, q->code, "%s is bound by nobody", name);
	if (q->code == -EPERM)
		return ms_err_set(err, q->code,
				  "%s is bound by another port: only that can "
				  "unbind it",
				  name);
	return ms_err_set(err, q->code, "unbind %s: %s", name,
			  strerror(-q->code));
}

/* ---- the other commands --------------------------------------------- */

static void
add_attached(const struct ms_ask *ask, struct text *t)
{
	const char *fmt = "%s is";
	struct ms_cmd_list l;

	for (l.cursor = 0; ask_list(ask, MS_LIST_NICS, l.cursor, &l);) {
		add(t, fmt, l.nic);
		fmt = ", %s is";
	}
	if (l.cursor == 0)
		add(t, "%s", "none is");
}

static int
not_attached(const struct question *q, const char *name, struct ms_err *err)
{
	struct ms_cmd_info info = { .size = sizeof(info) };
	struct text t;

	(void)q->ask->command(q->ask->ctx, MS_CMD_INFO, &info, sizeof(info));
	if (info.num_nics == 0 && if_nametoindex(name) == 0)
		return ms__explain_no_interface(name, err);
	ms_err_set(err, q->code,
		   "interface '%.15s' is not attached (%s attach %.15s); ",
		   name, ms__words.command, name);
	t.to = err->text;
	t.used = strlen(err->text);
	t.bytes = sizeof(err->text);
	add_attached(q->ask, &t);
	return q->code;
}

static int
explain_create(const struct question *q, struct ms_err *err)
{
	const struct ms_cmd_port_create *a = &q->arg.create;

	switch (q->code) {
	case -ENODEV:
		return not_attached(q, a->nic, err);
	case -EBUSY:
		return ms_err_set(err, q->code,
				  "this connection has a port already; open "
				  "another one");
	case -E2BIG:
		return ms_err_set(err, q->code,
				  "the port is too large: at most %d rings of "
				  "each kind, %d slots, buffers of %d bytes, "
				  "16 GiB in all",
				  MS_RINGS_MAX, MS_SLOTS_MAX, MS_BUF_BYTES_MAX);
	case -EINVAL:
		return ms_err_set(err, q->code,
				  "buffers must be a power of two of bytes "
				  "from %d to %d (%u asked for), flags 0",
				  MS_BUF_BYTES_MIN, MS_BUF_BYTES_MAX,
				  a->buf_bytes);
	case -ENOMEM:
		return ms_err_set(err, q->code,
				  "out of memory or descriptors for a port "
				  "with %u slots in each ring: ask for less, "
				  "or raise the limit (ulimit -n)",
				  a->slots);
	default:
		return ms_err_set(err, q->code, "port: %s", strerror(-q->code));
	}
}

static int
explain_route(const struct question *q, struct ms_err *err)
{
	const char *nic = q->ask->nic[0] ? q->ask->nic : "its interface";
	char addr[INET6_ADDRSTRLEN];

	addr_name(&q->arg.route.dst, addr, sizeof(addr));
	if (q->code != -ENETUNREACH && q->code != -EHOSTUNREACH)
		return ms_err_set(err, q->code, "route to %s: %s", addr,
				  strerror(-q->code));
	return ms_err_set(err, q->code,
			  "no route to %s through %s: see `%s %s`", addr, nic,
			  ms__words.route, addr);
}

static int
explain_inspect(const struct question *q, uint32_t id, const char *nic,
		struct ms_err *err)
{
	switch (q->code) {
	case -EPERM:
		if (id == 0)
			return ms_err_set(err, q->code,
					  "a tap on a whole interface needs "
					  "%s",
					  ms__words.admin);
		return ms_err_set(err, q->code,
				  "port %u is another user's: that needs %s",
				  id, ms__words.admin);
	case -ENOENT:
		return ms_err_set(err, q->code,
				  "there is no port %u (%s lists them)", id,
				  ms__words.status);
	case -ENODEV:
		if (nic[0] != '\0')
			return not_attached(q, nic, err);
		return ms_err_set(err, q->code, "the interface is gone");
	case -EBUSY:
		return ms_err_set(err, q->code,
				  "this port taps something already");
	default:
		return ms_err_set(err, q->code, "%s", strerror(-q->code));
	}
}

static int
explain_handover(const struct question *q, struct ms_err *err)
{
	switch (q->code) {
	case -ENOENT:
		return ms_err_set(err, q->code,
				  "no port offers its tuples with this token "
				  "(it is good once)");
	case -EPERM:
		return ms_err_set(err, q->code,
				  "the offer is of another user's port: that "
				  "needs %s",
				  ms__words.admin);
	case -EXDEV:
		return ms_err_set(err, q->code,
				  "the offer is of a port on another "
				  "interface: open this one there");
	default:
		return ms_err_set(err, q->code, "handover: %s",
				  strerror(-q->code));
	}
}

int
ms__explain_attached(const char *nic, struct ms_err *err)
{
	return ms_err_set(err, -EEXIST,
			  "interface '%.15s' is attached already; detach it "
			  "first to attach it in another way",
			  nic);
}

int
ms__explain_detached(const char *nic, struct ms_err *err)
{
	return ms_err_set(err, -ENODEV, "interface '%.15s' is not attached",
			  nic);
}

int
ms__explain_open_ports(const char *nic, uint32_t ports, struct ms_err *err)
{
	return ms_err_set(err, -EBUSY,
			  "%u port%s open on '%.15s': close %s, or detach by "
			  "force",
			  ports, ports == 1 ? " is" : "s are", nic,
			  ports == 1 ? "it" : "them");
}

/* What the kernel's module says of them with an errno alone. */
static int
explain_detach(const struct question *q, struct ms_err *err)
{
	const char *nic = q->arg.attach.nic;
	struct ms_cmd_list l;

	if (q->code == -ENODEV)
		return ms__explain_detached(nic, err);
	l.cursor = 0;
	while (ask_list(q->ask, MS_LIST_NICS, l.cursor, &l))
		if (strncmp(l.nic, nic, sizeof(l.nic)) == 0)
			return ms__explain_open_ports(nic, l.num, err);
	return ms_err_set(err, q->code, "%.15s: %s", nic, strerror(-q->code));
}

static int
explain_attach(const struct question *q, struct ms_err *err)
{
	const char *nic = q->arg.attach.nic;

	if (q->code == -EPERM)
		return ms__explain_no_admin(q->ask, q->code, err);
	if (q->cmd == MS_CMD_DETACH &&
	    (q->code == -ENODEV || q->code == -EBUSY))
		return explain_detach(q, err);
	if (q->code == -EEXIST)
		return ms__explain_attached(nic, err);
	if (q->code == -ENODEV)
		return ms__explain_no_interface(nic, err);
	return ms_err_set(err, q->code, "%.15s: %s", nic, strerror(-q->code));
}

/* Did ms_ctl() refuse the struct before it looked into it? */
static bool
bad_size(const struct question *q, uint32_t bytes)
{
	uint32_t size = q->arg.create.size;

	if (bytes < sizeof(size) || size < sizeof(size) || size > bytes)
		return true;
	return q->code == -E2BIG &&
	       (q->cmd != MS_CMD_PORT_CREATE || size > sizeof(q->arg.create));
}

void
ms_explain(const struct ms_ask *ask, uint32_t cmd, const void *arg,
	   uint32_t bytes, int code, struct ms_err *err)
{
	struct question q = { ask, cmd, { { 0 } }, code };

	if (err == NULL || err->text[0] != '\0')
		return;
	memcpy(&q.arg, arg, bytes < sizeof(q.arg) ? bytes : sizeof(q.arg));
	if (code == -ENOTCONN)
		ms_err_set(err, code, "there is no port yet: create one first");
	else if (code == -EOPNOTSUPP)
		ms_err_set(err, code, "the switch has no such command (%u)",
			   cmd);
	else if (bad_size(&q, bytes))
		ms_err_set(err, code,
			   "command %u has a size that this version of the "
			   "switch does not understand",
			   cmd);
	else if (cmd == MS_CMD_PORT_CREATE)
		explain_create(&q, err);
	else if (cmd == MS_CMD_BIND && code == -ENODEV)
		ms_err_set(err, code, "the port's interface is gone");
	else if (cmd == MS_CMD_BIND)
		explain_bind(&q, err);
	else if (cmd == MS_CMD_UNBIND)
		explain_unbind(&q, err);
	else if (cmd == MS_CMD_ROUTE && code == -ENODEV)
		ms_err_set(err, code, "the port's interface is gone");
	else if (cmd == MS_CMD_ROUTE)
		explain_route(&q, err);
	else if (cmd == MS_CMD_STATS)
		explain_inspect(&q, q.arg.stats.port_id, q.arg.stats.nic, err);
	else if (cmd == MS_CMD_TAP)
		explain_inspect(
		    &q, q.arg.tap.scope == MS_TAP_NIC ? 0 : q.arg.tap.port_id,
		    "", err);
	else if (cmd == MS_CMD_HANDOVER)
		explain_handover(&q, err);
	else if (cmd == MS_CMD_ATTACH || cmd == MS_CMD_DETACH)
		explain_attach(&q, err);
	else
		ms_err_set(err, code, "%s", strerror(-code));
}
