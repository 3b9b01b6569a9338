/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prim.h: the primitives that RFC 8548 builds on, of libcrypto: key agreement
 * (section 5), HKDF's two halves (section 3.1), authenticated encryption
 * (section 6). All return 0 or a negative errno.
 */
#ifndef CRYPT_PRIM_H
#define CRYPT_PRIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEP_P256 0x21
#define TEP_P521 0x22
#define TEP_X25519 0x23
#define TEP_X448 0x24

#define AEAD_AES_128_GCM 0x0001
#define AEAD_AES_256_GCM 0x0002
#define AEAD_CHACHA20_POLY1305 0x0010

#define K_LEN 32      /* section 5: of all TEPs there are */
#define NONCE_LEN 32  /* N_A_LEN, N_B_LEN */
#define PUB_MAX 69    /* P-521, compressed, with its length */
#define SHARED_MAX 66 /* P-521 */
#define AEAD_KEY_MAX 32
#define AEAD_NONCE 12 /* of all three */
#define AEAD_TAG 16

/* -EIO: no randomness; nothing may be encrypted then (RFC 8547 section 10). */
int crypt__random(void *buf, size_t len);
/* Wipes and frees; NULL is fine. */
void crypt__free(void *mem, size_t len);
void crypt__wipe(void *mem, size_t len);

/* ---- key agreement ----------------------------------------------------- */

struct crypt__key; /* a private key */

/* Bytes of a public key as it is sent, for P-256 and P-521 with the length
   before it; 0: there is no such TEP. */
size_t crypt__pub_len(uint8_t tep);
/* A new key. pub, as it is sent, *len bytes. -ENOMEM, -EINVAL (no such TEP). */
int crypt__key_new(struct crypt__key **out, uint8_t tep, uint8_t pub[PUB_MAX],
		   size_t *len);
void crypt__key_free(struct crypt__key *key);
/*
 * The shared secret with the peer's public key, len bytes, as sent (with its
 * length). -EPROTO: it is no valid key, or one that forces the secret (RFC 7748
 * section 6).
 */
int crypt__key_agree(struct crypt__key *key, const uint8_t *pub, size_t len,
		     uint8_t shared[SHARED_MAX], size_t *shared_len);

/* ---- HKDF with SHA-256 -------------------------------------------------- */

struct crypt__part {
	const void *data;
	size_t len;
};

/* HMAC(salt, the parts one after the other). */
int crypt__extract(const uint8_t *salt, size_t salt_len,
		   const struct crypt__part *parts, unsigned int n,
		   uint8_t prk[K_LEN]);
/* CPRF(key, tag | extra, len), len at most 96. */
int crypt__cprf(const uint8_t key[K_LEN], uint8_t tag, const void *extra,
		size_t extra_len, uint8_t *out, size_t len);

/* ---- AEAD ---------------------------------------------------------------- */

struct crypt__aead; /* one direction's cipher */

/* Bytes of the key; 0: no such algorithm. */
size_t crypt__aead_key_len(uint16_t aead);
int crypt__aead_new(struct crypt__aead **out, uint16_t aead, bool seal);
void crypt__aead_free(struct crypt__aead *a);
int crypt__aead_key(struct crypt__aead *a, const uint8_t *key);
/* A message: begin, then its bytes in as many parts as one likes (to may be
   from), then the tag: written, or compared: -EBADMSG. */
int crypt__aead_begin(struct crypt__aead *a, const uint8_t nonce[AEAD_NONCE],
		      const uint8_t *ad, size_t ad_len);
int crypt__aead_part(struct crypt__aead *a, uint8_t *to, const uint8_t *from,
		     size_t len);
int crypt__aead_end(struct crypt__aead *a, uint8_t tag[AEAD_TAG]);

#endif /* CRYPT_PRIM_H */
