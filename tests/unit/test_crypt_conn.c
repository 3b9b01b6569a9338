/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt (RFC 8548): key exchange, frames, rekeying, resumption, and what a
   man in the middle can do. */
#include <multistack/utcp.h>

#include "crypt_pair.h"

static const uint8_t teps[] = { TEP_P256, TEP_P521, TEP_X25519, TEP_X448 };

static uint8_t text[70000];

static void
fill_text(void)
{
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + (i >> 8));
}

static bool
contains(const uint8_t *hay, size_t len, const uint8_t *needle, size_t n)
{
	for (size_t i = 0; i + n <= len; i++)
		if (memcmp(hay + i, needle, n) == 0)
			return true;
	return false;
}

/* ---- what works ---------------------------------------------------------- */

static void
both_ways(void **state)
{
	struct crypt_pair p;

	(void)state;
	for (size_t t = 0; t < sizeof(teps); t++)
		for (size_t k = 0; k < 3; k++) {
			const uint8_t a[] = { ENO_KIND, 3, teps[t] };
			const uint8_t b[] = { ENO_KIND, 4, ENO_B, teps[t] };

			ce_init(&p.end[0]);
			ce_init(&p.end[1]);
			ce_start(&p.end[0], a, b, &all_ciphers[k], 1);
			ce_start(&p.end[1], b, a, all_ciphers, 3);
			assert_int_equal(cp_move(&p, 0, 0), 0);
			assert_int_equal(cp_move(&p, 1, 0), 0);
			for (unsigned int nr = 0; nr < 2; nr++) {
				cp_write(&p, nr, text, 100 + nr);
				assert_int_equal(cp_move(&p, nr, 0), 0);
				assert_int_equal(p.end[!nr].got_len, 100 + nr);
				assert_memory_equal(p.end[!nr].got, text, 100);
			}
			assert_int_equal(p.end[0].c.id[0], teps[t]);
			assert_memory_equal(p.end[0].c.id, p.end[1].c.id,
					    SESSION_ID);
			assert_int_equal(p.end[1].c.tx.alg, all_ciphers[k]);
			assert_null(p.end[0].c.kx);
			assert_null(p.end[1].c.kx);
			cp_end(&p);
		}
}

/* However TCP cuts it. */
static void
any_piece(void **state)
{
	struct crypt_pair p;

	(void)state;
	for (size_t piece = 1; piece < 40; piece += 2) {
		cp_start(&p, TEP_X25519);
		assert_int_equal(cp_move(&p, 0, piece), 0);
		assert_int_equal(cp_move(&p, 1, piece), 0);
		for (size_t n = 1; n < 400; n += 37)
			cp_write(&p, 0, text, n);
		assert_int_equal(cp_move(&p, 0, piece), 0);
		assert_int_equal(p.end[1].got_len, 2046);
		/* Between frames there is no buffer. */
		assert_int_equal(p.end[1].mem, 0);
		cp_end(&p);
	}
}

static void
long_writes(void **state)
{
	struct crypt_pair p;
	size_t before;

	(void)state;
	cp_open(&p, TEP_X25519);
	before = p.end[0].out_len;
	cp_write(&p, 0, text, sizeof(text));
	/* 16 KiB in a frame: five of them. */
	assert_int_equal(p.end[0].out_len - before,
			 sizeof(text) + 5 * FRAME_MORE);
	assert_false(contains(p.end[0].out, p.end[0].out_len, text + 100, 16));
	assert_int_equal(cp_move(&p, 0, 1448), 0);
	assert_int_equal(p.end[1].got_len, sizeof(text));
	assert_memory_equal(p.end[1].got, text, sizeof(text));
	assert_true(p.end[1].mem_most <=
		    FRAME_DATA + 1 + (int)sizeof(struct crypt__kx));
	cp_end(&p);
}

