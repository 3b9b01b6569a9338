/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp-peer: a UTCP stack on a TUN device, to be held against the kernel's.
 *
 *     utcp-peer --tun NAME [OPTION...] [COMMAND...]
 *     utcp-peer --tun t0 --addr 10.0.0.2 'listen web 0.0.0.0 7 echo'
 *
 * Commands (command.c) are arguments or lines of standard input; replies and
 * events are lines of JSON on standard output. It ends with `quit`, or when
 * standard input does and --stay was not given.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

static uint64_t
clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
usage(void)
{
	fputs("usage: utcp-peer --tun NAME [--addr A]... [--mtu N] [--seed N]\n"
	      "  [--offloads csum,tso,uso] [--buf BYTES] [--cc NAME]\n"
	      "  [--max-socks N] [--max-syns N] [--max-bytes N] [--icmp N]\n"
	      "  [--in IMPAIR] [--out IMPAIR] [--pcap FILE] [--snap BYTES]\n"
	      "  [--zerocopy] [--epoch TIME] [--crypt] [--stay] [COMMAND]...\n",
	      stderr);
	exit(2);
}

enum {
	TUN = 256,
	ADDR,
	MTU,
	SEED,
	OFFLOADS,
	BUF,
	CC,
	SOCKS,
	SYNS,
	BYTES,
	ICMP,
	IN,
	OUT,
	PCAP,
	SNAP,
	ZEROCOPY,
	EPOCH,
	CRYPT,
	STAY
};

static const struct option long_options[] = {
	{ "tun", 1, NULL, TUN },
	{ "addr", 1, NULL, ADDR },
	{ "mtu", 1, NULL, MTU },
	{ "seed", 1, NULL, SEED },
	{ "offloads", 1, NULL, OFFLOADS },
	{ "buf", 1, NULL, BUF },
	{ "cc", 1, NULL, CC },
	{ "max-socks", 1, NULL, SOCKS },
	{ "max-syns", 1, NULL, SYNS },
	{ "max-bytes", 1, NULL, BYTES },
	{ "icmp", 1, NULL, ICMP },
	{ "in", 1, NULL, IN },
	{ "out", 1, NULL, OUT },
	{ "pcap", 1, NULL, PCAP },
	{ "snap", 1, NULL, SNAP },
	{ "zerocopy", 0, NULL, ZEROCOPY },
	{ "epoch", 1, NULL, EPOCH },
	{ "crypt", 0, NULL, CRYPT },
	{ "stay", 0, NULL, STAY },
	{ NULL, 0, NULL, 0 },
};

struct setup {
	utcp_config_t cfg;
	struct wire_options wire;
	const char *addrs[16], *in, *out;
	unsigned int num_addrs;
	uint64_t epoch_ns; /* the stack's time at the start */
	bool zerocopy, crypt, stay;
};

static uint32_t
parse_offloads(const char *text)
{
	uint32_t on = 0;

	if (strstr(text, "csum"))
		on |= UTCP_OFFLOAD_CSUM;
	if (strstr(text, "tso"))
		on |= UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_TCP;
	if (strstr(text, "uso"))
		on |= UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_GSO_UDP;
	return on;
}

static bool
take_option(struct setup *o, int which, const char *arg)
{
	uint32_t number = arg ? (uint32_t)strtoul(arg, NULL, 10) : 0;

	switch (which) {
	case TUN:
		o->wire.name = arg;
		break;
	case ADDR:
		if (o->num_addrs == 16)
			return false;
		o->addrs[o->num_addrs++] = arg;
		break;
	case MTU:
		o->cfg.mtu = number;
		break;
	case SEED:
		o->wire.seed = number;
		break;
	case OFFLOADS:
		o->wire.offloads = o->cfg.offloads = parse_offloads(arg);
		break;
	case BUF:
		o->wire.buf_bytes = number;
		return number >= 2048 && number <= 65536;
	case CC:
		o->cfg.cc = arg;
		break;
	case SOCKS:
		o->cfg.max_socks = number;
		break;
	case SYNS:
		o->cfg.max_syns = number;
		break;
	case BYTES:
		o->cfg.max_bytes = strtoull(arg, NULL, 10);
		break;
	case ICMP:
		o->cfg.icmp_per_s = number;
		break;
	case IN:
		o->in = arg;
		break;
	case OUT:
		o->out = arg;
		break;
	case PCAP:
		o->wire.pcap = arg;
		break;
	case SNAP:
		o->wire.snap = number;
		break;
	case ZEROCOPY:
		o->zerocopy = true;
		break;
	case EPOCH:
		o->epoch_ns = parse_time(arg);
		break;
	case CRYPT:
		o->crypt = true;
		break;
	case STAY:
		o->stay = true;
		break;
	default:
		return false;
	}
	return true;
}

