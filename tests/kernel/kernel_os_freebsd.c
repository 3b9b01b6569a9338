/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_os_freebsd.c: kernel_test's world on FreeBSD: an epair, whose far end
 * is in a jail with a network of its own (vnet) where the kernel has VIMAGE, and
 * without addresses in the one network there is where it has not. The wire and
 * its addresses: freebsd_net.c. No program is needed but this one, since a guest
 * may have little more than a shell.
 */
#include <sys/param.h>
#include <sys/cpuset.h>
#include <sys/ioctl.h>
#include <sys/jail.h>
#include <sys/linker.h>
#include <sys/malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <net/bpf.h>
#include <net/if.h>
#include <fcntl.h>
#include <grp.h>
#include <time.h>

#include "freebsd_net.h"
#include "kt.h"

#define MODULE_KO "multistack.ko"
#define MALLOC_TYPE "multistack"
#define RAWS 8
#define RAW_BYTES (512u << 10) /* debug.bpf_maxbufsize allows so much */

/* Beyond the users' half: the hole, the direct map, kernel memory, the kernel's
   code, the last page. */
const uintptr_t os_kernel_addrs[] = {
	0x800000000000,	    0x8000000000000000, 0xffff800000000000,
	0xfffff80000001000, 0xfffffe0000001000, 0xffffffff80000000,
	0xffffffff81000000, 0xfffffffffffff000, 0xffffffffffffffff,
};
const unsigned int os_num_kernel_addrs = sizeof(os_kernel_addrs) /
					 sizeof(os_kernel_addrs[0]);

static const char *const nics[2] = { "ms0", "ms1" };
static int far_jail; /* 0: none */

static bool
has_vimage(void)
{
	int yes = 0;
	size_t bytes = sizeof(yes);

	return sysctlbyname("kern.features.vimage", &yes, &bytes, NULL, 0) ==
		   0 &&
	       yes != 0;
}

const char *
os_unable(void)
{
	if (geteuid() != 0)
		return "needs root";
	if (access(KT_DEVICE, F_OK) != 0)
		return "no " KT_DEVICE ": the module is not loaded";
	if (chmod(KT_DEVICE, 0666) != 0) /* for nobody */
		return "cannot change " KT_DEVICE;
	return net_unable();
}

bool
os_has(enum os_trait trait)
{
	switch (trait) {
	case OS_TWO_HOSTS:
		return has_vimage();
	case OS_FORKS_TRULY:
		return true;
	case OS_MAPS_ARE_DATA: /* only where /dev is mounted noexec */
	case OS_LONG_FRAMES:   /* BPF of 10.4 does not */
	case OS_MAPS_KEEP:     /* an object of memory knows nothing of ports */
	case OS_HOSTS_END:     /* a descriptor keeps the network it is of */
		return false;
	}
	return false;
}

/* ---- the far host -------------------------------------------------------------- */

static void
jail_begin(void)
{
	static char name[] = "name", value[] = "kernel-test", path[] = "path",
		    root[] = "/", vnet[] = "vnet", persist[] = "persist",
		    raw[] = "allow.raw_sockets", msg[] = "errmsg";
	int new = JAIL_SYS_NEW;
	char why[128] = "";
	struct iovec iov[] = {
		{ name, sizeof(name) },	      { value, sizeof(value) },
		{ path, sizeof(path) },	      { root, sizeof(root) },
		{ vnet, sizeof(vnet) },	      { &new, sizeof(new) },
		{ persist, sizeof(persist) }, { NULL, 0 },
		{ raw, sizeof(raw) },	      { NULL, 0 },
		{ msg, sizeof(msg) },	      { why, sizeof(why) },
	};

	/* an earlier world's */
	far_jail = jail_set(iov, 2, JAIL_UPDATE);
	if (far_jail > 0)
		(void)jail_remove(far_jail);
	far_jail = jail_set(iov, KT_COUNT(iov), JAIL_CREATE);
	if (far_jail < 0)
		kt_fail(__FILE__, __LINE__, "no jail with vnet: %s %s",
			strerror(errno), why);
}

void
os_enter(enum os_side side)
{
	if (side == OS_FAR && far_jail > 0)
		CHECK(jail_attach(far_jail) == 0);
}

/* A child does it there; nobody comes back from a jail. */
static void
on_far(void (*body)(void))
{
	pid_t pid = kt_fork();

	if (pid == 0) {
		os_enter(OS_FAR);
		body();
		_exit(0);
	}
	kt_join(pid);
}

/* Without any address in it a network binds nothing, wildcards included. */
static void
far_begin(void)
{
	net_loopback();
	net_set_mac(nics[OS_FAR], rig_peer_mac);
	net_silent(nics[OS_FAR]);
	net_set_up(nics[OS_FAR], true);
}

