// SPDX-License-Identifier: GPL-2.0
/*
 * load - networking of known amounts, for the tests of netto
 *
 * Each load does what its name says, a number of times or for a time that is given, over the
 * loopback (udppath: between network namespaces) inside one process (a second one where the help
 * says so), and prints what it really did as key=value pairs on one line: sends, recvs: messages
 * handed to or taken from the kernel; calls: system calls that did it; cpu_ns: CPU time of the
 * calling thread; wall_ns: time passed. Any call that fails or is short ends it with a message and
 * status 1. Status 77: this kernel cannot do it.
 *
 * All messages of the counted loads are SIZE bytes. The libc's wrappers are used where they are
 * the plain system call; musl's sendmmsg() is not (a loop of sendmsg), nor its sched_setscheduler.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_alg.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/tls.h>
#include <linux/vhost.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

#define SIZE		64		/* bytes of a message */
#define BATCH		7		/* messages of one sendmmsg or recvmmsg */
#define ROUND		98		/* messages sent before as many are received; of BATCH */
#define BUFFER		(64 << 20)	/* socket buffers: room for all that a load sends */
#define PATIENCE	60		/* seconds until a call that blocks has failed */
#define ETHERTYPE	0x88b5		/* "local experimental 1": of no protocol */
#define PORT		9		/* "discard": where udppath sends to */
#define RAW_PROTOCOL	253		/* "experimentation": of no protocol */
#define MOVE_NS		100000000	/* bigsend: time between two moves */
#define BIGSEND		(1LL << 31)	/* bigsend: bytes; a call takes this less a page */
#define NS		1000000000LL

struct ring {
	int fd;
	struct io_uring_sqe *sqe;	/* the only one */
	struct io_uring_cqe *cqes;
	unsigned int *sq_tail, *sq_array, *cq_head, cq_mask;
};

/* Two connected sockets, and what some operations need besides. */
struct io {
	int tx, rx;
	struct sockaddr_storage to;	/* rx's address */
	socklen_t to_len;
	int file;			/* SIZE bytes */
	int pipe[2];
	struct ring ring;
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
	long want;			/* messages still to be done */
	char buf[SIZE];
};

struct load {
	const char *name;
	const char *args;		/* upper case: needed; in brackets: not */
	const char *help;
	void (*run)(char **argv);	/* argv ends with NULL */
	/* Or, for those that repeat one operation: */
	void (*count)(const struct load *load, char **argv);
	int (*one)(struct io *io);	/* at most io->want messages: how many it was */
	void (*prepare)(struct io *io);	/* what it needs besides the sockets; may be NULL */
};

/* What two processes tell each other. */
struct shared {
	volatile int stop;
	long recvs;
	long long rx_cpu_ns;
};

/* --- helpers --- */

static void die(const char *what, const char *why)
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

/* The result of a call that handles exactly one message. */
static int whole(long result, const char *what)
{
	if (must(result, what) != SIZE)
		die(what, "short");
	return 1;
}

static double parse_number(const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max))
		die(text, "not a number in range");
	return value;
}

static long long now(clockid_t clock)
{
	struct timespec t;

	must(clock_gettime(clock, &t), "clock_gettime");
	return t.tv_sec * NS + t.tv_nsec;
}

static long long wall_now(void)
{
	return now(CLOCK_MONOTONIC);
}

static long long cpu_now(void)
{
	return now(CLOCK_THREAD_CPUTIME_ID);
}

/* A prime, where it matters little, so that it is not taken for another number. */
static long parse_count(const char *text)
{
	return text ? parse_number(text, 1, 1e9) : 1009;
}

static int parse_cpu(const char *text)
{
	return parse_number(text, 0, CPU_SETSIZE - 1);
}

static void pin(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(sched_setaffinity(tid, sizeof(set), &set), "sched_setaffinity");
}

static void set_timeout(int fd, int option, long ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	must(setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t)), "setsockopt");
}

static struct shared *share(void)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		die("mmap", strerror(errno));
	return s;
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

/* --- sockets --- */

static void buffer(int fd, int option, int force)
{
	int size = BUFFER;

	/* Past the administrator's limit where that is allowed, else up to it. */
	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)))
		must(setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size)), "setsockopt");
}

static bool is_tcp(const char *proto)
{
	return !strncmp(proto, "tcp", 3);
}

/* A socket of the protocol (udp4, udp6, tcp4 or tcp6), bound to the loopback: its address. */
static int bound_socket(const char *proto, struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	bool six = !strcmp(proto + 3, "6");
	int fd;

	if ((strncmp(proto, "udp", 3) && !is_tcp(proto)) || (!six && strcmp(proto + 3, "4")))
		die(proto, "not udp4, udp6, tcp4 or tcp6");
	*len = six ? sizeof(v6) : sizeof(v4);
	memcpy(addr, six ? (void *)&v6 : (void *)&v4, *len);
	fd = must(socket(addr->ss_family, is_tcp(proto) ? SOCK_STREAM : SOCK_DGRAM, 0), "socket");
	must(bind(fd, (struct sockaddr *)addr, *len), "bind");
	must(getsockname(fd, (struct sockaddr *)addr, len), "getsockname");
	return fd;
}

static int connected_socket(const char *proto, const struct sockaddr_storage *to, socklen_t len)
{
	int fd = must(socket(to->ss_family, is_tcp(proto) ? SOCK_STREAM : SOCK_DGRAM, 0), "socket");

	must(connect(fd, (struct sockaddr *)to, len), "connect");
	return fd;
}

