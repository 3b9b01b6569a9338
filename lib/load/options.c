/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c: the command line. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

#define BODY_MAX (16u << 20)
#define TIME_MAX 1e6 /* seconds */
#define SLOTS 512    /* of a port that nobody has asked for more */
#define SLOTS_MOST 8192

static int
usage(FILE *to)
{
	fputs("usage: multistack-load [options] --device DEVICE URL\n"
	      "       multistack-load [options] --host-stack URL\n"
	      "\n"
	      "      --device DEVICE       the port: daemon:eth0, xdp:eth0,\n"
	      "                            tap:ms0,local=10.9.0.2/24,"
	      "host=10.9.0.1\n"
	      "      --host-stack          sockets instead\n"
	      "  -c, --connections N       at a time; default 64\n"
	      "  -t, --threads N           each with a stack of its own\n"
	      "  -d, --duration TIME       10, 10s, 500ms, 2m; default 10s\n"
	      "  -n, --requests N          so many, and then it ends\n"
	      "  -r, --rate N              requests a second, due at fixed "
	      "times\n"
	      "  -p, --pipeline N          requests under way on a connection\n"
	      "      --close               a connection for each request\n"
	      "      --reset               connections end by reset\n"
	      "  -X, --method NAME         default GET, with a body POST\n"
	      "  -H, --header 'NAME: VALUE'\n"
	      "  -b, --body TEXT|@FILE\n"
	      "  -s, --source ADDR[:PORT]  from there (again for more)\n"
	      "  -w, --warmup TIME         before anything counts\n"
	      "      --timeout TIME        for an answer; default 10s\n"
	      "      --interval TIME       expected between requests, for the\n"
	      "                            correction; default the median\n"
	      "  -L, --latency             all percentiles\n"
	      "      --json FILE|-         everything, for programs\n"
	      "      --cc NAME, -o, --option NAME=VALUE   as utcp.h says\n"
	      "      --pin                 each thread to a processor\n"
	      "      --spin US             look so long before sleeping\n"
	      "      --slots N, --buffer BYTES  of the port's rings\n"
	      "      --no-offloads         segments and checksums by itself\n"
	      "  -q, --quiet               say only what goes wrong\n"
	      "  -v, --verbose             say what the stacks counted\n"
	      "  -h, --help   -V, --version\n",
	      to);
	return to == stderr ? 2 : 0;
}

/* ---- values ----------------------------------------------------------------------- */

/* Seconds, or with a unit. */
static bool
option_time(const char *text, double least, uint64_t *ns)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = { { "", 1 },      { "s", 1 },  { "ms", 1e-3 },
		      { "us", 1e-6 }, { "m", 60 }, { "h", 3600 } };
	char *end;
	double n;

	errno = 0;
	n = strtod(text, &end);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (errno || end == text || strcmp(end, units[i].name) != 0)
			continue;
		n *= units[i].seconds;
		if (!(n >= least) || !(n <= TIME_MAX))
			break;
		*ns = (uint64_t)(n * 1e9);
		return true;
	}
	complain("'%s' is no time of at least %g s", text, least);
	return false;
}

/* "10.0.0.1", "10.0.0.1:5000", "fd00::1", "[fd00::1]:5000" */
static bool
option_source(struct options *o, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	double port = 0;
	size_t n = strlen(text);

	if (o->num_sources == SOURCES_MAX) {
		complain("too many sources");
		return false;
	}
	if (*text == '[' || (colon && strchr(text, ':') == colon)) {
		bool plain = *text == '[' && text[n - 1] == ']';

		if (!plain && !option_number(colon + 1, 1, 65535, &port))
			return false;
		n = plain ? n : (size_t)(colon - text);
		if (*text == '[' && n >= 2 && text[n - 1] == ']') {
			text++;
			n -= 2;
		}
	}
	n = n < sizeof host ? n : 0;
	memcpy(host, text, n);
	host[n] = '\0';
	if (mslink_addr(&o->sources[o->num_sources], host, (uint16_t)port) ||
	    o->sources[o->num_sources].family != o->sources[0].family) {
		complain("'%s' is no address, or not of the others' family",
			 text);
		return false;
	}
	o->num_sources++;
	return true;
}

/* The text, or what is in a file. */
static bool
option_body(struct options *o, const char *text)
{
	FILE *from = *text == '@' ? fopen(text + 1, "rb") : NULL;
	char *body = from ? malloc(BODY_MAX + 1) : NULL;

	free((void *)(uintptr_t)o->body);
	o->body = NULL;
	if (*text != '@')
		body = strdup(text);
	if (!body) {
		complain("%s: %s", text, strerror(errno));
	} else if (!from) {
		o->body_len = strlen(body);
		o->body = body;
	} else {
		o->body_len = fread(body, 1, BODY_MAX + 1, from);
		if (!ferror(from) && o->body_len <= BODY_MAX) {
			o->body = body;
		} else {
			complain("%s: cannot be read, or is too long", text);
			free(body);
		}
	}
	if (from)
		fclose(from);
	return o->body != NULL;
}

static bool
option_field(struct options *o, const char *text)
{
	bool good = strchr(text, ':') > text;

	for (const char *p = text; *p; p++)
		good &= (unsigned char)*p >= ' ' || *p == '\t';
	if (!good || o->num_fields == sizeof o->fields / sizeof *o->fields) {
		complain("'%s' is not NAME: VALUE, or there are too many",
			 text);
		return false;
	}
	o->fields[o->num_fields++] = text;
	return true;
}

