/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp_crypt.h: TCP encrypted by itself: tcpcrypt (RFC 8548), negotiated by
 * TCP's encryption negotiation option (RFC 8547), an extension of UTCP. In
 * libmultistack-crypt, which needs libcrypto.
 *
 *	utcp_crypt_register(u);		each connection from now on, if the
 *					peer has it; else plain TCP
 *	utcp_crypt_session(s, &session);	what became of it
 *
 * Reading and writing stay what they are. A stream that was changed or cut ends
 * with -EBADMSG where plain TCP would have delivered it; never as if it had
 * ended.
 *
 * Keys are agreed on with whoever answers. That keeps out who only listens. Who
 * sits in between and speaks to both sides, or takes the option off SYNs, is
 * found out only if both applications compare session.id by means of their own:
 * docs/guide/encryption.md.
 */
#ifndef MULTISTACK_UTCP_CRYPT_H
#define MULTISTACK_UTCP_CRYPT_H

#include <multistack/utcp_ext.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UTCP_CRYPT_NAME "tcpcrypt" /* of utcp_ext_find() and others */

/* Encryption protocols: how a key is agreed on (RFC 8548 table 4). */
#define UTCP_CRYPT_P256 0x21
#define UTCP_CRYPT_P521 0x22
#define UTCP_CRYPT_X25519 0x23
#define UTCP_CRYPT_X448 0x24

/* Ciphers (table 5). */
#define UTCP_CRYPT_AES_128_GCM 0x0001
#define UTCP_CRYPT_AES_256_GCM 0x0002
#define UTCP_CRYPT_CHACHA20_POLY1305 0x0010

#define UTCP_CRYPT_OFF (1u << 0) /* plain TCP, as if it were not there */
/* No plain TCP: a connection that would be is ended, EPROTO. */
#define UTCP_CRYPT_MUST (1u << 1)
/* Says that the application knows of encryption (the option's bit `a`), as it
   does if it compares session IDs; session.peer_aware is the peer's. */
#define UTCP_CRYPT_AWARE (1u << 2)
/* ... and encrypts only if the peer's does too. */
#define UTCP_CRYPT_AWARE_BOTH (1u << 3)
/* Of two that connect to each other at the same time one must be host B: this
   one. With a listener it has no encryption then. */
#define UTCP_CRYPT_HOST_B (1u << 4)
/* New keys always: do not resume an earlier session. */
#define UTCP_CRYPT_NO_RESUME (1u << 5)
/* Keep nothing by which this one could be resumed. */
#define UTCP_CRYPT_NO_CACHE (1u << 6)

typedef struct utcp_crypt_options_s {
	uint32_t size;	/* of this struct */
	uint32_t flags; /* UTCP_CRYPT_* */
	/* What may be used, the best first; ends with 0. Of protocols a
	   listener's order counts, of ciphers that of host B, which the
	   listener is. All 0: X25519, X448; AES-128-GCM, AES-256-GCM,
	   ChaCha20-Poly1305. */
	uint8_t protocols[8];
	uint16_t ciphers[8];
} utcp_crypt_options_t;

/*
 * Encrypts, where the peer does too, all connections of sockets opened from now
 * on. Once for each stack; what it keeps ends with the stack. -EEXIST, -EINVAL,
 * -ENOMEM, -EIO (no randomness).
 */
UTCP_EXTERN int utcp_crypt_register(utcp_t *u);
/* Of this socket, before it connects or listens; connections accepted have the
   listener's. NULL: as at first. -EINVAL (what is not known, or none of what it
   names), -ENOENT (not registered), -EISCONN (too late), -ENOMEM. */
UTCP_EXTERN int utcp_crypt_set(utcp_sock_t *s, const utcp_crypt_options_t *o);

#define UTCP_CRYPT_ID_BYTES 33

typedef struct utcp_crypt_session_s {
	uint32_t size; /* in: of this struct */
	/* The same at both ends, and at no other connection of the world, if
	   nobody is in between (RFC 8547 section 5.1). Not secret. */
	uint8_t id[UTCP_CRYPT_ID_BYTES];
	char host; /* 'A' or 'B': which end this is */
	uint8_t protocol;
	uint8_t resumed;    /* keys of an earlier session's */
	uint8_t peer_aware; /* the peer has UTCP_CRYPT_AWARE */
	uint8_t pad;
	uint16_t cipher;
	/* Keys used so far in each direction, less one. */
	uint64_t sent_rekeys, received_rekeys;
} utcp_crypt_session_t;

/* Of an encrypted connection, until it is closed. -ENOTCONN: keys are not agreed
   on yet; -EOPNOTSUPP: it is plain TCP, or was; -EINVAL. */
UTCP_EXTERN int utcp_crypt_session(const utcp_sock_t *s,
				   utcp_crypt_session_t *session);
/*
 * A new key now; the old one is wiped, at the peer too, which answers with a new
 * one of its own: so this also tells whether it is still there, as a keepalive
 * cannot (RFC 8548 section 3.9): received_rekeys grows. It happens by itself
 * after 1 GiB or 2^20 writes. -EAGAIN: the last one was not answered yet, or
 * there are no keys; -EPIPE (shut down), -EOPNOTSUPP, -ENOMEM.
 */
UTCP_EXTERN int utcp_crypt_rekey(utcp_sock_t *s);
/* Forgets by what this connection could be resumed. -EOPNOTSUPP. */
UTCP_EXTERN int utcp_crypt_forget(utcp_sock_t *s);
/* ... by what any of the stack's could. -ENOENT: not registered. */
UTCP_EXTERN int utcp_crypt_forget_all(utcp_t *u);

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_UTCP_CRYPT_H */
