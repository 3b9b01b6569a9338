/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * attach_util.c: options, addresses and words of the attachments.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "attach.h"

int
ms_opt_get(const char *options, const char *key, char *buf, size_t bytes)
{
	size_t key_len = strlen(key);
	const char *p = options;

	while (*p != '\0') {
		size_t len = strcspn(p, ",");

		if (len > key_len && p[key_len] == '=' &&
		    memcmp(p, key, key_len) == 0) {
			size_t n = len - key_len - 1;

			if (n >= bytes)
				return -E2BIG;
			memcpy(buf, p + key_len + 1, n);
			buf[n] = '\0';
			return 0;
		}
		p += len;
		if (*p == ',')
			p++;
	}
	return -ENOENT;
}

int
ms_opt_u32(const char *options, const char *key, uint32_t min, uint32_t max,
	   uint32_t *out, struct ms_err *err)
{
	unsigned long v;
	char buf[24], *end;
	int r;

	r = ms_opt_get(options, key, buf, sizeof(buf));
	if (r == -ENOENT)
		return 0;
	if (r == 0 && buf[0] >= '0' && buf[0] <= '9') {
		v = strtoul(buf, &end, 10);
		if (*end == '\0' && v >= min && v <= max) {
			*out = (uint32_t)v;
			return 0;
		}
	}
	return ms_err_set(err, -EINVAL,
			  "option '%s' wants a number from %u to %u", key, min,
			  max);
}

int
ms_opt_check(const char *options, const char *const *keys, const char *kind,
	     struct ms_err *err)
{
	const char *p = options;

	while (*p != '\0') {
		size_t len = strcspn(p, ","), n = strcspn(p, ",=");
		unsigned int i;

		for (i = 0; keys[i] != NULL; i++)
			if (strlen(keys[i]) == n && memcmp(keys[i], p, n) == 0)
				break;
		if (keys[i] == NULL || p[n] != '=')
			return ms_err_set(err, -EINVAL,
					  "kind '%s' has no option '%.*s'",
					  kind, (int)len, p);
		p += len;
		if (*p == ',')
			p++;
	}
	return 0;
}

int
ms_mac_parse(const char *text, uint8_t mac[6])
{
	unsigned int b[6], i;
	int used = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2],
		   &b[3], &b[4], &b[5], &used) != 6 ||
	    text[used] != '\0' || (b[0] & 1) != 0)
		return -EINVAL;
	for (i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return 0;
}

int
ms_addr_parse(const char *text, uint8_t addr[16], uint8_t *family,
	      uint8_t *prefix)
{
	const char *slash = strchr(text, '/');
	char buf[INET6_ADDRSTRLEN];
	unsigned long v;
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char *end;

	if (len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, len);
	buf[len] = '\0';
	memset(addr, 0, 16);
	if (inet_pton(AF_INET, buf, addr) == 1)
		*family = 4;
	else if (inet_pton(AF_INET6, buf, addr) == 1)
		*family = 6;
	else
		return -EINVAL;
	*prefix = (uint8_t)(8 * ms_addr_bytes(*family));
	if (slash != NULL) {
		if (slash[1] < '0' || slash[1] > '9')
			return -EINVAL;
		v = strtoul(slash + 1, &end, 10);
		if (*end != '\0' || v > *prefix)
			return -EINVAL;
		*prefix = (uint8_t)v;
	}
	return 0;
}

int
ms_private_add(struct ms_private *p, const uint8_t *addr, uint8_t family)
{
	if (ms_private_has(p, addr, family))
		return -EEXIST;
	if (p->num == MS_PRIVATE_MAX)
		return -ENOSPC;
	memset(p->addr[p->num], 0, 16);
	memcpy(p->addr[p->num], addr, ms_addr_bytes(family));
	p->family[p->num++] = family;
	return 0;
}

int
ms_private_parse(struct ms_private *p, const char *list, struct ms_err *err)
{
	uint8_t addr[16], family, prefix;
	char text[64];

	while (*list != '\0') {
		size_t len = strcspn(list, "+");
		int r;

		if (len >= sizeof(text))
			len = sizeof(text) - 1;
		memcpy(text, list, len);
		text[len] = '\0';
		r = ms_addr_parse(text, addr, &family, &prefix);
		if (r == 0)
			r = ms_private_add(p, addr, family);
		if (r != 0)
			return ms_err_set(err, r, "option 'addr': '%s' %s",
					  text,
					  r == -EINVAL	 ? "is no address"
					  : r == -EEXIST ? "is named twice"
							 : "is one too many");
		list += len;
		if (*list == '+')
			list++;
	}
	return 0;
}

bool
ms_private_has(const struct ms_private *p, const uint8_t *addr, uint8_t family)
{
	unsigned int i;

	for (i = 0; i < p->num; i++)
		if (p->family[i] == family &&
		    memcmp(p->addr[i], addr, ms_addr_bytes(family)) == 0)
			return true;
	return false;
}

const uint8_t *
ms_private_first(const struct ms_private *p, uint8_t family)
{
	unsigned int i;

	for (i = 0; i < p->num; i++)
		if (p->family[i] == family)
			return p->addr[i];
	return NULL;
}

int
ms_private_on(const struct ms_private *p, struct ms_switch *sw)
{
	unsigned int i;
	int r = 0;

	ms_mutex_lock(&sw->ctl_lock);
	for (i = 0; i < p->num && r == 0; i++)
		r = ms_table_addr_add(sw->table, p->addr[i], p->family[i]);
	if (r != 0)
		for (i--; i-- > 0;)
			ms_table_addr_del(sw->table, p->addr[i], p->family[i]);
	ms_mutex_unlock(&sw->ctl_lock);
	return r;
}

void
ms_private_off(const struct ms_private *p, struct ms_switch *sw)
{
	unsigned int i;

	ms_mutex_lock(&sw->ctl_lock);
	for (i = 0; i < p->num; i++)
		ms_table_addr_del(sw->table, p->addr[i], p->family[i]);
	ms_mutex_unlock(&sw->ctl_lock);
}

void
ms_mac_derive(uint8_t mac[6], const char *a, unsigned int b)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *a != '\0'; a++)
		h = (h ^ (uint8_t)*a) * 16777619u;
	mac[0] = 0x02;
	mac[1] = 'M';
	mac[2] = (uint8_t)(h >> 16);
	mac[3] = (uint8_t)(h >> 8);
	mac[4] = (uint8_t)h;
	mac[5] = (uint8_t)b;
}

int
ms_attach_link(const char *ifname, struct ms_link *out, struct ms_err *err)
{
	int r = ms_link_get(ifname, out);

	if (r == -ENODEV)
		return ms_err_set(err, r,
				  "there is no interface '%s'; `ip link` lists "
				  "those that are",
				  ifname);
	if (r != 0)
		return ms_err_set(err, r, "interface '%s': %s", ifname,
				  strerror(-r));
	if (!out->up)
		return ms_err_set(err, -ENETDOWN,
				  "interface '%s' is down; `ip link set %s up` "
				  "first",
				  ifname, ifname);
	if (!out->ether && !out->loopback)
		return ms_err_set(err, -EOPNOTSUPP,
				  "interface '%s' is neither Ethernet nor lo",
				  ifname);
	return 0;
}

int
ms_epoll_two(int a, int b)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = epoll_create1(EPOLL_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, a, &ev) != 0 ||
	    epoll_ctl(fd, EPOLL_CTL_ADD, b, &ev) != 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

void
ms_warn(const char *fmt, ...)
{
	char line[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "multistack: %s\n", line);
}
