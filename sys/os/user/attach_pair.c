/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * attach_pair.c: two ends of a wire in memory.
 *
 *   options   link=NAME (or the interface's name), side=0|1, addr=A+B, mac=M,
 *             mtu=N, frames=N, offload=0|1
 *
 * The ends are found by the link's name in this process and usually live in
 * two hosts, two "machines". What an end sends while it is alone is lost and
 * counted. Frames carry their offload metadata across; nothing is segmented
 * and no checksum is computed, as on a virtio link.
 *
 * Each direction of each queue is a ring with one producer (the one runner of
 * the sender's scheduler) and one consumer (the receiver's worker).
 * Barriers: A prod store-release pairs with B prod load-acquire; C cons
 * store-release with D cons load-acquire; E full fence between prod and armed
 * pairs with F full fence between armed and prod.
 */
#include <net/ethernet.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach.h"

#define FRAMES_DEFAULT 1024
#define FRAMES_MAX 65536
#define SMALL_BYTES 2048
#define SMALL_STRIDE (SMALL_BYTES + MS_CACHE_LINE) /* spreads cache sets */
#define BIG_STRIDE ((size_t)68 << 10)

struct desc {
	uint32_t buf;
	uint32_t len;
	struct ms_meta meta;
};

/* One direction of one queue. */
struct wire {
	struct desc *descs;
	uint8_t *small; /* one for each descriptor */
	uint8_t *big;	/* likewise, for frames over SMALL_BYTES; lazy */
	size_t big_bytes;
	uint32_t mask;
	int eventfd;

	/* producer's */
	uint32_t prod __attribute__((aligned(MS_CACHE_LINE)));
	uint32_t cons_seen;
	uint32_t next_buf;
	uint64_t refused;

	/* consumer's */
	uint32_t cons __attribute__((aligned(MS_CACHE_LINE)));
	uint32_t armed; /* the consumer wants a word on eventfd */
};

struct link {
	char name[64];
	uint32_t frames;
	unsigned int queues;
	unsigned int users;   /* registry lock */
	struct pair *side[2]; /* registry lock; the worker looks whether */
	struct wire *wire[2]; /* by the sending side, an array of queues */
	struct link *next;
};

struct pair {
	struct ms_attach base;
	struct link *link;
	unsigned int side;
	uint8_t mac[6];
	struct ms_private addrs;
	bool addrs_on;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct link *registry;

static void
wire_deinit(struct wire *w)
{
	free(w->descs);
	free(w->small);
	if (w->big != NULL)
		munmap(w->big, w->big_bytes);
	if (w->eventfd >= 0)
		close(w->eventfd);
}

static int
wire_init(struct wire *w, uint32_t frames)
{
	w->mask = frames - 1;
	w->armed = 1;
	w->big_bytes = (size_t)frames * BIG_STRIDE;
	w->descs = calloc(frames, sizeof(*w->descs));
	w->small = aligned_alloc(MS_CACHE_LINE, (size_t)frames * SMALL_STRIDE);
	w->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->eventfd < 0)
		return -errno;
	w->big = mmap(NULL, w->big_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->big == MAP_FAILED)
		w->big = NULL;
	if (w->descs == NULL || w->small == NULL || w->big == NULL)
		return -ENOMEM;
	memset(w->small, 0, (size_t)frames * SMALL_STRIDE);
	return 0;
}

static void
link_destroy(struct link *l)
{
	unsigned int side, q;

	for (side = 0; side < 2; side++) {
		for (q = 0; l->wire[side] != NULL && q < l->queues; q++)
			wire_deinit(&l->wire[side][q]);
		free(l->wire[side]);
	}
	free(l);
}

static int
link_create(const char *name, uint32_t frames, unsigned int queues,
	    struct link **out)
{
	struct link *l = calloc(1, sizeof(*l));
	unsigned int side, q;
	int r = 0;

	if (l == NULL)
		return -ENOMEM;
	strcpy(l->name, name);
	l->frames = frames;
	l->queues = queues;
	for (side = 0; side < 2; side++) {
		l->wire[side] = aligned_alloc(MS_CACHE_LINE,
					      queues * sizeof(struct wire));
		if (l->wire[side] == NULL) {
			link_destroy(l);
			return -ENOMEM;
		}
		memset(l->wire[side], 0, queues * sizeof(struct wire));
		for (q = 0; q < queues; q++)
			l->wire[side][q].eventfd = -1;
	}
	for (side = 0; side < 2; side++)
		for (q = 0; q < queues && r == 0; q++)
			r = wire_init(&l->wire[side][q], frames);
	if (r != 0) {
		link_destroy(l);
		return r;
	}
	*out = l;
	return 0;
}

static struct pair *
pair_of(struct ms_nic *nic)
{
	return nic->os;
}

static uint32_t
pair_room(struct ms_nic *nic, unsigned int q)
{
	struct pair *p = pair_of(nic);
	struct wire *w = &p->link->wire[p->side][q];
	uint32_t used = w->prod - w->cons_seen;

	if (used > w->mask / 2) {
		w->cons_seen = ms_os_load_acquire(&w->cons); /* D */
		used = w->prod - w->cons_seen;
	}
	return w->mask + 1 - used;
}

static void
copy_out(uint8_t *to, const struct ms_frame *f)
{
	uint32_t left = f->len - f->linear;
	unsigned int i;

	memcpy(to, f->data, f->linear);
	to += f->linear;
	for (i = 0; i < f->nsegs && left > 0; i++) {
		uint32_t n = f->segs[i].bytes;

		if (n > left)
			n = left;
		memcpy(to, f->segs[i].p, n);
		to += n;
		left -= n;
	}
}

static void
wire_ring(struct wire *w)
{
	static const uint64_t one = 1;

	/* EAGAIN means that it is readable for a long time already. */
	if (write(w->eventfd, &one, sizeof(one)) < 0)
		return;
}

static uint32_t
pair_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	  uint32_t n, bool more)
{
	struct pair *p = pair_of(nic);
	struct wire *w = &p->link->wire[p->side][q];
	uint32_t prod = w->prod, i;

	if (ms_os_load_acquire(&p->link->side[!p->side]) == NULL)
		return 0;
	w->cons_seen = ms_os_load_acquire(&w->cons); /* D */
	if (w->cons_seen == prod)
		w->next_buf = 0; /* nothing is on the wire: stay in cache */
	for (i = 0; i < n; i++) {
		struct ms_frame *f = &frames[i];
		struct desc *d = &w->descs[prod & w->mask];

		if (prod - w->cons_seen > w->mask)
			break;
		if (f->len > BIG_STRIDE) {
			ms_count(&w->refused, 1);
			continue;
		}
		d->buf = w->next_buf++ & w->mask;
		d->len = f->len;
		d->meta = f->meta;
		copy_out(f->len <= SMALL_BYTES
			     ? w->small + (size_t)d->buf * SMALL_STRIDE
			     : w->big + (size_t)d->buf * BIG_STRIDE,
			 f);
		prod++;
	}
	if (prod != w->prod) {
		ms_os_store_release(&w->prod, prod); /* A */
		ms_os_fence();			     /* E */
		if (ms_os_load_once(&w->armed) != 0) {
			ms_os_store_once(&w->armed, 0);
			wire_ring(w);
		}
	}
	return i;
}

