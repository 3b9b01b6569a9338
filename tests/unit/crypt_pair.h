/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypt_pair.h: two ends of tcpcrypt and what each has put into its stream, in
 * memory. Bytes move when a test says so.
 */
#ifndef CRYPT_PAIR_H
#define CRYPT_PAIR_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include "conn.h"

#define CE_ROOM (4u << 20)

struct crypt_end {
	struct crypt__conn c;
	struct crypt__io io;
	uint8_t *out; /* emitted */
	size_t out_len, out_taken;
	uint8_t *got; /* delivered */
	size_t got_len;
	int64_t mem;	  /* allocated */
	int64_t mem_most; /* ever */
	uint64_t backlog; /* to be told */
	int last_flags;
	int fail_emit, fail_deliver, fail_alloc; /* errno */
};

struct crypt_pair {
	struct crypt_end end[2]; /* 0 is the active opener */
};

static inline int
ce_emit(void *arg, const void *data, size_t len, int flags)
{
	struct crypt_end *e = arg;

	if (e->fail_emit != 0)
		return e->fail_emit;
	assert_true(e->out_len + len <= CE_ROOM);
	memcpy(e->out + e->out_len, data, len);
	e->out_len += len;
	e->last_flags = flags;
	return 0;
}

static inline int
ce_deliver(void *arg, const void *data, size_t len)
{
	struct crypt_end *e = arg;

	if (e->fail_deliver != 0)
		return e->fail_deliver;
	assert_true(e->got_len + len <= CE_ROOM);
	memcpy(e->got + e->got_len, data, len);
	e->got_len += len;
	return 0;
}

static inline uint64_t
ce_backlog(void *arg)
{
	return ((struct crypt_end *)arg)->backlog;
}

static inline void *
ce_alloc(void *arg, size_t bytes)
{
	struct crypt_end *e = arg;

	if (e->fail_alloc != 0)
		return NULL;
	e->mem += (int64_t)bytes;
	if (e->mem > e->mem_most)
		e->mem_most = e->mem;
	return calloc(1, bytes);
}

/* What is given back must be wiped. */
static inline void
ce_release(void *arg, void *mem, size_t bytes)
{
	struct crypt_end *e = arg;

	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(((uint8_t *)mem)[i], 0);
	e->mem -= (int64_t)bytes;
	free(mem);
}

static inline void
ce_init(struct crypt_end *e)
{
	memset(e, 0, sizeof(*e));
	e->out = malloc(CE_ROOM);
	e->got = malloc(CE_ROOM);
	e->io = (struct crypt__io){ ce_emit,  ce_deliver, ce_backlog,
				    ce_alloc, ce_release, e };
}

/* Nothing is left, of memory or secrets. */
static inline void
ce_end(struct crypt_end *e)
{
	static const struct crypt__conn none;

	crypt__conn_release(&e->c, &e->io);
	assert_memory_equal(&e->c, &none, sizeof(none));
	assert_int_equal(e->mem, 0);
	free(e->out);
	free(e->got);
}

static const uint16_t all_ciphers[] = { AEAD_AES_128_GCM, AEAD_AES_256_GCM,
					AEAD_CHACHA20_POLY1305 };

/* One end of a connection without resumption. */
static inline int
ce_start(struct crypt_end *e, const uint8_t *own, const uint8_t *peer,
	 const uint16_t *ciphers, uint8_t num)
{
	struct crypt__eno o, p;
	struct crypt__choice choice;
	struct crypt__agreed agreed = { .choice = &choice,
					.own = own,
					.peer = peer,
					.ciphers = ciphers,
					.num_ciphers = num };

	assert_int_equal(crypt__eno_parse(&o, own, own[1]), 0);
	assert_int_equal(crypt__eno_parse(&p, peer, peer[1]), 0);
	assert_true(crypt__eno_choose(&o, &p, false, NULL, &choice));
	return crypt__conn_start(&e->c, &e->io, &agreed);
}

static inline void
cp_start(struct crypt_pair *p, uint8_t tep)
{
	const uint8_t a[] = { ENO_KIND, 3, tep };
	const uint8_t b[] = { ENO_KIND, 4, ENO_B, tep };

	ce_init(&p->end[0]);
	ce_init(&p->end[1]);
	assert_int_equal(ce_start(&p->end[0], a, b, all_ciphers, 3), 0);
	assert_int_equal(ce_start(&p->end[1], b, a, all_ciphers, 3), 0);
}

/* What `from` emitted and the other has not seen: in pieces of `piece` bytes
   (0: one). The first error. */
static inline int
cp_move(struct crypt_pair *p, unsigned int from, size_t piece)
{
	struct crypt_end *f = &p->end[from], *t = &p->end[!from];
	int err = 0;

	while (f->out_taken < f->out_len && err == 0) {
		size_t n = f->out_len - f->out_taken;

		if (piece != 0 && n > piece)
			n = piece;
		err = crypt__conn_read(&t->c, &t->io, f->out + f->out_taken, n);
		f->out_taken += n;
	}
	return err;
}

/* To where keys are. */
static inline void
cp_open(struct crypt_pair *p, uint8_t tep)
{
	cp_start(p, tep);
	assert_int_equal(cp_move(p, 0, 0), 0);
	assert_int_equal(cp_move(p, 1, 0), 0);
	assert_int_equal(p->end[0].c.phase, PHASE_FRAMES);
	assert_int_equal(p->end[1].c.phase, PHASE_FRAMES);
}

static inline void
cp_write(struct crypt_pair *p, unsigned int nr, const void *data, size_t len)
{
	struct crypt_end *e = &p->end[nr];

	assert_int_equal(crypt__conn_write(&e->c, &e->io, data, len, 0), len);
}

static inline void
cp_end(struct crypt_pair *p)
{
	ce_end(&p->end[0]);
	ce_end(&p->end[1]);
}

#endif /* CRYPT_PAIR_H */
