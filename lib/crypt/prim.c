/* SPDX-License-Identifier: BSD-2-Clause */
/* prim.c: HKDF and AEAD, by libcrypto (OpenSSL 3). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "prim.h"

#define SHA256_LEN 32

void
crypt__wipe(void *mem, size_t len)
{
	OPENSSL_cleanse(mem, len);
}

void
crypt__free(void *mem, size_t len)
{
	if (mem != NULL)
		OPENSSL_cleanse(mem, len);
	free(mem);
}

/* ---- HKDF ---------------------------------------------------------------- */

int
crypt__extract(const uint8_t *salt, size_t salt_len,
	       const struct crypt__part *parts, unsigned int n,
	       uint8_t prk[K_LEN])
{
	uint8_t *all, *p;
	unsigned int i, len = SHA256_LEN;
	size_t total = 0;
	int err = 0;

	for (i = 0; i < n; i++)
		total += parts[i].len;
	all = p = malloc(total + 1);
	if (all == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		memcpy(p, parts[i].data, parts[i].len);
		p += parts[i].len;
	}
	if (HMAC(EVP_sha256(), salt, (int)salt_len, all, total, prk, &len) ==
	    NULL)
		err = -ENOMEM;
	crypt__free(all, total);
	return err;
}

int
crypt__cprf(const uint8_t key[K_LEN], uint8_t tag, const void *extra,
	    size_t extra_len, uint8_t *out, size_t len)
{
	uint8_t in[SHA256_LEN + 1 + 16 + 1], t[SHA256_LEN];
	unsigned int t_len = SHA256_LEN;
	size_t have = 0, n, take;
	uint8_t i = 0;
	int err = 0;

	if (extra_len > 16)
		return -EINVAL;
	while (len > 0) {
		/* T(i) = HMAC(key, T(i - 1) | tag | extra | i) */
		memcpy(in, t, have);
		n = have;
		in[n++] = tag;
		if (extra_len > 0)
			memcpy(in + n, extra, extra_len);
		n += extra_len;
		in[n++] = ++i;
		if (HMAC(EVP_sha256(), key, K_LEN, in, n, t, &t_len) == NULL) {
			err = -ENOMEM;
			break;
		}
		have = SHA256_LEN;
		take = len < have ? len : have;
		memcpy(out, t, take);
		out += take;
		len -= take;
	}
	crypt__wipe(in, sizeof(in));
	crypt__wipe(t, sizeof(t));
	return err;
}

/* ---- AEAD ---------------------------------------------------------------- */

struct crypt__aead {
	EVP_CIPHER_CTX *ctx;
	const EVP_CIPHER *cipher;
	int seal;
};

static const EVP_CIPHER *
cipher_of(uint16_t aead)
{
	switch (aead) {
	case AEAD_AES_128_GCM:
		return EVP_aes_128_gcm();
	case AEAD_AES_256_GCM:
		return EVP_aes_256_gcm();
	case AEAD_CHACHA20_POLY1305:
		return EVP_chacha20_poly1305();
	default:
		return NULL;
	}
}

size_t
crypt__aead_key_len(uint16_t aead)
{
	const EVP_CIPHER *cipher = cipher_of(aead);

	return cipher != NULL ? (size_t)EVP_CIPHER_get_key_length(cipher) : 0;
}

int
crypt__aead_new(struct crypt__aead **out, uint16_t aead, bool seal)
{
	struct crypt__aead *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return -ENOMEM;
	a->ctx = EVP_CIPHER_CTX_new();
	a->cipher = cipher_of(aead);
	a->seal = seal;
	if (a->ctx == NULL || a->cipher == NULL) {
		crypt__aead_free(a);
		return -ENOMEM;
	}
	*out = a;
	return 0;
}

void
crypt__aead_free(struct crypt__aead *a)
{
	if (a == NULL)
		return;
	EVP_CIPHER_CTX_free(a->ctx); /* wipes the key */
	free(a);
}

int
crypt__aead_key(struct crypt__aead *a, const uint8_t *key)
{
	/* All three take a nonce of 12 bytes by default. */
	return EVP_CipherInit_ex(a->ctx, a->cipher, NULL, key, NULL, a->seal) ==
		       1
		   ? 0
		   : -ENOMEM;
}

int
crypt__aead_begin(struct crypt__aead *a, const uint8_t nonce[AEAD_NONCE],
		  const uint8_t *ad, size_t ad_len)
{
	int n;

	if (EVP_CipherInit_ex(a->ctx, NULL, NULL, NULL, nonce, a->seal) != 1 ||
	    EVP_CipherUpdate(a->ctx, NULL, &n, ad, (int)ad_len) != 1)
		return -ENOMEM;
	return 0;
}

int
crypt__aead_part(struct crypt__aead *a, uint8_t *to, const uint8_t *from,
		 size_t len)
{
	int n;

	if (len == 0)
		return 0;
	return EVP_CipherUpdate(a->ctx, to, &n, from, (int)len) == 1 ? 0
								     : -ENOMEM;
}

int
crypt__aead_end(struct crypt__aead *a, uint8_t tag[AEAD_TAG])
{
	uint8_t none[AEAD_TAG];
	int n;

	if (!a->seal && EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG,
					    AEAD_TAG, tag) != 1)
		return -ENOMEM;
	if (EVP_CipherFinal_ex(a->ctx, none, &n) != 1)
		return a->seal ? -ENOMEM : -EBADMSG;
	if (a->seal && EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG,
					   AEAD_TAG, tag) != 1)
		return -ENOMEM;
	return 0;
}
