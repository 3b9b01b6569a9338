/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tcpath.c: a TAP of ours beside an interface, and the programs between them.
 */
#include <linux/ip.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "attach.h"
#include "netlink.h"
#include "tcpath.h"

#include "ms_tc.skel.h"

#define TAP_MTU_MAX 65521u /* the kernel's own limit, tun_net_init() */

/*
 * The host takes frames with its own addresses as source from this TAP.
 * Reverse path filtering is the larger of this interface's and that of "all";
 * where the latter is on, loose mode on an interface with an address passes
 * them (__fib_validate_source()). 127.77.83.1 is as local as all of 127/8.
 */
static int
host_admit(int ifindex)
{
	static const uint8_t addr[16] = { 127, 77, 83, 1 };
	int r;

	r = ms_conf_ip4(ifindex, IPV4_DEVCONF_ACCEPT_LOCAL, 1);
	if (r == 0)
		r = ms_conf_ip4(ifindex, IPV4_DEVCONF_ROUTE_LOCALNET, 1);
	if (r == 0)
		r = ms_conf_ip4(ifindex, IPV4_DEVCONF_RP_FILTER, 2);
	if (r == 0)
		r = ms_conf_addr(ifindex, addr, 4, 32, true);
	return r;
}

static int
tap_prepare(struct ms_tcpath *p, uint32_t mtu)
{
	int r = 0;

	if (mtu > TAP_MTU_MAX)
		mtu = TAP_MTU_MAX;
	/* A kernel without IPv6 has no such setting. */
	ms_conf_ip6_quiet(p->tun.ifindex);
	if (p->host)
		r = host_admit(p->tun.ifindex);
	return r != 0 ? r : ms_conf_up(p->tun.ifindex, mtu, false);
}

static int
programs_load(struct ms_tcpath *p, const struct ms_claims *claims, int ifindex,
	      uint16_t vlan)
{
	struct ms_tc_bpf *b;
	int r;

	ms_bpf_quiet();
	b = p->bpf = ms_tc_bpf__open();
	if (b == NULL)
		return -errno;
	b->rodata->tap_ifindex = (uint32_t)p->tun.ifindex;
	b->rodata->out_ifindex = (uint32_t)ifindex;
	b->rodata->vlan_id = vlan;
	b->rodata->loopback = p->host;
	bpf_program__set_autoload(b->progs.ms_tc_wire, !p->host);
	bpf_program__set_autoload(b->progs.ms_tc_host, p->host);
	r = ms_claims_use(claims, b->obj);
	return r != 0 ? r : ms_tc_bpf__load(b);
}

int
ms_tcpath_open(struct ms_tcpath *p, const struct ms_claims *claims, int ifindex,
	       bool host, uint16_t vlan, uint32_t mtu, unsigned int queues,
	       bool classic, struct ms_err *err)
{
	const struct bpf_program *out;
	int r;

	p->host = host;
	r = ms_tun_open(&p->tun, "mstap%d", queues, err);
	if (r != 0)
		return r;
	r = programs_load(p, claims, ifindex, vlan);
	if (r != 0) {
		ms_err_set(err, r,
			   "the kernel refused the tc programs: %s; they need "
			   "CAP_BPF and Linux 5.18, MULTISTACK_DEBUG=1 shows "
			   "its log",
			   strerror(-r));
		goto fail;
	}
	r = tap_prepare(p, mtu);
	if (r != 0) {
		ms_err_set(err, r, "cannot set up TAP %s: %s", p->tun.name,
			   strerror(-r));
		goto fail;
	}
	out = host ? p->bpf->progs.ms_tc_host : p->bpf->progs.ms_tc_wire;
	r = ms_tc_hook_add(&p->out, p->tun.ifindex, bpf_program__fd(out),
			   classic);
	if (r == 0)
		r = ms_tc_hook_add(&p->in, ifindex,
				   bpf_program__fd(p->bpf->progs.ms_tc_in),
				   classic);
	if (r != 0) {
		ms_err_set(err, r, "cannot hang a program on ingress: %s",
			   strerror(-r));
		goto fail;
	}
	return 0;
fail:
	ms_tcpath_close(p);
	return r;
}

