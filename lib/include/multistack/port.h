/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.h: a port of the MultiStack switch: open, bind, frames in and out in
 * batches.
 *
 * All calls return 0 (or a count) or a negative errno. A port belongs to one
 * thread at a time; its rings can be given to different threads, one thread a
 * ring, and then only the calls that name a ring are made by them.
 *
 * After fork() a port stays the parent's: the region is not there in the child,
 * whose calls on it return -EPERM (those that touch rings: SIGSEGV), and whose
 * msport_close() frees only the child's copies. All descriptors close on exec.
 */
#ifndef MULTISTACK_PORT_H
#define MULTISTACK_PORT_H

#include <stddef.h>
#include <stdint.h>

#include <multistack/multistack.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MSPORT_EXTERN __attribute__((visibility("default")))

typedef struct msport_s msport_t;

/* What went wrong, for a person: names the thing and the remedy. */
typedef struct msport_error_s {
	int code; /* negative errno */
	char text[320];
} msport_error_t;

typedef struct msport_options_s {
	uint16_t tx_rings;   /* 0: 1 */
	uint16_t rx_rings;   /* 0: 1 */
	uint32_t slots;	     /* in each ring, rounded up to a power of two;
				0: 512 */
	uint32_t buf_bytes;  /* 0: 2048 */
	uint32_t extra_bufs; /* buffers beyond one a slot */
	char label[16];	     /* shown by `multistack status` */
} msport_options_t;

/*
 * Opens a port.
 *
 * device   "eth0"          the kernel module if loaded, else multistackd
 *          "kmod:eth0"     the kernel module, in the network namespace of the
 *                          calling thread
 *          "daemon:eth0"   multistackd at its usual socket ($MULTISTACK_SOCKET
 *                          if set), or at
 *          "daemon@/path:eth0"
 *          "xdp:eth0", "tc:eth0", "tap:ms0,local=10.9.0.2/24,host=10.9.0.1",
 *          "pair:p0,..."   in process: this program attaches the interface
 *                          (needs the privilege) and carries the switch; all
 *                          its ports with the same device string share it. No
 *                          thread is started for it: the calls on rings do
 *                          the work of the switch too, so frames move only
 *                          while a thread of the program makes such calls
 * opt, err may be NULL. Returns -EINVAL (not a device string), -ENODEV (no such
 * interface, no module), -ECONNREFUSED (no daemon), -EPROTO (daemon of another
 * ABI), -EPERM, -ENOMEM, -EMFILE, -EDQUOT (the daemon's limit for one user)...
 */
MSPORT_EXTERN int msport_open(msport_t **out, const char *device,
			      const msport_options_t *opt, msport_error_t *err);
/*
 * Hands the switch what was committed, unbinds everything and frees the port:
 * on return its tuples can be bound by others. Of a daemon that does not get
 * to it in a second this is not waited for. NULL is fine.
 */
MSPORT_EXTERN void msport_close(msport_t *port);
/*
 * Opens the port anew, with the options and the tuples (ephemeral ports with
 * their numbers) that it had, after -ECONNRESET or -ENETDOWN, or at any time.
 * Tuples that it offered for a handover and another port has now stay there.
 * The region is another one: views, buffers, descriptors of msport_fd() and
 * what msport_info() and msport_region() returned are void; frames waiting in
 * the old rings are lost. One of the module opens in the calling thread's network
 * namespace. No other thread uses the port meanwhile. On error
 * (those of msport_open and msport_bind) the port is as after the loss of its
 * switch, and the call can be repeated.
 */
MSPORT_EXTERN int msport_reopen(msport_t *port);
/* MS_ABI_VERSION that the library was built with, for callers that were not
   compiled against this header. */
MSPORT_EXTERN uint32_t msport_abi(void);
/* The library's version, "0.1.0". */
MSPORT_EXTERN const char *msport_version(void);
/* Words for the last error of a call on this port; "" if there was none. */
MSPORT_EXTERN const char *msport_error(const msport_t *port);

