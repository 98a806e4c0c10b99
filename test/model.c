// SPDX-License-Identifier: GPL-2.0
/*
 * A model of a machine that runs netto.bpf.c, which this file includes whole. The model decides the
 * order of all events. Each load and store of data that netto's programs share, and each call of a
 * helper, is a *point*: there the model may first run an interrupt, an NMI, a mark, another task or
 * another CPU. An oracle knows which event owns each nanosecond of the simulated time. After each
 * run the sums of netto must be those of the oracle.
 *
 *	model			all orders of small scripts, and random ones, for 40 s of CPU time
 *	model --seconds N	the same for N s; from 300 on, more scripts with more in between
 *	model --config NAME	in this configuration only
 *	model --config NAME --seed N
 *		one random run again; if it fails, it is shown, without what the failure does not
 *need model --config NAME --script TEXT --at LIST one run, shown: TEXT and LIST are as a failed run
 *printed them model --quiet ...	says in one line what failed
 *
 * The trace of a run has time downwards, in nanoseconds since the start, and a column for each CPU.
 * What interrupts something is indented. A script has the steps of each task, by the letters of
 * steps[] and play(). LIST has what comes in between: numbers of points, and letters of act().
 *
 * Points. Clang puts a call before each load and store that is left after optimisation
 * (-fsanitize-coverage=trace-loads,trace-stores). A macro does so for atomic additions. For eBPF
 * clang runs the same passes before, with the same -O2. The back end for eBPF may still move a load
 * over a store to another address: the model does not see this. Nor does it see the weak memory
 * order of a CPU, which the CPU hides from its own programs.
 *
 * The machine. Each task is a coroutine. An interrupt is a call inside the coroutine, as on a CPU:
 * a top half may come in a softirq or in a program, an NMI anywhere. A switch of tasks runs
 * netto_switch with interrupts off, and goes on in the other coroutine. So a task can be preempted
 * in the middle of a program, or of a softirq on PREEMPT_RT. In both, a task stays on its CPU. Time
 * passes at each point, by amounts that differ, so that a span that is charged to the wrong event
 * shows.
 *
 * The oracle follows the accounting rule of netto.bpf.c, as if programs acted at once:
 * - A program acts at its last reading of the clock before it stores to the word of its level.
 *   Until the store, the old event has the time; then the new event has the time since the reading.
 *   So a mark or a sample between the two sees the old event.
 * - If the task was switched to after the reading, the program acts at this switch instead.
 * - If a program stores again, it acts again. Its first change is taken back, but not beyond the
 *   last switch.
 * - A mark may have a residual if a program that has stored something is under way on its CPU, or
 *   if the mark was interrupted. Then user space marks again, and the oracle ignores this mark.
 *
 * Where netto promises less, the oracle accepts less:
 * - After a switch that was not seen, the time since the last change on the CPU is `unseen`.
 * - A poll may give its device less than the poll took, if another task is in the middle of a
 *   program or came unseen. No device has less than nothing, and all have at most what events have.
 * - An operation that could not be parked is `lost`, unless its task was in a program that had read
 *   the slots before. Until 6.1 `lost` may also count a refused look-up of nothing.
 * - The longest stretches are compared over all marks since one without a residual. With interrupts
 *   on, netto_mark misses a stretch that ends between its load and its store of `longest`. On
 *   PREEMPT_RT a program hides what others store between its own load and store of `longest`: then
 *   any value from the program's own stretch to the right one is accepted.
 * - Until 6.1 a task whose operation is not found twice in a row may find an older one later. A
 *   change that is preempted twice leaves a residual if its task cannot be parked, or is not found,
 *   the second time. The oracle stops to compare such a run (`excused`).
 *
 * Not modelled: user space; a table of stacks that is full or changes buffers; a full netto_tasks;
 * more than three interruptions of a program (CLOCK_TRIES and CHANGE_TRIES promise no more); more
 * than two CPUs; unseen tasks that are preempted in a program, or whose look-ups are refused.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

/* ==== 1. What stands for the kernel and libbpf ==== */

#define __BPF_HELPERS__
#define __BPF_CORE_READ_H__
#define __BPF_TRACING_H__
#include <linux/bpf.h>
#include <linux/types.h>

#ifndef SUBJECT
#define SUBJECT "../netto.bpf.c" /* or a mutant of it */
#endif

struct task_struct;
/* The compiler must not inline the model into the programs: its own accesses are no points. */
#pragma clang attribute push(__attribute__((noinline)), apply_to = function)
static void point(void);
static void note_add(void *address);
static __u64 bpf_ktime_get_ns(void);
static __u32 bpf_get_smp_processor_id(void);
static struct task_struct *bpf_get_current_task_btf(void);
static __u64 bpf_get_current_pid_tgid(void);
static long bpf_get_current_comm(void *name, __u32 size);
static void *bpf_map_lookup_elem(void *map, const void *key);
static long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
static long bpf_map_delete_elem(void *map, const void *key);
static void *bpf_task_storage_get(void *map, struct task_struct *task, void *value, __u64 flags);
static long bpf_get_stack(void *ctx, void *to, __u32 size, __u64 flags);
#pragma clang attribute pop
#define bpf_get_current_task()			  ((__u64)bpf_get_current_task_btf())
#define bpf_probe_read_kernel(to, size, from)	  memcpy(to, from, size)
#define bpf_probe_read_kernel_str(to, size, from) snprintf((char *)to, size, "%s", from)

/* for programs that are not run */
#define bpf_get_attach_cookie(ctx)			     0ull
#define bpf_kallsyms_lookup_name(name, size, flags, address) 0

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline	__attribute__((noinline))
#define SEC(name)
#define __uint(name, value)		 int(*name)[value]
#define __type(name, value)		 typeof(value) *name
#define BPF_PROG(name, ...)		 name(__VA_ARGS__)
#define PT_REGS_RC(ctx)			 (*(__u64 *)(ctx))
#define bpf_core_field_exists(field)	 1
#define preserve_access_index		 annotate("CO-RE")
#define __atomic_fetch_add(to, n, order) (point(), note_add(to), __sync_fetch_and_add(to, n))
#define asm                                                                                        \
	if (0)                                                                                     \
	__asm__ /* masks for the verifier, and hints for clang */
#define const	/* each run writes the configuration */
#define clock netto_clock_of
#define raise netto_raise_of
#include SUBJECT
#undef asm
#undef const
#undef clock

#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

/* ==== 2. The machine ==== */

enum { CPUS = 2, TASKS = 4, PEOPLE = TASKS + CPUS, STACK = 64 << 10, HITS = 3 };
enum { PREEMPT_NONE, PREEMPT_FULL, PREEMPT_RT };

static const struct config {
	char *name;
	int preempt, parking;
	bool fields; /* tp_btf and fentry read fields of tasks; else raw tracepoints and kprobes */
	bool busy;   /* until 6.1: look-ups of task storage on a CPU exclude each other */
	int room;    /* of netto_saved, entries */
	bool tasks;  /* processes are counted */
} configs[] = {
	{ "none-storage", PREEMPT_NONE, PARK_STORAGE, true, false, PEOPLE, true },
	{ "none-hash", PREEMPT_NONE, PARK_HASH, true, false, PEOPLE, false },
	{ "none-nowhere", PREEMPT_NONE, PARK_NOWHERE, true, false, PEOPLE, false },
	{ "none-raw", PREEMPT_NONE, PARK_HASH, false, false, PEOPLE, true },
	{ "full-storage", PREEMPT_FULL, PARK_STORAGE, true, false, PEOPLE, true },
	{ "full-busy", PREEMPT_FULL, PARK_STORAGE, true, true, PEOPLE, false },
	{ "full-hash", PREEMPT_FULL, PARK_HASH, true, false, PEOPLE, false },
	{ "full-small", PREEMPT_FULL, PARK_HASH, true, false, 1, true },
	{ "full-raw", PREEMPT_FULL, PARK_HASH, false, false, PEOPLE, false },
	{ "rt-hash", PREEMPT_RT, PARK_HASH, true, false, PEOPLE, true },
	{ "rt-raw", PREEMPT_RT, PARK_HASH, false, false, PEOPLE, false },
};
enum { CONFIGS = sizeof(configs) / sizeof(configs[0]) };
static const struct config *config;

