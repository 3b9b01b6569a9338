/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_switch.c: what the switch costs a frame, on one core and in memory.
 *
 * Of each case two loops are timed in turns and the medians reported, as JSON
 * lines: "switch", the real thing, and "copy", which moves the same frames
 * with the same copy routine into the same rings (receive: ring after ring;
 * transmit: onto the same wire) and looks at nothing. Before each 1024 frames
 * the headers are written anew with random tuples, and the rings' owners
 * consume what is there; neither is timed.
 *
 *   bench_switch [--dir rx|tx] [--size BYTES] [--ports N] [--tuples N]
 *                [--reps N] [--frames N] [--slots N] [--quick]
 *
 * Without --dir, all cases of the table. Size is without CRC: 60 is a
 * frame of 64 bytes on the wire.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "ms_ring.h"
#include "ms_table.h"
#include "ms_user.h"

#define FRAMES 1024 /* refilled together */
#define STRIDE 2048
#define BATCH 256
#define REPS_MAX 101

struct config {
	const char *dir;
	uint32_t size, ports, tuples, reps, slots;
	uint64_t frames; /* of one repetition */
};

/* The copy loop's view of a receive ring. */
struct bare {
	struct ms_ring *shared;
	struct ms_slot *slots;
	uint8_t *bufs;
	uint32_t first_buf;
	uint32_t tail;
} __attribute__((aligned(MS_CACHE_LINE)));

struct wire { /* what the interface sends goes here */
	uint8_t *bufs;
	uint32_t len[FRAMES];
	uint32_t prod;
};

struct bench {
	const struct config *cfg;
	struct ms_switch *sw;
	struct ms_nic *nic;
	struct ms_port **ports;
	struct ms_bind *binds;
	struct bare *bare;
	uint32_t bare_mask;
	uint8_t *in; /* FRAMES buffers */
	struct ms_frame frames[FRAMES];
	const uint8_t *sent[FRAMES];	/* where each transmit frame lies */
	struct ms_kring *kicks[FRAMES]; /* rings that were given some */
	uint32_t num_kicks;
	struct wire wire;
	uint32_t next; /* ring, of the copy loop */
	uint64_t random;
};

static const uint8_t nic_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 2 };

static void
die(const char *what, int err)
{
	fprintf(stderr, "bench_switch: %s: %s\n", what, strerror(-err));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t
next_random(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void *
pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap", -errno);
	return p;
}

/* ---- the interface: a wire in memory --------------------------------------- */

static uint32_t
wire_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	  uint32_t n, bool more)
{
	struct wire *w = &((struct bench *)nic->os)->wire;
	uint32_t i, j, ofs;
	uint8_t *to;

	for (i = 0; i < n; i++) {
		const struct ms_frame *f = &frames[i];

		to = w->bufs + (size_t)(w->prod % FRAMES) * STRIDE;
		ms_copy(to, f->data, f->linear);
		ofs = f->linear;
		for (j = 0; j < f->nsegs; j++) {
			ms_copy(to + ofs, f->segs[j].p, f->segs[j].bytes);
			ofs += f->segs[j].bytes;
		}
		w->len[w->prod % FRAMES] = f->len;
		ms_os_store_release(&w->prod, w->prod + 1);
	}
	return n;
}

static const struct ms_nic_ops wire_ops = {
	.name = "bench",
	.xmit = wire_xmit,
};

/* ---- setting up --------------------------------------------------------------- */

static void
make_ports(struct bench *b)
{
	const struct config *cfg = b->cfg;
	struct ms_cred cred;
	uint32_t i;
	uint32_t slots = cfg->slots;
	int r;

	while ((uint64_t)slots * cfg->ports < 2 * FRAMES)
		slots *= 2; /* few rings must hold all frames of a refill */
	b->bare_mask = slots - 1;
	ms_cred_self(&cred);
	b->ports = calloc(cfg->ports, sizeof(b->ports[0]));
	b->bare = aligned_alloc(MS_CACHE_LINE, cfg->ports * sizeof(b->bare[0]));
	for (i = 0; i < cfg->ports; i++) {
		struct ms_cmd_port_create arg = { .size = sizeof(arg),
						  .slots = slots };

		r = ms_port_create(b->nic, &cred, &arg, &b->ports[i]);
		if (r != 0)
			die("ms_port_create", r);
		b->bare[i].shared = b->ports[i]->rx[0].shared;
		b->bare[i].slots = b->ports[i]->rx[0].slots;
		b->bare[i].bufs = b->ports[i]->rx[0].bufs;
		b->bare[i].first_buf = b->ports[i]->rx[0].slots[0].buf;
		b->bare[i].tail = 0;
		/* No first touch of a page in a timed loop. */
		memset(b->ports[i]->rx[0].bufs +
			   (size_t)b->bare[i].first_buf * STRIDE,
		       0xee, (size_t)slots * STRIDE);
	}
}

