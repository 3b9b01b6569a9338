/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * bench_owner.bpf.c: for how long each core receives packets, and for whom: the
 * namespace of the interface that they come in at.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bench_owner.h"

/* Of the kernel's structs what is read; libbpf finds where it is. */
#define KERNEL __attribute__((preserve_access_index))

struct ns_common {
	unsigned int inum;
} KERNEL;

struct net {
	struct ns_common ns;
} KERNEL;

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	possible_net_t nd_net;
} KERNEL;

struct sk_buff {
	struct net_device *dev;
} KERNEL;

struct napi_struct {
	struct net_device *dev;
} KERNEL;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_owner);
} owners SEC(".maps");

#define NET_RX 3 /* enum of linux/interrupt.h */

volatile const __u32 namespaces[BENCH_OWNERS];

static __always_inline struct bench_owner *
mine(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&owners, &zero);
}

static __always_inline __u32
inum_of(const struct net_device *dev)
{
	return dev ? dev->nd_net.net->ns.inum : 0;
}

/* The time since the last mark was spent for o->inum. */
static __always_inline void
account(struct bench_owner *o)
{
	__u64 now = bpf_ktime_get_ns();

	for (int i = 0; i < BENCH_OWNERS; i++)
		if (o->inum == namespaces[i])
			o->ns[i] += now - o->mark_ns;
	o->mark_ns = now;
}

static __always_inline int
begin(void)
{
	struct bench_owner *o = mine();

	if (!o)
		return 0;
	o->receiving = 1;
	o->inum = 0;
	o->mark_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int
end(void)
{
	struct bench_owner *o = mine();

	if (!o || !o->receiving)
		return 0;
	account(o);
	o->receiving = 0;
	return 0;
}

/* What is done from here on is done for dev. */
static __always_inline void
become(struct bench_owner *o, const struct net_device *dev)
{
	__u32 inum = inum_of(dev);

	if (inum && inum != o->inum) {
		if (o->inum)
			account(o);
		o->inum = inum;
	}
}

SEC("tp_btf/softirq_entry")
int
BPF_PROG(on_softirq_entry, unsigned int vec)
{
	return vec == NET_RX ? begin() : 0;
}

SEC("tp_btf/softirq_exit")
int
BPF_PROG(on_softirq_exit, unsigned int vec)
{
	return vec == NET_RX ? end() : 0;
}

/* A TAP's owner hands a frame to the kernel. */
SEC("tp_btf/netif_receive_skb_entry")
int
BPF_PROG(on_receive_entry, struct sk_buff *skb)
{
	return begin();
}

SEC("tp_btf/netif_receive_skb_exit")
int
BPF_PROG(on_receive_exit, int result)
{
	return end();
}

SEC("tp_btf/netif_receive_skb")
int
BPF_PROG(on_receive, struct sk_buff *skb)
{
	struct bench_owner *o = mine();

	if (o && o->receiving) {
		o->packets++;
		become(o, skb->dev);
	}
	return 0;
}

/* The end of a device's turn: also of what XDP took, which is no packet yet. */
SEC("tp_btf/napi_poll")
int
BPF_PROG(on_napi_poll, struct napi_struct *napi, int work, int budget)
{
	struct bench_owner *o = mine();

	if (!o || !o->receiving)
		return 0;
	if (!o->inum)
		become(o, napi->dev);
	account(o);
	o->inum = 0;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
