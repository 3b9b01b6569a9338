/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kt.h: cases, checks, and ports on the bare ABI, for kernel_test.
 *
 * A case runs in a process of its own, on the near side of the world, and ends
 * it by returning, by a check that does not hold, or by kt_skip(). Behind it
 * the switch must be as empty as before.
 */
#ifndef KT_H
#define KT_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdnoreturn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../hostile/frames.h"
#include "kernel_os.h"

#define KT_DEVICE "/dev/multistack"
#define KT_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KT_WAIT_MS 60000 /* for what must come; emulation is slow */
#define KT_QUIET_MS 100	 /* for what must not */
#define KT_PAGE 4096u
#define KT_NOBODY 65534

struct kt_case {
	const char *name;
	void (*run)(void);
	/* afterwards the world is made anew */
	bool ruins;
	/* runs as long as it is told to, and longer where -l is given */
	bool hostile;
};

/* Ended by an entry without a name. */
extern const struct kt_case kt_cases_commands[], kt_cases_maps[],
    kt_cases_names[], kt_cases_frames[], kt_cases_rules[], kt_cases_life[],
    kt_cases_admin[], kt_cases_hostile[];
/* Those of this system alone. */
extern const struct kt_case os_cases[];

/* ---- checks ------------------------------------------------------------- */

#define CHECK(x)                                                               \
	do {                                                                   \
		if (!(x))                                                      \
			kt_fail(__FILE__, __LINE__, "does not hold: %s", #x);  \
	} while (0)
#define CHECK_EQ(a, b)                                                         \
	kt_equal(__FILE__, __LINE__, #a, (long long)(a), (long long)(b))

noreturn void kt_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
noreturn void kt_skip(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* A line beside the results. */
void kt_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void kt_equal(const char *file, int line, const char *what, long long is,
	      long long should);

/* ---- time and chance ------------------------------------------------------ */

extern unsigned int kt_seconds; /* that a hostile case takes */
extern uint64_t kt_seed;	/* printed at the start; -s repeats a run */

uint64_t kt_now_ms(void);
void kt_nap_us(unsigned int us);
/* xorshift; *s is not 0. */
uint64_t kt_chance(uint64_t *s);

/* ---- processes ------------------------------------------------------------ */

/* A child in which a failed check ends the child, and then the case. */
pid_t kt_fork(void);
/* Waits; the child must have returned 0. */
void kt_join(pid_t pid);
/* SIGKILL, and waits. */
void kt_kill(pid_t pid);
/* A token between processes: p[0] reads, p[1] writes. */
void kt_say(int fd);
void kt_hear(int fd);
/* The child of kt_fork() as nobody in which `body` runs; joined. */
void kt_as_nobody(void (*body)(void));
/* One descriptor over a Unix socket. */
void kt_pass(int sock, int fd);
int kt_take(int sock);

/* ---- commands ------------------------------------------------------------- */

int kt_open(void); /* a descriptor without a port */
/* >= 0, or a negative errno. */
int kt_cmd(int fd, enum ms_cmd cmd, void *arg);
/* Bytes of the struct of a command, as this ABI has it. */
uint32_t kt_cmd_bytes(enum ms_cmd cmd);
const char *kt_cmd_name(enum ms_cmd cmd);
/* Ports or tuples of the near side's switch. */
uint32_t kt_num_ports(void);
uint64_t kt_num_tuples(void);
/* Attaches or detaches an interface of the calling process' side. */
int kt_attach(const char *nic, const char *kind);
int kt_detach(const char *nic, uint32_t flags);

/* ---- ports ---------------------------------------------------------------- */

struct kt_port {
	int fd;
	struct ms_region *region;
	/* as the region said at the beginning */
	struct ms_region geo;
	struct ms_cmd_port_create info;
};

/* With tx and rx rings of so many slots on the near interface; 0: usual. */
int kt_port_try(struct kt_port *p, uint16_t tx, uint16_t rx, uint32_t slots);
void kt_port_open(struct kt_port *p);
void kt_port_close(struct kt_port *p);
int kt_bind_tuple(int fd, enum ms_cmd cmd, struct ms_tuple *t,
		  uint32_t *holder);
int kt_bind(const struct kt_port *p, struct ms_tuple t);
int kt_unbind(const struct kt_port *p, struct ms_tuple t);
/* The usual claim: UDP on rig_ip. */
void kt_must_bind(const struct kt_port *p, uint16_t number);
/* Until whoever had it is gone. */
void kt_bind_when_free(const struct kt_port *p, uint16_t number);

struct ms_ring *kt_ring(const struct kt_port *p, bool is_rx, unsigned int i);
struct ms_slot *kt_slots(struct ms_ring *r);
uint8_t *kt_buf(const struct kt_port *p, uint32_t buf);
/* Puts a frame into a transmit ring, over slots if need be. -ENOBUFS. */
int kt_put(const struct kt_port *p, unsigned int ring, const void *frame,
	   uint32_t bytes);
int kt_sync(const struct kt_port *p, bool is_rx, unsigned int ring);
/* Both, and waits until the switch has looked at it. */
void kt_send(const struct kt_port *p, const void *frame, uint32_t bytes);
/* The oldest frame, joined; its length, or 0 if none waits. */
uint32_t kt_get(const struct kt_port *p, unsigned int ring, void *frame,
		uint32_t room);
/* Sleeps until there is one, as multistack.h says. 0: not in time. */
uint32_t kt_recv(const struct kt_port *p, unsigned int ring, void *frame,
		 uint32_t room, int timeout_ms);
void kt_stats(int fd, const char *nic, uint64_t counter[MS_CTR_MAX]);
uint64_t kt_counter(const struct kt_port *p, enum ms_counter which);
const char *kt_counter_name(enum ms_counter which);

/* From the far end of the wire: to UDP `number` here, with n bytes. */
void kt_far_udp(int raw, uint16_t number, const void *payload, uint32_t n);
/* The far end gets this frame next, but for what the host says by itself. */
void kt_far_expect(int raw, const void *frame, uint32_t bytes);

#endif /* KT_H */
