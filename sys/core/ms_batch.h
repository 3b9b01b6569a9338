/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_batch.h: what a queue of an interface keeps between the steps of a batch,
 * and what ms_switch.c, ms_rx.c, ms_tx.c and ms_tap.c share.
 */
#ifndef MS_BATCH_H
#define MS_BATCH_H

#include "ms_frag.h"
#include "ms_parse.h"
#include "ms_ring.h"
#include "ms_table.h"

#define MS_TX_FRAMES 64 /* of one ring, handled together */
#define MS_TX_SLOTS (MS_TX_FRAMES + MS_FRAME_SLOTS_MAX)

/* Of frames that are in sight, but have not come: ms_ahead.c. */
struct ms_ahead {
	uint32_t num;  /* that were seen */
	uint32_t at;   /* that have come since */
	uint32_t gone; /* ms_switch.gone, when they were seen */
	struct ms_kring *ring[MS_AHEAD_MAX]; /* NULL: who knows. To be followed
						only while `gone` is the same */
};

/* Belongs to the one caller of ms_nic_input(). */
struct ms_rx_batch {
	uint64_t counter[MS_CTR_MAX];
	struct ms_ahead ahead;
	uint64_t key[MS_BATCH_MAX];	     /* 0: decided without the table */
	uint32_t hash[MS_BATCH_MAX];	     /* of key */
	struct ms_kring *ring[MS_BATCH_MAX]; /* NULL: the host */
	struct ms_deliver deliver;
};

/* Where a sent frame goes. */
enum ms_way { MS_WAY_DROP, MS_WAY_NIC, MS_WAY_HOST, MS_WAY_LOCAL };

/* A frame taken from a transmit ring. */
struct ms_sent {
	uint32_t slots;	 /* that it takes up */
	uint8_t way;	 /* enum ms_way */
	uint8_t reason;	 /* MS_WAY_DROP: enum ms_counter; 0: not refused */
	uint64_t key;	 /* of a plain frame's source, 0: not plain */
	uint64_t to_key; /* of its destination, 0: not on this host */
	uint32_t hash, to_hash;
	struct ms_kring *ring; /* MS_WAY_LOCAL */
};

/* Belongs to the one runner of a scheduler. */
struct ms_tx_batch {
	uint64_t counter[MS_CTR_MAX];
	struct ms_kring *ring;		  /* that is visited */
	struct ms_slot slot[MS_TX_SLOTS]; /* read once, from the region */
	uint32_t num_slots;		  /* read */
	uint32_t num_segs;
	struct ms_sent sent[MS_TX_FRAMES];
	struct ms_frame frame[MS_TX_FRAMES];
	struct ms_frame out[MS_TX_FRAMES]; /* those that go one way */
	struct ms_seg seg[MS_TX_SLOTS];
	uint8_t hdr[MS_TX_FRAMES][MS_HDR_BYTES]; /* snapshots */
	struct ms_deliver deliver;
};

struct ms_batch {
	struct ms_rx_batch rx;
	struct ms_tx_batch tx;
};

/* An interface's MAC as on the wire, in two words. It may just be changing. */
struct ms_mac {
	uint32_t low;
	uint16_t high;
	bool any; /* loopback: all are right */
};

static inline struct ms_mac
ms_nic_mac(const struct ms_nic *nic)
{
	struct ms_mac mac;
	uint8_t b[6];
	unsigned int i;

	for (i = 0; i < 6; i++)
		b[i] = ms_os_load_once(&nic->mac[i]);
	mac.low = ms_raw32(b);
	mac.high = ms_raw16(b + 4);
	mac.any = nic->loopback;
	return mac;
}

static inline bool
ms_mac_is(const struct ms_mac *mac, const uint8_t *p)
{
	return mac->any ||
	       (ms_raw32(p) == mac->low && ms_raw16(p + 4) == mac->high);
}

struct ms_tap {
	struct ms_port *owner;	/* (c) its receive ring 0 gets the copies */
	struct ms_port *target; /* (c) or NULL: the interface */
	struct ms_nic *nic;	/* (c) of an interface's tap */
	uint32_t snap_bytes;	/* (c) 0: all */
	uint32_t flags;		/* (c) MS_TAP_REFUSED, _NO_OTHERS */
	struct ms_tap *next;	/* (r) of the same target */
};

/* Copies a frame for all taps from `tap` on; flag: MS_SLOT_TAP_RX or _TX.
   Counts for the owners and in counter[]. Read section. */
void ms_tap_frame(const struct ms_tap *tap, const struct ms_frame *f,
		  uint16_t flag, uint64_t *counter);
/* The same of a frame that is refused, for those of them that want such: reason
   is its counter. f: its metadata are changed. */
void ms_tap_refused(const struct ms_tap *tap, struct ms_frame *f,
		    uint8_t reason, uint64_t *counter);
/* Ends all taps on an interface. ctl_lock held; sleeps. */
void ms_tap_end_nic(struct ms_nic *nic);

/*
 * Which of a port's rings: by a keyed hash of the flow, from its high bits
 * down, so that each flow stays with one ring. Addresses as on the wire.
 */
static inline uint32_t
ms_flow_pick(uint32_t hash, uint32_t rings)
{
	return (uint32_t)(((uint64_t)hash * rings) >> 32);
}

static inline uint32_t
ms_flow_hash4(const uint64_t *k, uint32_t saddr, uint32_t daddr, uint32_t ports,
	      uint8_t proto)
{
	return ms_hash_end(k[0] + k[1] * saddr + k[2] * daddr + k[3] * ports +
			   k[4] * proto);
}

/* The same for a plain IPv4 frame. */
static inline struct ms_kring *
ms_flow_ring4(const struct ms_switch *sw, uint64_t value, const uint8_t *p)
{
	struct ms_kring *rings = ms_value_rings(value);
	uint32_t hash;

	if (ms_likely((value & 63) == 0))
		return rings;
	hash = ms_flow_hash4(sw->flow_key, ms_raw32(p + 26), ms_raw32(p + 30),
			     ms_raw32(p + 34), p[23]);
	return rings + ms_flow_pick(hash, ms_value_num(value));
}

/* One of those seen, or another, has come. Read section. */
void ms_ahead_step(struct ms_ahead *a, const struct ms_switch *sw);

/* The ring that frames of this flow go to, of the port that `value` says. */
struct ms_kring *ms_flow_ring(const struct ms_switch *sw, uint64_t value,
			      const struct ms_pkt *pkt, const uint8_t *saddr,
			      const uint8_t *daddr);

#endif /* MS_BATCH_H */
