/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_httpd.c: multistack-httpd's connections without a carrier: one is told
 * all bytes at once, another the same bytes in pieces, whose sizes the input's
 * first bytes say, and takes its answers late. Both are answered alike; no
 * answer leaves the folder, more are never under way than there may be, each is
 * as long as it says, and nothing of a connection is left at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "httpd.h"

#define CUTS 4
#define SAID_MAX (1 << 20)
#define REPLIES_MOST (REPLIES_MAX + RANGES_MAX + 2)

/* What one connection was answered. */
struct said {
	size_t len;
	char text[SAID_MAX];
};

struct mine {
	struct conn c; /* first */
	struct said *said;
	struct reply *first, **last; /* under way */
};

atomic_int stop;
static struct said whole, pieces;
static struct server srv;
static char root[] = "/tmp/fuzz-httpd-XXXXXX";

const char program_name[] = "fuzz-httpd";

static struct mine *
mine(struct conn *c)
{
	return CONTAINER(c, struct mine, c);
}

/* ---- a carrier that only remembers ----------------------------------------------- */

static void
say(struct said *s, const void *text, size_t len)
{
	if (len > SAID_MAX - s->len)
		len = SAID_MAX - s->len;
	memcpy(s->text + s->len, text, len);
	s->len += len;
}

static void
check_body(const struct file *f, const uint8_t *data, size_t len)
{
	FUZZ_CHECK(data >= f->data && data + len <= f->data + f->size);
	FUZZ_CHECK(!f->is_dir);
	FUZZ_CHECK(strcmp(f->path, "index.html") == 0 ||
		   strcmp(f->path, "sub/index.html") == 0 ||
		   strcmp(f->path, "a") == 0);
}

static void
carry_send(struct conn *c, struct reply *r, bool more)
{
	struct mine *m = mine(c);

	(void)more;
	FUZZ_CHECK(!r->over);
	if (r->body.len > 0)
		check_body(r->file, r->body.data, r->body.len);
	reply_give(r, c);
	FUZZ_CHECK(c->replies <= REPLIES_MOST);
	say(m->said, r->text, r->text_len);
	say(m->said, r->body.data, r->body.len);
	r->next = NULL;
	*m->last = r;
	m->last = &r->next;
}

static void
take(struct mine *m, int status)
{
	struct reply *r = m->first;
	bool body = r->body.len > 0;

	m->first = r->next;
	if (!m->first)
		m->last = &m->first;
	reply_done(&r->head, status);
	if (body)
		reply_done(&r->body, status);
}

static void
carry_shutdown(struct conn *c)
{
	(void)c;
}

static void
carry_close(struct conn *c, bool reset)
{
	(void)reset;
	while (mine(c)->first)
		take(mine(c), -ECANCELED);
	conn_closed(c);
}

static uint64_t
carry_taken(struct conn *c)
{
	(void)c;
	return 0;
}

static const struct carrier carrier = {
	.send = carry_send,
	.shutdown = carry_shutdown,
	.close = carry_close,
	.resume = carry_shutdown, /* who feeds it sees that it may go on */
	.taken = carry_taken,
};

/* ---- a client ------------------------------------------------------------------------ */

/* False: the connection is gone. */
static bool
feed(struct mine *m, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t took = conn_feed(&m->c, data + at, len - at);

		FUZZ_CHECK(took <= len - at);
		at += took;
		FUZZ_CHECK(at == len || m->c.paused);
		if (!m->c.paused)
			break;
		/* It takes half of what it may have, and is asked again. */
		while (m->c.replies > REPLIES_MAX / 2)
			take(m, 0);
		server_resume(&srv);
		FUZZ_CHECK(!m->c.paused);
	}
	return conn_settle(&m->c);
}

static struct mine *
client(struct said *said)
{
	struct conn *c = conn_new(&srv, sizeof(struct mine));

	FUZZ_CHECK(c);
	said->len = 0;
	mine(c)->said = said;
	mine(c)->last = &mine(c)->first;
	return mine(c);
}

/* Whatever is left is over in time. */
static void
wait_for_end(void)
{
	for (int i = 0; i < 4 && srv.num_conns; i++) {
		server_clock(&srv, srv.now_ns + 100000000000u);
		server_timeouts(&srv);
	}
	FUZZ_CHECK(srv.num_conns == 0);
	FUZZ_CHECK(srv.num_replies == 0);
}

/* ---- the folder ------------------------------------------------------------------------ */

static void
put(const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", root, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void
clear(void)
{
	static const char *const names[] = { "sub/index.html", "sub",
					     "index.html",     "a",
					     ".hidden",	       "out" };
	char path[128];

	server_deinit(&srv);
	for (unsigned int i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", root, names[i]);
		remove(path);
	}
	rmdir(root);
}

static void
begin(void)
{
	static struct options opt = {
		.root = root,
		.cache = 2,
		.timeout_ns = { 1000000000u, 1000000000u, 1000000000u,
				1000000000u },
	};
	char path[128];

	FUZZ_CHECK(mkdtemp(root));
	snprintf(path, sizeof path, "%s/sub", root);
	FUZZ_CHECK(mkdir(path, 0755) == 0);
	put("index.html", "The folder's page.");
	put("sub/index.html", "Another.");
	put("a", "");
	put(".hidden", "secret");
	snprintf(path, sizeof path, "%s/out", root);
	FUZZ_CHECK(symlink("/etc", path) == 0);
	FUZZ_CHECK(server_init(&srv, &opt, &carrier, 0) == 0);
	atexit(clear);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { .p = data, .left = size };
	size_t cut[CUTS], at = 0, len;
	struct mine *m;
	bool there = true;

	if (!srv.opt)
		begin();
	for (int i = 0; i < CUTS; i++)
		cut[i] = fuzz_u8(&in);
	m = client(&whole);
	if (in.left)
		there = feed(m, in.p, in.left);
	if (there) {
		m->c.eof = true;
		(void)conn_settle(&m->c);
	}
	m = client(&pieces);
	there = true;
	for (int i = 0; i <= CUTS && at < in.left && there; i++) {
		len = i < CUTS && cut[i] < in.left - at ? cut[i] : in.left - at;
		if (len)
			there = feed(m, in.p + at, len);
		at += len;
	}
	/* Who closed has said all that there was to say. */
	FUZZ_CHECK(whole.len == pieces.len);
	FUZZ_CHECK(memcmp(whole.text, pieces.text, whole.len) == 0);
	wait_for_end();
	return 0;
}
