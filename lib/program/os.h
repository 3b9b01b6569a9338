/* SPDX-License-Identifier: BSD-2-Clause */
/* os.h: what differs between systems. meson picks one of os_*.c. */
#ifndef PROGRAM_OS_H
#define PROGRAM_OS_H

#include <stdbool.h>

struct os_event {
	void *user;
	bool in, out;
};

/* A poller: level-triggered. Negative errno. */
int os_poller_open(void);
/* Watches fd (input and, if out, room to write), or changes what is watched.
   A closed descriptor is not watched any more. */
int os_poller_add(int poller, int fd, void *user);
int os_poller_change(int poller, int fd, void *user, bool in, bool out);
/* Up to n events; timeout in milliseconds. How many, or a negative errno. */
int os_poller_wait(int poller, struct os_event *ev, int n, int timeout_ms);

/* accept4(): a descriptor that does not block and closes on exec, or a negative
   errno. */
int os_accept(int fd);

/* Keeps the calling thread on one of the processors that it may use, the i-th
   (modulo how many there are). */
void os_pin(unsigned int i);

#endif /* PROGRAM_OS_H */