static void
flags_of_writes(void **state)
{
	struct crypt_pair p;
	struct crypt_end *e = &p.end[0];

	(void)state;
	cp_start(&p, TEP_X25519);
	assert_int_equal(e->last_flags, 0); /* Init1 is pushed */
	/* No byte of the user's leaves before there are keys. */
	assert_int_equal(crypt__conn_write(&e->c, &e->io, text, 10, 0), 0);
	assert_int_equal(crypt__conn_write_end(&e->c, &e->io), -EAGAIN);
	assert_int_equal(crypt__conn_rekey(&e->c, &e->io), -EAGAIN);
	assert_int_equal(cp_move(&p, 0, 0), 0);
	assert_int_equal(cp_move(&p, 1, 0), 0);
	crypt__conn_write(&e->c, &e->io, text, 10, UTCP_MSG_MORE);
	assert_int_equal(e->last_flags, UTCP_MSG_MORE);
	crypt__conn_write(&e->c, &e->io, text, 20000, UTCP_MSG_EOR);
	assert_int_equal(e->last_flags, UTCP_MSG_EOR);
	cp_end(&p);
}

static void
ends_in_order(void **state)
{
	struct crypt_pair p;
	struct crypt_end *e = &p.end[0];

	(void)state;
	cp_open(&p, TEP_X25519);
	cp_write(&p, 0, text, 10);
	assert_int_equal(crypt__conn_write_end(&e->c, &e->io), 0);
	assert_int_equal(crypt__conn_write(&e->c, &e->io, text, 1, 0), -EPIPE);
	assert_int_equal(crypt__conn_rekey(&e->c, &e->io), -EPIPE);
	assert_int_equal(cp_move(&p, 0, 0), 0);
	assert_int_equal(crypt__conn_read_end(&p.end[1].c), 0);
	/* The other way goes on. */
	assert_int_equal(crypt__conn_read_end(&e->c), -EBADMSG);
	cp_write(&p, 1, text, 1000);
	assert_int_equal(cp_move(&p, 1, 0), 0);
	assert_int_equal(e->got_len, 1000);
	/* The peer's new key is heeded; an answer would come behind the last
	   frame. */
	assert_int_equal(crypt__conn_rekey(&p.end[1].c, &p.end[1].io), 0);
	assert_int_equal(cp_move(&p, 1, 0), 0);
	assert_int_equal(e->out_taken, e->out_len);
	cp_write(&p, 1, text, 1);
	assert_int_equal(cp_move(&p, 1, 0), 0);
	assert_int_equal(e->got_len, 1001);
	cp_end(&p);
}

static void
rekeys(void **state)
{
	struct crypt_pair p;
	struct crypt_end *a = &p.end[0], *b = &p.end[1];

	(void)state;
	cp_open(&p, TEP_X25519);
	for (unsigned int gen = 1; gen <= 3; gen++) {
		struct crypt_end *first = gen == 2 ? b : a;
		uint8_t mk[K_LEN];

		memcpy(mk, first->c.tx.mk, K_LEN);
		assert_int_equal(crypt__conn_rekey(&first->c, &first->io), 0);
		assert_memory_not_equal(mk, first->c.tx.mk, K_LEN);
		assert_int_equal(first->c.tx.gen, gen);
		/* One is under way. */
		assert_int_equal(crypt__conn_rekey(&first->c, &first->io),
				 -EAGAIN);
		/* Data under the new key and the other's old one may cross. */
		cp_write(&p, 0, text, 50);
		cp_write(&p, 1, text, 60);
		assert_int_equal(cp_move(&p, gen == 2, 7), 0);
		assert_int_equal(cp_move(&p, gen != 2, 7), 0);
		assert_int_equal(a->c.tx.gen, gen);
		assert_int_equal(a->c.rx.gen, gen);
		assert_int_equal(b->c.tx.gen, gen);
		assert_int_equal(b->c.rx.gen, gen);
		assert_int_equal(b->got_len, 50 * gen);
		assert_int_equal(a->got_len, 60 * gen);
	}
	cp_end(&p);
}

/* Both at once: neither answers the other. */
static void
rekeys_cross(void **state)
{
	struct crypt_pair p;
	struct crypt_end *a = &p.end[0], *b = &p.end[1];

	(void)state;
	cp_open(&p, TEP_X25519);
	assert_int_equal(crypt__conn_rekey(&a->c, &a->io), 0);
	assert_int_equal(crypt__conn_rekey(&b->c, &b->io), 0);
	assert_int_equal(cp_move(&p, 0, 0), 0);
	assert_int_equal(cp_move(&p, 1, 0), 0);
	assert_int_equal(a->c.tx.gen, 1);
	assert_int_equal(b->c.tx.gen, 1);
	assert_int_equal(a->out_len, a->out_taken);
	cp_end(&p);
}

