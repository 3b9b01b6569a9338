/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_admin.c: lists, counters, taps, attaching.
 */
#include "kt.h"

#define NUMBER 7000

static uint8_t frame[2048], got[2048];

/* ---- lists ----------------------------------------------------------------------- */

/* The next record, or the error. */
static int
list(int fd, enum ms_list what, uint64_t *cursor, struct ms_cmd_list *out)
{
	int r;

	memset(out, 0xa5, sizeof(*out));
	out->size = sizeof(*out);
	out->what = what;
	out->cursor = *cursor;
	r = kt_cmd(fd, MS_CMD_LIST, out);
	*cursor = out->cursor;
	return r;
}

static void
lists_tell_all(void)
{
	struct ms_cmd_list rec;
	uint64_t cursor = 0;
	struct kt_port p[3];
	unsigned int i, n;
	int fd = kt_open();

	for (i = 0; i < 3; i++) {
		kt_port_open(&p[i]);
		for (n = 0; n < 5; n++)
			kt_must_bind(&p[i], (uint16_t)(NUMBER + 10 * i + n));
	}
	CHECK_EQ(list(fd, MS_LIST_NICS, &cursor, &rec), 0);
	CHECK(strcmp(rec.nic, os_nic(OS_NEAR)) == 0);
	CHECK_EQ(rec.num, 3);
	CHECK_EQ(rec.mtu, 1500);
	CHECK(memcmp(rec.mac, rig_mac, 6) == 0);
	CHECK(rec.label[0] != '\0');
	CHECK_EQ(list(fd, MS_LIST_NICS, &cursor, &rec), -ENOENT);
	cursor = 0;
	for (i = 0; i < 3; i++) {
		CHECK_EQ(list(fd, MS_LIST_PORTS, &cursor, &rec), 0);
		CHECK_EQ(rec.port_id, p[i].info.port_id);
		CHECK_EQ(rec.uid, geteuid());
		CHECK_EQ(rec.pid, getpid());
		CHECK_EQ(rec.num, 5);
		CHECK_EQ(rec.slots, 64);
		CHECK(strcmp(rec.label, "kernel test") == 0);
	}
	CHECK_EQ(list(fd, MS_LIST_PORTS, &cursor, &rec), -ENOENT);
	cursor = 0;
	for (n = 0; list(fd, MS_LIST_TUPLES, &cursor, &rec) == 0; n++) {
		CHECK_EQ(rec.tuple.family, 4);
		CHECK_EQ(rec.tuple.proto, IPPROTO_UDP);
		CHECK(memcmp(rec.tuple.addr, rig_ip, 4) == 0);
	}
	CHECK_EQ(n, 15);
	cursor = 0;
	CHECK_EQ(list(fd, 4, &cursor, &rec), -EINVAL);
	for (i = 0; i < 3; i++)
		kt_port_close(&p[i]);
	close(fd);
}

static void
labels_are_harmless(void)
{
	struct ms_cmd_port_create a = { .size = sizeof(a) };
	struct ms_cmd_list rec;
	uint64_t cursor = 0;
	int fd = kt_open();

	strcpy(a.nic, os_nic(OS_NEAR));
	memcpy(a.label, "\033[2Jx\n\xff 0123456789", 16);
	CHECK_EQ(kt_cmd(fd, MS_CMD_PORT_CREATE, &a), 0);
	CHECK_EQ(list(fd, MS_LIST_PORTS, &cursor, &rec), 0);
	CHECK(memcmp(rec.label, "?[2Jx?? 0123456", 16) == 0);
	close(fd);
}

/* ---- counters ------------------------------------------------------------------------- */

