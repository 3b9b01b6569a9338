/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * claims.c: the BPF maps of claims, and programs on ingress hooks.
 */
#include <bpf/bpf.h>
#include <linux/pkt_sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "claims.h"
#include "netlink.h"

/* Younger than the headers of Linux 6.1 (from 6.6 on). */
#define ATTACH_TCX_INGRESS ((enum bpf_attach_type)46)

static int
print_nothing(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (getenv("MULTISTACK_DEBUG") != NULL)
		return vfprintf(stderr, fmt, ap);
	return 0;
}

void
ms_bpf_quiet(void)
{
	libbpf_set_print(print_nothing);
}

/* ---- maps ---- */

static int
map_create(enum bpf_map_type type, const char *name, uint32_t key_bytes,
	   uint32_t value_bytes, uint32_t max, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, name, key_bytes, value_bytes, max, &opts);

	return fd < 0 ? -errno : fd;
}

int
ms_claims_init(struct ms_claims *c, struct ms_err *err)
{
	int r;

	memset(c, 0, sizeof(*c));
	c->locals_fd = c->frags_fd = c->state_fd = -1;
	c->claims_fd = r = map_create(BPF_MAP_TYPE_HASH, "ms_claims",
				      sizeof(struct ms_tuple), 4,
				      MS_BPF_CLAIMS_MAX, BPF_F_NO_PREALLOC);
	if (r >= 0)
		c->locals_fd = r = map_create(
		    BPF_MAP_TYPE_HASH, "ms_locals", sizeof(struct ms_tuple), 4,
		    MS_BPF_LOCALS_MAX, BPF_F_NO_PREALLOC);
	if (r >= 0)
		c->frags_fd = r = map_create(BPF_MAP_TYPE_LRU_HASH, "ms_frags",
					     sizeof(struct ms_bpf_frag), 8,
					     MS_BPF_FRAGS_MAX, 0);
	if (r >= 0)
		c->state_fd = r = map_create(BPF_MAP_TYPE_ARRAY, "ms_state", 4,
					     sizeof(struct ms_bpf_state), 1, 0);
	if (r >= 0)
		return 0;
	ms_claims_deinit(c);
	if (r == -EPERM)
		return ms_err_set(err, r,
				  "BPF maps: CAP_BPF and CAP_NET_ADMIN are "
				  "needed");
	return ms_err_set(err, r, "BPF maps: %s", strerror(-r));
}

void
ms_claims_deinit(struct ms_claims *c)
{
	int *fds[] = { &c->claims_fd, &c->locals_fd, &c->frags_fd,
		       &c->state_fd };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

int
ms_claims_use(const struct ms_claims *c, struct bpf_object *obj)
{
	const struct {
		const char *name;
		int fd;
	} maps[] = { { "claims", c->claims_fd },
		     { "locals", c->locals_fd },
		     { "frags", c->frags_fd },
		     { "state", c->state_fd } };
	unsigned int i;
	int r = 0;

	for (i = 0; i < 4 && r == 0; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(obj,
								 maps[i].name);

		r = m != NULL ? bpf_map__reuse_fd(m, maps[i].fd) : -ENOENT;
	}
	return r;
}

static void
state_store(struct ms_claims *c)
{
	uint32_t zero = 0;

	bpf_map_update_elem(c->state_fd, &zero, &c->state, BPF_ANY);
}

int
ms_claims_set(struct ms_claims *c, const struct ms_tuple *t, bool on)
{
	static const uint8_t any[16];
	uint32_t *num = memcmp(t->addr, any, 16) == 0 ? &c->state.wildcards
						      : &c->state.exact;
	const uint32_t one = 1;

	if (on) {
		if (bpf_map_update_elem(c->claims_fd, t, &one, BPF_NOEXIST) !=
		    0)
			return errno == EEXIST	? 0
			       : errno == E2BIG ? -ENOMEM
						: -errno;
		++*num;
	} else {
		if (bpf_map_delete_elem(c->claims_fd, t) != 0)
			return errno == ENOENT ? 0 : -errno;
		--*num;
	}
	if (*num < 2)
		state_store(c); /* the programs ask only whether it is 0 */
	return 0;
}

void
ms_claims_addr(struct ms_claims *c, const uint8_t *addr, uint8_t family,
	       bool on)
{
	struct ms_tuple t = { .family = family };
	const uint32_t one = 1;

	memcpy(t.addr, addr, family == 4 ? 4 : 16);
	if (on)
		bpf_map_update_elem(c->locals_fd, &t, &one, BPF_ANY);
	else
		bpf_map_delete_elem(c->locals_fd, &t);
}

void
ms_claims_mac(struct ms_claims *c, const uint8_t mac[6])
{
	memcpy(c->state.mac, mac, 6);
	state_store(c);
}

static int
addr_add(const struct ms_addr *a, void *arg)
{
	ms_claims_addr(arg, a->addr, a->family, true);
	return 0;
}

int
ms_claims_addr_all(struct ms_claims *c)
{
	return ms_addr_each(addr_add, c);
}

uint64_t
ms_bpf_passed(const struct bpf_map *map)
{
	int cpus = libbpf_num_possible_cpus(), i;
	uint64_t *v, sum = 0;
	uint32_t zero = 0;

	v = cpus > 0 ? calloc((size_t)cpus, sizeof(*v)) : NULL;
	if (v != NULL && bpf_map_lookup_elem(bpf_map__fd(map), &zero, v) == 0)
		for (i = 0; i < cpus; i++)
			sum += v[i];
	free(v);
	return sum;
}

/* ---- hooks ---- */

static int
classic_add(struct ms_tc_hook *h, int prog_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = h->ifindex,
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog_fd);
	int r;

	r = bpf_tc_hook_create(&hook);
	if (r != 0 && r != -EEXIST)
		return r;
	h->own_qdisc = r == 0;
	r = bpf_tc_attach(&hook, &opts);
	if (r != 0) {
		if (h->own_qdisc) {
			hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
			bpf_tc_hook_destroy(&hook);
		}
		return r;
	}
	h->handle = opts.handle;
	h->priority = opts.priority;
	return 0;
}

int
ms_tc_hook_add(struct ms_tc_hook *h, int ifindex, int prog_fd, bool classic)
{
	int fd, r;

	memset(h, 0, sizeof(*h));
	h->ifindex = ifindex;
	h->link_fd = -1;
	if (!classic) {
		fd = bpf_link_create(prog_fd, ifindex, ATTACH_TCX_INGRESS,
				     NULL);
		if (fd >= 0) {
			h->link_fd = fd;
			return 0;
		}
	}
	r = classic_add(h, prog_fd);
	if (r != 0)
		h->ifindex = 0;
	return r;
}

void
ms_tc_hook_del(struct ms_tc_hook *h)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = h->ifindex,
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = h->handle,
		    .priority = h->priority);

	if (h->ifindex == 0)
		return;
	if (h->link_fd >= 0) {
		close(h->link_fd);
	} else {
		bpf_tc_detach(&hook, &opts);
		if (h->own_qdisc) {
			hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
			bpf_tc_hook_destroy(&hook);
		}
	}
	memset(h, 0, sizeof(*h));
}
