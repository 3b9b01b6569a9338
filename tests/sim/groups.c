/* SPDX-License-Identifier: BSD-2-Clause */
/* groups.c: what there is, and how much of it CI runs. */
#include "cases.h"

const struct group sim_groups[] = {
	{ "basic", "scripts in a clean world", case_basic, 96 },
	{ "random", "a world drawn from the seed", case_random, 3500 },
	{ "chaos", "any call at any time", case_chaos, 3000 },
	{ "ext", "extensions on every connection", case_ext, 300 },
	{ "open", "both sides open at once", case_open, 1000 },
	{ "many", "hundreds of short connections", case_many, 300 },
	{ "mtu", "paths that carry less, told or silent", case_mtu, 80 },
	{ "attack", "forged segments, SYNs by the thousand", case_attack, 12 },
	{ "hostile", "others do what they can against the server", case_hostile,
	  8 },
	{ "vanish", "the link is cut for ever", case_vanish, 300 },
	{ "udp", "datagrams and their fragments", case_udp, 300 },
	{ "wrap", "sequence numbers and timestamps wrap", case_wrap, 200 },
	{ "grid", "rates and delays: goodput by the model", case_grid, 51 },
	{ "loss", "losses: goodput by the model", case_loss, 24 },
	{ "westwood", "the example of a congestion control", case_westwood, 6 },
	{ "shallow", "queues shorter than bursts of ACKs", case_shallow, 12 },
	{ "fair", "flows share a link", case_fair, 12 },
	{ "share", "BBR beside CUBIC, and beside BBR", case_share, 20 },
	{ "ecn", "marks keep the queue short, nothing is lost", case_ecn, 4 },
	{ "l4s", "Prague's queue, at a step of marks; CUBIC's, deep", case_l4s,
	  42 },
	{ "oldqueue", "Prague beside CUBIC, marked by RFC 3168's rules",
	  case_old_queue, 4 },
	{ "dualq", "Prague and CUBIC share a link of two queues", case_dualq,
	  8 },
	{ "rack", "RACK is never slower", case_rack, 9 },
	{ NULL, NULL, NULL, 0 },
};
