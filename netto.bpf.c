// SPDX-License-Identifier: GPL-2.0
/*
 * netto, kernel side: which event owns each nanosecond of each CPU. All times are nanoseconds of
 * CLOCK_MONOTONIC.
 *
 * Accounting rule. Every CPU has four slots, the innermost one first:
 *
 *   slot      set at                       cleared at         holds
 *   hardirq   irq_handler_entry            irq_handler_exit   `hardirq`, if this top half has
 *                                                             scheduled NAPI; else `other`
 *   softirq   softirq_entry                softirq_exit       rx_softirq, tx_softirq or softirq;
 *                                                             or the event of its current work
 *   poll      beginning of work in a task  end of the work    busy_poll, tcp_work or net_worker;
 *                                                             recv, in tcp_read_sock()
 *   task      beginning of a socket        end of the         recv, send or conn; else what the
 *             operation                    operation          task is as a whole: never empty
 *
 * The innermost slot that is set owns the time of the CPU. A hook charges the time since the last
 * change to this owner, and then changes one slot. So each nanosecond belongs to exactly one event,
 * and the events sum to wall time. *Work* is any hooked function of the network that is no socket
 * operation. As a whole a task is `idle` or `other`. A thread of the kernel or of io_uring may be
 * the event for which its name stands: see thread_event().
 *
 * Time without hooks. The list of hooked functions is never complete, and a host may refuse some
 * hooks. Time that no hook claims is in `other` or `softirq`. netto_sample takes stacks of these
 * two events, too, and user space divides their time by these samples: network code is `net_other`.
 * Without any hook (sample mode) all time is `other`.
 *
 * Kinds of programs. ladders[] in netto.c says which kind is the best one for which function.
 *
 *   netto_NAME    fentry, tp_btf   one pair for each function or tracepoint
 *   netto_multi   kprobe.multi     one pair for all functions that run seldom; a cookie says which
 *   netto_k_NAME  kprobe           one pair for each event, on hosts without these
 *   netto_NAME_r  raw_tp           on hosts without BTF: it reads no field of a kernel structure
 *   netto_poll_r  tracepoint       on hosts without BTF: it reads the tracepoint's record
 *   ..._x                          at the end of the function, or at the tracepoint for the end
 *
 * Data flow. sched_switch parks the slots of the task that leaves the CPU, in task storage or in a
 * hash by task pointer. It brings back the slots of the task that comes. No program sends data to
 * user space. Instead, user space runs netto_mark on each CPU at both ends of an interval.
 * netto_mark copies the sums of time at one instant of its CPU, and adds the open spans. An
 * interval is the difference of two marks, so intervals join without a gap. A CPU starts to count
 * at its first sched_switch or mark. User space attaches sched_switch last, when all other hooks
 * are in place.
 *
 * Clocks. A softirq or top half can interrupt a program at any instruction. So each level has a
 * clock of its own, which stands still while a higher level runs. Each level charges spans of its
 * clock. An interruption in the midst of a change then takes no time of the interrupted level. The
 * program has only to read its clock consistently: see clock().
 *
 *   level     its clock     its slots
 *   hardirq   now           hardirq
 *   softirq   now - hard    softirq; `hard` is the time that top halves took
 *   task      now - above   poll and task; `above` is the time that the two levels above took. On
 *                           PREEMPT_RT softirq, too: tasks run softirqs there, and can be preempted
 *                           in them.
 *
 * Races. Left: a program, and what may interrupt it. Right: why the sums are right nevertheless.
 *
 *   hardirq programs: an NMI        Interrupts are off. An NMI only takes a sample: it writes no
 *                                   slot, clock or sum.
 *
 *   softirq programs (not RT):      A top half writes the slot of its own level. Additions to what
 *   top halves                      a higher level writes, too, are atomic. Softirqs do not nest. A
 *                                   function that softirqs and tasks run asks `serving` which it is
 *                                   in.
 *
 *   sched_switch: an NMI            Interrupts are off. The task level has no other writers than
 *                                   sched_switch and the programs in the next row.
 *
 *   fentry and fexit programs, on   The kernel lets no program migrate. The slots and the time of
 *   RT softirq programs, too:       the last change are one word, so that a change is one store.
 *   softirqs and top halves;        Additions to sums are atomic. If a preemption comes before the
 *   where kernels are preemptible   store, the store overwrites the word of sched_switch. The time
 *   (from 5.11 on) or RT also       in the word is then older than the last switch: netto_settle()
 *   sched_switch, and then other    notices this. Meanwhile the kernel skips the same program for
 *   tasks and their programs        other tasks, and counts a recursion miss.
 *
 *   netto_mark: a program that its  It writes nothing but the mark, `longest`, and the start of a
 *   IPI has interrupted; on netto's CPU that did not count yet. Between a program's store and its
 *   own CPU, where there is no IPI, addition the sums lack a span. Then the mark has a residual
 *   also softirqs and top halves    that the mark before had not, and user space marks again.
 *                                   Between a program's clock and its store the mark charges the
 *                                   time since that clock to the old owner. The next interval moves
 *                                   it to the new owner: some nanoseconds, or milliseconds where a
 *                                   virtual CPU stood still. `longest` is loaded, then set to 0: a
 *                                   softirq or top half that ends in between is lost from it.
 *
 * Cost. For each packet a hook reads the clock once and runs some 30 instructions. What is rare is
 * in functions that are not inlined. test/bench counts the instructions.
 *
 * Samples. A perf event on each CPU runs netto_sample, which takes the kernel stack and counts it.
 * Only time that hooks charge to `idle`, or that is unseen(), is not sampled. Each CPU has a table
 * of its own: an array that user space maps, and reads once after the interval. While `interval_id`
 * is not 0, samples are taken for the interval of this number; two buffers of each CPU take turns.
 * At the end of an interval user space first changes `interval_id`, and then marks all CPUs. The
 * IPI of a mark interrupts neither an NMI nor the timer's interrupt. So once a CPU is marked, no
 * sample of the old interval is under way there, and its buffer is at rest. Only netto_sample
 * writes the table, on its own CPU, and it never interrupts itself: no addition is atomic.
 *
 * Details. The time of NET_RX is given to the NAPI instances (queues of devices) that it polls. As
 * long as a CPU polls only one instance, this instance has all the time, and no poll reads a clock.
 * While several instances share softirqs, netto_poll reads the clock at the end of each poll
 * (netto_divide()). It does so, too, for polls of threads. The sums are in netto_polled, where each
 * CPU writes its own entry. On PREEMPT_RT one poll can preempt another, and additions are atomic.
 * With --tasks, the time of an operation is also charged to its process, and the time of NET_RX to
 * the process that it interrupted. These sums are in netto_tasks, from which user space deletes
 * processes that are gone. Both maps get the same spans as the events.
 *
 * Blind spots.
 * - An operation that began before netto attached is not seen; the next one of its task is.
 * - When another tracer attaches to a hooked function, the kernel skips the exit programs of calls
 *   that are under way. Their tasks stay in the operation until they leave the next one. The same
 *   happens after a run that the kernel skipped (a recursion miss).
 * - A module that is loaded later has no hooks.
 * - The end of an operation within another one (a send that swaps pages in over the network) ends
 *   both.
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
	MAX_CPUS = 1024,    /* CPU ids are below; a power of two; 1 kB of memory each */
	MAX_SAVED = 8192,   /* entries of netto_saved: tasks off the CPU in an operation */
	CLOCK_TRIES = 3,    /* a try fails only if a higher level ends within its 20 ns or so */
	CHANGE_TRIES = 3,   /* a try fails only if a preemption comes within it */
	MAX_DEPTH = 127,    /* frames of a stack; the default of kernel.perf_event_max_stack */
	SLOT_TRIES = 32,    /* slots of a buffer that are tried for a stack */
	POLLED_PLACES = 64, /* NAPI instances of a CPU; a power of two */
	POLLED_TRIES = 8,   /* places that are tried for an instance */
	MIXED = 64,	    /* softirqs that read a clock at each poll, after one was shared */
	NO_DEVICE = 1,	    /* key of the backlog, which has no device; no address is 1 */
	MAX_TASKS = 4096,   /* entries of netto_tasks */
	/* samples may take so many ns beyond their part of the time, before fewer are taken */
	SAMPLE_BURST_NS = 1000000,
	/* a sample counts as at most this many times the shortest one, and at most this many ns:
	   in a longer one a hypervisor may have had the CPU */
	SAMPLE_MOST = 8,
	SAMPLE_MOST_NS = 100000,
};

