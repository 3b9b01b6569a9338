/* SPDX-License-Identifier: BSD-2-Clause */
/* respond.c: what to say to a request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "httpd.h"

static const char *
reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 206:
		return "Partial Content";
	case 301:
		return "Moved Permanently";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 412:
		return "Precondition Failed";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 416:
		return "Range Not Satisfiable";
	case 417:
		return "Expectation Failed";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Internal Server Error";
	}
}

/* ---- the head ----------------------------------------------------------------- */

static void
head_begin(struct reply *r, int status)
{
	if (status == 200) {
		reply_text(r, "HTTP/1.1 200 OK\r\n", 17);
	} else {
		reply_text(r, "HTTP/1.1 ", 9);
		reply_number(r, (uint64_t)status);
		reply_text(r, " ", 1);
		reply_string(r, reason(status));
		reply_text(r, "\r\n", 2);
	}
	reply_text(r, r->srv->prefix, r->srv->prefix_len);
}

static void
head_length(struct reply *r, uint64_t n)
{
	reply_text(r, "Content-Length: ", 16);
	reply_number(r, n);
	reply_text(r, "\r\n", 2);
}

static void
head_type(struct reply *r, const char *type)
{
	reply_text(r, "Content-Type: ", 14);
	reply_string(r, type);
	reply_text(r, "\r\n", 2);
}

/* 1.0: a client of HTTP/1.0 that wants to go on has to be told. */
static void
head_end(struct reply *r, bool keep_alive, bool old)
{
	if (!keep_alive)
		reply_text(r, "Connection: close\r\n", 19);
	else if (old)
		reply_text(r, "Connection: keep-alive\r\n", 24);
	reply_text(r, "\r\n", 2);
}

static void
send_or_give_up(struct conn *c, struct reply *r, bool more)
{
	if (r->over) { /* cannot be: rooms are counted */
		reply_free(r);
		c->closing = true;
		return;
	}
	c->srv->carrier->send(c, r, more);
}

void
respond_error(struct conn *c, int status, bool head_only, bool keep_alive,
	      const char *extra)
{
	struct reply *r = reply_new(c->srv,
				    REPLY_TEXT + (extra ? strlen(extra) : 0));
	char page[256];
	int n;

	c->srv->errors++;
	if (!keep_alive)
		c->closing = true;
	if (!r) {
		c->closing = true;
		return;
	}
	n = snprintf(page, sizeof page,
		     "<!doctype html>\n<title>%d %s</title>\n<h1>%d %s</h1>\n",
		     status, reason(status), status, reason(status));
	head_begin(r, status);
	head_type(r, "text/html; charset=utf-8");
	head_length(r, (uint64_t)n);
	if (extra)
		reply_string(r, extra);
	head_end(r, keep_alive, false);
	if (!head_only)
		reply_text(r, page, (size_t)n);
	send_or_give_up(c, r, false);
}

/* ---- conditions (section 13) ---------------------------------------------------- */

/* Whether a list of entity tags has f's. weak: the weak comparison. */
static bool
etag_listed(const char *list, const struct file *f, bool weak)
{
	size_t len = strlen(f->etag);

	while (*list) {
		bool is_weak = false;

		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		if (list[0] == 'W' && list[1] == '/') {
			is_weak = true;
			list += 2;
		}
		if (*list != '"')
			return false;
		if ((weak || !is_weak) && !strncmp(list, f->etag, len))
			return true;
		list = strchr(list + 1, '"');
		if (!list)
			return false;
		list++;
	}
	return false;
}

/* In the order of section 13.2.2: 0: go on; else 304 or 412. */
static int
conditions(const struct request *q, const struct file *f)
{
	const char *v;
	int64_t t;

	v = request_field(q, FIELD_IF_MATCH);
	if (v) {
		if (!etag_listed(v, f, false))
			return 412;
	} else {
		v = request_field(q, FIELD_IF_UNMODIFIED_SINCE);
		if (v && date_parse(v, &t) == 0 && f->mtime > t)
			return 412;
	}
	v = request_field(q, FIELD_IF_NONE_MATCH);
	if (v)
		return etag_listed(v, f, true) ? 304 : 0;
	v = request_field(q, FIELD_IF_MODIFIED_SINCE);
	if (v && date_parse(v, &t) == 0 && f->mtime <= t)
		return 304;
	return 0;
}

