/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_maps.c: the region in memory, descriptors of rings, and sleeping.
 */
#include <fcntl.h>

#include "kt.h"

/* ---- mmap ------------------------------------------------------------------------ */

static void
refused_map(int fd, size_t bytes, int prot, int flags, off_t at, int err)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, at);

	if (p != MAP_FAILED)
		kt_fail(__FILE__, __LINE__,
			"%zu bytes at %lld, prot %d, flags %d were mapped",
			bytes, (long long)at, prot, flags);
	CHECK_EQ(-errno, err);
}

static void
the_region_maps_as_one_piece(void)
{
	int rw = PROT_READ | PROT_WRITE;
	struct kt_port p;
	size_t bytes;
	void *again;

	kt_port_open(&p);
	bytes = p.info.region_bytes;
	CHECK_EQ(bytes % KT_PAGE, 0);
	refused_map(p.fd, bytes + KT_PAGE, rw, MAP_SHARED, 0, -EINVAL);
	refused_map(p.fd, bytes, rw, MAP_SHARED, KT_PAGE, -EINVAL);
	refused_map(p.fd, KT_PAGE, rw, MAP_SHARED, (off_t)bytes, -EINVAL);
	refused_map(p.fd, KT_PAGE, rw, MAP_SHARED, (off_t)1 << 40, -EINVAL);
	refused_map(p.fd, (size_t)1 << 34, rw, MAP_SHARED, 0, -EINVAL);
	refused_map(p.fd, bytes, rw, MAP_PRIVATE, 0, -EINVAL);
	again = mmap(NULL, bytes, rw, MAP_SHARED, p.fd, 0);
	CHECK(again != MAP_FAILED);
	((uint8_t *)again)[bytes - 1] = 77;
	CHECK_EQ(((uint8_t *)p.region)[bytes - 1], 77);
	CHECK(munmap(again, bytes) == 0);
	/* a hole in the middle is the owner's own affair */
	CHECK(munmap((uint8_t *)p.region + KT_PAGE, KT_PAGE) == 0);
	kt_port_close(&p);
}

static void
the_region_is_never_code(void)
{
	struct kt_port p;

	if (!os_has(OS_MAPS_ARE_DATA))
		kt_skip("this kernel lets its users decide");
	kt_port_open(&p);
	CHECK(mprotect(p.region, p.geo.bytes,
		       PROT_READ | PROT_WRITE | PROT_EXEC) == -1);
	CHECK_EQ(-errno, -EACCES);
	kt_port_close(&p);
}

/* As with any file: the port is there until nobody maps it, or, where memory
   outlives its file, the memory is there that was the port's. */
static void
a_mapping_outlives_its_descriptor(void)
{
	struct kt_port p, q;

	kt_port_open(&p);
	kt_port_open(&q);
	kt_must_bind(&p, 7000);
	CHECK(close(p.fd) == 0);
	memset(p.region, 0xff, p.geo.bytes);
	if (os_has(OS_MAPS_KEEP)) {
		CHECK_EQ(kt_bind(&q, rig_tuple4(rig_ip, IPPROTO_UDP, 7000)),
			 -EADDRINUSE);
	} else {
		kt_must_bind(&q, 7000);
		CHECK_EQ(kt_unbind(&q, rig_tuple4(rig_ip, IPPROTO_UDP, 7000)),
			 0);
		CHECK_EQ(((uint8_t *)p.region)[p.geo.bytes - 1], 0xff);
	}
	CHECK(munmap(p.region, p.geo.bytes) == 0);
	kt_must_bind(&q, 7000);
	kt_port_close(&q);
}

static void
a_forked_child_has_no_region(void)
{
	struct kt_port p;
	int status;
	pid_t pid;

	if (!os_has(OS_FORKS_TRULY))
		kt_skip("this kernel gives children more than it should");
	kt_port_open(&p);
	pid = kt_fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(p.region->magic == MS_REGION_MAGIC);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) ||
	    (WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS))
		kt_fail(__FILE__, __LINE__, "the child's status is 0x%x",
			(unsigned int)status);
	CHECK_EQ(p.region->magic, MS_REGION_MAGIC);
	kt_port_close(&p);
}

/* ---- descriptors of rings ---------------------------------------------------------- */

