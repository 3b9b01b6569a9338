/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * host.c: a switch in user space, and its attachments.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "host.h"

/* ---- attachments: lookups, lock or attach_lock held ----------------- */

static struct ms_attachment *
find_attachment(const struct ms_host *host, const char *name)
{
	struct ms_attachment *att;

	for (att = host->attachments; att != NULL; att = att->next)
		if (strncmp(att->nic->name, name, MS_IFNAME_BYTES) == 0)
			return att;
	return NULL;
}

struct ms_attachment *
ms__attachment_of(const struct ms_host *host, const struct ms_port *port)
{
	const struct ms_nic *nic = ms_os_load_acquire(&port->nic);
	struct ms_attachment *att;

	for (att = host->attachments; att != NULL; att = att->next)
		if (att->nic == nic)
			return att;
	return NULL;
}

/* ---- detach --------------------------------------------------------- */

static void
attachment_remove(struct ms_host *host, struct ms_attachment *att)
{
	struct ms_attachment **p;

	ms_mutex_lock(&host->lock);
	for (p = &host->attachments; *p != att; p = &(*p)->next)
		;
	*p = att->next;
	ms_mutex_unlock(&host->lock);
	ms__attachment_close(att);
}

static uint32_t
count_ports(struct ms_nic *nic)
{
	uint32_t n;

	ms_mutex_lock(&nic->sw->ctl_lock);
	n = nic->num_ports;
	ms_mutex_unlock(&nic->sw->ctl_lock);
	return n;
}

int
ms_host_detach(struct ms_host *host, const struct ms_cmd_attach *arg,
	       struct ms_err *err)
{
	struct ms_attachment *att;
	uint32_t ports;
	int r = 0;

	ms_mutex_lock(&host->attach_lock);
	att = find_attachment(host, arg->nic);
	ports = att != NULL ? count_ports(att->nic) : 0;
	if (att == NULL)
		r = ms__explain_detached(arg->nic, err);
	else if (ports > 0 && (arg->flags & MS_ATTACH_FORCE) == 0)
		r = ms__explain_open_ports(arg->nic, ports, err);
	else
		attachment_remove(host, att);
	ms_mutex_unlock(&host->attach_lock);
	return r;
}

void
ms_host_gone(struct ms_host *host, const char *nic)
{
	struct ms_attachment *att;

	ms_mutex_lock(&host->attach_lock);
	att = find_attachment(host, nic);
	if (att != NULL)
		attachment_remove(host, att);
	ms_mutex_unlock(&host->attach_lock);
}

/* ---- interfaces that vanish ----------------------------------------- */

static bool
is_gone(const struct ms_attachment *att)
{
	unsigned int i;

	for (i = 0; i < att->num_workers; i++)
		if (ms_os_load_acquire(&att->workers[i]->gone) != 0)
			return true;
	return false;
}

static void
reap_gone(struct ms_host *host)
{
	struct ms_attachment *att, *next;

	ms_mutex_lock(&host->attach_lock);
	for (att = host->attachments; att != NULL; att = next) {
		next = att->next;
		if (is_gone(att))
			attachment_remove(host, att);
	}
	ms_mutex_unlock(&host->attach_lock);
}

/* A worker's thread cannot wait for its own end; who steps it can. */
void
ms__host_found_gone(struct ms_worker *w)
{
	ms_os_store_release(&w->gone, 1);
	if (w->host->reaping)
		sem_post(&w->host->reap);
	else
		reap_gone(w->host);
}

static void *
reaper_main(void *arg)
{
	struct ms_host *host = arg;

	for (;;) {
		while (sem_wait(&host->reap) != 0)
			;
		if (ms_os_load_acquire(&host->reap_stop) != 0)
			return NULL;
		reap_gone(host);
	}
}

struct thread_start {
	struct ms_host *host;
	void *(*run)(void *);
	void *arg;
	sem_t begun;
};

static void *
thread_main(void *arg)
{
	struct thread_start *start = arg;
	void *(*run)(void *) = start->run;

	arg = start->arg;
	if (start->host->opt.thread_start != NULL)
		start->host->opt.thread_start();
	sem_post(&start->begun); /* and start is gone */
	return run(arg);
}

