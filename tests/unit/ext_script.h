/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ext_script.h: an extension that does what a test says, and notes what it saw.
 */
#ifndef EXT_SCRIPT_H
#define EXT_SCRIPT_H

#include "cc.h"
#include "tcp_util.h"

#define KIND 0xfd /* 253, of RFC 6994 */
#define EXID 0x4d53

/* What the test's extension is to do, and what it was called with. */
struct script {
	/* to do */
	unsigned int syn_bytes; /* of content on SYN and SYN-ACK; 99: none */
	unsigned int seg_bytes; /* likewise on segments, if wanted */
	unsigned int want;
	int init_says, open_says, in_says, out_says, timer_says;
	uint16_t set_flags; /* on what leaves, SYN or not */
	int set_ecn;	    /* of IP; -1: as it is */
	int ecn_mode;	    /* -1: none */
	uint32_t ce;	    /* told of each acknowledgement */
	bool stays;	    /* though the peer does not have it */
	bool spoils;	    /* the stack's part of what it was given */
	/* seen */
	unsigned int inits, releases, opens, ins, outs, acks, timers;
	unsigned int destroys, ends;
	int reset, error;     /* `end` was told */
	enum utcp_state last; /* of the socket then, if it has a user */
	utcp_ext_in_t in;     /* the last */
	uint8_t content[40];  /* of its first option */
	utcp_ext_out_t out;   /* the last, as given */
	utcp_ext_ack_t ack;
	utcp_ext_t *ext;
};

static inline struct script *
of(utcp_ext_t *ext)
{
	return ext->shared;
}

static inline int
on_init(utcp_ext_t *ext)
{
	struct script *s = of(ext);

	s->inits++;
	s->ext = ext;
	assert_memory_equal(ext->priv, "\0\0\0\0", 4);
	memset(ext->priv, 0xaa, 4);
	if (s->ecn_mode >= 0)
		assert_int_equal(utcp_ext_ecn(ext, s->ecn_mode), 0);
	return s->init_says;
}

static inline void
on_release(utcp_ext_t *ext)
{
	of(ext)->releases++;
}

static inline int
on_open(utcp_ext_t *ext)
{
	struct script *s = of(ext);

	s->opens++;
	assert_non_null(ext->sock);
	assert_true(ext->flags & UTCP_EXT_OPEN);
	assert_int_equal(utcp_ext_want(ext, s->want), 0);
	return s->open_says;
}

static inline int
on_in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	struct script *s = of(ext);

	s->ins++;
	s->in = *seg;
	if (seg->num_opts > 0)
		memcpy(s->content, seg->opts[0].data, seg->opts[0].len);
	if (seg->flags & UTCP_TCP_SYN && seg->num_opts == 0 && !s->stays)
		return UTCP_EXT_LEAVE;
	return s->in_says;
}

static inline int
on_out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	struct script *s = of(ext);
	bool syn = seg->flags & UTCP_TCP_SYN;
	unsigned int n = syn ? s->syn_bytes : s->seg_bytes;
	uint8_t *p;

	s->outs++;
	s->out = *seg;
	seg->flags |= s->set_flags;
	if (s->set_ecn >= 0)
		seg->ecn = (uint8_t)s->set_ecn;
	if (s->spoils)
		seg->at_ += 41;
	if (n == 99 || (!syn && !s->want))
		return s->out_says;
	p = utcp_ext_put(seg, 0, n);
	for (unsigned int i = 0; p && i < n; i++)
		p[i] = (uint8_t)(0x10 + i);
	return s->out_says;
}

static inline void
on_ack(utcp_ext_t *ext, utcp_ext_ack_t *ack)
{
	of(ext)->acks++;
	of(ext)->ack = *ack;
	ack->ce = of(ext)->ce;
}

static inline int
on_timer(utcp_ext_t *ext)
{
	of(ext)->timers++;
	if (of(ext)->timer_says)
		(void)utcp_ext_timer(ext, 0); /* time goes on all the same */
	return of(ext)->timer_says;
}

static inline void
on_end(utcp_ext_t *ext, int reset, int error)
{
	struct script *s = of(ext);
	utcp_info_t info = { .size = sizeof(info) };

	s->ends++;
	s->reset = reset;
	s->error = error;
	assert_memory_equal(ext->priv, "\xaa\xaa\xaa\xaa", 4);
	if (utcp_info(ext->sock, &info) == 0)
		s->last = info.state;
}

static inline void
on_destroy(utcp_t *u, void *shared)
{
	assert_non_null(u);
	((struct script *)shared)->destroys++;
}

static const utcp_ext_option_t options[] = {
	{ .kind = KIND, .exid_bytes = 2, .exid = EXID },
	{ .kind = 172 },
};

static const utcp_ext_ops_t ops = {
	.size = sizeof(ops),
	.name = "test",
	.priv_bytes = 4,
	.num_options = 2,
	.options = options,
	.init = on_init,
	.release = on_release,
	.open = on_open,
	.in = on_in,
	.out = on_out,
	.ack = on_ack,
	.timer = on_timer,
	.destroy = on_destroy,
	.end = on_end,
};

/* A stack that has it, and a listener that does. */
static inline void
begin(struct tt *t, struct script *s, uint32_t flags)
{
	memset(s, 0, sizeof(*s));
	s->set_ecn = s->ecn_mode = -1;
	s->syn_bytes = 2;
	tt_init(t, 4);
	assert_int_equal(utcp_ext_register(t->u, &ops, 0, s), 0);
	tt_listen(t);
	assert_int_equal(utcp_ext_add(t->listener, "test", NULL, flags), 0);
	t->p->stack_port = 80;
}

static inline void
end(struct tt *t, struct script *s)
{
	tt_end(t);
	assert_int_equal(s->inits, s->releases);
	assert_true(s->ends <= s->inits);
	assert_int_equal(s->destroys, 1);
}

/* The peer's SYN has the option, as have ours. */
#define SYN_RAW "raw fd064d530102"
#define SYN_OPTS TT_OPTS "," SYN_RAW

#endif /* EXT_SCRIPT_H */