static int
queue(const struct kt_port *p, bool is_rx, uint16_t i)
{
	struct ms_cmd_queue_attach a = { .size = sizeof(a),
					 .is_rx = is_rx,
					 .index = i };

	return kt_cmd(p->fd, MS_CMD_QUEUE_ATTACH, &a);
}

static void
rings_have_descriptors(void)
{
	struct ms_cmd_queue_attach bad = { .size = sizeof(bad), .is_rx = 2 };
	struct ms_cmd_info info = { .size = sizeof(info) };
	unsigned int fds = os_fds();
	int fd[2][4], i;
	struct kt_port p;

	CHECK_EQ(kt_port_try(&p, 4, 4, 8), 0);
	for (i = 0; i < 4; i++) {
		fd[0][i] = queue(&p, false, (uint16_t)i);
		fd[1][i] = queue(&p, true, (uint16_t)i);
		CHECK(fd[0][i] > 2 && fd[1][i] > 2);
		CHECK(fcntl(fd[0][i], F_GETFD) & FD_CLOEXEC);
	}
	CHECK_EQ(queue(&p, true, 4), -EINVAL);
	CHECK_EQ(queue(&p, false, 4), -EINVAL);
	CHECK_EQ(queue(&p, false, 65535), -EINVAL);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_QUEUE_ATTACH, &bad), -EINVAL);
	for (i = 0; i < 4; i++) {
		struct ms_cmd_sync s = { .size = sizeof(s),
					 .is_rx = 1,
					 .index = (uint16_t)i };

		CHECK_EQ(kt_cmd(fd[1][i], MS_CMD_SYNC, &s), 0);
		/* of its own ring alone */
		s.index = (uint16_t)((i + 1) % 4);
		CHECK(kt_cmd(fd[1][i], MS_CMD_SYNC, &s) < 0);
		s.index = (uint16_t)i;
		CHECK(kt_cmd(fd[0][i], MS_CMD_SYNC, &s) < 0);
		CHECK(kt_cmd(fd[0][i], MS_CMD_INFO, &info) < 0);
		CHECK(mmap(NULL, KT_PAGE, PROT_READ, MAP_SHARED, fd[0][i], 0) ==
		      MAP_FAILED);
	}
	CHECK_EQ(kt_num_ports(), 1);
	for (i = 0; i < 4; i++) {
		close(fd[0][i]);
		close(fd[1][i]);
	}
	kt_port_close(&p);
	CHECK_EQ(os_fds(), fds);
}

/* In both orders: the ring's first, the port's first. */
static void
ring_descriptors_and_ports_close_in_any_order(void)
{
	struct ms_cmd_sync s = { .size = sizeof(s), .is_rx = 1 };
	struct pollfd pfd = { .events = POLLIN };
	struct kt_port p;

	kt_port_open(&p);
	close(queue(&p, true, 0));
	pfd.fd = queue(&p, true, 0);
	CHECK(pfd.fd >= 0);
	CHECK_EQ(munmap(p.region, p.geo.bytes), 0);
	close(p.fd);
	CHECK(poll(&pfd, 1, 0) >= 0);
	(void)kt_cmd(pfd.fd, MS_CMD_SYNC, &s);
	close(pfd.fd);
	CHECK_EQ(kt_num_ports(), 0);
}

static void
sync_of_rings_that_are_not_there(void)
{
	struct ms_cmd_sync s = { .size = sizeof(s), .index = 1 };
	struct kt_port p;

	kt_port_open(&p);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_SYNC, &s), -EINVAL);
	s.is_rx = 1;
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_SYNC, &s), -EINVAL);
	s.is_rx = 2;
	s.index = 0;
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_SYNC, &s), -EINVAL);
	CHECK_EQ(kt_sync(&p, false, 0), 0);
	CHECK_EQ(kt_sync(&p, true, 0), 0);
	kt_port_close(&p);
}

/* ---- sleeping ------------------------------------------------------------------------ */

static short
polled(int fd, short events, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	CHECK(poll(&pfd, 1, timeout_ms) >= 0);
	return pfd.revents;
}

