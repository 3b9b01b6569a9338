/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * attach_xdp.c: an Ethernet interface by XDP: a program hands claimed packets
 * to one AF_XDP socket a queue, and everything else never leaves the kernel.
 * The host's own stack on the same machine is reached by a TAP beside lo.
 *
 * No options. MS_ATTACH_GENERIC: generic XDP even where the driver has native.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "attach.h"
#include "netlink.h"
#include "tcpath.h"
#include "xsk.h"

#include "ms_xdp.skel.h"

struct xdp {
	struct ms_attach base;
	char ifname[MS_IFNAME_BYTES];
	struct ms_claims claims;
	struct ms_xdp_bpf *bpf;
	int link_fd; /* the program on the interface, as long as it is open */
	bool generic;
	bool rxvlan_was_on;
	struct ms_tcpath local;
	bool has_local;
	int epoll_fd; /* queue 0 with a local path has two sources */
	unsigned int queues;
	struct ms_xsk xsk[];
};

/* ---- the interface's side of the switch ---- */

static uint32_t
xdp_room(struct ms_nic *nic, unsigned int q)
{
	return ms_xsk_room(&((struct xdp *)nic->os)->xsk[q]);
}

static uint32_t
xdp_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	 uint32_t n, bool more)
{
	return ms_xsk_xmit(&((struct xdp *)nic->os)->xsk[q], frames, n);
}

static uint32_t
xdp_to_host(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	    uint32_t n)
{
	return ms_tcpath_xmit(&((struct xdp *)nic->os)->local, nic, 0, frames,
			      n);
}

static int
xdp_claim(struct ms_nic *nic, const struct ms_tuple *tuple, bool on)
{
	return ms_claims_set(&((struct xdp *)nic->os)->claims, tuple, on);
}

static int
xdp_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	return ms_route_get(nic->name, r);
}

static void
xdp_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX])
{
	struct xdp *x = nic->os;
	uint64_t passed;
	unsigned int q;

	passed = ms_bpf_passed(x->bpf->maps.passed);
	counter[MS_CTR_RX_SEEN] += passed;
	counter[MS_CTR_RX_HOST] += passed;
	for (q = 0; q < x->queues; q++)
		ms_xsk_stats(&x->xsk[q], nic, counter);
	ms_tcpath_stats(&x->local, nic, counter);
}

static const struct ms_nic_ops xdp_nic_ops = {
	.name = "xdp",
	.room = xdp_room,
	.xmit = xdp_xmit,
	.to_host = xdp_to_host,
	.claim = xdp_claim,
	.route = xdp_route,
	.stats = xdp_stats,
};

/* As above, where the path to the host could not be made. */
static const struct ms_nic_ops xdp_nic_ops_nohost = {
	.name = "xdp",
	.room = xdp_room,
	.xmit = xdp_xmit,
	.claim = xdp_claim,
	.route = xdp_route,
	.stats = xdp_stats,
};

/* ---- opening ---- */

/* Somebody else's program, or a MultiStack's, is there already? */
static int
others_program(const struct xdp *x, struct ms_err *err)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd;

	if (bpf_xdp_query(x->base.ifindex, 0, &q) != 0 || q.prog_id == 0)
		return 0;
	fd = bpf_prog_get_fd_by_id(q.prog_id);
	if (fd >= 0) {
		bpf_obj_get_info_by_fd(fd, &info, &len);
		close(fd);
	}
	if (strcmp(info.name, "ms_xdp") == 0)
		return ms_err_set(err, -EBUSY,
				  "'%s' is attached already, by another "
				  "MultiStack (its XDP program has id %u)",
				  x->ifname, q.prog_id);
	return ms_err_set(err, -EBUSY,
			  "'%s' runs the XDP program '%s' (id %u) already; "
			  "take it off (`ip link set %s xdp off`) or attach "
			  "kind tc",
			  x->ifname, info.name, q.prog_id, x->ifname);
}

static int
program_load(struct xdp *x, const uint8_t mac[6], uint16_t vlan,
	     struct ms_err *err)
{
	int r;

	r = ms_claims_init(&x->claims, err);
	if (r != 0)
		return r;
	ms_claims_mac(&x->claims, mac);
	ms_bpf_quiet();
	x->bpf = ms_xdp_bpf__open();
	if (x->bpf == NULL) {
		r = -errno;
	} else {
		x->bpf->rodata->vlan_id = vlan;
		r = ms_claims_use(&x->claims, x->bpf->obj);
	}
	if (r == 0)
		r = ms_xdp_bpf__load(x->bpf);
	return r == 0 ? 0
		      : ms_err_set(err, r,
				   "the kernel refused the XDP program: %s; it "
				   "needs CAP_BPF, CAP_NET_ADMIN and Linux "
				   "5.18, MULTISTACK_DEBUG=1 shows its log",
				   strerror(-r));
}

