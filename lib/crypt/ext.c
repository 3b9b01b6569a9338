/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext.c: what the stack calls. The option is on SYN and SYN-ACK, and on what an
 * active opener sends until it hears a segment without SYN (RFC 8547 section
 * 4.6); a segment where it ought to be and is not means plain TCP.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext.h"

/* A SYN that went unanswered so often goes without the option: something on the
   way may not like it (RFC 8547 section 4.6). */
#define SYNS_WITH_OPTION 3
/* A nonce in an option without much room; what a session is resumed with is
   wiped, and random all the same. */
#define NONCE_MIN 4

/* ---- what a connection gives ------------------------------------------------ */

static int
io_emit(void *arg, const void *data, size_t len, int flags)
{
	return utcp_ext_emit(arg, data, len, flags);
}

static int
io_deliver(void *arg, const void *data, size_t len)
{
	return utcp_ext_deliver(arg, data, len);
}

static uint64_t
io_backlog(void *arg)
{
	utcp_ext_t *ext = arg;
	utcp_info_t info = { .size = sizeof(info) };

	(void)utcp_info(ext->sock, &info);
	return (uint64_t)info.unacked_bytes + info.notsent_bytes;
}

static void *
io_alloc(void *arg, size_t bytes)
{
	return utcp_ext_alloc(arg, bytes);
}

static void
io_release(void *arg, void *mem, size_t bytes)
{
	utcp_ext_free(arg, mem, bytes);
}

struct crypt__io
crypt__io_of(utcp_ext_t *ext)
{
	return (struct crypt__io){
		.emit = io_emit,
		.deliver = io_deliver,
		.backlog = io_backlog,
		.alloc = io_alloc,
		.release = io_release,
		.arg = ext,
	};
}

static void
drop_nego(utcp_ext_t *ext)
{
	struct crypt__priv *p = ext->priv;

	if (p->nego == NULL)
		return;
	crypt__wipe(p->nego, sizeof(*p->nego));
	utcp_ext_free(ext, p->nego, sizeof(*p->nego));
	p->nego = NULL;
}

/* Keys are there: what a later connection may begin with. */
static void
keep_next(utcp_ext_t *ext)
{
	struct crypt__priv *p = ext->priv;
	struct crypt__stack *st = ext->shared;
	struct crypt__secret next;
	utcp_addr_t peer;

	if (!crypt__conn_take_next(p->conn, &next))
		return;
	if ((crypt__settings(ext)->flags & UTCP_CRYPT_NO_CACHE) == 0 &&
	    utcp_getpeername(ext->sock, &peer) == 0) {
		crypt__cache_put(&st->cache, utcp_now_ns(ext->stack),
				 ext->flags & UTCP_EXT_PASSIVE ? NULL : &peer,
				 &next, p->name);
		p->kept = true;
	}
	crypt__wipe(&next, sizeof(next));
}

/* Options of the socket hold for a session that is older than they are. */
static bool
allows(const void *arg, const struct crypt__secret *s)
{
	const struct crypt__settings *set = arg;
	unsigned int i;

	for (i = 0; i < set->num_ciphers; i++)
		if (set->ciphers[i] == s->aead)
			return memchr(set->teps, s->tep, set->num_teps) != NULL;
	return false;
}

/* ---- beginning and end ------------------------------------------------------- */

static int
crypt_init(utcp_ext_t *ext)
{
	const struct crypt__settings *set = crypt__settings(ext);
	struct crypt__stack *st = ext->shared;
	struct crypt__priv *p = ext->priv;
	utcp_addr_t peer;

	if ((set->flags & UTCP_CRYPT_OFF) != 0)
		return UTCP_EXT_LEAVE;
	if ((ext->flags & UTCP_EXT_PASSIVE) != 0)
		return 0; /* the SYN first */
	p->nego = utcp_ext_alloc(ext, sizeof(*p->nego));
	if (p->nego == NULL)
		return -ENOMEM;
	if ((set->flags & UTCP_CRYPT_NO_RESUME) != 0 ||
	    utcp_getpeername(ext->sock, &peer) != 0 ||
	    crypt__random(p->nego->nonce, RESUME_NONCE_MAX) != 0)
		return 0;
	p->nego->has_ticket = crypt__cache_take_peer(
	    &st->cache, utcp_now_ns(ext->stack), &peer, allows, set,
	    &p->nego->secret, &p->nego->ticket);
	return 0;
}

