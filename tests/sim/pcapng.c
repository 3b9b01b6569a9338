/* SPDX-License-Identifier: BSD-2-Clause */
/* pcapng.c: a trace that Wireshark reads; bare IP packets, nanoseconds. */
#include "sim.h"

struct pcapng {
	FILE *f;
};

static void
put_block(struct pcapng *p, uint32_t type, const void *body, uint32_t len)
{
	uint32_t pad = -len & 3, total = 12 + len + pad;

	fwrite(&type, 4, 1, p->f);
	fwrite(&total, 4, 1, p->f);
	fwrite(body, 1, len, p->f);
	fwrite("\0\0\0", 1, pad, p->f);
	fwrite(&total, 4, 1, p->f);
}

struct pcapng *
pcapng_open(const char *path)
{
	/* section: byte order, version 1.0, length unknown */
	static const uint32_t section[] = { 0x1a2b3c4d, 1, UINT32_MAX,
					    UINT32_MAX };
	/* interface: LINKTYPE_RAW, no limit; if_tsresol 9; end of options */
	static const uint32_t iface[] = { 101, 0, 9 | 1 << 16, 9, 0 };
	struct pcapng *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->f = fopen(path, "wb");
	if (p->f == NULL) {
		perror(path);
		free(p);
		return NULL;
	}
	put_block(p, 0x0a0d0d0a, section, sizeof(section));
	put_block(p, 1, iface, sizeof(iface));
	return p;
}

void
pcapng_write(struct pcapng *p, uint64_t at_ns, const void *data, uint32_t len,
	     bool out)
{
	static uint8_t body[20 + 65536 + 4 + 12];
	uint32_t pad = -len & 3;
	/* epb_flags: direction */
	uint32_t head[] = { 0, (uint32_t)(at_ns >> 32), (uint32_t)at_ns, len,
			    len };
	uint32_t tail[] = { 2 | 4 << 16, out ? 2 : 1, 0 };

	if (p == NULL || len > 65536)
		return;
	memcpy(body, head, 20);
	memcpy(body + 20, data, len);
	memset(body + 20 + len, 0, pad);
	memcpy(body + 20 + len + pad, tail, 12);
	put_block(p, 6, body, 20 + len + pad + 12);
	/* the process may end at any time */
	fflush(p->f);
}

void
pcapng_close(struct pcapng *p)
{
	if (p == NULL)
		return;
	fclose(p->f);
	free(p);
}
