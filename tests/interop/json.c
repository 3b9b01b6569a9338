/* SPDX-License-Identifier: BSD-2-Clause */
#include "peer.h"

static const char *const states[] = {
	"closed",      "listen",     "syn-sent",   "syn-received",
	"established", "fin-wait-1", "fin-wait-2", "close-wait",
	"closing",     "last-ack",   "time-wait",
};

void
json_info(FILE *f, const utcp_sock_t *s)
{
	static const char *const got[] = { "timestamps", "sack",     "wscale",
					   "ecn",	 "fastopen", "cookie",
					   "ext",	 "ext_ecn" };
	utcp_info_t i = { .size = sizeof(i) };
	const char *comma = "";
	int r = utcp_info(s, &i);

	if (r) {
		fprintf(f, ", \"info_error\": %d", r);
		return;
	}
	fprintf(f, ", \"state\": \"%s\", \"cc\": \"%s\", \"negotiated\": [",
		i.state < sizeof(states) / sizeof(*states) ? states[i.state]
							   : "?",
		i.cc);
	for (unsigned int b = 0; b < sizeof(got) / sizeof(*got); b++)
		if (i.negotiated & 1u << b) {
			fprintf(f, "%s\"%s\"", comma, got[b]);
			comma = ", ";
		}
	fputs("]", f);
#define U(name) fprintf(f, ", \"" #name "\": %llu", (unsigned long long)i.name)
	U(recovery);
	U(snd_wscale);
	U(rcv_wscale);
	U(mss);
	U(rcv_mss);
	U(pmtu);
	U(rtt_ns);
	U(rttvar_ns);
	U(min_rtt_ns);
	U(rto_ns);
	U(backoff);
	U(cwnd_bytes);
	U(ssthresh_bytes);
	U(snd_wnd_bytes);
	U(rcv_wnd_bytes);
	U(unacked_bytes);
	U(sacked_bytes);
	U(lost_bytes);
	U(retrans_out_bytes);
	U(notsent_bytes);
	U(unread_bytes);
	U(reordering_segs);
	U(total_retrans_segs);
	U(bytes_sent);
	U(bytes_acked);
	U(bytes_received);
	U(bytes_retrans);
	U(segs_in);
	U(segs_out);
	U(delivered_bytes);
	U(delivered_ce_bytes);
	U(pacing_rate);
	U(delivery_rate);
	U(busy_ns);
	U(rwnd_limited_ns);
	U(sndbuf_limited_ns);
	U(snd_nxt);
	U(snd_una);
	U(rcv_nxt);
	U(dsack_dups);
#undef U
}

/* Those that are not 0. */
void
json_counters(FILE *f, const utcp_t *u)
{
	uint64_t v[UTCP_CTR_MAX];
	unsigned int n = utcp_counters(u, v, UTCP_CTR_MAX);

	for (unsigned int i = 0; i < n; i++)
		if (v[i])
			fprintf(f, ", \"%s\": %llu", utcp_counter_name(i),
				(unsigned long long)v[i]);
}

void
json_conn(FILE *f, const struct conn *c)
{
	fprintf(f,
		", \"name\": \"%s\", \"rx\": %llu, \"tx\": %llu, \"bad_at\": "
		"%lld, \"eof\": %s, \"seconds\": %.6f",
		c->name, (unsigned long long)c->rx, (unsigned long long)c->tx,
		(long long)c->bad_at, c->eof ? "true" : "false",
		(double)(c->last_ns - c->first_ns) / 1e9);
	if (c->listener)
		fprintf(f,
			", \"accepted\": %llu, \"ended\": %llu, \"failed\": "
			"%llu, \"sum_rx\": %llu, \"sum_tx\": %llu, "
			"\"sum_bad\": %llu",
			(unsigned long long)c->accepted,
			(unsigned long long)c->ended,
			(unsigned long long)c->failed,
			(unsigned long long)c->sum_rx,
			(unsigned long long)c->sum_tx,
			(unsigned long long)c->sum_bad);
}