/* Sets tx and rx. `large`: with room for everything; else a full receiver drops, or blocks. */
static void open_pair(struct io *io, const char *proto, bool large)
{
	int fd = bound_socket(proto, &io->to, &io->to_len);
	int one = 1;

	if (large)
		buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE);
	if (is_tcp(proto))
		must(listen(fd, 1), "listen");
	io->tx = connected_socket(proto, &io->to, io->to_len);
	io->rx = fd;
	if (is_tcp(proto)) {
		io->rx = must(accept(fd, NULL, NULL), "accept");
		close(fd);
		must(setsockopt(io->tx, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), "setsockopt");
	}
	if (large)
		buffer(io->tx, SO_SNDBUF, SO_SNDBUFFORCE);
	set_timeout(io->tx, SO_SNDTIMEO, PATIENCE * 1000);
	set_timeout(io->rx, SO_RCVTIMEO, PATIENCE * 1000);
}

/* --- one operation --- */

static int one_send(struct io *io)
{
	return whole(send(io->tx, io->buf, SIZE, 0), "send");
}

static int one_sendto(struct io *io)
{
	return whole(sendto(io->tx, io->buf, SIZE, 0, (struct sockaddr *)&io->to, io->to_len),
		     "sendto");
}

static int one_sendmsg(struct io *io)
{
	return whole(sendmsg(io->tx, &io->msgs[0].msg_hdr, 0), "sendmsg");
}

static int one_sendmmsg(struct io *io)
{
	int want = io->want < BATCH ? io->want : BATCH;

	if (must(syscall(SYS_sendmmsg, io->tx, io->msgs, want, 0), "sendmmsg") != want)
		die("sendmmsg", "short");
	for (int i = 0; i < want; i++)
		whole(io->msgs[i].msg_len, "sendmmsg");
	return want;
}

static int one_write(struct io *io)
{
	return whole(write(io->tx, io->buf, SIZE), "write");
}

static int one_writev(struct io *io)
{
	return whole(writev(io->tx, io->iov, 1), "writev");
}

static int one_sendfile(struct io *io)
{
	off_t start = 0;

	return whole(sendfile(io->tx, io->file, &start, SIZE), "sendfile");
}

static int one_splice_out(struct io *io)
{
	whole(write(io->pipe[1], io->buf, SIZE), "write to the pipe");
	return whole(splice(io->pipe[0], NULL, io->tx, NULL, SIZE, 0), "splice");
}

static int one_recv(struct io *io)
{
	return whole(recv(io->rx, io->buf, SIZE, 0), "recv");
}

static int one_recvfrom(struct io *io)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);

	return whole(recvfrom(io->rx, io->buf, SIZE, 0, (struct sockaddr *)&from, &len),
		     "recvfrom");
}

static int one_recvmsg(struct io *io)
{
	return whole(recvmsg(io->rx, &io->msgs[0].msg_hdr, 0), "recvmsg");
}

static int one_recvmmsg(struct io *io)
{
	int want = io->want < BATCH ? io->want : BATCH;

	if (must(syscall(SYS_recvmmsg, io->rx, io->msgs, want, 0, NULL), "recvmmsg") != want)
		die("recvmmsg", "short");
	for (int i = 0; i < want; i++)
		whole(io->msgs[i].msg_len, "recvmmsg");
	return want;
}

static int one_read(struct io *io)
{
	return whole(read(io->rx, io->buf, SIZE), "read");
}

static int one_readv(struct io *io)
{
	return whole(readv(io->rx, io->iov, 1), "readv");
}

static int one_splice_in(struct io *io)
{
	whole(splice(io->rx, NULL, io->pipe[1], NULL, SIZE, 0), "splice");
	return whole(read(io->pipe[0], io->buf, SIZE), "read from the pipe");
}

static int ring_one(struct io *io, int opcode, int fd)
{
	struct ring *r = &io->ring;
	unsigned int head = *r->cq_head;

	*r->sqe = (struct io_uring_sqe) {
		.opcode = opcode,
		.fd = fd,
		.addr = (uintptr_t)io->buf,
		.len = SIZE,
	};
	__atomic_store_n(r->sq_tail, *r->sq_tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0),
	     "io_uring_enter");
	errno = -r->cqes[head & r->cq_mask].res;
	whole(errno > 0 ? -1 : r->cqes[head & r->cq_mask].res, "io_uring");
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return 1;
}

static int one_uring_send(struct io *io)
{
	return ring_one(io, IORING_OP_SEND, io->tx);
}

static int one_uring_recv(struct io *io)
{
	return ring_one(io, IORING_OP_RECV, io->rx);
}

/* --- what some operations need --- */

static void prepare_file(struct io *io)
{
	io->file = must(memfd_create("load", 0), "memfd_create");
	whole(write(io->file, io->buf, SIZE), "write to the file");
}

static void prepare_pipe(struct io *io)
{
	must(pipe(io->pipe), "pipe");
}

