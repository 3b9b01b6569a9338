/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* client.c: one connection: its messages, its port, its end. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon.h"

#define FDS_RESERVE 64 /* never given to clients */
#define FDS_CLIENT 2   /* its socket and its process */
#define USER_SHARE 4   /* a user may have this part of the descriptors */
#define LINGER_NS 200000000ull /* for the last frames of who closes */

/* ---- limits --------------------------------------------------------------- */

struct usage {
	unsigned int clients, ports, fds;
	uint64_t bytes;
};

static void
usage_add(struct usage *u, const struct client *c, const uid_t *uid)
{
	for (; c; c = c->next) {
		if (c->sock < 0 || (uid && c->cred.uid != *uid))
			continue;
		u->clients++;
		u->fds += FDS_CLIENT;
		if (c->port) {
			u->ports++;
			/* Each tuple holds a socket of the host. */
			u->fds += c->port_fds + c->port->num_binds;
			u->bytes += c->region_bytes;
		}
	}
}

/* What a user has, or all of them; also what is not given back yet. */
static struct usage
usage_of(const struct server *srv, const uid_t *uid)
{
	struct usage u = { 0 };

	usage_add(&u, srv->clients, uid);
	usage_add(&u, srv->doomed, uid);
	return u;
}

/* Whether `more` descriptors for this caller are still fair. */
static int
fds_left(const struct server *srv, const struct ms_cred *cred,
	 unsigned int more, struct ms_err *err)
{
	unsigned int max = srv->max_fds > FDS_RESERVE
			       ? srv->max_fds - FDS_RESERVE
			       : 0;

	if (usage_of(srv, NULL).fds + more > max)
		return ms_err_set(err, -ENFILE,
				  "multistackd is out of file descriptors "
				  "(%u); raise its LimitNOFILE",
				  srv->max_fds);
	if (!cred->net_admin &&
	    usage_of(srv, &cred->uid).fds + more > max / USER_SHARE)
		return ms_err_set(err, -EDQUOT,
				  "user %u has its share of multistackd's file "
				  "descriptors (%u); close ports or unbind "
				  "tuples",
				  (unsigned int)cred->uid, max / USER_SHARE);
	return 0;
}

/* Before a port is made: what it would take, and whether that is fair. Values
   out of range are the core's to refuse. */
static int
port_left(struct server *srv, struct client *c)
{
	const struct options *opt = srv->opt;
	struct ms_cmd_port_create a;
	struct usage u = usage_of(srv, &c->cred.uid);
	uint64_t slots, bufs;

	memset(&a, 0, sizeof a);
	memcpy(&a, c->arg, c->msg.bytes < sizeof a ? c->msg.bytes : sizeof a);
	a.tx_rings += !a.tx_rings;
	a.rx_rings += !a.rx_rings;
	if (a.tx_rings > MS_RINGS_MAX || a.rx_rings > MS_RINGS_MAX)
		return 0;
	slots = a.slots ? a.slots : 512;
	while (slots & (slots - 1))
		slots += slots & -slots; /* up to a power of two */
	bufs = slots * (a.tx_rings + a.rx_rings) + a.extra_bufs;
	c->region_bytes = bufs * (a.buf_bytes ? a.buf_bytes : 2048);
	c->port_fds = 1 + 3u * a.tx_rings + 2u * a.rx_rings;
	if (!c->cred.net_admin && u.ports >= opt->max_ports)
		return ms_err_set(&c->err, -EDQUOT,
				  "user %u has %u ports already, and no more "
				  "are allowed (multistackd --max-ports)",
				  (unsigned int)c->cred.uid, u.ports);
	if (!c->cred.net_admin && u.bytes + c->region_bytes > opt->max_bytes)
		return ms_err_set(
		    &c->err, -EDQUOT,
		    "the rings of user %u would take %llu MiB, "
		    "and %llu are allowed (multistackd "
		    "--max-memory)",
		    (unsigned int)c->cred.uid,
		    (unsigned long long)(u.bytes + c->region_bytes) >> 20,
		    (unsigned long long)opt->max_bytes >> 20);
	return fds_left(srv, &c->cred, c->port_fds, &c->err);
}

/* ---- answers -------------------------------------------------------------- */

/* Sends a message with the struct, words and descriptors; what cannot be sent
   at once is not waited for. */
