/* SPDX-License-Identifier: BSD-2-Clause */
/* test_switch_nic.c: interfaces come, change and go. */
#include "switch_rx_util.h"

static void
test_bad_interfaces_are_refused(void **state)
{
	struct ms_nic tmpl = {
		.ops = rig_ops(), .name = "x0", .mtu = 1500, .num_queues = 1
	};
	static const struct ms_nic_ops no_xmit = { .name = "none" };
	struct ms_nic bad, *nic;
	unsigned int n;
	int err = -ENOMEM;

	(void)state;
	bad = tmpl;
	bad.ops = NULL;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad.ops = &no_xmit;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	bad.num_queues = 0;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	bad.vlan = 4095;
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	bad.name[0] = '\0';
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EINVAL);
	bad = tmpl;
	strcpy(bad.name, "rig0");
	assert_int_equal(ms_nic_create(rig.sw, &bad, &nic), -EEXIST);
	for (n = 1; err == -ENOMEM; n++) {
		assert_true(n < 20);
		ms_os_fail_after(n, false);
		err = ms_nic_create(rig.sw, &tmpl, &nic);
	}
	ms_os_fail_after(0, false);
	assert_int_equal(err, 0);
	assert_true(n > 4);
	ms_nic_destroy(nic);
	ms_nic_destroy(NULL);
	ms_switch_destroy(NULL);
}

static void
test_interface_goes_before_its_port(void **state)
{
	struct ms_waiter bell = { .wake_fd = eventfd(0, EFD_NONBLOCK) };
	struct ms_ring *rx = rig_ring(port, true, 0);
	uint64_t rung;

	(void)state;
	port->rx[0].waiter = &bell;
	ms_kring_tx_ready(&port->tx[0]);
	ms_nic_destroy(rig.nic);
	assert_int_equal(rx->gone, MS_GONE_NIC);
	assert_int_equal(rig_ring(port, false, 0)->gone, MS_GONE_NIC);
	assert_int_equal(read(bell.wake_fd, &rung, 8), 8);
	assert_null(port->nic);
	ms_kring_tx_ready(&port->tx[0]); /* nothing happens */
	port->rx[0].waiter = NULL;
	ms_port_destroy(port);
	rig.nic = NULL;
	close(bell.wake_fd);
}

static void
test_change_is_told_to_ports(void **state)
{
	static const uint8_t mac[6] = { 2, 9, 9, 9, 9, 9 };
	uint32_t gen = port->region->route_gen;
	uint8_t frame[256];
	uint32_t len = rig_udp_in(frame, 9, 5001, "0123456789abcdef", 16);

	(void)state;
	ms_nic_changed(rig.nic, mac, 1400);
	assert_int_not_equal(port->region->route_gen, gen);
	left(frame, len);
	memcpy(frame, mac, 6);
	(void)taken(frame, len);
	assert_int_equal(rig.nic->mtu, 1400);
}

static void
test_names_follow_interfaces(void **state)
{
	struct ms_nic tmpl = {
		.ops = rig_ops(), .name = "x0", .mtu = 1500, .num_queues = 1
	};
	struct ms_nic *nic;

	(void)state;
	assert_int_equal(ms_nic_create(rig.sw, &tmpl, &nic), 0);
	assert_int_equal(ms_nic_rename(nic, "rig0"), -EEXIST);
	assert_string_equal(nic->name, "x0");
	assert_int_equal(ms_nic_rename(nic, "x0"), 0);
	assert_int_equal(ms_nic_rename(rig.nic, "a-longer-name"), 0);
	assert_int_equal(ms_nic_rename(rig.nic, "y"), 0);
	assert_int_equal(ms_nic_rename(nic, "rig0"), 0);
	/* the new one is its own, to the last byte */
	assert_int_equal(ms_nic_rename(nic, "y"), -EEXIST);
	ms_nic_destroy(nic);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_interfaces_are_refused),
		TEST(test_interface_goes_before_its_port),
		TEST(test_change_is_told_to_ports),
		TEST(test_names_follow_interfaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
