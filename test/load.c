// SPDX-License-Identifier: GPL-2.0
/*
 * load - networking of known amounts, for the tests of netto
 *
 * Each load does what its name says, a number of times or for a time that is given, over the
 * loopback or between network namespaces, inside one process (a second one where the help says so).
 * It prints what it really did as key=value pairs on one line. sends and recvs are the messages
 * that were handed to or taken from the kernel; calls are the system calls that did it; cpu_ns is
 * CPU time of the calling thread; wall_ns is the time that passed. A call that fails or is short
 * ends it with a message and status 1. Status 77 means that this kernel cannot do it.
 *
 * All messages of the counted loads are SIZE bytes. The libc's wrappers are used where they are
 * the plain system call. musl's sendmmsg() is not (a loop of sendmsg), nor its sched_setscheduler.
 *
 * The list of the loads is loads[], at the end: a load is a function and an entry there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_alg.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/tls.h>
#include <linux/vhost.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE	     64		 /* bytes of a message */
#define BATCH	     7		 /* messages of one sendmmsg or recvmmsg */
#define ROUND	     98		 /* messages sent before as many are received; of BATCH */
#define BUFFER	     (64 << 20)	 /* socket buffers: room for all that a load sends */
#define PATIENCE     60		 /* seconds until a call that blocks has failed */
#define ETHERTYPE    0x88b5	 /* "local experimental 1": of no protocol */
#define PORT	     9		 /* "discard": where udppath sends to */
#define RAW_PROTOCOL 253	 /* "experimentation": of no protocol */
#define MPTCP	     262	 /* IPPROTO_MPTCP */
#define MOVE_NS	     100000000	 /* bigsend: time between two moves */
#define BIGSEND	     (1LL << 31) /* bigsend: bytes; a call takes this less a page */
#define NS	     1000000000LL
#define COUNT(a)     (sizeof(a) / sizeof(a[0]))

/* Of Linux 6.7, which the headers may not have yet. */
#define BPF_NETKIT_PRIMARY 54
#define NETKIT_PASS	   0

struct address {
	struct sockaddr_storage any;
	socklen_t length;
};

struct ring {
	int fd;
	struct io_uring_sqe *sqe; /* the only one */
	struct io_uring_cqe *cqes;
	unsigned int *sq_tail, *cq_head, cq_mask;
};

/* Two connected sockets, and what some operations need besides. */
static struct {
	int tx, rx;
	struct address to; /* rx's */
	int file;	   /* of a message */
	int pipe[2];
	struct ring ring;
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
	long want; /* messages still to be done */
	int size;  /* of a message, bytes */
	unsigned char buf[1 << 16];
} io = { .size = SIZE };

struct load {
	const char *name;
	const char *args; /* upper case: needed; in brackets: not */
	const char *help;
	void (*open)(void); /* opens its sockets; NULL: run() does */
	const char *proto;  /* of these; NULL: the argument PROTO */
	bool room;	    /* in their buffers, for all that is sent */
	void (*run)(void);
	int (*one)(void);      /* the operation that it repeats; see section 3 */
	void (*prepare)(void); /* what that needs besides the sockets; may be NULL */
};

/* What two processes tell each other. */
struct shared {
	volatile int stop;
	long recvs;
	long long rx_cpu_ns;
};

/* ==== 1. Arguments and helpers ==== */

static const struct load *load; /* the one that runs */
static char **words;		/* its arguments */
static int word_count;

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(1);
}

static long must(long result, const char *what)
{
	if (result < 0)
		die(what, strerror(errno));
	return result;
}

/* The same of a call that only some kernels have. */
static int may(int result, const char *what)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "load: no %s in this kernel: %s\n", what, strerror(errno));
	exit(77);
}

/* The argument that load->args calls by this name, or NULL: it is not given. */
static char **argument(const char *name)
{
	const char *p = load->args;

	for (int i = 0; i < word_count && *(p += strspn(p, " []")); i++) {
		size_t length = strcspn(p, " []");

		if (length == strlen(name) && !memcmp(p, name, length))
			return &words[i];
		p += length;
	}
	return NULL;
}

static const char *text(const char *name)
{
	return argument(name) ? *argument(name) : NULL;
}

static double number(const char *name)
{
	static const struct {
		const char *name;
		double value;
	} usual[] = { { "N", 1009 }, { "SIZE", SIZE }, { "DUTY_PERCENT", 100 } }; /* N: a prime */
	const char *word = text(name);
	double value = 0;
	char *end;

	for (size_t i = 0; i < COUNT(usual); i++)
		if (!strcmp(name, usual[i].name))
			value = usual[i].value;
	if (!word)
		return value;
	value = strtod(word, &end);
	if (end == word || *end)
		die(word, "not a number");
	return value;
}

static long long now(clockid_t clock)
{
	struct timespec t;

	must(clock_gettime(clock, &t), "clock_gettime");
	return t.tv_sec * NS + t.tv_nsec;
}

static uint64_t time_stamp(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	die("the time stamp counter", "not on this architecture");
#endif
}

/* What passed since start_clocks(): time, and CPU time of this thread. */
static long long wall_start, cpu_start;

static void start_clocks(void)
{
	wall_start = now(CLOCK_MONOTONIC);
	cpu_start = now(CLOCK_THREAD_CPUTIME_ID);
}

static long long wall_ns(void)
{
	return now(CLOCK_MONOTONIC) - wall_start;
}

static long long cpu_ns(void)
{
	return now(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
}

/* The checksum of IP, not yet inverted. */
static uint16_t sum(const void *p, size_t length, uint32_t sum)
{
	for (const uint16_t *word = p; length; length -= 2)
		sum += *word++;
	sum = (sum >> 16) + (sum & 0xffff);
	return sum + (sum >> 16);
}

static void pause_ns(long ns)
{
	nanosleep(&(struct timespec) { .tv_nsec = ns }, NULL);
}

static void spin_ns(long long ns)
{
	for (long long end = wall_ns() + ns; ns && wall_ns() < end;)
		;
}

/* Puts a thread on the CPU of an argument, if that is given. */
static void pin(pid_t tid, const char *name)
{
	cpu_set_t set;

	if (!text(name))
		return;
	CPU_ZERO(&set);
	CPU_SET((int)number(name), &set);
	must(sched_setaffinity(tid, sizeof(set), &set), "sched_setaffinity");
}

static void *map(int fd, size_t size, off_t offset, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, offset);

	if (p == MAP_FAILED)
		die("mmap", strerror(errno));
	return p;
}

/* Flushes first, so that nothing is printed twice; the child is not to outlive its parent. */
static pid_t start_child(void)
{
	pid_t pid;

	fflush(stdout);
	pid = must(fork(), "fork");
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void end_child(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0), "waitpid");
	if (status)
		die("child", "failed");
}

/* CPU time, and how often it was switched to something else. */
static long long used_ns(int who, long *switches)
{
	struct rusage u;

	must(getrusage(who, &u), "getrusage");
	*switches += u.ru_nvcsw + u.ru_nivcsw;
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * NS +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* Programs of few instructions, for loads that need no object file. */
#define MOVE(reg, value)                                                                           \
	{                                                                                          \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = reg, .imm = value                  \
	}
#define CALL(helper)                                                                               \
	{                                                                                          \
		.code = BPF_JMP | BPF_CALL, .imm = helper                                          \
	}
#define EXIT                                                                                       \
	{                                                                                          \
		.code = BPF_JMP | BPF_EXIT                                                         \
	}

static int bpf(int command, union bpf_attr *attr)
{
	return must(syscall(SYS_bpf, command, attr, sizeof(*attr)), "bpf");
}

static int load_program(int type, const struct bpf_insn *code, size_t count)
{
	return bpf(BPF_PROG_LOAD, &(union bpf_attr) { .prog_type = type,
						      .insns = (uintptr_t)code,
						      .insn_cnt = count,
						      .license = (uintptr_t) "GPL" });
}

/* ==== 2. Sockets ==== */

static int new_socket(int family, int type, int protocol)
{
	return must(socket(family, type, protocol), "socket");
}

static void set_option(int fd, int level, int option, int value)
{
	must(setsockopt(fd, level, option, &value, sizeof(value)), "setsockopt");
}

static void set_timeout(int fd, int option, long ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	must(setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t)), "setsockopt");
}

