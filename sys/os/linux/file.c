// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * file.c: /dev/multistack. A descriptor is a port, once PORT_CREATE made it
 * one, or a connection for commands; QUEUE_ATTACH gives one ring of it a
 * descriptor of its own.
 *
 * A port is set once and stays as long as its descriptor's file, which each
 * call, mapping and descriptor of a ring holds: so nothing here takes a lock to
 * look at it.
 */
#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ms_linux.h"

#define ARG_BYTES_MAX 4096 /* no command's struct will ever be longer */
#define LINGER_US 200000   /* for the last frames of who closes */
#define LINGER_LOOK_US 500 /* and between two looks at them */

struct ms_file {
	struct ms_netns *ns;	   /* (c) counted */
	struct file *file;	   /* (c) */
	struct mutex lock;	   /* one PORT_CREATE at a time */
	struct ms_port *port;	   /* NULL, then (c); owned */
	struct ms_waiter *waiters; /* (c) with port; owned, one a ring */
	wait_queue_head_t wait;	   /* of all rings */
	struct ms_user *user;	   /* (c) with port; charged for it */
	uint64_t charged_bytes;
};

static struct ms_port *
port_of(const struct ms_file *f)
{
	return smp_load_acquire(&f->port);
}

/* ---- structs in and out --------------------------------------------------- */

/*
 * Copies a command's struct, of so many bytes as it says in its first word;
 * *size is that, a->size what the core may look at. -EFAULT, -EINVAL, -E2BIG.
 */
static int
args_get(union ms_args *a, uint32_t known, const void __user *arg,
	 uint32_t *size)
{
	int err;

	if (get_user(*size, (const uint32_t __user *)arg))
		return -EFAULT;
	if (*size < sizeof(*size))
		return -EINVAL;
	if (*size > ARG_BYTES_MAX)
		return -E2BIG;
	err = copy_struct_from_user(a, known, arg, *size);
	a->size = min(*size, known);
	return err;
}

static int
args_put(union ms_args *a, uint32_t known, void __user *arg, uint32_t size)
{
	a->size = size;
	return copy_to_user(arg, a, min(size, known)) ? -EFAULT : 0;
}

/* ---- ports ---------------------------------------------------------------- */

static struct ms_kring *
ring_at(const struct ms_port *port, unsigned int i)
{
	return i < port->num_tx ? &port->tx[i] : &port->rx[i - port->num_tx];
}

static unsigned int
num_rings(const struct ms_port *port)
{
	return (unsigned int)port->num_tx + port->num_rx;
}

/* Rings that are not waited for have waked nobody yet: whoever polls later
   sees what there is. */
static int
waiters_create(struct ms_file *f, struct ms_port *port)
{
	struct ms_waiter *w;
	unsigned int i;

	f->waiters = kvcalloc(num_rings(port), sizeof(*f->waiters),
			      GFP_KERNEL_ACCOUNT);
	if (f->waiters == NULL)
		return -ENOMEM;
	for (i = 0; i < num_rings(port); i++) {
		w = &f->waiters[i];
		init_waitqueue_head(&w->wait);
		w->port_wait = &f->wait;
		w->ring = ring_at(port, i);
		w->file = f->file;
		w->events = w->ring->is_rx ? EPOLLIN | EPOLLRDNORM
					   : EPOLLOUT | EPOLLWRNORM;
		ms_os_store_release(&w->ring->waiter, (void *)w);
	}
	return 0;
}

/* f->lock held. */
static int
port_make(struct ms_file *f, const struct ms_cred *cred,
	  struct ms_cmd_port_create *arg, uint64_t bytes)
{
	struct ms_port *port = NULL;
	struct ms_shm_park park;
	int err;

	ms_shm_park(&park, bytes);
	err = ms_ctl(f->ns->sw, cred, &port, MS_CMD_PORT_CREATE, arg,
		     sizeof(*arg));
	ms_shm_unpark(&park);
	if (err == 0)
		err = waiters_create(f, port);
	if (err) {
		ms_port_destroy(port);
		return err;
	}
	smp_store_release(&f->port, port);
	return 0;
}

static int
port_create(struct ms_file *f, const struct ms_cred *cred,
	    struct ms_cmd_port_create *arg)
{
	uint64_t bytes = ms_port_region_bytes(arg);
	int err;

	mutex_lock(&f->lock);
	err = f->port != NULL ? -EBUSY : ms_user_charge(bytes, &f->user);
	if (err)
		goto out;
	err = port_make(f, cred, arg, bytes);
	if (err) {
		ms_user_uncharge(f->user, bytes);
		f->user = NULL;
		goto out;
	}
	f->charged_bytes = bytes;
out:
	mutex_unlock(&f->lock);
	return err;
}

