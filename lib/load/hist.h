/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist.h: Gil Tene's HdrHistogram, of nanoseconds from 1 to an hour with three
 * digits: counts in buckets that double, each cut into 1024 parts. Recording
 * is two shifts and an addition, and no value is off by more than a thousandth.
 * (Debian 12 has no library of it for C.)
 */
#ifndef LOAD_HIST_H
#define LOAD_HIST_H

#include <stdint.h>

#define HIST_DIGITS 3
#define HIST_SUB_BITS 11 /* 2 * 10^HIST_DIGITS fits in */
#define HIST_HALF (1u << (HIST_SUB_BITS - 1))
#define HIST_MOST 3600000000000u /* longer is taken as this */
#define HIST_BUCKETS 32		 /* HIST_SUB << 31 is beyond HIST_MOST */
#define HIST_COUNTS ((HIST_BUCKETS + 1) * HIST_HALF)

struct hist {
	uint64_t total;
	uint64_t min, max; /* recorded; UINT64_MAX, 0 if nothing was */
	uint64_t counts[HIST_COUNTS];
};

/* Empty; the caller's. NULL: no memory. hist_destroy: NULL is fine. */
struct hist *hist_create(void);
void hist_destroy(struct hist *h);
void hist_reset(struct hist *h);
void hist_add(struct hist *to, const struct hist *from);
/*
 * The same, corrected for coordinated omission after the fact: for each value
 * longer than interval_ns, those that would have been measured meanwhile had
 * somebody asked each interval_ns: value - interval_ns, value - 2 * ...
 */
void hist_add_corrected(struct hist *to, const struct hist *from,
			uint64_t interval_ns);

/* Of the i-th count: the least value that it counts, and how many values. */
uint64_t hist_value(unsigned int i);
uint64_t hist_width(unsigned int i);
/* The value that `percent` of all are no longer than, as far as there are
   digits; at most max. 0: nothing was recorded. */
uint64_t hist_percentile(const struct hist *h, double percent);
double hist_mean(const struct hist *h);
double hist_stdev(const struct hist *h);

/*
 * As HdrHistogram's own programs read it: its compressed encoding, version 2,
 * in base64. The caller's to free(). NULL: no memory.
 */
char *hist_base64(const struct hist *h);

static inline unsigned int
hist_index(uint64_t ns)
{
	unsigned int bucket;

	bucket = 64u - HIST_SUB_BITS -
		 (unsigned int)__builtin_clzll(ns | (2 * HIST_HALF - 1));
	return bucket * HIST_HALF + (unsigned int)(ns >> bucket);
}

static inline void
hist_record_n(struct hist *h, uint64_t ns, uint64_t n)
{
	if (ns == 0)
		ns = 1;
	if (ns > HIST_MOST)
		ns = HIST_MOST;
	h->total += n;
	if (ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->counts[hist_index(ns)] += n;
}

static inline void
hist_record(struct hist *h, uint64_t ns)
{
	hist_record_n(h, ns, 1);
}

#endif /* LOAD_HIST_H */