static int
say(int sock, const struct ms_msg *m, const void *arg, const char *text,
    const int *fds, unsigned int num_fds)
{
	union {
		struct cmsghdr cm;
		char buf[CMSG_SPACE(MS_MSG_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov[3] = { { (void *)m, sizeof *m },
				{ (void *)arg, m->bytes },
				{ (void *)text, m->text } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 3 };

	if (num_fds) {
		memset(&control, 0, sizeof control);
		control.cm.cmsg_level = SOL_SOCKET;
		control.cm.cmsg_type = SCM_RIGHTS;
		control.cm.cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.cm), fds, num_fds * sizeof(int));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
	}
	if (sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

/* The region and the rings of a new port, as ms_proto.h orders them. */
static unsigned int
port_fds(const struct ms_port *port, int *fds)
{
	unsigned int n = 0;

	fds[n++] = ms_shm_fd(port->shm);
	for (unsigned int i = 0; i < port->num_tx; i++) {
		fds[n++] = ms_host_ring_fd(&port->tx[i]);
		fds[n++] = ms_host_kick_fd(&port->tx[i]);
	}
	for (unsigned int i = 0; i < port->num_rx; i++)
		fds[n++] = ms_host_ring_fd(&port->rx[i]);
	return n;
}

void
client_answer(struct client *c, int r)
{
	struct ms_msg m = { .magic = MS_PROTO_MAGIC,
			    .abi = MS_ABI_VERSION,
			    .cmd = c->msg.cmd,
			    .err = r,
			    .bytes = c->msg.bytes };
	int fds[MS_MSG_FDS_MAX];
	unsigned int n = 0;

	if (r) {
		m.text = (uint16_t)strnlen(c->err.text, MS_MSG_TEXT_MAX);
		if (r != -ENOENT)
			log_line(LOG_FINE, "process %d: command %u: %s",
				 (int)c->cred.pid, c->msg.cmd,
				 m.text ? c->err.text : strerror(-r));
	} else if (c->msg.cmd == MS_CMD_PORT_CREATE) {
		n = port_fds(c->port, fds);
	}
	r = say(c->sock, &m, c->arg, c->err.text, fds, n);
	if (r) {
		/* It does not read its answers, or it is gone. */
		if (r != -EPIPE && r != -ECONNRESET)
			log_line(LOG_NOTE, "process %d: cannot answer: %s",
				 (int)c->cred.pid, strerror(-r));
		client_drop(c);
	}
}

/* Before there is a client: words, and the end. */
static void
refuse(int sock, int code, const struct ms_err *err)
{
	struct ms_msg m = { .magic = MS_PROTO_MAGIC,
			    .abi = MS_ABI_VERSION,
			    .err = code,
			    .text = (uint16_t)strnlen(err->text,
						      MS_MSG_TEXT_MAX) };

	(void)say(sock, &m, NULL, err->text, NULL, 0);
	close(sock);
}

/* ---- commands ------------------------------------------------------------- */

static int
create(struct server *srv, struct client *c)
{
	int r;

	if (c->port)
		return ms_err_set(&c->err, -EBUSY,
				  "this connection has a port already");
	r = port_left(srv, c);
	if (r)
		return r;
	r = ms_host_ctl(srv->host, &c->cred, &c->port, MS_CMD_PORT_CREATE,
			c->arg, c->msg.bytes, &c->err);
	if (r)
		return r;
	c->region_bytes = c->port->region_bytes;
	r = ms_host_port_watch(srv->host, c->port);
	if (r) {
		ms_port_destroy(c->port);
		c->port = NULL;
		return ms_err_set(&c->err, r,
				  "multistackd has no descriptors for the "
				  "rings: %s",
				  strerror(-r));
	}
	c->watched = true;
	log_line(LOG_FINE, "process %d, user %u: port %u on %.*s",
		 (int)c->cred.pid, (unsigned int)c->cred.uid, c->port->id,
		 MS_IFNAME_BYTES,
		 (char *)c->arg + offsetof(struct ms_cmd_port_create, nic));
	return 0;
}

static void
command(struct server *srv, struct client *c)
{
	uint32_t size = 0;
	int r = 0;

	memset(&c->err, 0, sizeof c->err);
	if (c->msg.abi != MS_ABI_VERSION) {
		r = ms_err_set(&c->err, -EPROTO,
			       "multistackd has ABI version %d, the client %u",
			       MS_ABI_VERSION, c->msg.abi);
		c->msg.bytes = 0;
		client_answer(c, r);
		return;
	}
	if (c->msg.bytes >= sizeof size)
		memcpy(&size, c->arg, sizeof size);
	if (ms_ctl_bytes(c->msg.cmd) == 0 && !slow_is(c->msg.cmd))
		r = ms_err_set(&c->err, -EOPNOTSUPP,
			       "multistackd knows no command %u", c->msg.cmd);
	else if (size != c->msg.bytes)
		r = ms_err_set(&c->err, -EINVAL,
			       "command %u says it has %u bytes, and has %u",
			       c->msg.cmd, size, c->msg.bytes);
	else if ((c->msg.cmd == MS_CMD_ATTACH || c->msg.cmd == MS_CMD_DETACH) &&
		 srv->opt->no_attach)
		r = ms_err_set(&c->err, -EPERM,
			       "multistackd was started with --no-attach; it "
			       "gave up the privileges that this takes");
	else if (c->msg.cmd == MS_CMD_BIND)
		r = fds_left(srv, &c->cred, 1, &c->err);
	if (r == 0 && slow_is(c->msg.cmd)) {
		slow_submit(srv->slow, c);
		return;
	}
	if (r == 0 && c->msg.cmd == MS_CMD_PORT_CREATE)
		r = create(srv, c);
	else if (r == 0)
		r = ms_host_ctl(srv->host, &c->cred, &c->port, c->msg.cmd,
				c->arg, c->msg.bytes, &c->err);
	client_answer(c, r);
}

/* One packet of the client. Garbage ends the connection. */
static void
sock_ready(struct source *s, uint32_t events)
{
	struct client *c = (struct client *)(void *)((char *)s -
						     offsetof(struct client,
							      sock_src));
	struct iovec iov[2] = { { &c->msg, sizeof c->msg },
				{ c->arg, sizeof c->arg } };
	/* Without room for control data the kernel lets no descriptor in. */
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	const char *why = NULL;
	ssize_t n;

	if (c->dead || c->busy)
		return;
	memset(c->arg, 0, sizeof c->arg);
	n = recvmsg(c->sock, &mh, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR) &&
	    !(events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)))
		return;
	if (n <= 0) {
		client_drop(c);
		return;
	}
	if (mh.msg_flags & MSG_CTRUNC)
		why = "it sent descriptors";
	else if (mh.msg_flags & MSG_TRUNC)
		why = "its message is too long";
	else if ((size_t)n < sizeof c->msg || c->msg.magic != MS_PROTO_MAGIC)
		why = "it sent no message of ours";
	else if (c->msg.abi == MS_ABI_VERSION &&
		 c->msg.bytes != (size_t)n - sizeof c->msg)
		why = "its message is longer or shorter than it says";
	if (why) {
		log_line(LOG_NOTE, "process %d, user %u: connection ended: %s",
			 (int)c->cred.pid, (unsigned int)c->cred.uid, why);
		client_drop(c);
		return;
	}
	command(s->srv, c);
}

/* The process that connected has died; a child of it may still hold the
   socket, but the port is not the child's. */
static void
pid_ready(struct source *s, uint32_t events)
{
	struct client *c = (struct client *)(void *)((char *)s -
						     offsetof(struct client,
							      pid_src));

	if (!c->dead)
		client_drop(c);
}

/* ---- beginning and end ------------------------------------------------------ */

static int
admit(struct server *srv, struct client *c, struct ms_err *err)
{
	struct usage u;
	int r = ms_cred_peer(c->sock, &c->cred);

	if (r)
		return ms_err_set(err, r,
				  "multistackd cannot tell who connects: %s",
				  strerror(-r));
	u = usage_of(srv, &c->cred.uid);
	if (!c->cred.net_admin && u.clients >= 2 * srv->opt->max_ports + 16)
		return ms_err_set(err, -EDQUOT,
				  "user %u has %u connections to multistackd "
				  "already",
				  (unsigned int)c->cred.uid, u.clients);
	return fds_left(srv, &c->cred, FDS_CLIENT, err);
}

void
client_accept(struct server *srv, int sock)
{
	struct client *c = calloc(1, sizeof *c);
	struct ms_err err = { "multistackd is out of memory" };
	int r = -ENOMEM;

	if (!c) {
		refuse(sock, r, &err);
		return;
	}
	c->sock = sock;
	c->pidfd = -1;
	c->sock_src = (struct source){ .ready = sock_ready, .srv = srv };
	c->pid_src = (struct source){ .ready = pid_ready, .srv = srv };
	r = admit(srv, c, &err);
	if (r) {
		log_line(LOG_NOTE, "process %d refused: %s", (int)c->cred.pid,
			 err.text);
		refuse(sock, r, &err);
		free(c);
		return;
	}
	c->next = srv->clients;
	c->prevp = &srv->clients;
	if (c->next)
		c->next->prevp = &c->next;
	srv->clients = c;
	srv->num_clients++;
	if (server_watch(srv, sock, EPOLLIN | EPOLLRDHUP, &c->sock_src)) {
		client_drop(c);
		return;
	}
	/* Of a process in another pid namespace there is none to watch. */
	c->pidfd = c->cred.pid > 0
		       ? (int)syscall(SYS_pidfd_open, c->cred.pid, 0)
		       : -1;
	if (c->pidfd >= 0 &&
	    server_watch(srv, c->pidfd, EPOLLIN | EPOLLONESHOT, &c->pid_src))
		client_drop(c);
}

static void
port_end(struct client *c, struct ms_host *host)
{
	if (!c->port)
		return;
	if (c->watched)
		ms_host_port_unwatch(host, c->port);
	ms_port_destroy(c->port);
	c->port = NULL;
	c->watched = false;
}

/*
 * Frames of the ring up to `head` that the switch has not taken. Both indices
 * are read from the region: whoever writes nonsense there loses frames, or
 * waits for LINGER_NS.
 */
static bool
is_pending(const struct ms_kring *ring, uint32_t head)
{
	uint32_t taken = MS_USER_READ(ring->shared->tail) - ring->mask - 1;

	return ms_os_load_acquire(&ring->sched) != NULL && head != taken &&
	       head - taken <= ring->mask + 1;
}

/* Whoever sends and closes loses nothing: notes how far it has sent. */
static void
linger(struct client *c)
{
	for (unsigned int i = 0; c->port && i < c->port->num_tx; i++)
		c->tx_head[i] = MS_USER_READ(c->port->tx[i].shared->head);
	c->linger_ns = ms_os_now_ns() + LINGER_NS;
}

static bool
lingers(const struct client *c)
{
	if (!c->port || !c->linger_ns || ms_os_now_ns() > c->linger_ns)
		return false;
	for (unsigned int i = 0; i < c->port->num_tx; i++)
		if (is_pending(&c->port->tx[i], c->tx_head[i]))
			return true;
	return false;
}

/* The end of a dead client, but of its memory. The socket last: whoever hears
   that it hangs up may rely on the rest. */
static void
client_end(struct client *c, struct server *srv)
{
	port_end(c, srv->host);
	if (c->sock >= 0)
		close(c->sock);
	c->sock = -1;
}

void
client_drop(struct client *c)
{
	struct server *srv = c->sock_src.srv;

	if (c->dead)
		return;
	c->dead = true;
	/* Taken out by hand: a closed descriptor stays in the set as long as
	   anybody, such as a child about to exec, has another of its file. */
	(void)epoll_ctl(srv->epoll_fd, EPOLL_CTL_DEL, c->sock, NULL);
	if (c->pidfd >= 0) {
		(void)epoll_ctl(srv->epoll_fd, EPOLL_CTL_DEL, c->pidfd, NULL);
		close(c->pidfd);
	}
	c->pidfd = -1;
	linger(c);
	if (c->busy)
		slow_cancel(srv->slow, c);
	if (!c->busy && !lingers(c))
		client_end(c, srv);
	*c->prevp = c->next;
	if (c->next)
		c->next->prevp = c->prevp;
	srv->num_clients--;
	c->next = srv->doomed;
	srv->doomed = c;
}

bool
clients_reap(struct server *srv)
{
	struct client **p = &srv->doomed, *c;
	bool again = false;

	while ((c = *p)) {
		if (c->busy || lingers(c)) {
			again |= !c->busy;
			p = &c->next;
			continue;
		}
		*p = c->next;
		client_end(c, srv);
		free(c);
	}
	return again;
}

/* Its rings say why nothing comes any more; sleepers are woken to read it. */
static void
say_goodbye(struct ms_port *port)
{
	for (unsigned int i = 0; i < port->num_tx + port->num_rx; i++) {
		struct ms_kring *r = i < port->num_tx
					 ? &port->tx[i]
					 : &port->rx[i - port->num_tx];

		ms_os_store_release(&r->shared->gone, MS_GONE_DAEMON);
		ms_os_wake(r);
	}
}

void
clients_stop(struct server *srv)
{
	struct client *c;

	for (c = srv->clients; c; c = c->next)
		if (c->port)
			say_goodbye(c->port);
	while (srv->clients)
		client_drop(srv->clients);
	for (c = srv->doomed; c; c = c->next)
		c->linger_ns = 0;
	(void)clients_reap(srv);
}
