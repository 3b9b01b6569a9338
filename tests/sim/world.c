/* SPDX-License-Identifier: BSD-2-Clause */
/* world.c: events in the order of time; failures; the end of it all. */
#include "sim.h"

const char *sim_pcap_dir;
void (*sim_extend)(struct sim *w, struct node *n);
bool sim_verbose;

/* ---- random ----------------------------------------------------------------- */

uint64_t
rng_next(struct rng *r)
{
	/* splitmix64: Steele, Lea, Flood 2014 */
	uint64_t z = r->s += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return n == 0 ? 0 : rng_next(r) % n;
}

uint64_t
rng_range(struct rng *r, uint64_t low, uint64_t high)
{
	return low + rng_below(r, high - low + 1);
}

uint64_t
rng_log(struct rng *r, uint64_t low, uint64_t high)
{
	unsigned int bits = 0;
	uint64_t top;

	while (bits < 63 && (low << bits) < high)
		bits++;
	top = low << rng_below(r, bits + 1);
	return top >= high ? rng_range(r, high / 2 > low ? high / 2 : low, high)
			   : rng_range(r, top, top * 2 < high ? top * 2 : high);
}

bool
rng_chance(struct rng *r, double p)
{
	return (double)(rng_next(r) >> 11) * 0x1p-53 < p;
}

/* ---- events ------------------------------------------------------------------- */

static bool
before(const struct event *a, const struct event *b)
{
	return a->at_ns < b->at_ns ||
	       (a->at_ns == b->at_ns && a->order < b->order);
}

void
sim_at(struct sim *w, uint64_t at_ns, event_fn fn, void *arg)
{
	struct event e = { at_ns < w->now_ns ? w->now_ns : at_ns, w->order++,
			   fn, arg };
	unsigned int i;

	if (w->num_events == w->room_events) {
		w->room_events = w->room_events ? 2 * w->room_events : 1024;
		w->heap = realloc(w->heap, w->room_events * sizeof(e));
		if (w->heap == NULL)
			abort();
	}
	for (i = w->num_events++; i > 0; i = (i - 1) / 2) {
		if (!before(&e, &w->heap[(i - 1) / 2]))
			break;
		w->heap[i] = w->heap[(i - 1) / 2];
	}
	w->heap[i] = e;
}

