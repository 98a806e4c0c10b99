// SPDX-License-Identifier: GPL-2.0
/*
 * load - networking of known amounts, for the tests of netto
 *
 * Each load does what its name says, a number of times or for a time that is given, over the
 * loopback or between network namespaces, inside one process (a second one where the help says so).
 * It prints what it really did as key=value pairs on one line. sends and recvs are the messages
 * that were handed to or taken from the kernel; cpu_ns is CPU time of the calling thread; wall_ns
 * is the time that passed. A call that fails or is short ends it with a message and status 1.
 * Status 77 means that this kernel cannot do it.
 *
 * All messages of the counted loads are SIZE bytes. The libc's wrappers are used where they are
 * the plain system call. musl's sendmmsg() is not (a loop of sendmsg), nor its sched_setscheduler.
 *
 * The list of the loads is loads[], at the end: a load is a row there, and the functions in it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
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
#define PAGE	     4096	 /* bytes; there may be more in one */
#define NS	     1000000000LL
#define COUNT(a)     (sizeof(a) / sizeof(a[0]))

/* Of Linux 6.7, which the headers may not have yet. */
#define BPF_NETKIT_PRIMARY 54
#define NETKIT_PASS	   0

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t length;
};

/* Two sockets, of which one sends to the other, and what some operations need besides. */
static struct {
	int tx, rx;
	struct address to; /* rx's */
	long sends, recvs; /* messages that are done */
	long want;	   /* that are still to be done */
	int size;	   /* of a message, bytes */
	int file;	   /* of a message */
	int pipe[2];
	struct {
		int fd;
		struct io_uring_sqe *sqe; /* the only one */
		struct io_uring_cqe *cqes;
		unsigned int *sq_tail, *cq_head, cq_mask;
	} ring;
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
	unsigned char buf[1 << 16];
} io = { .size = SIZE };

struct load {
	const char *name;
	const char *args; /* upper case: needed; in brackets: not */
	const char *help;
	void (*run)(void);
	void (*open)(void); /* opens its sockets; NULL: run() does */
	const char *proto;  /* of these; NULL: the argument PROTO */
	void (*one)(void);  /* the operation that it repeats; see section 3 */
};

/* What two processes tell each other. */
struct shared {
	volatile int stop;
	long recvs;
	long long rx_cpu_ns;
	clockid_t clock;     /* CPU time of bigsend's sender */
	long long since;     /* the same, when it came to where it is */
	long long cpu_ns[2]; /* that it had on CPU_A and CPU_B */
	long moves;	     /* odd: it is on CPU_B */
};

/* PROTO. Of tls the kernel encrypts, by sockmap it is received without TCP: see open_pair(). */
static const struct protocol {
	const char *name, *host;
	int type, protocol;
} protocols[] = {
	{ "udp4", "127.0.0.1", SOCK_DGRAM, 0 },
	{ "udp6", "::1", SOCK_DGRAM, 0 },
	{ "tcp4", "127.0.0.1", SOCK_STREAM, 0 },
	{ "tcp6", "::1", SOCK_STREAM, 0 },
	{ "mptcp", "127.0.0.1", SOCK_STREAM, MPTCP },
	{ "sctp", "127.0.0.1", SOCK_STREAM, IPPROTO_SCTP },
	{ "tls", "127.0.0.1", SOCK_STREAM, 0 },
	{ "sockmap", "127.0.0.1", SOCK_STREAM, 0 },
};

/* ==== 1. Arguments and helpers ==== */

static const struct load *load;	     /* the one that runs */
static const struct protocol *proto; /* its protocol, if it has one */
static char **words;		     /* its arguments; the last one is NULL */
static struct shared *shared;

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(1);
}

static long check(long result, const char *call)
{
	if (result < 0)
		die(call, strerror(errno));
	return result;
}

#define must(call) check(call, #call)

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
	size_t length;

	for (char **word = words; *word; word++, p += length) {
		p += strspn(p, " []");
		length = strcspn(p, " []");
		if (length == strlen(name) && !memcmp(p, name, length))
			return word;
	}
	return NULL;
}

static const char *text(const char *name)
{
	return argument(name) ? *argument(name) : NULL;
}

/* 0: it is not given. */
static double number(const char *name)
{
	const char *word = text(name);
	char *end;
	double value = word ? strtod(word, &end) : 0;

	if (word && (end == word || *end))
		die(word, "not a number");
	return value;
}

static long long now(clockid_t clock)
{
	struct timespec t;

	must(clock_gettime(clock, &t));
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

static void report(void)
{
	printf("sends=%ld recvs=%ld cpu_ns=%lld wall_ns=%lld\n", io.sends, io.recvs, cpu_ns(),
	       wall_ns());
}

/* The checksum of IP, not yet inverted. */
static uint16_t sum(const void *p, size_t length, uint32_t sum)
{
	for (const uint16_t *word = p; length; length -= 2)
		sum += *word++;
	sum = (sum >> 16) + (sum & 0xffff);
	return sum + (sum >> 16);
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
	must(sched_setaffinity(tid, sizeof(set), &set));
}

static void *map(int fd, size_t size, off_t offset, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, offset);

	if (p == MAP_FAILED)
		die("mmap", strerror(errno));
	return p;
}

/* The child is not to outlive its parent. */
static pid_t start_child(void)
{
	pid_t pid = must(fork());

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void end_child(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0));
	if (status)
		die("child", "failed");
}

/* clang-format off */
/* Programs of few instructions, for loads that need no object file. */
#define MOVE(reg, value) { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = reg, .imm = value }
#define CALL(helper) { .code = BPF_JMP | BPF_CALL, .imm = helper }
#define EXIT { .code = BPF_JMP | BPF_EXIT }
/* clang-format on */

static int bpf(int command, union bpf_attr attr)
{
	return check(syscall(SYS_bpf, command, &attr, sizeof(attr)), "bpf");
}

static int load_program(int type, const struct bpf_insn *code, size_t count)
{
	return bpf(BPF_PROG_LOAD, (union bpf_attr) { .prog_type = type,
						     .insns = (uintptr_t)code,
						     .insn_cnt = count,
						     .license = (uintptr_t) "GPL" });
}

