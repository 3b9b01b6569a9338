/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext.c: extensions by name: the registry of a stack, what a socket will have,
 * instances from the first SYN to the end.
 *
 * Hooks run in the midst of input and output, where a socket must not end. So
 * what they ask for is noted, and done at the end of the public call
 * (utcp__ext_work): until then a doomed connection calls no hook, takes no
 * segment and sends none.
 */
#include "ext.h"
#include "tcp_input.h"

#define PRIV_MAX 1024
#define EXID_FASTOPEN 0xf989
/* What came later may be missing. */
#define OPS_MIN offsetof(utcp_ext_ops_t, end)

/* ---- the registry ------------------------------------------------------ */

static bool
option_good(const utcp_ext_option_t *o)
{
	switch (o->kind) {
	case 0: /* end, no operation, MSS, window scale, SACK and timestamps */
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
	case 8:
	case 34: /* Fast Open */
		return false;
	case 253:
	case 254:
		if (o->exid_bytes == 2)
			return o->exid <= 0xffff && o->exid != EXID_FASTOPEN;
		/* RFC 6994 section 3.1: 32 bits have others in their first
		   half, so as not to be taken for Fast Open's. */
		return o->exid_bytes == 4 && o->exid >> 16 != EXID_FASTOPEN;
	default:
		return o->exid_bytes == 0;
	}
}

/* One could be taken for the other. */
static bool
options_meet(const utcp_ext_option_t *a, const utcp_ext_option_t *b)
{
	uint32_t x = a->exid, y = b->exid;

	if (a->kind != b->kind)
		return false;
	if (a->exid_bytes > b->exid_bytes)
		x >>= 16;
	else if (b->exid_bytes > a->exid_bytes)
		y >>= 16;
	return x == y;
}

static bool
mods_meet(const utcp_ext_ops_t *a, const utcp_ext_ops_t *b)
{
	if (a->flags & b->flags & UTCP_EXT_STREAM)
		return true;
	for (unsigned int i = 0; i < a->num_options; i++)
		for (unsigned int j = 0; j < b->num_options; j++)
			if (options_meet(&a->options[i], &b->options[j]))
				return true;
	return false;
}

static bool
ops_good(const utcp_ext_ops_t *ops)
{
	bool stream;

	if (!ops || ops->size < OPS_MIN || !ops->name || !ops->name[0] ||
	    strlen(ops->name) >= sizeof(((struct utcp__ext_mod *)0)->name) ||
	    ops->flags & ~(uint32_t)UTCP_EXT_STREAM ||
	    ops->priv_bytes > PRIV_MAX || ops->num_options > UTCP__EXT_OPTS ||
	    (ops->num_options && !ops->options))
		return false;
	stream = ops->flags & UTCP_EXT_STREAM;
	if (stream ? !ops->write || !ops->read
		   : ops->write || ops->read || ops->write_end || ops->read_end)
		return false;
	for (unsigned int i = 0; i < ops->num_options; i++) {
		if (!option_good(&ops->options[i]))
			return false;
		for (unsigned int j = 0; j < i; j++)
			if (options_meet(&ops->options[i], &ops->options[j]))
				return false;
	}
	return true;
}

static const struct utcp__ext_mod *
mod_find(const utcp_t *u, const char *name)
{
	const struct utcp__ext_mod *m = u->ext_mods;

	while (m && strcmp(m->name, name) != 0)
		m = m->next;
	return m;
}

int
utcp_ext_register(utcp_t *u, const utcp_ext_ops_t *ops, uint32_t flags,
		  void *shared)
{
	struct utcp__ext_mod *m, **at;
	unsigned int num = 0;

	if (!u || !ops_good(ops) ||
	    flags & ~(uint32_t)(UTCP_EXT_ALL | UTCP_EXT_MUST) ||
	    flags == UTCP_EXT_MUST)
		return -EINVAL;
	if (mod_find(u, ops->name))
		return -EEXIST;
	for (m = u->ext_mods; m && flags & UTCP_EXT_ALL; m = m->next) {
		if (!(m->flags & UTCP_EXT_ALL))
			continue;
		if (mods_meet(&m->ops, ops) || ++num == UTCP__EXT_MAX)
			return -EEXIST;
	}
	m = utcp__alloc(u, sizeof(*m));
	if (!m)
		return -ENOMEM;
	memcpy(&m->ops, ops, MIN(ops->size, sizeof(*ops)));
	if (ops->num_options)
		memcpy(m->options, ops->options,
		       ops->num_options * sizeof(*ops->options));
	m->ops.options = m->options;
	memcpy(m->name, ops->name, strlen(ops->name) + 1);
	m->ops.name = m->name;
	m->flags = flags;
	m->shared = shared;
	for (at = &u->ext_mods; *at; at = &(*at)->next)
		;
	*at = m;
	return 0;
}

