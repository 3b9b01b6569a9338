/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * resv.c: the host's word that a tuple is ours: a bound socket of its own.
 *
 * The socket sets neither SO_REUSEADDR nor SO_REUSEPORT, so that the kernel
 * shares its address with nobody, and receives nothing: TCP does not listen,
 * and all others have a filter that drops everything.
 *
 * Addresses that are an attachment's alone need no socket; port numbers are
 * then chosen, and privileges checked, as the host would do it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ms_user.h"

#ifndef IPPROTO_DCCP
#define IPPROTO_DCCP 33
#endif
#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif
#define LOW_PORTS_END 1024
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999

struct ms_resv {
	int fd;		   /* -1 for an address of the attachment's own */
	unsigned int refs; /* ctl_lock; of binds */
	uint32_t inode;	   /* of the socket, as /proc/net shows it */
};

/* ---- what the host would say ---------------------------------------- */

static int
sysctl_read(const char *path, unsigned int v[2])
{
	char buf[64];
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	return sscanf(buf, "%u %u", &v[0], &v[1]);
}

unsigned int
ms_unprivileged_port_start(void)
{
	unsigned int v[2];

	if (sysctl_read("/proc/sys/net/ipv4/ip_unprivileged_port_start", v) < 1)
		return LOW_PORTS_END;
	return v[0];
}

static bool
is_wildcard(const uint8_t addr[16])
{
	static const uint8_t none[16];

	return memcmp(addr, none, sizeof(none)) == 0;
}

static bool
is_private(const struct ms_nic *nic, const uint8_t addr[16], uint8_t family)
{
	const struct ms_attach *a = nic->attach;

	return a == NULL || (a->ops->private_addr != NULL &&
			     a->ops->private_addr(a, addr, family));
}

/* Whether some interface of the switch has addresses of the host. */
bool
ms_resv_host_shared(const struct ms_switch *sw)
{
	static const uint8_t all[16];
	const struct ms_nic *nic;

	for (nic = sw->nics; nic != NULL; nic = nic->next)
		if (!is_private(nic, all, 0))
			return true;
	return false;
}

/* The wildcard takes frames to every address of the switch: it is private
   only where all of them are. */
static bool
needs_socket(const struct ms_nic *nic, const struct ms_tuple *t)
{
	if (!is_private(nic, t->addr, t->family))
		return true;
	return is_wildcard(t->addr) && nic->attach != NULL &&
	       ms_resv_host_shared(nic->sw);
}

bool
ms_resv_is_host(const struct ms_resv *resv)
{
	return resv != NULL && resv->fd >= 0;
}

static int
check_privilege(const struct ms_nic *nic, const struct ms_cred *cred,
		const struct ms_tuple *t)
{
	unsigned int port = ntohs(t->port_be);
	unsigned int start = LOW_PORTS_END;

	if (port == 0 || cred->net_bind_service)
		return 0;
	if (nic->attach != NULL)
		start = ms_unprivileged_port_start();
	return port < start ? -EACCES : 0;
}

/* A free number, from a random one on, so that it cannot be foreseen. */
static int
choose_port(const struct ms_nic *nic, struct ms_tuple *t)
{
	unsigned int range[2] = { EPHEMERAL_FIRST, EPHEMERAL_LAST };
	unsigned int i, n;
	uint32_t chance;

	if (nic->attach != NULL &&
	    (sysctl_read("/proc/sys/net/ipv4/ip_local_port_range", range) < 2 ||
	     range[0] == 0 || range[1] > 65535 || range[0] > range[1])) {
		range[0] = EPHEMERAL_FIRST;
		range[1] = EPHEMERAL_LAST;
	}
	ms_os_random(&chance, sizeof(chance));
	n = range[1] - range[0] + 1;
	for (i = 0; i < n; i++) {
		t->port_be = htons((uint16_t)(range[0] + (chance + i) % n));
		if (ms_table_find(nic->sw->table, t) == NULL)
			return 0;
	}
	t->port_be = 0;
	return -EADDRINUSE;
}

/* ---- the socket ----------------------------------------------------- */