/* A key is not used for ever. */
static void
rekeys_itself(void **state)
{
	struct crypt_pair p;
	struct crypt_end *a = &p.end[0];

	(void)state;
	cp_open(&p, TEP_X25519);
	a->c.tx.frames = REKEY_FRAMES - 1;
	cp_write(&p, 0, text, 1);
	assert_int_equal(a->c.tx.gen, 0);
	cp_write(&p, 0, text, 1);
	assert_int_equal(a->c.tx.gen, 1);
	assert_int_equal(a->c.tx.frames, 1);
	a->c.tx.bytes = REKEY_BYTES;
	cp_write(&p, 0, text, 40000);
	assert_int_equal(a->c.tx.gen, 2);
	assert_int_equal(cp_move(&p, 0, 0), 0);
	assert_int_equal(cp_move(&p, 1, 0), 0);
	assert_int_equal(p.end[1].got_len, 40002);
	assert_int_equal(a->c.rx.gen, 2);
	cp_end(&p);
}

/* Who asks for new keys and takes no answers does not fill our memory. */
static void
rekey_flood(void **state)
{
	struct crypt_pair p;

	(void)state;
	cp_open(&p, TEP_X25519);
	assert_int_equal(crypt__conn_rekey(&p.end[0].c, &p.end[0].io), 0);
	p.end[1].backlog = BACKLOG_MAX + 1;
	assert_int_equal(cp_move(&p, 0, 0), -EPROTO);
	cp_end(&p);
}

/* ---- the peer's frames ------------------------------------------------------ */

/* A frame of any text, under e's next nonce: what only the peer can make. */
static void
forge(struct crypt_end *e, const uint8_t *plain, size_t len, uint8_t control)
{
	struct crypt__dir *d = &e->c.tx;
	uint8_t *f = e->out + e->out_len, nonce[AEAD_NONCE];
	size_t clen = len + AEAD_TAG;

	f[0] = control;
	f[1] = (uint8_t)(clen >> 8);
	f[2] = (uint8_t)clen;
	crypt__dir_nonce(d, nonce);
	crypt__aead_begin(d->aead, nonce, f, 3);
	crypt__aead_part(d->aead, f + 3, plain, len);
	crypt__aead_end(d->aead, f + 3 + len);
	e->out_len += 3 + clen;
	d->ofs += 3 + clen;
}

static void
odd_frames(void **state)
{
	static const struct {
		const char *what;
		uint8_t plain[8];
		uint8_t len, control;
		int result;
		uint8_t got;
		bool fin;
	} frames[] = {
		{ "data", { 0, 'a', 'b' }, 3, 0, 0, 2, false },
		{ "empty", { 0 }, 1, 0, 0, 0, false },
		{ "reserved bits", { 0xfc, 'a' }, 2, 0xfe, 0, 1, false },
		{ "urgent", { 2, 0, 9, 'a' }, 4, 0, 0, 1, false },
		{ "urgent, no data", { 2, 0, 9 }, 3, 0, 0, 0, false },
		{ "urgent and last", { 3, 0, 9, 'a' }, 4, 0, 0, 1, true },
		{ "last, with data", { 1, 'a' }, 2, 0, 0, 1, true },
		{ "urgent, cut", { 2, 0 }, 2, 0, -EBADMSG, 0, false },
		{ "urgent, nothing", { 2 }, 1, 0, -EBADMSG, 0, false },
		{ "no flags", { 0 }, 0, 0, -EBADMSG, 0, false },
		{ "another key is said", { 0, 'a' }, 2, 1, -EBADMSG, 0, false },
	};
	struct crypt_pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		print_message("%s\n", frames[i].what);
		cp_open(&p, TEP_X25519);
		forge(&p.end[0], frames[i].plain, frames[i].len,
		      frames[i].control);
		assert_int_equal(cp_move(&p, 0, 0), frames[i].result);
		assert_int_equal(p.end[1].got_len, frames[i].got);
		assert_int_equal(crypt__conn_read_end(&p.end[1].c),
				 frames[i].fin ? 0 : -EBADMSG);
		cp_end(&p);
	}
}

