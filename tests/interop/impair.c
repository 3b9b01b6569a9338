/* SPDX-License-Identifier: BSD-2-Clause */
/* impair.c: a bad link. There is no netem where these tests run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <multistack/utcp.h>

#include "impair.h"

#define BURST_NS 50000000
#define LATE_NS 2000000 /* if reorder is asked for without late */

struct impair {
	double loss, dup, corrupt, reorder, burst;
	uint64_t delay_ns, jitter_ns, late_ns;
	uint64_t rate; /* bits a second; 0: no limit */
	uint32_t queue_bytes, mark_bytes, mtu;
	uint64_t random, order;
	uint64_t free_ns; /* the line is free from then on */
	uint64_t last_ns; /* the last one's time: jitter does not reorder */
	uint64_t came_ns; /* when the last packet came */
	bool in_burst;
	struct impair_count count;
	struct frame **heap; /* by due_ns, then order */
	unsigned int num, room;
};

static void *
must(void *mem)
{
	if (mem == NULL) {
		fputs("out of memory\n", stderr);
		exit(2);
	}
	return mem;
}

struct frame *
frame_new(uint32_t len)
{
	struct frame *f = must(malloc(sizeof(*f) + len));

	memset(f, 0, sizeof(*f));
	f->len = len;
	return f;
}

struct impair *
impair_create(uint64_t seed)
{
	struct impair *im = must(calloc(1, sizeof(*im)));

	im->random = seed * 0x9e3779b97f4a7c15u + 1;
	return im;
}

void
impair_destroy(struct impair *im)
{
	for (unsigned int i = 0; i < im->num; i++)
		free(im->heap[i]);
	free(im->heap);
	free(im);
}

struct impair_count
impair_count(const struct impair *im)
{
	return im->count;
}

uint64_t
parse_time(const char *text)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "", 1e9 },
		      { "s", 1e9 },
		      { "ms", 1e6 },
		      { "us", 1e3 },
		      { "ns", 1 } };
	char *end;
	double v = strtod(text, &end);

	for (unsigned int i = 0; end != text && v >= 0 && i < 5; i++)
		if (!strcmp(end, units[i].unit))
			return (uint64_t)(v * units[i].ns);
	return UINT64_MAX;
}

static uint64_t
parse_amount(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	switch (*end) {
	case 'k':
		return (uint64_t)(v * 1e3);
	case 'm':
		return (uint64_t)(v * 1e6);
	case 'g':
		return (uint64_t)(v * 1e9);
	case '\0':
		return (uint64_t)v;
	default:
		return UINT64_MAX;
	}
}

static int
set_one(struct impair *im, const char *name, const char *value)
{
	const struct {
		const char *name;
		double *p;
		uint64_t *ns;
		uint64_t *amount;
		uint32_t *bytes;
	} fields[] = {
		{ "loss", .p = &im->loss },
		{ "dup", .p = &im->dup },
		{ "corrupt", .p = &im->corrupt },
		{ "reorder", .p = &im->reorder },
		{ "burst", .p = &im->burst },
		{ "delay", .ns = &im->delay_ns },
		{ "jitter", .ns = &im->jitter_ns },
		{ "late", .ns = &im->late_ns },
		{ "rate", .amount = &im->rate },
		{ "queue", .bytes = &im->queue_bytes },
		{ "mark", .bytes = &im->mark_bytes },
		{ "mtu", .bytes = &im->mtu },
	};
	uint64_t v = 0;

	for (unsigned int i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (strcmp(name, fields[i].name))
			continue;
		if (fields[i].p)
			*fields[i].p = atof(value);
		else if (fields[i].ns)
			*fields[i].ns = v = parse_time(value);
		else if (fields[i].amount)
			*fields[i].amount = v = parse_amount(value);
		else
			*fields[i].bytes = (uint32_t)(v = parse_amount(value));
		return v == UINT64_MAX ? -1 : 0;
	}
	return -1;
}

int
impair_parse(struct impair *im, const char *spec)
{
	char text[512], *save = NULL, *word, *value;

	if (snprintf(text, sizeof(text), "%s", spec) >= (int)sizeof(text))
		return -1;
	for (word = strtok_r(text, ",", &save); word;
	     word = strtok_r(NULL, ",", &save)) {
		if (!strcmp(word, "none")) {
			memset(im, 0, offsetof(struct impair, random));
			continue;
		}
		value = strchr(word, '=');
		if (value == NULL)
			return -1;
		*value++ = '\0';
		if (set_one(im, word, value))
			return -1;
	}
	return 0;
}

bool
impair_busy(const struct impair *im)
{
	return im->num || im->loss > 0 || im->dup > 0 || im->corrupt > 0 ||
	       im->reorder > 0 || im->delay_ns || im->jitter_ns || im->rate ||
	       im->mtu;
}

/* ---- what befalls a packet ------------------------------------------------ */

static uint64_t
draw(struct impair *im) /* xorshift64* */
{
	im->random ^= im->random >> 12;
	im->random ^= im->random << 25;
	im->random ^= im->random >> 27;
	return im->random * 0x2545f4914f6cdd1du;
}

