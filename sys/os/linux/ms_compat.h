/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_compat.h: what differs between the kernels that we build for, under one
 * name each. Nothing else in sys/os/linux knows of versions.
 *
 * Macros of the kernel are their own probes; for the rest Kbuild looks into
 * the headers and defines MS_HAVE_*.
 */
#ifndef MS_COMPAT_H
#define MS_COMPAT_H

#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/xdp.h>
#if defined(MS_HAVE_NET_GSO)
#include <net/gso.h> /* else netdevice.h has it; moved in 6.5 */
#endif

/* Binds a socket of the kernel's. Since 6.19 an address whose size is said
   beside it has a type of its own. */
static inline int
ms_kernel_bind(struct socket *sock, struct sockaddr_storage *addr, int bytes)
{
#if defined(MS_HAVE_SOCKADDR_UNSIZED)
	return kernel_bind(sock, (struct sockaddr_unsized *)addr, bytes);
#else
	return kernel_bind(sock, (struct sockaddr *)addr, bytes);
#endif
}

/* In an mmap file operation. Linux commit bc292ab00f6c (6.3) made vm_flags
   read-only. */
static inline void
ms_vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#if defined(MS_HAVE_VM_FLAGS_MOD)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/* Before the first start of t. 6.13 took the two steps together. */
static inline void
ms_hrtimer_setup(struct hrtimer *t,
		 enum hrtimer_restart (*fn)(struct hrtimer *), clockid_t clock,
		 enum hrtimer_mode mode)
{
#if defined(MS_HAVE_HRTIMER_SETUP)
	hrtimer_setup(t, fn, clock, mode);
#else
	hrtimer_init(t, clock, mode);
	t->function = fn;
#endif
}

/* Where the memory of a frame that we made came from; 6.15 keeps less. */
static inline void
ms_xdp_frame_mem(struct xdp_frame *f, enum xdp_mem_type type)
{
#if defined(MS_HAVE_XDP_FRAME_MEM_TYPE)
	f->mem_type = type;
#else
	f->mem.type = type;
#endif
}

/* ndo_xdp_xmit will not refuse all; since 6.3 a driver says so. */
static inline bool
ms_dev_takes_xdp_frames(const struct net_device *dev)
{
	if (dev->netdev_ops->ndo_xdp_xmit == NULL)
		return false;
#if defined(MS_HAVE_XDP_FEATURES)
	return READ_ONCE(dev->xdp_features) & NETDEV_XDP_ACT_NDO_XMIT;
#else
	return true;
#endif
}

/* The payload is in memory that a processor can read; devmem (6.12) is not. */
static inline bool
ms_skb_readable(const struct sk_buff *skb)
{
#if defined(MS_HAVE_SKB_FRAGS_READABLE)
	return skb_frags_readable(skb);
#else
	return true;
#endif
}

/* Somebody (tc, BPF, netfilter) looks at what leaves dev. Any context. */
static inline bool
ms_dev_egress_filtered(const struct net_device *dev)
{
	bool filtered = false;

	/* e420bed02507 (6.6) */
#if defined(CONFIG_NET_XGRESS)
	filtered |= rcu_access_pointer(dev->tcx_egress) != NULL;
#elif defined(CONFIG_NET_CLS_ACT)
	filtered |= rcu_access_pointer(dev->miniq_egress) != NULL;
#endif
#if defined(CONFIG_NETFILTER_EGRESS)
	filtered |= rcu_access_pointer(dev->nf_hooks_egress) != NULL;
#endif
	return filtered;
}

/*
 * The kfunc. Without BTF of modules there is none. Its attributes got names
 * by 57e7c169cd6a (6.3) and 391145ba2acc (6.7); its set has been marked as
 * one of kfuncs since 6.9.
 */
#if defined(CONFIG_DEBUG_INFO_BTF_MODULES)
#define MS_HAVE_KFUNC
#endif

#ifndef __bpf_kfunc
#define __bpf_kfunc __used noinline
#endif
#ifndef __bpf_kfunc_start_defs
#define __bpf_kfunc_start_defs()                                               \
	__diag_push();                                                         \
	__diag_ignore_all("-Wmissing-declarations", "only BTF needs it");      \
	__diag_ignore_all("-Wmissing-prototypes", "only BTF needs it")
#define __bpf_kfunc_end_defs() __diag_pop()
#endif
#ifdef BTF_KFUNCS_START
#define MS_KFUNCS_START(name) BTF_KFUNCS_START(name)
#define MS_KFUNCS_END(name) BTF_KFUNCS_END(name)
#else
#define MS_KFUNCS_START(name) BTF_SET8_START(name)
#define MS_KFUNCS_END(name) BTF_SET8_END(name)
#endif

#endif /* MS_COMPAT_H */