static void
counters_agree(void)
{
	uint64_t port[MS_CTR_MAX], before[MS_CTR_MAX], after[MS_CTR_MAX];
	struct ms_cmd_stats bad = { .size = sizeof(bad), .nic = "none0" };
	int raw = os_raw_open(), i;
	struct kt_port p;

	kt_port_open(&p);
	kt_must_bind(&p, NUMBER);
	kt_stats(p.fd, os_nic(OS_NEAR), before);
	for (i = 0; i < 10; i++) {
		kt_far_udp(raw, NUMBER, "0123456789", 10);
		CHECK_EQ(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS), 52);
		kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "abc", 3));
	}
	kt_stats(p.fd, NULL, port);
	kt_stats(p.fd, os_nic(OS_NEAR), after);
	CHECK_EQ(port[MS_CTR_RX_FRAMES], 10);
	CHECK_EQ(port[MS_CTR_RX_BYTES], 520);
	CHECK_EQ(port[MS_CTR_TX_FRAMES], 10);
	CHECK_EQ(port[MS_CTR_TX_BYTES], 450);
	CHECK_EQ(port[MS_CTR_TX_SYNCS] > 0, 1);
	CHECK_EQ(after[MS_CTR_RX_FRAMES] - before[MS_CTR_RX_FRAMES], 10);
	CHECK_EQ(after[MS_CTR_TX_FRAMES] - before[MS_CTR_TX_FRAMES], 10);
	CHECK(after[MS_CTR_RX_SEEN] - before[MS_CTR_RX_SEEN] >= 10);
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_STATS, &bad), -ENODEV);
	memset(bad.nic, 'x', sizeof(bad.nic));
	CHECK_EQ(kt_cmd(p.fd, MS_CMD_STATS, &bad), -EINVAL);
	kt_port_close(&p);
	/* the interface remembers those that are gone */
	i = kt_open();
	kt_stats(i, os_nic(OS_NEAR), after);
	CHECK_EQ(after[MS_CTR_RX_FRAMES] - before[MS_CTR_RX_FRAMES], 10);
	close(i);
}

/* ---- taps ------------------------------------------------------------------------------- */

static struct ms_slot
next_slot(const struct kt_port *p)
{
	struct ms_ring *r = kt_ring(p, true, 0);

	return kt_slots(r)[r->head & (p->geo.slots - 1)];
}

static int
tap(const struct kt_port *p, uint32_t scope, uint32_t id, uint32_t snap,
    uint32_t flags)
{
	struct ms_cmd_tap a = { .size = sizeof(a),
				.scope = scope,
				.port_id = id,
				.snap_bytes = snap,
				.flags = flags };

	return kt_cmd(p->fd, MS_CMD_TAP, &a);
}

static void
expect_copy(const struct kt_port *p, uint16_t flag, uint8_t reason,
	    uint32_t bytes)
{
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	struct ms_ring *r = kt_ring(p, true, 0);

	while (__atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) == r->head)
		CHECK(kt_now_ms() < until);
	CHECK_EQ(next_slot(p).flags &
		     (MS_SLOT_TAP_RX | MS_SLOT_TAP_TX | MS_SLOT_TAP_DROP),
		 flag);
	CHECK_EQ(next_slot(p).reason, reason);
	CHECK_EQ(kt_get(p, 0, got, sizeof(got)), bytes);
}

static void
a_tap_sees_what_its_port_does(void)
{
	int raw = os_raw_open();
	struct kt_port p, t;

	kt_port_open(&p);
	kt_port_open(&t);
	kt_must_bind(&p, NUMBER);
	CHECK_EQ(tap(&t, 3, p.info.port_id, 0, 0), -EINVAL);
	CHECK_EQ(tap(&t, MS_TAP_PORT, p.info.port_id + 100, 0, 0), -ENOENT);
	CHECK_EQ(tap(&t, MS_TAP_PORT, p.info.port_id, 0, 0), 0);
	kt_far_udp(raw, NUMBER, "in", 2);
	CHECK(kt_recv(&p, 0, got, sizeof(got), KT_WAIT_MS) != 0);
	expect_copy(&t, MS_SLOT_TAP_RX, 0, 44);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "out", 3));
	expect_copy(&t, MS_SLOT_TAP_TX, 0, 45);
	CHECK(memcmp(got, frame, 45) == 0);
	CHECK_EQ(tap(&t, 0, 0, 0, 0), 0);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "out", 3));
	CHECK_EQ(kt_get(&t, 0, got, sizeof(got)), 0);
	/* cut */
	CHECK_EQ(tap(&t, MS_TAP_PORT, p.info.port_id, 40, 0), 0);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "out", 3));
	expect_copy(&t, MS_SLOT_TAP_TX, 0, 40);
	/* whose port goes ends it */
	kt_port_close(&p);
	kt_port_close(&t);
}

