/* SPDX-License-Identifier: BSD-2-Clause */
/* command.c: what utcp-peer can be told; `commands` below is the list. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define WORDS_MAX 48

struct words {
	char *w[WORDS_MAX];
	unsigned int n;
};

static const char *
word(const struct words *ws, unsigned int i)
{
	return i < ws->n ? ws->w[i] : "";
}

static int
parse_addr(utcp_addr_t *a, const char *text, const char *port)
{
	memset(a, 0, sizeof(*a));
	a->port_be = htons((uint16_t)strtoul(port, NULL, 10));
	a->family = strchr(text, ':') ? 6 : 4;
	return inet_pton(a->family == 6 ? AF_INET6 : AF_INET, text, a->addr) ==
		       1
		   ? 0
		   : -EINVAL;
}

int
option_set(utcp_sock_t *s, const char *text)
{
	const char *value = strchr(text, '='), *name;
	int64_t v;

	if (value == NULL)
		return -EINVAL;
	if (!strncmp(text, "cc=", 3))
		return utcp_set_cc(s, value + 1);
	if (!strncmp(text, "ext=", 4))
		return utcp_ext_add(s, value + 1, NULL, 0);
	for (unsigned int i = 0; (name = utcp_opt_name(i)) != NULL; i++) {
		size_t len = strlen(name);

		if (strncmp(text, name, len) || text + len != value)
			continue;
		if (len > 3 && !strcmp(name + len - 3, "_ns"))
			v = (int64_t)parse_time(value + 1);
		else
			v = strtoll(value + 1, NULL, 10);
		return utcp_set(s, (int)i, v);
	}
	return -ENOPROTOOPT;
}

static int
parse_mode(struct conn *c, const struct words *ws, unsigned int i)
{
	static const char *const names[] = { "hold", "sink", "source", "both",
					     "echo" };

	for (unsigned int m = 0; m < 5; m++)
		if (!strcmp(word(ws, i), names[m])) {
			c->mode = (enum mode)m;
			if (m == MODE_SOURCE || m == MODE_BOTH)
				c->want = strtoull(word(ws, i + 1), NULL, 10);
			return 0;
		}
	return -EINVAL;
}

/* ---- commands that make a socket: NAME ADDR PORT MODE [BYTES] [SETTING...] ------ */

static int
settings(struct conn *c, const struct words *ws, int *backlog,
	 const char **from)
{
	int r = 0;

	for (unsigned int i = 5; i < ws->n && r == 0; i++) {
		const char *t = ws->w[i];

		if (!strcmp(t, "quiet"))
			c->quiet = true;
		else if (!strcmp(t, "keep"))
			c->keep = true;
		else if (!strncmp(t, "backlog=", 8))
			*backlog = atoi(t + 8);
		else if (!strncmp(t, "from=", 5))
			*from = t + 5;
		else if (strchr(t, '='))
			r = option_set(c->s, t);
	}
	return r;
}

static int
make_socket(struct peer *p, const struct words *ws, bool listener)
{
	const char *from = NULL;
	utcp_addr_t addr, local;
	int r, backlog = 4096;
	char *colon = NULL;
	utcp_sock_t *s;
	struct conn *c;

	if ((r = parse_addr(&addr, word(ws, 2), word(ws, 3))) ||
	    (r = utcp_open(p->u, addr.family, &s)))
		return r;
	c = conn_new(p, s, word(ws, 1));
	c->listener = listener;
	r = parse_mode(c, ws, 4);
	if (r == 0)
		r = settings(c, ws, &backlog, &from);
	if (r == 0 && from) { /* from=ADDR,PORT */
		char text[64];

		snprintf(text, sizeof(text), "%s", from);
		if ((colon = strchr(text, ',')) != NULL)
			*colon++ = '\0';
		r = parse_addr(&local, text, colon ? colon : "0");
		if (r == 0)
			r = utcp_bind(s, &local);
	}
	if (r == 0 && listener && (r = utcp_bind(s, &addr)) == 0)
		r = utcp_listen(s, backlog);
	if (r == 0 && !listener) {
		r = utcp_connect(s, &addr);
		if (r == -EINPROGRESS)
			r = 0;
		else if (r == 0)
			c->open = true; /* Fast Open: may write already */
		if (c->open)
			conn_step(c);
	}
	if (r < 0) {
		c->quiet = true;
		conn_end(c, -r);
	}
	return r;
}

static int
do_listen(struct peer *p, const struct words *ws)
{
	return make_socket(p, ws, true);
}

static int
do_connect(struct peer *p, const struct words *ws)
{
	return make_socket(p, ws, false);
}

static int
do_udp(struct peer *p, const struct words *ws)
{
	utcp_addr_t local;
	int r = parse_addr(&local, word(ws, 1), word(ws, 2));

	return r ? r : udp_echo_open(p, &local);
}

/* ---- commands on a socket: NAME ... ----------------------------------------------- */

static int
do_write(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));
	const char *how = word(ws, 3);

	if (c == NULL)
		return -ENOENT;
	return (int)conn_write(c, strtoull(word(ws, 2), NULL, 10),
			       !strcmp(how, "more")  ? UTCP_MSG_MORE
			       : !strcmp(how, "eor") ? UTCP_MSG_EOR
						     : 0);
}

static int
do_read(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));

	if (c == NULL)
		return -ENOENT;
	return (int)conn_read(c, strtoull(word(ws, 2), NULL, 10));
}

static int
do_mode(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));
	int r;

	if (c == NULL)
		return -ENOENT;
	r = parse_mode(c, ws, 2);
	if (r == 0) {
		c->eof = false; /* hold has seen it coming, not read it */
		conn_step(c);
	}
	return r;
}

