/* SPDX-License-Identifier: BSD-2-Clause */
/* pcapng.c: a trace that Wireshark reads; bare IP packets, nanoseconds. */
#include <stdio.h>
#include <stdlib.h>

#include "pcapng.h"

struct mssim__pcapng {
	FILE *f;
};

static void
put_block(struct mssim__pcapng *p, uint32_t type, const void *head,
	  uint32_t head_len, const void *body, uint32_t len, const void *tail,
	  uint32_t tail_len)
{
	uint32_t pad = -len & 3;
	uint32_t total = 12 + head_len + len + pad + tail_len;

	fwrite(&type, 4, 1, p->f);
	fwrite(&total, 4, 1, p->f);
	fwrite(head, 1, head_len, p->f);
	fwrite(body, 1, len, p->f);
	fwrite("\0\0\0", 1, pad, p->f);
	fwrite(tail, 1, tail_len, p->f);
	fwrite(&total, 4, 1, p->f);
}

struct mssim__pcapng *
mssim__pcapng_open(const char *path)
{
	/* section: byte order, version 1.0, length unknown */
	static const uint32_t section[] = { 0x1a2b3c4d, 1, UINT32_MAX,
					    UINT32_MAX };
	/* interface: LINKTYPE_RAW, no limit; if_tsresol 9; end of options */
	static const uint32_t iface[] = { 101, 0, 9 | 1 << 16, 9, 0 };
	struct mssim__pcapng *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->f = fopen(path, "wbe");
	if (!p->f) {
		free(p);
		return NULL;
	}
	put_block(p, 0x0a0d0d0a, section, sizeof(section), "", 0, "", 0);
	put_block(p, 1, iface, sizeof(iface), "", 0, "", 0);
	return p;
}

void
mssim__pcapng_write(struct mssim__pcapng *p, uint64_t at_ns, const void *data,
		    uint32_t len, bool out)
{
	/* interface 0, time, captured and original length */
	const uint32_t head[] = { 0, (uint32_t)(at_ns >> 32), (uint32_t)at_ns,
				  len, len };
	/* epb_flags: direction; end of options */
	const uint32_t tail[] = { 2 | 4 << 16, out ? 2 : 1, 0 };

	if (p)
		put_block(p, 6, head, sizeof(head), data, len, tail,
			  sizeof(tail));
}

void
mssim__pcapng_flush(struct mssim__pcapng *p)
{
	if (p)
		fflush(p->f);
}

void
mssim__pcapng_close(struct mssim__pcapng *p)
{
	if (!p)
		return;
	fclose(p->f);
	free(p);
}