/* The word of the task level: time of the last change << SLOT_BITS, then each slot's event. */
enum { SLOT_TASK, SLOT_POLL, SLOT_SOFTIRQ };
enum { EVENT_BITS = 4, SLOT_BITS = 3 * EVENT_BITS, SLOT_MASK = (1 << SLOT_BITS) - 1 };
enum {
	OVERTAKEN = 1 << SLOT_BITS, /* parked with the slots: see netto_settle() */
	MISSED = 2 << SLOT_BITS, /* older slots may be parked with the task: see netto_unpark() */
};
enum { SOFT, HARD };

/* Configuration, written by user space before loading. 1 is yes. */
const volatile __u8 rt;		       /* the kernel is PREEMPT_RT: tasks run softirqs */
const volatile __u8 hooks_switch;      /* sched_switch, softirqs and top halves are hooked */
const volatile __u8 reads_task_fields; /* the program at sched_switch may read task_struct */
const volatile enum {
	PARK_NOWHERE,			/* no hook sets a slot of the task level */
	PARK_STORAGE,			/* netto_storage */
	PARK_HASH,			/* netto_saved */
} parking;				/* where the slots of a task off the CPU are */
const volatile __u64 addresses = ~0ull; /* mask: the bits of a kernel address */
const volatile __u8 tasks;		/* --tasks: netto_tasks is kept */
const volatile __u32 sample_part = 20;	/* samples may take 1/20 of a CPU's time; 0: all of it */
const volatile __u8 scan;		/* scan_stack() may read the stack */
const volatile __u32 nr_bufs;		/* buffers of a CPU: 2, or 1 for a single interval */
const volatile __u32 hash_slots;	/* slots of a buffer; a power of two */
const volatile __u32 stack_words;	/* words of a buffer for stacks */

/*
 * The events, in the order of the report, on which code relies: those of `net` come first, and
 * pools and idle last. X(id, net, name): net is 1 if the event is a part of `net`. The enumeration
 * reaches user space through the type of events[].
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
_Static_assert(EV_MAX <= 1 << EVENT_BITS, "an event fits into a slot");

/*
 * The kernel functions that are hooked, on kernels from 5.10 to 7.x. A row is X(program, how,
 * event, [MODULE:]FUNCTION). A row of SPARE is hooked only where the function of the row before it
 * is missing. User space also classifies stacks by these functions: see make_rules() in netto.c.
 */
#define FUNCTIONS(X, SPARE)                                                                        \
	/* The socket operations of the network families. System calls and users in the kernel */  \
	/* pass through these functions. inet6_release ends in inet_release, which is enough. */   \
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
 * What measures each event: `program` at the beginning. At the end runs the program of the same
 * name with _x, if there is one.
 */
