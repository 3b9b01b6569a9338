/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mu.h: libuv's TCP, stream and UDP calls on a stack of the program's own.
 *
 * A program of libuv becomes one of this by renaming: each uv_ to mu_, and one
 * line before the first handle:
 *
 *	mu_loop_t *loop = mu_default_loop();
 *	mu_stack_open(loop, "eth0", NULL, NULL);	this one
 *	mu_tcp_init(loop, &server);
 *	...
 *
 * The loop is libuv's own uv_loop_t: timers, pipes, files, signals and all else
 * in the program go on as they are, under their old names or with mu_ (all the
 * names of uv.h have one, see mu_uv.h; constants keep UV_, MU_ does as well).
 * What a call does, and when it calls back, is what libuv's documentation says
 * of its uv_ twin on Unix; here stands only what that leaves open. Calls that
 * differ are listed in docs/guide/mu.md.
 *
 * Types. mu_handle_t, mu_loop_t, mu_buf_t and the types of callbacks that take
 * only such ARE libuv's. mu_tcp_t, mu_udp_t and mu_stream_t are our own; they
 * begin as a uv_handle_t and are real handles of the loop, so uv_walk, uv_ref,
 * uv_unref, uv_has_ref, uv_is_active and uv_is_closing take them. uv_close does
 * not: mu_close takes them, and any other handle. In the same way mu_write and
 * the other calls on streams take pipes and terminals, which they hand on to
 * libuv with their requests.
 *
 * Memory of handles and requests is the caller's, as with libuv; initialise
 * handles anew before they are used again.
 *
 * Threads. A loop, its stack and their handles belong to one thread at a time.
 * For more threads, more loops: each with a device (a port) of its own, or on
 * rings of one port, mu_stack_open_ring().
 */
#ifndef MULTISTACK_MU_H
#define MULTISTACK_MU_H

#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include <multistack/link.h>
#include <multistack/mu_uv.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MU_EXTERN __attribute__((visibility("default")))

typedef struct mu_stream_s mu_stream_t;
typedef struct mu_tcp_s mu_tcp_t;
typedef struct mu_udp_s mu_udp_t;
typedef struct mu_write_s mu_write_t;
typedef struct mu_connect_s mu_connect_t;
typedef struct mu_shutdown_s mu_shutdown_t;
typedef struct mu_udp_send_s mu_udp_send_t;

typedef void (*mu_read_cb)(mu_stream_t *stream, ssize_t nread,
			   const uv_buf_t *buf);
typedef void (*mu_write_cb)(mu_write_t *req, int status);
typedef void (*mu_connect_cb)(mu_connect_t *req, int status);
typedef void (*mu_shutdown_cb)(mu_shutdown_t *req, int status);
typedef void (*mu_connection_cb)(mu_stream_t *server, int status);
typedef void (*mu_udp_send_cb)(mu_udp_send_t *req, int status);
typedef void (*mu_udp_recv_cb)(mu_udp_t *handle, ssize_t nread,
			       const uv_buf_t *buf, const struct sockaddr *addr,
			       unsigned int flags);

/* ---- the stack of a loop ------------------------------------------------- */

#define MU_SPIN_NEVER MSLINK_SPIN_NEVER

typedef struct mu_options_s {
	uint32_t size; /* of this struct */
	/* When the stack is closed, and at exit, it stays until what was written
	   is acknowledged and said, but not longer than this; 0: a second.
	   (An operating system's sockets do so after the process.) */
	uint32_t linger_ms;
	/* Before it sleeps, the loop looks for frames for so long after the last
	   one: an answer that is near comes without the price of waking up. 0:
	   100 us, as long as that pays: after 8 sleeps in a row of less than
	   200 us, until once nothing comes. MU_SPIN_NEVER. */
	uint32_t spin_us;
	uint32_t pad;
	/* Of port and stack; NULL: defaults. Copied. */
	const mslink_options_t *link;
} mu_options_t;

/*
 * Opens a port on device (as msport_open) with a stack, for TCP and UDP handles
 * of this loop. opt and err may be NULL. UV_EEXIST (it has one), else as
 * mslink_open, all of which are UV_ errors by number.
 *
 * Where MULTISTACK_DEVICE is set in the environment, a loop without a stack
 * gets one on that device with its first handle.
 */
MU_EXTERN int mu_stack_open(uv_loop_t *loop, const char *device,
			    const mu_options_t *opt, msport_error_t *err);
/* The same on ring `ring` of the port of the stack of `first`, which belongs to
   another thread and was opened with link->rings of 2 or more. See
   mslink_open_ring(), which also says what such stacks cannot do. */
MU_EXTERN int mu_stack_open_ring(uv_loop_t *loop, uv_loop_t *first,
				 unsigned int ring);
