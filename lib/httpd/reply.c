/* SPDX-License-Identifier: BSD-2-Clause */
/* reply.c: a reply's memory, from its first letter until its last byte was
   acknowledged. */
#include <stdlib.h>
#include <string.h>

#include "httpd.h"

#define KEEP 4096 /* free ones */

struct reply *
reply_new(struct server *srv, size_t room)
{
	struct reply *r = srv->free_replies;

	if (room <= REPLY_TEXT && r) {
		srv->free_replies = r->next;
		srv->num_free_replies--;
	} else {
		if (room < REPLY_TEXT)
			room = REPLY_TEXT;
		r = malloc(sizeof *r + room);
		if (!r)
			return NULL;
		r->room = (uint32_t)room;
	}
	r->next = NULL;
	r->srv = srv;
	r->conn = NULL;
	r->file = NULL;
	r->left = 0;
	r->over = false;
	r->text_len = 0;
	r->body.len = 0;
	return r;
}

void
reply_free(struct reply *r)
{
	struct server *srv = r->srv;

	file_put(r->file);
	if (r->room != REPLY_TEXT || srv->num_free_replies >= KEEP) {
		free(r);
		return;
	}
	r->next = srv->free_replies;
	srv->free_replies = r;
	srv->num_free_replies++;
}

void
reply_text(struct reply *r, const char *text, size_t len)
{
	if (len > r->room - r->text_len) {
		r->over = true;
		return;
	}
	memcpy(r->text + r->text_len, text, len);
	r->text_len += (uint32_t)len;
}

void
reply_string(struct reply *r, const char *text)
{
	reply_text(r, text, strlen(text));
}

void
reply_number(struct reply *r, uint64_t n)
{
	char digits[20], *at = digits + sizeof digits;

	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	reply_text(r, at, (size_t)(digits + sizeof digits - at));
}

void
reply_body(struct reply *r, struct file *f, uint64_t ofs, uint64_t len)
{
	if (len == 0)
		return;
	f->refs++;
	r->file = f;
	r->body.data = f->data + ofs;
	r->body.len = (size_t)len;
}

void
reply_give(struct reply *r, struct conn *c)
{
	r->head = (utcp_buf_t){ .data = r->text,
				.len = r->text_len,
				.done = reply_done,
				.user = r };
	r->body.done = reply_done;
	r->body.user = r;
	r->left = (uint8_t)(1 + (r->body.len > 0));
	r->conn = c;
	c->refs++;
	c->replies++;
	r->srv->num_replies++;
}

void
reply_done(utcp_buf_t *buf, int status)
{
	struct reply *r = buf->user;
	struct conn *c = r->conn;

	if (status == 0)
		r->srv->sent_bytes += buf->len;
	if (--r->left > 0)
		return;
	r->conn = NULL;
	r->srv->num_replies--;
	conn_replied(c);
	conn_put(c);
	reply_free(r);
}
