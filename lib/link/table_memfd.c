/* SPDX-License-Identifier: BSD-2-Clause */
/* table_memfd.c: what a link tells of its connections, in a memory file. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define TABLE_BYTES                                                            \
	(sizeof(mslink_table_t) + MSLINK_TABLE_ROWS * sizeof(mslink_row_t))

#define LOOKS_MAX (4 * MSLINK_TABLE_ROWS) /* at sockets without a peer, too */

_Static_assert(sizeof(mslink_table_t) == 64, "a line");
_Static_assert(sizeof(mslink_row_t) == 128, "two lines");

void
mslink__table_init(mslink_t *l)
{
	mslink_table_t *t = MAP_FAILED;
	int fd;

	l->table_due_ns = UTCP_NEVER;
	fd = memfd_create("multistack-link", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return;
	/* Pages of rows that are never written are never there. */
	if (ftruncate(fd, (off_t)TABLE_BYTES) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		t = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			 fd, 0);
	if (t == MAP_FAILED) {
		close(fd);
		return;
	}
	t->head_bytes = sizeof *t;
	t->row_bytes = sizeof(mslink_row_t);
	t->ring = l->ring;
	__atomic_store_n(&t->magic, MSLINK_TABLE_MAGIC, __ATOMIC_RELEASE);
	l->table = t;
	l->table_fd = fd;
}

void
mslink__table_deinit(mslink_t *l)
{
	if (!l->table)
		return;
	(void)munmap(l->table, TABLE_BYTES);
	(void)close(l->table_fd);
	l->table = NULL;
}

static uint32_t
us(uint64_t ns)
{
	return ns / 1000 > UINT32_MAX ? 0 : (uint32_t)(ns / 1000);
}

/* False: it is connected to nobody. */
static bool
row_write(mslink_row_t *r, const utcp_sock_t *s)
{
	utcp_info_t i = { .size = sizeof i };

	if (utcp_getpeername(s, &r->peer) || utcp_getsockname(s, &r->local) ||
	    utcp_info(s, &i))
		return false;
	r->state = i.state;
	r->recovery = i.recovery;
	r->mss = (uint16_t)(i.mss < UINT16_MAX ? i.mss : UINT16_MAX);
	__builtin_memcpy(r->cc, i.cc, sizeof r->cc);
	r->rtt_us = us(i.rtt_ns);
	r->min_rtt_us = us(i.min_rtt_ns);
	r->cwnd_bytes = i.cwnd_bytes;
	r->ssthresh_bytes = i.ssthresh_bytes;
	r->unacked_bytes = i.unacked_bytes;
	r->lost_bytes = i.lost_bytes;
	r->snd_wnd_bytes = i.snd_wnd_bytes;
	r->bytes_sent = i.bytes_sent;
	r->bytes_acked = i.bytes_acked;
	r->bytes_received = i.bytes_received;
	r->retrans_segs = i.total_retrans_segs;
	r->delivery_rate = i.delivery_rate;
	return true;
}

/* Stores before it are seen before those after it. */
static inline void
store_fence(void)
{
#if defined(__x86_64__)
	/* The processor keeps them in order, and TSan knows no fences. */
	__asm__ volatile("" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

void
mslink__table_write(mslink_t *l, uint64_t now_ns)
{
	mslink_table_t *t = l->table;
	mslink_row_t *rows = (mslink_row_t *)(t + 1);
	const utcp_sock_t *s = NULL;
	uint32_t n = 0, looks = 0;
	utcp_usage_t usage;

	/* The writer of a seqlock: Linux's write_seqcount_begin. */
	__atomic_store_n(&t->seq, l->table_seq + 1, __ATOMIC_RELAXED);
	store_fence();
	while (n < MSLINK_TABLE_ROWS && looks++ < LOOKS_MAX &&
	       (s = utcp_next_sock(l->u, s)) != NULL)
		n += row_write(&rows[n], s);
	utcp_usage(l->u, &usage);
	t->port_id = msport_info(l->port)->port_id;
	t->rows = n;
	t->socks = usage.socks;
	t->syns = usage.syns;
	t->timewaits = usage.timewaits;
	t->time_ns = now_ns;
	l->table_seq += 2;
	__atomic_store_n(&t->seq, l->table_seq, __ATOMIC_RELEASE);
	l->table_due_ns = UTCP_NEVER;
}
