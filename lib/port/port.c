/* SPDX-License-Identifier: BSD-2-Clause */
/* port.c: opening and closing, commands, errors; all that is not hot. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* ---- errors ------------------------------------------------------------ */

int
msport__fail(msport_t *port, msport_error_t *err, int code, const char *fmt,
	     ...)
{
	msport_error_t e = { .code = code };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof e.text, fmt, ap);
	va_end(ap);
	if (err)
		*err = e;
	if (port && err != &port->err)
		port->err = e;
	if (port)
		__atomic_store_n(&port->text, NULL, __ATOMIC_RELAXED);
	return code;
}

int
msport__die(msport_t *port, int code)
{
	__atomic_store_n(&port->text,
			 code == -ENETDOWN ? port->down : port->lost,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&port->dead, code, __ATOMIC_RELAXED);
	return code;
}

int
msport__bad(msport_t *port)
{
	__atomic_store_n(&port->text,
			 "the ring is damaged: its indices, buffers or lengths "
			 "are not those of a switch; msport_reopen()",
			 __ATOMIC_RELAXED);
	return -EBADMSG;
}

int
msport__no_ring(msport_t *port, unsigned int ring)
{
	int dead = __atomic_load_n(&port->dead, __ATOMIC_RELAXED);

	if (dead)
		return dead;
	__atomic_store_n(&port->text,
			 port->control ? "a control connection has no rings"
				       : "the port has no ring of this number",
			 __ATOMIC_RELAXED);
	return -EINVAL;
}

const char *
msport_error(const msport_t *port)
{
	const char *text = __atomic_load_n(&port->text, __ATOMIC_RELAXED);

	return text ? text : port->err.text;
}

/* ---- the tuples it has, to have them again ------------------------------ */

static int
tuple_find(const msport_t *port, const struct ms_tuple *t)
{
	for (unsigned int i = 0; i < port->num_tuples; i++)
		if (!memcmp(&port->tuples[i], t, sizeof *t))
			return (int)i;
	return -1;
}

/* Room for one more; before the bind, which could not be undone as surely. */
static int
tuple_room(msport_t *port)
{
	unsigned int max = port->max_tuples ? 2 * port->max_tuples : 8;
	struct ms_tuple *t;

	if (port->num_tuples < port->max_tuples)
		return 0;
	t = realloc(port->tuples, max * sizeof *t);
	if (!t)
		return -ENOMEM;
	port->tuples = t;
	port->max_tuples = max;
	return 0;
}

static void
tuple_del(msport_t *port, const struct ms_tuple *t)
{
	int i = tuple_find(port, t);

	if (i >= 0)
		port->tuples[i] = port->tuples[--port->num_tuples];
}

/* After a handover only the switch knows which they are. On error it has those
   that were known. */
static int
tuples_reread(msport_t *port, msport_error_t *err)
{
	struct ms_cmd_list l = { .size = sizeof l, .what = MS_LIST_TUPLES };
	unsigned int num = port->num_tuples, max = port->max_tuples;
	struct ms_tuple *old = port->tuples;
	int r = 0;

	port->tuples = NULL;
	port->num_tuples = port->max_tuples = 0;
	while (r == 0) {
		r = port->ops->command(port, MS_CMD_LIST, &l, sizeof l, err);
		if (r || l.port_id != port->info.port_id)
			continue;
		r = tuple_room(port);
		if (r == 0)
			port->tuples[port->num_tuples++] = l.tuple;
	}
	if (r == -ENOENT) {
		free(old);
		return 0;
	}
	free(port->tuples);
	port->tuples = old;
	port->num_tuples = num;
	port->max_tuples = max;
	return r;
}

/* ---- commands ----------------------------------------------------------- */

int
msport_command(msport_t *port, uint32_t cmd, void *arg)
{
	struct ms_cmd_bind *b = arg;
	msport_error_t *err = &port->err;
	uint32_t bytes;
	int r;

	if (port->pid != getpid())
		return msport__fail(port, err, -EPERM,
				    "this port belongs to process %d, which "
				    "forked; open another one here",
				    (int)port->pid);
	if (port->dead && !port->link)
		return port->dead;
	if (cmd == MS_CMD_PORT_CREATE)
		return msport__fail(port, err, -EBUSY,
				    "a connection has one port; msport_open() "
				    "makes another");
	memcpy(&bytes, arg, sizeof bytes);
	if (bytes < sizeof bytes)
		return msport__fail(port, err, -EINVAL,
				    "a command's struct starts with its size");
	if (cmd == MS_CMD_BIND) {
		r = tuple_room(port);
		if (r)
			return msport__fail(port, err, r, "out of memory");
	}
	__atomic_store_n(&port->text, NULL, __ATOMIC_RELAXED);
	r = port->ops->command(port, cmd, arg, bytes, err);
	if (r)
		return r;
	if (cmd == MS_CMD_BIND && bytes >= sizeof *b)
		port->tuples[port->num_tuples++] = b->tuple;
	else if (cmd == MS_CMD_UNBIND && bytes >= sizeof *b)
		tuple_del(port, &b->tuple);
	else if (cmd == MS_CMD_HANDOVER && !port->control &&
		 ((struct ms_cmd_handover *)arg)->op == MS_HANDOVER_ACCEPT)
		r = tuples_reread(port, err);
	else if (cmd == MS_CMD_HANDOVER && !port->control)
		port->offered = true;
	return r;
}