static int
socket_open(const struct ms_tuple *t)
{
	int domain = t->family == 4 ? AF_INET : AF_INET6;
	int fd, type;

	switch (t->proto) {
	case IPPROTO_TCP:
	case IPPROTO_SCTP:
		type = SOCK_STREAM;
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		type = SOCK_DGRAM;
		break;
	case IPPROTO_DCCP:
		type = SOCK_DCCP;
		break;
	default:
		type = SOCK_RAW;
	}
	fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, t->proto);
	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENFILE:
		return -EMFILE;
	case ENOBUFS:
		return -ENOMEM;
	case EACCES:
		return -EPERM;
	case EMFILE:
	case ENOMEM:
	case EPERM:
		return -errno;
	default: /* the kernel has no such protocol, or no IPv6 */
		return -EPROTONOSUPPORT;
	}
}

/* Nothing is ever queued on it. */
static int
socket_deafen(int fd)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = { .len = 1, .filter = &drop };
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) !=
		0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one)) != 0)
		return errno == ENOBUFS ? -ENOMEM : -errno;
	return 0;
}

static socklen_t
tuple_to_sockaddr(const struct ms_tuple *t, const char *ifname,
		  struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (t->family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = t->port_be;
		memcpy(&in->sin_addr, t->addr, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = t->port_be;
	memcpy(&in6->sin6_addr, t->addr, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		in6->sin6_scope_id = if_nametoindex(ifname);
	return sizeof(*in6);
}

static int
socket_bind(int fd, const char *ifname, struct ms_tuple *t)
{
	struct sockaddr_storage ss;
	socklen_t len = tuple_to_sockaddr(t, ifname, &ss);
	int one = 1;

	/* A raw socket is of one family, and refuses to be asked. */
	if (t->family == 6 && ms_proto_has_ports(t->proto) &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&ss, len) != 0)
		return errno == EINVAL || errno == ENODEV ? -EADDRNOTAVAIL
							  : -errno;
	if (!ms_proto_has_ports(t->proto))
		return 0;
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return -errno;
	t->port_be = t->family == 4 ? ((struct sockaddr_in *)&ss)->sin_port
				    : ((struct sockaddr_in6 *)&ss)->sin6_port;
	return 0;
}

/* The kernel binds to broadcast addresses; nobody owns one. */
static bool
is_broadcast(const struct ms_tuple *t)
{
	struct ifaddrs *all, *ifa;
	bool found = false;

	if (t->family != 4 || is_wildcard(t->addr) || getifaddrs(&all) != 0)
		return false;
	for (ifa = all; ifa != NULL && !found; ifa = ifa->ifa_next) {
		if (ifa->ifa_addr == NULL || ifa->ifa_broadaddr == NULL ||
		    ifa->ifa_addr->sa_family != AF_INET ||
		    (ifa->ifa_flags & IFF_BROADCAST) == 0)
			continue;
		found =
		    memcmp(
			&((struct sockaddr_in *)ifa->ifa_broadaddr)->sin_addr,
			t->addr, 4) == 0;
		/* but a /32 is its own broadcast address */
		if (memcmp(&((struct sockaddr_in *)ifa->ifa_addr)->sin_addr,
			   t->addr, 4) == 0) {
			found = false;
			break;
		}
	}
	freeifaddrs(all);
	return found;
}

/* ---- whole protocols: raw sockets do not exclude each other --------- */

static bool
inode_is_ours(const struct ms_switch *sw, uint8_t proto, uint32_t inode)
{
	const struct ms_port *port;
	const struct ms_bind *b;

	for (port = sw->ports; port != NULL; port = port->next)
		for (b = port->binds; b != NULL; b = b->next)
			if (b->tuple.proto == proto && b->resv != NULL &&
			    b->resv->inode == inode)
				return true;
	return false;
}

/* As /proc/net/raw writes addresses: words of the machine's byte order. */
static void
proc_address(const struct ms_tuple *t, char text[33])
{
	unsigned int i, words = t->family == 4 ? 1 : 4;
	uint32_t w;

	for (i = 0; i < words; i++) {
		memcpy(&w, t->addr + 4 * i, 4);
		snprintf(text + 8 * i, 9, "%08X", w);
	}
}

/* Whether a process of the host has a raw socket that would get these too. */
static bool
raw_in_use(const struct ms_switch *sw, const struct ms_tuple *t)
{
	char addr[33], line[256], ours[33];
	unsigned int inode, proto;
	bool used = false;
	FILE *f;

	f = fopen(t->family == 4 ? "/proc/net/raw" : "/proc/net/raw6", "re");
	if (f == NULL)
		return false;
	proc_address(t, ours);
	while (!used && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line,
			   " %*d: %32[0-9A-Fa-f]:%x %*s %*s %*s %*s %*s %*s "
			   "%*s %u",
			   addr, &proto, &inode) != 3 ||
		    proto != t->proto)
			continue;
		if (strspn(addr, "0") != strlen(addr) &&
		    !is_wildcard(t->addr) && strcasecmp(addr, ours) != 0)
			continue;
		used = !inode_is_ours(sw, t->proto, inode);
	}
	fclose(f);
	return used;
}

