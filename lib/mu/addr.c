/* SPDX-License-Identifier: BSD-2-Clause */
/* addr.c: addresses of sockets and of the stack. */
#include "internal.h"

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

int
mu__addr_from(utcp_addr_t *to, const struct sockaddr *from)
{
	const struct sockaddr_in *in4 = (const void *)from;
	const struct sockaddr_in6 *in6 = (const void *)from;

	memset(to, 0, sizeof *to);
	if (from->sa_family == AF_INET) {
		to->family = 4;
		to->port_be = in4->sin_port;
		memcpy(to->addr, &in4->sin_addr, 4);
		return 0;
	}
	if (from->sa_family != AF_INET6)
		return UV_EINVAL;
	to->port_be = in6->sin6_port;
	if (memcmp(&in6->sin6_addr, mapped_prefix, 12) == 0) {
		to->family = 4;
		memcpy(to->addr, (const uint8_t *)&in6->sin6_addr + 12, 4);
		return 0;
	}
	to->family = 6;
	memcpy(to->addr, &in6->sin6_addr, 16);
	return 0;
}

void
mu__addr_to(struct sockaddr *to, int *len, const utcp_addr_t *from, bool mapped)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	bool four = from->family == 4 && !mapped;
	int bytes = four ? (int)sizeof in4 : (int)sizeof in6;

	in4.sin_port = in6.sin6_port = from->port_be;
	if (four) {
		memcpy(&in4.sin_addr, from->addr, 4);
	} else if (from->family == 6) {
		memcpy(&in6.sin6_addr, from->addr, 16);
	} else if (!mu__addr_is_any(from)) {
		memcpy(&in6.sin6_addr, mapped_prefix, 12);
		memcpy((uint8_t *)&in6.sin6_addr + 12, from->addr, 4);
	}
	if (*len > 0)
		memcpy(to, four ? (void *)&in4 : (void *)&in6,
		       (size_t)(*len < bytes ? *len : bytes));
	*len = bytes;
}

bool
mu__addr_is_any(const utcp_addr_t *a)
{
	static const uint8_t any[16];

	return memcmp(a->addr, any, a->family == 4 ? 4 : 16) == 0;
}
