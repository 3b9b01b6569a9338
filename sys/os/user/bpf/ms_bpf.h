/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_bpf.h: what the BPF programs and those who load them share.
 */
#ifndef MS_BPF_H
#define MS_BPF_H

#define MS_BPF_CLAIMS_MAX (1u << 20)
#define MS_BPF_LOCALS_MAX 4096
#define MS_BPF_FRAGS_MAX 4096
#define MS_BPF_QUEUES_MAX 64

/* The one entry of `state`. */
struct ms_bpf_state {
	__u32 exact;	 /* claims with an address */
	__u32 wildcards; /* claims without */
	__u8 mac[6];	 /* frames to this address are ours (XDP) */
	__u16 pad;
};

/* A train of fragments. */
struct ms_bpf_frag {
	__u8 saddr[16];
	__u8 daddr[16];
	__u32 id;
	__u8 proto;
	__u8 family;
	__u16 pad;
};

#endif /* MS_BPF_H */
