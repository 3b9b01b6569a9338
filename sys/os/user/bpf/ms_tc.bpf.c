/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_tc.bpf.c: hands claimed packets of an interface to a TAP, where user
 * space reads them with their offload metadata, and what is written to the TAP
 * to the interface or to the host.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#define MS_LOAD(ctx, ofs, to, bytes) bpf_skb_load_bytes(ctx, ofs, to, bytes)
#include "ms_claim.bpf.h"

#define HDR_BYTES 128 /* pulled into reach; what is further goes by MS_LOAD */
#define NEXT (-1)     /* TCX_NEXT, TC_ACT_UNSPEC: on to other programs */

volatile const __u32 tap_ifindex;
volatile const __u32 out_ifindex; /* the interface; ms_tc_host: lo */
volatile const __u16 vlan_id;
volatile const __u8 loopback; /* frames have no MAC to speak of */

static __always_inline bool
frame_claimed(struct __sk_buff *skb)
{
	const struct ms_bpf_state *st = get_state();
	void *data, *end;
	__u16 type;

	if (!st || (st->exact == 0 && st->wildcards == 0))
		return false;
	if (!loopback && skb->pkt_type != 0 /* PACKET_HOST */)
		return false;
	if ((skb->vlan_present ? skb->vlan_tci & 0x0fff : 0) != vlan_id)
		return false;
	type = (__u16)skb->protocol;
	if (type != bpf_htons(ETH_P_IP) && type != bpf_htons(ETH_P_IPV6))
		return false;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + HDR_BYTES > end && skb->len > (__u32)(end - data)) {
		__u32 want = skb->len < HDR_BYTES ? skb->len : HDR_BYTES;

		if (bpf_skb_pull_data(skb, want) != 0)
			return false;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
	}
	return packet_claimed(skb, data, end, sizeof(struct ethhdr), type, st);
}

/* Ingress of the interface. */
SEC("tc")
int
ms_tc_in(struct __sk_buff *skb)
{
	if (frame_claimed(skb))
		return bpf_redirect(tap_ifindex, 0);
	count_passed();
	return NEXT;
}

/* Ingress of the TAP: out by the interface. */
SEC("tc")
int
ms_tc_wire(struct __sk_buff *skb)
{
	return bpf_redirect(out_ifindex, 0);
}

/*
 * Ingress of the TAP: into the host. IPv6 by the loopback interface, because
 * ::1 is believed nowhere else (ip6_rcv_core); IPv4 stays here, where our own
 * sysctls admit the host's own addresses as sources (fib_validate_source).
 */
SEC("tc")
int
ms_tc_host(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return bpf_redirect(out_ifindex, BPF_F_INGRESS);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_SHOT;
	bpf_skb_change_type(skb, 0 /* PACKET_HOST */);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
