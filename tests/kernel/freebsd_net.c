/* SPDX-License-Identifier: BSD-2-Clause */
/* freebsd_net.c: ioctls and routing messages. */
#include <sys/param.h>
#include <sys/ioctl.h>
#include <sys/linker.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/sysctl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_dl.h>
#include <net/if_types.h>
#include <net/if_var.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/in_var.h>
#include <netinet6/in6_var.h>
#include <netinet6/nd6.h>

#include "freebsd_net.h"
#include "kt.h"

static int
control(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0);

	CHECK(fd >= 0);
	return fd;
}

/* An ioctl whose struct begins with the interface's name. 0 or -errno. */
static int
try_nic(int family, unsigned long request, void *arg, const char *nic)
{
	int fd = control(family), r;

	snprintf(arg, IFNAMSIZ, "%s", nic);
	r = ioctl(fd, request, arg) != 0 ? -errno : 0;
	close(fd);
	return r;
}

static void
on_nic(int family, unsigned long request, void *arg, const char *nic,
       const char *what)
{
	int r = try_nic(family, request, arg, nic);

	if (r != 0)
		kt_fail(__FILE__, __LINE__, "%s: %s: %s", nic, what,
			strerror(-r));
}

/* ---- interfaces ------------------------------------------------------------------ */

const char *
net_unable(void)
{
	struct ifreq ifr = { 0 };

	if (kldfind("if_epair.ko") < 0)
		(void)kldload("if_epair"); /* it may be in the kernel */
	if (try_nic(AF_INET, SIOCIFCREATE2, &ifr, "epair") != 0)
		return "no epair(4): kldload if_epair";
	net_destroy(ifr.ifr_name);
	return NULL;
}

static void
rename_nic(const char *nic, const char *name)
{
	struct ifreq ifr = { 0 };

	ifr.ifr_data = (void *)(uintptr_t)name;
	on_nic(AF_INET, SIOCSIFNAME, &ifr, nic, "rename");
}

void
net_epair(const char *near, const char *far)
{
	struct ifreq ifr = { 0 };
	char other[IFNAMSIZ];
	size_t n;

	net_destroy(near); /* an earlier world's, and the far one with it */
	on_nic(AF_INET, SIOCIFCREATE2, &ifr, "epair", "create");
	n = strlen(ifr.ifr_name);
	CHECK(n > 1 && ifr.ifr_name[n - 1] == 'a');
	memcpy(other, ifr.ifr_name, sizeof(other));
	other[n - 1] = 'b';
	rename_nic(ifr.ifr_name, near);
	rename_nic(other, far);
}

void
net_destroy(const char *nic)
{
	struct ifreq ifr = { 0 };
	int r = try_nic(AF_INET, SIOCIFDESTROY, &ifr, nic);

	if (r != 0 && r != -ENXIO)
		kt_fail(__FILE__, __LINE__, "%s: destroy: %s", nic,
			strerror(-r));
}

void
net_move(const char *nic, int jail)
{
	struct ifreq ifr = { 0 };

	ifr.ifr_jid = jail;
	on_nic(AF_INET, SIOCSIFVNET, &ifr, nic, "into the jail");
}

void
net_set_mac(const char *nic, const uint8_t mac[6])
{
	struct ifreq ifr = { 0 };

	ifr.ifr_addr.sa_len = 6;
	ifr.ifr_addr.sa_family = AF_LINK;
	memcpy(ifr.ifr_addr.sa_data, mac, 6);
	on_nic(AF_INET, SIOCSIFLLADDR, &ifr, nic, "MAC");
}

void
net_set_up(const char *nic, bool up)
{
	struct ifreq ifr = { 0 };

	on_nic(AF_INET, SIOCGIFFLAGS, &ifr, nic, "flags");
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP
				   : ifr.ifr_flags & ~IFF_UP);
	on_nic(AF_INET, SIOCSIFFLAGS, &ifr, nic, up ? "up" : "down");
}

void
net_set_mtu(const char *nic, uint32_t bytes)
{
	struct ifreq ifr = { 0 };

	ifr.ifr_mtu = (int)bytes;
	on_nic(AF_INET, SIOCSIFMTU, &ifr, nic, "MTU");
}

/* ---- addresses ------------------------------------------------------------------- */

static void
set_disabled6(const char *nic, bool off)
{
	struct in6_ndireq nd = { 0 };
	int r = try_nic(AF_INET6, SIOCGIFINFO_IN6, &nd, nic);

	if (r == -EAFNOSUPPORT || r == -EPROTONOSUPPORT)
		return; /* silent enough */
	CHECK_EQ(r, 0);
	nd.ndi.flags &= ~(uint32_t)(ND6_IFF_IFDISABLED |
				    ND6_IFF_AUTO_LINKLOCAL);
	if (off)
		nd.ndi.flags |= ND6_IFF_IFDISABLED;
	on_nic(AF_INET6, SIOCSIFINFO_IN6, &nd, nic, "IPv6 on or off");
}

