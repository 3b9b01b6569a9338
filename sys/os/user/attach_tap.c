/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * attach_tap.c: a private link to the host's stack.
 *
 *   options   local=A[/N], host=A, local6=A[/N], host6=A, mac=M, mtu=N
 *
 * The TAP device is the host's end and gets the addresses `host`; ours are
 * `local`. Frames cross with their offload metadata both ways: whole TCP
 * sends, GRO results, partial checksums. There is no third station, so this
 * side answers ARP, neighbour solicitations and pings for the addresses of our
 * stacks, and the next hop to everywhere is the host.
 */
#include <net/if.h>
#include <stdlib.h>

#include "attach.h"
#include "netlink.h"
#include "responder.h"
#include "tun.h"

struct tap {
	struct ms_attach base;
	struct ms_tun tun;
	struct ms_private addrs; /* ours */
	bool addrs_on;
	struct {
		uint8_t addr[16];
		uint8_t prefix;
		bool given, added;
	} host[2]; /* IPv4, IPv6 */
	uint8_t mac[6];
	uint32_t mtu;
	uint64_t answered, refused;
};

static uint32_t
tap_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	 uint32_t n, bool more)
{
	struct tap *t = nic->os;
	uint32_t i;

	for (i = 0; i < n; i++) {
		int r = ms_tun_write(&t->tun, q, &frames[i], NULL, 0);

		if (r == -EAGAIN)
			break;
		if (r != 0)
			ms_count(&t->refused, 1);
	}
	return i;
}

static int
tap_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	struct tap *t = nic->os;
	const uint8_t *src;

	if (r->dst.family != 4 && r->dst.family != 6)
		return -EAFNOSUPPORT;
	src = ms_private_first(&t->addrs, r->dst.family);
	if (src == NULL)
		return -ENETUNREACH;
	memset(&r->src, 0, sizeof(r->src));
	memcpy(r->src.addr, src, ms_addr_bytes(r->dst.family));
	r->src.family = r->dst.family;
	memcpy(r->src_mac, t->mac, 6);
	r->mtu = nic->mtu;
	if (ms_private_has(&t->addrs, r->dst.addr, r->dst.family)) {
		memcpy(r->dst_mac, t->mac, 6);
		r->state = MS_ROUTE_LOCAL;
	} else {
		memcpy(r->dst_mac, t->tun.mac, 6);
		r->state = MS_ROUTE_REACHABLE;
	}
	return 0;
}

static void
tap_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX])
{
	struct tap *t = nic->os;

	uint64_t answered = ms_os_load_once(&t->answered);

	/* To the switch they were lost; here is what plays the host. */
	counter[MS_CTR_RX_HOST] += answered;
	counter[MS_CTR_DROP_RX_NOHOST] -= answered;
	counter[MS_CTR_DROP_TX_NIC] += ms_os_load_once(&t->refused);
}

static const struct ms_nic_ops tap_nic_ops = {
	.name = "tap",
	.xmit = tap_xmit,
	.route = tap_route,
	.stats = tap_stats,
};

/* What no stack wanted: the questions to a host that is not there. */
static void
tap_answer(struct tap *t, unsigned int q, const struct ms_frame *f)
{
	uint8_t out[MS_REPLY_BYTES];
	struct ms_frame reply = { .data = out };

	reply.len = reply.linear = ms_respond(&t->addrs, t->mac, f, out);
	if (reply.len == 0)
		return;
	ms_count(&t->answered, 1);
	if (ms_tun_write(&t->tun, q, &reply, NULL, 0) != 0)
		ms_count(&t->refused, 1);
}

static int
tap_receive(struct ms_attach *a, unsigned int q)
{
	struct tap *t = (struct tap *)a;
	struct ms_frame frames[MS_BATCH_MAX];
	int n = ms_tun_read(&t->tun, q, frames), i;

	if (n <= 0)
		return n;
	ms_nic_input(a->nic, q, frames, (uint32_t)n);
	for (i = 0; i < n; i++)
		if (frames[i].verdict == MS_VERDICT_HOST)
			tap_answer(t, q, &frames[i]);
	return n;
}

static int
tap_fd(struct ms_attach *a, unsigned int q)
{
	return ((struct tap *)a)->tun.fd[q];
}

/* "local" and "host" of one family. */
static int
option_family(struct tap *t, const char *options, unsigned int six,
	      struct ms_err *err)
{
	const char *local = six ? "local6" : "local";
	const char *host = six ? "host6" : "host";
	uint8_t ours[16], family, prefix, host_prefix;
	uint8_t want = six ? 6 : 4;
	char text[64];
	int r;

	r = ms_opt_get(options, local, text, sizeof(text));
	if (r == -ENOENT) {
		if (ms_opt_get(options, host, text, sizeof(text)) != -ENOENT)
			return ms_err_set(err, -EINVAL,
					  "option '%s' wants '%s' beside it",
					  host, local);
		return 0;
	}
	if (r != 0 || ms_addr_parse(text, ours, &family, &prefix) != 0 ||
	    family != want)
		return ms_err_set(err, -EINVAL,
				  "option '%s' wants an IPv%u address and its "
				  "prefix length",
				  local, want);
	r = ms_opt_get(options, host, text, sizeof(text));
	if (r != 0 ||
	    ms_addr_parse(text, t->host[six].addr, &family, &host_prefix) !=
		0 ||
	    family != want ||
	    memcmp(ours, t->host[six].addr, ms_addr_bytes(want)) == 0)
		return ms_err_set(err, -EINVAL,
				  "option '%s' wants another IPv%u address, "
				  "the host's on this link",
				  host, want);
	if (prefix == 8 * ms_addr_bytes(want))
		prefix = six ? 64 : 24; /* a link of two needs a network */
	t->host[six].prefix = prefix;
	t->host[six].given = true;
	return ms_private_add(&t->addrs, ours, want);
}

