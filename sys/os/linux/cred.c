// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * cred.c: who asks, and what they may have.
 *
 * What counts is the caller of each command, not who opened the descriptor:
 * whoever is handed one gains its rings and tuples, and no privilege.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "ms_linux.h"

/* ---- identity ------------------------------------------------------------- */

void
ms_cred_current(struct ms_cred *cred, struct net *net)
{
	cred->net = net;
	cred->uid = current_euid();
	cred->pid = task_tgid_nr(current);
	cred->proto = NULL;
}

static bool
has(const struct ms_cred *cred, int cap)
{
	return cred->net != NULL && ns_capable(cred->net->user_ns, cap);
}

bool
ms_os_cred_has(const struct ms_cred *cred, enum ms_priv priv)
{
	switch (priv) {
	case MS_PRIV_ADMIN:
		return has(cred, CAP_NET_ADMIN);
	case MS_PRIV_RAW:
		return has(cred, CAP_NET_RAW);
	}
	return false;
}

bool
ms_cred_bind_service(const struct ms_cred *cred)
{
	return has(cred, CAP_NET_BIND_SERVICE);
}

/* The same number for the same user in all user namespaces. */
uint32_t
ms_os_cred_uid(const struct ms_cred *cred)
{
	return __kuid_val(cred->uid);
}

int32_t
ms_os_cred_pid(const struct ms_cred *cred)
{
	return cred->pid;
}

void
ms_cred_localize(uint32_t *uid, int32_t *pid)
{
	*uid = from_kuid_munged(current_user_ns(), KUIDT_INIT(*uid));
	rcu_read_lock();
	*pid = pid_vnr(find_pid_ns(*pid, &init_pid_ns));
	rcu_read_unlock();
}

/* ---- limits --------------------------------------------------------------- */

static unsigned int max_ports = 256;
module_param(max_ports, uint, 0644);
MODULE_PARM_DESC(max_ports, "ports of one user, but of administrators (256)");

static unsigned int max_memory = 1024;
module_param(max_memory, uint, 0644);
MODULE_PARM_DESC(max_memory, "MiB of rings of one such user (1024)");

struct ms_user {
	struct list_head list; /* users_lock */
	kuid_t uid;	       /* (c) */
	unsigned int ports;    /* users_lock; not 0 */
	uint64_t bytes;	       /* users_lock */
};

static DEFINE_MUTEX(users_lock);
static LIST_HEAD(users);

/* users_lock held. NULL: no memory. */
static struct ms_user *
user_get(kuid_t uid)
{
	struct ms_user *user;

	list_for_each_entry(user, &users,
			    list) if (uid_eq(user->uid, uid)) return user;
	user = kzalloc(sizeof(*user), GFP_KERNEL);
	if (user == NULL)
		return NULL;
	user->uid = uid;
	list_add(&user->list, &users);
	return user;
}

/* users_lock held. */
static void
user_put(struct ms_user *user)
{
	if (user->ports > 0)
		return;
	list_del(&user->list);
	kfree(user);
}

/* Root of a container is a user like others here. */
static bool
fits(const struct ms_user *user, uint64_t bytes)
{
	uint64_t limit = (uint64_t)READ_ONCE(max_memory) << 20;

	return (user->ports < READ_ONCE(max_ports) && bytes <= limit &&
		user->bytes <= limit - bytes) ||
	       capable(CAP_NET_ADMIN);
}

int
ms_user_charge(uint64_t bytes, struct ms_user **out)
{
	struct ms_user *user;
	int err = 0;

	mutex_lock(&users_lock);
	user = user_get(current_euid());
	if (user == NULL) {
		err = -ENOMEM;
	} else if (!fits(user, bytes)) {
		user_put(user);
		err = -EDQUOT;
	} else {
		user->ports++;
		user->bytes += bytes;
		*out = user;
	}
	mutex_unlock(&users_lock);
	return err;
}

void
ms_user_uncharge(struct ms_user *user, uint64_t bytes)
{
	if (user == NULL)
		return;
	mutex_lock(&users_lock);
	user->ports--;
	user->bytes -= bytes;
	user_put(user);
	mutex_unlock(&users_lock);
}
