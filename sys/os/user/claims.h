/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * claims.h: the maps by which BPF programs know what is claimed, and how the
 * programs are hung on interfaces.
 */
#ifndef MS_CLAIMS_H
#define MS_CLAIMS_H

#include <bpf/libbpf.h>

#include "ms_user.h"

#include "bpf/ms_bpf.h"

/* One set for all programs of an attachment. */
struct ms_claims {
	int claims_fd, locals_fd, frags_fd, state_fd; /* owned; -1 */
	struct ms_bpf_state state;		      /* ctl_lock */
};

int ms_claims_init(struct ms_claims *c, struct ms_err *err);
void ms_claims_deinit(struct ms_claims *c); /* after a failed init too */
/* Makes the programs of `obj`, opened and not yet loaded, use these maps. */
int ms_claims_use(const struct ms_claims *c, struct bpf_object *obj);
/* Doing again what is done already is fine. ctl_lock held. */
int ms_claims_set(struct ms_claims *c, const struct ms_tuple *t, bool on);
void ms_claims_addr(struct ms_claims *c, const uint8_t *addr, uint8_t family,
		    bool on);
void ms_claims_mac(struct ms_claims *c, const uint8_t mac[6]);
/* All addresses of the host. Takes no lock of ours. */
int ms_claims_addr_all(struct ms_claims *c);

/* Frames that a program left to the host, by its map `passed`. */
uint64_t ms_bpf_passed(const struct bpf_map *map);

/* A program on an interface's ingress. */
struct ms_tc_hook {
	int link_fd; /* a link, which ends with us; or -1 */
	int ifindex;
	uint32_t handle, priority; /* else a classic filter */
	bool own_qdisc;		   /* and we made clsact for it */
};

/*
 * Puts a loaded program first on the ingress of an interface: by a TCX link
 * (Linux 6.6), which the kernel takes off when this process ends, else or
 * when `classic` is set by clsact and a filter.
 */
int ms_tc_hook_add(struct ms_tc_hook *h, int ifindex, int prog_fd,
		   bool classic);
void ms_tc_hook_del(struct ms_tc_hook *h); /* safe twice and on zeroes */

/* libbpf's chatter goes to stderr only when MULTISTACK_DEBUG is set. */
void ms_bpf_quiet(void);

#endif /* MS_CLAIMS_H */
