/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * linger.c: a while after the end.
 *
 * The kernel goes on speaking for a socket whose process is gone. A stack of
 * our own is gone with its process, so it stays a little before.
 */
#include <errno.h>

#include "internal.h"

#define SILENCE_NS 50000000u /* nothing more is to come */

int
mslink_linger(mslink_t *l, uint32_t ms)
{
	uint64_t heard_ns = mslink_now_ns(), now_ns = heard_ns;
	uint64_t until_ns = heard_ns + ms * 1000000ull;
	utcp_event_t ev[64];
	utcp_usage_t use;
	int n;

	if (!l)
		return -EINVAL;
	utcp_advance(l->u, now_ns);
	for (;;) {
		n = mslink_flush(l);
		utcp_usage(l->u, &use);
		if (n < 0 || use.socks == 0)
			return n < 0 ? n : 0;
		now_ns = mslink_now_ns();
		if (now_ns >= until_ns ||
		    (use.buffered_bytes == 0 && now_ns - heard_ns > SILENCE_NS))
			return -ETIMEDOUT;
		n = mslink_wait(l, 10);
		if (n < 0)
			return n;
		n = mslink_poll(l);
		if (n < 0)
			return n;
		if (n > 0)
			heard_ns = mslink_now_ns();
		while (utcp_events(l->u, ev, 64) > 0)
			;
	}
}