static long long cpu_of(const struct rusage *usage)
{
	return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * NS +
	       (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000;
}

static void *ring_map(int fd, size_t size, off_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	if (p == MAP_FAILED)
		die("mmap of the ring", strerror(errno));
	return p;
}

static void open_ring(struct ring *r, struct io_uring_params p)
{
	char *sq, *cq;

	r->fd = syscall(SYS_io_uring_setup, 1, &p);
	if (r->fd < 0 && (errno == ENOSYS || errno == EPERM)) {
		fprintf(stderr, "load: no io_uring here: %s\n", strerror(errno));
		exit(77);
	}
	must(r->fd, "io_uring_setup");
	sq = ring_map(r->fd, p.sq_off.array + p.sq_entries * sizeof(*r->sq_array),
		      IORING_OFF_SQ_RING);
	cq = ring_map(r->fd, p.cq_off.cqes + p.cq_entries * sizeof(*r->cqes), IORING_OFF_CQ_RING);
	r->sqe = ring_map(r->fd, p.sq_entries * sizeof(*r->sqe), IORING_OFF_SQES);
	r->sq_tail = (unsigned int *)(sq + p.sq_off.tail);
	r->sq_array = (unsigned int *)(sq + p.sq_off.array);
	r->sq_array[0] = 0;
	r->cq_head = (unsigned int *)(cq + p.cq_off.head);
	r->cq_mask = *(unsigned int *)(cq + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
}

static void prepare_ring(struct io *io)
{
	open_ring(&io->ring, (struct io_uring_params) {});
}

static void prepare_messages(struct io *io)
{
	for (int i = 0; i < BATCH; i++) {
		io->iov[i] = (struct iovec) { io->buf, SIZE };
		io->msgs[i].msg_hdr.msg_iov = &io->iov[i];
		io->msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

/* --- counted loads --- */

static void prepare(struct io *io, const struct load *load)
{
	prepare_messages(io);
	if (load->prepare)
		load->prepare(io);
}

static void count_send(const struct load *load, char **argv)
{
	struct io io = {};
	long n = parse_count(argv[1]), done = 0, calls = 0;
	long long cpu;

	open_pair(&io, argv[0], true);
	prepare(&io, load);
	cpu = cpu_now();
	for (; done < n; calls++) {
		io.want = n - done;
		done += load->one(&io);
	}
	printf("sends=%ld recvs=0 calls=%ld cpu_ns=%lld\n", done, calls, cpu_now() - cpu);
}

/* Receives n messages that `io.tx` sends, in rounds that surely fit into the buffer. */
static void receive(struct io *io, const struct load *load, long n)
{
	long sends = 0, done = 0, calls = 0;
	long long cpu_ns = 0, cpu;

	while (done < n) {
		for (; sends < n && sends < done + ROUND; sends++)
			one_write(io);
		cpu = cpu_now();
		for (; done < sends; calls++) {
			io->want = sends - done;
			done += load->one(io);
		}
		cpu_ns += cpu_now() - cpu;
	}
	printf("sends=%ld recvs=%ld calls=%ld cpu_ns=%lld\n", sends, done, calls, cpu_ns);
}

static void count_recv(const struct load *load, char **argv)
{
	struct io io = {};

	if (load->one == one_splice_in && !is_tcp(argv[0]))
		die(argv[0], "no splice from it, only from tcp4 and tcp6");
	open_pair(&io, argv[0], true);
	prepare(&io, load);
	receive(&io, load, parse_count(argv[1]));
}

static int packet_socket(const char *ifname, int protocol)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = if_nametoindex(ifname),
	};
	int fd = must(socket(AF_PACKET, SOCK_RAW, 0), "socket");

	if (!to.sll_ifindex)
		die(ifname, strerror(errno));
	/* Bound to protocol 0 it only sends. */
	must(bind(fd, (struct sockaddr *)&to, sizeof(to)), "bind");
	return fd;
}

static void count_packet(const struct load *load, char **argv)
{
	struct io io = { .buf = { [12] = ETHERTYPE >> 8, ETHERTYPE & 0xff } };
	long n = parse_count(argv[0]), done;
	const char *tx = argv[1] ? argv[1] : "lo", *rx = argv[1] && argv[2] ? argv[2] : tx;
	long long cpu;

	memset(io.buf, 0xff, 6);	/* to all, or another host's frame would be dropped */
	io.tx = packet_socket(tx, 0);
	if (load->one == one_recv) {
		io.rx = packet_socket(rx, ETHERTYPE);
		set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
		receive(&io, load, n);
		return;
	}
	cpu = cpu_now();
	for (done = 0; done < n; done++)
		load->one(&io);
	printf("sends=%ld recvs=0 calls=%ld cpu_ns=%lld\n", done, done, cpu_now() - cpu);
}

static void count_rawv6(const struct load *load, char **argv)
{
	struct sockaddr_in6 lo = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct io io = {};

	/* It sends to itself: another raw socket would get a copy of each. No header arrives. */
	io.rx = io.tx = must(socket(AF_INET6, SOCK_RAW, RAW_PROTOCOL), "socket");
	must(connect(io.tx, (struct sockaddr *)&lo, sizeof(lo)), "connect");
	set_timeout(io.rx, SO_RCVTIMEO, PATIENCE * 1000);
	receive(&io, load, parse_count(argv[0]));
}

static void run_connect(char **argv)
{
	long n = parse_count(argv[1]), connects = 0, accepts = 0, closes = 0;
	struct sockaddr_storage to;
	socklen_t len;
	int fd = bound_socket(argv[0], &to, &len);
	long long cpu = cpu_now();

	if (is_tcp(argv[0]))
		must(listen(fd, 1), "listen");
	for (; connects < n; connects++) {
		int tx = connected_socket(argv[0], &to, len);

		if (is_tcp(argv[0])) {
			must(close(must(accept(fd, NULL, NULL), "accept")), "close");
			accepts++;
			closes++;
		}
		must(close(tx), "close");
		closes++;
	}
	printf("connects=%ld accepts=%ld closes=%ld cpu_ns=%lld\n", connects, accepts, closes,
	       cpu_now() - cpu);
}

static void open_unix(struct io *io)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), "socketpair");
	io->tx = fds[0];
	io->rx = fds[1];
}

static void run_unix(char **argv)
{
	long n = parse_count(argv[0]), done;
	struct io io = {};
	long long cpu;

	open_unix(&io);
	cpu = cpu_now();
	for (done = 0; done < n; done++) {
		one_send(&io);
		one_recv(&io);
	}
	printf("sends=%ld recvs=%ld calls=%ld cpu_ns=%lld\n", done, done, 2 * done,
	       cpu_now() - cpu);
}

/* --- timed loads --- */

static double parse_seconds(const char *text)
{
	return parse_number(text, 0.001, 86400) * NS;
}