/* ==== 2. Sockets ==== */

static void set_option(int fd, int level, int option, int value)
{
	must(setsockopt(fd, level, option, &value, sizeof(value)));
}

static void set_timeout(int fd, int option, long ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	must(setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t)));
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
	struct address a = { .v4.sin_port = htons(port) }; /* where sin6_port is, too */
	bool is_v6 = strchr(host, ':');

	a.any.sa_family = is_v6 ? AF_INET6 : AF_INET;
	a.length = is_v6 ? sizeof(a.v6) : sizeof(a.v4);
	if (inet_pton(a.any.sa_family, host,
		      is_v6 ? (void *)&a.v6.sin6_addr : (void *)&a.v4.sin_addr) != 1)
		die(host, "not an address");
	return a;
}

static void bind_to(int fd, struct address a)
{
	must(bind(fd, &a.any, a.length));
}

static void connect_to(int fd, struct address a)
{
	must(connect(fd, &a.any, a.length));
}

static void choose_protocol(void)
{
	const char *name = load->proto ? load->proto : text("PROTO");

	for (proto = protocols; name && strcmp(name, proto->name);)
		if (++proto == protocols + COUNT(protocols))
			die(name, "no such PROTO");
}

static int proto_socket(void)
{
	return may(socket(io.to.any.sa_family, proto->type, proto->protocol), proto->name);
}

/* Where messages of any protocol are counted, the sockets have room for all of them. */
static bool has_room(void)
{
	return load->one && !load->proto;
}

/* Takes what comes to ADDRESS, or else to a port of the loopback. One of a stream listens. */
static int bound_socket(void)
{
	const char *address = text("ADDRESS");
	int fd;

	io.to = address_of(address ? address : proto->host, address ? PORT : 0);
	fd = proto_socket();
	/* Nothing is to be lost or blocked, even while the receiver's CPU is held up. */
	if (has_room() || address)
		set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE);
	if (address) {
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		bind_to(fd, address_of(strchr(address, ':') ? "::" : "0.0.0.0", PORT));
	} else {
		bind_to(fd, io.to);
		must(getsockname(fd, &io.to.any, &io.to.length));
	}
	if (proto->type == SOCK_STREAM)
		must(listen(fd, 1));
	return fd;
}

static void open_unix(void)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
	io.tx = fds[0];
	io.rx = fds[1];
}

/* From now on, sockets are made in this namespace of `ip netns`, where they stay. */
static void enter(const char *netns)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = check(open(path, O_RDONLY | O_CLOEXEC), path);
	must(setns(fd, CLONE_NEWNET));
	close(fd);
}

