/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc.h: the stack's side of congestion control (cc.c). The controls' side is
 * utcp_cc_ops_t.
 */
#ifndef UTCP_CC_H
#define UTCP_CC_H

#include <multistack/utcp.h>

#include "util.h"

struct utcp__cc_mod {
	struct utcp__cc_mod *next;
	utcp_cc_ops_t ops;
	char name[16];
};

int utcp__cc_init(utcp_t *u); /* registers those that ship */
void utcp__cc_deinit(utcp_t *u);
const struct utcp__cc_mod *utcp__cc_find(utcp_t *u, const char *name);
/* The connection is open (or changes its control): starts mod. Falls back to
   NewReno; never fails. */
void utcp__cc_start(utcp_sock_t *s, const struct utcp__cc_mod *mod);
void utcp__cc_stop(utcp_sock_t *s);
/* What a hook is called with: up to date, until the next call. */
utcp_cc_t *utcp__cc_view(utcp_sock_t *s);
/* Takes what the hook set. */
void utcp__cc_taken(utcp_sock_t *s);
extern const utcp_cc_ops_t utcp__cc_newreno, utcp__cc_cubic, utcp__cc_bbr,
    utcp__cc_prague;

#endif /* UTCP_CC_H */
