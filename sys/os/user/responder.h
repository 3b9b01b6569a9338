/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * responder.h: stacks do no ARP, neighbour discovery or ping. On an interface
 * where no host does it for them, this does.
 */
#ifndef MS_RESPONDER_H
#define MS_RESPONDER_H

#include "attach.h"

/* A reply is at most so long; longer pings are not answered. */
#define MS_REPLY_BYTES 2048

/*
 * If the frame asks for one of our addresses (ARP request, neighbour
 * solicitation) or pings it, writes the answer to `out`, MS_REPLY_BYTES long,
 * and returns its length; else 0. Believes nothing in the frame.
 */
uint32_t ms_respond(const struct ms_private *ours, const uint8_t mac[6],
		    const struct ms_frame *f, uint8_t *out);

#endif /* MS_RESPONDER_H */