int
msport_bind(msport_t *port, struct ms_tuple *tuple)
{
	struct ms_cmd_bind b = { .size = sizeof b, .tuple = *tuple };
	int r = msport_command(port, MS_CMD_BIND, &b);

	if (r == 0)
		*tuple = b.tuple;
	return r;
}

int
msport_attach(msport_t *control, const char *spec)
{
	struct ms_err words = { "" };
	struct ms_cmd_attach a;
	int r = ms_attach_spec(spec, &a, &words);

	if (r)
		return msport__fail(control, NULL, r, "%s", words.text);
	return msport_command(control, MS_CMD_ATTACH, &a);
}

int
msport_detach(msport_t *control, const char *nic, uint32_t flags)
{
	struct ms_cmd_attach a = { .size = sizeof a, .flags = flags };
	size_t n = strlen(nic);

	if (n >= sizeof a.nic)
		return msport__fail(control, NULL, -EINVAL,
				    "'%.64s' is too long for an interface name "
				    "(%zu characters at most)",
				    nic, sizeof a.nic - 1);
	memcpy(a.nic, nic, n);
	return msport_command(control, MS_CMD_DETACH, &a);
}

uint32_t
msport_abi(void)
{
	return MS_ABI_VERSION;
}

const char *
msport_version(void)
{
	return MS_VERSION;
}

int
msport_unbind(msport_t *port, const struct ms_tuple *tuple)
{
	struct ms_cmd_bind b = { .size = sizeof b, .tuple = *tuple };

	return msport_command(port, MS_CMD_UNBIND, &b);
}

int
msport_route(msport_t *port, struct ms_cmd_route *r)
{
	r->size = sizeof *r;
	return msport_command(port, MS_CMD_ROUTE, r);
}

int
msport_stats(msport_t *port, struct ms_cmd_stats *s)
{
	if (s->size == 0)
		s->size = sizeof *s;
	return msport_command(port, MS_CMD_STATS, s);
}

int
msport_tuple(struct ms_tuple *tuple, const char *addr, uint8_t proto,
	     uint16_t port)
{
	struct ms_tuple t = { .port_be = htons(port), .proto = proto };

	if (inet_pton(AF_INET, addr, t.addr) == 1)
		t.family = 4;
	else if (inet_pton(AF_INET6, addr, t.addr) == 1)
		t.family = 6;
	else
		return -EINVAL;
	*tuple = t;
	return 0;
}

static const char *const counters[][2] = {
#define ROW(NAME, name, meaning) { name, meaning },
	MS_COUNTERS(ROW)
#undef ROW
};

const char *
msport_counter_name(unsigned int i)
{
	return i < MS_CTR_MAX ? counters[i][0] : NULL;
}

const char *
msport_counter_text(unsigned int i)
{
	return i < MS_CTR_MAX ? counters[i][1] : NULL;
}

const struct ms_cmd_port_create *
msport_info(const msport_t *port)
{
	return port->control ? NULL : &port->info;
}

struct ms_region *
msport_region(const msport_t *port)
{
	return port->region;
}

uint8_t *
msport_extra(const msport_t *port, unsigned int i)
{
	if (i >= port->extra_bufs)
		return NULL;
	return port->bufs + ((size_t)(port->num_bufs - port->extra_bufs + i)
			     << port->buf_shift);
}

/* ---- opening and closing ------------------------------------------------ */

static const struct msport__ops *
choose(const struct msport__device *dev)
{
	switch (dev->kind) {
	case MSPORT__KMOD:
		return &msport__kmod;
	case MSPORT__INPROC:
		return &msport__inproc;
	case MSPORT__ANY:
		if (access(MSPORT__KMOD_DEVICE, F_OK) == 0)
			return &msport__kmod;
		return &msport__daemon;
	default:
		return &msport__daemon;
	}
}

/* Tells a live switch of all that was committed. */
static void
sync_all(msport_t *port)
{
	for (unsigned int i = 0; i < port->num_tx && !port->dead; i++)
		if (port->tx[i].head != port->tx[i].synced)
			(void)msport_sync(port, i);
}