/* ---- waiting -------------------------------------------------------------- */

static __poll_t
ring_events(const struct ms_waiter *w)
{
	if (ms_os_load_acquire(&w->ring->port->nic) == NULL)
		return w->events | EPOLLERR | EPOLLHUP;
	return ms_kring_ready(w->ring) != 0 ? w->events : 0;
}

static __poll_t
file_poll(struct file *file, poll_table *wait)
{
	struct ms_file *f = file->private_data;
	struct ms_port *port = port_of(f);
	const struct ms_waiter *w;
	__poll_t events = 0;
	unsigned int i;

	poll_wait(file, &f->wait, wait);
	smp_mb(); /* pairs with ms_os_wake()'s */
	for (i = 0; port != NULL && i < num_rings(port); i++) {
		w = &f->waiters[i];
		if ((events & w->events) == 0)
			events |= ring_events(w);
	}
	return events;
}

/* ---- commands ------------------------------------------------------------- */

static int
ring_sync(struct ms_kring *ring)
{
	if (!ring->is_rx)
		return ms_tx_sync(ring);
	return ms_os_load_acquire(&ring->port->nic) == NULL ? -ENETDOWN : 0;
}

/* The ring that is meant, of a port or (only) of a ring's own descriptor. */
static int
file_sync(const struct ms_port *port, const struct ms_kring *only,
	  const void __user *arg)
{
	struct ms_kring *ring;
	struct ms_cmd_sync a;
	union ms_args u;
	uint32_t size;
	int err;

	if (copy_from_user(&a, arg, sizeof(a)) || a.size != sizeof(a)) {
		err = args_get(&u, sizeof(a), arg, &size);
		if (err)
			return err;
		a = u.sync;
	}
	if (port == NULL)
		return -ENOTCONN;
	ring = ms_port_ring(port, a.is_rx, a.index);
	if (ring == NULL || (only != NULL && ring != only))
		return -EINVAL;
	return ring_sync(ring);
}

static const struct file_operations ring_fops;

static int
file_queue_attach(struct ms_file *f, const void __user *arg)
{
	struct ms_port *port = port_of(f);
	struct ms_kring *ring;
	union ms_args a;
	uint32_t size;
	int err, fd;

	err = args_get(&a, sizeof(a.queue), arg, &size);
	if (err)
		return err;
	if (port == NULL)
		return -ENOTCONN;
	ring = ms_port_ring(port, a.queue.is_rx, a.queue.index);
	if (ring == NULL)
		return -EINVAL;
	get_file(f->file);
	fd = anon_inode_getfd("[multistack-ring]", &ring_fops, ring->waiter,
			      O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fput(f->file);
	return fd;
}

static int
file_attach(struct ms_file *f, const struct ms_cred *cred, uint32_t cmd,
	    const struct ms_cmd_attach *arg)
{
	if (cred->net == NULL)
		return -ENODEV;
	return cmd == MS_CMD_ATTACH ? ms_netdev_attach(f->ns, cred, arg)
				    : ms_netdev_detach(f->ns, cred, arg);
}

static int
file_core(struct ms_file *f, struct ms_cred *cred, uint32_t cmd,
	  union ms_args *a, uint32_t known)
{
	struct ms_port *port = port_of(f);
	int err;

	if (cmd == MS_CMD_BIND && port != NULL && cred->net != NULL)
		ms_resv_prepare(cred, &a->bind.tuple);
	err = ms_ctl(f->ns->sw, cred, &port, cmd, a, known);
	ms_resv_unprepare(cred);
	if (err == 0 && cmd == MS_CMD_LIST && a->list.what != MS_LIST_NICS)
		ms_cred_localize(&a->list.uid, &a->list.pid);
	return err;
}

/* Commands that have their time. The struct goes back also with an error: it
   says whose the tuple is, for example. */
static int
file_command(struct ms_file *f, uint32_t cmd, void __user *arg)
{
	uint32_t known = ms_ctl_bytes(cmd);
	struct ms_cred cred;
	union ms_args a;
	struct net *net;
	uint32_t size;
	int err, fault;

	if (known == 0)
		return -EOPNOTSUPP;
	err = args_get(&a, known, arg, &size);
	if (err)
		return err;
	net = ms_netns_net(f->ns);
	ms_cred_current(&cred, net);
	if (cmd == MS_CMD_ATTACH || cmd == MS_CMD_DETACH)
		err = file_attach(f, &cred, cmd, &a.attach);
	else if (cmd == MS_CMD_PORT_CREATE)
		err = port_create(f, &cred, &a.create);
	else
		err = file_core(f, &cred, cmd, &a, known);
	if (net != NULL)
		put_net(net);
	fault = args_put(&a, known, arg, size);
	return err ? err : fault;
}

static long
file_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ms_file *f = file->private_data;
	void __user *p = (void __user *)arg;

	if ((cmd & ~0xffu) != MS_IOCTL(0))
		return -ENOTTY;
	switch (cmd & 0xff) {
	case MS_CMD_SYNC:
		return file_sync(port_of(f), NULL, p);
	case MS_CMD_QUEUE_ATTACH:
		return file_queue_attach(f, p);
	default:
		return file_command(f, cmd & 0xff, p);
	}
}