/*
 * Lingers, and ends stack and port. All of its handles must have been closed,
 * their close callbacks called; UV_EBUSY if not, UV_EINVAL: there is none. It
 * runs the loop, without waiting. mu_loop_close() calls this.
 */
MU_EXTERN int mu_stack_close(uv_loop_t *loop);
/* Its link, for counters and the like; NULL: there is none. */
MU_EXTERN mslink_t *mu_stack_link(uv_loop_t *loop);

/* ---- handles and requests ------------------------------------------------ */

/* Begins as a uv_handle_t, has room for a uv_timer_t. */
#define MU_HANDLE_FIELDS                                                       \
	void *data;	     /* public */                                      \
	uv_loop_t *loop;     /* read only */                                   \
	uv_handle_type type; /* read only */                                   \
	uv_close_cb uv_close_cb_;                                              \
	void *uv_[(sizeof(uv_timer_t) - offsetof(uv_handle_t, close_cb)) /     \
		      sizeof(void *) -                                         \
		  1];                                                          \
	/* private */                                                          \
	struct mu__stack *stack_;                                              \
	void *fed_[2];                                                         \
	uv_close_cb close_cb;                                                  \
	uint32_t flags;                                                        \
	int delayed_error_;

#define MU_STREAM_FIELDS                                                       \
	size_t write_queue_size; /* read only */                               \
	uv_alloc_cb alloc_cb;                                                  \
	mu_read_cb read_cb;                                                    \
	/* private */                                                          \
	utcp_sock_t *sock_;                                                    \
	utcp_sock_t *accepted_;                                                \
	mu_connection_cb connection_cb;                                        \
	mu_connect_t *connect_req_;                                            \
	mu_shutdown_t *shutdown_req_;                                          \
	mu_write_t *writes_, **writes_end_;                                    \
	mu_write_t *written_, **written_end_;                                  \
	size_t viewing_;                                                       \
	uint32_t keepalive_[3];                                                \
	uint32_t refs_;

struct mu_stream_s {
	MU_HANDLE_FIELDS
	MU_STREAM_FIELDS
};

struct mu_tcp_s {
	MU_HANDLE_FIELDS
	MU_STREAM_FIELDS
};

struct mu_udp_s {
	MU_HANDLE_FIELDS
	size_t send_queue_size;	 /* read only */
	size_t send_queue_count; /* read only */
	uv_alloc_cb alloc_cb;
	mu_udp_recv_cb recv_cb;
	/* private */
	utcp_udp_t *sock_;
	mu_udp_send_t *sends_, **sends_end_;
	mu_udp_send_t *sent_, **sent_end_;
	void *rest_;
};

/* Begins as a uv_req_t. */
#define MU_REQ_FIELDS                                                          \
	void *data;	  /* public */                                         \
	uv_req_type type; /* read only */                                      \
	void *reserved[6];

/* As long as libuv's, to which one for a pipe is handed. */
struct mu_write_s {
	MU_REQ_FIELDS
	mu_write_cb cb;
	mu_stream_t *send_handle;
	mu_stream_t *handle;
	/* private */
	mu_write_t *next_;
	void *pad_;
	unsigned int at_;
	uv_buf_t *bufs_;
	unsigned int nbufs_;
	int error_;
	uv_buf_t bufsml_[4];
};

struct mu_connect_s {
	MU_REQ_FIELDS
	mu_connect_cb cb;
	mu_stream_t *handle;
	void *pad_[2]; /* private */
};

struct mu_shutdown_s {
	MU_REQ_FIELDS
	mu_stream_t *handle;
	mu_shutdown_cb cb;
};

struct mu_udp_send_s {
	MU_REQ_FIELDS
	mu_udp_t *handle;
	mu_udp_send_cb cb;
	/* private */
	mu_udp_send_t *next_;
	utcp_addr_t peer_;
	uv_buf_t *bufs_;
	unsigned int nbufs_;
	int status_;
	uv_buf_t bufsml_[4];
};

/* ---- any handle ---------------------------------------------------------- */

MU_EXTERN void mu_close(uv_handle_t *handle, uv_close_cb close_cb);
/* Closes the loop's stack first, if it has one. */
MU_EXTERN int mu_loop_close(uv_loop_t *loop);
/* Bytes of a mu_ handle or request of that type, or of libuv's. */
MU_EXTERN size_t mu_handle_size(uv_handle_type type);
MU_EXTERN size_t mu_req_size(uv_req_type type);
MU_EXTERN uv_handle_type mu_handle_get_type(const uv_handle_t *handle);
/* TCP and UDP handles have no descriptor: UV_EBADF. */
MU_EXTERN int mu_fileno(const uv_handle_t *handle, uv_os_fd_t *fd);
MU_EXTERN int mu_send_buffer_size(uv_handle_t *handle, int *value);
MU_EXTERN int mu_recv_buffer_size(uv_handle_t *handle, int *value);

