/* SPDX-License-Identifier: BSD-2-Clause */
/* pcapng.h: what an interface saw, for Wireshark. */
#ifndef MSSIM_PCAPNG_H
#define MSSIM_PCAPNG_H

#include <stdbool.h>
#include <stdint.h>

struct mssim__pcapng;

/* NULL: errno says why. */
struct mssim__pcapng *mssim__pcapng_open(const char *path);
/* A packet of IP; `out`: sent, not received. p NULL is fine. */
void mssim__pcapng_write(struct mssim__pcapng *p, uint64_t at_ns,
			 const void *data, uint32_t len, bool out);
/* What was written is in the file. */
void mssim__pcapng_flush(struct mssim__pcapng *p);
void mssim__pcapng_close(struct mssim__pcapng *p);

#endif /* MSSIM_PCAPNG_H */