void *
utcp_ext_shared(const utcp_t *u, const char *name)
{
	const struct utcp__ext_mod *m = u && name ? mod_find(u, name) : NULL;

	return m ? m->shared : NULL;
}

const char *
utcp_ext_name(const utcp_t *u, unsigned int i)
{
	const struct utcp__ext_mod *m = u ? u->ext_mods : NULL;

	while (m && i--)
		m = m->next;
	return m ? m->name : NULL;
}

int
utcp__ext_init(utcp_t *u)
{
	return utcp_ext_register(u, &utcp__accecn_ops, 0, NULL);
}

void
utcp__ext_deinit(utcp_t *u)
{
	struct utcp__ext_mod *m;

	while ((m = u->ext_mods) != NULL) {
		u->ext_mods = m->next;
		if (m->ops.destroy)
			m->ops.destroy(u, m->shared);
		utcp__free(u, m, sizeof(*m));
	}
}

/* ---- what a socket will have ------------------------------------------- */

static size_t
ext_bytes(const struct utcp__ext_mod *m)
{
	return sizeof(struct utcp__ext) + m->ops.priv_bytes;
}

static struct utcp__exts *
exts_new(utcp_t *u, utcp_sock_t *s)
{
	struct utcp__exts *x = utcp__alloc(u, sizeof(*x));

	if (x) {
		x->u = u;
		x->s = s;
		link_init(&x->work);
	}
	return x;
}

void
utcp__ext_note_gso(struct utcp__exts *x)
{
	x->no_gso = false;
	for (const struct utcp__ext *e = x->first; e; e = e->next)
		x->no_gso |= !e->left && e->no_gso;
}

/* Appends one. NULL: no memory. */
static struct utcp__ext *
put(struct utcp__exts *x, const struct utcp__ext_mod *m, void *arg, bool must)
{
	struct utcp__ext *e = utcp__alloc(x->u, ext_bytes(m)), **at;

	if (!e)
		return NULL;
	if (m->ops.flags & UTCP_EXT_STREAM) {
		x->stream = utcp__alloc(x->u, sizeof(*x->stream));
		if (!x->stream) {
			utcp__free(x->u, e, ext_bytes(m));
			return NULL;
		}
		x->stream->ext = e;
		link_init(&x->stream->raw);
	}
	e->pub.stack = x->u;
	e->pub.sock = x->s;
	e->pub.priv = m->ops.priv_bytes ? e->priv : NULL;
	e->pub.arg = arg;
	e->pub.shared = m->shared;
	e->mod = m;
	e->all = x;
	e->due_ns = UTCP_NEVER;
	e->must = must;
	x->num++;
	for (at = &x->first; *at; at = &(*at)->next)
		;
	*at = e;
	return e;
}

int
utcp__ext_opened(utcp_sock_t *s)
{
	const struct utcp__ext_mod *m;

	for (m = s->u->ext_mods; m; m = m->next) {
		if (!(m->flags & UTCP_EXT_ALL))
			continue;
		if (!s->ext)
			s->ext = exts_new(s->u, s);
		if (!s->ext ||
		    !put(s->ext, m, m->shared, m->flags & UTCP_EXT_MUST))
			return -ENOMEM;
	}
	return 0;
}

static struct utcp__ext *
find(const utcp_sock_t *s, const char *name)
{
	struct utcp__ext *e = s->ext ? s->ext->first : NULL;

	while (e && (e->left || strcmp(e->mod->name, name) != 0))
		e = e->next;
	return e;
}

static bool
too_late(const utcp_sock_t *s)
{
	return s->dead || (s->state != UTCP_CLOSED && s->state != UTCP_LISTEN);
}

int
utcp_ext_add(utcp_sock_t *s, const char *name, void *arg, uint32_t flags)
{
	const struct utcp__ext_mod *m;
	const struct utcp__ext *e;

	if (!s || !name || s->orphan || flags & ~(uint32_t)UTCP_EXT_MUST)
		return -EINVAL;
	m = mod_find(s->u, name);
	if (!m)
		return -ENOENT;
	if (too_late(s))
		return -EISCONN;
	for (e = s->ext ? s->ext->first : NULL; e; e = e->next)
		if (e->mod == m || mods_meet(&e->mod->ops, &m->ops))
			return -EEXIST;
	if (s->ext && s->ext->num >= UTCP__EXT_MAX)
		return -ENOSPC;
	if (!s->ext)
		s->ext = exts_new(s->u, s);
	if (!s->ext || !put(s->ext, m, arg, flags & UTCP_EXT_MUST)) {
		if (s->ext && !s->ext->first) {
			utcp__ext_free(s->ext);
			s->ext = NULL;
		}
		return -ENOMEM;
	}
	return 0;
}

