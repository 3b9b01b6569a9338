/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_crypt.c: two ends of tcpcrypt, and who sits between them.
 *
 * The input: two options, as they might come in SYNs; then steps: an end writes,
 * ends, takes a new key; bytes go on, in pieces, changed, lost, with others put
 * between; or an end is hostile and seals what it likes under its good key.
 * Memory fails now and then. What must hold:
 *
 *  - what is delivered is what was written, from its beginning on, unless the
 *    peer itself is hostile; and all of it, if nothing went wrong;
 *  - the end is told only where it was;
 *  - a bound on memory; in the end all is back, wiped.
 */
#include <errno.h>
#include <sys/types.h>

#include <multistack/utcp.h>

#include "conn.h"
#include "fuzz.h"

#define STEPS_MAX 400
#define STREAM_MAX (512u << 10)
#define TEXT 65536
#define MEM_MAX (3 * 65536 + 2 * sizeof(struct crypt__kx))

struct end {
	struct crypt__conn c;
	struct crypt__io io;
	bool on, failed, ended; /* ended: we wrote the last frame */
	bool hostile;
	uint64_t sent, got; /* of the text */
	uint8_t *out;	    /* stream to the other */
	size_t out_len, out_taken;
	int64_t mem;
	uint32_t fail_in; /* allocations till one fails; 0: never */
	struct end *peer;
};

static uint8_t text[TEXT];
static uint32_t luck;
static bool touched; /* somebody changed the stream */

/* In place of random.c: the same each time. */
int
crypt__random(void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len-- > 0) {
		luck = luck * 1664525 + 1013904223;
		*p++ = (uint8_t)(luck >> 16);
	}
	return 0;
}

/* ---- what a connection gives ---------------------------------------------- */

static int
emit(void *arg, const void *data, size_t len, int flags)
{
	struct end *e = arg;

	FUZZ_CHECK((flags & ~(UTCP_MSG_MORE | UTCP_MSG_EOR)) == 0);
	FUZZ_CHECK(len <= FRAME_DATA + FRAME_MORE);
	if (e->out_len + len > STREAM_MAX)
		return -ENOMEM;
	memcpy(e->out + e->out_len, data, len);
	e->out_len += len;
	return 0;
}

static int
deliver(void *arg, const void *data, size_t len)
{
	const uint8_t *b = data;
	struct end *e = arg;

	FUZZ_CHECK(len > 0 && !e->failed);
	for (size_t i = 0; i < len && !e->peer->hostile; i++)
		FUZZ_CHECK(b[i] == text[(e->got + i) % TEXT]);
	e->got += len;
	FUZZ_CHECK(e->peer->hostile || e->got <= e->peer->sent);
	return 0;
}

static uint64_t
backlog(void *arg)
{
	struct end *e = arg;

	return e->out_len - e->out_taken;
}

static void *
get(void *arg, size_t len)
{
	struct end *e = arg;

	if (e->fail_in > 0 && --e->fail_in == 0)
		return NULL;
	e->mem += (int64_t)len;
	FUZZ_CHECK(e->mem <= (int64_t)MEM_MAX);
	return calloc(1, len);
}

static void
put(void *arg, void *mem, size_t len)
{
	struct end *e = arg;

	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(((uint8_t *)mem)[i] == 0);
	e->mem -= (int64_t)len;
	FUZZ_CHECK(e->mem >= 0);
	free(mem);
}

/* An error is for ever. */
static void
fail(struct end *e, int err)
{
	FUZZ_CHECK(err == -EBADMSG || err == -EPROTO || err == -ENOMEM ||
		   err == -EPIPE);
	if (err == -EPIPE)
		FUZZ_CHECK(e->ended);
	else
		e->failed = true;
}

/* ---- options ----------------------------------------------------------------- */

static void
take_option(struct fuzz_in *in, uint8_t opt[ENO_MAX], uint8_t usual)
{
	uint8_t len = fuzz_u8(in);

	opt[0] = ENO_KIND;
	if (len < 0x80) { /* what is sensible */
		opt[1] = 4;
		opt[2] = usual;
		opt[3] = (uint8_t)(TEP_X25519 + (len & 1));
		return;
	}
	opt[1] = (uint8_t)(2 + len % (ENO_MAX - 1));
	fuzz_bytes(in, opt + 2, opt[1] - 2u);
}

