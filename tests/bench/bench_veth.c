/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_veth: the same reflector twice, on bare AF_XDP and on a port, and the
 * generator that feeds it. Sends each frame back to its sender and says how
 * many a second, as one line of JSON.
 *
 *     bench_veth gen IF SECONDS BYTES SRC_MAC DST_MAC SRC DST SPORT DPORT
 *     bench_veth bare|bare-rx IF SECONDS
 *     bench_veth port|port-rx DEVICE SECONDS ADDRESS PORT
 *
 * -rx: frames are received and looked at, and not sent back.
 */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <xdp/xsk.h>

#include <multistack/port.h>

#include "bench_frame.h"

#define BATCH 256
#define RING 2048
#define FRAMES (2 * RING)
#define FRAME_BYTES 2048

struct bare {
	struct xsk_umem *umem;
	struct xsk_socket *xsk;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons comp, rx;
	uint8_t *mem;
	uint32_t in_flight;
};

static volatile sig_atomic_t stop;
static uint64_t count, cpu_at_first, first_ns, last_ns, seen_bytes;

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void
die(const char *what, int err)
{
	fprintf(stderr, "bench_veth: %s: %s\n", what, strerror(abs(err)));
	exit(1);
}

static struct bpf_insn
insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	return (struct bpf_insn){ .code = code,
				  .dst_reg = dst,
				  .src_reg = src,
				  .off = off,
				  .imm = imm };
}

static void
attach(const char *ifname, const struct bpf_insn *code, size_t n)
{
	int prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "bench", "GPL", code, n,
				 NULL);
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);

	if (prog < 0)
		die("load XDP program", prog);
	/* The link holds the program until this process ends. */
	if (bpf_link_create(prog, (int)if_nametoindex(ifname), BPF_XDP, &opts) <
	    0)
		die("attach XDP program", errno);
}

static void
bare_open(struct bare *b, const char *ifname)
{
	struct xsk_umem_config ucfg = { .fill_size = FRAMES,
					.comp_size = RING,
					.frame_size = FRAME_BYTES };
	struct xsk_socket_config cfg = {
		.rx_size = RING,
		.tx_size = RING,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP
	};
	uint32_t idx;
	int r, map;

	b->mem = mmap(NULL, (size_t)FRAMES * FRAME_BYTES,
		      PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b->mem == MAP_FAILED)
		die("memory", errno);
	r = xsk_umem__create(&b->umem, b->mem, (uint64_t)FRAMES * FRAME_BYTES,
			     &b->fill, &b->comp, &ucfg);
	if (r)
		die("umem", r);
	r = xsk_socket__create(&b->xsk, ifname, 0, b->umem, &b->rx, &b->tx,
			       &cfg);
	if (r)
		die("AF_XDP socket", r);
	if (xsk_ring_prod__reserve(&b->fill, RING, &idx) != RING)
		die("fill ring", ENOBUFS);
	for (uint32_t i = 0; i < RING; i++)
		*xsk_ring_prod__fill_addr(&b->fill, idx + i) = (uint64_t)i *
							       FRAME_BYTES;
	xsk_ring_prod__submit(&b->fill, RING);
	map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "xsks", 4, 4, 1, NULL);
	if (map < 0)
		die("map", errno);
	r = xsk_socket__update_xskmap(b->xsk, map);
	if (r)
		die("map entry", r);
	const struct bpf_insn redirect[] = {
		insn(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 16, 0), /* queue */
		insn(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map),
		insn(0, 0, 0, 0, 0),
		insn(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS),
		insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
		insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
	};

	attach(ifname, redirect, sizeof redirect / sizeof *redirect);
}

/* Counts from the first frame on, so that waiting for the generator to start
   is no part of it. */
static void
counted(uint32_t n)
{
	if (!count) {
		first_ns = bench_now_ns();
		cpu_at_first = bench_cpu_ns();
	}
	last_ns = bench_now_ns();
	count += n;
}

/* The kernel takes a few dozen frames a call, and says EAGAIN if there are
   more. */
