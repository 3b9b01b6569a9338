/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_frag.c: fragment trains. Set associative: a train competes for a place
 * with the few of its set, by a keyed hash; the oldest of them gives way. Who
 * floods us with first fragments for a claimed tuple can displace trains,
 * whose rest then goes to the host and is lost, as if it had been dropped on
 * the way.
 */
#include "ms_frag.h"
#include "ms_table.h"

#define WAYS 4
#define SETS (MS_FRAG_SLOTS / WAYS)
#define KEY_WORDS 10 /* what identifies a train, in 32-bit words */

struct frag {
	uint32_t key[KEY_WORDS];
	uint64_t expires_ns; /* 0: empty */
	uint16_t sport_be, dport_be;
	uint8_t proto;
};

struct ms_fragtable {
	struct ms_spin lock;
	uint32_t trains; /* (l) entries in use, expired ones among them */
	uint64_t hash_key[KEY_WORDS + 1]; /* (c) */
	struct frag slot[MS_FRAG_SLOTS];  /* (l) */
};

int
ms_frag_create(struct ms_fragtable **out)
{
	struct ms_fragtable *t = ms_os_alloc(sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	ms_spin_init(&t->lock);
	ms_os_random(t->hash_key, sizeof(t->hash_key));
	*out = t;
	return 0;
}

void
ms_frag_destroy(struct ms_fragtable *t)
{
	if (t == NULL)
		return;
	ms_spin_deinit(&t->lock);
	ms_os_free(t);
}

/* In IPv6 the protocol behind the fragment header need not be the one behind
   all extension headers, so it is no part of the identity. */
static void
train_key(enum ms_dir dir, const struct ms_pkt *pkt, uint32_t key[KEY_WORDS])
{
	size_t bytes = pkt->family == 6 ? 16 : 4;

	memset(key, 0, KEY_WORDS * sizeof(*key));
	memcpy(key, pkt->saddr, bytes);
	memcpy(key + 4, pkt->daddr, bytes);
	key[8] = pkt->frag_id;
	key[9] = (uint32_t)dir << 16 | (uint32_t)pkt->family << 8;
	if (pkt->family == 4)
		key[9] |= pkt->proto;
}

static struct frag *
train_set(struct ms_fragtable *t, const uint32_t key[KEY_WORDS])
{
	uint64_t sum = t->hash_key[KEY_WORDS];
	unsigned int i;

	for (i = 0; i < KEY_WORDS; i++)
		sum += t->hash_key[i] * key[i];
	return &t->slot[(ms_hash_end(sum) / (UINT32_MAX / SETS + 1)) * WAYS];
}

static bool
is_train(const struct frag *f, const uint32_t key[KEY_WORDS])
{
	return f->expires_ns != 0 && memcmp(f->key, key, sizeof(f->key)) == 0;
}

void
ms_frag_note(struct ms_fragtable *t, enum ms_dir dir, const struct ms_pkt *pkt,
	     bool claimed)
{
	uint32_t key[KEY_WORDS];
	struct frag *set, *f;
	unsigned int i;

	/* Nothing to forget: the flood of fragments for the host is spared
	   the lock. */
	if (!claimed && ms_os_load_once(&t->trains) == 0)
		return;
	train_key(dir, pkt, key);
	ms_spin_lock(&t->lock);
	set = train_set(t, key);
	f = set;
	for (i = 0; i < WAYS; i++) {
		if (is_train(&set[i], key)) {
			f = &set[i];
			break;
		}
		if (set[i].expires_ns < f->expires_ns)
			f = &set[i];
	}
	if (claimed) {
		if (f->expires_ns == 0)
			ms_os_store_once(&t->trains, t->trains + 1);
		memcpy(f->key, key, sizeof(f->key));
		f->expires_ns = ms_os_now_ns() + MS_FRAG_LIFE_NS;
		f->sport_be = pkt->sport_be;
		f->dport_be = pkt->dport_be;
		f->proto = pkt->proto;
	} else if (i < WAYS) {
		f->expires_ns = 0;
		ms_os_store_once(&t->trains, t->trains - 1);
	}
	ms_spin_unlock(&t->lock);
}

bool
ms_frag_find(struct ms_fragtable *t, enum ms_dir dir, struct ms_pkt *pkt)
{
	uint32_t key[KEY_WORDS];
	bool found = false;
	struct frag *set;
	unsigned int i;

	if (ms_os_load_once(&t->trains) == 0)
		return false;
	train_key(dir, pkt, key);
	ms_spin_lock(&t->lock);
	set = train_set(t, key);
	for (i = 0; i < WAYS && !found; i++) {
		if (!is_train(&set[i], key) ||
		    set[i].expires_ns < ms_os_now_ns())
			continue;
		pkt->sport_be = set[i].sport_be;
		pkt->dport_be = set[i].dport_be;
		pkt->proto = set[i].proto;
		found = true;
	}
	ms_spin_unlock(&t->lock);
	return found;
}