static void
crypt_release(utcp_ext_t *ext)
{
	struct crypt__priv *p = ext->priv;
	struct crypt__io io = crypt__io_of(ext);

	drop_nego(ext);
	if (p->conn == NULL)
		return;
	crypt__conn_release(p->conn, &io);
	utcp_ext_free(ext, p->conn, sizeof(*p->conn));
	p->conn = NULL;
}

static void
crypt_destroy(utcp_t *stack, void *shared)
{
	struct crypt__stack *st = shared;
	struct crypt__settings *s;

	(void)stack;
	crypt__cache_clear(&st->cache);
	while ((s = st->settings) != NULL) {
		st->settings = s->next;
		free(s);
	}
	free(st);
}

/* ---- options that leave -------------------------------------------------------- */

/* Our SYN's or SYN-ACK's option, once and for all (section 4.6). 0: no room. */
static size_t
make_option(utcp_ext_t *ext, size_t room)
{
	const struct crypt__settings *set = crypt__settings(ext);
	struct crypt__priv *p = ext->priv;
	struct crypt__nego *n = p->nego;
	struct crypt__offer o = { 0 };

	if ((ext->flags & UTCP_EXT_PASSIVE) != 0 ||
	    (set->flags & UTCP_CRYPT_HOST_B) != 0)
		o.global |= ENO_B;
	if ((set->flags & (UTCP_CRYPT_AWARE | UTCP_CRYPT_AWARE_BOTH)) != 0)
		o.global |= ENO_A;
	if ((ext->flags & UTCP_EXT_PASSIVE) != 0) {
		o.num = 1;
		o.teps[0] = n->tep;
	} else {
		o.num = set->num_teps;
		memcpy(o.teps, set->teps, set->num_teps);
	}
	if (n->has_ticket)
		o.resume = &n->ticket;
	memcpy(o.nonce, n->nonce, sizeof(o.nonce));
	return crypt__eno_write(n->own, room, NONCE_MIN, &o);
}

static int
out_syn(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	struct crypt__priv *p = ext->priv;
	bool ack = (seg->flags & UTCP_TCP_ACK) != 0;
	uint8_t *at;
	size_t len;

	if (p->nego == NULL || p->stage == STAGE_QUIET)
		return 0;
	if (!ack && seg->again >= SYNS_WITH_OPTION &&
	    (crypt__settings(ext)->flags & UTCP_CRYPT_MUST) == 0)
		return UTCP_EXT_LEAVE;
	len = p->nego->own[1];
	if (len == 0)
		len = make_option(ext, seg->room);
	if (len == 0)
		return UTCP_EXT_LEAVE;
	at = utcp_ext_put(seg, 0, (unsigned int)len - 2);
	if (at == NULL)
		return UTCP_EXT_LEAVE;
	memcpy(at, p->nego->own + 2, len - 2);
	return 0;
}

static int
crypt_out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	struct crypt__priv *p = ext->priv;

	if ((seg->flags & UTCP_TCP_SYN) != 0)
		return out_syn(ext, seg);
	/* By want() there is room for its two bytes. */
	if (p->stage == STAGE_ON)
		(void)utcp_ext_put(seg, 0, 0);
	return 0;
}

/* ---- options that come ----------------------------------------------------------- */

struct finder {
	utcp_ext_t *ext;
	struct crypt__nego *nego;
};

