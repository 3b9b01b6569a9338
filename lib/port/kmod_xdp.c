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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#include "ms_kmod.skel.h"

#define PROGRAM "ms_kmod_xdp"

/* The program on an interface. */
struct found {
	uint32_t id, flags; /* id 0: none; flags: of its mode */
	int fd;		    /* if it is ours, else -1 */
	char name[BPF_OBJ_NAME_LEN];
};

static int
quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

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
load(int *code, struct ms_err *err)
{
	struct ms_kmod_bpf *bpf;

	libbpf_set_print(getenv("MULTISTACK_DEBUG") ? NULL : quiet);
	bpf = ms_kmod_bpf__open_and_load();
	if (bpf)
		return bpf;
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

int
msport__kmod_xdp_on(const char *nic, bool generic, struct ms_err *err)
{
	uint32_t flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	int ifindex = (int)if_nametoindex(nic), r;
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	struct ms_kmod_bpf *bpf;
	struct found f;

	r = find(ifindex, &f);
	if (r)
		return no_program(nic, generic, r, err);
	if (f.id && f.fd < 0)
		return ms_err_set(err, -EBUSY,
				  "'%s' runs the XDP program '%s' (id %u) "
				  "already; take it off (`ip link set %s xdp "
				  "off`) or attach kind rx_handler",
				  nic, f.name, f.id, nic);
	bpf = load(&r, err);
	if (bpf) {
		int prog = bpf_program__fd(bpf->progs.ms_kmod_xdp);

		/* One that was left behind goes first: it may be of another
		   mode. */
		if (f.fd >= 0) {
			opts.old_prog_fd = f.fd;
			(void)bpf_xdp_detach(ifindex, f.flags, &opts);
		}
		r = bpf_xdp_attach(ifindex, prog,
				   flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
		if (r)
			no_program(nic, generic, r, err);
		ms_kmod_bpf__destroy(bpf);
	}
	if (f.fd >= 0)
		close(f.fd);
	return r;
}

int
msport__kmod_xdp_off(const char *nic, struct ms_err *err)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	int ifindex = (int)if_nametoindex(nic), r;
	struct found f;

	if (ifindex == 0)
		return -ENOENT;
	r = find(ifindex, &f);
	if (r || f.fd < 0)
		return r ? r : -ENOENT;
	opts.old_prog_fd = f.fd; /* this one and no other */
	r = bpf_xdp_detach(ifindex, f.flags, &opts);
	close(f.fd);
	if (r)
		ms_err_set(err, r,
			   "'%s' keeps our XDP program: %s; take it off with "
			   "`ip link set %s xdp off`",
			   nic, strerror(-r), nic);
	return r;
}
