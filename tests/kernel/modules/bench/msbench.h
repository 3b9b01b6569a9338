/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * msbench.h: what bench_wire asks of /dev/multistack-bench.
 *
 * The rings are named by the descriptors that MS_CMD_QUEUE_ATTACH gave; while
 * a run lasts nobody else uses them. Their owners' side is played inside the
 * kernel, on the caller's processor, so that what is timed has no system call
 * in it.
 */
#ifndef MSBENCH_H
#define MSBENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct msbench_run {
	__s32 from;   /* a transmit ring */
	__u32 num_to; /* receive rings */
	__u64 to;     /* const __s32 *, so many */
	__u64 sync;   /* const struct ms_cmd_sync *, of `from` */
	__u64 frames; /* const __u8 *: for each address a frame */
	__u32 bytes;  /* of each of those, one after the other */
	__u32 tuples; /* tuple i is of ring i % num_to, and has UDP port
			       first_port + i % per_addr of address
			       i / per_addr */
	__u32 per_addr;
	__u32 first_port;
	__u32 batch;	/* frames filled together, to tuples in a row from
			       a random one on */
	__u32 reserved; /* 0 */
	__u64 duration_ns;
	/* out */
	__u64 sent, received, took_ns;
};

#define MSBENCH_RUN _IOWR('m', 0xb1, struct msbench_run)

#endif /* MSBENCH_H */
