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

SEC("xdp")
int
ms_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	const struct ms_bpf_state *st = get_state();
	struct ethhdr *eth = data;
	__u16 id = 0;
	bool ours;

	count(MS_BPF_SEEN);
	if (!st || (void *)(eth + 1) > end || !same_mac(eth->h_dest, st->mac))
		return XDP_PASS;
	if (st->exact == 0 && st->wildcards == 0)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_8021Q) ||
	    eth->h_proto == bpf_htons(ETH_P_8021AD)) {
		struct vlan_tag *tag = (void *)(eth + 1);

		if ((void *)(tag + 1) > end)
			return XDP_PASS;
		id = bpf_ntohs(tag->tci) & 0x0fff;
		if (id != vlan_id)
			return XDP_PASS;
		ours = packet_claimed(ctx, data, end,
				      sizeof(*eth) + sizeof(*tag), tag->type,
				      st);
	} else {
		if (vlan_id != 0)
			return XDP_PASS;
		ours = packet_claimed(ctx, data, end, sizeof(*eth),
				      eth->h_proto, st);
	}
	if (!ours)
		return XDP_PASS;
	count(MS_BPF_TAKEN);
	return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
