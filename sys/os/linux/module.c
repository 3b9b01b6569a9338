// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * module.c: load and unload.
 */
#include <linux/init.h>
#include <linux/module.h>

#include "ms_linux.h"

#ifdef CONFIG_PREEMPT_RT
#error "MultiStack counts on softirqs that are not preempted: no PREEMPT_RT"
#endif

static int __init
ms_module_init(void)
{
	int err;

	err = ms_resv_init();
	if (err)
		return err;
	err = ms_netns_init();
	if (err)
		goto out_resv;
	err = ms_netdev_init();
	if (err)
		goto out_netns;
	err = ms_monitor_init();
	if (err)
		goto out_netdev;
	/* Without BTF of our own, frames come by skb only. */
	err = ms_xdp_init();
	if (err && err != -EOPNOTSUPP)
		goto out_monitor;
	err = ms_file_init();
	if (err)
		goto out_monitor;
	pr_info("multistack: version %s, ABI %d\n", MS_MODULE_VERSION,
		MS_ABI_VERSION);
	return 0;

out_monitor:
	ms_monitor_deinit();
out_netdev:
	ms_netdev_deinit();
out_netns:
	ms_netns_deinit();
out_resv:
	ms_resv_deinit();
	ms_tx_deinit();
	return err;
}

/*
 * No descriptor is open, no program of BPF calls us: both hold the module. What
 * is attached is detached here, while its frames still come.
 */
static void __exit
ms_module_exit(void)
{
	ms_file_deinit();
	ms_monitor_deinit();
	ms_netdev_deinit();
	ms_netns_deinit();
	ms_resv_deinit();
	ms_tx_deinit();
	rcu_barrier(); /* callbacks of ours */
}

module_init(ms_module_init);
module_exit(ms_module_exit);

MODULE_DESCRIPTION("MultiStack: a network stack for each application");
MODULE_AUTHOR("The MultiStack authors");
MODULE_VERSION(MS_MODULE_VERSION);
MODULE_LICENSE("Dual BSD/GPL");
