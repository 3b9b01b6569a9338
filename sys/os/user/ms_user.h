/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_user.h: the user-space host of the switch.
 *
 *   ms_host     a switch, its attachments, their workers, what it knows of the
 *               system (addresses, routes, neighbours, links)
 *   ms_attach   one interface, opened in one way: pair, tap, tc, xdp
 *   ms_worker   serves one queue of one attachment; a thread of the host, or
 *               stepped by the application itself
 *
 * libmultistack links this for ports in process; multistackd is this with a
 * Unix socket in front.
 */
#ifndef MS_USER_H
#define MS_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ms_core.h"

/* An error for a person: what, and what to do about it. */
struct ms_err {
	char text[320];
};
/* Fills err (may be NULL) printf-like; returns code, so that
   `return ms_err_set(err, -ENODEV, "no interface '%s'; ...", name)`. */
int ms_err_set(struct ms_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- identity of a caller: cred.c ------------------------------------- */

struct ms_cred {
	uid_t uid;
	pid_t pid;
	bool net_admin; /* CAP_NET_ADMIN here, in our user namespace */
	bool net_raw;
	bool net_bind_service;
};
void ms_cred_self(struct ms_cred *cred);
/* Of the process at the other end of a Unix socket, by SO_PEERCRED and, tied
   to the same process by a pidfd, its effective capabilities. */
int ms_cred_peer(int sock, struct ms_cred *cred);
/* Whether a process is in our user namespace; of another user's process this
   can be told only with CAP_SYS_PTRACE, false otherwise. */
bool ms_cred_same_userns(pid_t pid);
/* ms_cred_peer() asks `ask` that from now on: a daemon that gave the capability
   up has someone to ask. Before any thread. */
void ms_cred_ask(bool (*ask)(pid_t pid));

/* ---- memory: ms_os_user.c --------------------------------------------- */

/* The descriptor of a port's region: a memfd sealed against shrinking and
   growing. Borrowed. */
int ms_shm_fd(const struct ms_shm *shm);
/* Tests: the nth allocation from now on fails (and all after it if `all`);
   0 turns it off. Counts every alloc, shm and thread registration. */
void ms_os_fail_after(unsigned int n, bool all);

/*
 * What ms_os_wake() writes to: struct ms_kring.waiter points here. A pipe and
 * not an eventfd: whoever shares an eventfd can take O_NONBLOCK from it, fill
 * its counter, and so stall the one that wakes. The ends of a pipe are files
 * of their own, and the owner of the port never gets this one.
 */
struct ms_waiter {
	int wake_fd; /* owned; the switch writes 8 bytes a wake-up */
	int ring_fd; /* owned; readable after one. The ring's owner reads 8 or
			more bytes at a time to quiet it */
};

/* ---- attachments ------------------------------------------------------- */

struct ms_host;
struct ms_worker;

struct ms_attach {
	const struct ms_attach_ops *ops; /* first member of every kind's own */
	struct ms_host *host;
	struct ms_nic *nic; /* set by the host between create and start */
	int ifindex;	    /* the kernel's interface, set by create; 0: none */
};

struct ms_attach_ops {
	const char *kind; /* "pair", "tap", "tc", "xdp" */
	/*
	 * Opens it all and fills tmpl (ops, os, name, kind, mac, vlan, mtu,
	 * features, loopback, num_queues). No frame before start. Errors in
	 * words.
	 */
	int (*create)(struct ms_host *host, const struct ms_cmd_attach *arg,
		      struct ms_nic *tmpl, struct ms_attach **out,
		      struct ms_err *err);
	/* nic is set; frames may come from now on. */
	int (*start)(struct ms_attach *a, struct ms_err *err);
	/* No frame after this. Leaves the interface as it was found. */
	void (*destroy)(struct ms_attach *a);
	/* Takes up to MS_BATCH_MAX waiting frames of queue q through
	   ms_nic_input. Frames taken; -ENODEV: the interface is gone. */
	int (*receive)(struct ms_attach *a, unsigned int q);
	/* Pushes out what xmit left pending, frees what was sent. Returns
	   whether transmit room was short and may have come back. May be
	   NULL. */
	bool (*flush)(struct ms_attach *a, unsigned int q);
	/* To poll for input after a receive() that returned 0; -1 if the kind
	   has none. */
	int (*fd)(struct ms_attach *a, unsigned int q);
	/* An address came to the host or left it (monitor.c). ctl_lock held.
	   May be NULL. */
	void (*addr)(struct ms_attach *a, const uint8_t *addr, uint8_t family,
		     bool on);
	/* Whether the address belongs to the attachment alone and not to the
	   host, so that a claim of it needs no host socket; asked with all 0,
	   whether all addresses of the attachment are such. NULL: none is. */
	bool (*private_addr)(const struct ms_attach *a, const uint8_t *addr,
			     uint8_t family);
};

extern const struct ms_attach_ops ms_attach_pair;
extern const struct ms_attach_ops ms_attach_tap;
extern const struct ms_attach_ops ms_attach_tc;
extern const struct ms_attach_ops ms_attach_xdp;

/* ---- host: host.c ------------------------------------------------------ */

#define MS_HOST_NO_THREADS (1u << 0) /* the application steps the workers */
/* The owners of rings are in this process and call ms_kring_tx_ready()
   themselves: no eventfds, and steps look at none. With NO_THREADS only. */
#define MS_HOST_DIRECT_KICKS (1u << 1)

struct ms_host_options {
	uint32_t flags;
	uint32_t busy_poll_us; /* a worker spins so long before it sleeps */
	/* Called by each thread that the host starts, first of all: a daemon
	   drops privileges there, which Linux has per thread. May be NULL. */
	void (*thread_start)(void);
};

int ms_host_create(const struct ms_host_options *opt, struct ms_host **out,
		   struct ms_err *err);
void ms_host_destroy(struct ms_host *host); /* detaches all */
struct ms_switch *ms_host_switch(struct ms_host *host);
/* Kinds: "" takes xdp for an Ethernet interface, tc for lo. */
int ms_host_attach(struct ms_host *host, const struct ms_cmd_attach *arg,
		   struct ms_err *err);
int ms_host_detach(struct ms_host *host, const struct ms_cmd_attach *arg,
		   struct ms_err *err);
/* Fills *arg from "[KIND:]IF[,option...]": generic, vlan=N and queues=N go into
   its fields, other options to the kind. -EINVAL with words. spec.c */
int ms_attach_spec(const char *spec, struct ms_cmd_attach *arg,
		   struct ms_err *err);
/*
 * All that a client may ask, one entry for the daemon and for in-process
 * ports: ms_ctl() plus attach and detach, with the error in words (who holds
 * the port, which capability is missing, ...).
 */
int ms_host_ctl(struct ms_host *host, const struct ms_cred *cred,
		struct ms_port **port, uint32_t cmd, void *arg, uint32_t bytes,
		struct ms_err *err);
/*
 * The rings of a port get their wake-up pipes and the transmit rings their
 * worker, which watches their kicks. Call after PORT_CREATE; undo before
 * destroy. -EMFILE, -ENFILE, -ENOMEM, -ENODEV (the interface is gone), and
 * then nothing is watched; -EALREADY changes nothing.
 * ring_fd: polls readable after a wake-up (struct ms_waiter). kick_fd: of a
 * transmit ring, an eventfd that a client writes to when `doze` is set; only
 * its edges count, nobody reads it; -1 for a receive ring, and with
 * MS_HOST_DIRECT_KICKS. Borrowed.
 */
int ms_host_port_watch(struct ms_host *host, struct ms_port *port);
void ms_host_port_unwatch(struct ms_host *host, struct ms_port *port);
int ms_host_ring_fd(const struct ms_kring *ring);
int ms_host_kick_fd(const struct ms_kring *ring);

/* Whether arg can be an attachment's at all. -EINVAL with words. spec.c */
int ms_attach_check(const struct ms_cmd_attach *arg, struct ms_err *err);

/* ---- errors in words: explain.c ----------------------------------------- */

/* The switch that refused something, here or in the kernel: who can say what
   the refusal is about. */
struct ms_ask {
	/* MS_CMD_INFO and MS_CMD_LIST. 0, or a negative errno. */
	int (*command)(void *ctx, uint32_t cmd, void *arg, uint32_t bytes);
	void *ctx;
	const struct ms_cred *cred; /* of whom it refused */
	uint32_t port_id;	    /* his port; 0: none */
	char nic[MS_IFNAME_BYTES];  /* the port's interface, or empty */
	bool kernel;		    /* capabilities are the caller's alone */
};
/* Puts the failure `code` of a command into words: the thing, the remedy. Does
   nothing if there are some already. */
void ms_explain(const struct ms_ask *ask, uint32_t cmd, const void *arg,
		uint32_t bytes, int code, struct ms_err *err);

/* ---- workers: worker.c ------------------------------------------------- */

/* One round: input, transmit, flush. Returns frames moved; does not sleep. */
int ms_worker_step(struct ms_worker *w);
/* Half a round: only sends. */
void ms_worker_send(struct ms_worker *w);
/* Polls readable when a step would find something. */
int ms_worker_fd(struct ms_worker *w);
/* The worker that serves this port's rings number `index`. */
struct ms_worker *ms_host_worker(struct ms_host *host,
				 const struct ms_port *port,
				 unsigned int index);
/* The same, to be kept: until it is put it can be stepped and its descriptor
   polled, also when the interface went meanwhile. NULL: it is gone already. */
struct ms_worker *ms_host_worker_get(struct ms_host *host,
				     const struct ms_port *port,
				     unsigned int index);
void ms_host_worker_put(struct ms_host *host, struct ms_worker *w);

/* ---- reservations: resv.c ---------------------------------------------- */

/* The sysctl net.ipv4.ip_unprivileged_port_start. */
unsigned int ms_unprivileged_port_start(void);
/* Whether an interface of the switch has addresses of the host. ctl_lock. */
bool ms_resv_host_shared(const struct ms_switch *sw);
/* Whether it holds a socket of the host. */
bool ms_resv_is_host(const struct ms_resv *resv);

/* ---- what the system knows: netlink.c, resv.c -------------------------- */

struct ms_link {
	int ifindex;
	uint32_t mtu;
	uint8_t mac[6];
	bool up, loopback, ether;
	unsigned int rx_queues, tx_queues;
	char kind[16]; /* of a virtual one: "veth", "bridge", ... */
};
int ms_link_get(const char *ifname, struct ms_link *out);
/* Answers MS_CMD_ROUTE for an interface from the kernel's tables (rtnetlink),
   resolving the neighbour if need be. */
int ms_route_get(const char *ifname, struct ms_cmd_route *r);
/* Follows addresses, links, routes and neighbours by rtnetlink; calls
   ms_table_addr_add/del and ms_nic_changed, and `gone` when an attached
   interface vanished. One thread of the host. */
int ms_monitor_start(struct ms_host *host, struct ms_err *err);
void ms_monitor_stop(struct ms_host *host);
/* host.c: called from the monitor's thread, no lock held: the interface of an
   attachment vanished. Ends it as a forced detach would; unknown names are
   fine. */
void ms_host_gone(struct ms_host *host, const char *nic);

#endif /* MS_USER_H */
