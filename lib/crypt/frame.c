/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.c: encryption frames (RFC 8548 sections 3.6 to 3.8, 4.2). What comes is
 * opened as it comes, piece by piece, and is kept back until its tag is there.
 */
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include <multistack/utcp.h>

#include "conn.h"

#define REKEY 0x01 /* of the control byte */
#define FINP 0x01  /* of the flags */
#define URGP 0x02

/* ---- keys ---------------------------------------------------------------- */

int
crypt__conn_keys(struct crypt__conn *c, const struct crypt__secret *ss,
		 const uint8_t *sn, size_t sn_len)
{
	int err = crypt__session_id(ss, c->tep_byte, sn, sn_len, c->id);

	if (err == 0)
		err = crypt__dir_init(&c->tx, ss, sn, sn_len, true);
	if (err == 0)
		err = crypt__dir_init(&c->rx, ss, sn, sn_len, false);
	if (err == 0) {
		c->next = *ss;
		err = crypt__secret_next(&c->next);
	}
	if (err != 0)
		return err;
	c->has_next = true;
	c->phase = PHASE_FRAMES;
	return 0;
}

bool
crypt__conn_take_next(struct crypt__conn *c, struct crypt__secret *next)
{
	if (!c->has_next)
		return false;
	*next = c->next;
	crypt__wipe(&c->next, sizeof(c->next));
	c->has_next = false;
	return true;
}

void
crypt__conn_release(struct crypt__conn *c, const struct crypt__io *io)
{
	if (c->kx != NULL) {
		crypt__key_free(c->kx->key);
		crypt__wipe(c->kx, sizeof(*c->kx));
		io->release(io->arg, c->kx, sizeof(*c->kx));
	}
	if (c->plain != NULL) {
		crypt__wipe(c->plain, c->plain_room);
		io->release(io->arg, c->plain, c->plain_room);
	}
	crypt__dir_deinit(&c->tx);
	crypt__dir_deinit(&c->rx);
	crypt__wipe(c, sizeof(*c));
}

/* ---- out ----------------------------------------------------------------- */

static int
seal(struct crypt__conn *c, const struct crypt__io *io, const uint8_t *data,
     size_t len, uint8_t flags, bool rekey, int push)
{
	uint8_t frame[FRAME_DATA + FRAME_MORE], nonce[AEAD_NONCE];
	size_t clen = 1 + len + AEAD_TAG;
	struct crypt__dir *d = &c->tx;
	int err = rekey ? crypt__dir_rekey(d) : 0;

	frame[0] = rekey ? REKEY : 0;
	frame[1] = (uint8_t)(clen >> 8);
	frame[2] = (uint8_t)clen;
	crypt__dir_nonce(d, nonce);
	if (err == 0)
		err = crypt__aead_begin(d->aead, nonce, frame, FRAME_HEAD);
	if (err == 0)
		err = crypt__aead_part(d->aead, frame + FRAME_HEAD, &flags, 1);
	if (err == 0)
		err = crypt__aead_part(d->aead, frame + FRAME_HEAD + 1, data,
				       len);
	if (err == 0)
		err = crypt__aead_end(d->aead, frame + FRAME_HEAD + 1 + len);
	if (err == 0)
		err = io->emit(io->arg, frame, FRAME_HEAD + clen, push);
	d->ofs += FRAME_HEAD + clen;
	d->frames++;
	d->bytes += len;
	return err;
}

static bool
key_is_old(const struct crypt__dir *d)
{
	return d->frames >= REKEY_FRAMES || d->bytes >= REKEY_BYTES;
}

ssize_t
crypt__conn_write(struct crypt__conn *c, const struct crypt__io *io,
		  const uint8_t *data, size_t len, int flags)
{
	size_t done = 0, n;
	int err;

	if (c->phase != PHASE_FRAMES)
		return 0;
	if (c->fin_sent)
		return -EPIPE;
	while (done < len) {
		n = len - done;
		if (n > FRAME_DATA)
			n = FRAME_DATA;
		err = seal(c, io, data + done, n, 0, key_is_old(&c->tx),
			   done + n < len ? UTCP_MSG_MORE : flags);
		if (err != 0)
			return err;
		done += n;
	}
	return (ssize_t)done;
}

int
crypt__conn_write_end(struct crypt__conn *c, const struct crypt__io *io)
{
	int err;

	if (c->phase != PHASE_FRAMES)
		return -EAGAIN;
	if (c->fin_sent)
		return 0;
	err = seal(c, io, NULL, 0, FINP, false, 0);
	c->fin_sent = err == 0;
	return err;
}

int
crypt__conn_rekey(struct crypt__conn *c, const struct crypt__io *io)
{
	/* One at a time (section 3.8). */
	if (c->phase != PHASE_FRAMES || c->rx.gen < c->tx.gen)
		return -EAGAIN;
	if (c->fin_sent)
		return -EPIPE;
	return seal(c, io, NULL, 0, 0, true, 0);
}

/* ---- in ------------------------------------------------------------------ */

