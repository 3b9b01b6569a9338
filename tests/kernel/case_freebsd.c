/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_freebsd.c: what FreeBSD tells that others do not: memory by its type. And
 * rounds of the module, which on Linux are tests/kernel/test_rounds.py's.
 */
#include "freebsd_net.h"
#include "kt.h"

#define NUMBER 7000
#define WARM_UP 8
#define ROUNDS 200

/* ---- memory --------------------------------------------------------------------- */

static void
live_once(void)
{
	struct kt_port p;
	unsigned int i;

	CHECK_EQ(kt_port_try(&p, 3, 3, 128), 0);
	for (i = 0; i < 40; i++)
		kt_must_bind(&p, (uint16_t)(NUMBER + i));
	CHECK_EQ(kt_bind(&p, rig_tuple6(rig_ip6, IPPROTO_TCP, 0)), 0);
	kt_port_close(&p);
}

static int64_t
bytes(void)
{
	int64_t n = os_kernel_bytes();

	if (n == -ENOENT)
		kt_skip("the module has no memory of a type of its own");
	CHECK(n >= 0);
	return n;
}

/* What readers may still hold is freed a moment later. */
static void
expect_bytes(int64_t should)
{
	uint64_t until = kt_now_ms() + KT_WAIT_MS;

	while (bytes() != should && kt_now_ms() < until)
		kt_nap_us(10000);
	CHECK_EQ(bytes(), should);
}

static void
memory_comes_back(void)
{
	int64_t before;
	unsigned int i;

	for (i = 0; i < WARM_UP; i++)
		live_once();
	before = bytes();
	for (i = 0; i < ROUNDS; i++)
		live_once();
	expect_bytes(before);
}

static void
memory_of_attachments_comes_back(void)
{
	const char *nic = os_nic(OS_NEAR);
	int64_t before;
	unsigned int i;

	for (i = 0; i < WARM_UP; i++) {
		CHECK_EQ(kt_detach(nic, 0), 0);
		CHECK_EQ(kt_attach(nic, ""), 0);
	}
	before = bytes();
	for (i = 0; i < ROUNDS; i++) {
		CHECK_EQ(kt_detach(nic, 0), 0);
		CHECK_EQ(kt_attach(nic, ""), 0);
	}
	expect_bytes(before);
}

/* ---- the module ------------------------------------------------------------------- */

/* Frames for a port and for nobody, with time for others in between. */
static pid_t
traffic(void)
{
	int raw = os_raw_open();
	pid_t pid = kt_fork();

	if (pid != 0) {
		close(raw);
		return pid;
	}
	for (uint32_t n = 0;; n++) {
		kt_far_udp(raw, (uint16_t)(NUMBER + n % 2), &n, sizeof(n));
		if (n % 32 == 0)
			kt_nap_us(1000);
	}
}

static void
unload(const char *nic)
{
	int r = os_unload();

	if (r == -EBUSY) { /* an attached interface is a use */
		CHECK_EQ(kt_detach(nic, 0), 0);
		r = os_unload();
	}
	CHECK_EQ(r, 0);
}

static void
loaded_and_unloaded_under_traffic(void)
{
	uint64_t until = kt_now_ms() + kt_seconds * 1000;
	const char *nic = os_nic(OS_NEAR);
	uint8_t frame[2048];
	uint32_t rounds;
	struct kt_port p;
	pid_t pid;

	pid = traffic();
	for (rounds = 0; kt_now_ms() < until; rounds++) {
		kt_port_open(&p);
		kt_must_bind(&p, NUMBER);
		CHECK(kt_recv(&p, 0, frame, sizeof(frame), KT_WAIT_MS) != 0);
		CHECK(os_unload() < 0);
		kt_port_close(&p);
		if (rounds % 2 != 0)
			CHECK_EQ(kt_detach(nic, 0), 0);
		unload(nic);
		CHECK_EQ(os_load(), 0);
		CHECK_EQ(kt_attach(nic, ""), 0);
	}
	kt_kill(pid);
	kt_note("%u rounds", (unsigned int)rounds);
}

const struct kt_case os_cases[] = {
	{ .name = "memory comes back", .run = memory_comes_back },
	{ .name = "memory of attachments comes back",
	  .run = memory_of_attachments_comes_back },
	{ .name = "loaded and unloaded under traffic",
	  .run = loaded_and_unloaded_under_traffic,
	  .hostile = true,
	  .ruins = true },
	{ 0 },
};
