/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kex.c: the key agreements of RFC 8548 section 5. X25519 and X448 send the key
 * as it is; the NIST curves send a compressed point behind its length.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "prim.h"

struct crypt__key {
	EVP_PKEY *pkey;
	uint8_t tep;
};

/* Of a NIST curve: bytes of a coordinate; 0: it is none. */
static size_t
coordinate(uint8_t tep)
{
	return tep == TEP_P256 ? 32 : tep == TEP_P521 ? 66 : 0;
}

static const char *
name_of(uint8_t tep)
{
	switch (tep) {
	case TEP_P256:
		return "P-256";
	case TEP_P521:
		return "P-521";
	case TEP_X25519:
		return "X25519";
	case TEP_X448:
		return "X448";
	default:
		return NULL;
	}
}

size_t
crypt__pub_len(uint8_t tep)
{
	if (coordinate(tep) != 0)
		return 3 + coordinate(tep);
	return tep == TEP_X25519 ? 32 : tep == TEP_X448 ? 56 : 0;
}

/* A key of a Montgomery curve from random bytes of our own, so that tests can
   know it. */
static EVP_PKEY *
new_raw(uint8_t tep)
{
	uint8_t secret[56];
	size_t len = crypt__pub_len(tep);
	EVP_PKEY *pkey = NULL;

	if (crypt__random(secret, len) == 0)
		pkey = EVP_PKEY_new_raw_private_key_ex(NULL, name_of(tep), NULL,
						       secret, len);
	crypt__wipe(secret, sizeof(secret));
	return pkey;
}

/* The point, which libcrypto gives as 04 x y, compressed: 02 or 03, x. */
static int
put_point(const struct crypt__key *key, uint8_t *pub, size_t *len)
{
	size_t n = coordinate(key->tep), got;
	uint8_t point[1 + 2 * 66];

	if (EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY,
					    point, sizeof(point), &got) != 1 ||
	    got != 1 + 2 * n || point[0] != 0x04)
		return -ENOMEM;
	pub[0] = 0;
	pub[1] = (uint8_t)(3 + n); /* as the figure has it: all of it */
	pub[2] = (uint8_t)(0x02 | (point[2 * n] & 1));
	memcpy(pub + 3, point + 1, n);
	*len = 3 + n;
	return 0;
}

int
crypt__key_new(struct crypt__key **out, uint8_t tep, uint8_t pub[PUB_MAX],
	       size_t *len)
{
	struct crypt__key *key;
	int err = -ENOMEM;

	if (crypt__pub_len(tep) == 0)
		return -EINVAL;
	key = calloc(1, sizeof(*key));
	if (key == NULL)
		return -ENOMEM;
	key->tep = tep;
	if (coordinate(tep) != 0) {
		key->pkey = EVP_EC_gen(name_of(tep));
		if (key->pkey != NULL)
			err = put_point(key, pub, len);
	} else {
		key->pkey = new_raw(tep);
		*len = PUB_MAX;
		if (key->pkey != NULL &&
		    EVP_PKEY_get_raw_public_key(key->pkey, pub, len) == 1)
			err = 0;
	}
	if (err != 0) {
		crypt__key_free(key);
		return err;
	}
	*out = key;
	return 0;
}

void
crypt__key_free(struct crypt__key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey); /* wipes the secret */
	free(key);
}

/* A point of the peer's; NULL: not compressed, not on the curve, not of its
   group (IEEE 1363 section A.16.10). */
static EVP_PKEY *
point_of(const struct crypt__key *key, const uint8_t *pub, size_t len)
{
	size_t n = coordinate(key->tep);
	EVP_PKEY *peer = NULL;
	EVP_PKEY_CTX *check;
	bool good = false;

	/* The text may be read as if the length did not count itself. */
	if (len != 3 + n || pub[0] != 0 ||
	    (pub[1] != 3 + n && pub[1] != 1 + n) || (pub[2] & ~1) != 0x02)
		return NULL;
	peer = EVP_PKEY_new();
	if (peer == NULL || EVP_PKEY_copy_parameters(peer, key->pkey) != 1 ||
	    EVP_PKEY_set1_encoded_public_key(peer, pub + 2, len - 2) != 1) {
		EVP_PKEY_free(peer);
		return NULL;
	}
	check = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);
	if (check != NULL)
		good = EVP_PKEY_public_check(check) == 1;
	EVP_PKEY_CTX_free(check);
	if (!good) {
		EVP_PKEY_free(peer);
		return NULL;
	}
	return peer;
}

int
crypt__key_agree(struct crypt__key *key, const uint8_t *pub, size_t len,
		 uint8_t shared[SHARED_MAX], size_t *shared_len)
{
	uint8_t all = 0;
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *peer = NULL;
	int err = -EPROTO;

	if (coordinate(key->tep) != 0)
		peer = point_of(key, pub, len);
	else if (len == crypt__pub_len(key->tep))
		peer = EVP_PKEY_new_raw_public_key_ex(NULL, name_of(key->tep),
						      NULL, pub, len);
	if (peer == NULL)
		return err;
	*shared_len = SHARED_MAX;
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	/* What the peer sent makes libcrypto refuse too. */
	if (ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
	    EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	    EVP_PKEY_derive(ctx, shared, shared_len) == 1) {
		for (size_t i = 0; i < *shared_len; i++)
			all |= shared[i];
		if (all != 0)
			err = 0;
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	return err;
}