static void
bare_kick(struct bare *b)
{
	while (xsk_ring_prod__needs_wakeup(&b->tx) &&
	       sendto(xsk_socket__fd(b->xsk), NULL, 0, MSG_DONTWAIT, NULL, 0) <
		   0 &&
	       errno == EAGAIN)
		;
}

/* Frames that were sent go back to the fill ring. */
static void
bare_recycle(struct bare *b)
{
	uint32_t c, f, n = xsk_ring_cons__peek(&b->comp, BATCH, &c);

	if (!n)
		return;
	if (xsk_ring_prod__reserve(&b->fill, n, &f) != n)
		die("fill ring", ENOBUFS);
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&b->fill, f + i) =
		    *xsk_ring_cons__comp_addr(&b->comp, c + i) &
		    ~(uint64_t)(FRAME_BYTES - 1);
	xsk_ring_prod__submit(&b->fill, n);
	xsk_ring_cons__release(&b->comp, n);
	b->in_flight -= n;
}

static uint32_t
bare_round(struct bare *b, bool send)
{
	uint32_t r, t = 0, f = 0, n;

	bare_recycle(b);
	n = xsk_ring_cons__peek(&b->rx, BATCH, &r);
	if (!n) {
		if (b->in_flight)
			bare_kick(b);
		return 0;
	}
	if (send ? xsk_ring_prod__reserve(&b->tx, n, &t) != n
		 : xsk_ring_prod__reserve(&b->fill, n, &f) != n)
		die("ring", ENOBUFS);
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&b->rx,
								  r + i);
		uint8_t *frame = xsk_umem__get_data(b->mem, d->addr);

		seen_bytes += frame[37] + d->len;
		if (send) {
			bench_reflect(frame);
			*xsk_ring_prod__tx_desc(&b->tx, t + i) =
			    (struct xdp_desc){ .addr = d->addr, .len = d->len };
		} else {
			*xsk_ring_prod__fill_addr(&b->fill, f + i) =
			    d->addr & ~(uint64_t)(FRAME_BYTES - 1);
		}
	}
	xsk_ring_cons__release(&b->rx, n);
	if (send) {
		xsk_ring_prod__submit(&b->tx, n);
		b->in_flight += n;
		bare_kick(b);
	} else {
		xsk_ring_prod__submit(&b->fill, n);
	}
	return n;
}

static void
run_bare(const char *ifname, double seconds, bool send)
{
	struct bare b = { 0 };
	struct pollfd p = { .events = POLLIN };
	uint64_t end;

	bare_open(&b, ifname);
	p.fd = xsk_socket__fd(b.xsk);
	puts("ready");
	fflush(stdout);
	end = bench_now_ns() + (uint64_t)(seconds * 1e9);
	while (!stop && bench_now_ns() < end) {
		uint32_t n = bare_round(&b, send);

		if (n)
			counted(n);
		else
			poll(&p, 1, 10);
	}
}

static int
port_round(msport_t *port, bool send)
{
	msport_view_t rx[BATCH], tx[BATCH];
	int n = msport_rx(port, 0, rx, BATCH), room;

	if (n <= 0)
		return n;
	if (send) {
		room = msport_tx(port, 0, tx, (unsigned int)n);
		if (room < 0)
			return room;
		if (n > room)
			n = room; /* the rest stays in the ring */
	}
	for (int i = 0; i < n; i++) {
		seen_bytes += rx[i].data[37] + rx[i].len;
		if (!send)
			continue;
		memcpy(tx[i].data, rx[i].data, rx[i].len);
		tx[i].len = rx[i].len;
		bench_reflect(tx[i].data);
	}
	msport_rx_release(port, 0, (unsigned int)n);
	if (send) {
		msport_tx_commit(port, 0, tx, (unsigned int)n);
		msport_sync(port, 0);
	}
	return n;
}

