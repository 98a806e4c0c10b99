// SPDX-License-Identifier: GPL-2.0
/*
 * rounds - the same networking over and over, in an emulator that counts instructions
 *
 * Under qemu's -icount shift=0 the time stamp counter counts instructions. Each kind repeats one
 * round in batches and prints, as key=value pairs on one line: the rounds, and the instructions of
 * one, over all (mean: timer ticks and samples included) and in the median batch (median).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH		50	/* rounds; well below a tick of the timer */
#define MAX_BATCHES	10000
#define PORT		9	/* "discard" */

static int tx, rx;		/* what a round sends to and receives from */
static char message[1 << 16];

static long must(long result, const char *what)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "rounds: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * One socket of the type bound to the loopback, another one connected to it. Of UDP, the ports are
 * given: of two by chance, one pair in 256 is in the same slot of the kernel's table of sockets,
 * where a lookup takes 31 instructions more.
 */
static void open_pair(int type)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in from = to;
	socklen_t length = sizeof(to);

	if (type == SOCK_DGRAM) {
		to.sin_port = htons(PORT);
		from.sin_port = htons(PORT + 1);
	}
	rx = must(socket(AF_INET, type, 0), "socket");
	must(bind(rx, (struct sockaddr *)&to, length), "bind");
	must(getsockname(rx, (struct sockaddr *)&to, &length), "getsockname");
	if (type == SOCK_STREAM)
		must(listen(rx, 1), "listen");
	tx = must(socket(AF_INET, type, 0), "socket");
	must(bind(tx, (struct sockaddr *)&from, length), "bind");
	must(connect(tx, (struct sockaddr *)&to, length), "connect");
	if (type == SOCK_STREAM)
		rx = must(accept(rx, NULL, NULL), "accept");
}

static void open_udp(void)
{
	open_pair(SOCK_DGRAM);
}

static void open_tcp(void)
{
	open_pair(SOCK_STREAM);
}

/* Another process gives back each byte. */
static void open_pipes(void)
{
	int there[2], back[2];
	char byte;

	must(pipe(there), "pipe");
	must(pipe(back), "pipe");
	if (!must(fork(), "fork")) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1)
			must(write(back[1], &byte, 1), "write");
		exit(0);
	}
	close(there[0]);
	tx = there[1];
	rx = back[0];
}

/* To where nobody receives: the machine before drops it. In the namespace netto-a of `ip netns`. */
static void open_forward(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	inet_pton(AF_INET, "203.0.113.1", &to.sin_addr);
	must(setns(must(open("/run/netns/netto-a", O_RDONLY), "netto-a"), CLONE_NEWNET), "setns");
	tx = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	must(connect(tx, (struct sockaddr *)&to, sizeof(to)), "connect");
}

static void send_and_receive(size_t size)
{
	if (send(tx, message, size, 0) != (ssize_t)size)
		must(-1, "send");
	for (size_t got = 0; got < size;)
		got += must(recv(rx, message, size - got, 0), "recv");
}

static void round_udp(void)
{
	send_and_receive(64);
}

static void round_tcp(void)
{
	send_and_receive(sizeof(message));
}

static void round_pipe(void)
{
	must(write(tx, message, 1), "write");
	must(read(rx, message, 1), "read");
}

static void round_forward(void)
{
	must(send(tx, message, 64, 0), "send");
}

static void open_nothing(void)
{
}

/* A hundredth of a tick of the timer, at 250 Hz: the mean, a hundred times, has one tick. */
static void round_tick(void)
{
	unsigned long turns = 20000;

	asm volatile("1: dec %0; jnz 1b" : "+r"(turns));
}

static const struct {
	const char *name;
	void (*open)(void);
	void (*round)(void);
} kinds[] = {
	{ "udp", open_udp, round_udp },
	{ "tcp", open_tcp, round_tcp },
	{ "pipe", open_pipes, round_pipe },
	{ "forward", open_forward, round_forward },
	{ "tick", open_nothing, round_tick },
};

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		static uint64_t took[MAX_BATCHES];
		long batches = atol(argv[2]) / BATCH;
		double all = 0;

		if (strcmp(argv[1], kinds[i].name) || batches < 1 || batches > MAX_BATCHES)
			continue;
		kinds[i].open();
		for (int j = 0; j < 4 * BATCH; j++)
			kinds[i].round();
		for (long j = 0; j < batches; j++) {
			uint64_t began = __builtin_ia32_rdtsc();

			for (int k = 0; k < BATCH; k++)
				kinds[i].round();
			took[j] = __builtin_ia32_rdtsc() - began;
			all += took[j];
		}
		qsort(took, batches, sizeof(took[0]), compare);
		printf("rounds=%ld mean=%.1f median=%.1f\n", batches * BATCH,
		       all / batches / BATCH, (double)took[batches / 2] / BATCH);
		return 0;
	}
	fputs("usage: rounds udp|tcp|pipe|forward|tick ROUNDS\n", stderr);
	return 2;
}