void
net_silent(const char *nic)
{
	set_disabled6(nic, true);
}

static struct sockaddr_in
inet(const uint8_t *addr)
{
	struct sockaddr_in a = { .sin_len = sizeof(a), .sin_family = AF_INET };

	memcpy(&a.sin_addr, addr, 4);
	return a;
}

static struct sockaddr_in6
inet6(const uint8_t *addr)
{
	struct sockaddr_in6 a = { .sin6_len = sizeof(a),
				  .sin6_family = AF_INET6 };

	memcpy(&a.sin6_addr, addr, 16);
	return a;
}

/* The first `prefix` bits of 16 bytes. */
static void
mask(uint8_t to[16], unsigned int prefix)
{
	unsigned int i;

	memset(to, 0, 16);
	for (i = 0; i < prefix; i++)
		to[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

static int
add_inet(const char *nic, const uint8_t *addr, const uint8_t bits[16])
{
	struct in_aliasreq req = { .ifra_addr = inet(addr),
				   .ifra_mask = inet(bits) };

	return try_nic(AF_INET, SIOCAIFADDR, &req, nic);
}

static int
add_inet6(const char *nic, const uint8_t *addr, const uint8_t bits[16])
{
	struct in6_aliasreq req = {
		.ifra_addr = inet6(addr),
		.ifra_prefixmask = inet6(bits),
		.ifra_lifetime = { .ia6t_vltime = ND6_INFINITE_LIFETIME,
				   .ia6t_pltime = ND6_INFINITE_LIFETIME },
	};
	int none = 0;

	/* before the address, or it is tentative for a second */
	(void)sysctlbyname("net.inet6.ip6.dad_count", NULL, NULL, &none,
			   sizeof(none));
	set_disabled6(nic, false);
	return try_nic(AF_INET6, SIOCAIFADDR_IN6, &req, nic);
}

void
net_add_addr(const char *nic, struct ms_tuple addr, unsigned int prefix)
{
	uint8_t bits[16];
	int r;

	mask(bits, prefix);
	r = addr.family == 4 ? add_inet(nic, addr.addr, bits)
			     : add_inet6(nic, addr.addr, bits);
	if (r != 0 && r != -EEXIST)
		kt_fail(__FILE__, __LINE__, "%s: address: %s", nic,
			strerror(-r));
}

void
net_loopback(void)
{
	static const uint8_t lo[4] = { 127, 0, 0, 1 };

	net_set_up("lo0", true);
	net_add_addr("lo0", rig_tuple4(lo, 0, 0), 8);
}

/* ---- neighbours ------------------------------------------------------------------- */

struct message {
	struct rt_msghdr head;
	uint8_t addrs[256];
};

static void
append(struct message *m, int what, const void *sa, size_t bytes)
{
	memcpy((uint8_t *)m + m->head.rtm_msglen, sa, bytes);
	m->head.rtm_msglen = (u_short)(m->head.rtm_msglen +
				       roundup2(bytes, sizeof(long)));
	m->head.rtm_addrs |= what;
}

void
net_add_peer(const char *nic, struct ms_tuple addr, const uint8_t mac[6])
{
	struct sockaddr_in a4 = inet(addr.addr);
	struct sockaddr_in6 a6 = inet6(addr.addr);
	struct sockaddr_dl dl = { .sdl_len = sizeof(dl),
				  .sdl_family = AF_LINK,
				  .sdl_type = IFT_ETHER,
				  .sdl_alen = 6 };
	struct message m = { .head = { .rtm_version = RTM_VERSION,
				       .rtm_type = RTM_ADD,
				       .rtm_flags = RTF_HOST | RTF_STATIC |
						    RTF_LLDATA,
				       .rtm_inits = RTV_EXPIRE,
				       .rtm_seq = 1 } };
	int fd = socket(PF_ROUTE, SOCK_RAW, 0);

	CHECK(fd >= 0);
	dl.sdl_index = (u_short)if_nametoindex(nic);
	memcpy(LLADDR(&dl), mac, 6);
	m.head.rtm_index = dl.sdl_index;
	m.head.rtm_msglen = sizeof(m.head);
	if (addr.family == 4)
		append(&m, RTA_DST, &a4, sizeof(a4));
	else
		append(&m, RTA_DST, &a6, sizeof(a6));
	append(&m, RTA_GATEWAY, &dl, sizeof(dl));
	if (write(fd, &m, m.head.rtm_msglen) < 0 && errno != EEXIST)
		kt_fail(__FILE__, __LINE__, "%s: neighbour: %s", nic,
			strerror(errno));
	close(fd);
}