static void
nothing_follows_the_last(void **state)
{
	static const uint8_t last[] = { 1 }, more[] = { 0, 'a' };
	struct crypt_pair p;

	(void)state;
	for (int twice = 0; twice < 2; twice++) {
		cp_open(&p, TEP_X25519);
		forge(&p.end[0], last, 1, 0);
		assert_int_equal(cp_move(&p, 0, 0), 0);
		forge(&p.end[0], twice ? last : more, twice ? 1 : 2, 0);
		assert_int_equal(cp_move(&p, 0, 0), -EBADMSG);
		assert_int_equal(p.end[1].got_len, 0);
		cp_end(&p);
	}
}

/* The longest frame there is; no buffer for it before it comes. */
static void
longest_frame(void **state)
{
	static uint8_t plain[65535 - AEAD_TAG];
	const uint8_t head[] = { 0, 0xff, 0xff, 1, 2, 3 };
	struct crypt_pair p;

	(void)state;
	memcpy(plain + 1, text, sizeof(plain) - 1);
	cp_open(&p, TEP_X25519);
	forge(&p.end[0], plain, sizeof(plain), 0);
	assert_int_equal(cp_move(&p, 0, 1448), 0);
	assert_int_equal(p.end[1].got_len, sizeof(plain) - 1);
	assert_memory_equal(p.end[1].got, text, sizeof(plain) - 1);
	assert_int_equal(
	    crypt__conn_read(&p.end[1].c, &p.end[1].io, head, sizeof(head)), 0);
	assert_true(p.end[1].mem <= FRAME_DATA + 1);
	cp_end(&p);
}

/* ---- a man in the middle ----------------------------------------------------- */

/* Each bit of a connection's bytes, turned, ends it, or keeps it from coming to
   be what it was; no byte is delivered that was not sent. */