static void start_tls(void)
{
	struct tls12_crypto_info_aes_gcm_128 key = {
		.info = { TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 },
	};

	may(setsockopt(io.tx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "kTLS");
	must(setsockopt(io.rx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")));
	must(setsockopt(io.tx, SOL_TLS, TLS_TX, &key, sizeof(key)));
	must(setsockopt(io.rx, SOL_TLS, TLS_RX, &key, sizeof(key)));
}

/* What is sent is received without TCP. */
static void join_by_sockmap(void)
{
	int map = bpf(BPF_MAP_CREATE, (union bpf_attr) { .map_type = BPF_MAP_TYPE_SOCKMAP,
							 .key_size = 4,
							 .value_size = 4,
							 .max_entries = 2 });
	struct bpf_insn redirect[] = {
		{ BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 2, .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{},
		MOVE(3, 0),
		MOVE(4, BPF_F_INGRESS),
		CALL(BPF_FUNC_msg_redirect_map),
		EXIT,
	};
	int program = load_program(BPF_PROG_TYPE_SK_MSG, redirect, COUNT(redirect));

	bpf(BPF_PROG_ATTACH, (union bpf_attr) { .target_fd = map,
						.attach_bpf_fd = program,
						.attach_type = BPF_SK_MSG_VERDICT });
	for (int key = 0; key < 2; key++)
		bpf(BPF_MAP_UPDATE_ELEM,
		    (union bpf_attr) { .map_fd = map,
				       .key = (uintptr_t)&key,
				       .value = (uintptr_t)(key ? &io.tx : &io.rx) });
}

/* On the loopback; or from the namespace NETNS_TX to NETNS_RX, to ADDRESS there. */
static void open_pair(void)
{
	int listener;

	if (text("NETNS_RX"))
		enter(text("NETNS_RX"));
	io.rx = bound_socket();
	if (text("NETNS_TX"))
		enter(text("NETNS_TX"));
	io.tx = proto_socket();
	connect_to(io.tx, io.to);
	if (proto->type == SOCK_STREAM) {
		listener = io.rx;
		io.rx = must(accept(listener, NULL, NULL));
		close(listener);
	}
	if (has_room()) {
		set_buffer(io.tx, SO_SNDBUF, SO_SNDBUFFORCE);
		if (proto->type == SOCK_STREAM)
			set_option(io.tx, IPPROTO_TCP, TCP_NODELAY, 1);
	}
	set_timeout(io.tx, SO_SNDTIMEO, PATIENCE * 1000);
	set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
	if (!strcmp(proto->name, "tls"))
		start_tls();
	if (!strcmp(proto->name, "sockmap"))
		join_by_sockmap();
}

/*
 * The ports are given: of two by chance, one pair in 256 is in the same slot of the kernel's table
 * of sockets, where a lookup takes 31 instructions more.
 */
static void open_udp_ports(void)
{
	io.rx = must(socket(AF_INET, SOCK_DGRAM, 0));
	bind_to(io.rx, address_of("127.0.0.1", PORT));
	io.tx = must(socket(AF_INET, SOCK_DGRAM, 0));
	bind_to(io.tx, address_of("127.0.0.1", PORT + 1));
	connect_to(io.tx, address_of("127.0.0.1", PORT));
}

/* From netto-a to where nobody receives: the router before drops it. */
static void open_forward(void)
{
	enter("netto-a");
	io.tx = must(socket(AF_INET, SOCK_DGRAM, 0));
	connect_to(io.tx, address_of("203.0.113.1", PORT));
}

/* To all: a frame of another host would be dropped. */
static void make_frame(unsigned char *frame)
{
	memset(frame, 0xff, 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
}

/* Bound to protocol 0 it only sends. */
static int packet_socket(int protocol)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = must((int)if_nametoindex(text("IF") ? text("IF") : "lo") ?: -1),
	};
	int fd = must(socket(AF_PACKET, SOCK_RAW, 0));

	must(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void open_packet_tx(void)
{
	make_frame(io.buf);
	io.tx = packet_socket(0);
}

static void open_packets(void)
{
	open_packet_tx();
	io.rx = packet_socket(ETHERTYPE);
	set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
}

/* It sends to itself: another raw socket would get a copy of each. No header arrives. */
static void open_rawv6(void)
{
	io.rx = io.tx = must(socket(AF_INET6, SOCK_RAW, RAW_PROTOCOL));
	connect_to(io.tx, address_of("::1", 0));
	set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
}

/* ==== 3. Operations: each handles at most io.want messages, and counts them ==== */

/* A call that handles exactly one message. */
static int check_size(long result, const char *call)
{
	if (check(result, call) != io.size)
		die(call, "short");
	return 1;
}

#define whole(call) check_size(call, #call)

static int many(int call, int fd)
{
	int want = io.want < BATCH ? io.want : BATCH;

	if (must(syscall(call, fd, io.msgs, want, 0, NULL)) != want)
		die("messages", "too few");
	for (int i = 0; i < want; i++)
		whole(io.msgs[i].msg_len);
	return want;
}

/* Has the ring do one thing. Returns the result of that, -1 with errno set. */
static int do_by_ring(struct io_uring_sqe sqe)
{
	unsigned int head = *io.ring.cq_head;
	int result;

	*io.ring.sqe = sqe;
	__atomic_store_n(io.ring.sq_tail, *io.ring.sq_tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, io.ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0));
	result = io.ring.cqes[head & io.ring.cq_mask].res;
	errno = -result;
	__atomic_store_n(io.ring.cq_head, head + 1, __ATOMIC_RELEASE);
	return result < 0 ? -1 : result;
}

static int message_by_ring(int opcode, int fd, int flags)
{
	return do_by_ring((struct io_uring_sqe) { .opcode = opcode,
						  .flags = flags,
						  .fd = fd,
						  .addr = (uintptr_t)io.buf,
						  .len = io.size });
}

static int receive_from(void)
{
	struct address from = { .length = sizeof(from.v6) };

	return recvfrom(io.rx, io.buf, io.size, 0, &from.any, &from.length);
}

static int splice_out(void)
{
	whole(write(io.pipe[1], io.buf, io.size));
	return splice(io.pipe[0], NULL, io.tx, NULL, io.size, 0);
}

static int splice_in(void)
{
	whole(splice(io.rx, NULL, io.pipe[1], NULL, io.size, 0));
	return read(io.pipe[0], io.buf, io.size);
}

/* clang-format off */
#define SEND_BY(name, messages) static void one_##name(void) { io.sends += messages; }
#define RECV_BY(name, messages) static void one_##name(void) { io.recvs += messages; }

SEND_BY(send, whole(send(io.tx, io.buf, io.size, 0)))
SEND_BY(sendto, whole(sendto(io.tx, io.buf, io.size, 0, &io.to.any, io.to.length)))
SEND_BY(sendmsg, whole(sendmsg(io.tx, &io.msgs[0].msg_hdr, 0)))
SEND_BY(sendmmsg, many(SYS_sendmmsg, io.tx))
SEND_BY(write, whole(write(io.tx, io.buf, io.size)))
SEND_BY(writev, whole(writev(io.tx, io.iov, 1)))
SEND_BY(sendfile, whole(sendfile(io.tx, io.file, &(off_t) { 0 }, io.size)))
SEND_BY(splice_out, whole(splice_out()))
SEND_BY(uring_send, whole(message_by_ring(IORING_OP_SEND, io.tx, 0)))
SEND_BY(uring_worker, whole(message_by_ring(IORING_OP_SEND, io.tx, IOSQE_ASYNC)))
RECV_BY(recv, whole(recv(io.rx, io.buf, io.size, 0)))
RECV_BY(recvfrom, whole(receive_from()))
RECV_BY(recvmsg, whole(recvmsg(io.rx, &io.msgs[0].msg_hdr, 0)))
RECV_BY(recvmmsg, many(SYS_recvmmsg, io.rx))
RECV_BY(read, whole(read(io.rx, io.buf, io.size)))
RECV_BY(readv, whole(readv(io.rx, io.iov, 1)))
RECV_BY(splice_in, whole(splice_in()))
RECV_BY(uring_recv, whole(message_by_ring(IORING_OP_RECV, io.rx, 0)))
/* clang-format on */

static void one_both_ways(void)
{
	one_send();
	one_recv();
}

static void one_echo(void)
{
	one_write();
	one_read();
}

static void prepare_messages(void)
{
	for (int i = 0; i < BATCH; i++) {
		io.iov[i] = (struct iovec) { io.buf, io.size };
		io.msgs[i].msg_hdr.msg_iov = &io.iov[i];
		io.msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

static void open_file(void)
{
	open_pair();
	io.file = must(memfd_create("load", 0));
	whole(write(io.file, io.buf, io.size));
}

static void open_pipe(void)
{
	open_pair();
	must(pipe(io.pipe));
}

/*
 * Of one entry. The kernel has both queues in one page (from 5.4 on). With sqpoll one of its
 * threads looks for entries.
 */
static void make_ring(void)
{
	struct io_uring_params p = { .flags = text("sqpoll") ? IORING_SETUP_SQPOLL : 0,
				     .sq_thread_idle = 10000 };
	void *queues;

	io.ring.fd = syscall(SYS_io_uring_setup, 1, &p);
	if (io.ring.fd < 0 && (errno == ENOSYS || errno == EPERM))
		may(io.ring.fd, "io_uring");
	check(io.ring.fd, "io_uring_setup");
	queues = map(io.ring.fd, PAGE, IORING_OFF_SQ_RING, MAP_POPULATE);
	io.ring.sqe = map(io.ring.fd, PAGE, IORING_OFF_SQES, MAP_POPULATE);
	io.ring.sq_tail = queues + p.sq_off.tail;
	io.ring.cq_head = queues + p.cq_off.head;
	io.ring.cqes = queues + p.cq_off.cqes;
	io.ring.cq_mask = p.cq_entries - 1;
}

static void open_ring(void)
{
	open_pair();
	make_ring();
}

/* ==== 4. Counted loads ==== */

/* Repeats the operation until N messages are sent. */
static void run_send(void)
{
	long n = number("N");

	start_clocks();
	while (io.sends < n) {
		io.want = n - io.sends;
		load->one();
	}
	report();
}

/* Receives N messages that `io.tx` sends, in rounds that surely fit into the buffer. */
static void run_recv(void)
{
	long n = number("N");

	start_clocks();
	while (io.recvs < n) {
		while (io.sends < n && io.sends < io.recvs + ROUND)
			one_write();
		while (io.recvs < io.sends) {
			io.want = io.sends - io.recvs;
			load->one();
		}
	}
	report();
}

/* N connections, with a message in each. Of MPTCP, workers end them. */
static void run_connect(void)
{
	int listener = bound_socket();
	long n = number("N");

	start_clocks();
	while (io.recvs < n) {
		io.tx = proto_socket();
		connect_to(io.tx, io.to);
		io.rx = must(accept(listener, NULL, NULL));
		one_both_ways();
		must(close(io.tx));
		must(close(io.rx));
	}
	report();
}

static void open_xsk(void)
{
	io.tx = may(socket(AF_XDP, SOCK_RAW, 0), "AF_XDP");
}

/* Of a socket that is bound to nothing: it fails, after it has come to the socket's operation. */
static void one_kick(void)
{
	if (sendto(io.tx, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno != ENXIO)
		die("sendto of AF_XDP", strerror(errno));
	io.sends++;
}

static void run_udpsend(void)
{
	long n = number("N"), ns = number("NS");

	start_clocks();
	while (io.sends < n) {
		one_send();
		if (text("sleep"))
			usleep(ns / 1000);
		else
			spin_ns(ns);
	}
	report();
}

static void await_one(int epoll)
{
	struct epoll_event event;

	one_send();
	must(epoll_wait(epoll, &event, 1, PATIENCE * 1000));
	one_recv();
}

/*
 * Waits N times for what does not come, each time busy polling US microseconds: in recv, twice, or
 * in epoll_wait. The first packet tells the socket which device to poll.
 */
static void run_busypoll(void)
{
	int us = number("US"), epoll = must(epoll_create1(0));
	struct epoll_event event = { .events = EPOLLIN };
	long n = number("N");

	set_option(io.rx, SOL_SOCKET, SO_BUSY_POLL, us);
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, io.rx, &event));
	await_one(epoll);
	set_timeout(io.rx, SO_RCVTIMEO, 1);
	start_clocks();
	for (long i = 0; i < n; i++) {
		if (text("epoll")) {
			await_one(epoll); /* it polls once after each packet */
			if (epoll_wait(epoll, &event, 1, 1) != 0)
				die("epoll_wait", "there is something");
		} else if (recv(io.rx, io.buf, SIZE, 0) >= 0 || errno != EAGAIN) {
			die("recv", strerror(errno));
		}
		spin_ns(us * 1000LL); /* as long again, that is no polling */
	}
	report();
}

/*
 * N records over kTLS that do not fit into the socket's buffer: what is left of a record when it is
 * full is sent by a worker when there is room again.
 */
static void run_ktls(void)
{
	enum { RECORD = 16384 };
	long all = (long)number("N") * RECORD, sent = 0, got = 0, size;

	while (got < all) {
		while (sent < all && (size = send(io.tx, io.buf, RECORD, MSG_DONTWAIT)) > 0)
			sent += size;
		while ((size = recv(io.rx, io.buf, RECORD, MSG_DONTWAIT)) > 0)
			got += size;
		if (size < 0 && errno != EAGAIN)
			die("recv", strerror(errno));
		usleep(1000);
	}
	printf("bytes=%ld\n", got);
}

/* ==== 5. Timed loads ==== */

/* Repeats an operation for SECONDS. */
static void repeat(void (*one)(void))
{
	long long end = number("SECONDS") * NS;

	start_clocks();
	while (wall_ns() < end)
		for (int i = 0; i < 16; i++)
			one();
}

static void run_loop(void)
{
	repeat(load->one);
	report();
}

/* On a socket of its own: another one, or a connection, would be operations more. */
static void run_block_recv(void)
{
	int fd = bound_socket();

	set_timeout(fd, SO_RCVTIMEO, number("MS"));
	start_clocks();
	if (recv(fd, io.buf, SIZE, 0) >= 0 || errno != EAGAIN)
		die("recv", "did not time out");
	report();
}

static void run_burn(void)
{
	long long seconds = number("SECONDS") * NS, period = seconds, burn = seconds;
	struct sched_param prio = { .sched_priority = number("PRIO") };

	start_clocks();
	if (text("fifo")) {
		period = number("PERIOD_US") * 1000;
		burn = period * number("DUTY_PERCENT") / 100;
		must(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &prio));
	}
	for (long long next = 0; next < seconds; next += period) {
		long long at = wall_start + next;
		struct timespec t = { .tv_sec = at / NS, .tv_nsec = at % NS };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		spin_ns(next + burn - wall_ns());
	}
	printf("cpu_ns=%lld wall_ns=%lld\n", cpu_ns(), wall_ns());
}

/* What bigsend's sender took where it is. */
static void charge_sender(void)
{
	long long t = now(shared->clock);

	shared->cpu_ns[shared->moves % 2] += t - shared->since;
	shared->since = t;
}

/*
 * Takes what comes for SECONDS, and moves the sender each MOVE_NS; then breaks the connection,
 * which ends the sender's call. Where the machine is so fast that the call would end before, it
 * waits: at most three quarters by then.
 */
static _Noreturn void drain(void)
{
	static char buf[1 << 18];
	long long ns = number("SECONDS") * NS, past, got = 0;

	start_clocks();
	while ((past = wall_ns()) < ns) {
		if (past >= (shared->moves + 1) * MOVE_NS) {
			/* Comes back when the sender has left its CPU, in the kernel or not. */
			pin(getppid(), shared->moves % 2 ? "CPU_A" : "CPU_B");
			charge_sender();
			shared->moves++;
		} else if (got > 0.75 * BIGSEND * past / ns) {
			usleep(1000);
		} else {
			got += must(recv(io.rx, buf, sizeof(buf), 0));
		}
	}
	exit(0);
}

static void run_bigsend(void)
{
	static char buf[BIGSEND / UIO_MAXIOV];
	static struct iovec iov[UIO_MAXIOV]; /* all of them the same memory */
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = UIO_MAXIOV };
	pid_t child;

	memset(buf, 1, sizeof(buf));
	for (int i = 0; i < UIO_MAXIOV; i++)
		iov[i] = (struct iovec) { buf, sizeof(buf) };
	must(-(errno = clock_getcpuclockid(getpid(), &shared->clock)));
	shared->since = now(shared->clock);
	child = start_child();
	pin(0, child ? "CPU_A" : "CPU_RX");
	close(child ? io.rx : io.tx);
	if (!child)
		drain();
	must(sendmsg(io.tx, &msg, MSG_NOSIGNAL));
	close(io.tx);
	end_child(child);
	charge_sender();
	printf("sends=1 cpu_a_ns=%lld cpu_b_ns=%lld moves=%ld\n", shared->cpu_ns[0],
	       shared->cpu_ns[1], shared->moves);
}

/* Receives until told to stop and the queue is empty. */
static _Noreturn void receive(void)
{
	start_clocks();
	set_timeout(io.rx, SO_RCVTIMEO, 100);
	for (;;) {
		if (recv(io.rx, io.buf, sizeof(io.buf), 0) >= 0)
			shared->recvs++;
		else if (errno != EAGAIN)
			die("recv", strerror(errno));
		else if (shared->stop)
			break;
	}
	shared->rx_cpu_ns = cpu_ns();
	exit(0);
}

/* One process sends SIZE bytes from io.tx on CPU_TX, another receives from io.rx on CPU_RX. */
static void run_flood(void)
{
	long long tx_cpu_ns;
	pid_t child;

	if (text("SIZE"))
		io.size = number("SIZE");
	child = start_child();
	pin(0, child ? "CPU_TX" : "CPU_RX");
	if (!child)
		receive();
	repeat(one_send);
	tx_cpu_ns = cpu_ns();
	shared->stop = 1;
	end_child(child);
	printf("sends=%ld recvs=%ld tx_cpu_ns=%lld rx_cpu_ns=%lld\n", io.sends, shared->recvs,
	       tx_cpu_ns, shared->rx_cpu_ns);
}

/* Another process gives back each byte that it gets from io.tx, to io.rx. */
static void open_echo(void)
{
	int there[2], back[2];
	char byte;

	if (text("NICE"))
		must(setpriority(PRIO_PROCESS, 0, number("NICE")));
	must(pipe(there));
	must(pipe(back));
	if (!start_child()) {
		close(there[1]);
		while (must(read(there[0], &byte, 1)))
			must(write(back[1], &byte, 1));
		exit(0);
	}
	io.tx = there[1];
	io.rx = back[0];
	io.size = 1;
}

static void one_64_kb(void)
{
	io.size = sizeof(io.buf);
	one_send();
	for (int got = 0; got < io.size;)
		got += must(recv(io.rx, io.buf, io.size - got, 0));
}

/* A hundredth of a tick of the timer, at 250 Hz: the mean, a hundred times, has one tick. */
static void one_tick(void)
{
	for (int turns = 20000; turns; turns--)
		asm volatile("" : "+r"(turns));
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
	static char buf[16 << 20];
	struct io_uring_sqe sqe = { .opcode = IORING_OP_READ,
				    .flags = IOSQE_ASYNC,
				    .fd = must(open("/dev/zero", O_RDONLY)),
				    .addr = (uintptr_t)buf,
				    .len = sizeof(buf) };
	long n = number("N|MS"), reads = 0;

	memset(buf, 1, sizeof(buf));
	make_ring();
	if (text("sqpoll"))
		usleep(n * 1000);
	for (; reads < n && !text("sqpoll"); reads++)
		if (do_by_ring(sqe) != sizeof(buf))
			die("io_uring", "short");
	printf("reads=%ld worker_ns=%lld\n", reads,
	       now(CLOCK_PROCESS_CPUTIME_ID) - now(CLOCK_THREAD_CPUTIME_ID));
}

/* Holds an algorithm of the kernel's, which so gets an instance, until it is killed. */
static void run_algorithm(void)
{
	struct sockaddr_alg name = { .salg_family = AF_ALG };
	int fd = must(socket(AF_ALG, SOCK_SEQPACKET, 0));

	snprintf((char *)name.salg_type, sizeof(name.salg_type), "%s", text("TYPE"));
	snprintf((char *)name.salg_name, sizeof(name.salg_name), "%s", text("NAME"));
	check(bind(fd, (struct sockaddr *)&name, sizeof(name)), text("NAME"));
	puts("held");
	pause();
}

static int new_tun(const char *name, int flags)
{
	struct ifreq ifr = { .ifr_flags = flags | IFF_NO_PI };
	int fd = must(open("/dev/net/tun", O_RDWR | O_NONBLOCK));

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	must(ioctl(fd, TUNSETIFF, &ifr));
	return fd;
}

/*
 * What a virtual machine does: N frames to vhost-net, 64 at a time, which puts them into a tap
 * device. All of this process's memory there is its memory.
 */
static void run_vhost(void)
{
	enum { FRAMES = 64, HEADER = 10, FRAME = HEADER + 60 }; /* a header of virtio before each */
	static struct {
		char ring[2 * PAGE];
		unsigned char frame[FRAME];
	} m __attribute__((aligned(PAGE)));
	struct vhost_memory *memory = calloc(1, sizeof(*memory) + sizeof(memory->regions[0]));
	struct ifreq ifr = { .ifr_name = "tap0", .ifr_flags = IFF_UP };
	int tap = new_tun("tap0", IFF_TAP | IFF_VNET_HDR);
	int vhost = must(open("/dev/vhost-net", O_RDWR)), kick = must(eventfd(0, 0));
	struct vhost_vring_state size = { 1, FRAMES };
	struct vhost_vring_file kicks = { 1, kick }, backend = { 1, tap };
	struct vhost_vring_addr addr = { .index = 1 };
	uint64_t features = 0, one = 1;
	long n = number("N");
	struct vring ring;

	vring_init(&ring, FRAMES, m.ring, PAGE);
	addr.desc_user_addr = (uintptr_t)ring.desc;
	addr.avail_user_addr = (uintptr_t)ring.avail;
	addr.used_user_addr = (uintptr_t)ring.used;
	memory->nregions = 1;
	memory->regions[0] =
		(struct vhost_memory_region) { (uintptr_t)&m, sizeof(m), (uintptr_t)&m, 0 };
	must(ioctl(must(socket(AF_INET, SOCK_DGRAM, 0)), SIOCSIFFLAGS, &ifr));
	must(ioctl(vhost, VHOST_SET_OWNER));
	must(ioctl(vhost, VHOST_SET_FEATURES, &features));
	must(ioctl(vhost, VHOST_SET_MEM_TABLE, memory));
	must(ioctl(vhost, VHOST_SET_VRING_NUM, &size));
	must(ioctl(vhost, VHOST_SET_VRING_ADDR, &addr));
	must(ioctl(vhost, VHOST_SET_VRING_KICK, &kicks));
	must(ioctl(vhost, VHOST_NET_SET_BACKEND, &backend));
	make_frame(m.frame + HEADER);
	for (int i = 0; i < FRAMES; i++) {
		ring.desc[i] = (struct vring_desc) { .addr = (uintptr_t)m.frame, .len = FRAME };
		ring.avail->ring[i] = i;
	}
	start_clocks();
	for (; io.sends < n; io.sends += FRAMES) {
		__atomic_store_n(&ring.avail->idx, ring.avail->idx + FRAMES, __ATOMIC_RELEASE);
		must(write(kick, &one, sizeof(one)));
		for (int ms = 0; *(volatile uint16_t *)&ring.used->idx != ring.avail->idx; ms++) {
			if (ms == PATIENCE * 1000)
				die("vhost", "it takes no frames");
			usleep(1000);
		}
	}
	report();
}

/*
 * A packet of UDP over IPv4 from FROM to TO, or the first one of a TCP connection; returns how long
 * it is.
 */
static int make_packet(unsigned char *p, bool syn)
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
			       .protocol = syn ? IPPROTO_TCP : IPPROTO_UDP,
			       .saddr = address_of(text("FROM"), 0).v4.sin_addr.s_addr,
			       .daddr = address_of(text("TO"), 0).v4.sin_addr.s_addr };
	ip->check = ~sum(ip, sizeof(*ip), 0);
	if (syn)
		*tcp = (struct tcphdr) {
			.dest = htons(PORT), .doff = 5, .syn = 1, .window = 0xffff
		};
	else
		*udp = (struct udphdr) { .dest = htons(PORT), .len = htons(sizeof(*udp) + SIZE) };
	return length;
}

/* Takes what the device has. */
static void read_tun(void)
{
	static char buf[1 << 16];

	while (read(io.tx, buf, sizeof(buf)) > 0)
		io.recvs++;
	if (errno != EAGAIN)
		die("read from the tun device", strerror(errno));
}

/* What a VPN in user space does: packets are written, and what comes to the device is read. */
static void one_of_tun(void)
{
	one_write();
	read_tun();
}

static void open_tun(void)
{
	io.tx = new_tun(text("IF"), IFF_TUN);
	io.size = make_packet(io.buf, false);
}

/*
 * N connections begin, from as many ports, and go on no further, for SECONDS: the kernel's timers
 * answer again and again.
 */
static void run_syns(void)
{
	struct tcphdr *tcp = (void *)(io.buf + sizeof(struct iphdr));
	int listener = must(socket(AF_INET, SOCK_STREAM, 0));
	long n = number("N");

	bind_to(listener, address_of("0.0.0.0", PORT));
	must(listen(listener, n));
	io.size = make_packet(io.buf, true);
	start_clocks();
	while (io.sends < n) {
		tcp->source = htons(1024 + io.sends);
		tcp->check = 0;
		tcp->check = ~sum(io.buf + offsetof(struct iphdr, saddr), sizeof(*tcp) + 8,
				  htons(IPPROTO_TCP) + htons(sizeof(*tcp)));
		one_write();
	}
	while (wall_ns() < number("SECONDS") * NS) {
		read_tun();
		usleep(50000);
	}
	report();
}

/* Tells netfilter's QUEUE one thing. */
static void tell_queue(int fd, int type, int attribute, const void *value, size_t size)
{
	struct {
		struct nlmsghdr n;
		struct nfgenmsg g;
		struct nlattr a;
		char value[8];
	} m = {
		{ .nlmsg_len = sizeof(m) - sizeof(m.value) + size,
		  .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type,
		  .nlmsg_flags = NLM_F_REQUEST },
		{ .res_id = htons(number("QUEUE")) },
		{ NLA_HDRLEN + size, attribute },
		{},
	};

	memcpy(m.value, value, size);
	must(send(fd, &m, m.n.nlmsg_len, 0));
}

/* Accepts all packets of the queue, until it is killed. */
static void run_nfqueue(void)
{
	struct nfqnl_msg_config_cmd command = { .command = NFQNL_CFG_CMD_BIND };
	struct nfqnl_msg_config_params params = { .copy_mode = NFQNL_COPY_META };
	struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_ACCEPT) };
	struct {
		struct nlmsghdr n;
		struct nfgenmsg g;
		struct nlattr a; /* NFQA_PACKET_HDR is the first one */
		struct nfqnl_msg_packet_hdr p;
		char rest[4096];
	} packet;
	int fd = may(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), "NETLINK_NETFILTER");

	tell_queue(fd, NFQNL_MSG_CONFIG, NFQA_CFG_CMD, &command, sizeof(command));
	tell_queue(fd, NFQNL_MSG_CONFIG, NFQA_CFG_PARAMS, &params, sizeof(params));
	puts("bound");
	for (;;) {
		if (recv(fd, &packet, sizeof(packet), 0) < 0 && errno != ENOBUFS)
			die("recv", strerror(errno));
		verdict.id = packet.p.packet_id;
		tell_queue(fd, NFQNL_MSG_VERDICT, NFQA_VERDICT_HDR, &verdict, sizeof(verdict));
	}
}