/* The queue was found empty: ask for a word when that changes. Returns whether
   it has changed meanwhile. */
static bool
wire_arm(struct wire *w)
{
	uint64_t drained;

	if (ms_os_load_once(&w->armed) == 0) {
		if (read(w->eventfd, &drained, sizeof(drained)) < 0 &&
		    errno != EAGAIN)
			return false;
		ms_os_store_once(&w->armed, 1);
	}
	ms_os_fence(); /* F */
	return ms_os_load_acquire(&w->prod) != w->cons;
}

static int
pair_receive(struct ms_attach *a, unsigned int q)
{
	struct pair *p = (struct pair *)a;
	struct wire *w = &p->link->wire[!p->side][q];
	struct ms_frame frames[MS_BATCH_MAX];
	uint32_t cons = w->cons, n, i;

	n = ms_os_load_acquire(&w->prod) - cons; /* B */
	if (n == 0) {
		if (!wire_arm(w))
			return 0;
		n = ms_os_load_acquire(&w->prod) - cons; /* B */
	}
	if (n > MS_BATCH_MAX)
		n = MS_BATCH_MAX;
	for (i = 0; i < n; i++) {
		const struct desc *d = &w->descs[(cons + i) & w->mask];
		struct ms_frame *f = &frames[i];

		f->data = d->len <= SMALL_BYTES
			      ? w->small + (size_t)d->buf * SMALL_STRIDE
			      : w->big + (size_t)d->buf * BIG_STRIDE;
		f->linear = f->len = d->len;
		f->segs = NULL;
		f->nsegs = 0;
		f->verdict = MS_VERDICT_HOST;
		f->meta = d->meta;
		f->os = NULL;
	}
	ms_nic_input(a->nic, q, frames, n);
	ms_os_store_release(&w->cons, cons + n); /* C */
	return (int)n;
}

