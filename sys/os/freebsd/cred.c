/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * cred.c: who asks, and what they may have.
 *
 * What counts is the caller of each command, not who opened the descriptor:
 * whoever is handed one gains its rings and tuples, and no privilege.
 */
#include "ms_freebsd.h"

#include <sys/jail.h>
#include <sys/priv.h>
#include <sys/proc.h>
#include <sys/sysctl.h>
#include <sys/ucred.h>

/* ---- identity ------------------------------------------------------------- */

bool
ms_cred_is_here(const struct ms_cred *cred)
{
	return TD_TO_VNET(cred->td) == cred->vnet;
}

/* The administrator is who may make and change bridges; in a jail with a vnet
   that is its root. */
bool
ms_os_cred_has(const struct ms_cred *cred, enum ms_priv priv)
{
	if (!ms_cred_is_here(cred))
		return false;
	switch (priv) {
	case MS_PRIV_ADMIN:
		return priv_check(cred->td, PRIV_NET_BRIDGE) == 0;
	case MS_PRIV_RAW:
		return priv_check(cred->td, PRIV_NETINET_RAW) == 0;
	}
	return false;
}

uint32_t
ms_os_cred_uid(const struct ms_cred *cred)
{
	return cred->td->td_ucred->cr_uid;
}

int32_t
ms_os_cred_pid(const struct ms_cred *cred)
{
	return cred->td->td_proc->p_pid;
}

/* ---- limits --------------------------------------------------------------- */

static unsigned int max_ports = 256;
SYSCTL_UINT(_net_multistack, OID_AUTO, max_ports, CTLFLAG_RW, &max_ports, 0,
	    "ports of one user, but of administrators");

static unsigned int max_memory = 1024;
SYSCTL_UINT(_net_multistack, OID_AUTO, max_memory, CTLFLAG_RW, &max_memory, 0,
	    "MiB of rings of one such user");

struct ms_user {
	LIST_ENTRY(ms_user) list; /* users_lock */
	uid_t uid;		  /* (c) */
	unsigned int ports;	  /* users_lock; not 0 */
	uint64_t bytes;		  /* users_lock */
};

static struct sx users_lock;
SX_SYSINIT(ms_users, &users_lock, "multistack users");
static LIST_HEAD(, ms_user) users = LIST_HEAD_INITIALIZER(users);

/* users_lock held. */
static struct ms_user *
user_get(uid_t uid)
{
	struct ms_user *user;

	LIST_FOREACH(user, &users, list)
	{
		if (user->uid == uid)
			return user;
	}
	user = malloc(sizeof(*user), M_MULTISTACK, M_WAITOK | M_ZERO);
	user->uid = uid;
	LIST_INSERT_HEAD(&users, user, list);
	return user;
}

/* users_lock held. */
static void
user_put(struct ms_user *user)
{
	if (user->ports > 0)
		return;
	LIST_REMOVE(user, list);
	free(user, M_MULTISTACK);
}

/* Root of a jail is a user like others here. */
static bool
fits(struct thread *td, const struct ms_user *user, uint64_t bytes)
{
	uint64_t limit = (uint64_t)ms_os_load_once(&max_memory) << 20;

	return (user->ports < ms_os_load_once(&max_ports) && bytes <= limit &&
		user->bytes <= limit - bytes) ||
	       (!jailed(td->td_ucred) && priv_check(td, PRIV_NET_BRIDGE) == 0);
}

int
ms_user_charge(struct thread *td, uint64_t bytes, struct ms_user **out)
{
	struct ms_user *user;
	int err = 0;

	sx_xlock(&users_lock);
	user = user_get(td->td_ucred->cr_uid);
	if (!fits(td, user, bytes)) {
		user_put(user);
		err = -EDQUOT;
	} else {
		user->ports++;
		user->bytes += bytes;
		*out = user;
	}
	sx_xunlock(&users_lock);
	return err;
}

void
ms_user_uncharge(struct ms_user *user, uint64_t bytes)
{
	if (user == NULL)
		return;
	sx_xlock(&users_lock);
	user->ports--;
	user->bytes -= bytes;
	user_put(user);
	sx_xunlock(&users_lock);
}