/* Tuple i, which is port i % ports': from its number, so that the refills leave
   the caches alone. */
static inline void
nth_tuple(uint32_t i, struct ms_tuple *t)
{
	uint32_t addr = htobe32(0x0a630001 + (i >> 14));

	memset(t, 0, sizeof(*t));
	memcpy(t->addr, &addr, 4);
	t->port_be = htobe16((uint16_t)(1024 + (i & 16383) * 3));
	t->proto = 6;
	t->family = 4;
}

static void
make_tuples(struct bench *b)
{
	uint32_t i;
	int r;

	b->binds = calloc(b->cfg->tuples, sizeof(b->binds[0]));
	if (b->binds == NULL)
		die("calloc", -ENOMEM);
	for (i = 0; i < b->cfg->tuples; i++) {
		nth_tuple(i, &b->binds[i].tuple);
		b->binds[i].port = b->ports[i % b->cfg->ports];
		r = ms_table_insert(b->sw->table, &b->binds[i]);
		if (r != 0)
			die("ms_table_insert", r);
	}
}

static struct bench *
bench_create(const struct config *cfg)
{
	struct ms_nic tmpl = { .ops = &wire_ops,
			       .name = "bench0",
			       .kind = "bench",
			       .mtu = 1500,
			       .num_queues = 1 };
	struct bench *b = aligned_alloc(MS_CACHE_LINE,
					(sizeof(*b) + 63) & ~(size_t)63);
	uint32_t i;
	int r;

	memset(b, 0, sizeof(*b));
	b->cfg = cfg;
	b->random = 88172645463325252ull;
	b->in = pages((size_t)FRAMES * STRIDE);
	b->wire.bufs = pages((size_t)FRAMES * STRIDE);
	for (i = 0; i < FRAMES; i++) {
		b->frames[i].data = b->in + (size_t)i * STRIDE;
		b->frames[i].linear = b->frames[i].len = cfg->size;
	}
	r = ms_switch_create(&b->sw);
	if (r != 0)
		die("ms_switch_create", r);
	tmpl.os = b;
	memcpy(tmpl.mac, nic_mac, 6);
	r = ms_nic_create(b->sw, &tmpl, &b->nic);
	if (r != 0)
		die("ms_nic_create", r);
	make_ports(b);
	make_tuples(b);
	return b;
}

static void
bench_destroy(struct bench *b)
{
	uint32_t i;

	for (i = 0; i < b->cfg->tuples; i++)
		ms_table_delete(b->sw->table, &b->binds[i]);
	ms_os_read_sync();
	ms_table_reclaim(b->sw->table);
	for (i = 0; i < b->cfg->ports; i++)
		ms_port_destroy(b->ports[i]);
	ms_nic_destroy(b->nic);
	ms_switch_destroy(b->sw);
	munmap(b->in, (size_t)FRAMES * STRIDE);
	munmap(b->wire.bufs, (size_t)FRAMES * STRIDE);
	free(b->ports);
	free(b->bare);
	free(b->binds);
	free(b);
}

/* ---- frames --------------------------------------------------------------------- */

