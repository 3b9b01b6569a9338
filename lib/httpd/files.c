/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * files.c: the folder. A file is opened step by step from the folder's
 * descriptor, following no symbolic link, so nothing outside is ever reached;
 * it is mapped, and its descriptor closed. The least recently used leave when
 * there are more than `max`; replies on their way keep theirs.
 *
 * A file that is cut short while mapped would end the process by SIGBUS: a page
 * of zeros is put under the reader instead. Files are replaced by renaming.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "httpd.h"

#define CHECK_NS 1000000000ull /* between looks whether a file has changed */

/* Folders are gone through, not read. */
#if defined(O_PATH)
#define FOLDER (O_PATH | O_DIRECTORY)
#elif defined(O_SEARCH)
#define FOLDER (O_SEARCH | O_DIRECTORY)
#else
#define FOLDER (O_RDONLY | O_DIRECTORY)
#endif

struct files {
	int root;     /* descriptor */
	int spare[2]; /* as many as open_below() takes at once, where
			 connections have all others */
	unsigned int max, num;
	uint32_t mask;
	struct list lru;
	struct file **bucket;
};

static uint32_t
hash_of(const char *path)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 16777619u;
	return h;
}

static void
spare_keep(struct files *fs)
{
	for (unsigned int i = 0; i < 2; i++)
		if (fs->spare[i] < 0)
			fs->spare[i] = fcntl(fs->root, F_DUPFD_CLOEXEC, 0);
}

static void
spare_lend(struct files *fs)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (fs->spare[i] >= 0)
			close(fs->spare[i]);
		fs->spare[i] = -1;
	}
}

int
files_create(struct files **out, const char *root, unsigned int max)
{
	struct files *fs = calloc(1, sizeof *fs);
	uint32_t buckets = 16;

	if (!fs)
		return -ENOMEM;
	while (buckets < max)
		buckets *= 2;
	fs->max = max;
	fs->mask = buckets - 1;
	list_init(&fs->lru);
	fs->bucket = calloc(buckets, sizeof(struct file *));
	fs->root = open(root, FOLDER | O_CLOEXEC);
	if (!fs->bucket || fs->root < 0) {
		int e = fs->bucket ? -errno : -ENOMEM;

		free(fs->bucket);
		free(fs);
		return e;
	}
	fs->spare[0] = fs->spare[1] = -1;
	spare_keep(fs);
	*out = fs;
	return 0;
}

/* ---- a file ----------------------------------------------------------------- */

void
file_put(struct file *f)
{
	if (!f || --f->refs > 0)
		return;
	if (f->data)
		munmap((void *)(uintptr_t)f->data, (size_t)f->size);
	free(f);
}

/* Takes it out of the cache. */
static void
forget(struct file *f)
{
	struct files *fs = f->files;
	struct file **p = &fs->bucket[f->hash & fs->mask];

	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	list_remove(&f->lru);
	fs->num--;
	f->cached = false;
	file_put(f);
}

void
files_destroy(struct files *fs)
{
	if (!fs)
		return;
	while (!list_empty(&fs->lru))
		forget(CONTAINER(fs->lru.next, struct file, lru));
	spare_lend(fs);
	close(fs->root);
	free(fs->bucket);
	free(fs);
}

/* Names with a dot in front are not for everybody (RFC 8615 has one that is). */
static bool
is_hidden(const char *name)
{
	return name[0] == '.' && strcmp(name, ".well-known") != 0;
}

/* A descriptor of the path below fd, no step of which is a symbolic link. */
static int
open_below(int fd, const char *path)
{
	char name[256];
	int dir = fd;

	for (;;) {
		size_t n = strcspn(path, "/");
		bool last = path[n] == '\0';
		int flags = last ? O_RDONLY | O_NONBLOCK : FOLDER;
		int next;

		if (n >= sizeof name)
			next = -1, errno = ENOENT;
		else {
			memcpy(name, path, n);
			name[n] = '\0';
			if (is_hidden(name))
				next = -1, errno = ENOENT;
			else
				next = openat(dir, n ? name : ".",
					      flags | O_NOFOLLOW | O_CLOEXEC);
		}
		if (next < 0 && last && errno == EACCES) {
			/* Perhaps a folder that may not be listed. */
			next = openat(dir, name,
				      FOLDER | O_NOFOLLOW | O_CLOEXEC);
			if (next < 0)
				errno = EACCES;
		}
		if (dir != fd) {
			int e = errno;

			close(dir);
			errno = e;
		}
		if (next < 0)
			return errno == ELOOP || errno == ENOTDIR ? -ENOENT
								  : -errno;
		if (last)
			return next;
		dir = next;
		path += n + 1;
	}
}

