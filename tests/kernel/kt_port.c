/* SPDX-License-Identifier: BSD-2-Clause */
/* kt_port.c: the user's side of a port, on the bare region. */
#include "kt.h"

/* ---- open and close ----------------------------------------------------------- */

static void
map(struct kt_port *p)
{
	p->region = mmap(NULL, p->info.region_bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED, p->fd, 0);
	if (p->region == MAP_FAILED)
		kt_fail(__FILE__, __LINE__, "mmap: %s", strerror(errno));
	os_private(p->region, p->info.region_bytes);
	p->geo = *p->region;
	CHECK_EQ(p->geo.magic, MS_REGION_MAGIC);
	CHECK_EQ(p->geo.bytes, p->info.region_bytes);
}

int
kt_port_try(struct kt_port *p, uint16_t tx, uint16_t rx, uint32_t slots)
{
	int r;

	memset(p, 0, sizeof(*p));
	p->info.size = sizeof(p->info);
	p->info.tx_rings = tx;
	p->info.rx_rings = rx;
	p->info.slots = slots;
	strcpy(p->info.label, "kernel test");
	strcpy(p->info.nic, os_nic(OS_NEAR));
	p->fd = kt_open();
	r = kt_cmd(p->fd, MS_CMD_PORT_CREATE, &p->info);
	if (r)
		close(p->fd);
	else
		map(p);
	return r;
}

void
kt_port_open(struct kt_port *p)
{
	CHECK_EQ(kt_port_try(p, 1, 1, 64), 0);
}

void
kt_port_close(struct kt_port *p)
{
	CHECK(munmap(p->region, p->geo.bytes) == 0);
	CHECK(close(p->fd) == 0);
	p->region = NULL;
	p->fd = -1;
}

/* ---- names -------------------------------------------------------------------- */

int
kt_bind_tuple(int fd, enum ms_cmd cmd, struct ms_tuple *t, uint32_t *holder)
{
	struct ms_cmd_bind a = { .size = sizeof(a), .tuple = *t };
	int r = kt_cmd(fd, cmd, &a);

	*t = a.tuple;
	if (holder != NULL)
		*holder = a.holder;
	return r;
}

int
kt_bind(const struct kt_port *p, struct ms_tuple t)
{
	return kt_bind_tuple(p->fd, MS_CMD_BIND, &t, NULL);
}

int
kt_unbind(const struct kt_port *p, struct ms_tuple t)
{
	return kt_bind_tuple(p->fd, MS_CMD_UNBIND, &t, NULL);
}

void
kt_must_bind(const struct kt_port *p, uint16_t number)
{
	CHECK_EQ(kt_bind(p, rig_tuple4(rig_ip, IPPROTO_UDP, number)), 0);
}

void
kt_bind_when_free(const struct kt_port *p, uint16_t number)
{
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	int r;

	while ((r = kt_bind(p, rig_tuple4(rig_ip, IPPROTO_UDP, number))) ==
		   -EADDRINUSE &&
	       kt_now_ms() < until)
		kt_nap_us(2000);
	CHECK_EQ(r, 0);
}

/* ---- rings -------------------------------------------------------------------- */

struct ms_ring *
kt_ring(const struct kt_port *p, bool is_rx, unsigned int i)
{
	uint64_t n = i + (is_rx ? p->geo.tx_rings : 0u);

	return (void *)((uint8_t *)p->region + p->geo.ring_ofs +
			n * p->geo.ring_stride);
}

struct ms_slot *
kt_slots(struct ms_ring *r)
{
	return (void *)((uint8_t *)r + sizeof(*r));
}

uint8_t *
kt_buf(const struct kt_port *p, uint32_t buf)
{
	CHECK(buf < p->geo.bufs);
	return (uint8_t *)p->region + p->geo.bufs_ofs +
	       (uint64_t)buf * p->geo.buf_bytes;
}

int
kt_put(const struct kt_port *p, unsigned int ring, const void *frame,
       uint32_t bytes)
{
	struct ms_ring *r = kt_ring(p, false, ring);
	uint32_t head = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
	uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	uint32_t max = p->geo.buf_bytes, n;
	const uint8_t *from = frame;

	if (tail - head < (bytes + max - 1) / max)
		return -ENOBUFS;
	do {
		struct ms_slot *s = &kt_slots(r)[head & (p->geo.slots - 1)];

		n = bytes < max ? bytes : max;
		memcpy(kt_buf(p, s->buf), from, n);
		memset((uint8_t *)s + 4, 0, sizeof(*s) - 4);
		s->len = (uint16_t)n;
		s->flags = n < bytes ? MS_SLOT_MORE : 0;
		from += n;
		bytes -= n;
		head++;
	} while (bytes > 0);
	__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
	return 0;
}