/* N sockets are bound to any port. */
static void run_binds(void)
{
	struct rlimit files = { 65536, 65536 };
	long n = number("N");

	must(setrlimit(RLIMIT_NOFILE, &files));
	start_clocks();
	for (long i = 0; i < n; i++)
		bind_to(must(socket(AF_INET, SOCK_STREAM, 0)), address_of("127.0.0.1", 0));
	printf("binds=%ld cpu_ns=%lld\n", n, cpu_ns());
}

static void *accept_all(void *listener)
{
	for (;;)
		close(must(accept(*(int *)listener, NULL, NULL)));
	return NULL;
}

/* N threads wait for connections, which come one after the other. */
static void run_accepts(void)
{
	int listener = bound_socket();
	long long end = number("SECONDS") * NS;
	long n = number("N"), connects = 0;
	pthread_t thread;

	for (long i = 0; i < n; i++)
		must(-(errno = pthread_create(&thread, NULL, accept_all, &listener)));
	start_clocks();
	for (; wall_ns() < end; connects++) {
		io.tx = proto_socket();
		connect_to(io.tx, io.to);
		must(close(io.tx));
	}
	printf("connects=%ld cpu_ns=%lld\n", connects, now(CLOCK_PROCESS_CPUTIME_ID));
}

/* N frames of UDP into the stack, by an XDP program that runs with them. */
static void run_xdplive(void)
{
	struct bpf_insn pass[] = { MOVE(0, XDP_PASS), EXIT };
	unsigned char frame[256] = { [12] = 8 }; /* IPv4, to the loopback's address */
	union bpf_attr run = { .test.prog_fd = load_program(BPF_PROG_TYPE_XDP, pass, COUNT(pass)),
			       .test.data_in = (uintptr_t)frame,
			       .test.data_size_in = 14 + make_packet(frame + 14, false),
			       .test.repeat = number("N"),
			       .test.flags = BPF_F_TEST_XDP_LIVE_FRAMES };

	bpf(BPF_PROG_TEST_RUN, run);
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

/* With the capabilities of these numbers and no others, or without these. */
static void run_capabilities(void)
{
	bool only = !strcmp(load->name, "only");
	uint64_t set = 0;

	for (char *cap = strtok(*argument("CAP,..."), ","); cap; cap = strtok(NULL, ","))
		set |= 1ull << strtoul(cap, NULL, 10);
	for (int cap = 0; cap < 64; cap++) /* EINVAL: the kernel has none of this number */
		if ((set >> cap & 1) != only && prctl(PR_CAPBSET_DROP, cap) && errno != EINVAL)
			die("PR_CAPBSET_DROP", strerror(errno));
	execute();
}

/* On stderr, so that the command's output stays as it is: the most memory that it had, kB. */
static void run_peak(void)
{
	struct rusage usage;
	int status;
	pid_t child = must(fork());

	if (!child)
		execute();
	must(wait4(child, &status, 0, &usage));
	fprintf(stderr, "peak_kb=%ld\n", usage.ru_maxrss);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* While a program that takes some time runs for each packet of a cgroup, or of a netkit device. */
static void run_program(void)
{
	const char *place = text("CGROUP|IF");
	bool cgroup = place[0] == '/';
	struct bpf_insn code[] = {
		MOVE(1, 4000),
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = -1 },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 1, .off = -2 },
		MOVE(0, cgroup ? 1 : NETKIT_PASS),
		EXIT,
	};
	int type = cgroup ? BPF_PROG_TYPE_CGROUP_SKB : BPF_PROG_TYPE_SCHED_CLS;
	union bpf_attr link = {
		.link_create.prog_fd = load_program(type, code, COUNT(code)),
		/* of a device, this is target_ifindex */
		.link_create.target_fd =
			must(cgroup ? open(place, O_RDONLY) : (int)if_nametoindex(place) ?: -1),
		.link_create.attach_type = cgroup ? BPF_CGROUP_INET_EGRESS : BPF_NETKIT_PRIMARY,
	};

	must(dup(bpf(BPF_LINK_CREATE, link))); /* of which the command inherits a copy */
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
	struct sock_fprog program = { .len = COUNT(code), .filter = code };

	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	execute();
}

