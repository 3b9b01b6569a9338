/* SPDX-License-Identifier: BSD-2-Clause */
/* host_util.h: two hosts joined by a pair, for a test, and frames on it. */
#ifndef HOST_UTIL_H
#define HOST_UTIL_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include "control_util.h"

#define UDP 17
#define FRAME_BYTES 60
#define WAIT_MS 60000 /* for what must come */

struct side {
	struct ms_host *host;
	struct ms_port *port;
	uint32_t rx_head, tx_head;
	uint8_t mac[6], peer_mac[6];
};

struct world {
	struct side a, b;
};

/* ---- hosts and frames ----------------------------------------------- */

static inline struct ms_cmd_attach
pair_arg(unsigned int which)
{
	struct ms_cmd_attach arg = { .size = sizeof(arg), .kind = "pair" };

	snprintf(arg.nic, sizeof(arg.nic), "pair%u", which);
	snprintf(arg.options, sizeof(arg.options),
		 "link=test_host,side=%u,addr=10.0.0.%u", which, which + 1);
	return arg;
}

static inline void
host_open(struct side *s, unsigned int which, uint32_t flags)
{
	struct ms_host_options opt = { .flags = flags };
	struct ms_cmd_attach arg = pair_arg(which);
	struct ms_err err = { "" };

	if (ms_host_create(&opt, &s->host, &err) != 0 ||
	    ms_host_attach(s->host, &arg, &err) != 0)
		fail_msg("%s", err.text);
}

static inline struct ms_port *
port_open(struct side *s, const char *nic, const struct ms_cred *cred)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg), .slots = 256 };
	struct ms_port *port = NULL;
	struct ms_err err = { "" };

	snprintf(arg.nic, sizeof(arg.nic), "%s", nic);
	if (ms_host_ctl(s->host, cred, &port, MS_CMD_PORT_CREATE, &arg,
			sizeof(arg), &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(ms_host_port_watch(s->host, port), 0);
	return port;
}

static inline void
port_close(struct side *s, struct ms_port *port)
{
	if (port == NULL)
		return;
	ms_host_port_unwatch(s->host, port);
	ms_port_destroy(port);
}

static inline int
try_bind(struct side *s, struct ms_port *port, const struct ms_cred *cred,
	 const char *addr, uint16_t number, struct ms_err *err)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg),
				   .tuple = tuple_of(addr, UDP, number) };

	return ms_host_ctl(s->host, cred, &port, MS_CMD_BIND, &arg, sizeof(arg),
			   err);
}

static inline int
setup_with(void **state, uint32_t flags)
{
	struct world *w = calloc(1, sizeof(*w));

	host_open(&w->a, 0, flags);
	host_open(&w->b, 1, flags);
	w->a.port = port_open(&w->a, "pair0", &user_cred);
	w->b.port = port_open(&w->b, "pair1", &user_cred);
	memcpy(w->a.mac, w->a.port->nic->mac, 6);
	memcpy(w->a.peer_mac, w->b.port->nic->mac, 6);
	assert_int_equal(
	    try_bind(&w->a, w->a.port, &user_cred, "10.0.0.1", 7000, NULL), 0);
	assert_int_equal(
	    try_bind(&w->b, w->b.port, &user_cred, "10.0.0.2", 7000, NULL), 0);
	*state = w;
	return 0;
}

static inline int
setup_threads(void **state)
{
	return setup_with(state, 0);
}

static inline int
setup_stepped(void **state)
{
	return setup_with(state, MS_HOST_NO_THREADS);
}

static inline int
teardown(void **state)
{
	struct world *w = *state;

	ms_os_fail_after(0, false);
	port_close(&w->a, w->a.port);
	port_close(&w->b, w->b.port);
	ms_host_destroy(w->a.host);
	ms_host_destroy(w->b.host);
	free(w);
	return 0;
}

static inline void
put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* UDP from 10.0.0.1:7000 to 10.0.0.2:7000 with a number in it. */
static inline void
frame_build(uint8_t f[FRAME_BYTES], const struct side *s, uint32_t seq)
{
	uint32_t sum = 0;
	unsigned int i;

	memset(f, 0, FRAME_BYTES);
	memcpy(f, s->peer_mac, 6);
	memcpy(f + 6, s->mac, 6);
	put16(f + 12, 0x0800);
	f[14] = 0x45;
	put16(f + 16, FRAME_BYTES - 14);
	f[22] = 64;
	f[23] = UDP;
	memcpy(f + 26, "\x0a\0\0\1\x0a\0\0\2", 8);
	for (i = 14; i < 34; i += 2)
		sum += ms_be16(f + i);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(f + 24, ~((sum & 0xffff) + (sum >> 16)));
	put16(f + 34, 7000);
	put16(f + 36, 7000);
	put16(f + 38, FRAME_BYTES - 34);
	memcpy(f + 42, &seq, sizeof(seq));
}

/* As an owner does it. Returns whether the switch wants a kick. */
static inline bool
send_one(struct side *s, uint32_t seq, bool *sent)
{
	struct ms_kring *k = &s->port->tx[0];
	struct ms_slot *slot;

	*sent = false;
	if (ms_os_load_acquire(&k->shared->tail) == s->tx_head)
		return MS_USER_READ(k->shared->doze) != 0;
	slot = &k->slots[s->tx_head & k->mask];
	frame_build(k->bufs + ((size_t)slot->buf << k->buf_shift), s, seq);
	MS_USER_WRITE(slot->len, FRAME_BYTES);
	MS_USER_WRITE(slot->flags, 0);
	s->tx_head++;
	ms_os_store_release(&k->shared->head, s->tx_head); /* C */
	ms_os_fence();					   /* H */
	*sent = true;
	return MS_USER_READ(k->shared->doze) != 0;
}

static inline void
kick(struct side *s)
{
	const uint64_t one = 1;

	assert_int_equal(write(ms_host_kick_fd(&s->port->tx[0]), &one, 8), 8);
}

/* The number in the next frame, or -1. */
static inline int64_t
receive_one(struct ms_port *port, uint32_t *head)
{
	struct ms_kring *k = &port->rx[0];
	const struct ms_slot *slot;
	uint32_t seq;

	if (ms_os_load_acquire(&k->shared->tail) == *head) /* B */
		return -1;
	slot = &k->slots[*head & k->mask];
	memcpy(&seq, k->bufs + ((size_t)slot->buf << k->buf_shift) + 42,
	       sizeof(seq));
	++*head;
	ms_os_store_release(&k->shared->head, *head); /* C */
	return seq;
}

/* Sleeps as an owner does, for at most WAIT_MS. Whether a frame is there. */
static inline bool
wait_frame(struct ms_port *port, uint32_t head)
{
	struct ms_kring *k = &port->rx[0];
	struct pollfd p = { .fd = ms_host_ring_fd(k), .events = POLLIN };
	uint8_t sink[64];

	MS_USER_WRITE(k->shared->wake, head);
	ms_os_fence(); /* F */
	if (ms_os_load_acquire(&k->shared->tail) != head)
		return true;
	if (poll(&p, 1, WAIT_MS) != 1)
		return false;
	assert_true(read(p.fd, sink, sizeof(sink)) > 0);
	return true;
}

static inline bool
readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

#endif /* HOST_UTIL_H */