/* A TCP segment to (rx) or from (tx) this tuple. */
static void
write_frame(uint8_t *p, uint32_t size, const struct ms_tuple *t, bool rx)
{
	static const uint8_t peer[4] = { 10, 99, 1, 1 };
	uint8_t *ip = p + 14;
	uint32_t sum = 0, i;

	memcpy(p, rx ? nic_mac : peer_mac, 6);
	memcpy(p + 6, rx ? peer_mac : nic_mac, 6);
	p[12] = 8;
	p[13] = 0;
	memset(ip, 0, 40);
	ip[0] = 0x45;
	ip[2] = (uint8_t)((size - 14) >> 8);
	ip[3] = (uint8_t)(size - 14);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = t->proto;
	memcpy(ip + 12, rx ? peer : t->addr, 4);
	memcpy(ip + 16, rx ? t->addr : peer, 4);
	memcpy(ip + (rx ? 22 : 20), &t->port_be, 2);
	ip[32] = 0x50;
	for (i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	ip[10] = (uint8_t)(~sum >> 8);
	ip[11] = (uint8_t)~sum;
}

static void
refill_rx(struct bench *b)
{
	struct ms_tuple t;
	uint32_t i;

	for (i = 0; i < FRAMES; i++) {
		nth_tuple((uint32_t)(next_random(b) % b->cfg->tuples), &t);
		write_frame(b->in + (size_t)i * STRIDE, b->cfg->size, &t, true);
	}
	for (i = 0; i < b->cfg->ports; i++) {
		struct ms_kring *ring = &b->ports[i]->rx[0];

		ms_os_store_release(&ring->shared->head, ring->tail);
	}
}

/* Puts frames into transmit rings, each into that of its tuple's port. */
static void
refill_tx(struct bench *b)
{
	uint32_t i, n, room;
	struct ms_tuple t;

	b->num_kicks = 0;
	for (i = 0; i < FRAMES;) {
		struct ms_kring *ring;
		struct ms_slot *slot;
		uint32_t head;
		uint8_t *p;

		n = (uint32_t)(next_random(b) % b->cfg->tuples);
		nth_tuple(n, &t);
		ring = &b->ports[n % b->cfg->ports]->tx[0];
		head = ring->shared->head;
		slot = &ring->slots[head & ring->mask];
		p = ring->bufs + (size_t)slot->buf * STRIDE;
		room = ring->shared->tail - head;
		if (room == 0)
			continue;
		if (room == ring->mask + 1)
			b->kicks[b->num_kicks++] = ring;
		write_frame(p, b->cfg->size, &t, false);
		slot->len = (uint16_t)b->cfg->size;
		b->sent[i++] = p;
		ms_os_store_release(&ring->shared->head, head + 1);
	}
}

/* ---- what is timed ---------------------------------------------------------------- */

static void
rx_switch(struct bench *b)
{
	uint32_t i;

	for (i = 0; i < FRAMES; i += BATCH)
		ms_nic_input(b->nic, 0, b->frames + i, BATCH);
}

static void
rx_copy(struct bench *b)
{
	uint32_t mask = b->bare_mask;
	uint32_t i;

	for (i = 0; i < FRAMES; i++) {
		const struct ms_frame *f = &b->frames[i];
		struct bare *r = &b->bare[b->next];
		uint32_t at = r->tail++ & mask;

		b->next = b->next + 1 < b->cfg->ports ? b->next + 1 : 0;
		ms_copy(r->bufs + (size_t)(r->first_buf + at) * STRIDE, f->data,
			f->len);
		r->slots[at].len = (uint16_t)f->len;
		r->slots[at].flags = 0;
		ms_os_store_release(&r->shared->tail, r->tail);
	}
}

static void
tx_switch(struct bench *b)
{
	uint32_t i, done = 0;

	for (i = 0; i < b->num_kicks; i++)
		ms_kring_tx_ready(b->kicks[i]);
	while (done < FRAMES)
		done += ms_nic_sched_run(b->nic, 0, FRAMES);
}

static void
tx_copy(struct bench *b)
{
	struct wire *w = &b->wire;
	uint32_t i;

	for (i = 0; i < FRAMES; i++) {
		ms_copy(w->bufs + (size_t)(w->prod % FRAMES) * STRIDE,
			b->sent[i], b->cfg->size);
		w->len[w->prod % FRAMES] = b->cfg->size;
		ms_os_store_release(&w->prod, w->prod + 1);
	}
}

static void
refill(struct bench *b, bool rx)
{
	if (rx)
		refill_rx(b);
	else
		refill_tx(b);
}

static void
pass(struct bench *b, bool rx, bool copy)
{
	if (rx && copy)
		rx_copy(b);
	else if (rx)
		rx_switch(b);
	else if (copy)
		tx_copy(b);
	else
		tx_switch(b);
}

/*
 * Nanoseconds a frame: the median of all intervals of FRAMES frames, so that
 * those in which the thread was preempted do not count. (Its own CPU time would
 * not either, but to ask for that is a system call, which costs the code after
 * it its branch predictions.)
 */
static double
time_frames(struct bench *b, bool rx, bool copy)
{
	uint32_t i, n = (uint32_t)(b->cfg->frames / FRAMES);
	double *ns = calloc(n, sizeof(*ns));
	uint64_t start;
	double median;

	if (ns == NULL)
		die("calloc", -ENOMEM);
	for (i = 0; i < n; i++) {
		refill(b, rx);
		start = now_ns();
		pass(b, rx, copy);
		ns[i] = (double)(now_ns() - start) / FRAMES;
		if (!rx && copy)
			tx_switch(b); /* empties the rings */
	}
	qsort(ns, n, sizeof(ns[0]), by_value);
	median = ns[n / 2];
	free(ns);
	return median;
}

/* ---- cases -------------------------------------------------------------- */

/* A benchmark that drops measures nothing. */
static void
check_counters(struct bench *b, bool rx)
{
	uint64_t c[MS_CTR_MAX], want;
	unsigned int i;

	ms_nic_stats(b->nic, c);
	for (i = MS_CTR_DROP_RX_FULL; i <= MS_CTR_DROP_NOMEM; i++)
		if (c[i] != 0)
			die("frames were dropped", -ENOBUFS);
	want = rx ? c[MS_CTR_RX_SEEN] : c[MS_CTR_TX_FRAMES];
	if (want == 0 || (rx && c[MS_CTR_RX_FRAMES] != want))
		die("frames were lost", -EIO);
}

static void
report(const struct config *cfg, const char *name, double *ns)
{
	double median;

	qsort(ns, cfg->reps, sizeof(ns[0]), by_value);
	median = ns[cfg->reps / 2];
	printf("{\"case\": \"%s\", \"dir\": \"%s\", \"ports\": %u, "
	       "\"size\": %u, \"tuples\": %u, \"ns\": %.2f, \"mpps\": %.2f, "
	       "\"ns_min\": %.2f, \"ns_max\": %.2f}\n",
	       name, cfg->dir, cfg->ports, cfg->size, cfg->tuples, median,
	       1e3 / median, ns[0], ns[cfg->reps - 1]);
}

static void
run(const struct config *cfg)
{
	bool rx = strcmp(cfg->dir, "rx") == 0;
	struct bench *b = bench_create(cfg);
	double sw[REPS_MAX], copy[REPS_MAX];
	uint32_t i;

	(void)time_frames(b, rx, false);
	(void)time_frames(b, rx, true);
	for (i = 0; i < cfg->reps; i++) {
		sw[i] = time_frames(b, rx, false);
		copy[i] = time_frames(b, rx, true);
	}
	check_counters(b, rx);
	report(cfg, "switch", sw);
	report(cfg, "copy", copy);
	fflush(stdout);
	bench_destroy(b);
}

static void
run_all(struct config cfg)
{
	static const uint32_t ports[] = { 1, 8, 64, 254, 1024, 4096 };
	uint32_t i;

	cfg.dir = "rx";
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		cfg.ports = ports[i];
		run(&cfg);
	}
	cfg.size = 1514;
	for (i = 2; i < 5; i++) {
		cfg.ports = ports[i];
		run(&cfg);
	}
	cfg.size = 60;
	cfg.ports = 64;
	cfg.tuples = 100;
	run(&cfg);
	cfg.tuples = 1000000;
	run(&cfg);
	cfg.tuples = 10000;
	cfg.dir = "tx";
	cfg.ports = 1;
	run(&cfg);
	cfg.ports = 64;
	run(&cfg);
}