static void
ext_free(struct utcp__exts *x, struct utcp__ext **at)
{
	struct utcp__ext *e = *at;

	*at = e->next;
	if (e->began && e->mod->ops.release)
		e->mod->ops.release(&e->pub);
	x->num--;
	utcp__free(x->u, e, ext_bytes(e->mod));
}

int
utcp_ext_remove(utcp_sock_t *s, const char *name)
{
	struct utcp__ext **at, *e;

	if (!s || !name || s->orphan)
		return -EINVAL;
	if (too_late(s))
		return -EISCONN;
	e = find(s, name);
	if (!e)
		return -ENOENT;
	if (s->ext->stream && s->ext->stream->ext == e) {
		utcp__free(s->u, s->ext->stream, sizeof(*s->ext->stream));
		s->ext->stream = NULL;
	}
	for (at = &s->ext->first; *at != e; at = &(*at)->next)
		;
	ext_free(s->ext, at);
	utcp__ext_note_gso(s->ext);
	if (!s->ext->first) {
		utcp__ext_free(s->ext);
		s->ext = NULL;
	}
	return 0;
}

utcp_ext_t *
utcp_ext_find(const utcp_sock_t *s, const char *name)
{
	struct utcp__ext *e;

	if (!s || !name || s->orphan)
		return NULL;
	e = find(s, name);
	return e && e->began ? &e->pub : NULL;
}

/* ---- their end --------------------------------------------------------- */

void
utcp__ext_end(struct utcp__exts *x, int error)
{
	if (x->ended)
		return;
	x->ended = true;
	for (struct utcp__ext *e = x->first; e; e = e->next)
		if (e->began && !e->left && e->mod->ops.end)
			e->mod->ops.end(&e->pub, x->reset, -error);
}

void
utcp__ext_end_half(struct utcp__exts *x, uint8_t reset, int error)
{
	if (!x)
		return;
	x->reset = reset;
	utcp__ext_end(x, error);
}

void
utcp__ext_free(struct utcp__exts *x)
{
	if (!x)
		return;
	while (x->first)
		ext_free(x, &x->first);
	link_remove(&x->work);
	if (x->stream) {
		UTCP_ASSERT(!x->stream->first && !x->stream->wait &&
			    link_empty(&x->stream->raw));
		utcp__free(x->u, x->stream, sizeof(*x->stream));
	}
	utcp__free(x->u, x, sizeof(*x));
}

void
utcp__ext_later(struct utcp__exts *x)
{
	if (x->s && link_empty(&x->work))
		link_append(&x->u->ext_work, &x->work);
}

void
utcp__ext_doom(struct utcp__exts *x, int error)
{
	if (x->doom)
		return;
	x->doom = (int16_t)(error > 0 && error < INT16_MAX ? error : EPROTO);
	utcp__ext_later(x);
}

void
utcp__ext_fault(struct utcp__ext *e)
{
	COUNT(e->all->u, EXT_FAULTS);
	utcp__ext_doom(e->all, EPROTO);
}

/* It goes, at the end of the call; the others have what room it had. */
static void
leave(struct utcp__ext *e)
{
	struct utcp__exts *x = e->all;

	if (e->left)
		return;
	e->left = true;
	COUNT(x->u, EXT_LEAVES);
	if (e->must)
		utcp__ext_doom(x, EPROTO);
	(void)utcp_ext_want(&e->pub, 0);
	utcp__ext_note_gso(x);
	if (x->ecn_of == e) {
		/* What it agreed on with the peer nobody else can keep. */
		x->ecn_of = NULL;
		x->ecn = 1 + UTCP_EXT_ECN_OFF;
		if (x->s)
			x->s->negotiated &= (uint16_t)~UTCP_GOT_EXT_ECN;
	}
	if (x->stream && x->stream->ext == e)
		utcp__ext_stream_end(x);
	utcp__ext_later(x);
}

bool
utcp__ext_took(struct utcp__ext *e, int r)
{
	if (LIKELY(r == 0))
		return true;
	if (r == UTCP_EXT_LEAVE)
		leave(e);
	else if (r < 0 && r > -INT16_MAX)
		utcp__ext_doom(e->all, -r);
	else
		utcp__ext_fault(e);
	return false;
}

/* Frees those that have left; of s nothing stays if it was the last. */
static void
sweep(struct utcp__exts *x)
{
	struct utcp__ext **at = &x->first;

	while (*at) {
		if ((*at)->left)
			ext_free(x, at);
		else
			at = &(*at)->next;
	}
	if (x->first || (x->stream && x->stream->wait))
		return;
	if (x->s)
		x->s->ext = NULL;
	utcp__ext_free(x);
}

