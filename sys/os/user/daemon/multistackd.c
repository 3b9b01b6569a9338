/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* multistackd.c: options, start and end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"

#ifndef MS_VERSION
#define MS_VERSION "unreleased"
#endif

static const char usage[] =
    "usage: multistackd [options]\n"
    "\n"
    "Owns network interfaces for the MultiStack switch and gives ports of it\n"
    "to programs, over a Unix socket. multistackd(8) has it all.\n"
    "\n"
    "  -a, --attach [KIND:]IF[,OPTION...]\n"
    "                       attach an interface; KIND is xdp, tc, tap or\n"
    "                       pair; may be given again\n"
    "  -b, --busy-poll US   workers look so long for frames before they sleep\n"
    "  -f, --foreground     do not go to the background\n"
    "  -g, --generic        generic XDP even where native works\n"
    "  -n, --no-attach      only what --attach says; gives up the privileges\n"
    "                       that attaching more would take\n"
    "  -p, --pid-file FILE  write the process id there\n"
    "  -s, --socket PATH    listen there (" MS_SOCKET_PATH ")\n"
    "  -G, --group GROUP    only its members may connect\n"
    "  -u, --user USER      become this user once all is open\n"
    "      --max-ports N    of one user that is no administrator (256)\n"
    "      --max-memory MIB of rings of one such user (1024)\n"
    "  -v, --verbose        log more\n"
    "  -V, --version        print the versions of program and ABI\n"
    "  -h, --help           print this\n";

enum { OPT_MAX_PORTS = 256, OPT_MAX_MEMORY };

static const struct option longs[] = {
	{ "attach", required_argument, NULL, 'a' },
	{ "busy-poll", required_argument, NULL, 'b' },
	{ "foreground", no_argument, NULL, 'f' },
	{ "generic", no_argument, NULL, 'g' },
	{ "group", required_argument, NULL, 'G' },
	{ "help", no_argument, NULL, 'h' },
	{ "max-memory", required_argument, NULL, OPT_MAX_MEMORY },
	{ "max-ports", required_argument, NULL, OPT_MAX_PORTS },
	{ "no-attach", no_argument, NULL, 'n' },
	{ "pid-file", required_argument, NULL, 'p' },
	{ "socket", required_argument, NULL, 's' },
	{ "user", required_argument, NULL, 'u' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* ---- options -------------------------------------------------------------- */

static uint32_t
number(const char *option, const char *text, uint32_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || v > max) {
		fprintf(stderr,
			"multistackd: %s '%s': a number from 0 to %u is "
			"wanted\n",
			option, text, max);
		exit(2);
	}
	return (uint32_t)v;
}

/* Asks for the words that a bad specification deserves before anything is
   opened. */
static void
add_attach(struct options *opt, const char *spec)
{
	struct ms_cmd_attach arg;
	struct ms_err err = { "" };

	if (ms_attach_spec(spec, &arg, &err)) {
		fprintf(stderr, "multistackd: --attach: %s\n", err.text);
		exit(2);
	}
	if (opt->num_attach == sizeof opt->attach / sizeof *opt->attach) {
		fprintf(stderr, "multistackd: more than %u times --attach\n",
			opt->num_attach);
		exit(2);
	}
	opt->attach[opt->num_attach++] = spec;
}

static void
set_option(struct options *opt, int c, const char *arg)
{
	switch (c) {
	case 'a':
		add_attach(opt, arg);
		break;
	case 'b':
		opt->busy_poll_us = number("--busy-poll", arg, 1000000);
		break;
	case 'f':
		opt->foreground = true;
		break;
	case 'g':
		opt->generic = true;
		break;
	case 'G':
		opt->group = arg;
		break;
	case 'n':
		opt->no_attach = true;
		break;
	case 'p':
		opt->pid_file = arg;
		break;
	case 's':
		opt->socket = arg;
		break;
	case 'u':
		opt->user = arg;
		break;
	case 'v':
		opt->verbose = true;
		break;
	case OPT_MAX_PORTS:
		opt->max_ports = number("--max-ports", arg, 1u << 20);
		break;
	case OPT_MAX_MEMORY:
		opt->max_bytes =
		    (uint64_t)number("--max-memory", arg, UINT32_MAX) << 20;
		break;
	case 'V':
		printf("multistackd %s, ABI version %d\n", MS_VERSION,
		       MS_ABI_VERSION);
		exit(0);
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("multistackd: --help says what there is\n", stderr);
		exit(2);
	}
}

static void
parse(struct options *opt, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "a:b:fgG:hnp:s:u:vV", longs,
				NULL)) != -1)
		set_option(opt, c, optarg);
	if (optind < argc) {
		fprintf(stderr,
			"multistackd: '%s' is no option; interfaces are given "
			"as --attach %s\n",
			argv[optind], argv[optind]);
		exit(2);
	}
	if (opt->no_attach && opt->num_attach == 0) {
		fputs("multistackd: with --no-attach and without --attach "
		      "there would be no interface, ever\n",
		      stderr);
		exit(2);
	}
}

