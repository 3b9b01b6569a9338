/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tun.h: a TAP device of ours, frames with their offload metadata.
 */
#ifndef MS_TUN_H
#define MS_TUN_H

#include "ms_user.h"

#define MS_TUN_HEADROOM 16 /* writable bytes before every frame read */
/* What a TAP carries without touching it. */
#define MS_TUN_FEATURES                                                        \
	(MS_FEATURE_GSO_TCP | MS_FEATURE_CSUM_TX | MS_FEATURE_CSUM_RX)

struct ms_tun {
	char name[MS_IFNAME_BYTES];
	int ifindex;
	unsigned int queues;
	uint8_t mac[6]; /* of the host's end */
	uint32_t
	    features; /* MS_FEATURE_*: with GSO_UDP where the kernel has it */
	int *fd;      /* owned; one a queue, not blocking */
	uint8_t **arena; /* owned; one a queue: frames as read */
};

/*
 * Creates the TAP, or opens one that is there (`name` with %d: the next free).
 * Zero the struct first. With words: -EPERM, -EBUSY, -ENODEV, -ENOMEM, ...
 */
int ms_tun_open(struct ms_tun *t, const char *name, unsigned int queues,
		struct ms_err *err);
/* Safe on a zeroed struct and twice. The device goes, if it is not to last. */
void ms_tun_close(struct ms_tun *t);
/*
 * Takes some of the waiting frames of a queue. They are valid, and
 * theirs to change, with their headroom, until the next call for the queue.
 * Frames, 0, or -ENODEV when the device is gone.
 */
int ms_tun_read(struct ms_tun *t, unsigned int q, struct ms_frame *frames);
/*
 * Writes a frame. macs: 12 bytes instead of the frame's own, or NULL. skip:
 * bytes to leave out behind them (a VLAN tag). 0, -EAGAIN (full), or what the
 * kernel says. Any thread.
 */
int ms_tun_write(struct ms_tun *t, unsigned int q, const struct ms_frame *f,
		 const uint8_t *macs, unsigned int skip);

#endif /* MS_TUN_H */