/*
 * Claims tuple (port_be 0: an ephemeral port, written back). -EADDRINUSE,
 * -EACCES (port below ip_unprivileged_port_start), -EPERM (whole protocol),
 * -EADDRNOTAVAIL, -EINVAL, -ENOMEM.
 */
MSPORT_EXTERN int msport_bind(msport_t *port, struct ms_tuple *tuple);
MSPORT_EXTERN int msport_unbind(msport_t *port, const struct ms_tuple *tuple);
/* "10.0.0.1", "::1", "0.0.0.0" and so on. proto: IPPROTO_*. -EINVAL. */
MSPORT_EXTERN int msport_tuple(struct ms_tuple *tuple, const char *addr,
			       uint8_t proto, uint16_t port);

/* Fills *r for r->dst (family, addr); see ms_cmd_route. */
MSPORT_EXTERN int msport_route(msport_t *port, struct ms_cmd_route *r);
MSPORT_EXTERN int msport_stats(msport_t *port, struct ms_cmd_stats *s);
/* Name of counter i (enum ms_counter), NULL past the last. */
MSPORT_EXTERN const char *msport_counter_name(unsigned int i);
MSPORT_EXTERN const char *msport_counter_text(unsigned int i);
/* Any command of multistack.h, for what has no call of its own. `arg` starts
   with its size. */
MSPORT_EXTERN int msport_command(msport_t *port, uint32_t cmd, void *arg);
/* A connection to the switch behind `device` without a port on it, for
   commands that need none (list, attach, info). Close with msport_close. "",
   "daemon", "daemon:", "daemon@/path:", "kmod" and "kmod:" do for it. The
   module's is about the namespace that it was opened in, and keeps it. */
MSPORT_EXTERN int msport_control(msport_t **out, const char *device,
				 msport_error_t *err);
/*
 * Puts the switch behind `control` on an interface: CAP_NET_ADMIN. It stays
 * there when this process ends.
 *
 * spec   "[KIND:]IF[,option...]". Kinds of multistackd are xdp, tc, tap and
 *        pair; of the module rx_handler (any interface) and xdp, which adds the
 *        XDP program that shows it what a driver receives; and without a kind
 *        whichever is best. Options: vlan=N, queues=N, generic (XDP that runs
 *        after the driver), of the module qdisc=auto|always|never, tx=skb|xdp|page
 *
 * -EEXIST (it is attached), -ENODEV (no such interface), -EBUSY (another has
 * its packets: the words say who), -EPERM, -EINVAL, -EOPNOTSUPP. Words:
 * msport_error(control).
 */
MSPORT_EXTERN int msport_attach(msport_t *control, const char *spec);
/* Takes it off. -ENODEV; -EBUSY: ports are open on it, and flags have no
   MS_ATTACH_FORCE; -EPERM. */
MSPORT_EXTERN int msport_detach(msport_t *control, const char *nic,
				uint32_t flags);

/* What PORT_CREATE answered; borrowed. NULL for a control connection. */
MSPORT_EXTERN const struct ms_cmd_port_create *msport_info(
    const msport_t *port);
/* The mapped region; borrowed, valid until close. */
MSPORT_EXTERN struct ms_region *msport_region(const msport_t *port);

/*
 * One slot of a batch. A frame is one view, or several of which all but the
 * last have MS_SLOT_MORE.
 */
typedef struct msport_view_s {
	uint8_t *data;
	uint32_t len;	/* receive: bytes here; transmit: in, room; out, used */
	uint16_t flags; /* MS_SLOT_* */
	uint8_t gso_type;
	uint8_t reason; /* received, with MS_SLOT_TAP_DROP */
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t pad;
} msport_view_t;