/* What a program does, as the oracle sees it. */
enum action {
	/* at the level of tasks, where `slot` and `event` are the program's */
	ENTER,	    /* the slot becomes the event */
	LEAVE,	    /* the task slot becomes what the task is outside operations */
	LEAVE_POLL, /* the slot becomes empty, if it holds the event */
	BACK,	    /* on PREEMPT_RT: work ends in a softirq, which becomes EV_SOFTIRQ */
	ENTER_READ, /* as ENTER, if the task is in nothing else */
	THREAD,	    /* as ENTER, until the thread ends */
	EMPTY,	    /* the slot becomes empty */
	/* at the level of softirqs, not on PREEMPT_RT */
	ENTER_SOFT,
	CHANGE_SOFT, /* work begins in a softirq */
	BACK_SOFT,   /* work ends, if it still has the softirq: that becomes the vector's event */
	LEAVE_SOFT,
	/* at the level of top halves */
	ENTER_HARD,
	NAPI,
	LEAVE_HARD,
	/* others */
	SWITCH,
	MARK,
	SAMPLE, /* changes nothing */
	POLLED,
};

/* A run of a program. */
struct frame {
	struct frame *outer; /* the program that it interrupted */
	enum action action;
	int slot, event;
	bool preemptible;
	bool touched;  /* it has stored something that a mark reads */
	bool counts;   /* its first load of the word counts an entry */
	bool decides;  /* its next load of the word tells its slot */
	int hits;      /* interruptions: at most HITS, as CLOCK_TRIES and CHANGE_TRIES promise */
	__u64 read[3]; /* the clocks of the levels at its last reading of the clock */
	int commits;   /* stores to the word of its level */
	bool stale;    /* the last store came after a switch, and its reading before the switch */
	int stint;     /* the number of switches on the CPU, at its last commit */
	bool seen_started;	    /* counting had begun when it loaded the word */
	int base;		    /* `base` as it was loaded first; 0: it was not yet */
	int old[3];		    /* the slots as they were loaded before the first commit */
	__u64 old_changed, charged; /* by a commit: `changed` before it; what it has charged */
	/* when it loaded an element of `longest`: the oracle's values, and 1 + its `stores` */
	__u64 longest[16], least[16];
	unsigned int stores[16];   /* 0: it has not loaded it */
	struct person *next;	   /* SWITCH: who comes */
	bool lost_prev, lost_next; /* SWITCH: netto_saved was full, or task storage in use */
};

enum state { READY, RUNNING, DONE };

/* A task. */
struct person {
	struct task_struct task; /* first: a pointer to it is one to this */
	__u64 tgid;
	enum state state;
	bool in_softirq; /* on PREEMPT_RT */
	bool ended;
	int cpu;
	struct frame *top; /* as in struct machine, while it is off the CPU */
	char *script;
	__u64 storage; /* to which task.bpf_storage points, if it has any */
	int parked[3]; /* slots, as the oracle has them */
	bool is_parked;
	bool missed; /* it was not found, and may have something older parked */
	jmp_buf at;  /* last: where its coroutine goes on */
} people[PEOPLE];

static struct machine {
	struct person *current;
	struct frame *top; /* the innermost program that is under way */
	int irqs_off, softirq;
	int nmi; /* 1: one runs; 2: it has taken a stack */
	bool resting;
	bool hid;	   /* a switch was not seen: netto's `ready` may be another task's */
	int storage_users; /* look-ups of task storage that are under way */
	int touched;	   /* programs under way that have stored something */
	char active[128];  /* by letter of steps[]: this function's program is under way */
} machines[CPUS], *here;   /* here: of the CPU that runs */

static int cpu; /* the CPU that runs: see run_on() */
static __u64 now, first_now;
static unsigned int points;
static jmp_buf driver;

/* ==== 3. Traces and failures ==== */

static bool quiet, wanted; /* failed runs are not shown; this run is to be shown */
static bool running, showing, failed, excused;
static char why[400];

