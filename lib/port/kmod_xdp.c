/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kmod_xdp.c: the XDP program that shows a driver's frames to the module. It is
 * attached by netlink, so that it stays when this process ends.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "claims.h"
#include "internal.h"
#include "netlink.h"

#include "ms_kmod.skel.h"

#define PROGRAM "ms_kmod_xdp"

/* The program on an interface. */
struct found {
	uint32_t id, flags; /* id 0: none; flags: of its mode */
	int fd;		    /* if it is ours, else -1 */
	char name[BPF_OBJ_NAME_LEN];
};

static int
find(int ifindex, struct found *f)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof info;
	int r = bpf_xdp_query(ifindex, 0, &q);

	memset(f, 0, sizeof *f);
	f->fd = -1;
	if (r)
		return r;
	f->id = q.prog_id ? q.prog_id : q.drv_prog_id;
	f->id = f->id ? f->id : q.skb_prog_id;
	f->flags = f->id == q.skb_prog_id ? XDP_FLAGS_SKB_MODE
					  : XDP_FLAGS_DRV_MODE;
	if (f->id == 0)
		return 0;
	r = bpf_prog_get_fd_by_id(f->id);
	if (r < 0)
		return r;
	if (bpf_obj_get_info_by_fd(r, &info, &len) == 0)
		memcpy(f->name, info.name, sizeof f->name);
	if (strcmp(f->name, PROGRAM) == 0)
		f->fd = r;
	else
		close(r);
	return 0;
}

static struct ms_kmod_bpf *
load(bool rxvlan_was_on, int *code, struct ms_err *err)
{
	struct ms_kmod_bpf *bpf;

	ms_bpf_quiet();
	bpf = ms_kmod_bpf__open();
	if (bpf) {
		bpf->rodata->rxvlan_was_on = rxvlan_was_on;
		*code = ms_kmod_bpf__load(bpf);
		if (*code == 0)
			return bpf;
		ms_kmod_bpf__destroy(bpf);
		errno = -*code;
	}
	*code = ms_err_set(err, -errno,
			   "the kernel refused the XDP program: %s; it needs "
			   "CAP_BPF, CAP_NET_ADMIN, Linux 5.18 and a module "
			   "with BTF (/sys/kernel/btf/multistack), "
			   "MULTISTACK_DEBUG=1 shows its log",
			   strerror(errno));
	return NULL;
}

static int
no_program(const char *nic, bool generic, int code, struct ms_err *err)
{
	if (generic)
		return ms_err_set(err, code, "'%s' takes no XDP program: %s",
				  nic, strerror(-code));
	return ms_err_set(err, code,
			  "'%s' takes no native XDP: %s; generic XDP has no "
			  "gain over kind rx_handler, but can be had",
			  nic, strerror(-code));
}

/*
 * A card that takes the VLAN out of frames leaves none for XDP to see, so that
 * has to stop. Not of a veth, which does as if.
 */
static bool
rxvlan_off(const char *nic)
{
	struct ms_link link;
	bool was = false;

	if (ms_link_get(nic, &link) == 0 && strcmp(link.kind, "veth") != 0)
		(void)ms_ethtool_rxvlan(nic, false, &was);
	return was;
}

/* What our program says that it was. */
static bool
rxvlan_was_on(int prog)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof info, maps[4] = { 0 }, key = 0;
	int value = 0, map;

	info.nr_map_ids = sizeof maps / sizeof *maps;
	info.map_ids = (uintptr_t)maps;
	if (bpf_obj_get_info_by_fd(prog, &info, &len) || !info.nr_map_ids)
		return false;
	map = bpf_map_get_fd_by_id(maps[0]); /* it has but this one */
	if (map < 0)
		return false;
	if (bpf_map_lookup_elem(map, &key, &value))
		value = 0;
	close(map);
	return value != 0;
}

static int
attach(int ifindex, const char *nic, bool generic, bool rxvlan,
       struct ms_err *err)
{
	uint32_t flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	struct ms_kmod_bpf *bpf;
	int r;

	bpf = load(rxvlan, &r, err);
	if (!bpf)
		return r;
	r = bpf_xdp_attach(ifindex, bpf_program__fd(bpf->progs.ms_kmod_xdp),
			   flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
	if (r)
		no_program(nic, generic, r, err);
	ms_kmod_bpf__destroy(bpf);
	return r;
}

/* Takes ours off, and no other that may have come in between. */
static int
take_off(int ifindex, const char *nic, const struct found *f)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = f->fd);
	int r = bpf_xdp_detach(ifindex, f->flags | XDP_FLAGS_REPLACE, &opts);

	if (r == 0 && rxvlan_was_on(f->fd))
		(void)ms_ethtool_rxvlan(nic, true, NULL);
	return r;
}

int
msport__kmod_xdp_on(const char *nic, bool generic, struct ms_err *err)
{
	int ifindex = (int)if_nametoindex(nic), r;
	struct found f;
	bool rxvlan;

	r = find(ifindex, &f);
	if (r)
		return no_program(nic, generic, r, err);
	if (f.id && f.fd < 0)
		return ms_err_set(err, -EBUSY,
				  "'%s' runs the XDP program '%s' (id %u) "
				  "already; take it off (`ip link set %s xdp "
				  "off`) or attach kind rx_handler",
				  nic, f.name, f.id, nic);
	/* One that was left behind goes first: it may be of another mode. */
	if (f.fd >= 0) {
		(void)take_off(ifindex, nic, &f);
		close(f.fd);
	}
	rxvlan = rxvlan_off(nic);
	r = attach(ifindex, nic, generic, rxvlan, err);
	if (r && rxvlan)
		(void)ms_ethtool_rxvlan(nic, true, NULL);
	return r;
}

int
msport__kmod_xdp_off(const char *nic, struct ms_err *err)
{
	int ifindex = (int)if_nametoindex(nic), r;
	struct found f;

	if (ifindex == 0)
		return -ENOENT;
	r = find(ifindex, &f);
	if (r || f.fd < 0)
		return r ? r : -ENOENT;
	r = take_off(ifindex, nic, &f);
	close(f.fd);
	if (r)
		ms_err_set(err, r,
			   "'%s' keeps our XDP program: %s; take it off with "
			   "`ip link set %s xdp off`",
			   nic, strerror(-r), nic);
	return r;
}