static void run_block_recv(char **argv)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd = bound_socket("udp4", &addr, &len);
	char buf[SIZE];
	long long wall, cpu;

	set_timeout(fd, SO_RCVTIMEO, parse_number(argv[0], 1, 1e6));
	wall = wall_now();
	cpu = cpu_now();
	if (recv(fd, buf, SIZE, 0) >= 0 || errno != EAGAIN)
		die("recv", "did not time out");
	printf("recvs=0 calls=1 elapsed_ns=%lld cpu_ns=%lld\n", wall_now() - wall, cpu_now() - cpu);
}

static void run_sendloop(char **argv)
{
	long long end, wall, cpu;
	struct io io = {};
	long done = 0;

	pin(0, parse_cpu(argv[1]));
	open_pair(&io, "udp4", false);
	wall = wall_now();
	cpu = cpu_now();
	end = wall + parse_seconds(argv[0]);
	while (wall_now() < end)
		for (int i = 0; i < 16; i++)
			done += one_send(&io);
	printf("sends=%ld recvs=0 cpu_ns=%lld wall_ns=%lld\n", done, cpu_now() - cpu,
	       wall_now() - wall);
}

static void run_burn(char **argv)
{
	long long end, wall, cpu, period = 0, next;
	struct sched_param prio;
	double duty = 1;

	pin(0, parse_cpu(argv[1]));
	wall = next = wall_now();
	end = wall + parse_seconds(argv[0]);
	if (argv[2]) {
		if (strcmp(argv[2], "fifo") || !argv[3] || !argv[4] || !argv[5])
			die(argv[2], "expected fifo PRIO DUTY_PERCENT PERIOD_US");
		prio.sched_priority = parse_number(argv[3], 1, 99);
		duty = parse_number(argv[4], 0, 100) / 100;
		period = parse_number(argv[5], 1, 1e7) * 1000;
		must(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &prio), "sched_setscheduler");
	} else {
		period = end - wall;
	}
	cpu = cpu_now();
	for (; next < end; next += period) {
		struct timespec t = { .tv_sec = next / NS, .tv_nsec = next % NS };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		while (wall_now() < next + period * duty)
			;
	}
	printf("cpu_ns=%lld wall_ns=%lld\n", cpu_now() - cpu, wall_now() - wall);
}

/* bigsend's sending thread, and who moves it between two CPUs. */
struct mover {
	pid_t tid;
	clockid_t clock;	/* CPU time of the sender */
	int cpu[2];
	int at;			/* index of the CPU that it is on */
	long long since;	/* its CPU time when it came there */
	long long cpu_ns[2];
	long moves;
	volatile bool done;
};

/* Only the mover calls it while it runs, and the sender before and after. */
static void charge(struct mover *m)
{
	long long t = now(m->clock);

	m->cpu_ns[m->at] += t - m->since;
	m->since = t;
}

static void *move(void *arg)
{
	struct timespec pause = { .tv_nsec = MOVE_NS };
	struct mover *m = arg;

	for (;;) {
		nanosleep(&pause, NULL);
		if (m->done)
			return NULL;
		/* Comes back when the thread has left its CPU, in the kernel or not. */
		pin(m->tid, m->cpu[!m->at]);
		charge(m);
		m->at = !m->at;
		m->moves++;
	}
}

/*
 * Takes what comes for `ns`, then breaks the connection, which ends the sender's call. Where the
 * machine is so fast that the call would end before, it waits: at most three quarters by then.
 */
static void drain(int fd, long long ns)
{
	static char buf[1 << 18];
	struct timespec pause = { .tv_nsec = 1000000 };
	long long start = wall_now(), past, got = 0;

	while ((past = wall_now() - start) < ns) {
		if (got > 0.75 * BIGSEND * past / ns)
			nanosleep(&pause, NULL);
		else
			got += must(recv(fd, buf, sizeof(buf), 0), "recv");
	}
	exit(0);
}

static void run_bigsend(char **argv)
{
	static char buf[BIGSEND / UIO_MAXIOV];
	static struct iovec iov[UIO_MAXIOV];	/* all of them the same memory */
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = UIO_MAXIOV };
	struct mover m = { .tid = gettid(), .cpu = { parse_cpu(argv[1]), parse_cpu(argv[2]) } };
	struct io io = {};
	pthread_t thread;
	pid_t child;
	long long wall;
	long sent;

	memset(buf, 1, sizeof(buf));
	for (int i = 0; i < UIO_MAXIOV; i++)
		iov[i] = (struct iovec) { buf, sizeof(buf) };
	open_pair(&io, "tcp4", false);
	child = start_child();
	if (!child) {
		if (argv[3])
			pin(0, parse_cpu(argv[3]));
		close(io.tx);
		drain(io.rx, parse_seconds(argv[0]));
	}
	close(io.rx);
	errno = pthread_getcpuclockid(pthread_self(), &m.clock);
	must(-errno, "pthread_getcpuclockid");
	errno = pthread_create(&thread, NULL, move, &m);
	must(-errno, "pthread_create");
	pin(0, m.cpu[0]);
	wall = wall_now();
	m.since = now(m.clock);
	sent = must(sendmsg(io.tx, &msg, MSG_NOSIGNAL), "sendmsg");
	wall = wall_now() - wall;
	m.done = true;
	pthread_join(thread, NULL);
	charge(&m);
	close(io.tx);
	end_child(child);
	printf("sends=1 sent_bytes=%ld cpu_a_ns=%lld cpu_b_ns=%lld moves=%ld wall_ns=%lld\n", sent,
	       m.cpu_ns[0], m.cpu_ns[1], m.moves, wall);
}

/* Receives until told to stop and the queue is empty. */
static void receiver(struct shared *s, int fd)
{
	static char buf[1 << 16];
	long long cpu = cpu_now();

	set_timeout(fd, SO_RCVTIMEO, 100);
	for (;;) {
		if (recv(fd, buf, sizeof(buf), 0) >= 0)
			s->recvs++;
		else if (errno != EAGAIN)
			die("recv", strerror(errno));
		else if (s->stop)
			break;
	}
	s->rx_cpu_ns = cpu_now() - cpu;
	exit(0);
}

