/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * file.c: /dev/multistack. A descriptor is a port, once PORT_CREATE made it
 * one, or a connection for commands; QUEUE_ATTACH gives one ring of it a
 * descriptor of its own.
 *
 * A port is set once and stays as long as its ms_file, which the port's
 * descriptor and those of its rings hold: so nothing here takes a lock to look
 * at it. Mappings hold the pages only.
 */
#include "ms_freebsd.h"

#include <sys/conf.h>
#include <sys/fcntl.h>
#include <sys/filio.h>
#include <sys/ioccom.h>
#include <sys/mman.h>
#include <sys/proc.h>
#include <sys/refcount.h>
#include <sys/uio.h>

#include <vm/vm.h>

#define ARG_BYTES_MAX 4096 /* no command's struct will ever be longer */
#define LINGER_US 200000   /* for the last frames of who closes */
#define LINGER_LOOK_US 500 /* and between two looks at them */

struct ms_file {
	u_int refs;	       /* atomic */
	struct ms_vnet *vn;    /* (c) of the descriptor's */
	struct sx lock;	       /* one PORT_CREATE at a time */
	struct ms_port *port;  /* NULL, then (c); owned */
	struct ms_event event; /* of all rings */
	struct ms_user *user;  /* (c) with port; charged for it */
	uint64_t charged_bytes;
};

static struct ms_port *
port_of(const struct ms_file *f)
{
	return ms_os_load_acquire(&f->port);
}

/* ---- structs in and out --------------------------------------------------- */

/* Whether n bytes of the caller's are 0. -EFAULT, -E2BIG. */
static int
check_zero(const char *from, uint32_t n)
{
	char part[64];
	uint32_t bytes, i;

	for (; n > 0; n -= bytes, from += bytes) {
		bytes = MIN(n, sizeof(part));
		if (copyin(from, part, bytes) != 0)
			return -EFAULT;
		for (i = 0; i < bytes; i++)
			if (part[i] != 0)
				return -E2BIG;
	}
	return 0;
}

/*
 * Copies a command's struct, of so many bytes as it says in its first word;
 * *size is that, a->size what the core may look at. -EFAULT, -EINVAL, -E2BIG.
 */
static int
args_get(union ms_args *a, uint32_t known, const void *arg, uint32_t *size)
{
	if (copyin(arg, size, sizeof(*size)) != 0)
		return -EFAULT;
	if (*size < sizeof(*size))
		return -EINVAL;
	if (*size > ARG_BYTES_MAX)
		return -E2BIG;
	memset(a, 0, sizeof(*a));
	if (copyin(arg, a, MIN(*size, known)) != 0)
		return -EFAULT;
	a->size = MIN(*size, known);
	if (*size <= known)
		return 0;
	return check_zero((const char *)arg + known, *size - known);
}

static int
args_put(union ms_args *a, uint32_t known, void *arg, uint32_t size)
{
	a->size = size;
	return copyout(a, arg, MIN(size, known)) != 0 ? -EFAULT : 0;
}

/* ---- ports ---------------------------------------------------------------- */

/* f->lock held. */
static int
port_make(struct ms_file *f, const struct ms_cred *cred,
	  struct ms_cmd_port_create *arg)
{
	struct ms_port *port = NULL;
	int err;

	err = ms_ctl(f->vn->sw, cred, &port, MS_CMD_PORT_CREATE, arg,
		     sizeof(*arg));
	if (err)
		return err;
	err = ms_event_start(&f->event, f, port);
	if (err) {
		ms_port_destroy(port);
		return err;
	}
	ms_os_store_release(&f->port, port);
	return 0;
}

static int
port_create(struct ms_file *f, const struct ms_cred *cred,
	    struct ms_cmd_port_create *arg)
{
	uint64_t bytes = ms_port_region_bytes(arg);
	int err;

	sx_xlock(&f->lock);
	err = f->port != NULL ? -EBUSY
			      : ms_user_charge(cred->td, bytes, &f->user);
	if (err)
		goto out;
	err = port_make(f, cred, arg);
	if (err) {
		ms_user_uncharge(f->user, bytes);
		f->user = NULL;
		goto out;
	}
	f->charged_bytes = bytes;
out:
	sx_xunlock(&f->lock);
	return err;
}

/* Whoever sends and closes loses nothing. He may have kept a mapping and fill
   the ring for ever, but for so long only. */
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
		ms_os_sleep_us(LINGER_LOOK_US);
	}
}