static const struct crypt__ticket *
find(void *arg, uint8_t tep, const uint8_t *half)
{
	struct finder *f = arg;
	struct crypt__stack *st = f->ext->shared;

	f->nego->has_ticket = crypt__cache_take_named(
				  &st->cache, utcp_now_ns(f->ext->stack), tep,
				  half, &f->nego->secret, &f->nego->ticket) &&
			      allows(crypt__settings(f->ext), &f->nego->secret);
	return f->nego->has_ticket ? &f->nego->ticket : NULL;
}

/* A SYN for a listener: there is an answer, or it is plain TCP. */
static int
answer(utcp_ext_t *ext, const struct crypt__eno *peer)
{
	const struct crypt__settings *set = crypt__settings(ext);
	struct crypt__priv *p = ext->priv;
	struct finder f = { ext, p->nego };
	const struct crypt__ticket *ticket;
	bool fresh = (set->flags & UTCP_CRYPT_NO_RESUME) != 0 ||
		     crypt__random(p->nego->nonce, RESUME_NONCE_MAX) != 0;

	p->nego->tep = crypt__eno_answer(peer, set->teps, set->num_teps,
					 (set->flags & UTCP_CRYPT_AWARE_BOTH) !=
					     0,
					 fresh ? NULL : find, &f, &ticket);
	return p->nego->tep != 0 ? 0 : UTCP_EXT_LEAVE;
}

/* Exactly one option, well formed, and the same as before. 0, LEAVE, DROP. */
static int
take_syn(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct crypt__priv *p = ext->priv;
	struct crypt__eno eno;
	uint8_t opt[ENO_MAX];
	size_t len;

	if (seg->num_opts != 1 || seg->opts[0].len > ENO_MAX - 2)
		return UTCP_EXT_LEAVE;
	len = 2u + seg->opts[0].len;
	opt[0] = ENO_KIND;
	opt[1] = (uint8_t)len;
	memcpy(opt + 2, seg->opts[0].data, len - 2);
	if (p->nego != NULL && p->nego->peer[1] != 0)
		return memcmp(opt, p->nego->peer, len) == 0 ? 0 : UTCP_EXT_DROP;
	if (crypt__eno_parse(&eno, opt, len) != 0)
		return UTCP_EXT_LEAVE;
	if (p->nego == NULL) {
		p->nego = utcp_ext_alloc(ext, sizeof(*p->nego));
		if (p->nego == NULL)
			return UTCP_EXT_LEAVE;
	}
	memcpy(p->nego->peer, opt, len);
	return (ext->flags & UTCP_EXT_PASSIVE) != 0 ? answer(ext, &eno) : 0;
}

static bool
choose(utcp_ext_t *ext, struct crypt__choice *choice)
{
	struct crypt__nego *n = ((struct crypt__priv *)ext->priv)->nego;
	uint32_t flags = crypt__settings(ext)->flags;
	struct crypt__eno own, peer;

	return crypt__eno_parse(&own, n->own, n->own[1]) == 0 &&
	       crypt__eno_parse(&peer, n->peer, n->peer[1]) == 0 &&
	       crypt__eno_choose(&own, &peer,
				 (flags & UTCP_CRYPT_AWARE_BOTH) != 0,
				 n->has_ticket ? &n->ticket : NULL, choice);
}

static int
crypt_in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct crypt__priv *p = ext->priv;
	bool syn = (seg->flags & UTCP_TCP_SYN) != 0;
	struct crypt__choice choice;
	int r;

	if (p->stage == STAGE_QUIET)
		return 0;
	if (p->stage == STAGE_ON) {
		if (!syn) {
			p->stage = STAGE_QUIET;
			return utcp_ext_want(ext, 0);
		}
		return 0;
	}
	if (seg->num_opts == 0)
		return UTCP_EXT_LEAVE;
	if (syn) {
		r = take_syn(ext, seg);
		if (r != 0)
			return r;
	}
	if ((seg->flags & UTCP_TCP_ACK) == 0)
		return 0;
	if (p->nego == NULL || p->nego->own[1] == 0 || p->nego->peer[1] == 0 ||
	    !choose(ext, &choice))
		return UTCP_EXT_LEAVE;
	/* An ACK with the option came, and went or goes: encryption is on. */
	p->peer_aware = choice.peer_aware;
	p->stage = syn ? STAGE_ON : STAGE_QUIET;
	return syn ? utcp_ext_want(ext, 2) : 0;
}

