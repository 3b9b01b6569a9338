/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * attach.h: what the attachments share.
 */
#ifndef MS_ATTACH_H
#define MS_ATTACH_H

#include <netinet/in.h>

#include "ms_user.h"

#define MS_ETH_BYTES 14
#define MS_VLAN_BYTES 4
#define MS_PRIVATE_MAX 8 /* addresses of one attachment */

/* ---- attach_util.c ---- */

/*
 * The value of `key` in "key=value,key=value", copied to buf. 0, -ENOENT when
 * the key is not there, -E2BIG when the value does not fit.
 */
int ms_opt_get(const char *options, const char *key, char *buf, size_t bytes);
/* As ms_opt_get, a decimal number in [min, max]; `out` stays as it is without
   the key. -EINVAL with words. */
int ms_opt_u32(const char *options, const char *key, uint32_t min, uint32_t max,
	       uint32_t *out, struct ms_err *err);
/* Refuses keys that are not in the NULL-terminated list. -EINVAL, in words. */
int ms_opt_check(const char *options, const char *const *keys, const char *kind,
		 struct ms_err *err);
/* "02:00:00:00:00:01". 0 or -EINVAL. */
int ms_mac_parse(const char *text, uint8_t mac[6]);
/* The family (4, 6) and the prefix length (32 or 128 if none is given) of
   "10.0.0.1/24" or "fd00::1". 0 or -EINVAL. */
int ms_addr_parse(const char *text, uint8_t addr[16], uint8_t *family,
		  uint8_t *prefix);
static inline size_t
ms_addr_bytes(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

/* Addresses that belong to an attachment, not to the host. */
struct ms_private {
	uint8_t addr[MS_PRIVATE_MAX][16];
	uint8_t family[MS_PRIVATE_MAX];
	unsigned int num;
};
/* -ENOSPC when there are too many, -EEXIST. */
int ms_private_add(struct ms_private *p, const uint8_t *addr, uint8_t family);
/* "A+B". In words. */
int ms_private_parse(struct ms_private *p, const char *list,
		     struct ms_err *err);
bool ms_private_has(const struct ms_private *p, const uint8_t *addr,
		    uint8_t family);
/* The first one of this family, or NULL. */
const uint8_t *ms_private_first(const struct ms_private *p, uint8_t family);
/* Adds them to the switch's local addresses, all or none, or takes them off.
   Takes ctl_lock. */
int ms_private_on(const struct ms_private *p, struct ms_switch *sw);
void ms_private_off(const struct ms_private *p, struct ms_switch *sw);

/* A locally administered MAC that is the same for the same words. */
void ms_mac_derive(uint8_t mac[6], const char *a, unsigned int b);
/* What the kernel says of the interface to attach: there, up, Ethernet or lo.
   In words. */
int ms_attach_link(const char *ifname, struct ms_link *out, struct ms_err *err);
/* attach_xdp.c: the interface has another MAC now. ctl_lock held. */
void ms_xdp_mac(struct ms_attach *a, const uint8_t mac[6]);
/* A descriptor that polls readable when one of these does. */
int ms_epoll_two(int a, int b);
/* A line on stderr, "multistack: ...". */
void ms_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Frames that the switch left to the host, but that had left the host's path:
   dropped. Where the switch counted them as the host's, moves them. */
static inline void
ms_stats_unclaimed(const struct ms_nic *nic, uint64_t counter[MS_CTR_MAX],
		   uint64_t n)
{
	if ((nic->features & MS_FEATURE_HOST) == 0)
		return;
	counter[MS_CTR_RX_HOST] -= n;
	counter[MS_CTR_DROP_RX_NOHOST] += n;
}

/* Counters that several threads add to. */
static inline void
ms_count(uint64_t *ctr, uint64_t n)
{
	__atomic_fetch_add(ctr, n, __ATOMIC_RELAXED);
}

#endif /* MS_ATTACH_H */
