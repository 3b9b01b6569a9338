/* SPDX-License-Identifier: BSD-2-Clause */
/* flow.c: the application that always has something to send. */
#include "internal.h"

#define CHUNK 65536

static const uint8_t zeros[CHUNK];

static void *
tag(mssim_flow_t *f)
{
	return (void *)((uintptr_t)f | 1);
}

static void
finish(mssim_flow_t *f, int error)
{
	if (f->stats.finished_ns != UTCP_NEVER)
		return;
	f->stats.finished_ns = f->w->core.now_ns;
	f->stats.error = error;
	f->stats.done = error == 0;
}

static void
close_sender(mssim_flow_t *f)
{
	f->info.size = sizeof(f->info);
	(void)utcp_info(f->sock, &f->info);
	utcp_close(f->sock);
	f->sock = NULL;
}

static void
fail(mssim_flow_t *f, int error)
{
	finish(f, error);
	if (f->sock)
		close_sender(f);
	if (f->peer)
		utcp_abort(f->peer);
	if (f->listener)
		utcp_close(f->listener);
	f->peer = f->listener = NULL;
	mssim_kick(f->conf.from);
	mssim_kick(f->conf.to);
}

/* Both ends' options; refusals of one that only holds before the connection
   opens cannot come. */
static int
set_opts(mssim_flow_t *f, utcp_sock_t *s)
{
	uint32_t i;
	int err = 0;

	for (i = 0; err == 0 && i < f->conf.num_opts; i++)
		err = utcp_set(s, f->opts[i].opt, f->opts[i].value);
	return err;
}

/* ---- the sender --------------------------------------------------------------- */

static void
send_more(mssim_flow_t *f)
{
	uint64_t left = UINT64_MAX;
	ssize_t n;

	if (f->shut)
		return;
	for (;;) {
		if (f->conf.bytes != 0)
			left = f->conf.bytes - f->stats.written;
		if (left == 0)
			break;
		n = utcp_write(f->sock, zeros, left < CHUNK ? left : CHUNK, 0);
		if (n == -EAGAIN || n == -ENOTCONN)
			return;
		if (n < 0) {
			fail(f, (int)-n);
			return;
		}
		f->stats.written += (uint64_t)n;
	}
	f->shut = true;
	(void)utcp_shutdown(f->sock, UTCP_SHUT_WR);
}

static void
sender_event(mssim_flow_t *f, uint32_t ready)
{
	int64_t error = 0;

	if ((ready & UTCP_ERR) != 0) {
		(void)utcp_get(f->sock, UTCP_OPT_ERROR, &error);
		fail(f, error > 0 ? (int)error : EIO);
		return;
	}
	if ((ready & UTCP_OUT) != 0 && f->stats.opened_ns == UTCP_NEVER)
		f->stats.opened_ns = f->w->core.now_ns;
	if ((ready & UTCP_OUT) != 0)
		send_more(f);
	if (f->sock && (ready & UTCP_RDHUP) != 0)
		close_sender(f);
}

static void
stop(void *arg)
{
	mssim_flow_t *f = arg;

	if (!f->sock || f->shut)
		return;
	f->shut = true;
	(void)utcp_shutdown(f->sock, UTCP_SHUT_WR);
	mssim_kick(f->conf.from);
}

static void
start(void *arg)
{
	mssim_flow_t *f = arg;
	utcp_addr_t to;
	int err;

	f->sampled_ns = f->w->core.now_ns;
	(void)mssim_addr(f->conf.to, f->conf.family, &to);
	mssim__put16(&to.port_be, f->port);
	err = utcp_open(f->conf.from->u, f->conf.family, &f->sock);
	if (err == 0)
		err = set_opts(f, f->sock);
	if (err == 0 && f->cc[0])
		err = utcp_set_cc(f->sock, f->cc);
	if (err == 0) {
		utcp_set_user(f->sock, tag(f));
		err = utcp_connect(f->sock, &to);
	}
	if (err < 0 && err != -EINPROGRESS)
		fail(f, -err);
	mssim_kick(f->conf.from);
}

/* ---- the receiver ------------------------------------------------------------- */

static void
receiver_event(mssim_flow_t *f)
{
	utcp_view_t v[16];
	int64_t error = 0;
	size_t len;
	int n, i;

	while ((n = utcp_views(f->peer, v, 16)) > 0) {
		for (i = 0, len = 0; i < n; i++)
			len += v[i].len;
		(void)utcp_consume(f->peer, len);
		f->stats.received += len;
	}
	if ((utcp_poll(f->peer) & (UTCP_RDHUP | UTCP_ERR)) == 0)
		return;
	(void)utcp_get(f->peer, UTCP_OPT_ERROR, &error);
	finish(f, (int)error);
	utcp_close(f->peer);
	f->peer = NULL;
}

static void
listener_event(mssim_flow_t *f)
{
	if (utcp_accept(f->listener, &f->peer) < 0)
		return;
	utcp_set_user(f->peer, tag(f));
	utcp_close(f->listener);
	f->listener = NULL;
	receiver_event(f);
}

void
mssim__flow_event(mssim_node_t *n, const utcp_event_t *ev)
{
	mssim_flow_t *f = (void *)((uintptr_t)ev->user & ~(uintptr_t)1);

	if (ev->sock == f->sock)
		sender_event(f, ev->ready);
	else if (ev->sock == f->peer)
		receiver_event(f);
	else if (ev->sock == f->listener)
		listener_event(f);
}

/* ---- begin, look, end --------------------------------------------------------- */

static bool
has_cc(const utcp_t *u, const char *cc)
{
	unsigned int i;

	for (i = 0; utcp_cc_name(u, i); i++)
		if (strcmp(utcp_cc_name(u, i), cc) == 0)
			return true;
	return false;
}