static int
pair_fd(struct ms_attach *a, unsigned int q)
{
	struct pair *p = (struct pair *)a;

	return p->link->wire[!p->side][q].eventfd;
}

/* Everything that is not ours is at the other end. */
static int
pair_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	struct pair *p = pair_of(nic);
	const uint8_t *src = ms_private_first(&p->addrs, r->dst.family);
	struct pair *peer;

	if (r->dst.family != 4 && r->dst.family != 6)
		return -EAFNOSUPPORT;
	if (src == NULL)
		return -ENETUNREACH;
	memset(&r->src, 0, sizeof(r->src));
	memcpy(r->src.addr, src, ms_addr_bytes(r->dst.family));
	r->src.family = r->dst.family;
	r->mtu = nic->mtu;
	memcpy(r->src_mac, p->mac, 6);
	if (ms_private_has(&p->addrs, r->dst.addr, r->dst.family)) {
		memcpy(r->dst_mac, p->mac, 6);
		r->state = MS_ROUTE_LOCAL;
		return 0;
	}
	pthread_mutex_lock(&registry_lock);
	peer = p->link->side[!p->side];
	if (peer != NULL)
		memcpy(r->dst_mac, peer->mac, 6);
	else
		ms_mac_derive(r->dst_mac, p->link->name, !p->side);
	pthread_mutex_unlock(&registry_lock);
	r->state = MS_ROUTE_REACHABLE;
	return 0;
}

static void
pair_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX])
{
	struct pair *p = pair_of(nic);
	unsigned int q;

	for (q = 0; q < p->link->queues; q++)
		counter[MS_CTR_DROP_TX_NIC] += ms_os_load_once(
		    &p->link->wire[p->side][q].refused);
}

static const struct ms_nic_ops pair_nic_ops = {
	.name = "pair",
	.room = pair_room,
	.xmit = pair_xmit,
	.route = pair_route,
	.stats = pair_stats,
};

/* Finds or makes the link and takes a side of it. */
static int
pair_join(struct pair *p, const char *name, uint32_t frames,
	  unsigned int queues, struct ms_err *err)
{
	struct link *l;
	int r = 0;

	pthread_mutex_lock(&registry_lock);
	for (l = registry; l != NULL; l = l->next)
		if (strcmp(l->name, name) == 0)
			break;
	if (l == NULL) {
		r = link_create(name, frames, queues, &l);
		if (r != 0) {
			ms_err_set(err, r, "link '%s': %s", name, strerror(-r));
			goto out;
		}
		l->next = registry;
		registry = l;
	} else if (l->side[p->side] != NULL) {
		r = ms_err_set(err, -EBUSY,
			       "side %u of link '%s' is attached already",
			       p->side, name);
		goto out;
	} else if (l->queues != queues) {
		r = ms_err_set(err, -EINVAL,
			       "link '%s' has %u queues at its other side, not "
			       "%u",
			       name, l->queues, queues);
		goto out;
	}
	l->users++;
	p->link = l;
out:
	pthread_mutex_unlock(&registry_lock);
	return r;
}

static void
pair_leave(struct pair *p)
{
	struct link *l = p->link, **lp;
	bool last;

	if (l == NULL)
		return;
	pthread_mutex_lock(&registry_lock);
	if (l->side[p->side] == p)
		ms_os_store_release(&l->side[p->side], NULL);
	last = --l->users == 0;
	if (last) {
		for (lp = &registry; *lp != l; lp = &(*lp)->next)
			;
		*lp = l->next;
	}
	pthread_mutex_unlock(&registry_lock);
	if (last)
		link_destroy(l);
}

static int
pair_options(struct pair *p, const struct ms_cmd_attach *arg, char *name,
	     size_t name_bytes, struct ms_nic *tmpl, uint32_t *frames,
	     struct ms_err *err)
{
	static const char *const keys[] = { "link", "side",   "addr",	 "mac",
					    "mtu",  "frames", "offload", NULL };
	uint32_t side = 0, mtu = ETHERMTU, offload = 1;
	char list[128];
	int r;

