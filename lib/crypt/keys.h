/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys.h: from a session's secret to keys (RFC 8548 sections 3.3 to 3.5). All
 * return 0 or -ENOMEM.
 */
#ifndef CRYPT_KEYS_H
#define CRYPT_KEYS_H

#include "eno.h"
#include "prim.h"

#define SESSION_ID (1 + K_LEN)
#define SN_MAX (2 * RESUME_NONCE_MAX)

enum crypt__const { /* section 4.3 */
		    CONST_NEXTK = 0x01,
		    CONST_SESSID = 0x02,
		    CONST_REKEY = 0x03,
		    CONST_KEY_A = 0x04,
		    CONST_KEY_B = 0x05,
		    CONST_RESUME = 0x06,
};

/* ss[i], and what else of a session outlives a connection. */
struct crypt__secret {
	uint8_t ss[K_LEN];
	uint16_t aead;
	uint8_t tep;
	bool was_a; /* host A of the first connection, with i = 0 */
};

/* ss[i] to ss[i + 1]. */
int crypt__secret_next(struct crypt__secret *s);
/* How its next connection is asked for. */
int crypt__secret_ticket(const struct crypt__secret *s,
			 struct crypt__ticket *t);
int crypt__session_id(const struct crypt__secret *s, uint8_t tep_byte,
		      const uint8_t *sn, size_t sn_len, uint8_t id[SESSION_ID]);

/* One direction of a connection. */
struct crypt__dir {
	struct crypt__aead *aead; /* with the key of generation gen */
	uint8_t mk[K_LEN];	  /* mk[gen] */
	uint8_t randomizer[AEAD_NONCE];
	uint8_t tag;  /* CONST_KEY_A, CONST_KEY_B */
	uint16_t alg; /* the AEAD */
	uint64_t gen;
	uint64_t ofs;		/* of the next frame, in the stream */
	uint64_t frames, bytes; /* under this key */
};

/* mk[0], and its key. */
int crypt__dir_init(struct crypt__dir *d, const struct crypt__secret *s,
		    const uint8_t *sn, size_t sn_len, bool seal);
/* mk[gen + 1], and its key. */
int crypt__dir_rekey(struct crypt__dir *d);
/* The nonce of the frame at d->ofs (section 3.6). */
void crypt__dir_nonce(const struct crypt__dir *d, uint8_t nonce[AEAD_NONCE]);
void crypt__dir_deinit(struct crypt__dir *d);

#endif /* CRYPT_KEYS_H */
