/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_kmod.bpf.c: shows the module each frame that the driver receives. The
 * answer is XDP_PASS for what is the host's.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

extern int ms_xdp_rx(struct xdp_md *ctx) __ksym;

SEC("xdp")
int
ms_kmod_xdp(struct xdp_md *ctx)
{
	return ms_xdp_rx(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
