/* SPDX-License-Identifier: BSD-2-Clause */
/* init.c: the key exchange of RFC 8548, sections 3.3 and 4.1. */
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "conn.h"

#define INIT1_MAGIC 0x15101a0eu
#define INIT2_MAGIC 0x097105e0u
#define INIT_HEAD 8 /* magic, length */

static void
put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The end of either Init: nonce and a new public key. Then its length is
   known. */
static int
finish_own(struct crypt__conn *c, size_t len)
{
	struct crypt__kx *kx = c->kx;
	size_t pub;
	int err = crypt__random(kx->own + len, NONCE_LEN);

	len += NONCE_LEN;
	if (err == 0)
		err = crypt__key_new(&kx->key, c->tep, kx->own + len, &pub);
	if (err != 0)
		return err;
	len += pub;
	put32(kx->own + 4, (uint32_t)len);
	kx->own_len = (uint16_t)len;
	return 0;
}

static int
make_init1(struct crypt__conn *c)
{
	struct crypt__kx *kx = c->kx;
	unsigned int i;

	put32(kx->own, INIT1_MAGIC);
	kx->own[INIT_HEAD] = kx->num_ciphers;
	for (i = 0; i < kx->num_ciphers; i++) {
		kx->own[INIT_HEAD + 1 + 2 * i] = (uint8_t)(kx->ciphers[i] >> 8);
		kx->own[INIT_HEAD + 2 + 2 * i] = (uint8_t)kx->ciphers[i];
	}
	return finish_own(c, INIT_HEAD + 1 + 2u * kx->num_ciphers);
}

static int
make_init2(struct crypt__conn *c, uint16_t cipher)
{
	struct crypt__kx *kx = c->kx;

	put32(kx->own, INIT2_MAGIC);
	kx->own[INIT_HEAD] = (uint8_t)(cipher >> 8);
	kx->own[INIT_HEAD + 1] = (uint8_t)cipher;
	return finish_own(c, INIT_HEAD + 2);
}

/* A transcript: the option of host A, then that of host B (RFC 8547 section
   4.8). */
static void
keep_transcript(struct crypt__conn *c, const struct crypt__agreed *agreed)
{
	const uint8_t *a = c->host_a ? agreed->own : agreed->peer;
	const uint8_t *b = c->host_a ? agreed->peer : agreed->own;

	memcpy(c->kx->transcript, a, a[1]);
	memcpy(c->kx->transcript + a[1], b, b[1]);
	c->kx->transcript_len = (uint16_t)(a[1] + b[1]);
}

static int
resume(struct crypt__conn *c, const struct crypt__agreed *agreed)
{
	const struct crypt__choice *ch = agreed->choice;
	const uint8_t *a = ch->own_nonce, *b = ch->peer_nonce;
	size_t a_len = ch->own_nonce_len, b_len = ch->peer_nonce_len;
	uint8_t sn[SN_MAX];

	/* sn = nonce_a | nonce_b, by the roles of the first connection. */
	if (!agreed->resume->was_a) {
		a = ch->peer_nonce, a_len = ch->peer_nonce_len;
		b = ch->own_nonce, b_len = ch->own_nonce_len;
	}
	memcpy(sn, a, a_len);
	memcpy(sn + a_len, b, b_len);
	return crypt__conn_keys(c, agreed->resume, sn, a_len + b_len);
}

int
crypt__conn_start(struct crypt__conn *c, const struct crypt__io *io,
		  const struct crypt__agreed *agreed)
{
	int err;

	c->tep_byte = agreed->choice->tep_byte;
	c->tep = (uint8_t)(c->tep_byte & ~ENO_V);
	c->host_a = !agreed->choice->own_b;
	c->resumed = agreed->choice->resumed;
	if (c->resumed)
		return resume(c, agreed);
	c->phase = PHASE_INIT;
	c->kx = io->alloc(io->arg, sizeof(*c->kx));
	if (c->kx == NULL)
		return -ENOMEM;
	keep_transcript(c, agreed);
	c->kx->num_ciphers = agreed->num_ciphers;
	memcpy(c->kx->ciphers, agreed->ciphers,
	       agreed->num_ciphers * sizeof(agreed->ciphers[0]));
	if (!c->host_a)
		return 0;
	err = make_init1(c);
	if (err == 0)
		err = io->emit(io->arg, c->kx->own, c->kx->own_len, 0);
	return err;
}

static bool
has_cipher(const uint16_t *ciphers, unsigned int n, uint16_t cipher)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (ciphers[i] == cipher)
			return true;
	return false;
}

/* Host B's choice: the first of its own that host A has, too; 0: none. */
static uint16_t
choose(const struct crypt__kx *kx, const uint8_t *list, unsigned int n)
{
	unsigned int i, k;

	for (i = 0; i < kx->num_ciphers; i++)
		for (k = 0; k < n; k++)
			if (get16(list + 2 * k) == kx->ciphers[i])
				return kx->ciphers[i];
	return 0;
}