/* ==== Main ==== */

/* clang-format off */
#define PAIR(p) .open = open_pair, .proto = p
#define RUN(name, how, args, help, ...) { #name, args, help, .run = run_##how, __VA_ARGS__ }
#define SEND(name, how, help) RUN(name, send, "PROTO N", help, .open = how, .one = one_##name)
#define RECV(name, how, help) RUN(name, recv, "PROTO N", help, .open = how, .one = one_##name)

static const struct load loads[] = {
	SEND(send, open_pair, "send to a socket that nobody reads"),
	SEND(sendto, open_pair, "with the address"),
	SEND(sendmsg, open_pair, ""),
	SEND(sendmmsg, open_pair, "N messages, 7 a call"),
	SEND(write, open_pair, ""),
	SEND(writev, open_pair, ""),
	SEND(sendfile, open_file, "from a memfd"),
	SEND(splice_out, open_pipe, "from a pipe that is filled each time"),
	SEND(uring_send, open_ring, "IORING_OP_SEND"),
	SEND(uring_worker, open_ring, "the same, by a worker"),
	RECV(recv, open_pair, "receive what was written before, 98 at a time"),
	RECV(recvfrom, open_pair, "with the address"),
	RECV(recvmsg, open_pair, ""),
	RECV(recvmmsg, open_pair, "N messages, 7 a call"),
	RECV(read, open_pair, ""),
	RECV(readv, open_pair, ""),
	RECV(splice_in, open_pipe, "to a pipe that is emptied each time; tcp"),
	RECV(uring_recv, open_ring, "IORING_OP_RECV"),
	RUN(packet_send, send, "N [IF]", "frames (lo)", .open = open_packet_tx, .one = one_write),
	RUN(packet_recv, recv, "N [IF]", "frames (lo)", .open = open_packets, .one = one_recv),
	RUN(rawv6_recv, recv, "N", "raw IPv6 socket", .open = open_rawv6, .one = one_recv),
	RUN(connect, connect, "PROTO N", "connect, accept, a message, close both"),
	RUN(xsk, send, "N", "kicks of an AF_XDP socket", .open = open_xsk, .one = one_kick),
	RUN(unix, send, "N", "a socketpair, both ways", .open = open_unix, .one = one_both_ways),
	RUN(ktls, ktls, "N", "records of 16 kB", PAIR("tls")),
	RUN(block_recv, block_recv, "MS", "wait in one recv", .proto = "udp4"),
	RUN(burn, burn, "SECONDS CPU [fifo PRIO DUTY_PERCENT PERIOD_US]", "in user space"),
	RUN(sendloop, loop, "SECONDS CPU", "UDP to a full socket", PAIR("udp4"), .one = one_send),
	RUN(rounds, loop, "SECONDS CPU", "UDP both ways", PAIR("udp4"), .one = one_both_ways),
	RUN(unixflood, loop, "SECONDS CPU", "both ways", .open = open_unix, .one = one_both_ways),
	RUN(switches, loop, "SECONDS CPU [NICE]", "two pipes", .open = open_echo, .one = one_echo),
	RUN(tun, loop, "IF FROM TO SECONDS CPU", "both ways", .open = open_tun, .one = one_of_tun),
	RUN(bigsend, bigsend, "SECONDS CPU_A CPU_B [CPU_RX]", "one that moves", PAIR("tcp4")),
	RUN(stream, flood, "PROTO SECONDS CPU_TX CPU_RX [SIZE]", "two processes", PAIR(NULL)),
	RUN(udpflood, flood, "SECONDS CPU_TX CPU_RX [SIZE]", "the same", PAIR("udp4")),
	RUN(udppath, flood, "NETNS_TX NETNS_RX ADDRESS SECONDS CPU_TX CPU_RX [SIZE]",
	    "the same between two namespaces", PAIR("udp4")),
	RUN(tcppath, flood, "NETNS_TX NETNS_RX ADDRESS SECONDS CPU_TX CPU_RX [SIZE]",
	    "over TCP", PAIR("tcp4")),
	RUN(udpsend, udpsend, "NETNS_TX NETNS_RX ADDRESS N CPU [NS [sleep]]",
	    "N messages that nobody reads, and NS to pass after each", PAIR("udp4")),
	RUN(busypoll, busypoll, "NETNS_TX NETNS_RX ADDRESS US N [epoll]", "N receives of nothing",
	    PAIR("udp4")),
	RUN(count_udp, instructions, "N", "UDP", .open = open_udp_ports, .one = one_both_ways),
	RUN(count_forward, instructions, "N", "by a router", .open = open_forward, .one = one_send),
	RUN(count_tcp, instructions, "N", "64 kB", PAIR("tcp4"), .one = one_64_kb),
	RUN(count_pipe, instructions, "N", "two switches", .open = open_echo, .one = one_echo),
	RUN(count_tick, instructions, "N", "a hundredth of a tick in user space", .one = one_tick),
	RUN(uring_work, uring_work, "N|MS [sqpoll]", "16 MB each, by io_uring's workers"),
	RUN(vhost, vhost, "N", "frames through vhost-net to a tap device"),
	RUN(syns, syns, "IF FROM TO N SECONDS", "half connections by tun", .open = open_tun),
	RUN(nfqueue, nfqueue, "QUEUE", "accepts its packets, until killed"),
	RUN(algorithm, algorithm, "TYPE NAME", "holds it, until killed"),
	RUN(binds, binds, "N", "sockets are bound to any port"),
	RUN(accepts, accepts, "N SECONDS CPU", "N threads accept connections", .proto = "tcp4"),
	RUN(xdplive, xdplive, "FROM TO N", "frames that come to lo from an XDP program"),
	RUN(now, now, "", "Unix seconds"),
	RUN(uncap, capabilities, "CAP,... COMMAND [ARG]...", "run it without these capabilities"),
	RUN(only, capabilities, "CAP,... COMMAND [ARG]...", "run it with these alone; '': none"),
	RUN(program, program, "CGROUP|IF COMMAND [ARG]...", "run it with an eBPF program there"),
	RUN(nobpf, refused, "ERRNO COMMAND [ARG]...", "run it where bpf() fails"),
	RUN(noperf, refused, "ERRNO COMMAND [ARG]...", "run it where perf_event_open() fails"),
	RUN(peak, peak, "COMMAND [ARG]...", "run it, and say the most memory that it had"),
};
/* clang-format on */

