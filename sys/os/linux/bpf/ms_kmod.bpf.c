/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_kmod.bpf.c: shows the module each frame that a driver receives. It
 * answers XDP_DROP for what a port got a copy of, so that the driver has its
 * page back, and XDP_PASS for what is the host's.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Not the program's: who attaches it writes here what was turned off for it,
   and who takes it off reads it. */
const volatile int rxvlan_was_on;

extern int ms_xdp_rx(struct xdp_md *ctx) __ksym;

/* Frames may have several parts: the module reads them all. */
SEC("xdp.frags")
int
ms_kmod_xdp(struct xdp_md *ctx)
{
	return ms_xdp_rx(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