int
ms__host_thread(struct ms_host *host, pthread_t *thread, void *(*run)(void *),
		void *arg)
{
	struct thread_start start = { .host = host, .run = run, .arg = arg };
	sigset_t all, old;
	int r;

	sem_init(&start.begun, 0, 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(thread, NULL, thread_main, &start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	while (r == 0 && sem_wait(&start.begun) != 0)
		;
	sem_destroy(&start.begun);
	return r;
}

/* ---- attach --------------------------------------------------------- */

static int
attachment_add(struct ms_host *host, const struct ms_attach_ops *ops,
	       const struct ms_cmd_attach *arg, struct ms_err *err)
{
	struct ms_attachment *att;
	int r = ms__attachment_open(host, ops, arg, &att, err);

	if (r)
		return r;
	ms_mutex_lock(&host->lock);
	att->next = host->attachments;
	host->attachments = att;
	ms_mutex_unlock(&host->lock);
	if (is_gone(att)) /* before anybody could find it here */
		sem_post(&host->reap);
	return 0;
}

int
ms_host_attach(struct ms_host *host, const struct ms_cmd_attach *arg,
	       struct ms_err *err)
{
	const struct ms_attach_ops *ops = NULL;
	struct ms_err words = { "" };
	int r;

	r = ms_attach_check(arg, err);
	if (r)
		return r;
	ms_mutex_lock(&host->attach_lock);
	if (find_attachment(host, arg->nic) != NULL)
		r = ms__explain_attached(arg->nic, &words);
	else
		r = ms__attach_kind(arg, &ops, &words);
	if (r == 0)
		r = attachment_add(host, ops, arg, &words);
	if (r == -EOPNOTSUPP && ops == &ms_attach_xdp && arg->kind[0] == '\0') {
		words.text[0] = '\0';
		r = attachment_add(host, &ms_attach_tc, arg, &words);
	}
	ms_mutex_unlock(&host->attach_lock);
	if (r && words.text[0] == '\0')
		ms__explain_errno(arg->nic, r, &words);
	if (r)
		ms_err_set(err, r, "%s", words.text);
	return r;
}

/* ---- the host ------------------------------------------------------- */

struct ms_switch *
ms_host_switch(struct ms_host *host)
{
	return host->sw;
}

int
ms_host_create(const struct ms_host_options *opt, struct ms_host **out,
	       struct ms_err *err)
{
	struct ms_host *host = ms_os_alloc(sizeof(*host));
	int r;

	if (host == NULL)
		return ms__explain_errno("the switch", -ENOMEM, err);
	if (opt != NULL)
		host->opt = *opt;
	ms_mutex_init(&host->attach_lock);
	ms_mutex_init(&host->lock);
	sem_init(&host->reap, 0, 0);
	r = ms_switch_create(&host->sw);
	if (r == 0 && (host->opt.flags & MS_HOST_NO_THREADS) == 0) {
		r = ms__host_thread(host, &host->reaper, reaper_main, host);
		host->reaping = r == 0;
	}
	if (r) {
		ms_host_destroy(host);
		return ms__explain_errno("the switch", r, err);
	}
	*out = host;
	return 0;
}

void
ms_host_destroy(struct ms_host *host)
{
	if (host == NULL)
		return;
	if (host->monitored)
		ms_monitor_stop(host);
	if (host->reaping) {
		ms_os_store_release(&host->reap_stop, 1);
		sem_post(&host->reap);
		pthread_join(host->reaper, NULL);
	}
	ms_mutex_lock(&host->attach_lock);
	while (host->attachments != NULL)
		attachment_remove(host, host->attachments);
	ms_mutex_unlock(&host->attach_lock);
	if (host->sw != NULL)
		ms_switch_destroy(host->sw);
	sem_destroy(&host->reap);
	ms_mutex_deinit(&host->lock);
	ms_mutex_deinit(&host->attach_lock);
	ms_os_free(host);
}

struct ms_worker *
ms_host_worker(struct ms_host *host, const struct ms_port *port,
	       unsigned int index)
{
	struct ms_worker *w = NULL;
	struct ms_attachment *att;

	ms_mutex_lock(&host->lock);
	att = ms__attachment_of(host, port);
	if (att != NULL)
		w = att->workers[index % att->num_workers];
	ms_mutex_unlock(&host->lock);
	return w;
}

struct ms_worker *
ms_host_worker_get(struct ms_host *host, const struct ms_port *port,
		   unsigned int index)
{
	struct ms_worker *w = NULL;
	struct ms_attachment *att;

	ms_mutex_lock(&host->lock);
	att = ms__attachment_of(host, port);
	if (att != NULL) {
		w = att->workers[index % att->num_workers];
		w->refs++;
	}
	ms_mutex_unlock(&host->lock);
	return w;
}

void
ms_host_worker_put(struct ms_host *host, struct ms_worker *w)
{
	ms_mutex_lock(&host->lock);
	ms__worker_put(w);
	ms_mutex_unlock(&host->lock);
}

/* ---- commands ------------------------------------------------------- */

/* As ms_ctl() does it: shorter structs are taken as 0 at the end, of longer
   ones the rest must be 0. */
static int
attach_arg(const void *arg, uint32_t bytes, struct ms_cmd_attach *out)
{
	const uint8_t *from = arg;
	uint32_t i, size;

	if (bytes < sizeof(size))
		return -EINVAL;
	memcpy(&size, arg, sizeof(size));
	if (size < sizeof(size) || size > bytes)
		return -EINVAL;
	for (i = sizeof(*out); i < size; i++)
		if (from[i] != 0)
			return -E2BIG;
	memset(out, 0, sizeof(*out));
	memcpy(out, arg, size < sizeof(*out) ? size : sizeof(*out));
	return 0;
}

static int
host_attach_cmd(struct ms_host *host, const struct ms_cred *cred, uint32_t cmd,
		const void *arg, uint32_t bytes, struct ms_err *err)
{
	struct ms_cmd_attach a;
	int r;

	r = attach_arg(arg, bytes, &a);
	if (r)
		return r;
	if (!ms_os_cred_has(cred, MS_PRIV_ADMIN))
		return -EPERM;
	return cmd == MS_CMD_ATTACH ? ms_host_attach(host, &a, err)
				    : ms_host_detach(host, &a, err);
}

/* What ms_explain() wants to know. */
static int
ask_host(void *ctx, uint32_t cmd, void *arg, uint32_t bytes)
{
	struct ms_host *host = ctx;
	struct ms_port *none = NULL;
	struct ms_cred nobody = { 0 };

	return ms_ctl(host->sw, &nobody, &none, cmd, arg, bytes);
}

static void
explain(struct ms_host *host, const struct ms_cred *cred,
	const struct ms_port *port, uint32_t cmd, const void *arg,
	uint32_t bytes, int code, struct ms_err *err)
{
	struct ms_ask ask = { .command = ask_host, .ctx = host, .cred = cred };

	if (port != NULL) {
		ask.port_id = port->id;
		ms_mutex_lock(&host->sw->ctl_lock);
		if (port->nic != NULL)
			memcpy(ask.nic, port->nic->name, sizeof(ask.nic));
		ms_mutex_unlock(&host->sw->ctl_lock);
	}
	ms_explain(&ask, cmd, arg, bytes, code, err);
}

int
ms_host_ctl(struct ms_host *host, const struct ms_cred *cred,
	    struct ms_port **port, uint32_t cmd, void *arg, uint32_t bytes,
	    struct ms_err *err)
{
	struct ms_err words = { "" };
	int r;

	if (cmd == MS_CMD_ATTACH || cmd == MS_CMD_DETACH)
		r = host_attach_cmd(host, cred, cmd, arg, bytes, &words);
	else
		r = ms_ctl(host->sw, cred, port, cmd, arg, bytes);
	if (r && err != NULL) {
		explain(host, cred, *port, cmd, arg, bytes, r, &words);
		*err = words;
	}
	return r;
}