/* Past the administrator's limit where that is allowed, else up to it. */
static void set_buffer(int fd, int option, int force)
{
	int size = BUFFER;

	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)))
		set_option(fd, SOL_SOCKET, option, size);
}

static struct address address_of(const char *host, int port)
{
	struct address a = {};
	struct sockaddr_in *v4 = (void *)&a.any;
	struct sockaddr_in6 *v6 = (void *)&a.any;

	a.any.ss_family = strchr(host, ':') ? AF_INET6 : AF_INET;
	a.length = strchr(host, ':') ? sizeof(*v6) : sizeof(*v4);
	v4->sin_port = htons(port); /* where sin6_port is, too */
	if (inet_pton(a.any.ss_family, host,
		      strchr(host, ':') ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr) != 1)
		die(host, "not an address");
	return a;
}

static void bind_to(int fd, const struct address *a)
{
	must(bind(fd, (const struct sockaddr *)&a->any, a->length), "bind");
}

static void connect_to(int fd, const struct address *a)
{
	must(connect(fd, (const struct sockaddr *)&a->any, a->length), "connect");
}

/* PROTO. Of tls the kernel encrypts, by sockmap it is received without TCP: see open_pair(). */
static const struct protocol {
	const char *name;
	int family, type, protocol;
} protocols[] = {
	{ "udp4", AF_INET, SOCK_DGRAM, 0 },	  { "udp6", AF_INET6, SOCK_DGRAM, 0 },
	{ "tcp4", AF_INET, SOCK_STREAM, 0 },	  { "tcp6", AF_INET6, SOCK_STREAM, 0 },
	{ "mptcp", AF_INET, SOCK_STREAM, MPTCP }, { "sctp", AF_INET, SOCK_STREAM, IPPROTO_SCTP },
	{ "tls", AF_INET, SOCK_STREAM, 0 },	  { "sockmap", AF_INET, SOCK_STREAM, 0 },
};

static const struct protocol *protocol(void)
{
	const char *name = load->proto ? load->proto : text("PROTO");

	for (size_t i = 0; i < COUNT(protocols); i++)
		if (!strcmp(name, protocols[i].name))
			return &protocols[i];
	die(name, "no such PROTO");
}

static int proto_socket(const struct protocol *p)
{
	return may(socket(p->family, p->type, p->protocol), p->name);
}

static void bind_to_any_port(int fd, struct address *a)
{
	bind_to(fd, a);
	must(getsockname(fd, (struct sockaddr *)&a->any, &a->length), "getsockname");
}

/* Bound to the loopback; sets its address. One of a stream listens. */
static int bound_socket(const struct protocol *p, struct address *a)
{
	int fd = proto_socket(p);

	*a = address_of(p->family == AF_INET6 ? "::1" : "127.0.0.1", 0);
	bind_to_any_port(fd, a);
	if (p->type == SOCK_STREAM)
		must(listen(fd, 1), "listen");
	return fd;
}

static int accept_one(int listener)
{
	return must(accept(listener, NULL, NULL), "accept");
}

static int accept_last(int listener)
{
	int fd = accept_one(listener);

	close(listener);
	return fd;
}

static void open_unix(void)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), "socketpair");
	io.tx = fds[0];
	io.rx = fds[1];
}

/* A socket in the namespace, one of `ip netns`: sockets stay where they were made. */
static int socket_in(const char *netns, int family, int type)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = must(open(path, O_RDONLY | O_CLOEXEC), path);
	must(setns(fd, CLONE_NEWNET), "setns");
	close(fd);
	return new_socket(family, type, 0);
}

/* From the namespace NETNS_TX to NETNS_RX, to ADDRESS there. */
static void open_path(void)
{
	int type = protocol()->type;
	struct address to = address_of(text("ADDRESS"), PORT);
	int family = to.any.ss_family;
	struct address any = address_of(family == AF_INET6 ? "::" : "0.0.0.0", PORT);

	io.rx = socket_in(text("NETNS_RX"), family, type);
	/* What is sent while the receiver's CPU is held up is not to be lost. */
	set_buffer(io.rx, SO_RCVBUF, SO_RCVBUFFORCE);
	set_option(io.rx, SOL_SOCKET, SO_REUSEADDR, 1);
	bind_to(io.rx, &any);
	if (type == SOCK_STREAM)
		must(listen(io.rx, 1), "listen");
	io.tx = socket_in(text("NETNS_TX"), family, type);
	connect_to(io.tx, &to);
	if (type == SOCK_STREAM)
		io.rx = accept_last(io.rx);
}

static void start_tls(void)
{
	struct tls12_crypto_info_aes_gcm_128 key = {
		.info = { TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 },
	};

	may(setsockopt(io.tx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "kTLS");
	must(setsockopt(io.rx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");
	must(setsockopt(io.tx, SOL_TLS, TLS_TX, &key, sizeof(key)), "TLS_TX");
	must(setsockopt(io.rx, SOL_TLS, TLS_RX, &key, sizeof(key)), "TLS_RX");
}

/* What is sent is received without TCP. */
static void join_by_sockmap(void)
{
	int map = bpf(BPF_MAP_CREATE, &(union bpf_attr) { .map_type = BPF_MAP_TYPE_SOCKMAP,
							  .key_size = 4,
							  .value_size = 4,
							  .max_entries = 2 });
	struct bpf_insn redirect[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = 2,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{},
		MOVE(3, 0),
		MOVE(4, BPF_F_INGRESS),
		CALL(BPF_FUNC_msg_redirect_map),
		EXIT,
	};
	int program = load_program(BPF_PROG_TYPE_SK_MSG, redirect, COUNT(redirect));

	bpf(BPF_PROG_ATTACH, &(union bpf_attr) { .target_fd = map,
						 .attach_bpf_fd = program,
						 .attach_type = BPF_SK_MSG_VERDICT });
	for (int key = 0; key < 2; key++)
		bpf(BPF_MAP_UPDATE_ELEM,
		    &(union bpf_attr) { .map_fd = map,
					.key = (uintptr_t)&key,
					.value = (uintptr_t)(key ? &io.tx : &io.rx) });
}

/* Without room a full receiver drops, or blocks. */
static void open_pair(void)
{
	const struct protocol *p = protocol();
	int fd = bound_socket(p, &io.to);

	if (load->room)
		set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE);
	io.tx = proto_socket(p);
	connect_to(io.tx, &io.to);
	io.rx = p->type == SOCK_STREAM ? accept_last(fd) : fd;
	if (load->room) {
		set_buffer(io.tx, SO_SNDBUF, SO_SNDBUFFORCE);
		if (p->type == SOCK_STREAM)
			set_option(io.tx, IPPROTO_TCP, TCP_NODELAY, 1);
	}
	set_timeout(io.tx, SO_SNDTIMEO, PATIENCE * 1000);
	set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
	if (!strcmp(p->name, "tls"))
		start_tls();
	if (!strcmp(p->name, "sockmap"))
		join_by_sockmap();
}

static int packet_socket(const char *ifname, int protocol)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = must((int)if_nametoindex(ifname) ?: -1, ifname),
	};
	int fd = new_socket(AF_PACKET, SOCK_RAW, 0);

	/* Bound to protocol 0 it only sends. */
	must(bind(fd, (struct sockaddr *)&to, sizeof(to)), "bind");
	return fd;
}