static int
do_shutdown(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));
	const char *how = word(ws, 2);

	if (c == NULL)
		return -ENOENT;
	return utcp_shutdown(c->s, !strcmp(how, "rd")	  ? UTCP_SHUT_RD
				   : !strcmp(how, "both") ? UTCP_SHUT_RDWR
							  : UTCP_SHUT_WR);
}

static int
do_close(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));

	if (c == NULL)
		return -ENOENT;
	conn_end(c, 0);
	return 0;
}

static int
do_abort(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));
	utcp_sock_t *s;

	if (c == NULL)
		return -ENOENT;
	s = c->s;
	utcp_abort(s);
	c->s = NULL;
	conn_end(c, 0);
	return 0;
}

static int
do_set(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));

	return c ? option_set(c->s, word(ws, 2)) : -ENOENT;
}

static int
do_info(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));

	if (c == NULL)
		return -ENOENT;
	json_conn(stdout, c);
	json_info(stdout, c->s);
	printf(", \"poll\": %u, \"now_ns\": %llu", utcp_poll(c->s),
	       (unsigned long long)utcp_now_ns(p->u));
	return 0;
}

static int
do_session(struct peer *p, const struct words *ws)
{
	struct conn *c = conn_find(p, word(ws, 1));

	return c ? peer_session(c->s) : -ENOENT;
}

/* ---- commands on all ----------------------------------------------------------------- */

static int
do_counters(struct peer *p, const struct words *ws)
{
	(void)ws;
	json_counters(stdout, p->u);
	printf(", \"udp_echo_in\": %llu, \"udp_echo_out\": %llu",
	       (unsigned long long)p->udp_in, (unsigned long long)p->udp_out);
	return 0;
}

static int
do_usage(struct peer *p, const struct words *ws)
{
	utcp_usage_t us;

	(void)ws;
	utcp_usage(p->u, &us);
	printf(", \"mem_bytes\": %llu, \"buffered_bytes\": %llu, \"socks\": "
	       "%u, \"syns\": %u, \"timewaits\": %u",
	       (unsigned long long)us.mem_bytes,
	       (unsigned long long)us.buffered_bytes, us.socks, us.syns,
	       us.timewaits);
	return 0;
}

static int
do_impair(struct peer *p, const struct words *ws)
{
	if (strcmp(word(ws, 1), "in") && strcmp(word(ws, 1), "out"))
		return -EINVAL;
	return impair_parse(*ws->w[1] == 'i' ? p->wire.in : p->wire.out,
			    word(ws, 2))
		   ? -EINVAL
		   : 0;
}

static void
json_impair(const char *name, const struct impair *im)
{
	struct impair_count c = impair_count(im);

	printf(", \"%s\": {\"in\": %llu, \"lost\": %llu, \"dup\": %llu, "
	       "\"corrupt\": %llu, \"late\": %llu, \"full\": %llu, \"marked\": "
	       "%llu, \"too_big\": %llu}",
	       name, (unsigned long long)c.in, (unsigned long long)c.lost,
	       (unsigned long long)c.dup, (unsigned long long)c.corrupt,
	       (unsigned long long)c.late, (unsigned long long)c.full,
	       (unsigned long long)c.marked, (unsigned long long)c.too_big);
}

static int
do_wire(struct peer *p, const struct words *ws)
{
	(void)ws;
	json_impair("in", p->wire.in);
	json_impair("out", p->wire.out);
	printf(", \"failed\": %llu", (unsigned long long)p->wire.failed);
	return 0;
}

static int
do_mtu(struct peer *p, const struct words *ws)
{
	return utcp_set_mtu(p->u, (uint32_t)strtoul(word(ws, 1), NULL, 10));
}

static int
do_address(struct peer *p, const struct words *ws)
{
	utcp_addr_t a;
	int r = parse_addr(&a, word(ws, 1), "0");

	return r ? r : utcp_address(p->u, &a, 1);
}

static int
do_quit(struct peer *p, const struct words *ws)
{
	(void)ws;
	p->stop = true;
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct peer *p, const struct words *ws);
} commands[] = {
	{ "listen", do_listen },     { "connect", do_connect },
	{ "write", do_write },	     { "read", do_read },
	{ "mode", do_mode },	     { "shutdown", do_shutdown },
	{ "close", do_close },	     { "abort", do_abort },
	{ "set", do_set },	     { "info", do_info },
	{ "counters", do_counters }, { "usage", do_usage },
	{ "impair", do_impair },     { "wire", do_wire },
	{ "mtu", do_mtu },	     { "address", do_address },
	{ "quit", do_quit },	     { "udp", do_udp },
	{ "session", do_session },
};

void
command(struct peer *p, char *line)
{
	struct words ws = { .n = 0 };
	int r = -ENOSYS;
	char *save = NULL;

	for (char *w = strtok_r(line, " \t\r\n", &save); w && ws.n < WORDS_MAX;
	     w = strtok_r(NULL, " \t\r\n", &save))
		ws.w[ws.n++] = w;
	if (ws.n == 0)
		return;
	/* Events that a command causes stand before its reply: a reply is
	   written in two pieces, so it begins only after the command unless
	   the command says something itself. */
	for (unsigned int i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(ws.w[0], commands[i].name)) {
			bool says = commands[i].run == do_info ||
				    commands[i].run == do_counters ||
				    commands[i].run == do_usage ||
				    commands[i].run == do_wire;

			if (says)
				printf("{\"reply\": \"%s\"", ws.w[0]);
			r = commands[i].run(p, &ws);
			if (says) {
				printf(", \"result\": %d}\n", r);
				return;
			}
			break;
		}
	printf("{\"reply\": \"%s\", \"result\": %d}\n", ws.w[0], r);
}
