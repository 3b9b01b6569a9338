/* SPDX-License-Identifier: BSD-2-Clause */
/* groups.c: what there is, and how much of it CI runs. */
#include "cases.h"

const struct group sim_groups[] = {
	{ "basic", "scripts in a clean world", case_basic, 96 },
	{ "random", "a world drawn from the seed", case_random, 1500 },
	{ "chaos", "any call at any time", case_chaos, 600 },
	{ "open", "both sides open at once", case_open, 200 },
	{ "many", "hundreds of short connections", case_many, 60 },
	{ "mtu", "paths that carry less, told or silent", case_mtu, 40 },
	{ "wrap", "sequence numbers and timestamps wrap", case_wrap, 48 },
	{ "grid", "rates and delays: goodput by the model", case_grid, 36 },
	{ "loss", "losses: goodput by the model", case_loss, 24 },
	{ "fair", "flows share a link", case_fair, 6 },
	{ "ecn", "marks keep the queue short, nothing is lost", case_ecn, 4 },
	{ "rack", "RACK is never slower", case_rack, 9 },
	{ NULL, NULL, NULL, 0 },
};
