// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * planted.c: bugs, one of each kind that our debug kernels are to speak of.
 *
 *	insmod planted.ko kinds=atomic,lockdep
 *
 * does what the kinds say, in their order. All but oops, panic and hang leave
 * the machine alive, if it was told to live on. For machines that are thrown
 * away.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>

#define RACE_MS 3000
#define LOCKUP_MS 60000
#define LEAKS 8

static char *kinds = "";
module_param(kinds, charp, 0);
MODULE_PARM_DESC(kinds, "what to do, separated by commas");

/* Out of the compiler's sight. */
static volatile int five = 5;
static volatile int sink;

static void
use_after_free(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	if (p == NULL)
		return;
	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
	sink = READ_ONCE(p[5]);
}

static void
out_of_slab(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	if (p == NULL)
		return;
	OPTIMIZER_HIDE_VAR(p);
	sink = READ_ONCE(p[64 + five]);
	kfree(p);
}

/* Inside of the struct, so that nothing else is hurt. */
static struct {
	int few[4];
	int rest[8];
} array;

static void
out_of_bounds(void)
{
	sink = array.few[five];
}

static void
lock_inversion(void)
{
	static DEFINE_MUTEX(a);
	static DEFINE_MUTEX(b);

	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&b);
	mutex_unlock(&a);
	mutex_lock(&b);
	mutex_lock(&a);
	mutex_unlock(&a);
	mutex_unlock(&b);
}

static void
unprotected_reader(void)
{
	static int __rcu *p;

	sink = rcu_dereference(p) != NULL;
}

static void
sleep_in_atomic(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

static void
leak(void)
{
	int i;

	for (i = 0; i < LEAKS; i++) {
		void *p = kmalloc(128, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(p);
	}
}

static unsigned long raced;

static int
racer(void *arg)
{
	while (!kthread_should_stop()) {
		raced++;
		barrier();
		if ((raced & 0xfff) == 0)
			cond_resched();
	}
	return 0;
}

static void
plain_race(void)
{
	struct task_struct *t[2];
	int i;

	for (i = 0; i < 2; i++)
		t[i] = kthread_run(racer, NULL, "planted/%d", i);
	msleep(RACE_MS);
	for (i = 0; i < 2; i++)
		if (!IS_ERR(t[i]))
			kthread_stop(t[i]);
}

static void
never(struct timer_list *t)
{
}

struct timed {
	struct timer_list timer;
};

static void
freed_while_active(void)
{
	struct timed *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (p == NULL)
		return;
	timer_setup(&p->timer, never, 0);
	mod_timer(&p->timer, jiffies + HZ);
	kfree(p);
}

static void
complain(void)
{
	WARN(five == 5, "planted: WARN\n");
}

static void
soft_lockup(void)
{
	int i;

	preempt_disable();
	for (i = 0; i < LOCKUP_MS; i++)
		mdelay(1);
	preempt_enable();
}

static void
hung_task(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(300 * HZ);
}

/* Nothing says it: the machine just stands still. */
static void
hang(void)
{
	local_irq_disable();
	while (five == 5)
		cpu_relax();
}

static void
oops(void)
{
	int *p = NULL;

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, 1);
}

static void
give_up(void)
{
	panic("planted: panic");
}

static const struct {
	const char *name;
	void (*run)(void);
} bugs[] = {
	{ "kasan", use_after_free },
	{ "kasan-slab", out_of_slab },
	{ "ubsan", out_of_bounds },
	{ "lockdep", lock_inversion },
	{ "rcu", unprotected_reader },
	{ "atomic", sleep_in_atomic },
	{ "kmemleak", leak },
	{ "kcsan", plain_race },
	{ "odebug", freed_while_active },
	{ "warn", complain },
	{ "softlockup", soft_lockup },
	{ "hungtask", hung_task },
	{ "hang", hang },
	{ "oops", oops },
	{ "panic", give_up },
};

static int
plant(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bugs); i++)
		if (strcmp(bugs[i].name, name) == 0) {
			pr_info("planted: %s\n", name);
			bugs[i].run();
			return 0;
		}
	return -EINVAL;
}

static int __init
planted_init(void)
{
	char *words = kstrdup(kinds, GFP_KERNEL), *rest = words, *name;
	int err = 0;

	if (words == NULL)
		return -ENOMEM;
	while (err == 0 && (name = strsep(&rest, ",")) != NULL)
		err = plant(name);
	kfree(words);
	return err;
}

static void __exit
planted_exit(void)
{
}

module_init(planted_init);
module_exit(planted_exit);

MODULE_DESCRIPTION("Bugs, on purpose");
MODULE_LICENSE("Dual BSD/GPL");
