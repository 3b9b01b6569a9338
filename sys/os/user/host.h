/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * host.h: what host.c, attachment.c, worker.c, doorbell.c and explain.c share.
 *
 * Locks, outermost first: ms_host.attach_lock, for as long as it takes to
 * attach and detach; ms_host.lock, for moments; ms_worker.lock; and then the
 * core's. Fields: (h) written under lock, (a) under attach_lock, (ah) written
 * under both, read under either.
 */
#ifndef MS_HOST_H
#define MS_HOST_H

#include <semaphore.h>

#include "ms_user.h"

struct ms_attachment { /* one attached interface */
	struct ms_host *host;
	struct ms_attach *a;	    /* owned */
	struct ms_nic *nic;	    /* owned */
	struct ms_worker **workers; /* owned, one a queue */
	unsigned int num_workers;
	struct ms_attachment *next; /* (ah) */
};

struct ms_host {
	struct ms_host_options opt;
	struct ms_switch *sw; /* owned */
	struct ms_mutex attach_lock;
	struct ms_mutex lock;
	struct ms_attachment *attachments; /* (ah) owned */
	bool monitored;			   /* (a) */
	struct ms_monitor *monitor;	   /* monitor.c's, owned */
	/* ends attachments that workers found gone: they cannot end
	   themselves */
	pthread_t reaper;
	bool reaping;
	sem_t reap;
	uint32_t reap_stop; /* atomic */
};

struct ms_worker {
	struct ms_host *host;
	struct ms_attach *a; /* until dead */
	struct ms_nic *nic;  /* until dead */
	unsigned int q;
	unsigned int refs; /* (h) of the attachment and of watched rings */
	int epfd;	   /* the attachment's fd, kicks, timer, stop */
	int stop_fd;	   /* eventfd */
	int timer_fd;	   /* no room to transmit: look again */
	bool timer_on;
	bool polling; /* ms_nic_sched_poll is on */
	pthread_t thread;
	bool threaded;
	uint32_t stop;	      /* atomic */
	uint32_t gone;	      /* atomic: found its interface gone */
	struct ms_mutex lock; /* a step, and death */
	bool dead;	      /* lock: the attachment is gone */
	unsigned int rounds;
};

/* A watched ring; what ms_kring.waiter points to. */
struct ms_watch {
	struct ms_waiter waiter; /* first */
	struct ms_kring *ring;
	struct ms_worker *worker; /* of a kick_fd: counted */
	int kick_fd;		  /* of a transmit ring: owned, else -1 */
};

/* ---- attachment.c --------------------------------------------------- */

/* Which kind, by arg->kind; "" looks at the interface. *ops is NULL before.
   -EINVAL, -ENODEV with words. */
int ms__attach_kind(const struct ms_cmd_attach *arg,
		    const struct ms_attach_ops **ops, struct ms_err *err);
/* Opens the interface and starts its workers. Returned owned; on error with
   words, or none where the errno says it. host.attach_lock held. */
int ms__attachment_open(struct ms_host *host, const struct ms_attach_ops *ops,
			const struct ms_cmd_attach *arg,
			struct ms_attachment **out, struct ms_err *err);
/* Ends it and frees it; not in the host's list. host.attach_lock held. */
void ms__attachment_close(struct ms_attachment *att);

/* ---- worker.c ------------------------------------------------------- */

/* For queue q of att, not running. Returned with one reference. Words. */
int ms__worker_create(struct ms_attachment *att, unsigned int q,
		      struct ms_worker **out, struct ms_err *err);
/* Its thread, unless the application steps it. */
int ms__worker_start(struct ms_worker *w);
/* No step runs after this, and none will. */
void ms__worker_stop(struct ms_worker *w);
/* host.lock held. NULL is fine. */
void ms__worker_put(struct ms_worker *w);

/* ---- host.c --------------------------------------------------------- */

/* The attachment of the port's interface, or NULL; host.lock held. */
struct ms_attachment *ms__attachment_of(const struct ms_host *host,
					const struct ms_port *port);
/* A worker found its interface gone. No lock of the host held. */
void ms__host_found_gone(struct ms_worker *w);
/* Starts a thread that takes no signals; returns when it has been through
   opt.thread_start. */
int ms__host_thread(struct ms_host *host, pthread_t *thread,
		    void *(*run)(void *), void *arg);

/* ---- explain.c, words_linux.c, words_freebsd.c ---------------------- */

/* What people here call it. */
struct ms__words {
	const char *sockets;	 /* the command that shows them all */
	const char *load;	 /* ... that loads a kernel module */
	const char *route;	 /* ... that shows the route to an address */
	const char *command;	 /* ... of ours that attaches */
	const char *status;	 /* ... of ours that lists ports */
	const char *admin;	 /* the administrator's privilege */
	const char *descriptors; /* more about the limit of them */
};
extern const struct ms__words ms__words;
/* A port number that needs a privilege (-EACCES), a whole protocol, attaching
   or detaching (-EPERM). Return code. */
int ms__explain_low_port(const struct ms_ask *ask, const char *name,
			 unsigned int port, int code, struct ms_err *err);
int ms__explain_no_raw(const struct ms_ask *ask, const char *name, int code,
		       struct ms_err *err);
int ms__explain_no_admin(const struct ms_ask *ask, int code,
			 struct ms_err *err);
/* "no interface 'x'; there are: ..." */
int ms__explain_no_interface(const char *name, struct ms_err *err);
/* An error that needs the state of the system, not of a command. */
int ms__explain_errno(const char *what, int code, struct ms_err *err);
/* -EEXIST, -ENODEV and -EBUSY of attach and detach. */
int ms__explain_attached(const char *nic, struct ms_err *err);
int ms__explain_detached(const char *nic, struct ms_err *err);
int ms__explain_open_ports(const char *nic, uint32_t ports, struct ms_err *err);

#endif /* MS_HOST_H */