/* The peer's Init is whole: keys. nonce_at: where its nonce is. */
static int
agree(struct crypt__conn *c, size_t nonce_at, uint16_t cipher)
{
	struct crypt__kx *kx = c->kx;
	struct crypt__secret ss = { .aead = cipher,
				    .tep = c->tep,
				    .was_a = c->host_a };
	const uint8_t *n_a = c->host_a ? kx->own + INIT_HEAD + 1 +
					     2u * kx->num_ciphers
				       : kx->peer + nonce_at;
	uint8_t shared[SHARED_MAX];
	size_t shared_len = 0;
	struct crypt__part parts[4] = {
		{ kx->transcript, kx->transcript_len },
		{ kx->own, kx->own_len },
		{ kx->peer, kx->peer_len },
		{ shared, 0 },
	};
	int err;

	if (!c->host_a) {
		parts[1] = (struct crypt__part){ kx->peer, kx->peer_len };
		parts[2] = (struct crypt__part){ kx->own, kx->own_len };
	}
	err = crypt__key_agree(kx->key, kx->peer + nonce_at + NONCE_LEN,
			       crypt__pub_len(c->tep), shared, &shared_len);
	parts[3].len = shared_len;
	if (err == 0)
		err = crypt__extract(n_a, NONCE_LEN, parts, 4, ss.ss);
	if (err == 0)
		err = crypt__conn_keys(c, &ss, NULL, 0);
	crypt__wipe(shared, sizeof(shared));
	crypt__wipe(&ss, sizeof(ss));
	return err;
}

static int
take_init1(struct crypt__conn *c, const struct crypt__io *io)
{
	struct crypt__kx *kx = c->kx;
	size_t n = kx->peer_len > INIT_HEAD ? kx->peer[INIT_HEAD] : 0;
	size_t nonce_at = INIT_HEAD + 1 + 2 * n;
	uint16_t cipher;
	int err;

	if (kx->peer_len < nonce_at + NONCE_LEN + crypt__pub_len(c->tep))
		return -EPROTO;
	cipher = choose(kx, kx->peer + INIT_HEAD + 1, (unsigned int)n);
	if (cipher == 0)
		return -EPROTO;
	err = make_init2(c, cipher);
	if (err == 0)
		err = agree(c, nonce_at, cipher);
	if (err == 0)
		err = io->emit(io->arg, kx->own, kx->own_len, 0);
	return err;
}

static int
take_init2(struct crypt__conn *c)
{
	struct crypt__kx *kx = c->kx;
	size_t nonce_at = INIT_HEAD + 2;
	uint16_t cipher;

	if (kx->peer_len < nonce_at + NONCE_LEN + crypt__pub_len(c->tep))
		return -EPROTO;
	cipher = get16(kx->peer + INIT_HEAD);
	if (!has_cipher(kx->ciphers, kx->num_ciphers, cipher))
		return -EPROTO;
	return agree(c, nonce_at, cipher);
}

/* As many of len bytes as bring the peer's Init to `want`. */
static size_t
gather(struct crypt__kx *kx, const uint8_t *data, size_t len, size_t want)
{
	size_t n = want - kx->peer_len;

	if (n > len)
		n = len;
	memcpy(kx->peer + kx->peer_len, data, n);
	kx->peer_len = (uint16_t)(kx->peer_len + n);
	return n;
}

ssize_t
crypt__init_read(struct crypt__conn *c, const struct crypt__io *io,
		 const uint8_t *data, size_t len)
{
	struct crypt__kx *kx = c->kx;
	uint32_t own_len, total;
	size_t n = 0;
	int err;

	if (kx->peer_len < INIT_HEAD)
		n = gather(kx, data, len, INIT_HEAD);
	if (kx->peer_len < INIT_HEAD)
		return (ssize_t)n;
	total = get32(kx->peer + 4);
	if (get32(kx->peer) != (c->host_a ? INIT2_MAGIC : INIT1_MAGIC) ||
	    total < INIT_HEAD || total > INIT_MAX)
		return -EPROTO;
	n += gather(kx, data + n, len - n, total);
	if (kx->peer_len < total)
		return (ssize_t)n;
	err = c->host_a ? take_init2(c) : take_init1(c, io);
	if (err != 0)
		return err;
	own_len = kx->own_len;
	crypt__key_free(kx->key);
	crypt__wipe(kx, sizeof(*kx));
	io->release(io->arg, kx, sizeof(*kx));
	c->kx = NULL;
	/* Frames count from the stream's beginning (section 3.6). */
	c->tx.ofs = own_len;
	c->rx.ofs = total;
	return (ssize_t)n;
}