static bool
chance(struct impair *im, double p)
{
	return p > 0 && (double)(draw(im) >> 11) / 9007199254740992.0 < p;
}

/* Gilbert's model: the long-term share lost is `loss`, a loss takes `burst`
   packets in the mean; but it does not wait for who comes only now and then. */
static bool
is_lost(struct impair *im, uint64_t now_ns)
{
	bool silence = now_ns - im->came_ns > BURST_NS;

	im->came_ns = now_ns;
	if (im->burst <= 1 || im->loss >= 1)
		return chance(im, im->loss);
	if (im->in_burst && !silence)
		im->in_burst = !chance(im, 1 / im->burst);
	else
		im->in_burst = chance(im,
				      im->loss / (1 - im->loss) / im->burst);
	return im->in_burst;
}

/* Congestion experienced, if the sender can be told so. */
static void
mark(struct impair *im, struct frame *f)
{
	uint32_t sum;

	if (f->len < 20 ||
	    !(f->data[0] >> 4 == 4 ? f->data[1] & 3 : f->data[1] >> 4 & 3))
		return;
	im->count.marked++;
	if (f->data[0] >> 4 == 6) {
		f->data[1] |= 0x30;
		return;
	}
	f->data[1] |= 3;
	f->data[10] = f->data[11] = 0;
	sum = 0;
	for (unsigned int i = 0; i < (f->data[0] & 15) * 4u; i += 2)
		sum += (uint32_t)f->data[i] << 8 | f->data[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	f->data[10] = (uint8_t)(sum >> 8);
	f->data[11] = (uint8_t)sum;
}

static bool
before(const struct frame *a, const struct frame *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns
				      : a->order < b->order;
}

static void
push(struct impair *im, struct frame *f, uint64_t due_ns)
{
	unsigned int i = im->num++;

	if (im->num > im->room) {
		im->room = im->room ? im->room * 2 : 1024;
		im->heap = must(
		    realloc(im->heap, im->room * sizeof(*im->heap)));
	}
	f->due_ns = due_ns;
	f->order = im->order++;
	for (; i && before(f, im->heap[(i - 1) / 2]); i = (i - 1) / 2)
		im->heap[i] = im->heap[(i - 1) / 2];
	im->heap[i] = f;
}

struct frame *
impair_get(struct impair *im, uint64_t now_ns)
{
	struct frame *first, *last;
	unsigned int i, child;

	if (im->num == 0 || im->heap[0]->due_ns > now_ns)
		return NULL;
	first = im->heap[0];
	last = im->heap[--im->num];
	for (i = 0; (child = 2 * i + 1) < im->num; i = child) {
		if (child + 1 < im->num &&
		    before(im->heap[child + 1], im->heap[child]))
			child++;
		if (before(last, im->heap[child]))
			break;
		im->heap[i] = im->heap[child];
	}
	if (im->num)
		im->heap[i] = last;
	return first;
}

uint64_t
impair_next(const struct impair *im)
{
	return im->num ? im->heap[0]->due_ns : UINT64_MAX;
}

/* When a frame put on the line now leaves it; false: the queue is full. */
static bool
through_queue(struct impair *im, struct frame *f, uint64_t *t)
{
	uint64_t waiting;

	if (im->rate == 0)
		return true;
	waiting = im->free_ns > *t ? (uint64_t)((double)(im->free_ns - *t) *
						(double)im->rate / 8e9)
				   : 0;
	if (im->queue_bytes && waiting + f->len > im->queue_bytes)
		return false;
	if (im->mark_bytes && waiting > im->mark_bytes)
		mark(im, f);
	if (im->free_ns < *t)
		im->free_ns = *t;
	im->free_ns += (uint64_t)(f->len * 8e9 / (double)im->rate);
	*t = im->free_ns;
	return true;
}

static void
travel(struct impair *im, struct frame *f, uint64_t now_ns)
{
	uint64_t t = now_ns;

	if (!through_queue(im, f, &t)) {
		im->count.full++;
		free(f);
		return;
	}
	t += im->delay_ns;
	if (im->jitter_ns)
		t += draw(im) % im->jitter_ns;
	if (chance(im, im->reorder)) {
		im->count.late++;
		push(im, f, t + (im->late_ns ? im->late_ns : LATE_NS));
		return;
	}
	if (t < im->last_ns)
		t = im->last_ns;
	im->last_ns = t;
	push(im, f, t);
}

void
impair_put(struct impair *im, struct frame *f, uint64_t now_ns)
{
	struct frame *twin;
	uint64_t bit;

	im->count.in++;
	if (im->mtu && f->len > im->mtu) {
		im->count.too_big++;
		free(f);
		return;
	}
	if (is_lost(im, now_ns)) {
		im->count.lost++;
		free(f);
		return;
	}
	if (chance(im, im->dup)) {
		im->count.dup++;
		twin = frame_new(f->len);
		memcpy(twin, f, sizeof(*f) + f->len);
		travel(im, twin, now_ns);
	}
	if (chance(im, im->corrupt)) {
		im->count.corrupt++;
		bit = draw(im) % (f->len * 8u);
		f->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		f->flags &= (uint16_t)~UTCP_PKT_CSUM_OK;
	}
	travel(im, f, now_ns);
}