static uint32_t
number(const char *text, uint32_t max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end != '\0' || v == 0 || v > max) {
		fprintf(stderr, "bench_switch: '%s' is not in 1..%u\n", text,
			max);
		exit(2);
	}
	return (uint32_t)v;
}

static const struct option options[] = {
	{ "dir", required_argument, NULL, 'd' },
	{ "size", required_argument, NULL, 's' },
	{ "ports", required_argument, NULL, 'p' },
	{ "tuples", required_argument, NULL, 't' },
	{ "reps", required_argument, NULL, 'r' },
	{ "frames", required_argument, NULL, 'f' },
	{ "slots", required_argument, NULL, 'l' },
	{ "quick", no_argument, NULL, 'q' },
	{ NULL, 0, NULL, 0 },
};

static void
usage(void)
{
	fprintf(stderr,
		"usage: bench_switch [--dir rx|tx] [--size BYTES] [--ports N]\n"
		"         [--tuples N] [--reps N] [--frames N] [--slots N]"
		" [--quick]\n");
	exit(2);
}

/* A descriptor for each port's region. */
static void
raise_nofile(void)
{
	struct rlimit l = { 65536, 65536 };

	if (setrlimit(RLIMIT_NOFILE, &l) != 0 &&
	    getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

int
main(int argc, char **argv)
{
	struct config cfg = { .size = 60,
			      .ports = 64,
			      .tuples = 10000,
			      .reps = 9,
			      .slots = 256,
			      .frames = 400 * FRAMES };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			cfg.dir = optarg;
			break;
		case 's':
			cfg.size = number(optarg, STRIDE);
			break;
		case 'p':
			cfg.ports = number(optarg, 60000);
			break;
		case 't':
			cfg.tuples = number(optarg, 16000000);
			break;
		case 'r':
			cfg.reps = number(optarg, REPS_MAX);
			break;
		case 'f':
			cfg.frames = number(optarg, UINT32_MAX);
			if (cfg.frames < FRAMES)
				usage();
			break;
		case 'l':
			cfg.slots = number(optarg, MS_SLOTS_MAX);
			break;
		case 'q':
			cfg.reps = 3;
			cfg.frames = 100 * FRAMES;
			break;
		default:
			usage();
		}
	}
	if (optind < argc || (cfg.slots & (cfg.slots - 1)) != 0 ||
	    cfg.size < 54 || cfg.slots < BATCH / 4)
		usage();
	if (cfg.dir != NULL && strcmp(cfg.dir, "rx") != 0 &&
	    strcmp(cfg.dir, "tx") != 0)
		usage();
	raise_nofile();
	if (cfg.dir != NULL)
		run(&cfg);
	else
		run_all(cfg);
	return 0;
}
