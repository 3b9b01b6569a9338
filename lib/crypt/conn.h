/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.h: tcpcrypt on one connection (RFC 8548), without the connection: what
 * was negotiated goes in, then bytes of either side, and bytes come out.
 *
 *	init.c	    the key exchange: Init1 and Init2
 *	frame.c	    frames: sealed, opened, rekeyed
 *
 * Errors: -EPROTO, the key exchange; -EBADMSG, a frame, or its absence: what
 * came is not what was sent; -ENOMEM. After one nothing more may be called but
 * crypt__conn_release.
 */
#ifndef CRYPT_CONN_H
#define CRYPT_CONN_H

#include "eno.h"
#include "keys.h"

#define FRAME_HEAD 3
#define FRAME_DATA 16384 /* of the user's, in one of ours */
#define FRAME_MORE (FRAME_HEAD + 1 + AEAD_TAG) /* what one adds to its data */
#define INIT_MAX 4096 /* of what comes; the largest that makes sense has 620 */
#define INIT_OWN 128
#define CIPHERS_MAX 8
/* What answers to rekeying may wait in the stream. */
#define BACKLOG_MAX (256u << 10)

/* A key is used for so much at most. AES-GCM's limit is far beyond (2^24.5
   records of 16 KiB); what was sent shall not hang on one key for long. */
#define REKEY_FRAMES (1u << 20)
#define REKEY_BYTES (1ull << 30)

/* What the connection gives us. All but arg are required. */
struct crypt__io {
	/* Bytes into the stream, and to the user; copied. flags:
	   UTCP_MSG_MORE, UTCP_MSG_EOR. */
	int (*emit)(void *arg, const void *data, size_t len, int flags);
	int (*deliver)(void *arg, const void *data, size_t len);
	/* Bytes emitted that the peer has not acknowledged. */
	uint64_t (*backlog)(void *arg);
	void *(*alloc)(void *arg, size_t bytes);
	void (*release)(void *arg, void *mem, size_t bytes);
	void *arg;
};

enum crypt__phase {
	PHASE_OFF,    /* nothing agreed */
	PHASE_INIT,   /* the peer's Init is to come */
	PHASE_FRAMES, /* keys are there */
};

/* What lasts only as long as the key exchange. */
struct crypt__kx {
	struct crypt__key *key;
	uint8_t transcript[2 * ENO_MAX]; /* host A's option, host B's */
	uint8_t own[INIT_OWN];		 /* Init1; Init2 when it is made */
	uint8_t peer[INIT_MAX];
	uint16_t transcript_len, own_len, peer_len;
	uint16_t ciphers[CIPHERS_MAX]; /* ours; the first counts most */
	uint8_t num_ciphers;
};

struct crypt__conn {
	uint8_t phase; /* enum crypt__phase */
	uint8_t tep;
	uint8_t tep_byte;
	bool host_a; /* in this connection */
	bool resumed;
	bool fin_sent, fin_seen; /* a frame with FINp */
	bool has_next;
	struct crypt__kx *kx;
	struct crypt__secret next; /* ss[i + 1], if has_next */
	uint8_t id[SESSION_ID];
	struct crypt__dir tx, rx;
	/* the frame that comes */
	uint8_t head[FRAME_HEAD];
	uint8_t head_len;
	uint8_t tag_len;
	uint8_t tag[AEAD_TAG];
	uint32_t plain_len, plain_room;
	uint32_t plain_got;
	uint8_t *plain;
};

/* The two options and what follows from them; ciphers and resume are borrowed
   for the call. */
struct crypt__agreed {
	const struct crypt__choice *choice;
	const uint8_t *own, *peer; /* options, with kind and length */
	const uint16_t *ciphers;
	uint8_t num_ciphers;
	const struct crypt__secret *resume; /* if choice->resumed */
};

/* Encryption is on. c is zeros before. Host A's Init1 is emitted; a resumed
   session has its keys at once. */
int crypt__conn_start(struct crypt__conn *c, const struct crypt__io *io,
		      const struct crypt__agreed *agreed);
/* Seals and emits all; 0 bytes before there are keys. Bytes taken. */
ssize_t crypt__conn_write(struct crypt__conn *c, const struct crypt__io *io,
			  const uint8_t *data, size_t len, int flags);
/* The last frame. -EAGAIN: there are no keys yet. */
int crypt__conn_write_end(struct crypt__conn *c, const struct crypt__io *io);
/* Takes all of what came. */
int crypt__conn_read(struct crypt__conn *c, const struct crypt__io *io,
		     const uint8_t *data, size_t len);
/* The stream ended. 0: it ended there in truth; -EBADMSG. */
int crypt__conn_read_end(const struct crypt__conn *c);
/* A new key from now on, which the peer answers with one of its own. -EAGAIN:
   no keys yet, or the last one was not answered; -EPIPE: the last frame is
   sent. */
int crypt__conn_rekey(struct crypt__conn *c, const struct crypt__io *io);
/* Moves out what a later connection may resume; once. */
bool crypt__conn_take_next(struct crypt__conn *c, struct crypt__secret *next);
/* Wipes all of it. */
void crypt__conn_release(struct crypt__conn *c, const struct crypt__io *io);

/* ---- between init.c and frame.c ----------------------------------------- */

/* Takes what it needs of the peer's Init; bytes taken, or an error. The phase
   changes with the last of them. */
ssize_t crypt__init_read(struct crypt__conn *c, const struct crypt__io *io,
			 const uint8_t *data, size_t len);
/* Keys of ss: both directions, the session ID, the next secret. */
int crypt__conn_keys(struct crypt__conn *c, const struct crypt__secret *ss,
		     const uint8_t *sn, size_t sn_len);

#endif /* CRYPT_CONN_H */