static struct crypt__secret secret = { .tep = TEP_X25519,
				       .aead = AEAD_AES_128_GCM };

static const struct crypt__ticket *
find(void *arg, uint8_t tep, const uint8_t *half)
{
	const struct crypt__ticket *t = arg;

	return tep == t->tep && memcmp(half, t->expect, 4) == 0 ? t : NULL;
}

/* Either may see another option than was sent. */
static void
start(struct end *e, const uint8_t *own, const uint8_t *peer, bool was_a)
{
	static const uint16_t ciphers[] = { AEAD_CHACHA20_POLY1305,
					    AEAD_AES_128_GCM };
	static const uint8_t teps[] = { TEP_X448, TEP_X25519 };
	const struct crypt__ticket *found;
	struct crypt__secret s = secret;
	struct crypt__ticket ticket;
	struct crypt__eno o, p;
	struct crypt__choice choice;
	struct crypt__agreed agreed = { &choice, own, peer, ciphers, 2, &s };
	uint8_t tep;
	int err;

	s.was_a = was_a;
	FUZZ_CHECK(crypt__secret_ticket(&s, &ticket) == 0);
	if (crypt__eno_parse(&o, own, own[1]) != 0 ||
	    crypt__eno_parse(&p, peer, peer[1]) != 0)
		return;
	tep = crypt__eno_answer(&p, teps, 2, false, find, &ticket, &found);
	FUZZ_CHECK(tep == 0 || tep == teps[0] || tep == teps[1]);
	FUZZ_CHECK(found == NULL || tep == TEP_X25519);
	if (!crypt__eno_choose(&o, &p, false, &ticket, &choice) ||
	    crypt__pub_len(choice.tep_byte & 0x7f) == 0)
		return;
	FUZZ_CHECK(choice.peer_nonce_len <= RESUME_NONCE_MAX &&
		   choice.own_nonce_len <= RESUME_NONCE_MAX);
	err = crypt__conn_start(&e->c, &e->io, &agreed);
	e->on = err == 0;
	if (err != 0)
		fail(e, err);
}

/* ---- steps -------------------------------------------------------------------- */

static void
call_write(struct end *e, struct fuzz_in *in)
{
	size_t len = 1u + fuzz_u16(in), at = e->sent % TEXT;
	ssize_t n;

	if (len > TEXT - at)
		len = TEXT - at;
	n = crypt__conn_write(&e->c, &e->io, text + at, len, 0);
	if (n < 0)
		fail(e, (int)n);
	else
		FUZZ_CHECK(n ==
			   (e->c.phase == PHASE_FRAMES ? (ssize_t)len : 0));
	/* What was emitted before memory failed may arrive. */
	if (n != -EPIPE)
		e->sent += n < 0 ? len : (size_t)n;
}

static void
call_end(struct end *e)
{
	int err = crypt__conn_write_end(&e->c, &e->io);

	if (err == 0)
		e->ended = true;
	else if (err != -EAGAIN)
		fail(e, err);
}

static void
call_rekey(struct end *e)
{
	int err = crypt__conn_rekey(&e->c, &e->io);

	if (err != 0 && err != -EAGAIN)
		fail(e, err);
}

/* What the peer of `e` has sent and `e` not seen: n bytes of it. */
static void
move(struct end *e, size_t n)
{
	struct end *f = e->peer;
	int err;

	if (n > f->out_len - f->out_taken)
		n = f->out_len - f->out_taken;
	if (n == 0 || e->failed || !e->on)
		return;
	err = crypt__conn_read(&e->c, &e->io, f->out + f->out_taken, n);
	f->out_taken += n;
	if (err != 0)
		fail(e, err);
	if (err == 0 && crypt__conn_read_end(&e->c) == 0)
		FUZZ_CHECK(f->hostile || (f->ended && e->got == f->sent));
}

