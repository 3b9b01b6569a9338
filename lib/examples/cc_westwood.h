/* SPDX-License-Identifier: BSD-2-Clause */
/* cc_westwood.h: TCP Westwood+, a congestion control of one's own. */
#ifndef CC_WESTWOOD_H
#define CC_WESTWOOD_H

#include <multistack/utcp.h>

/* For utcp_cc_register(); its name is "westwood". */
extern const utcp_cc_ops_t cc_westwood;

#endif /* CC_WESTWOOD_H */
