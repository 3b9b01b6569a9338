/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_proto.h: what is said over multistackd's socket.
 *
 * SOCK_SEQPACKET, one connection is one port. The client sends a ms_msg and
 * the command's struct of multistack.h in one packet, and no second one before
 * the answer: a ms_msg, the struct, and on error a text for people after it
 * (no NUL). PORT_CREATE's answer carries descriptors: the region's memfd, then
 * for each transmit ring what is readable after a wake-up and the eventfd to
 * kick the switch with, then for each receive ring what is readable after a
 * wake-up (ms_host_ring_fd, ms_host_kick_fd). Closing the connection closes
 * the port, and so does the death of the process that made it. The switch takes
 * the frames first that were sent before, as far as the interface has room for
 * them soon; then the tuples are free, and then the daemon hangs up: whoever
 * shuts down his side for writing can wait for that.
 *
 * struct ms_msg is the same in all versions of the ABI. A message of another
 * version is answered with -EPROTO and a text, by a ms_msg that has the
 * daemon's version; a packet that is not a message, or that brings
 * descriptors, ends the connection. A connection that the daemon cannot keep
 * (limits) is told so by a message with cmd 0, and closed.
 */
#ifndef MS_PROTO_H
#define MS_PROTO_H

#include "multistack.h"

#define MS_PROTO_MAGIC 0x4d53 /* "MS" */
#define MS_SOCKET_PATH "/run/multistack.sock"
#define MS_MSG_BYTES_MAX 2048
#define MS_MSG_TEXT_MAX 320
#define MS_MSG_FDS_MAX (1 + 3 * MS_RINGS_MAX)

struct ms_msg {
	uint16_t magic; /* MS_PROTO_MAGIC */
	uint16_t abi;	/* MS_ABI_VERSION of the sender */
	uint32_t cmd;	/* enum ms_cmd */
	int32_t err;	/* answer: 0 or a negative errno */
	uint16_t bytes; /* of the command's struct, that follows */
	uint16_t text;	/* answer: bytes of the error text after it */
};

#endif /* MS_PROTO_H */