/* How many arguments the load must have: the words before the first bracket. */
static int needed(void)
{
	int count = 0;

	for (const char *p = load->args; *p && *p != '['; p++)
		count += *p != ' ' && (p == load->args || p[-1] == ' ');
	return count;
}

static int usage(void)
{
	fprintf(stderr, "usage: load NAME [ARG]...    PROTO:");
	for (size_t i = 0; i < COUNT(protocols); i++)
		fprintf(stderr, " %s", protocols[i].name);
	fputc('\n', stderr);
	for (size_t i = 0; i < COUNT(loads); i++)
		fprintf(stderr, "  %-11s %-28s  %s\n", loads[i].name, loads[i].args, loads[i].help);
	return 2;
}

int main(int argc, char **argv)
{
	load = loads;
	while (load < loads + COUNT(loads) && strcmp(argc > 1 ? argv[1] : "", load->name))
		load++;
	if (load == loads + COUNT(loads) || argc - 2 < needed())
		return usage();
	setlinebuf(stdout); /* some loads are there until they are killed */
	words = argv + 2;
	choose_protocol();
	shared = map(-1, sizeof(*shared), 0, MAP_ANONYMOUS);
	pin(0, "CPU");
	prepare_messages();
	if (load->open)
		load->open();
	load->run();
	if (fflush(stdout))
		die("standard output", strerror(errno));
	return 0;
}
