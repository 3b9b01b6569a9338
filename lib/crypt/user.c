/* SPDX-License-Identifier: BSD-2-Clause */
/* user.c: the calls of utcp_crypt.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext.h"

#define FLAGS                                                                  \
	(UTCP_CRYPT_OFF | UTCP_CRYPT_MUST | UTCP_CRYPT_AWARE |                 \
	 UTCP_CRYPT_AWARE_BOTH | UTCP_CRYPT_HOST_B | UTCP_CRYPT_NO_RESUME |    \
	 UTCP_CRYPT_NO_CACHE)

static const utcp_crypt_options_t usual = {
	.size = sizeof(usual),
	.protocols = { UTCP_CRYPT_X25519, UTCP_CRYPT_X448 },
	.ciphers = { UTCP_CRYPT_AES_128_GCM, UTCP_CRYPT_AES_256_GCM,
		     UTCP_CRYPT_CHACHA20_POLY1305 },
};

static int
fill(struct crypt__settings *set, const utcp_crypt_options_t *o)
{
	const uint8_t *teps = o->protocols;
	const uint16_t *ciphers = o->ciphers;
	unsigned int i, k;

	memset(set, 0, sizeof(*set));
	if (o->size != sizeof(*o) || (o->flags & ~FLAGS) != 0)
		return -EINVAL;
	set->flags = o->flags;
	if (teps[0] == 0)
		teps = usual.protocols;
	if (ciphers[0] == 0)
		ciphers = usual.ciphers;
	for (i = 0; i < 8 && teps[i] != 0; i++)
		if (crypt__pub_len(teps[i]) == 0 ||
		    memchr(teps, teps[i], i) != NULL)
			return -EINVAL;
	/* On the wire the last counts most. */
	for (k = 0; k < i; k++)
		set->teps[k] = teps[i - 1 - k];
	set->num_teps = (uint8_t)i;
	for (i = 0; i < CIPHERS_MAX && ciphers[i] != 0; i++) {
		if (crypt__aead_key_len(ciphers[i]) == 0)
			return -EINVAL;
		set->ciphers[i] = ciphers[i];
	}
	set->num_ciphers = (uint8_t)i;
	return 0;
}

int
utcp_crypt_register(utcp_t *u)
{
	struct crypt__stack *st;
	uint8_t luck;
	int err;

	if (u == NULL)
		return -EINVAL;
	/* RFC 8547 section 10: without randomness there is no option. */
	err = crypt__random(&luck, 1);
	if (err != 0)
		return err;
	st = calloc(1, sizeof(*st));
	if (st == NULL)
		return -ENOMEM;
	err = fill(&st->usual, &usual);
	if (err == 0)
		err = utcp_ext_register(u, &crypt__ops, UTCP_EXT_ALL, st);
	if (err != 0)
		free(st);
	return err;
}

/* Those with the same options share theirs, until the stack ends. */
static struct crypt__settings *
intern(struct crypt__stack *st, const struct crypt__settings *want)
{
	struct crypt__settings *s;

	for (s = st->settings; s != NULL; s = s->next)
		if (s->flags == want->flags && s->num_teps == want->num_teps &&
		    s->num_ciphers == want->num_ciphers &&
		    memcmp(s->teps, want->teps, sizeof(s->teps)) == 0 &&
		    memcmp(s->ciphers, want->ciphers, sizeof(s->ciphers)) == 0)
			return s;
	s = malloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	*s = *want;
	s->next = st->settings;
	st->settings = s;
	return s;
}

int
utcp_crypt_set(utcp_sock_t *s, const utcp_crypt_options_t *o)
{
	struct crypt__settings want, *set;
	struct crypt__stack *st;
	int err;

	if (s == NULL)
		return -EINVAL;
	err = fill(&want, o != NULL ? o : &usual);
	if (err != 0)
		return err;
	st = utcp_ext_shared(utcp_stack(s), UTCP_CRYPT_NAME);
	if (st == NULL)
		return -ENOENT;
	set = intern(st, &want);
	if (set == NULL)
		return -ENOMEM;
	err = utcp_ext_remove(s, UTCP_CRYPT_NAME);
	if (err != 0 && err != -ENOENT)
		return err;
	return utcp_ext_add(s, UTCP_CRYPT_NAME, set,
			    want.flags & UTCP_CRYPT_MUST ? UTCP_EXT_MUST : 0);
}

/* The connection's own part; NULL: it is plain, *err says so. */
static struct crypt__priv *
priv_of(const utcp_sock_t *s, utcp_ext_t **ext, int *err)
{
	utcp_info_t info = { .size = sizeof(info) };

	*ext = s != NULL ? utcp_ext_find(s, UTCP_CRYPT_NAME) : NULL;
	if (*ext != NULL)
		return (*ext)->priv;
	*err = -EINVAL;
	if (s == NULL || utcp_info(s, &info) != 0)
		return NULL;
	*err = -EOPNOTSUPP;
	/* One that has ended is closed, too. */
	if (info.state < UTCP_ESTABLISHED &&
	    (info.state != UTCP_CLOSED || info.segs_in == 0))
		*err = -ENOTCONN;
	return NULL;
}

int
utcp_crypt_session(const utcp_sock_t *s, utcp_crypt_session_t *session)
{
	struct crypt__priv *p;
	const struct crypt__conn *c;
	utcp_ext_t *ext;
	int err;

	if (session == NULL || session->size != sizeof(*session))
		return -EINVAL;
	p = priv_of(s, &ext, &err);
	if (p == NULL)
		return err;
	c = p->conn;
	if (c == NULL || c->phase != PHASE_FRAMES)
		return -ENOTCONN;
	*session = (utcp_crypt_session_t){
		.size = sizeof(*session),
		.host = c->host_a ? 'A' : 'B',
		.protocol = c->tep,
		.resumed = c->resumed,
		.peer_aware = p->peer_aware,
		.cipher = c->tx.alg,
		.sent_rekeys = c->tx.gen,
		.received_rekeys = c->rx.gen,
	};
	memcpy(session->id, c->id, sizeof(session->id));
	return 0;
}

int
utcp_crypt_rekey(utcp_sock_t *s)
{
	struct crypt__priv *p;
	struct crypt__io io;
	utcp_ext_t *ext;
	int err;

	p = priv_of(s, &ext, &err);
	if (p == NULL)
		return err == -ENOTCONN ? -EAGAIN : err;
	if (p->conn == NULL)
		return -EAGAIN;
	io = crypt__io_of(ext);
	return crypt__conn_rekey(p->conn, &io);
}

int
utcp_crypt_forget(utcp_sock_t *s)
{
	struct crypt__priv *p;
	struct crypt__stack *st;
	utcp_ext_t *ext;
	int err;

	p = priv_of(s, &ext, &err);
	if (p == NULL)
		return err == -ENOTCONN ? -EOPNOTSUPP : err;
	st = ext->shared;
	if (p->kept)
		crypt__cache_forget(&st->cache, p->name);
	p->kept = false;
	return 0;
}

int
utcp_crypt_forget_all(utcp_t *u)
{
	struct crypt__stack *st;

	st = u != NULL ? utcp_ext_shared(u, UTCP_CRYPT_NAME) : NULL;
	if (st == NULL)
		return -ENOENT;
	crypt__cache_clear(&st->cache);
	return 0;
}