int
ms_local_open(struct ms_tcpath *p, const struct ms_claims *claims,
	      const char *ifname, bool classic)
{
	struct ms_err why = { "" };
	int lo = (int)if_nametoindex("lo"), r;

	r = lo == 0 ? ms_err_set(&why, -ENODEV, "there is no lo")
		    : ms_tcpath_open(p, claims, lo, true, 0, 65535, 1, classic,
				     &why);
	if (r != 0)
		ms_warn("%s: no way between its stacks and this host's own: %s",
			ifname, why.text);
	return r;
}

void
ms_tcpath_close(struct ms_tcpath *p)
{
	ms_tc_hook_del(&p->in);
	ms_tc_hook_del(&p->out);
	ms_tc_bpf__destroy(p->bpf);
	p->bpf = NULL;
	ms_tun_close(&p->tun);
}

/* The NIC's MAC as both ends, and its VLAN tag, which the loopback interface
   knows nothing of. */
static void
frame_from_host(struct ms_frame *f, const struct ms_nic *nic)
{
	uint8_t *p = (uint8_t *)(uintptr_t)f->data;

	memcpy(p, nic->mac, 6);
	memcpy(p + 6, nic->mac, 6);
	/* Nothing can spoil a frame between two ends of one machine. */
	f->meta.flags |= MS_SLOT_CSUM_OK;
	if (nic->vlan == 0)
		return;
	memmove(p - MS_VLAN_BYTES, p, 12);
	p -= MS_VLAN_BYTES;
	p[12] = 0x81;
	p[13] = 0x00;
	p[14] = (uint8_t)(nic->vlan >> 8);
	p[15] = (uint8_t)nic->vlan;
	f->data = p;
	f->len += MS_VLAN_BYTES;
	f->linear += MS_VLAN_BYTES;
	if ((f->meta.flags & MS_SLOT_CSUM_PARTIAL) != 0)
		f->meta.csum_start += MS_VLAN_BYTES;
}

int
ms_tcpath_receive(struct ms_tcpath *p, unsigned int tq, struct ms_nic *nic,
		  unsigned int q)
{
	struct ms_frame frames[MS_BATCH_MAX];
	int got = ms_tun_read(&p->tun, tq, frames), i;
	uint32_t n = 0, left = 0;

	if (got <= 0)
		return got;
	for (i = 0; i < got; i++) {
		/* the host's own chatter on the TAP */
		if (memcmp(frames[i].data + 6, p->tun.mac, 6) == 0)
			continue;
		frames[n] = frames[i];
		if (p->host)
			frame_from_host(&frames[n], nic);
		n++;
	}
	if (n != 0)
		ms_nic_input(nic, q, frames, n);
	for (i = 0; i < (int)n; i++)
		left += frames[i].verdict == MS_VERDICT_HOST;
	if (left != 0)
		ms_count(&p->unclaimed, left);
	return got;
}

uint32_t
ms_tcpath_xmit(struct ms_tcpath *p, struct ms_nic *nic, unsigned int tq,
	       struct ms_frame *frames, uint32_t n)
{
	static const uint8_t none[12];
	unsigned int skip = p->host && nic->vlan != 0 ? MS_VLAN_BYTES : 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		int r = ms_tun_write(&p->tun, tq, &frames[i],
				     p->host ? none : NULL, skip);

		if (r == -EAGAIN)
			break;
		if (r != 0)
			ms_count(&p->refused, 1);
	}
	return i;
}

void
ms_tcpath_stats(const struct ms_tcpath *p, const struct ms_nic *nic,
		uint64_t counter[MS_CTR_MAX])
{
	uint64_t passed;

	if (p->bpf != NULL && !p->host) {
		passed = ms_bpf_passed(p->bpf->maps.passed);
		counter[MS_CTR_RX_SEEN] += passed;
		counter[MS_CTR_RX_HOST] += passed;
	}
	ms_stats_unclaimed(nic, counter, ms_os_load_once(&p->unclaimed));
	counter[MS_CTR_DROP_TX_NIC] += ms_os_load_once(&p->refused);
}