static int
listen_for(mssim_flow_t *f)
{
	utcp_t *u = f->conf.to->u;
	utcp_addr_t addr = { .family = (uint8_t)f->conf.family };
	int err = utcp_open(u, f->conf.family, &f->listener);

	if (err == 0)
		err = set_opts(f, f->listener);
	if (err == 0)
		err = utcp_bind(f->listener, &addr);
	if (err == 0)
		err = utcp_listen(f->listener, 1);
	if (err == 0)
		err = utcp_getsockname(f->listener, &addr);
	if (err < 0)
		return err;
	f->port = (uint16_t)(((uint8_t *)&addr.port_be)[0] << 8 |
			     ((uint8_t *)&addr.port_be)[1]);
	utcp_set_user(f->listener, tag(f));
	return 0;
}

static int
check(const mssim_t *w, const mssim_flow_conf_t *c)
{
	if (!w || !c || c->size < sizeof(*c) || !c->from || !c->to ||
	    c->from == c->to || c->from->w != w || c->to->w != w ||
	    !c->from->u || !c->to->u || (c->num_opts > 0 && !c->opts))
		return -EINVAL;
	if (c->family != 0 && c->family != 4 && c->family != 6)
		return -EINVAL;
	if (c->cc && (strlen(c->cc) > 15 || !has_cc(c->from->u, c->cc)))
		return -ENOENT;
	return 0;
}

int
mssim_flow(mssim_t *w, const mssim_flow_conf_t *conf, mssim_flow_t **out)
{
	mssim_flow_t *f, **end;
	int err = out ? check(w, conf) : -EINVAL;

	if (err == 0)
		err = mssim__reserve(&w->core, 2);
	if (err < 0)
		return err;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->w = w;
	f->conf = *conf;
	f->conf.family = conf->family == 6 ? 6 : 4;
	if (conf->cc)
		memcpy(f->cc, conf->cc, strlen(conf->cc) + 1);
	f->conf.cc = NULL;
	f->opts = calloc(conf->num_opts + 1, sizeof(*f->opts));
	if (!f->opts) {
		free(f);
		return -ENOMEM;
	}
	if (conf->num_opts > 0)
		memcpy(f->opts, conf->opts, conf->num_opts * sizeof(*f->opts));
	f->stats.opened_ns = f->stats.finished_ns = UTCP_NEVER;
	err = listen_for(f);
	if (err < 0) {
		utcp_close(f->listener);
		mssim__flow_free(f);
		return err;
	}
	f->start.fn = start;
	f->stop.fn = stop;
	f->start.arg = f->stop.arg = f;
	mssim__set(&w->core, &f->start, conf->start_ns);
	if (conf->stop_ns != 0)
		mssim__set(&w->core, &f->stop, conf->stop_ns);
	for (end = &w->flows; *end; end = &(*end)->next)
		;
	*end = f;
	*out = f;
	return 0;
}

void
mssim__flow_free(mssim_flow_t *f)
{
	mssim__series_free(&f->series);
	free(f->opts);
	free(f);
}

utcp_sock_t *
mssim_flow_sock(const mssim_flow_t *f)
{
	return f ? f->sock : NULL;
}

int
mssim_flow_info(const mssim_flow_t *f, utcp_info_t *info)
{
	uint32_t size = info ? info->size : 0;

	if (!f || size == 0 || size > sizeof(*info))
		return -EINVAL;
	if (f->sock)
		return utcp_info(f->sock, info);
	memcpy(info, &f->info, size);
	info->size = size;
	return 0;
}

int
mssim_flow_stats(const mssim_flow_t *f, mssim_flow_stats_t *out)
{
	if (!f || !out)
		return -EINVAL;
	*out = f->stats;
	return 0;
}

void
mssim__flow_sample(mssim_flow_t *f, uint64_t now_ns)
{
	utcp_info_t i = { .size = sizeof(i) };
	double row[MSSIM_FLOW_COLUMNS], seconds;
	uint64_t bytes = f->stats.received - f->sampled_bytes;

	if (now_ns <= f->conf.start_ns || f->sampled_ns >= now_ns)
		return;
	if (f->stats.finished_ns != UTCP_NEVER && bytes == 0)
		return;
	if (mssim_flow_info(f, &i) < 0)
		return;
	seconds = (double)(now_ns - f->sampled_ns) * 1e-9;
	row[MSSIM_FLOW_TIME] = (double)now_ns * 1e-9;
	row[MSSIM_FLOW_CWND] = i.cwnd_bytes;
	row[MSSIM_FLOW_SSTHRESH] = i.ssthresh_bytes;
	row[MSSIM_FLOW_RTT] = (double)i.rtt_ns * 1e-9;
	row[MSSIM_FLOW_INFLIGHT] = (double)i.unacked_bytes - i.sacked_bytes -
				   i.lost_bytes + i.retrans_out_bytes;
	row[MSSIM_FLOW_GOODPUT] = (double)bytes * 8 / seconds;
	row[MSSIM_FLOW_RECEIVED] = (double)f->stats.received;
	row[MSSIM_FLOW_RETRANS] = (double)i.total_retrans_segs;
	row[MSSIM_FLOW_PACING] = (double)i.pacing_rate * 8;
	f->sampled_ns = now_ns;
	f->sampled_bytes = f->stats.received;
	if (mssim__series_add(&f->series, row, MSSIM_FLOW_COLUMNS) < 0)
		f->w->error = -ENOMEM;
}

const double *
mssim_flow_series(const mssim_flow_t *f, int column, size_t *num)
{
	if (!f || !num || column < 0 || column >= MSSIM_FLOW_COLUMNS)
		return NULL;
	*num = f->series.num;
	return f->series.column[column];
}