/* Frames to all: those of another host would be dropped. */
static void open_packets(void)
{
	const char *tx = text("TX") ? text("TX") : text("IF") ? text("IF") : "lo";
	const char *rx = text("RX") ? text("RX") : tx;

	memset(io.buf, 0xff, 6);
	io.buf[12] = ETHERTYPE >> 8;
	io.buf[13] = ETHERTYPE & 0xff;
	io.tx = packet_socket(tx, 0);
	if (!strstr(load->args, "RX"))
		return;
	io.rx = packet_socket(rx, ETHERTYPE);
	set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
}

/* It sends to itself: another raw socket would get a copy of each. No header arrives. */
static void open_rawv6(void)
{
	struct address lo = address_of("::1", 0);

	io.rx = io.tx = new_socket(AF_INET6, SOCK_RAW, RAW_PROTOCOL);
	connect_to(io.tx, &lo);
	set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
}

/* ==== 3. Operations: each handles at most io.want messages, and returns how many ==== */

/* The result of a call that handles exactly one message. */
static int whole(long result, const char *what)
{
	if (must(result, what) != io.size)
		die(what, "short");
	return 1;
}

static int many(int call, int fd, const char *what)
{
	int want = io.want < BATCH ? io.want : BATCH;

	if (must(syscall(call, fd, io.msgs, want, 0, NULL), what) != want)
		die(what, "short");
	for (int i = 0; i < want; i++)
		whole(io.msgs[i].msg_len, what);
	return want;
}

/* Has the ring do one thing. Returns the result of that, -1 with errno set. */
static int do_by_ring(struct io_uring_sqe sqe)
{
	struct ring *r = &io.ring;
	unsigned int head = *r->cq_head;
	int result;

	*r->sqe = sqe;
	__atomic_store_n(r->sq_tail, *r->sq_tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0),
	     "io_uring_enter");
	result = r->cqes[head & r->cq_mask].res;
	errno = -result;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return result < 0 ? -1 : result;
}

static int message_by_ring(int opcode, int fd, int flags)
{
	return do_by_ring((struct io_uring_sqe) {
		.opcode = opcode, .flags = flags, .fd = fd, .addr = (uintptr_t)io.buf, .len = io.size });
}

static int receive_from(void)
{
	struct address from = { .length = sizeof(from.any) };

	return recvfrom(io.rx, io.buf, io.size, 0, (struct sockaddr *)&from.any, &from.length);
}

static int splice_out(void)
{
	whole(write(io.pipe[1], io.buf, io.size), "write to the pipe");
	return splice(io.pipe[0], NULL, io.tx, NULL, io.size, 0);
}

static int splice_in(void)
{
	whole(splice(io.rx, NULL, io.pipe[1], NULL, io.size, 0), "splice");
	return read(io.pipe[0], io.buf, io.size);
}

