/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal.h: the inside of the port layer.
 *
 * A port is the same whatever serves it: rings in a mapped region, and
 * commands. What differs stands behind struct msport__ops: the kernel module,
 * multistackd, or a switch in this process.
 *
 * The region is shared with a switch that may run as another user, so this
 * side checks what it reads there too: indices, buffer numbers and lengths are
 * read once into locals and checked before use.
 *
 * Barriers A to H are those of ms_core.h, seen from the other side.
 */
#ifndef MSPORT_INTERNAL_H
#define MSPORT_INTERNAL_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include <multistack/port.h>

#include "ms_user.h"

#define MSPORT__KMOD_DEVICE "/dev/multistack"

/* A device string, taken apart: device.c */
enum msport__kind {
	MSPORT__ANY, /* the module if there is one, else the daemon */
	MSPORT__KMOD,
	MSPORT__DAEMON,
	MSPORT__INPROC,
};

struct msport__device {
	enum msport__kind kind;
	char name[256];	  /* as given */
	char socket[108]; /* daemon */
	char nic[MS_IFNAME_BYTES];
	struct ms_cmd_attach attach; /* in process */
};

/*
 * Fills *dev from a device string. nic may be left out if !need_nic. -EINVAL
 * with words.
 */
int msport__device_parse(struct msport__device *dev, const char *text,
			 bool need_nic, msport_error_t *err);

/* One ring, used by one thread at a time; aligned to have lines of its own. */
struct msport__ring {
	struct ms_ring *shared;
	struct ms_slot *slots;
	uint8_t *bufs;
	uint32_t mask; /* slots - 1 */
	uint32_t num_bufs;
	uint32_t buf_shift; /* log2 of a buffer's bytes */
	uint32_t head;	    /* published */
	uint32_t next;	    /* receive: views are out up to here */
	uint32_t tail;	    /* as last seen */
	uint32_t synced;    /* transmit: the switch knows of slots to here */
	uint32_t idle;	    /* fruitless looks in a row */
	bool steps;	    /* in process: who looks does the switch's work */
	bool is_rx;
	uint16_t index;
	/*
	 * wake_fd polls wake_events after a wake-up; owned by the device. A
	 * pipe keeps what signals it until that is read; of the module's it is
	 * a level, on as long as tail is past `wake`, and there is nothing to
	 * read.
	 */
	int wake_fd;
	short wake_events; /* POLLIN, or of a level POLLIN or POLLOUT */
	bool wake_level;
	int kick_fd; /* transmit: wakes the switch */
	int poll_fd; /* wake_fd and the switch's death, or -1 */
} __attribute__((aligned(128)));

struct msport__ops {
	const char *name;
	/* Connects to the switch. Sets port->link, owned. Errors in words. */
	int (*open)(msport_t *port, msport_error_t *err);
	/* One command; on error with words in err. */
	int (*command)(msport_t *port, uint32_t cmd, void *arg, uint32_t bytes,
		       msport_error_t *err);
	/* After PORT_CREATE: sets region and region_bytes and of each ring
	   wake_fd and what belongs to it, kick_fd and steps. */
	int (*map)(msport_t *port, msport_error_t *err);
	/* Frees link, mapping and what map() set; link may be NULL. */
	void (*close)(msport_t *port);
	/* Wakes a switch that dozes. */
	void (*kick)(msport_t *port, struct msport__ring *ring);
	/*
	 * Nothing moved for a while, or the ring steps: does the switch's work,
	 * or looks whether there still is a switch. 0 or msport__die(). The
	 * ring's `gone` was looked at by the caller.
	 */
	int (*look)(msport_t *port, struct msport__ring *ring);
	/* Adds to the epoll descriptor ep what has to wake a sleeper besides
	   the ring's own wake_fd: wait_epoll.c asks. */
	int (*watch)(msport_t *port, int ep);
	/* What poll() has to watch for a sleeper on this ring: how many of p,
	   or a negative errno. The second one is of the switch's death. */
	int (*sleep_on)(msport_t *port, struct msport__ring *ring,
			struct pollfd p[2]);
};

extern const struct msport__ops msport__kmod;
extern const struct msport__ops msport__daemon;
extern const struct msport__ops msport__inproc;

struct msport_s {
	const struct msport__ops *ops;
	void *link; /* the device's own */
	struct msport__device dev;
	msport_options_t opt;
	bool control; /* no port on it */
	pid_t pid;    /* of the process that opened it */

	struct ms_cmd_port_create info;
	struct ms_region *region;
	size_t region_bytes;
	uint8_t *bufs;
	uint32_t num_bufs, extra_bufs, buf_shift;
	struct msport__ring *tx, *rx;
	unsigned int num_tx, num_rx;

