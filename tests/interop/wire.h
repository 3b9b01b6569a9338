/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.h: a TUN device as the stack's only link, with a bad link of ours
 * between the two if a test wants one, and a capture of what the stack sees.
 */
#ifndef INTEROP_WIRE_H
#define INTEROP_WIRE_H

#include <multistack/utcp.h>

#include "impair.h"

struct wire_options {
	const char *name;   /* of the TUN device, made if it is not there */
	uint32_t buf_bytes; /* of a receive buffer: larger packets take
				  several, as from a ring */
	uint32_t offloads;  /* UTCP_OFFLOAD_*, for the kernel likewise */
	const char *pcap;   /* NULL: none */
	uint32_t snap;	    /* bytes of each packet in it */
	uint64_t seed;	    /* of the impairments */
};

struct wire {
	int fd;
	utcp_t *u; /* borrowed */
	struct impair *in, *out;
	uint64_t failed; /* packets that the kernel did not take */
	/* the rest is wire.c's */
	struct wire_options opt;
	int pcap_fd;
	uint8_t *rx, *tx;
	utcp_pkt_t *rx_pkts, *tx_pkts;
	unsigned int rx_num; /* elements not yet taken in */
	struct frame *lent;  /* given to the stack until utcp_retain */
};

/* Ends the program, with words, if it cannot be had. */
void wire_open(struct wire *w, utcp_t *u, const struct wire_options *opt);
void wire_close(struct wire *w);
/* What came since: into the stack. Returns packets. */
int wire_input(struct wire *w);
/* After utcp_retain. */
void wire_release(struct wire *w);
/* What the stack wants to send, and what arrives by now. Returns packets. */
int wire_output(struct wire *w);
/* When there is something to do although the device is silent. */
uint64_t wire_next(const struct wire *w);

#endif
