/* SPDX-License-Identifier: BSD-2-Clause */
/* net.c: the world: nodes, links, routes, the run. */
#include "internal.h"

#define SAMPLE_NS 10000000ull
#define LINKS_MAX 65534

/* ---- begin, run, end ---------------------------------------------------------- */

static void sample(void *arg);

int
mssim_create(mssim_t **out, uint64_t seed)
{
	mssim_t *w;

	if (!out)
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w || mssim__reserve(&w->core, 1) < 0) {
		free(w);
		return -ENOMEM;
	}
	/* seeds that follow each other are to differ at once */
	w->rng.s = seed * 0x9e3779b97f4a7c15 + 1;
	w->sampler.fn = sample;
	w->sampler.arg = w;
	w->sample_ns = SAMPLE_NS;
	*out = w;
	return 0;
}

static void
free_link(mssim_link_t *link)
{
	int i;

	for (i = 0; i < 2; i++) {
		mssim__pipe_deinit(&link->pipe[i]);
		mssim__pcapng_close(link->pcap[i]);
		mssim__series_free(&link->series[i]);
	}
	free(link);
}

void
mssim_destroy(mssim_t *w)
{
	mssim_flow_t *f;
	uint32_t i;

	if (!w)
		return;
	for (i = 0; i < w->num_nodes; i++)
		mssim__node_end(w->nodes[i]);
	/* looks at all events that are set: the others' are there still */
	for (i = 0; i < w->num_links; i++)
		free_link(w->links[i]);
	while ((f = w->flows) != NULL) {
		w->flows = f->next;
		mssim__flow_free(f);
	}
	for (i = 0; i < MSSIM__OUT_BUFS; i++)
		if (w->out[i])
			mssim__packet_free(&w->core, w->out[i]);
	mssim__core_deinit(&w->core);
	for (i = 0; i < w->num_nodes; i++)
		free(w->nodes[i]);
	free(w->nodes);
	free(w->links);
	free(w);
}

uint64_t
mssim_now_ns(const mssim_t *w)
{
	return w ? w->core.now_ns : 0;
}

int
mssim_run(mssim_t *w, uint64_t until_ns)
{
	int r;

	if (!w || until_ns == UTCP_NEVER)
		return -EINVAL;
	if (w->running)
		return -EBUSY;
	w->running = true;
	w->stop = false;
	w->error = 0;
	while (!w->stop && w->error == 0)
		if (!mssim__step(&w->core, until_ns))
			break;
	w->running = false;
	r = w->error != 0 ? w->error : w->stop;
	if (r == 0 && w->core.now_ns < until_ns)
		w->core.now_ns = until_ns;
	return r;
}

void
mssim_stop(mssim_t *w)
{
	if (w)
		w->stop = true;
}

/* ---- series ------------------------------------------------------------------- */

static void
sample_link(mssim_link_t *link, int way, double now)
{
	const struct mssim__pipe *pipe = &link->pipe[way];
	const mssim_way_stats_t *s = &pipe->stats;
	double row[MSSIM_LINK_COLUMNS];

	row[MSSIM_LINK_TIME] = now;
	row[MSSIM_LINK_BACKLOG] = (double)mssim__backlog(pipe);
	row[MSSIM_LINK_DELAY] = (double)mssim__delay_ns(pipe) * 1e-9;
	row[MSSIM_LINK_RATE] = (double)(s->sent_bytes - link->sent_bytes[way]) *
			       8e9 / (double)link->w->sample_ns;
	row[MSSIM_LINK_DROPS] = (double)(s->overflows + s->drops);
	row[MSSIM_LINK_MARKS] = (double)s->marks;
	link->sent_bytes[way] = s->sent_bytes;
	if (mssim__series_add(&link->series[way], row, MSSIM_LINK_COLUMNS) < 0)
		link->w->error = -ENOMEM;
}

static void
sample(void *arg)
{
	mssim_t *w = arg;
	mssim_flow_t *f;
	uint32_t i;

	for (i = 0; i < w->num_links; i++) {
		sample_link(w->links[i], 0, (double)w->core.now_ns * 1e-9);
		sample_link(w->links[i], 1, (double)w->core.now_ns * 1e-9);
	}
	for (f = w->flows; f; f = f->next)
		mssim__flow_sample(f, w->core.now_ns);
	mssim__set(&w->core, &w->sampler, w->core.now_ns + w->sample_ns);
}

int
mssim_sample(mssim_t *w, uint64_t every_ns)
{
	if (!w || (every_ns != 0 && every_ns < 1000))
		return -EINVAL;
	w->sample_ns = every_ns;
	if (every_ns == 0)
		mssim__unset(&w->core, &w->sampler);
	else if (w->num_links > 0)
		mssim__set(&w->core, &w->sampler, w->core.now_ns + every_ns);
	return 0;
}

/* ---- nodes -------------------------------------------------------------------- */

