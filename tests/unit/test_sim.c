/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator: worlds with all that can happen in them, ended at any time, and
   what makes no sense. tests/python/test_sim.py measures what links do. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <multistack/sim.h>

#define MS 1000000ull
#define SEC 1000000000ull

static unsigned int hooked, told;
static mssim_t *world;

static int
hook(void *arg, const uint8_t *pkt, uint32_t len, uint64_t now_ns,
     uint64_t backlog_bytes)
{
	assert_ptr_equal(arg, &hooked);
	assert_true(pkt[0] >> 4 == 4 || pkt[0] >> 4 == 6);
	assert_true(len >= 40 && len <= 1500 && backlog_bytes < 1000000);
	assert_true(now_ns >= mssim_now_ns(world));
	return (int)(hooked++ % 50 == 49 ? MSSIM_DROP : hooked % 3);
}

static void
ready(void *arg, const utcp_event_t *events, int num)
{
	assert_ptr_equal(arg, &told);
	assert_true(num > 0 && events[0].ready != 0);
	told++;
	mssim_stop(world);
	assert_int_equal(mssim_run(world, SEC), -EBUSY);
}

/* A link that does all that a link can. */
static mssim_way_t
bad_way(uint64_t seed)
{
	return (mssim_way_t){
		.size = sizeof(mssim_way_t),
		.aqm = (uint32_t)(seed % MSSIM_AQM_MAX),
		.rate_bps = seed % 7 == 0 ? 0 : 10000000,
		.delay_ns = 10 * MS,
		.jitter_ns = 5 * MS,
		.jitter_reorders = seed % 2,
		.queue_bytes = 40000,
		.ecn = seed % 2,
		.hook = hook,
		.hook_arg = &hooked,
		.loss = 0.01,
		.burst_begin = 0.002,
		.burst_end = 0.3,
		.burst_loss = 0.5,
		.reorder = 0.05,
		.reorder_ns = 8 * MS,
		.dup = 0.02,
		.corrupt = 0.01,
		.mtu = seed % 3 == 0 ? 1300 : 0,
		.mtu_silent = seed % 4 == 0,
		.dead_from_ns = 700 * MS,
		.dead_to_ns = 750 * MS,
	};
}

struct net {
	mssim_node_t *host[3], *router;
	mssim_link_t *link[3];
	mssim_flow_t *flow[4];
};

static void
build(struct net *n, uint64_t seed)
{
	mssim_host_conf_t host = { .size = sizeof(host),
				   .mtu = seed % 5 == 0 ? 9000 : 0 };
	mssim_opt_t opts[] = { { .opt = UTCP_OPT_ECN, .value = 2 },
			       { .opt = UTCP_OPT_PACING, .value = 2 } };
	mssim_way_t way = bad_way(seed);
	mssim_flow_conf_t flow = { .size = sizeof(flow) };
	int i;

	assert_int_equal(mssim_create(&world, seed), 0);
	assert_int_equal(mssim_router(world, &n->router), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(mssim_host(world, &host, &n->host[i]), 0);
		assert_int_equal(mssim_link(world, n->host[i], n->router, &way,
					    &way, &n->link[i]),
				 0);
	}
	for (i = 0; i < 4; i++) {
		flow.from = n->host[i % 3];
		flow.to = n->host[(i + 1) % 3];
		flow.family = i % 2 ? 6 : 4;
		flow.bytes = i == 3 ? 0 : 200000;
		flow.start_ns = (uint64_t)i * 50 * MS;
		flow.stop_ns = i == 3 ? 900 * MS : 0;
		flow.cc = i == 2 ? "bbr" : NULL;
		flow.opts = opts;
		flow.num_opts = (uint32_t)i % 3;
		assert_int_equal(mssim_flow(world, &flow, &n->flow[i]), 0);
	}
}

/* Whenever it ends, all memory is back (ASan looks), and runs of one seed are
   alike. */