const volatile struct {
	char program[15];
	char target[48]; /* tracepoint, or [MODULE:]FUNCTION */
	__u8 event;
	__u8 only_if_previous_absent; /* 1: hooked only if the row before it cannot be */
	/* a function runs netto_enter_HOW() and netto_leave_HOW(); ladders[] depends on it, too */
	enum {
		HOW_tracepoint,
		HOW_result,    /* a function whose return value counts */
		HOW_hot,       /* an operation for each packet */
		HOW_waiting,   /* an operation in which many tasks sleep at once */
		HOW_operation, /* any other operation */
		HOW_read,      /* tcp_read_sock(): see netto_enter_read() */
		HOW_poll,      /* work */
		HOW_thread     /* the function that a thread runs as long as it lives */
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
 * State of each CPU, by CPU id. Only this CPU writes it; user space writes `longest` of an offline
 * CPU. No time is charged until `task` is not 0. Times are in ns. Arrays of 16 are by event:
 * EVENT_BITS tell no more, so no index needs a check.
 */
struct {
	__u64 task;    /* the word of the task level; 0: this CPU does not count yet */
	__u64 above;   /* time that the levels above the task level took */
	__u64 resumed; /* the task clock at the last sched_switch or the start, << SLOT_BITS */
	__u64 running; /* task pointer: the task that has been running since `resumed` */
	/* the next five are of this task */
	union {
		__u64 stint; /* the two below in one word: sched_switch sets them to 0 */
		struct {
			__u32 operated; /* 1024 ns; how long its operation ran before `resumed` */
			__u8 ready;	/* 1: it has task storage, or needs none */
		};
	};
	__u16 flags;  /* OVERTAKEN, MISSED */
	__u8 base;    /* its event outside operations */
	__u8 serving; /* event of the softirq that interrupts it; not used on PREEMPT_RT */
	/* what a NET_RX softirq interrupts here: the idle task, ksoftirqd, or another task
	   (PART_NONE); not used on PREEMPT_RT, nor without fields of task_struct */
	enum { PART_NONE, PART_IDLE, PART_KSOFTIRQD, PARTS = 4 } rx_over;
	struct {
		__u64 event; /* the owner of this level; EV_NONE: nothing runs here */
		__u64 since; /* this level's clock when that event began */
	} irq[2];	     /* the levels SOFT (not on PREEMPT_RT) and HARD */
	__u64 hard;	     /* time that top halves took */
	__u64 start;	     /* when this CPU began to count */
	__u64 unseen;	     /* time since `start` of which nothing is known: see unseen() */
	__u64 lost;	     /* operations that could not be parked: the rest of them is `other` */
	__u64 mark_wall;     /* at the last mark: time since `start`, without unseen time */
	__u64 mark_unseen;   /* at the last mark: `unseen` with the span still open */
	__u64 unreturned;    /* operations that had not ended when their task began another one */
	__u64 unreturned_ns; /* what these operations were charged at most */
	__u64 ns[16];	     /* time that each event owned */
	__u64 count[16];     /* entries; of idle and of whole threads: switches to them */
	__u64 longest[16];   /* of softirqs and top halves: longest stretch since the last mark */
	__u64 parts[PARTS];  /* parts of ns[EV_RX_SOFTIRQ]; parts[PART_NONE] stays 0 */
	__u64 mark_ns[16];   /* at the last mark: ns[] with the spans still open */
	__u64 mark_longest[16];
	__u64 mark_parts[PARTS];
	__u64 sampled; /* when the last sample was taken */
	__u64 owed;    /* time that samples took beyond their part: see pay_sample() */
	__u32 every;   /* the global `every` as this CPU saw it last */
	__u32 skipped; /* samples left out since the last one that was taken */
	/* polls in softirqs, not on PREEMPT_RT: see netto_divide() */
	struct {
		__u64 napi;	      /* the instance polled last; 0: each poll reads a clock */
		__u32 id;	      /* its napi_id */
		__u32 last;	      /* 1 + its place; 0: no instance was polled yet */
		__u64 polls, packets; /* of it, not yet added to its place */
		__u64 given;	      /* time of rx_softirq that was added to places */
		__u32 round;   /* the softirq of the last poll: count[EV_RX_SOFTIRQ], 32 bits */
		__u32 mixed;   /* so many more softirqs read a clock at each poll */
		__u64 changes; /* of places: if it changes, user space reads them again */
	} polled;
	__u64 spare[12];
	/* 1 kB: then an index is a shift, and no two CPUs share a cache line */
} cpus[MAX_CPUS] __attribute__((aligned(64)));
_Static_assert(sizeof(cpus[0]) == 1024, "a power of two");

typedef typeof(cpus[0]) cpu_t;

/* The task pointer of each CPU's idle task; 0 until it is seen. Only raw_tp programs need it. */
__u64 idle_tasks[MAX_CPUS];

/*
 * How many tasks are allocating task storage on each CPU: more than one if they preempt each other.
 */
__u64 preparing[MAX_CPUS];

/* The interval for which samples are taken; 0: none are taken. Only user space writes it. */
__u32 interval_id;

/* One in so many samples is taken, on all CPUs; 0: all are. Any CPU writes it: pay_sample(). */
__u32 every;

/* For sample_cost() in netto.c: samples taken, and the ns of the shortest one with some frames. */
__u32 samples;
__u64 sample_ns;

/*
 * A buffer has the stacks of one interval on one CPU. It is number `interval_id % nr_bufs` of this
 * CPU. Behind its `hash_slots` slots are `stack_words` words of stacks, and room for one more stack
 * (stack_layout). A stack is a word, event | depth << 8 | slot << 32, and then its addresses, leaf
 * first. A slot or buffer with the number of an older interval is empty. Only netto_sample on this
 * CPU writes the buffer; user space reads it when no sample is under way. Only the type of this
 * variable is used, also in user space.
 */
struct {
	__u64 interval_id;
	__u64 used;   /* words of stacks */
	__u64 full;   /* samples lost: there was no room for their stack */
	__u64 failed; /* samples lost: the kernel gave no stack */
	struct {
		__u64 hash; /* of the event and the addresses */
		__u32 interval_id;
		__u32 count; /* samples */
	} slots[];
} stack_buf_layout;

__u64 stack_layout[1 + MAX_DEPTH];

typedef typeof(stack_buf_layout) stack_buf_t;

/*
 * What NAPI polled on a CPU: sums since the start, written by this CPU. An instance is a queue of a
 * device. It has one of POLLED_TRIES places, from that of its napi_id (or ifindex) on. An instance
 * that finds these taken shares the last place. Only the type of this variable is used.
 */
struct {
	__u64 shared[16]; /* ns, by event of the task level: time that was given to instances */
	struct {
		__u64 key;     /* see netto_find_poll(), netto_poll_r(); 0: the place is free */
		__u32 id;      /* napi_id, or 0 */
		__u32 net;     /* the device's network namespace: its inode number */
		char name[16]; /* of the device; empty: there is none */
		__u64 ns, polls, packets;
	} places[POLLED_PLACES + 1];
} polled_layout;

typedef typeof(polled_layout) polled_t;
typedef typeof(polled_layout.places[0]) place_t;

/* Key: CPU id. User space maps it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(polled_t));
	__uint(max_entries, 1);
} netto_polled SEC(".maps");

/*
 * Sums of a process since the start, by event: its operations, and the NET_RX that interrupted it.
 */
struct {
	char name[16];
	__u64 ns[16], count[16];
} task_layout;

typedef typeof(task_layout) task_t;

/* Key: PID of the process in the first PID namespace; 0: all idle tasks. Only for --tasks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TASKS);
	__type(key, __u32);
	__type(value, task_t);
} netto_tasks SEC(".maps");

/* Operations, and their time in ns, of processes that found no room in netto_tasks. */
__u64 tasks_lost, tasks_lost_ns;

/* Where user space asks netto_lookup() for the address of a function. */
struct {
	char name[48]; /* [MODULE:]FUNCTION: a target of probes[] */
	__u64 address; /* the answer; 0: there is no such function */
} lookup;

/* Key: CPU id * nr_bufs + number of the buffer. User space sets its real sizes, and maps it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(stack_buf_t));
	__uint(max_entries, 1);
} netto_stacks SEC(".maps");

/*
 * Slots and flags of a task that is off the CPU in an operation. The upper 32 bits say how long it
 * has run in this operation, in units of 1024 ns. Only sched_switch reads and writes the value.
 */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} netto_storage SEC(".maps");

/*
 * The same by task pointer: for kernels before 5.13, without task storage for tracing; for raw_tp,
 * which has no BTF of the task; and for PREEMPT_RT, where a task can be parked in a softirq before
 * it could allocate storage. An entry lives only while its task is off the CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SAVED);
	__type(key, __u64);
	__type(value, __u64);
} netto_saved SEC(".maps");

/* The asm keeps the address in one register: clang would compute each field's address anew. */
static __always_inline cpu_t *this_cpu(void)
{
	cpu_t *c = &cpus[bpf_get_smp_processor_id() & (MAX_CPUS - 1)];

	asm volatile("" : "+r"(c));
	return c;
}

/* The instruction with a result, which clang 20 makes of __sync_fetch_and_add, needs 5.12. */
static __always_inline void add(__u64 *sum, __u64 n)
{
	__atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
}

/*
 * Reads the clock of a level: the time less `above`, which is what the levels above it took.
 * `above` is read before and after the time. If both readings are the same, no higher level
 * ended in between, and the clock is exact. clock() tries once; if it fails, netto_clock() tries
 * again.
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

/* The task pointer as tracepoints have it: on 32-bit kernels the helper extends its sign. */
static __always_inline __u64 current_task(void)
{
	return bpf_get_current_task() & addresses;
}

/*
 * True if `task` runs, but the last sched_switch brought another one. A switch was missed, so what
 * the CPU did since its last change is not known. A CPU runs no tracepoint in its last steps when
 * it is unplugged, nor in its first when it is plugged in. Some hosts hide tasks from tracing.
 */
static __always_inline int unseen(cpu_t *c, __u64 task)
{
	return c->running != task;
}

/*
 * An event as an index of an array of 16. The mask is in asm: clang would drop a mask that it can
 * prove to be needless, and the verifier, which proves less, would refuse the index.
 */
static __always_inline __u64 event_index(__u64 event)
{
	asm volatile("%0 &= 15" : "+r"(event));
	return event;
}

/* The event that owns the task level: the one in the innermost slot that is set. */
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
 * The time from word `from` to word `to`, ns. It is right when the 52 bits wrap around, after 52
 * days. It is signed: a clock that steps back by a nanosecond takes this time back. The sign halves
 * the range: a CPU must switch tasks once in 26 days.
 */
static __always_inline __u64 span(__u64 from, __u64 to)
{
	return (__s64)((to | SLOT_MASK) - (from | SLOT_MASK)) >> SLOT_BITS;
}

/* True if a task was switched to at the time in the word or later. */
static __always_inline int is_overtaken(cpu_t *c, __u64 word)
{
	return (__s64)(READ_ONCE(c->resumed) - word) > -(1 << SLOT_BITS);
}

/*
 * True for events of the task level that are charged to processes, too; on PREEMPT_RT also NET_RX.
 */
static __always_inline int is_of_tasks(__u64 event)
{
	return (1 << event) & (1 << EV_RECV | 1 << EV_SEND | 1 << EV_CONN | 1 << EV_BUSY_POLL |
			       1 << EV_NET_WORKER) ||
	       (event == EV_RX_SOFTIRQ && rt);
}

/*
 * Copies a name of 16 bytes from a kernel structure. 32-bit kernels align it to 4 bytes only (seen
 * on MIPS with 6.12). The verifier refuses a wider load there if the CPU has no unaligned loads.
 */
static __always_inline void copy_name(void *to, const void *from)
{
	for (int i = 0; i < 4; i++)
		((__u32 *)to)[i] = ((const __u32 *)from)[i];
}

/*
 * The name of the process: the name of its first thread. The helper that gives the task is of 5.11,
 * and so it is there where task storage is. Elsewhere it is the name of the thread charged first.
 */
static __always_inline void get_name(char name[16])
{
	if (reads_task_fields && parking == PARK_STORAGE) {
		struct task_struct *leader = bpf_get_current_task_btf()->group_leader;

		copy_name(name, leader->comm);
	} else {
		bpf_get_current_comm(name, 16);
	}
}

/*
 * Adds to the sums of the current process. Operations are counted at their end, work at its start.
 */
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
	/* is_of_tasks() comes first: clang drops the rest where it is false for a constant event */
	if (is_of_tasks(event) && tasks)
		netto_charge_process(event, ns, count);
}

