/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h: who is where: the table of connections (table.c) and the local
 * ports (port.c).
 */
#ifndef UTCP_TABLE_H
#define UTCP_TABLE_H

#include <multistack/utcp.h>

#include "util.h"

/* All zeros: any address. What is behind an IPv4 address does not count. */
static inline bool
utcp__is_any(const utcp_addr_t *a)
{
	static const uint8_t any[16];

	return memcmp(a->addr, any, a->family == 4 ? 4 : 16) == 0;
}

/* Nobody's own: multicast, and of IPv4 also what is reserved, and broadcast. */
static inline bool
utcp__is_many(const uint8_t *addr, uint8_t family)
{
	return family == 4 ? addr[0] >= 224 : addr[0] == 0xff;
}

/* This host's, on no wire: 127.0.0.0/8, ::1. */
static inline bool
utcp__is_loopback(const uint8_t *addr, uint8_t family)
{
	static const uint8_t one[16] = { [15] = 1 };

	return family == 4 ? addr[0] == 127 : memcmp(addr, one, 16) == 0;
}

enum utcp__kind { UTCP__CONN, UTCP__SYN, UTCP__TIMEWAIT };

/* Local and remote end. IPv4 in the first four bytes. */
struct utcp__key {
	uint8_t laddr[16], raddr[16];
	uint16_t lport_be, rport_be;
	uint8_t family; /* 4 or 6, of the packets */
	uint8_t proto;
	uint16_t pad; /* 0 */
};

struct utcp__ent {
	struct utcp__ent *next; /* in its bucket */
	uint32_t hash;
	uint8_t kind; /* enum utcp__kind */
	bool linked;  /* stands in the table */
	struct utcp__key key;
};

/* A local port that is taken, by sockets together (a listener and what it
   accepted); let go with the last. */
struct utcp__port {
	struct utcp__link link;
	utcp_t *u;
	utcp_addr_t addr; /* as bound: the address may be the wildcard */
	uint32_t refs;
	utcp_sock_t *listener; /* borrowed; NULL */
	utcp_udp_t *udp;       /* borrowed; NULL */
	bool v6only;
	bool bound_alone; /* bound by utcp_bind, by a socket still open */
	bool shared;	  /* ephemeral, of connections only */
};

struct utcp__table {
	struct utcp__ent **bucket, **old; /* old: while it grows */
	uint32_t mask, old_mask, moved, count;
	struct utcp__key last_key; /* whose hash was made last */
	uint32_t last_hash;
};

/* table.c */
int utcp__table_init(utcp_t *u);
void utcp__table_deinit(utcp_t *u);
/* NULL if there is none. */
struct utcp__ent *utcp__find(utcp_t *u, const struct utcp__key *k);
/* e->key is set, and nobody stands there. */
void utcp__link_ent(utcp_t *u, struct utcp__ent *e);
void utcp__unlink_ent(utcp_t *u, struct utcp__ent *e);
/* Puts `to` in the place of `from` (the same key). */
void utcp__replace_ent(utcp_t *u, struct utcp__ent *from, struct utcp__ent *to);
/* The listener for packets to this key: exact address before wildcard, own
   family before the IPv6 wildcard without V6ONLY. NULL. */
utcp_sock_t *utcp__find_listener(utcp_t *u, const struct utcp__key *k);
utcp_udp_t *utcp__find_udp(utcp_t *u, const struct utcp__key *k);

/* port.c */
int utcp__ports_init(utcp_t *u);
void utcp__ports_deinit(utcp_t *u);
/* Takes a port (addr->port_be 0: an ephemeral one, written back; RFC 6056,
   and config.claim). Returns a reference. -EADDRINUSE, -ENOMEM, or what
   config.claim says. */
int utcp__port_take(utcp_t *u, utcp_addr_t *addr, uint8_t proto, bool v6only,
		    bool reuse, struct utcp__port **out);
/* For a connection from k, whose local port is written: one that makes the
   tuple unique. 0; 1: a TIME-WAIT made way and *iss is to be used;
   -EADDRNOTAVAIL, -ENOMEM, or what config.claim says. */
int utcp__port_connect(utcp_t *u, struct utcp__key *k, struct utcp__port **out,
		       uint32_t *iss);
/* Whether the tuple is free: 0; 1: it was in TIME-WAIT, which made way (RFC
   6191), and *iss is to be used; -EADDRINUSE. */
int utcp__port_tuple(utcp_t *u, const struct utcp__key *k, uint32_t *iss);
struct utcp__port *utcp__port_get(struct utcp__port *p);
void utcp__port_put(struct utcp__port *p);

#endif /* UTCP_TABLE_H */
