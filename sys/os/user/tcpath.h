/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tcpath.h: a TAP of ours beside an interface. What is claimed on the
 * interface's ingress comes out of the TAP; what is written to the TAP goes
 * out by the interface (wire) or into the host (lo).
 *
 *   wire   eth0 ingress --ms_tc_in--> TAP --read--> switch
 *          switch --write--> TAP ingress --ms_tc_wire--> eth0 egress
 *   host   lo ingress --ms_tc_in--> TAP --read--> switch
 *          switch --write--> TAP ingress --ms_tc_host--> the host's stack
 */
#ifndef MS_TCPATH_H
#define MS_TCPATH_H

#include "claims.h"
#include "tun.h"

struct ms_tc_bpf;

struct ms_tcpath {
	struct ms_tun tun;
	struct ms_tc_bpf *bpf;
	struct ms_tc_hook in, out;
	bool host;	      /* (c) host, not wire */
	uint64_t unclaimed;   /* frames that nobody wanted any more */
	uint64_t refused;     /* frames that the kernel did not take */
	unsigned int skipped; /* ms_local_due */
};

/* Whether to look at the local path now: a look is a system call, so beside a
   busy interface only one round in some has it. `n`: frames that the interface
   gave in this round. */
static inline bool
ms_local_due(struct ms_tcpath *p, int n)
{
	if (n > 0 && ++p->skipped < 16)
		return false;
	p->skipped = 0;
	return true;
}

/*
 * Opens the TAP and hangs the programs on the interface `ifindex` (of lo, for
 * `host`) and on the TAP; they pass everything until claims has claims, which
 * it borrows. Zero the struct first. After a failure nothing is left.
 */
int ms_tcpath_open(struct ms_tcpath *p, const struct ms_claims *claims,
		   int ifindex, bool host, uint16_t vlan, uint32_t mtu,
		   unsigned int queues, bool classic, struct ms_err *err);
/* The same on lo, between the host's own stack and the stacks on interface
   `ifname`. Without it the attachment works, so a failure is but a warning. */
int ms_local_open(struct ms_tcpath *p, const struct ms_claims *claims,
		  const char *ifname, bool classic);
/* Safe on a zeroed struct and twice. */
void ms_tcpath_close(struct ms_tcpath *p);
/* Frames of TAP queue tq go through ms_nic_input as of the NIC's queue q.
   What comes from the host gets the NIC's MAC and VLAN. As
   ms_attach_ops.receive. */
int ms_tcpath_receive(struct ms_tcpath *p, unsigned int tq, struct ms_nic *nic,
		      unsigned int q);
/* As ms_nic_ops.xmit and to_host. */
uint32_t ms_tcpath_xmit(struct ms_tcpath *p, struct ms_nic *nic,
			unsigned int tq, struct ms_frame *frames, uint32_t n);
/* What was read from the TAP and stays unclaimed, refused and so on. */
void ms_tcpath_stats(const struct ms_tcpath *p, const struct ms_nic *nic,
		     uint64_t counter[MS_CTR_MAX]);

#endif /* MS_TCPATH_H */