/*
 * Notes that `event` ran for `took` ns without a break, signed as in span(). Callers do this while
 * ns[] and the open spans lack the stretch or have it twice: so a mark in between has a residual.
 * On PREEMPT_RT a task that is preempted between the comparison and the store may undo a longer
 * stretch that another task has noted.
 */
static __always_inline void note_longest(cpu_t *c, __u64 event, __u64 took)
{
	if ((__s64)took > (__s64)c->longest[event])
		c->longest[event] = took;
}

/*
 * netto_settle() and netto_change() are not static. So the verifier follows them once for each
 * program, and not once for each call.
 */

/*
 * Ends a change of the task level from the word `old` to `word`, which the caller has stored:
 * charges the span. If the last switch is not older than `word` (is_overtaken()), this task was
 * preempted:
 *
 *   preempted        `task` now holds   sched_switch charged   left to charge
 *   before store     our word           until then             from `resumed` on: the change is
 *                                                              made again
 *   after store      another word       since our word         the span
 *   before and       another, and       all: the second one    nothing
 *   after it         OVERTAKEN          found an old time
 */
__noinline int netto_settle(__u64 old, __u64 word)
{
	cpu_t *c = this_cpu();

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
		/* OVERTAKEN of a preemption since the comparison is void: `old` begins after it */
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

/* How long the current task has run in its operation, at most; 1024 ns, rounded up. */
static __always_inline __u64 operated(cpu_t *c, __u64 word)
{
	return c->operated + (span(c->resumed, word) >> 10) + 1;
}

/* An operation begins in a task whose last one has not ended. */
static __always_inline void miss_return(cpu_t *c, __u64 word)
{
	add(&c->unreturned, 1);
	add(&c->unreturned_ns, operated(c, word) << 10);
}

/* Puts `event` into a slot of the task level. EV_NONE empties it: the task slot gets `base`. */
__noinline int netto_change(__u32 slot, __u64 event)
{
	cpu_t *c = this_cpu();
	__u32 shift = slot * EVENT_BITS, base = READ_ONCE(c->base);
	__u64 word = clock(&c->above) << SLOT_BITS, old = READ_ONCE(c->task);

	if (!old)
		return 0;
	if (slot == SLOT_TASK)
		charge_task(old & 15, 0, 1);
	if ((old >> shift & 15) == event) {
		if (slot == SLOT_TASK && event != base) /* an entry, and the last one is open */
			miss_return(c, word);
		return 0;
	}
	if (slot == SLOT_TASK && !event) /* `base`, read before this CPU started to count */
		event = c->base;
	if (slot == SLOT_TASK && event != c->base && (old & 15) != c->base)
		miss_return(c, word);
	word |= (old & SLOT_MASK & ~(15ull << shift)) | event << shift;
	WRITE_ONCE(c->task, word);
	return netto_settle(old, word);
}

/* The end of change_task() if a preemption came. */
static __noinline int netto_end_change(__u64 old, __u64 word)
{
	charge_task(owner(old), 0, 1);
	return netto_settle(old, word);
}

/*
 * The usual change, in as few instructions as possible: `from` is all that the slots hold, and `to`
 * replaces it (EV_NONE: `base`). If they hold more, or an interrupt ended at the clock,
 * netto_change() does it.
 */
static __always_inline void change_task(cpu_t *c, __u64 from, __u64 to)
{
	__u64 above = READ_ONCE(c->above), now = bpf_ktime_get_ns(), old = READ_ONCE(c->task), took;

	if (!to)
		to = c->base;
	if (READ_ONCE(c->above) != above || (old & SLOT_MASK) != from) {
		netto_change(SLOT_TASK, to);
		return;
	}
	now = (now - above) << SLOT_BITS;
	WRITE_ONCE(c->task, now | to);
	if (is_overtaken(c, now)) {
		netto_end_change(old, now | to);
		return;
	}
	took = (__s64)(now - old + from) >> SLOT_BITS;
	add(&c->ns[from], took);
	charge_task(from, took, 1); /* only an operation counts: it ends here */
}

/* True if the slots hold more than the event of the running task as a whole. */
static __always_inline int is_operation(cpu_t *c, __u32 slots)
{
	return slots != c->base;
}

/* Allocates the current task's storage, since sched_switch, which needs it, cannot allocate. */
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

/* An entry overwrites whatever the slot holds: an operation whose exit was missed ends here. */
static __always_inline void netto_enter_hot(__u64 event)
{
	cpu_t *c = this_cpu();

	add(&c->count[event], 1);
	if (!c->ready)
		netto_prepare(c);
	change_task(c, EV_OTHER, event);
	c->operated = 0;
}

/* An exit ends whatever operation the slot holds; if it holds none, nothing changes. */
static __always_inline void netto_leave_hot(__u64 event)
{
	cpu_t *c = this_cpu();

	change_task(c, event, EV_NONE);
}

/* The same as functions, for operations that are not hot: not each program has a copy. */
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
 * Not on PREEMPT_RT: charges `event` with the softirq level's time since its last change. From now
 * on `to` owns this level.
 */
static __always_inline void charge_softirq(cpu_t *c, __u64 event, __u64 to)
{
	__u64 now = clock(&c->hard), took = now - c->irq[SOFT].since;

	c->ns[event] += took;
	note_longest(c, event, took);
	if (event == EV_RX_SOFTIRQ && c->rx_over)
		c->parts[c->rx_over & (PARTS - 1)] += took;
	c->irq[SOFT].event = to;
	if (to)
		c->irq[SOFT].since = now;
	add(&c->above, took);
	if (event == EV_RX_SOFTIRQ && tasks)
		netto_charge_process(EV_RX_SOFTIRQ, took, 1);
}

/* Work begins or ends in a softirq: from now on `to` owns the softirq level. */
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
		netto_change(SLOT_SOFTIRQ, event);
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
		netto_change(SLOT_SOFTIRQ, EV_NONE);
		return;
	}
	c->serving = EV_NONE;
	if (c->irq[SOFT].event == EV_RX_SOFTIRQ)
		charge_softirq(c, EV_RX_SOFTIRQ, EV_NONE);
	else if (c->irq[SOFT].event)
		change_softirq(c, EV_NONE);
}