static void
far_up(void)
{
	net_set_up(nics[OS_FAR], true);
}

static void
far_down(void)
{
	net_set_up(nics[OS_FAR], false);
}

static uint32_t far_mtu_bytes;

static void
far_mtu(void)
{
	net_set_mtu(nics[OS_FAR], far_mtu_bytes);
}

static void
near_peers(void)
{
	net_add_peer(nics[OS_NEAR], rig_tuple4(rig_peer_ip, 0, 0),
		     rig_peer_mac);
	net_add_peer(nics[OS_NEAR], rig_tuple6(rig_peer_ip6, 0, 0),
		     rig_peer_mac);
}

/* ---- the world ------------------------------------------------------------------ */

const char *
os_nic(enum os_side side)
{
	return nics[side];
}

void
os_world_create(void)
{
	if (far_jail == 0 && has_vimage())
		jail_begin();
	net_epair(nics[OS_NEAR], nics[OS_FAR]);
	if (far_jail > 0)
		net_move(nics[OS_FAR], far_jail);
	on_far(far_begin);
	if (far_jail > 0)
		net_loopback();
	net_set_mac(nics[OS_NEAR], rig_mac);
	net_set_up(nics[OS_NEAR], true);
	net_add_addr(nics[OS_NEAR], rig_tuple4(rig_ip, 0, 0), 24);
	net_add_addr(nics[OS_NEAR], rig_tuple6(rig_ip6, 0, 0), 64);
	near_peers();
}

void
os_world_destroy(void)
{
	net_destroy(nics[OS_NEAR]);
	if (far_jail > 0)
		(void)jail_remove(far_jail);
	far_jail = 0;
}

void
os_wire_cut(void)
{
	net_destroy(nics[OS_NEAR]);
}

void
os_far_end(void)
{
	CHECK(far_jail > 0 && jail_remove(far_jail) == 0);
}

void
os_wire_up(bool up)
{
	net_set_up(nics[OS_NEAR], up);
	on_far(up ? far_up : far_down);
	if (up)
		near_peers();
}

void
os_set_mtu(uint32_t bytes)
{
	far_mtu_bytes = bytes;
	on_far(far_mtu);
	net_set_mtu(nics[OS_NEAR], bytes);
}

/* ---- the far end: BPF, which gives batches --------------------------------------- */

static struct raw {
	int fd; /* + 1; 0: unused */
	size_t at, have;
	uint8_t *buf;
} raws[RAWS];

static int raw_sock; /* the child's way of handing over */

static void
far_bpf(void)
{
	unsigned int one = 1, in = BPF_D_IN, bytes = RAW_BYTES;
	int fd = open("/dev/bpf", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, nics[OS_FAR]);
	if (fd < 0 || ioctl(fd, BIOCSBLEN, &bytes) != 0 ||
	    ioctl(fd, BIOCSETIF, &ifr) != 0 ||
	    ioctl(fd, BIOCIMMEDIATE, &one) != 0 ||
	    ioctl(fd, BIOCSHDRCMPLT, &one) != 0 ||
	    ioctl(fd, BIOCSDIRECTION, &in) != 0)
		kt_fail(__FILE__, __LINE__, "bpf: %s", strerror(errno));
	kt_pass(raw_sock, fd);
}

static struct raw *
raw_of(int fd)
{
	struct raw *r;

	for (r = raws; r < raws + RAWS; r++)
		if (r->fd == fd + 1)
			return r;
	return NULL;
}

int
os_raw_open(void)
{
	struct raw *r;
	int sock[2], fd;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == 0);
	raw_sock = sock[1];
	on_far(far_bpf);
	fd = kt_take(sock[0]);
	close(sock[0]);
	close(sock[1]);
	/* One of this number may have been closed. */
	r = raw_of(fd);
	r = r != NULL ? r : raw_of(-1);
	CHECK(r != NULL);
	r->fd = fd + 1;
	r->at = r->have = 0;
	r->buf = r->buf != NULL ? r->buf : malloc(RAW_BYTES);
	CHECK(r->buf != NULL);
	return fd;
}

void
os_raw_send(int fd, const void *frame, size_t bytes)
{
	while (write(fd, frame, bytes) < 0) {
		if (errno != ENOBUFS && errno != EINTR)
			kt_fail(__FILE__, __LINE__, "to the wire: %s",
				strerror(errno));
		kt_nap_us(100);
	}
}