	if ((r = ms_opt_check(arg->options, keys, "pair", err)) != 0 ||
	    (r = ms_opt_u32(arg->options, "side", 0, 1, &side, err)) != 0 ||
	    (r = ms_opt_u32(arg->options, "mtu", 576, 65535, &mtu, err)) != 0 ||
	    (r = ms_opt_u32(arg->options, "frames", 64, FRAMES_MAX, frames,
			    err)) != 0 ||
	    (r = ms_opt_u32(arg->options, "offload", 0, 1, &offload, err)) != 0)
		return r;
	while ((*frames & (*frames - 1)) != 0)
		*frames += *frames & -*frames; /* to a power of two */
	p->side = side;
	r = ms_opt_get(arg->options, "link", name, name_bytes);
	if (r == -ENOENT)
		strcpy(name, arg->nic);
	else if (r != 0)
		return ms_err_set(err, r, "option 'link' is too long");
	ms_mac_derive(p->mac, name, side);
	r = ms_opt_get(arg->options, "mac", list, sizeof(list));
	if (r == 0 && ms_mac_parse(list, p->mac) != 0)
		return ms_err_set(err, -EINVAL,
				  "option 'mac': '%s' is no unicast MAC", list);
	if (ms_opt_get(arg->options, "addr", list, sizeof(list)) == 0) {
		r = ms_private_parse(&p->addrs, list, err);
		if (r != 0)
			return r;
	}
	tmpl->mtu = mtu;
	if (offload != 0)
		tmpl->features = MS_FEATURE_GSO_TCP | MS_FEATURE_GSO_UDP |
				 MS_FEATURE_CSUM_TX | MS_FEATURE_CSUM_RX;
	return 0;
}

static void
pair_destroy(struct ms_attach *a)
{
	struct pair *p = (struct pair *)a;

	if (p == NULL)
		return;
	if (p->addrs_on)
		ms_private_off(&p->addrs, ms_host_switch(a->host));
	pair_leave(p);
	free(p);
}

static int
pair_create(struct ms_host *host, const struct ms_cmd_attach *arg,
	    struct ms_nic *tmpl, struct ms_attach **out, struct ms_err *err)
{
	unsigned int queues = arg->queues != 0 ? arg->queues : 1;
	struct pair *p = calloc(1, sizeof(*p));
	uint32_t frames = FRAMES_DEFAULT;
	char name[64];
	int r;

	if (p == NULL)
		return ms_err_set(err, -ENOMEM, "out of memory");
	p->base.ops = &ms_attach_pair;
	p->base.host = host;
	r = pair_options(p, arg, name, sizeof(name), tmpl, &frames, err);
	if (r == 0 && queues > MS_RINGS_MAX)
		r = ms_err_set(err, -EINVAL, "at most %d queues", MS_RINGS_MAX);
	if (r == 0)
		r = pair_join(p, name, frames, queues, err);
	if (r != 0) {
		pair_destroy(&p->base);
		return r;
	}
	tmpl->ops = &pair_nic_ops;
	tmpl->os = p;
	memcpy(tmpl->name, arg->nic, sizeof(tmpl->name));
	strcpy(tmpl->kind, "pair");
	memcpy(tmpl->mac, p->mac, 6);
	tmpl->vlan = arg->vlan;
	tmpl->num_queues = queues;
	*out = &p->base;
	return 0;
}

static int
pair_start(struct ms_attach *a, struct ms_err *err)
{
	struct pair *p = (struct pair *)a;
	struct link *l = p->link;
	unsigned int q;
	int r;

	r = ms_private_on(&p->addrs, ms_host_switch(a->host));
	if (r != 0)
		return ms_err_set(err, r, "addresses of '%s': %s", a->nic->name,
				  strerror(-r));
	p->addrs_on = true;
	pthread_mutex_lock(&registry_lock);
	if (l->side[p->side] != NULL) {
		r = ms_err_set(err, -EBUSY,
			       "side %u of link '%s' is attached already",
			       p->side, l->name);
	} else {
		/* what was sent to an earlier owner of this side is stale */
		for (q = 0; q < l->queues; q++) {
			struct wire *w = &l->wire[!p->side][q];

			ms_os_store_release(&w->cons,
					    ms_os_load_acquire(&w->prod));
		}
		ms_os_store_release(&l->side[p->side], p);
	}
	pthread_mutex_unlock(&registry_lock);
	return r;
}

static bool
pair_private(const struct ms_attach *a, const uint8_t *addr, uint8_t family)
{
	static const uint8_t any[16];
	const struct pair *p = (const struct pair *)a;

	return memcmp(addr, any, ms_addr_bytes(family)) == 0 ||
	       ms_private_has(&p->addrs, addr, family);
}

const struct ms_attach_ops ms_attach_pair = {
	.kind = "pair",
	.create = pair_create,
	.start = pair_start,
	.destroy = pair_destroy,
	.receive = pair_receive,
	.fd = pair_fd,
	.private_addr = pair_private,
};