/* Room for one more in an array of pointers. */
static int
grow(void *array, uint32_t num, uint32_t *room)
{
	uint32_t more = *room ? 2 * *room : 16;
	void *old, *p;

	if (num < *room)
		return 0;
	memcpy(&old, array, sizeof(old));
	p = realloc(old, more * sizeof(void *));
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*room = more;
	return 0;
}

static void
wake(void *arg)
{
	mssim__node_work(arg);
}

static int
add_node(mssim_t *w, mssim_node_t **out)
{
	mssim_node_t *n;
	int err;

	if (!w || !out)
		return -EINVAL;
	if (w->num_nodes == MSSIM_NODES_MAX)
		return -ENOSPC;
	err = grow(&w->nodes, w->num_nodes, &w->room_nodes);
	if (err == 0)
		err = mssim__reserve(&w->core, 1);
	if (err < 0)
		return err;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->w = w;
	n->nr = w->num_nodes + 1;
	n->wake.fn = wake;
	n->wake.arg = n;
	*out = n;
	return 0;
}

static void
take_node(mssim_node_t *n)
{
	n->w->nodes[n->w->num_nodes++] = n;
	n->w->routed = false;
}

int
mssim_router(mssim_t *w, mssim_node_t **out)
{
	int err = add_node(w, out);

	if (err == 0)
		take_node(*out);
	return err;
}

int
mssim_host(mssim_t *w, const mssim_host_conf_t *conf, mssim_node_t **out)
{
	utcp_config_t cfg = { 0 };
	utcp_addr_t addr;
	mssim_node_t *n;
	unsigned int i;
	int err, family;

	if (conf && conf->size < sizeof(*conf))
		return -EINVAL;
	if (!out)
		return -EINVAL;
	err = add_node(w, &n);
	if (err < 0)
		return err;
	if (conf)
		n->conf = *conf;
	if (n->conf.config)
		cfg = *n->conf.config;
	n->conf.config = NULL;
	cfg.size = sizeof(cfg);
	cfg.mtu = n->conf.mtu;
	cfg.now_ns = w->core.now_ns + MSSIM_CLOCK_NS;
	cfg.l2_bytes = 0;
	cfg.offloads = 0;
	for (i = 0; i < sizeof(cfg.seed); i++)
		cfg.seed[i] = (uint8_t)mssim__random(&w->rng);
	err = utcp_create(&n->u, &cfg);
	for (family = 4; err == 0 && family <= 6; family += 2) {
		(void)mssim_addr(n, family, &addr);
		err = utcp_address(n->u, &addr, 1);
		/* too small an MTU for IPv6 */
		if (err == -EINVAL && family == 6)
			err = 0;
	}
	if (err < 0) {
		utcp_destroy(n->u);
		free(n);
		return err;
	}
	take_node(n);
	*out = n;
	return 0;
}

void
mssim__node_end(mssim_node_t *n)
{
	utcp_destroy(n->u);
	n->u = NULL;
	free(n->route);
	n->route = NULL;
}

utcp_t *
mssim_stack(const mssim_node_t *n)
{
	return n ? n->u : NULL;
}

void
mssim_kick(mssim_node_t *n)
{
	if (n && n->u)
		mssim__set(&n->w->core, &n->wake, n->w->core.now_ns);
}

int
mssim_addr(const mssim_node_t *n, int family, utcp_addr_t *out)
{
	if (!n || !out || (family != 4 && family != 6))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	out->family = (uint8_t)family;
	if (family == 4) {
		out->addr[0] = 10;
		out->addr[1] = (uint8_t)(n->nr >> 16);
		mssim__put16(&out->addr[2], n->nr);
	} else {
		out->addr[0] = 0xfd;
		out->addr[13] = (uint8_t)(n->nr >> 16);
		mssim__put16(&out->addr[14], n->nr);
	}
	return 0;
}

/* ---- links -------------------------------------------------------------------- */

static void
deliver(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	mssim__node_packet(pipe->to, p);
}

static void
bounce(struct mssim__pipe *pipe, struct mssim__packet *p)
{
	mssim__node_packet(pipe->from, p);
}

