/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache.h: what earlier sessions left, to be resumed. A secret is taken out to
 * be used, and is used once (RFC 8548 section 3.5). Sessions that we opened are
 * found by the peer's address, the others by the identifier in a SYN; none is
 * found both ways, so that two SYNs cannot cross over one secret.
 */
#ifndef CRYPT_CACHE_H
#define CRYPT_CACHE_H

#include <multistack/utcp.h>

#include "keys.h"

#define CACHE_MAX 1024 /* the oldest leaves */
#define CACHE_BUCKETS 256
#define CACHE_NS 3600000000000ull /* older ones are of no use */

struct crypt__session {
	struct crypt__session *next;	      /* in its bucket */
	struct crypt__session *older, *newer; /* of all */
	uint64_t at_ns;
	bool active; /* by peer, else by ticket.expect */
	utcp_addr_t peer;
	struct crypt__secret secret;
	struct crypt__ticket ticket;
};

struct crypt__cache {
	struct crypt__session *bucket[CACHE_BUCKETS];
	struct crypt__session *oldest, *newest;
	unsigned int num;
};

/* Keeps a copy; peer NULL: of one that the peer opened. The first half of its
   identifier goes to `name`, by which to forget it. Without memory it is not
   kept. */
void crypt__cache_put(struct crypt__cache *c, uint64_t now_ns,
		      const utcp_addr_t *peer, const struct crypt__secret *s,
		      uint8_t name[RESUME_HALF]);
/* Whether a session's protocol and cipher may be used. */
typedef bool (*crypt__allows_fn)(const void *arg,
				 const struct crypt__secret *s);
/* The newest of a peer that is allowed. False: none. */
bool crypt__cache_take_peer(struct crypt__cache *c, uint64_t now_ns,
			    const utcp_addr_t *peer, crypt__allows_fn allows,
			    const void *arg, struct crypt__secret *s,
			    struct crypt__ticket *t);
/* What a SYN names, with this TEP. */
bool crypt__cache_take_named(struct crypt__cache *c, uint64_t now_ns,
			     uint8_t tep, const uint8_t *half,
			     struct crypt__secret *s, struct crypt__ticket *t);
void crypt__cache_forget(struct crypt__cache *c,
			 const uint8_t name[RESUME_HALF]);
void crypt__cache_clear(struct crypt__cache *c);

#endif /* CRYPT_CACHE_H */
