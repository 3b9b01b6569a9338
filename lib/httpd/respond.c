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
	case 421:
		return "Misdirected Request";
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

static bool
goes_on(const struct request *q)
{
	return q && q->keep_alive && !q->refused;
}

static bool
is_head(const struct request *q)
{
	return q && q->parser.method == HTTP_HEAD;
}

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

/* A client of HTTP/1.0 that wants to go on has to be told that it may. */
static void
head_end(struct reply *r, const struct request *q)
{
	if (!goes_on(q))
		reply_text(r, "Connection: close\r\n", 19);
	else if (q->parser.http_minor == 0)
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
respond_error(struct conn *c, const struct request *q, int status,
	      const char *extra)
{
	struct reply *r = reply_new(c->srv,
				    REPLY_TEXT + (extra ? strlen(extra) : 0));
	char page[256];
	int n;

	if (!r) {
		c->closing = true;
		return;
	}
	n = snprintf(page, sizeof page,
		     "<!doctype html>\n<title>%d %s</title>\n<h1>%d %s</h1>\n",
		     status, reason(status), status, reason(status));
	c->srv->errors += status >= 400;
	head_begin(r, status);
	head_type(r, "text/html; charset=utf-8");
	head_length(r, (uint64_t)n);
	if (extra)
		reply_string(r, extra);
	head_end(r, q);
	if (!is_head(q))
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

/* Section 13.1.5: a part only if the whole is still what the client has. A date
   says so if its second is over, so that nothing else can have come in it
   (section 8.8.2.2). */
static bool
if_range_holds(const struct server *srv, const struct request *q,
	       const struct file *f)
{
	const char *v = request_field(q, FIELD_IF_RANGE);
	int64_t t;

	if (!v)
		return true;
	if (*v == '"')
		return !strcmp(v, f->etag);
	return date_parse(v, &t) == 0 && t == f->mtime && t < srv->now_s;
}

/* ---- answers ---------------------------------------------------------------------- */

/* The beginning of what is said of a file; type NULL: none. NULL: no memory, and
   the connection closes. */
static struct reply *
answer(struct conn *c, int status, const char *type, const struct file *f)
{
	struct reply *r = reply_new(c->srv, REPLY_TEXT);

	if (!r) {
		c->closing = true;
		return NULL;
	}
	head_begin(r, status);
	if (type)
		head_type(r, type);
	reply_text(r, f->meta, f->meta_bytes);
	return r;
}

static void
answer_whole(struct conn *c, const struct request *q, struct file *f)
{
	struct reply *r = answer(c, 200, f->type, f);

	if (!r)
		return;
	head_length(r, f->size);
	head_end(r, q);
	if (!is_head(q))
		reply_body(r, f, 0, f->size);
	send_or_give_up(c, r, false);
}

static void
answer_unmodified(struct conn *c, const struct request *q, struct file *f)
{
	struct reply *r = answer(c, 304, NULL, f);

	if (!r)
		return;
	head_end(r, q);
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
	struct reply *r = answer(c, 206, f->type, f);

	if (!r)
		return;
	content_range(r, g, f->size);
	head_length(r, g->len);
	head_end(r, q);
	reply_body(r, f, g->start, g->len);
	send_or_give_up(c, r, false);
}

/* ---- several ranges (section 14.6) -------------------------------------------------- */

#define BOUNDARY "multistack-httpd-6fe1d0a94be2c587"

/* What stands before each part. */
static void
part_begin(struct reply *r, const struct file *f, const struct range *g)
{
	reply_string(r, "\r\n--" BOUNDARY "\r\n");
	head_type(r, f->type);
	content_range(r, g, f->size);
	reply_text(r, "\r\n", 2);
}

/* The length of all parts: written once to be counted. */
static uint64_t
parts_length(struct reply *r, const struct file *f, const struct range *g,
	     int n)
{
	uint64_t length = strlen("\r\n--" BOUNDARY "--\r\n");
	uint32_t before = r->text_len;

	for (int i = 0; i < n; i++) {
		part_begin(r, f, &g[i]);
		length += r->text_len - before + g[i].len;
		r->text_len = before;
	}
	return length;
}

static void
answer_ranges(struct conn *c, const struct request *q, struct file *f,
	      const struct range *g, int n)
{
	struct reply *r = answer(c, 206,
				 "multipart/byteranges; boundary=" BOUNDARY, f);

	if (!r)
		return;
	head_length(r, parts_length(r, f, g, n));
	head_end(r, q);
	for (int i = 0; i <= n; i++) {
		send_or_give_up(c, r, true);
		r = reply_new(c->srv, REPLY_TEXT);
		if (!r) { /* in the middle: all that is left is to end it */
			c->closing = true;
			return;
		}
		if (i < n) {
			part_begin(r, f, &g[i]);
			reply_body(r, f, g[i].start, g[i].len);
		}
	}
	reply_string(r, "\r\n--" BOUNDARY "--\r\n");
	send_or_give_up(c, r, false);
}

static void
answer_outside(struct conn *c, const struct request *q, const struct file *f)
{
	char extra[64];

	snprintf(extra, sizeof extra, "Content-Range: bytes */%llu\r\n",
		 (unsigned long long)f->size);
	respond_error(c, q, 416, extra);
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
		respond_error(c, q, status, NULL);
		return;
	}
	/* Ranges are defined for GET only (section 14.2). */
	if (v && !is_head(q) && if_range_holds(c->srv, q, f))
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
	char extra[4 * TARGET_BYTES + 32] = "Location: ";
	size_t n = strlen(extra);

	n += target_folder(path, q->target, q->target_len, extra + n);
	memcpy(extra + n, "\r\n", 3);
	respond_error(c, q, 301, extra);
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

/* The file for this path; 0 or a status. Of a folder it is its page. */
static int
find(struct server *srv, char *path, bool slash, struct file **out)
{
	size_t n = strlen(path);
	struct file *f;
	int e;

	if (slash)
		strcpy(path + n, &"/index.html"[n == 0]);
	e = files_open(srv->files, path, srv->now_ns, &f);
	if (e == 0 && !f->is_dir) {
		*out = f;
		return 0;
	}
	if (e == 0)
		file_put(f);
	if (!slash)
		return e ? status_of(e) : 301;
	if (e != -ENOENT)
		return e ? status_of(e) : 403;
	/* A folder without a page: it is there, but not shown. */
	path[n] = '\0';
	e = files_open(srv->files, path, srv->now_ns, &f);
	if (e)
		return status_of(e);
	e = f->is_dir ? 403 : 404; /* "page.html/" is not there */
	file_put(f);
	return e;
}

bool
respond(struct conn *c, const struct request *q)
{
	char path[TARGET_BYTES + 16];
	const char *extra = NULL;
	struct file *f = NULL;
	int status = q->refused;
	bool slash;

	c->srv->requests++;
	if (!status && q->parser.method != HTTP_GET && !is_head(q))
		status = 405;
	if (!status)
		status = target_path(q->target, q->target_len, path, &slash);
	if (!status)
		status = find(c->srv, path, slash, &f);
	if (status == 405) /* section 15.5.6 */
		extra = "Allow: GET, HEAD\r\n";
	if (status == 301)
		redirect(c, q, path);
	else if (status)
		respond_error(c, q, status, extra);
	else
		answer_file(c, q, f);
	file_put(f);
	return goes_on(q) && !c->closing;
}