int
mssim_link(mssim_t *w, mssim_node_t *a, mssim_node_t *b,
	   const mssim_way_t *a_to_b, const mssim_way_t *b_to_a,
	   mssim_link_t **out)
{
	const mssim_way_t *conf[2] = { a_to_b, b_to_a };
	mssim_link_t *link;
	int err, i;

	if (!w || !a || !b || !out || a == b || a->w != w || b->w != w ||
	    !a_to_b || !b_to_a || mssim__way_check(a_to_b) < 0 ||
	    mssim__way_check(b_to_a) < 0 || w->num_links == LINKS_MAX)
		return -EINVAL;
	err = grow(&w->links, w->num_links, &w->room_links);
	if (err < 0)
		return err;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	link->w = w;
	link->node[0] = a;
	link->node[1] = b;
	for (i = 0; i < 2; i++) {
		err = mssim__pipe_init(&link->pipe[i], &w->core, conf[i],
				       mssim__random(&w->rng));
		if (err < 0) {
			free_link(link);
			return err;
		}
		link->pipe[i].deliver = deliver;
		link->pipe[i].bounce = bounce;
		link->pipe[i].from = link->node[i];
		link->pipe[i].to = link->node[1 - i];
	}
	w->links[w->num_links++] = link;
	w->routed = false;
	if (w->sample_ns != 0 && w->sampler.place == 0)
		mssim__set(&w->core, &w->sampler,
			   w->core.now_ns + w->sample_ns);
	*out = link;
	return 0;
}

int
mssim_link_set(mssim_link_t *link, int way, const mssim_way_t *conf)
{
	if (!link || way < 0 || way > 1 || !conf || mssim__way_check(conf) < 0)
		return -EINVAL;
	if (link->pipe[way].conf.aqm != conf->aqm)
		memset(&link->pipe[way].aqm, 0, sizeof(link->pipe[way].aqm));
	link->pipe[way].conf = *conf;
	return 0;
}

int
mssim_link_stats(const mssim_link_t *link, int way, mssim_way_stats_t *out)
{
	if (!link || way < 0 || way > 1 || !out)
		return -EINVAL;
	*out = link->pipe[way].stats;
	return 0;
}

int
mssim_link_capture(mssim_link_t *link, int end, const char *path)
{
	if (!link || end < 0 || end > 1 || !path)
		return -EINVAL;
	if (link->pcap[end])
		return -EBUSY;
	link->pcap[end] = mssim__pcapng_open(path);
	if (!link->pcap[end])
		return errno > 0 ? -errno : -EIO;
	link->pipe[end].near = link->pcap[end];
	link->pipe[1 - end].far = link->pcap[end];
	return 0;
}

const double *
mssim_link_series(const mssim_link_t *link, int way, int column, size_t *num)
{
	if (!link || !num || way < 0 || way > 1 || column < 0 ||
	    column >= MSSIM_LINK_COLUMNS)
		return NULL;
	*num = link->series[way].num;
	return link->series[way].column[column];
}

/* ---- routes ------------------------------------------------------------------- */

/* Writes into every node the link of the shortest way to `to`. */
static void
route_to(mssim_t *w, const mssim_node_t *to, uint32_t *hops)
{
	mssim_node_t *a, *b;
	bool changed = true;
	uint32_t i, side;

	memset(hops, 0xff, w->num_nodes * sizeof(*hops));
	hops[to->nr - 1] = 0;
	while (changed) {
		changed = false;
		for (i = 0; i < 2 * w->num_links; i++) {
			side = i % 2;
			a = w->links[i / 2]->node[side];
			b = w->links[i / 2]->node[1 - side];
			/* a host passes nothing on */
			if (hops[b->nr - 1] == UINT32_MAX ||
			    (b->u && b != to) ||
			    hops[b->nr - 1] + 1 >= hops[a->nr - 1])
				continue;
			hops[a->nr - 1] = hops[b->nr - 1] + 1;
			a->route[to->nr - 1] = (uint16_t)(i / 2 + 1);
			changed = true;
		}
	}
}

static int
find_routes(mssim_t *w)
{
	uint32_t *hops = malloc(w->num_nodes * sizeof(*hops));
	uint16_t *route;
	uint32_t i;

	if (!hops)
		return -ENOMEM;
	for (i = 0; i < w->num_nodes; i++) {
		route = calloc(w->num_nodes, sizeof(*route));
		if (!route) {
			free(hops);
			return -ENOMEM;
		}
		free(w->nodes[i]->route);
		w->nodes[i]->route = route;
	}
	for (i = 0; i < w->num_nodes; i++)
		if (w->nodes[i]->u)
			route_to(w, w->nodes[i], hops);
	free(hops);
	w->routed = true;
	return 0;
}

struct mssim__pipe *
mssim__route(mssim_node_t *n, const uint8_t *pkt)
{
	const uint8_t *to = pkt[0] >> 4 == 4 ? pkt + 16 : pkt + 36;
	uint32_t nr = (uint32_t)to[1] << 16 | (uint32_t)to[2] << 8 | to[3];
	mssim_t *w = n->w;
	mssim_link_t *link;
	int err;

	if (!w->routed && (err = find_routes(w)) < 0) {
		w->error = err;
		return NULL;
	}
	if (pkt[0] >> 4 == 4 ? to[0] != 10 : pkt[24] != 0xfd)
		return NULL;
	if (nr < 1 || nr > w->num_nodes || n->route[nr - 1] == 0)
		return NULL;
	link = w->links[n->route[nr - 1] - 1];
	return &link->pipe[link->node[0] != n];
}
