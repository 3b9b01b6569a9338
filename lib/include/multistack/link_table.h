/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_table.h: what others may see of a link (link.h).
 *
 * On Linux a link tells of its connections, for `multistack top`, in a table in
 * memory of its own: a descriptor of the process, /proc/PID/fd/N, a link to
 * "/memfd:multistack-link (deleted)", for whom the kernel lets look into the
 * process. It is written in mslink_poll, at most once a second, and while nothing
 * happens not at all (mslink_timeout_ns comes once more after something did).
 *
 * Read all of it, look that `seq` is even and the same before and after, and
 * believe nothing: it is the program's memory. Fields may be appended to both
 * structs. Numbers are in the machine's byte order.
 */
#ifndef MULTISTACK_LINK_TABLE_H
#define MULTISTACK_LINK_TABLE_H

#include <multistack/utcp.h>

#define MSLINK_TABLE_MAGIC 0x4d534c54u /* "MSLT" */
#define MSLINK_TABLE_ROWS 1024

typedef struct mslink_row_s {
	utcp_addr_t local, peer;
	uint8_t state;	  /* enum utcp_state */
	uint8_t recovery; /* as in utcp_info_t */
	uint16_t mss;
	char cc[16];
	uint32_t rtt_us, min_rtt_us; /* 0: not known */
	uint32_t cwnd_bytes, ssthresh_bytes;
	uint32_t unacked_bytes, lost_bytes;
	uint32_t snd_wnd_bytes;
	uint64_t bytes_sent; /* with retransmissions */
	uint64_t bytes_acked;
	uint64_t bytes_received;
	uint64_t retrans_segs;
	uint64_t delivery_rate; /* bytes a second */
} mslink_row_t;

typedef struct mslink_table_s {
	uint32_t magic;		/* MSLINK_TABLE_MAGIC */
	uint16_t head_bytes;	/* of this struct */
	uint16_t row_bytes;	/* of a mslink_row_t */
	uint32_t port_id, ring; /* of the link */
	uint32_t seq;		/* odd: being written */
	uint32_t rows;		/* filled: of some, where there are more */
	/* As utcp_usage() has them, listeners among the sockets. */
	uint32_t socks, syns, timewaits;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t pad[2];
} mslink_table_t;

#endif /* MULTISTACK_LINK_TABLE_H */