static void
each_bit(void **state)
{
	struct crypt_pair p;
	size_t len = 0, at;
	int err;

	(void)state;
	for (size_t bit = 0; len == 0 || bit < len * 8; bit += 3) {
		cp_open(&p, TEP_X25519);
		at = p.end[0].out_len;
		cp_write(&p, 0, text, 10);
		cp_write(&p, 0, text + 10, 10);
		(void)crypt__conn_write_end(&p.end[0].c, &p.end[0].io);
		len = p.end[0].out_len - at;
		p.end[0].out[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
		err = cp_move(&p, 0, 0);
		/* A frame that got longer waits for ever; then comes FIN. */
		if (err == 0)
			err = crypt__conn_read_end(&p.end[1].c);
		assert_int_equal(err, -EBADMSG);
		assert_true(p.end[1].got_len <= 20);
		assert_memory_equal(p.end[1].got, text, p.end[1].got_len);
		cp_end(&p);
	}
}

/* The stream's end anywhere but at its end. */
static void
each_cut(void **state)
{
	struct crypt_pair p;
	size_t len, at;

	(void)state;
	for (size_t cut = 1; cut < 60; cut++) {
		cp_open(&p, TEP_X25519);
		at = p.end[0].out_len;
		cp_write(&p, 0, text, 10);
		(void)crypt__conn_write_end(&p.end[0].c, &p.end[0].io);
		len = p.end[0].out_len - at;
		if (cut > len) {
			cp_end(&p);
			break;
		}
		p.end[0].out_len -= cut;
		assert_int_equal(cp_move(&p, 0, 0), 0);
		assert_int_equal(crypt__conn_read_end(&p.end[1].c), -EBADMSG);
		cp_end(&p);
	}
}

/* Frames that come again, or in another order, or from the other side. */
static void
moved_frames(void **state)
{
	struct crypt_pair p;
	struct crypt_end *a = &p.end[0], *b = &p.end[1];
	uint8_t frame[128];
	size_t at, len;

	(void)state;
	cp_open(&p, TEP_X25519);
	at = a->out_len;
	cp_write(&p, 0, text, 10);
	len = a->out_len - at;
	memcpy(frame, a->out + at, len);
	assert_int_equal(cp_move(&p, 0, 0), 0);
	assert_int_equal(crypt__conn_read(&b->c, &b->io, frame, len), -EBADMSG);
	cp_end(&p);

	cp_open(&p, TEP_X25519);
	at = a->out_len;
	cp_write(&p, 0, text, 10);
	assert_int_equal(
	    crypt__conn_read(&a->c, &a->io, a->out + at, a->out_len - at),
	    -EBADMSG);
	cp_end(&p);

	cp_open(&p, TEP_X25519);
	at = a->out_len;
	cp_write(&p, 0, text, 10);
	cp_write(&p, 0, text + 10, 10);
	a->out_taken = at + (a->out_len - at) / 2;
	assert_int_equal(cp_move(&p, 0, 0), -EBADMSG);
	assert_int_equal(b->got_len, 0);
	cp_end(&p);
}

/* An option changed on its way: keys do not fit (RFC 8547 section 4.8). */
static void
transcript_counts(void **state)
{
	const uint8_t a[] = { ENO_KIND, 4, TEP_X448, TEP_X25519 };
	const uint8_t a_seen[] = { ENO_KIND, 3, TEP_X25519 };
	const uint8_t b[] = { ENO_KIND, 4, ENO_B, TEP_X25519 };
	struct crypt_pair p;

	(void)state;
	ce_init(&p.end[0]);
	ce_init(&p.end[1]);
	assert_int_equal(ce_start(&p.end[0], a, b, all_ciphers, 3), 0);
	assert_int_equal(ce_start(&p.end[1], b, a_seen, all_ciphers, 3), 0);
	assert_int_equal(cp_move(&p, 0, 0), 0);
	assert_int_equal(cp_move(&p, 1, 0), 0);
	assert_memory_not_equal(p.end[0].c.id + 1, p.end[1].c.id + 1, K_LEN);
	cp_write(&p, 0, text, 10);
	assert_int_equal(cp_move(&p, 0, 0), -EBADMSG);
	assert_int_equal(p.end[1].got_len, 0);
	cp_end(&p);
}

/* ---- the key exchange ----------------------------------------------------------- */

static const struct {
	const char *what;
	uint16_t at;
	uint8_t value;
	int result; /* 0: it waits, or works */
	bool works;
} inits[][12] = {
	{
	    /* Init1, as host B sees it */
	    { "as it is", 0, 0x15, 0, true },
	    { "magic", 0, 0x14, -EPROTO },
	    { "that of Init2", 3, 0xe0, -EPROTO },
	    { "longer than it is", 7, 8 + 1 + 6 + 32 + 32 + 1, 0 },
	    { "shorter by one", 7, 8 + 1 + 6 + 32 + 32 - 1, -EPROTO },
	    { "ends in its head", 7, 7, -EPROTO },
	    { "nothing behind its head", 7, 8, -EPROTO },
	    { "far too long", 4, 1, -EPROTO },
	    { "too long", 6, 0x10, -EPROTO },
	    { "no ciphers", 8, 0, -EPROTO },
	    { "more ciphers than there are", 8, 255, -EPROTO },
	    { "ciphers to where the nonce begins", 8, 4, -EPROTO },
	},
	{
	    /* Init2, as host A does */
	    { "as it is", 0, 0x09, 0, true },
	    { "magic", 0, 0x15, -EPROTO },
	    { "longer than it is", 7, 8 + 2 + 32 + 32 + 1, 0 },
	    { "shorter by one", 7, 8 + 2 + 32 + 32 - 1, -EPROTO },
	    { "nothing", 7, 0, -EPROTO },
	    { "far too long", 4, 0xff, -EPROTO },
	    { "a cipher that nobody has", 9, 3, -EPROTO },
	    { "a cipher that was not offered", 8, 1, -EPROTO },
	},
};

static void
bad_inits(void **state)
{
	struct crypt_pair p;

	(void)state;
	for (unsigned int nr = 0; nr < 2; nr++)
		for (size_t i = 0; i < 12 && inits[nr][i].what != NULL; i++) {
			print_message("Init%u: %s\n", nr + 1,
				      inits[nr][i].what);
			cp_start(&p, TEP_X25519);
			if (nr == 1)
				assert_int_equal(cp_move(&p, 0, 0), 0);
			p.end[nr].out[inits[nr][i].at] = inits[nr][i].value;
			assert_int_equal(cp_move(&p, nr, 11),
					 inits[nr][i].result);
			assert_int_equal(p.end[!nr].c.phase, inits[nr][i].works
								 ? PHASE_FRAMES
								 : PHASE_INIT);
			assert_int_equal(p.end[!nr].got_len, 0);
			cp_end(&p);
		}
}

/* What follows the key is ignored, and counts in the keys. */
static void
init_may_be_longer(void **state)
{
	struct crypt_pair p;
	struct crypt_end *a = &p.end[0];

	(void)state;
	cp_start(&p, TEP_X25519);
	memset(a->out + a->out_len, 0x77, 500);
	a->out_len += 500;
	a->out[6] = (uint8_t)(a->out_len >> 8);
	a->out[7] = (uint8_t)a->out_len;
	/* A sender of such would know it. */
	memcpy(a->c.kx->own, a->out, INIT_OWN);
	assert_int_equal(cp_move(&p, 0, 0), 0);
	assert_int_equal(p.end[1].c.phase, PHASE_FRAMES);
	assert_int_equal(p.end[1].c.rx.ofs, a->out_len);
	cp_end(&p);
}

static void
ciphers_by_host_b(void **state)
{
	static const uint16_t a_list[] = { AEAD_AES_128_GCM, AEAD_AES_256_GCM };
	static const uint16_t b_list[] = { AEAD_CHACHA20_POLY1305,
					   AEAD_AES_256_GCM, AEAD_AES_128_GCM };
	const uint8_t a[] = { ENO_KIND, 3, TEP_X25519 };
	const uint8_t b[] = { ENO_KIND, 4, ENO_B, TEP_X25519 };
	struct crypt_pair p;

	(void)state;
	for (int none = 0; none < 2; none++) {
		ce_init(&p.end[0]);
		ce_init(&p.end[1]);
		ce_start(&p.end[0], a, b, a_list, 2);
		ce_start(&p.end[1], b, a, b_list, none ? 1 : 3);
		assert_int_equal(cp_move(&p, 0, 0), none ? -EPROTO : 0);
		if (!none)
			assert_int_equal(p.end[1].c.tx.alg, AEAD_AES_256_GCM);
		cp_end(&p);
	}
}

static void
bad_public_key(void **state)
{
	struct crypt_pair p;

	(void)state;
	cp_start(&p, TEP_X25519);
	memset(p.end[0].out + p.end[0].out_len - 32, 0, 32);
	assert_int_equal(cp_move(&p, 0, 0), -EPROTO);
	cp_end(&p);
}

/* ---- sessions ----------------------------------------------------------------- */

/* A connection that resumes `s`: what both options would be. */
static int
resume(struct crypt_end *e, const struct crypt__secret *s, const uint8_t *own,
       const uint8_t *peer)
{
	struct crypt__eno o, p;
	struct crypt__choice choice;
	struct crypt__ticket t;
	struct crypt__agreed agreed = { .choice = &choice,
					.own = own,
					.peer = peer,
					.ciphers = all_ciphers,
					.num_ciphers = 3,
					.resume = s };

	assert_int_equal(crypt__secret_ticket(s, &t), 0);
	assert_int_equal(crypt__eno_parse(&o, own, own[1]), 0);
	assert_int_equal(crypt__eno_parse(&p, peer, peer[1]), 0);
	assert_true(crypt__eno_choose(&o, &p, false, &t, &choice));
	assert_true(choice.resumed);
	return crypt__conn_start(&e->c, &e->io, &agreed);
}

static void
offer(uint8_t opt[ENO_MAX], const struct crypt__secret *s, uint8_t global,
      size_t room)
{
	struct crypt__offer o = { .global = global,
				  .num = 1,
				  .teps = { s->tep } };
	struct crypt__ticket t;

	assert_int_equal(crypt__secret_ticket(s, &t), 0);
	o.resume = &t;
	memset(o.nonce, 0x11 + global, sizeof(o.nonce));
	assert_int_equal(crypt__eno_write(opt, room, 0, &o), room);
}

static void
resumes(void **state)
{
	uint8_t opt[2][ENO_MAX], ids[3][SESSION_ID];
	struct crypt__secret s[2];
	struct crypt_pair p;

	(void)state;
	cp_open(&p, TEP_X448);
	assert_true(crypt__conn_take_next(&p.end[0].c, &s[0]));
	assert_true(crypt__conn_take_next(&p.end[1].c, &s[1]));
	assert_false(crypt__conn_take_next(&p.end[1].c, &s[1]));
	memcpy(ids[0], p.end[0].c.id, SESSION_ID);
	cp_end(&p);
	/* Again by the one who opened, then by the other. */
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int first = i;

		assert_memory_equal(s[0].ss, s[1].ss, K_LEN);
		assert_true(s[0].was_a);
		assert_false(s[1].was_a);
		offer(opt[first], &s[first], 0, 20);
		offer(opt[!first], &s[!first], ENO_B, 20);
		ce_init(&p.end[0]);
		ce_init(&p.end[1]);
		for (unsigned int k = 0; k < 2; k++)
			assert_int_equal(
			    resume(&p.end[k], &s[k], opt[k], opt[!k]), 0);
		/* No Init; frames count from 0; keys go by the first roles. */
		assert_int_equal(p.end[0].out_len + p.end[1].out_len, 0);
		assert_int_equal(p.end[0].c.tx.tag, CONST_KEY_A);
		assert_int_equal(p.end[1].c.tx.tag, CONST_KEY_B);
		assert_int_equal(p.end[first].c.host_a, true);
		for (unsigned int k = 0; k < 2; k++) {
			cp_write(&p, k, text, 30);
			assert_int_equal(cp_move(&p, k, 0), 0);
			assert_int_equal(p.end[!k].got_len, 30);
		}
		assert_memory_equal(p.end[0].c.id, p.end[1].c.id, SESSION_ID);
		assert_int_equal(p.end[0].c.id[0], TEP_X448 | ENO_V);
		memcpy(ids[i + 1], p.end[0].c.id, SESSION_ID);
		for (unsigned int k = 0; k < 2; k++)
			assert_true(crypt__conn_take_next(&p.end[k].c, &s[k]));
		cp_end(&p);
	}
	assert_memory_not_equal(ids[0] + 1, ids[1] + 1, K_LEN);
	assert_memory_not_equal(ids[1] + 1, ids[2] + 1, K_LEN);
}