/* Between f and its peer: bytes change, are lost, or others come. */
static void
meddle(struct end *f, struct fuzz_in *in, uint8_t how)
{
	size_t left = f->out_len - f->out_taken, at, n;

	if (left == 0)
		return;
	at = f->out_taken + fuzz_u16(in) % left;
	n = 1 + fuzz_u8(in) % 16;
	touched = true;
	if ((how & 3) == 0) {
		f->out[at] ^= (uint8_t)(1u << (how >> 5));
	} else if ((how & 3) == 1) {
		n = n < f->out_len - at ? n : f->out_len - at;
		memmove(f->out + at, f->out + at + n, f->out_len - at - n);
		f->out_len -= n;
	} else if ((how & 3) == 2 && f->out_len + n <= STREAM_MAX) {
		memmove(f->out + at + n, f->out + at, f->out_len - at);
		fuzz_bytes(in, f->out + at, n);
		f->out_len += n;
	} else {
		fuzz_bytes(in, f->out + at,
			   n < f->out_len - at ? n : f->out_len - at);
	}
}

/* A hostile end: any text, under its key. */
static void
forge(struct end *e, struct fuzz_in *in)
{
	uint8_t frame[FRAME_HEAD + 64 + AEAD_TAG], plain[64];
	uint8_t nonce[AEAD_NONCE], control = fuzz_u8(in);
	size_t len = fuzz_u8(in) % sizeof(plain), clen = len + AEAD_TAG;
	struct crypt__dir *d = &e->c.tx;

	if (e->c.phase != PHASE_FRAMES || e->failed)
		return;
	e->hostile = true;
	fuzz_bytes(in, plain, len);
	if ((control & 1) != 0 && crypt__dir_rekey(d) != 0)
		return;
	frame[0] = control;
	frame[1] = (uint8_t)(clen >> 8);
	frame[2] = (uint8_t)clen;
	crypt__dir_nonce(d, nonce);
	FUZZ_CHECK(crypt__aead_begin(d->aead, nonce, frame, 3) == 0);
	FUZZ_CHECK(crypt__aead_part(d->aead, frame + 3, plain, len) == 0);
	FUZZ_CHECK(crypt__aead_end(d->aead, frame + 3 + len) == 0);
	d->ofs += 3 + clen;
	if (emit(e, frame, 3 + clen, 0) != 0)
		e->failed = true;
}

static void
step(struct end *e, struct fuzz_in *in, uint8_t op)
{
	switch (op >> 1 & 7) {
	case 0:
	case 1:
		if (e->on && !e->failed)
			call_write(e, in);
		break;
	case 2:
		if (e->on && !e->failed)
			call_end(e);
		break;
	case 3:
		if (e->on && !e->failed)
			call_rekey(e);
		break;
	case 4:
	case 5:
		move(e, (size_t)(1 + (op >> 4)) << fuzz_u8(in) % 13);
		break;
	case 6:
		if ((op & 0x80) != 0)
			forge(e, in);
		else if ((op & 0x40) != 0)
			e->fail_in = 1 + (op >> 4 & 3);
		else
			move(e, STREAM_MAX);
		break;
	default:
		meddle(e, in, op);
	}
}

/* All that is under way arrives. */
static void
finish(struct end e[2], bool agreed)
{
	for (int i = 0; i < 6; i++)
		move(&e[i & 1], STREAM_MAX);
	for (int i = 0; i < 2; i++)
		if (agreed && !touched && !e[i].failed && !e[!i].failed &&
		    !e[0].hostile && !e[1].hostile)
			FUZZ_CHECK(e[i].got == e[!i].sent);
	for (int i = 0; i < 2; i++) {
		crypt__conn_release(&e[i].c, &e[i].io);
		FUZZ_CHECK(e[i].mem == 0);
		free(e[i].out);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct end e[2] = { 0 };
	uint8_t opt[2][ENO_MAX];
	unsigned int steps = 0;

	luck = 1;
	touched = false;
	for (size_t i = 0; i < TEXT; i++)
		text[i] = (uint8_t)(i * 7 + (i >> 8));
	for (int i = 0; i < 2; i++) {
		e[i].peer = &e[!i];
		e[i].out = malloc(STREAM_MAX);
		e[i].io = (struct crypt__io){ emit, deliver, backlog,
					      get,  put,     &e[i] };
		take_option(&in, opt[i], i == 1 ? ENO_B : 0);
	}
	start(&e[0], opt[0], opt[1], true);
	start(&e[1], opt[1], opt[0], false);
	while (in.left > 0 && steps++ < STEPS_MAX) {
		uint8_t op = fuzz_u8(&in);

		step(&e[op & 1], &in, op);
	}
	finish(e, e[0].on && e[1].on);
	return 0;
}