/* One process sends from io->tx, another receives from io->rx. argv: SECONDS CPU_TX CPU_RX [SIZE]. */
static void flood(struct io *io, char **argv)
{
	static char buf[1 << 16];
	long size = argv[3] ? parse_number(argv[3], 0, 65507) : SIZE, done = 0;
	struct shared *s = share();
	long long end, wall, cpu;
	pid_t child;

	child = start_child();
	pin(0, parse_cpu(argv[child ? 1 : 2]));
	if (!child)
		receiver(s, io->rx);
	wall = wall_now();
	cpu = cpu_now();
	end = wall + parse_seconds(argv[0]);
	while (wall_now() < end)
		for (int i = 0; i < 16; i++, done++)
			if (must(send(io->tx, buf, size, 0), "send") != size)
				die("send", "short");
	cpu = cpu_now() - cpu;
	wall = wall_now() - wall;
	s->stop = 1;
	end_child(child);
	printf("sends=%ld recvs=%ld tx_cpu_ns=%lld rx_cpu_ns=%lld wall_ns=%lld\n", done, s->recvs,
	       cpu, s->rx_cpu_ns, wall);
}

static void run_udpflood(char **argv)
{
	struct io io = {};

	open_pair(&io, "udp4", false);
	flood(&io, argv);
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
	return must(socket(family, type, 0), "socket");
}

/* From the namespace argv[0] to argv[1], to an address of that one, argv[2]. TCP: rx listens. */
static void open_path(struct io *io, char **argv, int type)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	bool six = inet_pton(AF_INET6, argv[2], &v6.sin6_addr) == 1;
	struct sockaddr_storage any = { .ss_family = six ? AF_INET6 : AF_INET };
	struct sockaddr *to = six ? (void *)&v6 : (void *)&v4;
	socklen_t len = six ? sizeof(v6) : sizeof(v4);

	if (!six && inet_pton(AF_INET, argv[2], &v4.sin_addr) != 1)
		die(argv[2], "not an address");
	((struct sockaddr_in *)&any)->sin_port = htons(PORT);	/* where sin6_port is, too */
	io->rx = socket_in(argv[1], any.ss_family, type);
	/* What is sent while the receiver's CPU is held up is not to be lost. */
	buffer(io->rx, SO_RCVBUF, SO_RCVBUFFORCE);
	must(setsockopt(io->rx, SOL_SOCKET, SO_REUSEADDR, &len, sizeof(len)), "SO_REUSEADDR");
	must(bind(io->rx, (struct sockaddr *)&any, len), "bind");
	if (type == SOCK_STREAM)
		must(listen(io->rx, 1), "listen");
	io->tx = socket_in(argv[0], any.ss_family, type);
	must(connect(io->tx, to, len), "connect");
}

static void run_udppath(char **argv)
{
	struct io io = {};

	open_path(&io, argv, SOCK_DGRAM);
	flood(&io, argv + 3);
}

static void run_udpsend(char **argv)
{
	long n = parse_count(argv[3]), pause = argv[5] ? parse_number(argv[5], 0, 1e9 - 1) : 0;
	struct io io = {};
	long long next;

	pin(0, parse_cpu(argv[4]));
	open_path(&io, argv, SOCK_DGRAM);
	for (long i = 0; i < n; i++) {
		one_send(&io);
		if (argv[5] && argv[6])
			nanosleep(&(struct timespec) { .tv_nsec = pause }, NULL);
		else
			for (next = wall_now() + pause; pause && wall_now() < next;)
				;
	}
	printf("sends=%ld recvs=0\n", n);
}

/* Over TCP, as in udppath. */
static void run_tcppath(char **argv)
{
	struct io io = {};
	int listener;

	open_path(&io, argv, SOCK_STREAM);
	listener = io.rx;
	io.rx = must(accept(listener, NULL, NULL), "accept");
	close(listener);
	flood(&io, argv + 3);
}

/*
 * Waits N times for what does not come, each time busy polling US microseconds: in recv, twice, or in
 * epoll_wait. The first packet tells the socket which device to poll.
 */
static void run_busypoll(char **argv)
{
	int us = parse_number(argv[3], 1, 1e6), epoll = epoll_create1(0);
	long n = parse_count(argv[4]);
	struct epoll_event event = { .events = EPOLLIN };
	struct io io = {};
	long long wall, cpu;

	open_path(&io, argv, SOCK_DGRAM);
	must(setsockopt(io.rx, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us)), "SO_BUSY_POLL");
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, io.rx, &event), "epoll_ctl");
	one_send(&io);
	must(epoll_wait(epoll, &event, 1, PATIENCE * 1000), "epoll_wait");
	one_recv(&io);
	set_timeout(io.rx, SO_RCVTIMEO, 1);
	wall = wall_now();
	cpu = cpu_now();
	for (long i = 0; i < n; i++) {
		if (argv[5]) { /* it polls once after each packet */
			one_send(&io);
			must(epoll_wait(epoll, &event, 1, PATIENCE * 1000), "epoll_wait");
			one_recv(&io);
			if (epoll_wait(epoll, &event, 1, 1) != 0)
				die("epoll_wait", "there is something");
		}
		if (!argv[5] && (recv(io.rx, io.buf, SIZE, 0) >= 0 || errno != EAGAIN))
			die("recv", strerror(errno));
		for (long long next = wall_now() + us * 1000LL; wall_now() < next;)
			; /* as long again, that is no polling */
	}
	printf("waits=%ld cpu_ns=%lld wall_ns=%lld\n", n, cpu_now() - cpu, wall_now() - wall);
}

