/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * attachment.c: one attached interface: which kind it is, what it is made of,
 * and its end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "host.h"

/* ---- what is asked for ---------------------------------------------- */

static const struct ms_attach_ops *const kinds[] = {
	&ms_attach_pair,
	&ms_attach_tap,
	&ms_attach_tc,
	&ms_attach_xdp,
};

/* Which kind, by name; "" looks at the interface. */
int
ms__attach_kind(const struct ms_cmd_attach *arg,
		const struct ms_attach_ops **out, struct ms_err *err)
{
	struct ms_link link;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(arg->kind, kinds[i]->kind) == 0)
			*out = kinds[i];
	if (*out == NULL && arg->kind[0] != '\0')
		return ms_err_set(err, -EINVAL,
				  "no kind of attachment '%s'; there are: "
				  "pair, tap, tc, xdp",
				  arg->kind);
	if (*out == &ms_attach_pair || *out == &ms_attach_tap)
		return 0;
	if (ms_link_get(arg->nic, &link) != 0)
		return ms__explain_no_interface(arg->nic, err);
	if (*out == NULL)
		*out = link.ether && !link.loopback ? &ms_attach_xdp
						    : &ms_attach_tc;
	return 0;
}

/* ---- open and close ------------------------------------------------- */

static bool
is_private(const struct ms_attach *a)
{
	static const uint8_t all[16];

	return a->ops->private_addr != NULL && a->ops->private_addr(a, all, 0);
}

/*
 * Ports of private interfaces may hold wildcards of which the host knows
 * nothing; an interface with the host's addresses must not come to them.
 */
static int
check_wildcards(struct ms_switch *sw, struct ms_err *err)
{
	static const uint8_t none[16];
	const struct ms_port *port;
	const struct ms_bind *b;
	uint32_t holder = 0;

	ms_mutex_lock(&sw->ctl_lock);
	for (port = sw->ports; port != NULL && !holder; port = port->next)
		for (b = port->binds; b != NULL && !holder; b = b->next)
			if (!ms_resv_is_host(b->resv) &&
			    memcmp(b->tuple.addr, none, sizeof(none)) == 0)
				holder = port->id;
	ms_mutex_unlock(&sw->ctl_lock);
	if (holder == 0)
		return 0;
	return ms_err_set(err, -EBUSY,
			  "port %u of a private interface is bound to all "
			  "addresses, which would take the host's too: close "
			  "it first, or use another switch",
			  holder);
}

static int
create_workers(struct ms_attachment *att, struct ms_err *err)
{
	unsigned int n = att->nic->num_queues;
	int r;

	att->workers = ms_os_alloc(n * sizeof(struct ms_worker *));
	if (att->workers == NULL)
		return ms__explain_errno("its workers", -ENOMEM, err);
	while (att->num_workers < n) {
		r = ms__worker_create(att, att->num_workers,
				      &att->workers[att->num_workers], err);
		if (r)
			return r;
		att->num_workers++;
	}
	return 0;
}

/* From here on the switch knows the interface. Undone by attachment_close. */
static int
attachment_nic(struct ms_attachment *att, const struct ms_nic *tmpl,
	       struct ms_err *err)
{
	struct ms_host *host = att->host;
	int r;

	r = ms_nic_create(host->sw, tmpl, &att->nic);
	if (r)
		return ms__explain_errno("the interface", r, err);
	att->a->nic = att->nic;
	if (is_private(att->a))
		return 0;
	r = check_wildcards(host->sw, err);
	if (r == 0 && !host->monitored) {
		r = ms_monitor_start(host, err);
		host->monitored = r == 0;
	}
	return r;
}

static int
attachment_start(struct ms_attachment *att, struct ms_err *err)
{
	unsigned int i;
	int r;

	r = att->a->ops->start(att->a, err);
	for (i = 0; i < att->num_workers && r == 0; i++) {
		r = ms__worker_start(att->workers[i]);
		if (r)
			ms__explain_errno("a worker's thread", r, err);
	}
	return r;
}

/* In any state that ms__attachment_open() can be in. */
void
ms__attachment_close(struct ms_attachment *att)
{
	unsigned int i;

	for (i = 0; i < att->num_workers; i++)
		ms__worker_stop(att->workers[i]);
	ms_nic_destroy(att->nic);
	if (att->a != NULL)
		att->a->ops->destroy(att->a);
	ms_mutex_lock(&att->host->lock);
	for (i = 0; i < att->num_workers; i++)
		ms__worker_put(att->workers[i]);
	ms_mutex_unlock(&att->host->lock);
	ms_os_free(att->workers);
	ms_os_free(att);
}

int
ms__attachment_open(struct ms_host *host, const struct ms_attach_ops *ops,
		    const struct ms_cmd_attach *arg, struct ms_attachment **out,
		    struct ms_err *err)
{
	struct ms_attachment *att = ms_os_alloc(sizeof(*att));
	struct ms_nic tmpl;
	int r;

	if (att == NULL)
		return ms__explain_errno("the attachment", -ENOMEM, err);
	att->host = host;
	memset(&tmpl, 0, sizeof(tmpl));
	r = ops->create(host, arg, &tmpl, &att->a, err);
	if (r == 0) {
		att->a->ops = ops;
		att->a->host = host;
		tmpl.attach = att->a;
		r = attachment_nic(att, &tmpl, err);
	}
	if (r == 0)
		r = create_workers(att, err);
	if (r == 0)
		r = attachment_start(att, err);
	if (r) {
		ms__attachment_close(att);
		return r;
	}
	*out = att;
	return 0;
}
