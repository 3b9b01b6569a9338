/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_text.h: what the files behind tcp_util.h share: tcp_util.c (the stack and
 * its time), tcp_peer.c (the script's lines), tcp_text.c and tcp_bytes.c
 * (segments as text and as bytes).
 */
#ifndef TCP_TEXT_H
#define TCP_TEXT_H

#include "tcp_util.h"

/* tcp_util.c */
void tt__note(struct tt *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A time as text. */
const char *tt__when(const struct tt *t, uint64_t at_ns);
void tt__failed(struct tt *t, const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 4, 5)));
/* Has the stack send what it wants to send now. */
void tt__drain(struct tt *t);
/* Time to target, or to when the first packet leaves if first is true. */
void tt__go(struct tt *t, uint64_t target, bool first);
void tt__release_held(struct tt *t);

/* tcp_text.c, tcp_bytes.c */
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
