/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_text.h: segments as text, as bytes, and as struct tt_seg (tcp_text.c);
 * between tcp_util.c and it.
 */
#ifndef TCP_TEXT_H
#define TCP_TEXT_H

#include "tcp_util.h"

/* NULL, or what is wrong with the text. */
const char *tt__parse(struct tt_seg *seg, const char *text);
/* Bytes of a packet from peer p to the stack; all fields are said. data NULL:
   the pattern. Returns its length. */
uint32_t tt__bytes(struct tt *t, struct tt_peer *p, const struct tt_seg *seg,
		   const void *data, uint8_t *to);
/* What the stack sent: fills seg, learns of the peer it is for (returned).
   NULL with *why: no TCP, or wrong in itself. */
struct tt_peer *tt__decode(struct tt *t, struct tt_seg *seg, const uint8_t *pkt,
			   uint32_t len, bool partial, const char **why);
/* NULL, or the first thing in which what came differs. */
const char *tt__differs(const struct tt_seg *want, const struct tt_seg *got);

#endif /* TCP_TEXT_H */
