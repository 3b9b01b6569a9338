/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin.h: whether a link looks for frames a while before it sleeps.
 *
 * To be woken costs more than most answers take to come. As hosts of virtual
 * machines do with processors that halt (Linux,
 * Documentation/virt/kvm/halt-polling.rst), what has just been found to pay is
 * done: after MSLINK__SPIN_SLEEPS in a row that a frame ended within MSLINK__SPIN_NEAR_NS
 * (of which waking up is the most), until the first MSLINK__SPIN_NS are spent in vain.
 */
#ifndef MSLINK_SPIN_H
#define MSLINK_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include <multistack/link.h>

#define MSLINK__SPIN_NS 100000u
#define MSLINK__SPIN_NEAR_NS 200000u
#define MSLINK__SPIN_SLEEPS 8u

struct mslink__spin {
	uint64_t ns;	   /* how long, at this time; 0: it sleeps at once */
	uint64_t slept_at; /* 0: it has not */
	unsigned int near; /* sleeps in a row that were too short */
	bool adapts;
};

/* us: as mslink_spin()'s. */
static inline void
mslink__spin_init(struct mslink__spin *p, uint32_t us)
{
	p->adapts = us == 0;
	p->ns = us == MSLINK_SPIN_NEVER ? 0 : us * UINT64_C(1000);
	p->slept_at = 0;
	p->near = 0;
}

/* Whether to go on looking, when the last frame was at last_ns. */
static inline bool
mslink__spin_more(struct mslink__spin *p, uint64_t now_ns, uint64_t last_ns)
{
	if (now_ns - last_ns < p->ns)
		return true;
	if (p->adapts)
		p->ns = 0;
	return false;
}

static inline void
mslink__spin_sleeps(struct mslink__spin *p, uint64_t now_ns)
{
	p->slept_at = now_ns;
}

/* Something has come. */
static inline void
mslink__spin_found(struct mslink__spin *p, uint64_t now_ns)
{
	if (!p->adapts || !p->slept_at)
		return;
	if (now_ns - p->slept_at >= MSLINK__SPIN_NEAR_NS)
		p->near = 0;
	else if (++p->near >= MSLINK__SPIN_SLEEPS) {
		p->ns = MSLINK__SPIN_NS;
		p->near = 0;
	}
	p->slept_at = 0;
}

#endif /* MSLINK_SPIN_H */
