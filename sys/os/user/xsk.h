/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * xsk.h: one AF_XDP socket on one queue, and what it cannot do done in
 * software: checksums, segmentation.
 */
#ifndef MS_XSK_H
#define MS_XSK_H

#include <xdp/xsk.h>

#include "ms_user.h"

#define MS_XSK_RX 1024 /* chunks of each direction */
#define MS_XSK_TX 2048
#define MS_XSK_SEGS_MAX 64 /* of one GSO frame */
#define MS_XSK_FEATURES                                                        \
	(MS_FEATURE_CSUM_TX | MS_FEATURE_GSO_TCP | MS_FEATURE_GSO_UDP)

struct ms_xsk {
	struct xsk_umem *umem;
	struct xsk_socket *sock;
	void *map; /* owned; the area lies in it at a huge page's start */
	size_t map_bytes;
	uint8_t *area; /* MS_XSK_RX chunks, then MS_XSK_TX */
	size_t area_bytes;
	uint32_t chunk_bytes;
	uint32_t mtu_bytes_max; /* of a frame that fits in a chunk */
	int fd;
	int gso_fd; /* a packet socket for frames to be segmented; or -1 */
	bool zero_copy;

	/* receive; by the queue's one worker */
	struct xsk_ring_prod fill;
	struct xsk_ring_cons rx;
	unsigned int idle; /* empty looks in a row */
	uint64_t unclaimed;

	/* transmit */
	struct ms_spin lock;
	struct xsk_ring_prod tx;
	struct xsk_ring_cons done;
	uint32_t num_free;	/* (l) */
	bool pending;		/* (l) in the ring, the kernel not told */
	uint64_t pending_flows; /* (l) whose frames those are, about */
	bool starved;		/* (l) somebody found no chunk */
	uint64_t refused;
	uint32_t free_chunk[MS_XSK_TX]; /* (l) a stack: the last is warm */
};

/* The largest MTU whose frames fit in a chunk. */
#define MS_XSK_MTU_MAX (4096 - 256 - 14 - 4)

/*
 * Opens queue q of an interface, zero copy where the driver has it. Zero the
 * struct first; on failure nothing is left. -EBUSY: another socket has it.
 */
int ms_xsk_open(struct ms_xsk *x, const char *ifname, unsigned int q,
		uint32_t mtu, bool generic);
void ms_xsk_close(struct ms_xsk *x); /* safe on a zeroed struct and twice */
int ms_xsk_receive(struct ms_xsk *x, struct ms_nic *nic, unsigned int q);
uint32_t ms_xsk_room(struct ms_xsk *x);
uint32_t ms_xsk_xmit(struct ms_xsk *x, struct ms_frame *frames, uint32_t n);
bool ms_xsk_flush(struct ms_xsk *x);
void ms_xsk_stats(const struct ms_xsk *x, const struct ms_nic *nic,
		  uint64_t counter[MS_CTR_MAX]);

#endif /* MS_XSK_H */