static int
tap_options(struct tap *t, const char *options, struct ms_err *err)
{
	static const char *const keys[] = { "local", "host", "local6", "host6",
					    "mac",   "mtu",  NULL };
	char text[32];
	int r;

	t->mtu = 1500;
	if ((r = ms_opt_check(options, keys, "tap", err)) != 0 ||
	    (r = option_family(t, options, 0, err)) != 0 ||
	    (r = option_family(t, options, 1, err)) != 0 ||
	    (r = ms_opt_u32(options, "mtu", 576, 65521, &t->mtu, err)) != 0)
		return r;
	if (t->addrs.num == 0)
		return ms_err_set(err, -EINVAL,
				  "kind 'tap' needs addresses for its two "
				  "ends: local=10.9.0.2/24,host=10.9.0.1");
	if (ms_opt_get(options, "mac", text, sizeof(text)) == 0 &&
	    ms_mac_parse(text, t->mac) != 0)
		return ms_err_set(err, -EINVAL,
				  "option 'mac': '%s' is no unicast MAC", text);
	return 0;
}

static void
tap_destroy(struct ms_attach *a)
{
	struct tap *t = (struct tap *)a;
	unsigned int i;

	if (t == NULL)
		return;
	if (t->addrs_on)
		ms_private_off(&t->addrs, ms_host_switch(a->host));
	for (i = 0; i < 2; i++) /* the TAP may be a lasting one */
		if (t->host[i].added)
			ms_conf_addr(t->tun.ifindex, t->host[i].addr,
				     i == 0 ? 4 : 6, t->host[i].prefix, false);
	ms_tun_close(&t->tun);
	free(t);
}

static int
tap_open(struct tap *t, const char *name, unsigned int queues,
	 struct ms_err *err)
{
	unsigned int i;
	int r;

	r = ms_tun_open(&t->tun, name, queues, err);
	if (r != 0)
		return r;
	for (i = 0; i < 2 && r == 0; i++) {
		if (!t->host[i].given)
			continue;
		r = ms_conf_addr(t->tun.ifindex, t->host[i].addr,
				 i == 0 ? 4 : 6, t->host[i].prefix, true);
		t->host[i].added = r == 0;
		if (r == -EEXIST)
			r = 0;
	}
	if (!t->host[1].given)
		ms_conf_ip6_quiet(t->tun.ifindex);
	if (r == 0)
		r = ms_conf_up(t->tun.ifindex, t->mtu, true);
	return r == 0 ? 0
		      : ms_err_set(err, r, "cannot set up TAP '%s': %s", name,
				   strerror(-r));
}

static int
tap_create(struct ms_host *host, const struct ms_cmd_attach *arg,
	   struct ms_nic *tmpl, struct ms_attach **out, struct ms_err *err)
{
	unsigned int queues = arg->queues != 0 ? arg->queues : 1;
	struct tap *t;
	int r;

	if (queues > MS_RINGS_MAX)
		return ms_err_set(err, -EINVAL, "at most %d queues",
				  MS_RINGS_MAX);
	if (arg->vlan != 0)
		return ms_err_set(err, -EINVAL,
				  "kind 'tap' has no VLANs: nobody else is on "
				  "the link");
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return ms_err_set(err, -ENOMEM, "out of memory");
	t->base.ops = &ms_attach_tap;
	t->base.host = host;
	ms_mac_derive(t->mac, arg->nic, 0xfe);
	r = tap_options(t, arg->options, err);
	if (r == 0)
		r = tap_open(t, arg->nic, queues, err);
	if (r != 0) {
		tap_destroy(&t->base);
		return r;
	}
	t->base.ifindex = t->tun.ifindex;
	tmpl->ops = &tap_nic_ops;
	tmpl->os = t;
	memcpy(tmpl->name, arg->nic, sizeof(tmpl->name));
	strcpy(tmpl->kind, "tap");
	memcpy(tmpl->mac, t->mac, 6);
	tmpl->mtu = t->mtu;
	tmpl->features = t->tun.features;
	tmpl->num_queues = queues;
	*out = &t->base;
	return 0;
}

static int
tap_start(struct ms_attach *a, struct ms_err *err)
{
	struct tap *t = (struct tap *)a;
	int r = ms_private_on(&t->addrs, ms_host_switch(a->host));

	if (r != 0)
		return ms_err_set(err, r, "addresses of '%s': %s", a->nic->name,
				  strerror(-r));
	t->addrs_on = true;
	return 0;
}

static bool
tap_private(const struct ms_attach *a, const uint8_t *addr, uint8_t family)
{
	static const uint8_t any[16];
	const struct tap *t = (const struct tap *)a;

	return memcmp(addr, any, ms_addr_bytes(family)) == 0 ||
	       ms_private_has(&t->addrs, addr, family);
}

const struct ms_attach_ops ms_attach_tap = {
	.kind = "tap",
	.create = tap_create,
	.start = tap_start,
	.destroy = tap_destroy,
	.receive = tap_receive,
	.fd = tap_fd,
	.private_addr = tap_private,
};
