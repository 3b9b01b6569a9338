/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * module.c: load and unload, and the counters as sysctls.
 */
#include "ms_freebsd.h"

#include <sys/jail.h>
#include <sys/kernel.h>
#include <sys/module.h>
#include <sys/priority.h>
#include <sys/proc.h>

/* ---- sysctls -------------------------------------------------------------- */

SYSCTL_NODE(_net, OID_AUTO, multistack, CTLFLAG_RW | CTLFLAG_MPSAFE, 0,
	    "MultiStack: a network stack for each application");
SYSCTL_STRING(_net_multistack, OID_AUTO, version, CTLFLAG_RD, MS_MODULE_VERSION,
	      0, "of the module");
SYSCTL_NODE(_net_multistack, OID_AUTO, counters, CTLFLAG_RD | CTLFLAG_MPSAFE, 0,
	    "of the vnet's attached interfaces, together");

static uint64_t
counter_sum(struct ms_vnet *vn, unsigned int which)
{
	uint64_t counter[MS_CTR_MAX], sum = 0;
	struct ms_nic *nic;

	ms_mutex_lock(&vn->sw->ctl_lock);
	for (nic = vn->sw->nics; nic != NULL; nic = nic->next) {
		ms_nic_stats(nic, counter);
		sum += counter[which];
	}
	ms_mutex_unlock(&vn->sw->ctl_lock);
	return sum;
}

static int
counter_sysctl(SYSCTL_HANDLER_ARGS)
{
	struct ms_vnet *vn;
	uint64_t sum = 0;

	CURVNET_SET(TD_TO_VNET(req->td));
	sx_xlock(&ms_attach_lock);
	vn = ms_vnet_find();
	if (vn != NULL)
		sum = counter_sum(vn, (unsigned int)arg2);
	sx_xunlock(&ms_attach_lock);
	CURVNET_RESTORE();
	return SYSCTL_OUT(req, &sum, sizeof(sum));
}

static struct sysctl_ctx_list sysctls;

static void
sysctls_init(void)
{
	struct sysctl_oid_list *parent = SYSCTL_STATIC_CHILDREN(
	    _net_multistack_counters);

	sysctl_ctx_init(&sysctls);
#define COUNTER_SYSCTL(NAME, name, meaning)                                    \
	(void)SYSCTL_ADD_PROC(&sysctls, parent, OID_AUTO, name,                \
			      CTLTYPE_U64 | CTLFLAG_RD | CTLFLAG_MPSAFE, NULL, \
			      MS_CTR_##NAME, counter_sysctl, "QU", meaning);
	MS_COUNTERS(COUNTER_SYSCTL)
#undef COUNTER_SYSCTL
}

/* ---- load and unload -------------------------------------------------------- */

struct taskqueue *ms_tasks;

/* With threads that run no better than those who make work for them. */
static int
tasks_init(void)
{
	ms_tasks = taskqueue_create("multistack", M_WAITOK,
				    taskqueue_thread_enqueue, &ms_tasks);
	return -taskqueue_start_threads(&ms_tasks, mp_ncpus, PUSER,
					"multistack");
}

/* When no frame is taken and no descriptor is open. */
static void
all_deinit(void)
{
	ms_monitor_deinit();
	ms_ifnet_deinit();
	ms_vnet_deinit();
	ms_hook_drain();
	taskqueue_free(ms_tasks);
	ms_hook_deinit();
	ms_read_deinit();
}

static int
module_init(void)
{
	int err;

	ms_read_init();
	ms_hook_init();
	err = tasks_init();
	ms_ifnet_init();
	ms_monitor_init();
	if (err == 0)
		err = ms_file_init();
	if (err) {
		all_deinit();
		return err;
	}
	sysctls_init();
	printf("multistack: version %s, ABI %d\n", MS_MODULE_VERSION,
	       MS_ABI_VERSION);
	return 0;
}

/* What is attached is detached, while its frames still come. */
static int
module_deinit(void)
{
	if (!ms_vnet_close())
		return -EBUSY;
	(void)sysctl_ctx_free(&sysctls); /* waits for who reads them */
	ms_file_deinit();
	all_deinit();
	return 0;
}

static int
module_event(module_t mod, int what, void *arg)
{
	switch (what) {
	case MOD_LOAD:
		return -module_init();
	case MOD_UNLOAD:
		return -module_deinit();
	case MOD_QUIESCE:
	case MOD_SHUTDOWN:
		return 0;
	default:
		return EOPNOTSUPP;
	}
}

static moduledata_t module_data = { "multistack", module_event, NULL };

DECLARE_MODULE(multistack, module_data, SI_SUB_PSEUDO, SI_ORDER_ANY);
MODULE_VERSION(multistack, 1);
