/* SPDX-License-Identifier: BSD-2-Clause */
/* cases.h: what the groups of worlds share. */
#ifndef CASES_H
#define CASES_H

#include "sim.h"

struct two {
	struct sim *w;
	struct pipe *there, *back; /* from a to b, from b to a */
	struct node *a, *b;
};

/* Two nodes and a link with both directions alike. */
void two_nodes(struct two *t, const char *group, uint64_t seed,
	       const struct pipe_conf *pipe, const struct node_conf *node);
/* How bad a link is, drawn; in words; whether it is so bad that a closed end may
   give up. */
void draw_pipe(struct rng *r, struct pipe_conf *p);
void say_pipe(struct sim *w, const char *name, const struct pipe_conf *p);
bool is_harsh(const struct pipe_conf *p);
/* Options of all kinds, of a patient end. */
void draw_options(struct rng *r, struct ep_conf *c);
/* Closes all; nothing may be left of it. */
void all_is_back(struct sim *w);

/* A world drawn from the seed; prepare is called with each node, at first. */
void random_world(const char *group, uint64_t seed,
		  void (*prepare)(struct sim *w, struct node *n));

void case_basic(uint64_t seed);
void case_random(uint64_t seed);
void case_chaos(uint64_t seed);
void case_ext(uint64_t seed);
void case_grid(uint64_t seed);
void case_loss(uint64_t seed);
void case_shallow(uint64_t seed);
void case_fair(uint64_t seed);
void case_share(uint64_t seed);
void case_rack(uint64_t seed);
void case_westwood(uint64_t seed);
void case_wrap(uint64_t seed);
void case_ecn(uint64_t seed);
void case_l4s(uint64_t seed);
void case_old_queue(uint64_t seed);
void case_dualq(uint64_t seed);
void case_many(uint64_t seed);
void case_mtu(uint64_t seed);
void case_open(uint64_t seed);
void case_attack(uint64_t seed);
void case_vanish(uint64_t seed);
void case_hostile(uint64_t seed);
void case_udp(uint64_t seed);

#endif /* CASES_H */