/*
 * Receive: up to n views of waiting frames, none of them cut at the end of the
 * batch. Returns how many, 0 if none wait, -ENETDOWN (interface gone),
 * -ECONNRESET (daemon gone), both only when all frames are taken; -EMSGSIZE
 * (the next frame has more than n views; MS_FRAME_SLOTS_MAX suffice always),
 * -EBADMSG (the ring is not as a switch leaves it: reopen). Views stay valid
 * until msport_rx_release(), which takes the number of views from the oldest
 * on; a call before that returns the frames after these.
 */
MSPORT_EXTERN int msport_rx(msport_t *port, unsigned int ring,
			    msport_view_t *views, unsigned int n);
MSPORT_EXTERN void msport_rx_release(msport_t *port, unsigned int ring,
				     unsigned int n);
/*
 * Keeps a received buffer beyond its release: the slot of view i, counted from
 * the oldest that is not released, gets buffer `spare` (the start of a buffer
 * of this region that stands in no slot), and the view's own belongs to the
 * caller. 0, -EINVAL.
 */
MSPORT_EXTERN int msport_rx_swap(msport_t *port, unsigned int ring,
				 unsigned int i, uint8_t *spare);
/* Start of the i-th of the extra_bufs buffers that are the user's from the
   beginning; NULL past the last. Each has msport_info()->buf_bytes bytes. */
MSPORT_EXTERN uint8_t *msport_extra(const msport_t *port, unsigned int i);
/*
 * Transmit: up to n free slots as views on their buffers, to be filled and
 * then given to the switch by msport_tx_commit (the same array, its first n).
 * Reserving twice without a commit gives the same slots again. A frame's views
 * are committed together. msport_tx returns how many, 0 if the ring is full
 * (msport_wait, or msport_arm and sleep), or an error as msport_rx.
 *
 * A view's data may be exchanged for the start of another buffer of the region
 * (an extra one, one of msport_rx_swap); the slot's own is the caller's then.
 * msport_tx_commit: 0; -EINVAL and nothing is sent if a length is 0 or larger
 * than a buffer, data is not a buffer's start, the last view has MORE, or there
 * are more views than msport_tx gave.
 */
MSPORT_EXTERN int msport_tx(msport_t *port, unsigned int ring,
			    msport_view_t *views, unsigned int n);
MSPORT_EXTERN int msport_tx_commit(msport_t *port, unsigned int ring,
				   const msport_view_t *views, unsigned int n);
/* Tells the switch about committed slots (a system call only if it sleeps).
   0, -ENETDOWN, -ECONNRESET. In process: sends them, and receives. */
MSPORT_EXTERN int msport_sync(msport_t *port, unsigned int ring);

/* One frame, copied: of len bytes at most; returns its length, or 0 if none
   waits. -EMSGSIZE: it was longer, and is gone. Errors as msport_rx. Not while
   views are held. */
MSPORT_EXTERN int msport_recv(msport_t *port, unsigned int ring, void *buf,
			      size_t len);
/* One frame, copied and synced; 0. -ENOBUFS: ring full. -EMSGSIZE: longer
   than the ring can ever hold. Errors as msport_sync. */
MSPORT_EXTERN int msport_send(msport_t *port, unsigned int ring,
			      const void *frame, size_t len);

/*
 * Sleeping. msport_fd() polls readable after a wake-up; msport_arm() asks for
 * one and returns 1 if there is something already (do not sleep), else 0.
 * is_rx: 1 frames to receive, 0 room to transmit. msport_wait does both,
 * timeout in milliseconds, -1 for ever; 1 ready, 0 timed out, -EINTR. The
 * descriptor is made on the first call, is the port's, and is for poll and its
 * kin alone: msport_arm takes what it signals. It is readable also when the
 * switch is gone, which msport_arm then returns as an error, as msport_wait
 * does (-ENETDOWN, -ECONNRESET).
 */
MSPORT_EXTERN int msport_fd(msport_t *port, int is_rx, unsigned int ring);
MSPORT_EXTERN int msport_arm(msport_t *port, int is_rx, unsigned int ring);
MSPORT_EXTERN int msport_wait(msport_t *port, int is_rx, unsigned int ring,
			      int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_PORT_H */