static int
crypt_open(utcp_ext_t *ext)
{
	const struct crypt__settings *set = crypt__settings(ext);
	struct crypt__priv *p = ext->priv;
	struct crypt__io io = crypt__io_of(ext);
	struct crypt__choice choice;
	struct crypt__agreed agreed = { .choice = &choice,
					.own = p->nego ? p->nego->own : NULL,
					.peer = p->nego ? p->nego->peer : NULL,
					.ciphers = set->ciphers,
					.num_ciphers = set->num_ciphers };
	int err;

	if (p->stage == STAGE_ASK || !choose(ext, &choice))
		return UTCP_EXT_LEAVE;
	p->conn = utcp_ext_alloc(ext, sizeof(*p->conn));
	if (p->conn == NULL)
		return -ENOMEM;
	agreed.resume = &p->nego->secret;
	err = crypt__conn_start(p->conn, &io, &agreed);
	if (err != 0)
		return err;
	keep_next(ext);
	drop_nego(ext);
	return utcp_ext_resume(ext);
}

/* ---- the stream ------------------------------------------------------------------- */

static ssize_t
crypt_write(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	struct crypt__priv *p = ext->priv;
	struct crypt__io io = crypt__io_of(ext);

	if (p->conn == NULL)
		return 0;
	return crypt__conn_write(p->conn, &io, data, len, flags);
}

static int
crypt_write_end(utcp_ext_t *ext)
{
	struct crypt__priv *p = ext->priv;
	struct crypt__io io = crypt__io_of(ext);
	int err = -EAGAIN;

	if (p->conn != NULL)
		err = crypt__conn_write_end(p->conn, &io);
	return err == -EAGAIN ? UTCP_EXT_WAIT : err;
}

static ssize_t
crypt_read(utcp_ext_t *ext, const void *data, size_t len)
{
	struct crypt__priv *p = ext->priv;
	struct crypt__io io = crypt__io_of(ext);
	bool keys;
	int err;

	if (p->conn == NULL)
		return 0;
	keys = p->conn->phase == PHASE_FRAMES;
	err = crypt__conn_read(p->conn, &io, data, len);
	if (err != 0)
		return err;
	if (!keys && p->conn->phase == PHASE_FRAMES) {
		keep_next(ext);
		(void)utcp_ext_resume(ext);
	}
	/* The end is where the last frame is, not where a FIN is (section
	   3.7). */
	if (p->conn->fin_seen)
		(void)utcp_ext_deliver_end(ext);
	return (ssize_t)len;
}

static int
crypt_read_end(utcp_ext_t *ext)
{
	struct crypt__priv *p = ext->priv;

	return p->conn != NULL ? crypt__conn_read_end(p->conn) : -EBADMSG;
}

static const utcp_ext_option_t option = { .kind = ENO_KIND };

const utcp_ext_ops_t crypt__ops = {
	.size = sizeof(crypt__ops),
	.flags = UTCP_EXT_STREAM,
	.name = UTCP_CRYPT_NAME,
	.priv_bytes = sizeof(struct crypt__priv),
	.num_options = 1,
	.options = &option,
	.destroy = crypt_destroy,
	.init = crypt_init,
	.release = crypt_release,
	.open = crypt_open,
	.in = crypt_in,
	.out = crypt_out,
	.write = crypt_write,
	.write_end = crypt_write_end,
	.read = crypt_read,
	.read_end = crypt_read_end,
};
