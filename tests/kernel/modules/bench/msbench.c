// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * msbench.c: ports driven from inside the kernel, for kernels whose system
 * calls and page faults would drown what is to be measured (User Mode Linux).
 * Frames get their headers, are sent with the module's own SYNC, received and
 * looked at, by the rules that a ring's owner follows.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ms_linux.h"

#include "msbench.h"

/* Of UDP over plain IPv4, in a frame. Payload, like pktgen's, is whatever is
   there. */
#define PORT_AT 36
#define HEADER_BYTES 42
#define ENDS_MAX 4096
#define FRAMES_BYTES_MAX 65536

struct end {		   /* one ring */
	struct file *file; /* counted */
	struct ms_kring *ring;
	uint32_t head;
};

struct bench {
	struct msbench_run run;
	struct end from;
	struct end *to;
	uint8_t *frames;
	uint64_t seen_bytes;
	uint32_t random; /* the kernel's own would take its time */
};

/* A ring's descriptor, and nothing that only has its name. */
static bool
is_ring(const struct file *file)
{
	struct module *owner = file->f_op->owner;

	return owner != NULL && strcmp(module_name(owner), "multistack") == 0 &&
	       strcmp(file->f_path.dentry->d_name.name, "[multistack-ring]") ==
		   0;
}

static int
end_get(struct end *e, int fd, bool is_rx)
{
	const struct ms_waiter *w;
	struct file *file = fget(fd);

	if (file == NULL)
		return -EBADF;
	if (!is_ring(file)) {
		fput(file);
		return -EINVAL;
	}
	w = file->private_data;
	e->file = file;
	e->ring = w->ring;
	e->head = READ_ONCE(w->ring->shared->head);
	return w->ring->is_rx == is_rx ? 0 : -EINVAL;
}

/* Xorshift. */
static uint32_t
next_random(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 17;
	b->random ^= b->random << 5;
	return b->random;
}

static uint32_t
give(struct bench *b)
{
	const struct msbench_run *r = &b->run;
	struct ms_kring *ring = b->from.ring;
	uint32_t tuple = next_random(b) % r->tuples, first = tuple;
	uint32_t n, i, own;
	struct ms_slot *slot;
	uint8_t *p;

	own = smp_load_acquire(&ring->shared->tail) - b->from.head;
	n = min(r->batch, own);
	for (i = 0; i < n; i++) {
		slot = &ring->slots[(b->from.head + i) & ring->mask];
		p = ring->bufs + ((size_t)slot->buf << ring->buf_shift);
		memcpy(p, b->frames + (size_t)(tuple / r->per_addr) * r->bytes,
		       HEADER_BYTES);
		put_unaligned_be16(r->first_port + tuple % r->per_addr,
				   p + PORT_AT);
		slot->len = r->bytes;
		slot->flags = 0;
		slot->gso_type = 0;
		if (++tuple == r->tuples)
			tuple = 0;
	}
	b->from.head += n;
	smp_store_release(&ring->shared->head, b->from.head);
	smp_mb();
	if (READ_ONCE(ring->shared->doze) != 0)
		(void)b->from.file->f_op->unlocked_ioctl(
		    b->from.file, MS_IOCTL(MS_CMD_SYNC), r->sync);
	b->run.sent += n;
	return first;
}

static void
take(struct bench *b, struct end *e)
{
	struct ms_kring *ring = e->ring;
	uint32_t tail = smp_load_acquire(&ring->shared->tail);
	const struct ms_slot *slot;

	b->run.received += tail - e->head;
	for (; e->head != tail; e->head++) {
		slot = &ring->slots[e->head & ring->mask];
		b->seen_bytes +=
		    slot->len +
		    ring->bufs[((size_t)slot->buf << ring->buf_shift) +
			       PORT_AT];
	}
	smp_store_release(&ring->shared->head, tail);
}

static int
bench_loop(struct bench *b)
{
	uint64_t began = ktime_get_ns(), end = began + b->run.duration_ns;
	uint32_t first, i, n = min(b->run.batch, b->run.num_to);
	uint64_t moved;

	while (ktime_get_ns() < end) {
		moved = b->run.sent + b->run.received;
		first = give(b);
		for (i = 0; i < n; i++)
			take(b, &b->to[(first + i) % b->run.tuples %
				       b->run.num_to]);
		/* An owner would sleep until woken. */
		if (moved == b->run.sent + b->run.received)
			yield();
		cond_resched();
		if (signal_pending(current))
			return -EINTR;
	}
	b->run.took_ns = ktime_get_ns() - began;
	return 0;
}

static int
bench_get(struct bench *b)
{
	const struct msbench_run *r = &b->run;
	const int __user *fds = u64_to_user_ptr(r->to);
	uint32_t addrs, i;
	int fd, err;

	if (r->num_to == 0 || r->num_to > ENDS_MAX || r->tuples < r->num_to ||
	    r->per_addr == 0 || r->batch == 0 || r->bytes < HEADER_BYTES)
		return -EINVAL;
	addrs = DIV_ROUND_UP(r->tuples, r->per_addr);
	if ((uint64_t)addrs * r->bytes > FRAMES_BYTES_MAX)
		return -EINVAL;
	b->frames = memdup_user(u64_to_user_ptr(r->frames),
				(size_t)addrs * r->bytes);
	if (IS_ERR(b->frames)) {
		err = PTR_ERR(b->frames);
		b->frames = NULL;
		return err;
	}
	b->to = kvcalloc(r->num_to, sizeof(*b->to), GFP_KERNEL);
	if (b->to == NULL)
		return -ENOMEM;
	err = end_get(&b->from, r->from, false);
	for (i = 0; err == 0 && i < r->num_to; i++) {
		err = get_user(fd, &fds[i]);
		if (err == 0)
			err = end_get(&b->to[i], fd, true);
	}
	if (err == 0 && r->bytes > 1u << b->from.ring->buf_shift)
		err = -EINVAL;
	return err;
}

static void
bench_put(struct bench *b)
{
	uint32_t i;

	for (i = 0; b->to != NULL && i < b->run.num_to; i++)
		if (b->to[i].file != NULL)
			fput(b->to[i].file);
	if (b->from.file != NULL)
		fput(b->from.file);
	kvfree(b->to);
	kfree(b->frames);
}

static long
bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *p = (void __user *)arg;
	struct bench b = { .random = 2463534242u };
	int err;

	if (cmd != MSBENCH_RUN)
		return -ENOTTY;
	if (copy_from_user(&b.run, p, sizeof(b.run)))
		return -EFAULT;
	b.run.sent = b.run.received = 0;
	err = bench_get(&b);
	if (err == 0)
		err = bench_loop(&b);
	bench_put(&b);
	if (err == 0 && copy_to_user(p, &b.run, sizeof(b.run)))
		err = -EFAULT;
	return err;
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = bench_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice bench_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "multistack-bench",
	.fops = &bench_fops,
	.mode = 0600,
};

module_misc_device(bench_device);

MODULE_DESCRIPTION("Drives MultiStack's ports from inside the kernel");
MODULE_LICENSE("Dual BSD/GPL");
