/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * request.c: what llhttp finds. It is stopped behind each request, so that a
 * pipeline's requests are answered one by one and in order.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd.h"

#define KEEP 1024 /* free ones */

static struct request *
of(llhttp_t *p)
{
	return CONTAINER(p, struct request, parser);
}

static int
refuse(struct request *q, int status)
{
	q->refused = status;
	return HPE_USER;
}

static int
on_url(llhttp_t *p, const char *at, size_t len)
{
	struct request *q = of(p);

	if (len > sizeof q->target - q->target_len)
		return refuse(q, 414);
	memcpy(q->target + q->target_len, at, len);
	q->target_len = (uint16_t)(q->target_len + len);
	return 0;
}

static int
on_header_field(llhttp_t *p, const char *at, size_t len)
{
	struct request *q = of(p);
	size_t room = sizeof q->name - q->name_len;

	/* A name that is longer is none of ours. */
	if (len > room)
		len = room;
	memcpy(q->name + q->name_len, at, len);
	q->name_len = (uint8_t)(q->name_len + len);
	return 0;
}

static const char *const names[FIELD_MAX] = {
	[FIELD_HOST] = "host",
	[FIELD_RANGE] = "range",
	[FIELD_IF_RANGE] = "if-range",
	[FIELD_IF_MATCH] = "if-match",
	[FIELD_IF_NONE_MATCH] = "if-none-match",
	[FIELD_IF_MODIFIED_SINCE] = "if-modified-since",
	[FIELD_IF_UNMODIFIED_SINCE] = "if-unmodified-since",
	[FIELD_EXPECT] = "expect",
};

static enum field
field_of(const char *name, size_t len)
{
	for (unsigned int i = 1; i < FIELD_MAX; i++)
		if (((unsigned char)name[0] | 0x20) ==
			(unsigned char)names[i][0] &&
		    strlen(names[i]) == len &&
		    !strncasecmp(names[i], name, len))
			return (enum field)i;
	return FIELD_NONE;
}

static int
on_header_field_complete(llhttp_t *p)
{
	struct request *q = of(p);
	enum field f = field_of(q->name, q->name_len);

	q->name_len = 0;
	q->field = (uint8_t)f;
	if (f == FIELD_NONE)
		return 0;
	/* Two Hosts are a lie (RFC 9112 section 3.2); of the others the last
	   counts, but lists, which go on. */
	if (q->value[f] && f == FIELD_HOST)
		return refuse(q, 400);
	if (q->value[f] && (f == FIELD_IF_MATCH || f == FIELD_IF_NONE_MATCH)) {
		q->field = FIELD_NONE;
		return 0;
	}
	q->value[f] = q->text_len;
	return 0;
}

static int
on_header_value(llhttp_t *p, const char *at, size_t len)
{
	struct request *q = of(p);

	if (q->field == FIELD_NONE)
		return 0;
	if (len > sizeof q->text - 1 - q->text_len)
		return refuse(q, 431);
	memcpy(q->text + q->text_len, at, len);
	q->text_len = (uint16_t)(q->text_len + len);
	return 0;
}

static int
on_header_value_complete(llhttp_t *p)
{
	struct request *q = of(p);

	if (q->field != FIELD_NONE) {
		if (q->text_len == sizeof q->text)
			return refuse(q, 431);
		q->text[q->text_len++] = '\0';
	}
	q->field = FIELD_NONE;
	return 0;
}

static int
on_headers_complete(llhttp_t *p)
{
	struct request *q = of(p);
	const char *expect = request_field(q, FIELD_EXPECT);
	bool body = (p->flags & F_CHUNKED) || p->content_length > 0;

	q->method = p->method;
	if (p->http_major != 1)
		return refuse(q, 505);
	/* RFC 9112 section 3.2 */
	if (p->http_minor >= 1 && !q->value[FIELD_HOST])
		return refuse(q, 400);
	if (p->content_length > BODY_MAX)
		return refuse(q, 413);
	/* Who waits for leave to send a body hears the answer at once. */
	if (body && p->method != HTTP_GET && p->method != HTTP_HEAD)
		return refuse(q, 405);
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return refuse(q, 417);
	return 0;
}

static int
on_body(llhttp_t *p, const char *at, size_t len)
{
	struct request *q = of(p);

	(void)at;
	q->body_bytes += (uint32_t)len;
	return q->body_bytes > BODY_MAX ? refuse(q, 413) : 0;
}

static int
on_message_complete(llhttp_t *p)
{
	struct request *q = of(p);

	q->keep_alive = llhttp_should_keep_alive(p);
	q->done = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_field_complete = on_header_field_complete,
	.on_header_value = on_header_value,
	.on_header_value_complete = on_header_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

struct request *
request_new(struct server *srv)
{
	struct request *q = srv->free_requests;

	if (q) {
		srv->free_requests = q->next;
		srv->num_free_requests--;
	} else {
		q = malloc(sizeof *q);
		if (!q)
			return NULL;
	}
	llhttp_init(&q->parser, HTTP_REQUEST, &settings);
	memset((char *)q + offsetof(struct request, bytes), 0,
	       offsetof(struct request, name) -
		   offsetof(struct request, bytes));
	q->text_len = 1; /* 0 means: not there */
	return q;
}

void
request_free(struct server *srv, struct request *q)
{
	if (!q)
		return;
	if (srv->num_free_requests >= KEEP) {
		free(q);
		return;
	}
	q->next = srv->free_requests;
	srv->free_requests = q;
	srv->num_free_requests++;
}

const char *
request_field(const struct request *q, enum field f)
{
	return q->value[f] ? q->text + q->value[f] : NULL;
}

/* The status of what the parser did not like. */
static int
status_of(llhttp_errno_t e)
{
	switch (e) {
	case HPE_INVALID_METHOD:
		return 501; /* section 15.6.2 */
	case HPE_INVALID_VERSION:
		return 505;
	case HPE_INVALID_TRANSFER_ENCODING:
		return 501; /* RFC 9112 section 6.1 */
	default:
		return 400;
	}
}

size_t
request_feed(struct request *q, const char *data, size_t len)
{
	llhttp_errno_t e;
	const char *at;
	size_t took = len;

	e = llhttp_execute(&q->parser, data, len);
	if (e != HPE_OK) {
		at = llhttp_get_error_pos(&q->parser);
		took = at >= data && at <= data + len ? (size_t)(at - data)
						      : len;
	}
	q->bytes += (uint32_t)took;
	if (q->bytes - q->body_bytes > HEAD_MAX && !q->refused)
		q->refused = 431;
	if (e != HPE_OK && !q->done && !q->refused)
		q->refused = e == HPE_PAUSED_UPGRADE ? 405 : status_of(e);
	return took;
}
