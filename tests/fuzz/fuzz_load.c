/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_load.c: multistack-load's parser: one is told a connection's bytes at
 * once, another the same in pieces, a third knows the heads that it has seen.
 * All find the same responses, and nobody keeps more than a line.
 */
#include "fuzz.h"
#include "load.h"

#define CUTS 6
#define FOUND_MAX 64

/* What was found. */
struct found {
	unsigned int n;
	bool bad;
	struct {
		uint16_t status;
		bool keeps;
		uint64_t body_bytes;
	} r[FOUND_MAX];
};

struct reader {
	struct response r;
	struct found found;
	struct head_cache *cache;
	bool to_head;
};

static void
note(struct reader *d)
{
	struct found *f = &d->found;

	FUZZ_CHECK(d->r.head.status >= 200 && d->r.head.status <= 599);
	if (f->n < FOUND_MAX) {
		f->r[f->n].status = d->r.head.status;
		f->r[f->n].keeps = response_keeps(&d->r);
		f->r[f->n].body_bytes = d->r.body_bytes;
	}
	f->n++;
	response_reset(&d->r, d->to_head);
}

static void
feed(struct reader *d, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len && !d->found.bad) {
		size_t took = response_feed(&d->r, d->cache,
					    (const char *)data + at, len - at);

		FUZZ_CHECK(took > 0 && took <= len - at);
		at += took;
		FUZZ_CHECK(d->r.line_len <= LINE_MAX_BYTES);
		d->found.bad = d->r.state == RESPONSE_BAD;
		FUZZ_CHECK(d->found.bad || d->r.interim <= INTERIM_MAX);
		if (d->r.state == RESPONSE_DONE)
			note(d);
		else
			FUZZ_CHECK(d->found.bad || at == len);
	}
}

static void
end(struct reader *d)
{
	if (!d->found.bad && response_end(&d->r))
		note(d);
	response_deinit(&d->r);
}

static void
same(const struct found *a, const struct found *b)
{
	FUZZ_CHECK(a->n == b->n && a->bad == b->bad);
	for (unsigned int i = 0; i < a->n && i < FOUND_MAX; i++) {
		FUZZ_CHECK(a->r[i].status == b->r[i].status);
		FUZZ_CHECK(a->r[i].keeps == b->r[i].keeps);
		FUZZ_CHECK(a->r[i].body_bytes == b->r[i].body_bytes);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct head_cache cache; /* of all inputs */
	struct fuzz_in in = { .p = data, .left = size };
	struct reader d[3] = { { .cache = NULL } };
	size_t cut[CUTS], at = 0;
	bool to_head = fuzz_u8(&in) & 1;

	for (int i = 0; i < CUTS; i++)
		cut[i] = fuzz_u8(&in);
	for (int i = 0; i < 3; i++) {
		d[i].to_head = to_head;
		response_reset(&d[i].r, to_head);
	}
	d[2].cache = &cache;
	if (in.left) {
		feed(&d[0], in.p, in.left);
		feed(&d[2], in.p, in.left);
	}
	for (int i = 0; i <= CUTS && at < in.left; i++) {
		size_t len = i < CUTS && cut[i] < in.left - at ? cut[i]
							       : in.left - at;

		if (len)
			feed(&d[1], in.p + at, len);
		at += len;
	}
	for (int i = 0; i < 3; i++)
		end(&d[i]);
	same(&d[0].found, &d[1].found);
	same(&d[0].found, &d[2].found);
	return 0;
}
