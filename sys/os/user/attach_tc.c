/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * attach_tc.c: any interface with an Ethernet header, and lo, by BPF on its
 * ingress and a TAP of ours.
 *
 *   options   classic=0|1 (clsact filters even where TCX links work)
 *
 * The interface keeps its addresses and offloads; GSO frames and partial
 * checksums come and go as they are. On an Ethernet interface a second such
 * path on lo leads to the host's own stack.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "attach.h"
#include "tcpath.h"

struct tc {
	struct ms_attach base;
	char ifname[MS_IFNAME_BYTES];
	bool loopback;
	struct ms_claims claims;
	struct ms_tcpath path;	/* of the interface */
	struct ms_tcpath local; /* Ethernet: between the host and us */
	bool has_local;
	int epoll_fd; /* queue 0 with a local path has two sources */
};

static uint32_t
tc_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames, uint32_t n,
	bool more)
{
	struct tc *t = nic->os;

	return ms_tcpath_xmit(&t->path, nic, q, frames, n);
}

static uint32_t
tc_to_host(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	   uint32_t n)
{
	struct tc *t = nic->os;

	if (t->loopback)
		return ms_tcpath_xmit(&t->path, nic, q, frames, n);
	return ms_tcpath_xmit(&t->local, nic, 0, frames, n);
}

static int
tc_claim(struct ms_nic *nic, const struct ms_tuple *tuple, bool on)
{
	struct tc *t = nic->os;

	return ms_claims_set(&t->claims, tuple, on);
}

static int
tc_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	int e = ms_route_get(nic->name, r);

	if (e == 0 && r->mtu > nic->mtu)
		r->mtu = nic->mtu;
	return e;
}

static void
tc_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX])
{
	struct tc *t = nic->os;

	ms_tcpath_stats(&t->path, nic, counter);
	ms_tcpath_stats(&t->local, nic, counter);
}

static const struct ms_nic_ops tc_nic_ops = {
	.name = "tc",
	.xmit = tc_xmit,
	.to_host = tc_to_host,
	.claim = tc_claim,
	.route = tc_route,
	.stats = tc_stats,
};

/* As above, where the path to the host could not be made. */
static const struct ms_nic_ops tc_nic_ops_nohost = {
	.name = "tc",
	.xmit = tc_xmit,
	.claim = tc_claim,
	.route = tc_route,
	.stats = tc_stats,
};

static void
tc_destroy(struct ms_attach *a)
{
	struct tc *t = (struct tc *)a;

	if (t == NULL)
		return;
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	ms_tcpath_close(&t->local);
	ms_tcpath_close(&t->path);
	ms_claims_deinit(&t->claims);
	free(t);
}

static int
tc_open(struct tc *t, const struct ms_cmd_attach *arg,
	const struct ms_link *link, unsigned int queues, struct ms_err *err)
{
	uint32_t classic = 0;
	int r;

	r = ms_opt_u32(arg->options, "classic", 0, 1, &classic, err);
	if (r == 0)
		r = ms_claims_init(&t->claims, err);
	if (r == 0)
		r = ms_tcpath_open(&t->path, &t->claims, link->ifindex,
				   t->loopback, arg->vlan, link->mtu, queues,
				   classic != 0, err);
	if (r != 0 || t->loopback)
		return r;
	if (ms_local_open(&t->local, &t->claims, t->ifname, classic != 0) != 0)
		return 0;
	t->has_local = true;
	t->epoll_fd = ms_epoll_two(t->path.tun.fd[0], t->local.tun.fd[0]);
	return t->epoll_fd < 0 ? ms_err_set(err, t->epoll_fd, "epoll: %s",
					    strerror(-t->epoll_fd))
			       : 0;
}