/*
 * A top half of a device begins. It is EV_OTHER until it schedules NAPI: then all its time is
 * EV_HARDIRQ.
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
 * Runs at the end of napi_schedule_prep(). Drivers call it to schedule NAPI; packets on loopback do
 * not. It returns true if NAPI was not scheduled yet: then NET_RX, or NAPI's thread, will poll.
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

#ifdef bpf_target_mips
	/* 32-bit kernels: pt_regs has 8 words before the registers, and register 2 is the result */
	if (!(addresses >> 32))
		scheduled = ((__u32 *)ctx)[8 + 2];
#endif
	if (scheduled)
		schedule_napi();
	return 0;
}

/* Where napi_schedule_prep() cannot be hooked. This runs for each packet on loopback, too. */
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

/* The event of the softirq in which this program runs, or EV_NONE. */
static __always_inline __u64 softirq_of(cpu_t *c)
{
	return rt ? READ_ONCE(c->task) >> 2 * EVENT_BITS & 15 : c->serving;
}

/*
 * Work begins. In a task it goes into the poll slot, and so overrides an operation. In a softirq
 * the task level belongs to the task that was interrupted: there the work takes over the softirq's
 * event.
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
	return netto_change(softirq_of(c) ? SLOT_SOFTIRQ : SLOT_POLL, event);
}

static __noinline int netto_leave_poll(__u64 event)
{
	cpu_t *c = this_cpu();

	if (softirq_of(c)) {
		if ((rt ? softirq_of(c) : c->irq[SOFT].event) != event)
			return 0;
		if (rt)
			return netto_change(SLOT_SOFTIRQ, EV_SOFTIRQ);
		change_softirq(c, c->serving);
		return 0;
	}
	if ((READ_ONCE(c->task) >> EVENT_BITS & 15) != event)
		return 0;
	return netto_change(SLOT_POLL, EV_NONE);
}

/*
 * For tcp_read_sock(), which softirqs, NAPI threads and other operations call, too: then its time
 * stays theirs. Only a task that is in nothing else begins to receive here.
 */
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

