/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.c: what a stack says to itself over a loopback address.
 *
 * No wire carries 127.0.0.0/8 or ::1 (RFC 1122 section 3.2.1.3, RFC 4291
 * section 2.5.3), and a switch refuses them but on lo, where its routes call
 * them local. Elsewhere the stack itself is all that can be meant: such a frame
 * is copied, and comes in with the next batch.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define BYTES_MAX (8u << 20) /* under way */

struct mslink__looped {
	struct mslink__looped *next;
	utcp_pkt_t pkt;
	uint8_t data[];
};

bool
mslink__is_loopback(const uint8_t *addr, uint8_t family)
{
	static const uint8_t one[16] = { [15] = 1 };

	return family == 4 ? addr[0] == 127 : memcmp(addr, one, 16) == 0;
}

void
mslink__loop_put(mslink_t *l, const msport_view_t *v, unsigned int n)
{
	struct mslink__looped *f;
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += v[i].len;
	f = l->loop_bytes + len <= BYTES_MAX ? malloc(sizeof *f + len) : NULL;
	if (!f) {
		COUNT(l, DROP_LOOP_FULL);
		return;
	}
	memcpy(&f->pkt, v, sizeof f->pkt);
	f->pkt.flags &= (uint16_t)~UTCP_PKT_MORE;
	f->pkt.data = f->data;
	f->pkt.len = 0;
	f->next = NULL;
	for (unsigned int i = 0; i < n; i++) {
		memcpy(f->data + f->pkt.len, v[i].data, v[i].len);
		f->pkt.len += v[i].len;
	}
	l->loop_bytes += len;
	*l->loop_end = f;
	l->loop_end = &f->next;
	COUNT(l, LOOPED);
}

unsigned int
mslink__loop_input(mslink_t *l)
{
	unsigned int n = 0;

	while (l->loop && n < MSLINK__BATCH) {
		struct mslink__looped *f = l->loop;

		l->loop = f->next;
		if (!l->loop)
			l->loop_end = &l->loop;
		l->loop_bytes -= f->pkt.len;
		f->next = l->loop_lent;
		l->loop_lent = f;
		(void)utcp_input(l->u, &f->pkt, 1);
		n++;
	}
	return n;
}

static void
free_all(struct mslink__looped **list)
{
	while (*list) {
		struct mslink__looped *f = *list;

		*list = f->next;
		free(f);
	}
}

void
mslink__loop_release(mslink_t *l)
{
	free_all(&l->loop_lent);
}

void
mslink__loop_init(mslink_t *l)
{
	l->loop_end = &l->loop;
}

void
mslink__loop_deinit(mslink_t *l)
{
	free_all(&l->loop_lent);
	free_all(&l->loop);
}
