/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_tap.c: copies of frames, for those who look on.
 */
#include "ms_batch.h"

_Static_assert(MS_CTR_MAX <= 0x100, "a counter fits into a slot's reason");

/* Shows a port's taps to its rings, where the packet path looks. */
static void
port_tap_set(struct ms_port *port, struct ms_tap *tap)
{
	uint32_t i;

	ms_os_store_release(&port->tap, tap);
	for (i = 0; i < port->num_rx; i++) {
		ms_os_store_release(&port->rx[i].tap, tap);
		ms_os_store_once(&port->rx[i].tapped, tap != NULL);
	}
	for (i = 0; i < port->num_tx; i++)
		ms_os_store_release(&port->tx[i].tap, tap);
}

int
ms_tap_start(struct ms_port *owner, struct ms_port *target, struct ms_nic *nic,
	     uint32_t snap_bytes, uint32_t flags)
{
	struct ms_tap *tap;

	if (owner == target || (target == NULL && nic == NULL))
		return -EINVAL;
	if (owner->tapping != NULL)
		return -EBUSY;
	tap = ms_os_alloc(sizeof(*tap));
	if (tap == NULL)
		return -ENOMEM;
	tap->owner = owner;
	tap->target = target;
	tap->snap_bytes = snap_bytes;
	tap->flags = flags;
	if (target != NULL) {
		tap->next = target->tap;
		port_tap_set(target, tap);
	} else {
		tap->nic = nic;
		tap->next = nic->tap;
		ms_os_store_release(&nic->tap, tap);
	}
	owner->tapping = tap;
	return 0;
}

/* Takes a tap off its target's list. */
static void
tap_unlink(struct ms_tap *tap)
{
	struct ms_tap *first, *t;

	first = tap->target != NULL ? tap->target->tap : tap->nic->tap;
	if (first == tap) {
		if (tap->target != NULL)
			port_tap_set(tap->target, tap->next);
		else
			ms_os_store_release(&tap->nic->tap, tap->next);
		return;
	}
	for (t = first; t != NULL; t = t->next) {
		if (t->next == tap) {
			ms_os_store_release(&t->next, tap->next);
			return;
		}
	}
}

void
ms_tap_stop(struct ms_port *owner)
{
	struct ms_tap *tap = owner->tapping;

	if (tap == NULL)
		return;
	tap_unlink(tap);
	owner->tapping = NULL;
	ms_os_read_sync();
	ms_os_free(tap);
}

void
ms_tap_end(struct ms_port *target)
{
	while (target->tap != NULL)
		ms_tap_stop(target->tap->owner);
}

void
ms_tap_end_nic(struct ms_nic *nic)
{
	while (nic->tap != NULL)
		ms_tap_stop(nic->tap->owner);
}

/* One copy, for the owner of this tap. */
static void
tap_copy(const struct ms_tap *tap, const struct ms_frame *f, uint16_t flag,
	 uint64_t *counter)
{
	struct ms_kring *ring = &tap->owner->rx[0];
	struct ms_frame copy = *f;
	enum ms_counter result;
	struct ms_lease lease;

	if (tap->snap_bytes != 0 && tap->snap_bytes < f->len)
		copy.len = tap->snap_bytes;
	result = ms_ring_put(ring, &copy, flag, &lease);
	if (result == MS_CTR_RX_FRAMES)
		result = MS_CTR_TAP_FRAMES;
	else
		result = MS_CTR_TAP_LOST;
	ms_ring_count(ring, result, 1);
	ms_ctr_add(&counter[result], 1);
	if (lease.slots == 0)
		return;
	ms_os_fence(); /* E */
	(void)ms_ring_settle(ring, &lease);
}

void
ms_tap_frame(const struct ms_tap *tap, const struct ms_frame *f, uint16_t flag,
	     uint64_t *counter)
{
	for (; tap != NULL; tap = ms_os_load_acquire(&tap->next)) {
		if ((tap->flags & MS_TAP_NO_OTHERS) == 0)
			tap_copy(tap, f, flag, counter);
	}
}

void
ms_tap_refused(const struct ms_tap *tap, struct ms_frame *f, uint8_t reason,
	       uint64_t *counter)
{
	/* Bad buffers only: there is nothing to copy. */
	if (f->len == 0)
		return;
	f->meta.reason = reason;
	for (; tap != NULL; tap = ms_os_load_acquire(&tap->next)) {
		if ((tap->flags & MS_TAP_REFUSED) != 0)
			tap_copy(tap, f, MS_SLOT_TAP_DROP, counter);
	}
}