/* Lets go of the switch; the port is dead of `code` then. */
static void
disconnect(msport_t *port, int code)
{
	if (port->pid == getpid())
		sync_all(port);
	msport__rings_destroy(port);
	if (port->ops)
		port->ops->close(port);
	port->link = NULL;
	port->region = NULL;
	port->region_bytes = 0;
	port->extra_bufs = 0;
	port->dead = code;
}

static int
create(msport_t *port, msport_error_t *err)
{
	struct ms_cmd_port_create *c = &port->info;
	int r;

	memset(c, 0, sizeof *c);
	c->size = sizeof *c;
	memcpy(c->nic, port->dev.nic, sizeof c->nic);
	memcpy(c->label, port->opt.label, sizeof c->label);
	c->label[sizeof c->label - 1] = '\0';
	c->tx_rings = port->opt.tx_rings;
	c->rx_rings = port->opt.rx_rings;
	c->slots = port->opt.slots;
	c->buf_bytes = port->opt.buf_bytes;
	c->extra_bufs = port->opt.extra_bufs;
	r = port->ops->command(port, MS_CMD_PORT_CREATE, c, sizeof *c, err);
	if (r)
		return r;
	r = msport__rings_alloc(port, err);
	if (r == 0)
		r = port->ops->map(port, err);
	return r ? r : msport__rings_init(port, err);
}

/* Threads that find the port dead cannot write words each for themselves. */
static void
prepare_words(msport_t *port)
{
	snprintf(port->down, sizeof port->down,
		 "interface '%s' was detached from the switch or is gone; "
		 "attach it again, then msport_reopen()",
		 port->dev.nic);
	if (port->ops == &msport__kmod)
		snprintf(port->lost, sizeof port->lost,
			 "the port of the kernel module could not be opened "
			 "again; msport_reopen()");
	else
		snprintf(port->lost, sizeof port->lost,
			 "multistackd at %s stopped; start it again, then "
			 "msport_reopen()",
			 port->dev.socket);
}

/* Connects to the switch that port->dev names, with a port unless control. */
static int
connect_port(msport_t *port, msport_error_t *err)
{
	int r;

	port->ops = choose(&port->dev);
	prepare_words(port);
	port->dead = 0;
	port->text = NULL;
	r = port->ops->open(port, err);
	if (r == 0 && !port->control)
		r = create(port, err);
	if (r)
		disconnect(port, -ECONNRESET);
	return r;
}

static int
open_any(msport_t **out, const char *device, const msport_options_t *opt,
	 bool control, msport_error_t *err)
{
	msport_t *port;
	int r;

	*out = NULL;
	port = calloc(1, sizeof *port);
	if (!port)
		return msport__fail(NULL, err, -ENOMEM, "out of memory");
	port->control = control;
	port->pid = getpid();
	if (opt)
		port->opt = *opt;
	r = msport__device_parse(&port->dev, device, !control, err);
	if (r == 0)
		r = connect_port(port, err);
	if (r) {
		free(port);
		return r;
	}
	if (err)
		memset(err, 0, sizeof *err);
	*out = port;
	return 0;
}

int
msport_open(msport_t **out, const char *device, const msport_options_t *opt,
	    msport_error_t *err)
{
	return open_any(out, device, opt, false, err);
}

int
msport_control(msport_t **out, const char *device, msport_error_t *err)
{
	return open_any(out, device, NULL, true, err);
}

void
msport_close(msport_t *port)
{
	if (!port)
		return;
	disconnect(port, -ECONNRESET);
	free(port->tuples);
	free(port);
}

/* Binds all that the port had. */
static int
rebind(msport_t *port)
{
	unsigned int i = 0;

	while (i < port->num_tuples) {
		struct ms_cmd_bind b = { .size = sizeof b,
					 .tuple = port->tuples[i] };
		int r = port->ops->command(port, MS_CMD_BIND, &b, sizeof b,
					   &port->err);

		if (r == -EADDRINUSE && port->offered)
			port->tuples[i] = port->tuples[--port->num_tuples];
		else if (r)
			return r;
		else
			i++;
	}
	port->offered = false;
	return 0;
}

int
msport_reopen(msport_t *port)
{
	int r;

	if (port->pid != getpid())
		return msport__fail(port, NULL, -EPERM,
				    "this port belongs to process %d, which "
				    "forked; open another one here",
				    (int)port->pid);
	/* Of a switch that is gone we hear when we bind them. */
	if (port->offered && port->link)
		(void)tuples_reread(port, &port->err);
	disconnect(port, -ECONNRESET);
	r = connect_port(port, &port->err);
	if (r == 0)
		r = rebind(port);
	if (r)
		disconnect(port, -ECONNRESET);
	return r;
}