/* ---- mapping -------------------------------------------------------------- */

/* Not for children: a port has one owner, and what they wrote would cost it
   frames. */
static int
file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ms_port *port = port_of(file->private_data);

	if (port == NULL)
		return -ENOTCONN;
	if (vma->vm_pgoff != 0 || !(vma->vm_flags & VM_MAYSHARE) ||
	    vma->vm_end - vma->vm_start != PAGE_ALIGN(port->region_bytes))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	ms_vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP,
			VM_MAYEXEC);
	return ms_shm_mmap(port->shm, vma);
}

/* ---- beginning and end ---------------------------------------------------- */

static int
file_open(struct inode *inode, struct file *file)
{
	struct ms_file *f;
	int err;

	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (f == NULL)
		return -ENOMEM;
	err = ms_netns_get_current(&f->ns);
	if (err) {
		kfree(f);
		return err;
	}
	f->file = file;
	mutex_init(&f->lock);
	init_waitqueue_head(&f->wait);
	file->private_data = f;
	return stream_open(inode, file);
}

/* Whoever sends and closes loses nothing. Nobody has the region mapped any
   more, so what is left gets less. */
static void
port_linger(struct ms_port *port)
{
	unsigned int i, us;
	bool pending;

	for (us = 0; us <= LINGER_US; us += LINGER_LOOK_US) {
		pending = false;
		for (i = 0; i < port->num_tx; i++) {
			if (!ms_kring_tx_unsent(&port->tx[i]))
				continue;
			(void)ms_tx_sync(&port->tx[i]);
			pending |= ms_kring_tx_unsent(&port->tx[i]);
		}
		if (!pending)
			return;
		usleep_range(LINGER_LOOK_US, 2 * LINGER_LOOK_US);
	}
}

static int
file_release(struct inode *inode, struct file *file)
{
	struct ms_file *f = file->private_data;

	if (f->port != NULL)
		port_linger(f->port);
	/* No reader of a ring, and so of its waiter, after this. */
	ms_port_destroy(f->port);
	kvfree(f->waiters);
	ms_user_uncharge(f->user, f->charged_bytes);
	ms_netns_put(f->ns);
	mutex_destroy(&f->lock);
	kfree(f);
	return 0;
}

static const struct file_operations file_fops = {
	.owner = THIS_MODULE,
	.open = file_open,
	.release = file_release,
	.unlocked_ioctl = file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = file_mmap,
	.poll = file_poll,
	.llseek = noop_llseek,
};

/* ---- a ring's own descriptor ---------------------------------------------- */

static __poll_t
ring_poll(struct file *file, poll_table *wait)
{
	struct ms_waiter *w = file->private_data;

	poll_wait(file, &w->wait, wait);
	smp_mb(); /* pairs with ms_os_wake()'s */
	return ring_events(w);
}

static long
ring_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ms_waiter *w = file->private_data;

	if ((cmd & ~0xffu) != MS_IOCTL(0))
		return -ENOTTY;
	if ((cmd & 0xff) != MS_CMD_SYNC)
		return -EOPNOTSUPP;
	return file_sync(w->ring->port, w->ring, (void __user *)arg);
}

static int
ring_release(struct inode *inode, struct file *file)
{
	struct ms_waiter *w = file->private_data;

	fput(w->file);
	return 0;
}

static const struct file_operations ring_fops = {
	.owner = THIS_MODULE,
	.release = ring_release,
	.unlocked_ioctl = ring_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = ring_poll,
	.llseek = noop_llseek,
};

/* ---- the device ------------------------------------------------------------ */

static struct miscdevice file_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "multistack",
	.fops = &file_fops,
	.mode = 0660,
};

int
ms_file_init(void)
{
	return misc_register(&file_device);
}

void
ms_file_deinit(void)
{
	misc_deregister(&file_device);
}
