/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel_os.h: what kernel_test asks of the system under test, in files of its
 * own: kernel_os_linux.c, ... . All calls end the process with words when
 * something does not work, unless they say that they return an error.
 *
 * The world: two hosts, near and far, on a wire between two interfaces, whose
 * names os_nic() tells. Near has rig_ip and rig_ip6 with rig_mac; far has no
 * addresses, so that it never answers anything by itself, and near knows
 * rig_peer_ip and rig_peer_ip6 to be at rig_peer_mac.
 */
#ifndef KERNEL_OS_H
#define KERNEL_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum os_side { OS_NEAR, OS_FAR };

/* NULL, or why nothing can be tested here (no module, no privilege). */
const char *os_unable(void);

/* The calling process is on the near side from then on. What is left of an
   earlier world is removed. */
void os_world_create(void);
void os_world_destroy(void);
const char *os_nic(enum os_side side);
/* The calling process goes there for good; it has no threads. */
void os_enter(enum os_side side);

/* Forced removal of both interfaces, and of the whole far host with what is
   attached there; the world is to be destroyed after either. */
void os_wire_cut(void);
void os_far_end(void);

/* Takes the wire down, or up again: near and far. */
void os_wire_up(bool up);
void os_set_mtu(uint32_t bytes);

/* Whole frames at the far end of the wire. recv: the length of the next one
   that comes in, or 0 when none does in time. */
int os_raw_open(void);
void os_raw_send(int fd, const void *frame, size_t bytes);
size_t os_raw_recv(int fd, void *frame, size_t room, int timeout_ms);

/* What systems differ in. */
enum os_trait {
	OS_TWO_HOSTS,	  /* the far one has a network of its own */
	OS_HOSTS_END,	  /* ... which ends although a descriptor is of there */
	OS_FORKS_TRULY,	  /* children lack the mappings not to be inherited */
	OS_MAPS_ARE_DATA, /* no mapping of a device can be made executable */
	OS_MAPS_KEEP,	  /* a port is there as long as somebody maps it */
	OS_LONG_FRAMES,	  /* os_raw_send() takes more than a page */
};
bool os_has(enum os_trait trait);

/* Tries to unload the module, without waiting: 0 or a negative errno. */
int os_unload(void);

/* Gives up every privilege, for good: user and group nobody. */
void os_become_nobody(void);

/* Addresses that a user may not pass, of the kernel's half. */
extern const uintptr_t os_kernel_addrs[];
extern const unsigned int os_num_kernel_addrs;

/*
 * From now on about one in so many allocations of this process and of those it
 * forks fails in the kernel, 0: none. 0, or a negative errno where the kernel
 * cannot do that.
 */
int os_fail_allocations(unsigned int one_in);

/* A line in the kernel's own log. */
void os_log(const char *text);

/* This mapping of a port is not for children: said by who maps it, where the
   kernel's module cannot. */
void os_private(void *region, size_t bytes);

/* The calling process stays on the processor that it runs on: what it sends
   over a wire in memory keeps its order only then. */
void os_stay(void);

/* Descriptors of the calling process that are open. */
unsigned int os_fds(void);

#endif /* KERNEL_OS_H */