static void
worlds_end_at_any_time(void **state)
{
	mssim_way_stats_t stats, again;
	mssim_flow_stats_t flow;
	struct net n;
	uint64_t seed, end;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		end = seed * seed * 4 * MS;
		hooked = 0;
		build(&n, seed);
		assert_int_equal(mssim_run(world, end), 0);
		assert_int_equal(mssim_now_ns(world), end);
		assert_int_equal(mssim_link_stats(n.link[0], 0, &stats), 0);
		mssim_destroy(world);
		hooked = 0;
		build(&n, seed);
		assert_int_equal(mssim_run(world, end / 2), 0);
		assert_int_equal(mssim_run(world, end), 0);
		assert_int_equal(mssim_link_stats(n.link[0], 0, &again), 0);
		assert_memory_equal(&stats, &again, sizeof(stats));
		assert_int_equal(mssim_flow_stats(n.flow[0], &flow), 0);
		assert_true(flow.received <= 200000);
		mssim_destroy(world);
	}
}

/* A link gets other conditions while it is full of packets. */
static void
links_change(void **state)
{
	mssim_way_stats_t stats;
	mssim_way_t way;
	struct net n;
	uint64_t i;

	(void)state;
	build(&n, 1);
	for (i = 0; i < 60; i++) {
		way = bad_way(i);
		assert_int_equal(mssim_link_set(n.link[i % 3], i % 2, &way), 0);
		assert_int_equal(mssim_run(world, i * 20 * MS), 0);
	}
	assert_int_equal(mssim_link_stats(n.link[0], 0, &stats), 0);
	assert_true(stats.sent + stats.overflows + stats.drops +
			stats.too_big <=
		    stats.pkts);
	mssim_destroy(world);
}

static void
series_and_traces(void **state)
{
	char path[] = "/tmp/mssim.XXXXXX";
	const double *time, *rate;
	utcp_info_t info = { .size = sizeof(info) };
	size_t num, again;
	struct net n;
	int fd;

	(void)state;
	fd = mkstemp(path);
	assert_true(fd >= 0);
	build(&n, 2);
	assert_int_equal(mssim_link_capture(n.link[0], 0, path), 0);
	assert_int_equal(mssim_link_capture(n.link[0], 0, path), -EBUSY);
	assert_int_equal(mssim_link_capture(n.link[0], 1, "/none/none"),
			 -ENOENT);
	assert_int_equal(mssim_sample(world, 5 * MS), 0);
	assert_int_equal(mssim_run(world, SEC), 0);
	time = mssim_link_series(n.link[0], 1, MSSIM_LINK_TIME, &num);
	rate = mssim_link_series(n.link[0], 1, MSSIM_LINK_RATE, &again);
	assert_int_equal(num, 200);
	assert_int_equal(again, num);
	assert_true(time[199] > 0.999 && time[199] < 1.001);
	assert_true(rate[10] >= 0 && rate[10] <= 11e6);
	time = mssim_flow_series(n.flow[1], MSSIM_FLOW_TIME, &num);
	assert_true(num > 5 && time[0] >= 0.05);
	assert_null(mssim_flow_series(n.flow[1], MSSIM_FLOW_COLUMNS, &num));
	assert_null(mssim_link_series(n.link[1], 2, 0, &num));
	assert_int_equal(mssim_flow_info(n.flow[3], &info), 0);
	assert_string_equal(info.cc, "cubic");
	mssim_destroy(world);
	assert_true(lseek(fd, 0, SEEK_END) > 10000);
	close(fd);
	unlink(path);
}