static void
tc_describe(struct tc *t, const struct ms_cmd_attach *arg,
	    const struct ms_link *link, struct ms_nic *tmpl)
{
	bool host = t->loopback || t->has_local;

	tmpl->ops = host ? &tc_nic_ops : &tc_nic_ops_nohost;
	tmpl->os = t;
	memcpy(tmpl->name, arg->nic, sizeof(tmpl->name));
	strcpy(tmpl->kind, t->path.in.link_fd >= 0 ? "tc" : "tc classic");
	memcpy(tmpl->mac, link->mac, 6);
	tmpl->vlan = arg->vlan;
	tmpl->mtu = link->mtu < 65521 ? link->mtu : 65521;
	tmpl->features = t->path.tun.features | (host ? MS_FEATURE_HOST : 0);
	tmpl->loopback = t->loopback;
	tmpl->num_queues = t->path.tun.queues;
}

static int
tc_create(struct ms_host *host, const struct ms_cmd_attach *arg,
	  struct ms_nic *tmpl, struct ms_attach **out, struct ms_err *err)
{
	static const char *const keys[] = { "classic", NULL };
	struct ms_link link;
	struct tc *t;
	int r;

	r = ms_opt_check(arg->options, keys, "tc", err);
	if (r != 0)
		return r;
	r = ms_attach_link(arg->nic, &link, err);
	if (r != 0)
		return r;
	if (link.loopback && arg->vlan != 0)
		return ms_err_set(err, -EINVAL, "lo has no VLANs");
	if (arg->queues > MS_RINGS_MAX)
		return ms_err_set(err, -EINVAL, "at most %d queues",
				  MS_RINGS_MAX);
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return ms_err_set(err, -ENOMEM, "out of memory");
	t->base.ops = &ms_attach_tc;
	t->base.host = host;
	t->base.ifindex = link.ifindex;
	t->loopback = link.loopback;
	t->epoll_fd = -1;
	t->claims.claims_fd = t->claims.locals_fd = t->claims.frags_fd =
	    t->claims.state_fd = -1;
	memcpy(t->ifname, arg->nic, sizeof(t->ifname));
	r = tc_open(t, arg, &link, arg->queues != 0 ? arg->queues : 1, err);
	if (r != 0) {
		tc_destroy(&t->base);
		return r;
	}
	tc_describe(t, arg, &link, tmpl);
	*out = &t->base;
	return 0;
}

static int
tc_start(struct ms_attach *a, struct ms_err *err)
{
	struct tc *t = (struct tc *)a;
	int r = ms_claims_addr_all(&t->claims);

	return r == 0 ? 0
		      : ms_err_set(err, r, "cannot list addresses: %s",
				   strerror(-r));
}

static int
tc_receive(struct ms_attach *a, unsigned int q)
{
	struct tc *t = (struct tc *)a;
	int n = ms_tcpath_receive(&t->path, q, a->nic, q), local;

	if (n < 0 || q != 0 || !t->has_local || !ms_local_due(&t->local, n))
		return n;
	local = ms_tcpath_receive(&t->local, 0, a->nic, 0);
	if (local >= 0)
		return n + local;
	/* Somebody deleted the TAP; the interface goes on without. */
	ms_warn("%s: the TAP towards this host's own stack is gone", t->ifname);
	t->has_local = false;
	epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, t->local.tun.fd[0], NULL);
	return n;
}

static int
tc_fd(struct ms_attach *a, unsigned int q)
{
	struct tc *t = (struct tc *)a;

	return q == 0 && t->epoll_fd >= 0 ? t->epoll_fd : t->path.tun.fd[q];
}

static void
tc_addr(struct ms_attach *a, const uint8_t *addr, uint8_t family, bool on)
{
	ms_claims_addr(&((struct tc *)a)->claims, addr, family, on);
}

const struct ms_attach_ops ms_attach_tc = {
	.kind = "tc",
	.create = tc_create,
	.start = tc_start,
	.destroy = tc_destroy,
	.receive = tc_receive,
	.fd = tc_fd,
	.addr = tc_addr,
};
