/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_util.h: a switch with bare interfaces for the tests of the control
 * plane. Interfaces record claims and can refuse them.
 */
#ifndef CONTROL_UTIL_H
#define CONTROL_UTIL_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ms_user.h"

static const struct ms_cred root_cred = { 0, 1, true, true, true };
static const struct ms_cred user_cred = { 1000, 2, false, false, false };
static const struct ms_cred other_cred = { 1001, 3, false, false, false };

struct bare_nic {
	struct ms_nic *nic;
	int claims;	     /* open ones */
	int fail_claim_with; /* of the next claim */
	int (*route)(struct ms_cmd_route *r);
};

static inline uint32_t
bare_xmit(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
	  uint32_t n, bool more)
{
	(void)nic, (void)q, (void)frames, (void)more;
	return n;
}

static inline int
bare_claim(struct ms_nic *nic, const struct ms_tuple *t, bool on)
{
	struct bare_nic *b = nic->os;
	int err = b->fail_claim_with;

	(void)t;
	if (on && err) {
		b->fail_claim_with = 0;
		return err;
	}
	b->claims += on ? 1 : -1;
	return 0;
}

static inline int
bare_route(struct ms_nic *nic, struct ms_cmd_route *r)
{
	struct bare_nic *b = nic->os;

	return b->route != NULL ? b->route(r) : -ENETUNREACH;
}

static const struct ms_nic_ops bare_ops = {
	.name = "bare",
	.xmit = bare_xmit,
	.claim = bare_claim,
	.route = bare_route,
};

static inline void
bare_nic_add(struct ms_switch *sw, struct bare_nic *b, const char *name)
{
	struct ms_nic tmpl;

	memset(&tmpl, 0, sizeof(tmpl));
	memset(b, 0, sizeof(*b));
	tmpl.ops = &bare_ops;
	tmpl.os = b;
	snprintf(tmpl.name, sizeof(tmpl.name), "%s", name);
	snprintf(tmpl.kind, sizeof(tmpl.kind), "bare");
	tmpl.mac[0] = 2;
	tmpl.mac[5] = 7;
	tmpl.mtu = 1500;
	tmpl.features = MS_FEATURE_CSUM_TX;
	tmpl.num_queues = 2;
	assert_int_equal(ms_nic_create(sw, &tmpl, &b->nic), 0);
}

/* A port with small rings. */
static inline struct ms_port *
port_new(struct ms_nic *nic, const struct ms_cred *cred)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg), .slots = 8 };
	struct ms_port *port = NULL;

	ms_mutex_lock(&nic->sw->ctl_lock);
	assert_int_equal(ms_port_create(nic, cred, &arg, &port), 0);
	ms_mutex_unlock(&nic->sw->ctl_lock);
	return port;
}

static inline struct ms_tuple
tuple_of(const char *addr, uint8_t proto, uint16_t port)
{
	struct ms_tuple t;

	memset(&t, 0, sizeof(t));
	t.family = strchr(addr, ':') != NULL ? 6 : 4;
	t.proto = proto;
	t.port_be = htons(port);
	assert_int_equal(
	    inet_pton(t.family == 6 ? AF_INET6 : AF_INET, addr, t.addr), 1);
	return t;
}

static inline int
bind_tuple(struct ms_port *port, const struct ms_cred *cred,
	   struct ms_tuple *tuple, uint32_t *holder)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg), .tuple = *tuple };
	int r;

	ms_mutex_lock(&port->sw->ctl_lock);
	r = ms_port_bind(port, cred, &arg);
	ms_mutex_unlock(&port->sw->ctl_lock);
	*tuple = arg.tuple;
	if (holder != NULL)
		*holder = arg.holder;
	return r;
}

static inline int
unbind_tuple(struct ms_port *port, const struct ms_tuple *tuple)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg), .tuple = *tuple };
	int r;

	ms_mutex_lock(&port->sw->ctl_lock);
	r = ms_port_unbind(port, &arg);
	ms_mutex_unlock(&port->sw->ctl_lock);
	return r;
}

/* Who gets a frame to this tuple. */
static inline struct ms_port *
lookup(struct ms_switch *sw, const struct ms_tuple *t)
{
	struct ms_read r;
	struct ms_port *port;

	ms_os_read_enter(&r);
	port = ms_table_lookup(sw->table, t);
	ms_os_read_exit(&r);
	return port;
}

#endif /* CONTROL_UTIL_H */
