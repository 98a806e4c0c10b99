// SPDX-License-Identifier: GPL-2.0
/*
 * netto, kernel side: who owns each nanosecond of each CPU.
 *
 * Accounting rule. Every CPU has four slots; the innermost one that is set owns the time: hardirq >
 * softirq > poll > task. A hook charges the time since the last change to the owner, then changes
 * one slot. The task slot is never empty: it holds an operation, `other` or `idle`. So events are
 * exclusive and sum to wall time.
 *
 * What no hook names, since the lists of hooks are never complete, and what a host cannot trace is
 * in `other` and `softirq`. netto_sample takes stacks of these, too, and user space shares their
 * time out: network code that is found there is `net_other`. Without any hook (sample mode) all
 * time is `other`. Functions that run seldom share one pair of programs by kprobe.multi, which
 * tells them apart by cookies; where the kernel has none, each has a pair by fentry. For hosts
 * without fentry there are programs for kprobes, and for those without BTF programs for raw
 * tracepoints, which read no field of the kernel's structures.
 *
 * Data flow. A hook at the beginning and one at the end of each socket operation set and clear the
 * task slot. Hooks of other work do so with the poll slot, or in a softirq with the softirq slot.
 * softirq_entry and softirq_exit set and clear the softirq slot, irq_handler_entry and
 * irq_handler_exit the hardirq slot; a top half is known for what it is when it schedules NAPI.
 * sched_switch parks the slots of the task that leaves, and brings back those of the one that comes
 * (in task storage, or in a hash by task pointer). There are threads that are an event as a whole,
 * which their names tell: outside operations their task slot holds that event. Nothing is sent
 * anywhere. User space runs netto_mark on each CPU at each end of an interval. It writes down, at
 * one instant of that CPU, all sums with the spans still open. An interval is the difference of two
 * marks, so intervals join without a gap. A CPU starts to count at its first sched_switch or mark;
 * sched_switch is attached last, so every hook is in place by then.
 *
 * Clocks. Softirqs and top halves interrupt a program anywhere, so they share no variable with the
 * tasks' side: each level has a clock of its own that stands still while a higher level runs (now -
 * what those took), and charges spans of that clock. An interruption in the midst of a change takes
 * no time on the clock of the one interrupted; all that it must do is to read a consistent clock
 * (clock()). The levels and their clocks:
 * - hardirq: now
 * - softirq: now - hard
 * - task: now - above, which is what top halves and softirqs took; it holds the slots poll and
 * task, and on PREEMPT_RT softirq, which is there run by tasks and preempted with them.
 *
 * Races. Left: a program, and what may come in its midst; right: why all is right nevertheless.
 *
 *   hardirq programs: an NMI        Interrupts are off, and NMIs write nothing here.
 *
 *   softirq programs (not RT):      They write the hardirq level alone. Softirqs do not nest.
 *   top halves                      Functions that run in softirqs and in tasks ask which it is
 *                                   (`serving`).
 *
 *   sched_switch: an NMI            Interrupts are off. It is the only writer of the task level
 *                                   besides fentry/fexit.
 *
 *   fentry/fexit programs, on RT    They cannot migrate. The slots and the time of the last change
 *   softirq programs too:           are one word, so that a change is one store, and the sums are
 *   softirqs and top halves;        added to atomically. A preemption before that store would be
 *   where kernels are preemptible   overwritten by it: the time in the word is then older than the
 *   (from 5.11 on) or RT also       last switch, by which it is noticed (netto_settle()). The same
 *   sched_switch, and then other    program is skipped for other tasks meanwhile: a recursion
 *   tasks and their programs        miss.
 *
 *   netto_mark (in an IPI, or       It changes nothing but the mark (and starts a CPU that did not
 *   with interrupts on on netto's   count yet). If it sees a program between its store and its
 *   own CPU): what it meets         addition, there is a residual that was not there at the mark
 *   halfway, and there all that     before: user space marks again. If it comes between a
 *   interrupts                      program's clock and its store, these nanoseconds (or the
 *                                   milliseconds for which a virtual CPU stands still there) are
 *                                   charged to the old owner in one interval, and to the new one
 *                                   in the next. It takes `longest` over by a load and a store: a
 *                                   softirq or top half that ends between the two, on netto's own
 *                                   CPU, is not in it.
 *
 * Cost. What runs for each packet is kept to one reading of the clock and some 30 instructions;
 * what is rare is in functions of its own, which are not inlined (test/bench counts).
 *
 * Samples. A perf event on each CPU runs netto_sample, which takes the kernel stack if a network
 * event owns the CPU, and counts it: each CPU has a table of its own, an array that user space maps
 * and reads once after the interval. While `interval_id` is not 0, samples are taken, for the
 * interval that has that number; two buffers of each CPU take turns. User space changes
 * `interval_id` and then marks all CPUs: when a CPU's mark is made, no sample of the old interval
 * is under way there any more (neither an NMI nor the timer's interrupt is interrupted by an IPI),
 * and its buffer is at rest. netto_sample alone writes the table, on its own CPU, and is never
 * interrupted by itself: so no atomics.
 *
 * Details. The time of NET_RX is given to the NAPI instances (queues of devices) that it polls. As
 * long as a CPU polls one alone, all of it is that one's, and no poll reads a clock; while several
 * share softirqs, netto_poll looks at the end of each poll (netto_divide()). So it does with polls
 * of threads. The sums are in an array that user space maps. Each CPU writes its own (on
 * PREEMPT_RT, where polls are preempted by others, by atomic additions). If tasks are wanted, what
 * is charged to an operation is charged to its process too, and what NET_RX took to the process
 * that it interrupted. That is in a hash, which user space reads; it takes out processes that are
 * gone. Both are of the same spans as the events.
 *
 * Blind spots. An operation that began before netto attached is not seen until the next one of that
 * task. When another tracer attaches to the same functions, the kernel skips the exit programs of
 * the calls under way: the task stays in its operation until it leaves the next one (likewise after
 * a run that the kernel skipped, counted as a recursion miss). A module that is loaded later has no
 * hooks. An operation within another (a send
 * that swaps pages in over the network) ends both. All times are nanoseconds of CLOCK_MONOTONIC.
 */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define READ_ONCE(x)	 (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

enum {
	MAX_CPUS = 1024,    /* ids of CPUs are below; a power of two; a kB of memory each */
	MAX_SAVED = 8192,   /* tasks off the CPU in an operation, without task storage */
	CLOCK_TRIES = 3,    /* each fails only if an interrupt ends within some 20 ns */
	CHANGE_TRIES = 3,   /* each fails only if a preemption comes within these */
	MAX_DEPTH = 127,    /* frames of a stack; the default of kernel.perf_event_max_stack */
	SLOT_TRIES = 32,    /* places where a stack may have its slot */
	POLLED_PLACES = 64, /* NAPI instances of a CPU; a power of two */
	POLLED_TRIES = 8,   /* places where one may be */
	MIXED = 64,	    /* softirqs with a clock for each poll, after two instances in one */
	NO_DEVICE = 1,	    /* the key of the backlog, which has no device: no address */
	MAX_TASKS = 4096,   /* processes whose operations are counted */
	/* netto_sample: more than its part when it is due; and what counts of a sample at most, so
	   many times the shortest one: if it took longer, a hypervisor may have had the CPU */
	SAMPLE_BURST_NS = 1000000,
	SAMPLE_MOST = 8,
	SAMPLE_MOST_NS = 100000, /* nor more than this */
};

/*
 * The word of the task level: the time of the last change << SLOT_BITS, then an event for each
 * slot.
 */
enum { SLOT_TASK, SLOT_POLL, SLOT_SOFTIRQ };
enum { EVENT_BITS = 4, SLOT_BITS = 3 * EVENT_BITS, SLOT_MASK = (1 << SLOT_BITS) - 1 };
enum {
	OVERTAKEN = 1 << SLOT_BITS, /* parked with the slots: see netto_settle() */
	MISSED = 2 << SLOT_BITS,    /* something may be parked that is old: see netto_unpark() */
};
enum { SOFT, HARD };

/* Configuration, written by user space before loading. */
const volatile __u8 rt;		       /* PREEMPT_RT: softirqs belong to tasks */
const volatile __u8 hooks_switch;      /* sched_switch is hooked, and so softirqs are */
const volatile __u8 reads_task_fields; /* by a program that reads those of the tasks */
const volatile enum {
	PARK_NOWHERE, /* there are no hooks that set a slot of the task level */
	PARK_STORAGE, /* in task storage */
	PARK_HASH,
} parking;				/* of the slots of tasks that are off the CPU */
const volatile __u64 addresses = ~0ull; /* the bits of an address */
const volatile __u8 tasks;		/* their operations are counted one by one */
const volatile __u32 sample_part = 20;	/* of a CPU's time are for samples, 1 in so many; 0: all */
const volatile __u8 scan;	  /* a stack that cannot be unwound is searched for its caller */
const volatile __u32 nr_bufs;	  /* of each CPU's table of stacks: 2, or 1 for a single interval */
const volatile __u32 hash_slots;  /* of a buffer; a power of two */
const volatile __u32 stack_words; /* for the stacks of a buffer */

/*
 * The events, in the order of the report; their numbers fit EVENT_BITS. X(id, net, name): net is 1
 * if the event is a part of `net`. The enumeration reaches user space through the type of events[].
 */
#define EVENTS(X)                                                                                  \
	X(EV_RX_SOFTIRQ, 1, "rx_softirq")                                                          \
	X(EV_TX_SOFTIRQ, 1, "tx_softirq")                                                          \
	X(EV_RECV, 1, "recv")                                                                      \
	X(EV_SEND, 1, "send")                                                                      \
	X(EV_CONN, 1, "conn")                                                                      \
	X(EV_NAPI_THREAD, 1, "napi_thread")                                                        \
	X(EV_BUSY_POLL, 1, "busy_poll")                                                            \
	X(EV_TCP_WORK, 1, "tcp_work")                                                              \
	X(EV_NET_WORKER, 1, "net_worker")                                                          \
	X(EV_HARDIRQ, 1, "hardirq")                                                                \
	X(EV_NET_OTHER, 1, "net_other") /* only user space charges it, by samples */               \
	X(EV_IO_WORKER, 0, "io_worker")                                                            \
	X(EV_SOFTIRQ, 0, "softirq")                                                                \
	X(EV_OTHER, 0, "other")                                                                    \
	X(EV_IDLE, 0, "idle")
#define EVENT_ID(id, net, name)	 id,
#define EVENT_ROW(id, net, name) [id] = { id, net, name },

const volatile struct {
	enum { EV_NONE, EVENTS(EVENT_ID) EV_MAX } id;
	__u8 net;
	char name[15];
} events[EV_MAX] = { EVENTS(EVENT_ROW) };

/*
 * The kernel functions that are hooked, on kernels from 5.10 to 7.x. A row is X(program, how,
 * event, [MODULE:]FUNCTION). A row of SPARE is hooked only where the function of the row before it
 * is missing. User space also classifies stacks by these functions: see make_rules() in netto.c.
 */
#define FUNCTIONS(X, SPARE)                                                                        \
	/* the socket operations of the network families, at the level that every way into them */ \
	/* passes; inet6_release ends in inet_release, which is enough */                          \
	X(send4, hot, EV_SEND, "inet_sendmsg")                                                     \
	X(send6, hot, EV_SEND, "inet6_sendmsg")                                                    \
	X(sendpg, operation, EV_SEND, "inet_sendpage") /* until 6.4 */                             \
	X(sendpkt, operation, EV_SEND, "af_packet:packet_sendmsg")                                 \
	X(sendxsk, operation, EV_SEND, "xsk_sendmsg")                                              \
	X(recv4, hot, EV_RECV, "inet_recvmsg")                                                     \
	X(recv6, hot, EV_RECV, "inet6_recvmsg")                                                    \
	X(recvspl, operation, EV_RECV, "tcp_splice_read")                                          \
	X(recvcom, operation, EV_RECV, "sock_common_recvmsg") /* raw IPv6, L2TP */                 \
	X(recvpkt, operation, EV_RECV, "af_packet:packet_recvmsg")                                 \
	X(recvxsk, operation, EV_RECV, "xsk_recvmsg") /* from 5.11 */                              \
	X(read, read, EV_RECV, "tcp_read_sock")	      /* NVMe, io_uring's zero copy */             \
	X(connect, waiting, EV_CONN, "inet_stream_connect")                                        \
	X(accept, waiting, EV_CONN, "inet_accept")                                                 \
	X(conndgr, operation, EV_CONN, "inet_dgram_connect")                                       \
	X(shutdwn, operation, EV_CONN, "inet_shutdown")                                            \
	X(close, operation, EV_CONN, "inet_release")                                               \
	X(bind4, operation, EV_CONN, "inet_bind")                                                  \
	X(bind6, operation, EV_CONN, "inet6_bind")                                                 \
	X(listen, operation, EV_CONN, "inet_listen")                                               \
	X(tsq, poll, EV_TCP_WORK, "tcp_tasklet_func")	    /* until 6.16 */                       \
	SPARE(tsqwork, poll, EV_TCP_WORK, "tcp_tsq_workfn") /* on a BH workqueue */                \
	X(retrans, poll, EV_TCP_WORK, "tcp_write_timer")                                           \
	X(delack, poll, EV_TCP_WORK, "tcp_delack_timer")                                           \
	X(keepal, poll, EV_TCP_WORK, "tcp_keepalive_timer")                                        \
	X(pace, poll, EV_TCP_WORK, "tcp_pace_kick")                                                \
	X(compack, poll, EV_TCP_WORK, "tcp_compressed_ack_kick")                                   \
	X(wgenc, poll, EV_NET_WORKER, "wireguard:wg_packet_encrypt_worker")                        \
	X(wgdec, poll, EV_NET_WORKER, "wireguard:wg_packet_decrypt_worker")                        \
	X(wgtx, poll, EV_NET_WORKER, "wireguard:wg_packet_tx_worker")                              \
	X(wghsend, poll, EV_NET_WORKER, "wireguard:wg_packet_handshake_send_worker")               \
	X(wghrecv, poll, EV_NET_WORKER, "wireguard:wg_packet_handshake_receive_worker")            \
	X(cryptd, poll, EV_NET_WORKER, "cryptd:cryptd_queue_worker") /* others' crypto too */      \
	X(padatap, poll, EV_NET_WORKER, "padata_parallel_worker")                                  \
	X(padatas, poll, EV_NET_WORKER, "padata_serial_worker")                                    \
	X(reinjct, poll, EV_NET_WORKER, "xfrm_trans_reinject") /* a tasklet until 5.10.162 */      \
	X(tlstx, poll, EV_NET_WORKER, "tls:tx_work_handler")                                       \
	X(tlsstrp, poll, EV_NET_WORKER, "tls:tls_strp_work")                                       \
	X(mptcp, poll, EV_NET_WORKER, "mptcp_worker")                                              \
	X(psock, poll, EV_NET_WORKER, "sk_psock_backlog")                                          \
	X(vhosttx, poll, EV_NET_WORKER, "vhost_net:handle_tx_kick")                                \
	X(vhostrx, poll, EV_NET_WORKER, "vhost_net:handle_rx_kick")                                \
	X(vhosttn, poll, EV_NET_WORKER, "vhost_net:handle_tx_net")                                 \
	X(vhostrn, poll, EV_NET_WORKER, "vhost_net:handle_rx_net")                                 \
	/* user space's own packets */                                                             \
	X(tunr, poll, EV_NET_WORKER, "tun:tun_chr_read_iter")                                      \
	X(tunw, poll, EV_NET_WORKER, "tun:tun_chr_write_iter")                                     \
	X(tapr, poll, EV_NET_WORKER, "tap:tap_read_iter")                                          \
	X(tapw, poll, EV_NET_WORKER, "tap:tap_write_iter")                                         \
	X(nfq, poll, EV_NET_WORKER, "nfnetlink_queue:nfqnl_recv_verdict")                          \
	X(nfqs, poll, EV_NET_WORKER, "nfnetlink_queue:nfqnl_recv_verdict_batch")                   \
	X(busy, poll, EV_BUSY_POLL, "__napi_busy_loop") /* from 6.9; the other one calls it */     \
	SPARE(busyold, poll, EV_BUSY_POLL, "napi_busy_loop")

#define PROBE_OF_FUNCTION(name, how, event, function)                                              \
	{ "netto_" #name, function, event, 0, HOW_##how },
#define PROBE_OF_SPARE(name, how, event, function)                                                 \
	{ "netto_" #name, function, event, 1, HOW_##how },

/*
 * What measures each event. The program of the same name with _x, where there is one, is the other
 * half.
 */
const volatile struct {
	char program[15];
	char target[48]; /* tracepoint, or [MODULE:]FUNCTION */
	__u8 event;
	__u8 only_if_previous_absent; /* in the table; it is hooked in its place */
	/* a function is measured by netto_enter_HOW() and netto_leave_HOW(); those of `hot` run for
	   each packet, those of `waiting` are where many tasks sleep at once: see ladders[];
	   of `result` it is what the function returns that is looked at */
	enum {
		HOW_tracepoint,
		HOW_result,
		HOW_hot,
		HOW_waiting,
		HOW_operation,
		HOW_read,
		HOW_poll,
		HOW_thread
	} how;
} probes[] = {
	{ "netto_soft", "softirq_entry", EV_RX_SOFTIRQ, 0, HOW_tracepoint },
	{ "netto_soft", "softirq_entry", EV_TX_SOFTIRQ, 0, HOW_tracepoint },
	{ "netto_soft", "softirq_entry", EV_SOFTIRQ, 0, HOW_tracepoint },
	{ "netto_irq", "irq_handler_entry", EV_HARDIRQ, 0, HOW_tracepoint },
	{ "netto_prep", "napi_schedule_prep", EV_HARDIRQ, 0, HOW_result },
	{ "netto_raise", "softirq_raise", EV_HARDIRQ, 1, HOW_tracepoint },
	/* clang-format off: the macro is rows */
	FUNCTIONS(PROBE_OF_FUNCTION, PROBE_OF_SPARE)
	/* clang-format on */
	{ "netto_worker", "io_wq_worker", EV_IO_WORKER, 0, HOW_thread },
	{ "netto_wqe", "io_wqe_worker", EV_IO_WORKER, 1, HOW_thread },
	{ "netto_switch", "sched_switch", EV_NAPI_THREAD, 0, HOW_tracepoint },
	{ "netto_switch", "sched_switch", EV_IO_WORKER, 0, HOW_tracepoint },
	{ "netto_switch", "sched_switch", EV_OTHER, 0, HOW_tracepoint },
	{ "netto_switch", "sched_switch", EV_IDLE, 0, HOW_tracepoint },
};

/*
 * State of each CPU, by CPU id, written on that CPU alone; 0 until it starts to count. Times in ns;
 * arrays of 16 are by event, with room for all that EVENT_BITS can tell, so that no index needs a
 * check.
 */
struct {
	__u64 task;    /* the word of the task level; 0: not counting yet */
	__u64 above;   /* time that the levels above the tasks took */
	__u64 resumed; /* task clock at the last sched_switch or the start, << SLOT_BITS */
	__u64 running; /* task pointer: who runs since then */
	union {
		__u64 stint; /* all of it, 0 at each switch */
		struct {
			__u32 operated; /* in its operation before it came back, in 1024 ns */
			__u8 ready;	/* it is known to have task storage, or needs none */
		};
	};	      /* of the task on this CPU */
	__u16 flags;  /* of the task on this CPU: OVERTAKEN, MISSED */
	__u8 base;    /* what the task on this CPU is outside operations: an event */
	__u8 serving; /* the softirq that runs, an event; not on PREEMPT_RT: it is a task's */
	/* of EV_RX_SOFTIRQ, if it interrupts the task on this CPU: the idle task, ksoftirqd, or
	   another; not on PREEMPT_RT, and not where no field of a task is read */
	enum { PART_NONE, PART_IDLE, PART_KSOFTIRQD, PARTS = 4 } rx_over;
	struct {
		__u64 event; /* EV_NONE: none runs */
		__u64 since; /* this level's clock when it began */
	} irq[2];	     /* SOFT, HARD */
	__u64 hard;	     /* time that top halves took */
	__u64 start;	     /* when this CPU began to count */
	__u64 unseen;	     /* time since then that nothing is known of: see unseen() */
	__u64 lost;	     /* operations that could not be parked: their rest is `other` */
	__u64 mark_wall;     /* at the last mark: time since start, without unseen */
	__u64 mark_unseen;   /* at the last mark: unseen with what was still open */
	__u64 unreturned;    /* operations that were still open when their task began another */
	__u64 unreturned_ns; /* what these were charged at most: all that their tasks ran since */
	__u64 ns[16];	     /* exclusive time */
	__u64 count[16];     /* entries; of idle and of whole threads: switches to them */
	__u64 longest[16];   /* of softirqs and top halves: longest stretch since the last mark */
	__u64 parts[PARTS];  /* of ns[EV_RX_SOFTIRQ]; the first one is not kept */
	__u64 mark_ns[16];   /* at the last mark: ns[] with what was still open */
	__u64 mark_longest[16];
	__u64 mark_parts[PARTS];
	__u64 sampled; /* when the last sample was taken */
	__u64 owed;    /* time of samples beyond what they may take: see pay_sample() */
	__u32 every,
		skipped; /* one in so many samples is taken; those left out since the last one */
	/* of polls in softirqs, not on PREEMPT_RT: see netto_divide() */
	struct {
		__u64 napi; /* the instance that was polled last; 0: each poll is looked at */
		__u32 id;   /* its number */
		__u32 last; /* 1 + its place; 0: none was polled yet */
		__u64 polls, packets; /* that its place does not have yet */
		__u64 given;	      /* time of rx_softirq that places have */
		__u32 round;   /* the softirq of that poll: the lowest bits of its number here */
		__u32 mixed;   /* for so many softirqs more each poll is looked at */
		__u64 changes; /* of what places have: for user space, which reads them meanwhile */
	} polled;
	__u64 spare[12];
	/* a kB, so that indexing is a shift, and CPUs share no cache line */
} cpus[MAX_CPUS] __attribute__((aligned(64)));
_Static_assert(sizeof(cpus[0]) == 1024, "a power of two");

typedef typeof(cpus[0]) cpu_t;

/* The idle task of each CPU, 0 until it is seen: only where no field tells. */
__u64 idle_tasks[MAX_CPUS];

/* Tasks that are allocating storage on each CPU: more than one if they were preempted in that. */
__u64 preparing[MAX_CPUS];

/* The interval for which samples are taken; 0: none are. Written by user space alone. */
__u32 interval_id;

/* One in so many samples is taken, on all CPUs; 0: each. */
__u32 every;

/* For sample_cost() in netto.c: how many were taken, and the shortest time, ns, for a few frames.
 */
__u32 samples;
__u64 sample_ns;

/*
 * The stacks of an interval on a CPU: buffer `interval_id % nr_bufs` of the CPU. Slots hash
 * the stacks, which lie one after the other: a word that tells event | depth << 8 | slot << 32,
 * then the addresses, leaf first. What is of an older interval is void. Written by netto_sample on
 * that CPU alone; read by user space when it is at rest. Of this variable only the type is used,
 * here and in user space: a buffer has `hash_slots` slots. Behind them are its stacks:
 * `stack_words` words, and room for one more stack, which is as long as stack_layout.
 */
struct {
	__u64 interval_id; /* the interval that this is of */
	__u64 used;	   /* words of stacks */
	__u64 full;	   /* samples lost since there was no room for their stack */
	__u64 failed;	   /* samples lost since there was no stack */
	struct {
		__u64 hash; /* of the event and the addresses */
		__u32 interval_id;
		__u32 count;
	} slots[];
} stack_buf_layout;

__u64 stack_layout[1 + MAX_DEPTH];

typedef typeof(stack_buf_layout) stack_buf_t;

/*
 * What NAPI polled on a CPU: sums since the start. Each NAPI instance (a queue of a device) has a
 * place, near the one that its number gives; the last place is for those that found none. Times are
 * of the events that polls run in. Of this variable only the type is used.
 */
struct {
	__u64 shared[16]; /* by event: its time that was given to an instance */
	struct {
		__u64 key;     /* address: see netto_poll; 0: the place is free */
		__u32 id;      /* its number, or 0 */
		__u32 net;     /* network namespace of the device, as in vmlinux.h */
		char name[16]; /* empty: of no device */
		__u64 ns, polls, packets;
	} places[POLLED_PLACES + 1];
} polled_layout;

typedef typeof(polled_layout) polled_t;
typedef typeof(polled_layout.places[0]) place_t;

/* Key: cpu. Mapped by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(polled_t));
	__uint(max_entries, 1);
} netto_polled SEC(".maps");

/*
 * What a process did in operations, and what NET_RX took while it interrupted it: sums since the
 * start, by event. The idle tasks are one, with the number 0.
 */
struct {
	char name[16];
	__u64 ns[16], count[16];
} task_layout;

typedef typeof(task_layout) task_t;

/* Key: number of the process, in the first namespace. Only if they are wanted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32);
	__type(value, task_t);
} netto_tasks SEC(".maps");

/* Operations and their time, ns, of processes for which there was no room in netto_tasks. */
__u64 tasks_lost, tasks_lost_ns;

/* What user space asks netto_lookup for. */
struct {
	char name[48]; /* of a function, or MODULE:FUNCTION: a target of probes[] */
	__u64 address; /* 0: there is none */
} lookup;

/* Key: cpu * nr_bufs + number of the buffer. Mapped by user space, which gives it its real sizes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(stack_buf_t));
	__uint(max_entries, 1);
} netto_stacks SEC(".maps");

/*
 * Slots of tasks that are off the CPU in an operation, and how long they ran in it, in units of
 * 1024 ns << 32; written and read by sched_switch alone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} netto_storage SEC(".maps");

/*
 * The same by task pointer, for kernels without task storage for tracing (before 5.13), and for
 * PREEMPT_RT, where a softirq can be parked whose task never had a chance to allocate. An entry
 * lives only while its task is parked.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SAVED);
	__type(key, __u64);
	__type(value, __u64);
} netto_saved SEC(".maps");

/* As one base register: clang would add up an address for each field. */
static __always_inline cpu_t *this_cpu(void)
{
	cpu_t *c = &cpus[bpf_get_smp_processor_id() & (MAX_CPUS - 1)];

	asm volatile("" : "+r"(c));
	return c;
}

/* Without a result: with one, which clang 20 gives __sync_fetch_and_add, it needs 5.12. */
static __always_inline void add(__u64 *sum, __u64 n)
{
	__atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
}

/*
 * The clock of a level: the time less `above`, what the levels above it took. That is read before
 * and after the time: when both are the same, nothing came between, and the difference is exact.
 */
static __noinline __u64 netto_clock(__u64 *above)
{
	__u64 used, now;

#pragma clang loop unroll(disable)
	for (int i = 0; i < CLOCK_TRIES; i++) {
		used = READ_ONCE(*above);
		now = bpf_ktime_get_ns();
		if (READ_ONCE(*above) == used)
			break;
	}
	return now - used;
}

static __always_inline __u64 clock(__u64 *above)
{
	__u64 used = READ_ONCE(*above), now = bpf_ktime_get_ns();

	return READ_ONCE(*above) == used ? now - used : netto_clock(above);
}

/* As tracepoints give it: 32-bit kernels extend the sign of what the helper returns. */
static __always_inline __u64 current_task(void)
{
	return bpf_get_current_task() & addresses;
}

/*
 * True if another task runs than the last sched_switch brought: a switch was missed, and what the
 * CPU did meanwhile is not known. A CPU runs no tracepoint on its last steps when it is unplugged,
 * nor on its first ones when it is plugged in; and there are hosts that hide some tasks from
 * tracing.
 */
static __always_inline int unseen(cpu_t *c, __u64 task)
{
	return c->running != task;
}

/*
 * An event as an index of ns[], masked where clang cannot see that it need not be, and a verifier
 * would not agree.
 */
static __always_inline __u64 event_index(__u64 event)
{
	asm volatile("%0 &= 15" : "+r"(event));
	return event;
}

/* The event that owns the task level: that of the innermost slot that is set. */
static __always_inline __u64 owner(__u64 word)
{
	__u64 event = word & SLOT_MASK;

	if (event >> 2 * EVENT_BITS)
		event >>= 2 * EVENT_BITS;
	else if (event >> EVENT_BITS)
		event >>= EVENT_BITS;
	return event_index(event);
}

/*
 * From the time in the word `from` to that in `to`: right over the wrap of the 52 bits after 52
 * days, and signed, so that a clock that steps back by a nanosecond takes it back. So a CPU has to
 * switch tasks once in 26 days.
 */
static __always_inline __u64 span(__u64 from, __u64 to)
{
	return (__s64)((to | SLOT_MASK) - (from | SLOT_MASK)) >> SLOT_BITS;
}

/* True if a task was switched to since the time in the word was read. */
static __always_inline int is_overtaken(cpu_t *c, __u64 word)
{
	return (__s64)(READ_ONCE(c->resumed) - word) > -(1 << SLOT_BITS);
}

/* What is counted for each task at its own level; on PREEMPT_RT NET_RX is there, too. */
static __always_inline int is_of_tasks(__u64 event)
{
	return (1 << event) & (1 << EV_RECV | 1 << EV_SEND | 1 << EV_CONN | 1 << EV_BUSY_POLL |
			       1 << EV_NET_WORKER) ||
	       (event == EV_RX_SOFTIRQ && rt);
}

/*
 * The name of the process: that of its first thread. Where no field is read, or cannot be here: of
 * the one that came first.
 */
static __always_inline void get_name(char name[16])
{
	if (reads_task_fields && parking == PARK_STORAGE) {
		struct task_struct *leader = bpf_get_current_task_btf()->group_leader;

		((__u64 *)name)[0] = ((__u64 *)leader->comm)[0];
		((__u64 *)name)[1] = ((__u64 *)leader->comm)[1];
	} else {
		bpf_get_current_comm(name, 16);
	}
}

/* Adds to what the current task did, and to `count` what begins, or, of operations, what ends. */
static __noinline int netto_charge_process(__u64 event, __u64 ns, __u64 count)
{
	__u32 key = bpf_get_current_pid_tgid() >> 32;
	task_t *task = bpf_map_lookup_elem(&netto_tasks, &key);

	if (!task) {
		task_t fresh = {};

		get_name(fresh.name);
		bpf_map_update_elem(&netto_tasks, &key, &fresh, BPF_NOEXIST);
		task = bpf_map_lookup_elem(&netto_tasks, &key);
	}
	if (!task) {
		add(&tasks_lost_ns, ns);
		add(&tasks_lost, count);
		return 0;
	}
	event = event_index(event);
	add(&task->ns[event], ns);
	add(&task->count[event], count);
	return 0;
}

static __always_inline void charge_task(__u64 event, __u64 ns, __u64 count)
{
	/* in this order nothing is left of it where it cannot be */
	if (is_of_tasks(event) && tasks)
		netto_charge_process(event, ns, count);
}

/*
 * An event took so long without a break. Signed, as in span(). It is noted while the sums do not
 * yet, or not any more, agree with what is open, so that a mark in between has a residual. On
 * PREEMPT_RT a task that is preempted in the midst of the comparison may hide what others note
 * meanwhile.
 */
static __always_inline void note_longest(cpu_t *c, __u64 event, __u64 took)
{
	if ((__s64)took > (__s64)c->longest[event])
		c->longest[event] = took;
}

/*
 * The end of a change of the task level, from the word `old`, by which `word` was stored. If a
 * preemption overtook it, and our word still stands, then it came before our store: sched_switch
 * has charged all until then, and what is left to charge began when this task resumed; so once
 * more, from there. If another word stands, it came after, and our store was taken into account. If
 * one came before it, and another one after it, that other one has found an old time, and says so:
 * then nothing is left to charge.
 */
static __noinline int netto_settle(cpu_t *c, __u64 old, __u64 word)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < CHANGE_TRIES && is_overtaken(c, word); i++) {
		if (READ_ONCE(c->task) != word) {
			__u16 flags = READ_ONCE(c->flags); /* after the comparison */

			if (!(flags & OVERTAKEN))
				break;
			WRITE_ONCE(c->flags, flags & ~OVERTAKEN);
			return 0;
		}
		word = clock(&c->above) << SLOT_BITS | (word & SLOT_MASK);
		/* of a preemption since the comparison: nothing is charged from `resumed` on */
		WRITE_ONCE(c->flags, READ_ONCE(c->flags) & ~OVERTAKEN);
		old = READ_ONCE(c->resumed) | (old & SLOT_MASK); /* after the clock */
		WRITE_ONCE(c->task, word);
	}
	if (rt)
		note_longest(c, owner(old), span(old, word));
	add(&c->ns[owner(old)], span(old, word));
	charge_task(owner(old), span(old, word), 0);
	return 0;
}

/* How long the current task has run in its operation at most, in units of 1024 ns, rounded up. */
static __always_inline __u64 operated(cpu_t *c, __u64 word)
{
	return c->operated + (span(c->resumed, word) >> 10) + 1;
}

/* An operation began while another one was still open. */
static __always_inline void miss_return(cpu_t *c, __u64 word)
{
	add(&c->unreturned, 1);
	add(&c->unreturned_ns, operated(c, word) << 10);
}

/* Puts `event` into a slot of the task level, whatever is set there. */
static __noinline int netto_change(cpu_t *c, __u32 slot, __u64 event)
{
	__u32 shift = slot * EVENT_BITS, base = READ_ONCE(c->base);
	__u64 word = clock(&c->above) << SLOT_BITS, old = READ_ONCE(c->task);

	if (!old)
		return 0;
	if (slot == SLOT_TASK)
		charge_task(old & 15, 0, 1);
	if ((old >> shift & 15) == event) {
		if (slot == SLOT_TASK && event != base) /* an entry: the task is in one already */
			miss_return(c, word);
		return 0;
	}
	if (slot == SLOT_TASK && !event) /* read before this CPU was started */
		event = c->base;
	if (slot == SLOT_TASK && event != c->base && (old & 15) != c->base)
		miss_return(c, word);
	word |= (old & SLOT_MASK & ~(15ull << shift)) | event << shift;
	WRITE_ONCE(c->task, word);
	return netto_settle(c, old, word);
}

/*
 * The usual change, in as few instructions as can be: `from` is all that is set at the task level,
 * `to` is to come in its place, and nothing comes between.
 */
static __always_inline void change_task(cpu_t *c, __u64 from, __u64 to)
{
	__u64 above = READ_ONCE(c->above), word = bpf_ktime_get_ns(), old = READ_ONCE(c->task);
	__u64 took;

	if (READ_ONCE(c->above) != above || (old & SLOT_MASK) != from) {
		netto_change(c, SLOT_TASK, to);
		return;
	}
	word = (word - above) << SLOT_BITS | to;
	WRITE_ONCE(c->task, word);
	if (is_overtaken(c, word)) {
		charge_task(from, 0, 1);
		netto_settle(c, old, word);
		return;
	}
	took = (__s64)(word - old + from - to) >> SLOT_BITS;
	add(&c->ns[from], took);
	charge_task(from, took, 1); /* an operation ends: nothing is counted of `other` */
}

/* True if more is set than what the task on this CPU is anyway. */
static __always_inline int is_operation(cpu_t *c, __u32 slots)
{
	return slots != c->base;
}

/* Gives the current task its storage here, where it can be allocated: in sched_switch it cannot. */
static __noinline int netto_prepare(cpu_t *c)
{
	__u64 *n = &preparing[bpf_get_smp_processor_id() & (MAX_CPUS - 1)];

	if (parking != PARK_STORAGE)
		return 0;
	add(n, 1);
	if (bpf_task_storage_get(&netto_storage, bpf_get_current_task_btf(), 0,
				 BPF_LOCAL_STORAGE_GET_F_CREATE))
		c->ready = 1;
	add(n, -1);
	return 0;
}

/* An entry starts afresh, whatever the slot holds: a missed exit ends here. */
static __always_inline void netto_enter_hot(__u64 event)
{
	cpu_t *c = this_cpu();

	add(&c->count[event], 1);
	if (!c->ready)
		netto_prepare(c);
	change_task(c, EV_OTHER, event);
}

/* An exit ends whatever the slot holds; without an entry it does nothing. */
static __always_inline void netto_leave_hot(__u64 event)
{
	cpu_t *c = this_cpu();

	change_task(c, event, c->base);
}

/* The same where it is not for each packet, without a copy of it in each program. */
static __noinline int netto_enter_operation(__u64 event)
{
	netto_enter_hot(event);
	return 0;
}

static __noinline int netto_leave_operation(__u64 event)
{
	netto_leave_hot(event);
	return 0;
}

#define netto_enter_waiting netto_enter_operation
#define netto_leave_waiting netto_leave_operation

/*
 * Not on PREEMPT_RT: what the softirq `event` took since it began, or since the last change, is
 * charged; from now on the time of its level is that of the event `to`.
 */
static __always_inline void charge_softirq(cpu_t *c, __u64 event, __u64 to)
{
	__u64 now = clock(&c->hard), took = now - c->irq[SOFT].since;

	c->ns[event] += took;
	note_longest(c, event, took);
	if (event == EV_RX_SOFTIRQ) {
		if (c->rx_over)
			c->parts[c->rx_over & (PARTS - 1)] += took;
		if (tasks)
			netto_charge_process(EV_RX_SOFTIRQ, took, 1);
	}
	c->irq[SOFT].event = to;
	if (to)
		c->irq[SOFT].since = now;
	add(&c->above, took);
}

/* Work begins or ends in a softirq: the time is that of the event `to`. */
static __always_inline void change_softirq(cpu_t *c, __u64 to)
{
	charge_softirq(c, event_index(c->irq[SOFT].event), to);
}

static __always_inline void enter_softirq(__u64 event)
{
	cpu_t *c = this_cpu();

	if (rt) {
		if (!c->task)
			return;
		add(&c->count[event], 1);
		charge_task(event, 0, 1);
		netto_change(c, SLOT_SOFTIRQ, event);
		return;
	}
	c->serving = event;
	if (!c->task)
		return;
	c->count[event]++;
	c->irq[SOFT].since = clock(&c->hard);
	c->irq[SOFT].event = event;
}

static __always_inline void enter_vector(unsigned int vec)
{
	if (vec == NET_RX_SOFTIRQ)
		enter_softirq(EV_RX_SOFTIRQ);
	else
		enter_softirq(vec == NET_TX_SOFTIRQ ? EV_TX_SOFTIRQ : EV_SOFTIRQ);
}

static __always_inline void leave_vector(unsigned int vec)
{
	cpu_t *c = this_cpu();

	if (rt) {
		netto_change(c, SLOT_SOFTIRQ, EV_NONE);
		return;
	}
	c->serving = EV_NONE;
	if (c->irq[SOFT].event == EV_RX_SOFTIRQ)
		charge_softirq(c, EV_RX_SOFTIRQ, EV_NONE);
	else if (c->irq[SOFT].event)
		change_softirq(c, EV_NONE);
}

/*
 * Top halves of devices. They are known as EV_HARDIRQ when they have scheduled NAPI, and are
 * `other` until then.
 */
static __always_inline void enter_top_half(void)
{
	cpu_t *c = this_cpu();

	if (!c->task)
		return;
	c->irq[HARD].since = bpf_ktime_get_ns();
	c->irq[HARD].event = EV_OTHER;
}

static __always_inline void schedule_napi(void)
{
	cpu_t *c = this_cpu();

	if (c->irq[HARD].event)
		c->irq[HARD].event = EV_HARDIRQ;
}

/*
 * What drivers call to do so, and packets on loopback do not. It says whether NAPI was not under
 * way already: then NET_RX is raised, or goes on, or NAPI's thread is woken.
 */
SEC("fexit")
int BPF_PROG(netto_prep, void *napi, __u8 done)
{
	if (done)
		schedule_napi();
	return 0;
}

SEC("kretprobe")
int netto_k_prep(struct pt_regs *ctx)
{
	__u8 scheduled = PT_REGS_RC(ctx);

#ifdef bpf_target_mips /* 32-bit kernels have 8 words before the registers, and these have 32 bits \
			*/
	if (!(addresses >> 32))
		scheduled = ((__u32 *)ctx)[8 + 2];
#endif
	if (scheduled)
		schedule_napi();
	return 0;
}

/* Where that cannot be hooked: it costs something for each packet on loopback. */
static __always_inline void raise(unsigned int vec)
{
	if (vec == NET_RX_SOFTIRQ)
		schedule_napi();
}

static __always_inline void leave_top_half(void)
{
	cpu_t *c = this_cpu();
	__u64 took = bpf_ktime_get_ns() - c->irq[HARD].since;

	if (!c->irq[HARD].event)
		return;
	if (c->irq[HARD].event == EV_HARDIRQ) {
		c->ns[EV_HARDIRQ] += took;
		c->count[EV_HARDIRQ]++;
		note_longest(c, EV_HARDIRQ, took);
	} else {
		add(&c->ns[EV_OTHER], took);
	}
	c->irq[HARD].event = EV_NONE;
	c->hard += took;
	c->above += took;
}

/* The event of the softirq that this runs in, or EV_NONE. */
static __always_inline __u64 softirq_of(cpu_t *c)
{
	return rt ? READ_ONCE(c->task) >> 2 * EVENT_BITS & 15 : c->serving;
}

/*
 * Other work. In a task it overrides operations. A softirq that runs the same function must not
 * touch the tasks' level: it is that work for so long.
 */
static __noinline int netto_enter_poll(__u64 event)
{
	cpu_t *c = this_cpu();

	event = event_index(event);
	add(&c->count[event], 1);
	if (!rt && c->serving) {
		if (c->irq[SOFT].event)
			change_softirq(c, event);
		return 0;
	}
	if (!c->ready)
		netto_prepare(c);
	charge_task(event, 0, 1);
	return netto_change(c, softirq_of(c) ? SLOT_SOFTIRQ : SLOT_POLL, event);
}

static __noinline int netto_leave_poll(__u64 event)
{
	cpu_t *c = this_cpu();

	if (softirq_of(c)) {
		if ((rt ? softirq_of(c) : c->irq[SOFT].event) != event)
			return 0;
		if (rt)
			return netto_change(c, SLOT_SOFTIRQ, EV_SOFTIRQ);
		change_softirq(c, c->serving);
		return 0;
	}
	if ((READ_ONCE(c->task) >> EVENT_BITS & 15) != event)
		return 0;
	return netto_change(c, SLOT_POLL, EV_NONE);
}

/* An operation that softirqs, threads of NAPI and other operations call too: then it is theirs. */
static __always_inline void netto_enter_read(__u64 event)
{
	cpu_t *c = this_cpu();
	__u32 slots = READ_ONCE(c->task) & SLOT_MASK;

	if (!softirq_of(c) && (slots == EV_OTHER || slots == EV_IO_WORKER))
		netto_enter_poll(event);
}

static __always_inline void netto_leave_read(__u64 event)
{
	netto_leave_poll(event);
}

/* A thread begins that is an event as a whole, before it has its name. */
static __always_inline void netto_enter_thread(__u64 event)
{
	cpu_t *c = this_cpu();

	add(&c->count[event], 1);
	if (!c->ready)
		netto_prepare(c);
	netto_change(c, SLOT_TASK, event);
	c->base = event;
}

/* A program that is one statement. */
#define PROGRAM(section, declaration, statement)                                                   \
	SEC(section)                                                                               \
	int declaration                                                                            \
	{                                                                                          \
		statement;                                                                         \
		return 0;                                                                          \
	}

#define PROGRAMS_OF_SOFTIRQ(program, tracepoint, call)                                             \
	PROGRAM("tp_btf/" tracepoint, BPF_PROG(program, unsigned int vec), call(vec))              \
	PROGRAM("raw_tp/" tracepoint, BPF_PROG(program##_r, unsigned int vec), call(vec))
PROGRAMS_OF_SOFTIRQ(netto_soft, "softirq_entry", enter_vector)
PROGRAMS_OF_SOFTIRQ(netto_soft_x, "softirq_exit", leave_vector)
PROGRAMS_OF_SOFTIRQ(netto_raise, "softirq_raise", raise)

/*
 * Interrupts that each CPU has for itself (IRQF_PERCPU) belong to no device. On arm64 these are
 * timers, calls from other CPUs and some NMIs; other architectures do not run these handlers here.
 */
#define PROGRAMS_OF_TOP_HALF(program, tracepoint, call)                                            \
	PROGRAM("tp_btf/" tracepoint, BPF_PROG(program, int irq, struct irqaction *action),        \
		if (!(action->flags & IRQF_PERCPU)) call())                                        \
	PROGRAM("raw_tp/" tracepoint, program##_r(void *ctx), call())
PROGRAMS_OF_TOP_HALF(netto_irq, "irq_handler_entry", enter_top_half)
PROGRAMS_OF_TOP_HALF(netto_irq_x, "irq_handler_exit", leave_top_half)

/*
 * The time of the event that a poll runs in, since the last poll in it on this CPU, but not of what
 * ran before the current task; on PREEMPT_RT, where a poll may have been preempted, that too. 0 in
 * any other event. A task that was preempted between its store and its addition has yet to add what
 * a poll before may have been given already; so has this program if it is preempted itself (on
 * PREEMPT_RT from 7.0 on). Then the sum is less than `shared`: this poll is given nothing, and what
 * is missing comes to the next ones.
 */
static __noinline __u64 netto_poll_of_task(cpu_t *c, polled_t *p)
{
	__u64 event = owner(c->task), now = clock(&c->above) << SLOT_BITS, took, ran;

	if (event != EV_NAPI_THREAD && event != EV_BUSY_POLL && !(rt && event == EV_RX_SOFTIRQ))
		return 0;
	took = c->ns[event] + span(c->task, now) - p->shared[event];
	if ((__s64)took <= 0)
		return 0;
	add(&p->shared[event], took);
	ran = span(c->resumed, now);
	return !rt && ran < took ? ran : took;
}

/*
 * In a softirq the instance at `place` was polled, and not the same one as the time before. As long
 * as there is but one, all time of softirqs is its, and its polls need neither a clock nor a place:
 * what places do not have yet is the last one's, which user space adds. If two are polled in one
 * softirq, it is not known when the first one ended: each gets half of that softirq until now, and
 * for some softirqs from then on each poll is looked at.
 */
static __noinline int netto_divide(cpu_t *c, polled_t *p, __u32 place)
{
	__u64 ns = c->ns[EV_RX_SOFTIRQ], given = c->polled.given, took = 0;
	__u64 total = ns + clock(&c->hard) - c->irq[SOFT].since;
	__u32 round = c->count[EV_RX_SOFTIRQ], last = c->polled.last - 1;

	c->polled.changes++;
	if (c->polled.round != round) { /* softirqs that are over were the last one's */
		took = ns - given;
		given = ns;
		if (c->polled.mixed)
			c->polled.mixed--;
	} else if (!c->polled.mixed) {
		took = (total - given) / 2;
		given += took;
		c->polled.mixed = MIXED;
	}
	if (last <= POLLED_PLACES) {
		p->places[last].ns += took;
		p->places[last].polls += c->polled.polls;
		p->places[last].packets += c->polled.packets;
	}
	if (c->polled.mixed && place <= POLLED_PLACES) {
		p->places[place].ns += total - given;
		given = total;
	}
	c->polled.given = given;
	c->polled.round = round;
	c->polled.last = place + 1;
	return 0;
}

/* The place of a key that is not in the first one where it may be; a new one if need be. */
static __noinline __u32 netto_find_place(polled_t *p, struct napi_struct *napi, __u64 key)
{
	struct net_device *device = napi->dev;
	__u32 id = napi->napi_id, at = id ?: device->ifindex;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < POLLED_TRIES; i++) {
		__u32 n = (at + i) & (POLLED_PLACES - 1);
		place_t *place = &p->places[n];

		if (place->key == key && place->id == id)
			return n;
		if (place->key)
			continue;
		place->key = key;
		place->id = id;
		if (bpf_core_field_exists(device->nd_net.net)) /* CONFIG_NET_NS */
			place->net = device->nd_net.net->ns.inum;
		((__u64 *)place->name)[0] = ((__u64 *)device->name)[0];
		((__u64 *)place->name)[1] = ((__u64 *)device->name)[1];
		return n;
	}
	return POLLED_PLACES;
}

/*
 * What has a number has a place of its own; of what has none (those that only send, WireGuard's,
 * which has one for each peer) there is one for each device.
 */
static __noinline int netto_find_poll(cpu_t *c, struct napi_struct *napi, int work)
{
	__u32 cpu = bpf_get_smp_processor_id(), id = napi->napi_id, n = id & (POLLED_PLACES - 1);
	__u64 key = id ? (__u64)napi : ((__u64)napi->dev ?: NO_DEVICE);
	polled_t *p = bpf_map_lookup_elem(&netto_polled, &cpu);
	place_t *place;

	if (!p || !c->task)
		return 0;
	place = &p->places[n];
	if (place->key != key || place->id != id)
		n = netto_find_place(p, napi, key);
	if (n > POLLED_PLACES) /* never: for the verifier */
		return 0;
	if (rt || c->irq[SOFT].event != EV_RX_SOFTIRQ) { /* preempted, also by each other */
		place = &p->places[n];
		add(&place->polls, 1);
		add(&place->packets, work);
		add(&place->ns, netto_poll_of_task(c, p));
		return 0;
	}
	netto_divide(c, p, n);
	c->polled.napi = c->polled.mixed ? 0 : (__u64)napi;
	c->polled.id = id;
	c->polled.polls = 1;
	c->polled.packets = work;
	return 0;
}

/* At the end of each poll. budget: 0 when netconsole polls, which receives nothing. */
SEC("tp_btf/napi_poll")
int BPF_PROG(netto_poll, struct napi_struct *napi, int work, int budget)
{
	cpu_t *c = this_cpu();

	if (!budget)
		return 0;
	if (c->polled.napi != (__u64)napi || c->polled.id != napi->napi_id ||
	    c->irq[SOFT].event != EV_RX_SOFTIRQ)
		return netto_find_poll(c, napi, work);
	c->polled.polls++;
	c->polled.packets += work;
	c->polled.round = c->count[EV_RX_SOFTIRQ];
	return 0;
}

/* User space sets each target. One section for all saves 20 kB against one for each. */
#define PROGRAM_OF_ENTRY(name, how, event, function)                                               \
	PROGRAM("fentry", netto_##name(void *ctx), netto_enter_##how(event))
#define PROGRAMS_OF_FUNCTION(name, how, event, function)                                           \
	PROGRAM_OF_ENTRY(name, how, event, function)                                               \
	PROGRAM("fexit", netto_##name##_x(void *ctx), netto_leave_##how(event))
FUNCTIONS(PROGRAMS_OF_FUNCTION, PROGRAMS_OF_FUNCTION)
/* These functions end with their thread: nothing runs at their end. */
PROGRAM_OF_ENTRY(worker, thread, EV_IO_WORKER, "io_wq_worker") /* from 5.19 on */
PROGRAM_OF_ENTRY(wqe, thread, EV_IO_WORKER, "io_wqe_worker")

/* For kprobe.multi a pair serves all functions: the cookie of each is event | how << 8. */
SEC("kprobe.multi")
int netto_multi(void *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx), event = event_index(cookie);

	switch (cookie >> 8) {
	case HOW_poll:
		netto_enter_poll(event);
		break;
	case HOW_read:
		netto_enter_read(event);
		break;
	case HOW_thread:
		netto_enter_thread(event);
		break;
	default:
		netto_enter_operation(event);
	}
	return 0;
}

SEC("kretprobe.multi")
int netto_multi_x(void *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx), event = event_index(cookie);

	if (cookie >> 8 == HOW_poll || cookie >> 8 == HOW_read)
		netto_leave_poll(event);
	else
		netto_leave_operation(event);
	return 0;
}

/* A send or receive has ended, of a socket of any family. */
static __always_inline void end_operation(__u64 event)
{
	cpu_t *c = this_cpu();

	if ((READ_ONCE(c->task) & 15) == event)
		change_task(c, event, c->base);
}

/* Tracepoints from about 6.3 on. They cost less than a program at each function's end. */
PROGRAM("tp_btf/sock_send_length", netto_sent(void *ctx), end_operation(EV_SEND))
PROGRAM("tp_btf/sock_recv_length", netto_received(void *ctx), end_operation(EV_RECV))

/* One pair for all functions of an event, but for functions with a pair of their own. */
#define PROGRAMS_OF_KPROBE(name, how, event)                                                       \
	PROGRAM("kprobe", netto_k_##name(void *ctx), netto_enter_##how(event))                     \
	PROGRAM("kretprobe", netto_k_##name##_x(void *ctx), netto_leave_##how(event))
PROGRAMS_OF_KPROBE(send, operation, EV_SEND)
PROGRAMS_OF_KPROBE(recv, operation, EV_RECV)
PROGRAMS_OF_KPROBE(read, read, EV_RECV)
PROGRAMS_OF_KPROBE(conn, operation, EV_CONN)
PROGRAMS_OF_KPROBE(busy_poll, poll, EV_BUSY_POLL)
PROGRAMS_OF_KPROBE(tcp_work, poll, EV_TCP_WORK)
PROGRAMS_OF_KPROBE(net_worker, poll, EV_NET_WORKER)

/* With 0: nothing is parked any longer. Returns 0, or another number if there is no room. */
static __always_inline int park(struct task_struct *task, __u64 slots)
{
	if (parking == PARK_STORAGE) {
		__u64 *saved = bpf_task_storage_get(&netto_storage, task, 0, 0);

		if (!saved)
			return -1;
		*saved = slots;
		return 0;
	}
	__u64 key = (__u64)task;

	return slots ? bpf_map_update_elem(&netto_saved, &key, &slots, BPF_ANY)
		     : bpf_map_delete_elem(&netto_saved, &key);
}

/*
 * The slots that were parked with a task, or 0; they are parked no longer. Until 6.1 a kernel finds
 * nothing while another look-up is under way on the CPU, that is, if a task was preempted in
 * netto_prepare(): that counts as a loss, and must not come back later (it does if the same happens
 * when the task is parked the next time).
 */
static __noinline __u32 netto_unpark(cpu_t *c, struct task_struct *task)
{
	__u64 *saved, slots;

	if (parking == PARK_STORAGE) {
		saved = bpf_task_storage_get(&netto_storage, task, 0, 0);
		if (!saved) {
			c->lost += preparing[bpf_get_smp_processor_id() & (MAX_CPUS - 1)] != 0;
			c->flags |= MISSED;
			return 0;
		}
		c->ready = 1;
		slots = *saved;
		*saved = 0;
	} else {
		__u64 key = (__u64)task;

		c->ready = 1;
		saved = bpf_map_lookup_elem(&netto_saved, &key);
		if (!saved)
			return 0;
		slots = *saved;
		bpf_map_delete_elem(&netto_saved, &key);
	}
	if (slots & OVERTAKEN)
		c->flags |= OVERTAKEN;
	c->operated = slots >> 32;
	return slots & SLOT_MASK;
}

/* Ends what runs on this CPU, at the task clock `now`, and parks it with the task that leaves. */
static __noinline int netto_switch_out(cpu_t *c, struct task_struct *prev, __u64 now)
{
	__u64 old = c->task, word = now << SLOT_BITS;
	__u32 slots = old & SLOT_MASK, flags = c->flags;

	c->flags = 0;
	if (unseen(c, (__u64)prev)) {
		if (old)
			c->unseen += span(old, word);
		else
			c->start = now;
		if (parking) /* it came back unseen, and has gone on since */
			netto_unpark(c, prev);
		c->flags = 0;
		return 0;
	}
	if ((__s64)(old - c->resumed) < 0) { /* stored by a change that was preempted */
		old = c->resumed | slots;
		flags |= OVERTAKEN;
	}
	c->ns[owner(old)] += span(old, word);
	if (rt)
		note_longest(c, owner(old), span(old, word));
	charge_task(owner(old), span(old, word), 0);
	if (!parking)
		return 0;
	if (is_operation(c, slots) || flags & OVERTAKEN)
		c->lost += park(prev, slots | (flags & OVERTAKEN) | operated(c, word) << 32) != 0;
	else if (flags & MISSED)
		park(prev, 0);
	return 0;
}

/* Where no field tells: the idle task of a CPU is the one with no number that was seen there. */
static __always_inline __u64 *idle_task(void)
{
	return &idle_tasks[bpf_get_smp_processor_id() & (MAX_CPUS - 1)];
}

/*
 * Called while the current task is still the one that owned the time. If it is an idle task that is
 * not known yet, what it was charged to becomes `idle`.
 */
static __always_inline void find_idle_task(cpu_t *c)
{
	__u64 *idle = idle_task();

	if (*idle || (__u32)bpf_get_current_pid_tgid())
		return;
	*idle = current_task();
	if ((c->task & SLOT_MASK) != EV_OTHER || unseen(c, *idle))
		return;
	c->task = (c->task & ~(__u64)SLOT_MASK) | EV_IDLE;
	c->base = EV_IDLE;
	c->count[EV_IDLE]++;
}

/* The first 8 bytes of a name, as the CPU reads them, and a mask of the first n of these. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTE(c, i) ((__u64)(c) << 8 * (i))
#define LENGTH(n)  (~0ull >> (64 - 8 * (n)))
#else
#define BYTE(c, i) ((__u64)(c) << (56 - 8 * (i)))
#define LENGTH(n)  (~0ull << (64 - 8 * (n)))
#endif
#define NAME(a, b, c, d, e, f, g, h)                                                               \
	(BYTE(a, 0) | BYTE(b, 1) | BYTE(c, 2) | BYTE(d, 3) | BYTE(e, 4) | BYTE(f, 5) |             \
	 BYTE(g, 6) | BYTE(h, 7))

/* The event that a thread of the kernel of that name is as a whole. */
static __always_inline __u64 thread_event(__u64 name)
{
	if ((name & LENGTH(5)) == NAME('n', 'a', 'p', 'i', '/', 0, 0, 0) ||
	    (name & LENGTH(7)) == NAME('c', 'p', 'u', 'm', 'a', 'p', '/', 0) ||
	    name == NAME('b', 'a', 'c', 'k', 'l', 'o', 'g', '_'))
		return EV_NAPI_THREAD;
	if ((name & LENGTH(5)) == NAME('m', 't', '7', '6', '-', 0, 0, 0))
		return EV_NET_WORKER;
	if (name == NAME('i', 'o', 'u', '-', 'w', 'r', 'k', '-') ||
	    name == NAME('i', 'o', '_', 'w', 'q', 'e', '_', 'w')) /* until 5.11 */
		return EV_IO_WORKER;
	return EV_OTHER;
}

/*
 * The task that runs changes; fields: those of the tasks may be read. With interrupts off: plain
 * additions will do, and the clock is exact at once.
 */
static __always_inline void switch_task(cpu_t *c, struct task_struct *prev,
					struct task_struct *next, int fields)
{
	__u64 now = bpf_ktime_get_ns() - c->above, word = now << SLOT_BITS, old = c->task, base;
	__u32 slots = old & SLOT_MASK;
	__u8 part = 0;

	if (unseen(c, (__u64)prev) || is_operation(c, slots) || (__s64)(old - c->resumed) < 0 ||
	    c->flags)
		netto_switch_out(c, prev, now);
	else
		c->ns[event_index(slots)] += span(old, word);
	c->stint = 0;
	slots = 0;
	base = EV_OTHER;
	if (fields ? next->pid == 0 : (__u64)next == *idle_task()) {
		base = EV_IDLE;
		part = PART_IDLE;
		c->count[EV_IDLE]++;
	} else {
		if (fields && next->flags & (PF_KTHREAD | PF_IO_WORKER)) {
			__u64 name = *(__u64 *)next->comm;

			base = thread_event(name);
			if (name == NAME('k', 's', 'o', 'f', 't', 'i', 'r', 'q'))
				part = PART_KSOFTIRQD;
			if (base != EV_OTHER)
				c->count[event_index(base)]++;
		}
		if (parking == PARK_HASH ||
		    (parking == PARK_STORAGE && fields && next->bpf_storage))
			slots = netto_unpark(c, next);
	}
	if (!slots)
		slots = base;
	c->base = base;
	c->rx_over = part;
	c->running = (__u64)next;
	c->resumed = word;
	c->task = word | slots;
}

/* The arguments are (preempt, prev, next) on all kernels; 5.18 appended prev_state. */
SEC("tp_btf/sched_switch")
int BPF_PROG(netto_switch, _Bool preempt, struct task_struct *prev, struct task_struct *next)
{
	switch_task(this_cpu(), prev, next, 1);
	return 0;
}

SEC("raw_tp/sched_switch")
int BPF_PROG(netto_switch_r, _Bool preempt, struct task_struct *prev, struct task_struct *next)
{
	cpu_t *c = this_cpu();

	find_idle_task(c);
	switch_task(c, prev, next, 0);
	return 0;
}

/*
 * What is parked in the hash with a task that has ended goes when its memory does: the next task
 * there starts afresh.
 */
SEC("raw_tp/sched_process_free")
int netto_free(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = ctx->args[0];

	bpf_map_delete_elem(&netto_saved, &task);
	return 0;
}

/*
 * The event that owns this CPU, as far as is known: what is not traced is `other`, or `idle` in the
 * idle task, also while that is not known as such. A top half that is `other` may be that of the
 * sample's own timer: what it interrupts counts.
 */
static __always_inline __u64 current_event(cpu_t *c)
{
	__u64 event;

	if (!hooks_switch)
		return (__u32)bpf_get_current_pid_tgid() ? EV_OTHER : EV_IDLE;
	if (c->irq[HARD].event == EV_HARDIRQ)
		return EV_HARDIRQ;
	if (c->irq[SOFT].event)
		return c->irq[SOFT].event;
	if (unseen(c, current_task()))
		return EV_NONE;
	event = owner(c->task);
	return event == EV_OTHER && !(__u32)bpf_get_current_pid_tgid() ? EV_IDLE : event;
}

/*
 * Counts the stack of `depth` frames that lies behind the used words. Stacks of the same hash are
 * taken for the same: with 100,000 of them, two that differ have one once in 4 billion runs.
 */
static __always_inline void count_stack(stack_buf_t *buf, __u64 *stack, __u32 depth, __u64 event,
					__u32 now)
{
	__u64 hash = event;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < depth && i < MAX_DEPTH; i++) {
		hash = (hash ^ stack[1 + i]) * 0x9e3779b97f4a7c15; /* 2^64 / golden ratio */
		hash ^= hash >> 32;
	}
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SLOT_TRIES; i++) {
		__u32 slot = (hash + i) & (hash_slots - 1);

		if (buf->slots[slot].interval_id == now && buf->slots[slot].hash == hash) {
			buf->slots[slot].count++;
			return;
		}
		if (buf->slots[slot].interval_id == now)
			continue;
		if (buf->used + 1 + depth > stack_words)
			break;
		stack[0] = event | depth << 8 | (__u64)slot << 32;
		buf->used += 1 + depth;
		buf->slots[slot].hash = hash;
		buf->slots[slot].interval_id = now;
		buf->slots[slot].count = 1;
		return;
	}
	buf->full++;
}

/*
 * There are functions from which the kernel cannot unwind: those through which it makes indirect
 * calls on CPUs that need retpolines. Their caller is among the first words on the stack: what
 * looks like an address of code is taken down, behind a 0. Returns the depth.
 */
static __always_inline __u32 scan_stack(struct bpf_perf_event_data *ctx, __u64 *stack)
{
	if (!scan)
		return 1;
#ifdef bpf_target_x86 /* where retpolines are */
	stack[2] = 0;
	if (bpf_probe_read_kernel(&stack[3], 2 * sizeof(__u64), (void *)PT_REGS_SP(&ctx->regs)))
		return 1;
	for (int i = 3; i < 5; i++)
		if ((stack[i] ^ stack[1]) >> 31) /* the kernel's code and modules lie within 2 GB */
			stack[i] = 0;
	return 4;
#else
	return 1;
#endif
}

/*
 * A sample that began at `began` is done. What samples took beyond their part of the time is owed;
 * where that is more than a burst, only half as many are taken from then on, on all CPUs, since
 * each sample counts the same. (To leave out some after one that took long would show what is cheap
 * to sample more often than it is.)
 */
static __always_inline void pay_sample(cpu_t *c, __u64 began, long size)
{
	__u64 took = bpf_ktime_get_ns() - began, earned = (began - c->sampled) / (sample_part ?: 1);

	samples++;
	if (size >= 4 * (long)sizeof(__u64) && (!sample_ns || took < sample_ns))
		sample_ns = took;
	if (sample_ns && took > SAMPLE_MOST * sample_ns)
		took = SAMPLE_MOST * sample_ns;
	if (took > SAMPLE_MOST_NS)
		took = SAMPLE_MOST_NS;
	c->sampled = began;
	c->owed = took + (c->owed > earned ? c->owed - earned : 0);
	if (c->owed < SAMPLE_BURST_NS)
		return;
	c->owed = 0;
	if (c->every == every) /* no other CPU has seen to it since */
		every = every ? 2 * every : 2;
	c->every = every;
}

SEC("perf_event")
int netto_sample(struct bpf_perf_event_data *ctx)
{
	cpu_t *c = this_cpu();
	__u32 now = READ_ONCE(interval_id), key;
	__u64 began = bpf_ktime_get_ns(), event = current_event(c), used, *stack;
	stack_buf_t *buf;
	long size;

	if (!now || event == EV_NONE)
		return 0;
	if (event == EV_IDLE && hooks_switch)
		return 0; /* it is traced */
	if (++c->skipped < every)
		return 0;
	c->skipped = 0;
	key = bpf_get_smp_processor_id() * nr_bufs + (now & (nr_bufs - 1));
	buf = bpf_map_lookup_elem(&netto_stacks, &key);
	if (!buf)
		return 0;
	if (buf->interval_id != now) {
		buf->interval_id = now;
		buf->used = buf->full = buf->failed = 0;
	}
	used = buf->used;
	if (used > stack_words) /* never: for the verifier */
		return 0;
	stack = (__u64 *)&buf->slots[hash_slots] + used;
	size = bpf_get_stack(ctx, stack + 1, MAX_DEPTH * sizeof(__u64), 0);
	if (size < 0 || (size == 0 && event < EV_OTHER)) /* 0: user space was interrupted */
		buf->failed++;
	else if (size == sizeof(__u64))
		count_stack(buf, stack, scan_stack(ctx, stack), event, now);
	else
		count_stack(buf, stack, size / sizeof(__u64), event, now);
	pay_sample(c, began, size);
	return 0;
}

/* What the task is that a CPU starts with, by its name alone: a user's may have one of those. */
static __always_inline __u64 first_base(void)
{
	char name[16] = {};

	if (hooks_switch && !(__u32)bpf_get_current_pid_tgid())
		return EV_IDLE;
	if (!reads_task_fields || bpf_get_current_comm(name, sizeof(name)))
		return EV_OTHER;
	return thread_event(*(__u64 *)name);
}

/*
 * Writes down the state of this CPU at this instant. Run by BPF_PROG_TEST_RUN in an IPI on the CPU
 * that user space names; where the kernel cannot do that (before 5.10), attached, and hit by user
 * space renaming itself on that CPU.
 */
SEC("raw_tp/task_rename")
int netto_mark(void *ctx)
{
	cpu_t *c = this_cpu();
	__u64 task = current_task();
	__u64 above = READ_ONCE(c->above), now = bpf_ktime_get_ns();
	__u64 open = 0; /* spans that are not over: of the levels above the one looked at */

	if (!c->task) {
		c->start = now;
		c->running = task;
		c->ready = 0;
		c->flags = MISSED; /* what was parked with this task is older */
		c->resumed = now << SLOT_BITS;
		c->base = first_base();
		c->rx_over = c->base == EV_IDLE ? PART_IDLE : 0;
		c->task = c->resumed | c->base;
	}
	if (hooks_switch)
		find_idle_task(c);
	for (int i = 0; i < 16; i++) {
		c->mark_ns[i] = c->ns[i];
		c->mark_longest[i] = c->longest[i];
		c->longest[i] = 0;
	}
	for (int i = 0; i < PARTS; i++)
		c->mark_parts[i] = c->parts[i];
	if (c->irq[HARD].event) {
		open = now - c->irq[HARD].since;
		c->mark_ns[event_index(c->irq[HARD].event)] += open;
	}
	if (c->irq[SOFT].event) {
		__u64 soft = now - c->hard - open - c->irq[SOFT].since;

		c->mark_ns[event_index(c->irq[SOFT].event)] += soft;
		if (c->irq[SOFT].event == EV_RX_SOFTIRQ)
			c->mark_parts[c->rx_over & (PARTS - 1)] += soft;
		open += soft;
	}
	open = span(c->task, (now - c->above - open) << SLOT_BITS);
	c->mark_unseen = c->unseen;
	if (hooks_switch && unseen(c, task))
		c->mark_unseen += open;
	else
		c->mark_ns[owner(c->task)] += open;
	c->mark_wall = now - c->start - c->mark_unseen;
	/* an interrupt came after the clock, and is in part in these sums: a residual says so */
	if (READ_ONCE(c->above) != above)
		c->mark_wall++;
	return 0;
}

/* From 5.16 on. User space runs it for each function, before the other programs are loaded. */
SEC("syscall")
int netto_lookup(void *ctx)
{
	return bpf_kallsyms_lookup_name(lookup.name, sizeof(lookup.name), 0, &lookup.address);
}

char LICENSE[] SEC("license") = "GPL";