/* ---- start and end ---------------------------------------------------------- */

/*
 * Goes to the background. The parent stays until the child is ready or has
 * failed, and exits accordingly; the child gets the descriptor to tell it by.
 */
static int
background(void)
{
	int p[2];
	char ok = 0;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) || (pid = fork()) < 0) {
		log_line(LOG_ERROR, "cannot go to the background: %m");
		exit(1);
	}
	if (pid == 0) {
		close(p[0]);
		setsid();
		return p[1];
	}
	close(p[1]);
	_exit(read(p[0], &ok, 1) == 1 ? 0 : 1);
}

static void
background_ready(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		close(null);
	}
	if (write(fd, "", 1) != 1)
		log_line(LOG_NOTE, "who started us is gone");
	close(fd);
}

/* How the interface was attached in the end: "xdp native", "tc", ... */
static void
mode_of(struct ms_host *host, const char *nic, char *mode)
{
	struct ms_cmd_list l = { .size = sizeof l, .what = MS_LIST_NICS };
	struct ms_port *none = NULL;
	struct ms_cred self;

	ms_cred_self(&self);
	*mode = '\0';
	while (ms_host_ctl(host, &self, &none, MS_CMD_LIST, &l, sizeof l,
			   NULL) == 0)
		if (!strncmp(l.nic, nic, sizeof l.nic))
			memcpy(mode, l.label, sizeof l.label);
}

static int
attach_all(struct ms_host *host, const struct options *opt)
{
	for (unsigned int i = 0; i < opt->num_attach; i++) {
		struct ms_cmd_attach arg;
		struct ms_err err = { "" };
		char mode[sizeof((struct ms_cmd_list *)0)->label];
		int r = ms_attach_spec(opt->attach[i], &arg, &err);

		if (opt->generic)
			arg.flags |= MS_ATTACH_GENERIC;
		if (r == 0)
			r = ms_host_attach(host, &arg, &err);
		if (r) {
			log_line(LOG_ERROR, "cannot attach %s: %s",
				 opt->attach[i],
				 *err.text ? err.text : strerror(-r));
			return r;
		}
		mode_of(host, arg.nic, mode);
		log_line(LOG_INFO, "attached %.*s (%.*s)", MS_IFNAME_BYTES,
			 arg.nic, (int)sizeof mode, mode);
	}
	return 0;
}

static void
signals_block(void)
{
	sigset_t set;

	/* Before any thread, so that only the server's signalfd gets them. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* Opens all that takes privileges, gives them up, serves. */
static int
serve(const struct options *opt, unsigned int max_fds, int ready_fd)
{
	struct ms_host_options hopt = { .busy_poll_us = opt->busy_poll_us,
					.thread_start = privs_drop_thread };
	struct ms_host *host = NULL;
	struct ms_err err = { "" };
	int fd, r;

	r = witness_start();
	if (r)
		return r;
	r = ms_host_create(&hopt, &host, &err);
	if (r) {
		log_line(LOG_ERROR, "%s", *err.text ? err.text : strerror(-r));
		return r;
	}
	r = attach_all(host, opt);
	if (r)
		goto out;
	fd = socket_listen(opt, &err);
	if (fd < 0) {
		r = fd;
		log_line(LOG_ERROR, "%s", err.text);
		goto out;
	}
	r = opt->pid_file ? pid_file_write(opt->pid_file, &err) : 0;
	if (r)
		log_line(LOG_ERROR, "%s", err.text);
	else
		r = privs_drop(opt);
	if (r) {
		close(fd);
		goto unlink;
	}
	log_line(LOG_INFO, "listening at %s", opt->socket);
	if (ready_fd >= 0)
		background_ready(ready_fd);
	r = server_run(host, opt, fd, max_fds);
	if (opt->pid_file)
		unlink(opt->pid_file);
unlink:
	/* Where the directory is not ours any more it stays, and the next
	   daemon replaces it. */
	unlink(opt->socket);
out:
	ms_host_destroy(host);
	return r;
}

int
main(int argc, char **argv)
{
	struct options opt = { .socket = MS_SOCKET_PATH,
			       .max_ports = 256,
			       .max_bytes = 1024ull << 20 };
	struct ms_err err = { "" };
	int lock_fd, ready_fd = -1, r;
	unsigned int max_fds;

	parse(&opt, argc, argv);
	log_init(opt.verbose);
	if (!opt.foreground)
		ready_fd = background();
	signals_block();
	if (privs_lock(&opt))
		return 1;
	max_fds = limits_raise();
	r = socket_lock(opt.socket, &lock_fd, &err);
	if (r) {
		log_line(LOG_ERROR, "%s", err.text);
		return 1;
	}
	r = serve(&opt, max_fds, ready_fd);
	close(lock_fd);
	return r ? 1 : 0;
}
