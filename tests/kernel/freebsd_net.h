/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * freebsd_net.h: interfaces, addresses and neighbours of FreeBSD, by the calls
 * that ifconfig(8), arp(8) and ndp(8) make; in the network of the calling
 * process. All end the process with words where something does not work.
 */
#ifndef FREEBSD_NET_H
#define FREEBSD_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "multistack.h"

/* NULL, or why there can be no epair. Loads if_epair. */
const char *net_unable(void);
/* Under these names; one that was there goes. */
void net_epair(const char *near, const char *far);
void net_destroy(const char *nic); /* nothing if it is gone */
/* Into a jail's network. */
void net_move(const char *nic, int jail);
void net_set_mac(const char *nic, const uint8_t mac[6]);
void net_set_up(const char *nic, bool up);
void net_set_mtu(const char *nic, uint32_t bytes);
/* No IPv6, so no word by itself. */
void net_silent(const char *nic);
/* Without DAD. */
void net_add_addr(const char *nic, struct ms_tuple addr, unsigned int prefix);
/* That address is at that MAC, for good. */
void net_add_peer(const char *nic, struct ms_tuple addr, const uint8_t mac[6]);
/* lo0 is up and has 127.0.0.1. */
void net_loopback(void);

/* ---- kernel_os_freebsd.c, for case_freebsd.c ---- */

/* Loads the module, $MULTISTACK_KO or by its name, for nobody to use too. 0 or
   -errno. */
int os_load(void);
/* Bytes of the kernel's memory that are of the module's type, as vmstat -m has
   them. -ENOENT: there is no such type. */
int64_t os_kernel_bytes(void);

#endif /* FREEBSD_NET_H */