#define ONE(name, call)                                                                            \
	static int one_##name(void)                                                                \
	{                                                                                          \
		return whole(call, #name);                                                         \
	}

/* clang-format off */
ONE(send, send(io.tx, io.buf, io.size, 0))
ONE(sendto, sendto(io.tx, io.buf, io.size, 0, (struct sockaddr *)&io.to.any, io.to.length))
ONE(sendmsg, sendmsg(io.tx, &io.msgs[0].msg_hdr, 0))
ONE(write, write(io.tx, io.buf, io.size))
ONE(writev, writev(io.tx, io.iov, 1))
ONE(sendfile, sendfile(io.tx, io.file, &(off_t) { 0 }, io.size))
ONE(splice_out, splice_out())
ONE(uring_send, message_by_ring(IORING_OP_SEND, io.tx, 0))
ONE(uring_worker, message_by_ring(IORING_OP_SEND, io.tx, IOSQE_ASYNC))
ONE(recv, recv(io.rx, io.buf, io.size, 0))
ONE(recvfrom, receive_from())
ONE(recvmsg, recvmsg(io.rx, &io.msgs[0].msg_hdr, 0))
ONE(read, read(io.rx, io.buf, io.size))
ONE(readv, readv(io.rx, io.iov, 1))
ONE(splice_in, splice_in())
ONE(uring_recv, message_by_ring(IORING_OP_RECV, io.rx, 0))
/* clang-format on */

static int one_sendmmsg(void)
{
	return many(SYS_sendmmsg, io.tx, "sendmmsg");
}

static int one_recvmmsg(void)
{
	return many(SYS_recvmmsg, io.rx, "recvmmsg");
}

static int one_both_ways(void)
{
	one_send();
	return one_recv();
}

static void prepare_file(void)
{
	io.file = must(memfd_create("load", 0), "memfd_create");
	whole(write(io.file, io.buf, io.size), "write to the file");
}

static void prepare_pipe(void)
{
	must(pipe(io.pipe), "pipe");
}

static char *map_ring(size_t size, off_t offset)
{
	return map(io.ring.fd, size, offset, MAP_POPULATE);
}

static void open_ring(struct io_uring_params p)
{
	struct ring *r = &io.ring;
	char *sq, *cq;

	r->fd = syscall(SYS_io_uring_setup, 1, &p);
	if (r->fd < 0 && (errno == ENOSYS || errno == EPERM))
		may(r->fd, "io_uring");
	must(r->fd, "io_uring_setup");
	sq = map_ring(p.sq_off.array + p.sq_entries * sizeof(unsigned int), IORING_OFF_SQ_RING);
	cq = map_ring(p.cq_off.cqes + p.cq_entries * sizeof(*r->cqes), IORING_OFF_CQ_RING);
	r->sqe = (void *)map_ring(p.sq_entries * sizeof(*r->sqe), IORING_OFF_SQES);
	r->sq_tail = (unsigned int *)(sq + p.sq_off.tail);
	*(unsigned int *)(sq + p.sq_off.array) = 0;
	r->cq_head = (unsigned int *)(cq + p.cq_off.head);
	r->cq_mask = *(unsigned int *)(cq + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

static void prepare_ring(void)
{
	open_ring((struct io_uring_params) {});
}

static void prepare_messages(void)
{
	for (int i = 0; i < BATCH; i++) {
		io.iov[i] = (struct iovec) { io.buf, io.size };
		io.msgs[i].msg_hdr.msg_iov = &io.iov[i];
		io.msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

/* ==== 4. Counted loads ==== */

/* Repeats the operation N times, and counts the calls. */
static void run_send(void)
{
	bool both = load->one == one_both_ways;
	long n = number("N"), done = 0, calls = 0;

	start_clocks();
	for (; done < n; calls++) {
		io.want = n - done;
		done += load->one();
	}
	printf("sends=%ld recvs=%ld calls=%ld cpu_ns=%lld\n", done, both ? done : 0,
	       both ? 2 * calls : calls, cpu_ns());
}

/* Receives N messages that `io.tx` sends, in rounds that surely fit into the buffer. */
static void run_recv(void)
{
	long n = number("N"), sends = 0, done = 0, calls = 0;
	long long used = 0;

	while (done < n) {
		for (; sends < n && sends < done + ROUND; sends++)
			one_write();
		start_clocks();
		for (; done < sends; calls++) {
			io.want = sends - done;
			done += load->one();
		}
		used += cpu_ns();
	}
	printf("sends=%ld recvs=%ld calls=%ld cpu_ns=%lld\n", sends, done, calls, used);
}

/* N connections, with a message in each. Of MPTCP, workers end them. */
static void run_connect(void)
{
	const struct protocol *p = protocol();
	long n = number("N");
	int fd = bound_socket(p, &io.to);

	start_clocks();
	for (long i = 0; i < n; i++) {
		io.tx = proto_socket(p);
		connect_to(io.tx, &io.to);
		io.rx = accept_one(fd);
		one_both_ways();
		must(close(io.tx), "close");
		must(close(io.rx), "close");
	}
	printf("connects=%ld sends=%ld recvs=%ld cpu_ns=%lld\n", n, n, n, cpu_ns());
}

/*
 * Kicks of an AF_XDP socket that is bound to nothing: each one fails, after it has come to the
 * socket's own operation.
 */
static void run_xsk(void)
{
	long n = number("N"), done;
	int fd = may(socket(AF_XDP, SOCK_RAW, 0), "AF_XDP");

	for (done = 0; done < n; done++)
		if (sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno != ENXIO)
			die("sendto of AF_XDP", strerror(errno));
	printf("sends=%ld recvs=0 calls=%ld\n", done, done);
}

static void run_udpsend(void)
{
	long n = number("N"), ns = number("NS");

	for (long i = 0; i < n; i++) {
		one_send();
		if (text("sleep"))
			pause_ns(ns);
		else
			spin_ns(ns);
	}
	printf("sends=%ld recvs=0\n", n);
}

/*
 * Waits N times for what does not come, each time busy polling US microseconds: in recv, twice, or
 * in epoll_wait. The first packet tells the socket which device to poll.
 */
static void run_busypoll(void)
{
	int us = number("US"), epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	long n = number("N");

	set_option(io.rx, SOL_SOCKET, SO_BUSY_POLL, us);
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, io.rx, &event), "epoll_ctl");
	one_send();
	must(epoll_wait(epoll, &event, 1, PATIENCE * 1000), "epoll_wait");
	one_recv();
	set_timeout(io.rx, SO_RCVTIMEO, 1);
	start_clocks();
	for (long i = 0; i < n; i++) {
		if (text("epoll")) { /* it polls once after each packet */
			one_send();
			must(epoll_wait(epoll, &event, 1, PATIENCE * 1000), "epoll_wait");
			one_recv();
			if (epoll_wait(epoll, &event, 1, 1) != 0)
				die("epoll_wait", "there is something");
		} else if (recv(io.rx, io.buf, SIZE, 0) >= 0 || errno != EAGAIN) {
			die("recv", strerror(errno));
		}
		spin_ns(us * 1000LL); /* as long again, that is no polling */
	}
	printf("waits=%ld cpu_ns=%lld wall_ns=%lld\n", n, cpu_ns(), wall_ns());
}

/*
 * N records over kTLS that do not fit into the socket's buffer: what is left of a record when it is
 * full is sent by a worker when there is room again.
 */
static void run_ktls(void)
{
	static char buf[16384];
	long all = (long)number("N") * sizeof(buf), sent = 0, got = 0, size;

	while (got < all) {
		while (sent < all && (size = send(io.tx, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			sent += size;
		while ((size = recv(io.rx, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			got += size;
		if (size < 0 && errno != EAGAIN)
			die("recv", strerror(errno));
		pause_ns(1000000);
	}
	printf("bytes=%ld\n", got);
}

/* ==== 5. Timed loads ==== */

/* Repeats an operation for SECONDS. Returns how many messages that were. */
static long repeat(int (*one)(void))
{
	long long end = number("SECONDS") * NS;
	long done = 0;

	start_clocks();
	while (wall_ns() < end)
		for (int i = 0; i < 16; i++)
			done += one();
	return done;
}

static void run_loop(void)
{
	long done = repeat(load->one), recvs = load->one == one_both_ways ? done : 0;

	printf("sends=%ld recvs=%ld cpu_ns=%lld wall_ns=%lld\n", done, recvs, cpu_ns(), wall_ns());
}

/* On a socket of its own: another one, or a connection, would be operations more. */
static void run_block_recv(void)
{
	int fd = bound_socket(protocol(), &io.to);

	set_timeout(fd, SO_RCVTIMEO, number("MS"));
	start_clocks();
	if (recv(fd, io.buf, SIZE, 0) >= 0 || errno != EAGAIN)
		die("recv", "did not time out");
	printf("recvs=0 calls=1 elapsed_ns=%lld cpu_ns=%lld\n", wall_ns(), cpu_ns());
}

static void run_burn(void)
{
	long long seconds = number("SECONDS") * NS, period = seconds;
	struct sched_param prio = { .sched_priority = number("PRIO") };
	double duty = number("DUTY_PERCENT") / 100;

	start_clocks();
	if (text("fifo")) {
		if (strcmp(text("fifo"), "fifo") || !text("PERIOD_US"))
			die(text("fifo"), "expected fifo PRIO DUTY_PERCENT PERIOD_US");
		period = number("PERIOD_US") * 1000;
		must(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &prio), "sched_setscheduler");
	}
	for (long long next = 0; next < seconds; next += period) {
		long long at = wall_start + next;
		struct timespec t = { .tv_sec = at / NS, .tv_nsec = at % NS };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		while (wall_ns() < next + period * duty)
			;
	}
	printf("cpu_ns=%lld wall_ns=%lld\n", cpu_ns(), wall_ns());
}

/* The sender of bigsend, and the CPU time that it had on CPU_A and CPU_B. */
struct sender {
	pid_t tid;
	clockid_t clock; /* its CPU time */
	long long since; /* the same, when it came to where it is */
	long long cpu_ns[2];
	long moves; /* odd: it is on CPU_B */
};

static void charge(struct sender *s)
{
	long long t = now(s->clock);

	s->cpu_ns[s->moves % 2] += t - s->since;
	s->since = t;
}

/*
 * Takes what comes for `ns`, and moves the sender each MOVE_NS; then breaks the connection, which
 * ends the sender's call. Where the machine is so fast that the call would end before, it waits: at
 * most three quarters by then.
 */
static void drain(struct sender *s, long long ns)
{
	static char buf[1 << 18];
	long long past, got = 0;

	start_clocks();
	while ((past = wall_ns()) < ns) {
		if (past >= (s->moves + 1) * MOVE_NS) {
			/* Comes back when the sender has left its CPU, in the kernel or not. */
			pin(s->tid, s->moves % 2 ? "CPU_A" : "CPU_B");
			charge(s);
			s->moves++;
		} else if (got > 0.75 * BIGSEND * past / ns) {
			pause_ns(1000000);
		} else {
			got += must(recv(io.rx, buf, sizeof(buf), 0), "recv");
		}
	}
	exit(0);
}

static void run_bigsend(void)
{
	static char buf[BIGSEND / UIO_MAXIOV];
	static struct iovec iov[UIO_MAXIOV]; /* all of them the same memory */
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = UIO_MAXIOV };
	struct sender *s = map(-1, sizeof(*s), 0, MAP_ANONYMOUS);
	long long took;
	pid_t child;
	long sent;

	memset(buf, 1, sizeof(buf));
	for (int i = 0; i < UIO_MAXIOV; i++)
		iov[i] = (struct iovec) { buf, sizeof(buf) };
	s->tid = getpid();
	must(-(errno = clock_getcpuclockid(s->tid, &s->clock)), "clock_getcpuclockid");
	s->since = now(s->clock);
	child = start_child();
	if (!child) {
		pin(0, "CPU_RX");
		close(io.tx);
		drain(s, number("SECONDS") * NS);
	}
	close(io.rx);
	pin(0, "CPU_A");
	start_clocks();
	sent = must(sendmsg(io.tx, &msg, MSG_NOSIGNAL), "sendmsg");
	took = wall_ns();
	close(io.tx);
	end_child(child);
	charge(s);
	printf("sends=1 sent_bytes=%ld cpu_a_ns=%lld cpu_b_ns=%lld moves=%ld wall_ns=%lld\n", sent,
	       s->cpu_ns[0], s->cpu_ns[1], s->moves, took);
}

/* Receives until told to stop and the queue is empty. */
static void receiver(struct shared *s, int fd)
{
	static char buf[1 << 16];

	start_clocks();
	set_timeout(fd, SO_RCVTIMEO, 100);
	for (;;) {
		if (recv(fd, buf, sizeof(buf), 0) >= 0)
			s->recvs++;
		else if (errno != EAGAIN)
			die("recv", strerror(errno));
		else if (s->stop)
			break;
	}
	s->rx_cpu_ns = cpu_ns();
	exit(0);
}

/* One process sends SIZE bytes from io.tx on CPU_TX, another receives from io.rx on CPU_RX. */
static void run_flood(void)
{
	struct shared *s = map(-1, sizeof(*s), 0, MAP_ANONYMOUS);
	long long used, took;
	pid_t child;
	long done;

	io.size = number("SIZE");
	child = start_child();
	pin(0, child ? "CPU_TX" : "CPU_RX");
	if (!child)
		receiver(s, io.rx);
	done = repeat(one_send);
	used = cpu_ns();
	took = wall_ns();
	s->stop = 1;
	end_child(child);
	printf("sends=%ld recvs=%ld tx_cpu_ns=%lld rx_cpu_ns=%lld wall_ns=%lld\n", done, s->recvs,
	       used, s->rx_cpu_ns, took);
}

/* Another process gives back each byte that it gets from io.tx, to io.rx. Returns it. */
static pid_t start_echo(void)
{
	int there[2], back[2];
	char byte;
	pid_t child;

	must(pipe(there), "pipe");
	must(pipe(back), "pipe");
	child = start_child();
	if (!child) {
		close(there[1]);
		while (must(read(there[0], &byte, 1), "read"))
			must(write(back[1], &byte, 1), "write");
		exit(0);
	}
	io.tx = there[1];
	io.rx = back[0];
	io.size = 1;
	return child;
}

static int one_echo(void)
{
	one_write();
	return one_read();
}

static void run_switches(void)
{
	long trips, switches = 0;
	long long took;
	pid_t child;

	if (text("NICE"))
		must(setpriority(PRIO_PROCESS, 0, number("NICE")), "setpriority");
	child = start_echo();
	trips = repeat(one_echo);
	took = wall_ns();
	close(io.tx);
	end_child(child);
	used_ns(RUSAGE_SELF, &switches);
	used_ns(RUSAGE_CHILDREN, &switches);
	printf("switches=%ld trips=%ld wall_ns=%lld\n", switches, trips, took);
}

/*
 * The ports are given: of two by chance, one pair in 256 is in the same slot of the kernel's table
 * of sockets, where a lookup takes 31 instructions more.
 */
static void open_udp_ports(void)
{
	struct address to = address_of("127.0.0.1", PORT), from = address_of("127.0.0.1", PORT + 1);

	io.rx = new_socket(AF_INET, SOCK_DGRAM, 0);
	bind_to(io.rx, &to);
	io.tx = new_socket(AF_INET, SOCK_DGRAM, 0);
	bind_to(io.tx, &from);
	connect_to(io.tx, &to);
}

/* To where nobody receives: the machine before drops it. */
static void open_forward(void)
{
	struct address to = address_of("203.0.113.1", PORT);

	io.tx = socket_in("netto-a", AF_INET, SOCK_DGRAM);
	connect_to(io.tx, &to);
}

static void open_echo(void)
{
	start_echo();
}

static int one_64_kb(void)
{
	io.size = sizeof(io.buf);
	one_send();
	for (int got = 0; got < io.size;)
		got += must(recv(io.rx, io.buf, io.size - got, 0), "recv");
	return 1;
}

/* A hundredth of a tick of the timer, at 250 Hz: the mean, a hundred times, has one tick. */
static int one_tick(void)
{
	for (int turns = 20000; turns; turns--)
		asm volatile("" : "+r"(turns));
	return 1;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/*
 * The instructions of a round, where the time stamp counter counts them: qemu's -icount shift=0. In
 * batches well below a tick: the mean has ticks and samples, the median batch has none.
 */
static void run_instructions(void)
{
	enum { ROUNDS = 50, MAX_BATCHES = 10000 };
	static uint64_t took[MAX_BATCHES];
	size_t batches = number("N") / ROUNDS;
	double all = 0;

	if (batches < 1 || batches > MAX_BATCHES)
		die(text("N"), "too few or too many");
	for (long batch = -4; batch < (long)batches; batch++) { /* the first four are to warm up */
		uint64_t began = time_stamp();

		for (int i = 0; i < ROUNDS; i++)
			load->one();
		if (batch >= 0)
			all += took[batch] = time_stamp() - began;
	}
	qsort(took, batches, sizeof(took[0]), compare);
	printf("rounds=%zu mean=%.1f median=%.1f\n", batches * ROUNDS, all / batches / ROUNDS,
	       (double)took[batches / 2] / ROUNDS);
}

/* ==== 6. Loads of workers and devices ==== */

/*
 * Reads of much that is nothing, by the workers of io_uring; or none, and a thread that looks for
 * them all the time. worker_ns: their CPU time, where they are threads of this process (from 5.12).
 */
static void run_uring_work(void)
{
	long n = number("N|MS"), reads = text("sqpoll") ? 0 : n, switches;
	struct io_uring_params p = { .flags = text("sqpoll") ? IORING_SETUP_SQPOLL : 0,
				     .sq_thread_idle = 10000 };
	static char buf[16 << 20];
	int zero = must(open("/dev/zero", O_RDONLY), "/dev/zero");
	struct io_uring_sqe sqe = { .opcode = IORING_OP_READ,
				    .flags = IOSQE_ASYNC,
				    .fd = zero,
				    .addr = (uintptr_t)buf,
				    .len = sizeof(buf) };

	memset(buf, 1, sizeof(buf));
	open_ring(p);
	if (text("sqpoll"))
		usleep(n * 1000);
	for (long i = 0; i < reads; i++)
		if (do_by_ring(sqe) != sizeof(buf))
			die("io_uring", "short");
	printf("reads=%ld worker_ns=%lld\n", reads,
	       used_ns(RUSAGE_SELF, &switches) - used_ns(RUSAGE_THREAD, &switches));
}

/* Holds an algorithm of the kernel's, which so gets an instance, until it is killed. */
static void run_algorithm(void)
{
	struct sockaddr_alg name = { .salg_family = AF_ALG };

	snprintf((char *)name.salg_type, sizeof(name.salg_type), "%s", text("TYPE"));
	snprintf((char *)name.salg_name, sizeof(name.salg_name), "%s", text("NAME"));
	must(bind(new_socket(AF_ALG, SOCK_SEQPACKET, 0), (struct sockaddr *)&name, sizeof(name)),
	     text("NAME"));
	puts("held");
	fflush(stdout);
	pause();
}

/*
 * What a virtual machine does: N frames to vhost-net, 64 at a time, which puts them into a tap
 * device. All of this process's memory there is its memory.
 */
static void run_vhost(void)
{
	enum { FRAMES = 64, HEADER = 10, FRAME = HEADER + 60 }; /* a header of virtio before each */
	static struct {
		struct vring_desc desc[FRAMES];
		struct {
			uint16_t flags, idx, ring[FRAMES];
		} avail;
		struct {
			uint16_t flags, idx;
			struct vring_used_elem ring[FRAMES];
		} used __attribute__((aligned(8)));
		unsigned char frame[FRAME];
	} m __attribute__((aligned(4096)));
	struct vhost_memory *memory = calloc(1, sizeof(*memory) + sizeof(memory->regions[0]));
	struct ifreq ifr = { .ifr_name = "tap0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int vhost = must(open("/dev/vhost-net", O_RDWR), "/dev/vhost-net");
	int tap = must(open("/dev/net/tun", O_RDWR), "/dev/net/tun");
	int kick = must(eventfd(0, 0), "eventfd"), call = must(eventfd(0, 0), "eventfd");
	struct vhost_vring_addr addr = {
		1, 0, (uintptr_t)m.desc, (uintptr_t)&m.used, (uintptr_t)&m.avail, 0
	};
	struct vhost_vring_state size = { 1, FRAMES }, base = { 1, 0 };
	struct vhost_vring_file kicks = { 1, kick }, calls = { 1, call }, backend = { 1, tap };
	volatile uint16_t *used = &m.used.idx;
	uint64_t features = 0, one = 1;
	long n = number("N");

	memory->nregions = 1;
	memory->regions[0] =
		(struct vhost_memory_region) { (uintptr_t)&m, sizeof(m), (uintptr_t)&m, 0 };
	must(ioctl(tap, TUNSETIFF, &ifr), "TUNSETIFF");
	ifr.ifr_flags = IFF_UP;
	must(ioctl(new_socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &ifr), "SIOCSIFFLAGS");
	must(ioctl(vhost, VHOST_SET_OWNER), "VHOST_SET_OWNER");
	must(ioctl(vhost, VHOST_SET_FEATURES, &features), "VHOST_SET_FEATURES");
	must(ioctl(vhost, VHOST_SET_MEM_TABLE, memory), "VHOST_SET_MEM_TABLE");
	must(ioctl(vhost, VHOST_SET_VRING_NUM, &size), "VHOST_SET_VRING_NUM");
	must(ioctl(vhost, VHOST_SET_VRING_BASE, &base), "VHOST_SET_VRING_BASE");
	must(ioctl(vhost, VHOST_SET_VRING_ADDR, &addr), "VHOST_SET_VRING_ADDR");
	must(ioctl(vhost, VHOST_SET_VRING_KICK, &kicks), "VHOST_SET_VRING_KICK");
	must(ioctl(vhost, VHOST_SET_VRING_CALL, &calls), "VHOST_SET_VRING_CALL");
	must(ioctl(vhost, VHOST_NET_SET_BACKEND, &backend), "VHOST_NET_SET_BACKEND");
	memset(m.frame + HEADER, 0xff, 6);
	m.frame[HEADER + 12] = ETHERTYPE >> 8;
	m.frame[HEADER + 13] = ETHERTYPE & 255;
	for (int i = 0; i < FRAMES; i++) {
		m.desc[i] = (struct vring_desc) { .addr = (uintptr_t)m.frame, .len = FRAME };
		m.avail.ring[i] = i;
	}
	for (long done = 0; done < n; done += FRAMES) {
		__atomic_store_n(&m.avail.idx, m.avail.idx + FRAMES, __ATOMIC_RELEASE);
		must(write(kick, &one, sizeof(one)), "write to the eventfd");
		for (int i = 0; *used != m.avail.idx; i++) {
			if (i == PATIENCE * 1000)
				die("vhost", "it takes no frames");
			usleep(1000);
		}
	}
	printf("frames=%ld\n", (n + FRAMES - 1) / FRAMES * FRAMES);
}

/* A packet of UDP over IPv4, or the first one of a TCP connection. Returns its length. */
static int make_packet(unsigned char *p, const char *from, const char *to, bool syn)
{
	struct iphdr *ip = (void *)p;
	struct udphdr *udp = (void *)(ip + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	int length = sizeof(*ip) + (syn ? sizeof(*tcp) : sizeof(*udp) + SIZE);

	memset(p, 0, length);
	*ip = (struct iphdr) { .version = 4,
			       .ihl = 5,
			       .tot_len = htons(length),
			       .ttl = 64,
			       .protocol = syn ? IPPROTO_TCP : IPPROTO_UDP };
	if (inet_pton(AF_INET, from, &ip->saddr) != 1 || inet_pton(AF_INET, to, &ip->daddr) != 1)
		die(from, "not an address");
	ip->check = ~sum(ip, sizeof(*ip), 0);
	if (syn)
		*tcp = (struct tcphdr) {
			.dest = htons(PORT), .doff = 5, .syn = 1, .window = 0xffff
		};
	else
		*udp = (struct udphdr) { .dest = htons(PORT), .len = htons(sizeof(*udp) + SIZE) };
	return length;
}

/* A tun device that is there, of one queue. */
static int open_tun(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = must(open("/dev/net/tun", O_RDWR | O_NONBLOCK), "/dev/net/tun");

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", text("IF"));
	must(ioctl(fd, TUNSETIFF, &ifr), "TUNSETIFF");
	return fd;
}

/* Takes what the device has. Returns how many packets that were. */
static long read_tun(int fd)
{
	static char buf[1 << 16];
	long got = 0;

	while (read(fd, buf, sizeof(buf)) > 0)
		got++;
	if (errno != EAGAIN)
		die("read from the tun device", strerror(errno));
	return got;
}

/* What a VPN in user space does: packets are written, and what comes to the device is read. */
static void run_tun(void)
{
	long long end = number("SECONDS") * NS;
	int fd = open_tun(), length;
	long writes = 0, reads = 0;

	length = make_packet(io.buf, text("FROM"), text("TO"), false);
	start_clocks();
	for (; wall_ns() < end; writes++) {
		must(write(fd, io.buf, length), "write to the tun device");
		reads += read_tun(fd);
	}
	printf("writes=%ld reads=%ld cpu_ns=%lld wall_ns=%lld\n", writes, reads, cpu_ns(),
	       wall_ns());
}

/*
 * N connections begin, from as many ports, and go on no further, for SECONDS: the kernel's timers
 * answer again and again.
 */
static void run_syns(void)
{
	struct address any = address_of("0.0.0.0", PORT);
	int listener = new_socket(AF_INET, SOCK_STREAM, 0), fd = open_tun(), length;
	struct tcphdr *tcp = (void *)(io.buf + sizeof(struct iphdr));
	long n = number("N"), reads = 0;

	bind_to(listener, &any);
	must(listen(listener, n), "listen");
	length = make_packet(io.buf, text("FROM"), text("TO"), true);
	start_clocks();
	for (long i = 0; i < n; i++) {
		tcp->source = htons(1024 + i);
		tcp->check = 0;
		tcp->check = ~sum(io.buf + offsetof(struct iphdr, saddr), sizeof(*tcp) + 8,
				  htons(IPPROTO_TCP) + htons(sizeof(*tcp)));
		must(write(fd, io.buf, length), "write to the tun device");
	}
	while (wall_ns() < number("SECONDS") * NS) {
		reads += read_tun(fd);
		pause_ns(50000000);
	}
	printf("writes=%ld reads=%ld\n", n, reads);
}

/* Accepts all packets of a queue of netfilter's, until it is killed. */
static void run_nfqueue(void)
{
	struct {
		struct nlmsghdr n;
		struct nfgenmsg g;
		struct nlattr a;
		struct nfqnl_msg_config_cmd command;
		struct nlattr b;
		struct nfqnl_msg_config_params params;
		char padding[3];
	} bind_queue = {
		{ .nlmsg_len = sizeof(bind_queue),
		  .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
		  .nlmsg_flags = NLM_F_REQUEST },
		{ .res_id = htons(number("QUEUE")) },
		{ NLA_HDRLEN + sizeof(bind_queue.command), NFQA_CFG_CMD },
		{ .command = NFQNL_CFG_CMD_BIND },
		{ NLA_HDRLEN + sizeof(bind_queue.params), NFQA_CFG_PARAMS },
		{ .copy_mode = NFQNL_COPY_META },
		{},
	};
	struct {
		struct nlmsghdr n;
		struct nfgenmsg g;
		struct nlattr a;
		struct nfqnl_msg_verdict_hdr v;
	} verdict = {
		{ .nlmsg_len = sizeof(verdict),
		  .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
		  .nlmsg_flags = NLM_F_REQUEST },
		{ .res_id = htons(number("QUEUE")) },
		{ NLA_HDRLEN + sizeof(verdict.v), NFQA_VERDICT_HDR },
		{ .verdict = htonl(NF_ACCEPT) },
	};
	struct {
		struct nlmsghdr n;
		struct nfgenmsg g;
		struct nlattr a; /* NFQA_PACKET_HDR is the first one */
		struct nfqnl_msg_packet_hdr p;
		char rest[4096];
	} packet;
	int fd = may(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), "NETLINK_NETFILTER");

	must(send(fd, &bind_queue, sizeof(bind_queue), 0), "send");
	puts("bound");
	fflush(stdout);
	for (;;) {
		if (recv(fd, &packet, sizeof(packet), 0) < 0 && errno != ENOBUFS)
			die("recv", strerror(errno));
		verdict.v.id = packet.p.packet_id;
		must(send(fd, &verdict, sizeof(verdict), 0), "send");
	}
}

/* N sockets are bound to any port. */
static void run_binds(void)
{
	struct rlimit files = { 65536, 65536 };
	struct address any = address_of("127.0.0.1", 0);
	long n = number("N");

	must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	start_clocks();
	for (long i = 0; i < n; i++)
		bind_to(new_socket(AF_INET, SOCK_STREAM, 0), &any);
	printf("binds=%ld cpu_ns=%lld\n", n, cpu_ns());
}

static void *accept_all(void *listener)
{
	for (;;)
		close(accept_one(*(int *)listener));
	return NULL;
}

/* N threads wait for connections, which come one after the other. */
static void run_accepts(void)
{
	int listener = bound_socket(protocol(), &io.to);
	long long end = number("SECONDS") * NS;
	long n = number("N"), connects = 0, switches;
	pthread_t thread;

	for (long i = 0; i < n; i++)
		must(-(errno = pthread_create(&thread, NULL, accept_all, &listener)),
		     "pthread_create");
	start_clocks();
	for (; wall_ns() < end; connects++) {
		int fd = new_socket(AF_INET, SOCK_STREAM, 0);

		connect_to(fd, &io.to);
		must(close(fd), "close");
	}
	printf("connects=%ld cpu_ns=%lld\n", connects, used_ns(RUSAGE_SELF, &switches));
}

/* N frames of UDP from FROM to TO into the stack, by an XDP program that runs with them. */
static void run_xdplive(void)
{
	struct bpf_insn pass[] = { MOVE(0, XDP_PASS), EXIT };
	unsigned char frame[256] = { [12] = 8 }; /* IPv4, to the loopback's address */

	bpf(BPF_PROG_TEST_RUN,
	    &(union bpf_attr) { .test.prog_fd = load_program(BPF_PROG_TYPE_XDP, pass, COUNT(pass)),
				.test.data_in = (uintptr_t)frame,
				.test.data_size_in = 14 + make_packet(frame + 14, text("FROM"),
								      text("TO"), false),
				.test.repeat = number("N"),
				.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES });
	printf("frames=%.0f\n", number("N"));
}

/* In ms, rounded up, as CSV has it: what is later there is later. */
static void run_now(void)
{
	printf("%.3f\n", (now(CLOCK_REALTIME) / 1000000 + 1) / 1e3);
}

/* ==== 7. Commands that lack something ==== */

static void execute(void)
{
	char **command = argument("COMMAND");

	execvp(command[0], command);
	die(command[0], strerror(errno));
}

/* With the capabilities of these numbers and no others, or without these: numbers between commas.
 */
static void run_capabilities(void)
{
	bool only = !strcmp(load->name, "only");
	uint64_t set = 0;

	for (char *cap = strtok(*argument("CAP,..."), ","); cap; cap = strtok(NULL, ","))
		set |= 1ull << strtoul(cap, NULL, 10);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if ((set >> cap & 1) != only && prctl(PR_CAPBSET_DROP, cap) && errno != EINVAL)
			die("PR_CAPBSET_DROP", strerror(errno));
	execute();
}

/* On stderr, so that the command's output stays as it is: the most memory that it had, kB. */
static void run_peak(void)
{
	struct rusage usage;
	int status;
	pid_t child = must(fork(), "fork");

	if (!child)
		execute();
	must(wait4(child, &status, 0, &usage), "wait4");
	fprintf(stderr, "peak_kb=%ld\n", usage.ru_maxrss);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* While a program that takes some time runs for each packet of a cgroup, or of a netkit device. */
static void run_program(void)
{
	struct bpf_insn code[] = {
		MOVE(1, 4000),
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = -1 },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 1, .off = -2 },
		MOVE(0, 1),
		EXIT,
	};
	bool cgroup = text("CGROUP|IF")[0] == '/';
	union bpf_attr link = { .link_create.attach_type =
					cgroup ? BPF_CGROUP_INET_EGRESS : BPF_NETKIT_PRIMARY };

	if (cgroup) {
		link.link_create.target_fd = must(open(text("CGROUP|IF"), O_RDONLY), "cgroup");
	} else {
		code[3].imm = NETKIT_PASS;
		link.link_create.target_ifindex =
			must((int)if_nametoindex(text("CGROUP|IF")) ?: -1, "device");
	}
	link.link_create.prog_fd = load_program(
		cgroup ? BPF_PROG_TYPE_CGROUP_SKB : BPF_PROG_TYPE_SCHED_CLS, code, COUNT(code));
	must(dup(bpf(BPF_LINK_CREATE, &link)), "dup"); /* of which the command inherits a copy */
	execute();
}

/* Where a system call fails: ENOSYS is 38, EPERM is 1. */
static void run_refused(void)
{
	unsigned int call = strcmp(load->name, "nobpf") ? SYS_perf_event_open : SYS_bpf;
	unsigned int error = number("ERRNO");
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "PR_SET_SECCOMP");
	execute();
}

/* ==== Main ==== */

/* clang-format off */
#define PAIR(p) .open = open_pair, .proto = p
#define PATH(p) .open = open_path, .proto = p
#define RUN(name, how, args, help, ...) { #name, args, help, .run = run_##how, __VA_ARGS__ }
#define SEND(name, help, ...) \
	{ #name, "PROTO [N]", help, PAIR(NULL), .room = true, .run = run_send, .one = one_##name, __VA_ARGS__ }
#define RECV(name, help, ...) \
	{ #name, "PROTO [N]", help, PAIR(NULL), .room = true, .run = run_recv, .one = one_##name, __VA_ARGS__ }

static const struct load loads[] = {
	SEND(send, "send to a socket that nobody reads"),
	SEND(sendto, "with the address"),
	SEND(sendmsg, ""),
	SEND(sendmmsg, "N messages, 7 a call"),
	SEND(write, ""),
	SEND(writev, ""),
	SEND(sendfile, "from a memfd", .prepare = prepare_file),
	SEND(splice_out, "from a pipe that is filled each time", .prepare = prepare_pipe),
	SEND(uring_send, "IORING_OP_SEND", .prepare = prepare_ring),
	SEND(uring_worker, "the same, by a worker", .prepare = prepare_ring),
	RECV(recv, "receive what was written before, 98 at a time"),
	RECV(recvfrom, "with the address"),
	RECV(recvmsg, ""),
	RECV(recvmmsg, "N messages, 7 a call"),
	RECV(read, ""),
	RECV(readv, ""),
	RECV(splice_in, "to a pipe that is emptied each time; tcp", .prepare = prepare_pipe),
	RECV(uring_recv, "IORING_OP_RECV", .prepare = prepare_ring),
	RUN(packet_send, send, "N [IF]", "raw frames (lo)", .open = open_packets, .one = one_write),
	RUN(packet_recv, recv, "N [TX [RX]]", "raw frames (lo)", .open = open_packets,
	    .one = one_recv),
	RUN(rawv6_recv, recv, "N", "raw IPv6 socket", .open = open_rawv6, .one = one_recv),
	RUN(connect, connect, "PROTO N", "connect, accept, a message, close both"),
	RUN(xsk, xsk, "N", "sends of an AF_XDP socket"),
	RUN(unix, send, "N", "send, receive on a socketpair", .open = open_unix,
	    .one = one_both_ways),
	RUN(block_recv, block_recv, "MS", "wait in one recv", .proto = "udp4"),
	RUN(sendloop, loop, "SECONDS CPU", "UDP to a full socket", PAIR("udp4"), .one = one_send),
	RUN(burn, burn, "SECONDS CPU [fifo PRIO DUTY_PERCENT PERIOD_US]", "in user space"),
	RUN(bigsend, bigsend, "SECONDS CPU_A CPU_B [CPU_RX]",
	    "one TCP sendmsg, moved between two CPUs; a process receives", PAIR("tcp4")),
	RUN(udpflood, flood, "SECONDS CPU_TX CPU_RX [SIZE]", "a process sends, another receives",
	    PAIR("udp4")),
	RUN(udppath, flood, "NETNS_TX NETNS_RX ADDRESS SECONDS CPU_TX CPU_RX [SIZE]",
	    "the same between two namespaces", PATH("udp4")),
	RUN(udpsend, udpsend, "NETNS_TX NETNS_RX ADDRESS N CPU [NS [sleep]]",
	    "the same, N messages that nobody reads, and NS to pass after each", PATH("udp4")),
	RUN(tcppath, flood, "NETNS_TX NETNS_RX ADDRESS SECONDS CPU_TX CPU_RX [SIZE]", "over TCP",
	    PATH("tcp4")),
	RUN(busypoll, busypoll, "NETNS_TX NETNS_RX ADDRESS US N [epoll]", "N receives of nothing",
	    PATH("udp4")),
	RUN(stream, flood, "PROTO SECONDS CPU_TX CPU_RX [SIZE]", "the same over lo", PAIR(NULL)),
	RUN(uring_work, uring_work, "N|MS [sqpoll]", "16 MB each, by io_uring's workers"),
	RUN(vhost, vhost, "N", "frames through vhost-net to a tap device"),
	RUN(tun, tun, "IF FROM TO SECONDS CPU", "packets into a tun device, and out of it"),
	RUN(syns, syns, "IF FROM TO N SECONDS", "N half connections by a tun device"),
	RUN(nfqueue, nfqueue, "QUEUE", "accepts its packets, until killed"),
	RUN(binds, binds, "N", "sockets are bound to any port"),
	RUN(accepts, accepts, "N SECONDS CPU", "connections for N threads that accept",
	    .proto = "tcp4"),
	RUN(xdplive, xdplive, "FROM TO N", "frames that come to lo from an XDP program"),
	RUN(ktls, ktls, "N", "records of 16 kB", PAIR("tls")),
	RUN(algorithm, algorithm, "TYPE NAME", "holds it, until killed"),
	RUN(rounds, loop, "SECONDS CPU", "UDP, each sent and received", PAIR("udp4"),
	    .one = one_both_ways),
	RUN(unixflood, loop, "SECONDS CPU", "unix as often as it goes", .open = open_unix,
	    .one = one_both_ways),
	RUN(count_udp, instructions, "N", "of each of N rounds", .open = open_udp_ports,
	    .one = one_both_ways),
	RUN(count_forward, instructions, "N", "to the router before 203.0.113.1, from netto-a",
	    .open = open_forward, .one = one_send),
	RUN(count_tcp, instructions, "N", "64 kB", PAIR("tcp4"), .one = one_64_kb),
	RUN(count_pipe, instructions, "N", "two context switches", .open = open_echo,
	    .one = one_echo),
	RUN(count_tick, instructions, "N", "a hundredth of a tick in user space", .one = one_tick),
	RUN(switches, switches, "SECONDS CPU [NICE]", "two processes, two pipes"),
	RUN(uncap, capabilities, "CAP,... COMMAND [ARG]...", "run it without these capabilities"),
	RUN(only, capabilities, "CAP,... COMMAND [ARG]...", "run it with these alone; '': none"),
	RUN(program, program, "CGROUP|IF COMMAND [ARG]...", "run it with an eBPF program there"),
	RUN(nobpf, refused, "ERRNO COMMAND [ARG]...", "run it where bpf() fails"),
	RUN(now, now, "", "Unix seconds"),
	RUN(peak, peak, "COMMAND [ARG]...", "run it, and say the most memory that it had"),
	RUN(noperf, refused, "ERRNO COMMAND [ARG]...", "run it where perf_event_open() fails"),
};
/* clang-format on */

#define LOADS COUNT(loads)

/* How many arguments the load must have: the words before the first bracket. */
static int needed(const struct load *l)
{
	int count = 0;

	for (const char *p = l->args; *p && *p != '['; p++)
		count += *p != ' ' && (p == l->args || p[-1] == ' ');
	return count;
}

static int usage(void)
{
	fprintf(stderr, "usage: load NAME [ARG]...    N: 1009; PROTO:");
	for (size_t i = 0; i < COUNT(protocols); i++)
		fprintf(stderr, " %s", protocols[i].name);
	fputc('\n', stderr);
	for (size_t i = 0; i < LOADS; i++)
		fprintf(stderr, "  %-11s %-28s  %s\n", loads[i].name, loads[i].args, loads[i].help);
	return 2;
}

int main(int argc, char **argv)
{
	words = argv + 2;
	word_count = argc - 2;
	for (load = loads; argc > 1 && load < loads + LOADS; load++) {
		if (strcmp(argv[1], load->name))
			continue;
		if (word_count < needed(load))
			break;
		pin(0, "CPU");
		if (load->open)
			load->open();
		prepare_messages();
		if (load->prepare)
			load->prepare();
		load->run();
		if (fflush(stdout))
			die("standard output", strerror(errno));
		return 0;
	}
	return usage();
}