/* ---- streams ------------------------------------------------------------- */

MU_EXTERN int mu_listen(mu_stream_t *stream, int backlog, mu_connection_cb cb);
MU_EXTERN int mu_accept(mu_stream_t *server, mu_stream_t *client);
MU_EXTERN int mu_read_start(mu_stream_t *stream, uv_alloc_cb alloc_cb,
			    mu_read_cb read_cb);
/*
 * Not in libuv: without a buffer of the caller's and without a copy. read_cb is
 * given the bytes where they were received, valid until it returns or closes
 * the stream; a batch may take several calls. buf->len is nread. UV_ENOTSUP for
 * what is not TCP.
 */
MU_EXTERN int mu_read_start_view(mu_stream_t *stream, mu_read_cb read_cb);
MU_EXTERN int mu_read_stop(mu_stream_t *stream);
/* A write is done when its bytes are in the stack's send buffer, as one with
   libuv is when they are in the kernel's. */
MU_EXTERN int mu_write(mu_write_t *req, mu_stream_t *handle,
		       const uv_buf_t bufs[], unsigned int nbufs,
		       mu_write_cb cb);
/*
 * Not in libuv: without a copy. The bytes are sent from where they are, and cb
 * is called when the peer has acknowledged them, or will not; until then they
 * must not change. They do not count in write_queue_size and wait for no room.
 * mu_close() before that resets the connection. Behind a mu_write() that waits,
 * or while connecting, it is a mu_write(). UV_ENOTSUP for what is not TCP.
 */
MU_EXTERN int mu_write_ref(mu_write_t *req, mu_stream_t *handle,
			   const uv_buf_t bufs[], unsigned int nbufs,
			   mu_write_cb cb);
MU_EXTERN int mu_write2(mu_write_t *req, mu_stream_t *handle,
			const uv_buf_t bufs[], unsigned int nbufs,
			mu_stream_t *send_handle, mu_write_cb cb);
MU_EXTERN int mu_try_write(mu_stream_t *handle, const uv_buf_t bufs[],
			   unsigned int nbufs);
MU_EXTERN int mu_try_write2(mu_stream_t *handle, const uv_buf_t bufs[],
			    unsigned int nbufs, mu_stream_t *send_handle);
MU_EXTERN int mu_shutdown(mu_shutdown_t *req, mu_stream_t *handle,
			  mu_shutdown_cb cb);
MU_EXTERN int mu_is_readable(const mu_stream_t *handle);
MU_EXTERN int mu_is_writable(const mu_stream_t *handle);
/* TCP: UV_ENOTSUP unless blocking is 0. */
MU_EXTERN int mu_stream_set_blocking(mu_stream_t *handle, int blocking);
MU_EXTERN size_t mu_stream_get_write_queue_size(const mu_stream_t *stream);

/* ---- TCP ----------------------------------------------------------------- */

/* UV_ENODEV: the loop has no stack. */
MU_EXTERN int mu_tcp_init(uv_loop_t *loop, mu_tcp_t *handle);
MU_EXTERN int mu_tcp_init_ex(uv_loop_t *loop, mu_tcp_t *handle,
			     unsigned int flags);
/* UV_ENOTSUP: sockets of the host are not of this stack. */
MU_EXTERN int mu_tcp_open(mu_tcp_t *handle, uv_os_sock_t sock);
MU_EXTERN int mu_tcp_nodelay(mu_tcp_t *handle, int enable);
MU_EXTERN int mu_tcp_keepalive(mu_tcp_t *handle, int enable,
			       unsigned int delay);
MU_EXTERN int mu_tcp_keepalive_ex(mu_tcp_t *handle, int on, unsigned int idle,
				  unsigned int intvl, unsigned int cnt);
MU_EXTERN int mu_tcp_simultaneous_accepts(mu_tcp_t *handle, int enable);
MU_EXTERN int mu_tcp_bind(mu_tcp_t *handle, const struct sockaddr *addr,
			  unsigned int flags);
MU_EXTERN int mu_tcp_getsockname(const mu_tcp_t *handle, struct sockaddr *name,
				 int *namelen);
MU_EXTERN int mu_tcp_getpeername(const mu_tcp_t *handle, struct sockaddr *name,
				 int *namelen);
MU_EXTERN int mu_tcp_close_reset(mu_tcp_t *handle, uv_close_cb close_cb);
MU_EXTERN int mu_tcp_connect(mu_connect_t *req, mu_tcp_t *handle,
			     const struct sockaddr *addr, mu_connect_cb cb);