/* Section 13.1.5: a part only if the whole is still what the client has. */
static bool
if_range_holds(const struct request *q, const struct file *f)
{
	const char *v = request_field(q, FIELD_IF_RANGE);
	int64_t t;

	if (!v)
		return true;
	if (*v == '"')
		return !strcmp(v, f->etag);
	return date_parse(v, &t) == 0 && t == f->mtime;
}

/* ---- answers ---------------------------------------------------------------------- */

static bool
is_old(const struct request *q)
{
	return q->parser.http_minor == 0;
}

static void
answer_whole(struct conn *c, const struct request *q, struct file *f)
{
	struct reply *r = reply_new(c->srv, REPLY_TEXT);

	if (!r) {
		c->closing = true;
		return;
	}
	head_begin(r, 200);
	head_type(r, f->type);
	reply_text(r, f->meta, f->meta_bytes);
	head_length(r, f->size);
	head_end(r, q->keep_alive, is_old(q));
	if (q->method != HTTP_HEAD)
		reply_body(r, f, 0, f->size);
	send_or_give_up(c, r, false);
}

static void
answer_unmodified(struct conn *c, const struct request *q, struct file *f)
{
	struct reply *r = reply_new(c->srv, REPLY_TEXT);

	if (!r) {
		c->closing = true;
		return;
	}
	head_begin(r, 304);
	reply_text(r, f->meta, f->meta_bytes);
	head_end(r, q->keep_alive, is_old(q));
	send_or_give_up(c, r, false);
}

static void
content_range(struct reply *r, const struct range *g, uint64_t size)
{
	reply_text(r, "Content-Range: bytes ", 21);
	reply_number(r, g->start);
	reply_text(r, "-", 1);
	reply_number(r, g->start + g->len - 1);
	reply_text(r, "/", 1);
	reply_number(r, size);
	reply_text(r, "\r\n", 2);
}

static void
answer_range(struct conn *c, const struct request *q, struct file *f,
	     const struct range *g)
{
	struct reply *r = reply_new(c->srv, REPLY_TEXT);

	if (!r) {
		c->closing = true;
		return;
	}
	head_begin(r, 206);
	head_type(r, f->type);
	reply_text(r, f->meta, f->meta_bytes);
	content_range(r, g, f->size);
	head_length(r, g->len);
	head_end(r, q->keep_alive, is_old(q));
	reply_body(r, f, g->start, g->len);
	send_or_give_up(c, r, false);
}

/* What stands before each part (section 14.6), without the head's fields. */
static void
part_begin(struct reply *r, const struct file *f, const struct range *g,
	   const char *boundary)
{
	reply_text(r, "\r\n--", 4);
	reply_string(r, boundary);
	reply_text(r, "\r\n", 2);
	head_type(r, f->type);
	content_range(r, g, f->size);
	reply_text(r, "\r\n", 2);
}

/* The length of a multipart body: the parts are written twice, once to be
   counted. False: no memory. */
static bool
parts_length(struct server *srv, const struct file *f, const struct range *g,
	     int n, const char *boundary, uint64_t *length)
{
	struct reply *r = reply_new(srv, REPLY_TEXT);

	if (!r)
		return false;
	*length = strlen(boundary) + 8; /* CR LF -- boundary -- CR LF */
	for (int i = 0; i < n; i++) {
		r->text_len = 0;
		part_begin(r, f, &g[i], boundary);
		*length += r->text_len + g[i].len;
	}
	reply_free(r);
	return true;
}

static void
answer_ranges(struct conn *c, const struct request *q, struct file *f,
	      const struct range *g, int n)
{
	static const char boundary[] = "multistack-httpd-6fe1d0a94be2c587";
	struct reply *r;
	uint64_t length;

	if (!parts_length(c->srv, f, g, n, boundary, &length)) {
		c->closing = true;
		return;
	}
	for (int i = 0; i <= n; i++) {
		r = reply_new(c->srv, REPLY_TEXT * 2);
		if (!r) { /* in the middle: all that is left is to end it */
			c->closing = true;
			return;
		}
		if (i == 0) {
			head_begin(r, 206);
			reply_string(r, "Content-Type: multipart/byteranges; "
					"boundary=");
			reply_string(r, boundary);
			reply_text(r, "\r\n", 2);
			reply_text(r, f->meta, f->meta_bytes);
			head_length(r, length);
			head_end(r, q->keep_alive, is_old(q));
		}
		if (i < n) {
			part_begin(r, f, &g[i], boundary);
			reply_body(r, f, g[i].start, g[i].len);
		} else {
			reply_text(r, "\r\n--", 4);
			reply_string(r, boundary);
			reply_text(r, "--\r\n", 4);
		}
		send_or_give_up(c, r, i < n);
	}
}

