/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* spec.c: what to attach: "[KIND:]IF[,option...]", and the struct of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ms_user.h"

static const char *const kinds[] = { "xdp",  "tc",	   "tap",
				     "pair", "rx_handler", "if_input" };

static int
set_kind(struct ms_cmd_attach *arg, const char *kind, size_t n,
	 struct ms_err *err)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strlen(kinds[i]) == n && !memcmp(kinds[i], kind, n)) {
			memcpy(arg->kind, kind, n);
			return 0;
		}
	}
	return ms_err_set(err, -EINVAL,
			  "'%.*s' is no kind of attachment; there are xdp, tc, "
			  "tap and pair, and of the kernel module rx_handler "
			  "(FreeBSD: if_input)",
			  (int)(n < 64 ? n : 64), kind);
}

/* A decimal number of 0..max. */
static int
number(const char *key, const char *text, size_t n, unsigned long max,
       uint16_t *out, struct ms_err *err)
{
	unsigned long v = 0;
	size_t i;

	for (i = 0; i < n && text[i] >= '0' && text[i] <= '9' && v <= max; i++)
		v = v * 10 + (unsigned long)(text[i] - '0');
	if (n == 0 || i < n || v > max)
		return ms_err_set(err, -EINVAL,
				  "%s%.*s: a number from 0 to %lu is wanted",
				  key, (int)(n < 64 ? n : 64), text, max);
	*out = (uint16_t)v;
	return 0;
}

/* Options that all kinds share have fields; the others are for the kind. */
static int
add_option(struct ms_cmd_attach *arg, const char *opt, size_t n,
	   struct ms_err *err)
{
	size_t have = strlen(arg->options);

	if (n == 7 && !memcmp(opt, "generic", 7)) {
		arg->flags |= MS_ATTACH_GENERIC;
		return 0;
	}
	if (n >= 5 && !memcmp(opt, "vlan=", 5))
		return number("vlan=", opt + 5, n - 5, MS_VLAN_MAX, &arg->vlan,
			      err);
	if (n >= 7 && !memcmp(opt, "queues=", 7))
		return number("queues=", opt + 7, n - 7, 1024, &arg->queues,
			      err);
	if (have + (have > 0) + n >= sizeof arg->options)
		return ms_err_set(err, -EINVAL,
				  "the options of '%s' are longer than %zu "
				  "characters",
				  arg->nic, sizeof arg->options - 1);
	if (have)
		arg->options[have++] = ',';
	memcpy(arg->options + have, opt, n);
	return 0;
}

int
ms_attach_spec(const char *spec, struct ms_cmd_attach *arg, struct ms_err *err)
{
	const char *nic = spec, *end = spec + strcspn(spec, ",");
	const char *colon = memchr(spec, ':', (size_t)(end - spec));
	int r;

	memset(arg, 0, sizeof *arg);
	arg->size = sizeof *arg;
	if (colon) {
		r = set_kind(arg, spec, (size_t)(colon - spec), err);
		if (r)
			return r;
		nic = colon + 1;
	}
	if (end == nic || (size_t)(end - nic) >= sizeof arg->nic)
		return ms_err_set(err, -EINVAL,
				  "'%.64s' names no interface of 1 to %zu "
				  "characters; write for example 'xdp:eth0'",
				  spec, sizeof arg->nic - 1);
	memcpy(arg->nic, nic, (size_t)(end - nic));
	while (*end) {
		const char *opt = end + 1;

		end = opt + strcspn(opt, ",");
		r = add_option(arg, opt, (size_t)(end - opt), err);
		if (r)
			return r;
	}
	return 0;
}

static bool
ended(const char *s, size_t bytes)
{
	return memchr(s, '\0', bytes) != NULL;
}

int
ms_attach_check(const struct ms_cmd_attach *arg, struct ms_err *err)
{
	if (!ended(arg->nic, sizeof(arg->nic)) ||
	    !ended(arg->kind, sizeof(arg->kind)) ||
	    !ended(arg->options, sizeof(arg->options)))
		return ms_err_set(err, -EINVAL, "a name is too long");
	if (arg->nic[0] == '\0')
		return ms_err_set(err, -EINVAL,
				  "which interface? its name is missing");
	if ((arg->flags & ~(MS_ATTACH_GENERIC | MS_ATTACH_FORCE)) != 0)
		return ms_err_set(err, -EINVAL, "unknown flags %#x",
				  arg->flags);
	if (arg->vlan > MS_VLAN_MAX)
		return ms_err_set(err, -EINVAL,
				  "VLAN %u: there are 1 to %d, 0 is none",
				  arg->vlan, MS_VLAN_MAX);
	return 0;
}