static int
program_attach(struct xdp *x, bool generic, struct ms_err *err)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	int prog = bpf_program__fd(x->bpf->progs.ms_xdp), r = 0;

	if (!generic) {
		opts.flags = XDP_FLAGS_DRV_MODE;
		x->link_fd = bpf_link_create(prog, x->base.ifindex, BPF_XDP,
					     &opts);
		if (x->link_fd >= 0)
			return 0;
		r = -errno;
		if (r == -EPERM)
			return ms_err_set(
			    err, r, "'%s': XDP needs CAP_NET_ADMIN", x->ifname);
		ms_warn("%s: no native XDP (%s); taking generic XDP, which is "
			"slower",
			x->ifname, strerror(-r));
	}
	x->generic = true;
	opts.flags = XDP_FLAGS_SKB_MODE;
	x->link_fd = bpf_link_create(prog, x->base.ifindex, BPF_XDP, &opts);
	if (x->link_fd >= 0)
		return 0;
	r = -errno;
	return ms_err_set(err, r, "'%s' takes no XDP program: %s; try kind tc",
			  x->ifname, strerror(-r));
}

static int
sockets_open(struct xdp *x, unsigned int queues, uint32_t mtu,
	     struct ms_err *err)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned int q;
	int fd, r;

	setrlimit(RLIMIT_MEMLOCK, &unlimited); /* without it: ENOBUFS below */
	for (q = 0; q < queues; q++) {
		r = ms_xsk_open(&x->xsk[q], x->ifname, q, mtu, x->generic);
		if (r != 0)
			return ms_err_set(
			    err, r,
			    "AF_XDP socket on queue %u of '%s': "
			    "%s%s",
			    q, x->ifname, strerror(-r),
			    r == -EBUSY	    ? "; another program has it"
			    : r == -EPERM   ? "; CAP_NET_RAW is "
					      "needed"
			    : r == -ENOBUFS ? "; raise the limit of "
					      "locked memory "
					      "(ulimit -l)"
					    : "");
		x->queues = q + 1;
		fd = x->xsk[q].fd;
		if (bpf_map_update_elem(bpf_map__fd(x->bpf->maps.xsks), &q, &fd,
					BPF_ANY) != 0) {
			r = -errno;
			return ms_err_set(err, r, "map of queues: %s",
					  strerror(-r));
		}
	}
	return 0;
}

static void
xdp_destroy(struct ms_attach *a)
{
	struct xdp *x = (struct xdp *)a;
	unsigned int q;

	if (x == NULL)
		return;
	if (x->epoll_fd >= 0)
		close(x->epoll_fd);
	ms_tcpath_close(&x->local);
	if (x->link_fd >= 0)
		close(x->link_fd);
	for (q = 0; q < x->queues; q++)
		ms_xsk_close(&x->xsk[q]);
	ms_xdp_bpf__destroy(x->bpf);
	ms_claims_deinit(&x->claims);
	if (x->rxvlan_was_on)
		ms_ethtool_rxvlan(x->ifname, true, NULL);
	free(x);
}

static int
xdp_check(const struct ms_cmd_attach *arg, struct ms_link *link,
	  struct ms_err *err)
{
	static const char *const keys[] = { NULL };
	int r;

	if ((r = ms_opt_check(arg->options, keys, "xdp", err)) != 0 ||
	    (r = ms_attach_link(arg->nic, link, err)) != 0)
		return r;
	if (link->loopback)
		return ms_err_set(err, -EOPNOTSUPP,
				  "'%s' has no XDP of use; attach kind tc",
				  arg->nic);
	if (link->mtu > MS_XSK_MTU_MAX)
		return ms_err_set(err, -EMSGSIZE,
				  "'%s' has an MTU of %u and AF_XDP carries %d "
				  "at most; lower it or attach kind tc",
				  arg->nic, link->mtu, MS_XSK_MTU_MAX);
	if (link->rx_queues > MS_RINGS_MAX)
		return ms_err_set(err, -E2BIG,
				  "'%s' has %u queues and at most %d can be "
				  "served; `ethtool -L %s combined %d`",
				  arg->nic, link->rx_queues, MS_RINGS_MAX,
				  arg->nic, MS_RINGS_MAX);
	/* A claimed packet on a queue without socket would be lost to us. */
	if (arg->queues != 0 && arg->queues != link->rx_queues)
		return ms_err_set(err, -EINVAL,
				  "'%s' has %u queues, and XDP has to serve "
				  "them all; `ethtool -L` changes their number",
				  arg->nic, link->rx_queues);
	return 0;
}