static void
answer_outside(struct conn *c, const struct request *q, const struct file *f)
{
	char extra[64];

	snprintf(extra, sizeof extra, "Content-Range: bytes */%llu\r\n",
		 (unsigned long long)f->size);
	respond_error(c, 416, false, q->keep_alive, extra);
}

static void
answer_file(struct conn *c, const struct request *q, struct file *f)
{
	const char *v = request_field(q, FIELD_RANGE);
	struct range g[RANGES_MAX];
	int n = 0, status = conditions(q, f);

	if (status == 304) {
		answer_unmodified(c, q, f);
		return;
	}
	if (status) {
		respond_error(c, status, q->method == HTTP_HEAD, q->keep_alive,
			      NULL);
		return;
	}
	/* Ranges are defined for GET only (section 14.2). */
	if (v && q->method == HTTP_GET && if_range_holds(q, f))
		n = range_parse(v, f->size, g);
	if (n < 0)
		answer_outside(c, q, f);
	else if (n == 0)
		answer_whole(c, q, f);
	else if (n == 1)
		answer_range(c, q, f, &g[0]);
	else
		answer_ranges(c, q, f, g, n);
}

/* ---- finding it -------------------------------------------------------------------- */

static void
redirect(struct conn *c, const struct request *q, const char *path)
{
	char extra[3 * TARGET_BYTES + 32] = "Location: ";
	size_t n = strlen(extra);

	n += target_encode(path, true, extra + n);
	memcpy(extra + n, "\r\n", 3);
	respond_error(c, 301, q->method == HTTP_HEAD, q->keep_alive, extra);
	c->srv->errors--; /* it is none */
}

static int
status_of(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENAMETOOLONG:
		return 404;
	case -EACCES:
	case -EPERM:
		return 403;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		return 503;
	default:
		return 500;
	}
}

/* The file for this path; 0 or a status. */
static int
find(struct server *srv, char *path, bool slash, struct file **out)
{
	int e = files_open(srv->files, path, srv->now_ns, out);

	if (e)
		return status_of(e);
	if (!(*out)->is_dir) {
		if (!slash)
			return 0;
		file_put(*out); /* "page.html/" is not there */
		return 404;
	}
	file_put(*out);
	if (!slash)
		return 301;
	if (path[0])
		strcat(path, "/");
	strcat(path, "index.html");
	e = files_open(srv->files, path, srv->now_ns, out);
	if (e == 0 && (*out)->is_dir) {
		file_put(*out);
		return 403;
	}
	/* A folder without a page: it is there, but not shown. */
	return e == -ENOENT ? 403 : e ? status_of(e) : 0;
}

bool
respond(struct conn *c, const struct request *q)
{
	char path[TARGET_BYTES + 16];
	bool head = q->method == HTTP_HEAD, slash;
	struct file *f;
	int status;

	c->srv->requests++;
	if (q->refused) {
		respond_error(c, q->refused, head, false,
			      q->refused == 405 ? "Allow: GET, HEAD\r\n"
						: NULL);
		return false;
	}
	if (q->method != HTTP_GET && !head) {
		respond_error(c, 405, false, q->keep_alive,
			      "Allow: GET, HEAD\r\n");
		return q->keep_alive;
	}
	status = target_path(q->target, q->target_len, path, &slash);
	if (status == 0)
		status = find(c->srv, path, slash, &f);
	if (status == 301)
		redirect(c, q, path);
	else if (status)
		respond_error(c, status, head, q->keep_alive, NULL);
	else {
		answer_file(c, q, f);
		file_put(f);
	}
	return q->keep_alive && !c->closing;
}
