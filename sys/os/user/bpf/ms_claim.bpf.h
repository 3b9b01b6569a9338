/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_claim.bpf.h: is this packet for a tuple that a stack has claimed?
 *
 * The includer defines MS_LOAD(ctx, ofs, to, bytes), a copy of header bytes
 * from the frame's start that fails beyond its end. The common packet, IP
 * without options and TCP or UDP behind it, is read in place by the includer's
 * bounds; all else through MS_LOAD. What is in doubt is the host's: it is
 * passed on as if we were not here. sys/core/ms_parse.c looks again.
 */
#ifndef MS_CLAIM_BPF_H
#define MS_CLAIM_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "ms_bpf.h"
#include "multistack.h"

#define FRAG_LIFE_NS 30000000000ull /* as MS_FRAG_LIFE_NS of the core */
#define EXT_MAX 8		    /* IPv6 extension headers we walk */
#define PROTO_SCTP 132

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MS_BPF_CLAIMS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ms_tuple);
	__type(value, __u32);
} claims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MS_BPF_LOCALS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ms_tuple); /* address and family */
	__type(value, __u32);
} locals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MS_BPF_FRAGS_MAX);
	__type(key, struct ms_bpf_frag);
	__type(value, __u64); /* when it began */
} frags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ms_bpf_state);
} state SEC(".maps");

/* Frames left to the host. Those taken are counted by who gets them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} passed SEC(".maps");

static __always_inline void
count_passed(void)
{
	__u32 zero = 0;
	__u64 *v = bpf_map_lookup_elem(&passed, &zero);

	if (v)
		(*v)++;
}

static __always_inline struct ms_bpf_state *
get_state(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&state, &zero);
}

/* Exact, then wildcard; a wildcard means the host's own addresses. */
static __always_inline bool
is_claimed(const struct ms_bpf_state *st, const struct ms_tuple *t)
{
	struct ms_tuple k;

	if (st->exact != 0 && bpf_map_lookup_elem(&claims, t))
		return true;
	if (st->wildcards == 0)
		return false;
	__builtin_memset(&k, 0, sizeof(k));
	k.port_be = t->port_be;
	k.proto = t->proto;
	k.family = t->family;
	if (!bpf_map_lookup_elem(&claims, &k))
		return false;
	k = *t;
	k.port_be = 0;
	k.proto = 0;
	return bpf_map_lookup_elem(&locals, &k) ||
	       (t->family == 4 && t->addr[0] == 127);
}

static __always_inline bool
has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
	       proto == PROTO_SCTP;
}

static __always_inline bool
frag_known(struct ms_bpf_frag *f)
{
	__u64 *born = bpf_map_lookup_elem(&frags, f);

	return born && bpf_ktime_get_ns() - *born < FRAG_LIFE_NS;
}

static __always_inline void
frag_remember(struct ms_bpf_frag *f)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&frags, f, &now, BPF_ANY);
}

/*
 * Walks extension headers from *ofs (of *next) on. 0 when *next is none,
 * negative when the chain is cut or too long. *frag gets the fragment word,
 * *id its train; a later fragment ends the walk.
 */
static __always_inline int
ip6_walk(void *ctx, __u32 *ofs, __u8 *next, __u16 *frag, __u32 *id)
{
	__u8 h[8];
	int i;

	for (i = 0; i < EXT_MAX; i++) {
		switch (*next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			break;
		default:
			return 0;
		}
		if (*ofs > 1024 || MS_LOAD(ctx, *ofs, h, sizeof(h)) != 0)
			return -1;
		if (*next == IPPROTO_FRAGMENT) {
			if (*frag != 0)
				return -1; /* a fragment of a fragment */
			*frag = (__u16)h[2] << 8 | h[3];
			__builtin_memcpy(id, h + 4, 4);
			*ofs += 8;
		} else if (*next == IPPROTO_AH) {
			*ofs += ((__u32)h[1] + 2) * 4;
		} else {
			*ofs += ((__u32)h[1] + 1) * 8;
		}
		*next = h[0];
		if ((*frag & 0xfff8) != 0)
			return 0;
	}
	return -1;
}

/* Did a claimed tuple send the packet that an ICMP error quotes from `ofs` on?
   An error is told to who sent the packet, and to nobody else. */
static __always_inline bool
inner4(void *ctx, __u32 ofs, const struct iphdr *outer,
       const struct ms_bpf_state *st)
{
	struct ms_tuple t;
	struct iphdr ip;
	__u32 l4;

	if (MS_LOAD(ctx, ofs, &ip, sizeof(ip)) != 0 || ip.version != 4 ||
	    ip.ihl < 5 || (ip.frag_off & bpf_htons(0x1fff)) != 0 ||
	    ip.saddr != outer->daddr)
		return false;
	__builtin_memset(&t, 0, sizeof(t));
	t.family = 4;
	t.proto = ip.protocol;
	__builtin_memcpy(t.addr, &ip.saddr, 4);
	l4 = ofs + (__u32)ip.ihl * 4;
	if (has_ports(t.proto) && MS_LOAD(ctx, l4, &t.port_be, 2) != 0)
		return false;
	if (t.proto == IPPROTO_ICMP || t.proto == IPPROTO_ICMPV6)
		return false;
	return is_claimed(st, &t);
}