static void run_unixflood(char **argv)
{
	long long end, wall, cpu;
	struct io io = {};
	long done = 0;

	pin(0, parse_cpu(argv[1]));
	open_unix(&io);
	wall = wall_now();
	cpu = cpu_now();
	end = wall + parse_seconds(argv[0]);
	while (wall_now() < end)
		for (int i = 0; i < 16; i++, done++) {
			one_send(&io);
			one_recv(&io);
		}
	printf("sends=%ld recvs=%ld cpu_ns=%lld wall_ns=%lld\n", done, done, cpu_now() - cpu,
	       wall_now() - wall);
}

static void echo(int in, int out)
{
	char byte;

	while (must(read(in, &byte, 1), "read"))
		must(write(out, &byte, 1), "write");
	exit(0);
}

static void run_switches(char **argv)
{
	struct rusage self, child_usage;
	int there[2], back[2];
	long long end, wall;
	long trips = 0;
	char byte = 0;
	pid_t child;

	pin(0, parse_cpu(argv[1]));
	if (argv[2])
		must(setpriority(PRIO_PROCESS, 0, strtol(argv[2], NULL, 10)), "setpriority");
	must(pipe(there), "pipe");
	must(pipe(back), "pipe");
	child = start_child();
	if (!child) {
		close(there[1]);
		echo(there[0], back[1]);
	}
	wall = wall_now();
	end = wall + parse_seconds(argv[0]);
	for (; wall_now() < end; trips++) {
		must(write(there[1], &byte, 1), "write");
		must(read(back[0], &byte, 1), "read");
	}
	wall = wall_now() - wall;
	close(there[1]);
	end_child(child);
	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &child_usage);
	printf("switches=%ld trips=%ld wall_ns=%lld\n", self.ru_nvcsw + self.ru_nivcsw +
	       child_usage.ru_nvcsw + child_usage.ru_nivcsw, trips, wall);
}

/*
 * Kicks of an AF_XDP socket that is bound to nothing: each one fails, after it has come to the
 * socket's own operation.
 */
static void run_xsk(char **argv)
{
	long n = parse_count(argv[0]), done;
	int fd = socket(AF_XDP, SOCK_RAW, 0);

	if (fd < 0) {
		fprintf(stderr, "load: no AF_XDP in this kernel: %s\n", strerror(errno));
		exit(77);
	}
	for (done = 0; done < n; done++)
		if (sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno != ENXIO)
			die("sendto of AF_XDP", strerror(errno));
	printf("sends=%ld recvs=0 calls=%ld\n", done, done);
}

/*
 * Reads of much that is nothing, by the workers of io_uring; or none, and a thread that looks for
 * them all the time. worker_ns: their CPU time, where they are threads of this process (from 5.12).
 */
static void run_uring_work(char **argv)
{
	long n = parse_count(argv[0]);
	bool sqpoll = argv[1];
	struct io_uring_params p = { .flags = sqpoll ? IORING_SETUP_SQPOLL : 0,
				     .sq_thread_idle = 10000 };
	static char buf[16 << 20];
	struct rusage all, own;
	struct ring r;
	int zero = must(open("/dev/zero", O_RDONLY), "/dev/zero");

	memset(buf, 1, sizeof(buf));
	open_ring(&r, p);
	if (sqpoll)
		usleep(n * 1000);
	for (long i = 0; i < n && !sqpoll; i++) {
		unsigned int head = *r.cq_head;

		*r.sqe = (struct io_uring_sqe) {
			.opcode = IORING_OP_READ,
			.flags = IOSQE_ASYNC,
			.fd = zero,
			.addr = (uintptr_t)buf,
			.len = sizeof(buf),
		};
		__atomic_store_n(r.sq_tail, *r.sq_tail + 1, __ATOMIC_RELEASE);
		must(syscall(SYS_io_uring_enter, r.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0),
		     "io_uring_enter");
		if (r.cqes[head & r.cq_mask].res != sizeof(buf))
			die("io_uring", "short");
		__atomic_store_n(r.cq_head, head + 1, __ATOMIC_RELEASE);
	}
	getrusage(RUSAGE_SELF, &all);
	getrusage(RUSAGE_THREAD, &own);
	printf("reads=%ld worker_ns=%lld\n", sqpoll ? 0 : n, cpu_of(&all) - cpu_of(&own));
}

/* Holds an algorithm of the kernel's, which so gets an instance, until it is killed. */
static void run_algorithm(char **argv)
{
	struct sockaddr_alg name = { .salg_family = AF_ALG };

	snprintf((char *)name.salg_type, sizeof(name.salg_type), "%s", argv[0]);
	snprintf((char *)name.salg_name, sizeof(name.salg_name), "%s", argv[1]);
	must(bind(must(socket(AF_ALG, SOCK_SEQPACKET, 0), "socket"), (struct sockaddr *)&name,
		  sizeof(name)),
	     argv[1]);
	puts("held");
	fflush(stdout);
	pause();
}

/*
 * What a virtual machine does: N frames to vhost-net, 64 at a time, which puts them into a tap
 * device. All of this process's memory there is its memory.
 */
