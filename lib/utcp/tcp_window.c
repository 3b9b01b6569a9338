/* SPDX-License-Identifier: BSD-2-Clause */
/* What we offer: receive window, segment size, window scale. */
#include "sock.h"
#include "sockbuf.h"
#include "tcp_loss.h"
#include "tcp_output.h"

#define MSS_LEAST 48u	 /* of what a peer may ask for */
#define MAXSEG_LEAST 88u /* with all options a segment still carries 48 */

int
utcp__wscale_offer(const struct utcp__opts *opts)
{
	int64_t most = opts->v[UTCP_OPT_WSCALE];
	int64_t buf = opts->v[UTCP_OPT_RCVBUF], clamp;
	int scale = 0;

	if (most < 0)
		return -1;
	if (!buf)
		buf = opts->v[UTCP_OPT_RCVBUF_MAX];
	clamp = opts->v[UTCP_OPT_WINDOW_CLAMP];
	if (clamp && clamp < buf)
		buf = clamp;
	while (scale < most && (int64_t)65535 << scale < buf)
		scale++;
	return scale;
}

/* What the user sets; not so little that others would send us more. */
static uint32_t
own_limit(const struct utcp__opts *opts)
{
	int64_t most = opts->v[UTCP_OPT_MAXSEG];

	return most ? MAX((uint32_t)most, MAXSEG_LEAST) : UINT32_MAX;
}

uint16_t
utcp__mss_offer(const utcp_t *u, const struct utcp__opts *opts, uint8_t family)
{
	/* RFC 6691: fixed headers only. */
	uint32_t mss = utcp__link_mtu(u, family) - utcp__header_bytes(family);

	mss = MIN(mss, own_limit(opts));
	return (uint16_t)MIN(mss, 65535u);
}

void
utcp__set_mss(utcp_sock_t *s)
{
	uint8_t family = s->ent.key.family;
	uint32_t pmtu = s->pmtu ? s->pmtu : utcp__link_mtu(s->u, family);
	uint32_t mss = pmtu - utcp__header_bytes(family);
	/* Who did not say can take the default: RFC 9293 section 3.7.1. */
	uint32_t peer = s->peer_mss ? s->peer_mss : utcp__default_mss(family);

	/* Less is an attack on our time more than a network. */
	mss = MIN(mss, MAX(peer, MSS_LEAST));
	mss = MIN(mss, own_limit(s->opts));
	mss -= utcp__opt_bytes(s);
	if (s->mss == mss)
		return;
	s->mss = (uint16_t)mss;
	utcp__cc_event(s, UTCP_CC_MSS);
}

uint32_t
utcp__rcv_window(utcp_sock_t *s)
{
	uint32_t unit = 1u << s->rcv_wscale, now = utcp__offered(s), step, up;
	uint32_t most = 65535u << s->rcv_wscale;
	uint32_t space = MIN(utcp__rcv_space(s), most);

	/*
	 * The right edge goes forward by a segment or half the buffer, not by
	 * less (RFC 9293 section 3.8.6.2.2), and never back (3.8.6.2.1).
	 */
	step = MIN((uint32_t)s->rcv_mss, utcp__rcv_most(s) / 2);
	if ((space & ~(unit - 1)) >= now + MAX(step, 1u))
		return space & ~(unit - 1);
	/* What the scale cannot express is rounded up (RFC 7323 section 2.4),
	   but not beyond the buffer, or tiny segments would move the edge
	   without end; what was offered is taken all the same (rcv_adv). */
	up = (now + unit - 1) & ~(unit - 1);
	return MIN(up <= space ? up : now & ~(unit - 1), most);
}

void
utcp__window_update(utcp_sock_t *s)
{
	uint32_t wnd, now, most = utcp__rcv_most(s);

	switch (s->state) {
	case UTCP_SYN_RECEIVED:
	case UTCP_ESTABLISHED:
	case UTCP_FIN_WAIT_1:
	case UTCP_FIN_WAIT_2:
		break;
	default:
		return; /* nothing more will come */
	}
	/* As the peer was told, who cannot be told of less than a unit. */
	now = utcp__offered(s) & ~((1u << s->rcv_wscale) - 1);
	/* Only one who is running short needs to be told; the rest goes with
	   the acknowledgements. */
	if (now && now >= most / 2)
		return;
	wnd = utcp__rcv_window(s);
	if (wnd <= now)
		return;
	if (wnd - now >= most / 2 ||
	    (wnd - now >= 2u * s->rcv_mss && wnd >= 2 * now))
		utcp__ack_soon(s);
}