static bool
option_method(struct options *o, const char *text)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";

	if (!*text || strspn(text, letters) < strlen(text) ||
	    strcmp(text, "CONNECT") == 0) {
		complain("'%s' is no method for this", text);
		return false;
	}
	o->method = text;
	return true;
}

/* ---- options ------------------------------------------------------------------------- */

enum {
	OPT_DEVICE = 256,
	OPT_HOST,
	OPT_CLOSE,
	OPT_RESET,
	OPT_TIMEOUT,
	OPT_INTERVAL,
	OPT_JSON,
};

static const char shorts[] = "c:t:d:n:r:p:X:H:b:s:w:Lo:qvhV";
static const struct option longs[] = {
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "host-stack", no_argument, NULL, OPT_HOST },
	{ "connections", required_argument, NULL, 'c' },
	{ "threads", required_argument, NULL, 't' },
	{ "duration", required_argument, NULL, 'd' },
	{ "requests", required_argument, NULL, 'n' },
	{ "rate", required_argument, NULL, 'r' },
	{ "pipeline", required_argument, NULL, 'p' },
	{ "close", no_argument, NULL, OPT_CLOSE },
	{ "reset", no_argument, NULL, OPT_RESET },
	{ "method", required_argument, NULL, 'X' },
	{ "header", required_argument, NULL, 'H' },
	{ "body", required_argument, NULL, 'b' },
	{ "source", required_argument, NULL, 's' },
	{ "warmup", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "latency", no_argument, NULL, 'L' },
	{ "json", required_argument, NULL, OPT_JSON },
	STACK_OPTIONS,
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* What is said, and how. */
static bool
option_words(struct options *o, int c)
{
	switch (c) {
	case 'X':
		return option_method(o, optarg);
	case 'H':
		return option_field(o, optarg);
	case 'b':
		return option_body(o, optarg);
	case 'L':
		o->spectrum = true;
		return true;
	case OPT_JSON:
		o->json = optarg;
		return true;
	case 'q':
		o->quiet = true;
		return true;
	case 'v':
		o->verbose = true;
		return true;
	case OPT_DEVICE:
		o->device = optarg;
		return true;
	case 's':
		return option_source(o, optarg);
	default:
		return option_stack(&o->stack, c, optarg);
	}
}

/* False: wrong, and why was said. */
static bool
option(struct options *o, int c)
{
	double n;

	switch (c) {
	case 'c':
		return option_uint(optarg, 1, CONNECTIONS_MAX, &o->connections);
	case 't':
		return option_uint(optarg, 1, THREADS_MAX, &o->threads);
	case 'd':
		return option_time(optarg, 1e-3, &o->duration_ns);
	case 'n':
		if (!option_number(optarg, 1, 1e15, &n))
			return false;
		o->requests = (uint64_t)n;
		return true;
	case 'r':
		return option_number(optarg, 1e-3, 1e9, &o->rate);
	case 'p':
		return option_uint(optarg, 1, PIPELINE_MAX, &o->pipeline);
	case OPT_CLOSE:
		o->one_each = true;
		return true;
	case OPT_RESET:
		o->reset = true;
		return true;
	case 'w':
		return option_time(optarg, 0, &o->warmup_ns);
	case OPT_TIMEOUT:
		return option_time(optarg, 1e-3, &o->timeout_ns);
	case OPT_INTERVAL:
		return option_time(optarg, 1e-5, &o->interval_ns);
	default:
		return option_words(o, c);
	}
}

/* What goes together, and what follows from it. */
static bool
agree(struct options *o)
{
	bool last_close = o->one_each && o->pipeline > 1;
	uint32_t slots = SLOTS;
	bool ports = false;

	for (unsigned int i = 0; i < o->num_sources; i++)
		ports |= o->sources[i].port_be != 0;
	if (last_close || o->threads > o->connections ||
	    (ports && (o->num_sources < o->connections || o->threads > 1))) {
		complain(last_close ? "--close leaves no room for a pipeline"
			 : ports ? "each connection takes a port of its own, "
				   "all of one thread"
				 : "there are more threads than connections");
		return false;
	}
	if (!o->method)
		o->method = o->body ? "POST" : "GET";
	o->head = strcmp(o->method, "HEAD") == 0;
	/* All may answer at once. */
	while (slots < o->connections && slots < SLOTS_MOST)
		slots *= 2;
	if (!o->stack.slots && slots > SLOTS)
		o->stack.slots = slots;
	if (o->duration_ns == 0 && o->requests == UINT64_MAX)
		o->duration_ns = 10000000000u;
	else if (o->duration_ns == 0)
		o->duration_ns = UINT64_MAX;
	return true;
}

int
options_parse(struct options *o, int argc, char **argv)
{
	bool host = false;
	int c;

	*o = (struct options){
		.threads = 1,
		.connections = 64,
		.pipeline = 1,
		.requests = UINT64_MAX,
		.timeout_ns = 10000000000u,
	};
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout);
		if (c == 'V') {
			puts("multistack-load " MS_VERSION);
			return 0;
		}
		if (c == OPT_HOST)
			host = true;
		else if (!option(o, c))
			return c == '?' ? usage(stderr) : 2;
	}
	if (optind + 1 != argc || host == (o->device != NULL))
		return usage(stderr);
	o->url = argv[optind];
	return agree(o) && url_resolve(o) ? -1 : 2;
}

void
options_free(struct options *o)
{
	free((void *)(uintptr_t)o->body);
	free(o->text);
}
