/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext.h: tcpcrypt as an extension of UTCP.
 *
 *	ext.c	    what the stack calls: options, the stream
 *	user.c	    what the user calls: options, sessions
 *
 * A half-open connection at a listener costs 32 bytes if the SYN has no option.
 */
#ifndef CRYPT_EXT_H
#define CRYPT_EXT_H

#include <multistack/utcp_crypt.h>

#include "cache.h"
#include "conn.h"

/* Options in use by sockets, taken apart; shared by those with the same. */
struct crypt__settings {
	struct crypt__settings *next;
	uint32_t flags;
	uint8_t num_teps, num_ciphers;
	uint8_t teps[8]; /* as on the wire: the last counts most */
	uint16_t ciphers[CIPHERS_MAX];
};

/* One for each stack. */
struct crypt__stack {
	struct crypt__settings usual;
	struct crypt__settings *settings; /* others */
	struct crypt__cache cache;
};

/* While it is not yet known what will be. */
struct crypt__nego {
	uint8_t own[ENO_MAX], peer[ENO_MAX]; /* options; length 0: none yet */
	uint8_t tep;			     /* a listener's choice */
	bool has_ticket;
	struct crypt__ticket ticket;
	struct crypt__secret secret; /* of the ticket */
	uint8_t nonce[RESUME_NONCE_MAX];
};

enum crypt__stage {
	STAGE_ASK,  /* nothing is decided */
	STAGE_ON,   /* encryption is on */
	STAGE_QUIET /* ... and the peer knows: no options any more */
};

struct crypt__priv {
	struct crypt__nego *nego; /* until it opens */
	struct crypt__conn *conn; /* from then on */
	uint8_t stage;		  /* enum crypt__stage */
	bool peer_aware;
	bool kept; /* something is in the cache by name */
	uint8_t name[RESUME_HALF];
};

static inline const struct crypt__settings *
crypt__settings(const utcp_ext_t *ext)
{
	const struct crypt__stack *st = ext->shared;

	return ext->arg == ext->shared ? &st->usual : ext->arg;
}

extern const utcp_ext_ops_t crypt__ops;
/* For the connection of ext, in a hook or a call of a user's. */
struct crypt__io crypt__io_of(utcp_ext_t *ext);

#endif /* CRYPT_EXT_H */
