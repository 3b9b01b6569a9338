/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * msctl: the switch on interfaces, from a shell, where there is no Python.
 *
 *     msctl [-s SWITCH] attach [KIND:]INTERFACE[,OPTION...]
 *     msctl [-s SWITCH] [-f] detach INTERFACE
 *     msctl [-s SWITCH] list
 *
 * SWITCH as msport_control() has it; without one the kernel module if it is
 * loaded, else multistackd. -f: although ports are open. Exits 0, 1 with words
 * on stderr, 2 for bad usage.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <multistack/port.h>

static int
usage(void)
{
	fputs("usage: msctl [-s SWITCH] attach [KIND:]INTERFACE[,OPTION...]\n"
	      "       msctl [-s SWITCH] [-f] detach INTERFACE\n"
	      "       msctl [-s SWITCH] list\n",
	      stderr);
	return 2;
}

/* ---- list ------------------------------------------------------------------ */

typedef void show_t(const struct ms_cmd_list *rec);

/* Each record of a list to show(). 0 or a negative errno. */
static int
each(msport_t *control, enum ms_list what, show_t *show)
{
	struct ms_cmd_list rec = { .size = sizeof rec, .what = what };
	int r;

	for (;;) {
		uint64_t cursor = rec.cursor;

		memset(&rec, 0, sizeof rec);
		rec.size = sizeof rec;
		rec.what = what;
		rec.cursor = cursor;
		r = msport_command(control, MS_CMD_LIST, &rec);
		if (r)
			return r == -ENOENT ? 0 : r;
		show(&rec);
	}
}

static void
show_nic(const struct ms_cmd_list *n)
{
	printf("%.16s: %.16s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u", n->nic,
	       n->label, n->mac[0], n->mac[1], n->mac[2], n->mac[3], n->mac[4],
	       n->mac[5], n->mtu);
	if (n->vlan)
		printf(", VLAN %u", n->vlan);
	printf(", %u port%s\n", n->num, n->num == 1 ? "" : "s");
}

static void
show_port(const struct ms_cmd_list *p)
{
	printf("port %u on %.16s: '%.16s', process %d of user %u, %u tuple%s\n",
	       p->port_id, p->nic, p->label, (int)p->pid, p->uid, p->num,
	       p->num == 1 ? "" : "s");
}

static void
show_tuple(const struct ms_cmd_list *t)
{
	const struct ms_tuple *at = &t->tuple;
	char addr[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop(at->family == 4 ? AF_INET : AF_INET6, at->addr, addr,
			sizeof addr);
	printf("port %u has protocol %u, %s", t->port_id, at->proto, addr);
	if (at->port_be)
		printf(" port %u", ntohs(at->port_be));
	putchar('\n');
}

static int
list(msport_t *control)
{
	int r = each(control, MS_LIST_NICS, show_nic);

	if (r == 0)
		r = each(control, MS_LIST_PORTS, show_port);
	return r ? r : each(control, MS_LIST_TUPLES, show_tuple);
}

/* ---- the command line -------------------------------------------------------- */

static int
command(msport_t *control, uint32_t flags, int argc, char **argv)
{
	int r;

	if (argc == 1)
		r = list(control);
	else if (strcmp(argv[0], "attach") == 0)
		r = msport_attach(control, argv[1]);
	else
		r = msport_detach(control, argv[1], flags);
	if (r == 0)
		return 0;
	fprintf(stderr, "msctl: %s\n",
		*msport_error(control) ? msport_error(control) : strerror(-r));
	return 1;
}

/* Whether the words after the options are a command. */
static int
known(int argc, char **argv)
{
	if (argc == 1)
		return strcmp(argv[0], "list") == 0;
	return argc == 2 && (strcmp(argv[0], "attach") == 0 ||
			     strcmp(argv[0], "detach") == 0);
}

int
main(int argc, char **argv)
{
	const char *where = "";
	msport_error_t err;
	msport_t *control;
	uint32_t flags = 0;
	int c, r;

	while ((c = getopt(argc, argv, "fs:")) != -1) {
		if (c == 'f')
			flags = MS_ATTACH_FORCE;
		else if (c == 's')
			where = optarg;
		else
			return usage();
	}
	if (!known(argc - optind, argv + optind))
		return usage();
	r = msport_control(&control, where, &err);
	if (r) {
		fprintf(stderr, "msctl: %s\n", err.text);
		return 1;
	}
	r = command(control, flags, argc - optind, argv + optind);
	msport_close(control);
	return r;
}