/* Room for `need` bytes of the frame's text: no more than 16 KiB of it before
   as much has come, whatever length it says. */
static int
grow(struct crypt__conn *c, const struct crypt__io *io, uint32_t need)
{
	uint32_t room = 2 * c->plain_room;
	uint8_t *plain;

	if (need <= c->plain_room)
		return 0;
	if (room < FRAME_DATA + 1)
		room = FRAME_DATA + 1;
	if (room > c->plain_len)
		room = c->plain_len;
	if (room < need)
		room = need;
	plain = io->alloc(io->arg, room);
	if (plain == NULL)
		return -ENOMEM;
	if (c->plain != NULL) {
		memcpy(plain, c->plain, c->plain_got);
		crypt__wipe(c->plain, c->plain_room);
		io->release(io->arg, c->plain, c->plain_room);
	}
	c->plain = plain;
	c->plain_room = room;
	return 0;
}

/* The head is there. */
static int
begin(struct crypt__conn *c)
{
	uint32_t clen = (uint32_t)c->head[1] << 8 | c->head[2];
	uint8_t nonce[AEAD_NONCE];
	struct crypt__dir *d = &c->rx;
	int err = 0;

	/* The last frame was the last. */
	if (c->fin_seen || clen < 1 + AEAD_TAG)
		return -EBADMSG;
	if ((c->head[0] & REKEY) != 0)
		err = crypt__dir_rekey(d);
	crypt__dir_nonce(d, nonce);
	if (err == 0)
		err = crypt__aead_begin(d->aead, nonce, c->head, FRAME_HEAD);
	c->plain_len = clen - AEAD_TAG;
	c->plain_got = 0;
	c->tag_len = 0;
	return err;
}

/* The peer has a new key: so have we (section 3.8), and say so at once. */
static int
follow(struct crypt__conn *c, const struct crypt__io *io)
{
	if (c->rx.gen <= c->tx.gen || c->fin_sent)
		return 0;
	/* Who asks and asks, and takes no answer. */
	if (io->backlog(io->arg) > BACKLOG_MAX)
		return -EPROTO;
	return seal(c, io, NULL, 0, 0, true, 0);
}

/* The tag is there. */
static int
finish(struct crypt__conn *c, const struct crypt__io *io)
{
	struct crypt__dir *d = &c->rx;
	uint32_t skip = 1;
	int err = crypt__aead_end(d->aead, c->tag);

	if (err != 0)
		return err;
	/* Urgent data is data like other. */
	if ((c->plain[0] & URGP) != 0)
		skip = 3;
	if (c->plain_len < skip)
		return -EBADMSG;
	d->ofs += FRAME_HEAD + c->plain_len + AEAD_TAG;
	c->fin_seen = (c->plain[0] & FINP) != 0;
	c->head_len = 0;
	if (c->plain_len > skip)
		err = io->deliver(io->arg, c->plain + skip,
				  c->plain_len - skip);
	if (err == 0)
		err = follow(c, io);
	return err;
}

/* Some bytes of a frame; how many, or an error. */
static ssize_t
take(struct crypt__conn *c, const struct crypt__io *io, const uint8_t *data,
     size_t len)
{
	size_t n;
	int err;

	if (c->head_len < FRAME_HEAD) {
		c->head[c->head_len++] = data[0];
		err = c->head_len == FRAME_HEAD ? begin(c) : 0;
		return err != 0 ? err : 1;
	}
	if (c->plain_got < c->plain_len) {
		n = c->plain_len - c->plain_got;
		if (n > len)
			n = len;
		err = grow(c, io, c->plain_got + (uint32_t)n);
		if (err == 0)
			err = crypt__aead_part(
			    c->rx.aead, c->plain + c->plain_got, data, n);
		c->plain_got += (uint32_t)n;
		return err != 0 ? err : (ssize_t)n;
	}
	n = (size_t)AEAD_TAG - c->tag_len;
	if (n > len)
		n = len;
	memcpy(c->tag + c->tag_len, data, n);
	c->tag_len = (uint8_t)(c->tag_len + n);
	err = c->tag_len == AEAD_TAG ? finish(c, io) : 0;
	return err != 0 ? err : (ssize_t)n;
}

int
crypt__conn_read(struct crypt__conn *c, const struct crypt__io *io,
		 const uint8_t *data, size_t len)
{
	ssize_t n = 0;

	while (len > 0) {
		if (c->phase == PHASE_FRAMES)
			n = take(c, io, data, len);
		else
			n = crypt__init_read(c, io, data, len);
		if (n < 0)
			return (int)n;
		data += n;
		len -= (size_t)n;
	}
	/* Between frames there is nothing to keep. */
	if (c->head_len == 0 && c->plain != NULL) {
		crypt__wipe(c->plain, c->plain_room);
		io->release(io->arg, c->plain, c->plain_room);
		c->plain = NULL;
		c->plain_room = 0;
	}
	return 0;
}

int
crypt__conn_read_end(const struct crypt__conn *c)
{
	return c->fin_seen ? 0 : -EBADMSG;
}