static int
xdp_open(struct xdp *x, const struct ms_cmd_attach *arg,
	 const struct ms_link *link, struct ms_err *err)
{
	bool generic = (arg->flags & MS_ATTACH_GENERIC) != 0;
	int r;

	r = others_program(x, err);
	if (r == 0)
		r = program_load(x, link->mac, arg->vlan, err);
	if (r == 0)
		r = program_attach(x, generic, err);
	if (r == 0)
		r = sockets_open(x, link->rx_queues, link->mtu, err);
	if (r != 0)
		return r;
	/* A tag that the NIC has stripped is invisible to XDP. */
	ms_ethtool_rxvlan(x->ifname, false, &x->rxvlan_was_on);
	if (ms_local_open(&x->local, &x->claims, x->ifname, false) != 0)
		return 0;
	x->has_local = true;
	x->epoll_fd = ms_epoll_two(x->xsk[0].fd, x->local.tun.fd[0]);
	return x->epoll_fd < 0 ? ms_err_set(err, x->epoll_fd, "epoll: %s",
					    strerror(-x->epoll_fd))
			       : 0;
}

static int
xdp_create(struct ms_host *host, const struct ms_cmd_attach *arg,
	   struct ms_nic *tmpl, struct ms_attach **out, struct ms_err *err)
{
	struct ms_link link;
	struct xdp *x;
	int r;

	r = xdp_check(arg, &link, err);
	if (r != 0)
		return r;
	x = calloc(1, sizeof(*x) + link.rx_queues * sizeof(x->xsk[0]));
	if (x == NULL)
		return ms_err_set(err, -ENOMEM, "out of memory");
	x->base.ops = &ms_attach_xdp;
	x->base.host = host;
	x->base.ifindex = link.ifindex;
	x->link_fd = x->epoll_fd = -1;
	x->claims.claims_fd = x->claims.locals_fd = x->claims.frags_fd =
	    x->claims.state_fd = -1;
	memcpy(x->ifname, arg->nic, sizeof(x->ifname));
	r = xdp_open(x, arg, &link, err);
	if (r != 0) {
		xdp_destroy(&x->base);
		return r;
	}
	tmpl->ops = x->has_local ? &xdp_nic_ops : &xdp_nic_ops_nohost;
	tmpl->os = x;
	memcpy(tmpl->name, arg->nic, sizeof(tmpl->name));
	strcpy(tmpl->kind, x->generic		 ? "xdp generic"
			   : x->xsk[0].zero_copy ? "xdp zero copy"
						 : "xdp native");
	memcpy(tmpl->mac, link.mac, 6);
	tmpl->vlan = arg->vlan;
	tmpl->mtu = link.mtu;
	tmpl->features = MS_XSK_FEATURES |
			 (x->has_local ? MS_FEATURE_HOST | MS_FEATURE_CSUM_RX
				       : 0);
	tmpl->num_queues = x->queues;
	*out = &x->base;
	return 0;
}

static int
xdp_start(struct ms_attach *a, struct ms_err *err)
{
	int r = ms_claims_addr_all(&((struct xdp *)a)->claims);

	return r == 0 ? 0
		      : ms_err_set(err, r, "cannot list addresses: %s",
				   strerror(-r));
}

/* ---- the worker's side ---- */

static int
xdp_receive(struct ms_attach *a, unsigned int q)
{
	struct xdp *x = (struct xdp *)a;
	int n = ms_xsk_receive(&x->xsk[q], a->nic, q), local;

	if (n < 0 || q != 0 || !x->has_local || !ms_local_due(&x->local, n))
		return n;
	local = ms_tcpath_receive(&x->local, 0, a->nic, 0);
	if (local >= 0)
		return n + local;
	/* Somebody deleted the TAP; the interface goes on without. */
	ms_warn("%s: the TAP towards this host's own stack is gone", x->ifname);
	x->has_local = false;
	epoll_ctl(x->epoll_fd, EPOLL_CTL_DEL, x->local.tun.fd[0], NULL);
	return n;
}

static bool
xdp_flush(struct ms_attach *a, unsigned int q)
{
	return ms_xsk_flush(&((struct xdp *)a)->xsk[q]);
}

static int
xdp_fd(struct ms_attach *a, unsigned int q)
{
	struct xdp *x = (struct xdp *)a;

	return q == 0 && x->epoll_fd >= 0 ? x->epoll_fd : x->xsk[q].fd;
}

static void
xdp_addr(struct ms_attach *a, const uint8_t *addr, uint8_t family, bool on)
{
	ms_claims_addr(&((struct xdp *)a)->claims, addr, family, on);
}

void
ms_xdp_mac(struct ms_attach *a, const uint8_t mac[6])
{
	ms_claims_mac(&((struct xdp *)a)->claims, mac);
}

const struct ms_attach_ops ms_attach_xdp = {
	.kind = "xdp",
	.create = xdp_create,
	.start = xdp_start,
	.destroy = xdp_destroy,
	.receive = xdp_receive,
	.flush = xdp_flush,
	.fd = xdp_fd,
	.addr = xdp_addr,
};
