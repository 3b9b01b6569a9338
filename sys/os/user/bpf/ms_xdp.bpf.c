/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_xdp.bpf.c: on an Ethernet interface, hands claimed packets to the AF_XDP
 * socket of their queue; everything else goes on to the host, untouched.
 */
#include <linux/bpf.h>

#define MS_LOAD(ctx, ofs, to, bytes) bpf_xdp_load_bytes(ctx, ofs, to, bytes)
#include "ms_claim.bpf.h"

volatile const __u16 vlan_id; /* the attachment's, 0 for none */

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MS_BPF_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct vlan_tag {
	__be16 tci;
	__be16 type;
};

static __always_inline bool
same_mac(const __u8 *a, const __u8 *b)
{
	return *(const __u16 *)a == *(const __u16 *)b &&
	       *(const __u16 *)(a + 2) == *(const __u16 *)(b + 2) &&
	       *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

static __always_inline bool
frame_claimed(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	const struct ms_bpf_state *st = get_state();
	struct ethhdr *eth = data;
	__u16 type;

	if (!st || (void *)(eth + 1) > end || !same_mac(eth->h_dest, st->mac))
		return false;
	if (st->exact == 0 && st->wildcards == 0)
		return false;
	type = *(__u16 *)(data + 12); /* ethhdr is packed: bytes, else */
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD)) {
		struct vlan_tag *tag = (void *)(eth + 1);

		if ((void *)(tag + 1) > end ||
		    (bpf_ntohs(tag->tci) & 0x0fff) != vlan_id)
			return false;
		return packet_claimed(
		    ctx, data, end, sizeof(*eth) + sizeof(*tag), tag->type, st);
	}
	return vlan_id == 0 &&
	       packet_claimed(ctx, data, end, sizeof(*eth), type, st);
}

SEC("xdp")
int
ms_xdp(struct xdp_md *ctx)
{
	if (frame_claimed(ctx))
		return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
	count_passed();
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
