/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.h: memory and what is drawn by chance (mem.c). All memory of a stack
 * comes from here, and is accounted.
 */
#ifndef UTCP_MEM_H
#define UTCP_MEM_H

#include <multistack/utcp.h>

#include "util.h"

enum utcp__pool_id {
	UTCP__POOL_SOCK,
	UTCP__POOL_BUSY,
	UTCP__POOL_SYN,
	UTCP__POOL_TW,
	UTCP__POOL_SEG,
	UTCP__POOL_RBLK,
	UTCP__POOL_CTL,
	UTCP__POOL_MAX
};

struct utcp__pool {
	struct utcp__link partial,
	    full;	      /* chunks: with free objects; without */
	uint32_t bytes;	      /* of one object */
	uint32_t slot;	      /* with what we need */
	uint32_t used, empty; /* objects; chunks with none */
};

/* Zeroed. NULL: out of memory. Accounted in u->mem_bytes. */
void *utcp__alloc(utcp_t *u, size_t bytes);
/* Not zeroed. */
void *utcp__alloc_raw(utcp_t *u, size_t bytes);
void utcp__free(utcp_t *u, void *mem, size_t bytes);
/* An object of the pool, zeroed; NULL. */
void *utcp__pool_get(utcp_t *u, enum utcp__pool_id id);
void utcp__pool_put(utcp_t *u, enum utcp__pool_id id, void *obj);
void utcp__pools_init(utcp_t *u);
void utcp__pools_deinit(utcp_t *u);

/* Random, from the seed: ChaCha20, so not to be predicted from outside. */
uint64_t utcp__random(utcp_t *u);
void utcp__random_init(utcp_t *u, const uint8_t seed[32]);
void utcp__chacha_block(const uint32_t in[16], uint32_t out[16]);
/* SipHash-2-4. */
uint64_t utcp__siphash(const uint64_t key[2], const void *data, size_t len);

#endif /* UTCP_MEM_H */