static void
describe(struct file *f, const struct stat *st)
{
	int64_t now = (int64_t)time(NULL);
	char date[DATE_BYTES];

	f->size = (uint64_t)st->st_size;
	f->mtime = (int64_t)st->st_mtim.tv_sec;
	f->ctim = st->st_ctim;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->type = mime_type(f->path);
	snprintf(f->etag, sizeof f->etag, "\"%llx-%llx.%lx\"",
		 (unsigned long long)f->size, (unsigned long long)f->mtime,
		 (unsigned long)st->st_mtim.tv_nsec);
	/* Never one that is yet to come (section 8.8.2.1). */
	date_write(date, f->mtime < now ? f->mtime : now);
	f->meta_bytes = (uint16_t)snprintf(
	    f->meta, sizeof f->meta,
	    "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n", date,
	    f->etag);
}

static int
map(struct file *f, int fd)
{
	int flags = MAP_SHARED;
	void *p;

	if (f->size == 0)
		return 0;
	if (f->size > SIZE_MAX)
		return -EFBIG;
#ifdef MAP_POPULATE
	if (f->size <= 1 << 20)
		flags |= MAP_POPULATE;
#endif
	p = mmap(NULL, (size_t)f->size, PROT_READ, flags, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	f->data = p;
	return 0;
}

static int
load(struct files *fs, const char *path, struct file **out)
{
	struct file *f;
	struct stat st;
	int fd, r = 0;

	spare_lend(fs);
	fd = open_below(fs->root, path);
	if (fd < 0) {
		spare_keep(fs);
		return fd;
	}
	f = calloc(1, sizeof *f + strlen(path) + 1);
	if (!f || fstat(fd, &st)) {
		r = f ? -errno : -ENOMEM;
		goto out;
	}
	strcpy(f->path, path);
	f->files = fs;
	f->refs = 1;
	f->is_dir = S_ISDIR(st.st_mode);
	list_init(&f->lru);
	describe(f, &st);
	if (!f->is_dir)
		r = S_ISREG(st.st_mode) ? map(f, fd) : -EACCES;
out:
	close(fd);
	spare_keep(fs);
	if (r) {
		free(f);
		return r;
	}
	*out = f;
	return 0;
}

/* ---- the cache ---------------------------------------------------------------- */

static struct file *
find(struct files *fs, const char *path, uint32_t hash)
{
	struct file *f = fs->bucket[hash & fs->mask];

	while (f && (f->hash != hash || strcmp(f->path, path) != 0))
		f = f->next;
	return f;
}

/* Whether the file on the disk is still this one. */
static bool
is_fresh(struct file *f, uint64_t now_ns)
{
	struct stat st;

	if (now_ns - f->checked_ns < CHECK_NS)
		return true;
	if (fstatat(f->files->root, f->path[0] ? f->path : ".", &st,
		    AT_SYMLINK_NOFOLLOW) ||
	    st.st_dev != f->dev || st.st_ino != f->ino ||
	    (uint64_t)st.st_size != f->size ||
	    st.st_ctim.tv_sec != f->ctim.tv_sec ||
	    st.st_ctim.tv_nsec != f->ctim.tv_nsec)
		return false;
	f->checked_ns = now_ns;
	return true;
}

static void
remember(struct files *fs, struct file *f, uint64_t now_ns)
{
	struct file **p;

	while (fs->num >= fs->max && fs->num > 0)
		forget(CONTAINER(fs->lru.next, struct file, lru));
	if (fs->max == 0)
		return;
	p = &fs->bucket[f->hash & fs->mask];
	f->next = *p;
	*p = f;
	list_append(&fs->lru, &f->lru);
	f->checked_ns = now_ns;
	f->cached = true;
	f->refs++;
	fs->num++;
}

int
files_open(struct files *fs, const char *path, uint64_t now_ns,
	   struct file **out)
{
	uint32_t hash = hash_of(path);
	struct file *f = find(fs, path, hash);
	int r;

	if (f && !is_fresh(f, now_ns)) {
		forget(f);
		f = NULL;
	}
	if (f) {
		list_remove(&f->lru);
		list_append(&fs->lru, &f->lru);
		f->refs++;
		*out = f;
		return 0;
	}
	r = load(fs, path, &f);
	if (r)
		return r;
	f->hash = hash;
	remember(fs, f, now_ns);
	*out = f;
	return 0;
}

/* ---- files that shrink ----------------------------------------------------------- */

static uintptr_t page_bytes;

/* mmap() is a system call and nothing else here; nobody's locks are taken. */
static void
on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr & ~(page_bytes - 1);

	(void)context;
	if (info->si_code == BUS_ADRERR && at &&
	    mmap((void *)at, page_bytes, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		return;
	signal(sig, SIG_DFL);
}

int
files_guard(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus,
				.sa_flags = SA_SIGINFO };

	page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, NULL) ? -errno : 0;
}