static void run_vhost(char **argv)
{
	enum { FRAMES = 64, FRAME = 10 + 60 };	/* a header of virtio before each */
	static struct {
		struct vring_desc desc[FRAMES];
		struct { uint16_t flags, idx, ring[FRAMES]; } avail;
		struct { uint16_t flags, idx; struct vring_used_elem ring[FRAMES]; } used
			__attribute__((aligned(8)));
		char frame[FRAME];
	} m __attribute__((aligned(4096)));
	struct { struct vhost_memory head; struct vhost_memory_region region; } memory = {
		.head.nregions = 1,
		.region = { (uintptr_t)&m, sizeof(m), (uintptr_t)&m, 0 },
	};
	struct ifreq ifr = { .ifr_name = "tap0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int vhost = must(open("/dev/vhost-net", O_RDWR), "/dev/vhost-net"), s;
	int tap = must(open("/dev/net/tun", O_RDWR), "/dev/net/tun");
	int kick = must(eventfd(0, 0), "eventfd"), call = must(eventfd(0, 0), "eventfd");
	struct vhost_vring_addr addr = { 1, 0, (uintptr_t)m.desc, (uintptr_t)&m.used,
					 (uintptr_t)&m.avail, 0 };
	struct vhost_vring_state size = { 1, FRAMES }, base = { 1, 0 };
	struct vhost_vring_file kicks = { 1, kick }, calls = { 1, call }, backend = { 1, tap };
	long n = parse_count(argv[0]);
	volatile uint16_t *used = &m.used.idx;
	uint64_t features = 0, one = 1;

	must(ioctl(tap, TUNSETIFF, &ifr), "TUNSETIFF");
	s = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	ifr.ifr_flags = IFF_UP;
	must(ioctl(s, SIOCSIFFLAGS, &ifr), "SIOCSIFFLAGS");
	must(ioctl(vhost, VHOST_SET_OWNER), "VHOST_SET_OWNER");
	must(ioctl(vhost, VHOST_SET_FEATURES, &features), "VHOST_SET_FEATURES");
	must(ioctl(vhost, VHOST_SET_MEM_TABLE, &memory), "VHOST_SET_MEM_TABLE");
	must(ioctl(vhost, VHOST_SET_VRING_NUM, &size), "VHOST_SET_VRING_NUM");
	must(ioctl(vhost, VHOST_SET_VRING_BASE, &base), "VHOST_SET_VRING_BASE");
	must(ioctl(vhost, VHOST_SET_VRING_ADDR, &addr), "VHOST_SET_VRING_ADDR");
	must(ioctl(vhost, VHOST_SET_VRING_KICK, &kicks), "VHOST_SET_VRING_KICK");
	must(ioctl(vhost, VHOST_SET_VRING_CALL, &calls), "VHOST_SET_VRING_CALL");
	must(ioctl(vhost, VHOST_NET_SET_BACKEND, &backend), "VHOST_NET_SET_BACKEND");
	memset(m.frame + 10, 0xff, 6);
	m.frame[10 + 12] = ETHERTYPE >> 8;
	m.frame[10 + 13] = ETHERTYPE & 255;
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

/* N connections of MPTCP over the loopback, with a message in each; their ends are a worker's matter. */
static void run_mptcp(char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */), on = 1;
	long n = parse_count(argv[0]);
	char byte = 0;

	if (listener < 0) {
		fprintf(stderr, "load: no MPTCP in this kernel: %s\n", strerror(errno));
		exit(77);
	}
	must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), "SO_REUSEADDR");
	must(bind(listener, (struct sockaddr *)&to, sizeof(to)), "bind");
	must(listen(listener, 8), "listen");
	for (long i = 0; i < n; i++) {
		int tx = must(socket(AF_INET, SOCK_STREAM, 262), "socket"), rx;

		must(connect(tx, (struct sockaddr *)&to, sizeof(to)), "connect");
		rx = must(accept(listener, NULL, NULL), "accept");
		must(send(tx, &byte, 1, 0), "send");
		must(recv(rx, &byte, 1, 0), "recv");
		close(tx);
		close(rx);
	}
	printf("connects=%ld sends=%ld recvs=%ld\n", n, n, n);
}

/*
 * N records over kTLS that do not fit into the socket's buffer: what is left of a record when it is
 * full is sent by a worker when there is room again.
 */
static void run_ktls(char **argv)
{
	static char buf[16384];
	struct tls12_crypto_info_aes_gcm_128 key = {
		.info = { TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128 },
	};
	struct timespec pause = { .tv_nsec = 1000000 };
	long n = parse_count(argv[0]), sent = 0, got = 0, size;
	struct io io = {};

	open_pair(&io, "tcp4", false);
	if (setsockopt(io.tx, SOL_TCP, TCP_ULP, "tls", sizeof("tls"))) {
		fprintf(stderr, "load: no kTLS in this kernel: %s\n", strerror(errno));
		exit(77);
	}
	must(setsockopt(io.rx, SOL_TCP, TCP_ULP, "tls", sizeof("tls")), "TCP_ULP");
	must(setsockopt(io.tx, SOL_TLS, TLS_TX, &key, sizeof(key)), "TLS_TX");
	must(setsockopt(io.rx, SOL_TLS, TLS_RX, &key, sizeof(key)), "TLS_RX");
	while (got < n * (long)sizeof(buf)) {
		while (sent < n * (long)sizeof(buf) &&
		       (size = send(io.tx, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			sent += size;
		while ((size = recv(io.rx, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			got += size;
		if (size < 0 && errno != EAGAIN)
			die("recv", strerror(errno));
		nanosleep(&pause, NULL);
	}
	printf("bytes=%ld\n", got);
}

/* The timer's interrupts of a sampler that takes no samples: what those cost on this machine. */
static void run_timers(char **argv)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = NS / parse_number(argv[0], 1, 1e5),
	};

	for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); cpu++)
		must(syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0), "perf_event_open");
	pause();
}

/* --- commands that lack something --- */

static void execute(char **argv)
{
	execvp(argv[0], argv);
	die(argv[0], strerror(errno));
}

/* As root without a capability, by number, or without all of them. */
static void run_uncap(char **argv)
{
	bool all = !strcmp(argv[0], "all");
	long first = all ? 0 : strtol(argv[0], NULL, 10), last = all ? CAP_LAST_CAP : first;

	for (long cap = first; cap <= last; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) && errno != EINVAL)
			die("PR_CAPBSET_DROP", strerror(errno));
	execute(argv + 1);
}

