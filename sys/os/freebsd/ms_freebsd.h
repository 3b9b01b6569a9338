/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef MS_FREEBSD_H
#define MS_FREEBSD_H

#include "ms_core.h"

#include "ms_compat.h"

struct vm_object;

struct ms_shm {
	vm_offset_t addr;
	vm_size_t bytes;
	struct vm_object *object;
};

MALLOC_DECLARE(M_MULTISTACK);

void ms_read_init(void);
void ms_read_deinit(void);

#endif /* MS_FREEBSD_H */