/* ---- without memory, without luck ------------------------------------------------- */

static void
failures_end_it(void **state)
{
	const uint8_t a[] = { ENO_KIND, 3, TEP_X25519 };
	const uint8_t b[] = { ENO_KIND, 4, ENO_B, TEP_X25519 };
	struct crypt_pair p;

	(void)state;
	ce_init(&p.end[0]);
	p.end[0].fail_alloc = ENOMEM;
	assert_int_equal(ce_start(&p.end[0], a, b, all_ciphers, 3), -ENOMEM);
	ce_end(&p.end[0]);
	ce_init(&p.end[0]);
	p.end[0].fail_emit = -ENOMEM;
	assert_int_equal(ce_start(&p.end[0], a, b, all_ciphers, 3), -ENOMEM);
	ce_end(&p.end[0]);

	cp_open(&p, TEP_X25519);
	p.end[0].fail_emit = -ENOMEM;
	assert_int_equal(
	    crypt__conn_write(&p.end[0].c, &p.end[0].io, text, 9, 0), -ENOMEM);
	assert_int_equal(crypt__conn_write_end(&p.end[0].c, &p.end[0].io),
			 -ENOMEM);
	cp_end(&p);

	cp_open(&p, TEP_X25519);
	cp_write(&p, 0, text, 9);
	p.end[1].fail_alloc = ENOMEM;
	assert_int_equal(cp_move(&p, 0, 0), -ENOMEM);
	cp_end(&p);

	cp_open(&p, TEP_X25519);
	cp_write(&p, 0, text, 9);
	p.end[1].fail_deliver = -ENOMEM;
	assert_int_equal(cp_move(&p, 0, 0), -ENOMEM);
	cp_end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(any_piece),
		cmocka_unit_test(long_writes),
		cmocka_unit_test(flags_of_writes),
		cmocka_unit_test(ends_in_order),
		cmocka_unit_test(rekeys),
		cmocka_unit_test(rekeys_cross),
		cmocka_unit_test(rekeys_itself),
		cmocka_unit_test(rekey_flood),
		cmocka_unit_test(odd_frames),
		cmocka_unit_test(nothing_follows_the_last),
		cmocka_unit_test(longest_frame),
		cmocka_unit_test(each_bit),
		cmocka_unit_test(each_cut),
		cmocka_unit_test(moved_frames),
		cmocka_unit_test(transcript_counts),
		cmocka_unit_test(bad_inits),
		cmocka_unit_test(init_may_be_longer),
		cmocka_unit_test(ciphers_by_host_b),
		cmocka_unit_test(bad_public_key),
		cmocka_unit_test(resumes),
		cmocka_unit_test(failures_end_it),
	};

	fill_text();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