static void
a_tap_sees_what_is_refused(void)
{
	struct kt_port p, t;

	kt_port_open(&p);
	kt_port_open(&t);
	kt_must_bind(&p, NUMBER);
	CHECK_EQ(tap(&t, MS_TAP_PORT, p.info.port_id, 0, MS_TAP_NO_OTHERS),
		 -EINVAL);
	CHECK_EQ(tap(&t, MS_TAP_PORT, p.info.port_id, 0, MS_TAP_REFUSED), 0);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER + 1, 9, "no", 2));
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "out", 3));
	expect_copy(&t, MS_SLOT_TAP_DROP, MS_CTR_DROP_TX_UNBOUND, 44);
	CHECK(memcmp(got + 42, "no", 2) == 0);
	expect_copy(&t, MS_SLOT_TAP_TX, 0, 45);
	/* and no others */
	CHECK_EQ(tap(&t, 0, 0, 0, 0), 0);
	CHECK_EQ(tap(&t, MS_TAP_PORT, p.info.port_id, 0,
		     MS_TAP_REFUSED | MS_TAP_NO_OTHERS),
		 0);
	kt_send(&p, frame, rig_udp_out(frame, NUMBER, 9, "out", 3));
	kt_send(&p, frame, rig_udp_out(frame, NUMBER + 1, 9, "no", 2));
	expect_copy(&t, MS_SLOT_TAP_DROP, MS_CTR_DROP_TX_UNBOUND, 44);
	kt_port_close(&p);
	kt_port_close(&t);
}

static void
a_tap_of_the_interface_sees_all(void)
{
	int raw = os_raw_open();
	struct kt_port t;
	uint32_t n;

	kt_port_open(&t);
	CHECK_EQ(tap(&t, MS_TAP_NIC, 0, 0, 0), 0);
	kt_far_udp(raw, NUMBER, "for the host", 12);
	do {
		n = kt_recv(&t, 0, got, sizeof(got), KT_WAIT_MS);
		CHECK(n != 0);
	} while (n != 54 || memcmp(got + 42, "for the host", 12) != 0);
	kt_port_close(&t);
}

/* ---- attaching ----------------------------------------------------------------------------- */

static void
attaching_and_detaching(void)
{
	const char *nic = os_nic(OS_NEAR);
	struct ms_cmd_attach a = { .size = sizeof(a) };
	int fd = kt_open(), i;

	CHECK_EQ(kt_attach(nic, ""), -EEXIST);
	CHECK_EQ(kt_attach("none0", ""), -ENODEV);
	CHECK_EQ(kt_attach("", ""), -EINVAL);
	CHECK_EQ(kt_detach("none0", 0), -ENODEV);
	memset(a.nic, 'x', sizeof(a.nic));
	CHECK_EQ(kt_cmd(fd, MS_CMD_ATTACH, &a), -EINVAL);
	CHECK_EQ(kt_detach(nic, 0), 0);
	CHECK_EQ(kt_detach(nic, 0), -ENODEV);
	CHECK_EQ(kt_attach(nic, "telepathy"), -EINVAL);
	memset(&a, 0, sizeof(a));
	a.size = sizeof(a);
	strcpy(a.nic, nic);
	strcpy(a.options, "colour=blue");
	CHECK_EQ(kt_cmd(fd, MS_CMD_ATTACH, &a), -EINVAL);
	memset(a.options, 'x', sizeof(a.options));
	CHECK_EQ(kt_cmd(fd, MS_CMD_ATTACH, &a), -EINVAL);
	a.options[0] = '\0';
	a.flags = 0x80000000;
	CHECK_EQ(kt_cmd(fd, MS_CMD_ATTACH, &a), -EINVAL);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(kt_attach(nic, ""), 0);
		CHECK_EQ(kt_detach(nic, 0), 0);
	}
	CHECK_EQ(kt_attach(nic, ""), 0);
	close(fd);
}

const struct kt_case kt_cases_admin[] = {
	{ .name = "lists tell all", .run = lists_tell_all },
	{ .name = "labels are harmless", .run = labels_are_harmless },
	{ .name = "counters agree", .run = counters_agree },
	{ .name = "a tap sees what its port does",
	  .run = a_tap_sees_what_its_port_does },
	{ .name = "a tap sees what is refused",
	  .run = a_tap_sees_what_is_refused },
	{ .name = "a tap of the interface sees all",
	  .run = a_tap_of_the_interface_sees_all },
	{ .name = "attaching and detaching", .run = attaching_and_detaching },
	{ 0 },
};
