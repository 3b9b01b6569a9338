/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* bench_owner.h: what a core has received, shared with the BPF program. */
#ifndef BENCH_OWNER_H
#define BENCH_OWNER_H

#include <linux/types.h>

#define BENCH_OWNERS 2

struct bench_owner {
	__u64 mark_ns; /* counted up to here */
	__u32 receiving;
	__u32 inum; /* the namespace that it receives for; 0: not yet known */
	__u64 ns[BENCH_OWNERS];
	__u64 packets;
};

#endif /* BENCH_OWNER_H */
