/* SPDX-License-Identifier: BSD-2-Clause */
/* target.c: from a request's target to a path that cannot leave the folder. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "httpd.h"

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of the absolute form (RFC 9112 section 3.2.2) what is behind the authority,
   which is there and names nobody (sections 4.2.1 and 4.2.4). A status else. */
static int
origin_form(const char **target, const char *end)
{
	const char *t = *target, *p;

	if (end - t >= 8 && !strncasecmp(t, "https://", 8))
		return 421; /* no certificate says that it is ours, 7.4 */
	if (end - t < 7 || strncasecmp(t, "http://", 7) != 0)
		return *t == '/' ? 0 : 400;
	for (p = t += 7; p < end && *p != '/' && *p != '?'; p++)
		if (*p == '@')
			return 400;
	*target = p;
	return p > t ? 0 : 400;
}

/* Decodes up to `?` or `#`. The length, or -1: bad escape, or a NUL. */
static ssize_t
decode(const char *t, const char *end, char *to)
{
	char *at = to;

	while (t < end && *t != '?' && *t != '#') {
		char c = *t++;

		if (c == '%') {
			int high = t < end ? hex(t[0]) : -1;
			int low = t + 1 < end ? hex(t[1]) : -1;

			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			t += 2;
		}
		if (c == '\0')
			return -1;
		*at++ = c;
	}
	*at = '\0';
	return at - to;
}

/* Takes "//", "/./" and "x/../" out, in place, after decoding: an encoded
   slash or dot is one. False: it goes above the top. */
static bool
normalize(char *path)
{
	char *from = path, *to = path;

	while (*from) {
		size_t n = strcspn(from, "/");

		if (n == 2 && from[0] == '.' && from[1] == '.') {
			if (to == path)
				return false;
			do
				to--;
			while (to > path && to[-1] != '/');
		} else if (n > 0 && !(n == 1 && from[0] == '.')) {
			memmove(to, from, n);
			to += n;
			*to++ = '/';
		}
		from += n;
		if (*from == '/')
			from++;
	}
	if (to > path)
		to--;
	*to = '\0';
	return true;
}

int
target_path(const char *target, size_t len, char *path, bool *slash)
{
	const char *end = target + len;
	const char *t = target;
	int status = len ? origin_form(&t, end) : 400;
	ssize_t n;

	if (status)
		return status;
	n = decode(t, end, path); /* of "http://host": nothing */
	if (n < 0)
		return 400;
	*slash = n == 0 || path[n - 1] == '/' ||
		 (n > 1 && !strcmp(path + n - 2, "/.")) ||
		 (n > 2 && !strcmp(path + n - 3, "/.."));
	return normalize(path) ? 0 : 400;
}

size_t
target_folder(const char *path, const char *target, size_t len, char *to)
{
	static const char digits[] = "0123456789ABCDEF";
	const char *end = target + len;
	char *at = to;

	*at++ = '/';
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (isalnum(c) || strchr("-._~/!$&'()*+,;=:@", c)) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
		}
	}
	*at++ = '/';
	while (target < end && *target != '?' && *target != '#')
		target++;
	while (target < end && *target != '#')
		*at++ = *target++;
	return (size_t)(at - to);
}
