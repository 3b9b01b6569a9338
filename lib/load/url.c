/* SPDX-License-Identifier: BSD-2-Clause */
/* url.c: where to (RFC 3986, http only), and the request's text. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "load.h"

#define HOST_BYTES 256
#define TEXT_MAX (64u << 20) /* of all requests of a pipeline */

struct url {
	char host[HOST_BYTES];
	char port[6];
	const char *authority; /* as it stands there */
	size_t authority_len;
	const char *target; /* from its slash or question mark on, or "" */
	size_t target_len;
};

/* The port's digits of the authority's end: "80" if there are none. */
static bool
split_port(struct url *u, const char *p, size_t n)
{
	if (n == 0) {
		strcpy(u->port, "80");
		return true;
	}
	p++; /* the colon */
	n--;
	if (n == 0 || n > 5 || strspn(p, "0123456789") < n)
		return false;
	memcpy(u->port, p, n);
	u->port[n] = '\0';
	return atoi(u->port) > 0 && atoi(u->port) < 65536;
}

static bool
split(const char *text, struct url *u)
{
	const char *p = text + 7, *end;
	size_t host;

	if (strncasecmp(text, "http://", 7) != 0)
		return false;
	u->authority = p;
	u->authority_len = strcspn(p, "/?#");
	u->target = p + u->authority_len;
	u->target_len = strcspn(u->target, "#");
	end = u->target;
	if (*p == '[') {
		p++;
		host = strcspn(p, "]/?#");
		if (p[host] != ']' ||
		    !split_port(u, p + host + 1, (size_t)(end - p) - host - 1))
			return false;
	} else {
		host = strcspn(p, ":/?#");
		if (!split_port(u, p + host, (size_t)(end - p) - host))
			return false;
	}
	if (host == 0 || host >= HOST_BYTES || memchr(p, '@', host))
		return false;
	memcpy(u->host, p, host);
	u->host[host] = '\0';
	for (p = text; *p; p++)
		if (*p <= ' ' || *p == 0x7f)
			return false;
	return true;
}

/* The first address of the name that is of the sources' family, if any. */
static bool
look_up(struct options *o, const struct url *u)
{
	static const int families[] = { [4] = AF_INET, [6] = AF_INET6 };
	struct addrinfo want = { .ai_socktype = SOCK_STREAM }, *found;
	int r;

	if (o->num_sources)
		want.ai_family = families[o->sources[0].family];
	r = getaddrinfo(u->host, u->port, &want, &found);
	if (r) {
		complain("%s: %s", u->host, gai_strerror(r));
		return false;
	}
	o->peer = (utcp_addr_t){ .family = 4 };
	if (found->ai_family == AF_INET6) {
		struct sockaddr_in6 six;

		memcpy(&six, found->ai_addr, sizeof six);
		o->peer.family = 6;
		memcpy(o->peer.addr, &six.sin6_addr, 16);
		o->peer.port_be = six.sin6_port;
	} else {
		struct sockaddr_in four;

		memcpy(&four, found->ai_addr, sizeof four);
		memcpy(o->peer.addr, &four.sin_addr, 4);
		o->peer.port_be = four.sin_port;
	}
	freeaddrinfo(found);
	return true;
}

/* ---- the text --------------------------------------------------------------------- */

static bool
has_field(const struct options *o, const char *name)
{
	size_t len = strlen(name);

	for (unsigned int i = 0; i < o->num_fields; i++)
		if (strncasecmp(o->fields[i], name, len) == 0 &&
		    o->fields[i][len] == ':')
			return true;
	return false;
}

static void
put_head(FILE *to, const struct options *o, const struct url *u)
{
	fprintf(to, "%s %s%.*s HTTP/1.1\r\n", o->method,
		*u->target == '/' ? "" : "/", (int)u->target_len, u->target);
	if (!has_field(o, "host"))
		fprintf(to, "Host: %.*s\r\n", (int)u->authority_len,
			u->authority);
	for (unsigned int i = 0; i < o->num_fields; i++)
		fprintf(to, "%s\r\n", o->fields[i]);
	if (o->body && !has_field(o, "content-length"))
		fprintf(to, "Content-Length: %zu\r\n", o->body_len);
	if (o->one_each && !has_field(o, "connection"))
		fputs("Connection: close\r\n", to);
	fputs("\r\n", to);
}

static bool
make_text(struct options *o, const struct url *u)
{
	char *one = NULL;
	FILE *to = open_memstream(&one, &o->text_len);
	bool good = to != NULL;

	if (to) {
		put_head(to, o, u);
		if (o->body_len)
			(void)fwrite(o->body, 1, o->body_len, to);
		good = fclose(to) == 0 && o->text_len <= TEXT_MAX / o->pipeline;
	}
	o->text = good ? malloc(o->text_len * o->pipeline) : NULL;
	for (unsigned int i = 0; o->text && i < o->pipeline; i++)
		memcpy(o->text + i * o->text_len, one, o->text_len);
	free(one);
	if (!o->text)
		complain("the request is too long");
	return o->text != NULL;
}

bool
url_resolve(struct options *o)
{
	struct url u;

	if (!split(o->url, &u)) {
		complain("'%s' is no http://HOST[:PORT][/...]", o->url);
		return false;
	}
	return look_up(o, &u) && make_text(o, &u);
}