/* As root with these capabilities and no others: numbers between commas. */
static void run_only(char **argv)
{
	uint64_t keep = 0;

	for (char *cap = argv[0]; *cap; cap += strspn(cap, ","))
		keep |= 1ull << strtoul(cap, &cap, 10);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap) && errno != EINVAL)
			die("PR_CAPBSET_DROP", strerror(errno));
	execute(argv + 1);
}

/* Where a system call fails: ENOSYS is 38, EPERM is 1. */
static void refuse(unsigned int call, char **argv)
{
	unsigned int error = parse_count(argv[0]);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		die("PR_SET_SECCOMP", strerror(errno));
	execute(argv + 1);
}

static void run_nobpf(char **argv)
{
	refuse(SYS_bpf, argv);
}

static void run_noperf(char **argv)
{
	refuse(SYS_perf_event_open, argv);
}

/* --- main --- */

#define SEND(name, help, ...)								\
	{ #name, "PROTO [N]", help, .count = count_send, .one = one_##name, __VA_ARGS__ }
#define RECV(name, help, ...)								\
	{ #name, "PROTO [N]", help, .count = count_recv, .one = one_##name, __VA_ARGS__ }

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
	RECV(recv, "receive what was written before, 98 at a time"),
	RECV(recvfrom, "with the address"),
	RECV(recvmsg, ""),
	RECV(recvmmsg, "N messages, 7 a call"),
	RECV(read, ""),
	RECV(readv, ""),
	RECV(splice_in, "to a pipe that is emptied each time; tcp", .prepare = prepare_pipe),
	RECV(uring_recv, "IORING_OP_RECV", .prepare = prepare_ring),
	{ "packet_send", "N [IF]", "raw frames (lo)", .count = count_packet, .one = one_write },
	{ "packet_recv", "N [TX [RX]]", "raw frames (lo)", .count = count_packet, .one = one_recv },
	{ "rawv6_recv", "N", "raw IPv6 socket", .count = count_rawv6, .one = one_recv },
	{ "connect", "PROTO N", "connect, accept, close both", .run = run_connect },
	{ "xsk", "N", "sends of an AF_XDP socket", .run = run_xsk },
	{ "unix", "N", "send, receive on a socketpair", .run = run_unix },
	{ "block_recv", "MS", "wait in one recv", .run = run_block_recv },
	{ "sendloop", "SECONDS CPU", "UDP to a full socket", .run = run_sendloop },
	{ "burn", "SECONDS CPU [fifo PRIO DUTY_PERCENT PERIOD_US]", "in user space",
	  .run = run_burn },
	{ "bigsend", "SECONDS CPU_A CPU_B [CPU_RX]",
	  "one TCP sendmsg, moved between two CPUs; a process receives", .run = run_bigsend },
	{ "udpflood", "SECONDS CPU_TX CPU_RX [SIZE]", "a process sends, another receives",
	  .run = run_udpflood },
	{ "udppath", "NETNS_TX NETNS_RX ADDRESS SECONDS CPU_TX CPU_RX [SIZE]",
	  "the same between two namespaces", .run = run_udppath },
	{ "udpsend", "NETNS_TX NETNS_RX ADDRESS N CPU [NS [sleep]]",
	  "the same, N messages that nobody reads, and NS to pass after each",
	  .run = run_udpsend },
	{ "tcppath", "NETNS_TX NETNS_RX ADDRESS SECONDS CPU_TX CPU_RX [SIZE]", "over TCP",
	  .run = run_tcppath },
	{ "busypoll", "NETNS_TX NETNS_RX ADDRESS US N [epoll]", "N receives of nothing",
	  .run = run_busypoll },
	{ "uring_work", "N|MS [sqpoll]", "16 MB each, by io_uring's workers", .run = run_uring_work },
	{ "vhost", "N", "frames through vhost-net to a tap device", .run = run_vhost },
	{ "mptcp", "N", "connections with a message", .run = run_mptcp },
	{ "ktls", "N", "records of 16 kB", .run = run_ktls },
	{ "algorithm", "TYPE NAME", "holds it, until killed", .run = run_algorithm },
	{ "unixflood", "SECONDS CPU", "unix as often as it goes", .run = run_unixflood },
	{ "switches", "SECONDS CPU [NICE]", "two processes, two pipes", .run = run_switches },
	{ "timers", "HZ", "perf events on each CPU, until killed", .run = run_timers },
	{ "uncap", "CAP|all COMMAND [ARG]...", "run it without a capability", .run = run_uncap },
	{ "only", "CAP,... COMMAND [ARG]...", "run it with these capabilities alone", .run = run_only },
	{ "nobpf", "ERRNO COMMAND [ARG]...", "run it where bpf() fails", .run = run_nobpf },
	{ "noperf", "ERRNO COMMAND [ARG]...", "run it where perf_event_open() fails", .run = run_noperf },
};

#define NR_LOADS (sizeof(loads) / sizeof(loads[0]))

/* How many arguments the load must have: the words before the first bracket. */
static int needed(const struct load *load)
{
	int words = 0;

	for (const char *p = load->args; *p && *p != '['; p++)
		words += *p != ' ' && (p == load->args || p[-1] == ' ');
	return words;
}

static int usage(void)
{
	fprintf(stderr, "usage: load NAME [ARG]...    PROTO: udp4, udp6, tcp4 or tcp6; N: 1009\n");
	for (size_t i = 0; i < NR_LOADS; i++)
		fprintf(stderr, "  %-11s %-28s  %s\n", loads[i].name, loads[i].args, loads[i].help);
	return 2;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < NR_LOADS; i++) {
		if (strcmp(argv[1], loads[i].name))
			continue;
		if (argc - 2 < needed(&loads[i]))
			return usage();
		if (loads[i].run)
			loads[i].run(argv + 2);
		else
			loads[i].count(&loads[i], argv + 2);
		if (fflush(stdout))
			die("standard output", strerror(errno));
		return 0;
	}
	return usage();
}