static void say(char *format, ...)
{
	va_list args;

	if (!showing)
		return;
	printf("%10llu %*s", now - first_now, 44 * cpu, "");
	for (struct frame *f = here->top; f; f = f->outer)
		printf("  ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void fail(char *format, ...)
{
	va_list args;

	if (excused)
		return;
	va_start(args, format);
	if (!failed)
		vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	failed = true;
	showing = wanted;
	say("!! %s", why);
	showing = wanted && running;
}

/* Fails if netto and the oracle have different values of something. */
static void same(char *what, __u64 seen, __u64 wanted)
{
	if (seen != wanted)
		fail("cpu %d: %s: %lld; the oracle has %lld", cpu, what, seen, wanted);
}

/* The same for each event, of a CPU or a process. */
static void same_events(char *whose, int number, char *what, const __u64 seen[16],
			const __u64 wanted[16])
{
	for (int i = 1; i < EV_MAX; i++)
		if (seen[i] != wanted[i])
			fail("%s %d: %s of %s: %lld; the oracle has %lld", whose, number, what,
			     events[i].name, seen[i], wanted[i]);
}

/* The name of a field of this CPU, for a trace. */
static char *place_name(void *address)
{
/* clang-format off */
#define FIELD(name) { #name, offsetof(cpu_t, name), sizeof(((cpu_t *)0)->name) }
	static const struct {
		char *name;
		unsigned int offset, size;
	} fields[] = {
		FIELD(task), FIELD(above), FIELD(resumed), FIELD(running), FIELD(ready),
		FIELD(flags), FIELD(base), FIELD(serving), FIELD(rx_over), FIELD(irq[SOFT].event),
		FIELD(irq[SOFT].since), FIELD(irq[HARD].event), FIELD(irq[HARD].since),
		FIELD(hard), FIELD(start), FIELD(unseen), FIELD(lost), FIELD(mark_wall),
		FIELD(mark_unseen), FIELD(mark_ns), FIELD(mark_longest), FIELD(mark_parts),
		FIELD(ns), FIELD(count), FIELD(longest), FIELD(parts), FIELD(unreturned),
		FIELD(unreturned_ns), FIELD(operated), FIELD(polled),
	};
	/* clang-format on */
	unsigned long offset = (char *)address - (char *)&cpus[cpu];
	static char name[64];

	for (unsigned int i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (offset - fields[i].offset < fields[i].size) {
			snprintf(name, sizeof(name), fields[i].size <= 8 ? "%s" : "%s[%lu]",
				 fields[i].name, (offset - fields[i].offset) / 8);
			return name;
		}
	return "a map";
}

/* ==== 4. The oracle ==== */

enum { TASK = 2 }; /* the third level, beside SOFT and HARD */

static struct truth {
	__u64 settled, time[3]; /* the clocks of the levels, up to `settled` */
	int event[2];		/* of the levels SOFT and HARD; 0: none */
	__u64 began[2];
	bool started, knows_idle;
	int serving;		/* the event of the softirq that runs; not on PREEMPT_RT */
	struct person *running; /* since the last switch that was seen */
	int slots[3], base, part;
	__u64 parts[PARTS];
	/* since the last mark that was compared: the longest stretch; less if some may be hidden */
	__u64 longest[16], least[16];
	__u64 seen_longest[16];	 /* in the marks since then */
	unsigned int stores[16]; /* to netto's `longest` */
	__u64 changed, resumed;	 /* the last change and the last switch, on the tasks' clock */
	int stint;		 /* switches */
	__u64 ns[16], count[16], missed, unseen;
	__u64 odd;     /* missed, or not: the thread has become an event as a whole meanwhile */
	__u64 lost;    /* operations */
	__u64 refused; /* look-ups that found nothing, since another one was under way */
	__u64 shared[16], polls, packets, polled_ns;
	__u64 unpolled; /* not on RT: time of rx_softirq before the first softirq that polled */
	bool polled_spoilt, polls_softirq, polls_tasks;
	/* of NET_RX softirqs (not on RT): when this one began; who is polled in it, bits; who was
	   last; and how long those took that polled each of them, with all that came in between */
	__u64 rx_began, most[3];
	int rx_polled, last_polled;
	__u64 samples[16];
	struct {
		__u64 ns[16], parts[PARTS], unseen;
	} mark;		/* what netto_mark has to write: all that held when it read the clock */
} truths[CPUS], *truth; /* truth: of the CPU that runs */

static struct {
	__u64 ns[16], count[16];
} processes[PEOPLE + 1];

/* Lets a CPU run. */
static void run_on(int n)
{
	cpu = n;
	here = &machines[n];
	truth = &truths[n];
}

static int owner_of(int slots[3])
{
	return slots[SLOT_SOFTIRQ] ?: slots[SLOT_POLL] ?: slots[SLOT_TASK];
}

static void settle(void)
{
	int level = truth->event[HARD] ? HARD : truth->event[SOFT] ? SOFT : TASK;

	truth->time[level] += now - truth->settled;
	truth->settled = now;
}

/* True for events that are charged to processes. rx_softirq is at the task level on RT only. */
static bool is_for_processes(int event)
{
	return event == EV_RECV || event == EV_SEND || event == EV_CONN || event == EV_BUSY_POLL ||
	       event == EV_NET_WORKER || event == EV_RX_SOFTIRQ;
}

static void charge(int event, __u64 ns)
{
	truth->ns[event] += ns;
	if (is_for_processes(event))
		processes[here->current->tgid].ns[event] += ns;
}

static void count_for_process(int event)
{
	if (is_for_processes(event))
		processes[here->current->tgid].count[event]++;
}

/* An event has had the CPU for so long without a break. */
static void end_stretch(int event, __u64 ns)
{
	if (truth->longest[event] < ns)
		truth->longest[event] = ns;
	if (truth->least[event] < ns)
		truth->least[event] = ns;
}

/* What the program's slot becomes, if the slots hold these. */
static int next_event(struct frame *f, int slots[3])
{
	switch (f->action) {
	case LEAVE:
		return f->base ?: truth->base;
	case LEAVE_POLL:
		return slots[f->slot] == f->event ? 0 : slots[f->slot];
	case EMPTY:
		return 0;
	case BACK:
		return EV_SOFTIRQ;
	default:
		return f->event;
	}
}

/* The program's event replaces an operation: the exit of this one was missed. */
static void note_miss(struct frame *f, int event)
{
	int was = f->old[SLOT_TASK];

	if (f->slot != SLOT_TASK || was == truth->base || event == truth->base)
		return;
	if (was == EV_OTHER || f->action == LEAVE)
		truth->odd++;
	else
		truth->missed++;
}

/* A program of the tasks' level stores to its word. */
static void commit_task(struct frame *f)
{
	__u64 from = f->read[TASK];
	int event;

	if (!truth->started)
		return;
	f->stale = (__s64)(from - truth->resumed) < 0;
	if (f->stale)
		from = truth->resumed;
	if (f->commits && f->stint == truth->stint) { /* again: the first change is taken back */
		charge(owner_of(f->old), -f->charged);
		truth->changed = f->old_changed;
	} else if (f->commits) { /* again after a switch, which has charged the time before */
		truth->changed = truth->resumed;
	}
	/* the slots as loaded: the task may have come back without its slots since */
	memcpy(truth->slots, f->old, sizeof(f->old));
	f->old_changed = truth->changed;
	f->charged = from - truth->changed;
	f->stint = truth->stint;
	charge(owner_of(truth->slots), f->charged);
	end_stretch(owner_of(truth->slots), f->charged);
	truth->changed = from;
	event = next_event(f, f->old);
	if (!f->commits && f->old[f->slot] != event)
		note_miss(f, event);
	truth->slots[f->slot] = event;
	f->commits++;
}

/* Moves the time of a level since the program's reading of the clock to another level. */
static void move(struct frame *f, int from, int to)
{
	__u64 ns = truth->time[from] - f->read[from];

	truth->time[from] -= ns;
	truth->time[to] += ns;
}

/* Charges what a softirq or top half took to the event that it was until now. */
static void charge_interrupt(int level, __u64 clock)
{
	int event = truth->event[level];
	__u64 took = clock - truth->began[level];

	truth->began[level] = clock;
	truth->ns[event] += took;
	truth->count[event] += event == EV_HARDIRQ;
	end_stretch(event, took);
	if (event != EV_RX_SOFTIRQ)
		return;
	truth->parts[truth->part] += took;
	processes[here->current->tgid].ns[EV_RX_SOFTIRQ] += took;
	count_for_process(EV_RX_SOFTIRQ);
}

/* The level at which a program acts; -1: at none. */
static int level_of(struct frame *f)
{
	return f->action < ENTER_SOFT	 ? TASK
	       : f->action <= LEAVE_SOFT ? SOFT
	       : f->action <= LEAVE_HARD ? HARD
					 : -1;
}

/* A program stores to the word of its level, or ought to have. */
static void commit(struct frame *f)
{
	int level = level_of(f), below = level == HARD && truth->event[SOFT] ? SOFT : TASK;
	int *event = &truth->event[level];

	if (level == TASK) {
		commit_task(f);
		return;
	}
	f->commits++;
	if (f->action == ENTER_SOFT || f->action == ENTER_HARD) {
		if (!truth->started)
			return;
		if (*event) { /* its exit was missed: its time goes back to the task */
			f->read[level] = truth->began[level];
			move(f, level, below);
		}
		truth->began[level] = f->read[level];
		move(f, below, level);
		*event = f->event;
		truth->count[f->event] += level == SOFT;
	} else if (*event && f->action == NAPI) {
		*event = EV_HARDIRQ;
	} else if (*event && (f->action != BACK_SOFT || *event == f->event)) {
		charge_interrupt(level, f->read[level]);
		if (f->action == LEAVE_SOFT || f->action == LEAVE_HARD)
			move(f, level, below);
		*event = f->action == CHANGE_SOFT ? f->event
			 : f->action == BACK_SOFT ? truth->serving
						  : 0;
	}
}

/* Without fields: when a CPU's idle task is first recognised, its time so far was `idle`, too. */
static void know_idle(void)
{
	struct person *p = here->current;

	if (config->fields || truth->knows_idle || p->task.pid)
		return;
	truth->knows_idle = true;
	if (!truth->started || truth->running != p || owner_of(truth->slots) != EV_OTHER)
		return;
	truth->slots[SLOT_TASK] = truth->base = EV_IDLE;
	truth->count[EV_IDLE]++;
}

static int base_of(struct person *p)
{
	if (!p->task.pid)
		return config->fields || truth->knows_idle ? EV_IDLE : EV_OTHER;
	if (!config->fields)
		return EV_OTHER;
	return !strncmp(p->task.comm, "napi/", 5)      ? EV_NAPI_THREAD
	       : !strncmp(p->task.comm, "iou-wrk-", 8) ? EV_IO_WORKER
						       : EV_OTHER;
}

static void start(struct frame *f)
{
	truth->started = true;
	truth->running = here->current;
	truth->running->missed = true; /* what may be parked with it is older */
	truth->base = truth->running->task.pid ? base_of(truth->running) : EV_IDLE;
	truth->part = truth->base == EV_IDLE ? PART_IDLE : 0;
	truth->changed = truth->resumed = f->read[TASK];
	memset(truth->slots, 0, sizeof(truth->slots));
	truth->slots[SLOT_TASK] = truth->base;
}

/* The task that leaves is charged, and parked if it is in an operation. Returns whether it is. */
static bool switch_out(struct frame *f)
{
	struct person *prev = here->current;
	__u64 took = f->read[TASK] - truth->changed;
	bool operates = truth->slots[SLOT_TASK] != truth->base || truth->slots[SLOT_POLL] ||
			truth->slots[SLOT_SOFTIRQ];

	charge(owner_of(truth->slots), took);
	end_stretch(owner_of(truth->slots), took);
	if (!config->parking || !operates) {
		if (f->lost_prev)
			truth->refused++; /* not an operation */
		else if (prev->missed)
			prev->is_parked = false;
	} else if (f->lost_prev || (config->parking == PARK_STORAGE && !prev->task.bpf_storage)) {
		truth->lost++;
		/* a worker whose beginning was not seen is `other`, and has no storage */
		if (!config->busy && config->parking == PARK_STORAGE && !here->hid &&
		    owner_of(truth->slots) != EV_OTHER)
			fail("an operation of %s has no storage", prev->task.comm);
	} else {
		prev->is_parked = true;
		memcpy(prev->parked, truth->slots, sizeof(truth->slots));
	}
	return operates;
}

static void commit_switch(struct frame *f)
{
	struct person *prev = here->current, *next = f->next;
	bool operates = false;

	know_idle();
	if (!truth->started) {
		truth->started = true;
		prev->is_parked = false;
	} else if (truth->running != prev) {
		truth->unseen += f->read[TASK] - truth->changed;
		prev->is_parked = false;
	} else {
		operates = switch_out(f);
	}
	/* it was not found, and now cannot be parked: later it finds what was parked before */
	if (prev->missed && f->lost_prev && operates && prev->is_parked)
		excused = true;
	/* its change was preempted twice, and its program will not know: a residual stays */
	if (f->outer && f->outer->stale && (f->lost_prev || !prev->is_parked))
		excused = true;
	prev->missed = false;
	memset(truth->slots, 0, sizeof(truth->slots));
	truth->base = truth->slots[SLOT_TASK] = base_of(next);
	truth->part = truth->base == EV_IDLE					   ? PART_IDLE
		      : config->fields && !strncmp(next->task.comm, "ksoftirq", 8) ? PART_KSOFTIRQD
										   : 0;
	if (truth->base != EV_OTHER)
		truth->count[truth->base]++;
	if (f->lost_next && next->top && next->top->stale)
		excused = true;
	if (f->lost_next) { /* it is found the next time, unless the task is parked anew before */
		truth->lost += next->is_parked;
		next->missed = true;
	} else if (next->is_parked) {
		memcpy(truth->slots, next->parked, sizeof(truth->slots));
		next->is_parked = false;
	}
	truth->running = next;
	truth->changed = truth->resumed = f->read[TASK];
	truth->stint++;
}

/* netto_mark has read the clock: it has to write all that holds now. */
static void expect_mark(struct frame *f)
{
	__u64 soft = f->read[SOFT] - truth->began[SOFT], open = f->read[TASK] - truth->changed;

	memset(&truth->mark, 0, sizeof(truth->mark));
	if (!truth->started)
		return;
	know_idle();
	memcpy(truth->mark.ns, truth->ns, sizeof(truth->ns));
	memcpy(truth->mark.parts, truth->parts, sizeof(truth->parts));
	truth->mark.unseen = truth->unseen;
	if (truth->event[SOFT])
		truth->mark.ns[truth->event[SOFT]] += soft;
	if (truth->event[SOFT] == EV_RX_SOFTIRQ)
		truth->mark.parts[truth->part] += soft;
	if (truth->running != here->current)
		truth->mark.unseen += open;
	else
		truth->mark.ns[owner_of(truth->slots)] += open;
}

/* Compares the longest stretches of all marks since the last one that was compared, too. */
static void check_mark(struct frame *f)
{
	cpu_t *c = &cpus[cpu];
	__u64 residual = c->mark_wall;

	for (int i = 1; i < EV_MAX; i++) {
		residual -= c->mark_ns[i];
		if (truth->seen_longest[i] < c->mark_longest[i])
			truth->seen_longest[i] = c->mark_longest[i];
	}
	if (residual && (here->touched || f->hits))
		return; /* spoilt: user space marks again */
	same("residual of a mark", residual, 0);
	same("unseen of a mark", c->mark_unseen, truth->mark.unseen);
	same_events("cpu", cpu, "ns", c->mark_ns, truth->mark.ns);
	for (int i = PART_NONE + 1; i < PARTS; i++)
		same("a part of rx_softirq", c->mark_parts[i], truth->mark.parts[i]);
	for (int i = 1; i < EV_MAX; i++) {
		__u64 seen = truth->seen_longest[i];

		if (i != EV_RX_SOFTIRQ && i != EV_TX_SOFTIRQ && i != EV_SOFTIRQ && i != EV_HARDIRQ)
			continue;
		if (seen > truth->longest[i] || seen < truth->least[i])
			fail("cpu %d: mark: the longest %s took %llu ns; the oracle has %llu", cpu,
			     events[i].name, seen, truth->longest[i]);
		truth->seen_longest[i] = truth->longest[i] = truth->least[i] = 0;
	}
}

/* A program has read the clock. */
static void note_reading(void)
{
	struct frame *f = here->top;

	settle();
	if (!f)
		return;
	memcpy(f->read, truth->time, sizeof(f->read));
	if (f->action == MARK)
		expect_mark(f);
}

#define IS_IN(address, array) ((char *)(address) - (char *)(array) < sizeof(array))

/*
 * A program loads or stores elements of `longest`. If other programs stored to an element between
 * the two, netto_mark resets what they stored, and a task's program may overwrite it.
 */
static void note_longests(__u64 *address, int size, bool store)
{
	struct frame *f = here->top;

	if (!IS_IN(address, cpus[cpu].longest))
		return;
	for (int i = address - cpus[cpu].longest; size > 0; i++, size -= 8) {
		if (!store) {
			f->stores[i] = truth->stores[i] + 1;
			f->longest[i] = truth->longest[i];
			f->least[i] = truth->least[i];
		} else if (f->action != MARK) {
			if (f->stores[i] && f->stores[i] != truth->stores[i] + 1)
				truth->least[i] = f->charged;
			truth->stores[i]++;
		} else if (f->stores[i]) {
			truth->longest[i] = f->longest[i];
			truth->least[i] = f->least[i];
		}
	}
}

/* A program stores. If it stores to the word of its level, the oracle commits the change. */
static void note_store(void *address)
{
	cpu_t *c = &cpus[cpu];
	struct frame *f = here->top;

	if (!f)
		return;
	settle();
	if (f->action == MARK) {
		if (address == &c->task && !truth->started)
			start(f);
		return;
	}
	if (!f->touched && f->action != SAMPLE &&
	    (address == &c->task || address == &c->above || address == &c->hard ||
	     IS_IN(address, c->irq) || IS_IN(address, c->ns))) {
		f->touched = true;
		here->touched++;
	}
	if (level_of(f) == TASK ? address == &c->task
				: level_of(f) >= 0 && address == &c->irq[level_of(f)].event)
		commit(f);
}

/*
 * A program loads. From its load of the tasks' word on, the program keeps the slots, even if its
 * task cannot be parked.
 */
static void note_load(void *address)
{
	struct frame *f = here->top;

	if (address == &cpus[cpu].base && !f->base)
		f->base = truth->base;
	if (address != &cpus[cpu].task || level_of(f) != TASK || f->commits)
		return;
	if (f->decides)
		f->slot = rt && truth->slots[SLOT_SOFTIRQ] ? SLOT_SOFTIRQ : SLOT_POLL;
	else if (f->action == LEAVE_POLL && f->slot == SLOT_SOFTIRQ)
		f->action = truth->slots[SLOT_SOFTIRQ] == f->event ? BACK : SAMPLE;
	f->decides = false;
	if (f->action == ENTER_READ) {
		f->action = SAMPLE;
		if (truth->started && !truth->slots[SLOT_POLL] && !truth->slots[SLOT_SOFTIRQ] &&
		    (truth->slots[SLOT_TASK] == EV_OTHER ||
		     truth->slots[SLOT_TASK] == EV_IO_WORKER)) {
			f->action = ENTER;
			f->decides = f->counts = true;
		}
	}
	if (f->counts && truth->started) {
		truth->count[f->event]++;
		count_for_process(f->event);
	}
	f->counts = false;
	f->seen_started = truth->started;
	memcpy(f->old, truth->slots, sizeof(f->old));
}

/*
 * A poll ends. Its device gets the time of the event that the poll ran in, since the poll before.
 * In softirqs, all time belongs to some device.
 */
static void commit_polled(struct frame *f)
{
	__u64 total, took, ran;
	int event;

	if (!truth->started)
		return;
	truth->polls++;
	truth->packets += 3;
	truth->polls_tasks |= truth->event[SOFT] != EV_RX_SOFTIRQ;
	if (truth->event[SOFT] == EV_RX_SOFTIRQ) {
		if (!truth->polls_softirq)
			truth->unpolled = truth->ns[EV_RX_SOFTIRQ];
		truth->polls_softirq = true;
		return;
	}
	event = owner_of(truth->slots);
	if (event != EV_NAPI_THREAD && event != EV_BUSY_POLL && !(rt && event == EV_RX_SOFTIRQ))
		return;
	total = truth->ns[event] + f->read[TASK] - truth->changed;
	ran = rt ? ~0ull : f->read[TASK] - truth->resumed;
	/* a program may have to add what it has charged, or a switch came between */
	if (here->touched > f->touched || f->stint != truth->stint ||
	    truth->running != here->current)
		truth->polled_spoilt = true;
	took = total - truth->shared[event];
	if ((__s64)took < 0)
		return;
	truth->shared[event] = total;
	truth->polled_ns += took < ran ? took : ran;
}

/* A program ends. The oracle does what is left to do. */
static void note_end(struct frame *f)
{
	bool is_operation = f->slot == SLOT_TASK &&
			    (f->action == ENTER || f->action == LEAVE || f->action == THREAD);

	settle();
	/* an operation counts for its process when it ends, or when the next one begins */
	if (is_operation && f->seen_started)
		count_for_process(f->old[SLOT_TASK]);
	if (f->action == SWITCH) {
		commit_switch(f);
	} else if (f->action == MARK) {
		check_mark(f);
		know_idle();
	} else if (f->action == POLLED) {
		commit_polled(f);
	} else if (f->commits || level_of(f) < 0) {
		return;
	} else if (level_of(f) != TASK) {
		commit(f); /* it ought to have stored */
	} else if (f->seen_started) {
		/* the task was in such an operation when the program loaded the word */
		if (is_operation && f->action == ENTER && f->old[SLOT_TASK] == f->event)
			note_miss(f, f->event);
		else if (next_event(f, truth->slots) != truth->slots[f->slot])
			commit(f);
	}
}

/* ==== 5. Points, helpers and maps ==== */

static __u64 saved[PEOPLE];	   /* netto_saved, by number of the person; 0: nothing */
static task_t counted[PEOPLE + 1]; /* netto_tasks, by number of the process */
static polled_t polled[CPUS];
enum { SLOTS = 64, WORDS = 256 };
static __u64 stacks[CPUS][(sizeof(stack_buf_t) + SLOTS * 16) / 8 + WORDS + MAX_DEPTH + 1];

static void note_access(void *address, int size, bool store)
{
	if (!here->top ||
	    !(IS_IN(address, cpus) || IS_IN(address, idle_tasks) || IS_IN(address, preparing) ||
	      IS_IN(address, polled) || IS_IN(address, saved)))
		return;
	point();
	if (showing)
		say("%s %s", store ? "store" : "load ", place_name(address));
	if (store)
		note_store(address);
	else
		note_load(address);
	note_longests(address, size, store);
}

/* Clang puts no call before an atomic addition. */
static void note_add(void *address)
{
	if (showing)
		say("add to %s", place_name(address));
	note_store(address);
}

#define CALLBACKS(size, type)                                                                      \
	void __sanitizer_cov_load##size(type *address)                                             \
	{                                                                                          \
		note_access(address, size, false);                                                 \
	}                                                                                          \
	void __sanitizer_cov_store##size(type *address)                                            \
	{                                                                                          \
		note_access(address, size, true);                                                  \
	}
CALLBACKS(1, __u8)
CALLBACKS(2, __u16)
CALLBACKS(4, __u32)
CALLBACKS(8, __u64)
CALLBACKS(16, __int128)

static __u64 bpf_ktime_get_ns(void)
{
	point();
	note_reading();
	say("clock");
	return now;
}

static __u32 bpf_get_smp_processor_id(void)
{
	return cpu;
}

static struct task_struct *bpf_get_current_task_btf(void)
{
	return &here->current->task;
}

static __u64 bpf_get_current_pid_tgid(void)
{
	return here->current->tgid << 32 | here->current->task.pid;
}

static long bpf_get_current_comm(void *name, __u32 size)
{
	memcpy(name, here->current->task.comm, size);
	return 0;
}

/* In a switch, the slots of a task could not be stored or looked up: the oracle must know. */
static void note_refusal(struct person *p)
{
	struct frame *f = here->top;

	if (f->action != SWITCH)
		return;
	if (f->next == p)
		f->lost_next = true;
	else
		f->lost_prev = true;
}

static void *bpf_task_storage_get(void *map, struct task_struct *task, void *value, __u64 flags)
{
	struct person *p = (struct person *)task;
	bool refused;

	point();
	say("storage of %s", task->comm);
	refused = config->busy && here->storage_users;
	if (here->top->action == SWITCH && (refused || !task->bpf_storage))
		truth->refused += preparing[cpu] != 0;
	if (refused) {
		note_refusal(p);
		return NULL;
	}
	here->storage_users++;
	point();
	if (!task->bpf_storage && flags & BPF_LOCAL_STORAGE_GET_F_CREATE) {
		p->storage = 0;
		task->bpf_storage = &p->storage;
	}
	value = task->bpf_storage;
	point();
	here->storage_users--;
	return value;
}

/* The number of the task that a key of netto_saved points to. */
static int number_of(const void *key)
{
	return *(struct person **)key - people;
}

static void *bpf_map_lookup_elem(void *map, const void *key)
{
	task_t *entry;
	int i;

	point();
	if (map == &netto_polled)
		return &polled[cpu];
	if (map == &netto_stacks)
		return &stacks[cpu];
	if (map == &netto_tasks) {
		entry = &counted[*(__u32 *)key];
		return entry->name[0] ? entry : NULL;
	}
	i = number_of(key);
	say("saved of %s", people[i].task.comm);
	return saved[i] ? &saved[i] : NULL;
}

static long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	task_t *entry;
	int used = 0;

	point();
	if (map == &netto_tasks) {
		entry = &counted[*(__u32 *)key];
		if (entry->name[0])
			return -1;
		*entry = *(task_t *)value;
		return 0;
	}
	for (int i = 0; i < PEOPLE; i++)
		used += saved[i] != 0;
	if (!saved[number_of(key)] && used >= config->room) {
		note_refusal(&people[number_of(key)]);
		return -1;
	}
	saved[number_of(key)] = *(__u64 *)value;
	return 0;
}

static long bpf_map_delete_elem(void *map, const void *key)
{
	point();
	saved[number_of(key)] = 0;
	return 0;
}

static long bpf_get_stack(void *ctx, void *to, __u32 size, __u64 flags)
{
	((__u64 *)to)[0] = ((__u64 *)to)[1] = (__u64)to;
	here->nmi = 2;
	return 16;
}

/* ==== 6. What the machine does ==== */

static void begin(struct frame *f)
{
	f->outer = here->top;
	f->stint = truth->stint;
	f->seen_started = truth->started;
	here->top = f;
}

static void end(struct frame *f)
{
	note_end(f);
	here->touched -= f->touched;
	here->top = f->outer;
	say("}");
}

/* Runs a program, with fields of its frame. In a trace, what it does is below what was said. */
#define RUN(call, ...)                                                                             \
	do {                                                                                       \
		struct frame frame = { __VA_ARGS__ };                                              \
		begin(&frame);                                                                     \
		call;                                                                              \
		end(&frame);                                                                       \
	} while (0)

/* The program for hosts where programs read fields, or its variant. */
#define BEST(program, ...) (config->fields ? program(__VA_ARGS__) : program##_r(__VA_ARGS__))

/* Lets another CPU go on. */
static void go_to(int other)
{
	if (_setjmp(here->current->at))
		return;
	run_on(other);
	_longjmp(here->current->at, 1);
}

/* A task has ended. A new one gets the same memory. */
static void renew(struct person *p)
{
	__u64 args[2] = { (__u64)&p->task };

	if (config->parking == PARK_HASH) {
		say("%s has ended {", p->task.comm);
		RUN(netto_free((void *)args), .action = SAMPLE);
	}
	p->ended = false;
	p->task.bpf_storage = NULL;
	p->is_parked = p->missed = false;
}

static void switch_to(struct person *next, bool seen)
{
	struct person *prev = here->current;

	here->irqs_off = 1;
	here->hid |= !seen;
	next->state = RUNNING;
	next->cpu = cpu;
	say("%s: %s -> %s%s", seen ? "switch" : "unseen switch", prev->task.comm, next->task.comm,
	    seen ? " {" : "");
	if (seen)
		RUN(BEST(netto_switch, 1, &prev->task, &next->task), .action = SWITCH,
		    .next = next);
	if (prev->ended)
		renew(prev);
	if (prev->state == RUNNING)
		prev->state = READY;
	prev->top = here->top;
	here->top = next->top;
	here->current = next;
	here->irqs_off = 0;
	if (!_setjmp(prev->at))
		_longjmp(next->at, 1);
}

/*
 * The task that may run here next, after the given one; NULL: none. A task that is in a program
 * does not come unseen: what the program would go on with is not defined.
 */
static struct person *next_ready(struct person *after, bool seen)
{
	int from = after - people;

	for (int i = 1; i <= TASKS; i++) {
		struct person *p = &people[(from + i) % TASKS];

		if (p != after && p->state == READY &&
		    ((p->cpu == cpu && seen) || (!p->top && !p->in_softirq)))
			return p;
	}
	return NULL;
}

static struct person *idle_of(int cpu)
{
	return &people[TASKS + cpu];
}

static void block(bool seen)
{
	switch_to(next_ready(here->current, seen) ?: idle_of(cpu), seen);
}

static struct net net;
static struct net_device device = { "eth0", 2, { &net } };
static struct napi_struct napis[] = { { &device, 70 }, { &device, 134 }, { &device, 0 } };

/* As the tracepoint's record has it: see netto_poll_r(). */
static struct {
	__u32 header[4], at, work, budget;
	char name[12];
} records[] = { { .at = 28, .work = 3, .budget = 64, .name = "eth0" },
		{ .at = 28, .work = 3, .budget = 64, .name = "eth1" },
		{ .at = 28, .work = 3, .budget = 64, .name = "(no_device)" } };

static void poll(unsigned int n)
{
	n %= 3;
	truth->last_polled = n;
	truth->rx_polled |= 1 << n;
	say("poll {");
	RUN(config->fields ? netto_poll(&napis[n], 3, 64) : netto_poll_r((__u32 *)&records[n]),
	    .action = POLLED, .preemptible = rt);
}

/* Whether a place is of napis[n]. The backlog has no name. */
static bool is_place_of(const place_t *place, int n)
{
	return config->fields ? place->id == napis[n].napi_id
			      : !strcmp(place->name, n == 2 ? "" : records[n].name);
}

static void enter_vec(unsigned int vec)
{
	int event = vec == NET_RX_SOFTIRQ   ? EV_RX_SOFTIRQ
		    : vec == NET_TX_SOFTIRQ ? EV_TX_SOFTIRQ
					    : EV_SOFTIRQ;

	truth->serving = rt ? 0 : event;
	truth->rx_began = vec == NET_RX_SOFTIRQ ? now : 0;
	truth->rx_polled = 0;
	say("softirq_entry %u {", vec);
	RUN(BEST(netto_soft, vec), .action = rt ? ENTER : ENTER_SOFT, .slot = SLOT_SOFTIRQ,
	    .event = event, .preemptible = rt, .counts = rt);
}

/* A softirq that polls nobody is the last one's. */
static void add_most(void)
{
	int polled = truth->rx_polled ?: 1 << truth->last_polled;

	for (int i = 0; i < 3 && truth->rx_began; i++)
		truth->most[i] += polled >> i & 1 ? now - truth->rx_began : 0;
	truth->rx_began = 0;
}

static void leave_vec(unsigned int vec)
{
	truth->serving = 0;
	say("softirq_exit %u {", vec);
	RUN(BEST(netto_soft_x, vec), .action = rt ? EMPTY : LEAVE_SOFT, .slot = SLOT_SOFTIRQ,
	    .preemptible = rt);
	add_most();
}

static void hard_irq(bool napi, bool percpu)
{
	struct irqaction action = { percpu ? IRQF_PERCPU : 0 };
	bool is_own = percpu && config->fields;
	__u64 done = 1;

	here->irqs_off++;
	say("top half {");
	RUN(config->fields ? netto_irq(1, &action) : netto_irq_r(NULL),
	    .action = is_own ? SAMPLE : ENTER_HARD, .event = EV_OTHER);
	point();
	if (napi) {
		say("napi_schedule_prep {");
		RUN(config->fields ? netto_prep(NULL, 1) : netto_k_prep((void *)&done),
		    .action = NAPI);
		point();
	}
	say("end of the top half {");
	RUN(config->fields ? netto_irq_x(1, &action) : netto_irq_x_r(NULL),
	    .action = is_own ? SAMPLE : LEAVE_HARD);
	here->irqs_off--;
}

static void sample(void)
{
	struct frame *f = here->top;
	bool halfway = f && (f->action == SWITCH || f->action == MARK);
	int event = EV_NONE;

	here->nmi = 1;
	settle();
	if (truth->event[HARD] == EV_HARDIRQ)
		event = EV_HARDIRQ;
	else if (truth->event[SOFT])
		event = truth->event[SOFT];
	else if (truth->started && truth->running == here->current)
		event = owner_of(truth->slots);
	if (event == EV_OTHER && !here->current->task.pid && !truth->event[SOFT])
		event = EV_IDLE;
	say("sample {");
	RUN(netto_sample(NULL), .action = SAMPLE);
	if (event != EV_NONE && event != EV_IDLE && (here->nmi == 2 || !halfway))
		truth->samples[event]++;
	here->nmi = 0;
}

/* Marks this CPU: by an IPI, or as netto's own CPU, with interrupts on. */
static void mark(bool ipi)
{
	here->irqs_off += ipi;
	say("mark {");
	RUN(netto_mark(NULL), .action = MARK);
	here->irqs_off -= ipi;
}

typedef int program_t(void *ctx);

/* What tasks do, by the letters of scripts. A capital letter is the end: program 1 runs there. */
static const struct step {
	char letter;
	char *name;
	enum action action;
	int slot, event;
	program_t *fentry[2], *kprobe[2];
} steps[] = {
/* clang-format off */
#define STEP(letter, name, action, slot, event, fentry, kprobe)                                    \
	{ letter, name, action, slot, event, { fentry, fentry##_x }, { kprobe, kprobe##_x } }
	/* clang-format on */
	STEP('s', "send", ENTER, SLOT_TASK, EV_SEND, netto_send4, netto_k_send),
	STEP('r', "recv", ENTER, SLOT_TASK, EV_RECV, netto_recv4, netto_k_recv),
	STEP('c', "connect", ENTER, SLOT_TASK, EV_CONN, netto_connect, netto_k_conn),
	STEP('p', "busy poll", ENTER, SLOT_POLL, EV_BUSY_POLL, netto_busy, netto_k_busy_poll),
	STEP('w', "work", ENTER, SLOT_POLL, EV_NET_WORKER, netto_reinjct, netto_k_net_worker),
	STEP('d', "read", ENTER_READ, SLOT_POLL, EV_RECV, netto_read, netto_k_read),
	STEP('u', "tcp timer", ENTER, SLOT_POLL, EV_TCP_WORK, netto_retrans, netto_k_tcp_work),
	{ 't', "io_wq_worker", THREAD, SLOT_TASK, EV_IO_WORKER, { netto_worker }, {} },
};

/* Runs the program of a function, unless another task is in it on this CPU, as in the kernel. */
static void call(char letter)
{
	bool ends = isupper(letter);
	const struct step *s = steps;
	char *active = &here->active[(int)letter];
	enum action action;
	program_t *program;

	while (s->letter != tolower(letter))
		s++;
	program = config->fields ? s->fentry[ends] : s->kprobe[ends];
	if (!program)
		return;
	say("%s%s %s", ends ? "/" : "", s->name, *active ? "is skipped: recursion" : "{");
	if (*active)
		return;
	action = !ends ? s->action : s->slot == SLOT_TASK ? LEAVE : LEAVE_POLL;
	if (action == ENTER || action == THREAD)
		truth->count[s->event]++;
	if (truth->serving && s->slot == SLOT_POLL)
		action = action == ENTER ? CHANGE_SOFT : action == LEAVE_POLL ? BACK_SOFT : SAMPLE;
	if (action == ENTER && s->slot != SLOT_TASK)
		count_for_process(s->event);
	*active = 1;
	RUN(program(NULL), .action = action, .slot = s->slot, .event = s->event,
	    .preemptible = config->preempt && config->fields,
	    .decides = s->slot == SLOT_POLL && action != ENTER_READ);
	*active = 0;
	if (action == THREAD)
		truth->base = EV_IO_WORKER;
}

/* Runs a step of a task's script, or of a softirq. */
static void play(char letter)
{
	static const char vectors[] = { ['n'] = NET_RX_SOFTIRQ, ['y'] = NET_TX_SOFTIRQ, ['v'] = 1 };
	struct person *p = here->current;
	int was_in_softirq = here->softirq;

	if (letter == '.') {
		point();
	} else if (letter == 'b') {
		block(true);
	} else if (letter == 'm') {
		mark(false);
	} else if (letter == 'X') {
		p->ended = true;
		block(true);
	} else if (letter == 'k') { /* polls with softirqs off, in threads too; not on PREEMPT_RT */
		here->softirq = was_in_softirq || !rt;
		/* of softirqs, first one alone, and then another one with it */
		poll(!was_in_softirq	? p - people
		     : truth->polls < 4 ? (int)truth->polls / 3
					: points);
		here->softirq = was_in_softirq;
	} else if (!strchr("nyvNYV", letter)) {
		call(letter);
		if (letter == 't')
			strcpy(p->task.comm, "iou-wrk-7");
	} else if (rt && islower(letter)) { /* on PREEMPT_RT a task runs softirqs */
		p->in_softirq = true;
		enter_vec(vectors[(int)letter]);
	} else if (rt) {
		leave_vec(vectors[tolower(letter)]);
		p->in_softirq = false;
	}
}

/* The softirqs that come in between, by the letters of act(), and what they run. */
static const struct softirq {
	char kind;
	unsigned int vec;
	char *steps;
} softirqs[] = {
	{ 'S', NET_RX_SOFTIRQ, "kk" },
	{ 'E', NET_RX_SOFTIRQ, "." }, /* it began before netto was attached */
	{ 'A', NET_RX_SOFTIRQ, "u.U" },
	{ 'T', NET_TX_SOFTIRQ, "." },
	{ 'W', 1, "u.U" },
	{ 'M', 1, "u." }, /* the exit of its work is missed */
	{ 'B', 1, "." },
	{ 'Q', 6, "dDw.W" }, /* a tasklet runs functions that tasks run, too */
};

static void softirq(char kind)
{
	const struct softirq *s = softirqs;

	while (s->kind != kind)
		s++;
	here->softirq = 1;
	if (kind != 'E')
		enter_vec(s->vec);
	for (char *step = s->steps; *step; step++)
		play(*step);
	leave_vec(s->vec);
	here->softirq = 0;
}

static const char kinds[] = "HNGSTAWMBQEIKPVU"; /* the letters of act() */

/* Whether it may come here. */
static bool may(char kind)
{
	struct frame *f = here->top;

	if (here->nmi)
		return false;
	if (strchr("IV", kind))
		return true;
	if (here->irqs_off || (f && f->hits >= HITS))
		return false;
	if (kind == 'K') /* netto marks one CPU at a time */
		for (; f; f = f->outer)
			if (f->action == MARK)
				return false;
	if (strchr("HNGK", kind))
		return true;
	if (here->softirq)
		return false;
	if (kind == 'U')
		return !f && !config->busy && next_ready(here->current, false);
	if (kind != 'P')
		return !rt;
	/* who a program of an unseen task works for is not known: it is not preempted */
	return (!f || (f->preemptible && truth->running == here->current)) &&
	       next_ready(here->current, true);
}

/*
 * Lets something come in between: H, N, G top halves (N schedules NAPI, G is the CPU's own), I a
 * sample, K a mark, P a preemption, U an unseen one, V the other CPU; else a softirq.
 */
static void act(char kind)
{
	if (here->top && !strchr("IV", kind))
		here->top->hits++;
	if (strchr("HNG", kind))
		hard_irq(kind == 'N', kind == 'G');
	else if (kind == 'I')
		sample();
	else if (kind == 'K')
		mark(true);
	else if (strchr("PU", kind))
		block(kind == 'P');
	else if (kind == 'V')
		go_to((cpu + 1) % CPUS);
	else
		softirq(kind);
}

/* A task. In each run it plays its script once, and then is DONE. */
static void live(struct person *p)
{
	for (;;) {
		for (char *s = p->script; *s && *s != '|'; s++) {
			point();
			play(*s);
		}
		p->state = DONE;
		block(true);
	}
}

static bool is_over(void)
{
	for (int i = 0; i < TASKS; i++)
		if (people[i].state != DONE)
			return false;
	for (int i = 0; i < CPUS; i++)
		if (!machines[i].resting)
			return false;
	return true;
}

/* The idle task of a CPU. The run is over when all CPUs rest and all tasks are DONE. */
static void idle(struct person *p)
{
	for (;;) {
		point();
		if (next_ready(p, true)) {
			block(true);
			continue;
		}
		here->resting = true;
		if (!is_over())
			go_to((cpu + 1) % CPUS);
		else if (!_setjmp(p->at))
			_longjmp(driver, 1);
		here->resting = false;
	}
}

/* ==== 7. Runs ==== */

enum { LIST = 64, POINTS = 1 << 14, SCRIPT = 200 };

static char script[SCRIPT]; /* of this run */
static struct list {
	int count;
	struct {
		unsigned int at;     /* number of the point */
		unsigned int length; /* in points */
		char kind;
	} acts[LIST];
} list; /* what comes in between in this run, and where; with `rate`, written on the way */

static int done;	  /* how much of `list` */
static bool recording;	  /* possible[] is filled */
static unsigned int rate; /* one in so many points is interrupted; 0: those of `list` */
static __u64 seed;
static unsigned short possible[POINTS]; /* by point: a bit for each of kinds[] that may come */
static unsigned long runs, excused_runs;

static unsigned int draw(unsigned int below)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (seed >> 33) % below;
}

/* What comes at this point: an index of list.acts[]; -1: nothing. */
static int decide(void)
{
	struct frame *f = here->top;
	char kind;

	if (!running)
		return -1;
	if (points >= POINTS - 1) {
		fail("it does not end");
		return -1;
	}
	if (rate) { /* an interrupted program is interrupted more often: this is the hard case */
		if (list.count == LIST || draw(f && f->hits ? 5 : rate))
			return -1;
		kind = kinds[draw(sizeof(kinds) - 1)];
		if (!may(kind))
			return -1;
		list.acts[list.count].at = points;
		list.acts[list.count].kind = kind;
		return list.count++;
	}
	if (recording) {
		possible[points] = 0;
		for (unsigned int i = 0; i < sizeof(kinds) - 1; i++)
			possible[points] |= may(kinds[i]) << i;
	}
	if (done == list.count || list.acts[done].at != points)
		return -1;
	return may(list.acts[done++].kind) ? done - 1 : -1;
}

static void point(void)
{
	int i;

	points++;
	now += 100 + (points * 2654435761u >> 12);
	i = decide();
	if (i < 0)
		return;
	act(list.acts[i].kind);
	list.acts[i].length = points - list.acts[i].at;
}

/* The devices of this CPU. No device has more time than the softirqs took in which it is polled. */
static void check_polled(void)
{
	cpu_t *c = &cpus[cpu];
	__u64 ns = 0, polls = 0, packets = 0;

	add_most();
	for (int i = 0; i <= POLLED_PLACES; i++) {
		place_t *place = &polled[cpu].places[i];
		__u64 most = now - first_now;

		for (int n = 0; n < 3 && !rt && !truth->polls_tasks; n++)
			if (is_place_of(place, n))
				most = truth->most[n];
		if (place->ns > most)
			fail("cpu %d: a device has %lld ns of at most %lld", cpu, place->ns, most);
		ns += place->ns;
		polls += place->polls;
		packets += place->packets;
	}
	if (truth->polls_softirq) { /* as read_polled() in netto.c has it */
		ns += c->ns[EV_RX_SOFTIRQ] - c->polled.given;
		polls += c->polled.polls;
		packets += c->polled.packets;
		truth->polled_ns += truth->ns[EV_RX_SOFTIRQ] - truth->unpolled;
	}
	if (truth->polled_spoilt && (rt || ns <= c->ns[EV_RX_SOFTIRQ] + c->ns[EV_NAPI_THREAD] +
							   c->ns[EV_BUSY_POLL] + c->unseen))
		truth->polled_ns = ns;
	same("ns of devices", ns, truth->polled_ns);
	same("polls", polls, truth->polls);
	same("packets", packets, truth->packets);
}

static void check_cpu(void)
{
	cpu_t *c = &cpus[cpu];
	stack_buf_t *h = (stack_buf_t *)stacks[cpu];
	__u64 samples[16] = {}, *stack = (__u64 *)&h->slots[hash_slots];

	for (__u64 i = 0; i < h->used; i += 1 + (stack[i] >> 8 & 255))
		samples[stack[i] & 15] += h->slots[stack[i] >> 32].count;
	same_events("cpu", cpu, "entries", c->count, truth->count);
	same_events("cpu", cpu, "samples", samples, truth->samples);
	if (c->lost < truth->lost || c->lost > truth->lost + truth->refused)
		fail("cpu %d: lost %llu, but %llu were", cpu, c->lost, truth->lost);
	if (c->unreturned < truth->missed || c->unreturned > truth->missed + truth->odd)
		fail("cpu %d: missed %llu, but %llu were", cpu, c->unreturned, truth->missed);
	check_polled();
}

static void check_processes(void)
{
	same("ns of processes without room", tasks_lost_ns, 0);
	for (int i = 0; i <= PEOPLE; i++) {
		same_events("process", i, "ns", counted[i].ns, processes[i].ns);
		same_events("process", i, "entries", counted[i].count, processes[i].count);
	}
}

static void make_task(int i, int kind)
{
	struct person *p = &people[i];

	memset(p, 0, offsetof(struct person, at));
	strcpy(p->task.comm, kind == 'n'   ? "napi/eth0-1"
			     : kind == 'k' ? "ksoftirqd/0"
			     : kind == 'i' ? "iou"
					   : "app");
	p->task.pid = 11 + i;
	p->tgid = 1 + i;
	p->task.flags = kind == 'n' || kind == 'k' ? PF_KTHREAD : kind == 'i' ? PF_IO_WORKER : 0;
	p->task.group_leader = &p->task;
	p->state = kind ? READY : DONE;
	p->script = "";
}

/* A script is KIND:STEPS|KIND:STEPS..., one for each task. After a -, CPUs start by a switch. */
static void set_up(void)
{
	char *next = script + (*script == '-');

	memset(cpus, 0, CPUS * sizeof(cpus[0]));
	memset(preparing, 0, CPUS * sizeof(preparing[0]));
	memset(idle_tasks, 0, CPUS * sizeof(idle_tasks[0]));
	memset(polled, 0, sizeof(polled));
	memset(stacks, 0, sizeof(stacks));
	memset(saved, 0, sizeof(saved));
	memset(counted, 0, sizeof(counted));
	memset(truths, 0, sizeof(truths));
	memset(processes, 0, sizeof(processes));
	memset(machines, 0, sizeof(machines));
	tasks_lost = tasks_lost_ns = 0;
	rt = config->preempt == PREEMPT_RT;
	hooks_switch = interval_id = nr_bufs = 1;
	reads_task_fields = config->fields;
	parking = config->parking;
	tasks = config->tasks;
	hash_slots = SLOTS;
	stack_words = WORDS;
	for (int i = 0; i < PEOPLE; i++)
		make_task(i, 0);
	for (int i = 0; i < CPUS; i++) {
		struct person *p = idle_of(i);

		machines[i].current = p;
		p->state = RUNNING;
		p->task.pid = p->tgid = 0;
		sprintf(p->task.comm, "idle/%d", i);
	}
	for (int i = 0; i < TASKS && next; i++) {
		make_task(i, *next);
		people[i].script = next + 2;
		next = strchr(next, '|');
		next += !!next;
	}
}

static bool run(void)
{
	runs++;
	set_up();
	failed = excused = false;
	points = done = 0;
	now = first_now = (1ull << 52) - 3000000; /* so that the time in the word wraps */
	for (int i = 0; i < CPUS; i++) {
		run_on(i);
		truth->settled = now;
		if (*script != '-')
			mark(true);
	}
	run_on(0);
	points = 0;
	running = true;
	showing = wanted;
	if (!_setjmp(driver))
		_longjmp(here->current->at, 1);
	running = showing = false;
	for (int i = 0; i < CPUS; i++) {
		run_on(i);
		mark(true);
		check_cpu();
	}
	if (config->tasks)
		check_processes();
	excused_runs += excused;
	return failed;
}

/* The first code of a coroutine, which is made once for all runs. */
static void wake(int i)
{
	struct person *p = &people[i];

	if (!_setjmp(p->at))
		_longjmp(driver, 1);
	if (i < TASKS)
		live(p);
	idle(p);
}

static void make_coroutines(void)
{
	for (int i = 0; i < PEOPLE; i++) {
		ucontext_t context = {};

		getcontext(&context);
		context.uc_stack.ss_sp = malloc(STACK);
		context.uc_stack.ss_size = STACK;
		makecontext(&context, (void (*)(void))wake, 1, i);
		if (!_setjmp(driver))
			setcontext(&context);
	}
}

/* ==== 8. All orders, random orders, and shrinking ==== */

/* Takes an element out of the list. The points behind it have smaller numbers then. */
static void drop(int i)
{
	unsigned int length = strchr("PUV", list.acts[i].kind) ? 0 : list.acts[i].length;

	for (int j = i + 1; j < list.count; j++)
		if (list.acts[j].at > list.acts[i].at + length)
			list.acts[j].at -= length;
	memmove(&list.acts[i], &list.acts[i + 1], (list.count - i - 1) * sizeof(list.acts[0]));
	list.count--;
}

/* Takes out what the failure does not need. */
static void shrink(void)
{
	for (int i = list.count - 1; i >= 0; i--) {
		struct list longer = list;

		drop(i);
		if (run())
			i = list.count; /* from the beginning */
		else
			list = longer;
	}
}

/* Prints a failed run. Returns true. */
static bool report(__u64 of_seed)
{
	if (!quiet)
		shrink();
	wanted = !quiet;
	if (wanted && !run())
		strcpy(why, "it fails only once");
	printf("FAIL: model: %s, ", config->name);
	of_seed ? printf("seed %llu: ", of_seed) : printf("'%s': ", script);
	puts(why);
	if (quiet)
		return true;
	printf("model --config %s --script '%s' --at '", config->name, script);
	for (int i = 0; i < list.count; i++)
		printf("%s%u%c", i ? "," : "", list.acts[i].at, list.acts[i].kind);
	puts("'");
	return true;
}

/* Scripts of which all orders are tried. */
static const struct {
	char *script;
	const char *kinds; /* what may come in between */
	int depth, deep;   /* how many of these; in long runs */
} scripts[] = {
	/* clang-format off */
	{ "a:s.S", kinds, 1, 2 },
	{ "a:s.S", "HNSWMIKPU", 2, 2 },
	{ "a:sbS|a:rR", kinds, 1, 2 },
	{ "a:scmS|a:s", kinds, 1, 1 },
	{ "a:rpPR|a:cbC", kinds, 1, 2 },
	{ "n:kbk|n:k", kinds, 1, 2 },
	{ "k:nkN|a:sS", kinds, 1, 2 },
	{ "a:dDwW|i:ts", kinds, 1, 1 },
	{ "a:vuUdDwV|a:nN", kinds, 1, 2 },
	{ "a:sXr.R|a:b", kinds, 1, 1 },
	{ "-a:sS|a:rR", kinds, 1, 1 },
	{ "a:sS|a:bbb", "P", 3, 4 },
	/* clang-format on */
};

/* CPU time, so that the model finds the same on a busy machine. */
static double seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static double deadline;
static bool cut_short; /* the time was over before all orders were tried */

/* Tries all ways to let up to `depth` things more come in, after those of the list. */
static bool explore(const char *among, int depth)
{
	unsigned short at[POINTS];
	unsigned int last = list.count ? list.acts[list.count - 1].at : 0, ends;

	if (!(runs & 255) && seconds() > deadline)
		cut_short = true;
	if (cut_short)
		return false;
	recording = depth;
	if (run() || !depth)
		return failed;
	ends = points;
	memcpy(at, possible, (ends + 1) * sizeof(*at));
	for (unsigned int p = last + 1; p <= ends; p++)
		for (unsigned int i = 0; i < sizeof(kinds) - 1; i++) {
			if (!(at[p] >> i & 1) || !strchr(among, kinds[i]))
				continue;
			list.acts[list.count].at = p;
			list.acts[list.count++].kind = kinds[i];
			if (explore(among, depth - 1))
				return true;
			list.count--;
		}
	return false;
}

/* Tries all orders of a script. Returns whether one fails. */
static bool try_orders(int which, int depth)
{
	list.count = 0;
	strcpy(script, scripts[which].script);
	return explore(scripts[which].kinds, depth) && report(0);
}

static void make_script(void)
{
	static const char pairs[] = "ssrrcpwdnnyvvu";
	char *to = script;
	int people = 1 + draw(TASKS);

	if (!draw(4))
		*to++ = '-';
	for (; people; people--) {
		char kind = "aaaankki"[draw(8)];

		to += sprintf(to, kind == 'i' ? "%c:t" : "%c:", kind);
		for (int steps = 1 + draw(5); steps; steps--) {
			char pair = pairs[draw(sizeof(pairs) - 1)];

			if (draw(16))
				*to++ = pair;
			to = stpcpy(to, (char *[]) { ".", "b", "k", "m", "pkP", "", "sS", "", "uU",
						     "wbW", "u.", "X" }[draw(draw(4) ? 11 : 12)]);
			if (draw(16))
				*to++ = toupper(pair);
		}
		*to++ = '|';
	}
	to[-1] = 0;
}

/* Tries a random run. Returns whether it fails. */
static bool try_seed(__u64 number)
{
	bool fails;

	seed = number * 0x9e3779b97f4a7c15;
	draw(1);
	make_script();
	rate = (unsigned int[]) { 6, 15, 40, 100 }[draw(4)];
	list.count = 0;
	fails = run();
	rate = 0;
	return fails && report(number);
}

/* The configurations to run in: from the first one to one before the last one. */
static const struct config *first_config = configs, *last_config = configs + CONFIGS;

/* Tries deeper and deeper. Most failures are in the first seeds, before the long search. */
static bool search(double began, double limit)
{
	unsigned long random_runs = 0;
	__u64 s = 1;

	deadline = began + limit * 2 / 3; /* the rest of the time is for random runs */
	for (int depth = 0; depth <= 4; depth++) {
		for (config = first_config; config < last_config; config++)
			for (unsigned int i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
				if (depth <= (limit >= 300 ? scripts[i].deep : scripts[i].depth) &&
				    try_orders(i, depth))
					return true;
		for (; depth && (depth == 4 || s < 4000) && seconds() < began + limit; s++)
			for (config = first_config; config < last_config; config++, random_runs++)
				if (try_seed(s))
					return true;
	}
	printf("pass: model: %lu orders of small scripts%s, %lu random runs, %lu of all not compared to the end, %d configurations, %.0f s\n",
	       runs - random_runs, cut_short ? " (not all: it is slow)" : "", random_runs,
	       excused_runs, (int)(last_config - first_config), seconds() - began);
	return false;
}

static void read_list(char *text)
{
	char *end;

	for (; *text && list.count < LIST; text = end + 1 + (end[1] == ',')) {
		list.acts[list.count].at = strtoul(text, &end, 10);
		list.acts[list.count++].kind = *end;
	}
}

static bool read_config(char *name)
{
	for (first_config = configs; strcmp(first_config->name, name); first_config++)
		if (first_config + 1 == last_config)
			return false;
	last_config = first_config + 1;
	return true;
}

int main(int argc, char **argv)
{
	double limit = 40, began = seconds();
	unsigned long number = 0;

	for (int i = 1; i < argc; i += 1 + !!strcmp(argv[i], "--quiet")) {
		if (!strcmp(argv[i], "--quiet"))
			quiet = true;
		else if (i + 1 == argc)
			return 2;
		else if (!strcmp(argv[i], "--seconds"))
			limit = atof(argv[i + 1]);
		else if (!strcmp(argv[i], "--config") && !read_config(argv[i + 1]))
			return 2;
		else if (!strcmp(argv[i], "--seed"))
			number = strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--script"))
			snprintf(script, sizeof(script), "%s", argv[i + 1]);
		else if (!strcmp(argv[i], "--at"))
			read_list(argv[i + 1]);
	}
	make_coroutines();
	if (!*script && !number)
		return search(began, limit);
	config = first_config;
	if (number)
		return try_seed(number);
	wanted = true;
	puts(run() ? why : "as the oracle says");
	return failed;
}

#pragma clang attribute pop