int
kt_sync(const struct kt_port *p, bool is_rx, unsigned int ring)
{
	struct ms_cmd_sync a = { .size = sizeof(a),
				 .is_rx = is_rx,
				 .index = (uint16_t)ring };

	return kt_cmd(p->fd, MS_CMD_SYNC, &a);
}

void
kt_send(const struct kt_port *p, const void *frame, uint32_t bytes)
{
	struct ms_ring *r = kt_ring(p, false, 0);
	uint64_t until = kt_now_ms() + KT_WAIT_MS;

	CHECK_EQ(kt_put(p, 0, frame, bytes), 0);
	CHECK_EQ(kt_sync(p, false, 0), 0);
	while (__atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) !=
	       r->head + p->geo.slots) {
		if (kt_now_ms() > until)
			kt_fail(__FILE__, __LINE__, "the switch does not send");
		kt_nap_us(100);
	}
}

uint32_t
kt_get(const struct kt_port *p, unsigned int ring, void *frame, uint32_t room)
{
	struct ms_ring *r = kt_ring(p, true, ring);
	uint32_t head = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
	uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	uint32_t n = 0, len;
	uint16_t flags;

	if (head == tail)
		return 0;
	do {
		struct ms_slot *s = &kt_slots(r)[head & (p->geo.slots - 1)];

		CHECK(head != tail);
		len = s->len != 0 ? s->len : 65536;
		flags = s->flags;
		CHECK(len <= p->geo.buf_bytes && n + len <= room);
		memcpy((uint8_t *)frame + n, kt_buf(p, s->buf), len);
		n += len;
		head++;
	} while ((flags & MS_SLOT_MORE) != 0);
	__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
	return n;
}

uint32_t
kt_recv(const struct kt_port *p, unsigned int ring, void *frame, uint32_t room,
	int timeout_ms)
{
	struct ms_ring *r = kt_ring(p, true, ring);
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	uint64_t until = kt_now_ms() + (uint64_t)timeout_ms;
	uint32_t n, head;

	for (;;) {
		n = kt_get(p, ring, frame, room);
		if (n != 0)
			return n;
		head = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
		__atomic_store_n(&r->wake, head, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* F */
		if (__atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) != head)
			continue;
		if (kt_now_ms() >= until)
			return 0;
		(void)poll(&pfd, 1, (int)(until - kt_now_ms()));
	}
}

/* ---- counters ----------------------------------------------------------------- */

void
kt_stats(int fd, const char *nic, uint64_t counter[MS_CTR_MAX])
{
	struct ms_cmd_stats a = { .size = sizeof(a) };

	if (nic != NULL)
		snprintf(a.nic, sizeof(a.nic), "%s", nic);
	CHECK_EQ(kt_cmd(fd, MS_CMD_STATS, &a), 0);
	CHECK_EQ(a.num, MS_CTR_MAX);
	memcpy(counter, a.counter, sizeof(a.counter));
}

uint64_t
kt_counter(const struct kt_port *p, enum ms_counter which)
{
	uint64_t c[MS_CTR_MAX];

	kt_stats(p->fd, NULL, c);
	return c[which];
}

const char *
kt_counter_name(enum ms_counter which)
{
#define NAME(NAME, name, meaning) name,
	static const char *const names[] = { MS_COUNTERS(NAME) };
#undef NAME

	return names[which];
}

/* ---- the far end ---------------------------------------------------------------- */

void
kt_far_udp(int raw, uint16_t number, const void *payload, uint32_t n)
{
	uint8_t frame[2048];

	os_raw_send(raw, frame, rig_udp_in(frame, 9, number, payload, n));
}

void
kt_far_expect(int raw, const void *frame, uint32_t bytes)
{
	uint64_t until = kt_now_ms() + KT_WAIT_MS;
	uint8_t got[65600];
	size_t n;

	do {
		n = os_raw_recv(raw, got, sizeof(got), KT_WAIT_MS);
		if (n >= bytes && memcmp(got, frame, bytes) == 0)
			return;
	} while (n != 0 && kt_now_ms() < until);
	kt_fail(__FILE__, __LINE__, "a frame of %u bytes did not come",
		(unsigned int)bytes);
}