/* Lines from standard input; false: it has ended. */
static bool
read_commands(struct peer *p)
{
	char *nl, *at = p->line;
	ssize_t n;

	n = read(0, p->line + p->line_len, sizeof(p->line) - 1 - p->line_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	p->line_len += (size_t)n;
	p->line[p->line_len] = '\0';
	for (; (nl = strchr(at, '\n')) != NULL; at = nl + 1) {
		*nl = '\0';
		command(p, at);
	}
	p->line_len -= (size_t)(at - p->line);
	memmove(p->line, at, p->line_len);
	return p->line_len < sizeof(p->line) - 1;
}

static void
sleep_until(struct peer *p, struct pollfd *fds, uint64_t at_ns)
{
	uint64_t now = utcp_now_ns(p->u);
	struct timespec ts = { 0, 0 };

	if (at_ns > now) {
		at_ns -= now;
		ts.tv_sec = (time_t)(at_ns / 1000000000u);
		ts.tv_nsec = (long)(at_ns % 1000000000u);
	}
	ppoll(fds, 2, at_ns == UINT64_MAX ? NULL : &ts, NULL);
}

static void
run(struct peer *p, const struct setup *o, uint64_t start_ns)
{
	struct pollfd fds[2] = { { .fd = p->wire.fd, .events = POLLIN },
				 { .fd = 0, .events = POLLIN } };
	uint64_t next, wire_ns;

	while (!p->stop) {
		utcp_advance(p->u, clock_ns() - start_ns + o->epoch_ns);
		wire_input(&p->wire);
		peer_events(p);
		if (fds[1].revents && !read_commands(p)) {
			fds[1].fd = -1;
			fds[1].revents = 0;
			p->stop |= !o->stay;
		}
		peer_events(p);
		utcp_retain(p->u);
		wire_release(&p->wire);
		wire_output(&p->wire);
		fflush(stdout);
		next = utcp_next_ns(p->u);
		wire_ns = wire_next(&p->wire);
		if (wire_ns < next)
			next = wire_ns;
		if (p->again || p->stop)
			next = 0;
		sleep_until(p, fds, next);
	}
}

int
main(int argc, char **argv)
{
	static struct peer p;
	struct setup o = { .cfg = { .size = sizeof(o.cfg) },
			   .wire = { .buf_bytes = 2048, .seed = 1 },
			   .epoch_ns = 1000000000 };
	char *addr, line[4096];
	uint64_t start_ns = clock_ns();
	int c, r;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!take_option(&o, c, optarg))
			usage();
	if (o.wire.name == NULL)
		usage();
	prctl(PR_SET_TIMERSLACK, 1000);
	memcpy(o.cfg.seed, &o.wire.seed, sizeof(o.wire.seed));
	o.cfg.now_ns = o.epoch_ns;
	r = utcp_create(&p.u, &o.cfg);
	if (r == 0 && o.crypt)
		r = peer_crypt(p.u);
	if (r) {
		fprintf(stderr, "utcp-peer: the stack: %s\n", strerror(-r));
		return 2;
	}
	p.conns.next = p.conns.prev = &p.conns;
	p.zerocopy = o.zerocopy;
	pattern_fill(&p);
	wire_open(&p.wire, p.u, &o.wire);
	if ((o.in && impair_parse(p.wire.in, o.in)) ||
	    (o.out && impair_parse(p.wire.out, o.out)))
		usage();
	for (unsigned int i = 0; i < o.num_addrs; i++) {
		snprintf(line, sizeof(line), "address %s", o.addrs[i]);
		command(&p, line);
	}
	for (; optind < argc; optind++) {
		addr = argv[optind];
		snprintf(line, sizeof(line), "%s", addr);
		command(&p, line);
	}
	fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
	puts("{\"event\": \"ready\"}");
	run(&p, &o, start_ns);
	wire_close(&p.wire);
	for (struct conn *k; (k = p.conns.next) != &p.conns;) {
		k->quiet = true;
		conn_end(k, ECANCELED);
	}
	utcp_destroy(p.u);
	free(p.pattern);
	return 0;
}
