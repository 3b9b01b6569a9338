/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_commands.c: every command with every size, with pointers that lead
 * nowhere, and what PORT_CREATE takes.
 */
#include <stddef.h>

#include "kt.h"

#define SIZE_MAX_TAKEN KT_PAGE

/* Memory that ends where no page is. */
static uint8_t *
edge(void)
{
	static uint8_t *end;
	uint8_t *p;

	if (end != NULL)
		return end;
	p = mmap(NULL, 5 * KT_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(mprotect(p, 4 * KT_PAGE, PROT_READ | PROT_WRITE) == 0);
	end = p + 4 * KT_PAGE;
	return end;
}

/* A command whose struct says it has `size` bytes, of which at least four are
   there and the others 0, but for the last if `odd`. */
static int
sized(int fd, enum ms_cmd cmd, uint32_t size, uint32_t there, bool odd)
{
	uint8_t *p = edge() - (there < 4 ? 4 : there);
	int r;

	memset(edge() - 4 * KT_PAGE, 0xa5, 4 * KT_PAGE);
	memset(p, 0, (size_t)(edge() - p));
	memcpy(p, &size, sizeof(size));
	if (odd)
		edge()[-1] = 1;
	r = kt_cmd(fd, cmd, p);
	if (memcmp(p, &size, sizeof(size)) != 0)
		kt_fail(__FILE__, __LINE__, "%s of %u bytes changed its size",
			kt_cmd_name(cmd), (unsigned int)size);
	if (p > edge() - 4 * KT_PAGE && p[-1] != 0xa5)
		kt_fail(__FILE__, __LINE__, "%s wrote before its struct",
			kt_cmd_name(cmd));
	/* QUEUE_ATTACH's, which the next one is refused while it is there */
	if (r > 0) {
		close(r);
		r = 0;
	}
	return r;
}

static void
expect_sized(int fd, enum ms_cmd cmd, uint32_t size, bool odd, int should)
{
	uint32_t there = size < 2 * KT_PAGE ? size : 2 * KT_PAGE;
	int r = sized(fd, cmd, size, there, odd);

	if (r != should)
		kt_fail(__FILE__, __LINE__,
			"%s with %u bytes%s: %d (%s), not %d", kt_cmd_name(cmd),
			(unsigned int)size, odd ? ", the last not 0" : "", r,
			r < 0 ? strerror(-r) : "fine", should);
}

static void
sizes_of(int fd, enum ms_cmd cmd)
{
	static const uint32_t huge[] = {
		SIZE_MAX_TAKEN + 1, 2 * KT_PAGE, 65536,
		0x7fffffff,	    0x80000000u, 0xffffffffu
	};
	uint32_t known = kt_cmd_bytes(cmd), n;
	int usual = sized(fd, cmd, known, known, false);

	for (n = 0; n < 4; n++)
		expect_sized(fd, cmd, n, false, -EINVAL);
	for (; n <= 2 * known; n++)
		expect_sized(fd, cmd, n, false, usual);
	for (n = known + 1; n <= 2 * known; n++)
		expect_sized(fd, cmd, n, true, -E2BIG);
	expect_sized(fd, cmd, SIZE_MAX_TAKEN, false, usual);
	expect_sized(fd, cmd, SIZE_MAX_TAKEN, true, -E2BIG);
	for (n = 0; n < KT_COUNT(huge); n++)
		expect_sized(fd, cmd, huge[n], false, -E2BIG);
}

static void
every_size_without_a_port(void)
{
	int fd = kt_open();

	for (int cmd = 1; cmd < MS_CMD_MAX; cmd++)
		sizes_of(fd, cmd);
	close(fd);
}

static void
every_size_with_a_port(void)
{
	struct kt_port p;

	kt_port_open(&p);
	for (int cmd = 1; cmd < MS_CMD_MAX; cmd++)
		sizes_of(p.fd, cmd);
	kt_port_close(&p);
}

/* A caller of the first version, whose struct ends before the latest fields. */
static void
short_structs_mean_zeros(void)
{
	struct ms_cmd_port_create a;
	uint32_t n;

	for (n = offsetof(struct ms_cmd_port_create, tx_rings); n <= sizeof(a);
	     n++) {
		uint8_t *p = edge() - n;
		int fd = kt_open();

		memset(&a, 0, sizeof(a));
		a.size = n;
		strcpy(a.nic, os_nic(OS_NEAR));
		memcpy(p, &a, n);
		CHECK_EQ(kt_cmd(fd, MS_CMD_PORT_CREATE, p), 0);
		memcpy(&a, p, n);
		if (n == sizeof(a)) {
			CHECK_EQ(a.tx_rings, 1);
			CHECK_EQ(a.rx_rings, 1);
			CHECK_EQ(a.slots, 512);
			CHECK_EQ(a.buf_bytes, 2048);
			CHECK_EQ(a.mtu, 1500);
			CHECK(memcmp(a.mac, rig_mac, 6) == 0);
			CHECK(a.port_id != 0 && a.region_bytes != 0);
		}
		close(fd);
	}
	CHECK_EQ(kt_num_ports(), 0);
}

/* ---- pointers ----------------------------------------------------------------- */

static void
nowhere(int fd)
{
	static const uintptr_t low[] = { 0, 1, 8, 4095 };
	unsigned int i;
	int cmd;

	for (cmd = 1; cmd < MS_CMD_MAX; cmd++) {
		uint32_t known = kt_cmd_bytes(cmd), n;
		uint8_t *p;

		for (i = 0; i < KT_COUNT(low); i++)
			CHECK_EQ(kt_cmd(fd, cmd, (void *)low[i]), -EFAULT);
		for (i = 0; i < os_num_kernel_addrs; i++)
			CHECK_EQ(kt_cmd(fd, cmd, (void *)os_kernel_addrs[i]),
				 -EFAULT);
		CHECK_EQ(kt_cmd(fd, cmd, edge()), -EFAULT);
		CHECK_EQ(kt_cmd(fd, cmd, edge() - 3), -EFAULT);
		for (n = 4; n < known; n++) { /* the tail is missing */
			p = edge() - n;
			memset(p, 0, n);
			memcpy(p, &known, sizeof(known));
			CHECK_EQ(kt_cmd(fd, cmd, p), -EFAULT);
		}
	}
}

static void
pointers_that_lead_nowhere(void)
{
	struct kt_port p;
	int fd = kt_open();

	nowhere(fd);
	close(fd);
	kt_port_open(&p);
	nowhere(p.fd);
	kt_port_close(&p);
}

/* What cannot be answered is either not done, or ends with its descriptor. */
static void
memory_that_cannot_be_written(void)
{
	struct ms_cmd_bind bind = { .size = sizeof(bind) };
	unsigned int fds = os_fds();
	struct kt_port p;
	uint8_t *page;
	int cmd, r;

	page = mmap(NULL, KT_PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANON, -1, 0);
	CHECK(page != MAP_FAILED);
	kt_port_open(&p);
	for (cmd = 1; cmd < MS_CMD_MAX; cmd++) {
		int fd = cmd == MS_CMD_PORT_CREATE ? kt_open() : p.fd;
		uint32_t known = kt_cmd_bytes(cmd);

		CHECK(mprotect(page, KT_PAGE, PROT_READ | PROT_WRITE) == 0);
		memset(page, 0, KT_PAGE);
		memcpy(page, &known, sizeof(known));
		if (cmd == MS_CMD_PORT_CREATE)
			strcpy((char *)page + 8, os_nic(OS_NEAR));
		bind.tuple = rig_tuple4(rig_ip, IPPROTO_UDP, 0);
		if (cmd == MS_CMD_BIND)
			memcpy(page, &bind, sizeof(bind));
		if (cmd == MS_CMD_HANDOVER)
			page[4] = MS_HANDOVER_OFFER;
		CHECK(mprotect(page, KT_PAGE, PROT_READ) == 0);
		r = kt_cmd(fd, cmd, page);
		if (cmd == MS_CMD_INFO || cmd == MS_CMD_PORT_CREATE ||
		    cmd == MS_CMD_BIND || cmd == MS_CMD_STATS ||
		    cmd == MS_CMD_HANDOVER)
			CHECK_EQ(r, -EFAULT);
		if (r > 0)
			close(r);
		if (fd != p.fd)
			close(fd);
	}
	CHECK_EQ(kt_num_ports(), 1);
	kt_port_close(&p);
	munmap(page, KT_PAGE);
	CHECK_EQ(kt_num_tuples(), 0);
	CHECK_EQ(os_fds(), fds);
}

static void
unknown_commands(void)
{
	static const unsigned long foreign[] = { 0, 0x5401, 0x541b, 0x12345678,
						 MS_IOCTL(0) + 0x100 };
	uint64_t arg[64] = { sizeof(arg) };
	int fd = kt_open();

	CHECK_EQ(kt_cmd(fd, 0, arg), -EOPNOTSUPP);
	CHECK_EQ(kt_cmd(fd, MS_CMD_MAX, arg), -EOPNOTSUPP);
	CHECK_EQ(kt_cmd(fd, 255, arg), -EOPNOTSUPP);
	for (unsigned int i = 0; i < KT_COUNT(foreign); i++) {
		CHECK(ioctl(fd, foreign[i], arg) == -1);
		CHECK_EQ(-errno, -ENOTTY);
	}
	close(fd);
}

static void
no_port_yet(void)
{
	static const enum ms_cmd need[] = {
		MS_CMD_QUEUE_ATTACH, MS_CMD_BIND,    MS_CMD_UNBIND,
		MS_CMD_ROUTE,	     MS_CMD_SYNC,    MS_CMD_STATS,
		MS_CMD_TAP,	     MS_CMD_HANDOVER
	};
	struct pollfd pfd = { .fd = kt_open(), .events = POLLIN | POLLOUT };

	for (unsigned int i = 0; i < KT_COUNT(need); i++) {
		uint64_t arg[64] = { kt_cmd_bytes(need[i]) };

		if (kt_cmd(pfd.fd, need[i], arg) != -ENOTCONN)
			kt_fail(__FILE__, __LINE__, "%s did not say ENOTCONN",
				kt_cmd_name(need[i]));
	}
	CHECK(mmap(NULL, KT_PAGE, PROT_READ, MAP_SHARED, pfd.fd, 0) ==
	      MAP_FAILED);
	CHECK_EQ(-errno, -ENOTCONN);
	CHECK(poll(&pfd, 1, 0) >= 0);
	CHECK((pfd.revents & (POLLIN | POLLOUT)) == 0);
	close(pfd.fd);
}

static void
open_and_info(void)
{
	struct ms_cmd_info a = { .size = sizeof(a) };
	struct kt_port p;
	int fd = kt_open();

	CHECK_EQ(kt_cmd(fd, MS_CMD_INFO, &a), 0);
	CHECK_EQ(a.size, sizeof(a));
	CHECK_EQ(a.abi, MS_ABI_VERSION);
	CHECK_EQ(a.num_nics, 1);
	CHECK_EQ(a.num_ports, 0);
	CHECK_EQ(a.num_tuples, 0);
	CHECK((a.features & MS_FEATURE_HOST) != 0);
	kt_port_open(&p);
	kt_must_bind(&p, 7000);
	CHECK_EQ(kt_cmd(fd, MS_CMD_INFO, &a), 0);
	CHECK_EQ(a.num_ports, 1);
	CHECK_EQ(a.num_tuples, 1);
	kt_port_close(&p);
	CHECK_EQ(kt_cmd(fd, MS_CMD_INFO, &a), 0);
	CHECK_EQ(a.num_ports, 0);
	CHECK_EQ(a.num_tuples, 0);
	close(fd);
}

/* ---- PORT_CREATE ---------------------------------------------------------------- */

static const struct {
	const char *what;
	uint32_t flags;
	uint16_t tx, rx;
	uint32_t slots, buf_bytes, extra;
	const char *nic;
	int result;
	uint32_t slots_then;
} created[] = {
	{ "a flag", 1, 0, 0, 0, 0, 0, NULL, -EINVAL, 0 },
	{ "too many transmit rings", 0, 65, 0, 0, 0, 0, NULL, -E2BIG, 0 },
	{ "too many receive rings", 0, 0, 65, 0, 0, 0, NULL, -E2BIG, 0 },
	{ "all ones", ~0u, 65535, 65535, ~0u, ~0u, ~0u, NULL, -EINVAL, 0 },
	{ "all rings of ones", 0, 65535, 65535, ~0u, ~0u, ~0u, NULL, -E2BIG,
	  0 },
	{ "too many slots", 0, 0, 0, 65537, 0, 0, NULL, -E2BIG, 0 },
	{ "buffers not of a power of two", 0, 0, 0, 0, 3000, 0, NULL, -EINVAL,
	  0 },
	{ "small buffers", 0, 0, 0, 0, 1024, 0, NULL, -EINVAL, 0 },
	{ "large buffers", 0, 0, 0, 0, 131072, 0, NULL, -E2BIG, 0 },
	{ "too many buffers", 0, 0, 0, 0, 0, ~0u, NULL, -E2BIG, 0 },
	{ "too much of all", 0, 64, 64, 65536, 65536, 0, NULL, -E2BIG, 0 },
	{ "no such interface", 0, 0, 0, 0, 0, 0, "none0", -ENODEV, 0 },
	{ "no interface", 0, 0, 0, 0, 0, 0, "", -ENODEV, 0 },
	{ "an interface that is not attached", 0, 0, 0, 0, 0, 0, "lo0", -ENODEV,
	  0 },
	{ "one slot", 0, 0, 0, 1, 0, 0, NULL, 0, 8 },
	{ "nine slots", 0, 0, 0, 9, 0, 0, NULL, 0, 16 },
	{ "many rings", 0, 64, 64, 8, 0, 0, NULL, 0, 8 },
	{ "many slots", 0, 1, 1, 4096, 0, 0, NULL, 0, 4096 },
	{ "the largest buffers", 0, 0, 0, 8, 65536, 0, NULL, 0, 8 },
	{ "more buffers", 0, 0, 0, 8, 0, 100, NULL, 0, 8 },
};

static void
check_region(int fd, const struct ms_cmd_port_create *a)
{
	const struct ms_region *g;

	g = mmap(NULL, a->region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0);
	CHECK(g != MAP_FAILED);
	CHECK_EQ(g->magic, MS_REGION_MAGIC);
	CHECK_EQ(g->abi, MS_ABI_VERSION);
	CHECK_EQ(g->bytes, a->region_bytes);
	CHECK_EQ(g->tx_rings, a->tx_rings);
	CHECK_EQ(g->rx_rings, a->rx_rings);
	CHECK_EQ(g->slots, a->slots);
	CHECK_EQ(g->buf_bytes, a->buf_bytes);
	CHECK_EQ(g->port_id, a->port_id);
	CHECK_EQ(g->bufs,
		 (g->tx_rings + g->rx_rings) * a->slots + a->extra_bufs);
	CHECK_EQ(g->bytes, g->bufs_ofs + (uint64_t)g->bufs * g->buf_bytes);
	/* zeroed, up to the last byte */
	CHECK_EQ(((const uint8_t *)g)[g->bytes - 1], 0);
	CHECK(munmap((void *)g, a->region_bytes) == 0);
}

static void
what_port_create_takes(void)
{
	struct ms_cmd_port_create a;
	unsigned int i;
	int fd, r;

	for (i = 0; i < KT_COUNT(created); i++) {
		memset(&a, 0, sizeof(a));
		a.size = sizeof(a);
		a.flags = created[i].flags;
		a.tx_rings = created[i].tx;
		a.rx_rings = created[i].rx;
		a.slots = created[i].slots;
		a.buf_bytes = created[i].buf_bytes;
		a.extra_bufs = created[i].extra;
		strcpy(a.nic,
		       created[i].nic ? created[i].nic : os_nic(OS_NEAR));
		fd = kt_open();
		r = kt_cmd(fd, MS_CMD_PORT_CREATE, &a);
		if (r != created[i].result)
			kt_fail(__FILE__, __LINE__, "%s: %d, not %d",
				created[i].what, r, created[i].result);
		if (r == 0) {
			CHECK_EQ(a.slots, created[i].slots_then);
			check_region(fd, &a);
			a.size = sizeof(a);
			CHECK_EQ(kt_cmd(fd, MS_CMD_PORT_CREATE, &a), -EBUSY);
		}
		close(fd);
	}
	fd = kt_open();
	memset(&a, 'x', sizeof(a));
	a.size = sizeof(a);
	a.flags = 0;
	CHECK_EQ(kt_cmd(fd, MS_CMD_PORT_CREATE, &a), -EINVAL);
	close(fd);
}

/* More memory than the machine has: a refusal, and no harm. */
static void
ask_for_much(void)
{
	struct ms_cmd_port_create a = { .size = sizeof(a),
					.tx_rings = 32,
					.rx_rings = 32,
					.slots = 4096,
					.buf_bytes = 32768 };
	int fd = kt_open(), r;

	strcpy(a.nic, os_nic(OS_NEAR));
	r = kt_cmd(fd, MS_CMD_PORT_CREATE, &a);
	if (r != -ENOMEM && r != -ENOBUFS && r != -EDQUOT)
		kt_fail(__FILE__, __LINE__, "8 GiB of rings: %d", r);
	close(fd);
}

static void
nobody_gets_all_memory(void)
{
	kt_as_nobody(ask_for_much);
	CHECK_EQ(kt_num_ports(), 0);
}

const struct kt_case kt_cases_commands[] = {
	{ .name = "open and info", .run = open_and_info },
	{ .name = "no port yet", .run = no_port_yet },
	{ .name = "unknown commands", .run = unknown_commands },
	{ .name = "every size without a port",
	  .run = every_size_without_a_port },
	{ .name = "every size with a port", .run = every_size_with_a_port },
	{ .name = "short structs mean zeros", .run = short_structs_mean_zeros },
	{ .name = "pointers that lead nowhere",
	  .run = pointers_that_lead_nowhere },
	{ .name = "memory that cannot be written",
	  .run = memory_that_cannot_be_written },
	{ .name = "what PORT_CREATE takes", .run = what_port_create_takes },
	{ .name = "nobody gets all memory", .run = nobody_gets_all_memory },
	{ 0 },
};