/* Not in libuv: the socket, for utcp_set(), utcp_set_cc(), utcp_info() and the
   like; to read, write or end it is the handle's. NULL before bind, connect or
   accept (but see mu_tcp_init_ex) and from mu_close on. */
MU_EXTERN utcp_sock_t *mu_tcp_sock(const mu_tcp_t *handle);

/* ---- UDP ----------------------------------------------------------------- */

MU_EXTERN int mu_udp_init(uv_loop_t *loop, mu_udp_t *handle);
MU_EXTERN int mu_udp_init_ex(uv_loop_t *loop, mu_udp_t *handle,
			     unsigned int flags);
MU_EXTERN int mu_udp_open(mu_udp_t *handle, uv_os_sock_t sock);
MU_EXTERN int mu_udp_open_ex(mu_udp_t *handle, uv_os_sock_t sock,
			     unsigned int flags);
MU_EXTERN int mu_udp_bind(mu_udp_t *handle, const struct sockaddr *addr,
			  unsigned int flags);
MU_EXTERN int mu_udp_connect(mu_udp_t *handle, const struct sockaddr *addr);
MU_EXTERN int mu_udp_getpeername(const mu_udp_t *handle, struct sockaddr *name,
				 int *namelen);
MU_EXTERN int mu_udp_getsockname(const mu_udp_t *handle, struct sockaddr *name,
				 int *namelen);
/* Groups and broadcast are the host's. To join is UV_ENOTSUP; the other four
   are taken and have no effect. */
MU_EXTERN int mu_udp_set_membership(mu_udp_t *handle,
				    const char *multicast_addr,
				    const char *interface_addr,
				    uv_membership membership);
MU_EXTERN int mu_udp_set_source_membership(mu_udp_t *handle,
					   const char *multicast_addr,
					   const char *interface_addr,
					   const char *source_addr,
					   uv_membership membership);
MU_EXTERN int mu_udp_set_multicast_loop(mu_udp_t *handle, int on);
MU_EXTERN int mu_udp_set_multicast_ttl(mu_udp_t *handle, int ttl);
MU_EXTERN int mu_udp_set_multicast_interface(mu_udp_t *handle,
					     const char *interface_addr);
MU_EXTERN int mu_udp_set_broadcast(mu_udp_t *handle, int on);
MU_EXTERN int mu_udp_set_ttl(mu_udp_t *handle, int ttl);
MU_EXTERN int mu_udp_send(mu_udp_send_t *req, mu_udp_t *handle,
			  const uv_buf_t bufs[], unsigned int nbufs,
			  const struct sockaddr *addr, mu_udp_send_cb send_cb);
MU_EXTERN int mu_udp_try_send(mu_udp_t *handle, const uv_buf_t bufs[],
			      unsigned int nbufs, const struct sockaddr *addr);
MU_EXTERN int mu_udp_try_send2(mu_udp_t *handle, unsigned int count,
			       uv_buf_t *bufs[], unsigned int nbufs[],
			       struct sockaddr *addrs[], unsigned int flags);
MU_EXTERN int mu_udp_recv_start(mu_udp_t *handle, uv_alloc_cb alloc_cb,
				mu_udp_recv_cb recv_cb);
MU_EXTERN int mu_udp_using_recvmmsg(const mu_udp_t *handle);
MU_EXTERN int mu_udp_recv_stop(mu_udp_t *handle);
MU_EXTERN size_t mu_udp_get_send_queue_size(const mu_udp_t *handle);
MU_EXTERN size_t mu_udp_get_send_queue_count(const mu_udp_t *handle);
/* As mu_tcp_sock(). */
MU_EXTERN utcp_udp_t *mu_udp_sock(const mu_udp_t *handle);

/* ---- of libuv, with requests of ours ------------------------------------- */

static inline void
mu_pipe_connect(mu_connect_t *req, uv_pipe_t *handle, const char *name,
		mu_connect_cb cb)
{
	uv_pipe_connect((uv_connect_t *)req, handle, name, (uv_connect_cb)cb);
}

#if UV_VERSION_HEX >= 0x012e00
static inline int
mu_pipe_connect2(mu_connect_t *req, uv_pipe_t *handle, const char *name,
		 size_t namelen, unsigned int flags, mu_connect_cb cb)
{
	return uv_pipe_connect2((uv_connect_t *)req, handle, name, namelen,
				flags, (uv_connect_cb)cb);
}
#endif

static inline void
mu_loop_delete(uv_loop_t *loop)
{
	(void)mu_stack_close(loop);
	uv_loop_delete(loop);
}

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_MU_H */
