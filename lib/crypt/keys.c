/* SPDX-License-Identifier: BSD-2-Clause */
/* keys.c: the key schedule of RFC 8548. */
#include <string.h>

#include "keys.h"

int
crypt__secret_next(struct crypt__secret *s)
{
	uint8_t next[K_LEN];
	int err = crypt__cprf(s->ss, CONST_NEXTK, NULL, 0, next, K_LEN);

	if (err == 0)
		memcpy(s->ss, next, K_LEN);
	crypt__wipe(next, sizeof(next));
	return err;
}

int
crypt__secret_ticket(const struct crypt__secret *s, struct crypt__ticket *t)
{
	uint8_t id[2 * RESUME_HALF];
	int err = crypt__cprf(s->ss, CONST_RESUME, NULL, 0, id, sizeof(id));

	t->tep = s->tep;
	memcpy(t->send, s->was_a ? id : id + RESUME_HALF, RESUME_HALF);
	memcpy(t->expect, s->was_a ? id + RESUME_HALF : id, RESUME_HALF);
	return err;
}

int
crypt__session_id(const struct crypt__secret *s, uint8_t tep_byte,
		  const uint8_t *sn, size_t sn_len, uint8_t id[SESSION_ID])
{
	id[0] = tep_byte;
	return crypt__cprf(s->ss, CONST_SESSID, sn, sn_len, id + 1, K_LEN);
}

/* The traffic key of d->mk: a key for the AEAD, and what nonces are mixed
   with. */
static int
derive(struct crypt__dir *d)
{
	uint8_t key[AEAD_KEY_MAX + AEAD_NONCE];
	size_t len = crypt__aead_key_len(d->alg);
	int err = crypt__cprf(d->mk, d->tag, NULL, 0, key, len + AEAD_NONCE);

	if (err == 0)
		err = crypt__aead_key(d->aead, key);
	memcpy(d->randomizer, key + len, AEAD_NONCE);
	crypt__wipe(key, sizeof(key));
	d->frames = d->bytes = 0;
	return err;
}

int
crypt__dir_init(struct crypt__dir *d, const struct crypt__secret *s,
		const uint8_t *sn, size_t sn_len, bool seal)
{
	int err = crypt__aead_new(&d->aead, s->aead, seal);

	if (err != 0)
		return err;
	/* Who was host A encrypts as host A in all that follows (section
	   3.5). */
	d->tag = s->was_a == seal ? CONST_KEY_A : CONST_KEY_B;
	d->alg = s->aead;
	d->gen = 0;
	err = crypt__cprf(s->ss, CONST_REKEY, sn, sn_len, d->mk, K_LEN);
	if (err == 0)
		err = derive(d);
	return err;
}

int
crypt__dir_rekey(struct crypt__dir *d)
{
	uint8_t next[K_LEN];
	int err = crypt__cprf(d->mk, CONST_REKEY, NULL, 0, next, K_LEN);

	if (err == 0) {
		memcpy(d->mk, next, K_LEN);
		err = derive(d);
		d->gen++;
	}
	crypt__wipe(next, sizeof(next));
	return err;
}

void
crypt__dir_nonce(const struct crypt__dir *d, uint8_t nonce[AEAD_NONCE])
{
	unsigned int i;

	memcpy(nonce, d->randomizer, AEAD_NONCE);
	for (i = 0; i < 8; i++)
		nonce[AEAD_NONCE - 1 - i] ^= (uint8_t)(d->ofs >> (8 * i));
}

void
crypt__dir_deinit(struct crypt__dir *d)
{
	crypt__aead_free(d->aead);
	crypt__wipe(d, sizeof(*d));
}