static __always_inline bool
inner6(void *ctx, __u32 ofs, const struct ipv6hdr *outer,
       const struct ms_bpf_state *st)
{
	__u32 l4 = ofs + sizeof(struct ipv6hdr), id;
	struct ms_tuple t;
	struct ipv6hdr ip;
	__u16 frag = 0;
	__u8 next;

	if (MS_LOAD(ctx, ofs, &ip, sizeof(ip)) != 0 || ip.version != 6)
		return false;
	if (ip.saddr.s6_addr32[0] != outer->daddr.s6_addr32[0] ||
	    ip.saddr.s6_addr32[1] != outer->daddr.s6_addr32[1] ||
	    ip.saddr.s6_addr32[2] != outer->daddr.s6_addr32[2] ||
	    ip.saddr.s6_addr32[3] != outer->daddr.s6_addr32[3])
		return false;
	next = ip.nexthdr;
	if (ip6_walk(ctx, &l4, &next, &frag, &id) != 0 || (frag & 0xfff8) != 0)
		return false;
	__builtin_memset(&t, 0, sizeof(t));
	t.family = 6;
	t.proto = next;
	__builtin_memcpy(t.addr, &ip.saddr, 16);
	if (has_ports(next) && MS_LOAD(ctx, l4, &t.port_be, 2) != 0)
		return false;
	if (next == IPPROTO_ICMP || next == IPPROTO_ICMPV6)
		return false;
	return is_claimed(st, &t);
}

/* The IPv4 packet at frame offset `ofs`, header read to `ip`. */
static __always_inline bool
claimed4_slow(void *ctx, __u32 ofs, const struct iphdr *ip,
	      const struct ms_bpf_state *st)
{
	__u16 frag = bpf_ntohs(ip->frag_off);
	struct ms_bpf_frag f;
	struct ms_tuple t;
	__u32 l4 = ofs + (__u32)ip->ihl * 4;
	__u8 type;

	if (ip->ihl < 5)
		return false;
	__builtin_memset(&f, 0, sizeof(f));
	__builtin_memcpy(f.saddr, &ip->saddr, 4);
	__builtin_memcpy(f.daddr, &ip->daddr, 4);
	f.id = ip->id;
	f.proto = ip->protocol;
	f.family = 4;
	if ((frag & 0x1fff) != 0)
		return frag_known(&f);
	if (ip->protocol == IPPROTO_ICMP) {
		if (MS_LOAD(ctx, l4, &type, 1) != 0)
			return false;
		if (type != 3 && type != 4 && type != 11 && type != 12)
			return false;
		return inner4(ctx, l4 + 8, ip, st);
	}
	__builtin_memset(&t, 0, sizeof(t));
	__builtin_memcpy(t.addr, &ip->daddr, 4);
	t.family = 4;
	t.proto = ip->protocol;
	if (has_ports(t.proto) && MS_LOAD(ctx, l4 + 2, &t.port_be, 2) != 0)
		return false;
	if (!is_claimed(st, &t))
		return false;
	if ((frag & 0x2000) != 0)
		frag_remember(&f);
	return true;
}

static __always_inline bool
claimed6_slow(void *ctx, __u32 ofs, const struct ipv6hdr *ip,
	      const struct ms_bpf_state *st)
{
	__u32 l4 = ofs + sizeof(*ip), id = 0;
	struct ms_bpf_frag f;
	struct ms_tuple t;
	__u16 frag = 0;
	__u8 next = ip->nexthdr, type;

	if (ip6_walk(ctx, &l4, &next, &frag, &id) != 0)
		return false;
	__builtin_memset(&f, 0, sizeof(f));
	__builtin_memcpy(f.saddr, &ip->saddr, 16);
	__builtin_memcpy(f.daddr, &ip->daddr, 16);
	f.id = id;
	/* not f.proto: RFC 8200 has a train's headers differ there */
	f.family = 6;
	if ((frag & 0xfff8) != 0)
		return frag_known(&f);
	if (next == IPPROTO_ICMPV6) {
		if (MS_LOAD(ctx, l4, &type, 1) != 0 || type < 1 || type > 4)
			return false;
		return inner6(ctx, l4 + 8, ip, st);
	}
	__builtin_memset(&t, 0, sizeof(t));
	__builtin_memcpy(t.addr, &ip->daddr, 16);
	t.family = 6;
	t.proto = next;
	if (has_ports(next) && MS_LOAD(ctx, l4 + 2, &t.port_be, 2) != 0)
		return false;
	if (!is_claimed(st, &t))
		return false;
	if ((frag & 1) != 0)
		frag_remember(&f);
	return true;
}

/* The packet of ethertype `type` at offset `ofs` of a frame that can be read
   in place from `data` to `end`. */
static __always_inline bool
packet_claimed(void *ctx, void *data, void *end, __u32 ofs, __u16 type,
	       const struct ms_bpf_state *st)
{
	struct ms_tuple t;

	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ofs;
		__u16 *ports = (void *)(ip + 1);

		if ((void *)(ip + 1) > end || ip->version != 4)
			return false;
		if (ip->ihl != 5 || (ip->frag_off & bpf_htons(0x3fff)) != 0 ||
		    !has_ports(ip->protocol) || (void *)(ports + 2) > end)
			return claimed4_slow(ctx, ofs, ip, st);
		__builtin_memset(&t, 0, sizeof(t));
		__builtin_memcpy(t.addr, &ip->daddr, 4);
		t.port_be = ports[1];
		t.proto = ip->protocol;
		t.family = 4;
		return is_claimed(st, &t);
	}
	if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ofs;
		__u16 *ports = (void *)(ip + 1);

		if ((void *)(ip + 1) > end || ip->version != 6)
			return false;
		if (!has_ports(ip->nexthdr) || (void *)(ports + 2) > end)
			return claimed6_slow(ctx, ofs, ip, st);
		__builtin_memcpy(t.addr, &ip->daddr, 16);
		t.port_be = ports[1];
		t.proto = ip->nexthdr;
		t.family = 6;
		return is_claimed(st, &t);
	}
	return false;
}

#endif /* MS_CLAIM_BPF_H */