static struct event
take_first(struct sim *w)
{
	struct event first = w->heap[0], e = w->heap[--w->num_events];
	unsigned int i = 0, c;

	while ((c = 2 * i + 1) < w->num_events) {
		if (c + 1 < w->num_events &&
		    before(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (!before(&w->heap[c], &e))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	if (w->num_events > 0)
		w->heap[i] = e;
	return first;
}

static void
run_first(struct sim *w)
{
	struct event e = take_first(w);

	w->now_ns = e.at_ns;
	e.fn(w, e.arg);
}

/* ---- failures ------------------------------------------------------------------- */

void
sim_say(struct sim *w, const char *fmt, ...)
{
	size_t n = strlen(w->what);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->what + n, sizeof(w->what) - n, fmt, ap);
	va_end(ap);
}

static void
describe(struct ep *e)
{
	utcp_info_t i = app_info(e);
	uint64_t next = utcp_next_ns(e->node->u);

	printf("  10.0.0.%u %s id %llx step %u/%u%s%s%s sent %llu got %llu "
	       "error %d poll 0x%x\n",
	       e->node->nr, e->client ? "client" : "server",
	       (unsigned long long)e->id & 0xffff, e->at, e->conf.num_steps,
	       e->open ? " open" : "", e->ended ? " ended" : "",
	       e->sleeping ? " sleeping" : "", (unsigned long long)e->sent,
	       (unsigned long long)e->got, e->error,
	       e->s != NULL ? utcp_poll(e->s) : 0);
	if (e->s == NULL)
		return;
	printf("    state %u recovery %u backoff %u rto %.3f ms rtt %.3f ms "
	       "cwnd %u ssthresh %u snd_wnd %u rcv_wnd %u\n"
	       "    unacked %u sacked %u lost %u retrans %u notsent %u unread "
	       "%u retransmissions %llu mss %u pmtu %u next timer in %.6f s\n",
	       i.state, i.recovery, i.backoff, (double)i.rto_ns / 1e6,
	       (double)i.rtt_ns / 1e6, i.cwnd_bytes, i.ssthresh_bytes,
	       i.snd_wnd_bytes, i.rcv_wnd_bytes, i.unacked_bytes,
	       i.sacked_bytes, i.lost_bytes, i.retrans_out_bytes,
	       i.notsent_bytes, i.unread_bytes,
	       (unsigned long long)i.total_retrans_segs, i.mss, i.pmtu,
	       next == UTCP_NEVER
		   ? -1.0
		   : ((double)next - (double)utcp_now_ns(e->node->u)) / 1e9);
}

void
sim_say_all(struct sim *w)
{
	uint64_t v[UTCP_CTR_MAX];
	unsigned int i, c;

	for (i = 0; i < w->num_pipes; i++)
		printf("  %s: %llu packets, %llu lost, %llu overflows, %llu "
		       "marks, queue at most %llu bytes, %llu on average\n",
		       w->pipes[i]->name, (unsigned long long)w->pipes[i]->pkts,
		       (unsigned long long)w->pipes[i]->losses,
		       (unsigned long long)w->pipes[i]->overflows,
		       (unsigned long long)w->pipes[i]->marks,
		       (unsigned long long)w->pipes[i]->backlog_max,
		       (unsigned long long)(w->pipes[i]->backlog_sum /
					    (w->pipes[i]->pkts + 1)));
	for (i = 0; i < w->num_nodes && i < 4; i++) {
		printf("  node %u:", i + 1);
		utcp_counters(w->nodes[i]->u, v, UTCP_CTR_MAX);
		for (c = 0; c < UTCP_CTR_MAX; c++)
			if (v[c] != 0)
				printf(" %s %llu", utcp_counter_name(c),
				       (unsigned long long)v[c]);
		printf("\n");
	}
}

void
sim_fail(struct sim *w, const char *fmt, ...)
{
	unsigned int i, shown = 0;
	struct ep *e;
	va_list ap;

	printf("sim %s seed %llu at %.6f s: ", w->group,
	       (unsigned long long)w->seed, (double)w->now_ns / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n  world:%s\n", w->what);
	for (i = 0; i < w->num_nodes; i++)
		for (e = w->nodes[i]->eps; e != NULL && shown < 4; e = e->next)
			if (!e->ended) {
				describe(e);
				shown++;
			}
	sim_say_all(w);
	fflush(stdout);
	_Exit(1);
}

/* ---- begin, run, end ------------------------------------------------------------------------ */

struct sim *
sim_new(const char *group, uint64_t seed)
{
	struct sim *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->group = group;
	w->seed = seed;
	w->rng.s = seed * 0x9e3779b97f4a7c15 + 1;
	w->now_ns = SEC;
	w->progress_ns = w->now_ns;
	w->stall_ns = 10 * MINUTE;
	w->end_ns = UTCP_NEVER;
	w->verbose = sim_verbose;
	w->wire = wire_new();
	return w;
}

struct pipe *
sim_pipe(struct sim *w, const char *name, const struct pipe_conf *conf)
{
	struct pipe *pipe = calloc(1, sizeof(*pipe));

	SIM_CHECK(w, pipe != NULL && w->num_pipes < PIPES_MAX);
	pipe->w = w;
	pipe->name = name;
	pipe->conf = *conf;
	w->pipes[w->num_pipes++] = pipe;
	if (conf->dualq)
		dualq_start(pipe);
	return pipe;
}

void
sim_run_until(struct sim *w, uint64_t at_ns)
{
	while (w->num_events > 0 && w->heap[0].at_ns <= at_ns)
		run_first(w);
	if (w->now_ns < at_ns)
		w->now_ns = at_ns;
}

void
sim_run(struct sim *w)
{
	while (w->eps_open > 0) {
		if (w->num_events == 0)
			sim_fail(w,
				 "stalled: %u scripts are not at their end, "
				 "and nothing is going to happen",
				 w->eps_open);
		if (w->heap[0].at_ns > w->end_ns) {
			w->now_ns = w->end_ns;
			return;
		}
		run_first(w);
		if (w->now_ns > w->progress_ns + w->stall_ns)
			sim_fail(w, "stalled: no progress for %.0f s",
				 (double)w->stall_ns / 1e9);
	}
}

void
sim_settle(struct sim *w)
{
	uint64_t limit = w->now_ns + 60 * MINUTE, next;
	unsigned int i;

	while (w->num_events > 0 && w->heap[0].at_ns < limit)
		run_first(w);
	for (i = 0; i < w->num_nodes; i++) {
		next = utcp_next_ns(w->nodes[i]->u);
		if (next != UTCP_NEVER)
			sim_fail(w,
				 "an hour after the end 10.0.0.%u has a timer "
				 "in %.3f s",
				 i + 1,
				 ((double)next -
				  (double)utcp_now_ns(w->nodes[i]->u)) /
				     1e9);
	}
}

uint64_t
sim_counter(struct sim *w, enum utcp_counter c)
{
	uint64_t v[UTCP_CTR_MAX], sum = 0;
	unsigned int i;

	for (i = 0; i < w->num_nodes; i++) {
		utcp_counters(w->nodes[i]->u, v, UTCP_CTR_MAX);
		sum += v[c];
	}
	return sum;
}

static void
node_end(struct sim *w, struct node *n)
{
	utcp_usage_t usage;
	struct packet *p;

	app_close_all(n);
	utcp_usage(n->u, &usage);
	utcp_destroy(n->u);
	if (n->mem != 0)
		sim_fail(w,
			 "10.0.0.%u: %lld bytes are not back after "
			 "utcp_destroy",
			 n->nr, (long long)n->mem);
	while ((p = n->in) != NULL) {
		n->in = p->next;
		packet_free(w, p);
	}
	mssim__pcapng_close(n->pcap);
	app_free(n);
}

void
sim_end(struct sim *w)
{
	struct packet *p;
	struct event e;
	unsigned int i;

	if (w->verbose) {
		printf("%s seed %llu, %.6f s:%s\n", w->group,
		       (unsigned long long)w->seed, (double)w->now_ns / 1e9,
		       w->what);
		sim_say_all(w);
	}
	while (w->num_events > 0) {
		e = take_first(w);
		if (e.fn == packet_event)
			packet_free(w, e.arg);
		else if (e.fn == app_connect_event)
			free(e.arg);
	}
	for (i = 0; i < w->num_nodes; i++)
		node_end(w, w->nodes[i]);
	for (i = 0; i < w->num_nodes; i++)
		free(w->nodes[i]);
	for (i = 0; i < w->num_pipes; i++) {
		dualq_end(w->pipes[i]);
		free(w->pipes[i]->waits);
		free(w->pipes[i]->classic_waits);
		free(w->pipes[i]);
	}
	while ((p = w->free_packets) != NULL) {
		w->free_packets = p->next;
		free(p);
	}
	wire_free(w->wire);
	free(w->heap);
	free(w);
}
