/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * request.c: what llhttp finds. It is stopped behind each request, so that a
 * pipeline's requests are answered one by one and in order.
 */
#include <ctype.h>
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
	size_t all = q->target_len + len;

	if (all > TARGET_BYTES)
		return refuse(q, 414);
	if (all > sizeof q->small && q->target == q->small) {
		char *more = malloc(TARGET_BYTES);

		if (!more)
			return refuse(q, 503);
		memcpy(more, q->small, q->target_len);
		q->target = more;
	}
	memcpy(q->target + q->target_len, at, len);
	q->target_len = (uint16_t)all;
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
	[FIELD_TRANSFER_ENCODING] = "transfer-encoding",
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

/* For a value without its NUL. Where there is none, one that is empty does not
   fit either. */
static size_t
value_room(const struct request *q)
{
	size_t left = sizeof q->text - q->text_len;

	return left ? left - 1 : 0;
}

/* The field again: both lines are one list (section 5.3). What must not be a
   list is no valid value then, and is treated so. */
static int
combine(struct request *q, enum field f)
{
	const char *old = q->text + q->value[f];
	size_t n = strlen(old);

	if (n + 1 > value_room(q))
		return refuse(q, 431);
	q->value[f] = q->text_len;
	memcpy(q->text + q->text_len, old, n);
	q->text[q->text_len + n] = ',';
	q->text_len = (uint16_t)(q->text_len + n + 1);
	return 0;
}

static int
on_header_field_complete(llhttp_t *p)
{
	struct request *q = of(p);
	enum field f = field_of(q->name, q->name_len);

	if (q->name_len == 0) /* RFC 9112 section 5: a token */
		return refuse(q, 400);
	q->name_len = 0;
	/* Trailers are not of the head (section 6.5.1). */
	if (q->head_done)
		f = FIELD_NONE;
	q->field = (uint8_t)f;
	if (f == FIELD_NONE)
		return 0;
	if (q->text_len == sizeof q->text)
		return refuse(q, 431);
	if (q->value[f])
		/* Two Hosts are a lie (RFC 9112 section 3.2). */
		return f == FIELD_HOST ? refuse(q, 400) : combine(q, f);
	q->value[f] = q->text_len;
	return 0;
}

/* Whether what begins at `at` begins a line: behind a line's end only a fold
   goes on with a value. */
static bool
is_folded(const struct request *q, const char *at)
{
	return (at > q->from ? at[-1] : q->last) == '\n';
}

static int
on_header_value(llhttp_t *p, const char *at, size_t len)
{
	struct request *q = of(p);

	if (len > 0 && is_folded(q, at)) /* RFC 9112 section 5.2 */
		return refuse(q, 400);
	if (q->field == FIELD_NONE)
		return 0;
	if (len > value_room(q))
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
		const char *text = q->text;
		uint16_t n = q->text_len, begin = q->value[q->field];

		while (n > begin && (text[n - 1] == ' ' || text[n - 1] == '\t'))
			n--;
		q->text[n++] = '\0';
		q->text_len = n;
	}
	q->field = FIELD_NONE;
	return 0;
}

/* uri-host [":" port] (section 7.2); nothing at all is a Host too. */
static bool
is_host(const char *v)
{
	static const char name[] = "-._~%!$&'()*+,;=";

	if (*v == '[') {
		v += 1 + strspn(v + 1, "0123456789abcdefABCDEFv.:");
		if (*v++ != ']')
			return false;
	} else {
		while (isalnum((unsigned char)*v) || (*v && strchr(name, *v)))
			v++;
	}
	if (*v == ':')
		v += 1 + strspn(v + 1, "0123456789");
	return *v == '\0';
}

/* What is wrong with how the request says where its body ends: RFC 9112
   sections 6.1 and 6.3. 0: nothing. */
static int
framing(const struct request *q)
{
	const char *te = request_field(q, FIELD_TRANSFER_ENCODING);

	if (!te)
		return q->parser.content_length > BODY_MAX ? 413 : 0;
	if (q->parser.http_minor == 0 || !(q->parser.flags & F_CHUNKED))
		return 400;
	return strcasecmp(te, "chunked") ? 501 : 0;
}

static int
on_headers_complete(llhttp_t *p)
{
	struct request *q = of(p);
	const char *expect = request_field(q, FIELD_EXPECT);
	const char *at = request_field(q, FIELD_HOST);
	bool body = (p->flags & F_CHUNKED) || p->content_length > 0;
	bool old = p->http_minor == 0;
	int status;

	q->head_done = true;
	if (p->http_major != 1)
		return refuse(q, 505);
	/* RFC 9112 section 3.2 */
	if (at ? !is_host(at) : !old)
		return refuse(q, 400);
	status = framing(q);
	if (status)
		return refuse(q, status);
	/* Who waits for leave to send a body hears the answer at once. */
	if (body && p->method != HTTP_GET && p->method != HTTP_HEAD)
		return refuse(q, 405);
	/* Section 10.1.1 */
	if (!expect || old)
		return 0;
	if (strcasecmp(expect, "100-continue") != 0)
		return refuse(q, 417);
	if (!body)
		return 0;
	q->cut = true;
	q->done = true;
	return HPE_PAUSED;
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

	q->keep_alive = llhttp_should_keep_alive(p) != 0;
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
	/* HTTP/1.2 would be treated as 1.1 (section 2.5). */
	q->parser.lenient_flags = LENIENT_VERSION;
	memset((char *)q + offsetof(struct request, bytes), 0,
	       offsetof(struct request, name) -
		   offsetof(struct request, bytes));
	q->target = q->small;
	q->text_len = 1; /* 0 means: not there */
	return q;
}

void
request_free(struct server *srv, struct request *q)
{
	if (!q)
		return;
	if (q->target != q->small)
		free(q->target);
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

static bool
is_token(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* The status of what the parser did not like; at: where, or NULL. */
static int
status_of(llhttp_errno_t e, const char *at)
{
	switch (e) {
	case HPE_INVALID_METHOD: /* section 15.6.2; or no method at all */
		return at && is_token(*at) ? 501 : 400;
	case HPE_INVALID_VERSION:
		return 505;
	case HPE_PAUSED_UPGRADE:
		return 405;
	default:
		return 400;
	}
}

size_t
request_feed(struct request *q, const char *data, size_t len)
{
	const char *at = NULL;
	size_t took = len;
	llhttp_errno_t e;

	q->from = data;
	e = llhttp_execute(&q->parser, data, len);
	if (e != HPE_OK) {
		at = llhttp_get_error_pos(&q->parser);
		if (at >= data && at < data + len)
			took = (size_t)(at - data);
		else
			at = NULL;
	}
	q->last = data[len - 1];
	q->bytes += (uint32_t)took;
	if (q->bytes - q->body_bytes > HEAD_MAX && !q->refused)
		q->refused = 431;
	if (e != HPE_OK && !q->done && !q->refused)
		q->refused = status_of(e, at);
	return took;
}