static bool
raw_fill(struct raw *r, int timeout_ms)
{
	struct pollfd pfd = { .fd = r->fd - 1, .events = POLLIN };
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return false;
	n = read(r->fd - 1, r->buf, RAW_BYTES);
	r->at = 0;
	r->have = n > 0 ? (size_t)n : 0;
	return r->have != 0;
}

size_t
os_raw_recv(int fd, void *frame, size_t room, int timeout_ms)
{
	struct raw *r = raw_of(fd);
	struct bpf_hdr h;
	size_t n;

	CHECK(r != NULL);
	if (r->at >= r->have && !raw_fill(r, timeout_ms))
		return 0;
	memcpy(&h, r->buf + r->at, sizeof(h));
	n = h.bh_caplen < room ? h.bh_caplen : room;
	memcpy(frame, r->buf + r->at + h.bh_hdrlen, n);
	r->at += BPF_WORDALIGN(h.bh_hdrlen + h.bh_caplen);
	return n;
}

/* ---- the module ------------------------------------------------------------------- */

int
os_unload(void)
{
	int id = kldfind(MODULE_KO);

	return id < 0 || kldunload(id) != 0 ? -errno : 0;
}

int
os_load(void)
{
	const char *path = getenv("MULTISTACK_KO");

	if (kldload(path != NULL ? path : MALLOC_TYPE) < 0)
		return -errno;
	return chmod(KT_DEVICE, 0666) != 0 ? -errno : 0;
}

static uint64_t
type_bytes(const struct malloc_type_stats *per_cpu, unsigned int cpus)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < cpus; i++)
		bytes += per_cpu[i].mts_memalloced - per_cpu[i].mts_memfreed;
	return bytes;
}

/* As vmstat -m tells it. */
int64_t
os_kernel_bytes(void)
{
	struct malloc_type_stream_header head;
	struct malloc_type_header type;
	size_t bytes = 0, step;
	int64_t found = -ENOENT;
	uint8_t *all, *p;

	if (sysctlbyname("kern.malloc_stats", NULL, &bytes, NULL, 0) != 0)
		return -errno;
	bytes += bytes / 8; /* types may be added meanwhile */
	p = all = malloc(bytes);
	CHECK(all != NULL);
	CHECK(sysctlbyname("kern.malloc_stats", all, &bytes, NULL, 0) == 0);
	memcpy(&head, p, sizeof(head));
	CHECK_EQ(head.mtsh_version, MALLOC_TYPE_STREAM_VERSION);
	step = sizeof(type) +
	       head.mtsh_maxcpus * sizeof(struct malloc_type_stats);
	p += sizeof(head);
	for (; head.mtsh_count > 0 && p + step <= all + bytes; p += step) {
		memcpy(&type, p, sizeof(type));
		if (strcmp(type.mth_name, MALLOC_TYPE) == 0)
			found = (int64_t)type_bytes((void *)(p + sizeof(type)),
						    head.mtsh_maxcpus);
		head.mtsh_count--;
	}
	free(all);
	return found;
}

/* ---- the rest ---------------------------------------------------------------------- */

void
os_become_nobody(void)
{
	gid_t group = KT_NOBODY;

	CHECK(setgroups(1, &group) == 0 && setgid(group) == 0 &&
	      setuid(KT_NOBODY) == 0);
}

/* Of all processes' allocations that may fail, in kernels with option
   MALLOC_MAKE_FAILURES. */
int
os_fail_allocations(unsigned int one_in)
{
	int rate = (int)one_in;

	if (sysctlbyname("debug.malloc.failure_rate", NULL, NULL, &rate,
			 sizeof(rate)) != 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	return 0;
}

/* A comment of the results, which may go to the same console. */
void
os_log(const char *text)
{
	int fd = open("/dev/console", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	dprintf(fd, "# kernel-test: %s\n", text);
	close(fd);
}

void
os_private(void *region, size_t bytes)
{
	CHECK(minherit(region, bytes, INHERIT_NONE) == 0);
}

/* An epair queues at the processor of the sender, if it has many queues. */
void
os_stay(void)
{
	cpuset_t may, here;
	int i;

	CHECK(cpuset_getaffinity(CPU_LEVEL_WHICH, CPU_WHICH_PID, -1,
				 sizeof(may), &may) == 0);
	CPU_ZERO(&here);
	for (i = 0; i < CPU_SETSIZE && CPU_EMPTY(&here); i++)
		if (CPU_ISSET(i, &may))
			CPU_SET(i, &here);
	CHECK(cpuset_setaffinity(CPU_LEVEL_WHICH, CPU_WHICH_PID, -1,
				 sizeof(here), &here) == 0);
}

unsigned int
os_fds(void)
{
	int fd, end = getdtablesize();
	unsigned int n = 0;

	for (fd = 0; fd < end && fd < 65536; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}