/* ---- the seam ------------------------------------------------------- */

/* Opens and binds; the descriptor, or an error with nothing left open. */
static int
host_bind(const struct ms_nic *nic, struct ms_tuple *t)
{
	bool ports = ms_proto_has_ports(t->proto);
	int err = 0, fd;

	if (is_broadcast(t))
		return -EADDRNOTAVAIL;
	if (!ports && raw_in_use(nic->sw, t))
		return -EADDRINUSE;
	fd = socket_open(t);
	if (fd < 0)
		return fd;
	if (t->proto != IPPROTO_TCP && t->proto != IPPROTO_SCTP &&
	    t->proto != IPPROTO_DCCP)
		err = socket_deafen(fd);
	if (err == 0)
		err = socket_bind(fd, nic->name, t);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/*
 * A wildcard of the same user already holds this port number on every address
 * of the host, against which the exact address could not be bound. Both share
 * its socket, which stays until the last of them goes, if it has one.
 */
static struct ms_resv *
resv_share(const struct ms_nic *nic, const struct ms_cred *cred,
	   const struct ms_tuple *t)
{
	struct ms_resv *r = ms_port_wildcard_resv(nic->sw, t, cred->uid);

	return r != NULL && r->fd >= 0 ? r : NULL;
}

/* Is it an address of this host? */
static int
probe_address(const struct ms_nic *nic, const struct ms_tuple *t)
{
	struct ms_tuple any = *t;
	int fd;

	any.proto = IPPROTO_UDP;
	any.port_be = 0;
	fd = host_bind(nic, &any);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int
resv_open(struct ms_resv *resv, const struct ms_nic *nic, struct ms_tuple *t)
{
	struct stat st;
	int fd;

	fd = host_bind(nic, t);
	if (fd < 0)
		return fd;
	resv->fd = fd;
	if (fstat(fd, &st) != 0)
		return -errno;
	resv->inode = (uint32_t)st.st_ino;
	return 0;
}

int
ms_os_resv_create(struct ms_nic *nic, const struct ms_cred *cred,
		  struct ms_tuple *tuple, struct ms_resv **out)
{
	bool host = needs_socket(nic, tuple);
	struct ms_resv *resv;
	int err;

	err = check_privilege(nic, cred, tuple);
	if (err)
		return err;
	resv = host ? resv_share(nic, cred, tuple) : NULL;
	if (resv != NULL) {
		err = probe_address(nic, tuple);
		if (err)
			return err;
		resv->refs++;
		*out = resv;
		return 0;
	}
	resv = ms_os_alloc(sizeof(*resv));
	if (resv == NULL)
		return -ENOMEM;
	resv->fd = -1;
	resv->refs = 1;
	if (host) {
		err = resv_open(resv, nic, tuple);
	} else if (tuple->port_be == 0 && ms_proto_has_ports(tuple->proto)) {
		err = choose_port(nic, tuple);
	}
	if (err) {
		ms_os_resv_destroy(resv);
		return err;
	}
	*out = resv;
	return 0;
}

void
ms_os_resv_destroy(struct ms_resv *resv)
{
	if (resv == NULL || --resv->refs > 0)
		return;
	if (resv->fd >= 0)
		close(resv->fd);
	ms_os_free(resv);
}
