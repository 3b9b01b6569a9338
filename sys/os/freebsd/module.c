/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * module.c: load and unload.
 */
#include "ms_freebsd.h"

#include <sys/kernel.h>
#include <sys/module.h>

static int
module_event(module_t mod, int what, void *arg)
{
	switch (what) {
	case MOD_LOAD:
		ms_read_init();
		return 0;
	case MOD_UNLOAD:
		ms_read_deinit();
		return 0;
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
