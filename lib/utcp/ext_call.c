/* SPDX-License-Identifier: BSD-2-Clause */
/* ext_call.c: what extensions may ask of the stack. */
#include "ext.h"

static struct utcp__ext *
of(utcp_ext_t *ext)
{
	return CONTAINER(ext, struct utcp__ext, pub);
}

/* It is on a connection that goes on. */
static bool
has_sock(const struct utcp__ext *e)
{
	return utcp__ext_lives(e) && e->all->s && !e->all->s->dead;
}

int
utcp_ext_want(utcp_ext_t *ext, unsigned int bytes)
{
	struct utcp__exts *x;
	uint32_t sum = 0;

	if (!ext || bytes > 40)
		return -EINVAL;
	x = of(ext)->all;
	of(ext)->want = (uint8_t)bytes;
	for (const struct utcp__ext *e = x->first; e; e = e->next)
		sum += e->want;
	sum = (sum + 3) & ~3u;
	x->want = (uint8_t)(sum < 40 ? sum : 40);
	return 0;
}

int
utcp_ext_timer(utcp_ext_t *ext, uint64_t at_ns)
{
	struct utcp__exts *x;
	uint64_t least = UTCP_NEVER;

	if (!ext)
		return -EINVAL;
	x = of(ext)->all;
	/* Time goes on, whatever a hook asks for. */
	of(ext)->due_ns = MAX(at_ns, x->u->now_ns + 1);
	if (!x->s)
		return 0;
	for (const struct utcp__ext *e = x->first; e; e = e->next)
		if (!e->left)
			least = MIN(least, e->due_ns);
	utcp__tm_set(x->s, UTCP__TM_EXT, least);
	return 0;
}

int
utcp_ext_ack_now(utcp_ext_t *ext)
{
	if (!ext || !has_sock(of(ext)))
		return -EINVAL;
	utcp__ack_soon(of(ext)->all->s);
	return 0;
}

int
utcp_ext_ack_first(utcp_ext_t *ext)
{
	if (!ext || !has_sock(of(ext)))
		return -EINVAL;
	of(ext)->all->ack_first = true;
	utcp__want_output(of(ext)->all->s);
	return 0;
}

int
utcp_ext_gso(utcp_ext_t *ext, int on)
{
	if (!ext)
		return -EINVAL;
	of(ext)->no_gso = !on;
	utcp__ext_note_gso(of(ext)->all);
	return 0;
}

int
utcp_ext_output(utcp_ext_t *ext)
{
	if (!ext || !has_sock(of(ext)))
		return -EINVAL;
	utcp__want_output(of(ext)->all->s);
	return 0;
}

int
utcp_ext_ecn(utcp_ext_t *ext, int mode)
{
	struct utcp__exts *x;

	if (!ext || mode < UTCP_EXT_ECN_OFF || mode > UTCP_EXT_ECN_OWN)
		return -EINVAL;
	x = of(ext)->all;
	if (x->ecn_of && x->ecn_of != of(ext))
		return -EBUSY;
	x->ecn_of = of(ext);
	x->ecn = (uint8_t)(1 + mode);
	if (x->s)
		utcp__ext_ecn_apply(x->s, x->ecn);
	return 0;
}

void *
utcp_ext_alloc(utcp_ext_t *ext, size_t bytes)
{
	return ext && bytes ? utcp__alloc(ext->stack, bytes) : NULL;
}

void
utcp_ext_free(utcp_ext_t *ext, void *mem, size_t bytes)
{
	if (ext)
		utcp__free(ext->stack, mem, bytes);
}
