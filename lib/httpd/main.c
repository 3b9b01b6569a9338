/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c: multistack-httpd's options, and its last words. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "httpd.h"

#define PORT 8080

atomic_int stop;

const char program_name[] = "multistack-httpd";

static void
on_signal(int sig)
{
	(void)sig;
	stop++;
}

/* ---- what it says ------------------------------------------------------------ */

static void
addr_text(const utcp_addr_t *a, char text[64])
{
	char ip[48];

	inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->addr, ip, sizeof ip);
	snprintf(text, 64, a->family == 4 ? "%s:%u" : "[%s]:%u", ip,
		 ntohs(a->port_be));
}

void
server_ready(const struct options *opt)
{
	char text[64];

	if (opt->quiet)
		return;
	for (unsigned int i = 0; i < opt->num_listen; i++) {
		addr_text(&opt->listen[i], text);
		printf("multistack-httpd: listening on %s, %s\n", text,
		       opt->device ? opt->device : "the host's stack");
	}
	fflush(stdout);
}

void
server_report(const struct options *opt, const struct server *srv)
{
	if (opt->quiet)
		return;
	printf(
	    "multistack-httpd: %llu connections, %llu requests, %llu "
	    "errors, %llu timeouts, %llu resets, %llu bytes\n",
	    (unsigned long long)srv->conns, (unsigned long long)srv->requests,
	    (unsigned long long)srv->errors, (unsigned long long)srv->timeouts,
	    (unsigned long long)srv->resets,
	    (unsigned long long)srv->sent_bytes);
	fflush(stdout);
}

static int
usage(FILE *to)
{
	fputs("usage: multistack-httpd [options] -d DEVICE FOLDER\n"
	      "       multistack-httpd [options] --host-stack FOLDER\n"
	      "\n"
	      "  -d, --device DEVICE       the port: daemon:eth0, xdp:eth0,\n"
	      "                            tap:ms0,local=10.9.0.2/24,"
	      "host=10.9.0.1\n"
	      "      --host-stack          sockets instead\n"
	      "  -l, --listen ADDR:PORT    where (again for more); default "
	      "[::]:8080\n"
	      "  -t, --threads N           stacks, each on a ring and a "
	      "thread of its own\n"
	      "      --pin                 each thread to a processor\n"
	      "  -c, --cc NAME             congestion control\n"
	      "  -o, --option NAME=VALUE   an option of utcp.h, for all "
	      "connections\n"
	      "      --cache N             open files at most; default 1024\n"
	      "      --keep-alive S        idle so long; default 60\n"
	      "      --head-timeout S      for a whole request; default 10\n"
	      "      --send-timeout S      nothing taken so long; default 60\n"
	      "      --grace S             to answer what was asked, at the "
	      "end; default 3\n"
	      "      --spin US             look so long before sleeping\n"
	      "      --slots N, --buffer BYTES  of the port's rings\n"
	      "      --no-offloads         segments and checksums by itself\n"
	      "  -q, --quiet               say only what goes wrong\n"
	      "  -v, --verbose             say at the end what was counted\n"
	      "  -h, --help   -V, --version\n",
	      to);
	return to == stderr ? 2 : 0;
}

/* ---- options ------------------------------------------------------------------- */

static bool
option_seconds(const char *text, uint64_t *to)
{
	double n;

	if (!option_number(text, 0.001, 1e6, &n))
		return false;
	*to = (uint64_t)(n * 1e9);
	return true;
}

/* "10.0.0.1:80", "[::]:80", "80" */
static bool
option_listen(struct options *o, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[64] = "::";
	double port;
	size_t n;

	if (o->num_listen == sizeof o->listen / sizeof *o->listen) {
		complain("too many addresses");
		return false;
	}
	if (colon) {
		n = (size_t)(colon - text);
		if (text[0] == '[' && n >= 2 && text[n - 1] == ']') {
			text++;
			n -= 2;
		}
		if (n >= sizeof host)
			n = 0;
		memcpy(host, text, n);
		host[n] = '\0';
	}
	if (!option_number(colon ? colon + 1 : text, 1, 65535, &port))
		return false;
	if (mslink_addr(&o->listen[o->num_listen], host, (uint16_t)port)) {
		complain("'%s' is no address", host);
		return false;
	}
	o->num_listen++;
	return true;
}

enum {
	OPT_HOST = 256,
	OPT_CACHE,
	OPT_KEEP_ALIVE,
	OPT_HEAD,
	OPT_SEND,
	OPT_GRACE,
};

static const struct option longs[] = {
	{ "device", required_argument, NULL, 'd' },
	{ "host-stack", no_argument, NULL, OPT_HOST },
	{ "listen", required_argument, NULL, 'l' },
	{ "threads", required_argument, NULL, 't' },
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "keep-alive", required_argument, NULL, OPT_KEEP_ALIVE },
	{ "head-timeout", required_argument, NULL, OPT_HEAD },
	{ "send-timeout", required_argument, NULL, OPT_SEND },
	{ "grace", required_argument, NULL, OPT_GRACE },
	STACK_OPTIONS,
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* False: wrong, and why was said. */
static bool
option(struct options *o, int c, bool *host)
{
	switch (c) {
	case 'd':
		o->device = optarg;
		return true;
	case OPT_HOST:
		*host = true;
		return true;
	case 'l':
		return option_listen(o, optarg);
	case 't':
		return option_uint(optarg, 1, MS_RINGS_MAX, &o->threads);
	case 'c':
		return option_stack(&o->stack, OPT_CC, optarg);
	case OPT_CACHE:
		return option_uint(optarg, 0, 1000000, &o->cache);
	case OPT_KEEP_ALIVE:
		return option_seconds(optarg, &o->timeout_ns[PHASE_IDLE]);
	case OPT_HEAD:
		return option_seconds(optarg, &o->timeout_ns[PHASE_HEAD]);
	case OPT_SEND:
		return option_seconds(optarg, &o->timeout_ns[PHASE_SEND]);
	case OPT_GRACE:
		return option_seconds(optarg, &o->grace_ns);
	case 'q':
		o->quiet = true;
		return true;
	case 'v':
		o->verbose = true;
		return true;
	default:
		return option_stack(&o->stack, c, optarg);
	}
}

int
main(int argc, char **argv)
{
	struct options o = {
		.threads = 1,
		.cache = 1024,
		.timeout_ns = { [PHASE_IDLE] = 60000000000u,
				[PHASE_HEAD] = 10000000000u,
				[PHASE_SEND] = 60000000000u,
				[PHASE_LINGER] = 2000000000u },
		.grace_ns = 3000000000u,
	};
	bool host = false;
	int c;

	while ((c = getopt_long(argc, argv, "d:l:t:c:o:qvhV", longs, NULL)) !=
	       -1) {
		if (c == 'h')
			return usage(stdout);
		if (c == 'V') {
			puts("multistack-httpd " MS_VERSION);
			return 0;
		}
		if (!option(&o, c, &host))
			return c == '?' ? usage(stderr) : 2;
	}
	if (optind + 1 != argc || host == (o.device != NULL))
		return usage(stderr);
	o.root = argv[optind];
	if (o.num_listen == 0)
		(void)mslink_addr(&o.listen[o.num_listen++], "::", PORT);
	catch_signals(on_signal);
	c = files_guard();
	if (c)
		complain("SIGBUS: %s", strerror(-c));
	return host ? serve_host(&o) : serve_utcp(&o);
}
