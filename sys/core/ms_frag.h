/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_frag.h: which ports a later fragment belongs to, learnt from the first
 * one of its train (RFC 791, RFC 8200: source, destination, identification,
 * and in IPv4 the protocol). What is remembered are ports of the packet, not
 * ports of the switch, so an entry refers to nothing that could go away.
 */
#ifndef MS_FRAG_H
#define MS_FRAG_H

#include "ms_core.h"

struct ms_fragtable;

/* -ENOMEM. Sleeps. NULL may be destroyed. */
int ms_frag_create(struct ms_fragtable **out);
void ms_frag_destroy(struct ms_fragtable *t);

/*
 * A first fragment: its train is claimed, and the ports are remembered, or it
 * is not, and what an older train of the same identification left is
 * forgotten. Received and sent trains are apart. Any context.
 */
void ms_frag_note(struct ms_fragtable *t, enum ms_dir dir,
		  const struct ms_pkt *pkt, bool claimed);
/* Fills sport_be, dport_be and proto of a later fragment. False: its first one
   was not seen, not claimed, or is too long ago. Any context. */
bool ms_frag_find(struct ms_fragtable *t, enum ms_dir dir, struct ms_pkt *pkt);

#endif /* MS_FRAG_H */
