/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_tx.h: transmission, in three rooms: ms_sched.c says whose turn it is,
 * ms_tx.c takes frames from a ring and sends them, ms_txcheck.c says whether
 * they may go and where.
 */
#ifndef MS_TX_H
#define MS_TX_H

#include "ms_batch.h"

/* One visit to one ring. */
struct ms_tx_view {
	const struct ms_switch *sw;
	const struct ms_table *table;
	const struct ms_gen *gen;
	struct ms_nic *nic;
	unsigned int q;
	struct ms_kring *ring;
	const struct ms_port *port;
	uint64_t own; /* the value of the port's own tuples */
	uint32_t pos; /* first slot that was not consumed */
	uint32_t num; /* slots from pos on that the user has filled */
	uint32_t mtu;
	struct ms_mac mac;
	bool untagged;
	bool loopback;
	uint32_t num_way[MS_WAY_LOCAL + 1]; /* frames, of those decided about */
};

/*
 * Decides about a frame: sets way, and ring or reason. f: its linear part is
 * the snapshot. The second is for a frame that ms_parse_plain4() took, that
 * carries no offloads and passed all rules that need no table; key and hash
 * are set, and so are to_key and to_hash if it may be for this host. Read
 * section.
 */
void ms_tx_decide(const struct ms_tx_view *v, const struct ms_frame *f,
		  struct ms_sent *s);
void ms_tx_decide_plain(const struct ms_tx_view *v, const struct ms_frame *f,
			struct ms_sent *s);

enum ms_visit {
	MS_VISIT_EMPTY,	  /* nothing left */
	MS_VISIT_SPENT,	  /* its share of this round is used up */
	MS_VISIT_NO_ROOM, /* the interface takes no more */
	MS_VISIT_BUDGET,  /* the caller's budget is used up */
};

/* Sends what this ring has, up to its share and to `budget` frames; *done:
   frames handled. Only the runner of the scheduler. Read section. */
enum ms_visit ms_tx_visit(struct ms_nic *nic, unsigned int q,
			  struct ms_kring *ring, uint32_t budget,
			  uint32_t *done);
/* ms_hold.c: holds of a transmit ring, NULL where there are none. -ENOMEM. */
int ms_holds_create(struct ms_kring *ring, struct ms_holds **out);
/* The ring is stopped: who is done after the next ms_os_read_sync() does not
   touch it. ctl_lock held. */
void ms_holds_stop(struct ms_holds *h);
/* Freed now, or by who is the last to be done. */
void ms_holds_destroy(struct ms_holds *h);
/* Whether any are out; then ring->pos moved and tail follows as far as it may.
   Only the runner. */
bool ms_holds_any(const struct ms_holds *h);
void ms_holds_consumed(struct ms_holds *h, struct ms_kring *ring);

/* From now on the owner has to kick after moving head. False: not so, there
   are frames already. Only the runner. */
bool ms_tx_doze(struct ms_kring *ring);

#endif /* MS_TX_H */