/* ---- life ----------------------------------------------------------------- */

static void
file_put(struct ms_file *f)
{
	struct ms_vnet *vn = f->vn;

	if (!refcount_release(&f->refs))
		return;
	if (f->port != NULL)
		port_linger(f->port);
	/* No reader of a ring, and so of its waiter, after this. */
	ms_port_destroy(f->port);
	ms_event_end(&f->event);
	ms_user_uncharge(f->user, f->charged_bytes);
	sx_destroy(&f->lock);
	free(f, M_MULTISTACK);
	ms_vnet_put(vn); /* from now on the module may go */
}

static void
file_close(void *priv)
{
	file_put(priv);
}

static int
file_open(struct cdev *dev, int oflags, int devtype, struct thread *td)
{
	struct ms_file *f;
	int error;

	f = malloc(sizeof(*f), M_MULTISTACK, M_WAITOK | M_ZERO);
	error = -ms_vnet_get_current(&f->vn);
	if (error != 0) {
		free(f, M_MULTISTACK);
		return error;
	}
	refcount_init(&f->refs, 1);
	sx_init(&f->lock, "multistack file");
	ms_event_init(&f->event);
	error = devfs_set_cdevpriv(f, file_close);
	if (error != 0)
		file_put(f);
	return error;
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
	  const void *arg)
{
	struct ms_kring *ring;
	struct ms_cmd_sync a;
	union ms_args u;
	uint32_t size;
	int err;

	if (copyin(arg, &a, sizeof(a)) != 0 || a.size != sizeof(a)) {
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

static struct fileops ring_fileops;

/* The new descriptor is what the call returns. */
static int
file_queue_attach(struct ms_file *f, const void *arg, struct thread *td)
{
	struct ms_port *port = port_of(f);
	struct ms_kring *ring;
	union ms_args a;
	struct file *fp;
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
	err = -falloc(td, &fp, &fd, O_CLOEXEC);
	if (err)
		return err;
	refcount_acquire(&f->refs);
	finit(fp, FREAD | FWRITE, DTYPE_DEV, ring->waiter, &ring_fileops);
	fdrop(fp, td);
	td->td_retval[0] = fd;
	return 0;
}

static int
file_attach(struct ms_file *f, const struct ms_cred *cred, uint32_t cmd,
	    const struct ms_cmd_attach *arg)
{
	return cmd == MS_CMD_ATTACH ? ms_ifnet_attach(f->vn, cred, arg)
				    : ms_ifnet_detach(f->vn, cred, arg);
}

/* Commands that have their time. The struct goes back also with an error: it
   says whose the tuple is, for example. */
static int
file_command(struct ms_file *f, uint32_t cmd, void *arg, struct thread *td)
{
	struct ms_cred cred = { .td = td, .vnet = f->vn->vnet };
	struct ms_port *port = port_of(f);
	uint32_t known = ms_ctl_bytes(cmd);
	union ms_args a;
	uint32_t size;
	int err, fault;

	if (known == 0)
		return -EOPNOTSUPP;
	err = args_get(&a, known, arg, &size);
	if (err)
		return err;
	if (cmd == MS_CMD_ATTACH || cmd == MS_CMD_DETACH)
		err = file_attach(f, &cred, cmd, &a.attach);
	else if (cmd == MS_CMD_PORT_CREATE)
		err = port_create(f, &cred, &a.create);
	else
		err = ms_ctl(f->vn->sw, &cred, &port, cmd, &a, known);
	fault = args_put(&a, known, arg, size);
	return err ? err : fault;
}

static int
file_dispatch(struct ms_file *f, uint32_t cmd, void *arg, struct thread *td)
{
	switch (cmd) {
	case MS_CMD_SYNC:
		return file_sync(port_of(f), NULL, arg);
	case MS_CMD_QUEUE_ATTACH:
		return file_queue_attach(f, arg, td);
	default:
		return file_command(f, cmd, arg, td);
	}
}

/* Whether it is one of ours; FIONBIO and FIOASYNC come with the flags of
   open(2) and fcntl(2), which mean nothing here. */
static bool
is_flag_ioctl(u_long cmd)
{
	return cmd == FIONBIO || cmd == FIOASYNC;
}

static bool
is_command(u_long cmd)
{
	return (cmd & ~0xfful) == MS_IOCTL(0);
}

/* With IOC_VOID, data is where the kernel keeps the caller's pointer. */
static int
file_ioctl(struct cdev *dev, u_long cmd, caddr_t data, int fflag,
	   struct thread *td)
{
	struct ms_file *f;
	int error;

	error = devfs_get_cdevpriv((void **)&f);
	if (error != 0)
		return error;
	if (is_flag_ioctl(cmd))
		return 0;
	if (!is_command(cmd))
		return ENOTTY;
	return -file_dispatch(f, cmd & 0xff, *(void **)(void *)data, td);
}

/* ---- waiting -------------------------------------------------------------- */

static int
file_poll(struct cdev *dev, int events, struct thread *td)
{
	struct ms_file *f;

	if (devfs_get_cdevpriv((void **)&f) != 0)
		return 0;
	return ms_event_poll(&f->event, events, td);
}

static int
file_kqfilter(struct cdev *dev, struct knote *kn)
{
	struct ms_file *f;
	int error;

	error = devfs_get_cdevpriv((void **)&f);
	if (error != 0)
		return error;
	return ms_event_kqfilter(&f->event, kn);
}

/* ---- mapping -------------------------------------------------------------- */

static int
file_mmap_single(struct cdev *dev, vm_ooffset_t *offset, vm_size_t size,
		 struct vm_object **object, int prot)
{
	const struct ms_port *port;
	struct ms_file *f;
	int error;

	error = devfs_get_cdevpriv((void **)&f);
	if (error != 0)
		return error;
	port = port_of(f);
	if (port == NULL)
		return ENOTCONN;
	if (*offset != 0 || size != round_page(port->region_bytes))
		return EINVAL;
	if ((prot & PROT_EXEC) != 0)
		return EPERM;
	*object = ms_shm_object(port->shm);
	return 0;
}

static struct cdevsw file_cdevsw = {
	.d_version = D_VERSION,
	.d_name = "multistack",
	.d_open = file_open,
	.d_ioctl = file_ioctl,
	.d_poll = file_poll,
	.d_kqfilter = file_kqfilter,
	.d_mmap_single = file_mmap_single,
};

/* ---- a ring's own descriptor ---------------------------------------------- */

static int
ring_rdwr(struct file *fp, struct uio *uio, struct ucred *cred, int flags,
	  struct thread *td)
{
	return EOPNOTSUPP;
}

static int
ring_truncate(struct file *fp, off_t length, struct ucred *cred,
	      struct thread *td)
{
	return EINVAL;
}

static int
ring_ioctl(struct file *fp, u_long cmd, void *data, struct ucred *cred,
	   struct thread *td)
{
	const struct ms_waiter *w = fp->f_data;

	if (is_flag_ioctl(cmd))
		return 0;
	if (!is_command(cmd))
		return ENOTTY;
	if ((cmd & 0xff) != MS_CMD_SYNC)
		return EOPNOTSUPP;
	return -file_sync(w->ring->port, w->ring, *(void **)data);
}

static int
ring_poll(struct file *fp, int events, struct ucred *cred, struct thread *td)
{
	struct ms_waiter *w = fp->f_data;

	return ms_event_poll(&w->own, events, td);
}

static int
ring_kqfilter(struct file *fp, struct knote *kn)
{
	struct ms_waiter *w = fp->f_data;

	return ms_event_kqfilter(&w->own, kn);
}

static int
ring_close(struct file *fp, struct thread *td)
{
	struct ms_waiter *w = fp->f_data;

	file_put(w->file);
	return 0;
}

static struct fileops ring_fileops = {
	.fo_read = ring_rdwr,
	.fo_write = ring_rdwr,
	.fo_truncate = ring_truncate,
	.fo_ioctl = ring_ioctl,
	.fo_poll = ring_poll,
	.fo_kqfilter = ring_kqfilter,
	.fo_close = ring_close,
	.fo_chmod = invfo_chmod,
	.fo_chown = invfo_chown,
	.fo_sendfile = invfo_sendfile,
	MS_RING_FILEOPS,
	.fo_flags = DFLAG_PASSABLE,
};

/* ---- the device ----------------------------------------------------------- */

static struct cdev *file_device;

int
ms_file_init(void)
{
	return -make_dev_p(MAKEDEV_CHECKNAME | MAKEDEV_WAITOK, &file_device,
			   &file_cdevsw, NULL, UID_ROOT, GID_WHEEL, 0660,
			   "multistack");
}

void
ms_file_deinit(void)
{
	destroy_dev(file_device);
}