/* A thread begins whose event as a whole sched_switch cannot tell: it has no name yet. */
static __always_inline void netto_enter_thread(__u64 event)
{
	cpu_t *c = this_cpu();

	add(&c->count[event], 1);
	if (!c->ready)
		netto_prepare(c);
	netto_change(SLOT_TASK, event);
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
 * Interrupts that each CPU has for itself (IRQF_PERCPU: timers, calls from other CPUs, some NMIs)
 * belong to no device. On x86 few pass here, elsewhere most. raw_tp cannot read the flag.
 */
#define PROGRAMS_OF_TOP_HALF(program, tracepoint, call)                                            \
	PROGRAM("tp_btf/" tracepoint, BPF_PROG(program, int irq, struct irqaction *action),        \
		if (!(action->flags & IRQF_PERCPU)) call())                                        \
	PROGRAM("raw_tp/" tracepoint, program##_r(void *ctx), call())
PROGRAMS_OF_TOP_HALF(netto_irq, "irq_handler_entry", enter_top_half)
PROGRAMS_OF_TOP_HALF(netto_irq_x, "irq_handler_exit", leave_top_half)

/*
 * For a poll at the task level: the time of the event in which it runs, since the last poll in this
 * event on this CPU. Time before the current task resumed is left out, but not on PREEMPT_RT, where
 * the poll may have been preempted itself. For any other event than those of polls it is 0.
 *
 * A task that is preempted between its store and its addition adds late, and so does this program
 * if it is preempted (on PREEMPT_RT from 7.0 on). ns[] is then less than `shared`: this poll is
 * given nothing, and later polls are given its time.
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
 * A softirq polled the instance at `place`. The poll before was of another one, or `mixed` is set.
 * Time that no place has yet (`given`) is the last instance's; user space adds it at a mark.
 *   new softirq:             all softirqs before it were the last instance's
 *   same softirq, not mixed: nobody knows when the last instance ended: each gets half until now
 *   mixed (MIXED softirqs):  each poll reads the clock, and gets the time since the poll before
 */
static __noinline int netto_divide(cpu_t *c, polled_t *p, __u32 place)
{
	__u64 ns = c->ns[EV_RX_SOFTIRQ], given = c->polled.given, took = 0;
	__u64 total = ns + clock(&c->hard) - c->irq[SOFT].since;
	__u32 round = c->count[EV_RX_SOFTIRQ], last = c->polled.last - 1;

	c->polled.changes++;
	if (c->polled.round != round) {
		took = ns - given;
		given = ns;
		if (c->polled.mixed)
			c->polled.mixed--;
	} else if (!c->polled.mixed) {
		took = ns - given + (total - ns) / 2;
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

/* Finds the place of a key, or takes a free one for it. Returns the last place if none is free. */
static __noinline __u32 netto_find_place(polled_t *p, __u64 key, __u32 id, __u32 at)
{
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
		return n;
	}
	return POLLED_PLACES;
}

/* Adds a poll to the instance at place `n`. count_poll() adds its further polls. */
static __always_inline void add_poll(cpu_t *c, polled_t *p, __u32 n, __u64 napi, __u32 id, int work)
{
	place_t *place = &p->places[n];

	if (rt || c->irq[SOFT].event != EV_RX_SOFTIRQ) { /* polls may preempt each other */
		add(&place->polls, 1);
		add(&place->packets, work);
		add(&place->ns, netto_poll_of_task(c, p));
		return;
	}
	netto_divide(c, p, n);
	c->polled.napi = c->polled.mixed ? 0 : napi;
	c->polled.id = id;
	c->polled.polls = 1;
	c->polled.packets = work;
}

/*
 * An instance with a napi_id has a place of its own. Those without one (they only send; or
 * WireGuard's, one for each peer) share a place for each device.
 */
static __noinline int netto_find_poll(cpu_t *c, struct napi_struct *napi, int work)
{
	struct net_device *device = napi->dev;
	__u32 cpu = bpf_get_smp_processor_id(), id = napi->napi_id, n;
	polled_t *p = bpf_map_lookup_elem(&netto_polled, &cpu);

	if (!p || !c->task)
		return 0;
	n = netto_find_place(p, id ? (__u64)napi : ((__u64)device ?: NO_DEVICE), id,
			     id + device->ifindex);
	if (n > POLLED_PLACES) /* never: the verifier wants it */
		return 0;
	if (n < POLLED_PLACES && !p->places[n].name[0]) {
		if (bpf_core_field_exists(device->nd_net.net)) /* CONFIG_NET_NS */
			p->places[n].net = device->nd_net.net->ns.inum;
		copy_name(p->places[n].name, device->name);
	}
	add_poll(c, p, n, (__u64)napi, id, work);
	return 0;
}

/* Adds a poll to the instance that was polled last. Returns 0 if another one was. */
static __always_inline int count_poll(cpu_t *c, __u64 napi, __u32 id, int work)
{
	if (c->polled.napi != napi || c->polled.id != id || c->irq[SOFT].event != EV_RX_SOFTIRQ)
		return 0;
	c->polled.polls++;
	c->polled.packets += work;
	c->polled.round = c->count[EV_RX_SOFTIRQ];
	return 1;
}

/* Runs at the end of each poll. budget is 0 when netconsole polls, which receives nothing. */
SEC("tp_btf/napi_poll")
int BPF_PROG(netto_poll, struct napi_struct *napi, int work, int budget)
{
	cpu_t *c = this_cpu();

	if (budget && !count_poll(c, (__u64)napi, napi->napi_id, work))
		netto_find_poll(c, napi, work);
	return 0;
}

/*
 * The same on hosts without BTF, from the tracepoint's record (the kernel's trace/events/napi.h):
 * a header of 2 words of 32 bits; the address of the NAPI instance, 1 or 2 words; where the name
 * is in the record; work; budget. A device is one instance here, told by its name.
 */
SEC("tracepoint/napi/napi_poll")
int netto_poll_r(__u32 *record)
{
	cpu_t *c = this_cpu();
	__u32 cpu = bpf_get_smp_processor_id(), n;
	__u64 name[2] = {}, key;
	struct {
		__u32 at, work, budget;
	} fields;
	polled_t *p;

	bpf_probe_read_kernel(&fields, sizeof(fields), record + (addresses >> 32 ? 4 : 3));
	if (!fields.budget)
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), (char *)record + (fields.at & 0xffff));
	if (*(char *)name == '(') /* "(no_device)" */
		name[0] = name[1] = 0;
	key = name[0] ^ name[1] * 0x9e3779b97f4a7c15; /* 2^64 / golden ratio */
	key = key ?: NO_DEVICE;
	if (count_poll(c, key, 0, fields.work))
		return 0;
	p = bpf_map_lookup_elem(&netto_polled, &cpu);
	if (!p || !c->task)
		return 0;
	n = netto_find_place(p, key, 0, key >> 32);
	if (n > POLLED_PLACES) /* never: the verifier wants it */
		return 0;
	if (n < POLLED_PLACES)
		copy_name(p->places[n].name, name);
	add_poll(c, p, n, key, 0, fields.work);
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

/* One pair for all functions of kprobe.multi. The cookie of a function is event | how << 8. */
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
		change_task(c, event, EV_NONE);
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

/* Parks `slots` with a task; 0 removes what is parked. Returns 0, or not 0 if there is no room. */
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
 * Returns the slots that were parked with a task, or 0, and removes them. It finds no storage if
 * only other eBPF programs gave the task storage; or, until 6.1, while another look-up is under way
 * on this CPU, since a task was preempted in netto_prepare(): that counts as lost. Old slots may be
 * parked then. MISSED makes the next sched_switch remove them, unless its look-up fails as well.
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

/* Charges the task level at the task clock `now`, and parks its slots with `prev`, which leaves. */
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
		if (parking) /* prev's slots are old: it came back unseen, and has gone on since */
			netto_unpark(c, prev);
		c->flags = 0;
		return 0;
	}
	if ((__s64)(old - c->resumed) < 0) { /* a preempted change has stored an old time */
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

/* For raw_tp programs: the idle task of a CPU is the task with PID 0 that was seen there. */
static __always_inline __u64 *idle_task(void)
{
	return &idle_tasks[bpf_get_smp_processor_id() & (MAX_CPUS - 1)];
}

/*
 * Called while the current task is still the one that owns the open span. If it is an idle task
 * that is not known yet, this span becomes `idle`.
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

/* NAME: the first 8 bytes of a name as a CPU loads them. LENGTH: a mask of the first n of these. */
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

/* Loads the first 8 bytes of a name, which may be aligned to 4 bytes only: see copy_name(). */
static __always_inline __u64 first_8(const void *name)
{
	const __u32 *words = name;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return words[0] | (__u64)words[1] << 32;
#else
	return (__u64)words[0] << 32 | words[1];
#endif
}

/* The event that a kernel or io_uring thread is as a whole, by the first 8 bytes of its name. */
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
 * The CPU switches tasks. `fields`: the program may read task_struct. Interrupts are off: plain
 * additions will do, and one reading of the clock is exact.
 */
static __always_inline void switch_task(cpu_t *c, struct task_struct *prev,
					struct task_struct *next, int fields)
{
	__u64 now = bpf_ktime_get_ns() - c->above, word = now << SLOT_BITS, old = c->task, base;
	__u32 slots = old & SLOT_MASK, part = PART_NONE;

	if (unseen(c, (__u64)prev) || is_operation(c, slots) || (__s64)(old - c->resumed) < 0 ||
	    c->flags)
		netto_switch_out(c, prev, now);
	else
		c->ns[event_index(slots)] += (__s64)(word - old + slots) >> SLOT_BITS;
	c->stint = 0;
	slots = 0;
	base = EV_OTHER;
	if (fields ? next->pid == 0 : (__u64)next == *idle_task()) {
		base = EV_IDLE;
		part = PART_IDLE;
		c->count[EV_IDLE]++;
	} else {
		__u32 where = parking;

		if (fields && next->flags & (PF_KTHREAD | PF_IO_WORKER)) {
			__u64 name = first_8(next->comm);

			base = thread_event(name);
			if (name == NAME('k', 's', 'o', 'f', 't', 'i', 'r', 'q'))
				part = PART_KSOFTIRQD;
			if (base != EV_OTHER)
				c->count[event_index(base)]++;
		}
		if (where == PARK_HASH || (where == PARK_STORAGE && fields && next->bpf_storage))
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

/* All kernels have these arguments first; 5.18 appended prev_state. */
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
 * Deletes the parked slots of a task when the kernel frees its task_struct, so that a new task at
 * the same address starts without them.
 */
SEC("raw_tp/sched_process_free")
int netto_free(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = ctx->args[0];

	bpf_map_delete_elem(&netto_saved, &task);
	return 0;
}

/*
 * The event that owns this CPU, as far as hooks tell; EV_NONE: unknown. What no hook tells is
 * EV_IDLE in an idle task, else EV_OTHER. A top half that is EV_OTHER may be the sample's own
 * timer, so the event that it interrupted counts. (An NMI in another top half counts there, too.)
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

/* The depth of a stack, which is in its first word: see stack_layout. */
static __always_inline __u32 depth_of(const __u64 *stack)
{
	return READ_ONCE(*stack) >> 8 & 0xff;
}

/*
 * Counts the stack that lies behind the used words; its first word lacks the slot. Two stacks with
 * the same hash count as one. Among 100,000 different stacks this happens once in 4 billion runs.
 * The verifier follows a function anew for each set of values that it knows. It knows nothing of
 * values in this memory, so it follows the function once. On an emulated 6.12 the verifier then
 * takes 30 ms for netto_sample instead of 200.
 */
static __noinline int netto_count_stack(stack_buf_t *buf, __u64 *stack, __u32 now)
{
	__u64 hash = READ_ONCE(*stack) & 0xff;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < depth_of(stack) && i < MAX_DEPTH; i++) {
		hash = (hash ^ stack[1 + i]) * 0x9e3779b97f4a7c15; /* 2^64 / golden ratio */
		hash ^= hash >> 32;
	}
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SLOT_TRIES; i++) {
		__u32 slot = (hash + i) & (hash_slots - 1);

		if (buf->slots[slot].interval_id == now && buf->slots[slot].hash == hash) {
			buf->slots[slot].count++;
			return 0;
		}
		if (buf->slots[slot].interval_id == now)
			continue;
		if (buf->used + 1 + depth_of(stack) > stack_words)
			break;
		*stack |= (__u64)slot << 32;
		buf->used += 1 + depth_of(stack);
		buf->slots[slot].hash = hash;
		buf->slots[slot].interval_id = now;
		buf->slots[slot].count = 1;
		return 0;
	}
	buf->full++;
	return 0;
}

/*
 * The kernel cannot unwind from the functions through which it makes indirect calls on CPUs that
 * need retpolines. Their caller is among the first two words on the stack. Those of them that look
 * like an address of code become frames, behind a frame 0. Returns the depth.
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
		if ((stack[i] ^ stack[1]) >> 31) /* kernel and modules lie within 2 GB */
			stack[i] = 0;
	return 4;
#else
	return 1;
#endif
}

/*
 * A sample that began at `began` is done. What samples took beyond their part of the time is owed.
 * If more than a burst is owed, all CPUs take only half as many samples from then on: so each
 * sample counts the same. (To skip a few samples after a long one would favour what is cheap to
 * sample.)
 */
static __always_inline void pay_sample(cpu_t *c, __u64 began, __u32 depth)
{
	__u64 took = bpf_ktime_get_ns() - began, earned = (began - c->sampled) / (sample_part ?: 1);

	samples++;
	if (depth >= 4 && (!sample_ns || took < sample_ns))
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
	if (c->every == every) /* no other CPU has halved them since */
		every = every ? 2 * every : 2;
	c->every = every;
}

SEC("perf_event")
int netto_sample(struct bpf_perf_event_data *ctx)
{
	cpu_t *c = this_cpu();
	__u32 now = READ_ONCE(interval_id), key;
	__u64 began = bpf_ktime_get_ns(), event = current_event(c), depth, used, *stack;
	stack_buf_t *buf;
	long size;

	if (!now || event == EV_NONE)
		return 0;
	if (event == EV_IDLE && hooks_switch)
		return 0; /* hooks measure it */
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
	if (used > stack_words) /* never: the verifier wants it */
		return 0;
	stack = (__u64 *)&buf->slots[hash_slots] + used;
	size = bpf_get_stack(ctx, stack + 1, MAX_DEPTH * sizeof(__u64), 0);
	stack[0] = event;
	if (size < 0 || (size == 0 && event < EV_OTHER)) { /* `other` in user space has 0 frames */
		buf->failed++;
	} else {
		depth = size == sizeof(__u64) ? scan_stack(ctx, stack) : size / sizeof(__u64);
		stack[0] |= depth << 8;
		netto_count_stack(buf, stack, now);
	}
	pay_sample(c, began, depth_of(stack));
	return 0;
}

/* The event, as a whole, of a CPU's first task, by its name: a user's task may have such a name. */
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
 * Copies the state of this CPU at this instant. BPF_PROG_TEST_RUN, which can choose the CPU from
 * 5.10 on, runs it there in an IPI, or directly on netto's own CPU. It is attached nowhere: the
 * section only gives its type.
 */
SEC("raw_tp/task_rename")
int netto_mark(void *ctx)
{
	cpu_t *c = this_cpu();
	__u64 task = current_task();
	__u64 above = READ_ONCE(c->above), now = bpf_ktime_get_ns();
	__u64 open = 0; /* span that is still open, of all levels looked at so far */

	if (!c->task) {
		c->start = now;
		c->running = task;
		c->ready = 0;
		c->flags = MISSED; /* slots that are parked with this task are older */
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
	/* an interrupt after the clock is in part in these sums: 1 ns of residual reveals it */
	if (READ_ONCE(c->above) != above)
		c->mark_wall++;
	return 0;
}

/* From 5.16 on. User space runs it for each function, before it loads the other programs. */
SEC("syscall")
int netto_lookup(void *ctx)
{
	return bpf_kallsyms_lookup_name(lookup.name, sizeof(lookup.name), 0, &lookup.address);
}

char LICENSE[] SEC("license") = "GPL";