/* An application beside the flows: a connection that somebody resets. */
static void
sockets_of_others_are_told(void **state)
{
	mssim_host_conf_t conf = { .size = sizeof(conf),
				   .ready = ready,
				   .arg = &told };
	mssim_way_t way = { .size = sizeof(way), .delay_ns = MS };
	mssim_node_t *a, *b;
	mssim_link_t *link;
	utcp_sock_t *s;
	utcp_addr_t to;
	int64_t error;

	(void)state;
	told = 0;
	assert_int_equal(mssim_create(&world, 1), 0);
	assert_int_equal(mssim_host(world, &conf, &a), 0);
	assert_int_equal(mssim_host(world, NULL, &b), 0);
	assert_int_equal(mssim_link(world, a, b, &way, &way, &link), 0);
	assert_int_equal(mssim_addr(b, 6, &to), 0);
	to.port_be = 7;
	assert_int_equal(utcp_open(mssim_stack(a), 6, &s), 0);
	assert_int_equal(utcp_connect(s, &to), -EINPROGRESS);
	mssim_kick(a);
	assert_int_equal(mssim_run(world, SEC), 1);
	assert_int_equal(told, 1);
	assert_int_equal(mssim_now_ns(world), 2 * MS);
	assert_int_equal(utcp_get(s, UTCP_OPT_ERROR, &error), 0);
	assert_int_equal(error, ECONNREFUSED);
	utcp_close(s);
	assert_int_equal(mssim_run(world, SEC), 0);
	mssim_destroy(world);
}

static void
nonsense_is_refused(void **state)
{
	mssim_way_t good = { .size = sizeof(good) }, way;
	mssim_flow_conf_t flow = { .size = sizeof(flow) };
	mssim_node_t *a, *b;
	mssim_link_t *link;
	mssim_flow_t *f;
	mssim_t *other;
	unsigned int i;

	(void)state;
	assert_int_equal(mssim_create(NULL, 1), -EINVAL);
	assert_int_equal(mssim_create(&world, 1), 0);
	assert_int_equal(mssim_create(&other, 1), 0);
	assert_int_equal(mssim_run(NULL, 1), -EINVAL);
	assert_int_equal(mssim_run(world, UTCP_NEVER), -EINVAL);
	assert_int_equal(mssim_sample(world, 1), -EINVAL);
	assert_int_equal(mssim_host(world, NULL, NULL), -EINVAL);
	assert_int_equal(mssim_host(world, NULL, &a), 0);
	assert_int_equal(mssim_host(other, NULL, &b), 0);
	assert_int_equal(mssim_link(world, a, b, &good, &good, &link), -EINVAL);
	assert_int_equal(mssim_link(world, a, a, &good, &good, &link), -EINVAL);
	mssim_destroy(other);
	assert_int_equal(mssim_host(world, NULL, &b), 0);
	for (i = 0; i < 8; i++) {
		way = good;
		switch (i) {
		case 0:
			way.size--;
			break;
		case 1:
			way.aqm = MSSIM_AQM_MAX;
			break;
		case 2:
			way.aqm = MSSIM_HOOK;
			break;
		case 3:
			way.loss = 1.1;
			break;
		case 4:
			way.corrupt = -0.1;
			break;
		case 5:
			way.dup = NAN;
			break;
		case 6:
			way.delay_ns = UINT64_MAX;
			break;
		default:
			way.mtu = 10;
			break;
		}
		assert_int_equal(mssim_link(world, a, b, &way, &good, &link),
				 -EINVAL);
		assert_int_equal(mssim_link(world, a, b, &good, &way, &link),
				 -EINVAL);
	}
	assert_int_equal(mssim_link(world, a, b, &good, &good, &link), 0);
	assert_int_equal(mssim_link_set(link, 2, &good), -EINVAL);
	assert_int_equal(mssim_flow(world, &flow, &f), -EINVAL);
	flow.from = a;
	flow.to = b;
	flow.family = 5;
	assert_int_equal(mssim_flow(world, &flow, &f), -EINVAL);
	flow.family = 0;
	flow.cc = "none such";
	assert_int_equal(mssim_flow(world, &flow, &f), -ENOENT);
	mssim_destroy(world);
	mssim_destroy(NULL);
	mssim_stop(NULL);
	mssim_kick(NULL);
	assert_null(mssim_stack(NULL));
	assert_null(mssim_flow_sock(NULL));
	assert_int_equal(mssim_now_ns(NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worlds_end_at_any_time),
		cmocka_unit_test(links_change),
		cmocka_unit_test(series_and_traces),
		cmocka_unit_test(sockets_of_others_are_told),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