void
utcp__ext_work(utcp_t *u)
{
	while (!link_empty(&u->ext_work)) {
		struct utcp__exts *x = CONTAINER(u->ext_work.next,
						 struct utcp__exts, work);
		utcp_sock_t *s = x->s;

		link_remove(&x->work);
		if (!x->doom)
			utcp__ext_pump(s);
		if (x->doom && !s->dead) {
			COUNT(u, EXT_ENDS);
			utcp__sock_abort(s, x->doom);
		} else if (x->doom && !x->told) {
			/* It was over, but not as it should be. */
			if (!s->error)
				s->error = x->doom;
			utcp__wake(s);
		}
		x->told = x->doom != 0;
		if (!x->doom)
			sweep(x);
	}
}

/* ---- their beginning --------------------------------------------------- */

static void
begin(struct utcp__exts *x, uint32_t flags)
{
	for (struct utcp__ext *e = x->first; e; e = e->next) {
		e->pub.flags = flags;
		e->began = !x->doom &&
			   (!e->mod->ops.init ||
			    utcp__ext_took(e, e->mod->ops.init(&e->pub)));
	}
}

void
utcp__ext_begin(utcp_sock_t *s)
{
	begin(s->ext, 0);
}

/* Instances for one of l's connections. NULL: no memory. */
static struct utcp__exts *
copies(const utcp_sock_t *l)
{
	struct utcp__exts *x = exts_new(l->u, NULL);
	const struct utcp__ext *e;

	for (e = l->ext->first; x && e; e = e->next) {
		if (!put(x, e->mod, e->pub.arg, e->must)) {
			utcp__ext_free(x);
			x = NULL;
		}
	}
	return x;
}

struct utcp__exts *
utcp__ext_syn(utcp_sock_t *l, struct utcp__seg_in *seg, bool *refused)
{
	struct utcp__exts *x = copies(l);
	const struct utcp__ext *e;
	bool taken;

	*refused = true;
	if (!x) {
		COUNT(l->u, DROP_NOMEM);
		return NULL;
	}
	x->irs = seg->seq;
	begin(x, UTCP_EXT_PASSIVE);
	taken = !x->doom && utcp__ext_in(x, seg);
	if (x->doom) {
		COUNT(l->u, EXT_ENDS);
		utcp__tcp_refuse(l->u, seg);
		utcp__ext_end_half(x, UTCP_EXT_RST_OUT, x->doom);
	}
	*refused = !taken;
	for (e = x->first; e && e->left; e = e->next)
		;
	if (taken && e)
		return x;
	utcp__ext_free(x);
	return NULL;
}

void
utcp__ext_ecn_apply(utcp_sock_t *s, uint8_t ecn)
{
	if (!ecn)
		return;
	s->negotiated &= (uint16_t)~(UTCP_GOT_ECN | UTCP_GOT_EXT_ECN);
	if (ecn == 1 + UTCP_EXT_ECN_RFC3168)
		s->negotiated |= UTCP_GOT_ECN;
	else if (ecn == 1 + UTCP_EXT_ECN_OWN)
		s->negotiated |= UTCP_GOT_EXT_ECN;
}

void
utcp__ext_attach(utcp_sock_t *s, struct utcp__exts *x)
{
	s->ext = x;
	x->s = s;
	utcp__ext_ecn_apply(s, x->ecn);
	for (struct utcp__ext *e = x->first; e; e = e->next) {
		e->pub.sock = s;
		if (e->due_ns != UTCP_NEVER && !e->left)
			(void)utcp_ext_timer(&e->pub, e->due_ns);
	}
	utcp__ext_later(x);
}

void
utcp__ext_open(utcp_sock_t *s)
{
	struct utcp__exts *x = s->ext;

	x->open = true;
	for (struct utcp__ext *e = x->first; e; e = e->next) {
		if (!utcp__ext_lives(e))
			continue;
		e->pub.flags |= UTCP_EXT_OPEN;
		COUNT(s->u, EXT_OPENS);
		if (e->mod->ops.open)
			(void)utcp__ext_took(e, e->mod->ops.open(&e->pub));
	}
	utcp__ext_later(x);
}

void
utcp__ext_cookie(const utcp_sock_t *l)
{
	COUNT_N(l->u, EXT_COOKIES, l->ext->num);
}

bool
utcp__ext_cookie_may(const utcp_sock_t *l)
{
	const struct utcp__ext *e;

	for (e = l->ext->first; e; e = e->next)
		if (e->must)
			return false;
	return true;
}