	int dead;		   /* 0, -ECONNRESET or -ENETDOWN: why */
	const char *text;	   /* static words of a ring's call, or NULL */
	msport_error_t err;	   /* of the last command */
	char down[160], lost[192]; /* words for either death, made by open */

	struct ms_tuple *tuples; /* bound, for msport_reopen(); owned */
	unsigned int num_tuples, max_tuples;
	bool offered; /* for a handover: they may have gone */
};

/* Words into err and, if port, into the port. Returns code. */
int msport__fail(msport_t *port, msport_error_t *err, int code, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));
/* The port is dead of `code`; returns it. Any thread. */
int msport__die(msport_t *port, int code);
/* What the ring's `gone` says: 0, or msport__die(). */
int msport__gone(msport_t *port, const struct msport__ring *ring);
/* Why there is no such ring: -EINVAL, or what the port is dead of. */
int msport__no_ring(msport_t *port, unsigned int ring);
/* Nothing to receive, or no room: as msport__ops.look, at little cost when
   called over and over. 0, or -ENETDOWN, -ECONNRESET. */
int msport__idle(msport_t *port, struct msport__ring *ring);
/* The ring is broken: -EBADMSG with words. */
int msport__bad(msport_t *port);

/* ---- what systems do in ways of their own: meson picks the files --------- */

/*
 * wait_epoll.c, wait_kqueue.c: a new descriptor that polls readable when the
 * ring's wake_fd has its wake_events, or the switch is gone. -errno.
 */
int msport__wait_fd(msport_t *port, const struct msport__ring *ring);
/* The mark of a ring whose wake_level is set has moved: what poll_fd signalled
   of the one before is void. */
void msport__wait_settle(const struct msport__ring *ring);

/* kmod_linux.c, kmod_freebsd.c: getenv(), but NULL in a program that has
   privileges its caller lacks. */
const char *msport__getenv(const char *name);
/* The module's region is not to be there in a child of fork(). */
void msport__kmod_keep(void *region, size_t bytes);
/* What an administrator does there. */
extern const struct msport__kmod_words {
	const char *load;      /* has the module loaded */
	bool load_ends_in_nic; /* an interface's name is to follow it */
	const char *grant;     /* gives the device to a group */
	const char *files;     /* raises the limit of descriptors */
	const char *limits;    /* ... those of -EDQUOT */
} msport__kmod_words;
/* kmod_missing.c: words for a device that cannot be opened, for the errno that
   it was; code of the words. */
int msport__kmod_missing(const msport_t *port, int code, msport_error_t *err);
/* A descriptor of the network that this thread is in, or -1 where systems have
   but one for a process; and into that of such a descriptor: *back is the way
   back, -1 if the thread is there already. -EPERM. */
int msport__kmod_place(void);
int msport__kmod_enter(int place, int *back);
void msport__kmod_leave(int back);

/*
 * kmod_attach.c, kmod_freebsd.c: MS_CMD_ATTACH and DETACH of the module, with
 * what a module cannot do by itself. ioctl_ is the command alone. Errors in
 * words.
 */
typedef int msport__ioctl(msport_t *port, uint32_t cmd, void *arg,
			  uint32_t bytes, msport_error_t *err);
int msport__kmod_attach(msport_t *port, const struct ms_cmd_attach *arg,
			msport__ioctl *ioctl_, msport_error_t *err);
int msport__kmod_detach(msport_t *port, const struct ms_cmd_attach *arg,
			msport__ioctl *ioctl_, msport_error_t *err);
/* kmod_xdp.c: puts the program that calls the module on an interface, and takes
   it off; nobody else's is touched. Errors in words. -ENOENT from off: it is
   not there. */
int msport__kmod_xdp_on(const char *nic, bool generic, struct ms_err *err);
int msport__kmod_xdp_off(const char *nic, struct ms_err *err);
/* Who has the rx_handler of an interface, as "bridge 'br0'"; "" if that is not
   to be seen. kmod_holder.c */
void msport__kmod_holder(const char *nic, char *text, size_t bytes);

/* Makes the arrays of rings that PORT_CREATE answered. -EPROTO, -ENOMEM. */
int msport__rings_alloc(msport_t *port, msport_error_t *err);
/* Checks the mapped region and points the rings into it. -EPROTO. */
int msport__rings_init(msport_t *port, msport_error_t *err);
void msport__rings_destroy(msport_t *port);

#endif /* MSPORT_INTERNAL_H */