static void
poll_sleeps_until_a_frame_comes(void)
{
	uint8_t frame[128];
	struct ms_ring *r;
	struct kt_port p;
	int raw = os_raw_open(), rx;

	kt_port_open(&p);
	kt_must_bind(&p, 7000);
	r = kt_ring(&p, true, 0);
	rx = queue(&p, true, 0);
	r->wake = r->head;
	CHECK_EQ(polled(rx, POLLIN, KT_QUIET_MS), 0);
	CHECK_EQ(polled(p.fd, POLLIN, 0), 0);
	kt_far_udp(raw, 7000, "x", 1);
	CHECK_EQ(polled(rx, POLLIN, KT_WAIT_MS), POLLIN);
	CHECK_EQ(polled(p.fd, POLLIN, 0), POLLIN);
	CHECK(kt_get(&p, 0, frame, sizeof(frame)) != 0);
	/* asked for the frame after the next two */
	r->wake = r->head + 2;
	CHECK_EQ(polled(rx, POLLIN, 0), 0);
	for (int i = 0; i < 2; i++) {
		kt_far_udp(raw, 7000, "x", 1);
		CHECK_EQ(polled(rx, POLLIN, KT_QUIET_MS), 0);
	}
	kt_far_udp(raw, 7000, "x", 1);
	CHECK_EQ(polled(rx, POLLIN, KT_WAIT_MS), POLLIN);
	close(rx);
	kt_port_close(&p);
}

static void
poll_tells_of_room(void)
{
	struct kt_port p;
	struct ms_ring *r;
	uint8_t frame[128];
	uint32_t len = rig_udp_out(frame, 7000, 9, "x", 1), i;
	int tx;

	kt_port_open(&p);
	kt_must_bind(&p, 7000);
	r = kt_ring(&p, false, 0);
	tx = queue(&p, false, 0);
	for (i = 0; i < p.geo.slots; i++)
		CHECK_EQ(kt_put(&p, 0, frame, len), 0);
	CHECK_EQ(kt_put(&p, 0, frame, len), -ENOBUFS);
	r->wake = r->head; /* wake me when one is free */
	CHECK_EQ(polled(tx, POLLOUT, 0) & POLLOUT, 0);
	CHECK_EQ(kt_sync(&p, false, 0), 0);
	CHECK_EQ(polled(tx, POLLOUT, KT_WAIT_MS), POLLOUT);
	CHECK_EQ(kt_counter(&p, MS_CTR_TX_FRAMES), p.geo.slots);
	close(tx);
	kt_port_close(&p);
}

/* Many threads would be the same; processes show more of what goes wrong. */
static void
many_sleepers_on_one_ring_wake(void)
{
	pid_t pid[8];
	struct kt_port p;
	int raw = os_raw_open(), rx, pipes[2];

	CHECK(pipe(pipes) == 0);
	kt_port_open(&p);
	kt_must_bind(&p, 7000);
	kt_ring(&p, true, 0)->wake = kt_ring(&p, true, 0)->head;
	rx = queue(&p, true, 0);
	for (unsigned int i = 0; i < KT_COUNT(pid); i++) {
		pid[i] = kt_fork();
		if (pid[i] == 0) {
			kt_say(pipes[1]);
			_exit(polled(rx, POLLIN, KT_WAIT_MS) != POLLIN);
		}
	}
	for (unsigned int i = 0; i < KT_COUNT(pid); i++)
		kt_hear(pipes[0]);
	kt_nap_us(20000);
	kt_far_udp(raw, 7000, "x", 1);
	for (unsigned int i = 0; i < KT_COUNT(pid); i++)
		kt_join(pid[i]);
	close(rx);
	kt_port_close(&p);
}

const struct kt_case kt_cases_maps[] = {
	{ .name = "the region maps as one piece",
	  .run = the_region_maps_as_one_piece },
	{ .name = "the region is never code", .run = the_region_is_never_code },
	{ .name = "a mapping outlives its descriptor",
	  .run = a_mapping_outlives_its_descriptor },
	{ .name = "a forked child has no region",
	  .run = a_forked_child_has_no_region },
	{ .name = "rings have descriptors", .run = rings_have_descriptors },
	{ .name = "ring descriptors and ports close in any order",
	  .run = ring_descriptors_and_ports_close_in_any_order },
	{ .name = "SYNC of rings that are not there",
	  .run = sync_of_rings_that_are_not_there },
	{ .name = "poll sleeps until a frame comes",
	  .run = poll_sleeps_until_a_frame_comes },
	{ .name = "poll tells of room", .run = poll_tells_of_room },
	{ .name = "many sleepers on one ring wake",
	  .run = many_sleepers_on_one_ring_wake },
	{ 0 },
};
