/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_load.c: a TCP option of one's own, outside the library.
 *
 *	SYN		kind 253, length 4, ExID		"tell me"
 *	SYN-ACK		kind 253, length 5, ExID, load		"I am so busy"
 *	segments	kind 253, length 5, ExID, load		"now I am so busy"
 *
 * 253 is for experiments, told apart by the ExID behind it (RFC 6994). A peer
 * that does not know it ignores the option (RFC 9293 MUST-6), its SYN-ACK comes
 * without, and the extension leaves: all goes on as if it had never been.
 *
 * A new value is asked for when a request comes and rides on the answer; until
 * what it rode on has arrived, the segments behind it carry it too.
 */
#include <stdbool.h>
#include <stddef.h>

#include "ext_load.h"

#define KIND 253
#define EXID 0x4c44
#define BYTES 5u /* of the option on a segment, all told */

/* The state of one connection: priv_bytes of it, zeros at first. */
struct load {
	int peer;	/* 1 + what it said; 0: nothing yet */
	uint8_t told;	/* what we said last */
	bool saying;	/* and say on, */
	uint64_t until; /* till so many bytes are acknowledged; 0: not yet */
	uint64_t acked; /* so far, with the SYN */
};

static uint8_t
ours(const utcp_ext_t *ext)
{
	const unsigned int *load = ext->shared;

	return load == NULL ? 0 : *load < 100 ? (uint8_t)*load : 100;
}

/* A segment leaves: puts the option on SYNs, and on others if it was asked for
   (else there is no room, and utcp_ext_put says so). */
static int
out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	bool asks = (seg->flags & (UTCP_TCP_SYN | UTCP_TCP_ACK)) ==
		    UTCP_TCP_SYN;
	uint8_t *content = utcp_ext_put(seg, 0, asks ? 0 : 1);
	struct load *p = ext->priv;

	if (content == NULL || asks)
		return 0;
	p->told = content[0] = ours(ext);
	if (seg->len > 0 && p->until == 0)
		p->until = seg->ofs + seg->len + 1;
	return 0;
}

/* A segment came: what does it say? On a SYN or SYN-ACK, nothing is a no. */
static int
in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct load *p = ext->priv;

	if (seg->flags & UTCP_TCP_SYN && seg->num_opts == 0)
		return UTCP_EXT_LEAVE;
	for (unsigned int i = 0; i < seg->num_opts; i++)
		if (seg->opts[i].len == 1 && seg->opts[i].data[0] <= 100)
			p->peer = 1 + seg->opts[i].data[0];
	/* A request: the answer is to say what has changed since. */
	if (seg->len > 0 && ext->shared != NULL && ours(ext) != p->told) {
		p->saying = true;
		p->until = 0;
		utcp_ext_want(ext, BYTES);
	}
	return 0;
}

static void
ack(utcp_ext_t *ext, utcp_ext_ack_t *ack)
{
	struct load *p = ext->priv;

	p->acked += ack->acked;
	if (p->saying && p->until != 0 && p->acked >= p->until) {
		p->saying = false;
		utcp_ext_want(ext, 0);
	}
}

static const utcp_ext_option_t option = { .kind = KIND,
					  .exid_bytes = 2,
					  .exid = EXID };

static const utcp_ext_ops_t ops = {
	.size = sizeof(ops),
	.name = "load",
	.priv_bytes = sizeof(struct load),
	.num_options = 1,
	.options = &option,
	.in = in,
	.out = out,
	.ack = ack,
};

int
load_register(utcp_t *u, const unsigned int *load)
{
	/* Nobody writes through it: shared is the same for all kinds of use. */
	return utcp_ext_register(u, &ops, UTCP_EXT_ALL, (void *)load);
}

int
load_of(const utcp_sock_t *s)
{
	const utcp_ext_t *ext = utcp_ext_find(s, ops.name);
	const struct load *p = ext == NULL ? NULL : ext->priv;

	return p == NULL ? -1 : p->peer - 1;
}