static void
run_port(const char *device, double seconds, bool send, const char *addr,
	 uint16_t number)
{
	msport_options_t opt = { .slots = RING, .label = "bench" };
	struct ms_tuple tuple;
	msport_error_t err;
	msport_t *port;
	uint64_t end;
	int n;

	if (msport_open(&port, device, &opt, &err)) {
		fprintf(stderr, "bench_veth: %s\n", err.text);
		exit(1);
	}
	n = msport_tuple(&tuple, addr, IPPROTO_UDP, number);
	if (!n)
		n = msport_bind(port, &tuple);
	if (n)
		die(msport_error(port), n);
	puts("ready");
	fflush(stdout);
	end = bench_now_ns() + (uint64_t)(seconds * 1e9);
	while (!stop && bench_now_ns() < end) {
		n = port_round(port, send);
		if (n > 0)
			counted((uint32_t)n);
		else if (n == 0)
			msport_wait(port, 1, 0, 10);
		else
			die(msport_error(port), n);
	}
	msport_close(port);
}

/*
 * Sends for so long, and drops what comes back before it costs anything. The
 * frames are made by the kernel (BPF_PROG_TEST_RUN with live frames, as its
 * own xdp-trafficgen does), several times as fast as a socket would.
 */
static void
run_gen(const char *ifname, double seconds, uint32_t bytes,
	const struct bench_flow *flow)
{
	const struct bpf_insn drop[] = { insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0,
					      0, XDP_DROP),
					 insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0) };
	const struct bpf_insn out[] = {
		insn(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0,
		     (int)if_nametoindex(ifname)),
		insn(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0),
		insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect),
		insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
	};
	struct xdp_md ctx = { .data_end = bytes };
	uint8_t frame[1514];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = bytes, .ctx_in = &ctx,
		    .ctx_size_in = sizeof ctx, .repeat = 1 << 20,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);
	uint64_t end;
	int prog, r;

	if (bytes > sizeof frame)
		die("frame", EMSGSIZE);
	bench_frame(frame, bytes, flow);
	attach(ifname, drop, 2);
	prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "bench_gen", "GPL", out, 4,
			     NULL);
	if (prog < 0)
		die("load XDP program", prog);
	end = bench_now_ns() + (uint64_t)(seconds * 1e9);
	while (!stop && bench_now_ns() < end) {
		r = bpf_prog_test_run_opts(prog, &opts);
		if (r && r != -EINTR)
			die("generate", r);
		counted(1 << 20);
	}
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct bench_flow flow;
	const char *mode = argc > 3 ? argv[1] : "";
	double seconds = argc > 3 ? atof(argv[3]) : 0, took;
	bool send = !strstr(mode, "-rx");

	sigaction(SIGTERM, &sa, NULL);
	if (!strncmp(mode, "bare", 4)) {
		run_bare(argv[2], seconds, send);
	} else if (!strncmp(mode, "port", 4) && argc == 6) {
		run_port(argv[2], seconds, send, argv[4],
			 (uint16_t)atoi(argv[5]));
	} else if (!strcmp(mode, "gen") && argc == 11 &&
		   !bench_mac(argv[5], flow.src_mac) &&
		   !bench_mac(argv[6], flow.dst_mac)) {
		flow.src_be = inet_addr(argv[7]);
		flow.dst_be = inet_addr(argv[8]);
		flow.sport = (uint16_t)atoi(argv[9]);
		flow.dport = (uint16_t)atoi(argv[10]);
		run_gen(argv[2], seconds, (uint32_t)atoi(argv[4]), &flow);
	} else {
		fprintf(stderr, "usage: see the top of bench_veth.c\n");
		return 2;
	}
	took = count ? (double)(last_ns - first_ns) / 1e9 : 1;
	printf("{\"mode\": \"%s\", \"frames\": %llu, \"seconds\": %.4f, "
	       "\"mpps\": %.4f, \"cpu_ns\": %.1f}\n",
	       mode, (unsigned long long)count, took,
	       (double)count / took / 1e6,
	       count ? (double)(bench_cpu_ns() - cpu_at_first) / (double)count
		     : 0.0);
	return seen_bytes == 42; /* so that looking is not optimised away */
}
